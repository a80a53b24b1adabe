"""``python -m tests.properties --examples 1000000``: the core's properties, until so many examples have passed.

Hypothesis keeps all examples of a property in a tree, and each one makes the next dearer: an example of
parameters costs 5 ms in a run of 300, and 20 ms in one of 10,000. So the run consists of rounds. A round is a
process of pytest, with a seed of its own, that draws ``--round`` examples of an ordinary property, and five
times as many of those that play a session with the server.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
_TESTS = ("tests/properties", "tests/model", "--ignore=tests/properties/test_message.py")
_PASSED = re.compile(r"^(\d+) examples of \d+ properties passed$", re.MULTILINE)


class RoundFailedError(Exception):
    """A property does not hold, or a round has not run. The text is what pytest printed."""


def play_round(examples: int, seed: int, tests: Sequence[str] = _TESTS) -> int:
    """Run the properties once, in a process of its own.

    Args:
        examples: of an ordinary property; those of sessions draw five times as many.
        seed: of the round.
        tests: the arguments of pytest that select the properties.

    Returns:
        How many examples have passed, those of all properties together.

    Raises:
        RoundFailedError: A test failed, or no example is reported.
    """
    variables = {**os.environ, "SMTPCORE_EXAMPLES": str(examples), "SMTPCORE_SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-m", "hypothesis", "-p", "no:xdist", *tests]
    run = subprocess.run(command, cwd=_ROOT, env=variables, capture_output=True, text=True)
    passed = _PASSED.search(run.stdout)
    if run.returncode or passed is None:
        raise RoundFailedError(run.stdout + run.stderr)
    return int(passed[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Play rounds until enough examples have passed. The exit status is 0, or 1 if a round failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties", description="A long run of properties.")
    parser.add_argument(
        "tests", nargs="*", help="by default those of the core and of its comparison with the model"
    )
    parser.add_argument("--examples", type=int, default=1_000_000, help="of all properties together")
    parser.add_argument("--round", type=int, default=300, help="examples of an ordinary property in a round")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many rounds at a time")
    parser.add_argument("--seed", type=int, help="of the first round; the next ones count up from it")
    options = parser.parse_args(arguments)
    tests = options.tests or _TESTS
    first = seed = random.randrange(2**31) if options.seed is None else options.seed
    start, total = time.monotonic(), 0
    with ThreadPoolExecutor(options.jobs) as pool:
        while total < options.examples:
            seeds = range(seed, seed + options.jobs)
            try:
                total += sum(pool.map(lambda one: play_round(options.round, one, tests), seeds))
            except RoundFailedError as error:
                print(error)
                return 1
            seed = seeds.stop
            print(f"{total:,} examples, {time.monotonic() - start:,.0f} s", flush=True)
    print(f"passed, seeds {first} to {seed - 1}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
