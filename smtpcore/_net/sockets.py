"""Sockets: connecting, listening, and a stream on a socket that is not blocking."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .basestream import Address, BaseStream
from .stream import Arrival, Take
from .tls import READ_SIZE

T = TypeVar("T")

BACKLOG = 1024  # connections that the system may hold for us until they are accepted


class SocketStream(BaseStream):
    """A stream on a socket, for adapters that can wait until a socket is ready."""

    _AT_ONCE = 0  # flags for a call that must not wait

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._waiting = False  # a pump does
        self.peername, self.sockname = _address_of(sock.getpeername), _address_of(sock.getsockname)

    @abstractmethod
    async def _receive(self) -> bytes:
        """At most READ_SIZE octets; ``b""`` at the end and when ``_stops``. It observes ``deadline``."""

    @abstractmethod
    async def _writable(self, deadline: float) -> None:
        """Wait until the socket may be written, or read if ``expects_silence``; raises TimeoutError."""

    async def _pump(self, take: Take[T]) -> T:
        while True:
            arrival: Arrival
            try:
                arrival = await self._receive()
                if self._broken:
                    arrival = self._gone()
                elif not arrival and not self._stops():
                    self._ended = True
            except OSError as error:
                arrival = self._failed(error)
            except BaseException:
                self.abort()
                raise
            if (result := take(arrival)) is not None:
                return result

    def _receive_now(self) -> bytes | None:
        try:
            return self._socket.recv(READ_SIZE, self._AT_ONCE)
        except BlockingIOError:
            return None

    def _offer(self, data: bytes) -> bytes:
        try:
            return data[self._socket.send(data, self._AT_ONCE) :]
        except BlockingIOError:
            return data

    async def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            self._check_silence()
            await self._writable(deadline)
            with contextlib.suppress(BlockingIOError):
                rest = rest[self._socket.send(rest, self._AT_ONCE) :]

    async def _finish(self, last: bytes) -> None:
        if last:
            with contextlib.suppress(OSError):  # it is gone, or would have to be waited for
                self._socket.send(last, self._AT_ONCE)
        self._break()  # closing alone does not wake waiting callers
        self._socket.close()


def _address_of(ask: Callable[[], Address]) -> Address:
    try:
        return ask()
    except OSError:
        return ""  # the connection is gone already


async def reach(
    found: list[tuple[Any, ...]],
    deadline: float | None,
    now: Callable[[], float],
    local_address: str | None,
    connect: Callable[[socket.socket, Any, float | None], Awaitable[T]],
) -> T:
    """Connect to the addresses of a host in turn until one answers.

    Args:
        found: What ``getaddrinfo()`` found, at least one.
        deadline: For all of them. Each gets its fair share: one that is silent must not use up all.
        now: The clock of the deadline.
        local_address: The address to connect from.
        connect: Called with a non-blocking socket, an address and a number of seconds.

    Raises:
        OSError: No address could be reached; this is the error of the last one.
    """
    while True:
        (family, kind, protocol, _, address), *found = found
        share = None if deadline is None else (deadline - now()) / (1 + len(found))
        try:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                if local_address is not None:
                    _bind_locally(sock, local_address)
                return await connect(sock, address, share)
            except BaseException:
                sock.close()
                raise
        except OSError:
            if not found:
                raise


def _bind_locally(sock: socket.socket, local_address: str) -> None:
    try:
        sock.bind((local_address, 0))
    except OSError as error:
        raise type(error)(error.errno, f"local_address {local_address!r}: {error.strerror}") from error


def bind(host: str | os.PathLike[str] | None, port: int) -> list[socket.socket]:
    """Listen on every address that a host name stands for, on all of them at one port.

    Args:
        host: A name or an address literal; None or ``""`` is every interface. The name of a local interface
            resolves without a network, so this does not wait. A path, or text that begins with a slash, is that
            of a Unix socket.
        port: 0 lets the system choose a free one.

    Returns:
        The listening sockets, non-blocking, at least one.

    Raises:
        OSError: An address could not be resolved or bound; then none is.
    """
    if isinstance(host, os.PathLike) or (isinstance(host, str) and host.startswith("/")):
        return [_listen_at(os.fspath(host))]
    while True:
        sockets: list[socket.socket] = []
        chosen = port
        unusable: OSError | None = None
        try:
            found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(found):
                try:
                    sockets.append(_listen(family, kind, protocol, (address[0], chosen, *address[2:])))
                    chosen = sockets[0].getsockname()[1]
                except OSError as error:
                    # Names may resolve to addresses of a family that is switched off here.
                    if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    unusable = error
            if not sockets and unusable is not None:
                raise unusable
            return sockets
        except OSError as error:
            for sock in sockets:
                sock.close()
            # A port that was free at the first address need not be so at the next: then another one.
            if not (error.errno == errno.EADDRINUSE and port == 0 and sockets):
                text = f"cannot listen on {host or '*'} port {port}: {error.strerror}"
                raise type(error)(error.errno, text) from error


def _listen(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        # Only on POSIX: elsewhere the option would let two servers share the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name == "posix")
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return sock
    except BaseException:
        sock.close()
        raise


def _listen_at(path: str) -> socket.socket:
    """Listen on a Unix socket; the file of a server that has ended without removing it is replaced."""
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError):
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        except OSError:
            pass  # bind() says what is wrong
    try:
        return _listen(socket.AF_UNIX, socket.SOCK_STREAM, 0, path)
    except OSError as error:
        raise type(error)(error.errno, f"cannot listen on {path}: {error.strerror}") from error
