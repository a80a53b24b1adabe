"""Replies that a server is about to send: the host name in them, and what those of an application must be."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .addresses import parse_mailbox
from .errors import LocalProtocolError
from .events import Connect, Ehlo, Helo
from .expressions import expression
from .replies import REPLY_LINE_LENGTH, Reply

WITH_HOSTNAME: Final = frozenset({220, 221, 421})
"""Replies in which the server's name is the first word (RFC 5321 4.2)."""
WITHOUT_STATUS: Final = (Connect, Ehlo, Helo)
"""The greeting and the replies to these have no enhanced status code (RFC 2034 3)."""

# "User Name <local-part@domain>" or "local-part@domain": what VRFY and EXPN find (RFC 5321 3.5.1).
_VERIFIED = expression(r".*<(.+)>|(.+)")


# A server sends the same few replies in each session: the greeting, the one to EHLO, the one to QUIT.
@lru_cache(maxsize=256)
def with_hostname(hostname: str, reply: Reply, further: tuple[str, ...] | None = None) -> Reply:
    """Return the reply with the host name as its first word, and with further lines."""
    head, *rest = reply.lines
    if further is not None:  # in the reply to EHLO only its first line is not a keyword, so it must remain one
        head, rest = " ".join(reply.lines)[: REPLY_LINE_LENGTH - len(f"250-{hostname} \r\n")], []
    lines = [f"{hostname} {head}".rstrip(), *rest, *(further or ())]
    # Sanitized, as the reply may have been received from another server.
    return Reply.sanitized(reply.code, reply.status, "\n".join(lines))


def check_verified(line: str) -> None:
    """Raise if a line of a success of VRFY or EXPN does not name one mailbox (RFC 5321 3.5.1, 3.5.2)."""
    match = _VERIFIED.fullmatch(line)
    try:
        parse_mailbox("" if match is None else match[1] or match[2])
    except LocalProtocolError as error:
        raise LocalProtocolError(
            f"{line!r} is neither user@example.org nor Name <user@example.org> (RFC 5321 3.5.1): {error}"
        ) from None
