"""The client's conversations in an open session, written once, as coroutines over a stream.

The asyncio and trio adapters await these coroutines; the blocking adapter drives the very same ones over a
stream whose methods never suspend. So there is one description of how a message is sent. A stream has four
methods: ``read(timeout)``, ``write(data, timeout)``, ``start_tls(...)``, ``close()``; and ``abort()`` to drop
the connection. It should also have ``arrived()``, which reads without waiting.

**The client** (:class:`Client`). Each public method is a conversation: it gives commands to the core and reads
until the core has the responses. Every failure is translated in one place, ``_conversation()``: exceptions of
sockets and TLS become those of this package, and each exception that leaves has the context, a hint and the
transcript. A failure of the stream, a timeout or a cancellation ends the session for good, because the two
sides can no longer agree on which reply belongs to which command.

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

**The dialogue.** The last responses are kept as the core made them, in a bounded queue: one append for each.
They become the ``exchanges`` of an :class:`~smtpcore.ErrorContext` only when an error needs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Final, Self

from .._core.capabilities import Capabilities
from .._core.client import ClientConnection
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import (
    Chunk,
    Command,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Response,
    Rset,
    Vrfy,
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
    RecipientsRefused,
    ReplyError,
    TimedOut,
    TlsUnavailable,
)
from .hints import hint_for, words_of
from .options import ConnectOptions, deadline_of, timeouts_of, wrong_type
from .recorder import Recorder
from .results import SendResult, make_exchange
from .sources import AsyncContent, Source, opened, read_ahead
from .stream import Stream, arrived, expect_silence
from .transaction import Recipients, Transaction, names_of, prepare_transaction

if TYPE_CHECKING:
    from email.message import Message


OpenStream = Callable[..., Awaitable[Stream]]

_EXCHANGES: Final = 20  # of the dialogue that errors show: enough for a session's opening and a small message


class Client:
    """A session with a server. ``connect()`` of an adapter makes one.

    It is an asynchronous context manager: the end of the block sends QUIT and closes. After an exception that
    is not an ``Exception``, such as a cancellation, it closes without QUIT.

    One conversation at a time: a concurrent second one raises RuntimeError.

    A cancellation of a method ends the session, because the reply that was waited for can no longer be received
    in its place. :attr:`last_result` then says what became of the message.

    Attributes:
        transcript: The recorder, if one was given.
    """

    def __init__(
        self,
        stream: Stream,
        facts: ErrorContext,
        options: ConnectOptions,
        deadline: float = math.inf,
        recorder: Recorder | None = None,
        *,
        suspends: bool = True,
    ) -> None:
        self._context = facts
        self.transcript = options.get("transcript")
        self._recorder = recorder or Recorder(self.transcript)
        self._stream = stream
        self._timeouts = timeouts_of(options)
        self._limits = options.get("limits") or Limits()
        self._deadline = deadline  # by the clock, for the whole session
        self._allowed = deadline_of(options)  # the same in seconds
        self._waiting = ""  # for what, and how long: for the error if that passes
        self._write_failure: OSError | None = None
        self._connection = make_connection(options)
        self._transaction: Transaction | None = None
        self._last: Transaction | None = None
        self._exchanges: deque[Response] = deque(maxlen=_EXCHANGES)
        self._suspends = suspends  # asynchronous iterables can be waited for
        self._busy = False
        self._ended = ""  # why the session cannot be used any more
        self._failure = ""  # what the last error has said
        self._heard = time.monotonic()
        self._domain = ""

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers."""
        return self._connection.capabilities

    @property
    def tls(self) -> TlsInfo | None:
        """The facts of TLS, None in plaintext."""
        return self._connection.tls

    @property
    def context(self) -> ErrorContext:
        """Where the conversation stands now, with the last exchanges; a copy."""
        return self._snapshot()

    @property
    def last_result(self) -> SendResult | None:
        """What became of the last message, as far as it is known; None if none was begun.

        ``send()`` returns it and its errors have it as ``result``. It is here for what can end ``send()``
        otherwise, such as a cancellation. ``maybe_delivered`` is then True if the final dot had been sent, or
        was being sent: the server may have accepted the message, and to send it again may duplicate it.
        """
        return None if self._last is None else self._last.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *details: object) -> None:
        # On cancellation close without QUIT.
        if kind is None or issubclass(kind, Exception):
            await self.quit()
        else:
            await self.close()

    # -- conversations --

    async def send_message(
        self, message: Message, sender: str | Mail | None = None, recipients: Recipients | None = None
    ) -> SendResult:
        """Send an ``EmailMessage``.

        Args:
            message: It is not changed: Bcc is left out of the copy that is sent, and content that the server
                does not support is encoded (:mod:`smtpcore.message`).
            sender: The reverse-path, ``""`` for the null reverse-path, or a :class:`~smtpcore.Mail`. By default
                the address of Sender or From.
            recipients: The forward-paths, as for :meth:`send`. By default the addresses of To, Cc and Bcc.

        Returns:
            What became of the message for each recipient.

        Raises:
            LocalProtocolError: The message cannot be sent as it is; nothing was sent.
            RecipientsRefused: No recipient was accepted; ``result`` has each reply.
            ReplyError: The message was refused as a whole; ``result`` has each reply.
            ConnectionLost: ``maybe_delivered`` says whether the server may have accepted the message.
        """
        from email.message import Message as EmailBase

        from ..message import prepare_message

        with self._conversation("mail"):
            if not isinstance(message, EmailBase):
                raise wrong_type("message", "an EmailMessage (send() takes bytes)", message)
            if sender is not None and not isinstance(sender, (str, Mail)):
                raise wrong_type("sender", "a string, '' for the null reverse-path, or a Mail", sender)
            names, special = (None, {}) if recipients is None else names_of(recipients)
            prepared = prepare_message(
                message,
                sender=str(sender.reverse_path) if isinstance(sender, Mail) else sender,
                recipients=names,
                eight_bit_mime="8BITMIME" in self._connection.capabilities,
                smtputf8="SMTPUTF8" in self._connection.capabilities,
            )
        rcpts: Recipients = prepared.recipients
        if names is not None and special:
            rcpts = [Rcpt(name, special.get(position, {})) for position, name in enumerate(names)]
        return await self.send(
            Mail(prepared.sender, sender.parameters) if isinstance(sender, Mail) else prepared.sender,
            rcpts,
            prepared.content,
            smtputf8=prepared.smtputf8,
        )

    async def send(
        self, sender: str | Mail, recipients: Recipients, content: AsyncContent, *, smtputf8: bool = False
    ) -> SendResult:
        """Send a message.

        Args:
            sender: The reverse-path; ``""`` for the null reverse-path. A :class:`~smtpcore.Mail` adds
                parameters: ``Mail("a@client.example", {"X-TAG": "7"})``. SIZE, BODY and SMTPUTF8 are added as
                the content requires, unless they are given.
            recipients: The forward-paths, one string each, or :class:`~smtpcore.Rcpt` objects with parameters.
                The domain of an address is sent with A-labels, as :meth:`send_message` sends it, and text that
                is not in NFC is normalized (RFC 6532 3.1).
            content: Octets with CRLF line ends: bytes, a binary file, an iterable of bytes, or (not on
                ``smtpcore.sync``) an asynchronous iterable of bytes. ``smtpcore.normalize_line_endings()``
                converts other line ends. A file is read from its position, and if it can seek it goes back
                there when the message is not accepted. A file or an iterable that gives no octets is refused;
                ``b""`` is an empty message. An asynchronous generator that was begun is closed if sending
                fails.
            smtputf8: The header contains UTF-8 (RFC 6531 3.4). A local-part with UTF-8 implies it.

        Returns:
            What became of the message, if the server has accepted it for at least one recipient.

        Raises:
            LocalProtocolError: An argument cannot be sent. Nothing was sent, unless ``content`` is an iterable
                or a file. If the argument has the wrong type, the error is a TypeError as well.
            RecipientsRefused: No recipient was accepted; ``result`` has each reply.
            ReplyError: The message was refused as a whole; ``result`` has each reply.
            ConnectionLost: ``maybe_delivered`` says whether the server may have accepted the message.
        """
        eight_bit = "8BITMIME" in self._connection.capabilities
        with (
            self._conversation("mail"),
            opened(content, eight_bit=eight_bit, suspends=self._suspends) as source,
        ):
            if source.awaited is not None and not eight_bit:
                async with read_ahead(source):
                    return await self._transact(sender, recipients, source, smtputf8)
            return await self._transact(sender, recipients, source, smtputf8)

    async def _transact(
        self, sender: str | Mail, recipients: Recipients, source: Source, smtputf8: bool
    ) -> SendResult:
        """Do one mail transaction."""
        transaction = prepare_transaction(self._connection, sender, recipients, source, smtputf8)
        self._last = transaction
        if transaction.refusal is not None:
            self._transaction = transaction
            raise MessageTooBig(transaction.refusal, "not sent: " + transaction.refusal.reply.text)
        if self._connection.state is not State.READY:
            await self._request(Rset())
        self._transaction = transaction
        transaction.began = time.monotonic()
        await self._send_envelope(transaction)
        if transaction.data is None or not transaction.accepted:
            await self._give_up(transaction)
        if source.awaited is not None:
            await self._send_awaited_content(transaction, source.awaited)
        else:
            await self._send_content(transaction, source)
        final = (await self._response()).reply
        if not final.is_success:
            transaction.final = final
            raise ReplyError(Response(EndOfMessage(), final))
        if self._write_failure is not None:
            raise self._write_failure  # it came before the final dot was sent
        transaction.final = final
        return transaction.result()

    async def _send_envelope(self, transaction: Transaction) -> None:
        """Send MAIL, RCPT and DATA, in one group if PIPELINING is offered, and read all their replies."""
        await self._say(transaction.mail)
        try:
            for rcpt in transaction.rcpts:
                self._connection.send(rcpt)
        except LocalProtocolError:  # an extension refuses a recipient beside this MAIL
            self._connection.send(Rset())
            while not isinstance(getattr(await self._event(), "command", None), Rset):
                pass
            raise
        self._connection.send(Data())
        while True:
            event = await self._event()
            assert isinstance(event, (Response, CommandNotSent)), (
                "what was sent is answered, lost, or was not sent"
            )
            command = event.command
            if isinstance(event, Response):
                reply = event.reply
                if isinstance(command, Rcpt):
                    transaction.replies.append(reply)
                if reply.code == 421 or (reply.code >= 400 and not isinstance(command, Rcpt)):
                    transaction.refusal = transaction.refusal or event
                if reply.code == 421:
                    return
                if isinstance(command, Data) and reply.is_intermediate:
                    transaction.data = reply
            if isinstance(command, Data):
                return

    async def _give_up(self, transaction: Transaction) -> None:
        """End a transaction without an accepted recipient or without DATA, and raise the refusal."""
        refusal = transaction.refusal
        if refusal is not None and (isinstance(refusal.command, Mail) or transaction.accepted):
            error = ReplyError(refusal)
        else:
            refusals = list(map(Response, transaction.rcpts, transaction.replies))
            one = next((response for response in refusals if response.reply.is_transient), refusals[0])
            error = RecipientsRefused(one, f"no recipient was accepted: {one.reply}")
        self._explained(error)
        try:
            if transaction.data is not None and any(reply.is_success for reply in transaction.replies):
                self._connection.abort()  # MAIL was refused, but a lone dot would send an empty message
            elif transaction.data is not None:
                # RFC 2920 3.1: DATA was granted without a recipient, so a lone dot ends the content.
                await self._say(EndOfMessage())
                await self._response()
            elif self._connection.state in (State.MAIL, State.RCPT):
                await self._say(Rset())
                await self._response()
        except (SMTPError, OSError):
            self._connection.abort()  # the outcome of the message is known already
        raise error

    async def _send_content(self, transaction: Transaction, source: Source) -> None:
        """Send the content and the final dot: a small message in one write, with the dot.

        The last octets are left in the core, for the write that comes before the reply is read.
        """
        self._context.phase = "content"
        piece = self._next_piece(transaction, source)
        following = self._next_piece(transaction, source)
        whole = not following
        while piece:
            await self._say(Chunk(piece))
            transaction.octets += len(piece)
            if not whole:
                await self._flush()
            piece, following = following, self._next_piece(transaction, source)
        if not (whole and transaction.octets):
            await self._expect_silence()
        self._connection.send(EndOfMessage())
        transaction.sent = True

    async def _send_awaited_content(self, transaction: Transaction, pieces: AsyncIterator[bytes]) -> None:
        """Send the content of an asynchronous iterable, and the final dot."""
        self._context.phase = "content"
        try:
            while True:
                began = time.monotonic()
                piece = await anext(pieces, b"")
                transaction.began += time.monotonic() - began  # the time of the application
                if not piece:
                    break
                await self._say(Chunk(piece))
                transaction.octets += len(piece)
                await self._flush()
        except BaseException:
            if (close := getattr(pieces, "aclose", None)) is not None:
                with contextlib.suppress(Exception):
                    await close()
            raise
        await self._expect_silence()
        self._connection.send(EndOfMessage())
        transaction.sent = True

    def _next_piece(self, transaction: Transaction, source: Source) -> bytes:
        """The next piece, ``b""`` at the end. The time that it takes is the application's."""
        began = time.monotonic()
        piece = next(source.pieces, b"")
        transaction.began += time.monotonic() - began
        return piece

    async def command(self, event: Command) -> Reply:
        """Send a command, and give its reply.

        It is for commands of extensions, such as ``Expn("staff")`` or a command of one's own (``extensions`` of
        ``connect()``). Commands that need more than one reply have methods of their own.

        Args:
            event: The command: an object of a class derived from :class:`smtpcore.Command`.

        Returns:
            The reply, of 2yz.

        Raises:
            LocalProtocolError: The command cannot come now, the server does not offer it, or another method
                sends it. Nothing was sent. If ``event`` is not a command, this is a TypeError as well.
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        with self._conversation("command"):
            if not isinstance(event, Command):
                raise wrong_type("event", "a Command, such as Noop()", event)
            if (method := _OWN_METHODS.get(event.__class__)) is not None:
                raise LocalProtocolError(f"command() does not send {event.verb}: {method} does")
            return (await self._request(event)).reply

    async def noop(self) -> Reply:
        """Send NOOP: check that the session is alive.

        Returns:
            The reply, of 2yz.

        Raises:
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        return await self.command(Noop())

    async def reset(self) -> Reply:
        """Send RSET: drop the mail transaction.

        Returns:
            The reply, of 2yz.

        Raises:
            ReplyError: The server refused the command.
            SMTPError: The session failed.
        """
        return await self.command(Rset())

    async def verify(self, address: str) -> Reply:
        """Send VRFY: ask about a user or a mailbox.

        Args:
            address: A user name or an address.

        Returns:
            The reply, of 2yz. 252 means that the server does not say (RFC 5321 3.5.3).

        Raises:
            LocalProtocolError: The address cannot be sent. If it is not a string, this is a TypeError as well.
            ReplyError: The server refused the command, or does not know the address.
            SMTPError: The session failed.
        """
        with self._conversation("command"):
            if not isinstance(address, str):
                raise wrong_type("address", "a string", address)
            return (await self._request(Vrfy(address))).reply

    async def quit(self) -> None:
        """Send QUIT, and close.

        It does not raise SMTPError: accepted messages stay accepted, whatever the server replies to QUIT.
        """
        try:
            if not self._ended:
                with contextlib.suppress(SMTPError, RuntimeError), self._conversation("quit"):
                    await self._say(Quit())
                    while not isinstance(await self._event(), ConnectionClosed):
                        pass
                    self._ended = "QUIT was said"
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection without QUIT, as after an error. It may be called again."""
        self._ended = self._ended or "it was closed"
        self._connection.abort()
        if self.transcript is not None:
            self._recorder.record_end()
        await self._stream.close()

    # -- what all conversations are made of --

    @contextlib.contextmanager
    def _conversation(self, phase: str) -> Iterator[None]:
        """Run one conversation alone, and translate its errors."""
        if self._busy:
            raise RuntimeError("a conversation is under way on this session: one conversation at a time")
        self._transaction = None
        if self._ended:
            raise self._explained(ConnectionLost(f"the session is over: {self._ended}"))
        self._busy = True
        self._failure = "it was broken off"
        self._context.phase = phase
        self._context.reply = None
        usable = False
        try:
            yield
            usable = True
        except ReplyError as error:
            usable = error.reply.code != 421
            raise self._explained(error) from error.__cause__
        except (TlsUnavailable, AuthenticationUnavailable) as error:
            usable = True
            raise self._explained(error) from error.__cause__
        except LocalProtocolError as error:
            usable = self._connection.state is not State.CONTENT
            raise self._explained(error) from error.__cause__
        except SMTPError as error:
            raise self._explained(error) from error.__cause__
        except TimeoutError as error:
            what = self._waiting if error.errno is None else words_of(error)
            raise self._explained(
                TimedOut(
                    f"{what} (phase: {self._context.phase})",
                    outstanding=self._connection.outstanding,
                    maybe_delivered=self._maybe_delivered(),
                )
            ) from error
        except OSError as error:
            raise self._explained(
                ConnectionLost(
                    f"the connection broke: {words_of(error)}",
                    outstanding=self._connection.outstanding,
                    maybe_delivered=self._maybe_delivered(),
                )
            ) from error
        finally:
            self._busy = False
            if not usable or self._write_failure is not None or self._connection.state is State.CLOSED:
                self._ended = self._ended or f"{self._failure} (phase: {self._context.phase})"
                self._connection.abort()
                if self._context.phase != "quit":
                    self._stream.abort()

    def _maybe_delivered(self) -> bool:
        transaction = self._transaction
        return transaction is not None and transaction.sent and bool(transaction.accepted)

    def _explained(self, error: SMTPError) -> SMTPError:
        """Give an error its context, hint, transcript and result."""
        if error.context is None:
            self._failure = str(error)
            if isinstance(error, ReplyError) and not isinstance(error, MessageTooBig):
                # In a group, later commands may have been answered after it.
                self._context.phase = _PHASES.get(error.response.command.__class__, self._context.phase)
                self._context.reply = error.reply
            error.context = self._snapshot(error)
            error.hint = hint_for(error, error.context)
            error.transcript = self.transcript
            if self._transaction is not None:
                # Content is refused at its end, or while it is on its way.
                about_content = self._transaction.sent or self._context.phase == "content"
                final = error.reply if isinstance(error, ReplyError) and about_content else None
                error.result = self._transaction.result(final)
            if self.transcript is not None and not isinstance(error, ReplyError):
                self._recorder.record_note(str(error))
        return error

    def _snapshot(self, error: SMTPError | None = None) -> ErrorContext:
        """Where the conversation stands, with the exchanges as values."""
        exchanges = [make_exchange(one.command, one.reply) for one in self._exchanges]
        # The core forgets what is outstanding when the connection has ended.
        lost = error.outstanding if isinstance(error, ConnectionLost) else self._connection.outstanding
        for command in lost:
            assert isinstance(command, (Command, EndOfMessage, Connect))
            exchanges.append(make_exchange(command, None))
        if isinstance(error, RemoteProtocolError) and error.reply is not None:
            exchanges.append(make_exchange(None, error.reply))
        idle = time.monotonic() - self._heard
        return dataclasses.replace(self._context, idle=idle, exchanges=tuple(exchanges[-_EXCHANGES:]))

    async def _request(self, command: Command) -> Response:
        await self._say(command)
        response = await self._response()
        raise_refusal(response)
        return response

    async def _say(self, event: Command | Chunk | EndOfMessage) -> None:
        """Send an event; raise if an unsolicited reply has arrived."""
        await self._expect_silence()
        self._connection.send(event)

    async def _expect_silence(self) -> None:
        """Raise if an unsolicited reply has arrived.

        Counted as the reply to the next command, it would shift all later replies by one. During content the
        server may also refuse the message.
        """
        event = await self._next_event()
        if event is None and self._write_failure is None and (data := arrived(self._stream)) is not None:
            self._receive(data)
            event = await self._next_event()
        if isinstance(event, Response):
            in_content = self._context.phase == "content"
            what = "the message was refused" if in_content else "the server closes the session"
            raise ReplyError(event, f"{what}: {event.reply}")
        if self._write_failure is not None:
            raise self._write_failure
        if isinstance(event, ConnectionClosed):
            raise ConnectionLost("the server has closed the connection")

    async def _response(self) -> Response:
        """The next response."""
        event = await self._event()
        assert isinstance(event, Response), "something was sent, so it is answered, or lost"
        return event

    async def _event(self) -> Event:
        """The next event."""
        connection, facts = self._connection, self._context
        deadline: float | None = None
        while (event := await self._next_event()) is None:
            if not await self._flush():
                continue
            outstanding = connection.outstanding
            facts.phase = _PHASES.get(outstanding[0].__class__, "command")
            if isinstance(outstanding[-1], Command):
                facts.last_command = outstanding[-1].verb
            allowed = connection.timeout
            if deadline is None:
                deadline = time.monotonic() + allowed
            oldest = outstanding[0]
            what = "the message" if isinstance(oldest, EndOfMessage) else oldest.verb
            what = "no greeting" if isinstance(oldest, Connect) else f"no reply to {what}"
            self._receive(await self._stream.read(self._seconds(allowed, what, deadline)))
        if isinstance(event, Response):
            facts.reply = event.reply
        return event

    async def _next_event(self) -> Event | None:
        try:
            event = self._connection.next_event()
        except RemoteProtocolError:
            with contextlib.suppress(OSError):
                await self._flush()  # QUIT
            raise
        if isinstance(event, Response):
            self._exchanges.append(event)
        return event

    def _seconds(self, allowed: float, what: str, end: float | None = None) -> float:
        """Give the seconds that a wait may last, and note the text of the error for when they have passed.

        Args:
            allowed: Seconds for this wait alone.
            what: What has not happened by then.
            end: When the wait ends, by the clock, if it has already begun.
        """
        now = time.monotonic()
        if end is None:
            end = now + allowed
        self._waiting = f"{what} in the {allowed:g} s allowed for it"
        if self._transaction is not None:
            seconds = self._transaction.allowed(self._timeouts, self._limits)
            if self._transaction.began + seconds < end:
                end = self._transaction.began + seconds
                self._waiting = f"{what} in the {seconds:.0f} s allowed for the whole transaction"
        if self._deadline < end:
            end = self._deadline
            self._waiting = f"{what} in the {self._allowed:g} s allowed for the session (deadline)"
        return max(0.0, end - now)

    def _receive(self, data: bytes) -> None:
        """Give the core what has arrived."""
        self._note_arrival(data)
        if self.transcript is not None:
            self._recorder.record_server(data)
        self._connection.receive_data(data)

    def _note_arrival(self, data: bytes) -> None:
        facts = self._context
        if data:
            self._heard = time.monotonic()
            facts.octets_received += len(data)
            if len(facts.first_octets) < 64 and not self._connection.secrets:  # the server may quote them
                facts.first_octets += data[: 64 - len(facts.first_octets)]

    async def _flush(self) -> bool:
        """Write what the core has to send.

        Returns:
            False if that has failed; then the core has what the server had sent before, and gets nothing more.

        Raises:
            OSError: An earlier write had failed.
        """
        if self._write_failure is not None:
            raise self._write_failure
        data = self._connection.data_to_send()
        if data:
            if self.transcript is not None:
                self._recorder.hide(*self._connection.secrets)
                self._recorder.record_client(data)
            seconds = self._seconds(self._timeouts.data_block, "the server did not take what was sent")
            expect_silence(self._stream, self._context.phase == "content")
            try:
                await self._stream.write(data, seconds)
            except OSError as error:
                self._write_failure = error
                if last_words := arrived(self._stream):
                    self._receive(last_words)
                return False
        return True


_OWN_METHODS: Final[dict[type[Command], str]] = {
    Ehlo: "connect()",
    Helo: "connect()",
    StartTls: "connect(security='starttls')",
    Auth: "connect(auth=...)",
    Data: "send()",
    Quit: "quit()",
}

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
