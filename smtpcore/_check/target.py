"""The server that is checked: the options of the command line, and what the probe has found."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from .idle import IdleClient
from .stored import Store

Keywords = Mapping[str, tuple[str, ...]]
"""EHLO keywords in upper case, with their arguments."""


def any_certificate() -> ssl.SSLContext:
    """A context for TLS without trust: certificates are not the subject of the check."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(slots=True)
class Target:
    """A server to check.

    Attributes:
        host: Its address.
        port: Its port.
        timeout: Seconds that one wait may take.
        implicit_tls: Begin with TLS.
        sender: A reverse-path that it accepts, without brackets.
        recipient: A forward-path that it accepts, without brackets; empty until the probe has found one.
        user: A user name and a password that it accepts.
        store: Where messages show up that it has accepted.
        patience: Seconds after which a silent client has to be ended; 0 if that is not known.
        idle: A client that is silent while the other checks run.
        plain: The EHLO keywords in plaintext.
        secured: The EHLO keywords under TLS.
        needs_tls: Mail is refused in plaintext.
        needs_auth: Mail is refused without authentication.
        domain: The domain that the server calls itself.
    """

    host: str
    port: int
    timeout: float = 5.0
    implicit_tls: bool = False
    sender: str = "check@example.com"
    recipient: str = ""
    user: tuple[str, str] | None = None
    store: Store | None = None
    patience: float = 0.0
    idle: IdleClient | None = None
    plain: Keywords = field(default_factory=dict)
    secured: Keywords = field(default_factory=dict)
    needs_tls: bool = False
    needs_auth: bool = False
    domain: str = "localhost"

    def connect(self) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: No server listens there.
        """
        return socket.create_connection((self.host, self.port), self.timeout)
