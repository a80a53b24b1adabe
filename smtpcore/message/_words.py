"""The text of a field, and the encoded words in it (RFC 2047)."""

from __future__ import annotations

import re
from email import base64mime, quoprimime
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from types import ModuleType
from typing import TypeGuard

from .._core.errors import LocalProtocolError

LINE_END = re.compile(r"\r\n|\r|\n")
# encoded-word  = "=?" charset "?" encoding "?" encoded-text "?="                              ; RFC 2047 2
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=")
_BETWEEN_ENCODED_WORDS = re.compile(rf"({_ENCODED_WORD.pattern})\s+(?={_ENCODED_WORD.pattern})")


def is_source(value: object) -> TypeGuard[str]:
    """Return whether a field may have been parsed, so that its text is as in a message, folding included."""
    return isinstance(value, str) and not hasattr(value, "fold")


def text_of(name: str, value: object) -> str:
    """Return the text of a field on one line, with UTF-8 decoded and encoded words as they are."""
    if not isinstance(value, (str, Header)):
        raise LocalProtocolError(
            f"the {name} field is set to a {type(value).__name__}; str and email.header.Header are accepted"
        )
    try:
        text = str(value)
    except UnicodeError:
        raise LocalProtocolError(f"the {name} field holds octets and characters together") from None
    first, *rest = LINE_END.split(text)
    if any(not line.startswith((" ", "\t")) for line in rest):
        raise LocalProtocolError(f"the {name} field contains a line end, which would begin another field")
    try:
        return (first + "".join(rest)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"the {name} field has a lone surrogate") from None


def encoded_words(name: str, text: str) -> list[str]:
    """Encode text as words of at most 75 characters, none of which ends within a character (RFC 2047 2, 5).

    The Q encoding leaves only characters that a phrase may contain (RFC 2047 5).

    Returns:
        Tokens for ``fold()``. Beside a long field name there is too little room for a word. Then the first
        token is empty, so that the words begin on the next line.
    """
    octets = text.encode("utf-8")
    coding: ModuleType = quoprimime
    if base64mime.header_length(octets) < quoprimime.header_length(octets):
        coding = base64mime
    first: list[str] = []
    room = 76 - len(f"{name}: ")  # of a line with an encoded word (RFC 2047 2)
    if room < 40:
        first, room = [""], 75
    room -= len("=?utf-8?q??=")
    words = [b""]
    for character in text:
        octets = character.encode("utf-8")
        if coding.header_length(words[-1] + octets) > room:
            words.append(b"")
        words[-1] += octets
    return first + [" " + coding.header_encode(word, "utf-8") for word in words if word]


def decode_words(text: str) -> str:
    """Decode the encoded words of a text; leave those that cannot be decoded."""

    def decode(match: re.Match[str]) -> str:
        try:
            return str(make_header(decode_header(match[0])))
        except (LookupError, ValueError, HeaderParseError):
            return match[0]

    return _ENCODED_WORD.sub(decode, _BETWEEN_ENCODED_WORDS.sub(r"\1", text))
