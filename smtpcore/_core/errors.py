"""The base of the exceptions, and the errors of the caller. Other modules define the rest of the hierarchy.

Three things can go wrong on an SMTP connection:

* *the caller* asked for something that the protocol does not allow: :class:`LocalProtocolError`, raised before
  anything has changed, so the connection is as usable as it was;
* *the peer* broke the protocol: :class:`~smtpcore.RemoteProtocolError`, raised from ``next_event()`` only,
  after every event that arrived before the offence (``failures``);
* the connection ended: :class:`~smtpcore.ConnectionLost`, which names the commands without a reply
  (``failures``).

The conversations raise further ones (``_net.errors``): the server refused a command, TLS failed, no connection
was made. They also add to every error what only they know: host, port, TLS mode, phase, a hint.
"""

from __future__ import annotations

from typing import Any


class SMTPError(Exception):
    """The base of everything smtpcore raises.

    Errors can be pickled and copied, and compare by value: two of one class are equal if they say and hold the
    same, whatever was recorded.

    Attributes:
        context: Where the conversation stood, an :class:`~smtpcore.ErrorContext`; None if the core raised the
            error without a conversation.
        hint: One sentence on what to try, or None.
        transcript: The :class:`~smtpcore.transcript.Transcript` of the session, or None if none was given.
        result: The :class:`~smtpcore.SendResult` so far, if a message was being sent, or None.
        retryable: Whether the same attempt may succeed later without a change by the caller: after a refusal
            with 4yz (RFC 5321 4.2.1), a failure of the network or of TLS, a peer that breaks the protocol.
            Where ``result.maybe_delivered`` is true, another attempt may deliver the message twice.
    """

    # Any, because the exact types are made of replies and commands, whose constructors raise these errors: an
    # import from here would be a cycle, for type checkers as well.
    context: Any = None
    hint: str | None = None
    transcript: Any = None
    result: Any = None

    @property
    def retryable(self) -> bool:
        """Whether the same attempt may succeed later; see the class."""
        return False

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} (hint: {self.hint})" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is made again from its arguments alone; those of many of ours are not its text.
        return _made_again, (self.__class__, self.args, self.__dict__.copy())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SMTPError) or self.__class__ is not other.__class__:
            return NotImplemented
        return self.args == other.args and _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash((self.__class__, super().__str__()))


def _made_again(cls: type[SMTPError], args: tuple[object, ...], attributes: dict[str, object]) -> SMTPError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _compared(error: object) -> dict[str, object]:
    return {name: value for name, value in vars(error).items() if name != "transcript"}


class ProtocolError(SMTPError):
    """The protocol was broken: by the caller or by the peer, as the subclass says."""


class LocalProtocolError(ProtocolError):
    """The caller asked for what the protocol does not allow; nothing has changed."""


class ArgumentTypeError(LocalProtocolError, TypeError):
    """An argument has the wrong type; its name is in the text, and nothing was sent for it."""


def wrong_type(name: str, accepted: str, value: object) -> ArgumentTypeError:
    """Return an error about an argument of the wrong type; at most 80 characters of its value are shown."""
    return ArgumentTypeError(f"{name} is {accepted}, not {type(value).__name__} {value!r:.80}")


def check_text(name: str, value: object) -> None:
    """Raise an error that names the argument if its value is not a string."""
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
