"""Secrets: where they are in a command, and how a reply that repeats one is found."""

from __future__ import annotations

import binascii
import re
import string

from .._core.secrets import spellings

# Replies are searched for pieces of a secret of this length, in octets.
_PIECE = 6
# Pieces to remember: those of some thirty lines of full length.
_MOST_PIECES = 65536
# Forms of decoded secrets to remember, and the length of the shortest: a shorter one would be found everywhere.
_MOST_HIDDEN = 1024
_SHORTEST_HIDDEN = 4

_PUNCTUATION = string.punctuation.encode()

MASK = "***"

# AUTH, also mistyped: in any case, after blanks and control characters, without a blank after it, and after a
# bare CR or LF, where a lenient server begins a new line.
AUTH = re.compile(rb"(?:\A|[\r\n])[^!-~\r\n]*+auth", re.IGNORECASE)
# Well-known mechanisms (sasl-mech of RFC 4422). Any other word in their place could be the secret.
MECHANISM = re.compile(
    rb"[\0- ]+(PLAIN|LOGIN|CRAM-MD5|DIGEST-MD5|SCRAM-SHA(?:3)?-[0-9]{1,3}(?:-PLUS)?|XOAUTH2|OAUTHBEARER"
    rb"|EXTERNAL|ANONYMOUS|GSSAPI|GS2-KRB5(?:-PLUS)?|NTLM|KERBEROS_V4|OTP)(?=[\0- ]|\Z)",
    re.IGNORECASE,
)
# The URL of BURL grants the right to read a message (RFC 4468 3.3, 6).
BURL = re.compile(rb"\s*BURL\b", re.IGNORECASE)


class Secrets:
    """The secrets of one connection, kept as hashes, so that a reply that repeats one can be masked."""

    __slots__ = ("_hidden", "_pieces", "_responses")

    def __init__(self) -> None:
        self._pieces: set[int] = set()  # hashes of what a reply must not contain
        self._hidden: set[tuple[int, int]] = set()  # of whole secrets: the number of octets and the hash
        self._responses = 0  # within this exchange, the initial response included

    def begin_exchange(self) -> None:
        """Begin an authentication exchange: the next response is the first."""
        self._responses = 0

    def remember(self, secret: bytes) -> None:
        """Remember a line of an exchange, and the password in it."""
        if len(self._pieces) > _MOST_PIECES:
            self._pieces.clear()
        self._pieces.update(pieces_of(secret))
        if not secret.strip():
            return
        try:
            decoded = binascii.a2b_base64(secret.strip(), strict_mode=True)
        except ValueError:
            return
        # PLAIN has user names and a NUL before the password, LOGIN a response of its own with the user name.
        *names, password = decoded.split(b"\0")
        if names or self._responses:
            self.hide(password)
        self._responses += 1

    def hide(self, secret: bytes) -> None:
        """Remember a decoded secret as it may be quoted; a very short one is not remembered."""
        if len(secret) < _SHORTEST_HIDDEN:
            return
        text = secret.decode("utf-8", "surrogateescape")
        forms = {form.encode("utf-8", "surrogateescape").lower() for form in spellings(text) | {text.upper()}}
        forms.add(binascii.b2a_base64(secret).rstrip(b"=\n").lower())
        hashes = {(len(form), hash(form)) for form in forms}
        if not hashes <= self._hidden:
            if len(self._hidden) >= _MOST_HIDDEN:
                self._hidden.clear()
            self._hidden |= hashes

    def are_in(self, octets: bytes, held: set[int]) -> bool:
        """Whether these octets contain a secret, or a piece of one.

        Args:
            octets: A reply or a note.
            held: Pieces of more secrets, which are not remembered yet.
        """
        known = self._pieces, held
        if any(known):
            pieces = pieces_of(octets)
            if not all(map(pieces.isdisjoint, known)):
                return True
        lower = octets.lower()
        return any(
            (size, hash(lower[at : at + size])) in self._hidden
            for size in {size for size, _ in self._hidden}
            for at in range(len(lower) - size + 1)
        )


def pieces_of(octets: bytes) -> set[int]:
    """Hashes of all words and of all short pieces, by which a copy is recognized, whole or in part."""
    lower = octets.strip().lower()
    pieces = {lower[i : i + _PIECE] for i in range(len(lower) - _PIECE + 1)}
    pieces.update(word.strip(_PUNCTUATION) for word in lower.split())
    pieces.discard(b"")
    return set(map(hash, pieces))
