"""From ``EmailMessage`` to envelope and octets.

**Two addressings.** The header says what people shall read, the envelope where the mail goes (RFC 5321
2.3.1). :func:`prepare_message` derives the second from the first and then takes out of the first what is
nobody's business: Bcc. Whoever knows the envelope better gives it and the header is not asked. A field that
cannot be read beyond doubt is refused, never guessed at: a guess is mail to a stranger. So
``=?utf-8?q?a=40b?=@c`` is a strange local-part and nothing else: encoded words mean something in names, and
nothing in addresses (RFC 2047 5). The parser of the standard library would decode them; it is handed the text
with ``=?`` in disguise. Where it has been at work already, because a field was set and not parsed, its result
is refused.

**What may change, and what may not.** A message is rendered depth first: each part from what it holds, its
fields last, because only then it is known what they have to say. Changed is as little as possible:

* A field that was *parsed* goes out as it came in, folding included, since it may be signed. A field that was
  *set* is a value, and is written anew. Where a field that was parsed cannot go out (UTF-8, a line too long) it
  becomes a value too.
* The parser of the standard library drops the white space after the colon, and with it a signature over the
  field (RFC 6376 3.4.1). So a message that is given as *bytes* is parsed with ``_KeepSource``, and what
  needs no change, the header field by field and the body as a whole, is the octets that were given.
* Line ends become CRLF. In text that is all: a line end is a line end. In anything else it would be damage,
  so binary data that is not encoded, or so encoded that it depends on its line ends, is put into base64.
* Text with lines that are too long, or with octets that the server does not take, is encoded; the labels
  (Content-Transfer-Encoding) around it are made true.
* What stands in a multipart/signed is somebody's word. Nothing changes in there but line ends, which a
  signature does not see (RFC 1847 2.1). If that will not do, the message is refused.
* What type a part has that does not say so depends on its parent: in a multipart/digest it is a message (RFC
  2046 5.1.5). And a message inside a message is encoded inside, never as a whole (RFC 2046 5.2.1).

Rules that hold for the whole content (CRLF only, 998 octets a line, no NUL, 8 bits only where allowed) are
checked once, at the end, on the very octets to be sent.

**UTF-8 in a header** needs SMTPUTF8 from every server on the way, so it is used for what cannot be expressed
otherwise: a local-part that is not ASCII, a signed field. The message is rendered without; if that turns out
to be impossible (``NeedsSmtpUtf8``) it is rendered once more with. Domains alone have A-labels, and
words are encoded.

**Depth.** Rendering is recursive, as is the parser of the standard library; so a message in which parts are
nested deeper than :data:`NESTING_LIMIT` is refused before either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message as EmailBase

from .._core.errors import LocalProtocolError
from ._addresses import address_in_ascii, write_address
from ._envelope import find_forward_paths, find_reverse_path
from ._octets import Form, NeedsSmtpUtf8, check_rendered
from ._parse import NESTING_LIMIT, check_depth, parse, with_crlf
from ._render import has_signed_utf8, render_message

__all__ = ["NESTING_LIMIT", "PreparedMessage", "prepare_message"]


@dataclass(slots=True)
class PreparedMessage:
    """A message as SMTP carries it.

    Attributes:
        sender: The reverse-path; ``""`` is the null reverse-path.
        recipients: The forward-paths, none twice.
        content: What follows DATA, without dot-stuffing: CRLF only, and ending in one.
        eight_bit: The content has octets above 127, so ``BODY=8BITMIME`` is needed (RFC 6152).
        smtputf8: Envelope or header have a UTF-8 address, so ``SMTPUTF8`` is needed (RFC 6531).
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    eight_bit: bool
    smtputf8: bool


def prepare_message(
    message: EmailBase | bytes,
    *,
    sender: str | None = None,
    recipients: Sequence[str] | None = None,
    eight_bit_mime: bool = True,
    smtputf8: bool = True,
) -> PreparedMessage:
    """Make envelope and octets of a message, which is not changed by that.

    Without ``sender`` it is the first mailbox of Sender or From; without ``recipients`` they are those of To,
    Cc and Bcc. In a message that was resent the newest block of Resent fields, the one nearest to the top,
    counts instead (RFC 5322 3.6.6).

    Bcc and Return-Path are taken out, and so are address fields without an address. Of a message that is given
    as bytes, only what cannot be sent as it is changes: line ends, lines of more than 998 octets, octets above
    127 for a server without 8BITMIME, UTF-8 in the header. Otherwise ``content`` is the very bytes that were
    given, so a signature over them stays valid (RFC 6376 5.3).

    Args:
        message: An ``EmailMessage``, a ``Message`` of the older interface, or a message as bytes, such as a
            file holds it. Its line ends may be CRLF, LF or CR.
        sender: The reverse-path; ``""`` for the null reverse-path.
        recipients: The forward-paths, one string each.
        eight_bit_mime: The server takes 8BITMIME. If not, what has 8 bits is encoded.
        smtputf8: The server takes SMTPUTF8.

    Returns:
        What MAIL, RCPT and DATA carry. Addresses are in Normalization Form C (RFC 6530 10.1).

    Raises:
        LocalProtocolError: There is no envelope in this message, or a field or a part of it cannot be sent
            without changing what it says, or its parts are nested deeper than :data:`NESTING_LIMIT`. Nothing
            has been sent.
        TypeError: An argument is of another type.
    """
    source = None
    if not isinstance(message, EmailBase):
        source = with_crlf(message)
        message = parse(source)
    check_depth(message)
    reverse_path = find_reverse_path(message, sender)
    forward_paths = find_forward_paths(message, recipients)
    signed_utf8 = source is not None and smtputf8 and eight_bit_mime and has_signed_utf8(message)
    form = Form(eight_bit=eight_bit_mime, utf8=signed_utf8)
    try:
        for path in (reverse_path, *forward_paths):
            address_in_ascii(path, "envelope")
        content = render_message(message, form, source)
    except NeedsSmtpUtf8:
        if not smtputf8:
            raise
        if not eight_bit_mime:
            raise LocalProtocolError("a server with SMTPUTF8 but without 8BITMIME (RFC 6531 3.1)") from None
        form = form._replace(utf8=True)
        content = render_message(message, form, source)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    check_rendered(content, form)
    return PreparedMessage(
        sender=write_address(reverse_path, form, "envelope"),
        recipients=tuple(write_address(path, form, "envelope") for path in forward_paths),
        content=content,
        eight_bit=not content.isascii(),
        smtputf8=form.utf8,
    )
