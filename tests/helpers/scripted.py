"""The other side of a conversation, written down beforehand; and a stream that leads to it, without sockets.

A script is a list of steps. A step is what we must have written since the one before, and what the other side
does then. We come to the next step whenever we read with nothing left to be read; so a script checks that we
wait where we have to, and write in one go what belongs together.

What must have been written is

* text: exactly these lines; each gets a CRLF, and lines are parted by a newline;
* text of reply codes only, such as ``"250 250 354"``: replies with these codes;
* bytes: exactly these octets;
* ``ANY``: anything or nothing;
* ``TLS``: nothing, but ``start_tls()`` was called; what follows is the result, a ``TlsInfo`` or an exception;
* ``TLS_BEHIND_220``: the same, after this reply.

What the other side does is text (lines, as above), bytes, ``EOF``, an exception that the read then raises, a
``Pause`` on the clock, a function to call with the stream, or a list of these. The clock is the test's own:
nothing here waits.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import pytest

from smtpcore import TlsInfo
from smtpcore._net import batch as _batch
from smtpcore._net import client as _flows
from smtpcore._net import connect as _connect
from smtpcore._net import dialogue as _dialogue
from smtpcore._net import sending as _sending
from smtpcore._net import session as _sessions
from smtpcore._net import stream as _streams
from smtpcore._net.stream import run

T = TypeVar("T")

ANY = None
EOF = b""
TLS = object()
TLS_BEHIND_220 = object()

Steps = Iterable[tuple[Any, Any]]


class Pause(NamedTuple):
    """The other side does nothing for some seconds."""

    seconds: float


class Clock:
    """Stands for the module ``time`` in the flows."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only a Pause moves."""
    instance = Clock()
    monkeypatch.setattr(_batch, "time", instance)
    monkeypatch.setattr(_dialogue, "time", instance)
    monkeypatch.setattr(_sending, "time", instance)
    monkeypatch.setattr(_connect, "time", instance)
    monkeypatch.setattr(_sessions, "time", instance)
    monkeypatch.setattr(_streams, "time", instance)
    return instance


def lines(text: str) -> bytes:
    """Text as it goes over the wire."""
    return "".join(f"{line}\r\n" for line in text.split("\n")).encode("utf-8")


def codes(octets: bytes) -> str:
    """The codes of the replies among octets."""
    return " ".join(line[:3].decode() for line in octets.split(b"\r\n") if line[3:4] != b"-" and line)


class Stream:
    """A stream whose other end is a script.

    Attributes:
        written: Everything that was written.
        timeouts, write_timeouts: The seconds that each read, and each write, was given.
        sizes: Octets of each write.
        handshakes: The arguments of each start_tls().
        aborted, closed: What was done to the stream.
        opened: The arguments that it was opened with.
        write_error: Raised by the next write.
        early: What has arrived, as ``arrived()`` gives it.
        turns: How often the session has let others run.
    """

    def __init__(
        self, steps: Steps, *, clock: Clock | None = None, sockname: Any = ("192.0.2.1", 49152)
    ) -> None:
        self.peername: Any = ("192.0.2.2", 25)
        self.sockname = sockname
        self.tls: TlsInfo | None = None
        self.first_octets = b""
        self.idle = False
        self.stopping = False
        self.farewell: Callable[[], bytes] | None = None
        self.turns = 0
        self.written = b""
        self.timeouts: list[float | None] = []
        self.write_timeouts: list[float | None] = []
        self.sizes: list[int] = []
        self.handshakes: list[dict[str, Any]] = []
        self.aborted = self.closed = False
        self.opened: tuple[Any, ...] = ()
        self.write_error: OSError | None = None
        self.early: bytes | None = None
        self._clock = clock or Clock()
        self._steps = deque(steps)
        self._seen = 0
        self._actions: deque[Any] = deque()

    async def open(self, host: str, port: int, *, local_address: str | None, timeout: float) -> Stream:
        self.opened = (host, port, local_address, timeout)
        return self

    async def read(self, timeout: float | None) -> bytes:
        self._check_open()
        self.timeouts.append(timeout)
        while True:
            if not self._actions:
                self._next_step()
            action = self._actions.popleft()
            if isinstance(action, Pause):
                if timeout is not None and timeout < action.seconds:
                    self._clock.now += max(0.0, timeout)
                    self._actions.appendleft(Pause(action.seconds - timeout))
                    raise TimeoutError("the peer took too long")
                self._clock.now += action.seconds
                timeout = None if timeout is None else timeout - action.seconds
            elif isinstance(action, BaseException):
                raise action
            elif callable(action):
                action(self)
            else:
                return lines(action) if isinstance(action, str) else bytes(action)

    def arrived(self) -> bytes | None:
        """``early``, or what was sent in the same step and has not been read."""
        if self.early is not None:
            early, self.early = self.early, None
            return early
        readable = not self.aborted and self.write_error is None and self._actions
        if readable and isinstance(self._actions[0], (str, bytes)):
            action = self._actions.popleft()
            return lines(action) if isinstance(action, str) else action
        return None

    async def write(self, data: bytes, timeout: float | None) -> None:
        self._check_open()
        self.write_timeouts.append(timeout)
        if self.write_error is not None:
            raise self.write_error
        self.written += data
        self.sizes.append(len(data))

    async def start_tls(self, context: ssl.SSLContext, **options: Any) -> TlsInfo:
        self._check_open()
        self.handshakes.append({"context": context, **options})
        assert not self._actions, f"{self._actions} came before the handshake"
        self._next_step(handshake=True)
        outcome = self._actions.popleft()
        if isinstance(outcome, BaseException):
            self.abort()
            raise outcome
        assert isinstance(outcome, TlsInfo)
        self.tls = outcome
        return outcome

    async def give_way(self) -> None:
        self.turns += 1

    async def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def dismiss(self) -> None:
        if self.farewell is not None and self.write_error is None:
            self.written += self.farewell()
        self.abort()

    def finish(self, last: Any = b"") -> None:
        """See that the script has been followed to its end, with ``last`` written after it."""
        assert not self._steps, f"the script goes on: {list(self._steps)}"
        self._compare(last)
        assert self.closed

    def _check_open(self) -> None:
        if self.aborted or self.closed:
            raise ConnectionAbortedError("this stream is closed")

    def _next_step(self, *, handshake: bool = False) -> None:
        assert self._steps, f"the script is over, but we go on, having written {self.written[self._seen :]!r}"
        expected, actions = self._steps.popleft()
        assert (expected in (TLS, TLS_BEHIND_220)) == handshake, f"{expected!r} was expected"
        self._compare(b"" if expected is TLS else "220" if expected is TLS_BEHIND_220 else expected)
        self._actions.extend(actions if isinstance(actions, list) else [actions])

    def _compare(self, expected: Any) -> None:
        written, self._seen = self.written[self._seen :], len(self.written)
        if isinstance(expected, str) and re.fullmatch(r"\d{3}( \d{3})*", expected):
            assert codes(written) == expected, written
        elif expected is not ANY:
            assert written == (lines(expected) if isinstance(expected, str) else expected)


GREETING = (b"", "220 mx.example ESMTP")


def ehlo(*keywords: str, name: str = "client.example") -> tuple[str, str]:
    """The step in which the server says what it offers."""
    offer = ["mx.example greets you", *keywords]
    return f"EHLO {name}", "\n".join(f"250{' ' if line is offer[-1] else '-'}{line}" for line in offer)


QUIT = ("QUIT", "221 bye")


def connect(stream: Stream, *, port: int = 25, host: str = "mx.example", **options: Any) -> _flows.Client:
    """Connect to a script."""
    given: Any = {"local_hostname": "client.example", "security": "none", **options}
    return run(_connect.connect_client(stream.open, host, port, given))


def talk(
    steps: Steps,
    conversation: Callable[[_flows.Client], Awaitable[T]],
    *,
    keywords: Sequence[str] = (),
    last: Any = b"",
    **options: Any,
) -> T:
    """Connect, run a conversation, leave, and see that all has gone as written.

    Args:
        steps: What happens between the first EHLO and the end, QUIT included if it is said.
        conversation: Called with the client.
        keywords: What the server offers.
        last: What is written after the last step.
        options: Those of connect(), and ``clock``.
    """
    stream = Stream([GREETING, ehlo(*keywords), *steps], clock=options.pop("clock", None))

    async def all_of_it() -> T:
        given: Any = {"local_hostname": "client.example", "security": "none", **options}
        async with await _connect.connect_client(stream.open, "mx.example", 25, given) as client:
            return await conversation(client)

    try:
        return run(all_of_it())
    finally:
        stream.finish(last)


def serve(
    handler: Any,
    steps: Steps,
    *,
    last: Any = b"",
    clock: Clock | None = None,
    stream: Stream | None = None,
    **options: Any,
) -> Stream:
    """Run a session of a server whose client follows a script."""
    from smtpcore._net.serving import session_runner

    stream = stream or Stream(steps, clock=clock)
    given = _sessions.ServerOptions(**{"hostname": "mx.example", **options})

    async def session() -> None:
        try:
            await session_runner(handler, given, _sessions.ServerSession)(stream)
        finally:
            await stream.close()

    try:
        run(session())
    finally:
        stream.finish(last)
    return stream
