"""The text of `lablink.yaml` and what it means: parsed to a `Lab` or to problems with their places, edited, compared.

Called by the controller's file watcher, the API and the command line. Pure: reads and writes no file.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.lab import Lab
from schemas.problem import InvalidDocument, Problem
from schemas.sentences import place, problems_of
from schemas.yaml_edit import as_plain, render, set_value
from schemas.yaml_tree import Tree, read_tree

__all__ = ["InvalidDocument", "Parsed", "Problem", "diff_texts", "edit_lab", "parse_lab", "problem_at", "text_hash"]

FILE = "lablink.yaml"


@dataclass(frozen=True)
class Parsed:
    """A valid document: its models and the text that they were read from."""

    lab: Lab
    text: str

    @property
    def hash(self) -> str:
        return text_hash(self.text)


def parse_lab(text: str, file: str = FILE) -> Parsed:
    """Raises `InvalidDocument` with every problem that was found, and nothing else, whatever the text."""
    return Parsed(_judge(read_tree(text, file), file), text)


def _judge(tree: Tree, file: str) -> Lab:
    if not isinstance(tree.value, dict):
        sentence = "must be a mapping of names to values; the smallest document is `pools: {}`"
        raise InvalidDocument((Problem(file, tree.root.line, tree.root.column, "", sentence),))
    try:
        return Lab.model_validate(tree.value, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidDocument(problems_of(error, tree, file)) from None


def problem_at(text: str, path: tuple[str, ...], sentence: str, file: str = FILE) -> Problem:
    """A problem that only the document's surroundings show (a file that it names is missing), with the place of its field."""
    return place(path, sentence, "", read_tree(text, file), file)


def edit_lab(text: str, changes: Mapping[str, Any], file: str = FILE) -> str:
    """Sets values by dotted path (`pools.client.size`), adding what is missing; all else stays byte for byte.

    Comments, order, quoting and line ends are kept; only what stood inside a replaced list or mapping goes with it.
    Raises `InvalidDocument` when the text or the result is invalid, or where an anchor shares the value.
    """
    tree = read_tree(text, file)
    expected = tree.value
    for dotted, value in changes.items():
        path = tuple(dotted.split("."))
        expected = _with(expected, path, as_plain(value))
        if render(expected) != render(tree.value):
            text = set_value(tree, text, path, value, file)
            tree = read_tree(text, file)
    _judge(tree, file)
    if tree.value != expected:
        raise InvalidDocument(
            (Problem(file, 1, 1, ", ".join(changes), "cannot be set without a rewrite: edit the file"),)
        )
    return text


def _with(document: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    entries = document if isinstance(document, dict) else {}
    return {**entries, path[0]: _with(entries.get(path[0]), path[1:], value)}


def diff_texts(old: str, new: str, names: tuple[str, str] = ("before", "after")) -> str:
    """Unified diff; empty for equal texts."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), *names, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def text_hash(text: str) -> str:
    """SHA-256 of the UTF-8 bytes, in hex: equal hash, equal file."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
