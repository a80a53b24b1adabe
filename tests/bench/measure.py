"""Rounds, medians and ratios: how the benchmarks turn samples into figures.

Each round runs every subject once, in turn, so that a machine that gets slower gets slower for all of them. A
ratio is worked out within each round, and what is reported is the median of these ratios with the lowest and
the highest: absolute numbers move from run to run, ratios hardly.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal["cost", "speed", "value"]
Subject = Callable[[], float]
"""Runs once, checks what came out, and returns what it has cost a unit."""


class Aim(NamedTuple):
    """What a subject is meant to reach.

    Attributes:
        subject: The name of the subject.
        peer: The subject that it is compared with; ``""`` for a ``value``.
        bound: The number.
        kind: ``cost``: at most ``bound`` times what the peer costs. ``speed``: at least ``bound`` times as
            fast as the peer. ``value``: at most ``bound`` units.
    """

    subject: str
    peer: str
    bound: float
    kind: Kind

    def of(self, samples: Mapping[str, Sequence[float]]) -> list[float]:
        """Return the number that is compared with the bound, for each round."""
        ours = samples[self.subject]
        if self.kind == "value":
            return list(ours)
        pairs = zip(ours, samples[self.peer], strict=True)
        return [mine / theirs if self.kind == "cost" else theirs / mine for mine, theirs in pairs]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest of some values, with four significant digits."""
    chosen = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: float(f"{value:.4g}") for name, value in chosen.items()}


@dataclass
class Row:
    """One line of the results: subjects that did the same work.

    Attributes:
        key: The name of the row in files.
        title: The work.
        unit: What the numbers of the subjects are, such as ``us a message``.
        aims: What is wanted.
        samples: What each subject has cost, a number for each round.
    """

    key: str
    title: str
    unit: str
    aims: Sequence[Aim] = ()
    samples: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the row as it stands in the file of results; aims without their peer are left out."""
        ratios = []
        for aim in self.aims:
            if aim.subject in self.samples and (aim.kind == "value" or aim.peer in self.samples):
                found = spread(aim.of(self.samples))
                median = found["median"]
                reached = median >= aim.bound if aim.kind == "speed" else median <= aim.bound
                ratios.append({**aim._asdict(), **found, "reached": reached})
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            "subjects": {name: spread(values) for name, values in self.samples.items()},
            "ratios": ratios,
        }


def interleave(subjects: Mapping[str, Subject], rounds: int) -> dict[str, list[float]]:
    """Run each subject once a round, and return what each has cost; every round begins with another subject."""
    names = list(subjects)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(subjects[name]())
    return samples


def measure(row: Row, subjects: Mapping[str, Subject], rounds: int) -> Row:
    """Fill a row, and print it."""
    row.samples = interleave(subjects, rounds)
    print_row(row.as_json())
    return row


def print_row(row: Mapping[str, Any]) -> None:
    """Print a row of the results."""
    print(f"{row['title']} ({row['unit']})")
    for name, found in row["subjects"].items():
        print(f"    {name:<28} {in_words(found)}")
    for ratio in row["ratios"]:
        print(f"    {in_words(ratio)} {wanted(ratio)}: {'reached' if ratio['reached'] else 'not reached'}")
    print(end="", flush=True)


def in_words(found: Mapping[str, float]) -> str:
    """Return a median with its spread, such as ``1.52 (1.49 to 1.6)``."""
    return f"{number(found['median'])} ({number(found['low'])} to {number(found['high'])})"


def number(value: float) -> str:
    """Return a number with three significant digits, and in thousands without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def wanted(ratio: Mapping[str, Any]) -> str:
    """Return what an aim asks for, in words."""
    subject, peer, bound = ratio["subject"], ratio["peer"], f"{ratio['bound']:g}"
    if ratio["kind"] == "value":
        return f"{subject}, wanted at most {bound}"
    if ratio["kind"] == "cost":
        return f"x the cost of {peer}, {subject}, wanted at most {bound}"
    return f"x as fast as {peer}, {subject}, wanted at least {bound}"


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process, user and system, in seconds, the threads that have ended included.

    Linux numbers the CPU clock of a process so that `clock_gettime()` reads it: see `man 3
    clock_getcpuclockid`. It counts nanoseconds, where `/proc/PID/stat` counts hundredths of a second.
    """
    return time.clock_gettime((~pid << 3) | 2)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
