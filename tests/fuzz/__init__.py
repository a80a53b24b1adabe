"""Random sessions, for as long as one likes: ``python -m tests.fuzz [NAME] --seconds N --seed S``.

A run is made from a seed and nothing else, so that a failure can be had again. What a run may be like is in
``server``, ``client`` and ``adapters``; a few hundred new seeds of each are an ordinary test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from random import Random


def from_seed(check: Callable[[Random], None]) -> Callable[[int], None]:
    """Make a function of a seed of a function of a source of randomness; whatever it raises names the seed."""

    @wraps(check)
    def run(seed: int) -> None:
        try:
            check(Random(seed))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error if str(error) else repr(error)}") from error

    return run
