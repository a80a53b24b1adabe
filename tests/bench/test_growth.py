"""Growth is linear at the sizes that count: 10,000 recipients, 256 MiB, and a read for each octet.

What is counted is calls of functions, Python's and C's, and the octets that methods of bytes go through; so
these tests say the same on every machine. `tests/core/test_linearity.py` tries many more kinds of input, in
small.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable

import pytest

from smtpcore import Chunk, ConnectionClosed, Limits, ServerConfig, ServerConnection

from .workloads import ENVELOPE, HELLO, MAIL, MIB

_LIMITS = Limits(message_size=None, recipients=10**6, idle_commands=None)
_BLOCK = ((b"x" * 74 + b"\r\n") * 862)[:-2] + b"\r\n"


def serve(reads: Iterable[bytes]) -> tuple[int, int]:
    """Serve what arrives; return how many octets of content and how many events there were."""
    connection = ServerConnection("mx.example.org", config=ServerConfig(limits=_LIMITS))
    octets = events = 0
    for read in itertools.chain([HELLO], reads):
        connection.receive_data(read)
        while (event := connection.next_event()) is not None:
            assert not isinstance(event, ConnectionClosed)
            events += 1
            if isinstance(event, Chunk):
                octets += len(event.data)
            else:
                connection.accept()
        connection.data_to_send()
    return octets, events


def work_of(function: Callable[[], object]) -> tuple[int, int]:
    """Return how many functions were called, and how many octets the methods of bytes objects went through."""
    calls = octets = 0

    def tell(frame: object, event: str, argument: object) -> None:
        nonlocal calls, octets
        if event in ("call", "c_call"):
            calls += 1
            owner = getattr(argument, "__self__", None)
            if event == "c_call" and isinstance(owner, bytes | bytearray | str):
                octets += len(owner)

    sys.setprofile(tell)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls, octets


def recipients(count: int) -> Iterable[bytes]:
    yield MAIL
    for start in range(0, count, 500):
        yield b"".join(b"RCPT TO:<r%d@example.com>\r\n" % number for number in range(start, start + 500))


def content(mebibytes: int) -> Iterable[bytes]:
    yield ENVELOPE
    yield from itertools.repeat(_BLOCK, mebibytes * MIB // len(_BLOCK))
    yield b".\r\n"


def single_octets(count: int) -> Iterable[bytes]:
    message = ENVELOPE + b"x" * 60 + b"\r\n.\r\n"
    for octet in itertools.islice(itertools.cycle(message), count):
        yield bytes((octet,))


@pytest.mark.parametrize(
    "reads, size",
    [(recipients, 10_000), (content, 256), (single_octets, 40_000)],
    ids=["recipients", "MiB", "reads of one octet"],
)
def test_twice_the_input_is_twice_the_work(reads: Callable[[int], Iterable[bytes]], size: int) -> None:
    serve(reads(size // 10))  # caches are filled, modules loaded
    once, twice = (work_of(lambda count=count: serve(reads(count))) for count in (size // 2, size))
    for half, whole in zip(once, twice, strict=True):
        assert 1.9 * half - 1000 < whole < 2.1 * half + 1000


def test_all_of_a_large_message_arrives() -> None:
    assert serve(content(8))[0] == 8 * MIB // len(_BLOCK) * len(_BLOCK)


def test_the_count_sees_work_that_grows_with_the_square() -> None:
    def look_at_all_of_it(count: int) -> None:
        held = b""
        for _ in range(count):
            held += b"x"
            held.find(b"\n")

    once, twice = (work_of(lambda count=count: look_at_all_of_it(count))[1] for count in (1000, 2000))
    assert twice > 3.5 * once
