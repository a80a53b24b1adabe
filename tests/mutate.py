"""A mutation sample: change a module in one place after the other, and see which changes no test notices.

    python -m tests.mutate smtpcore/_core/state.py --sample 40

Each mutant is one small change of the syntax tree: a comparison turned round, ``and`` for ``or``, a number off
by one, a constant emptied, a condition negated, a statement left out. It is written into a copy of the project.
There the tests of that module run until one fails; if none does, the dialogs; and then the tests that import
the module, with the properties and EXAMPLES examples of each. A mutant that passes all of them is printed, with
its line before and after: it is equivalent, or a test is missing. ``--quick`` leaves the last of the three out,
since a survivor costs a minute there; its survivors are candidates.

The sample is drawn from ``--seed``, by default a new one, which is printed. One test run happens at a time, so
that others can use the machine meanwhile. Starting pytest takes longer than most mutants live, so one process
imports it, with what the tests need, and forks for each run; and the copy keeps its compiled files.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).resolve().parent.parent
TESTS = Path("tests")
# What takes everything into account, and so is run for every module.
QUICK = ("tests/core/test_dialogs.py",)
BROAD = (
    "tests/net/test_client.py",
    "tests/net/test_client_connect.py",
    "tests/net/test_client_content.py",
    "tests/net/test_client_early.py",
    "tests/net/test_client_errors.py",
    "tests/net/test_client_time.py",
    "tests/properties",
)
EXAMPLES = 50  # of each property
SECONDS = 300  # for tests without a change
SLOWER = 5  # times as long as that, and the mutant is in an endless loop, which counts as noticed

# Runs in a process of its own: each line of its input is a folder and the arguments of pytest. It writes the
# exit status of each.
RUNNER = """
import os, sys, json
import asyncio, ssl, hypothesis.strategies, pytest, trio
for line in sys.stdin:
    folder, arguments = json.loads(line)
    child = os.fork()
    if not child:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.chdir(folder)
        sys.path.insert(0, folder)
        os._exit(pytest.main(arguments))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

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
        what: The change, for people.
        source: The whole module.
    """

    line: int
    what: str
    source: str


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
        case ast.Constant(value=int(value)):
            yield lambda: setattr(node, "value", value + 1)
        case ast.Constant(value=str(value)) if value:
            yield lambda: setattr(node, "value", "")
        case ast.Constant(value=bytes(value)) if value:
            yield lambda: setattr(node, "value", b"")
        case ast.If() | ast.While() | ast.IfExp():
            yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
        case ast.Return(value=ast.expr()):
            yield lambda: setattr(node, "value", ast.Constant(None))


def _is_untold(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a node is not code that a test could notice.

    That is a docstring, an annotation, the text of an exception, or a class decorator: slots and frozen of a
    dataclass change nothing that a caller sees who uses it as its documentation says.
    """
    if isinstance(parent, ast.ClassDef) and node in parent.decorator_list:
        return True
    if isinstance(parent, ast.Expr) and isinstance(node, ast.Constant):
        return True
    if isinstance(parent, ast.Raise):
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
        body = getattr(node, "body", None)
        for block in (body, getattr(node, "orelse", None)):
            if isinstance(block, list) and not isinstance(node, ast.Module | ast.ClassDef):
                for place, statement in enumerate(block):
                    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                    if (
                        isinstance(statement, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise)
                        and not docstring
                    ):
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


def mutants(source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(source)
    made: list[Mutant] = []

    def note(line: int, before: str) -> None:
        after = ast.unparse(ast.fix_missing_locations(tree))
        made.append(Mutant(line, _difference(before, after), after))

    before = ast.unparse(tree)
    for node in list(_code(tree)):
        kept = copy.copy(node.__dict__)
        for change in _changes(node):
            change()
            note(getattr(node, "lineno", 0), before)
            node.__dict__.clear()
            node.__dict__.update(kept)
    for block, place in list(_omissions(tree)):
        statement = block[place]
        block[place] = ast.copy_location(ast.Pass(), statement)
        note(statement.lineno, before)
        block[place] = statement
    return sorted((one for one in made if one.source != before), key=lambda one: (one.line, one.what))


def chosen_tests(module: Path) -> list[list[str]]:
    """The test files for a module in stages: those of its name, the quick ones, those that import it."""
    name = module.stem
    folder = module.parent.name.strip("_")
    paths = sorted((ROOT / TESTS).rglob("test_*.py"))
    named = [path for path in paths if name in path.stem and path.parent.name in (folder, TESTS.name)]
    pattern = re.compile(rf"\bsmtpcore(\.\w+)*(\.{name} import| import {name}\b)")
    importing = [path for path in paths if pattern.search(path.read_text(encoding="utf-8"))]
    first = [str(path.relative_to(ROOT)) for path in named]
    last = [str(path.relative_to(ROOT)) for path in importing]
    last = [one for one in last if not one.startswith(BROAD)]
    rest = [one for one in dict.fromkeys([*last, *BROAD]) if one not in (*first, *QUICK)]
    return [stage for stage in (first, list(QUICK), rest) if stage]


class Runner:
    """Runs tests in copies of the project, each time in a new process.

    Args:
        root: The copy.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        environment = {**os.environ, "PYTHONPATH": str(root), "SMTPCORE_EXAMPLES": str(EXAMPLES)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def fails(self, tests: Sequence[str], seconds: float = SECONDS) -> bool:
        """Whether the tests fail, or do not end in so many seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Hypothesis is imported before pytest can look at its assertions, which does not matter here.
        unwanted = ["-Wignore::pytest.PytestAssertRewriteWarning", "-pno:cacheprovider", "-pno:xdist"]
        arguments = ["-qx", *unwanted, *tests]
        self._process.stdin.write(json.dumps([str(self._root), arguments]) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        watch = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
        watch.start()
        try:
            return int(self._process.stdout.readline()) != 0
        finally:
            watch.cancel()


def _write(path: Path, source: str) -> None:
    """Write a module. What was compiled of it goes: Python compares only seconds and sizes."""
    path.write_text(source, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the mutants that survive; the exit status is 0, or 2 if the tests fail without a change."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description="A mutation sample.")
    parser.add_argument("module", type=Path, help="such as smtpcore/_core/state.py")
    parser.add_argument("--sample", type=int, default=40, help="how many mutants")
    parser.add_argument("--seed", type=int, help="of the sample; by default a new one is drawn")
    parser.add_argument("--tests", nargs="+", help="in place of those that are about the module")
    parser.add_argument("--quick", action="store_true", help="run only the tests of its name, and the dialogs")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    source = (ROOT / options.module).read_text(encoding="utf-8")
    made = mutants(source)
    sample = random.Random(seed).sample(made, min(options.sample, len(made)))
    stages = [options.tests] if options.tests else chosen_tests(options.module)
    if options.quick and len(stages) > 1:
        stages.pop()
    seconds: dict[int, float] = {}  # that each stage takes without a change, in which it has to pass
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder, "copy")
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        with Runner(copied) as runner:
            for mutant in sorted(sample, key=lambda one: (one.line, one.what)):
                for number, tests in enumerate(stages):
                    if number not in seconds:
                        _write(copied / options.module, source)
                        begin = time.monotonic()
                        if runner.fails(tests):
                            print(f"{' '.join(tests)} fail as it is", file=sys.stderr)
                            return 2
                        seconds[number] = time.monotonic() - begin
                    _write(copied / options.module, mutant.source)
                    if runner.fails(tests, max(SLOWER * seconds[number], 10)):
                        break
                else:
                    survivors += 1
                    print(f"{options.module}:{mutant.line}: {mutant.what}", flush=True)
    print(f"{options.module}: {len(sample) - survivors} of {len(sample)} mutants noticed, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
