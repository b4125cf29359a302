"""Small wrong changes of `controller.decide`, one at a time: which there are, and how one takes its place in a running interpreter."""

import ast
import copy
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from random import Random
from types import CodeType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "controller/decide"
DATA = ("price_table",)
"""Modules that hold numbers of the world and decide nothing."""
FLIPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`path` leads from the module's tree to the changed node, by field names and positions."""

    module: str
    scope: str  # the function or method at the top, or "" for a constant of the module
    path: tuple[tuple[str, int | None], ...]
    new: ast.AST
    said: str
    line: int
    nth: int = 1  # of those that say the same in this scope

    @property
    def name(self) -> str:
        """The same wherever it stands in its file."""
        return f"{self.module.rpartition('.')[2]}.{self.scope}: {self.said}{f' #{self.nth}' if self.nth > 1 else ''}"

    @property
    def place(self) -> str:
        return f"{self.module.replace('.', '/')}.py:{self.line}"


def find_mutants() -> list[Mutant]:
    """All of them, in an order that is always the same and mixes modules, so that any first part is a fair sample."""
    met: Counter[str] = Counter()
    found = []
    for mutant in chain(*(_find_in(path) for path in sorted(FOLDER.glob("*.py")) if path.stem not in DATA)):
        met[mutant.name] += 1
        found.append(replace(mutant, nth=met[mutant.name]))
    Random(7).shuffle(found)
    return found


def _find_in(path: Path) -> Iterator[Mutant]:
    module = f"controller.decide.{path.stem}"
    tree = ast.parse(path.read_text())
    for node, way, scope in _walk(tree, (), ""):
        for new, said in _change(node):
            line = node.target.lineno if isinstance(node, ast.comprehension) else getattr(node, "lineno", 0)
            yield Mutant(module, scope, way, new, said, line)


def _walk(node: ast.AST, way: tuple[Any, ...], scope: str) -> Iterator[tuple[ast.AST, tuple[Any, ...], str]]:
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "args", "bases", "keywords") and not isinstance(
            node, ast.Call
        ):
            continue
        for place, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            inside = scope
            if isinstance(child, ast.FunctionDef | ast.ClassDef) and not _is_function(tree_scope=scope):
                inside = f"{scope}.{child.name}" if scope else child.name
                if isinstance(child, ast.FunctionDef):
                    inside += "()"
            here = (*way, (name, place))
            yield child, here, inside
            yield from _walk(child, here, inside)


def _is_function(tree_scope: str) -> bool:
    return tree_scope.endswith("()")


def _change(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Wrong ones in place of a node, each with what it says."""
    yield from _change_value(node)
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand, f"{ast.unparse(node)} → {ast.unparse(operand)}"
        case ast.If(test=test) | ast.IfExp(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.comprehension(ifs=[_, *rest]):
            yield _with(node, ifs=[ast.Constant(True), *rest])
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass(), f"without {ast.unparse(node)}"


def _change_value(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in FLIPS:
            yield _with(node, ops=[FLIPS[type(op)]()])
        case ast.BinOp(op=op) if type(op) in FLIPS:
            yield _with(node, op=FLIPS[type(op)]())
        case ast.BoolOp(op=op):
            yield _with(node, op=FLIPS[type(op)]())
        case ast.Constant(value=bool() as value):
            yield _with(node, value=not value)
        case ast.Constant(value=int() | float() as number):
            yield _with(node, value=number + 1)
        case ast.Return(value=ast.AST() as value) if not isinstance(value, ast.Constant):
            yield _with(node, value=ast.Constant(None))


def _with(node: ast.AST, **changes: Any) -> tuple[ast.AST, str]:
    new = copy.copy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new, f"{_show(node)} → {_show(new)}"


def _show(node: ast.AST) -> str:
    return ast.unparse(node).split("\n")[0]


def put_in_place(mutant: Mutant) -> bool:
    """Change the interpreter that runs; False where nothing can be reached (a decorated function, a default)."""
    module = import_module(mutant.module)
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text())
    node: Any = tree
    for name, place in mutant.path[:-1]:
        node = getattr(node, name) if place is None else getattr(node, name)[place]
    name, place = mutant.path[-1]
    if place is None:
        setattr(node, name, mutant.new)
    else:
        getattr(node, name)[place] = mutant.new
    code = compile(ast.fix_missing_locations(tree), module.__file__, "exec")
    return (
        _replace_function(module, mutant.scope, code)
        if _is_function(mutant.scope)
        else _replace_constants(module, code)
    )


def _replace_function(module: ModuleType, scope: str, code: CodeType) -> bool:
    found: Any = module
    for name in scope.removesuffix("()").split("."):
        inner = [one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name]
        found = vars(found).get(name)
        if not inner or found is None:
            return False
        code = inner[-1]
    found = (
        getattr(found, "fget", None) or getattr(found, "__func__", None) or getattr(found, "__wrapped__", None) or found
    )
    found = getattr(found, "func", found)
    if not isinstance(found, FunctionType):
        return False
    found.__code__ = code
    return True


def _replace_constants(module: ModuleType, code: CodeType) -> bool:
    """Whatever a constant is now, in all modules that have imported it."""
    fresh = dict(vars(module))
    exec(code, fresh)
    changed = False
    for name, old in list(vars(module).items()):
        new = fresh.get(name)
        if name.isupper() and new != old:
            for other in list(sys.modules.values()):
                if getattr(other, "__dict__", {}).get(name) is old:
                    setattr(other, name, new)
            changed = True
    return changed
