"""The MIME fields of a part, and its payload."""

from __future__ import annotations

import copy
from email.message import Message as EmailBase
from email.policy import compat32

from .._core.errors import LocalProtocolError
from ._octets import Form
from ._parse import Fields
from ._words import text_of

_MIME_FIELDS = frozenset({"content-type", "content-transfer-encoding"})
# The encodings that get_payload(decode=True) removes.
_CODED = frozenset("quoted-printable base64 x-uuencode uuencode uue x-uue".split())


def mime_fields(fields: Fields, default_type: str = "text/plain") -> EmailBase:
    """Return the MIME fields of a part as a message of their own, to be read and changed.

    It is a message of the older interface, whose parser accepts malformed fields without an exception. Of
    several fields with one name the first counts.
    """
    mime = EmailBase()
    mime.set_default_type(default_type)
    for name, value in fields:
        if name.lower() in _MIME_FIELDS and name not in mime:
            mime.set_raw(name, text_of(name, value))
    try:
        mime.get_boundary()
        mime.get_content_charset()
    except (LookupError, TypeError, ValueError) as error:
        # LookupError for an unknown charset of RFC 2231, TypeError for a parameter with and without a number.
        raise LocalProtocolError(f"the Content-Type field cannot be read: {error}") from error
    return mime


def with_mime_fields(fields: Fields, mime: EmailBase, *, top: bool) -> Fields:
    """Put the MIME fields that changed in their former places, or after the other fields."""
    before = mime_fields(fields)
    changed: dict[str, object] = {
        name.lower(): value for name, value in mime.raw_items() if before.get(name) != value
    }
    result = [(name, changed.pop(name.lower(), value)) for name, value in fields]
    if top and changed and not any(name.lower() == "mime-version" for name, _ in fields):
        changed = {"mime-version": "1.0", **changed}
    return result + [(name.title().replace("Mime", "MIME"), value) for name, value in changed.items()]


def encoding_of(mime: EmailBase) -> str:
    return str(mime.get("content-transfer-encoding", "7bit")).strip().lower()


def set_encoding(mime: EmailBase, encoding: str) -> None:
    del mime["content-transfer-encoding"]
    mime.set_raw("content-transfer-encoding", encoding)


def label_encoding(mime: EmailBase, body: bytes, form: Form) -> None:
    """Correct Content-Transfer-Encoding so that it covers the body (RFC 2045 6.2 and 6.4)."""
    encoding = encoding_of(mime)
    if not body.isascii():
        if encoding != "8bit":
            set_encoding(mime, "8bit")
    elif encoding == "binary" or (encoding == "8bit" and not form.eight_bit):
        set_encoding(mime, "7bit")


def read_payload(part: EmailBase, mime: EmailBase, *, frozen: bool) -> bytes:
    """Return the octets of a payload as they are sent, in their Content-Transfer-Encoding.

    The standard library stores octets above 127 as lone surrogates: ``get_payload()`` decodes them with the
    declared charset, ``get_payload(decode=True)`` returns the octets. But the older interface also accepts text
    that was never octets, and encodes it in its own way. A comparison distinguishes the two: the text is the
    decoded form of the octets only if the octets were parsed. The methods are called on a copy without fields,
    because ``get_payload()`` raises for some charsets.
    """
    bare = copy.copy(part)
    bare.policy = compat32
    for name in _MIME_FIELDS:
        del bare[name]
    try:
        payload: object = bare.get_payload()
    except UnicodeEncodeError:
        raise LocalProtocolError("the text of a part has a lone surrogate") from None
    if not isinstance(payload, str):
        if payload is None:
            return b""
        raise LocalProtocolError(f"the payload of a part is neither text nor parts: {type(payload).__name__}")
    if payload.isascii():
        return payload.encode("ascii")
    octets: object = bare.get_payload(decode=True)
    assert isinstance(octets, bytes)
    encoding = encoding_of(mime)
    if encoding in _CODED:
        # The encoding allows no octets above 127, but there are some. The library decodes what it can.
        if frozen:
            raise LocalProtocolError(f"a signed part is {encoding} and has octets above 127")
        bare["Content-Transfer-Encoding"] = encoding
        octets = bare.get_payload(decode=True)
        assert isinstance(octets, bytes)
        set_encoding(mime, "8bit")
        return octets
    if octets.decode("ascii", "replace") == payload:
        return octets
    try:
        return payload.encode(mime.get_content_charset("us-ascii"))
    except (LookupError, ValueError):  # no such charset, or not in it
        mime.set_param("charset", "utf-8")
    try:
        return payload.encode("utf-8")
    except UnicodeEncodeError:
        raise LocalProtocolError("the text of a part has a lone surrogate") from None
