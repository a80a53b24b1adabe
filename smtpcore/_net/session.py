"""A server's session, written once for all adapters.

A session is a plain function, ``_advance()``: it asks the core for the next event; when there is none left, it
sends the replies in one write, sets the deadline, and it is the client's turn. When the client sends more, the
pump of the stream calls the function again with it (see ``_net.stream``), and the function gives it to the
core. Only what cannot be done at once is awaited: a write that the system does not accept as a whole, a TLS
handshake, the turn of other sessions. One coroutine awaits it, ``_run()``.

An application runs a session itself, with ``async for event in session``, or ``_net.callbacks`` runs it for an
object with methods: they call ``_advance()`` and answer the event.

**Time.** The core says how long to wait for what; here is the clock. A deadline belongs to an event and not to
a read: octets that drip in do not prolong it. Content has a minimum rate and a latest end besides, and the
session an end. A deadline that has passed ends the session also if octets are ready to be read, since a session
that is flooded never has to wait.

**Fairness.** Commands that have arrived need no waiting, so a flood of them would keep the event loop, and all
replies to it would be held until the end. After TURN events, or reads without an event, a session sends its
replies and lets the others run; after OUTPUT octets of replies it sends them.

**The end.** If a session is busy in a handler when the grace of a server that stops is over, the listener sends
its farewell: the stream calls ``_farewell()``. A handler that accepts a message after that is too late.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from .. import sasl
from .._core.errors import LocalProtocolError
from .._core.events import ConnectionClosed, Data, Ehlo, EndOfMessage, Envelope, Event, Helo
from .._core.limits import TlsInfo
from .._core.replies import Reply
from .._core.server import ServerConnection
from .._core.state import State
from .basestream import peer_in_words
from .connect import hello_name
from .hints import words_of
from .recorder import NO_RECORDER, Recorder, make_transcript
from .serveroptions import ServerOptions, with_starttls
from .stream import Arrival, Stream, arrived, pump_of, run
from .workers import Blocking, R, run_blocking

logger = logging.getLogger("smtpcore")

_CONTENT, _TLS, _CLOSED = State.CONTENT, State.TLS, State.CLOSED
NO_HANDSHAKE = "no TLS handshake with %s: %s"

TURN = 100  # events and reads until a session lets others run
LOOK = 10  # of these until it looks how much output there is
OUTPUT = 65536  # octets of replies that are held

# What _advance() gives: an event, what has to be awaited before the next call, or None for the client's turn.
Due = Event | Awaitable[None] | None


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
        started: When the session began, in UTC.
        octets_received: How many octets the client has sent, TLS records not counted.
        octets_sent: How many octets of replies were sent.
        transcript: The recorder, if there is one.
    """

    def __init__(self, stream: Stream, options: ServerOptions) -> None:
        config = options.fixed_config
        if options.ssl_context is not None and not options.implicit_tls and not config.starttls:
            config = with_starttls(config)
        self.connection = ServerConnection(
            options.hostname or hello_name(None, stream.sockname),
            config=config,
            tls=stream.tls,
            peer=stream.peername,
        )
        self.peername = stream.peername
        self.sockname = stream.sockname
        self.started = datetime.datetime.now(datetime.UTC)
        self.octets_received = 0
        self.octets_sent = 0
        self.transcript = make_transcript(options.transcript)
        self._recorder = NO_RECORDER if self.transcript is None else Recorder(self.transcript)
        self._options = options
        self._timeouts = config.timeouts
        self._content_rate = config.limits.content_rate
        self._stream = stream
        self._pump = pump_of(stream)
        self._latest_end = time.monotonic() + config.timeouts.session
        self._patience = self.connection.timeout  # is the same in each state
        self._waits_since: float | None = None  # None if there was an event since the last wait
        self._content_began: float | None = None
        self._content_from = 0  # octets received when it began
        self._lost_client = False
        self._steps = 0  # events, and reads without one, since others have had their turn
        self._next_look = LOOK  # the step at which to look whether it is their turn
        self._dismissed: Event | None = None  # what was unanswered when the session was ended from outside
        stream.farewell = self._farewell
        if self.transcript is not None and stream.tls is not None:
            self._recorder.record_tls(f"{stream.tls.version} {stream.tls.cipher}")

    # -- for handlers --

    @functools.cached_property
    def id(self) -> str:
        """A name of the session for logs: 16 hexadecimal digits, different for each session."""
        return secrets.token_hex(8)  # a system call, which sessions without such a log do not need

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """A dictionary for the application; smtpcore does not use it."""
        return {}

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
        return self.connection._unanswered  # handlers ask after each event, and a property costs a call

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
        while True:
            due = self._advance()
            event = due if isinstance(due, Event) else run(self._run(self._advance, due))
            if event.__class__ is ConnectionClosed:
                return
            yield event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        due = self._advance()
        while not isinstance(due, Event):  # as _run() does, without a coroutine of its own
            if due is None:
                due = await self._pump.pump(self._advance)
            else:
                await due
                due = self._advance()
        if due.__class__ is ConnectionClosed:
            raise StopAsyncIteration
        return due

    async def next_event(self) -> Event | None:
        """The next event; None when the session is over.

        Raises:
            LocalProtocolError: The last event has not been answered.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    # -- how it runs --

    async def _run(self, work: Callable[[Arrival | None], Due], due: Due) -> Event:
        """Do what is due, and call a function again and again, until it gives an event.

        Args:
            work: ``_advance``, or a function that calls it and gives back what it does not handle.
            due: What the function has given already.

        Returns:
            The event.
        """
        while not isinstance(due, Event):
            if due is None:
                due = await self._pump.pump(work)
            else:
                await due
                due = work(None)
        return due

    def _advance(self, arrival: Arrival | None = None) -> Due:
        """Go on to the next event, without waiting.

        Args:
            arrival: What has arrived, for the core.

        Returns:
            The event, which is a ConnectionClosed at the end. None: there is none yet, the replies are sent,
            and it is the client's turn. Otherwise an object that has to be awaited before the next call.
        """
        if arrival is not None:
            self._take(arrival)
        if self._steps >= self._next_look and (due := self._look_around()) is not None:
            return due
        event = self.connection.next_event()
        if event is None:
            return self._leave_it_to_the_client()
        self._steps += 1
        self._waits_since = None
        if event.__class__ is Data:
            self._content_began = None
        return event

    def _look_around(self) -> Awaitable[None] | None:
        """Send the replies and let others run, if it is time to."""
        self._next_look = self._steps + LOOK
        if self._steps >= TURN:
            self._steps, self._next_look = 0, LOOK
            return self._give_way()
        return self._flush() if self.connection.output_size >= OUTPUT else None

    async def _give_way(self) -> None:
        if (writing := self._flush()) is not None:
            await writing
        await self._stream.give_way()
        if self.state is not _CONTENT and time.monotonic() >= self._latest_end:
            self._time_is_up()

    def _leave_it_to_the_client(self) -> Due:
        """Send what there is to send and set the deadline, unless the session has come to an end."""
        connection = self.connection
        event: Event | None = None
        while event is None:
            octets = connection.data_to_send()
            if octets and (writing := self._send(octets)) is not None:
                return writing
            state = connection._state  # each read comes here, and a property costs a call
            if state is _CLOSED:
                return connection.next_event() or ConnectionClosed()  # the core says it once, here each time
            if self._lost_client:
                pass  # commands that arrived before the client was gone are run
            elif state is _TLS:
                return self._shake_hands()
            elif self._set_deadline(state):
                return None
            else:
                self._time_is_up()
            event = connection.next_event()
        return event

    def _set_deadline(self, state: State) -> bool:
        """Set the time until which the client has to send something; False if it has passed."""
        now = time.monotonic()
        in_content = state is _CONTENT
        since = self._waits_since
        if since is not None:
            self._steps += 1  # there was a read, and no event
        if since is None or in_content:
            self._waits_since = since = now  # content that was refused is read to its end without an event
        deadline = since + self._patience
        latest = self._latest_end_of_content(now) if in_content else self._latest_end
        if latest < deadline:
            deadline = latest
        self._pump.deadline = deadline
        # Between messages a server that stops may end a session, within one it waits for the end.
        self._stream.idle = not in_content
        return deadline > now

    def _latest_end_of_content(self, now: float) -> float:
        """A client must not dawdle for ever."""
        if self._content_began is None:
            self._content_began, self._content_from = now, self.octets_received
        allowed = self._timeouts.idle + (self.octets_received - self._content_from) / self._content_rate
        return self._content_began + min(allowed, self._timeouts.content)

    def _take(self, arrival: Arrival) -> None:
        """Give the core what has arrived."""
        if isinstance(arrival, OSError):
            self._take_error(arrival)
            return
        self.octets_received += len(arrival)
        if self.transcript is not None:
            self._recorder.record_client(arrival)
        if not arrival and self._stream.stopping:
            self.connection.close()
        else:
            self.connection.receive_data(arrival)

    def _take_error(self, error: OSError) -> None:
        if isinstance(error, TimeoutError) and error.errno is None:
            self._time_is_up()
        else:
            self._lost(error)

    def _time_is_up(self) -> None:
        self.connection.close(self.connection.timeout_reply)

    def _lost(self, error: OSError) -> None:
        self._lost_client = True
        if self.transcript is not None:
            self._recorder.record_note(f"the connection broke: {words_of(error)}")
        self.connection.receive_data(b"")

    def _flush(self) -> Awaitable[None] | None:
        """Send the replies: None if that is done, else what has to be awaited."""
        octets = self.connection.data_to_send()
        return self._send(octets) if octets else None

    def _send(self, octets: bytes) -> Awaitable[None] | None:
        if self._lost_client:
            return None
        self.octets_sent += len(octets)
        if self.transcript is not None:
            self._recorder.record_server(octets)
        try:
            writing = self._pump.begin_write(octets, self._timeouts.idle)
        except OSError as error:
            self._lost_while_writing(error)
            return None
        return None if writing is None else self._end_write(writing)

    async def _end_write(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except OSError as error:  # a time-out is one
            self._lost_while_writing(error)

    def _lost_while_writing(self, error: OSError) -> None:
        # What the client had sent before it was gone counts, a complete message above all.
        state = self.state
        if state is not _TLS and state is not _CLOSED and (last_words := arrived(self._stream)):
            self._take(last_words)
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
            logger.info(NO_HANDSHAKE, peer_in_words(self.peername), words_of(error))
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
                peer_in_words(self.peername),
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
        self._take(data)

    async def finish(self) -> None:
        """Say the farewell that is due, if any can still be said. For adapters."""
        self.connection.close()  # unless it is closed already
        with contextlib.suppress(RuntimeError):  # another task is writing
            if (writing := self._flush()) is not None:
                await writing
        self._stream.farewell = None  # which would keep the session alive until the collector comes
        if self.transcript is not None:
            self._recorder.record_end()
