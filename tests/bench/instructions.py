"""Count the bytecode instructions that the cores execute: ``python -m tests.bench.instructions [--write]``.

Time says little on a machine that others use, and a small loss a month goes unnoticed in it. The number of
instructions that the interpreter executes for the same work is the same in each run, on each machine, so it
can be compared with a number in a file: `tests/bench/baselines/3.11.json`, one file for each minor version of
Python, since each compiles differently. The command fails if a workload needs more than 5 % more instructions
than its baseline; ``--write`` writes the baseline of the running Python anew. A Python without a baseline is
reported.

The count does not see what happens inside functions in C: a slower regular expression costs the same number
of instructions. ``python -m tests.bench`` measures that.

Two things make the count repeatable. Each workload runs once before it is counted, so that modules are
loaded, expressions compiled and caches filled. And the command runs itself with ``PYTHONHASHSEED=0``, since
the order of a set decides how long a loop over it looks.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from smtpcore import ServerConnection

from .memory import smtpcore_client, smtpcore_server
from .workloads import KILOBYTE, server_workloads

BASELINES = Path(__file__).resolve().parent / "baselines"
TOLERANCE = 0.05
SCALE = 0.002
_HASH_SEED = "0"


def workloads() -> dict[str, Callable[[], object]]:
    """Return the functions that are counted, by name."""
    work: dict[str, Callable[[], object]] = {
        f"server, {load.title}": partial(smtpcore_server, load) for load in server_workloads(SCALE)
    }
    work["server, 20 sessions without a message"] = _sessions
    work["client, 20 messages of 1 KiB"] = partial(smtpcore_client, 20, KILOBYTE)
    work["client, a message of 1 MiB"] = partial(smtpcore_client, 1, KILOBYTE * 1024)
    return work


def _sessions() -> None:
    for _ in range(20):
        connection = ServerConnection("mx.example.org")
        for read in (b"", b"EHLO client.example\r\n", b"QUIT\r\n"):
            if read:
                connection.receive_data(read)
            while connection.next_event() is not None:
                if connection.unanswered:
                    connection.accept()
            connection.data_to_send()


def count(function: Callable[[], object]) -> int:
    """Return how many bytecode instructions a function executes, those of what it calls included."""
    function()
    gc.collect()
    gc.disable()
    try:
        return _count(function)
    finally:
        gc.enable()


def _count_by_monitoring(function: Callable[[], object]) -> int:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
    instructions = 0

    def tell(code: CodeType, offset: int) -> None:
        nonlocal instructions
        instructions += 1

    tool = monitoring.PROFILER_ID
    monitoring.use_tool_id(tool, "smtpcore bench")
    try:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, tell)
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        function()
        monitoring.set_events(tool, 0)
    finally:
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(tool)
    return instructions


def _count_by_tracing(function: Callable[[], object]) -> int:
    instructions = 0

    def tell(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal instructions
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            instructions += 1
        return tell

    sys.settrace(tell)
    try:
        function()
    finally:
        sys.settrace(None)
    return instructions


_count = _count_by_monitoring if sys.version_info >= (3, 12) else _count_by_tracing


def baseline_path() -> Path:
    """Return where the baseline of the running Python is, or would be."""
    return BASELINES / f"{sys.version_info.major}.{sys.version_info.minor}.json"


def compare(counts: Mapping[str, int], baseline: Mapping[str, int]) -> list[str]:
    """Return a line for each workload that needs more instructions than is tolerated, or has no baseline."""
    offences = [f"{name}: not in the baseline" for name in counts if name not in baseline]
    offences += [f"{name}: in the baseline, but not counted" for name in baseline if name not in counts]
    for name in counts.keys() & baseline.keys():
        if counts[name] > baseline[name] * (1 + TOLERANCE):
            more = counts[name] / baseline[name] - 1
            offences.append(f"{name}: {counts[name]:,} instructions, {more:.1%} more than {baseline[name]:,}")
    return sorted(offences)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the baseline of this Python anew")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON, and compare nothing")
    options = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != _HASH_SEED:
        command = [sys.executable, "-m", "tests.bench.instructions", *(arguments or sys.argv[1:])]
        environment = {**os.environ, "PYTHONHASHSEED": _HASH_SEED}
        return subprocess.run(command, env=environment, check=False).returncode
    counts = {name: count(work) for name, work in workloads().items()}
    path = baseline_path()
    if options.json:
        print(json.dumps(counts))
        return 0
    if options.write:
        path.write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
        print(f"written: {path.name}")
        return 0
    if not path.exists():
        print(f"instructions: no baseline for Python {path.stem} (--write makes one)")
        return 0
    baseline = json.loads(path.read_text(encoding="utf-8"))
    for name, number in counts.items():
        change = f"{number / baseline[name] - 1:+7.1%}" if name in baseline else "    new"
        print(f"{change}  {number:>9,}  {name}")
    offences = compare(counts, baseline)
    for offence in offences:
        print(f"instructions: {offence}", file=sys.stderr)
    if offences:
        print("instructions: find out why; if it has to be, run it with --write and say so", file=sys.stderr)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
