"""The dialogue of a client with a server: commands go out, replies come in, errors are explained.

A :class:`Dialogue` joins the core to a stream, a clock and a recorder. Other modules decide what is sent:
``connect`` opens the session, ``sending`` sends messages, ``client`` has the other commands. Each of these is a
conversation: it gives commands to the core and reads until the core has the responses. Every failure is
translated in one place, :meth:`Dialogue.conversation`: exceptions of sockets and TLS become those of this
package, and each of these that leaves has the context, a hint and the transcript. An exception of the
application, whose content or mechanism a conversation asks, leaves as it is: an OSError says that the
connection is lost only if the stream has given it. A failure of the stream, a
timeout or a cancellation ends the session for good, because the two sides can no longer agree on which reply
belongs to which command.

**Unsolicited replies.** A reply answers what was sent before it. So before each command, each piece of content
and the final dot, the client looks, without waiting, whether the server has sent something. Such a reply does
not answer the next command: it ends the session; and if it refuses the message, the rest of the content is not
sent. A write that fails is treated alike: the client reads what the server had sent by then and reports a
refusal as that refusal (RFC 5321 4.2.5); only without one is the connection lost (RFC 5321 3.8). After a failed
write a 250 does not count for the message, because the final dot was not sent before it.

**Time.** The core says how long to wait for each reply; the clock is here. A deadline belongs to an event and
not to a read, so octets that arrive one by one do not prolong it. A mail transaction as a whole is bounded too,
or a server that always replies just in time could hold a client for days; :class:`~smtpcore.Timeouts` has the
formula.

**The dialogue.** The last commands and their replies are kept as the core has them, in a bounded queue. They
become the ``exchanges`` of an :class:`~smtpcore.ErrorContext` only when an error needs them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import deque
from collections.abc import Awaitable
from typing import Final, Self

from .._core.client import Answerable, ClientConnection, EnvelopeAccepted
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import (
    Chunk,
    Command,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Quit,
    Rcpt,
    Response,
)
from .._core.failures import ConnectionLost, RemoteProtocolError
from .._core.limits import Limits, TlsInfo
from .._core.replies import Reply
from .._core.state import State
from ..extensions.auth import Auth
from ..extensions.starttls import StartTls
from .errors import (
    AuthenticationUnavailable,
    ErrorContext,
    MessageTooBig,
    ReplyError,
    TimedOut,
    TlsUnavailable,
)
from .hints import hint_for, words_of
from .options import ConnectOptions, deadline_of, timeouts_of
from .recorder import Recorder
from .results import make_exchange
from .stream import Arrival, Stream, arrived, expect_silence, pump_of
from .transaction import Transaction

_EXCHANGES: Final = 20  # of the dialogue that errors show: enough for a session's opening and a small message

_FIRST: Final = 64  # octets of the server that errors show


class Dialogue:
    """A session in progress.

    Args:
        stream: It leads to the server.
        context: The facts for errors, kept current.
        options: Those of ``connect()``.
        deadline: For the whole session, by the clock.
        recorder: Records what is sent and received.

    Attributes:
        connection: The core of the session.
        transcript: The recorder that the application has given, if any.
        timeouts: How long each wait may last.
        limits: Sizes and counts.
        transaction: The mail transaction of the current conversation, or of the last one.
        last: The mail transaction that was begun last.
        write_failure: Why nothing can be written any more.
        loss: The error of the stream that has ended the session.
        ended: Why the session cannot be used any more; ``""`` if it can.
        domain: The argument of EHLO.
        claim: What alone can go on with the session, because it has begun a transaction; None if nothing has.
    """

    def __init__(
        self,
        stream: Stream,
        context: ErrorContext,
        options: ConnectOptions,
        deadline: float = math.inf,
        recorder: Recorder | None = None,
    ) -> None:
        self.context = context
        self.transcript = options.get("transcript")
        self.recorder = recorder or Recorder(self.transcript)
        self.stream = stream
        self._pump = pump_of(stream)
        self.timeouts = timeouts_of(options)
        self.limits = options.get("limits") or Limits()
        self._deadline = deadline
        self._allowed = deadline_of(options)  # the same in seconds
        self._wait = ("", 0.0, 0.0)  # the last wait: for what, how many seconds, and when they are over
        self.write_failure: OSError | None = None
        self.loss: OSError | None = None
        self.connection = make_connection(options)
        self.transaction: Transaction | None = None
        self.last: Transaction | None = None
        self._exchanges: deque[tuple[Answerable | None, Reply]] = deque(maxlen=_EXCHANGES)
        self._busy = False
        self.ended = ""
        self._failure = ""  # the text of the last error
        self._heard = time.monotonic()
        self.domain = ""
        self.claim: object = None

    async def close(self) -> None:
        """Close the connection without QUIT, as after an error. It may be called again."""
        self.ended = self.ended or "it was closed"
        self.connection.abort()
        if self.transcript is not None:
            self.recorder.record_end()
        await self.stream.close()

    # -- one conversation --

    def conversation(self, phase: str, claim: object = None) -> Self:
        """Begin a conversation; the ``with`` block is the conversation, and its end translates the errors.

        Args:
            phase: That of the context, until something is waited for.
            claim: What may go on with a session that it has claimed.

        Raises:
            RuntimeError: Another conversation is under way.
            ConnectionLost: The session is over.
        """
        if self._busy:
            raise RuntimeError("a conversation is under way on this session: one conversation at a time")
        self.transaction = None
        self.check_usable()
        if self.claim is not None and self.claim is not claim:
            raise RuntimeError(
                "send_many() is under way on this session: ask for its outcomes to the end, or connect again"
            )
        self._failure = "it was broken off"
        self.context.phase = phase
        self.context.reply = None
        return self

    def check_usable(self) -> None:
        """Raise ConnectionLost if the session is over."""
        if self.ended:
            self.transaction = None
            raise self.explain(ConnectionLost(f"the session is over: {self.ended}"))

    def __enter__(self) -> None:
        self._busy = True

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._busy = False
        explained, usable = (None, True) if error is None else self._translated(error)
        if not usable or self.write_failure is not None or self.connection.state is State.CLOSED:
            phase = f" (phase: {self.context.phase})"
            self.ended = self.ended or self._failure.removesuffix(phase) + phase
            self.connection.abort()
            if self.context.phase != "quit":
                self.stream.abort()
        if explained is not None and explained is not error:
            raise explained from error

    def _translated(self, error: BaseException) -> tuple[SMTPError | None, bool]:
        """An error of a conversation as an error of this package; and whether the session can go on."""
        usable = False
        if isinstance(error, ReplyError):
            usable = error.reply.code != 421
        elif isinstance(error, (TlsUnavailable, AuthenticationUnavailable)):
            usable = True
        elif isinstance(error, LocalProtocolError):
            usable = self.connection.state is not State.CONTENT
        elif error is not self.loss:  # of the application: unreadable content is not a loss of the connection
            pass
        elif isinstance(error, TimeoutError):
            text = words_of(error) if error.errno is not None else self._wait_in_words()
            error = TimedOut(
                f"{text} (phase: {self.context.phase})",
                outstanding=self.connection.outstanding,
                maybe_delivered=self._maybe_delivered(),
            )
        elif isinstance(error, OSError):
            error = ConnectionLost(
                f"the connection broke: {words_of(error)}",
                outstanding=self.connection.outstanding,
                maybe_delivered=self._maybe_delivered(),
            )
        return self.explain(error) if isinstance(error, SMTPError) else None, usable

    def _maybe_delivered(self) -> bool:
        transaction = self.transaction
        return transaction is not None and transaction.sent and bool(transaction.accepted)

    def explain(self, error: SMTPError) -> SMTPError:
        """Give an error its context, hint, transcript and result."""
        if error.context is None:
            self._failure = str(error)
            if isinstance(error, ReplyError) and not isinstance(error, MessageTooBig):
                # In a group, later commands may have been answered after it.
                self.context.phase = _PHASES.get(error.response.command.__class__, self.context.phase)
                self.context.reply = error.reply
            error.context = self.snapshot(error)
            error.hint = hint_for(error, error.context)
            error.transcript = self.transcript
            if self.transaction is not None:
                # Content is refused at its end, or while it is on its way.
                about_content = self.transaction.sent or self.context.phase == "content"
                final = error.reply if isinstance(error, ReplyError) and about_content else None
                error.result = self.transaction.result(final)
            if self.transcript is not None and not isinstance(error, ReplyError):
                self.recorder.record_note(str(error))
        return error

    def snapshot(self, error: SMTPError | None = None) -> ErrorContext:
        """Where the conversation stands, with the exchanges as values."""
        exchanges = [make_exchange(command, reply) for command, reply in self._exchanges]
        # The core forgets what is outstanding when the connection has ended.
        lost = error.outstanding if isinstance(error, ConnectionLost) else self.connection.outstanding
        for command in lost:
            assert isinstance(command, (Command, EndOfMessage, Connect))
            exchanges.append(make_exchange(command, None))
        if isinstance(error, RemoteProtocolError) and error.reply is not None:
            exchanges.append(make_exchange(None, error.reply))
        idle = time.monotonic() - self._heard
        return dataclasses.replace(self.context, idle=idle, exchanges=tuple(exchanges[-_EXCHANGES:]))

    # -- commands and replies --

    async def request(self, command: Command) -> Response:
        """Send a command, and give its response.

        Raises:
            ReplyError: The reply is a refusal.
        """
        self.send(command)
        response = await self.response()
        raise_refusal(response)
        return response

    def send(self, event: Command | Chunk | EndOfMessage) -> None:
        """Give the core an event to send; raise if an unsolicited reply has arrived."""
        self.check_silence()
        self.connection.send(event)

    def check_silence(self) -> None:
        """Raise if an unsolicited reply has arrived.

        Counted as the reply to the next command, it would shift all later replies by one. During content the
        server may also refuse the message.
        """
        event = self.ready_event()
        if event is None and self.write_failure is None:
            data = self._arrived()
            if data is None:
                return
            self._receive(data)
            event = self.ready_event()
        if isinstance(event, Response):
            in_content = self.context.phase == "content"
            what = "the message was refused" if in_content else "the server closes the session"
            raise ReplyError(event, f"{what}: {event.reply}")
        if self.write_failure is not None:
            raise self.write_failure
        if isinstance(event, ConnectionClosed):
            raise ConnectionLost("the server has closed the connection")

    async def response(self) -> Response:
        """Wait for the next response."""
        event = await self.event()
        assert isinstance(event, Response), (
            "something was sent, so there is a response, or the connection is lost"
        )
        return event

    async def event(self) -> Event:
        """Give the next event: send what the core has to send, and read until there is one."""
        connection, context, pump = self.connection, self.context, self._pump
        data = connection.data_to_send()
        end: float | None = None
        while True:
            now = time.monotonic()
            # What is sent has no reply yet, so asking the core for an event first would only take time.
            if data and self.write_failure is None and (rest := self._begin_write(data, now)) is not None:
                await rest
                now = time.monotonic()
            if not data or self.write_failure is not None:
                if (event := self.ready_event()) is not None:
                    return event
                if self.write_failure is not None:
                    raise self.write_failure
            outstanding = connection.outstanding
            context.phase = _PHASES.get(outstanding[0].__class__, "command")
            last = outstanding[-1]
            if isinstance(last, Command):
                context.last_command = last.verb
            allowed = connection.timeout
            if end is None:
                end = now + allowed
            self._wait = ("", allowed, end)
            pump.deadline = self._bounded(end)
            arrival: Event | OSError | bytes
            try:
                arrival = await pump.pump(self._take)
            except OSError as error:  # the stream is broken already
                arrival = error
            if isinstance(arrival, Event):
                return arrival
            if isinstance(arrival, OSError):
                self.loss = arrival
                raise arrival
            data = arrival

    def _take(self, arrival: Arrival) -> Event | OSError | bytes | None:
        """Give the core what has arrived.

        Returns:
            What ends the wait: an event, an error of the stream, or octets that have to be sent first.
        """
        if isinstance(arrival, OSError):
            return arrival
        self._receive(arrival)
        return self.ready_event() or self.connection.data_to_send() or None

    def ready_event(self) -> Event | None:
        """Give the next event, or None if that needs sending or reading."""
        try:
            event = self.connection.next_event()
        except RemoteProtocolError:
            outstanding = self.connection.outstanding
            if outstanding and self.context.phase != "content":  # in a group it is not that of the last wait
                self.context.phase = _PHASES.get(outstanding[0].__class__, "command")
            self.stream.farewell = self._quit
            self.stream.dismiss()
            raise
        if isinstance(event, Response):
            self._exchanges.append((event.command, event.reply))
            self.context.reply = event.reply
        elif isinstance(event, EnvelopeAccepted):
            self._exchanges.extend(zip(event.commands, event.replies, strict=True))
            self.context.reply = event.replies[-1]
        return event

    async def flush(self) -> None:
        """Write what the core has to send.

        A write that fails does not raise: the reply that the server had sent before may say why, and the core
        has it now.

        Raises:
            OSError: An earlier write had failed.
        """
        if self.write_failure is not None:
            raise self.write_failure
        data = self.connection.data_to_send()
        if data and (rest := self._begin_write(data, time.monotonic())) is not None:
            await rest

    def _quit(self) -> bytes:
        """Give QUIT for a server that has broken the protocol, if it expects a command."""
        data = self.connection.data_to_send()
        if self.transcript is not None and data:
            self.recorder.record_client(data)
        return data

    def _begin_write(self, data: bytes, now: float) -> Awaitable[None] | None:
        """Write octets of the core: None if the system has accepted all, else what has to be awaited.

        If that fails, ``write_failure`` says so. Then the core has what the server had sent before, and gets
        nothing more.
        """
        if self.transcript is not None:
            self.recorder.hide(*self.connection.secrets)
            self.recorder.record_client(data)
        allowed = self.timeouts.data_block
        end = now + allowed
        self._wait = ("the server did not take what was sent", allowed, end)
        left = self._bounded(end) - now
        try:
            rest = self._pump.begin_write(data, left if left > 0 else 0.0)
        except OSError as error:
            self._fail_write(error)
            return None
        return None if rest is None else self._finish_write(rest)

    async def _finish_write(self, rest: Awaitable[None]) -> None:
        # The envelope of a next message comes after a final dot, whose reply may arrive while it is written.
        expect_silence(self.stream, self.context.phase == "content" and self.claim is None)
        try:
            await rest
        except OSError as error:
            self._fail_write(error)

    def _fail_write(self, error: OSError) -> None:
        self.write_failure = self.loss = error
        if last_words := self._arrived():
            self._receive(last_words)

    def _arrived(self) -> bytes | None:
        """Look, without waiting, what has arrived."""
        try:
            return arrived(self.stream)
        except OSError as error:
            self.loss = error
            raise

    def _receive(self, data: bytes) -> None:
        """Give the core what has arrived."""
        self.note_arrival(data)
        if self.transcript is not None:
            self.recorder.record_server(data)
        self.connection.receive_data(data)

    def note_arrival(self, data: bytes) -> None:
        if data:
            context = self.context
            self._heard = time.monotonic()
            context.octets_received += len(data)
            if len(context.first_octets) < _FIRST and not self.connection.secrets:  # the server may quote them
                context.first_octets = (context.first_octets + data)[:_FIRST]

    # -- time --

    def seconds_for(self, allowed: float, what: str) -> float:
        """Give the seconds that a wait may last which begins now.

        Args:
            allowed: Seconds for this wait alone.
            what: What has not happened by then, for the text of the error.
        """
        now = time.monotonic()
        self._wait = (what, allowed, now + allowed)
        return max(0.0, self._bounded(now + allowed) - now)

    def _bounded(self, end: float) -> float:
        """Give the time at which a wait ends: its own end, or before that the end of transaction or session."""
        transaction = self.transaction
        if transaction is not None and transaction.end < end:
            end = transaction.end
        return self._deadline if self._deadline < end else end

    def _wait_in_words(self) -> str:
        """Say what has not happened in the time of the last wait."""
        what, allowed, end = self._wait
        if not what:  # a reply
            oldest = self.connection.outstanding[0]
            what = "the message" if isinstance(oldest, EndOfMessage) else oldest.verb
            what = "no greeting" if isinstance(oldest, Connect) else f"no reply to {what}"
        bounded = self._bounded(end)
        if bounded < end and bounded == self._deadline:
            return f"{what} in the {self._allowed:g} s allowed for the session (deadline)"
        if bounded < end and self.transaction is not None:
            return f"{what} in the {self.transaction.allowed:.0f} s allowed for the whole transaction"
        return f"{what} in the {allowed:g} s allowed for it"


_PHASES: dict[type[object], str] = {
    Connect: "greeting",
    Ehlo: "ehlo",
    Helo: "ehlo",
    StartTls: "starttls",
    Auth: "auth",
    Mail: "mail",
    Rcpt: "rcpt",
    Data: "data",
    EndOfMessage: "end-of-data",
    Quit: "quit",
}


def raise_refusal(response: Response) -> None:
    if not response.reply.is_success:
        raise ReplyError(response)


def make_connection(options: ConnectOptions, tls: TlsInfo | None = None) -> ClientConnection:
    """Make the core of a session.

    Args:
        options: Those of ``connect()``.
        tls: TLS that is active before the greeting.
    """
    extensions = options.get("extensions")
    return ClientConnection(
        limits=options.get("limits") or Limits(),
        timeouts=timeouts_of(options),
        tls=tls,
        extensions=None if extensions is None else tuple(extensions),
    )
