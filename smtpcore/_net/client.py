"""The client's conversations, written once, as coroutines over a stream; the server's are in ``_net.session``.

A stream has four methods: ``read(timeout)``, ``write(data, timeout)``, ``start_tls(...)``, ``close()``; and
``abort()`` for when nothing else helps. It should have ``arrived()`` as well, which reads without waiting. The
asyncio and trio adapters await what is here; the blocking one drives the very same coroutines over a stream
whose methods never suspend. So there is one account of how a message is sent.

**The client** (:class:`Client`). Each public method is a conversation: it hands commands to the core, and reads
until the core has the responses. Everything that can fail is translated at one place, ``_conversation()``: the
exceptions of sockets and TLS become ours, and each that leaves bears the facts, a hint and the transcript. What
breaks the stream, a time-out or a cancellation included, ends the session for good: two sides that are out of
step do not find together again.

**Replies that come too early.** A reply answers what was sent before it. So before each command, each piece of
content and the final dot the client looks, without waiting, whether the server has spoken. If it has, that is
no reply to what comes next: it ends the session; and if it refuses the message, the rest of the content is not
uploaded. A write that fails is treated alike: what the server had sent by then is read, and a refusal is
reported as that refusal (RFC 5321 4.2.5); only without one is the connection lost (RFC 5321 3.8). After such a
write a 250 does not count for the message: the final dot has not gone out before it.

**Time.** The core says how long to wait for what; here is the clock. A deadline belongs to an event and not to
a read: octets that drip in do not prolong it. A mail transaction has a bound besides, or a server that always
replies just in time could hold a client for days; the formula is that of :class:`~smtpcore.Timeouts`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import math
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from .. import sasl
from .._core.addresses import ReversePath, composed, in_ascii, is_hello_argument
from .._core.capabilities import Capabilities
from .._core.client import ClientConnection
from .._core.content import check_content
from .._core.errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ConnectionLost,
    ErrorContext,
    LocalProtocolError,
    MessageTooBig,
    RecipientsRefused,
    RemoteProtocolError,
    ReplyError,
    SMTPError,
    TimedOut,
    TlsError,
    TlsUnavailable,
)
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
from .._core.limits import Limits, Timeouts, TlsInfo
from .._core.replies import Reply
from .._core.results import RecipientResult, SendResult
from .._core.state import State
from ..extensions.auth import Auth
from ..extensions.starttls import StartTls
from .hints import hint_for
from .options import ConnectOptions as ConnectOptions
from .options import (
    Credentials,
    Security,
    check_options,
    checked_host,
    checked_port,
    deadline_of,
    reference_identifier,
    security_of,
    timeouts_of,
    wrong_type,
)
from .recorder import Recorder
from .sources import IN_MEMORY as IN_MEMORY
from .sources import NOT_SEVEN_BIT, Content, Source, opened
from .sources import PIECE as PIECE

if TYPE_CHECKING:
    from email.message import Message


logger = logging.getLogger("smtpcore")


class Stream(Protocol):
    """What a conversation needs of a connection; see ``_net.streams`` for those of the adapters."""

    peername: Any
    sockname: Any
    tls: TlsInfo | None
    first_octets: bytes
    idle: bool
    stopping: bool
    farewell: Callable[[], bytes] | None

    async def read(self, timeout: float | None) -> bytes: ...
    async def write(self, data: bytes, timeout: float | None) -> None: ...
    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo: ...
    async def give_way(self) -> None: ...
    async def close(self) -> None: ...
    def abort(self) -> None: ...
    def dismiss(self) -> None: ...


OpenStream = Callable[..., Awaitable[Stream]]

# RFC 4954 4 and 6: the server does not take this mechanism, whatever the credentials are.
_MECHANISM_REFUSED = frozenset({504, 534})


def arrived(stream: Stream) -> bytes | None:
    """What has arrived on a stream, without waiting: None for nothing, or if it cannot tell."""
    look: Callable[[], bytes | None] | None = getattr(stream, "arrived", None)
    return None if look is None else look()


# Commands that command() does not send: their replies alone do not complete what they begin.
_OWN_METHODS: Final[dict[type[Command], str]] = {
    Ehlo: "connect()",
    Helo: "connect()",
    StartTls: "connect()",
    Auth: "connect(auth=...)",
    Data: "send()",
    Quit: "quit()",
}


@dataclass(slots=True)
class _Transaction:
    """A transaction on its way."""

    mail: Mail
    rcpts: list[Rcpt]
    names: list[str]
    replies: list[Reply] = field(default_factory=list)  # to RCPT, in order
    refusal: Response | None = None  # of MAIL or DATA
    data: Reply | None = None
    sent: bool = False  # the final dot is out, or may be
    began: float = math.inf  # by the clock; what the application takes to give content is added
    octets: int = 0  # of content that were written

    def allowed(self, timeouts: Timeouts) -> float:
        """Seconds that it may last so far; the formula is documented at :class:`~smtpcore.Timeouts`."""
        waits = (
            2 * timeouts.command + timeouts.data_initiation + timeouts.data_block + timeouts.data_termination
        )
        return waits + timeouts.recipient * len(self.rcpts) + self.octets / timeouts.upload_rate

    def result(self, final: Reply | None = None) -> SendResult:
        """What has become of it so far.

        Args:
            final: The reply to the final dot, if it has come.
        """
        refusal = self.refusal
        rows = []
        for name, rcpt in itertools.zip_longest(self.names, self.replies):
            reply: Reply | None
            if refusal is not None and not isinstance(refusal.command, (Rcpt, Data)):
                reply = refusal.reply
            elif rcpt is not None and rcpt.is_success:
                reply = final or (refusal.reply if refusal is not None else rcpt)
            else:
                reply = rcpt
            accepted = rcpt is not None and rcpt.is_success and final is not None and final.is_success
            # What was not answered counts as a 451 (RFC 5321 3.8).
            retryable = not accepted and (
                reply is None
                or reply.is_success
                or reply.is_transient
                or (reply is rcpt and self._too_many_recipients(reply))
            )
            rows.append(RecipientResult(name, reply, accepted, retryable))
        last = final or (refusal.reply if refusal is not None else None)
        return SendResult(str(self.mail.reverse_path), tuple(rows), last, self.sent and final is None)

    @property
    def accepted(self) -> list[Reply]:
        """The replies of those recipients that the content can be sent to."""
        if self.refusal is not None and isinstance(self.refusal.command, Mail):
            return []
        return [reply for reply in self.replies if reply.is_success]

    def _too_many_recipients(self, reply: Reply) -> bool:
        """Whether a reply to RCPT says that there are too many, in the old way (RFC 5321 4.5.3.1.10)."""
        # 552 can also be about the size, if that was declared (RFC 1870 6.4), or about the mailbox.
        if reply.code != 552 or self.mail.size is not None or not self.accepted:
            return False
        return reply.status is None or reply.status.subject == 5


# --- The client -------------------------------------------------------------------------------------------


class Client:
    """A session with a server. ``connect()`` of an adapter makes one.

    One conversation at a time: a second one beside it raises RuntimeError.

    Attributes:
        facts: Where the conversation stands.
        transcript: The recorder, if one was given.
    """

    def __init__(
        self,
        stream: Stream,
        facts: ErrorContext,
        options: ConnectOptions,
        deadline: float = math.inf,
        recorder: Recorder | None = None,
    ) -> None:
        self.facts = facts
        self.transcript = options.get("transcript")
        self._recorder = recorder or Recorder(self.transcript)
        self._stream = stream
        self._timeouts = timeouts_of(options)
        self._deadline = deadline  # by the clock, for the whole session
        self._allowed = deadline_of(options)  # the same in seconds
        self._waiting = ""  # for what, and how long: for the error if that passes
        self._write_failure: OSError | None = None
        self._connection = ClientConnection(
            limits=options.get("limits") or Limits(),
            timeouts=self._timeouts,
            extensions=options.get("extensions"),
        )
        self._transaction: _Transaction | None = None
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *details: object) -> None:
        # Who is cancelled, or interrupted, has no time to be polite.
        if kind is None or issubclass(kind, Exception):
            await self.quit()
        else:
            await self.close()

    # -- conversations --

    async def send_message(
        self,
        message: Message,
        sender: str | None = None,
        recipients: str | Sequence[str] | None = None,
    ) -> SendResult:
        """Send an ``EmailMessage``.

        Args:
            message: It is not changed; see :func:`smtpcore.message.prepare` for what is made of it.
            sender: The reverse-path, ``""`` for the null one; by default Sender or From.
            recipients: The forward-paths; by default those of To, Cc and Bcc.

        Returns:
            What became of it; see :meth:`send`.

        Raises:
            SMTPError: As :meth:`send`.
        """
        from email.message import Message as EmailBase

        from ..message import prepare

        with self._conversation("mail"):
            if not isinstance(message, EmailBase):
                raise wrong_type("message", "an EmailMessage (send() takes bytes)", message)
            if sender is not None and not isinstance(sender, str):
                raise wrong_type("sender", "a string, '' for the null reverse-path", sender)
            prepared = prepare(
                message,
                sender=sender,
                recipients=None if recipients is None else _names(recipients),
                eight_bit_mime="8BITMIME" in self._connection.capabilities,
                smtputf8="SMTPUTF8" in self._connection.capabilities,
            )
        return await self.send(
            prepared.sender, prepared.recipients, prepared.content, smtputf8=prepared.smtputf8
        )

    async def send(
        self, sender: str, recipients: str | Sequence[str], content: Content, *, smtputf8: bool = False
    ) -> SendResult:
        """Send a message.

        Args:
            sender: The reverse-path; ``""`` for the null reverse-path.
            recipients: The forward-paths, one string each. The domain of an address is sent with A-labels, as
                :meth:`send_message` sends it, and what is not in NFC is put into it (RFC 6532 3.1).
            content: Octets with CRLF line ends: bytes, a binary file, or an iterable of bytes.
                ``smtpcore.normalize_line_endings()`` helps with other line ends. A file is read from where it
                stands, and if it can seek it goes back there when the message is not accepted. A file or an
                iterable that gives no octets is refused; ``b""`` is an empty message.
            smtputf8: The header has UTF-8 in it (RFC 6531 3.4). With a local-part that has some this is so
                anyhow.

        Returns:
            What became of it, if the server has taken it for at least one recipient.

        Raises:
            LocalProtocolError: Something cannot be sent; nothing was, unless ``content`` is an iterable. If it
                is an argument of the wrong type, this is a TypeError as well.
            RecipientsRefused: No recipient was accepted; ``result`` has each reply.
            ReplyError: The message was refused as a whole; ``result`` as before.
            ConnectionLost: ``maybe_delivered`` says whether the server may have taken it all the same.
        """
        eight_bit = "8BITMIME" in self._connection.capabilities
        with self._conversation("mail"), opened(content, eight_bit=eight_bit) as source:
            transaction = self._prepare(sender, recipients, source, smtputf8)
            if self._connection.state is not State.READY:
                await self._request(Rset())
            self._transaction = transaction
            transaction.began = time.monotonic()
            await self._send_envelope(transaction)
            if transaction.data is None or not transaction.accepted:
                await self._give_up(transaction)
            await self._send_content(transaction, source)
            final = (await self._response()).reply
            if not final.is_success:
                raise ReplyError(Response(EndOfMessage(), final))
            if self._write_failure is not None:
                raise self._write_failure  # it came before the final dot was sent
            return transaction.result(final)

    def _prepare(
        self, sender: str, recipients: str | Sequence[str], source: Source, smtputf8: bool
    ) -> _Transaction:
        """Check all there is to check before anything is sent."""
        capabilities = self._connection.capabilities
        if not isinstance(sender, str):
            raise wrong_type("sender", "a string, '' for the null reverse-path", sender)
        if not isinstance(smtputf8, bool):
            raise wrong_type("smtputf8", "True or False", smtputf8)
        names = _names(recipients)
        addresses = [sender, *names]
        foreign: list[str] = []
        if not all(map(str.isascii, addresses)):
            addresses, foreign = _international(sender, names, keep=smtputf8)
        rcpts = [_rcpt(address) for address in addresses[1:]]
        parameters: dict[str, Any] = {}
        size: int | None = None
        eight_bit = True
        if source.octets is not None:
            octets = source.octets
            check_content(octets)
            size = len(octets) + (0 if octets.endswith(b"\r\n") or not octets else 2)
            eight_bit = not octets.isascii()
            if eight_bit and "8BITMIME" not in capabilities:
                raise LocalProtocolError(NOT_SEVEN_BIT)
        if size is not None and "SIZE" in capabilities:
            parameters["SIZE"] = size
        if eight_bit and "8BITMIME" in capabilities:
            parameters["BODY"] = "8BITMIME"
        if foreign or smtputf8:
            if "SMTPUTF8" not in capabilities:
                what = f"the address {foreign[0]!r}" if foreign else "the header"
                raise LocalProtocolError(f"{what} is not ASCII, and the server offers no SMTPUTF8 (RFC 6531)")
            parameters["SMTPUTF8"] = True
        mail = Mail(addresses[0], parameters)
        transaction = _Transaction(mail, rcpts, names)
        if size is not None and capabilities.exceeds_size(size):
            reply = Reply(
                552, "5.3.4", f"the message has {size} octets, and the server takes {capabilities.size}"
            )
            transaction.refusal = Response(mail, reply)
            self._transaction = transaction
            raise MessageTooBig(transaction.refusal, "not sent: " + reply.text)
        return transaction

    async def _send_envelope(self, transaction: _Transaction) -> None:
        """MAIL, RCPT and DATA, in one group if the server takes groups, and all their replies."""
        await self._say(transaction.mail)
        for rcpt in transaction.rcpts:
            self._connection.send(rcpt)
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

    async def _give_up(self, transaction: _Transaction) -> None:
        """Leave a transaction that has come to nothing, and say so."""
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
                self._connection.close()  # MAIL was refused, and yet a lone dot would send an empty message
            elif transaction.data is not None:
                # RFC 2920 3.1: DATA was granted without a recipient; a lone dot ends what has not begun.
                await self._say(EndOfMessage())
                await self._response()
            elif self._connection.state in (State.MAIL, State.RCPT):
                await self._say(Rset())
                await self._response()
        except (SMTPError, OSError):
            self._connection.close()  # what became of the message is known all the same
        raise error

    async def _send_content(self, transaction: _Transaction, source: Source) -> None:
        """Send the content and the final dot: a small message in one write, with the dot.

        The last octets are left in the core, for the write that comes before the reply is read.
        """
        self.facts.phase = "content"
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

    def _next_piece(self, transaction: _Transaction, source: Source) -> bytes:
        """The next piece, ``b""`` at the end. The time that it takes is the application's."""
        began = time.monotonic()
        piece = next(source.pieces, b"")
        transaction.began += time.monotonic() - began
        return piece

    async def command(self, event: Command) -> Reply:
        """Send a command, and give its reply: a command of an extension, such as ``Expn("staff")``.

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
        if not isinstance(event, Command):
            raise wrong_type("event", "a Command, such as Noop()", event)
        if (method := _OWN_METHODS.get(event.__class__)) is not None:
            raise LocalProtocolError(f"command() does not send {event.verb}: {method} does")
        return await self._ask(event)

    async def noop(self) -> Reply:
        """NOOP: see whether the session is alive.

        Raises:
            SMTPError: It is not, or the server refuses.
        """
        return await self._ask(Noop())

    async def reset(self) -> Reply:
        """RSET: drop the transaction.

        Raises:
            SMTPError: As :meth:`noop`.
        """
        return await self._ask(Rset())

    async def verify(self, address: str) -> Reply:
        """VRFY: ask about a user or a mailbox. 252 means: perhaps (RFC 5321 3.5.3).

        Raises:
            SMTPError: As :meth:`noop`.
        """
        if not isinstance(address, str):
            raise wrong_type("address", "a string", address)
        return await self._ask(Vrfy(address))

    async def quit(self) -> None:
        """QUIT, and close. Whatever the server says to that, what it has taken it has taken."""
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
        """Close without a word, as after an error."""
        self._ended = self._ended or "it was closed"
        self._connection.close()
        if self.transcript is not None:
            self._recorder.end()
        await self._stream.close()

    async def _ask(self, command: Command) -> Reply:
        with self._conversation("command"):
            return (await self._request(command)).reply

    # -- the beginning --

    async def start(self, security: Security, options: ConnectOptions) -> None:
        """From the open connection to where mail can be sent. For ``open_client()``."""
        auth = options.get("auth")
        context = options.get("ssl_context")
        with self._conversation("greeting"):
            if security == "tls":
                await self._shake_hands(context or default_context(verify=True))
                self._connection = ClientConnection(
                    limits=options.get("limits") or Limits(),
                    timeouts=self._timeouts,
                    tls=self._stream.tls,
                    extensions=options.get("extensions"),
                )
            _raise_refusal(await self._response())
            self._domain = hello_name(options.get("local_hostname"), self._stream.sockname)
            await self._hello(fall_back=security != "starttls")
            if security == "starttls" or (security == "opportunistic" and "STARTTLS" in self.capabilities):
                verify = security == "starttls" or auth is not None
                await self._start_tls(security, context or default_context(verify=verify))
            if auth is not None:
                await self._log_in(auth, allow_cleartext=options.get("allow_cleartext_auth", False))

    async def _hello(self, *, fall_back: bool) -> None:
        self.facts.phase = "ehlo"
        await self._say(Ehlo(self._domain))
        response = await self._response()
        if fall_back and response.reply.code in (500, 502):  # RFC 5321 3.2
            await self._say(Helo(self._domain))
            response = await self._response()
        if not response.reply.is_success:
            raise ReplyError(response, f"{response.verb} {self._domain} was answered {response.reply}")
        self.facts.offered = tuple(self._connection.capabilities.lines())

    async def _start_tls(self, security: Security, context: ssl.SSLContext) -> None:
        self.facts.phase = "starttls"
        if "STARTTLS" not in self._connection.capabilities:
            raise TlsUnavailable("the server does not offer STARTTLS, and TLS is required")
        await self._say(StartTls())
        response = await self._response()
        reply = response.reply
        if reply.is_success:
            await self._shake_hands(context)
            self._connection.tls_started(self._stream.tls or TlsInfo())
            await self._hello(fall_back=False)
        elif security == "starttls":
            raise TlsUnavailable(f"the server refused STARTTLS: {reply}")
        elif reply.code == 421:
            raise ReplyError(response)

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        self.facts.phase = "tls"
        try:
            info = await self._stream.start_tls(
                context,
                server_side=False,
                server_hostname=reference_identifier(self.facts.host),
                timeout=self._seconds(self._timeouts.connect, "no TLS handshake"),
            )
        except TimeoutError:
            raise
        except OSError as error:
            self._note_arrival(self._stream.first_octets)
            raise TlsError(f"the TLS handshake failed: {words_of(error)}") from error
        self.facts.tls = True
        if self.transcript is not None:
            self._recorder.tls(f"{info.version} {info.cipher}")

    async def _log_in(self, auth: Credentials, *, allow_cleartext: bool) -> None:
        self.facts.phase = "auth"
        connection = self._connection
        offered = connection.capabilities.mechanisms
        left = list(offered)
        refusal: AuthenticationFailed | None = None
        while True:
            if isinstance(auth, sasl.ClientMechanism):
                mechanism: sasl.ClientMechanism | None = auth if auth.name in left else None
            else:
                mechanism = sasl.choose(
                    left,
                    username=auth[0],
                    password=auth[1],
                    tls=connection.tls is not None,
                    allow_cleartext=allow_cleartext,
                )
            if mechanism is None:
                raise refusal or AuthenticationUnavailable(
                    f"no usable authentication mechanism: the server offers {', '.join(offered) or 'none'}"
                )
            await self._expect_silence()
            connection.authenticate(mechanism, allow_cleartext=allow_cleartext)
            response = await self._response()
            if response.reply.is_success:
                return
            refusal = AuthenticationFailed(response, f"{mechanism.name} was answered {response.reply}")
            if response.reply.code not in _MECHANISM_REFUSED:
                raise refusal
            left = [name for name in left if name.upper() != mechanism.name]

    # -- what all conversations are made of --

    @contextlib.contextmanager
    def _conversation(self, phase: str) -> Iterator[None]:
        """One conversation: nobody beside it, and its errors told as ours."""
        if self._busy:
            raise RuntimeError("this session is in the middle of something: one conversation at a time")
        self._transaction = None
        if self._ended:
            raise self._explained(ConnectionLost(f"the session is over: {self._ended}"))
        self._busy = True
        self._failure = "it was broken off"
        self.facts.phase = phase
        self.facts.reply = None
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
                    f"{what} (phase: {self.facts.phase})",
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
                self._ended = self._ended or f"{self._failure} (phase: {self.facts.phase})"
                self._connection.close()
                if self.facts.phase != "quit":
                    self._stream.abort()

    def _maybe_delivered(self) -> bool:
        transaction = self._transaction
        return transaction is not None and transaction.sent and bool(transaction.accepted)

    def _explained(self, error: SMTPError) -> SMTPError:
        """Give an error all that is known."""
        if error.facts is None:
            self._failure = str(error)
            self.facts.idle = time.monotonic() - self._heard
            if isinstance(error, ReplyError) and not isinstance(error, MessageTooBig):
                # In a group others may have been answered behind it.
                self.facts.phase = _PHASES.get(error.response.command.__class__, self.facts.phase)
                self.facts.reply = error.reply
            error.facts = dataclasses.replace(self.facts)
            error.hint = hint_for(error, error.facts)
            error.transcript = self.transcript
            if self._transaction is not None:
                # Content is refused at its end, or while it is on its way.
                about_content = self._transaction.sent or self.facts.phase == "content"
                final = error.reply if isinstance(error, ReplyError) and about_content else None
                error.result = self._transaction.result(final)
            if self.transcript is not None and not isinstance(error, ReplyError):
                self._recorder.note(str(error))
        return error

    async def _request(self, command: Command) -> Response:
        await self._say(command)
        response = await self._response()
        _raise_refusal(response)
        return response

    async def _say(self, event: Command | Chunk | EndOfMessage) -> None:
        """Send something, if nothing has been said that nobody has asked for."""
        await self._expect_silence()
        self._connection.send(event)

    async def _expect_silence(self) -> None:
        """Where everything is answered, the server has no more to say: the core raises if it has, 421 excepted.

        Taken for the answer to what comes next, a reply too many would put the two sides out of step. In the
        middle of content the server may also say that it refuses the message.
        """
        event = await self._next_event()
        if event is None and self._write_failure is None and (data := arrived(self._stream)) is not None:
            self._receive(data)
            event = await self._next_event()
        if isinstance(event, Response):
            in_content = self.facts.phase == "content"
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
        connection, facts = self._connection, self.facts
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
            return self._connection.next_event()
        except RemoteProtocolError:
            with contextlib.suppress(OSError):
                await self._flush()  # the farewell
            raise

    def _seconds(self, allowed: float, what: str, end: float | None = None) -> float:
        """Seconds that a wait may last; and note what the error has to say if they pass.

        Args:
            allowed: Seconds for this wait alone.
            what: What has not happened then.
            end: When the wait ends, by the clock, if it has begun already.
        """
        now = time.monotonic()
        if end is None:
            end = now + allowed
        self._waiting = f"{what} in the {allowed:g} s allowed for it"
        if self._transaction is not None:
            seconds = self._transaction.allowed(self._timeouts)
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
            self._recorder.server(data)
        self._connection.receive_data(data)

    def _note_arrival(self, data: bytes) -> None:
        facts = self.facts
        if data:
            self._heard = time.monotonic()
            facts.octets_received += len(data)
            if len(facts.first_octets) < 64 and not self._connection.secrets:  # which the server may quote
                facts.first_octets += data[: 64 - len(facts.first_octets)]

    async def _flush(self) -> bool:
        """Write what the core has to send.

        Returns:
            False if that has failed; then the core has what the server had sent before, and gets no more.

        Raises:
            OSError: It had failed before.
        """
        if self._write_failure is not None:
            raise self._write_failure
        data = self._connection.data_to_send()
        if data:
            if self.transcript is not None:
                self._recorder.hide(*self._connection.secrets)
                self._recorder.client(data)
            seconds = self._seconds(self._timeouts.data_block, "the server did not take what was sent")
            try:
                await self._stream.write(data, seconds)
            except OSError as error:
                self._write_failure = error
                if last_words := arrived(self._stream):
                    self._receive(last_words)
                return False
        return True


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


async def open_client(open_stream: OpenStream, host: str, port: int, options: ConnectOptions) -> Client:
    """Connect, secure the connection, log in. For adapters.

    Raises:
        SMTPError: With facts and a hint; the connection is closed. An argument is checked before the
            connection is made: LocalProtocolError, which is a TypeError as well if the type is wrong.
    """
    check_options(options)
    host, port = checked_host(host), checked_port(port)
    security = security_of(port, options)
    facts = ErrorContext(host=host, port=port, security=security)
    transcript = options.get("transcript")
    allowed = deadline_of(options)
    deadline = time.monotonic() + allowed
    seconds = min(timeouts_of(options).connect, allowed)
    recorder = Recorder(transcript)
    recorder.note(f"connecting to {host} port {port}")
    try:
        stream = await open_stream(host, port, local_address=options.get("local_address"), timeout=seconds)
    except (OSError, UnicodeError) as error:  # what no host can be called is a UnicodeError
        what = "no answer in the time allowed" if isinstance(error, TimeoutError) else words_of(error)
        failed = ConnectionFailed(f"cannot connect to {host} port {port}: {what}")
        failed.__cause__ = error  # which the hint is worked out from
        failed.facts, failed.transcript = facts, transcript
        failed.hint = hint_for(failed, facts)
        raise failed from error
    client = Client(stream, facts, options, deadline, recorder)
    try:
        await client.start(security, options)
    except SMTPError:
        await client.quit()
        raise
    except BaseException:
        stream.abort()
        await client.close()
        raise
    return client


def default_context(*, verify: bool) -> ssl.SSLContext:
    """A context for a client.

    Args:
        verify: Whether the server has to prove who it is. Without, TLS is better than nothing, and no more.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def hello_name(given: str | None, sockname: object) -> str:
    """The argument of EHLO: a fully-qualified domain, else an address literal (RFC 5321 4.1.4); without DNS."""
    if given is not None:
        if not given.isprintable():
            raise LocalProtocolError(f"local_hostname {given!r} has control characters in it")
        if is_hello_argument(given):
            return given
    else:
        name = socket.gethostname()
        if "." in name.strip(".") and is_hello_argument(name):
            return name
    host = str(sockname[0]) if isinstance(sockname, tuple) else "127.0.0.1"
    host = host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _raise_refusal(response: Response) -> None:
    if not response.reply.is_success:
        raise ReplyError(response)


def _names(recipients: object) -> list[str]:
    if isinstance(recipients, str):
        return [recipients]
    what = "a string, or a sequence of strings, one for each recipient"
    if isinstance(recipients, (bytes, bytearray, memoryview)) or not isinstance(recipients, Iterable):
        raise wrong_type("recipients", what, recipients)
    names = []
    for name in recipients:
        if not isinstance(name, str):
            raise wrong_type("recipients", what + "; one of them is", name)
        names.append(name)
    if not names:
        raise LocalProtocolError("a message needs at least one recipient")
    return names


def _international(sender: str, names: list[str], *, keep: bool) -> tuple[list[str], list[str]]:
    """The addresses of an envelope, sender first, and those among them that need SMTPUTF8.

    Without such a one, and unless they are to be kept, all have A-labels in their domains (RFC 6531 3.2).
    """
    given = [sender, *names]
    paths = [ReversePath(composed(sender)), *(_rcpt(composed(name)).forward_path for name in names)]
    reduced = [in_ascii(path) for path in paths]
    foreign = [name for name, text in zip(given, reduced, strict=True) if text is None]
    if foreign or keep:
        return [str(path) for path in paths], foreign
    return [str(text) for text in reduced], foreign


def _rcpt(recipient: str) -> Rcpt:
    try:
        return Rcpt(recipient)
    except LocalProtocolError as error:
        advice = "; recipients are given as a list, one string each" if "," in recipient else ""
        raise LocalProtocolError(f"the recipient {recipient!r}: {error}{advice}") from None


def words_of(error: Exception) -> str:
    """What an error of the system says, without its number."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and (reason := getattr(error, "reason", None)):
        return str(reason).replace("_", " ").lower()
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
