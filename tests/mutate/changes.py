"""The mutants of a module: small changes of its syntax tree, one in each.

A comparison is turned round, ``and`` becomes ``or``, a number is off by one, a constant is emptied, a
condition is negated, a value is not returned, a statement is left out. Docstrings, annotations and the texts
of exceptions stay.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator
from functools import partial
from operator import setitem
from typing import NamedTuple

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip


class Mutant(NamedTuple):
    """A module with one change.

    Attributes:
        line: Where.
        what: The change, for people: the line before and after it, as ``ast.unparse()`` writes them.
        source: The whole module.
        in_function: Whether the change is within the body of a function, and so can be made after the import.
    """

    line: int
    what: str
    source: str
    in_function: bool


class _Site(NamedTuple):
    """A place where a change can be made, and how it is made and undone."""

    node: ast.AST
    change: Callable[[], None]
    undo: Callable[[], None]


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    """The changes that can be made to a node itself, in place."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
            yield lambda: setattr(node, "ops", [_COMPARED[type(operator)]()])
        case ast.BoolOp():
            yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.BinOp() if type(node.op) in _CALCULATED:
            yield lambda: setattr(node, "op", _CALCULATED[type(node.op)]())
        case ast.Constant(value=bool(value)):
            yield lambda: setattr(node, "value", not value)
        case ast.Constant(value=int(number)):
            yield lambda: setattr(node, "value", number + 1)
        case ast.Constant(value=str(value)) if value:
            yield lambda: setattr(node, "value", "")
        case ast.Constant(value=bytes(value)) if value:
            yield lambda: setattr(node, "value", b"")
        case ast.If() | ast.While() | ast.IfExp():
            yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) not in ("None", "False"):
            yield lambda: setattr(node, "value", ast.Constant(None))


def _is_for_types(node: ast.AST) -> bool:
    """Whether this never runs: it is for type checkers."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_untold(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a node is not code that a test could notice.

    That is a docstring, an annotation, the type of a cast, the text of an exception, the list of names for
    ``import *``, which ruff and tests/test_public_names.py check, or a class decorator: slots and frozen of a
    dataclass change nothing that a caller sees who uses it as its documentation says.
    """
    if isinstance(parent, ast.ClassDef) and node in parent.decorator_list:
        return True
    if isinstance(parent, ast.Expr) and isinstance(node, ast.Constant):
        return True
    if isinstance(parent, ast.Raise) or _is_for_types(node):
        return True
    if isinstance(parent, ast.Assert) and node is parent.msg:
        return True
    if isinstance(parent, ast.Subscript) and ast.unparse(parent.value) == "Literal":
        return True
    if (
        isinstance(parent, ast.Call)
        and ast.unparse(parent.func) in ("cast", "TypeVar")
        and node is parent.args[0]
    ):
        return True
    if isinstance(parent, ast.Assign) and ast.unparse(parent.targets[0]) == "__all__":
        return True
    return node in (getattr(parent, "annotation", None), getattr(parent, "returns", None))


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes that do something, in order."""
    for child in ast.iter_child_nodes(tree):
        if not _is_untold(tree, child) and not isinstance(child, ast.JoinedStr):
            yield child
            yield from _code(child)


def _omissions(tree: ast.AST) -> Iterator[tuple[list[ast.stmt], int]]:
    """The statements that can be left out, as their block and place."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef) or _is_for_types(node):
            continue
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(block, list):
                continue
            for place, statement in enumerate(block):
                docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                if isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise) and not docstring:
                    yield block, place


def _difference(before: str, after: str) -> str:
    """The lines in which two sources differ, as they were and as they are."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    return " => ".join(" / ".join(map(str.strip, lines[same:])) for lines in (old, new))


def _sites(tree: ast.Module) -> Iterator[_Site]:
    """All places where a change can be made."""
    for node in _code(tree):
        kept = copy.copy(node.__dict__)

        def undo(node: ast.AST = node, kept: dict[str, object] = kept) -> None:
            node.__dict__.clear()
            node.__dict__.update(kept)

        for change in _changes(node):
            yield _Site(node, change, undo)
    for block, place in _omissions(tree):
        statement = block[place]
        omitted = ast.copy_location(ast.Pass(), statement)
        yield _Site(
            statement, partial(setitem, block, place, omitted), partial(setitem, block, place, statement)
        )


def _in_functions(tree: ast.Module) -> set[ast.AST]:
    """The nodes within the bodies of functions. Defaults and decorators are not: they run at the import."""
    return {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in function.body
        for node in ast.walk(statement)
    }


def mutants(source: str, sample: int | None = None, seed: int = 0) -> list[Mutant]:
    """The mutants of a module, in the order of its lines.

    Args:
        source: The module.
        sample: How many, drawn at random; None for all.
        seed: Of the sample.
    """
    tree = ast.parse(source)
    before = ast.unparse(tree)
    functions = _in_functions(tree)
    sites = list(_sites(tree))
    if sample is not None:
        sites = random.Random(seed).sample(sites, min(sample, len(sites)))
    made = []
    for site in sites:
        site.change()
        after = ast.unparse(ast.fix_missing_locations(tree))
        site.undo()
        made.append(
            Mutant(getattr(site.node, "lineno", 0), _difference(before, after), after, site.node in functions)
        )
    return sorted(made, key=lambda one: (one.line, one.what))
