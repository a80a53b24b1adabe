"""Mailboxes and paths: RFC 5321 4.1.2 and 4.1.3, with RFC 6531 3.3 for UTF-8.

A mailbox has three forms, and parsers that mix them up disagree with each other:

* its *meaning*: ``a b``, without quotes and backslashes. Mailboxes are compared and looked up in this form:
  ``"a"@x``, ``"\\a"@x`` and ``a@x`` are one mailbox;
* its *shortest spelling*: ``"a b"@x``, with the least quoting. A new mailbox is sent in this form;
* its *received spelling*: kept, so that a relay passes on exactly what it received (RFC 5321 2.3.11).

``local_part`` is the first; ``str()`` is the third if the mailbox was parsed, and the second otherwise. The
case of both parts is kept; it is significant in a local-part and not in a domain (RFC 5321 2.4).

A mailbox holds only its text: ``local_part`` and ``domain`` are extracted on access. A server makes two
mailboxes for every message, and an application that only passes them on uses neither part.
"""

from __future__ import annotations

from typing import Self, TypeVar

from .errors import LocalProtocolError, check_text
from .expressions import expression
from .grammar import (
    ADDRESS_LITERAL,
    GENERAL_LITERAL,
    IPV4,
    IS_DOMAIN,
    IS_DOT_STRING,
    IS_UTF8_LABEL,
    LENIENT_DOMAIN,
    LENIENT_LOCAL_PART_AT,
    LOCAL_PART_AT,
    SOURCE_ROUTE,
    is_ipv6,
)
from .limits import Limits

_P = TypeVar("_P", bound="_Path")
_QUOTED_PAIR = expression(r"\\(.)")
_TO_QUOTE = expression(r'(["\\])')
_DEFAULT_LIMITS = Limits()
_new = object.__new__


class Mailbox:
    """``local-part@domain``.

    It is equal to another mailbox, and to a str, if the text is exactly the same: ``path == "b@example.org"``.
    So it can be looked up in a set or dictionary of strings. :meth:`is_same` compares meanings.

    Args:
        local_part: The meaning of the local-part, without quoting: ``Mailbox("a b", "example.org")``.
        domain: A domain or an address literal in its brackets.

    Raises:
        LocalProtocolError: The parts do not make a Mailbox of RFC 5321 4.1.2.
    """

    __slots__ = ("_text",)
    __match_args__ = ("local_part", "domain")

    _text: str

    def __init__(self, local_part: str, domain: str) -> None:
        text = f"{quote_local_part(local_part)}@{domain}"
        try:
            self._text = parse_mailbox(text, smtputf8=True)
        except LocalProtocolError as error:
            raise _invalid(text, "mailbox", error) from None

    @classmethod
    def parse(cls, text: str, *, smtputf8: bool = True) -> Self:
        """Parse ``text`` as it is written on the wire, without angle brackets.

        Args:
            text: ``user@example.org``, ``"a b"@example.org``, ``user@[192.0.2.1]``.
            smtputf8: Allow non-ASCII (RFC 6531 3.3).

        Raises:
            LocalProtocolError: It is not a valid Mailbox; the message says which part and why.
        """
        mailbox = _new(cls)
        try:
            mailbox._text = parse_mailbox(text, smtputf8=smtputf8)
        except LocalProtocolError as error:
            raise _invalid(text, "mailbox", error) from None
        return mailbox

    @property
    def local_part(self) -> str:
        """The meaning of the local-part, without quoting; its case is kept."""
        local, at, _ = self._text.rpartition("@")
        return unquote_local_part(local) if at else self._text

    @property
    def domain(self) -> str:
        """The domain or the address literal, its case kept; ``""`` if a path has none."""
        # Quoted local-parts may hold an "@" of their own, domains and address literals do not.
        return self._text.rpartition("@")[2] if "@" in self._text else ""

    @property
    def is_ascii(self) -> bool:
        """Whether it can be used without SMTPUTF8."""
        return self._text.isascii()

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mailbox):
            return self._text == other._text
        return self._text == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def is_same(self, other: Mailbox) -> bool:
        """Whether both name one mailbox; ignores the case of domains (RFC 5321 2.4) and quoting."""
        return self.key == other.key

    @property
    def key(self) -> tuple[str, str]:
        """A value that is equal for all ways to write one mailbox, as :meth:`is_same` compares them."""
        domain = self.domain
        # Without a domain it is null or <Postmaster>, and that in any case (RFC 5321 4.1.1.3).
        return (self.local_part, domain.lower()) if domain else (self._text.lower(), "")


class _Path(Mailbox):
    __slots__ = ("source_route",)

    source_route: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, *, smtputf8: bool = True) -> Self:
        return proven(cls, str(Mailbox.parse(text, smtputf8=smtputf8)))


class ReversePath(_Path):
    """The sender of an envelope: a mailbox, or null (``<>``) for notifications (RFC 5321 4.5.5).

    The null reverse-path is false and equal to ``""``.

    Args:
        text: ``"user@example.org"``, or ``""`` or ``"<>"`` for the null reverse-path. Angle brackets are
            optional.

    Attributes:
        source_route: The domains of an obsolete source route, which is otherwise ignored (App. C).

    Raises:
        LocalProtocolError: The text is not a valid reverse-path.
    """

    __slots__ = ()

    def __init__(self, text: str) -> None:
        check_text("the sender", text)
        try:
            self._text, self.source_route = parse_reverse_path(_bracketed(text))
        except LocalProtocolError as error:
            raise _invalid(text, "sender", error) from None

    @property
    def is_null(self) -> bool:
        """Whether this is ``<>``."""
        return not self._text

    def __bool__(self) -> bool:
        return bool(self._text)


class ForwardPath(_Path):
    """A recipient: a mailbox, or ``Postmaster`` without a domain (RFC 5321 4.1.1.3).

    Args:
        text: ``"user@example.org"`` or ``"Postmaster"``. Angle brackets are optional.

    Attributes:
        source_route: The domains of an obsolete source route, which is otherwise ignored (App. C).

    Raises:
        LocalProtocolError: The text is not a valid forward-path.
    """

    __slots__ = ()

    def __init__(self, text: str) -> None:
        check_text("the recipient", text)
        try:
            self._text, self.source_route = parse_forward_path(_bracketed(text))
        except LocalProtocolError as error:
            raise _invalid(text, "recipient", error) from None

    @property
    def is_postmaster(self) -> bool:
        """Whether the local-part is ``postmaster`` in any case, with or without a domain (RFC 5321 4.5.1)."""
        return self.local_part.lower() == "postmaster"


def proven(cls: type[_P], text: str, source_route: tuple[str, ...] = ()) -> _P:
    """Build a path from text that a parser has just validated, without validating it again.

    Args:
        cls: :class:`ReversePath` or :class:`ForwardPath`.
        text: The mailbox as it is written, without brackets and source route; ``""`` for the null
            reverse-path, ``"Postmaster"`` in any case for the postmaster without a domain.
        source_route: The domains of the source route.
    """
    path = _new(cls)
    path._text = text
    path.source_route = source_route
    return path


def quote_local_part(local_part: str) -> str:
    """Quote a local-part where RFC 5321 4.1.2 demands it: not if it is a Dot-string.

    >>> quote_local_part("a b")
    '"a b"'
    """
    if IS_DOT_STRING.fullmatch(local_part):
        return local_part
    return '"' + _TO_QUOTE.sub(r"\\\1", local_part) + '"'


def unquote_local_part(text: str) -> str:
    """Remove the quotes and backslashes of a Local-part."""
    return _QUOTED_PAIR.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def is_domain(text: str, limits: Limits = _DEFAULT_LIMITS) -> bool:
    """Whether ``text`` is a Domain of RFC 5321 4.1.2 within its lengths (labels: RFC 1035, 63 octets)."""
    if IS_DOMAIN.fullmatch(text) is None or len(text) > limits.domain:
        return False
    return len(text) <= 63 or all(len(label) <= 63 for label in text.split("."))


def is_address_literal(text: str) -> bool:
    """Whether ``text`` is an address literal of IPv4 or IPv6: ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``.

    A General-address-literal needs a registered tag (RFC 5321 4.1.3); IPv6 is the only one.
    """
    match = ADDRESS_LITERAL.fullmatch(text)
    if match is None:
        return False
    inner = match[1]
    if inner[:5].lower() == "ipv6:":
        return is_ipv6(inner[5:])
    return IPV4.fullmatch(inner) is not None


def is_hello_argument(text: str, *, lenient: bool = False) -> bool:
    """Whether ``text`` is a valid argument of EHLO and HELO (RFC 5321 4.1.1.1): a domain or an address literal.

    Args:
        text: The argument.
        lenient: Also accept any other printable text of 1 to 255 octets. The argument identifies the client in
            trace fields and logs; mail must not be refused because it cannot be verified (RFC 5321 4.1.4).
    """
    if is_domain(text) or is_address_literal(text):
        return True
    return lenient and text.isprintable() and 0 < len(_octets(text)) <= _DEFAULT_LIMITS.domain


def parse_mailbox(
    text: str, *, smtputf8: bool = False, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> str:
    """Parse a Mailbox.

    Returns:
        The text to send.

    Raises:
        LocalProtocolError: It is not a valid Mailbox.
    """
    if not (smtputf8 or text.isascii()):
        raise LocalProtocolError("the address is not ASCII and SMTPUTF8 was not given (RFC 6531 3.4)")
    match = (LENIENT_LOCAL_PART_AT if lenient else LOCAL_PART_AT).match(text)
    if match is None:
        raise LocalProtocolError(_why_no_local_part(text))
    local, domain = match[1], text[match.end() :]
    if len(_octets(local)) > limits.local_part:
        raise LocalProtocolError(f"the local-part is longer than {limits.local_part} octets")
    if lenient:
        domain = domain.removesuffix(".")
    if len(_octets(domain)) > limits.domain:
        raise LocalProtocolError(f"the domain is longer than {limits.domain} octets")
    known = is_domain(domain, limits) or is_address_literal(domain) or is_u_domain(domain)
    if not known and not (lenient and LENIENT_DOMAIN.fullmatch(domain)):
        raise LocalProtocolError(_why_no_domain(domain))
    return f"{local}@{domain}"


def parse_path(text: str, *, smtputf8: bool, lenient: bool, limits: Limits) -> tuple[str, tuple[str, ...]]:
    """Parse a Path in its angle brackets, and split off an obsolete source route (RFC 5321 4.1.2, App. C)."""
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
    return parse_mailbox(inner, smtputf8=smtputf8, lenient=lenient, limits=limits), route


def parse_reverse_path(
    text: str, *, smtputf8: bool = True, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[str, tuple[str, ...]]:
    """Reverse-path = Path / "<>".

    Returns:
        The mailbox and the source route, for :func:`proven`.
    """
    if text == "<>":
        return "", ()
    return parse_path(text, smtputf8=smtputf8, lenient=lenient, limits=limits)


def parse_forward_path(
    text: str, *, smtputf8: bool = True, lenient: bool = False, limits: Limits = _DEFAULT_LIMITS
) -> tuple[str, tuple[str, ...]]:
    """Forward-path = Path, or <Postmaster> without a domain in any case (RFC 5321 4.1.1.3).

    Returns:
        The mailbox and the source route, for :func:`proven`.
    """
    if text.lower() == "<postmaster>":
        return text[1:-1], ()
    if text == "<>":
        raise LocalProtocolError("the null path is not a valid recipient")
    return parse_path(text, smtputf8=smtputf8, lenient=lenient, limits=limits)


def _invalid(text: str, what: str, error: LocalProtocolError) -> LocalProtocolError:
    """Return an error that names the text as well; at most 320 characters of it are shown."""
    name, _, address = text.partition("<")
    advice = "; the address is given alone, without a name" if name.strip() and address.endswith(">") else ""
    return LocalProtocolError(f"{text!r:.320} is not a valid {what}: {error}{advice}")


def _bracketed(text: str) -> str:
    return text if text.startswith("<") else f"<{text}>"


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def composed(address: str) -> str:
    """Return an address in NFC, the form to send (RFC 6532 3.1) and to look a domain up in (RFC 5891 4.1).

    Some systems, macOS among them, decompose names: ``\u00fc`` becomes ``u`` and a combining diaeresis.
    """
    if address.isascii():
        return address
    import unicodedata  # 1 MB of tables that only internationalised mail needs

    return unicodedata.normalize("NFC", address)


def in_ascii(mailbox: Mailbox) -> str | None:
    """Return a mailbox as it is written without SMTPUTF8: with A-labels in its domain (RFC 6531 3.2).

    Returns:
        The text; None if the local-part is not ASCII, since such a mailbox has no ASCII form.

    Raises:
        LocalProtocolError: The domain is too long in ASCII.
    """
    text = str(mailbox)
    if text.isascii():
        return text
    if not mailbox.local_part.isascii():
        return None
    domain = domain_in_ascii(mailbox.domain)
    if not is_domain(domain):
        raise LocalProtocolError(f"the domain of {text!r} is too long in ASCII (RFC 5890)")
    return text.removesuffix(mailbox.domain) + domain


def domain_in_ascii(domain: str) -> str:
    """Return a domain with A-labels in place of its U-labels (RFC 5890 2.3.2.1)."""
    return ".".join(label if label.isascii() else a_label(label) for label in domain.split("."))


def a_label(label: str) -> str:
    """Return the A-label of a U-label, its ASCII form in the DNS (RFC 5890 2.3.2.1).

    >>> a_label("b\u00fccher")
    'xn--bcher-kva'
    """
    # Not encodings.idna: that is IDNA2003, to which "stra\u00dfe" is "strasse", another domain.
    return "xn--" + label.lower().encode("punycode").decode("ascii")


def is_u_domain(domain: str) -> bool:
    """Whether this is a domain with U-labels (RFC 6531 3.3, RFC 5890 2.3.2.1).

    The full IDNA2008 tables are not consulted: the resolver does that. Text that could mislead another parser
    is refused: ASCII characters that no label may contain, text that is not in NFC, leading combining marks.
    """
    return all(is_domain(label) or _is_u_label(label) for label in domain.split("."))


def _is_u_label(label: str) -> bool:
    import unicodedata  # 1 MB of tables that only internationalised mail needs

    if IS_UTF8_LABEL.fullmatch(label) is None or label[2:4] == "--" or len(a_label(label)) > 63:
        return False
    if unicodedata.normalize("NFC", label) != label or unicodedata.category(label[0]).startswith("M"):
        return False
    return all(unicodedata.category(c)[0] in "LMN" or c in "-\u00b7\u30fb" for c in label)


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
        if GENERAL_LITERAL.fullmatch(domain[1:-1]) and domain[1:6].lower() != "ipv6:":
            return "the address literal has a tag that is not registered"
        return "the address literal is malformed"
    return "the domain is malformed: labels of letters, digits and inner hyphens, at most 63 octets each"
