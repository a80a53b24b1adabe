"""A server's session, written once: coroutines over a stream, like the client's conversations in ``_flows``.

:class:`ServerSession` is a loop that an application runs itself, event by event, or that ``handlers`` runs for
an object with callbacks. It sees to what is not the application's business: flushing, reading, deadlines, the
TLS handshake, the farewell.

**Time.** The core says how long to wait for what; here is the clock. A deadline belongs to an event and not to
a read: octets that drip in do not prolong it. Content has a minimum rate besides, and the session an end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from . import (
    ConnectionClosed,
    Data,
    Event,
    LocalProtocolError,
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    sasl,
)
from ._flows import Stream, arrived, hello_name, words_of
from ._recorder import Recorder, make_transcript

if TYPE_CHECKING:
    from .transcript import Transcript

logger = logging.getLogger("smtpcore")

ServeOne = Callable[["ServerSession"], Any]

_CONTENT, _TLS, _CLOSED = State.CONTENT, State.TLS, State.CLOSED
_NO_HANDSHAKE = "no TLS handshake with %s: %s"


class ServeOptions(TypedDict, total=False):
    """What ``serve(handler, host, port, ...)`` of every adapter takes.

    ``handler`` is a function that is called with each :class:`ServerSession`, or an object with callbacks of
    :class:`~smtpcore.handlers.Handler`. ``host`` None stands for every interface; ``port`` 0 for a free one,
    which ``addresses`` of what ``serve()`` gives tells. ``max_connections`` sessions run at a time, the next
    ones wait; ``grace`` is how many seconds running ones get at the end.

    Attributes:
        hostname: The server's name; by default this machine's, or its address.
        config: What it offers, and its limits.
        ssl_context: The certificate. With it STARTTLS is offered, or TLS is there from the start. A callable
            is asked for each connection, so that a renewed certificate needs no restart.
        implicit_tls: TLS from the start (RFC 8314 3).
        transcript: Called for each session; gives what is to record it, or None. A recorder that fails is
            logged and dropped, and the session goes on without it.
    """

    hostname: str | None
    config: ServerConfig
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None
    implicit_tls: bool
    transcript: Callable[[], Transcript | None] | None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The same, completed and checked."""

    hostname: str | None = None
    config: ServerConfig = field(default_factory=ServerConfig)
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None
    implicit_tls: bool = False
    transcript: Callable[[], Transcript | None] | None = None

    def __post_init__(self) -> None:
        if self.implicit_tls and self.ssl_context is None:
            raise LocalProtocolError("TLS from the start needs an ssl_context")
        if self.ssl_context is None and (self.config.starttls or self.config.require_tls):
            raise LocalProtocolError("STARTTLS cannot be offered, or TLS required, without an ssl_context")
        ServerConnection(self.hostname or "[127.0.0.1]", config=self.config)  # what it refuses is refused here

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        context = self.ssl_context
        assert context is not None
        return context if isinstance(context, ssl.SSLContext) else context()


class ServerSession:
    """One client's session with a server: what an event-level handler is given.

    ::

        async for event in session:           # plain ``for`` on blocking sockets
            match event:
                case Rcpt(forward_path=path) if not known(path):
                    session.reject(550, "5.1.1", "no such mailbox")
                case Chunk(data=data):
                    ...
                case EndOfMessage():
                    save()
                    session.accept()
                case _ if session.wants_answer:
                    session.accept()

    Attributes:
        connection: The core.
        peername: The client's address, as the socket gives it.
        transcript: The recorder, if there is one.
    """

    def __init__(self, stream: Stream, options: ServerOptions) -> None:
        config = options.config
        if options.ssl_context is not None and not options.implicit_tls and not config.starttls:
            config = _with_starttls(config)
        self.connection = ServerConnection(
            options.hostname or hello_name(None, stream.sockname),
            config=config,
            tls=stream.tls,
            peer=stream.peername,
        )
        self.peername = stream.peername
        self.transcript = make_transcript(options.transcript)
        self._recorder = Recorder(self.transcript)
        self._options = options
        self._timeouts = config.timeouts
        self._stream = stream
        self._began = time.monotonic()
        self._content_began: float | None = None
        self._content_octets = 0
        if self.transcript is not None and stream.tls is not None:
            self._recorder.tls(f"{stream.tls.version} {stream.tls.cipher}")

    # -- for handlers --

    def accept(self, text: str | None = None, *, identity: str | None = None) -> None:
        """Grant what the last event asks for; see :meth:`smtpcore.ServerConnection.accept`."""
        self.connection.accept(text, identity=identity)

    def reject(self, code: int, status: str | None, text: str) -> None:
        """Refuse it; see :meth:`smtpcore.ServerConnection.reject`."""
        self.connection.reject(code, status, text)

    def send(self, reply: Reply) -> None:
        """Answer it; see :meth:`smtpcore.ServerConnection.send`."""
        self.connection.send(reply)

    def supply(self, secret: str | sasl.StoredSecret | None) -> None:
        """Answer a question for a secret; see :meth:`smtpcore.ServerConnection.supply`."""
        self.connection.supply(secret)

    @property
    def wants_answer(self) -> bool:
        """Whether the last event has to be answered, and has not been."""
        return self.connection.unanswered is not None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = self.connection.next_event() or await self._wait_for_event()
        if event.__class__ is ConnectionClosed:
            raise StopAsyncIteration
        if event.__class__ is Data:
            self._content_began = None
        return event

    async def next_event(self) -> Event | None:
        """The next event; None when the session is over.

        Raises:
            LocalProtocolError: The last event has not been answered.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    async def _wait_for_event(self) -> Event:
        """Send what there is to send, and read until there is an event."""
        connection, stream = self.connection, self._stream
        began = time.monotonic()
        now = began
        event: Event | None = None
        while event is None:
            if octets := connection.data_to_send():
                await self._write(octets)
            state = connection.state
            if state is _TLS:
                await self._shake_hands()
            elif state is not _CLOSED:
                # Between messages a server that stops may end a session, within one it waits for the end.
                stream.idle = state is not _CONTENT
                deadline = min(began + connection.timeout, self._latest(state, now))
                try:
                    data = await stream.read(deadline - now)
                except TimeoutError:
                    connection.close(connection.timeout_reply)
                except OSError as error:
                    self._lost(error)
                else:
                    self._received(data)
                    if state is _CONTENT:
                        self._content_octets += len(data)
            event = connection.next_event()
            if event is None and state is _CLOSED:
                return ConnectionClosed()  # the core says it once; here each caller is told
            if event is None:
                now = time.monotonic()
                if state is _CONTENT:
                    began = now  # content that was refused is read to its end without an event
        return event

    def _latest(self, state: State, now: float) -> float:
        """When the patience of the session as a whole ends: a client must not dawdle for ever."""
        if state is _CONTENT:
            if self._content_began is None:
                self._content_began, self._content_octets = now, 0
            allowed = self._timeouts.server + self._content_octets / self._timeouts.content_rate
            return self._content_began + allowed
        return self._began + self._timeouts.session

    def _received(self, data: bytes) -> None:
        if self.transcript is not None:
            self._recorder.client(data)
        if not data and self._stream.stopping:
            self.connection.close()
        else:
            self.connection.receive_data(data)

    def _lost(self, error: OSError) -> None:
        if self.transcript is not None:
            self._recorder.note(f"the connection broke: {words_of(error)}")
        self.connection.receive_data(b"")

    async def _write(self, data: bytes) -> None:
        if self.transcript is not None:
            self._recorder.server(data)
        try:
            await self._stream.write(data, self._timeouts.server)
        except OSError as error:  # a time-out is one
            # What the client had sent before it was gone counts, a complete message above all.
            state = self.connection.state
            if state is not _TLS and state is not _CLOSED and (last_words := arrived(self._stream)):
                self._received(last_words)
            self._lost(error)

    async def _shake_hands(self) -> None:
        try:
            info = await self._stream.start_tls(
                self._options.context(),
                server_side=True,
                server_hostname=None,
                timeout=self._timeouts.connect,
            )
        except OSError as error:
            logger.info(_NO_HANDSHAKE, self.peername, words_of(error))
            if self.transcript is not None:
                self._recorder.note(f"the TLS handshake failed: {words_of(error)}")
            self.connection.close()
        else:
            if self.transcript is not None:
                self._recorder.tls(f"{info.version} {info.cipher}")
            self.connection.tls_started(info)

    async def finish(self) -> None:
        """Say the farewell that is due, if any can still be said. For adapters."""
        self.connection.close()  # unless it is closed already
        if octets := self.connection.data_to_send():
            with contextlib.suppress(RuntimeError):
                await self._write(octets)
        if self.transcript is not None:
            self._recorder.end()


@functools.lru_cache(maxsize=16)
def _with_starttls(config: ServerConfig) -> ServerConfig:
    return dataclasses.replace(config, starttls=True)


async def serve_one(
    stream: Stream,
    make_session: Callable[[Stream, ServerOptions], ServerSession],
    handler: ServeOne,
    options: ServerOptions,
) -> None:
    """Run one session on a connection that was accepted. For adapters.

    A handler that fails, or that leaves before the end, leaves nothing half-accepted: the client is told 421.
    """
    if options.implicit_tls:
        try:
            await stream.start_tls(
                options.context(),
                server_side=True,
                server_hostname=None,
                timeout=options.config.timeouts.connect,
            )
        except OSError as error:
            hint = " (does the client speak plain SMTP?)" if stream.first_octets[:2].isalpha() else ""
            logger.info(_NO_HANDSHAKE, stream.peername, words_of(error) + hint)
            return
    session = make_session(stream, options)
    try:
        result = handler(session)
        if isinstance(result, Awaitable):
            await result
    except Exception:
        session.connection.close(Reply(421, "4.3.0", "internal error"))
        raise
    finally:
        await session.finish()
