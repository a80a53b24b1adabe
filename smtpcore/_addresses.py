"""Mailboxes and paths: RFC 5321 4.1.2 and 4.1.3, with RFC 6531 3.3 for UTF-8.

A mailbox has three faces, and mixing them up is how address parsers come to disagree:

* what the local-part *means*: ``a b``, the quotes and backslashes gone; this is what compares
  (``"a"@x``, ``"\\a"@x`` and ``a@x`` are one mailbox) and what a program looks up;
* how it is *written* with the least quoting: ``"a b"@x``; this is what a new mailbox is sent as;
* how it *came*: kept, so that a relay passes on exactly what it was given (RFC 5321 2.3.11).

``local_part`` is the first; ``str()`` is the third where there is one and the second otherwise. The case of
a local-part is kept and counts, the case of a domain is kept and does not (RFC 5321 2.4).
"""

from __future__ import annotations

import re
from typing import TypeVar

from ._errors import LocalProtocolError
from ._grammar import (
    ADDRESS_LITERAL,
    GENERAL_LITERAL,
    IPV4,
    IS_DOMAIN,
    IS_DOT_STRING,
    LENIENT_DOMAIN,
    LENIENT_LOCAL_PART_AT,
    LOCAL_PART_AT,
    SOURCE_ROUTE,
    is_ipv6,
)
from ._limits import Limits

_M = TypeVar("_M", bound="Mailbox")
_QUOTED_PAIR = re.compile(r"\\(.)")
_TO_QUOTE = re.compile(r'(["\\])')
_DEFAULT_LIMITS = Limits()
# UTF8-non-ascii of RFC 6531 3.3 without the C1 controls; surrogates cannot come out of a decoder.
_NON_ASCII = re.compile(r"[\u00a0-\ud7ff\ue000-\U0010ffff]")


class Mailbox:
    """``local-part@domain``.

    Args:
        local_part: What the local-part means, without quoting: ``Mailbox("a b", "example.org")``.
        domain: A domain or an address literal in its brackets.

    Raises:
        LocalProtocolError: The parts do not make a Mailbox of RFC 5321 4.1.2.
    """

    __slots__ = ("_text", "domain", "local_part")
    __match_args__ = ("local_part", "domain")

    local_part: str
    domain: str
    _text: str

    def __init__(self, local_part: str, domain: str) -> None:
        parsed = parse_mailbox(f"{quote_local_part(local_part)}@{domain}", smtputf8=True)
        self._text, self.local_part, self.domain = parsed

    @classmethod
    def parse(cls: type[_M], text: str, *, smtputf8: bool = True) -> _M:
        """Read ``text`` as it is written on the wire, without angle brackets.

        Args:
            text: ``user@example.org``, ``"a b"@example.org``, ``user@[192.0.2.1]``.
            smtputf8: Allow non-ASCII (RFC 6531 3.3).

        Raises:
            LocalProtocolError: It is no Mailbox; the message says which part and why.
        """
        return make(cls, *parse_mailbox(text, smtputf8=smtputf8))

    @property
    def is_ascii(self) -> bool:
        """Whether it can be used without SMTPUTF8."""
        return self._text.isascii()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mailbox):
            return NotImplemented
        return self.local_part == other.local_part and self.domain.lower() == other.domain.lower()

    def __hash__(self) -> int:
        return hash((self.local_part, self.domain.lower()))


class ReversePath(Mailbox):
    """The sender of an envelope: a mailbox, or null (``<>``) for notifications (RFC 5321 4.5.5).

    Args:
        text: ``"user@example.org"``, or ``""`` or ``"<>"`` for the null reverse-path. Angle brackets are
            optional.

    Attributes:
        source_route: The domains of an obsolete source route, which is otherwise ignored (App. C).

    Raises:
        LocalProtocolError: It is neither.
    """

    __slots__ = ("source_route",)
    __match_args__ = ("local_part", "domain")

    source_route: tuple[str, ...]

    def __init__(self, text: str) -> None:
        self._text, self.local_part, self.domain, self.source_route = parse_reverse_path(_bracketed(text))

    @property
    def is_null(self) -> bool:
        """Whether this is ``<>``."""
        return not self._text


class ForwardPath(Mailbox):
    """A recipient: a mailbox, or ``Postmaster`` without a domain (RFC 5321 4.1.1.3).

    Args:
        text: ``"user@example.org"`` or ``"Postmaster"``. Angle brackets are optional.

    Attributes:
        source_route: The domains of an obsolete source route, which is otherwise ignored (App. C).

    Raises:
        LocalProtocolError: It is neither.
    """

    __slots__ = ("source_route",)
    __match_args__ = ("local_part", "domain")

    source_route: tuple[str, ...]

    def __init__(self, text: str) -> None:
        self._text, self.local_part, self.domain, self.source_route = parse_forward_path(_bracketed(text))

    @property
    def is_postmaster(self) -> bool:
        """Whether this is the postmaster, in any case, with or without a domain (RFC 5321 4.5.1)."""
        return self.local_part.lower() == "postmaster"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mailbox) and not self.domain and not other.domain:
            return self.local_part.lower() == other.local_part.lower()
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash((self.local_part if self.domain else self.local_part.lower(), self.domain.lower()))


def make(cls: type[_M], text: str, local_part: str, domain: str) -> _M:
    """Build a mailbox from octets that a parser has just proven, without validating twice."""
    mailbox = object.__new__(cls)
    mailbox._text = text
    mailbox.local_part = local_part
    mailbox.domain = domain
    if isinstance(mailbox, (ReversePath, ForwardPath)):
        mailbox.source_route = ()
    return mailbox


def quote_local_part(local_part: str) -> str:
    """The least quoting that RFC 5321 4.1.2 asks for: none, if it is a Dot-string.

    >>> quote_local_part("a b")
    '"a b"'
    """
    ascii_only = _NON_ASCII.sub("x", local_part)
    if IS_DOT_STRING.fullmatch(ascii_only):
        return local_part
    return '"' + _TO_QUOTE.sub(r"\\\1", local_part) + '"'


def unquote_local_part(text: str) -> str:
    """What a Local-part means: quotes and backslashes gone, nothing else changed."""
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def is_domain(text: str, limits: Limits = _DEFAULT_LIMITS) -> bool:
    """Whether ``text`` is a Domain of RFC 5321 4.1.2 within its lengths (labels: RFC 1035, 63 octets)."""
    if IS_DOMAIN.fullmatch(text) is None or len(text) > limits.domain:
        return False
    return len(text) <= 63 or all(len(label) <= 63 for label in text.split("."))


def is_address_literal(text: str) -> bool:
    """Whether ``text`` is an address literal we know: ``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``.

    A General-address-literal needs a registered tag (RFC 5321 4.1.3), and none but IPv6 is.
    """
    match = ADDRESS_LITERAL.fullmatch(text)
    if match is None:
        return False
    inner = match[1]
    if inner[:5].lower() == "ipv6:":
        return is_ipv6(inner[5:])
    return IPV4.fullmatch(inner) is not None


def is_hello_argument(text: str, *, lenient: bool = False) -> bool:
    """Whether EHLO or HELO may carry ``text`` (RFC 5321 4.1.1.1): a domain or an address literal.

    Args:
        text: The argument.
        lenient: Also underscores and a trailing dot, and any text behind an address literal.
    """
    if is_domain(text) or is_address_literal(text):
        return True
    if not lenient:
        return False
    if text.startswith("["):
        return is_address_literal(text.partition(" ")[0])
    return LENIENT_DOMAIN.fullmatch(text.removesuffix(".")) is not None and ".." not in text and len(text) <= 255


def parse_mailbox(
    text: str, *, smtputf8: bool = False, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[str, str, str]:
    """Read a Mailbox.

    Returns:
        The text as it is to be sent, the meaning of the local-part, the domain.

    Raises:
        LocalProtocolError: It is no Mailbox.
    """
    ascii_text = text
    if not text.isascii():
        if not smtputf8:
            raise LocalProtocolError("the address is not ASCII and SMTPUTF8 was not given (RFC 6531 3.4)")
        # Every non-ASCII character is atext and qtext (RFC 6531 3.3): judge the frame with a stand-in.
        ascii_text = _NON_ASCII.sub("x", text)
    match = (LENIENT_LOCAL_PART_AT if lenient else LOCAL_PART_AT).match(ascii_text)
    if match is None:
        raise LocalProtocolError(_why_no_local_part(ascii_text))
    local, domain = text[: match.end(1)], text[match.end() :]
    if len(_octets(local)) > limits.local_part:
        raise LocalProtocolError(f"the local-part is longer than {limits.local_part} octets")
    if lenient:
        domain = domain.removesuffix(".")
    if len(_octets(domain)) > limits.domain:
        raise LocalProtocolError(f"the domain is longer than {limits.domain} octets")
    if not (is_domain(domain) or is_address_literal(domain) or (lenient and LENIENT_DOMAIN.fullmatch(domain))):
        if domain.isascii() or not _is_u_domain(domain):
            raise LocalProtocolError(_why_no_domain(domain))
    return f"{local}@{domain}", unquote_local_part(local), domain


def parse_path(
    text: str, *, smtputf8: bool, lenient: bool, limits: Limits
) -> tuple[str, str, str, tuple[str, ...]]:
    """Read a Path in its angle brackets, taking an obsolete source route apart (RFC 5321 4.1.2, App. C)."""
    if text[:1] != "<" or text[-1:] != ">":
        raise LocalProtocolError("a path stands in angle brackets: <user@example.org>")
    if len(_octets(text)) > limits.path:
        raise LocalProtocolError(f"the path is longer than {limits.path} octets (RFC 5321 4.5.3.1.3)")
    route: tuple[str, ...] = ()
    inner = text[1:-1]
    if inner.startswith("@"):
        match = SOURCE_ROUTE.match(inner)
        if match is None:
            raise LocalProtocolError("the source route is malformed")
        route = tuple(match[1].split(",@"))
        inner = inner[match.end() :]
    return *parse_mailbox(inner, smtputf8=smtputf8, lenient=lenient, limits=limits), route


def parse_reverse_path(
    text: str, *, smtputf8: bool = True, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[str, str, str, tuple[str, ...]]:
    """Reverse-path = Path / "<>"."""
    if text == "<>":
        return "", "", "", ()
    return parse_path(text, smtputf8=smtputf8, lenient=lenient, limits=limits)


def parse_forward_path(
    text: str, *, smtputf8: bool = True, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[str, str, str, tuple[str, ...]]:
    """Forward-path = Path, or <Postmaster> without a domain in any case (RFC 5321 4.1.1.3)."""
    if text.lower() == "<postmaster>":
        return text[1:-1], text[1:-1], "", ()
    if text == "<>":
        raise LocalProtocolError("the null path is no recipient")
    return parse_path(text, smtputf8=smtputf8, lenient=lenient, limits=limits)


def _bracketed(text: str) -> str:
    return text if text.startswith("<") and text.endswith(">") else f"<{text}>"


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _is_u_domain(domain: str) -> bool:
    """Whether a domain with U-labels is plausible: RFC 6531 3.3, RFC 5890 2.3.2.1.

    The full IDNA2008 tables are not consulted: that is for whoever looks the name up. What is refused is
    what could fool a parser: ASCII that no label may hold, text that is not in NFC, leading marks.
    """
    import unicodedata  # 1 MB of tables that only internationalised mail needs

    for label in domain.split("."):
        if not label.isascii():
            if unicodedata.normalize("NFC", label) != label or unicodedata.category(label[0]).startswith("M"):
                return False
            if not all(unicodedata.category(c)[0] in "LMN" or c in "\u00b7\u30fb" for c in label if c > "\x7f"):
                return False
            if label[2:4] == "--":
                return False
        if IS_DOMAIN.fullmatch(_NON_ASCII.sub("x", label)) is None or len(_octets(label)) > 63:
            return False
    return True


def _why_no_local_part(text: str) -> str:
    if not text:
        return "the address is empty"
    if "@" not in text:
        return "the address has no @"
    if text.startswith("@"):
        return "the local-part is empty"
    if text.startswith('"'):
        return "the quoted local-part is malformed, or not followed by @"
    if text.startswith(".") or ".." in text.partition("@")[0] or text.partition("@")[0].endswith("."):
        return "dots in a local-part stand between other characters; quote it otherwise"
    return "the local-part holds a character that must be quoted"


def _why_no_domain(domain: str) -> str:
    if not domain:
        return "the domain is empty"
    if domain.startswith("["):
        if GENERAL_LITERAL.fullmatch(domain[1:-1]) and not domain[1:6].lower() == "ipv6:":
            return "the address literal has a tag that is not registered"
        return "the address literal is malformed"
    return "the domain is malformed: labels of letters, digits and inner hyphens, at most 63 octets each"
