"""Text of a peer, made fit to be shown on a terminal or in a log."""

from __future__ import annotations

import re

from .expressions import expression

# What a terminal might obey rather than show: C0, DEL and C1; what turns the direction of writing or starts a
# new line (Unicode TR 9 and TR 14); what is invisible, so that two texts look the same (soft hyphen, zero width
# space, word joiner, invisible operators, byte order mark, interlinear annotation, tags); and half characters,
# which cannot even be written out. The two zero width joiners stay: words of some scripts need them.
_UNPRINTABLE = expression(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_NOT_VISIBLE_ASCII = expression("[^!-~]")


def printable(text: str) -> str:
    """``text`` with what a terminal might obey written out: ``\\x1b`` for ESC.

    That is control characters (C0, DEL, C1, so line ends too), line separators, characters that change the
    direction of writing or are invisible, and unpaired surrogates.
    """
    return text if text.isprintable() else _UNPRINTABLE.sub(_written_out, text)


def visible_ascii(text: str) -> str:
    """``text`` with everything but ``!`` to ``~`` written out: ``\\x1b`` for ESC, ``\\x20`` for a space."""
    return _NOT_VISIBLE_ASCII.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 256:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
