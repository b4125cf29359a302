"""Sets one value in the text of a YAML document and leaves every other byte alone; used by `schemas.document.edit_lab`.

A dump of the whole document, even a round-tripping one, moves comments and breaks lines; so the text itself is cut at
the places that `schemas.yaml_tree` found, and the caller compares the meaning of the result with what it wanted.
"""

import json
import math
import re
from collections.abc import Mapping as AnyMapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from schemas.problem import InvalidDocument, Problem
from schemas.values import format_duration
from schemas.yaml_tree import List, Mapping, Node, Scalar, Tree, read_scalar

# Unquoted where nobody could read it otherwise: neither another type, nor a word that YAML 1.1 took for a flag.
BARE = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./@:+-]*(?<!:)")
OLD_FLAGS = re.compile(r"y|n|yes|no|on|off", re.IGNORECASE)
UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def set_value(tree: Tree, text: str, path: tuple[str, ...], value: Any, file: str) -> str:
    """The text with the value at `path`; raises `InvalidDocument` where an anchor shares it with other places."""
    node, rest = tree.root, path
    key: Scalar | None = None
    while rest and isinstance(node, Mapping):
        if node.shared:
            raise _shared(node, path, file)
        if rest[0] not in node.entries:
            return _insert(text, node, rest[0], _nested(rest[1:], value))
        key, node = node.entries[rest[0]]
        rest = rest[1:]
    if key is None:
        raise InvalidDocument((Problem(file, 1, 1, ".".join(path), "cannot be set in this document"),))
    if node.shared:
        raise _shared(node, path, file)
    return _replace(text, key, node, _nested(rest, value))


def as_plain(value: Any) -> Any:
    """The value as the document's own kinds: durations and moments become text, models mappings, tuples lists."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True)
        case timedelta():
            return format_duration(value)
        case datetime():
            return value.isoformat()
        case AnyMapping():
            return {str(name): as_plain(entry) for name, entry in value.items()}
        case list() | tuple():
            return [as_plain(entry) for entry in value]
        case _:
            return value


def render(value: Any, quote: str = "") -> str:
    """One line of YAML; `quote` is the quotation mark to prefer for a text."""
    match as_plain(value):
        case None:
            return "null"
        case bool() as flag:
            return "true" if flag else "false"
        case str() as text:
            return _render_text(text, quote)
        case dict() as entries:
            return "{" + ", ".join(f"{_render_text(name)}: {render(entry)}" for name, entry in entries.items()) + "}"
        case list() as entries:
            return "[" + ", ".join(render(entry) for entry in entries) + "]"
        case float() as number if not math.isfinite(number):
            return str(number).replace("inf", ".inf").replace("nan", ".nan")
        case number:
            return str(number)


def _render_text(text: str, quote: str = "") -> str:
    bare = BARE.fullmatch(text) and isinstance(read_scalar(text), str) and not OLD_FLAGS.fullmatch(text)
    if bare and not quote:
        return text
    if quote == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _shared(node: Node, path: tuple[str, ...], file: str) -> InvalidDocument:
    sentence = "is shared with other places by an anchor: change it in the file by hand"
    return InvalidDocument((Problem(file, node.line, node.column, ".".join(path), sentence),))


def _replace(text: str, key: Scalar, node: Node, value: Any) -> str:
    start, end = node.start, _end(text, key, node)
    rendered = render(value, node.style if isinstance(node, Scalar) and node.style in ("'", '"') else "")
    empty = node.start == node.end
    if empty or (isinstance(node, List | Mapping) and not node.flow):
        # Nothing after the colon, or a block below it: the new value goes beside the colon.
        start = text.index(":", key.end) + 1
        end = start if empty else end
        rendered = f" {rendered}"
    return text[:start] + rendered + text[end:]


def _insert(text: str, mapping: Mapping, name: str, value: Any) -> str:
    entry = f"{_render_text(name)}: {render(value)}"
    if not mapping.entries:
        return text[: mapping.start] + "{" + entry + "}" + text[mapping.end :]
    last_key, last = list(mapping.entries.values())[-1]
    end = _end(text, last_key, last)
    if mapping.flow:
        return text[:end] + f", {entry}" + text[end:]
    first_key = next(iter(mapping.entries.values()))[0]
    line_end = text.find("\n", end)
    newline = "\r\n" if "\r\n" in text else "\n"
    if line_end < 0:
        line_end = len(text)
    elif text[line_end - 1] == "\r":
        line_end -= 1
    return text[:line_end] + newline + " " * (first_key.column - 1) + entry + text[line_end:]


def _end(text: str, key: Scalar, node: Node) -> int:
    """Where a value's own text ends: a block's end as YAML counts it is behind the comments that follow."""
    if isinstance(node, Mapping) and not node.flow and node.entries and not node.shared:
        return _end(text, *list(node.entries.values())[-1])
    if isinstance(node, List) and not node.flow and node.entries and not node.shared:
        return _end(text, key, node.entries[-1])
    return node.start + len(text[node.start : node.end].rstrip())
