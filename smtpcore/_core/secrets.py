"""What a session must not show: the secrets of its AUTH exchanges, masked in whatever a server says.

Servers quote what they do not like: the AUTH command with its argument, a response within the exchange, or the
password that they have decoded; in the reply to it, in a line that is not a reply, or in the reply to a later
command. So each response is added here, and each text of the server goes through :meth:`Secrets.mask` before it
becomes an event or an exception.

What counts as a secret, of each response:

* its base64, and any eight characters of it in a row, since servers shorten what they quote;
* its parts between NULs and other control characters, decoded: the password of PLAIN, that of LOGIN, the
  key-value pairs of OAuth, and of these the longer words. The user name is not one: without it the text would
  not say who was refused.

Secrets of fewer than four characters are not masked: they would be found in every text.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from .expressions import expression

MASK: Final = "***"

_SHORTEST = 4  # characters of a secret
_WORD = 8  # characters of a word inside a part
_PIECE = 8  # characters of a piece of base64
_BASE64 = expression(rf"[A-Za-z0-9+/=]{{{_PIECE},}}+")
_CONTROLS = expression(rb"[\0-\x1f\x7f]++")
_BETWEEN_WORDS = expression(r"[\s=,]++")

# Texts known to hold no secret. The server chooses them, so there is an end to it.
_MOST_HARMLESS = 256
_LONGEST_HARMLESS = 128


class Secrets:
    """The secrets of one session.

    Attributes:
        texts: The secrets as they were before base64.
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
            names: What in it is not secret.
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
            if len(encoded) >= _SHORTEST:
                self._encoded.add(encoded)
            lower = encoded.lower()
            self._pieces.update(lower[at : at + _PIECE] for at in range(len(lower) - _PIECE + 1))
        self.texts = tuple(dict.fromkeys(texts))
        # The longest first, so that none is masked only in part.
        every = sorted({*self._encoded, *self.texts}, key=len, reverse=True)
        self._expression = expression("|".join(map(re.escape, every)) or r"(?!)", re.IGNORECASE)
        self._harmless.clear()

    def mask(self, text: str) -> str:
        """``text`` with every secret, and every piece of an encoded one, replaced by ``***``."""
        if text in self._harmless:
            return text
        masked = _BASE64.sub(self._masked, self._expression.sub(MASK, text))
        if masked == text and len(text) <= _LONGEST_HARMLESS:
            if len(self._harmless) >= _MOST_HARMLESS:
                self._harmless.clear()
            self._harmless.add(text)
        return masked

    def _masked(self, match: re.Match[str]) -> str:
        word = match[0].lower()
        pieces = (word[at : at + _PIECE] for at in range(len(word) - _PIECE + 1))
        return match[0] if self._pieces.isdisjoint(pieces) else MASK


def _readings(octets: bytes) -> set[str]:
    """The texts that octets are read as, by us or by a server."""
    texts = {octets.decode("latin-1")}
    try:
        texts.add(octets.decode("utf-8"))
    except UnicodeDecodeError:
        pass  # a binary response
    return texts


def _words(text: str) -> list[str]:
    """The longer words of a key-value pair or a header, such as ``auth=Bearer TOKEN``."""
    words = _BETWEEN_WORDS.split(text)
    return [word for word in words if len(word) >= _WORD] if len(words) > 1 else []
