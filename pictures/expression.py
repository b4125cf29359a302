"""The value of an expression of a `.tf` file, as far as it can be known before anything exists: an evaluator over python-hcl2's tree.

Pictures ask it which resources a document makes (`count`, `for_each`) and what is in them. What only AWS knows is `UNKNOWN`,
and so is all that is made of it. https://developer.hashicorp.com/terraform/language/expressions
"""

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lark import Token, Tree

from pictures.errors import NotUnderstood

Node = Tree[Token]


class Unknown:
    """Stands for what is known after an apply; its parts are as unknown."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN = Unknown()

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
LITERALS = {"true": True, "false": False, "null": None}
TRANSPARENT = ("expr_term", "start", "interpolation")


def _merge(*several: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for one in several for key, value in one.items()}


def _distinct(values: Any) -> list[Any]:
    return [one for index, one in enumerate(values) if one not in values[:index]]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "compact": lambda values: [one for one in values if one not in ("", None)],
    "concat": lambda *several: [one for some in several for one in some],
    "contains": lambda values, one: one in values,
    "distinct": _distinct,
    "join": lambda between, values: between.join(map(str, values)),
    "keys": sorted,
    "length": len,
    "merge": _merge,
    "one": lambda values: values[0] if values else None,
    "setproduct": lambda *several: [list(one) for one in itertools.product(*several)],
    "slice": lambda values, start, end: values[start:end],
    "sort": sorted,
    "split": lambda between, text: text.split(between),
    "strcontains": lambda text, part: part in text,
    "toset": _distinct,
    "tostring": lambda one: str(one).lower() if isinstance(one, bool) else str(one),
}
"""Those that decide what there is, and what pictures ask for."""


class Scope:
    """What names stand for in one module. `locals` are trees, looked at when they are asked for."""

    def __init__(
        self, local_trees: Mapping[str, Node], variables: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]
    ) -> None:
        self._locals = local_trees
        self._functions = {**FUNCTIONS, **functions}
        self._known: dict[str, Any] = {}
        self._names: dict[str, Any] = {"var": variables}

    def value(self, tree: Node, **names: Any) -> Any:
        """Raises `NotUnderstood` for what this evaluator does not know."""
        outer, self._names = self._names, {**self._names, **names}
        try:
            return self._of(tree)
        finally:
            self._names = outer

    def _of(self, node: Any) -> Any:
        meaning = getattr(self, f"_{node.data}", None)
        if node.data in TRANSPARENT:
            return self._of(*_parts(node))
        if meaning is None:
            raise NotUnderstood(
                f'Pictures do not know the expression "{node.data}" of Terraform: see pictures/expression.py.'
            )
        return meaning(node)

    # -- literals ------------------------------------------------------------------------------------

    def _int_lit(self, node: Node) -> int:
        return int(str(node.children[0]))

    def _float_lit(self, node: Node) -> float:
        return float(str(node.children[0]))

    def _literal_value(self, node: Node) -> Any:
        return LITERALS[str(node.children[0])]

    def _string(self, node: Node) -> Any:
        parts = [self._piece(part.children[0]) for part in _parts(node)]
        return UNKNOWN if UNKNOWN in parts else "".join(FUNCTIONS["tostring"](part) for part in parts)

    def _piece(self, part: Any) -> Any:
        return str(part) if isinstance(part, Token) else self._of(part)

    def _tuple(self, node: Node) -> list[Any]:
        return [self._of(part) for part in _parts(node)]

    def _object(self, node: Node) -> dict[str, Any]:
        pairs = (_parts(elem) for elem in _parts(node))
        return {self._key(key): self._of(value) for key, value in pairs}

    def _key(self, node: Node) -> Any:
        (inner,) = _parts(node)
        plain = _parts(inner)[0] if inner.data == "expr_term" else inner
        return str(plain.children[0]) if plain.data in ("identifier", "keyword") else self._of(inner)

    # -- names ---------------------------------------------------------------------------------------

    def _identifier(self, node: Node) -> Any:
        name = str(node.children[0])
        return self._names.get(name, UNKNOWN)

    def _get_attr_expr_term(self, node: Node) -> Any:
        whole, attribute = _parts(node)
        name = str(_parts(attribute)[0].children[0])
        return self._local(name) if spell(whole) == "local" else _part_of(self._of(whole), name)

    def _local(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self.value(self._locals[name], **dict.fromkeys(("each",), UNKNOWN))
        return self._known[name]

    def _index_expr_term(self, node: Node) -> Any:
        whole, index = _parts(node)
        return _part_of(self._of(whole), self._of(_parts(index)[0]))

    def _full_splat_expr_term(self, node: Node) -> Any:
        whole, splat = _parts(node)
        values = self._of(whole)
        if values is UNKNOWN:
            return UNKNOWN
        names = [str(_parts(part)[0].children[0]) for part in _parts(splat)]
        return [_descend(one, names) for one in values]

    # -- what is made of them ------------------------------------------------------------------------

    def _conditional(self, node: Node) -> Any:
        condition, then, otherwise = _parts(node)
        truth = self._of(condition)
        return UNKNOWN if truth is UNKNOWN else self._of(then if truth else otherwise)

    def _unary_op(self, node: Node) -> Any:
        (inner,) = _parts(node)
        value = self._of(inner)
        if value is UNKNOWN:
            return UNKNOWN
        return not value if str(node.children[0]) == "!" else -value

    def _binary_op(self, node: Node) -> Any:
        left, term = _parts(node)
        sign, right = _parts(term)
        sign = str(sign.children[0]).strip()
        first = self._of(left)
        if sign in ("&&", "||"):
            return first if first is UNKNOWN or bool(first) is (sign == "||") else self._of(right)
        second = self._of(right)
        return UNKNOWN if UNKNOWN in (first, second) else OPERATORS[sign](first, second)

    def _function_call(self, node: Node) -> Any:
        name, *rest = _parts(node)
        called, arguments = str(name.children[0]), _parts(rest[0]) if rest else []
        if called == "try":
            return self._try(arguments)
        values = [self._of(one) for one in arguments]
        if UNKNOWN in values or called not in self._functions:
            return UNKNOWN
        return self._functions[called](*values)

    def _try(self, arguments: list[Any]) -> Any:
        for one in arguments[:-1]:
            try:
                return self._of(one)
            except (LookupError, TypeError):
                continue
        return self._of(arguments[-1])

    def _for_tuple_expr(self, node: Node) -> Any:
        intro, result, *condition = _parts(node)
        rounds = self._rounds(intro, condition)
        return UNKNOWN if rounds is None else [self.value(result, **names) for names in rounds]

    def _for_object_expr(self, node: Node) -> Any:
        intro, key, result, *condition = _parts(node)
        rounds = self._rounds(intro, condition)
        return (
            UNKNOWN if rounds is None else {self.value(key, **names): self.value(result, **names) for names in rounds}
        )

    def _rounds(self, intro: Any, condition: list[Any]) -> list[dict[str, Any]] | None:
        """What the names of a `for` stand for in each of its rounds; None: how many there are is unknown."""
        *names, source = _parts(intro)
        values = self._of(source)
        if values is UNKNOWN:
            return None
        words = [str(name.children[0]) for name in names]
        rounds = [dict(zip(words, pair[-len(words) :], strict=True)) for pair in _pairs(values)]
        return [one for one in rounds if not condition or self.value(_parts(condition[0])[0], **one)]


def _parts(node: Any) -> list[Any]:
    """The parts of a tree that mean something."""
    return [one for one in node.children if isinstance(one, Tree) and one.data != "new_line_or_comment"]


def _pairs(values: Any) -> Iterator[tuple[Any, Any]]:
    yield from values.items() if isinstance(values, Mapping) else enumerate(values)


def _part_of(whole: Any, name: Any) -> Any:
    return UNKNOWN if whole is UNKNOWN else whole[name]


def _descend(whole: Any, names: list[str]) -> Any:
    for name in names:
        whole = _part_of(whole, name)
    return whole


def spell(node: Any) -> str:
    """A chain of names as it is written (`aws_lb.allocator`), indices left out; "" for anything else."""
    if node.data in ("expr_term", "identifier", "get_attr"):
        inner = node.children[0] if node.data != "get_attr" else _parts(node)[0]
        return str(inner) if isinstance(inner, Token) and node.data == "identifier" else _spell_inner(inner)
    if node.data in ("index_expr_term", "full_splat_expr_term"):
        return spell(_parts(node)[0])
    if node.data == "get_attr_expr_term":
        first, second = (spell(part) for part in _parts(node))
        return f"{first}.{second}" if first and second else ""
    return ""


def _spell_inner(inner: Any) -> str:
    return spell(inner) if isinstance(inner, Tree) else ""
