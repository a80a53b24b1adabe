"""A blocking socket that records its octets, and a reader that shows replies as they are.

Nothing here corrects the peer: a reply keeps its line ends, wrong codes and all. Each wait has a limit.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

PAUSE: Final = 0.004
"""Seconds between two pieces that should reach the peer separately."""

_RECORDED: Final = 300
"""Octets of a line that the dialog shows."""
_LINES_RECORDED: Final = 60
_HEAD: Final = 10
_TAIL: Final = 40
_MOST_OCTETS: Final = 1 << 16  # of one line
_MOST_LINES: Final = 1000  # of one reply
_CODE = re.compile(rb"[0-9]{3}(?![0-9])")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


class Silent(Exception):
    """The peer did not send what it owes within the time."""


class Closed(Exception):
    """The peer has closed the connection."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it was received.

    Attributes:
        lines: Its lines, each with its line end.
    """

    lines: tuple[bytes, ...]

    @property
    def code(self) -> int:
        """The code of the last line; 0 if it does not start with three digits."""
        match = _CODE.match(self.lines[-1])
        return int(match[0]) if match else 0

    @property
    def kind(self) -> int:
        """The first digit of the code."""
        return self.code // 100

    @property
    def texts(self) -> tuple[bytes, ...]:
        """The texts after the codes, without line ends."""
        return tuple(line[4:].rstrip(b"\r\n") for line in self.lines)

    def __str__(self) -> str:
        return shown(b" / ".join(line.rstrip(b"\r\n") for line in self.lines), 120)


def shown(octets: bytes, most: int = _RECORDED) -> str:
    """Octets for people: printable ASCII as it is, the rest as escapes, shortened."""
    text = "".join(
        chr(octet) if 32 <= octet < 127 and octet != 92 else _ESCAPES.get(octet, f"\\x{octet:02x}")
        for octet in octets[:most]
    )
    return f"{text}... ({len(octets)} octets)" if len(octets) > most else text


_ESCAPES: Final = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}


class Wire:
    """A connection to a peer, with the record of its dialog.

    Args:
        sock: A connected socket.
        timeout: Seconds that one wait may take.
        peer: How the dialog names the peer: ``S`` for a server, ``C`` for a client.
    """

    def __init__(self, sock: socket.socket, timeout: float, peer: str = "S") -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.timeout = timeout
        self.dialog: list[str] = []
        self.closed = False
        self.clean_end = True
        """False if TLS was cut off without an alert."""
        self._peer = peer
        self._own = "C" if peer == "S" else "S"
        self._buffer = bytearray()

    @property
    def tls(self) -> bool:
        """Whether TLS is active."""
        return isinstance(self.socket, ssl.SSLSocket)

    def send(self, *pieces: bytes) -> None:
        """Send octets, with a pause between the pieces.

        Raises:
            Closed: The peer does not accept any more.
        """
        for number, octets in enumerate(pieces):
            if number:
                time.sleep(PAUSE)
            self._record(self._own, octets)
            try:
                self.socket.settimeout(self.timeout)
                self.socket.sendall(octets)
            except TimeoutError:
                raise Silent("the peer does not read what is sent") from None
            except OSError:
                # Replies that arrived before the end are still to be read.
                if not self._buffer:
                    raise Closed("the peer has closed the connection") from None

    def read_line(self, timeout: float | None = None) -> bytes:
        """Read up to and including the next LF, or what arrived when time is up.

        Raises:
            Silent: Nothing arrived.
            Closed: Nothing more will arrive.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0 and len(self._buffer) < _MOST_OCTETS:
            start = len(self._buffer)
            try:
                self._fill(deadline)
            except (Silent, Closed) as error:
                if not self._buffer:
                    if isinstance(error, Silent):
                        self.dialog.append("-- silence")
                    raise
                end = len(self._buffer) - 1
                break
        line = bytes(self._buffer[: end + 1 or None])
        del self._buffer[: len(line)]
        self._record(self._peer, line)
        return line

    def read_reply(self, timeout: float | None = None) -> Reply:
        """Read lines up to one that is not continued.

        Raises:
            Silent: Nothing arrived.
            Closed: Nothing more will arrive.
        """
        lines = [self.read_line(timeout)]
        while _CODE.match(lines[-1]) and lines[-1][3:4] == b"-":
            if len(lines) == _MOST_LINES:
                self.close()
                raise Closed(f"a reply has more than {_MOST_LINES} lines")
            try:
                lines.append(self.read_line(timeout))
            except (Silent, Closed):
                break
        return Reply(tuple(lines))

    def read(self, octets: int) -> bytes:
        """Read exactly so many octets.

        Raises:
            Silent: They did not arrive in time.
            Closed: They will not arrive.
        """
        deadline = time.monotonic() + self.timeout
        while len(self._buffer) < octets:
            self._fill(deadline)
        found = bytes(self._buffer[:octets])
        del self._buffer[:octets]
        self._record(self._peer, found)
        return found

    def pending(self, seconds: float = 0.0) -> bytes:
        """Wait for octets, and return what has arrived without consuming it."""
        if not self._buffer:
            with contextlib.suppress(Silent, Closed):
                self._fill(time.monotonic() + seconds)
        return bytes(self._buffer)

    def peek(self) -> bytes:
        """Wait for an octet, and return it without consuming it; nothing if none comes."""
        if self._buffer:
            return bytes(self._buffer[:1])
        try:
            self.socket.settimeout(self.timeout)
            return self.socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return b""

    def acknowledge(self) -> None:
        """Acknowledge what has arrived at once, where the system can.

        Otherwise a peer with Nagle's algorithm holds its next write back for some 40 ms: each check takes
        longer, and a group of commands looks like one command after the other.
        """
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def forget(self) -> bytes:
        """Drop what has arrived and was not read; return it."""
        found = bytes(self._buffer)
        self._buffer.clear()
        return found

    def start_tls(self, context: ssl.SSLContext, *, server_side: bool = False) -> None:
        """Make the TLS handshake.

        Raises:
            Closed: It failed.
        """
        self.socket.settimeout(self.timeout)
        try:
            self.socket = context.wrap_socket(
                self.socket, server_side=server_side, suppress_ragged_eofs=False, do_handshake_on_connect=True
            )
        except (OSError, ValueError) as error:
            self.dialog.append(f"-- the TLS handshake failed: {error}")
            self.closed = True
            raise Closed(f"the TLS handshake failed: {error}") from None
        self.dialog.append("-- TLS is active")

    def refuse_tls(self, octets: bytes) -> None:
        """Read what the peer begins a TLS handshake with, and answer with something else.

        Raises:
            Closed: Always: no handshake was made.
        """
        with contextlib.suppress(Silent, Closed):
            self._fill(time.monotonic() + self.timeout)
        self.forget()
        self._record(self._own, octets)
        with contextlib.suppress(OSError):
            self.socket.sendall(octets)
        self.dialog.append("-- the TLS handshake was refused")
        raise Closed("the TLS handshake was refused")

    def resume(self, sock: socket.socket) -> None:
        """Go on in plaintext after a failed handshake, on a duplicate of the socket."""
        self.close()
        self.socket, self.closed = sock, False

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        with contextlib.suppress(OSError):
            self.socket.close()

    def abort(self) -> None:
        """Close the connection by a reset, without any farewell."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def _fill(self, deadline: float) -> None:
        if self.closed:
            raise Closed("the connection is closed")
        try:
            self.acknowledge()
            self.socket.settimeout(max(0.0005, deadline - time.monotonic()))
            octets = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError, BlockingIOError):
            if time.monotonic() < deadline:
                return
            raise Silent("no reply in time") from None
        except OSError as error:
            self.clean_end = not isinstance(error, ssl.SSLEOFError)
            octets = b""
        if not octets:
            self.closed = True
            self.dialog.append("-- the peer has closed the connection")
            raise Closed("the peer has closed the connection")
        self._buffer += octets

    def _record(self, who: str, octets: bytes) -> None:
        self.dialog += [f"{who}: {shown(line)}" for line in _LINE.findall(octets)[:12]]
        if len(self.dialog) > _LINES_RECORDED:
            # The beginning tells how it came about, the end is the evidence.
            self.dialog[_HEAD:-_TAIL] = ["-- ..."]
