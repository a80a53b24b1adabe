"""The catalogue of requirements, and the command that tells which of them are proven."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from .requirements import RESULT_VARIABLE, ROOT, Catalogue, CatalogueError, Report, main, read_result

SMALL = """\
# Requirements

## AAA: first area

| id | RFC | level | role | requirement |
|---|---|---|---|---|
| AAA-01 | 5321 1 | MUST | both | one |
| AAA-02 | 5321 2 | SHOULD | client | two |
| AAA-03 | 5321 3 | MUST | server | three |
| AAA-04 | 5321 4 | MAY | server | four |

## BBB: second area

| id | RFC | level | role | requirement |
|---|---|---|---|---|
| BBB-01 | 5321 5 | MUST | both | five |
| BBB-02 | 5321 6 | MUST | both | six |

## Out of scope

| id | reason |
|---|---|
| BBB-02 | nobody needs it |
"""

CONFTEST = """\
from pathlib import Path
from tests.requirements import Recorder

def pytest_configure(config):
    Recorder.register(config, Path(__file__).with_name("catalogue.md"))
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run a suite of one file against the small catalogue, in a process of its own."""

    def run(tests: str, *arguments: str, cache: bool = False) -> subprocess.CompletedProcess[str]:
        (tmp_path / "catalogue.md").write_text(SMALL)
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_it.py").write_text("import pytest\nreq = pytest.mark.req\n" + tests)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = req(*ids): proves\n")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment.pop("PYTEST_ADDOPTS", None)
        environment.pop(RESULT_VARIABLE, None)
        if not cache:
            environment[RESULT_VARIABLE] = str(tmp_path / "result.json")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def report_of(tmp_path: Path) -> Report:
    result = read_result(tmp_path / "result.json")
    assert result is not None
    return Report(Catalogue(SMALL), result)


# -- the catalogue --


def test_the_catalogue_of_the_project_is_whole() -> None:
    catalogue = Catalogue.load()
    assert len(catalogue.requirements) == 834
    assert Counter(one.level for one in catalogue.requirements.values()) == {
        "MUST": 605,
        "SHOULD": 181,
        "MAY": 48,
    }
    assert Counter(one.role for one in catalogue.requirements.values()) == {
        "server": 472,
        "client": 239,
        "both": 123,
    }
    for area in catalogue.areas:
        numbers = [int(id[4:]) for id in catalogue.requirements if id.startswith(area)]
        assert numbers == list(range(1, len(numbers) + 1)), f"{area} has a gap, or is out of order"


def test_every_requirement_is_told_apart_from_the_others_of_its_area() -> None:
    texts = Counter((one.area, one.text) for one in Catalogue.load().requirements.values())
    assert [text for text, count in texts.items() if count > 1] == []


def test_a_catalogue_is_read() -> None:
    catalogue = Catalogue(SMALL)
    assert catalogue.areas == {"AAA": "first area", "BBB": "second area"}
    assert list(catalogue.requirements) == ["AAA-01", "AAA-02", "AAA-03", "AAA-04", "BBB-01", "BBB-02"]
    assert catalogue.requirements["AAA-02"] == ("AAA-02", "5321 2", "SHOULD", "client", "two")
    assert catalogue.requirements["AAA-02"].area == "AAA"
    assert catalogue.out_of_scope == {"BBB-02": "nobody needs it"}


@pytest.mark.parametrize(
    "line, problem",
    [
        ("| AAA-01 | 5321 1 | MUST | both | again |", "twice"),
        ("| AAA-05 | 5321 1 | MUST | both | lost |", "heading"),
        ("| CCC-01 | 5321 1 | MUST | both | lost |", "heading"),
        ("| BBB-03 | 5321 1 | OUGHT | both | text |", "level"),
        ("| BBB-03 | 5321 1 | MUST | peer | text |", "role"),
        ("| BBB-03 | 5321 1 | MUST | text |", "cells"),
        ("| BBB-03 | 5321 1 | MUST | both | a | b |", "cells"),
        ("| BBB-03 | 5321 1 | MUST | both | |", "empty"),
        ("| BBB-03 | |", "empty"),
        ("| BBB-9 | 5321 1 | MUST | both | text |", "no row"),
        ("| BBB-03 | no requirement of that id |", "no requirement"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(line: str, problem: str) -> None:
    with pytest.raises(CatalogueError, match=f"line 24: .*{problem}"):
        Catalogue(SMALL + line + "\n")


# -- the marks --


def test_an_id_is_proven_by_a_test_that_passed_and_by_nothing_else(run, tmp_path: Path) -> None:
    done = run("""
@req("AAA-01", "AAA-02")
def test_passes(): pass

@req("AAA-02")
def test_fails(): assert False

@req("AAA-03")
def test_is_skipped(): pytest.skip("no peer")

@req("AAA-04")
def test_passes_beside_a_skipped_one(): pass

@req("AAA-04")
def test_is_skipped_beside(): pytest.skip("no peer")

def test_without_a_mark(): pass
""")
    assert done.returncode == 1
    report = report_of(tmp_path)
    assert report.proven == {"AAA-01", "AAA-04"}
    assert report.spoilt == {
        "AAA-02": ["test_it.py::test_fails failed"],
        "AAA-03": ["test_it.py::test_is_skipped skipped"],
    }
    assert len(report.result["tests"]) == 5


def test_the_result_is_the_same_in_several_processes(run, tmp_path: Path) -> None:
    tests = """
@req("AAA-01")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_passes(n): pass

@req("AAA-02")
def test_fails(): assert False

@req("AAA-03")
def test_is_deselected(): pass
"""
    run(tests, "-k", "not deselected")
    alone = read_result(tmp_path / "result.json")
    run(tests, "-k", "not deselected", "-p", "xdist", "-n", "2")
    several = read_result(tmp_path / "result.json")
    assert several["tests"] == alone["tests"]
    assert len(alone["tests"]) == 5


def test_all_cases_of_a_parametrised_test_have_to_pass(run, tmp_path: Path) -> None:
    run("""
@req("AAA-01")
@pytest.mark.parametrize("n", [1, 2])
def test_all_pass(n): pass

@req("AAA-02")
@pytest.mark.parametrize("n", [1, 2])
def test_one_is_skipped(n):
    if n == 2: pytest.skip()

@req("AAA-03")
@pytest.mark.parametrize("n", [1, 2])
def test_one_fails(n): assert n == 1

@pytest.mark.parametrize("n", [
    pytest.param(1, marks=req("AAA-04")),
    pytest.param(2, marks=[req("BBB-01"), pytest.mark.skip]),
])
def test_with_an_id_for_each_case(n): pass
""")
    assert report_of(tmp_path).proven == {"AAA-01", "AAA-04"}


def test_every_phase_of_a_test_counts_and_so_does_an_expected_failure(run, tmp_path: Path) -> None:
    run("""
@pytest.fixture
def bad_setup(): assert False

@pytest.fixture
def bad_teardown():
    yield
    assert False

@pytest.fixture
def skipping_teardown():
    yield
    pytest.skip()

@req("AAA-01")
def test_setup(bad_setup): pass

@req("AAA-02")
def test_teardown(bad_teardown): pass

@req("AAA-03")
@pytest.mark.xfail
def test_fails_as_expected(): assert False

@req("AAA-04")
@pytest.mark.xfail
def test_passes_unexpectedly(): pass

@req("BBB-01")
def test_skips_late(skipping_teardown): pass
""")
    report = report_of(tmp_path)
    assert report.proven == set()
    assert {id: cases[0].split()[1] for id, cases in report.spoilt.items()} == {
        "AAA-01": "failed",
        "AAA-02": "failed",
        "AAA-03": "failed",
        "AAA-04": "skipped",
        "BBB-01": "skipped",
    }


def test_marks_on_classes_and_modules_count_for_their_tests(run, tmp_path: Path) -> None:
    run("""
pytestmark = req("AAA-01")

@req("AAA-02")
class TestIt:
    @req("AAA-03")
    def test_it(self): pass
""")
    assert report_of(tmp_path).proven == {"AAA-01", "AAA-02", "AAA-03"}


def test_what_was_deselected_or_cut_off_proves_nothing(run, tmp_path: Path) -> None:
    tests = """
@req("AAA-01")
@pytest.mark.parametrize("n", ["keep", "drop"])
def test_cases(n): pass

@req("AAA-02")
def test_keep_this(): pass

@req("AAA-03")
def test_drop_this(): pass
"""
    run(tests, "-k", "keep")
    report = report_of(tmp_path)
    assert report.proven == {"AAA-02"}
    assert report.spoilt["AAA-01"] == ["test_it.py::test_cases[drop] not run"]

    run("@req('AAA-01')\ndef test_a(): assert False\n@req('AAA-02')\ndef test_b(): pass", "-x")
    assert report_of(tmp_path).spoilt["AAA-02"] == ["test_it.py::test_b not run"]


def test_wrong_marks_stop_the_run_at_collection(run, tmp_path: Path) -> None:
    marks = {
        "req('AAA-99')": "'AAA-99' is not in the catalogue of requirements",
        "req('aaa-01')": "'aaa-01' is not in the catalogue of requirements",
        "req(1)": "1 is not in the catalogue of requirements",
        "req('AAA-01', 'BBB-02')": "BBB-02 is out of scope",
        "req()": "req() takes one or more requirement ids",
        "req(id='AAA-01')": "req() takes one or more requirement ids",
    }
    tests = [f"@{mark}\ndef test_{number}(): pass" for number, mark in enumerate(marks)]
    done = run("\n".join([*tests, "def test_other(): print('it ran')"]), "-s")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    for number, problem in enumerate(marks.values()):
        assert f"test_it.py::test_{number}: {problem}\n" in done.stderr
    assert "it ran" not in done.stdout


def test_the_result_goes_to_the_cache_and_nowhere_without_one(run, tmp_path: Path) -> None:
    test = "@req('AAA-01')\ndef test_it(): pass"
    run(test, "-p", "no:cacheprovider", cache=True)
    assert not (tmp_path / ".pytest_cache").exists()
    run(test, "--collect-only", cache=True)
    assert read_result(tmp_path / ".pytest_cache" / "requirements.json") is None
    run(test, "-v", cache=True)
    assert read_result(tmp_path / ".pytest_cache" / "requirements.json") == {
        "arguments": ["-q", "-v"],
        "exitstatus": 0,
        "tests": {"test_it.py::test_it": {"ids": ["AAA-01"], "outcome": "passed"}},
    }


# -- the command --


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Give the command a recorded result with these outcomes; its exit status and its lines."""

    def command(*arguments: str, exitstatus: int = 0, **outcomes: str) -> tuple[int, list[str]]:
        tests = {
            f"test_x.py::{id}": {"ids": [id.replace("_", "-")], "outcome": outcome}
            for id, outcome in outcomes.items()
        }
        catalogue, result = tmp_path / "small.md", tmp_path / "small.json"
        catalogue.write_text(SMALL)
        result.write_text(json.dumps({"arguments": [], "exitstatus": exitstatus, "tests": tests}))
        status = main(["--catalogue", str(catalogue), "--result", str(result), *arguments])
        return status, capsys.readouterr().out.splitlines()

    return command


def test_the_table_counts_by_area_and_in_all(command) -> None:
    outcomes = {"AAA_01": "passed", "AAA_02": "passed", "BBB_01": "failed"}
    gone = {"ZZZ_01": "passed", "BBB_02": "passed"}  # no requirements, or not in scope any more
    status, lines = command(**outcomes, **gone)
    assert status == 0
    assert [line.split() for line in lines] == [
        ["area", "subject", "MUST", "proven", "not", "yet", "out", "of", "scope"],
        ["AAA", "first", "area", "1/2", "2", "2", "0"],
        ["BBB", "second", "area", "0/2", "0", "1", "1"],
        ["all", "1/4", "2", "3", "1"],
        [],
        ["2", "of", "6", "requirements", "proven", "by", "5", "marked", "tests"],
    ]


def test_requirements_are_listed_with_what_stands_in_their_way(command) -> None:
    facts = {"AAA_01": "passed", "AAA_02": "failed"}
    listed = {
        state: [line.strip() for line in command("--list", state, **facts)[1]]
        for state in ("proven", "not-yet", "out-of-scope", "all")
    }
    assert listed["proven"][0] == "AAA-01 proven       MUST   both   one [5321 1]"
    assert listed["not-yet"][:2] == [
        "AAA-02 not-yet      SHOULD client two [5321 2]",
        "test_x.py::AAA_02 failed",
    ]
    assert listed["out-of-scope"][:2] == [
        "BBB-02 out-of-scope MUST   both   six [5321 6]",
        "out of scope: nobody needs it",
    ]
    ids = {state: [line[:6] for line in lines if line[3:4] == "-"] for state, lines in listed.items()}
    assert ids == {
        "proven": ["AAA-01"],
        "not-yet": ["AAA-02", "AAA-03", "AAA-04", "BBB-01"],
        "out-of-scope": ["BBB-02"],
        "all": list(Catalogue(SMALL).requirements),
    }
    _, lines = command("--list", "not-yet", "--area", "bbb", **facts)
    assert [line[:6] for line in lines if line[3:4] == "-"] == ["BBB-01"]


def test_too_few_proven_requirements_fail_the_command(command) -> None:
    facts = {"AAA_01": "passed", "AAA_02": "passed"}
    assert command("--require", "2", **facts)[0] == 0
    status, lines = command("--require", "3", **facts)
    assert status == 1
    assert lines[-1] == "FAILED: 3 proven requirements wanted"


def test_an_unproven_must_fails_the_command_where_all_are_wanted(command) -> None:
    facts = {"AAA_01": "passed", "BBB_01": "passed"}
    assert command("--require-must", "AAA", **facts, AAA_03="passed")[0] == 0
    status, lines = command("--require-must", "aaa,BBB", **facts)
    assert status == 1
    # BBB-02 is out of scope.
    assert lines[-1] == "FAILED: 1 MUSTs not proven: AAA-03"
    assert command("--require-must", "BBB", **facts)[0] == 0


def test_a_must_that_is_known_not_to_be_met_is_excepted_by_name(command) -> None:
    facts = {"AAA_01": "passed"}
    status, lines = command("--require-must", "AAA,BBB", "--except-must", "aaa-03,AAA-01", **facts)
    assert status == 1
    assert lines[-2:] == [
        "Proven by now, so no exception any more: AAA-01",
        "FAILED: 1 MUSTs not proven: BBB-01",
    ]
    assert command("--require-must", "AAA,BBB", "--except-must", "AAA-03,BBB-01", **facts)[0] == 0
    with pytest.raises(SystemExit, match="2"):
        command("--except-must", "AAA-99")


def test_an_unknown_area_is_refused(command) -> None:
    with pytest.raises(SystemExit, match="2"):
        command("--require-must", "AAA,XYZ")


def test_the_result_of_a_failed_run_is_said_to_be_one(command) -> None:
    status, lines = command(exitstatus=1, AAA_01="passed")
    assert status == 1
    assert "The run it comes from ended with exit status 1." in lines


def test_without_a_result_the_command_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--result", str(tmp_path / "nothing.json")]) == 2
    assert "run pytest first" in capsys.readouterr().err


def test_the_command_runs_the_tests_it_is_given() -> None:
    command = [sys.executable, "-m", "tests.requirements", "--", "--collect-only"]
    done = subprocess.run(
        [*command, __file__], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "test_the_command_runs_the_tests_it_is_given" in done.stdout
    assert done.returncode == 2  # a run that only collects leaves no result
