"""What sending a message gives, and what its errors bear: results for each recipient, and exchanges."""

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
    """A command of a dialogue and its reply, as errors keep the last ones of them.

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
    """Keep a command and its reply, without what is secret in the command."""
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
        recipient: As it was given.
        reply: What the server answered, to RCPT or, if that was accepted, at the end; None if it never did.
        accepted: The server has taken the message for this recipient.
        retryable: Not accepted, and worth another try later.
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
        reply: The last word on the message as a whole: to the final dot, or to what was refused before.
        maybe_delivered: The connection broke between the final dot and its reply: the server may have taken
            the message for those whose RCPT it had accepted, or not (RFC 5321 4.5.4.1, 6.1).
    """

    sender: str
    results: tuple[RecipientResult, ...]
    reply: Reply | None = None
    maybe_delivered: bool = False

    @property
    def accepted_recipients(self) -> tuple[str, ...]:
        """Those for whom the server has taken the message."""
        return tuple(one.recipient for one in self.results if one.accepted)

    @property
    def refused_recipients(self) -> dict[str, Reply | None]:
        """Those for whom it has not, with the reply."""
        return {one.recipient: one.reply for one in self.results if not one.accepted}

    @property
    def retryable_recipients(self) -> tuple[str, ...]:
        """Those worth another try."""
        return tuple(one.recipient for one in self.results if one.retryable)


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """What became of one message of ``send_many()``.

    Attributes:
        message: As the application gave it.
        result: What ``send()`` would have returned, or what its error would have as ``result``; None if the
            message has no envelope.
        error: What ``send()`` would have raised; None if the server has accepted the message for at least one
            recipient. After a :class:`~smtpcore.TransportError`, ``result.maybe_delivered`` says whether the
            server may have accepted the message all the same.
    """

    message: Any
    result: SendResult | None
    error: SMTPError | None = None
