"""What became of a message, recipient by recipient: what sending one gives, and what its errors bear."""

from __future__ import annotations

from dataclasses import dataclass

from .._core.replies import Reply


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
