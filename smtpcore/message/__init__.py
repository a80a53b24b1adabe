"""From ``EmailMessage`` to envelope and octets, and the trace fields of a server.

**Two addressings.** The header says what people shall read, the envelope where the mail goes (RFC 5321
2.3.1). :func:`prepare` derives the second from the first and then takes out of the first what is nobody's
business: Bcc. Whoever knows the envelope better gives it and the header is not asked. A field that cannot be
read beyond doubt is refused, never guessed at: a guess is mail to a stranger. So ``=?utf-8?q?a=40b?=@c`` is a
strange local-part and nothing else: encoded words mean something in names, and nothing in addresses (RFC 2047
5). The parser of the standard library would decode them; it is handed the text with ``=?`` in disguise. Where
it has been at work already, because a field was set and not parsed, its result is refused.

**What may change, and what may not.** A message is rendered depth first: each part from what it holds, its
fields last, because only then it is known what they have to say. Changed is as little as possible:

* A field that was *parsed* goes out as it came in, folding included, since it may be signed. A field that was
  *set* is a value, and is written anew. Where a field that was parsed cannot go out (UTF-8, a line too long) it
  becomes a value too.
* The parser of the standard library drops the white space after the colon, and with it a signature over the
  field (RFC 6376 3.4.1). So a message that is given as *bytes* is parsed with :class:`_KeepSource`, and what
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
to be impossible (:class:`_NeedsSmtpUtf8`) it is rendered once more with. Domains alone have A-labels, and
words are encoded.

**Depth.** Rendering is recursive, as is the parser of the standard library; so a message in which parts are
nested deeper than :data:`NESTING_LIMIT` is refused before either.

**Trace fields** (RFC 5321 4.4) are values of a server: :func:`received_field` knows only registered clauses
and writes only what the grammar allows, because what a client says about itself ends up in there.
"""

from __future__ import annotations

import base64
import binascii
import copy
import datetime
import hashlib
import ipaddress
import quopri
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email import base64mime, quoprimime
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    HeaderParseError,
    InvalidHeaderDefect,
    MisplacedEnvelopeHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from email.header import Header, decode_header, make_header
from email.headerregistry import Address, AddressHeader, BaseHeader, HeaderRegistry
from email.message import Message as EmailBase
from email.parser import BytesParser
from email.policy import SMTP, Compat32, compat32
from email.utils import format_datetime
from types import ModuleType
from typing import Final, NamedTuple, TypeGuard

from .._core.addresses import (
    ForwardPath,
    Mailbox,
    ReversePath,
    composed,
    in_ascii,
    is_address_literal,
    is_hello_argument,
)
from .._core.content import LINE_LENGTH, normalize_line_endings
from .._core.errors import LocalProtocolError
from .._core.grammar import DOT_STRING

__all__ = [
    "LOOP_THRESHOLD",
    "NESTING_LIMIT",
    "Message",
    "count_received",
    "prepare",
    "received_field",
    "received_protocol",
    "return_path_field",
]

LOOP_THRESHOLD: Final = 100
"""So many Received fields make a mail loop (RFC 5321 6.3: no fewer than 100)."""

NESTING_LIMIT: Final = 100
"""So deep parts of a message may be nested in one another; the message itself is the first level.

Postfix stops at the same depth (mime_nesting_limit); sendmail at 20.
"""

# Where a line is folded, if it can be (RFC 5322 2.1.1).
_FOLD_AT = 78

# Blind copies are told to nobody (RFC 5322 3.6.3). Return-Path is written at the end of the way, not at its
# start (RFC 5321 4.4).
_NEVER_SENT = frozenset({"bcc", "resent-bcc", "return-path"})
_RESENT_RECIPIENTS = ("resent-to", "resent-cc", "resent-bcc")
_ADDRESS_FIELDS = frozenset(
    "from sender reply-to to cc bcc resent-from resent-sender resent-reply-to resent-to resent-cc resent-bcc"
    " disposition-notification-to mail-followup-to mail-reply-to".split()
)
# Fields with parameters, whose encoding (RFC 2231) is left to the standard library.
_PARAMETER_FIELDS = frozenset({"content-type", "content-disposition"})

# field-name    = 1*ftext
# ftext         = %d33-57 / %d59-126                                            ; RFC 5322 3.6.8: no ":"
_FIELD_NAME = re.compile(r"[!-9;-~]++")
# phrase        = 1*word, of which only atoms with single spaces between them need no quoting
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?>(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*)")
# Text that needs no encoding: printable ASCII and HT, not starting or ending with white space.
_PLAIN = re.compile(r"(?:[!-~](?:[ -~\t]*[!-~])?)?")
_TO_QUOTE = re.compile(r'(["\\])')
_LINE_END = re.compile(r"\r\n|\r|\n")
_TOKEN = re.compile(r"[ \t]*[^ \t]+")
# encoded-word  = "=?" charset "?" encoding "?" encoded-text "?="                              ; RFC 2047 2
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?[^?\s]*\?=")
_BETWEEN_ENCODED_WORDS = re.compile(rf"({_ENCODED_WORD.pattern})\s+(?={_ENCODED_WORD.pattern})")
_DISGUISE = "=\ue000?"

# Atom          = 1*atext
# msg-id        = "<" id-left "@" id-right ">"                                             ; RFC 5322 3.6.4
_TRACE_ID = re.compile(rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]++|<{DOT_STRING}@(?:{DOT_STRING}|\[[!-Z^-~]*+\])>")
# tls-cipher    = tls-cipher-name / tls-cipher-hex                                           ; RFC 8314 4.3
# tls-cipher-name = ALPHA *(ALPHA / DIGIT / "_")
# tls-cipher-hex  = "0x" 4HEXDIG
_TLS_CIPHER = re.compile(r"[A-Za-z][A-Za-z0-9_]*+|0x[0-9A-Fa-f]{4}")
# OpenSSL has names of its own for the ciphers before TLS 1.3.
_OPENSSL_CIPHER = re.compile(
    r"(?:(ECDHE|DHE)-(RSA|ECDSA)-)?(?:AES(128|256)-(GCM-)?(SHA(?:256|384)?)|CHACHA20-POLY1305)"
)

# "WITH protocol types" and "VIA link types" of the IANA registry "Mail Transmission Types".
_WITH: Final = frozenset(
    "SMTP ESMTP ESMTPA ESMTPS ESMTPSA LMTP LMTPA LMTPS LMTPSA UTF8SMTP UTF8SMTPA UTF8SMTPS UTF8SMTPSA"
    " UTF8LMTP UTF8LMTPA UTF8LMTPS UTF8LMTPSA".split()
)
_VIA: Final = frozenset({"TCP", "UUCP"})
# obs-optional  = field-name *WSP ":" unstructured CRLF                                    ; RFC 5322 4.5.8
_SPACE_BEFORE_COLON = re.compile(rb"^([!-9;-~]++)[ \t]++:", re.MULTILINE)
_BINARY = re.compile(rb"^content-transfer-encoding:[ \t\r\n]*+binary", re.IGNORECASE | re.MULTILINE)
_HEADER_DEFECTS = (
    FirstHeaderLineIsContinuationDefect,
    MissingHeaderBodySeparatorDefect,
    MisplacedEnvelopeHeaderDefect,
)
_END_OF_HEADER = re.compile(rb"\n\r?\n")
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_ASCII = bytes(range(128))

# boundary      = 0*69<bchars> bcharsnospace                                             ; RFC 2046 5.1.1
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]")
_MIME_FIELDS = frozenset({"content-type", "content-transfer-encoding"})
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "8bit": bytes,
    "binary": bytes,
    "quoted-printable": quopri.decodestring,
    "base64": binascii.a2b_base64,
}
# What get_payload(decode=True) takes off.
_CODED = frozenset("quoted-printable base64 x-uuencode uuencode uue x-uue".split())

_registry = HeaderRegistry()


@dataclass(slots=True)
class Message:
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


def prepare(
    message: EmailBase | bytes,
    *,
    sender: str | None = None,
    recipients: Sequence[str] | None = None,
    eight_bit_mime: bool = True,
    smtputf8: bool = True,
) -> Message:
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
        source = _with_crlf(message)
        message = _parse(source)
    _check_depth(message)
    reverse_path = _reverse_path(message, sender)
    forward_paths = _forward_paths(message, recipients)
    signed_utf8 = source is not None and smtputf8 and eight_bit_mime and _has_signed_utf8(message)
    form = _Form(eight_bit=eight_bit_mime, utf8=signed_utf8)
    try:
        for path in (reverse_path, *forward_paths):
            _in_ascii(path, "envelope")
        content = _render_top(message, form, source)
    except _NeedsSmtpUtf8:
        if not smtputf8:
            raise
        if not eight_bit_mime:
            raise LocalProtocolError("a server with SMTPUTF8 but without 8BITMIME (RFC 6531 3.1)") from None
        form = form._replace(utf8=True)
        content = _render_top(message, form, source)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    _check_content(content, form)
    return Message(
        sender=_written(reverse_path, form, "envelope"),
        recipients=tuple(_written(path, form, "envelope") for path in forward_paths),
        content=content,
        eight_bit=not content.isascii(),
        smtputf8=form.utf8,
    )


class _NeedsSmtpUtf8(LocalProtocolError):
    """It cannot be said in ASCII."""


class _Form(NamedTuple):
    """What the server takes."""

    eight_bit: bool
    utf8: bool


_Fields = list[tuple[str, object]]


# --- A message given as bytes -----------------------------------------------------------------------------


class _Source(str):
    """What a field says, and how it stands in the message, name and line ends included."""

    whole: str


class _KeepSource(Compat32):
    """Parses fields into :class:`_Source`."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Take name and value apart as the standard library does, and keep the lines."""
        name, value = super().header_source_parse(sourcelines)
        source = _Source(value)
        source.whole = "".join(sourcelines).rstrip("\r\n")
        return name, source


def _with_crlf(octets: object) -> bytes:
    """Return a message as bytes with its line ends mended, unless some of them may be data."""
    if not isinstance(octets, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message is an EmailMessage or bytes, not {type(octets).__name__}")
    octets = bytes(octets)
    if not octets:
        raise LocalProtocolError("the message is empty")
    return octets if _BINARY.search(octets) else _crlf(octets)


def _parse(octets: bytes) -> EmailBase:
    end = _END_OF_HEADER.search(octets)
    body = end.start() if end else len(octets)
    header = _SPACE_BEFORE_COLON.sub(rb"\1:", octets[:body])  # the library takes such a field for the body
    try:
        return BytesParser(policy=_KeepSource()).parsebytes(header + octets[body:])
    except RecursionError:
        raise _too_deep() from None


def _has_signed_utf8(message: EmailBase) -> bool:
    """Whether the header has UTF-8 that cannot be encoded without breaking a signature."""
    fields = _fields_of(message)
    signed = any(name.lower() == "dkim-signature" for name, _ in fields)
    texts = [_text(name, value) for name, value in fields] if signed else []
    return any(not text.isascii() for text in texts) and not any("\ufffd" in text for text in texts)


def _carried_body(message: EmailBase, source: bytes, form: _Form) -> bytes | None:
    """The body of a message given as bytes, and the empty line before it; None if something has to change."""
    if any(isinstance(defect, _HEADER_DEFECTS) for defect in message.defects):
        return None
    end = (b"\r\n" + source).find(b"\r\n\r\n")
    body = b"" if end < 0 else source[end:]
    if _problem(body, form) is not None or _crlf(body) != body:
        return None
    for part in _walk(message):
        texts = [(name.lower(), _text(name, value)) for name, value in _fields_of(part)]
        encodings = [text.strip().lower() for name, text in texts if name == "content-transfer-encoding"]
        if encodings and (encodings[0] == "binary" or (encodings[0] == "8bit" and not form.eight_bit)):
            return None
        if part is not message and not form.utf8 and not all(text.isascii() for _, text in texts):
            return None
    return body


# --- Parts and fields of a message ------------------------------------------------------------------------


def _too_deep() -> LocalProtocolError:
    return LocalProtocolError(
        f"the parts of the message are nested too deep: {NESTING_LIMIT} levels are allowed"
    )


def _check_depth(message: EmailBase) -> None:
    """Raise if parts are nested too deep, or in themselves."""
    waiting = [(message, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > NESTING_LIMIT:
            raise _too_deep()
        waiting += [(child, depth + 1) for child in _parts_of(part) if isinstance(child, EmailBase)]


def _walk(message: EmailBase) -> Iterator[EmailBase]:
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [child for child in _parts_of(part) if isinstance(child, EmailBase)]


def _parts_of(part: EmailBase) -> Sequence[object]:
    """What a part consists of; nothing if it has a text or nothing at all."""
    # get_payload() of text reads the charset, and raises for some of them.
    payload: object = part.get_payload() if part.is_multipart() else ()
    return payload if isinstance(payload, list) else ()


def _fields_of(part: EmailBase) -> _Fields:
    fields: _Fields = [*part.raw_items()]
    for name, _ in fields:
        if not isinstance(name, str):
            raise LocalProtocolError(f"the name of a field is a str, not {name!r}")
    return fields


# --- The envelope -----------------------------------------------------------------------------------------


def _reverse_path(message: EmailBase, sender: str | None) -> Mailbox:
    if sender is not None:
        if not isinstance(sender, str):
            raise TypeError(f"sender is a str, not {type(sender).__name__}")
        try:
            return ReversePath(composed(sender))
        except LocalProtocolError as error:
            raise LocalProtocolError(f"the sender {sender!r}: {error}") from None
    resent = _newest_resent_block(message)
    for found in (
        _mailboxes_of(resent, ("resent-sender", "resent-from")),
        _mailboxes_of(_fields_of(message), ("sender", "from")),
    ):
        if found:
            return found[0]
    raise LocalProtocolError("the message has neither Sender nor From: give the sender")


def _forward_paths(message: EmailBase, recipients: Sequence[str] | None) -> tuple[Mailbox, ...]:
    paths: Iterable[Mailbox]
    if recipients is None:
        resent = _newest_resent_block(message)
        if resent:  # and then the recipients of the first time are not to get it again
            paths = _mailboxes_of(resent, _RESENT_RECIPIENTS)
        else:
            paths = _mailboxes_of(_fields_of(message), ("to", "cc", "bcc"))
    elif isinstance(recipients, str):
        raise LocalProtocolError(f"the recipients are a sequence of strings, one each, not {recipients!r}")
    else:
        paths = map(_forward_path, recipients)
    unique: dict[tuple[str, str], Mailbox] = {}
    for path in paths:
        unique.setdefault(path.key, path)
    if not unique:
        raise LocalProtocolError("the message names no recipients: give them")
    return tuple(unique.values())


def _forward_path(text: str) -> ForwardPath:
    if not isinstance(text, str):
        raise TypeError(f"a recipient is a str, not {type(text).__name__}")
    try:
        return ForwardPath(composed(text))
    except LocalProtocolError as error:
        advice = "; one string is one recipient" if "," in text else ""
        raise LocalProtocolError(f"the recipient {text!r}: {error}{advice}") from None


def _newest_resent_block(message: EmailBase) -> _Fields:
    """The fields of the last resending: those at the top, RFC 5322 3.6.6.

    A block has no field twice, and trace fields separate what was added at different places (RFC 5322 3.6).
    """
    block: _Fields = []
    seen: set[str] = set()
    for name, value in _fields_of(message):
        lower = name.lower()
        if lower in seen or (block and lower in ("received", "return-path")):
            break
        if lower.startswith("resent-"):
            block.append((lower, value))
            seen.add(lower)
    return block


def _mailboxes_of(fields: _Fields, wanted: Sequence[str]) -> list[Mailbox]:
    return [
        mailbox
        for lower in wanted
        for name, value in fields
        if name.lower() == lower
        for group in _groups(name, value)
        for _, mailbox in group.members
    ]


# --- Addresses in fields ----------------------------------------------------------------------------------


class _Group(NamedTuple):
    """A group of RFC 5322 3.4, or, without a name, just mailboxes."""

    name: str | None
    members: list[tuple[str, Mailbox]]


def _groups(name: str, value: object) -> list[_Group]:
    """Read an address field.

    Raises:
        LocalProtocolError: Something in it is no address.
    """
    words = _decode_words if _is_source(value) else str
    header: object = value
    if not (isinstance(header, AddressHeader) and _holds_addresses(header)):
        text = _text(name, value)
        try:
            header = _registry("to", text.replace("=?", _DISGUISE))
        except Exception as error:  # the parser has no error of its own: it is IndexError, ValueError, ...
            raise LocalProtocolError(f"the {name} field is no list of addresses") from error
    assert isinstance(header, AddressHeader)
    if _is_doubtful(getattr(header, "_parse_tree", None)):
        raise LocalProtocolError(f"the {name} field has encoded words or white space in an address")
    defects: Iterable[object] = getattr(header, "defects", ())
    for defect in defects:
        # The parser goes on at the next comma; whom it has left out nobody knows.
        if isinstance(defect, InvalidHeaderDefect):
            raise LocalProtocolError(f"the {name} field is no list of addresses: {defect}")
    found: list[_Group] = []
    for group in header.groups:
        members: list[tuple[str, Mailbox]] = []
        for address in group.addresses:
            local_part = _undisguise(address.username)
            try:
                mailbox = Mailbox(composed(local_part), composed(address.domain))
            except LocalProtocolError as error:
                written = f"{local_part}@{address.domain}"
                raise LocalProtocolError(f"the {name} field, address {written!r}: {error}") from None
            members.append((words(_undisguise(address.display_name)), mailbox))
        group_name = group.display_name
        found.append(_Group(None if group_name is None else words(_undisguise(group_name)), members))
    return found


def _holds_addresses(header: AddressHeader) -> bool:
    """Whether all that a field holds are addresses; the library takes a Header object for one, too."""
    return all(isinstance(address, Address) for group in header.groups for address in group.addresses)


def _is_doubtful(tree: object) -> bool:
    """Whether the library may have found an address that was not written there.

    Of a field that was set as text, it decodes encoded words in addresses, and what was set is lost. In an
    obsolete local-part (with white space around the dots) it even reads the decoded text again, as source:
    what comes out may be any address. And it forgets white space in a domain, be it from any script.
    """
    waiting = [(tree, False)]
    while waiting:
        token, in_address = waiting.pop()
        kind = getattr(token, "token_type", None)
        if in_address:
            if kind in ("encoded-word", "obs-local-part"):
                return True
            if isinstance(token, str) and any(c.isspace() and c not in " \t" for c in token):
                return True
        in_address = in_address or kind == "addr-spec"
        children: Iterable[object] = token if isinstance(token, list) else ()
        waiting += [(child, in_address) for child in children]
    return False


def _undisguise(text: str) -> str:
    return text.replace(_DISGUISE, "=?")


def _in_ascii(mailbox: Mailbox, where: str) -> str:
    """Return what :func:`smtpcore._core.addresses.in_ascii` does.

    Raises:
        _NeedsSmtpUtf8: The local-part has no such form.
    """
    text = in_ascii(mailbox)
    if text is None:
        raise _NeedsSmtpUtf8(
            f"the address {str(mailbox)!r} ({where}) has a local-part that is not ASCII and the server does not"
            " offer SMTPUTF8 (RFC 6531)"
        )
    return text


def _written(mailbox: Mailbox, form: _Form, where: str) -> str:
    return str(mailbox) if form.utf8 else _in_ascii(mailbox, where)


# --- Fields -----------------------------------------------------------------------------------------------


def _is_source(value: object) -> TypeGuard[str]:
    """Whether a field came out of a parser, or might have: text as it is in a message, folding included."""
    return isinstance(value, str) and not hasattr(value, "fold")


def _text(name: str, value: object) -> str:
    """What a field says, on one line. UTF-8 that was not decoded is; encoded words are not."""
    if not isinstance(value, (str, Header)):
        raise LocalProtocolError(
            f"the {name} field is set to a {type(value).__name__}; str and email.header.Header are accepted"
        )
    try:
        text = str(value)
    except UnicodeError:
        raise LocalProtocolError(f"the {name} field holds octets and characters together") from None
    first, *rest = _LINE_END.split(text)
    if any(not line.startswith((" ", "\t")) for line in rest):
        raise LocalProtocolError(f"the {name} field has a line end in it: that would begin another field")
    try:
        return (first + "".join(rest)).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"the {name} field has half a character in it (a lone surrogate)") from None


def _is_empty_list(name: str, value: object) -> bool:
    """Whether an address field has no address in it and no group: the grammar has no such field."""
    if name.lower() not in _ADDRESS_FIELDS or isinstance(value, _Source):
        return False
    text = _text(name, value)
    if "@" in text or ":" in text:
        return False
    try:
        return not text.strip(" \t,") or not _groups(name, value)
    except LocalProtocolError:
        return False


def _field(name: str, value: object, form: _Form, *, frozen: bool) -> bytes:
    """Write one field, CRLF included."""
    if not _FIELD_NAME.fullmatch(name):
        raise LocalProtocolError(f"{name!r} is no name of a field")
    text = _text(name, value)
    if _is_source(value):
        verbatim = _verbatim(name, value, form, frozen=frozen)
        if verbatim is not None:
            return verbatim
    lower = name.lower()
    if lower in _ADDRESS_FIELDS:
        tokens = _address_tokens(name, value, form)
    elif lower in _PARAMETER_FIELDS:
        tokens = None
    else:
        tokens = _text_tokens(name, _decode_words(text) if _is_source(value) else text, form)
    return _fold_by_library(name, value, text) if tokens is None else _fold(name, tokens)


def _verbatim(name: str, source: str, form: _Form, *, frozen: bool) -> bytes | None:
    """A field as it came in, or None where it has to be written anew."""
    if isinstance(source, _Source):
        lines = _LINE_END.split(source.whole)
    else:
        # One space after the colon is a guess, since the parser has dropped what was there; if the first line
        # was empty, there was none.
        lines = _LINE_END.split(source)
        lines[0] = f"{name}: {lines[0]}" if lines[0] or len(lines) == 1 else f"{name}:"
        if not frozen and any(not line.strip() for line in lines[1:]):
            return None
    octets = "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    if frozen:
        if not octets.isascii() and not form.utf8:
            raise _NeedsSmtpUtf8(f"the {name} field in a signed part has UTF-8 and SMTPUTF8 is not offered")
        return octets
    if not octets.isascii() and not (form.utf8 and _is_utf8(octets)):
        return None
    if b"\0" in octets or _longest_line(octets) > LINE_LENGTH:
        return None
    return octets


def _text_tokens(name: str, text: str, form: _Form) -> list[str]:
    """Cut unstructured text where it can be folded; encode it if it has to be."""
    tokens = _TOKEN.findall(f" {text}")
    if "=?" not in text and all(len(token.encode()) < LINE_LENGTH - len(name) for token in tokens):
        if _PLAIN.fullmatch(text) or (form.utf8 and text.isprintable() and text == text.strip()):
            return tokens
    return _encoded_words(name, text)


def _address_tokens(name: str, value: object, form: _Form) -> list[str] | None:
    """The pieces of an address field, between which it can be folded; None if it is ASCII, but no addresses.

    The envelope was given, otherwise it would have been refused before. People put all kinds of things there.
    """
    try:
        groups = _groups(name, value)
    except LocalProtocolError:
        if not str(value).isascii():
            raise
        return None
    tokens: list[str] = []
    for group in groups:
        members: list[str] = []
        for display, mailbox in group.members:
            address = _written(mailbox, form, name)
            pieces = [*_phrase(name, display, form), f" <{address}>"] if display else [f" {address}"]
            members += [*pieces[:-1], pieces[-1] + ","]
        if group.name is not None:
            *start, last = _phrase(name, group.name, form)
            # White space sets an encoded word off from the colon (RFC 2047 5).
            members = [*start, last + (" :" if last.endswith("?=") else ":"), *members]
            members[-1] = members[-1].removesuffix(",") + ";,"
        tokens += members
    return [*tokens[:-1], tokens[-1].removesuffix(",")] if tokens else []


def _phrase(name: str, text: str, form: _Form) -> list[str]:
    """A display name: atoms, a quoted string, or encoded words."""
    if "=?" not in text and len(text) < 200 and text.isprintable():
        if _ATOMS.fullmatch(text):
            return _TOKEN.findall(f" {text}")
        if text.isascii() or form.utf8:
            return [' "' + _TO_QUOTE.sub(r"\\\1", text) + '"']
    return _encoded_words(name, text)


def _encoded_words(name: str, text: str) -> list[str]:
    """RFC 2047: words of at most 75 characters, none of which cuts a character in two.

    The Q encoding leaves only what may stand in a phrase (RFC 2047 5).
    """
    octets = text.encode("utf-8")
    coding: ModuleType = quoprimime
    if base64mime.header_length(octets) < quoprimime.header_length(octets):
        coding = base64mime
    room = max(40, 74 - len(name)) - len("=?utf-8?q??=")
    words = [b""]
    for character in text:
        octets = character.encode("utf-8")
        if coding.header_length(words[-1] + octets) > room:
            words.append(b"")
        words[-1] += octets
    return [" " + coding.header_encode(word, "utf-8") for word in words if word]


def _decode_words(text: str) -> str:
    """Encoded words decoded, as far as they can be."""

    def decode(match: re.Match[str]) -> str:
        try:
            return str(make_header(decode_header(match[0])))
        except (LookupError, ValueError, HeaderParseError):
            return match[0]

    return _ENCODED_WORD.sub(decode, _BETWEEN_ENCODED_WORDS.sub(r"\1", text))


def _fold(name: str, tokens: Iterable[str]) -> bytes:
    """Put tokens, each with the white space in front of it, on lines (RFC 5322 2.2.3)."""
    lines: list[str] = []
    line = f"{name}:"
    for number, token in enumerate(tokens):
        if number and len(line) + len(token) > _FOLD_AT:
            lines.append(line)
            line = ""
        line += token
    return "\r\n".join([*lines, line, ""]).encode("utf-8")


def _fold_by_library(name: str, value: object, text: str) -> bytes:
    """For fields with parameters, and for address fields in which there is something else."""
    try:
        header = value if isinstance(value, BaseHeader) else _registry(name, text)
        folded = header.fold(policy=SMTP).removesuffix("\r\n")
        octets = folded.encode("ascii")
    except Exception as error:  # again, it may be anything
        raise LocalProtocolError(f"the {name} field cannot be written: {error}") from error
    _text(name, folded)
    return _crlf(octets) + b"\r\n"


# --- Parts ------------------------------------------------------------------------------------------------


def _render_top(message: EmailBase, form: _Form, source: bytes | None) -> bytes:
    try:
        return _render(message, form, source=source, top=True)
    except RecursionError:  # of a caller that is deep in calls itself
        raise _too_deep() from None


def _render(
    part: EmailBase,
    form: _Form,
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
        form: What the server takes.
        source: The whole message as it was given, if that was as bytes.
        top: It is the message itself.
        frozen: It stands in something signed.
        bounded: A boundary follows, to which the CRLF in front of it belongs.
        default_type: The type of a part that does not say it.
    """
    fields = _fields_of(part)
    if top:
        fields = [one for one in fields if one[0].lower() not in _NEVER_SENT and not _is_empty_list(*one)]
    body = None if source is None else _carried_body(part, source, form)
    if body is None:
        mime = _mime_fields(fields, default_type)
        if not frozen and part.is_multipart() and "content-type" not in mime:
            # A part that was taken out of a digest is still a message.
            if (kind := part.get_default_type()) != default_type:
                mime.set_raw("content-type", kind)
        body = _body(part, mime, form, frozen=frozen, bounded=bounded)
        if not frozen:
            _label(mime, body, form)
        fields = _with_mime_fields(fields, mime, top=top)
        body = b"\r\n" + body
    return b"".join(_field(name, value, form, frozen=frozen) for name, value in fields) + body


def _body(part: EmailBase, mime: EmailBase, form: _Form, *, frozen: bool, bounded: bool) -> bytes:
    """Write what follows the fields of a part; ``mime`` is made to say how it is encoded."""
    kind = mime.get_content_type()
    if not part.is_multipart():
        if kind == "message/rfc822" and not frozen:
            return _flat_message(part, mime, form, bounded=bounded)
        return _leaf(part, mime, form, frozen=frozen, bounded=bounded)
    payload = _parts_of(part)
    parts = [child for child in payload if isinstance(child, EmailBase)]
    maintype = mime.get_content_maintype()
    if len(parts) != len(payload) or maintype not in ("multipart", "message"):
        raise LocalProtocolError(f"a part of type {kind} has parts that it cannot have")
    if maintype == "multipart":
        frozen_below = frozen or kind == "multipart/signed"
        default_type = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        children = [
            _render(child, form, frozen=frozen_below, bounded=True, default_type=default_type)
            for child in parts
        ]
        return _join(part, mime, children, frozen=frozen, bounded=bounded)
    if kind == "message/delivery-status":
        # Groups of fields with empty lines between them (RFC 3464 2.1): messages, to the library.
        return b"\r\n".join(_render(group, form, frozen=frozen).removesuffix(b"\r\n") for group in parts)
    if len(parts) > 1:
        raise LocalProtocolError(
            f"a part of type {kind} holds {len(parts)} messages, of which only one has a place"
        )
    return b"".join(_render(child, form, frozen=frozen, bounded=bounded) for child in parts)


def _flat_message(part: EmailBase, mime: EmailBase, form: _Form, *, bounded: bool) -> bytes:
    """Write a message/rfc822 that was set as text, which may not be encoded as a whole (RFC 2046 5.2.1)."""
    octets = _payload(part, mime, frozen=False)
    encoding = _encoding(mime)
    if encoding in ("base64", "quoted-printable"):
        try:
            octets = _DECODERS[encoding](octets)
        except binascii.Error:  # it means nothing, so it stays what it is
            return _crlf(octets)
        _set_encoding(mime, "7bit")
    elif _problem(wire := _crlf(octets), form) is None:
        return wire
    inner = _parse(_crlf(octets))
    _check_depth(inner)
    return _render(inner, form, source=_crlf(octets), bounded=bounded)


def _mime_fields(fields: _Fields, default_type: str = "text/plain") -> EmailBase:
    """The MIME fields of a part, to be read and changed freely.

    In a message of the older interface, whose parser takes anything: a field that is broken must not be an
    exception here. The first of several counts.
    """
    mime = EmailBase()
    mime.set_default_type(default_type)
    for name, value in fields:
        if name.lower() in _MIME_FIELDS and name not in mime:
            mime.set_raw(name, _text(name, value))
    try:
        mime.get_boundary()
        mime.get_content_charset()
    except (LookupError, ValueError) as error:  # for a charset of RFC 2231 that is no codec of Python
        raise LocalProtocolError(f"the Content-Type field cannot be read: {error}") from error
    return mime


def _with_mime_fields(fields: _Fields, mime: EmailBase, *, top: bool) -> _Fields:
    """Put the MIME fields that were changed where they stood before, or behind the others."""
    before = _mime_fields(fields)
    changed: dict[str, object] = {
        name.lower(): value for name, value in mime.raw_items() if before.get(name) != value
    }
    result = [(name, changed.pop(name.lower(), value)) for name, value in fields]
    if top and changed and not any(name.lower() == "mime-version" for name, _ in fields):
        changed = {"mime-version": "1.0", **changed}
    return result + [(name.title().replace("Mime", "MIME"), value) for name, value in changed.items()]


def _encoding(mime: EmailBase) -> str:
    return str(mime.get("content-transfer-encoding", "7bit")).strip().lower()


def _set_encoding(mime: EmailBase, encoding: str) -> None:
    del mime["content-transfer-encoding"]
    mime.set_raw("content-transfer-encoding", encoding)


def _label(mime: EmailBase, body: bytes, form: _Form) -> None:
    """Make Content-Transfer-Encoding say at least what the body is (RFC 2045 6.2 and 6.4)."""
    encoding = _encoding(mime)
    if not body.isascii():
        if encoding != "8bit":
            _set_encoding(mime, "8bit")
    elif encoding == "binary" or (encoding == "8bit" and not form.eight_bit):
        _set_encoding(mime, "7bit")


def _join(part: EmailBase, mime: EmailBase, children: list[bytes], *, frozen: bool, bounded: bool) -> bytes:
    """Put boundaries around the parts of a multipart (RFC 2046 5.1.1)."""
    preamble, epilogue = (_aside(text, frozen=frozen) for text in (part.preamble, part.epilogue))
    children = children or [b""]
    boundary = mime.get_boundary()
    if boundary is None or not (frozen or _is_good_boundary(boundary, [preamble or b"", *children])):
        # Nobody can put the digest of a text into the text.
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
    """What stands outside the parts of a multipart; nobody reads it, so it goes if it makes trouble."""
    if text is None:
        return None
    octets = _crlf(text.encode("utf-8", "surrogateescape"))
    if not frozen and (not octets.isascii() or _longest_line(octets) > LINE_LENGTH or b"\0" in octets):
        return None
    return octets


def _leaf(part: EmailBase, mime: EmailBase, form: _Form, *, frozen: bool, bounded: bool) -> bytes:
    """The body of a part that has no parts; encoded if it has to be."""
    raw = _payload(part, mime, frozen=frozen)
    wire = _crlf(raw)
    encoding = _encoding(mime)
    kind = mime.get_content_maintype()
    if frozen or kind in ("multipart", "message") or encoding not in _DECODERS:
        return wire
    decode = _DECODERS[encoding]
    is_text = kind == "text" and b"\0" not in raw
    fits = b"\0" not in wire and _longest_line(wire) <= LINE_LENGTH and (wire.isascii() or form.eight_bit)
    if fits and not is_text and encoding != "base64":
        # The CRLF in front of a boundary is the boundary's, but the last one of a message is the message's.
        fits = decode(wire if bounded or wire.endswith(b"\r\n") else wire + b"\r\n") == decode(raw)
    if not (fits and wire.isascii()) and "content-type" not in mime:
        mime.set_raw("content-type", f"text/plain; charset={'utf-8' if _is_utf8(raw) else 'unknown-8bit'}")
    if fits:
        return wire
    try:
        octets = decode(wire if is_text else raw)
    except binascii.Error:  # it means nothing, so it stays what it is
        return wire
    if is_text and 6 * len(octets.translate(None, _ASCII)) <= len(octets):  # beyond, base64 is shorter
        _set_encoding(mime, "quoted-printable")
        return _crlf(binascii.b2a_qp(octets))
    _set_encoding(mime, "base64")
    return base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _payload(part: EmailBase, mime: EmailBase, *, frozen: bool) -> bytes:
    """The octets of a payload as they are carried, Content-Transfer-Encoding and all.

    The library keeps octets above 127 as lone surrogates and does not give them away: ``get_payload()``
    decodes them with the charset they are said to have, ``get_payload(decode=True)`` has the octets. But the
    older interface also takes characters that have never been octets, and of these it makes octets of its
    own. They are told apart by decoding: only of octets that were there is the text the decoded form. That is
    asked of a copy without fields, as there are charsets for which ``get_payload()`` raises.
    """
    bare = copy.copy(part)
    bare.policy = compat32
    for name in _MIME_FIELDS:
        del bare[name]
    try:
        payload: object = bare.get_payload()
    except UnicodeEncodeError:
        raise LocalProtocolError("the text of a part has half a character in it (a lone surrogate)") from None
    if not isinstance(payload, str):
        if payload is None:
            return b""
        raise LocalProtocolError(f"the payload of a part is neither text nor parts: {type(payload).__name__}")
    if payload.isascii():
        return payload.encode("ascii")
    octets: object = bare.get_payload(decode=True)
    assert isinstance(octets, bytes)
    encoding = _encoding(mime)
    if encoding in _CODED:
        # 7-bit by name, and yet octets above 127: what the library makes of that is what it was.
        if frozen:
            raise LocalProtocolError(f"a signed part is {encoding} and has octets above 127")
        bare["Content-Transfer-Encoding"] = encoding
        octets = bare.get_payload(decode=True)
        assert isinstance(octets, bytes)
        _set_encoding(mime, "8bit")
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
        raise LocalProtocolError("the text of a part has half a character in it (a lone surrogate)") from None


# --- Octets -----------------------------------------------------------------------------------------------


def _crlf(octets: bytes) -> bytes:
    return normalize_line_endings(octets)


def _longest_line(octets: bytes) -> int:
    return max(map(len, octets.split(b"\r\n")))


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _problem(octets: bytes, form: _Form) -> tuple[int, str] | None:
    """What the rules for the whole content forbid in these octets: the line, and what is wrong with it."""
    if _longest_line(octets) > LINE_LENGTH:
        lengths = map(len, octets.split(b"\r\n"))
        line = next(number for number, length in enumerate(lengths, 1) if length > LINE_LENGTH)
        return line, f"is longer than {LINE_LENGTH} octets (RFC 5321 4.5.3.1.6)"
    if b"\0" in octets:
        return octets.count(b"\r\n", 0, octets.index(b"\0")) + 1, "has a NUL in it"
    if not form.eight_bit and (eight_bit := _EIGHT_BIT.search(octets)):
        line = octets.count(b"\r\n", 0, eight_bit.start()) + 1
        return line, "has octets above 127 and the server does not offer 8BITMIME"
    return None


def _check_content(content: bytes, form: _Form) -> None:
    """The rules for the whole content."""
    found = _problem(content, form)
    if found is not None:
        line, problem = found
        raise LocalProtocolError(
            f"line {line} of the content {problem}; it stands where nothing can be encoded: in something"
            " signed, in a header, or in a part that claims to have parts"
        )


# --- Trace fields: RFC 5321 4.4 ---------------------------------------------------------------------------


def received_protocol(
    *, esmtp: bool = True, tls: bool = False, auth: bool = False, smtputf8: bool = False, lmtp: bool = False
) -> str:
    """The protocol by which a message came, for the WITH clause (RFC 3848 1, RFC 6531 4.3).

    Args:
        esmtp: The client said EHLO. After HELO the protocol is SMTP, whatever else was the case.
        tls: TLS is active.
        auth: The client has authenticated.
        smtputf8: MAIL had the SMTPUTF8 parameter.
        lmtp: The client said LHLO.
    """
    if not (esmtp or lmtp):
        return "SMTP"
    base = "LMTP" if lmtp else "SMTP" if smtputf8 else "ESMTP"
    return ("UTF8" if smtputf8 else "") + base + ("S" if tls else "") + ("A" if auth else "")


def received_field(
    *,
    from_domain: str,
    from_address: str | None,
    by: str,
    with_protocol: str,
    from_name: str | None = None,
    via: str | None = None,
    id: str | None = None,
    for_path: str | Mailbox | Sequence[str | Mailbox] | None = None,
    tls: str | None = None,
    priority: int | None = None,
    date: datetime.datetime | None = None,
    smtputf8: bool = False,
) -> bytes:
    """Write the Received field that a server puts in front of a message it has accepted.

    Args:
        from_domain: The argument of EHLO or HELO. If a lenient server has accepted one that is neither a domain
            nor an address literal, the address literal of ``from_address`` stands in its place.
        from_address: The IP address of the client, ``"192.0.2.1"`` or ``"[192.0.2.1]"``; None if it has none,
            as on a Unix socket.
        by: The server's own domain.
        with_protocol: What :func:`received_protocol` returns.
        from_name: What the DNS calls ``from_address``, if somebody has looked it up.
        via: ``"TCP"`` or ``"UUCP"``.
        id: An atom or a msg-id (``<a@b>``).
        for_path: The recipient, or all recipients: if there is more than one, none is told (RFC 5321 7.2).
        tls: The cipher: its registered name, OpenSSL's name, or ``0x`` and four hexadecimal digits (RFC 8314
            4.3).
        priority: The MT-PRIORITY, -9 to 9 (RFC 6710).
        date: When the message came, with its time zone; None for now.
        smtputf8: The message goes on with SMTPUTF8, so addresses may stay as they are; otherwise domains get
            A-labels (RFC 6531 3.7.3).

    Returns:
        The field, folded, CRLF included.

    Raises:
        LocalProtocolError: Something is not what the grammar allows, or is not registered.
    """
    form = _Form(eight_bit=True, utf8=smtputf8)
    literal = None if from_address is None else _literal(from_address)
    client = _client_name(from_domain, form, literal)
    if literal is not None:
        client += f" ({literal})" if from_name is None else f" ({_domain(from_name, form)} {literal})"
    elif client.startswith("["):
        raise LocalProtocolError("an address literal in FROM needs from_address, too (RFC 5321 4.4)")
    clauses = [f"from {client}", f"by {_host_name(by, form)}"]
    if via is not None:
        clauses.append(f"via {_registered(via, _VIA, 'VIA')}")
    clauses.append(f"with {_registered(with_protocol, _WITH, 'WITH')}")
    if id is not None:
        if not _TRACE_ID.fullmatch(id):
            raise LocalProtocolError(f"{id!r} is neither an atom nor a msg-id (RFC 5321 4.4)")
        clauses.append(f"id {id}")
    paths = [for_path] if isinstance(for_path, (str, Mailbox)) else list(for_path or ())
    if len(paths) == 1:
        path = ForwardPath(str(paths[0]))
        if path.domain:  # there is no "for <Postmaster>"
            clauses.append(f"for <{_written(path, form, 'FOR')}>")
    if tls is not None:
        clauses.append(f"tls {_cipher(tls)}")
    if priority is not None:
        if not -9 <= priority <= 9:
            raise LocalProtocolError("a priority is a number from -9 to 9 (RFC 6710)")
        clauses.append(f"priority {priority}")
    clauses[-1] += ";"
    clauses.append(_date_time(date))
    octets = _fold("Received", [f" {clause}" for clause in clauses])
    if _longest_line(octets) > LINE_LENGTH:
        raise LocalProtocolError("the id is too long")
    return octets


def return_path_field(reverse_path: str | Mailbox, *, smtputf8: bool = False) -> bytes:
    """Write the Return-Path field that the last server puts in front of everything else (RFC 5321 4.4).

    Args:
        reverse_path: The argument of MAIL; ``""`` for the null reverse-path.
        smtputf8: UTF-8 may stand in it.

    Returns:
        The field, CRLF included: ``b"Return-Path: <>\\r\\n"``.

    Raises:
        LocalProtocolError: It is no reverse-path.
    """
    path = ReversePath(str(reverse_path))
    text = _written(path, _Form(eight_bit=True, utf8=smtputf8), "Return-Path")
    return f"Return-Path: <{text}>\r\n".encode()


def count_received(content: bytes) -> int:
    """Count the Received fields in the header of ``content``: the servers a message has passed.

    With :data:`LOOP_THRESHOLD` of them it is going in circles (RFC 5321 6.3).

    Args:
        content: The content, or its beginning up to the end of the header or further.
    """
    header_and_more = b"\r\n" + content
    end = _END_OF_HEADER.search(header_and_more)
    return len(_RECEIVED.findall(header_and_more, 0, end.start() if end else len(header_and_more)))


def _client_name(text: str, form: _Form, literal: str | None) -> str:
    """What a client calls itself, if RFC 5321 4.4 allows it in FROM; otherwise its address."""
    name = text.partition(" ")[0] if text.startswith("[") else text.removesuffix(".")
    try:
        return _host_name(name, form)
    except LocalProtocolError:
        if not is_hello_argument(text, lenient=True):
            raise
        return literal or "unknown"


def _host_name(text: str, form: _Form) -> str:
    return text if is_hello_argument(text) else _domain(text, form)


def _domain(text: str, form: _Form) -> str:
    try:
        return _written(Mailbox("x", text), form, "Received").removeprefix("x@")
    except LocalProtocolError as error:
        raise LocalProtocolError(f"{text!r} in a Received field: {error}") from None


def _literal(address: str) -> str:
    """An IP address as an address literal (RFC 5321 4.1.3)."""
    if is_address_literal(address):
        return address
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # the zone means nothing elsewhere
    except ValueError:
        raise LocalProtocolError(f"{address!r} is no IP address") from None
    return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"


def _registered(word: str, known: frozenset[str], clause: str) -> str:
    if word.upper() not in known:
        raise LocalProtocolError(f"{word!r} is not registered for the {clause} clause (RFC 5321 4.4)")
    return word.upper()


def _cipher(name: str) -> str:
    """The registered name of a cipher. OpenSSL's own names follow a pattern; what does not is refused."""
    if _TLS_CIPHER.fullmatch(name):
        return name
    match = _OPENSSL_CIPHER.fullmatch(name)
    if match is None:
        raise LocalProtocolError(f"{name!r} is no registered name of a cipher (RFC 8314 4.3)")
    exchange, signature, bits, mode, digest = match.groups()
    keys = f"{exchange}_{signature}" if exchange else "RSA"
    if bits is None:
        return f"TLS_{keys}_WITH_CHACHA20_POLY1305_SHA256"
    return f"TLS_{keys}_WITH_AES_{bits}_{'GCM' if mode else 'CBC'}_{digest}"


def _date_time(date: datetime.datetime | None) -> str:
    """A date-time with a year of four digits and a numeric zone, none of the obs- forms (RFC 5321 4.4)."""
    if date is None:
        date = datetime.datetime.now().astimezone()
    offset = date.utcoffset()
    if offset is None:
        raise LocalProtocolError("the date has no time zone")
    if offset.total_seconds() % 60:  # which no zone has had since mail exists
        date = date.astimezone(datetime.UTC)
    return format_datetime(date)
