"""Accept connections, count them, run a session for each, and end them in an orderly way."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any, Generic, TypedDict, TypeVar

from .._core.errors import LocalProtocolError
from .basestream import Address, BaseStream, peer_in_words
from .options import checked_port, wrong_type
from .serveroptions import check_seconds
from .sockets import BACKLOG, bind
from .tls import READ_SIZE

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None

S = TypeVar("S", bound=BaseStream)

MAX_CONNECTIONS = 1000  # sessions at a time; further connections are refused
PER_ADDRESS = 100  # of them from one address, unless it is a loopback address; Postfix allows 50
GRACE = 10.0  # seconds that running sessions get when a server stops
FAREWELL = 1.0  # seconds that they get for a last reply when the grace is over
ABORT_TIME = 1.0  # seconds that aborted sessions get to notice
PAUSE = 0.1  # seconds until the next attempt when there are no descriptors
PATIENCE = 50  # times that a connection to a full server looks for a place, HANDOVER seconds apart
HANDOVER = 0.01  # seconds: a session that has said goodbye needs a moment to give its place back
SPARE_DESCRIPTORS = 32  # for listening sockets, the event loop, logs and the application
DESCRIPTORS = 2  # of each session: its socket, and the file of a message that does not fit into memory

# Runs a session.
RunSession = Callable[[S], Coroutine[Any, Any, None]]

logger = logging.getLogger("smtpcore")


def affordable(max_connections: int) -> int:
    """Lower a number of sessions to what the process has descriptors for (RLIMIT_NOFILE).

    A server that accepts with its last descriptor has none left to store a message.

    Args:
        max_connections: Sessions at a time, as they are asked for.

    Raises:
        ValueError: ``max_connections`` is less than 1.
    """
    if max_connections < 1:
        raise ValueError(f"max_connections must be at least 1, not {max_connections}")
    if resource is None:
        return max_connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max_connections
    enough_for = max(1, (int(soft) - SPARE_DESCRIPTORS) // DESCRIPTORS)
    if enough_for < max_connections:
        # The default is not worth a warning on each start.
        level = logging.INFO if max_connections == MAX_CONNECTIONS else logging.WARNING
        logger.log(
            level,
            "at most %d sessions at a time, not %d: the process may open %d files (RLIMIT_NOFILE)",
            *(enough_for, max_connections, soft),
        )
    return min(enough_for, max_connections)


class Places:
    """The places for sessions, in all and for each address. Every thread may take one and give it back.

    An IPv6 host may use every address of its /64 (RFC 4291 2.5.4), so a /64 counts as one address.

    Args:
        total: Sessions at a time.
        per_address: Of these from one address. None: PER_ADDRESS, and any number from loopback addresses, since
            a test on one machine opens all its connections from there, and a flood of that kind comes from a
            local user.

    Attributes:
        refused: The reasons that were given since the last place was given back.
    """

    def __init__(self, total: int, per_address: int | None) -> None:
        if per_address is not None and per_address < 1:
            raise ValueError(f"max_connections_per_address must be None or at least 1, not {per_address}")
        self.refused: set[str] = set()
        self._free = total
        self._per_address = per_address
        self._taken: dict[str, int] = {}
        self._lock = threading.Lock()

    def take(self, address: Address) -> str | None:
        """Take a place; give the reason if there is none."""
        key = self.key(address)
        with self._lock:
            limit = PER_ADDRESS if self._per_address is None else self._per_address
            if key and self._taken.get(key, 0) >= limit:
                if self._per_address is not None or not _is_loopback(key):
                    return f"too many connections from {address[0]}"
            if not self._free:
                return TOO_MANY
            self._free -= 1
            self._taken[key] = self._taken.get(key, 0) + 1
            return None

    def give_back(self, key: str) -> None:
        """Give back a place of the addresses with this key."""
        with self._lock:
            self.refused.clear()
            self._free += 1
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    @staticmethod
    def key(address: Address) -> str:
        """Return what all addresses that count as one have in common."""
        if isinstance(address, str) or not isinstance(address[0], str):
            return ""  # a Unix socket: its clients have no addresses
        host = address[0].partition("%")[0]
        if ":" not in host:
            return host
        packed = socket.inet_pton(socket.AF_INET6, host)
        if packed.startswith(_MAPPED):  # an IPv4 client of a socket that listens on both (RFC 4291 2.5.5.2)
            return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED) :])
        return host if packed == _LOOPBACK_6 else packed[:8].hex()


TOO_MANY = "too many connections"
_LOOPBACK_6 = bytes(15) + b"\1"
_MAPPED = bytes(10) + b"\xff\xff"


def _is_loopback(key: str) -> bool:
    return key.startswith("127.") or key == "::1"


class ListenOptions(TypedDict, total=False):
    """What ``listen()`` of every adapter takes; see BaseServer."""

    max_connections: int
    max_connections_per_address: int | None
    refusal: Callable[[Address, str], bytes]
    grace: float
    sock: socket.socket | None


def _say_nothing(sockname: Address, reason: str) -> bytes:
    return b""


def check_listen_arguments(
    host: object, port: object, max_connections: object, per_address: object, grace: object, sock: object
) -> None:
    """Raise an error for an argument of a wrong type, before anything is opened."""
    if host is not None and not isinstance(host, (str, os.PathLike)):
        raise wrong_type("host", "a string, a path or None", host)
    checked_port(port, lowest=0)
    if isinstance(max_connections, bool) or not isinstance(max_connections, int):
        raise wrong_type("max_connections", "a number", max_connections)
    if per_address is not None and (isinstance(per_address, bool) or not isinstance(per_address, int)):
        raise wrong_type("max_connections_per_address", "a number or None", per_address)
    check_seconds("grace", grace)
    if sock is not None:
        _check_listening_socket(sock)


def _check_listening_socket(sock: object) -> None:
    if not isinstance(sock, socket.socket):
        raise wrong_type("sock", "a bound socket", sock)
    try:
        address = sock.getsockname()
    except OSError as error:
        raise LocalProtocolError(f"sock is not bound: {error.strerror}") from None
    if sock.type != socket.SOCK_STREAM:
        raise LocalProtocolError("sock is a stream socket, not a datagram socket")
    # listen() would bind an unbound TCP socket to all interfaces.
    if not address or (isinstance(address, tuple) and address[1] == 0):
        raise LocalProtocolError("sock is not bound: call bind() before serve()")


def _made_ready(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    sock.listen(BACKLOG)
    return sock


def _host_and_port(sock: socket.socket) -> tuple[str, int]:
    address = sock.getsockname()
    return (os.fsdecode(address), 0) if isinstance(address, (str, bytes)) else (address[0], address[1])


class BaseServer(ABC, Generic[S]):
    """Accepts connections and runs a session for each.

    An exception of a session is logged, and of no effect on the others. That holds for SystemExit and
    KeyboardInterrupt as well: a handler that raises them ends its session, not the server.

    A connection belongs to the accepting loop until a place is taken for it, and then to its session: there is
    no wait between accepting it and starting the session, so a server that stops leaves none open and
    unanswered.

    Args:
        host: A name or an address literal, of which every address is listened on; None is every interface; a
            path is that of a Unix socket.
        port: 0 lets the system choose a free one.
        serve_one: A coroutine function, called with the stream of each connection, which is closed after it.
        max_connections: Sessions at a time; further connections are refused. It is lowered to what the process
            has descriptors for.
        max_connections_per_address: Of these from one address; see Places for the default.
        refusal: Called with the address of our side and a reason; gives the octets to send to a connection that
            is refused.
        grace: Seconds that running sessions get when the server stops.
        sock: A bound socket to listen on, in place of host and port; the server closes it.

    Raises:
        OSError: An address could not be resolved or bound; then none is.
        ValueError: A number of connections is less than 1.

    Attributes:
        addresses: (host, port) of each listening socket; (path, 0) of a Unix socket.
        streams: Those of the running sessions.
    """

    def __init__(
        self,
        host: str | os.PathLike[str] | None,
        port: int | str,
        serve_one: RunSession[S],
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: int | None = None,
        refusal: Callable[[Address, str], bytes] = _say_nothing,
        grace: float = GRACE,
        sock: socket.socket | None = None,
    ) -> None:
        check_listen_arguments(host, port, max_connections, max_connections_per_address, grace, sock)
        self._places = Places(affordable(max_connections), max_connections_per_address)
        self._sockets = bind(host, checked_port(port, lowest=0)) if sock is None else [_made_ready(sock)]
        self._grace = grace
        self.addresses: list[tuple[str, int]] = [_host_and_port(one) for one in self._sockets]
        # An abstract address begins with NUL, and has no file.
        self._paths = [path for path, port in self.addresses if port == 0 and path and path[0] != "\0"]
        self.streams: set[S] = set()
        self._serve_one = serve_one
        self._refusal = refusal
        self._admitted: dict[socket.socket, str] = {}  # each connection with the key of its place
        self._stopping = False
        self._aborting = False

    # -- for an adapter to supply, besides a start of _accept_all() for each of _sockets, beside each other --

    @abstractmethod
    async def _accept(self, sock: socket.socket) -> tuple[socket.socket, Address]:
        """The next connection. It waits until there is one, and not after it has accepted it."""

    @abstractmethod
    async def _sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    async def _stream(self, connection: socket.socket) -> S:
        """Make a stream of a connection."""

    @abstractmethod
    def _start(self, connection: socket.socket) -> None:
        """Start ``_session()`` beside. If that may end before its first step, call ``_release()`` then."""

    @abstractmethod
    async def _stop_accepting(self) -> None:
        """Let all ``_accept_all()`` end, by an exception in ``_accept()`` and ``_sleep()``."""

    @abstractmethod
    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait until the condition holds, or so many seconds. It may change when ``_notify()`` is called."""

    @abstractmethod
    def _notify(self) -> None:
        """Say that a session has ended, or that the sessions are aborted."""

    def _stop_listening(self, sock: socket.socket) -> None:
        """Close a listening socket; a second time does nothing."""
        sock.close()

    def _cancel_sessions(self) -> None:
        """Cancel all sessions, where that is possible."""

    def _is_cancellation(self, error: BaseException) -> bool:
        """Whether an exception of a session says that the session was cancelled from outside."""
        return isinstance(error, GeneratorExit)

    # -- for users --

    def abort(self) -> None:
        """End all sessions at once. A ``close()`` that is waiting for them returns.

        Each client gets 421, as far as that needs no waiting. On asyncio and trio call this in the thread of
        the event loop; the blocking adapter takes it from any thread, and from a signal handler.
        """
        self._stopping = self._aborting = True
        for stream in list(self.streams):
            stream.dismiss()
        self._cancel_sessions()
        self._notify()

    # -- how it is done --

    async def _accept_all(self, sock: socket.socket) -> None:
        try:
            reported = False
            while True:
                try:
                    connection, address = await self._accept(sock)
                except OSError as error:
                    if error.errno not in _CONNECTION_GONE:
                        if not reported:
                            logger.error("cannot accept connections: %s", error)
                        reported = True
                        await self._sleep(PAUSE)
                    continue
                reported = False
                try:
                    await self._admit(connection, address)
                except BaseException as error:
                    connection.close()
                    if not isinstance(error, (OSError, RuntimeError)):
                        raise
                    logger.warning("a connection is dropped: %s", error)  # there are no threads left
        finally:
            self._stop_listening(sock)

    async def _admit(self, connection: socket.socket, address: Address) -> None:
        reason = self._places.take(address)
        if reason is TOO_MANY and reason not in self._places.refused:
            for _ in range(PATIENCE):
                await self._sleep(HANDOVER)
                if (reason := self._places.take(address)) is not TOO_MANY:
                    break
        if reason is not None:
            if reason not in self._places.refused:  # one line is enough for a flood
                logger.warning("connections are refused: %s", reason)
            self._places.refused.add(reason)
            self._refuse(connection, reason)
            return
        self._admitted[connection] = self._places.key(address)
        try:
            self._start(connection)
        except BaseException:
            self._release(connection)
            raise

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(self._refusal(connection.getsockname(), reason))
            connection.recv(READ_SIZE)  # a close with octets unread is a reset, which may overtake the reply

    def _release(self, connection: socket.socket) -> None:
        """Give back the place of a connection; a second time does nothing."""
        if connection in self._admitted:
            connection.close()
            self._places.give_back(self._admitted.pop(connection))
            self._notify()

    async def _session(self, connection: socket.socket) -> None:
        try:
            stream = await self._stream(connection)
            self.streams.add(stream)
            try:
                if self._stopping:  # set before abort() and _stop_sessions() look for streams
                    stream.stop()
                await self._serve_one(stream)
            except BaseException as error:
                if self._is_cancellation(error):
                    raise
                if not self._aborting:  # errors after an abort are expected
                    logger.error("a session with %s failed", peer_in_words(stream.peername), exc_info=error)
            finally:
                try:
                    await stream.close()
                finally:
                    self.streams.discard(stream)
        except OSError as error:
            logger.warning("a connection is dropped: %s", error)  # it was gone before it had a stream
        finally:
            self._release(connection)

    async def _close(self, grace: float) -> None:
        """Stop accepting, give running sessions ``grace`` seconds to end, and abort the rest."""
        try:
            await self._stop_accepting()
            self._give_up_addresses()
            self._stop_sessions()
            await self._wait_until(self._may_go_on, grace)
            # Sessions that wait for their clients in the middle of content now say why they end.
            self._stop_sessions(in_content=True)
            await self._wait_until(self._may_go_on, FAREWELL)
        finally:  # also if this is cancelled, or interrupted
            self.abort()
            await self._wait_until(self._is_empty, ABORT_TIME)
            if self._admitted:
                logger.error("%d sessions do not end: their handlers still run", len(self._admitted))

    def _give_up_addresses(self) -> None:
        """Close the listening sockets, also where no accepting loop has begun, and remove their paths."""
        for sock in self._sockets:
            self._stop_listening(sock)
        while self._paths:  # once: later the path may be that of another server
            with contextlib.suppress(OSError):
                os.unlink(self._paths.pop())

    def _is_empty(self) -> bool:
        return not self._admitted

    def _may_go_on(self) -> bool:
        return self._aborting or not self._admitted

    def _stop_sessions(self, *, in_content: bool = False) -> None:
        self._stopping = True
        for stream in list(self.streams):
            stream.idle = stream.idle or in_content
            stream.stop()


# accept() gives the errors of the connection, which is gone then: see accept(2).
_CONNECTION_GONE = frozenset(
    getattr(errno, name)
    for name in "ECONNABORTED ENETDOWN EPROTO ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH ENETUNREACH".split()
    if hasattr(errno, name)
)
