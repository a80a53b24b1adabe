"""What a server offers and where it is strict: ``ServerConfig``, and the ``Extension`` values it selects from.

Whether an extension is offered depends on the configuration and on the facts of a session, so these three
classes are defined together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from .capabilities import Capabilities
from .commandspec import CommandSpec
from .errors import LocalProtocolError, wrong_type
from .events import Command, Ehlo, Helo, Mail
from .grammar import EHLO_KEYWORD, EHLO_PARAMETER, MECHANISM
from .limits import Limits, Timeouts, TlsInfo, check_types
from .parameters import Parameter
from .replies import Reply


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a session that the offer of an extension may depend on.

    Attributes:
        tls: The facts of TLS, None in plaintext.
        authenticated: The identity that the client has authenticated as, None before.
        hello: The EHLO or HELO command of the session, None before.
        mail: The MAIL command of the current transaction, None outside one.
        peer: The ``peer`` argument of the server's connection, usually an address. None in a client.
        config: The server's configuration; None in a client.
    """

    tls: TlsInfo | None = None
    authenticated: str | None = None
    hello: Ehlo | Helo | None = None
    mail: Mail | None = None
    peer: object = None
    config: ServerConfig | None = None


def _always(config: ServerConfig, facts: Facts) -> Sequence[str] | None:
    return ()


def _arguments_as_they_are(arguments: tuple[str, ...]) -> object:
    return arguments


@dataclass(frozen=True, slots=True)
class Extension:
    """A service extension (RFC 5321 2.2): everything that it adds, for both roles, as one value.

    Attributes:
        keyword: The EHLO keyword, in upper case. It need not begin with ``X-`` (RFC 6648).
        offer: Called in a server with its configuration and the facts; returns the arguments of the keyword, or
            None if the extension is not offered now.
        read: Called in a client with the arguments that the server has sent; returns them as a value for
            ``Capabilities.value()``. If they are malformed, it returns None or raises
            :class:`smtpcore.LocalProtocolError`: the keyword then counts as offered, without a value.
        parameters: Rows for MAIL and RCPT.
        commands: The commands that it adds.
        check: Called in both roles for each of its own commands, and for each MAIL and RCPT with parameters. It
            gets the command, what is offered, and the facts. A reply refuses the command: the server sends it,
            the client raises :class:`smtpcore.LocalProtocolError` with its text before anything is sent.
        mail_octets: How many octets longer MAIL lines may be (RFC 5321 4.5.3.1.4).
        rcpt_octets: The same for RCPT lines.
        needs: Keywords that have to be offered together with this one.
        varies: The offer depends on other facts than whether TLS is active and whether the client has
            authenticated; ``offer`` is then called anew for each session.

    Raises:
        LocalProtocolError: The keyword is not valid (RFC 5321 4.1.1.1).
    """

    keyword: str
    offer: Callable[[ServerConfig, Facts], Sequence[str] | None] = _always
    read: Callable[[tuple[str, ...]], object] = _arguments_as_they_are
    parameters: tuple[Parameter, ...] = ()
    commands: tuple[CommandSpec, ...] = ()
    check: Callable[[Command, Capabilities, Facts], Reply | None] | None = None
    mail_octets: int = 0
    rcpt_octets: int = 0
    needs: tuple[str, ...] = ()
    varies: bool = False

    def __post_init__(self) -> None:
        if EHLO_KEYWORD.fullmatch(self.keyword) is None or self.keyword != self.keyword.upper():
            raise LocalProtocolError(
                f"{self.keyword!r} is not a valid EHLO keyword: letters, digits and hyphens, in upper case"
                " (RFC 5321 4.1.1.1)"
            )

    def __hash__(self) -> int:
        return hash(self.keyword)  # sets of extensions are looked up for each connection


# The accepted values of settings that are strings. A misspelt value must not select the lenient behaviour.
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "unknown_parameters": ("reject", "ignore", "show"),
    "address_syntax": ("strict", "lenient"),
    "ehlo_syntax": ("strict", "lenient"),
    "line_endings": ("reject", "accept"),
    "nul": ("reject", "accept"),
}


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server offers and where it is strict.

    Attributes:
        pipelining: Offer PIPELINING (RFC 2920). Early commands are answered in order either way.
        size: Offer SIZE with ``limits.message_size`` (RFC 1870).
        eight_bit_mime: Offer 8BITMIME (RFC 6152).
        smtputf8: Offer SMTPUTF8 (RFC 6531); needs ``eight_bit_mime``.
        enhanced_status_codes: Offer ENHANCEDSTATUSCODES and put the codes into replies (RFC 2034).
        starttls: Offer STARTTLS while TLS is not active. Set it only when the handshake can succeed.
        auth_mechanisms: SASL mechanisms to offer, strongest first; empty: AUTH is not offered.
        expn: Offer EXPN and hand it to the application; False: 502.
        help: Offer HELP.
        extensions: The service extensions that there are (:mod:`smtpcore.extensions`), in the order of EHLO's
            reply; the settings above select from them. None: ``smtpcore.extensions.STANDARD``.
        keywords: Additional EHLO keywords with their parameters, such as ``{"X-FOO": "bar"}``, which have no
            other effect. They must start with X (RFC 5321 2.2.2); an extension may have any keyword.
        require_tls: Answer 530 to everything but NOOP, EHLO, STARTTLS and QUIT until TLS is active
            (RFC 3207 4). Not for a public MX.
        require_auth: Answer 530 to mail until the client has authenticated (RFC 4954 6, RFC 6409 4.3);
            ``ServerConfig.submission()`` does so by default.
        allow_cleartext_auth: Offer mechanisms that send the password in the clear without TLS too. False: they
            are neither listed nor accepted without TLS (RFC 4954 4). True discloses passwords to every host on
            the path; it is meant for tests.
        unknown_parameters: ``"reject"``: 555 naming the parameter (RFC 5321 4.1.1.11); ``"ignore"``: the
            parameter is skipped; ``"show"``: it reaches the event as the text after ``=``, or True without one.
        address_syntax: ``"strict"``: RFC 5321 4.1.2 to the letter; ``"lenient"`` also accepts a space after the
            colon, missing angle brackets, misplaced dots in a local-part, a trailing dot of a domain and
            underscores in it.
        ehlo_syntax: The argument of EHLO and HELO: ``"strict"``: a domain or an address literal (RFC 5321
            4.1.1.1). ``"lenient"``, the default, also accepts any other printable text of 1 to 255 octets:
            many clients send the name of the computer, with an underscore or an umlaut in it, or an address
            without its tag, and their users cannot change that. Octets that are not UTF-8 become ``\\xdc``.
        line_endings: ``"reject"``: a bare CR or LF in content is refused with 550 5.6.0, after reading to
            the true end. ``"accept"`` passes them through; a next hop that treats a bare LF as a line end can
            then be tricked into reading commands from a message (SMTP smuggling, CVE-2023-51764).
        nul: ``"reject"`` or ``"accept"`` NUL octets in content (RFC 5322 forbids them in messages).
        never_accepts_mail: Answer the connection with 521 (RFC 7504).
        limits: Sizes and counts.
        timeouts: Seconds for each wait.

    Raises:
        ArgumentTypeError: A value has the wrong type.
        LocalProtocolError: A value is not one of those listed, or two values exclude each other.
    """

    pipelining: bool = True
    size: bool = True
    eight_bit_mime: bool = True
    smtputf8: bool = False
    enhanced_status_codes: bool = True
    starttls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    expn: bool = False
    help: bool = True
    extensions: tuple[Extension, ...] | None = None
    keywords: Mapping[str, str] = field(default_factory=dict)
    require_tls: bool = False
    require_auth: bool = False
    allow_cleartext_auth: bool = False
    unknown_parameters: Literal["reject", "ignore", "show"] = "reject"
    address_syntax: Literal["strict", "lenient"] = "strict"
    ehlo_syntax: Literal["strict", "lenient"] = "lenient"
    line_endings: Literal["reject", "accept"] = "reject"
    nul: Literal["reject", "accept"] = "reject"
    never_accepts_mail: bool = False
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)

    @classmethod
    def submission(cls, **settings: Any) -> Self:
        """Return the profile of a submission server, ports 587 and 465: mail only after TLS and authentication.

        RFC 6409 4.3 demands authentication by default, RFC 8314 3 TLS. MAIL is answered 530 until the client
        has authenticated, and AUTH is neither offered nor accepted before TLS is active. The mechanisms are
        PLAIN and LOGIN. The server needs a certificate, and a handler that checks credentials.

        Args:
            settings: Fields of ``ServerConfig`` that differ from the profile:
                ``ServerConfig.submission(smtputf8=True)``.

        Raises:
            LocalProtocolError: A setting is not valid.
        """
        profile: dict[str, Any] = {
            "starttls": True,
            "require_tls": True,
            "require_auth": True,
            "auth_mechanisms": ("PLAIN", "LOGIN"),
        }
        return cls(**profile | settings)

    def __hash__(self) -> int:
        # It is looked up in caches for each connection, and hashing a few fields is quicker than hashing all.
        return hash((self.limits.message_size, self.auth_mechanisms, self.starttls, self.smtputf8))

    def __post_init__(self) -> None:
        for name in ("auth_mechanisms", "extensions"):  # a list cannot be the key of a cache
            if isinstance(given := getattr(self, name), list):
                object.__setattr__(self, name, tuple(given))
        self._check_types()
        object.__setattr__(self, "keywords", dict(self.keywords))  # the caller may change its own
        for name, accepted in _CHOICES.items():
            if (choice := getattr(self, name)) not in accepted:
                raise LocalProtocolError(
                    f"ServerConfig.{name} is one of {', '.join(accepted)}, not {choice!r:.80}"
                )
        if self.smtputf8 and not self.eight_bit_mime:
            raise LocalProtocolError("SMTPUTF8 may only be offered together with 8BITMIME (RFC 6531 3.1)")
        for name in self.auth_mechanisms:
            if MECHANISM.fullmatch(name) is None:
                raise LocalProtocolError(f"{name!r} is not a valid SASL mechanism name (RFC 4422 3.1)")
        for keyword, parameters in self.keywords.items():
            if EHLO_KEYWORD.fullmatch(keyword) is None:
                raise LocalProtocolError(f"{keyword!r} is not a valid EHLO keyword (RFC 5321 4.1.1.1)")
            if not keyword.upper().startswith("X"):
                raise LocalProtocolError(
                    f"the EHLO keyword {keyword!r} must start with X, or be declared by an Extension"
                )
            if not all(EHLO_PARAMETER.fullmatch(word) for word in parameters.split()):
                raise LocalProtocolError(f"EHLO parameters {parameters!r} must be printable ASCII words")

    def _check_types(self) -> None:
        check_types(self)
        extensions = self.extensions
        for name, words, right in (
            ("limits", "a Limits", isinstance(self.limits, Limits)),
            ("timeouts", "a Timeouts", isinstance(self.timeouts, Timeouts)),
            ("keywords", "a mapping of strings", isinstance(self.keywords, Mapping)),
            ("auth_mechanisms", "a tuple of strings", _is_tuple_of(str, self.auth_mechanisms)),
            (
                "extensions",
                "a tuple of Extension values, or None",
                extensions is None or _is_tuple_of(Extension, extensions),
            ),
        ):
            if not right:
                raise wrong_type(f"ServerConfig.{name}", words, getattr(self, name))


def _is_tuple_of(kind: type, value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, kind) for one in value)
