"""The form of header fields (RFC 5322 2.2): how they are folded, and where the header ends.

Written here once for :mod:`smtpcore.message`, which needs the email package of the standard library, and for
:mod:`smtpcore.trace`, which does without.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .expressions import expression

END_OF_HEADER: Final = expression(rb"\n\r?\n")

# Where a line is folded, if it can be: RFC 5322 2.1.1 allows 78, and RFC 2047 2 allows 76 with an encoded word.
_FOLD_AT: Final = 76


def fold(name: str, tokens: Iterable[str]) -> bytes:
    """Put tokens, each with the white space before it, on lines (RFC 5322 2.2.3)."""
    lines: list[str] = []
    line = f"{name}:"
    for number, token in enumerate(tokens):
        if number and len(line) + len(token) > _FOLD_AT:
            lines.append(line)
            line = ""
        line += token
    return "\r\n".join([*lines, line, ""]).encode("utf-8")
