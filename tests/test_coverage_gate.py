"""The coverage gate: what fails it, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from . import coverage_gate

STATE, ERRORS, SYNC = "smtpcore/_core/state.py", "smtpcore/_core/errors.py", "smtpcore/sync.py"


def report(**per_cent: float) -> dict[str, Any]:
    names = {"state": STATE, "errors": ERRORS, "sync": SYNC}
    return {
        "files": {
            names[name]: {
                "summary": {"percent_covered": value},
                "missing_lines": [] if value == 100 else [7],
                "missing_branches": [] if value == 100 else [[3, 7]],
            }
            for name, value in per_cent.items()
        }
    }


def test_a_module_without_an_exception_has_to_be_complete() -> None:
    assert coverage_gate.failures(report(state=100.0, errors=90.0), {ERRORS: 90.0}) == []
    assert coverage_gate.failures(report(state=99.9), {}) == [
        f"{STATE}: 99.9 % covered, 100 % required; not reached: 7, 3->7"
    ]


def test_an_exception_is_a_floor_and_belongs_to_a_module() -> None:
    (line,) = coverage_gate.failures(report(errors=89.9), {ERRORS: 90.0})
    assert line.startswith(f"{ERRORS}: 89.9 % covered, 90 % required")
    assert coverage_gate.failures(report(state=100.0), {ERRORS: 90.0}) == [f"{ERRORS} was not measured"]


def test_adapters_are_no_matter_of_the_gate() -> None:
    assert coverage_gate.failures(report(sync=10.0), {}) == []


def test_every_exception_names_a_module_that_exists() -> None:
    assert [name for name in coverage_gate.EXCEPTIONS if not (coverage_gate.ROOT / name).is_file()] == []


@pytest.mark.parametrize("reached, status", [(100.0, 0), (50.0, 1)])
def test_the_command_fails_below_the_floor(
    reached: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report(state=reached)), encoding="utf-8")
    monkeypatch.setattr(coverage_gate, "EXCEPTIONS", {})
    assert coverage_gate.main(["--report", str(path)]) == status
    assert capsys.readouterr().out.endswith(f"1 modules measured, {status} below their floor\n")


def test_tests_that_fail_are_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage_gate, "measure", lambda tests: None)
    assert coverage_gate.main([]) == 2
    assert "nothing is measured" in capsys.readouterr().err
