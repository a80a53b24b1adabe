"""Lines that a server refuses: what they look like, and how much of one may be shown."""

from __future__ import annotations

import re
from typing import Final

from ..sasl import SERVER_MECHANISMS
from .expressions import expression

SHOWN: Final = 200  # octets of a line in a CommandRejected
HIDDEN: Final = b"***"

# BDAT, however it was mistyped; and one that says how many octets follow:
# bdat-cmd = "BDAT" SP chunk-size [SP "LAST"] CRLF; chunk-size = 1*DIGIT                           ; RFC 3030 2
# No message has a size of more than 20 digits (RFC 1870 3).
CHUNK: Final = expression(rb"[^!-~]*+BDAT(?![A-Z])", re.IGNORECASE)
COUNTED_CHUNK: Final = expression(rb"BDAT +([0-9]{1,20})(?: +LAST)?[ \t]*", re.IGNORECASE)

HTTP: Final = expression(rb"[A-Z]{3,7} \S+ HTTP/", re.IGNORECASE)
# AUTH, however it was mistyped, and the word after it.
_AUTH = expression(rb"[^!-~]*+AUTH[^!-~]*+([!-~]*+)", re.IGNORECASE)
_AUTH_AFTER_LF = expression(rb"\n[ \t]?AUTH", re.IGNORECASE)
# How a TLS handshake begins, and no command does (RFC 8446 5.1).
HANDSHAKE_RECORD: Final = b"\x16"


def head_of(octets: bytes) -> bytes:
    """Return the first of several lines that end in LF alone; the others may hold secrets."""
    return octets.partition(b"\n")[0][:SHOWN]


def without_secrets(line: bytes) -> bytes:
    """Return a line without the secrets that may be in it."""
    if match := _AUTH.match(line):
        # Anything else may be the secret: users forget to name the mechanism.
        known = [match[1]] if match[1].decode("latin-1").upper() in SERVER_MECHANISMS else []
        return b" ".join([b"AUTH", *known, HIDDEN])
    if _AUTH_AFTER_LF.search(line):
        return head_of(line)
    return line[:SHOWN]
