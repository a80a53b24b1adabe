"""One side of a session in a process of its own, which tells how much memory a message has cost it.

``python -m tests.interop.measured server ADAPTER CHAIN KEY`` serves until its input ends. It tells its port,
and answers a message with the SHA-256 of its content and the octets by which its memory has grown at most.
``... client ADAPTER AUTHORITY PORT SIZE`` sends so much content to it, and tells its own growth.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smtpcore import Limits, Reply

from .ours import RECIPIENT, SENDER, Certificates, Mailbox, converse, options, securely, serving

STATUS = Path("/proc/self/status")


class Growth:
    """By how many octets the memory of this process has grown at most, since this object was made."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what there is now
        self._before = self._octets("VmRSS")

    def octets(self) -> int:
        return self._octets("VmHWM") - self._before

    def _octets(self, name: str) -> int:
        lines = STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class Sink:
    """Takes a message and keeps nothing of it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._growth = Growth()
        self.write = self._hash.update

    def finish(self) -> Reply:
        return Reply(250, "2.0.0", f"{self._hash.hexdigest()} {self._growth.octets()}")

    def abort(self) -> None:
        """There is nothing to undo."""


class Hashing:
    """A handler for messages of any size."""

    check_credentials = Mailbox().check_credentials

    def begin_message(self, session: Any, envelope: Any) -> Sink:
        return Sink()


def tell(number: int) -> None:
    """To the process that has started this one."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def serve(adapter: str, chain: str, key: str) -> None:
    """Serve until the input ends."""
    chosen = options(Certificates(Path(chain), Path(key), Path()), "starttls")
    chosen["config"] = dataclasses.replace(chosen["config"], limits=Limits(message_size=None))
    with serving(adapter, Hashing(), **chosen) as port:
        tell(port)
        sys.stdin.read()


def pieces(size: int) -> Iterator[bytes]:
    """Content that is never there as a whole."""
    line = b"x" * 70 + b"\r\n"
    block = line * 1000
    yield b"Subject: large\r\n\r\n"
    for _ in range(size // len(block)):
        yield block


def send(adapter: str, authority: str, port: str, size: str) -> None:
    """Send so many octets."""
    trusting = securely(Certificates(Path(), Path(), Path(authority)), "starttls")
    hashed = hashlib.sha256()
    growth: list[Growth] = []

    def content() -> Iterator[bytes]:
        growth.append(Growth())
        for piece in pieces(int(size)):
            hashed.update(piece)
            yield piece

    (result,) = converse(adapter, int(port), ("send", SENDER, [RECIPIENT], content()), **trusting)
    assert hashed.hexdigest() in result.reply.text
    tell(growth[0].octets())


if __name__ == "__main__":
    role: Callable[..., None] = serve if sys.argv[1] == "server" else send
    role(*sys.argv[2:])
