"""Runs a sample of mutants of a module against its tests, in stages."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Self

from .changes import Mutant
from .worker import NOT_POSSIBLE, Job

WORKER = Path(__file__).with_name("worker.py")
EXAMPLES = 30  # of each property
SECONDS = 900.0  # of computing time for tests without a change
SLOWER = 4  # times as long as that, and the mutant is in an endless loop, which counts as noticed
AT_LEAST = 5.0  # seconds


class TestsFailError(Exception):
    """The tests fail without a change, or there are none."""


class Outcome(Enum):
    """What became of a mutant."""

    KILLED = "killed"
    EQUIVALENT = "equivalent"  # listed, and not noticed
    SURVIVED = "survived"


class Worker:
    """Tests that are run again and again in a copy of the project; see the program that it starts.

    Args:
        root: The copy.
        kind: "warm" or "fresh".
        tests: The arguments of pytest.
    """

    def __init__(self, root: Path, kind: str, tests: Sequence[str]) -> None:
        self._tests = tests
        self._seconds: float | None = None  # that they take without a change
        environment = {
            **os.environ,
            "PYTHONPATH": str(root),
            "SMTPCORE_EXAMPLES": str(EXAMPLES),
            "SMTPCORE_REQUIREMENTS_RESULT": os.devnull,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), kind, *tests],
            cwd=root,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _run(self, job: Job) -> tuple[int, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(dataclasses.asdict(job)) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # and there is no result
        line = self._process.stdout.readline()
        if not line:
            raise TestsFailError(f"{' '.join(self._tests)} cannot be collected")
        status, seconds = json.loads(line)
        return status, seconds

    def status(self, module: str, source: str) -> int:
        """The exit status of the tests with a mutant of a module: 0 if they pass."""
        if self._seconds is None:
            status, self._seconds = self._run(Job(module, "", SECONDS))
            if status != 0:
                raise TestsFailError(f"{' '.join(self._tests)} fail without a change (status {status})")
        return self._run(Job(module, source, max(SLOWER * self._seconds, AT_LEAST)))[0]


class Sample:
    """Decides about the mutants of one module.

    A mutant within a function meets warm workers first, and those that survive meet fresh ones, which start
    with the last warm stage. Others meet fresh ones only.

    Args:
        root: A copy of the project.
        module: The path of the module in it.
        stages: The arguments of pytest for each stage, the narrow ones first.
        equivalent: The changes that are listed as equivalent.
    """

    def __init__(
        self, root: Path, module: Path, stages: Sequence[Sequence[str]], equivalent: Sequence[str] = ()
    ) -> None:
        self._root = root
        self._module = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
        self._stages = stages
        self._equivalent = equivalent
        self._workers: dict[tuple[str, int], Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def _status(self, kind: str, stage: int, mutant: Mutant) -> int:
        if (kind, stage) not in self._workers:
            self._workers[kind, stage] = Worker(self._root, kind, self._stages[stage])
        return self._workers[kind, stage].status(self._module, mutant.source)

    def _steps(self, mutant: Mutant) -> Iterator[tuple[str, int]]:
        """The stages that a mutant goes through, and the kinds of their workers.

        What a function did at the import only a fresh worker sees. The narrow tests are enough for that, and
        the last stage, which is too wide to be run twice.
        """
        last = len(self._stages) - 1
        if mutant.in_function:
            for stage in range(max(last, 1)):
                yield "warm", stage
            yield "fresh", 0
            if last > 0:
                yield "fresh", last
        else:
            for stage in range(last + 1):
                yield "fresh", stage

    def outcome(self, mutant: Mutant) -> Outcome:
        """Run the tests with a mutant until they notice it. A listed one meets the narrow tests only."""
        listed = mutant.what in self._equivalent
        for kind, stage in self._steps(mutant):
            if listed and stage > 0:
                break
            if self._status(kind, stage, mutant) not in (0, NOT_POSSIBLE):
                return Outcome.KILLED
        return Outcome.EQUIVALENT if listed else Outcome.SURVIVED
