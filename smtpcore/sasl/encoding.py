"""Names of mechanisms, and the base64 of challenges and responses (RFC 4422, RFC 4954)."""

from __future__ import annotations

import binascii

from .._core.errors import LocalProtocolError
from .._core.grammar import MECHANISM

__all__ = [
    "MechanismError",
    "decode_base64",
    "decode_initial_response",
    "encode_base64",
    "encode_initial_response",
    "is_mechanism_name",
]


class MechanismError(LocalProtocolError):
    """The exchange cannot go on: a client cancels it with ``*``, a server replies 501 (RFC 4954 4)."""


def is_mechanism_name(name: str) -> bool:
    """Return whether a name, in any case, is a ``sasl-mech``: 1 to 20 of A-Z, 0-9, "-", "_" (RFC 4422 3.1)."""
    # upper() turns a few other letters, such as a dotless i, into ASCII ones.
    return name.isascii() and MECHANISM.fullmatch(name.upper()) is not None


def encode_base64(data: bytes) -> str:
    """Encode the octets of a challenge or a response; no octets give an empty text (RFC 4954 4)."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode_base64(text: str | bytes) -> bytes:
    """Decode a challenge or a response, strictly (RFC 4954 4, 8).

    No two texts decode to the same octets: no character outside the alphabet is skipped, ``=`` pads the end
    only, and the unused bits before the padding are zero.

    Args:
        text: The line without its CRLF, or a 334 without its ``334 ``.

    Raises:
        MechanismError: ``text`` is not valid base64.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        data = binascii.a2b_base64(text)
    except ValueError:  # wrong padding, or not ASCII
        data = None
    # The decoder of the standard library is lenient even in its strict mode. Encoding the result again finds
    # what it let through.
    if data is None or encode_base64(data) != text:
        raise MechanismError("not valid base64 (RFC 4954 4)")
    return data


def encode_initial_response(data: bytes) -> str:
    """Encode an initial response, the argument after the mechanism; an empty one is ``=`` (RFC 4954 4)."""
    return encode_base64(data) or "="


def decode_initial_response(text: str | bytes) -> bytes:
    """Decode an initial response, the argument after the mechanism's name (RFC 4954 4).

    Raises:
        MechanismError: It is neither ``=`` nor base64 of at least one octet.
    """
    if text in ("=", b"="):
        return b""
    if not text:
        raise MechanismError('an empty initial response is written "=" (RFC 4954 4)')
    return decode_base64(text)
