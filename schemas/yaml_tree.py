"""YAML text to nodes that know their place, within limits that no hostile text gets around.

Used by `schemas.document` and `schemas.yaml_edit`. The events are ruamel.yaml's (pure Python, YAML 1.2); scalars are
read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): `no` is text, dates stay as written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from schemas.problem import InvalidDocument, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 24
MAX_ALIASES = 64
MAX_NODES = 50_000
TOO_DEEP = f"is nested more than {MAX_DEPTH} levels deep"
TOO_MANY = f"has more than {MAX_NODES} values"

NULL = re.compile(r"null|Null|NULL|~|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]{1,20}")
BASED_INT = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,20}")
FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?")
ODD_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Node:
    """A scalar, list or mapping of the text. `start` and `end` are offsets; `line` and `column` count from 1."""

    start: int
    end: int
    line: int
    column: int
    shared: bool  # has an anchor or stands for one: a change would show elsewhere too


@dataclass(frozen=True)
class Scalar(Node):
    text: str
    style: str  # "", "'", '"', "|", ">"


@dataclass(frozen=True)
class List(Node):
    flow: bool
    entries: list[Node]


@dataclass(frozen=True)
class Mapping(Node):
    flow: bool
    entries: dict[str, tuple[Scalar, Node]]


@dataclass(frozen=True)
class Tree:
    """A document read but not judged: its plain value, and the place of each path's key and value."""

    root: Node
    value: Any
    keys: dict[Path, Node]
    values: dict[Path, Node]


def read_tree(text: str, file: str) -> Tree:
    """Raises `InvalidDocument` with a position for whatever is not one plain YAML 1.2 document of mappings by text."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise InvalidDocument((Problem(file, 1, 1, "", f"is {size} bytes long, and the limit is {MAX_BYTES}"),))
    composer = _Composer(text, file)
    try:
        root = composer.document()
    except YAMLError as error:
        raise InvalidDocument((_syntax_problem(error, text, file),)) from None
    except (ValueError, OverflowError):  # ruamel.yaml on an escape such as "\\UFFFFFFFF"
        raise InvalidDocument((Problem(file, 1, 1, "", "has an escape that stands for no character"),)) from None
    if composer.problems:
        raise InvalidDocument(tuple(composer.problems))
    if root is None:
        raise InvalidDocument((Problem(file, 1, 1, "", "is empty; the smallest document is `pools: {}`"),))
    return _Reading(file).tree(root)


def read_scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means. A number too long for any field stays text, and its field refuses it."""
    if NULL.fullmatch(text):
        return None
    if BOOL.fullmatch(text):
        return text.lower() == "true"
    if INT.fullmatch(text):
        return int(text)
    if BASED_INT.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text):
        return float(text)
    if ODD_FLOAT.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _syntax_problem(error: YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        return Problem(file, line, column, "", "has a character that YAML does not allow")
    mark = (error.problem_mark or error.context_mark) if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or mark is None:
        return Problem(file, 1, 1, "", "is not valid YAML")
    sentence = f"is not valid YAML: {error.problem or error.context}"
    if text[mark.index : mark.index + 1] == "\t":
        sentence = "has a tab where YAML wants spaces"
    return Problem(file, mark.line + 1, mark.column + 1, "", sentence)


class _Composer:
    """Events to nodes, in one pass; stops at what is refused before a limit can be felt."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._events: Iterator[Any] = YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, Node] = {}
        self._aliases = 0
        self._nodes = 0

    def document(self) -> Node | None:
        root, documents = None, 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._stop(event, "is more than one document: a second one begins here")
                if event.version not in (None, (1, 2)):
                    self._stop(event, "must be YAML 1.2, which needs no %YAML line")
            elif isinstance(event, NodeEvent):
                root = self._node(event, 0)
        return root

    def _stop(self, event: Any, sentence: str) -> NoReturn:
        mark = event.start_mark
        raise InvalidDocument((Problem(self.file, mark.line + 1, mark.column + 1, "", sentence),))

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, TOO_MANY)
        if depth > MAX_DEPTH:
            self._stop(event, TOO_DEEP)
        if event.tag is not None:
            self._stop(event, "has a tag, and this file uses none: write the value alone")
        node = self._collect(event, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._stop(event, f"has more than {MAX_ALIASES} aliases")
        if event.anchor not in self._anchors:
            self._stop(event, f'has an alias "*{event.anchor}" without an anchor before it')
        return replace(self._anchors[event.anchor], **_place(event, event.end_mark), shared=True)

    def _collect(self, event: Any, depth: int) -> Node:
        shared = event.anchor is not None
        if isinstance(event, ScalarEvent):
            style = "" if event.implicit[0] else str(event.style)
            return Scalar(**_place(event, event.end_mark), shared=shared, text=event.value, style=style)
        flow = bool(event.flow_style)
        if isinstance(event, SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return List(**_place(event, inner.end_mark), shared=shared, flow=flow, entries=items)
        entries: dict[str, tuple[Scalar, Node]] = {}
        while not isinstance(inner := next(self._events), MappingEndEvent):
            key = self._node(inner, depth + 1)
            value = self._node(next(self._events), depth + 1)
            self._add(entries, key, value)
        return Mapping(**_place(event, inner.end_mark), shared=shared, flow=flow, entries=entries)

    def _add(self, entries: dict[str, tuple[Scalar, Node]], key: Node, value: Node) -> None:
        if not isinstance(key, Scalar) or not (key.style or isinstance(read_scalar(key.text), str)):
            self.problems.append(Problem(self.file, key.line, key.column, "", "a name must be text: put it in quotes"))
        elif key.text in entries:
            first = entries[key.text][0].line
            sentence = f'"{key.text}" is here for the second time; the first is in line {first}'
            self.problems.append(Problem(self.file, key.line, key.column, "", sentence))
        else:
            entries[key.text] = (key, value)


def _place(event: Any, end: Any) -> dict[str, Any]:
    mark = event.start_mark
    return {"start": mark.index, "end": end.index, "line": mark.line + 1, "column": mark.column + 1}


class _Reading:
    """Nodes to plain values, with the place of each; aliases are written out, so what they amount to is limited."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self._keys: dict[Path, Node] = {}
        self._values: dict[Path, Node] = {}

    def tree(self, root: Node) -> Tree:
        return Tree(root, self._plain(root, ()), self._keys, self._values)

    def _plain(self, node: Node, path: Path) -> Any:
        self._count += 1
        if self._count > MAX_NODES or len(path) > MAX_DEPTH:
            sentence = TOO_MANY if self._count > MAX_NODES else TOO_DEEP
            raise InvalidDocument((Problem(self._file, node.line, node.column, "", sentence),))
        self._values[path] = node
        match node:
            case Mapping():
                self._keys |= {(*path, name): key for name, (key, _) in node.entries.items()}
                return {name: self._plain(value, (*path, name)) for name, (_, value) in node.entries.items()}
            case List():
                return [self._plain(entry, (*path, index)) for index, entry in enumerate(node.entries)]
            case Scalar(style=""):
                return read_scalar(node.text)
            case Scalar():
                return node.text
        raise TypeError(node)
