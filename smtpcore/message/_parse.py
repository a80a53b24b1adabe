"""A message given as bytes, and the parts and fields of a parsed one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email.message import Message as EmailBase
from email.parser import BytesParser
from email.policy import Compat32
from typing import Final

from .._core.errors import LocalProtocolError
from .._core.headerfields import END_OF_HEADER
from ._octets import crlf

NESTING_LIMIT: Final = 100
"""How deep parts of a message may be nested; the message itself is the first level.

Postfix stops at the same depth (mime_nesting_limit); sendmail at 20.
"""
# obs-optional  = field-name *WSP ":" unstructured CRLF                                    ; RFC 5322 4.5.8
_SPACE_BEFORE_COLON = re.compile(rb"^([!-9;-~]++)[ \t]++:", re.MULTILINE)
_BINARY = re.compile(rb"^content-transfer-encoding:[ \t\r\n]*+binary", re.IGNORECASE | re.MULTILINE)
Fields = list[tuple[str, object]]


class Source(str):
    """The text of a parsed field; ``whole`` is the field as in the message, with its name and line ends."""

    whole: str


class _KeepSource(Compat32):
    """A policy that parses fields into ``Source``."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Split name and value as the standard library does, and keep the lines."""
        name, value = super().header_source_parse(sourcelines)
        source = Source(value)
        source.whole = "".join(sourcelines).rstrip("\r\n")
        return name, source


def with_crlf(octets: object) -> bytes:
    """Return a message as bytes with CRLF as line ends, unless line ends in it may be data."""
    if not isinstance(octets, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message is an EmailMessage or bytes, not {type(octets).__name__}")
    octets = bytes(octets)
    if not octets:
        raise LocalProtocolError("the message is empty")
    return octets if _BINARY.search(octets) else crlf(octets)


def parse(octets: bytes) -> EmailBase:
    end = END_OF_HEADER.search(octets)
    body = end.start() if end else len(octets)
    header = _SPACE_BEFORE_COLON.sub(rb"\1:", octets[:body])  # the library would begin the body there
    try:
        return BytesParser(policy=_KeepSource()).parsebytes(header + octets[body:])
    except RecursionError:
        raise too_deep() from None


def too_deep() -> LocalProtocolError:
    return LocalProtocolError(
        f"the parts of the message are nested too deep: {NESTING_LIMIT} levels are allowed"
    )


def check_depth(message: EmailBase) -> None:
    """Raise if parts are nested too deep, or in themselves."""
    waiting = [(message, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > NESTING_LIMIT:
            raise too_deep()
        waiting += [(child, depth + 1) for child in parts_of(part) if isinstance(child, EmailBase)]


def walk(message: EmailBase) -> Iterator[EmailBase]:
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [child for child in parts_of(part) if isinstance(child, EmailBase)]


def parts_of(part: EmailBase) -> Sequence[object]:
    """Return the parts of a part; none if it has a text or is empty."""
    # get_payload() of text reads the charset, and raises for some of them.
    payload: object = part.get_payload() if part.is_multipart() else ()
    return payload if isinstance(payload, list) else ()


def fields_of(part: EmailBase) -> Fields:
    fields: Fields = [*part.raw_items()]
    for name, _ in fields:
        if not isinstance(name, str):
            raise LocalProtocolError(f"the name of a field is a str, not {name!r}")
    return fields
