"""How a message is sent: one mail transaction, from MAIL to the reply to the final dot.

The envelope is one write where PIPELINING is offered, and a small message with its final dot is another. What
can be checked is checked before the first octet is sent (``transaction``, ``sources``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import Chunk, CommandNotSent, Data, EndOfMessage, Mail, Rcpt, Response, Rset
from .._core.state import State
from .dialogue import Dialogue
from .errors import MessageTooBig, RecipientsRefused, ReplyError
from .results import SendResult
from .sources import Source
from .transaction import Recipients, Transaction, prepare_transaction


async def transact(
    dialogue: Dialogue, sender: str | Mail, recipients: Recipients, source: Source, smtputf8: bool
) -> SendResult:
    """Do one mail transaction."""
    transaction = prepare_transaction(dialogue.connection, sender, recipients, source, smtputf8)
    dialogue.last = transaction
    if transaction.refusal is not None:
        dialogue.transaction = transaction
        raise MessageTooBig(transaction.refusal, "not sent: " + transaction.refusal.reply.text)
    if dialogue.connection.state is not State.READY:
        await dialogue.request(Rset())
    dialogue.transaction = transaction
    transaction.begin(time.monotonic(), dialogue.timeouts)
    await _send_envelope(dialogue, transaction)
    if transaction.data is None or not transaction.accepted:
        await _give_up(dialogue, transaction)
    if source.awaited is not None:
        await _send_awaited_content(dialogue, transaction, source.awaited)
    else:
        await _send_content(dialogue, transaction, source)
    final = (await dialogue.response()).reply
    if not final.is_success:
        transaction.final = final
        raise ReplyError(Response(EndOfMessage(), final))
    if dialogue.write_failure is not None:
        raise dialogue.write_failure  # it came before the final dot was sent
    transaction.final = final
    return transaction.result()


async def _send_envelope(dialogue: Dialogue, transaction: Transaction) -> None:
    """Send MAIL, RCPT and DATA, in one group if PIPELINING is offered, and read all their replies."""
    dialogue.say(transaction.mail)
    try:
        for rcpt in transaction.rcpts:
            dialogue.connection.send(rcpt)
    except LocalProtocolError:  # an extension refuses a recipient beside this MAIL
        dialogue.connection.send(Rset())
        while not isinstance(getattr(await dialogue.event(), "command", None), Rset):
            pass
        raise
    dialogue.connection.send(Data())
    while True:
        event = await dialogue.event()
        assert isinstance(event, (Response, CommandNotSent)), "what was sent is answered, lost, or was not sent"
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
            dialogue.say(EndOfMessage())
            await dialogue.response()
        elif dialogue.connection.state in (State.MAIL, State.RCPT):
            dialogue.say(Rset())
            await dialogue.response()
    except (SMTPError, OSError):
        dialogue.connection.abort()  # the outcome of the message is known already
    raise error


async def _send_content(dialogue: Dialogue, transaction: Transaction, source: Source) -> None:
    """Send the content and the final dot: a small message in one write, with the dot.

    The last octets are left in the core, for the write that comes before the reply is read.
    """
    dialogue.context.phase = "content"
    piece = _next_piece(dialogue, transaction, source)
    following = _next_piece(dialogue, transaction, source)
    whole = not following
    sent = bool(piece)
    while piece:
        dialogue.say(Chunk(piece))
        transaction.allow_content(len(piece), dialogue.limits)
        if not whole:
            await dialogue.flush()
        piece, following = following, _next_piece(dialogue, transaction, source)
    if not (whole and sent):
        dialogue.expect_silence()
    dialogue.connection.send(EndOfMessage())
    transaction.sent = True


async def _send_awaited_content(
    dialogue: Dialogue, transaction: Transaction, pieces: AsyncIterator[bytes]
) -> None:
    """Send the content of an asynchronous iterable, and the final dot."""
    dialogue.context.phase = "content"
    try:
        while True:
            began = time.monotonic()
            piece = await anext(pieces, b"")
            transaction.pause(time.monotonic() - began)  # the time of the application
            if not piece:
                break
            dialogue.say(Chunk(piece))
            transaction.allow_content(len(piece), dialogue.limits)
            await dialogue.flush()
    except BaseException:
        if (close := getattr(pieces, "aclose", None)) is not None:
            with contextlib.suppress(Exception):
                await close()
        raise
    dialogue.expect_silence()
    dialogue.connection.send(EndOfMessage())
    transaction.sent = True


def _next_piece(dialogue: Dialogue, transaction: Transaction, source: Source) -> bytes:
    """The next piece, ``b""`` at the end. The time that it takes is the application's."""
    began = time.monotonic()
    piece = next(source.pieces, b"")
    transaction.pause(time.monotonic() - began)
    return piece
