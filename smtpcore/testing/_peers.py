"""What a machine can be aimed at: a server at an address, or one in memory.

A machine needs four things of a server: it sends octets, receives what the server says until that waits, starts
TLS, and closes. In memory that is exact. Over a socket there is no sign that a server is done, so the machine
says whether a reply is missing, and a reply that does not come costs the time-out.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from .._core.errors import LocalProtocolError, wrong_type
from .._net.options import checked_port

TIMEOUT = 5.0  # seconds for a reply over a socket


class Peer(Protocol):
    """A server under test, one connection of it."""

    def send(self, octets: bytes) -> None:
        """Send octets to it."""

    def receive(self, *, wait: bool) -> bytes | None:
        """Give what it has said.

        Args:
            wait: A reply is missing, so wait for it.

        Returns:
            Octets; ``b""`` if the connection is closed; None if it says nothing.
        """
        ...

    def start_tls(self) -> bool:
        """Do the TLS handshake; return whether it has succeeded."""
        ...

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, which it should have by now."""
        ...

    def close(self) -> None:
        """Close the connection."""


class MemoryPeer:
    """A server in memory: a function from octets to octets, called with ``b""`` for the greeting.

    Args:
        exchange: The function; it returns what the server has to say to the octets. It may have a method
            ``start_tls()``, and an attribute ``closed`` that says that the server has closed the connection.
    """

    def __init__(self, exchange: Callable[[bytes], bytes]) -> None:
        self._exchange = exchange
        self._said = exchange(b"")

    def send(self, octets: bytes) -> None:
        if not getattr(self._exchange, "closed", False):
            self._said += self._exchange(octets)

    def receive(self, *, wait: bool) -> bytes | None:
        said, self._said = self._said, b""
        if not said and getattr(self._exchange, "closed", False):
            return b""
        return said or None

    def start_tls(self) -> bool:
        start: Callable[[], object] | None = getattr(self._exchange, "start_tls", None)
        if start is not None:
            start()
            self._said += self._exchange(b"")
        return start is not None

    def is_closed(self) -> bool:
        return getattr(self._exchange, "closed", False)

    def close(self) -> None:
        pass


class SocketPeer:
    """A server at an address.

    Args:
        sock: The connection.
        host: The name of the server.
        timeout: Seconds for a reply.
    """

    def __init__(self, sock: socket.socket, host: str, timeout: float = TIMEOUT) -> None:
        self._socket = sock
        self._timeout = timeout
        self._host = host
        self._broken = False
        sock.settimeout(timeout)

    def send(self, octets: bytes) -> None:
        try:
            self._socket.sendall(octets)
        except OSError:
            self._broken = True  # what the server has said before it closed may still arrive

    def receive(self, *, wait: bool) -> bytes | None:
        self._socket.settimeout(self._timeout if wait else 0)
        try:
            return self._socket.recv(65536)
        except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
            return b"" if self._broken else None
        except OSError:
            return b""
        finally:
            self._socket.settimeout(self._timeout)

    def start_tls(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the server is under test, and not its certificate
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=self._host)
        except OSError:
            self._broken = True
            return False
        return True

    def is_closed(self) -> bool:
        return self.receive(wait=True) == b""

    def close(self) -> None:
        self._socket.close()


Target = tuple[str, int] | Callable[[], Callable[[bytes], bytes]] | Callable[[], socket.socket]
"""A host and a port; or a function that makes a connection, in memory or over a socket."""


def connect(target: Target, timeout: float = TIMEOUT) -> Peer:
    """Connect to a server.

    Args:
        target: The server.
        timeout: Seconds for the connection and for each reply, over a socket.

    Raises:
        OSError: No server listens there.
    """
    if isinstance(target, tuple):
        return SocketPeer(socket.create_connection(target, timeout), target[0], timeout)
    made = target()
    return SocketPeer(made, "localhost", timeout) if isinstance(made, socket.socket) else MemoryPeer(made)


def checked_target(target: object, allow_remote: bool) -> Target:
    """A target, if it can be one, and is on this machine or may be elsewhere.

    Raises:
        ArgumentTypeError: It is something else.
        LocalProtocolError: It is elsewhere. A machine sends what looks like an attack.
    """
    match target:
        case (str() as host, port, *_):
            _check_loopback(host, allow_remote)
            return host, checked_port(port, lowest=1)
        case _ if callable(target):
            return cast(Target, target)
    raise wrong_type("a target", "a pair of host and port, or a function that makes a connection", target)


def _check_loopback(host: str, allow_remote: bool) -> None:
    """Raise unless a host is on this machine, or the caller has said that it may be elsewhere."""
    if allow_remote or host == "localhost":
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise LocalProtocolError(
            f"{host} is not on this machine: give allow_remote=True if the server is yours to test"
        )
