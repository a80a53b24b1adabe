"""What a server has stored, compared with what it has accepted.

A server may put fields before a message, and may store lines with the line ends of the system. It may send a
message once to a recipient that was given twice, and may change a domain to lower case. Nothing else changes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .._core.addresses import parse_mailbox
from .._core.errors import LocalProtocolError

# What may stand before the content: a line of an mbox, fields of a header, and the line that ends a header.
_BEFORE: Final = re.compile(rb"(?:From [^\n]*+\n)?(?:(?:[!-9;-~]++:|[ \t])[^\n]*+\n)*(?:\r\n)?")
# What a server may change or remove: bare line ends, NUL, and octets above 127 where 8BITMIME is not declared.
_UNSOUND: Final = re.compile(rb"[\r\n\0\x80-\xff]+")


@dataclass(frozen=True)
class Message:
    """A message as the client has sent it.

    Attributes:
        sender: The reverse-path.
        recipients: The forward-paths that were accepted.
        content: The octets, dot-stuffing removed.
        eight_bit: MAIL has declared ``BODY=8BITMIME``.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    eight_bit: bool = False


def difference(message: Message, sender: str, recipients: Sequence[str], content: bytes) -> str | None:
    """Compare a message with what is stored.

    Args:
        message: What was accepted.
        sender: What is stored as the reverse-path.
        recipients: What is stored as the forward-paths.
        content: What is stored as the content.

    Returns:
        What is wrong, as a sentence; None if nothing is.
    """
    stored, sent = (Counter(map(_comparable, some)) for some in (recipients, message.recipients))
    if stored.keys() != sent.keys() or stored - sent:
        return f"the message has other recipients: {', '.join(recipients) or 'none'}"
    if _comparable(sender) != _comparable(message.sender):
        return f"the message has another sender: {sender or '<>'}"
    if b"\r" not in content:
        content = content.replace(b"\n", b"\r\n")
    if not _is_kept(message, content):
        return f"the message was changed: {shown(content[-100:])}"
    return None


def _comparable(mailbox: str) -> str:
    """A mailbox with its domain, or the whole of postmaster, in lower case (RFC 5321 2.4, 4.1.1.3)."""
    try:
        mailbox = parse_mailbox(mailbox, smtputf8=True)
    except LocalProtocolError:
        pass
    local_part, at, domain = mailbox.rpartition("@")
    return f"{local_part}{at}{domain.lower()}"


def _is_kept(message: Message, content: bytes) -> bool:
    sent = message.content
    rest = sent.replace(b"\r\n", b"")
    if not any(one in rest for one in b"\r\n\0") and (message.eight_bit or sent.isascii()):
        before = content[: len(content) - len(sent)]
        return content == before + sent and _BEFORE.fullmatch(before) is not None
    at = 0
    for piece in filter(None, _UNSOUND.split(sent)):
        at = content.find(piece, at) + len(piece)
        if at < len(piece):
            return False
    return True


_SHOWN: Final = [chr(one) if 32 <= one < 127 else f"\\x{one:02x}" for one in range(256)]
_SHOWN[13], _SHOWN[10], _SHOWN[92] = "\\r", "\\n", "\\\\"


def shown(octets: bytes) -> str:
    """A line as it is shown, short and safe; as in a script, where a space at the end would be lost."""
    text = "".join([_SHOWN[one] for one in octets[:120]])
    if text.endswith(" "):
        text = f"{text[:-1]}\\x20"
    return text if len(octets) <= 120 else f"{text}... [{len(octets)} octets]"
