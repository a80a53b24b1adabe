"""The mutation sample: what is changed, and that a change no test notices is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import mutate

SOURCE = '''
"""A module."""

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
'''


def test_every_kind_of_change_is_made_once() -> None:
    changes = {mutant.what.split(" => ")[1] for mutant in mutate.mutants(SOURCE)}
    assert changes == {
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
    made = mutate.mutants(SOURCE)
    assert len({mutant.source for mutant in made}) == len(made)
    for mutant in made:
        compile(mutant.source, "mutant", "exec")
        assert 8 <= mutant.line <= 16


def test_a_mutant_shows_its_line_although_another_line_was_like_it() -> None:
    assert mutate.mutants(SOURCE)[-1].what == "return '' => return None"


def test_a_module_is_tested_by_the_tests_of_its_name_first() -> None:
    first, quick, last = mutate.chosen_tests(Path("smtpcore/_core/state.py"))
    assert first[0] == "tests/core/test_state.py"
    assert quick == list(mutate.QUICK)
    assert not {*first, *quick} & {*last}


@pytest.mark.parametrize("noticed", [True, False])
def test_a_change_that_no_test_notices_is_printed(
    noticed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "it.py").write_text("def double(x):\n    return x + x\n", encoding="utf-8")
    test = "assert double(2) == 4" if noticed else "double(2)"
    (tmp_path / "test_it.py").write_text(f"from it import double\ndef test(): {test}\n", encoding="utf-8")
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    assert mutate.main(["it.py", "--seed", "1", "--tests", "test_it.py"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"it.py: {2 if noticed else 0} of 2 mutants noticed, seed 1"
    assert lines[:-1] == (
        [] if noticed else ["it.py:2: return x + x => return None", "it.py:2: return x + x => return x - x"]
    )


def test_tests_that_fail_anyway_stop_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "it.py").write_text("ONE = 1\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test(): assert False\n", encoding="utf-8")
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    assert mutate.main(["it.py", "--tests", "test_it.py"]) == 2
    assert "fail as it is" in capsys.readouterr().err
