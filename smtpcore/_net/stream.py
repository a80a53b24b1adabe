"""What a conversation needs of a stream, and how to run one that never suspends.

**The pump.** A client reads: it has sent a command and waits for the reply. A server is called: whatever the
client sends, the session has to react. So what a server's session needs of a stream is not a read but a pump.
The session gives it a plain function, and the pump calls the function with each thing that arrives (octets,
``b""`` for the end, an ``OSError`` as a value, ``TimeoutError`` at the deadline), as soon as it arrives, until
the function gives something back. The session's task sleeps meanwhile: on asyncio the function is called within
the transport's callback, so no task is woken for what needs no waiting. ``read()`` is the pump of the function
that gives back what it gets.

Writing is the same: ``begin_write()`` sends what the system accepts at once, and gives an awaitable only if
that is not all.

The streams of the adapters do both. For a stream of one's own, which only reads and writes,
:class:`ReadingPump` does the one by the other.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from .._core.limits import TlsInfo

T = TypeVar("T")

Arrival = bytes | OSError
"""What a pump gives: octets, ``b""`` for the end, TimeoutError at the deadline, another OSError for a loss."""

Take = Callable[[Arrival], T | None]
"""The function that a pump calls. After the end or an error it must give something back."""

NO_LOOP = "a coroutine suspended: on blocking sockets nothing may need an event loop"


class Stream(Protocol):
    """What a conversation needs of a connection. One caller at a time reads, and one writes.

    An object with these attributes and methods is enough; it need not inherit. Time is in seconds.

    Attributes:
        peername: The address of the other side; a tuple ``(host, port)``, or ``""`` if there is none.
        sockname: The address of this side.
        tls: The facts of TLS after ``start_tls()``; None in plaintext.
        first_octets: What the other side sent first in a TLS handshake, for a hint if it failed; ``b""``.
        idle: Set by the session: a read may be cut short because the server stops.
        stopping: Set when the server stops; a read that is idle then returns ``b""``.
        farewell: Set by the session; returns the octets of a last reply, for ``dismiss()``.
    """

    peername: Any
    sockname: Any
    tls: TlsInfo | None
    first_octets: bytes
    idle: bool
    stopping: bool
    farewell: Callable[[], bytes] | None

    async def read(self, timeout: float | None) -> bytes:
        """Wait for octets, and return what has arrived; ``b""`` at the end. None waits without a limit.

        Raises:
            TimeoutError: Nothing has arrived; the stream can still be used.
            OSError: The connection is lost.
        """
        ...

    async def write(self, data: bytes, timeout: float | None) -> None:
        """Send all octets.

        Raises:
            TimeoutError, OSError: The connection cannot be used any more.
        """

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo:
        """Do the TLS handshake, set ``tls``, and return it. Octets read in plaintext belong to the handshake.

        Raises:
            TimeoutError, OSError: It failed, or the stream has no TLS; the connection cannot be used any more.
        """
        ...

    async def give_way(self) -> None:
        """Let other tasks run: called after a number of commands that needed no waiting."""

    async def close(self) -> None:
        """Close the connection. A second call does nothing."""

    def abort(self) -> None:
        """Break the connection without waiting: pending and later calls fail."""

    def dismiss(self) -> None:
        """Send what ``farewell()`` returns, if that needs no waiting; then ``abort()``."""


class Pump(Protocol):
    """What a session of a server needs of a stream besides the methods of :class:`Stream`.

    Attributes:
        deadline: The time, as ``time.monotonic()`` gives it, at which the function gets a TimeoutError. The
            function may change it.
    """

    deadline: float

    async def pump(self, take: Take[T]) -> T:
        """Call a function with what arrives until it gives something other than None, and return that.

        An exception of the function is raised here; the stream can still be used. After an error that the
        function got, TimeoutError excepted, it cannot.
        """
        ...

    def begin_write(self, data: bytes, timeout: float | None) -> Awaitable[None] | None:
        """Send octets: None if the system has accepted all at once, else what has to be awaited.

        Raises:
            TimeoutError, OSError: Here or when it is awaited: the connection cannot be used any more.
        """
        ...


class ReadingPump:
    """The pump of a stream that only has the methods of :class:`Stream`."""

    def __init__(self, stream: Stream) -> None:
        self.deadline = math.inf
        self._stream = stream

    async def pump(self, take: Take[T]) -> T:
        while True:
            arrival: Arrival
            try:
                arrival = await self._stream.read(self._seconds_left())
            except OSError as error:
                arrival = error
            if (result := take(arrival)) is not None:
                return result

    def begin_write(self, data: bytes, timeout: float | None) -> Awaitable[None] | None:
        return self._stream.write(data, timeout)

    def _seconds_left(self) -> float | None:
        return None if self.deadline == math.inf else max(0.0, self.deadline - time.monotonic())


def pump_of(stream: Stream) -> Pump:
    """The pump of a stream: its own if it has one."""
    return cast(Pump, stream) if hasattr(stream, "pump") else ReadingPump(stream)


def arrived(stream: Stream) -> bytes | None:
    """What has arrived on a stream, without waiting: None for nothing, or if it cannot tell."""
    look: Callable[[], bytes | None] | None = getattr(stream, "arrived", None)
    return None if look is None else look()


def expect_silence(stream: Stream, silence: bool) -> None:
    """Say whether the peer has nothing to send until it has what is written now, as during content.

    A stream that can tell then ends a write that has to wait as soon as the peer sends something: a server that
    has refused a message need not read the rest of it (RFC 5321 4.2.5).
    """
    if hasattr(stream, "expects_silence"):
        cast(Any, stream).expects_silence = silence


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and give its result.

    Raises:
        RuntimeError: It did suspend, because it awaited something that needs an event loop. This is raised at
            the very place, so a handler that does so has failed, and is treated, like any that fails.
    """
    try:
        coroutine.send(None)
        while True:
            coroutine.throw(RuntimeError(NO_LOOP))
    except StopIteration as stop:
        result: T = stop.value
        return result
