"""The gate that counts instructions: it counts all of them, it is repeatable, and it finds a loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import instructions

ROOT = Path(__file__).resolve().parents[2]
MODULE = [sys.executable, "-m", "tests.bench.instructions"]


def run(*arguments: str, hash_seed: str = "1") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [*MODULE, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def counted() -> dict[str, int]:
    result: dict[str, int] = json.loads(run("--json").stdout)
    return result


def test_each_workload_is_counted_and_a_second_run_counts_the_same(counted: dict[str, int]) -> None:
    assert list(counted) == list(instructions.workloads())
    assert all(number > 1000 for number in counted.values())
    assert json.loads(run("--json", hash_seed="2").stdout) == counted


def test_instructions_of_inner_calls_are_counted_and_grow_with_the_work() -> None:
    program = """if True:
        from tests.bench.instructions import count
        def step(number):
            return number + 1
        def work(times):
            for number in range(times):
                step(number)
        once, twice, thrice = (count(lambda: work(times)) for times in (100, 200, 300))
        assert thrice - twice == twice - once, (once, twice, thrice)
        assert (twice - once) % 100 == 0 and twice - once > 500, twice - once
    """
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True)


def test_more_than_five_percent_is_an_offence() -> None:
    baseline = {"a": 1000, "b": 1000}
    assert instructions.compare({"a": 1050, "b": 10}, baseline) == []
    (offence,) = instructions.compare({"a": 1051, "b": 1000}, baseline)
    assert offence.startswith("a: 1,051 instructions, 5.1% more than 1,000")


def test_a_workload_on_one_side_only_is_an_offence() -> None:
    offences = instructions.compare({"a": 1}, {"b": 1})
    assert offences == ["a: not in the baseline", "b: in the baseline, but not counted"]


def main_with(
    monkeypatch: pytest.MonkeyPatch, folder: Path, number: int, *arguments: str
) -> tuple[int, dict[str, int] | None]:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setattr(instructions, "BASELINES", folder)
    monkeypatch.setattr(instructions, "workloads", lambda: {"a": len})
    monkeypatch.setattr(instructions, "count", lambda work: number)
    status = instructions.main(list(arguments))
    path = instructions.baseline_path()
    return status, json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def test_the_command_fails_at_a_loss_until_the_baseline_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_with(monkeypatch, tmp_path, 1000) == (0, None)
    assert "no baseline" in capsys.readouterr().out
    assert main_with(monkeypatch, tmp_path, 1000, "--write") == (0, {"a": 1000})
    assert main_with(monkeypatch, tmp_path, 1050) == (0, {"a": 1000})
    assert capsys.readouterr().err == ""
    assert main_with(monkeypatch, tmp_path, 1051) == (1, {"a": 1000})
    assert "a: 1,051 instructions" in capsys.readouterr().err
    assert main_with(monkeypatch, tmp_path, 1051, "--write") == (0, {"a": 1051})
    assert main_with(monkeypatch, tmp_path, 1051) == (0, {"a": 1051})


def test_the_checks_run_the_gate() -> None:
    assert '"$bin/python" -m tests.bench.instructions' in (ROOT / ".ci" / "check").read_text(encoding="utf-8")
    assert 'bin/python" -m tests.bench.instructions' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
