"""Benchmarks: ``python -m tests.bench [memory|loopback] [--rounds N] [--scale X]``.

Each round runs every subject once, in turn, so that a machine that gets slower gets slower for all. What is
printed is the median CPU time of each and the ratio of the medians; absolute numbers move from run to run, the
ratios hardly. Results are checked in every run. Nothing here is a test, and no test asserts on time.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial

from . import loopback
from .memory import Outcome, aiosmtpd_server, smtpcore_client, smtpcore_server, smtplib_client
from .workloads import MIB, server_workloads


def compare(
    title: str,
    subjects: Mapping[str, Callable[[], Outcome]],
    *,
    rounds: int,
    units: float,
    unit: str,
    wanted: float,
    expected: tuple[int, int, int, int],
) -> bool:
    """Run the subjects in turn and print a row; whether the first is ``wanted`` times the last."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            outcome = subject()
            if outcome[1:] != expected:
                sys.exit(f"{name} has got it wrong: {title}: {outcome}")
            seconds[name].append(outcome.seconds)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours, theirs = next(iter(medians.values())), list(medians.values())[-1]
    ratio = theirs / ours
    figures = ", ".join(f"{name} {_figure(median, units, unit)}" for name, median in medians.items())
    print(f"{title:<40} {ratio:6.1f} x (wanted {wanted:g})   {figures}", flush=True)
    return ratio >= wanted


def _figure(seconds: float, units: float, unit: str) -> str:
    if unit == "MiB":
        return f"{units / seconds:.0f} MiB/s"
    return f"{seconds / units * 1e6:.2f} us a {unit}"


def memory(rounds: int, scale: float) -> bool:
    """The cores in memory."""
    reached = True
    for load in server_workloads(scale):
        reached &= compare(
            load.title,
            {"smtpcore": partial(smtpcore_server, load), "aiosmtpd": partial(aiosmtpd_server, load)},
            rounds=rounds,
            units=load.units,
            unit=load.unit,
            wanted=load.wanted,
            expected=(load.messages, load.recipients, load.octets, load.replies),
        )
    messages = round(10_000 * scale)
    kilobyte = (b"x" * 62 + b"\r\n") * 16
    line = b"x" * 74 + b"\r\n"
    text = (line * 99 + b"." + line[1:]) * (round(64 * MIB * scale) // 7600)
    for title, count, content, unit, units, wanted in (
        ("client, messages of 1 KiB", messages, kilobyte, "message", float(messages), 2.0),
        ("client, one message", 1, text, "MiB", len(text) / MIB, 3.0),
    ):
        reached &= compare(
            title,
            {
                "smtpcore": partial(smtpcore_client, count, content),
                "smtplib": partial(smtplib_client, count, content),
            },
            rounds=rounds,
            units=units,
            unit=unit,
            wanted=wanted,
            # A dot more for each line that begins with one, and the terminator.
            expected=(count, count, count * (len(content) + content.count(b"\r\n.") + 3), 0),
        )
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("memory", "loopback", "all"), default="memory")
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject runs (default: 5)")
    parser.add_argument("--scale", type=float, default=0.2, help="size of the workloads; 1 is full size")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {options.rounds} rounds, scale {options.scale:g}")
    reached = True
    if options.what in ("memory", "all"):
        reached &= memory(options.rounds, options.scale)
    if options.what in ("loopback", "all"):
        reached &= loopback.run(options.rounds)
    print("everything wanted was reached" if reached else "not everything wanted was reached")
    return 0


if __name__ == "__main__":
    sys.exit(main())
