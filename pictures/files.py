"""The Terraform files as python-hcl2 reads them: which resources a document makes of them, and which of them refer to which.

Reads the folders `terraform/` and `infrastructure/` and nothing else; no Terraform runs, and AWS is not asked.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
from lark import Token, Tree

from pictures.expression import UNKNOWN, Node, Scope, spell


@dataclass(frozen=True, slots=True)
class Instance:
    """One of what `count` or `for_each` makes: `each` as its block sees it."""

    key: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Resource:
    """A block of a resource that is made at least once, or of a data source that is looked up."""

    address: str
    kind: str  # resource | data
    type: str
    name: str
    body: Node
    instances: tuple[Instance, ...]
    refers: frozenset[str]  # addresses of the same module, also those that locals lead to
    scope: Scope

    def attribute(self, name: str, instance: Instance | None = None) -> Any:
        """The value of an attribute; None where the block has none."""
        one = instance or self.instances[0]
        each = {"key": one.key, "value": one.value}
        tree = dict(_attributes(self.body)).get(name)
        return None if tree is None else self.scope.value(tree, each=each)

    def mentions(self, *names: str) -> frozenset[str]:
        """What attributes of these names refer to, also those of blocks within the block."""
        trees = (
            value
            for body in self.body.iter_subtrees()
            if body.data == "body"
            for name, value in _attributes(body)
            if name in names
        )
        return frozenset(address for tree in trees for address in _addresses(tree))


@dataclass(frozen=True, slots=True)
class Module:
    """Resources and data sources by address, those alone that are made."""

    name: str
    made: dict[str, Resource]

    def of_type(self, *types: str) -> list[Resource]:
        return [one for one in self.made.values() if one.type in types and one.kind == "resource"]


def read_module(
    name: str, folder: Path, variables: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]] | None = None
) -> Module:
    """All `.tf` files of a folder. Variables that are not given have their defaults; those without one are unknown."""
    blocks = [block for path in sorted(folder.glob("*.tf")) for block in _read_blocks(path.read_text())]
    trees = {key: tree for block in blocks if _words(block) == ["locals"] for key, tree in _attributes(_body(block))}
    scope = Scope(trees, {**_defaults(blocks), **variables}, functions or {})
    found = [_read(block, scope, trees) for block in blocks if _words(block)[0] in ("resource", "data")]
    return Module(name, {one.address: one for one in found if one.instances})


@cache
def _read_blocks(text: str) -> list[Node]:
    (body,) = _parts_of(hcl2.parses_to_tree(text), "body")
    return _parts_of(body, "block")


def _read(block: Node, scope: Scope, trees: Mapping[str, Node]) -> Resource:
    kind, type_, name = _words(block)
    body = _body(block)
    address = f"{type_}.{name}" if kind == "resource" else f"data.{type_}.{name}"
    return Resource(address, kind, type_, name, body, tuple(_instances(body, scope)), _refers(body, trees), scope)


def _instances(body: Node, scope: Scope) -> Iterator[Instance]:
    known = dict(_attributes(body))
    if "count" in known:
        number = scope.value(known["count"])
        yield from (Instance(index, index) for index in range(1 if number is UNKNOWN else int(number)))
    elif "for_each" in known:
        several = scope.value(known["for_each"])
        if several is UNKNOWN:
            yield Instance(UNKNOWN, UNKNOWN)
        elif isinstance(several, Mapping):
            yield from (Instance(key, value) for key, value in several.items())
        else:
            yield from (Instance(one, one) for one in several)
    else:
        yield Instance(None, None)


def _defaults(blocks: list[Node]) -> dict[str, Any]:
    """The variables' defaults; `UNKNOWN` for what has to be given."""
    nothing = Scope({}, {}, {})
    known = {_words(block)[1]: dict(_attributes(_body(block))) for block in blocks if _words(block)[0] == "variable"}
    return {name: nothing.value(one["default"]) if "default" in one else UNKNOWN for name, one in known.items()}


# -- references --------------------------------------------------------------------------------------


def _refers(body: Node, trees: Mapping[str, Node]) -> frozenset[str]:
    """Addresses in a block, and in the locals that it names, and so on."""
    found: set[str] = set()
    seen: set[str] = set()
    due = [body]
    while due:
        names = set(_addresses(due.pop()))
        found |= {name for name in names if not name.startswith("local.")}
        new = {name.removeprefix("local.") for name in names if name.startswith("local.")} - seen
        seen |= new
        due += [trees[name] for name in new if name in trees]
    return frozenset(found)


def _addresses(tree: Node) -> Iterator[str]:
    """`local.NAME`, `TYPE.NAME` and `data.TYPE.NAME` in a tree."""
    for node in tree.iter_subtrees():
        if node.data != "get_attr_expr_term":
            continue
        first, *rest = spell(node).split(".")
        long = 2 if first == "data" else 1
        if len(rest) == long and (first in ("local", "data") or first.startswith("aws_")):
            yield ".".join([first, *rest])


# -- the tree's shape --------------------------------------------------------------------------------


def _parts_of(node: Node, data: str) -> list[Node]:
    return [one for one in node.children if isinstance(one, Tree) and one.data == data]


def _body(block: Node) -> Node:
    return _parts_of(block, "body")[0]


def _words(block: Node) -> list[str]:
    """Kind and labels of a block."""
    return [
        "".join(str(token) for token in one.scan_values(lambda token: isinstance(token, Token))).strip('"')
        for one in block.children
        if isinstance(one, Tree) and one.data in ("identifier", "string")
    ]


def _attributes(body: Node) -> Iterator[tuple[str, Node]]:
    for one in _parts_of(body, "attribute"):
        name, value = (part for part in one.children if isinstance(part, Tree) and part.data != "new_line_or_comment")
        yield str(name.children[0]), value
