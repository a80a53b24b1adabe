"""How a message is sent: one mail transaction, from MAIL to the reply to the final dot.

What can be checked is checked before the first octet is sent (``transaction``, ``sources``). The envelope is
one write where PIPELINING is offered, and the content with its final dot is another if it is short.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from .._core.client import EnvelopeAccepted
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import Chunk, CommandNotSent, Data, EndOfMessage, Mail, Rcpt, Response, Rset
from .._core.state import State
from .dialogue import Dialogue
from .errors import MessageTooBig, RecipientsRefused, ReplyError
from .results import SendResult
from .sources import Source
from .transaction import Transaction


async def transact(dialogue: Dialogue, transaction: Transaction, source: Source | None = None) -> SendResult:
    """Do a whole mail transaction.

    Args:
        dialogue: The session, in a conversation.
        transaction: What to send.
        source: The content, if the transaction does not have it.
    """
    await begin(dialogue, transaction)
    await read_envelope_replies(dialogue, transaction)
    await send_content(dialogue, transaction, source)
    return await read_verdict(dialogue, transaction)


async def begin(dialogue: Dialogue, transaction: Transaction) -> None:
    """Begin a transaction: give MAIL, RCPT and DATA to the core, which sends them in one group if it may.

    Raises:
        MessageTooBig: The server does not accept a message of this size.
    """
    dialogue.last = transaction
    if transaction.refusal is not None:
        dialogue.transaction = transaction
        raise MessageTooBig(transaction.refusal, "not sent: " + transaction.refusal.reply.text)
    connection = dialogue.connection
    if connection.state is not State.READY:
        await dialogue.request(Rset())
    dialogue.transaction = transaction
    dialogue.check_silence()
    if not transaction.has_own_parameters:
        connection._send_envelope(transaction.mail, transaction.rcpts)
        return
    connection.send(transaction.mail)
    try:
        for rcpt in transaction.rcpts:
            connection.send(rcpt)
    except LocalProtocolError:  # an extension refuses a recipient beside this MAIL
        connection.send(Rset())
        while not isinstance(getattr(await dialogue.event(), "command", None), Rset):
            pass
        raise
    connection.send(Data())


async def read_envelope_replies(dialogue: Dialogue, transaction: Transaction, *, begun: bool = False) -> None:
    """Read the replies to MAIL, RCPT and DATA.

    Args:
        dialogue: The session, in a conversation.
        transaction: The transaction.
        begun: They may have arrived with the reply to the message before.

    Raises:
        ReplyError: No content can be sent. The transaction has ended.
    """
    dialogue.transaction = dialogue.last = transaction
    transaction.begin(time.monotonic(), dialogue.timeouts)
    event = (dialogue.ready_event() if begun else None) or await dialogue.event()
    while True:
        if isinstance(event, Response):
            reply = event.reply
            kind = event.command.__class__
            if kind is Rcpt:
                transaction.replies.append(reply)
            if reply.code >= 400 and (kind is not Rcpt or reply.code == 421):
                transaction.refusal = transaction.refusal or event
            if reply.code == 421:
                break
            if kind is Data:
                transaction.data = reply if reply.is_intermediate else None
                break
        elif isinstance(event, EnvelopeAccepted):
            _, *transaction.replies, transaction.data = event.replies
            return
        else:
            assert isinstance(event, CommandNotSent), "each command has a reply, or was not sent"
            if isinstance(event.command, Data):
                break
        event = dialogue.ready_event() or await dialogue.event()
    if transaction.data is None or not transaction.accepted:
        await _give_up(dialogue, transaction)


async def _give_up(dialogue: Dialogue, transaction: Transaction) -> None:
    """End a transaction without an accepted recipient or without DATA, and raise the refusal."""
    refusal = transaction.refusal
    if refusal is not None and (isinstance(refusal.command, Mail) or transaction.accepted):
        error = ReplyError(refusal)
    else:
        refusals = list(map(Response, transaction.rcpts, transaction.replies))
        one = next((response for response in refusals if response.reply.is_transient), refusals[0])
        error = RecipientsRefused(one, f"no recipient was accepted: {one.reply}")
    dialogue.explain(error)
    try:
        if transaction.data is not None and any(reply.is_success for reply in transaction.replies):
            dialogue.connection.abort()  # MAIL was refused, but a lone dot would send an empty message
        elif transaction.data is not None:
            # RFC 2920 3.1: DATA was granted without a recipient, so a lone dot ends the content.
            dialogue.send(EndOfMessage())
            await dialogue.response()
        elif dialogue.connection.state in (State.MAIL, State.RCPT):
            dialogue.send(Rset())
            await dialogue.response()
    except (SMTPError, OSError):
        dialogue.connection.abort()  # the outcome of the message is known already
    raise error


async def send_content(dialogue: Dialogue, transaction: Transaction, source: Source | None = None) -> None:
    """Send the content and the final dot.

    The last octets are left in the core, for the write that comes before the reply is read: a short message and
    its dot are one write.
    """
    dialogue.context.phase = "content"
    if transaction.octets is not None:
        *others, last = transaction.octets
        if others:
            await _send_octets(dialogue, transaction, others)
        dialogue.check_silence()
        transaction.allow_content(len(last), dialogue.limits)
        dialogue.connection._send_encoded(last, last=True)
    elif source is not None and source.awaited is not None:
        await _send_awaited(dialogue, transaction, source.awaited)
    elif source is not None:
        await _send_pieces(dialogue, transaction, source)
    transaction.sent = True


async def _send_octets(dialogue: Dialogue, transaction: Transaction, octets: list[bytes]) -> None:
    """Send content that is encoded, but for its last piece."""
    connection, limits = dialogue.connection, dialogue.limits
    for piece in octets:
        dialogue.check_silence()
        connection._send_encoded(piece, last=False)
        transaction.allow_content(len(piece), limits)
        await dialogue.flush()


async def _send_pieces(dialogue: Dialogue, transaction: Transaction, source: Source) -> None:
    """Send the content of a file or an iterable, and the final dot."""
    piece = _next_piece(transaction, source)
    following = _next_piece(transaction, source)
    whole = bool(piece) and not following
    while piece:
        dialogue.send(Chunk(piece))
        transaction.allow_content(len(piece), dialogue.limits)
        if not whole:
            await dialogue.flush()
        piece, following = following, _next_piece(transaction, source)
    if not whole:
        dialogue.check_silence()
    dialogue.connection.send(EndOfMessage())


async def _send_awaited(dialogue: Dialogue, transaction: Transaction, pieces: AsyncIterator[bytes]) -> None:
    """Send the content of an asynchronous iterable, and the final dot."""
    try:
        while True:
            began = time.monotonic()
            piece = await anext(pieces, b"")
            transaction.pause(time.monotonic() - began)
            if not piece:
                break
            dialogue.send(Chunk(piece))
            transaction.allow_content(len(piece), dialogue.limits)
            await dialogue.flush()
    except BaseException:
        if (close := getattr(pieces, "aclose", None)) is not None:
            with contextlib.suppress(Exception):
                await close()
        raise
    dialogue.check_silence()
    dialogue.connection.send(EndOfMessage())


def _next_piece(transaction: Transaction, source: Source) -> bytes:
    """Give the next piece, ``b""`` at the end. The time that it takes does not count for the transaction."""
    began = time.monotonic()
    piece = next(source.pieces, b"")
    transaction.pause(time.monotonic() - began)
    return piece


async def read_verdict(dialogue: Dialogue, transaction: Transaction) -> SendResult:
    """Read the reply to the final dot.

    Raises:
        ReplyError: The message was refused.
    """
    event = await dialogue.event()
    assert isinstance(event, Response), "the final dot was sent, so it has a reply, or the connection is lost"
    final = event.reply
    if final.is_success and dialogue.write_failure is not None:
        raise dialogue.write_failure  # the reply came before the final dot was sent
    transaction.final = final
    if not final.is_success:
        raise ReplyError(Response(EndOfMessage(), final))
    return transaction.result()
