"""From ``EmailMessage`` to envelope and octets.

**Envelope and header.** The header says what the recipients read; the envelope says where the mail goes (RFC
5321 2.3.1). :func:`prepare_message` derives the envelope from the header unless the caller gives it, and then
removes Bcc, which no recipient may see. An address field that cannot be read with certainty is refused: a
guess could send the mail to a stranger. So ``=?utf-8?q?a=40b?=@c`` is a strange local-part and nothing else,
because encoded words have no meaning in addresses (RFC 2047 5). The parser of the standard library would
decode them, so it is given the text with ``=?`` replaced. If a field was set with an address object that the
library has already decoded, the field is refused.

**What changes.** A message is rendered depth first: each part from what it contains, its fields last, because
their values depend on the content. As little as possible changes:

* A field that was *parsed* is sent as it arrived, including its folding, because it may be signed. A field
  that was *set* is a value and is written anew. A parsed field that cannot be sent as it is (UTF-8, a line
  that is too long) is treated as a value too.
* The parser of the standard library drops the white space after the colon, which breaks a signature over the
  field (RFC 6376 3.4.1). So a message given as *bytes* is parsed with ``_KeepSource``; what needs no change,
  the header field by field and the body as a whole, is sent as the octets that were given.
* Line ends become CRLF. In text this changes nothing else. In other data it would be damage, so binary data
  that is not encoded, or whose encoding depends on line ends, is encoded as base64.
* Text with lines that are too long, or with octets that the server does not accept, is encoded, and the
  Content-Transfer-Encoding fields around it are corrected.
* In a multipart/signed only line ends change, because the signature does not depend on them (RFC 1847 2.1). If
  that is not enough, the message is refused.
* The type of a part without Content-Type depends on its parent: in a multipart/digest it is a message (RFC 2046
  5.1.5). A message inside a message is encoded inside, never as a whole (RFC 2046 5.2.1).
* No field is added except MIME fields that an encoding needs. Date and Message-ID are the author's to set (RFC
  5322 3.6); a library that added them would make a second message of each retry, and would break a signature.

The rules for the whole content (CRLF only, 998 octets a line, no NUL, 8 bits only where allowed) are checked
once, at the end, on the octets to be sent.

**UTF-8 in a header** needs SMTPUTF8 from every server on the way, so it is used only where nothing else is
possible: for a local-part that is not ASCII, and for a signed field. The message is rendered without UTF-8
first; if that fails with ``NeedsSmtpUtf8``, it is rendered again with it. A domain has A-labels, and words are
encoded.

**Depth.** Rendering is recursive, and so is the parser of the standard library. A message whose parts are
nested deeper than :data:`NESTING_LIMIT` is refused before either runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message as EmailBase

from .._core.errors import LocalProtocolError, wrong_type
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
        recipients: The forward-paths, without duplicates.
        content: The content that follows DATA, without dot-stuffing. All line ends are CRLF, and it ends in
            one.
        eight_bit: The content has octets above 127, so ``BODY=8BITMIME`` is needed (RFC 6152).
        smtputf8: The envelope or the header has UTF-8, so ``SMTPUTF8`` is needed (RFC 6531).
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
    """Return the envelope and the octets of a message; the message itself does not change.

    The default ``sender`` is the first mailbox of Sender or From; the default ``recipients`` are those of To,
    Cc and Bcc. In a message that was resent the newest block of Resent fields, which is the one nearest to the
    top, is used instead (RFC 5322 3.6.6).

    Bcc, Return-Path and address fields without an address are removed. No field is added, except MIME fields
    where a part has to be encoded: set Date, which RFC 5322 3.6 requires, and Message-ID, which it recommends,
    with ``email.utils.localtime()`` and ``email.utils.make_msgid()``. A submission server may add both (RFC
    6409 8.2, 8.3).

    A message given as bytes changes only where it cannot be sent as it is: line ends, lines of more than 998
    octets, octets above 127 for a server without 8BITMIME, UTF-8 in the header. Otherwise ``content`` is the
    given bytes, so a signature over them stays valid (RFC 6376 5.3).

    Args:
        message: An ``EmailMessage``, a ``Message`` of the older interface, or a message as bytes, such as
            the content of a file, with CRLF, LF or CR as line ends.
        sender: The reverse-path; ``""`` for the null reverse-path; None for that of the header.
        recipients: The forward-paths, one string each; None for those of the header.
        eight_bit_mime: The server offers 8BITMIME. If not, parts with octets above 127 are encoded.
        smtputf8: The server offers SMTPUTF8.

    Returns:
        The arguments of MAIL and RCPT, and the content. Addresses are in Normalization Form C (RFC 6530 10.1).

    Raises:
        LocalProtocolError: The message has no sender or no recipients, a field or a part cannot be sent without
            changing its meaning, or parts are nested deeper than :data:`NESTING_LIMIT`.
        TypeError: An argument has the wrong type.
    """
    # "no" of a configuration file must not count as True.
    for name, value in (("eight_bit_mime", eight_bit_mime), ("smtputf8", smtputf8)):
        if not isinstance(value, bool):
            raise wrong_type(name, "True or False", value)
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
