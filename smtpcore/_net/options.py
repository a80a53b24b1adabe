"""What ``connect()`` is given, checked by type and value before anything is sent.

A mode of security is picked by the port, by ``auth`` and by ``security``. So a port that is text, a
``security`` of ``""`` or an ``allow_cleartext_auth`` of ``"no"`` must not pick another mode than the value it
was meant for: a default that protects must not depend on the Python type of a value (RFC 8314 3.3). Options
come from environment variables, forms and configuration files, where everything is text.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import operator
import ssl
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, get_args

from .. import sasl
from .._core.config import Extension
from .._core.errors import ArgumentTypeError, LocalProtocolError
from .._core.limits import Limits, Timeouts

if TYPE_CHECKING:
    from ..transcript import Transcript

Security = Literal["none", "starttls", "tls", "opportunistic"]
Credentials = tuple[str, str] | sasl.ClientMechanism


class ConnectOptions(TypedDict, total=False):
    """What ``connect()`` of every adapter takes, besides host and port.

    Attributes:
        security: ``"tls"``: from the start. ``"starttls"``: required, mail and password wait for it.
            ``"opportunistic"``: STARTTLS if it is offered, without asking for a certificate unless there is
            ``auth``. ``"none"``. By default ``"tls"`` on port 465, ``"starttls"`` on 587 and wherever ``auth``
            is given, else ``"opportunistic"``.
        ssl_context: In place of the default, which verifies the server's certificate.
        auth: ``(user name, password)``, or a :class:`~smtpcore.sasl.ClientMechanism`. If the server refuses a
            mechanism (504, 534), but not the password, the next one that it offers is tried.
        allow_cleartext_auth: Show the password to everybody on the path, if there is no TLS.
        local_hostname: The argument of EHLO. By default the name of this machine, if that is fully qualified.
            If the name is not a valid EHLO argument, the address literal is sent instead. DNS is never
            queried.
        local_address: The address to connect from.
        timeout: Seconds that each wait may last; in place of a number, ``Timeouts``. By default those of RFC
            5321 4.5.3.2. A mail transaction as a whole is bounded, too: see :class:`~smtpcore.Timeouts`.
        deadline: Seconds for the whole session; None: any number.
        transcript: Records the session.
        limits: Sizes and counts.
        extensions: The service extensions to use where the server offers them; a tuple of values of
            :mod:`smtpcore.extensions` and of one's own. None: ``smtpcore.extensions.STANDARD``.
    """

    security: Security | None
    ssl_context: ssl.SSLContext | None
    auth: Credentials | None
    allow_cleartext_auth: bool
    local_hostname: str | None
    local_address: str | None
    timeout: float | Timeouts | None
    deadline: float | None
    transcript: Transcript | None
    limits: Limits | None
    extensions: tuple[Extension, ...] | None


def check_options(options: ConnectOptions) -> None:
    """See that every option is of its type.

    Raises:
        TypeError: There is no option of such a name.
        ArgumentTypeError: A value has the wrong type; the error names the option.
        LocalProtocolError: A value is not a possible one; the error names the option.
    """
    if unknown := options.keys() - ConnectOptions.__optional_keys__:
        raise TypeError(f"connect() has no option {', '.join(sorted(unknown))}")
    given = {name: value for name, value in options.items() if value is not None}
    security = given.get("security")
    if security is not None and security not in get_args(Security):
        raise LocalProtocolError(f"security is one of {', '.join(get_args(Security))}, not {security!r}")
    for name, kind, words in (
        ("ssl_context", ssl.SSLContext, "an ssl.SSLContext"),
        ("local_hostname", str, "a string"),
        ("local_address", str, "a string"),
        ("limits", Limits, "Limits"),
    ):
        if name in given and not isinstance(given[name], kind):
            raise wrong_type(name, words, given[name])
    # None would be as good as False, but whether it was meant so is not known.
    if not isinstance(options.get("allow_cleartext_auth", False), bool):
        raise wrong_type("allow_cleartext_auth", "True or False", options.get("allow_cleartext_auth"))
    if not isinstance(given.get("timeout"), Timeouts):
        _check_seconds(given, "timeout", "a number of seconds or Timeouts")
    _check_seconds(given, "deadline", "a number of seconds")
    if "transcript" in given:
        if not all(callable(getattr(given["transcript"], name, None)) for name in ("client", "server", "note")):
            raise wrong_type("transcript", "a Transcript, or an object with its methods", given["transcript"])
    if "extensions" in given:
        extensions = given["extensions"]
        if not (isinstance(extensions, tuple) and all(isinstance(one, Extension) for one in extensions)):
            raise wrong_type("extensions", "a tuple of Extension values", extensions)
    auth = given.get("auth")
    if auth is None or isinstance(auth, sasl.ClientMechanism):
        return
    # Never the value: it is, or has in it, a password.
    pair = "a tuple (user name, password) of strings, or a ClientMechanism"
    if not isinstance(auth, (tuple, list)):
        raise ArgumentTypeError(f"auth is {pair}, not {type(auth).__name__}")
    if len(auth) != 2 or not all(isinstance(part, str) for part in auth):
        kinds = ", ".join(type(part).__name__ for part in auth)
        raise ArgumentTypeError(f"auth is {pair}, not {type(auth).__name__} of ({kinds})")


def _check_seconds(given: dict[str, Any], name: str, words: str) -> None:
    value = given.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, words, value)
    if not value > 0:  # NaN is not, either
        raise LocalProtocolError(f"{name} is {words} above 0, not {value!r}")


def wrong_type(name: str, accepted: str, value: object) -> ArgumentTypeError:
    """An error about an argument of the wrong type."""
    return ArgumentTypeError(f"{name} is {accepted}, not {type(value).__name__} {value!r:.80}")


def checked_host(host: object) -> str:
    """The host, if it is text."""
    if not isinstance(host, str):
        raise wrong_type("host", "a string", host)
    return host


def checked_port(port: object) -> int:
    """The port as a number; text of digits is converted.

    Raises:
        ArgumentTypeError: It is neither a number nor text.
        LocalProtocolError: It is not a port from 1 to 65535.
    """
    if isinstance(port, str):
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    else:
        try:
            number = -1 if isinstance(port, bool) else operator.index(cast(Any, port))
        except TypeError:
            raise wrong_type("port", "a number from 1 to 65535", port) from None
    if not 1 <= number <= 65535:
        raise LocalProtocolError(f"port is a number from 1 to 65535, not {port!r}")
    return number


def security_of(port: int, options: ConnectOptions) -> Security:
    """The mode of security: the one that is given, else the port's."""
    security = options.get("security")
    if security is not None:
        return security
    if port == 465:
        return "tls"
    return "starttls" if port == 587 or options.get("auth") is not None else "opportunistic"


def reference_identifier(host: str) -> str:
    """The name that a certificate has to be for, and that SNI says, where ``host`` is what to connect to.

    The two differ. A name in absolute form ends in a dot, as DNS libraries give it, but neither SNI (RFC 6066
    3) nor a certificate (RFC 9525 2) has one. The zone of an IPv6 address means nothing outside this machine.
    """
    address, zone, _ = host.partition("%")
    if zone:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            pass
        else:
            return address
    return host.removesuffix(".") or host


def timeouts_of(options: ConnectOptions) -> Timeouts:
    """The waits: a number is the most that each of them may last."""
    timeout = options.get("timeout")
    if isinstance(timeout, Timeouts):
        return timeout
    usual = Timeouts()
    if timeout is None:
        return usual
    waits = {one.name for one in dataclasses.fields(Timeouts)} - {
        "recipient",
        "content_rate",
        "upload_rate",
    }
    return dataclasses.replace(usual, **{name: min(timeout, getattr(usual, name)) for name in waits})


def deadline_of(options: ConnectOptions) -> float:
    """Seconds for the whole session."""
    allowed = options.get("deadline")
    return math.inf if allowed is None else allowed
