"""Mutation samples: what is changed, which tests see it, and what the score counts."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from .mutate import __main__ as command
from .mutate import runs, table
from .mutate.changes import mutants
from .mutate.runs import Outcome

SOURCE = '''
"""A module."""

__all__ = ["Value"]
if TYPE_CHECKING:
    Size = int

@dataclass(frozen=True, slots=True)
class Value:
    """One."""

def limit(size: int, strict: bool = True) -> str:
    """Say it."""
    if size > 10 and strict:
        raise ValueError("too large")
    size += 1
    return "fine"

def none(size: int) -> str:
    return ""

def nothing() -> None:
    return None
'''


def test_every_kind_of_change_is_made_once() -> None:
    changed = {mutant.what.split(" => ")[1] for mutant in mutants(SOURCE)}
    assert changed == {
        "def limit(size: int, strict: bool=False) -> str:",
        "if size >= 10 and strict:",
        "if size > 11 and strict:",
        "if size > 10 or strict:",
        "if not (size > 10 and strict):",
        "pass",
        "size += 2",
        "return None",
        "return ''",
    }


def test_a_mutant_has_one_change_and_can_be_compiled() -> None:
    made = mutants(SOURCE)
    before = ast.unparse(ast.parse(SOURCE)).splitlines()
    assert len({mutant.source for mutant in made}) == len(made)
    for mutant in made:
        compile(mutant.source, "mutant", "exec")
        assert 12 <= mutant.line <= 20
        after = mutant.source.splitlines()
        assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


def test_a_mutant_shows_its_line_although_another_line_was_like_it() -> None:
    assert mutants(SOURCE)[-1].what == "return '' => return None"


def test_a_default_of_a_parameter_is_not_in_a_function() -> None:
    assert [mutant.what for mutant in mutants(SOURCE) if not mutant.in_function] == [
        "def limit(size: int, strict: bool=True) -> str: => def limit(size: int, strict: bool=False) -> str:"
    ]


def test_a_seed_draws_the_same_sample_again() -> None:
    assert mutants(SOURCE, 4, 1) == mutants(SOURCE, 4, 1)
    assert mutants(SOURCE, 4, 1) != mutants(SOURCE, 4, 2)
    assert set(mutants(SOURCE, 4, 1)) < set(mutants(SOURCE))
    assert len(mutants(SOURCE, 4, 1)) == 4


MODULES = [module for package in table.WANTED for module in table.modules_of(Path(package))]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_each_module_has_tests_that_meet_its_mutants_first(module: Path) -> None:
    # A module without a test file of its own meets the wider tests only.
    stages = table.stages_of(module)
    assert stages
    assert all((table.ROOT / one).exists() for stage in stages for one in stage if not one.startswith("-"))


def test_each_row_of_the_table_is_about_a_module_or_a_package() -> None:
    assert {*table.NARROW} <= {*map(str, MODULES), *table.WANTED}


@pytest.mark.parametrize("module", table.equivalents())
def test_each_listed_mutant_is_a_change_of_a_module_and_has_a_reason(module: str) -> None:
    assert (table.ROOT / module).is_file()
    for change, reason in table.equivalents()[module].items():
        before, arrow, after = change.partition(" => ")
        assert before and arrow and after
        assert reason.endswith("."), change


def test_the_score_does_not_count_listed_mutants() -> None:
    counts = Counter({Outcome.KILLED: 9, Outcome.SURVIVED: 1, Outcome.EQUIVALENT: 10})
    assert command.score(counts) == 90
    assert command.score(Counter({Outcome.EQUIVALENT: 1})) == 100


class Project:
    """A small project with one module and its tests, in which the command runs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.write("made/__init__.py", "")
        self.write("equivalents.txt", "")
        monkeypatch.setattr(table, "ROOT", root)
        monkeypatch.setattr(command, "ROOT", root)
        monkeypatch.setattr(table, "EQUIVALENTS", root / "equivalents.txt")
        monkeypatch.setattr(table, "WANTED", {"made": 100})
        monkeypatch.setattr(command, "WANTED", {"made": 100})
        monkeypatch.setattr(table, "NARROW", {"made": "test_{name}.py"})
        monkeypatch.setattr(table, "WIDE", {"made": ("test_wide.py",)})
        monkeypatch.setattr(runs, "AT_LEAST", 1.0)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def test(self, assertion: str, name: str = "it") -> None:
        self.write(f"tests/test_{name}.py", f"from made import it\ndef test():\n    {assertion}\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


MADE = """
def double(x):
    return x + x

def table():
    return [2]

(TWO,) = table()

def count():
    x = 0
    while x < 3:
        x += 1
"""

EQUIVALENTS = """
# A comment.
made/it.py
    x = 0 => x = 1
        One step less.
    x += 1 => x += 2
        Larger
        steps.
    x += 1 => pass
        Not true.
    return 1 => return 2
        The line is gone.
"""


def test_survivors_are_printed_and_listed_mutants_are_not_among_them(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("made/it.py", MADE)
    project.write("equivalents.txt", EQUIVALENTS)
    project.test("it.double('')\n    assert it.TWO == 2\n    it.count()")
    project.test("assert it.double(2) == 4", "wide")
    assert table.equivalents()["made/it.py"]["x += 1 => x += 2"] == "Larger steps."
    # Noticed: that of double() by the wide test, those of table() since the module is imported anew, and the
    # loop that does not end although it is listed.
    survivors = [
        "  12: while x < 3: => while not x < 3:",
        "  12: while x < 3: => while x < 4:",
        "  12: while x < 3: => while x <= 3:",
    ]
    assert command.main(["made", "--seed", "1"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "made/it.py: 6 killed, 2 equivalent, 3 survived of 11",
        *survivors,
        "  listed, but the line has changed: return 1 => return 2",
        "seed 1, 40 a module",
        "made: 66.7 % (6 killed, 2 equivalent, 3 survived of 11), wanted 100 %",
    ]


def test_the_survivors_of_an_earlier_run_are_run_again(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("made/it.py", MADE)
    project.test("assert it.double(2) == 4")
    project.write(
        "log", "made/it.py: 1 killed, 2 survived of 3\n  2: return x + x => return x - x\nmade: 0.0 %\n"
    )
    assert command.main(["made", "--again", str(project.root / "log"), "--stages", "1"]) == 0
    assert "made: 100.0 % (1 killed of 1)" in capsys.readouterr().out


@pytest.mark.parametrize("test", ["def test(): assert False\n", "import nothing\n"])
def test_tests_that_fail_anyway_stop_the_command(
    test: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.write("made/it.py", "def one():\n    return 1\n")
    project.write("tests/test_it.py", test)
    assert command.main(["made"]) == 2
    assert "tests/test_it.py" in capsys.readouterr().err
