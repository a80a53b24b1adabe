"""``legal()``: the oracle over a dialogue that was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from .._core.commands import verb_of
from .._core.config import Extension
from .._core.errors import wrong_type
from .._core.state import State
from ..extensions.starttls import StartTls
from ._oracle import BDAT, Oracle
from ._stored import shown

Side = Literal["C", "S", "TLS", "EOF"]


def _checked(transcript: object) -> Iterator[tuple[Side, bytes]]:
    """Go through a transcript; raise at the first item that is not a side and its octets."""
    if not isinstance(transcript, Iterable):
        raise wrong_type("transcript", "a sequence of pairs, such as ('C', b'NOOP\\r\\n')", transcript)
    for item in transcript:
        match item:
            case ("C" | "S" | "TLS" | "EOF" as side, bytes() as octets):
                yield side, octets
            case _:
                raise wrong_type(
                    "each item of transcript", "a pair of 'C', 'S', 'TLS' or 'EOF', and bytes", item
                )


def legal(transcript: Sequence[tuple[Side, bytes]], extensions: Sequence[Extension] | None = None) -> None:
    """Judge a recorded dialogue: each reply must be one that the standard allows there.

    Args:
        transcript: What each side has sent, in order, in pieces of any size: ``("S", octets)`` for the server,
            ``("C", octets)`` for the client, ``("TLS", b"")`` for a handshake, ``("EOF", b"")`` for the end of
            the connection.
        extensions: The extensions whose commands are known. None: the standard ones.

    Raises:
        Violation: A reply is not allowed, is missing, or is not a reply.
        ArgumentTypeError: The transcript is something else.
    """
    oracle = Oracle(extensions)
    follower = Follower(oracle)
    for side, octets in _checked(transcript):
        if side == "C":
            follower.client(octets)
        elif side == "S":
            oracle.received(octets)
            follower.client(b"")
        elif side == "TLS":
            oracle.tls_started()
        else:
            oracle.ended()
    oracle.quiet()


class Follower:
    """Takes the octets of a client apart, for an oracle that only sees what was recorded.

    Args:
        oracle: The oracle.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._held = b""

    def client(self, octets: bytes) -> None:
        """Take octets of the client; what depends on a reply waits for it."""
        self._held += octets
        oracle = self._oracle
        while self._held and not oracle.lost:
            if oracle.state is State.CONTENT and not oracle.outstanding:
                content, dot, rest = (b"\r\n" + self._held).partition(b"\r\n.\r\n")
                if not dot:
                    return
                oracle.note(f"C> {shown(self._held[: len(self._held) - len(rest)])}")
                self._held = rest
                oracle.sent_content(
                    (content[2:] + b"\r\n").replace(b"\r\n..", b"\r\n.") if content else b"", ended=True
                )
                continue
            line, end, rest = self._held.partition(b"\r\n")
            if not end:
                return
            match = BDAT.fullmatch(line)
            if match is not None:
                size = int(match[1])
                if len(rest) < size:
                    return
                oracle.sent_chunk(line, rest[:size])
                self._held = rest[size:]
                continue
            self._held = rest
            oracle.sent_line(line)
            if verb_of(line[:64].decode("latin-1")) in ("DATA", "AUTH", StartTls.verb):
                return
