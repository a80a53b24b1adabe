"""From the header to the envelope: the reverse-path and the forward-paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from email.message import Message as EmailBase

from .._core.addresses import ForwardPath, Mailbox, ReversePath, composed
from .._core.errors import LocalProtocolError, wrong_type
from ._addresses import read_groups
from ._parse import Fields, fields_of

_RESENT_RECIPIENTS = ("resent-to", "resent-cc", "resent-bcc")


def find_reverse_path(message: EmailBase, sender: str | None) -> Mailbox:
    if sender is not None:
        if not isinstance(sender, str):
            raise TypeError(f"sender is a str, not {type(sender).__name__}")
        return ReversePath(composed(sender))
    resent = _newest_resent_block(message)
    for found in (
        _mailboxes_of(resent, ("resent-sender", "resent-from")),
        _mailboxes_of(fields_of(message), ("sender", "from")),
    ):
        if found:
            return found[0]
    raise LocalProtocolError("the message has neither Sender nor From: give the sender")


def find_forward_paths(message: EmailBase, recipients: Sequence[str] | None) -> tuple[Mailbox, ...]:
    paths: Iterable[Mailbox]
    if recipients is None:
        resent = _newest_resent_block(message)
        if resent:  # the first recipients must not get it again
            paths = _mailboxes_of(resent, _RESENT_RECIPIENTS)
        else:
            paths = _mailboxes_of(fields_of(message), ("to", "cc", "bcc"))
    elif isinstance(recipients, str):
        raise LocalProtocolError(f"recipients is a sequence of strings, one each, not {recipients!r}")
    elif not isinstance(recipients, Iterable):
        raise wrong_type("recipients", "a sequence of strings, one each", recipients)
    else:
        paths = map(_forward_path, recipients)
    unique: dict[tuple[str, str], Mailbox] = {}
    for path in paths:
        unique.setdefault(path.key, path)
    if not unique:
        raise LocalProtocolError("the message has no recipients: give recipients")
    return tuple(unique.values())


def _forward_path(text: str) -> ForwardPath:
    if not isinstance(text, str):
        raise TypeError(f"a recipient is a str, not {type(text).__name__}")
    try:
        return ForwardPath(composed(text))
    except LocalProtocolError as error:
        advice = "; one string is one recipient" if "," in text else ""
        raise LocalProtocolError(f"{error}{advice}") from None


def _newest_resent_block(message: EmailBase) -> Fields:
    """The fields of the last resending: those at the top, RFC 5322 3.6.6.

    A block has no field twice, and trace fields separate what was added at different places (RFC 5322 3.6).
    """
    block: Fields = []
    seen: set[str] = set()
    for name, value in fields_of(message):
        lower = name.lower()
        if lower in seen or (block and lower in ("received", "return-path")):
            break
        if lower.startswith("resent-"):
            block.append((lower, value))
            seen.add(lower)
    return block


def _mailboxes_of(fields: Fields, wanted: Sequence[str]) -> list[Mailbox]:
    return [
        mailbox
        for lower in wanted
        for name, value in fields
        if name.lower() == lower
        for group in read_groups(name, value)
        for _, mailbox in group.members
    ]
