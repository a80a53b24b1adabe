"""``send_many()``: messages one after the other, with the pipe full between them.

Where PIPELINING is offered, the envelope of the next message travels with the content of the one before it: a
final dot may be followed by further commands in its group (RFC 2920 3.1). So a message costs one write, one
read and one round trip. DATA ends a group, so no content can be sent before its 354, and never more than one
envelope is ahead.

**Application code runs only where no message is in doubt.** Messages are read, and outcomes are handed over,
when each final dot that was sent has its reply. If the application fails, is cancelled or stops there, then
each message either has its outcome or was not delivered. Only a failure while the reply to a final dot is
awaited leaves a doubt about one message, and its outcome says so (``maybe_delivered``).

Between two outcomes the server may be waiting for content. The dialogue is claimed then: other conversations
are refused, and ``quit()`` closes without QUIT.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._core.errors import LocalProtocolError, SMTPError
from .dialogue import Dialogue
from .options import wrong_type
from .results import SendOutcome, SendResult
from .sending import begin, read_envelope_replies, read_verdict, send_content
from .sources import BYTES, AsyncContent, Content, Source, opened
from .transaction import Recipients, Sender, Transaction, prepare_email, prepare_transaction

if TYPE_CHECKING:
    from email.message import Message

    from ..message import PreparedMessage

    Outgoing = Message | PreparedMessage | tuple[Sender, Recipients, Content]
    AsyncOutgoing = Message | PreparedMessage | tuple[Sender, Recipients, AsyncContent]

_MESSAGES = "an EmailMessage, a PreparedMessage, or a tuple of sender, recipients and content"
_NEVER_ITERATED = "send_many() was never iterated: no message was sent"


@dataclass(slots=True)
class _Item:
    """A message that was read.

    Attributes:
        message: As the application gave it.
        transaction: What is sent for it; None if it cannot be sent.
        error: Why it cannot be sent.
        source: Its content, if that is not bytes.
        resources: Leaves the source as it was, if sending fails.
        begun: Its envelope was sent with the content of the message before.
    """

    message: Any
    transaction: Transaction | None = None
    error: Exception | None = None
    source: Source | None = None
    resources: contextlib.AsyncExitStack | None = None
    begun: bool = False

    @property
    def may_go_ahead(self) -> bool:
        """Whether its envelope can be sent before the reply to the message before is known."""
        # Whether an extension accepts parameters of the application may depend on the state of the session.
        transaction = self.transaction
        return transaction is not None and transaction.refusal is None and not transaction.has_own_parameters


class Batch(AsyncIterator[SendOutcome]):
    """The outcomes of messages, which are sent as they are asked for. ``send_many()`` returns one.

    Args:
        dialogue: The session.
        messages: See ``send_many()``.
        suspends: Asynchronous iterables can be waited for.

    Raises:
        ArgumentTypeError: ``messages`` is not an iterable of messages.
    """

    def __init__(self, dialogue: Dialogue, messages: object, *, suspends: bool) -> None:
        self._started = True  # no warning about what could not be made
        self._dialogue = dialogue
        self._suspends = suspends
        self._awaited: AsyncIterator[Any] | None = None
        # A message is iterable itself, and gives the names of its fields.
        if isinstance(messages, (str, *BYTES)) or hasattr(messages, "as_bytes"):
            raise wrong_type("messages", "an iterable of messages", messages)
        if suspends and isinstance(messages, AsyncIterable):
            self._awaited = aiter(messages)
            messages = ()
        if not isinstance(messages, Iterable):
            raise wrong_type("messages", "an iterable of messages", messages)
        self._messages = iter(messages)
        self._exhausted = False
        self._failure: Exception | None = None  # of the iterable
        self._ahead: _Item | None = None
        self._started = False

    def __del__(self) -> None:
        if not self._started:
            warnings.warn(_NEVER_ITERATED, RuntimeWarning, stacklevel=2)

    async def __anext__(self) -> SendOutcome:
        self._started = True
        item, self._ahead = self._ahead, None
        if item is None and not self._exhausted:
            self._dialogue.check_usable()
            item = await self._read()
        if item is None:
            failure, self._failure = self._failure, None
            raise failure or StopAsyncIteration
        return await self._send(item)

    async def leave(self) -> None:
        """Leave the content of a message that was read and will not be sent as it was."""
        item, self._ahead = self._ahead, None
        if item is not None and item.resources is not None:
            left = GeneratorExit()
            await item.resources.__aexit__(GeneratorExit, left, None)

    async def _send(self, item: _Item) -> SendOutcome:
        """Send a message; its outcome has what ``send()`` would return or raise."""
        if item.error is not None and not isinstance(item.error, SMTPError):
            raise item.error
        try:
            if item.resources is None:
                result = await self._converse(item)
            else:
                async with item.resources:
                    result = await self._converse(item)
        except SMTPError as error:
            if error.result is None and item.transaction is not None:
                error.result = item.transaction.result()
            return SendOutcome(item.message, error.result, error)
        return SendOutcome(item.message, result, None)

    async def _converse(self, item: _Item) -> SendResult:
        with self._dialogue.conversation("mail", self):
            if item.error is not None:
                raise item.error
            assert item.transaction is not None, "it can be sent, or there is an error"
            return await self._complete(item, item.transaction)

    async def _complete(self, item: _Item, transaction: Transaction) -> SendResult:
        """Do the rest of a transaction, and begin the next one."""
        dialogue = self._dialogue
        if not item.begun:
            await begin(dialogue, transaction)
        dialogue.claim = None
        await read_envelope_replies(dialogue, transaction, begun=item.begun)
        ahead = None
        if "PIPELINING" in dialogue.connection.capabilities and not self._exhausted:
            began = time.monotonic()
            ahead = self._ahead = await self._read()
            transaction.pause(time.monotonic() - began)
        await send_content(dialogue, transaction, item.source)
        if ahead is not None and ahead.transaction is not None and ahead.may_go_ahead:
            dialogue.connection._send_envelope(ahead.transaction.mail, ahead.transaction.rcpts)
            ahead.begun = True
            dialogue.claim = self
        return await read_verdict(dialogue, transaction)

    async def _read(self) -> _Item | None:
        """Read the next message; None at the end of the iterable, or if that fails."""
        try:
            if self._awaited is not None:
                message = await anext(self._awaited)
            else:
                message = next(self._messages)
        except (StopIteration, StopAsyncIteration):
            self._exhausted = True
            return None
        except Exception as error:  # reported when the messages that were read have their outcomes
            self._exhausted = True
            self._failure = error
            return None
        try:
            return await self._prepare(message)
        except Exception as error:
            return _Item(message, error=error)

    async def _prepare(self, message: Any) -> _Item:
        """Check everything that can be checked before anything is sent."""
        connection = self._dialogue.connection
        if not isinstance(message, tuple):
            from email.message import Message as EmailBase

            from ..message import PreparedMessage

            if not isinstance(message, (EmailBase, PreparedMessage)):
                raise wrong_type("a message", _MESSAGES, message)
            if not isinstance(message, PreparedMessage):
                return _Item(message, prepare_email(connection, message))
            sender, recipients, content = message.sender, message.recipients, message.content
            return _Item(
                message, prepare_transaction(connection, sender, recipients, content, message.smtputf8)
            )
        if len(message) != 3:
            raise LocalProtocolError(f"a message is {_MESSAGES}, not a tuple of {len(message)}")
        sender, recipients, content = message
        if isinstance(content, BYTES):
            return _Item(message, prepare_transaction(connection, sender, recipients, bytes(content), False))
        transaction = prepare_transaction(connection, sender, recipients, None, False)
        resources = contextlib.AsyncExitStack()
        eight_bit = "8BITMIME" in connection.capabilities
        source = await resources.enter_async_context(
            opened(content, eight_bit=eight_bit, suspends=self._suspends)
        )
        return _Item(message, transaction, source=source, resources=resources)
