"""Render a message: each part from what it contains."""

from __future__ import annotations

import base64
import binascii
import hashlib
import quopri
import re
from collections.abc import Callable
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from email.message import Message as EmailBase

from .._core.content import CONTENT_LINE_LENGTH
from .._core.errors import LocalProtocolError
from ._fields import is_empty_list, write_field
from ._mime import encoding_of, label_encoding, mime_fields, read_payload, set_encoding, with_mime_fields
from ._octets import Form, crlf, find_problem, is_utf8, longest_line
from ._parse import check_depth, fields_of, parse, parts_of, too_deep, walk
from ._words import text_of

# Recipients must not see blind copies (RFC 5322 3.6.3). The server of the final delivery writes Return-Path,
# not the sender (RFC 5321 4.4).
_NEVER_SENT = frozenset({"bcc", "resent-bcc", "return-path"})
_HEADER_DEFECTS = (
    FirstHeaderLineIsContinuationDefect,
    MissingHeaderBodySeparatorDefect,
    MisplacedEnvelopeHeaderDefect,
)
_ASCII = bytes(range(128))
# boundary      = 0*69<bchars> bcharsnospace                                             ; RFC 2046 5.1.1
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "8bit": bytes,
    "binary": bytes,
    "quoted-printable": quopri.decodestring,
    "base64": binascii.a2b_base64,
}


def has_signed_utf8(message: EmailBase) -> bool:
    """Whether the header has UTF-8 that cannot be encoded without breaking a signature."""
    fields = fields_of(message)
    signed = any(name.lower() == "dkim-signature" for name, _ in fields)
    texts = [text_of(name, value) for name, value in fields] if signed else []
    return any(not text.isascii() for text in texts) and not any("\ufffd" in text for text in texts)


def _carried_body(message: EmailBase, source: bytes, form: Form) -> bytes | None:
    """Return the body of a message given as bytes, with the empty line before it; None if it has to change."""
    if any(isinstance(defect, _HEADER_DEFECTS) for defect in message.defects):
        return None
    end = (b"\r\n" + source).find(b"\r\n\r\n")
    body = b"" if end < 0 else source[end:]
    if find_problem(body, form) is not None or crlf(body) != body:
        return None
    for part in walk(message):
        texts = [(name.lower(), text_of(name, value)) for name, value in fields_of(part)]
        encodings = [text.strip().lower() for name, text in texts if name == "content-transfer-encoding"]
        if encodings and (encodings[0] == "binary" or (encodings[0] == "8bit" and not form.eight_bit)):
            return None
        if part is not message and not form.utf8 and not all(text.isascii() for _, text in texts):
            return None
    return body


def render_message(message: EmailBase, form: Form, source: bytes | None) -> bytes:
    try:
        return _render(message, form, source=source, top=True)
    except RecursionError:  # the stack of the caller was deep already
        raise too_deep() from None


def _render(
    part: EmailBase,
    form: Form,
    *,
    source: bytes | None = None,
    top: bool = False,
    frozen: bool = False,
    bounded: bool = False,
    default_type: str = "text/plain",
) -> bytes:
    """Write a message or a part of one.

    Args:
        part: What to write.
        form: What the server accepts.
        source: The whole message as it was given, if that was as bytes.
        top: It is the message itself.
        frozen: It is inside a signed part.
        bounded: A boundary follows; the CRLF before it belongs to the boundary (RFC 2046 5.1.1).
        default_type: The type of a part without Content-Type.
    """
    fields = fields_of(part)
    if top:
        fields = [one for one in fields if one[0].lower() not in _NEVER_SENT and not is_empty_list(*one)]
    body = None if source is None else _carried_body(part, source, form)
    if body is None:
        mime = mime_fields(fields, default_type)
        if not frozen and part.is_multipart() and "content-type" not in mime:
            # A part that was removed from a digest is still a message.
            if (kind := part.get_default_type()) != default_type:
                mime.set_raw("content-type", kind)
        body = _body(part, mime, form, frozen=frozen, bounded=bounded)
        if not frozen:
            label_encoding(mime, body, form)
        fields = with_mime_fields(fields, mime, top=top)
        body = b"\r\n" + body
    return b"".join(write_field(name, value, form, frozen=frozen) for name, value in fields) + body


def _body(part: EmailBase, mime: EmailBase, form: Form, *, frozen: bool, bounded: bool) -> bytes:
    """Write the body of a part; change ``mime`` to say how it is encoded."""
    kind = mime.get_content_type()
    if not part.is_multipart():
        if kind == "message/rfc822" and not frozen:
            return _flat_message(part, mime, form, bounded=bounded)
        return _leaf(part, mime, form, frozen=frozen, bounded=bounded)
    payload = parts_of(part)
    parts = [child for child in payload if isinstance(child, EmailBase)]
    maintype = mime.get_content_maintype()
    if len(parts) != len(payload) or maintype not in ("multipart", "message"):
        raise LocalProtocolError(f"a part of type {kind} has parts that this type does not allow")
    if maintype == "multipart":
        frozen_below = frozen or kind == "multipart/signed"
        default_type = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        children = [
            _render(child, form, frozen=frozen_below, bounded=True, default_type=default_type)
            for child in parts
        ]
        return _join(part, mime, children, frozen=frozen, bounded=bounded)
    if kind == "message/delivery-status":
        # Groups of fields with empty lines between them (RFC 3464 2.1). The library parses them as messages.
        return b"\r\n".join(_render(group, form, frozen=frozen).removesuffix(b"\r\n") for group in parts)
    if len(parts) > 1:
        raise LocalProtocolError(
            f"a part of type {kind} holds {len(parts)} messages, of which only one has a place"
        )
    return b"".join(_render(child, form, frozen=frozen, bounded=bounded) for child in parts)


def _flat_message(part: EmailBase, mime: EmailBase, form: Form, *, bounded: bool) -> bytes:
    """Write a message/rfc822 that was set as text, which may not be encoded as a whole (RFC 2046 5.2.1)."""
    octets = read_payload(part, mime, frozen=False)
    encoding = encoding_of(mime)
    if encoding in ("base64", "quoted-printable"):
        try:
            octets = _DECODERS[encoding](octets)
        except binascii.Error:  # not valid base64, so it is sent as it is
            return crlf(octets)
        set_encoding(mime, "7bit")
    elif find_problem(wire := crlf(octets), form) is None:
        return wire
    inner = parse(crlf(octets))
    check_depth(inner)
    return _render(inner, form, source=crlf(octets), bounded=bounded)


def _join(part: EmailBase, mime: EmailBase, children: list[bytes], *, frozen: bool, bounded: bool) -> bytes:
    """Put boundaries around the parts of a multipart (RFC 2046 5.1.1)."""
    preamble, epilogue = (_aside(text, frozen=frozen) for text in (part.preamble, part.epilogue))
    children = children or [b""]
    boundary = mime.get_boundary()
    if boundary is None or not (frozen or _is_good_boundary(boundary, [preamble or b"", *children])):
        # A text cannot contain its own digest.
        boundary = "=_" + hashlib.sha256(b"".join(children)).hexdigest()[:40]
        mime.set_boundary(boundary)
    delimiter = b"--" + boundary.encode("utf-8")
    pieces: list[bytes] = []
    if preamble is not None:
        pieces += [preamble, b"\r\n"]
    for child in children:
        pieces += [delimiter, b"\r\n", child, b"\r\n"]
    pieces += [delimiter, b"--"]
    if epilogue is not None or not bounded:
        pieces += [b"\r\n", epilogue or b""]
    return b"".join(pieces)


def _is_good_boundary(boundary: str, octets: list[bytes]) -> bool:
    if not _BOUNDARY.fullmatch(boundary):
        return False
    delimiter = re.compile(rb"(?:\A|\n)--" + re.escape(boundary.encode("ascii")) + rb"(?:--)?[ \t]*(?:\r|\Z)")
    return not any(map(delimiter.search, octets))


def _aside(text: str | None, *, frozen: bool) -> bytes | None:
    """Return the text outside the parts of a multipart; None if it cannot be sent, as no reader shows it."""
    if text is None:
        return None
    octets = crlf(text.encode("utf-8", "surrogateescape"))
    if not frozen and (not octets.isascii() or longest_line(octets) > CONTENT_LINE_LENGTH or b"\0" in octets):
        return None
    return octets


def _leaf(part: EmailBase, mime: EmailBase, form: Form, *, frozen: bool, bounded: bool) -> bytes:
    """Write the body of a part that has no parts; encode it where that is necessary."""
    raw = read_payload(part, mime, frozen=frozen)
    wire = crlf(raw)
    encoding = encoding_of(mime)
    kind = mime.get_content_maintype()
    if frozen or kind in ("multipart", "message") or encoding not in _DECODERS:
        return wire
    decode = _DECODERS[encoding]
    is_text = kind == "text" and b"\0" not in raw
    fits = (
        b"\0" not in wire and longest_line(wire) <= CONTENT_LINE_LENGTH and (wire.isascii() or form.eight_bit)
    )
    if fits and not is_text and encoding != "base64":
        # The CRLF before a boundary belongs to the boundary, but the last one of a message to the message.
        fits = decode(wire if bounded or wire.endswith(b"\r\n") else wire + b"\r\n") == decode(raw)
    if not (fits and wire.isascii()) and "content-type" not in mime:
        mime.set_raw("content-type", f"text/plain; charset={'utf-8' if is_utf8(raw) else 'unknown-8bit'}")
    if fits:
        return wire
    try:
        octets = decode(wire if is_text else raw)
    except binascii.Error:  # not valid base64, so it is sent as it is
        return wire
    if is_text and 6 * len(octets.translate(None, _ASCII)) <= len(octets):  # beyond, base64 is shorter
        set_encoding(mime, "quoted-printable")
        return crlf(binascii.b2a_qp(octets))
    set_encoding(mime, "base64")
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")
