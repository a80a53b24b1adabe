"""The targets without atheris: octets of the dialogs, changed in a few places at random."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from . import from_seed
from .targets import LONGEST, TARGETS, corpus

# What parsers look for. A random octet is one of these too seldom.
_TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b".",
    b"\r\n.\r\n",
    b"\0",
    b" ",
    b"-",
    b"<",
    b">",
    b"@",
    b'"',
    b"\\",
    b"=",
    b"\xff",
)


@cache
def _corpus() -> list[bytes]:
    return corpus()


def change(random: Random, octets: bytes) -> bytes:
    """Return octets in which a piece is deleted, repeated, replaced or inserted."""
    start = random.randint(0, len(octets))
    end = min(len(octets), start + random.randint(0, 8))
    piece = random.choice(
        (
            b"",
            octets[start:end] * random.randint(1, 20),
            random.choice(_TOKENS),
            random.randbytes(random.randint(1, 4)),
            random.choice(_corpus())[:40],
        )
    )
    return octets[:start] + piece + octets[random.choice((start, end)) :]


def fuzzer(name: str) -> Callable[[int], None]:
    """Return the function of a seed that calls a target with octets made from the seed."""

    @from_seed
    def run(random: Random) -> None:
        octets = random.choice(_corpus())
        for _ in range(random.randint(1, 6)):
            octets = change(random, octets)
        TARGETS[name](octets[:LONGEST])

    return run
