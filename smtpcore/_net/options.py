"""The options of ``connect()``, checked by type and value before anything is sent.

The port, ``auth`` and ``security`` select a mode of security. A port given as text, a ``security`` of ``""`` or
an ``allow_cleartext_auth`` of ``"no"`` must not select another mode than the value that was meant: a default
that protects must not depend on the Python type of a value (RFC 8314 3.3). Options come from environment
variables, forms and configuration files, where every value is text.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import operator
import os
import socket
import ssl
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast, get_args

from .. import sasl
from .._core.addresses import composed, domain_in_ascii, is_u_domain
from .._core.config import Extension
from .._core.errors import ArgumentTypeError, LocalProtocolError
from .._core.errors import wrong_type as wrong_type
from .._core.limits import Limits, Timeouts

if TYPE_CHECKING:
    from ..transcript import Transcript

Security = Literal["none", "starttls", "tls", "opportunistic"]
Credentials = tuple[str, str] | sasl.ClientMechanism
_LONGEST_NAME: Final = 253  # octets of a host name without the dot at its end (RFC 1035 2.3.4)


class ConnectOptions(TypedDict, total=False):
    """The options of ``connect()``, besides host and port; the signature of ``connect()`` explains them."""

    security: Security | None
    ssl_context: ssl.SSLContext | None
    auth: Credentials | None
    allow_cleartext_auth: bool
    local_hostname: str | None
    local_address: str | None
    sock: socket.socket | None
    timeout: float | Timeouts | None
    deadline: float | None
    extensions: Iterable[Extension] | None
    limits: Limits | None
    transcript: Transcript | None


def check_options(options: ConnectOptions) -> None:
    """Check the type and the value of every option.

    Raises:
        TypeError: An option does not exist.
        ArgumentTypeError: A value has the wrong type; the error names the option.
        LocalProtocolError: A value is not valid; the error names the option.
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
    _check_values(options)
    # None is refused: whether False was meant is not known.
    if not isinstance(options.get("allow_cleartext_auth", False), bool):
        raise wrong_type("allow_cleartext_auth", "True or False", options.get("allow_cleartext_auth"))
    if not isinstance(given.get("timeout"), Timeouts):
        _check_seconds(given, "timeout", "a number of seconds or Timeouts")
    _check_seconds(given, "deadline", "a number of seconds")
    if "extensions" in given:
        extensions = given["extensions"]
        if not isinstance(extensions, (tuple, list)):
            raise wrong_type("extensions", "a tuple of Extension values", extensions)
        for extension in extensions:
            if not isinstance(extension, Extension):
                raise wrong_type("each of extensions", "an Extension", extension)
    if "sock" in given:
        _check_socket(given["sock"])
        if "local_address" in given:
            raise LocalProtocolError("local_address is for connecting, and sock is connected already")
    if "transcript" in given:
        if not all(
            callable(getattr(given["transcript"], name, None))
            for name in ("record_client", "record_server", "record_note")
        ):
            raise wrong_type("transcript", "a Transcript, or an object with its methods", given["transcript"])
    auth = given.get("auth")
    if auth is None or isinstance(auth, sasl.ClientMechanism):
        return
    # The text never contains the value, which is or contains a password.
    pair = "a tuple (user name, password) of strings, or a ClientMechanism"
    if not isinstance(auth, (tuple, list)):
        raise ArgumentTypeError(f"auth is {pair}, not {type(auth).__name__}")
    if len(auth) != 2 or not all(isinstance(part, str) for part in auth):
        kinds = ", ".join(type(part).__name__ for part in auth)
        raise ArgumentTypeError(f"auth is {pair}, not {type(auth).__name__} of ({kinds})")


def _check_values(options: ConnectOptions) -> None:
    """Check values of the right type that would fail late: after something was sent, or in foreign words."""
    context = options.get("ssl_context")
    name, address = options.get("local_hostname"), options.get("local_address")
    if context is not None:
        check_side(context, server_side=False)
    if name is not None and not name.isprintable():
        raise LocalProtocolError(f"local_hostname is printable text, not {name!r:.320}")
    if address is not None:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise LocalProtocolError(f"local_address is an IP address, not {address!r:.320}") from None


def _check_seconds(given: dict[str, Any], name: str, words: str) -> None:
    value = given.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, words, value)
    if not value > 0:  # NaN is not, either
        raise LocalProtocolError(f"{name} is {words} above 0, not {value!r}")


def check_side(context: ssl.SSLContext, *, server_side: bool) -> None:
    """Check that a TLS context is not one for the other side, which would show in the handshake only.

    Raises:
        LocalProtocolError: It is for the other side.
    """
    other, name = (ssl.PROTOCOL_TLS_CLIENT, "client") if server_side else (ssl.PROTOCOL_TLS_SERVER, "server")
    if context.protocol == other:
        raise LocalProtocolError(f"ssl_context is for a {name}: it was made with PROTOCOL_TLS_{name.upper()}")


def _check_socket(sock: object) -> None:
    if not isinstance(sock, socket.socket):
        raise wrong_type("sock", "a connected socket.socket", sock)
    if isinstance(sock, ssl.SSLSocket):
        raise LocalProtocolError("sock is a plain socket, not an SSLSocket: security='tls' does the handshake")
    if sock.type != socket.SOCK_STREAM:
        raise LocalProtocolError("sock is a stream socket, not a datagram socket")
    try:
        sock.getpeername()
    except OSError as error:
        raise LocalProtocolError(f"sock is not connected: {error.strerror}") from None


def checked_host(host: object) -> str:
    """The host, or the absolute path of a Unix socket.

    Raises:
        ArgumentTypeError: It is neither text nor a path.
    """
    if isinstance(host, str):
        return host
    path = os.fspath(host) if isinstance(host, os.PathLike) else None
    if not isinstance(path, str):
        raise wrong_type("host", "a string, or the path of a Unix socket", host)
    return os.path.abspath(path)


def ascii_name(host: str) -> str:
    """The name of a host as it is looked up and verified: with A-labels, on every adapter the same.

    The codec "idna" alone would look up another domain for some names: to IDNA2003 "stra\u00dfe" is "strasse".
    """
    return host if host.isascii() else domain_in_ascii(composed(host))


def check_name(host: str) -> None:
    """Check that text can be the name of a host, which the resolver and TLS would complain of in their ways.

    Raises:
        LocalProtocolError: It cannot.
    """
    invalid = f"host {host!r:.320} is not a valid host name: "
    if not (host.isascii() or is_u_domain(composed(host).removesuffix("."))):
        raise LocalProtocolError(invalid + "not a domain with U-labels (RFC 5890 2.3.2.1)")
    try:
        octets = ascii_name(host).encode("idna").removesuffix(b".")
    except UnicodeError as error:
        raise LocalProtocolError(f"{invalid}{error}") from error
    if b"\0" in octets:
        raise LocalProtocolError(f"{invalid}it contains NUL")
    if len(octets) > _LONGEST_NAME:
        raise LocalProtocolError(f"{invalid}more than {_LONGEST_NAME} octets")


def is_path(host: str) -> bool:
    """Whether a host is the path of a Unix socket."""
    return host.startswith("/") or (os.name == "nt" and os.path.isabs(host))


def unix_addresses(path: str) -> list[tuple[Any, ...]]:
    """The address of a Unix socket, in the form that ``getaddrinfo()`` gives.

    Raises:
        OSError: This system does not support Unix sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system does not support Unix sockets")
    return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, "", path)]


def check_reference(host: str, security: Security, options: ConnectOptions) -> None:
    """Check that there is a name to verify a certificate against, if one is going to be verified.

    Raises:
        LocalProtocolError: ``host`` is the path of a Unix socket, or empty.
    """
    context = options.get("ssl_context")
    if context is not None:
        verifies = security != "none" and context.check_hostname
    else:
        verifies = security in ("starttls", "tls") or (
            security == "opportunistic" and options.get("auth") is not None
        )
    if verifies and (not host or is_path(host)):
        raise LocalProtocolError(
            f"the certificate cannot be verified: {host!r} is not the name of a host. Give a connected socket"
            " as sock and the name as host; or security='none', with allow_cleartext_auth=True for a password"
        )


def checked_port(port: object, *, lowest: int) -> int:
    """The port as a number; text of digits is converted.

    Args:
        port: As the caller gave it.
        lowest: 0 where that lets the system choose.

    Raises:
        ArgumentTypeError: It is neither a number nor text.
        LocalProtocolError: It is not a port from ``lowest`` to 65535.
    """
    try:
        if isinstance(port, str):
            number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
        elif isinstance(port, bool):
            raise TypeError
        else:
            number = operator.index(cast(Any, port))
    except TypeError:
        raise wrong_type("port", f"a number from {lowest} to 65535", port) from None
    if not lowest <= number <= 65535:
        raise LocalProtocolError(f"invalid port: {port!r:.80} ({lowest}-65535)")
    return number


def security_of(port: int, options: ConnectOptions) -> Security:
    """The mode of security: the given one, else the default for the port and for ``auth``."""
    security = options.get("security")
    if security is not None:
        return security
    if port == 465:
        return "tls"
    return "starttls" if port == 587 or options.get("auth") is not None else "opportunistic"


def reference_identifier(host: str) -> str | None:
    """Give the name that the certificate must be for and that SNI contains; ``host`` is where to connect to.

    The two differ: a name in absolute form ends in a dot, as DNS libraries give it, but neither SNI (RFC 6066
    3) nor a certificate (RFC 9525 2) has one. The zone of an IPv6 address has a meaning only on this machine.
    """
    if is_path(host):
        return None
    address, zone, _ = host.partition("%")
    if zone:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            pass
        else:
            return address
    name = ascii_name(host)
    return name.removesuffix(".") or name or None


def timeouts_of(options: ConnectOptions) -> Timeouts:
    """The waits: a number is the most that each of them may last."""
    timeout = options.get("timeout")
    if isinstance(timeout, Timeouts):
        return timeout
    usual = Timeouts()
    if timeout is None:
        return usual
    waits = {one.name for one in dataclasses.fields(Timeouts)} - {"recipient"}
    return dataclasses.replace(usual, **{name: min(timeout, getattr(usual, name)) for name in waits})


def deadline_of(options: ConnectOptions) -> float:
    """Seconds for the whole session."""
    allowed = options.get("deadline")
    return math.inf if allowed is None or allowed > sys.float_info.max else allowed
