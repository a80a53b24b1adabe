"""The benchmarks work: they run, check their results, and become a page and diagrams. No time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import __main__ as bench
from . import draw, footprint, loopback, servers
from .measure import Aim, Row, cpu_of, interleave, number, spread

ROOT = Path(__file__).resolve().parents[2]


# --- The arithmetic ---------------------------------------------------------------------------------------


def test_every_round_runs_every_subject_once_and_begins_with_another_one() -> None:
    order: list[str] = []

    def subject(name: str) -> float:
        order.append(name)
        return float(len(order))

    subjects = {name: lambda name=name: subject(name) for name in "abc"}
    samples = interleave(subjects, 3)
    assert "".join(order) == "abcbcacab"
    assert samples == {"a": [1, 6, 8], "b": [2, 4, 9], "c": [3, 5, 7]}


def test_a_ratio_is_worked_out_within_a_round() -> None:
    samples = {"ours": [1.0, 20.0, 3.0], "theirs": [2.0, 10.0, 12.0]}
    assert Aim("ours", "theirs", 2, "speed").of(samples) == [2, 0.5, 4]
    assert Aim("ours", "theirs", 2, "cost").of(samples) == [0.5, 2, 0.25]
    assert Aim("ours", "", 2, "value").of(samples) == [1, 20, 3]
    assert spread([3, 1, 2]) == {"median": 2, "low": 1, "high": 3}


@pytest.mark.parametrize(
    "aim, reached",
    [
        (Aim("a", "b", 2, "speed"), True),
        (Aim("a", "b", 2.1, "speed"), False),
        (Aim("a", "b", 0.5, "cost"), True),
        (Aim("a", "b", 0.4, "cost"), False),
        (Aim("a", "", 5, "value"), True),
        (Aim("a", "", 4, "value"), False),
    ],
)
def test_an_aim_is_reached_or_not(aim: Aim, reached: bool) -> None:
    row = Row("key", "title", "us", [aim], {"a": [5.0], "b": [10.0]}).as_json()
    assert [ratio["reached"] for ratio in row["ratios"]] == [reached]


def test_an_aim_whose_peer_was_not_measured_is_left_out() -> None:
    aims = [Aim("a", "missing", 2, "speed"), Aim("missing", "", 2, "value")]
    assert Row("key", "title", "us", aims, {"a": [5.0]}).as_json()["ratios"] == []


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0.12345, 9.876, 99.94, 123.4, 12345.6)] == [
        "0.123",
        "9.88",
        "99.9",
        "123",
        "12,346",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux numbers the clocks of processes like this")
def test_the_cpu_time_of_another_process_is_read() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(sum(range(10**6)), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = cpu_of(process.pid)
        second = cpu_of(process.pid)
        process.kill()
    assert 0 < first <= second


# --- A run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of a run that is as small as it can be, in a process of its own."""
    path = tmp_path_factory.mktemp("bench") / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--json", str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


@pytest.mark.skipif(sys.platform != "linux", reason="the CPU time of servers is read as Linux gives it")
def test_a_quick_run_measures_every_row_that_its_peers_allow(results: dict[str, Any]) -> None:
    keys = {row["key"] for row in results["rows"]}
    assert {"core-pipelined", "core-client-1-kib", "memory", "import"} <= keys
    if servers.postfix_program("smtp-source") is None or servers.postfix_program("smtp-sink") is None:
        assert any("postfix" in line for line in results["missing"])
        return
    assert {row.key for row, _ in loopback.rows(1)} | {
        "server-maildir",
        "client-1-kib",
        "client-10-mib",
    } <= keys
    assert [curve["key"] for curve in results["curves"]] == ["size", "recipients", "connections"]
    for row in results["rows"]:
        assert all(found["low"] <= found["median"] <= found["high"] for found in row["subjects"].values())


def test_a_peer_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    monkeypatch.setattr(servers.shutil, "which", lambda *arguments, **options: None)
    assert bench.main(["servers", "clients", "curves", "--quick", "--json", str(path)]) == 0
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert figures["rows"] == figures["curves"] == []
    assert len(figures["missing"]) == 2 and all(
        "apt-get install postfix" in line for line in figures["missing"]
    )


def test_an_invalid_part_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["memorry"])
    assert "invalid part: 'memorry'" in capsys.readouterr().err


def test_the_import_is_seen_as_it_is() -> None:
    modules = footprint.imported()
    assert "smtpcore" in modules and "smtpcore._core.server" in modules


# --- The page ---------------------------------------------------------------------------------------------


def test_the_page_has_the_figures_that_were_measured_last() -> None:
    written = draw.PAGE.read_text(encoding="utf-8")
    figures = json.loads(draw.FIGURES.read_text(encoding="utf-8"))
    assert written == draw.page(written, figures), "run python -m tests.bench.draw --page-only"


def test_the_page_shows_every_diagram_that_is_there() -> None:
    written = draw.PAGE.read_text(encoding="utf-8")
    diagrams = sorted(path.name for path in draw.FIGURES.parent.glob("*.svg"))
    assert diagrams == ["connections.svg", "recipients.svg", "servers.svg", "size.svg"]
    assert all(f"](../performance/{name})" in written for name in diagrams)


def test_the_table_tells_what_was_reached_and_what_was_not() -> None:
    aims = [Aim("a", "b", 2, "speed"), Aim("a", "b", 0.4, "cost"), Aim("a", "", 5, "value")]
    row = Row("key", "some work", "us a message", aims, {"a": [5.0], "b": [10.0]})
    figures = {
        "date": "2030-01-01",
        "python": "3.99",
        "system": "Linux",
        "cores": 2,
        "rounds": 1,
        "scale": 1.0,
        "missing": ["node is missing"],
        "rows": [row.as_json()],
    }
    lines = draw.table(figures).splitlines()
    assert "| some work | a | 2 (2 to 2) x as fast as b | at least 2 | reached |" in lines
    assert "| some work | a | 0.5 (0.5 to 0.5) x the CPU time of b | at most 0.4 | **not reached** |" in lines
    assert "| some work | a | 5 (5 to 5) us a message | at most 5 | reached |" in lines
    assert "| some work | us a message | a 5; b 10 |" in lines
    assert lines[-1] == "Not measured: node is missing."


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place for the figures"):
        draw.page("# Performance\n", {})


def test_the_diagrams_are_drawn_and_the_same_figures_give_the_same_octets(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is missing (pip install -e '.[dev]')")
    program = """if True:
        import json, pathlib, sys
        from tests.bench import draw
        figures = json.loads(draw.FIGURES.read_text(encoding="utf-8"))
        for name in sys.argv[1:]:
            draw.draw(figures, pathlib.Path(name))
    """
    folders = [tmp_path / name for name in ("once", "twice")]
    for folder in folders:
        folder.mkdir()
    command = [sys.executable, "-c", program, *map(str, folders)]
    subprocess.run(command, cwd=ROOT, timeout=300, check=True)
    once, twice = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert sorted(once) == ["connections.svg", "recipients.svg", "servers.svg", "size.svg"]
    assert once == twice
    assert all(octets.startswith(b"<?xml") for octets in once.values())
