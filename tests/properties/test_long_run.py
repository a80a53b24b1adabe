"""``python -m tests.properties``: rounds until enough examples have passed, and the end at a failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from .__main__ import main

PROPERTY = "tests/properties/test_addresses.py::test_the_predicates_take_any_text"


def test_rounds_follow_until_enough_examples_have_passed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([PROPERTY, "--examples", "15", "--round", "10", "--jobs", "1", "--seed", "5"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("10 examples, ")
    assert second.startswith("20 examples, ")
    assert last == "passed, seeds 5 to 6"


def test_a_failure_ends_the_run_and_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text(
        "from hypothesis import given, strategies as st\n"
        "@given(st.integers())\n"
        "def test_no_number_is_a_number(number):\n"
        "    assert number is None\n"
    )
    assert main([PROPERTY, str(failing), "--examples", "1000", "--round", "10", "--jobs", "1"]) == 1
    output = capsys.readouterr().out
    assert "test_no_number_is_a_number(" in output
    assert "seed: " in output
