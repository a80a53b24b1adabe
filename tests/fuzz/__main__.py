"""``python -m tests.fuzz [NAME] --seconds N --seed S``: new sessions until the time is over.

Without a name every fuzzer runs: those of the cores, one of each adapter, uvloop included if it is there, and
one of each target (``targets``).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from . import adapters, client, octets, server
from .targets import TARGETS

FUZZERS: dict[str, Callable[[int], None]] = {
    "server": server.run,
    "client": client.run,
    **{adapter: adapters.fuzzer(adapter) for adapter in adapters.ADAPTERS},
    **{f"octets-{target}": octets.fuzzer(target) for target in TARGETS},
}


def fuzz(name: str, seconds: float, seed: int) -> bool:
    """Run one fuzzer, one session at least; whether nothing was found."""
    run, first = FUZZERS[name], seed
    end = time.monotonic() + seconds
    while True:
        try:
            run(seed)
        except AssertionError:
            traceback.print_exc()
            print(
                f"{name}: session {seed - first + 1} failed, again: python -m tests.fuzz {name} --seed {seed}"
            )
            return False
        seed += 1
        if time.monotonic() >= end:
            print(f"{name}: {seed - first} sessions, seeds {first} to {seed - 1}")
            return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Random sessions.")
    parser.add_argument("fuzzer", nargs="?", choices=list(FUZZERS), help="by default all, one after the other")
    parser.add_argument("--seconds", type=float, default=0.0, help="for each; by default one session is run")
    parser.add_argument("--seed", type=int, help="of the first session; the next ones count up from it")
    options = parser.parse_args(arguments)
    seed = random.randrange(2**32) if options.seed is None else options.seed
    names = list(FUZZERS) if options.fuzzer is None else [options.fuzzer]
    # All of them: what one has found says nothing about the next one.
    failed = [name for name in names if not fuzz(name, options.seconds, seed)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
