"""The client: ``send_message()``, ``send()`` and the other things that can be done in an open session.

The methods are coroutines over a :class:`~smtpcore.stream.Stream`, written once for all adapters. The asyncio
and trio adapters await them; the blocking adapter drives the same coroutines over a stream whose methods never
suspend.

``sending`` has the mail transaction, ``batch`` the many messages of ``send_many()``, and ``dialogue`` what each
command needs: its reply in time, or an error that explains itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Final, Self

from .._core.capabilities import Capabilities
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import Command, ConnectionClosed, Data, Ehlo, Helo, Mail, Noop, Quit, Rset, Vrfy
from .._core.limits import TlsInfo
from .._core.replies import Reply
from ..extensions.auth import Auth
from ..extensions.starttls import StartTls
from .batch import Batch
from .dialogue import Dialogue
from .errors import ErrorContext
from .options import wrong_type
from .results import SendResult
from .sending import transact
from .sources import BYTES, AsyncContent, opened
from .transaction import Recipients, prepare_email, prepare_transaction

if TYPE_CHECKING:
    from email.message import Message

    from .batch import AsyncOutgoing


class Client:
    """A session with a server. ``connect()`` of an adapter makes one.

    It is an asynchronous context manager: the end of the block sends QUIT and closes. After an exception that
    is not an ``Exception``, such as a cancellation, it closes without QUIT.

    One conversation at a time: a concurrent second one raises RuntimeError.

    A cancellation of a method ends the session, because the reply that was awaited would be matched with the
    next command. :attr:`last_result` then has the outcome of the message.

    Attributes:
        transcript: The recorder, if one was given.
    """

    def __init__(self, dialogue: Dialogue, *, suspends: bool = True) -> None:
        self.transcript = dialogue.transcript
        self._dialogue = dialogue
        self._suspends = suspends  # asynchronous iterables can be waited for

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers."""
        return self._dialogue.connection.capabilities

    @property
    def tls(self) -> TlsInfo | None:
        """The facts of TLS, None in plaintext."""
        return self._dialogue.connection.tls

    @property
    def context(self) -> ErrorContext:
        """Where the conversation stands now, with the last exchanges; a copy."""
        return self._dialogue.snapshot()

    @property
    def last_result(self) -> SendResult | None:
        """What became of the last message, as far as it is known; None if none was begun.

        ``send()`` returns it and its errors have it as ``result``. It is here for what can end ``send()``
        otherwise, such as a cancellation. ``maybe_delivered`` is then True if the final dot had been sent, or
        was being sent: the server may have accepted the message, and to send it again may duplicate it.
        """
        return None if self._dialogue.last is None else self._dialogue.last.result()

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
        dialogue = self._dialogue
        with dialogue.conversation("mail"):
            transaction = prepare_email(dialogue.connection, message, sender, recipients)
            return await transact(dialogue, transaction)

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
        dialogue = self._dialogue
        connection = dialogue.connection
        with dialogue.conversation("mail"):
            if isinstance(content, BYTES):
                octets = bytes(content)
                return await transact(
                    dialogue, prepare_transaction(connection, sender, recipients, octets, smtputf8)
                )
            eight_bit = "8BITMIME" in connection.capabilities
            async with opened(content, eight_bit=eight_bit, suspends=self._suspends) as source:
                transaction = prepare_transaction(connection, sender, recipients, None, smtputf8)
                return await transact(dialogue, transaction, source)

    def send_many(self, messages: Iterable[AsyncOutgoing] | AsyncIterable[AsyncOutgoing]) -> Batch:
        """Send messages one after the other, as fast as the server replies.

        A message is sent when its outcome is asked for. If the server offers PIPELINING, the envelope of the
        next message travels with the content of the one before, so each message costs one round trip instead of
        two. Without PIPELINING the outcomes are the same.

        A refused message does not stop the next one. If the session ends, each message that was read has an
        outcome; the others stay unread in the iterable, and can be sent in a new session. A message is in doubt
        only if the session ended while the reply to its final dot was awaited: its ``result.maybe_delivered``
        is True, and no other message of the batch is in doubt.

        Args:
            messages: Messages, read one at a time and at most one ahead: an ``EmailMessage``, sent as
                :meth:`send_message` does; a :class:`~smtpcore.message.PreparedMessage`; or a tuple ``(sender,
                recipients, content)`` of arguments of :meth:`send`. It may be an asynchronous iterable. The
                server waits meanwhile, so it should not wait long itself.

        Returns:
            An asynchronous iterator of one :class:`~smtpcore.SendOutcome` for each message, in order. Nothing
            is sent before it is iterated. If that stops before the end, at most one message was read that has
            no outcome, and it was not delivered.

        Raises:
            ArgumentTypeError: ``messages`` is not an iterable of messages.
            ConnectionLost: From the iterator, when all messages that were read have their outcomes: the session
                is over, and the end of ``messages`` was not reached.
            RuntimeError: From the other methods, until the iterator has come to its end. If it is left early,
                the next envelope may be on its way, and only :meth:`quit` and :meth:`close` are possible.

        Example:
            ::

                async for outcome in client.send_many(messages):
                    if outcome.error is not None:
                        print(outcome.message["Subject"], outcome.error)
        """
        try:
            return Batch(self._dialogue, messages, suspends=self._suspends)
        except SMTPError as error:
            raise self._dialogue.explain(error) from None

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
        with self._dialogue.conversation("command"):
            if not isinstance(event, Command):
                raise wrong_type("event", "a Command, such as Noop()", event)
            if (method := _OWN_METHODS.get(event.__class__)) is not None:
                raise LocalProtocolError(f"command() does not send {event.verb}: {method} does")
            return (await self._dialogue.request(event)).reply

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
        with self._dialogue.conversation("command"):
            if not isinstance(address, str):
                raise wrong_type("address", "a string", address)
            return (await self._dialogue.request(Vrfy(address))).reply

    async def quit(self) -> None:
        """Send QUIT, and close.

        It does not raise SMTPError: accepted messages stay accepted, whatever the server replies to QUIT.
        """
        try:
            if not self._dialogue.ended:
                with contextlib.suppress(SMTPError, RuntimeError), self._dialogue.conversation("quit"):
                    self._dialogue.send(Quit())
                    while not isinstance(await self._dialogue.event(), ConnectionClosed):
                        pass
                    self._dialogue.ended = "QUIT was sent"
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connection without QUIT, as after an error. It may be called again."""
        await self._dialogue.close()


_OWN_METHODS: Final[dict[type[Command], str]] = {
    Ehlo: "connect()",
    Helo: "connect()",
    StartTls: "connect(security='starttls')",
    Auth: "connect(auth=...)",
    Data: "send()",
    Quit: "quit()",
}
