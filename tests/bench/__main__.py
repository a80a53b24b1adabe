"""Benchmarks: ``python -m tests.bench [PART ...] [--rounds N] [--scale X] [--json FILE]``.

The parts are ``memory``, ``servers``, ``clients``, ``footprint`` and ``curves``; by default all are measured.
Each figure is CPU time, and the median of some rounds with the lowest and the highest. Peers are measured in
the same rounds, and a peer that is missing is reported. Results are checked in every run. Nothing here is a
test: no test asserts on time.

``--json`` writes the figures into a file; ``python -m tests.bench.draw`` makes the diagrams and the table of
docs/explanation/performance.md of `docs/performance/figures.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from . import clients, footprint, loopback
from .measure import Aim, Row, Subject, machine, measure
from .memory import Outcome, aiosmtpd_server, smtpcore_client, smtpcore_server, smtplib_client
from .servers import AIOSMTPD, why_missing
from .workloads import KILOBYTE, MIB, Workload, server_workloads

PARTS = ("memory", "servers", "clients", "footprint", "curves")


def memory(rounds: int, scale: float, missing: list[str]) -> list[Row]:
    """Measure the cores in memory."""
    done = []
    # A fifth of the full size gives the same figures.
    for load in server_workloads(scale / 5):
        subjects: dict[str, Subject] = {"core": partial(_serve, smtpcore_server, load)}
        if why_missing(AIOSMTPD) is None:
            subjects[AIOSMTPD] = partial(_serve, aiosmtpd_server, load)
        row = Row(
            f"core-{load.key}",
            f"core in memory, {load.title}",
            f"us a {load.unit}",
            (Aim("core", AIOSMTPD, load.wanted, "speed"),),
        )
        done.append(measure(row, subjects, rounds))
    line = b"x" * 74 + b"\r\n"
    lines = (line * 99 + b"." + line[1:]) * max(1, round(64 * MIB * scale / 5) // 7600)
    messages = max(1, round(2000 * scale))
    for key, title, count, content, units, unit, wanted in (
        ("client-1-kib", "messages of 1 KiB", messages, KILOBYTE, float(messages), "message", 2.3),
        ("client-text", "one large message", 1, lines, len(lines) / MIB, "MiB", 3.2),
    ):
        row = Row(
            f"core-{key}",
            f"client core in memory, {title}",
            f"us a {unit}",
            (Aim("core", "smtplib", wanted, "speed"),),
        )
        done.append(
            measure(
                row,
                {
                    "core": partial(_send, smtpcore_client, count, content, units),
                    "smtplib": partial(_send, smtplib_client, count, content, units),
                },
                rounds,
            )
        )
    return done


def _serve(server: Callable[[Workload], Outcome], load: Workload) -> float:
    outcome = server(load)
    expected = (load.messages, load.recipients, load.octets, load.replies)
    if outcome[1:] != expected:
        sys.exit(f"{server.__name__} has got it wrong: {load.title}: {outcome} and not {expected}")
    return outcome.seconds / load.units * 1e6


def _send(client: Callable[[int, bytes], Outcome], messages: int, content: bytes, units: float) -> float:
    outcome = client(messages, content)
    # A dot more for each line that begins with one, and the terminator.
    expected = messages * (len(content) + content.count(b"\r\n.") + 3)
    if outcome.octets != expected:
        sys.exit(f"{client.__name__} has got it wrong: {outcome.octets} octets and not {expected}")
    return outcome.seconds / units * 1e6


_RUN: dict[str, Callable[[int, float, list[str]], list[Row]]] = {
    "memory": memory,
    "clients": clients.run,
    "footprint": footprint.run,
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each subject runs (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the workloads (default: 1)")
    parser.add_argument("--quick", action="store_true", help="one round of small workloads: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    options = parser.parse_args(arguments)
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"invalid part: {part!r} (choose from {', '.join(PARTS)})")
    if options.quick:
        options.rounds, options.scale = 1, 0.005
    facts = {**machine(), "rounds": options.rounds, "scale": options.scale}
    print(", ".join(f"{name} {value}" for name, value in facts.items()), flush=True)
    parts = options.parts or PARTS
    missing: list[str] = []
    results: dict[str, Any] = {**facts, "rows": [], "curves": [], "missing": missing}
    rows = [row for part in _RUN if part in parts for row in _RUN[part](options.rounds, options.scale, missing)]
    served = loopback.run(options.rounds, options.scale, missing, parts)
    results["rows"] = [row.as_json() for row in rows + served.rows]
    results["curves"] = served.curves
    ratios = [ratio for row in results["rows"] for ratio in row["ratios"]]
    print(f"{sum(ratio['reached'] for ratio in ratios)} of {len(ratios)} aims were reached")
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
