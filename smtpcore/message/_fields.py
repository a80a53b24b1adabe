"""Write the fields of a header."""

from __future__ import annotations

import re
from email.headerregistry import BaseHeader
from email.policy import SMTP

from .._core.content import CONTENT_LINE_LENGTH
from .._core.errors import LocalProtocolError
from .._core.headerfields import fold
from ._addresses import REGISTRY, read_groups, write_address
from ._octets import Form, NeedsSmtpUtf8, crlf, is_utf8, longest_line
from ._parse import Source
from ._words import LINE_END, decode_words, encoded_words, is_source, text_of

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
_TOKEN = re.compile(r"[ \t]*[^ \t]+")


def is_empty_list(name: str, value: object) -> bool:
    """Whether an address field contains neither an address nor a group, which the grammar does not allow."""
    if name.lower() not in _ADDRESS_FIELDS or isinstance(value, Source):
        return False
    text = text_of(name, value)
    if "@" in text or ":" in text:
        return False
    try:
        return not text.strip(" \t,") or not read_groups(name, value)
    except LocalProtocolError:
        return False


def write_field(name: str, value: object, form: Form, *, frozen: bool) -> bytes:
    """Write one field with its CRLF."""
    if not _FIELD_NAME.fullmatch(name):
        raise LocalProtocolError(f"{name!r} is not a valid field name (RFC 5322 3.6.8)")
    text = text_of(name, value)
    if is_source(value):
        verbatim = _verbatim(name, value, form, frozen=frozen)
        if verbatim is not None:
            return verbatim
    lower = name.lower()
    if lower in _ADDRESS_FIELDS:
        tokens = _address_tokens(name, value, form)
    elif lower in _PARAMETER_FIELDS:
        tokens = None
    else:
        tokens = _text_tokens(name, decode_words(text) if is_source(value) else text, form)
    return _fold_by_library(name, value, text) if tokens is None else fold(name, tokens)


def _verbatim(name: str, source: str, form: Form, *, frozen: bool) -> bytes | None:
    """Return a field as it was parsed, or None if it has to be written anew."""
    if isinstance(source, Source):
        lines = LINE_END.split(source.whole)
    else:
        # The parser has dropped the white space after the colon; one space is the usual amount, and none if the
        # first line was empty.
        lines = LINE_END.split(source)
        lines[0] = f"{name}: {lines[0]}" if lines[0] or len(lines) == 1 else f"{name}:"
        if not frozen and any(not line.strip() for line in lines[1:]):
            return None
    octets = "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    if frozen:
        if not octets.isascii() and not form.utf8:
            raise NeedsSmtpUtf8(f"the {name} field in a signed part has UTF-8 and SMTPUTF8 is not offered")
        return octets
    if not octets.isascii() and not (form.utf8 and is_utf8(octets)):
        return None
    if b"\0" in octets or longest_line(octets) > CONTENT_LINE_LENGTH:
        return None
    return octets


def _text_tokens(name: str, text: str, form: Form) -> list[str]:
    """Split unstructured text where it can be folded; encode it where that is necessary."""
    tokens = _TOKEN.findall(f" {text}")
    if "=?" not in text and all(len(token.encode()) < CONTENT_LINE_LENGTH - len(name) for token in tokens):
        if _PLAIN.fullmatch(text) or (form.utf8 and text.isprintable() and text == text.strip()):
            return tokens
    return encoded_words(name, text)


def _address_tokens(name: str, value: object, form: Form) -> list[str] | None:
    """Split an address field where it can be folded; return None for ASCII text that is not a valid list.

    Such text is allowed only if the caller gave the envelope; without one the message was refused before.
    """
    try:
        groups = read_groups(name, value)
    except LocalProtocolError:
        if not str(value).isascii():
            raise
        return None
    tokens: list[str] = []
    for group in groups:
        members: list[str] = []
        for display, mailbox in group.members:
            address = write_address(mailbox, form, name)
            pieces = [*_phrase(name, display, form), f" <{address}>"] if display else [f" {address}"]
            members += [*pieces[:-1], pieces[-1] + ","]
        if group.name is not None:
            *start, last = _phrase(name, group.name, form)
            # White space sets an encoded word off from the colon (RFC 2047 5).
            members = [*start, last + (" :" if last.endswith("?=") else ":"), *members]
            members[-1] = members[-1].removesuffix(",") + ";,"
        tokens += members
    return [*tokens[:-1], tokens[-1].removesuffix(",")] if tokens else []


def _phrase(name: str, text: str, form: Form) -> list[str]:
    """Write a display name: atoms, a quoted string, or encoded words."""
    if "=?" not in text and len(text) < 200 and text.isprintable():
        if _ATOMS.fullmatch(text):
            return _TOKEN.findall(f" {text}")
        if text.isascii() or form.utf8:
            return [' "' + _TO_QUOTE.sub(r"\\\1", text) + '"']
    return encoded_words(name, text)


def _fold_by_library(name: str, value: object, text: str) -> bytes:
    """Write a field with parameters, or an address field with other text, by the standard library."""
    try:
        header = value if isinstance(value, BaseHeader) else REGISTRY(name, text)
        folded = header.fold(policy=SMTP).removesuffix("\r\n")
        octets = folded.encode("ascii")
    except Exception as error:  # the library has no error class of its own
        raise LocalProtocolError(f"the {name} field cannot be written: {error}") from error
    text_of(name, folded)
    return crlf(octets) + b"\r\n"
