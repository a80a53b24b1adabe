"""AUTH: the client authenticates with a SASL mechanism (RFC 4954). The connections run the exchange."""

from __future__ import annotations

from .._core.addresses import ReversePath, parse_mailbox
from .._core.capabilities import Capabilities
from .._core.commandspec import CommandSpec
from .._core.config import Extension, Facts, ServerConfig
from .._core.errors import LocalProtocolError
from .._core.events import Command, Helo
from .._core.expressions import expression
from .._core.grammar import INITIAL_RESPONSE, MECHANISM
from .._core.parameters import Parameter, decode_xtext, encode_xtext
from .._core.replies import Reply
from .._core.state import State
from ..sasl import SERVER_MECHANISMS

# auth-command  = "AUTH" SP sasl-mech [SP initial-response] *(CRLF [base64]) [CRLF cancel-response] CRLF
# initial-response = base64 / "="                                                          ; RFC 4954 8
_ARGUMENTS = expression(r"([A-Za-z0-9_-]{1,20})(?: +([!-~]+))?")

_NEED_EHLO = Reply(503, "5.5.1", "say EHLO first: HELO knows no extensions")
_AUTHENTICATED = Reply(503, "5.5.1", "authenticated already")
_NO_MECHANISM = Reply(504, "5.5.4", "this authentication mechanism is not offered")
_NEEDS_TLS = Reply(538, "5.7.11", "this mechanism needs TLS: say STARTTLS first")


class Auth(Command):
    """AUTH: begins a SASL exchange (RFC 4954 4).

    Args:
        mechanism: The mechanism's name, in upper case.
        initial_response: As sent: base64, ``"="`` for an empty one, None for none. ``repr()`` does not show it.

    Raises:
        LocalProtocolError: One of them is malformed.
    """

    __slots__ = ("initial_response", "mechanism")
    __match_args__ = ("mechanism", "initial_response")
    _hidden = frozenset({"initial_response"})
    verb = "AUTH"

    mechanism: str
    initial_response: str | None

    def __init__(self, mechanism: str, initial_response: str | None = None) -> None:
        if MECHANISM.fullmatch(mechanism) is None:
            raise LocalProtocolError(f"{mechanism!r} is not a valid SASL mechanism name (RFC 4422 3.1)")
        if initial_response is not None and INITIAL_RESPONSE.fullmatch(initial_response) is None:
            raise LocalProtocolError("the initial response must be base64, or = (RFC 4954 4)")
        self.mechanism = mechanism
        self.initial_response = initial_response


def _parse(arguments: str) -> Auth:
    match = _ARGUMENTS.fullmatch(arguments)
    if match is None:
        raise LocalProtocolError("AUTH takes the name of a mechanism, and optionally an initial response")
    return Auth(match[1].upper(), match[2])


def _format(command: Auth) -> str:
    return " ".join(filter(None, (command.mechanism, command.initial_response)))


def _offer(config: ServerConfig, facts: Facts) -> list[str] | None:
    # RFC 4954 4: without TLS, mechanisms that show the password are neither listed nor accepted.
    cleartext_allowed = facts.tls is not None or config.allow_cleartext_auth
    return [
        name for name in config.auth_mechanisms if cleartext_allowed or not SERVER_MECHANISMS[name].cleartext
    ] or None


def _read(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.upper() for name in arguments))


def _check(command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
    if not isinstance(command, Auth):
        return None
    if isinstance(facts.hello, Helo):
        return _NEED_EHLO
    if facts.authenticated is not None:
        return _AUTHENTICATED
    # The reply does not depend on the credentials, which are not looked at (RFC 8314 4.1).
    configured = () if facts.config is None else facts.config.auth_mechanisms
    if not configured or command.mechanism in capabilities.mechanisms:
        return None
    return _NEEDS_TLS if command.mechanism in configured else _NO_MECHANISM


# auth-param    = "AUTH=" xtext      ; of a mailbox, or "<>"                                  ; RFC 4954 5, 8
def _parse_submitter(value: str | None) -> ReversePath:
    decoded = decode_xtext(value or "")
    # A mailbox, and not a path: no angle brackets, no source route.
    return ReversePath("" if decoded == "<>" else parse_mailbox(decoded))


def _format_submitter(value: object) -> str:
    # xtext has only ASCII, and no other form is defined for SMTPUTF8.
    if not (isinstance(value, ReversePath) and value.is_ascii):
        raise LocalProtocolError("AUTH takes a ReversePath of ASCII (RFC 4954 5)")
    return encode_xtext(str(value)) or "<>"


AUTH = Extension(
    "AUTH",
    offer=_offer,
    read=_read,
    check=_check,
    parameters=(Parameter("AUTH", "MAIL", _parse_submitter, _format_submitter),),
    commands=(
        CommandSpec(
            Auth,
            parse=_parse,
            format=_format,
            reply=Reply(235, "2.7.0", "authenticated"),
            success=frozenset({235}),
            # RFC 4954 4: every line after 334 is a response, so no command is legal until the exchange ends.
            leads={
                3: {State.READY: State.AUTHENTICATING},
                2: {State.AUTHENTICATING: State.READY, State.READY: State.READY},
                4: {State.AUTHENTICATING: State.READY},
                5: {State.AUTHENTICATING: State.READY},
            },
            before_auth=True,
            line_limit="auth_line",
        ),
    ),
    mail_octets=500,  # RFC 4954 3 (6)
)
