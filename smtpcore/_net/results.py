"""The results of sending a message, for each recipient, and the exchanges that errors keep."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from .._core.commands import format_command
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import Command, Connect, EndOfMessage
from .._core.printable import printable
from .._core.replies import Reply
from .._core.rules import rules_for
from ..extensions import STANDARD


@dataclass(frozen=True, slots=True)
class Exchange:
    """A command and its reply; errors keep the last ones of a session.

    Attributes:
        command: What was sent, with secrets removed: a command, ``EndOfMessage`` for the content and its final
            dot, ``Connect`` for the opening. None: the reply came without a command.
        reply: The reply; None if none had come.
    """

    command: Command | EndOfMessage | Connect | None
    reply: Reply | None

    def __str__(self) -> str:
        lines = []
        if isinstance(self.command, Command):
            lines.append(f"C: {_line_of(self.command)}")
        elif isinstance(self.command, EndOfMessage):
            lines.append("C: (content) .")
        if self.reply is not None:
            lines.append(f"S: {self.reply}")
        return "\n".join(lines)


def make_exchange(command: Command | EndOfMessage | Connect | None, reply: Reply | None) -> Exchange:
    """Make an exchange of a command and its reply; secrets are removed from a copy of the command."""
    hidden = getattr(command, "_hidden", None)
    if hidden:
        command = copy.copy(command)
        for name in hidden:
            setattr(command, name, None)
    return Exchange(command, reply)


def _line_of(command: Command) -> str:
    try:
        line = format_command(command, rules_for(STANDARD)).decode()
    except LocalProtocolError:  # it belongs to an extension of the application
        line = repr(command)
    return printable(line.rstrip("\r\n"))


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of one recipient.

    Attributes:
        recipient: The address as it was given.
        reply: The reply that decided: to MAIL, RCPT or DATA if that was refused, else to the content; None if
            the server did not reply.
        accepted: The server accepted the message for this recipient.
        retryable: The server did not accept the message for this recipient, and may accept it later.
    """

    recipient: str
    reply: Reply | None
    accepted: bool
    retryable: bool


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a message, recipient by recipient.

    Attributes:
        sender: The reverse-path.
        results: One result for each recipient, in order.
        reply: The reply that decided on the message as a whole: to the content, or to MAIL or DATA if that was
            refused; None if there was none.
        maybe_delivered: The final dot was sent, and its reply was not received. The server may have accepted
            the message for the recipients that it had accepted, or not (RFC 5321 4.5.4.1, 6.1).
    """

    sender: str
    results: tuple[RecipientResult, ...]
    reply: Reply | None = None
    maybe_delivered: bool = False

    @property
    def accepted_recipients(self) -> tuple[str, ...]:
        """The recipients for which the server accepted the message."""
        return tuple(one.recipient for one in self.results if one.accepted)

    @property
    def refused_recipients(self) -> dict[str, Reply | None]:
        """The other recipients, with the reply to each."""
        return {one.recipient: one.reply for one in self.results if not one.accepted}

    @property
    def retryable_recipients(self) -> tuple[str, ...]:
        """The refused recipients worth retrying."""
        return tuple(one.recipient for one in self.results if one.retryable)


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one message of ``send_many()``.

    Attributes:
        message: The message as the application gave it.
        result: What ``send()`` would have returned, or what its error would have as ``result``; None if the
            message has no envelope.
        error: What ``send()`` would have raised; None if the server has accepted the message for at least one
            recipient. After a :class:`~smtpcore.TransportError`, ``result.maybe_delivered`` says whether the
            server may have accepted the message all the same.
    """

    message: Any
    result: SendResult | None
    error: SMTPError | None = None
