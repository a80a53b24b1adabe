"""A server's session, written once: coroutines over a stream, like the client's in ``_net.client``.

:class:`ServerSession` is a loop that an application runs itself, event by event, or that ``handlers`` runs for
an object with callbacks. It sees to what is not the application's business: flushing, reading, deadlines, the
TLS handshake, the farewell.

**Time.** The core says how long to wait for what; here is the clock. A deadline belongs to an event and not to
a read: octets that drip in do not prolong it. Content has a minimum rate and a latest end besides, and the
session an end. A deadline that has passed ends the session also if octets are ready to be read, since a session
that is flooded never has to wait.

**Fairness.** Commands that have arrived need no waiting, so a flood of them would keep the event loop, and all
replies to it would be held until the end. After TURN events or reads a session sends its replies and lets the
others run; after OUTPUT octets of replies it sends them.

**The end.** If a session is busy in a handler when the grace of a server that stops is over, the listener sends
its farewell: the stream calls ``_farewell()``. A handler that accepts a message after that is too late.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import logging
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from .. import sasl
from .._core.config import ServerConfig
from .._core.errors import LocalProtocolError
from .._core.events import ConnectionClosed, Data, Ehlo, EndOfMessage, Envelope, Event, Helo
from .._core.limits import TlsInfo
from .._core.replies import Reply
from .._core.server import ServerConnection
from .._core.state import State
from .connect import hello_name
from .hints import words_of
from .options import wrong_type
from .recorder import Recorder, make_transcript
from .stream import Stream, arrived, run
from .workers import Blocking, R, run_blocking

if TYPE_CHECKING:
    from ..transcript import Transcript

logger = logging.getLogger("smtpcore")

ServeOne = Callable[["ServerSession"], Any]

_CONTENT, _TLS, _CLOSED = State.CONTENT, State.TLS, State.CLOSED
_NO_HANDSHAKE = "no TLS handshake with %s: %s"
_INTERNAL_ERROR = Reply(421, "4.3.0", "internal error")

TURN = 100  # events and reads until a session lets others run
LOOK = 10  # of these until it looks how much output there is
OUTPUT = 65536  # octets of replies that are held


_DEFAULT_CONFIG = ServerConfig()


class ServeOptions(TypedDict, total=False):
    """The keyword arguments of ``serve()`` that become :class:`ServerOptions`; ``serve()`` documents them."""

    hostname: str | None
    config: ServerConfig | Callable[[Any], ServerConfig] | None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None
    implicit_tls: bool
    transcript: Callable[[], Transcript | None] | None
    greet_pause: float


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of a server, checked."""

    hostname: str | None = None
    config: ServerConfig | Callable[[Any], ServerConfig] | None = None
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None
    implicit_tls: bool = False
    transcript: Callable[[], Transcript | None] | None = None
    greet_pause: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.hostname, (str, type(None))):
            raise wrong_type("hostname", "a string", self.hostname)
        if self.config is not None and not (isinstance(self.config, ServerConfig) or callable(self.config)):
            raise wrong_type("config", "a ServerConfig, or a function of the peer's address", self.config)
        context = self.ssl_context
        if context is not None and not (isinstance(context, ssl.SSLContext) or callable(context)):
            raise wrong_type("ssl_context", "an ssl.SSLContext, or a function that returns one", context)
        if not isinstance(self.implicit_tls, bool):
            raise wrong_type("implicit_tls", "True or False", self.implicit_tls)
        if self.transcript is not None and not callable(self.transcript):
            raise wrong_type("transcript", "a function that returns a Transcript", self.transcript)
        check_seconds("greet_pause", self.greet_pause)
        if self.implicit_tls and self.ssl_context is None:
            raise LocalProtocolError("TLS from the start needs an ssl_context")
        config = self.fixed_config
        if self.ssl_context is None and (config.starttls or config.require_tls):
            raise LocalProtocolError("STARTTLS cannot be offered, or TLS required, without an ssl_context")
        ServerConnection(self.hostname or "[127.0.0.1]", config=config)  # what it refuses is refused here

    @property
    def fixed_config(self) -> ServerConfig:
        """The configuration; the default while it depends on the peer."""
        return self.config if isinstance(self.config, ServerConfig) else _DEFAULT_CONFIG

    def for_peer(self, peername: object) -> ServerOptions:
        """The same options with the configuration for one peer."""
        if self.config is None or isinstance(self.config, ServerConfig):
            return self
        config = self.config(peername)
        if not isinstance(config, ServerConfig):
            raise wrong_type("what config() returns", "a ServerConfig", config)
        return dataclasses.replace(self, config=config)

    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        context = self.ssl_context
        assert context is not None
        return context if isinstance(context, ssl.SSLContext) else context()


def check_seconds(name: str, value: object) -> None:
    """Raise an error unless a value is a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number of seconds", value)
    if not value >= 0:  # NaN is not, either
        raise LocalProtocolError(f"{name} is a number of seconds, 0 or more, not {value!r}")


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
                case _ if session.unanswered:
                    session.accept()

    Attributes:
        connection: The core.
        peername: The client's address, as the socket gives it.
        sockname: The server's address, as the socket gives it.
        id: A name of the session for logs: 16 hexadecimal digits, different for each session.
        started: When the session began, in UTC.
        octets_received: How many octets the client has sent, TLS records not counted.
        octets_sent: How many octets of replies were sent.
        data: A dictionary for the application; smtpcore does not use it.
        transcript: The recorder, if there is one.
    """

    def __init__(self, stream: Stream, options: ServerOptions) -> None:
        config = options.fixed_config
        if options.ssl_context is not None and not options.implicit_tls and not config.starttls:
            config = _with_starttls(config)
        self.connection = ServerConnection(
            options.hostname or hello_name(None, stream.sockname),
            config=config,
            tls=stream.tls,
            peer=stream.peername,
        )
        self.peername = stream.peername
        self.sockname = stream.sockname
        self.id = secrets.token_hex(8)
        self.started = datetime.datetime.now(datetime.UTC)
        self.octets_received = 0
        self.octets_sent = 0
        self.data: dict[str, Any] = {}
        self.transcript = make_transcript(options.transcript)
        self._recorder = Recorder(self.transcript)
        self._options = options
        self._timeouts = config.timeouts
        self._content_rate = config.limits.content_rate
        self._stream = stream
        self._began = time.monotonic()
        self._content_began: float | None = None
        self._content_octets = 0
        self._lost_client = False
        self._steps = 0  # events and reads since others have had their turn
        self._dismissed: Event | None = None  # what was unanswered when the session was ended from outside
        stream.farewell = self._farewell
        if self.transcript is not None and stream.tls is not None:
            self._recorder.record_tls(f"{stream.tls.version} {stream.tls.cipher}")

    # -- for handlers --

    def accept(self, text: str | None = None, *, identity: str | None = None) -> None:
        """Grant what the last event asks for; see :meth:`smtpcore.ServerConnection.accept`."""
        try:
            self.connection.accept(text, identity=identity)
        except LocalProtocolError:
            self._tell_late()
            raise

    def reject(self, code: int, status: str | None, text: str) -> None:
        """Refuse it; see :meth:`smtpcore.ServerConnection.reject`."""
        self.connection.reject(code, status, text)

    def send(self, reply: Reply) -> None:
        """Answer it; see :meth:`smtpcore.ServerConnection.send`."""
        try:
            self.connection.send(reply)
        except LocalProtocolError:
            if reply.is_success:
                self._tell_late()
            raise

    def supply_secret(self, secret: str | sasl.StoredSecret | None) -> None:
        """Answer a question for a secret; see :meth:`smtpcore.ServerConnection.supply_secret`."""
        self.connection.supply_secret(secret)

    @property
    def unanswered(self) -> Event | None:
        """The event that has to be answered before the next one; None if there is none."""
        return self.connection.unanswered

    @property
    def state(self) -> State:
        """The state of the session: see :class:`smtpcore.State`."""
        return self.connection.state

    @property
    def hello(self) -> Ehlo | Helo | None:
        """The EHLO or HELO command that was accepted last; None before."""
        return self.connection.hello

    @property
    def tls(self) -> TlsInfo | None:
        """The facts of TLS, with the name that the client asked for (SNI); None in plaintext."""
        return self.connection.tls

    @property
    def authenticated(self) -> str | None:
        """The identity that the client has authenticated as; None before."""
        return self.connection.authenticated

    @property
    def envelope(self) -> Envelope | None:
        """The accepted sender and recipients of the mail transaction under way; None outside one."""
        return self.connection.envelope

    @property
    def early_input(self) -> bool:
        """Whether the client sent octets before the greeting (RFC 5321 4.3.1); see ``greet_pause``."""
        return self.connection.early_input

    def received_field(self, envelope: Envelope | None = None) -> bytes:
        """Return the Received field for a message of this session (RFC 5321 4.4).

        Args:
            envelope: Of the message; by default that of the mail transaction under way.

        Returns:
            The field, folded, CRLF included. It names a recipient only if there is exactly one.

        Raises:
            LocalProtocolError: The client has not sent EHLO or HELO.
        """
        from ..trace import received_from

        return received_from(self, envelope or self.envelope)

    async def run_blocking(self, function: Blocking[R], /, *arguments: object) -> R:
        """Run a function that waits, for a disk for instance, without holding up other sessions.

        On asyncio and trio the function runs in a worker thread of the adapter. On blocking sockets, and on a
        stream of one's own without ``run_blocking()``, it is called at once. If the session is cancelled, the
        cancellation waits until the function has returned.

        Args:
            function: A plain function.
            *arguments: The function is called with these.

        Returns:
            What the function returns.

        Raises:
            Exception: What the function raises.
        """
        return await run_blocking(self._stream, function, arguments)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over the events on blocking sockets, where nothing suspends."""
        while (event := run(self.next_event())) is not None:
            yield event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        self._steps += 1
        if not self._steps % LOOK:
            await self._give_way()
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

    async def _give_way(self) -> None:
        """Send the replies and let others run, if it is time to."""
        connection = self.connection
        if self._steps < TURN and connection.output_size < OUTPUT:
            return
        if octets := connection.data_to_send():
            await self._write(octets)
        if self._steps >= TURN:
            self._steps = 0
            await self._stream.give_way()
            if connection.state is not _CONTENT and time.monotonic() >= self._began + self._timeouts.session:
                self._time_is_up()

    async def _wait_for_event(self) -> Event:
        """Send what there is to send, and read until there is an event."""
        connection, stream = self.connection, self._stream
        began: float | None = None
        event: Event | None = None
        while event is None:
            if octets := connection.data_to_send():
                await self._write(octets)
            now = time.monotonic()
            state = connection.state
            if began is None or state is _CONTENT:
                began = now  # content that was refused is read to its end without an event
            if state is _CLOSED:
                return connection.next_event() or ConnectionClosed()  # also if it was asked for before
            if self._lost_client:
                pass  # commands that arrived before the client was gone are run
            elif state is _TLS:
                await self._shake_hands()
            elif (deadline := min(began + connection.timeout, self._latest(state, now))) <= now:
                self._time_is_up()
            else:
                # Between messages a server that stops may end a session, within one it waits for the end.
                stream.idle = state is not _CONTENT
                try:
                    data = await stream.read(deadline - now)
                except TimeoutError:
                    self._time_is_up()
                except OSError as error:
                    self._lost(error)
                else:
                    self._received(data)
                    if state is _CONTENT:
                        self._content_octets += len(data)
            event = connection.next_event()
            if event is None and state is _CLOSED:
                return ConnectionClosed()  # the core says it once; here each caller gets it
            if event is None:
                self._steps += 1
                if self._steps >= TURN:
                    await self._give_way()
        return event

    def _time_is_up(self) -> None:
        self.connection.close(self.connection.timeout_reply)

    def _latest(self, state: State, now: float) -> float:
        """When the patience of the session as a whole ends: a client must not dawdle for ever."""
        if state is _CONTENT:
            if self._content_began is None:
                self._content_began, self._content_octets = now, 0
            allowed = self._timeouts.idle + self._content_octets / self._content_rate
            return self._content_began + min(allowed, self._timeouts.content)
        return self._began + self._timeouts.session

    def _received(self, data: bytes) -> None:
        self.octets_received += len(data)
        if self.transcript is not None:
            self._recorder.record_client(data)
        if not data and self._stream.stopping:
            self.connection.close()
        else:
            self.connection.receive_data(data)

    def _lost(self, error: OSError) -> None:
        self._lost_client = True
        if self.transcript is not None:
            self._recorder.record_note(f"the connection broke: {words_of(error)}")
        self.connection.receive_data(b"")

    async def _write(self, data: bytes) -> None:
        if self._lost_client:
            return
        self.octets_sent += len(data)
        if self.transcript is not None:
            self._recorder.record_server(data)
        try:
            await self._stream.write(data, self._timeouts.idle)
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
                self._recorder.record_note(f"the TLS handshake failed: {words_of(error)}")
            self.connection.close()
        else:
            if self.transcript is not None:
                self._recorder.record_tls(f"{info.version} {info.cipher}")
            self.connection.tls_started(info)

    def _farewell(self) -> bytes:
        """Close the session from outside while a handler is busy; give the octets that are due."""
        connection = self.connection
        self._dismissed = connection.unanswered
        connection.close()
        octets = connection.data_to_send()
        self.octets_sent += len(octets)
        if octets and self.transcript is not None:
            self._recorder.record_server(octets)
        return octets

    def _tell_late(self) -> None:
        event, self._dismissed = self._dismissed, None
        if isinstance(event, EndOfMessage):
            logger.warning(
                "a message of %s was accepted after the server had stopped: the client got 421, and may"
                " send the message again",
                self.peername,
            )

    async def wait_before_greeting(self, seconds: float) -> None:
        """Wait some seconds for a client that does not wait for the greeting. For adapters.

        The wait ends when the first octets arrive; ``early_input`` is then true.
        """
        self._stream.idle = True
        try:
            data = await self._stream.read(seconds)
        except TimeoutError:
            return
        except OSError as error:
            self._lost(error)
            return
        self._received(data)

    async def finish(self) -> None:
        """Say the farewell that is due, if any can still be said. For adapters."""
        self.connection.close()  # unless it is closed already
        if octets := self.connection.data_to_send():
            with contextlib.suppress(RuntimeError):
                await self._write(octets)
        if self.transcript is not None:
            self._recorder.record_end()


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

    A handler that fails, or that leaves before the end, leaves nothing half-accepted: the client gets 421.
    """
    try:
        options = options.for_peer(stream.peername)
    except Exception:
        if not options.implicit_tls:
            session = make_session(stream, dataclasses.replace(options, config=None))
            session.connection.close(_INTERNAL_ERROR)
            await session.finish()
        raise
    if options.implicit_tls:
        try:
            await stream.start_tls(
                options.context(),
                server_side=True,
                server_hostname=None,
                timeout=options.fixed_config.timeouts.connect,
            )
        except OSError as error:
            hint = " (does the client speak plain SMTP?)" if stream.first_octets[:2].isalpha() else ""
            logger.info(_NO_HANDSHAKE, stream.peername, words_of(error) + hint)
            return
    session = make_session(stream, options)
    try:
        if options.greet_pause:
            await session.wait_before_greeting(options.greet_pause)
        result = handler(session)
        if isinstance(result, Awaitable):
            await result
    except (Exception, SystemExit, KeyboardInterrupt):
        session.connection.close(_INTERNAL_ERROR)
        raise
    except BaseException:
        stream.dismiss()  # the session is cancelled: nothing can be awaited any more
        raise
    finally:
        await session.finish()


def refusal_of(options: ServerOptions) -> Callable[[Any, str], bytes]:
    """What to send to a client that gets no session. For adapters.

    Args:
        options: The options of the server.

    Returns:
        A function that is given the address of our side and a reason, and gives the octets of a 421 in place
        of a greeting (RFC 5321 3.8); none where the client expects TLS first.
    """

    def refusal(sockname: Any, reason: str) -> bytes:
        if options.implicit_tls:
            return b""
        connection = ServerConnection(
            options.hostname or hello_name(None, sockname), config=options.fixed_config
        )
        connection.close(Reply(421, "4.3.2", reason))
        return connection.data_to_send()

    return refusal
