"""Mask the secrets of AUTH exchanges in the texts that a server sends.

Servers quote what they refuse: the AUTH command with its argument, a response of the exchange, or the
decoded password. They do so in the reply to it, in a line that is not a valid reply, or in the reply to a later
command. So the client adds each response here, and passes each text of the server through :meth:`Secrets.mask`
before the text becomes an event or an exception.

The secrets of a response are:

* its base64, and any eight consecutive characters of it, since servers shorten their quotes;
* its parts between NULs and other control characters, decoded: the password of PLAIN, that of LOGIN, the
  key-value pairs of OAuth and the longer words in them. The user name is not a secret: the text has to say
  which user was refused.

Each is masked as it is, and as it is written inside quotes, a URL, an xtext or HTML (:func:`spellings`). A
reply of several lines may be folded within a secret, so its lines are also searched together.

Secrets of fewer than four characters are not masked: they would match in every text.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from typing import Final

from .expressions import expression
from .parameters import encode_xtext

MASK: Final = "***"

_SHORTEST = 4  # characters of a secret
_WORD = 8  # characters of a word inside a part
_PIECE = 8  # characters of a piece of base64
_BASE64 = expression(rf"[A-Za-z0-9+/=]{{{_PIECE},}}+")
_CONTROLS = expression(rb"[\0-\x1f\x7f]++")
_BETWEEN_WORDS = expression(r"[\s=,]++")
_NOT_UNRESERVED = expression(r"[^A-Za-z0-9._~-]")  # RFC 3986 2.3
_NOT_ASCII = expression(r"[^ -~]")

# Texts known to contain no secret are remembered. The server chooses the texts, so their number is bounded.
_MOST_HARMLESS = 256
_LONGEST_HARMLESS = 128


class Secrets:
    """The secrets of one session.

    Attributes:
        texts: The decoded secrets.
    """

    __slots__ = ("_encoded", "_expression", "_harmless", "_pieces", "texts")

    def __init__(self) -> None:
        self.texts: tuple[str, ...] = ()
        self._encoded: set[str] = set()
        self._pieces: set[str] = set()  # in lower case
        self._expression = expression(r"(?!)")
        self._harmless: set[str] = set()

    def add(self, response: bytes, names: frozenset[str]) -> None:
        """Remember a response.

        Args:
            response: The octets, before base64.
            names: Texts in it that are not secret: user names.
        """
        encodings = [response]
        texts = list(self.texts)
        for part in _CONTROLS.split(response):
            for text in _readings(part):
                texts += [one for one in (text, *_words(text)) if len(one) >= _SHORTEST and one not in names]
            if part.decode("latin-1") in texts:
                encodings.append(part)
        for octets in encodings:
            encoded = binascii.b2a_base64(octets, newline=False).decode("ascii")
            self._encoded |= {one for one in (encoded, encoded.rstrip("=")) if len(one) >= _SHORTEST}
            lower = encoded.lower()
            self._pieces.update(lower[at : at + _PIECE] for at in range(len(lower) - _PIECE + 1))
        self.texts = tuple(dict.fromkeys(texts))
        # The longest first, so that none is masked only in part.
        forms = {form for secret in (*self._encoded, *self.texts) for form in spellings(secret)}
        every = sorted(forms, key=len, reverse=True)
        self._expression = expression("|".join(map(re.escape, every)) or r"(?!)", re.IGNORECASE)
        self._harmless.clear()

    def mask(self, text: str) -> str:
        """Return ``text`` with every secret, and every piece of an encoded one, replaced by ``***``."""
        if text in self._harmless:
            return text
        masked = _BASE64.sub(self._masked, self._expression.sub(MASK, text))
        if masked == text and len(text) <= _LONGEST_HARMLESS:
            if len(self._harmless) >= _MOST_HARMLESS:
                self._harmless.clear()
            self._harmless.add(text)
        return masked

    def mask_lines(self, lines: Iterable[str]) -> list[str]:
        """Return the lines of a reply masked, also where a secret begins in one and ends in another."""
        masked = [self.mask(line) for line in lines]
        if len(masked) == 1:
            return masked
        split = [match.span() for match in self._expression.finditer("".join(masked))]
        offset = 0
        for number, line in enumerate(masked):
            end = offset + len(line)
            for start, stop in reversed(split):
                if start < end and stop > offset:
                    line = line[: max(start - offset, 0)] + MASK + line[stop - offset :]
            masked[number] = line
            offset = end
        return masked

    def _masked(self, match: re.Match[str]) -> str:
        word = match[0].lower()
        pieces = (word[at : at + _PIECE] for at in range(len(word) - _PIECE + 1))
        return match[0] if self._pieces.isdisjoint(pieces) else MASK


def spellings(text: str) -> set[str]:
    """Return the forms in which a peer may quote a text, itself among them.

    They are those inside double and single quotes, in JSON, a Python literal, a URL, an xtext (RFC 3461 4) and
    HTML, and those with ``?`` in place of what is not ASCII.
    """
    if text.isascii() and text.isalnum():
        return {text}
    quoted = text.replace("\\", "\\\\")
    double, single = quoted.replace('"', '\\"'), quoted.replace("'", "\\'")
    octets = text.encode("utf-8", "surrogatepass").decode("latin-1")
    percent = _NOT_UNRESERVED.sub(lambda match: f"%{ord(match[0]):02X}", octets)
    html = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    forms = {text, quoted, double, single, ascii(text)[1:-1]}
    forms |= {percent, percent.replace("%2F", "/"), percent.replace("%20", "+")}
    forms |= {encode_xtext(octets), html}
    forms.add(html.replace('"', "&quot;").replace("'", "&#x27;"))
    forms.add(_NOT_ASCII.sub(lambda match: f"\\u{ord(match[0]):04x}", double))
    if not text.isascii() and _NOT_ASCII.sub("", text):
        forms.add(_NOT_ASCII.sub("?", text))
    return forms


def _readings(octets: bytes) -> set[str]:
    """The texts that a server may decode octets to."""
    texts = {octets.decode("latin-1")}
    try:
        texts.add(octets.decode("utf-8"))
    except UnicodeDecodeError:
        pass  # it is binary
    return texts


def _words(text: str) -> list[str]:
    """The longer words of a key-value pair or a header, such as ``auth=Bearer TOKEN``."""
    words = _BETWEEN_WORDS.split(text)
    return [word for word in words if len(word) >= _WORD] if len(words) > 1 else []
