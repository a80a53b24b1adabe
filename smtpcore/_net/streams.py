"""What the streams of the three adapters have in common: TLS, turns, what breaks a stream, listening sockets.

A stream has two layers. Below are a few small things that only an adapter can do: receive what is there,
send, break, finish. Above is everything that is the same whichever way one waits, written once as coroutines
over them. (The blocking adapter never suspends in them, so they never suspend there.)

TLS is an ``SSLObject`` between two memory buffers. In the handshake each step is tried, what it has put out
is sent, and if it lacks input, some is received, and it is tried again. So octets that an adapter had read
ahead in plaintext go into the handshake, where they belong if they are the other side's first message, and
which fails if they are anything else: nothing read in plaintext is ever handed out behind ``start_tls()``.

After the handshake a read never waits to send and a write never receives, which is why one task can do the one
while another does the other. TLS 1.3 allows that: what it wants to say of its own accord, the answer to a key
update, has time until the next octets are written (RFC 8446 4.6.3). A read hands it to the system as far as
that needs no waiting. A peer that asks for key updates and does not read the answers would fill our memory, so
beyond OWN_OUTPUT octets the connection ends. The renegotiation of TLS 1.2 does not work so, and is not
supported.

A call that fails or is cancelled, or a write that times out, leaves two sides out of step. There is no way
back from that: the connection is broken at once, and later calls raise rather than misunderstand. Only a read
that times out has taken nothing, and a server can still say why it closes.

What the peer has sent can be looked at without waiting: ``arrived()``. A write that fails does so because the
peer has closed, and a peer that closes has often said why. That reply has arrived before the connection broke,
so it is read before the connection is dropped, and ``arrived()`` gives it afterwards (RFC 5321 4.2.5).

A server that stops wants to tell its clients. Who reads with ``idle`` set agrees to be woken: the read gives
``b""``, ``stopping`` says why, and the stream can still be written. A session that is busy in a handler when
the time is over cannot write: ``dismiss()`` sends its ``farewell``, if that needs no waiting, and breaks the
connection.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import selectors
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from .._core.limits import TlsInfo

if TYPE_CHECKING:
    import asyncio

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None

T = TypeVar("T")
S = TypeVar("S", bound="BaseStream")

READ_SIZE = 65536  # octets: the most that one read gives
BACKLOG = 1024  # connections that the system may hold for us until they are accepted
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
OWN_OUTPUT = 65536  # octets that TLS wants to send of its own accord and the peer does not take

TIMED_OUT = "the peer took too long"
NO_LOOP = "a coroutine suspended: on blocking sockets nothing may need an event loop"

# What getsockname() and getpeername() give: (host, port), two more items for IPv6, a path for Unix sockets.
Address = tuple[str, int] | tuple[str, int, int, int] | str

# Runs a session.
RunSession = Callable[[S], Coroutine[Any, Any, None]]

logger = logging.getLogger("smtpcore")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and give its result.

    Raises:
        RuntimeError: It did suspend, because it awaited something that needs an event loop. This is raised at
            the very place, so a handler that does so has failed, and is treated, like any that fails.
    """
    try:
        coroutine.send(None)
        while True:
            coroutine.throw(RuntimeError(NO_LOOP))
    except StopIteration as stop:
        result: T = stop.value
        return result


# Windows has no poll(); elsewhere select() fails from descriptor 1024 on.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


def wait_ready(deadline: float | None, event: int, *sockets: socket.socket) -> None:
    left = None if deadline is None else deadline - time.monotonic()
    with _Selector() as selector:
        for sock in sockets:
            selector.register(sock, event)
        if not selector.select(left):
            raise TimeoutError(TIMED_OUT)


class Stopped(ConnectionAbortedError):
    """An idle read was cut short because the server stops."""


class _Tls:
    """A TLS channel without the connection. Other threads may come to it: OpenSSL bears only one at a time."""

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._lock = threading.Lock()
        self._rest = b""  # output that the system has not taken yet

    def shake_hands(self) -> bool:
        """Go on with the handshake; False while it lacks input."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        """Take what the other side has sent; ``b""`` for the end."""
        with self._lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    @property
    def owed(self) -> int:
        """Octets that TLS wants to send of its own accord, such as the answers to key updates."""
        return len(self._rest) + self._outgoing.pending

    def output(self) -> bytes:
        """What is to be sent."""
        rest, self._rest = self._rest, b""
        return rest + self._outgoing.read() if rest else self._outgoing.read()

    def put_back(self, rest: bytes) -> None:
        """Keep what the system has not taken: it goes before all further output."""
        self._rest = rest

    def encrypt(self, data: bytes) -> bytes:
        """Give what is to be sent for data."""
        rest = memoryview(data)
        with self._lock:
            while rest:
                rest = rest[self._object.write(rest) :]  # it may take less than all
            return self.output()

    def decrypt(self) -> bytes | None:
        """Give data: None while there is none, ``b""`` at the end, whether it was announced or not."""
        with self._lock:
            try:
                return self._object.read(READ_SIZE)
            except ssl.SSLWantReadError:
                return None
            except ssl.SSLEOFError:
                return b""

    def farewell(self) -> bytes:
        """Give what is to be sent at the end: close_notify (RFC 8446 6.1)."""
        with self._lock:
            try:
                self._object.unwrap()
            except ssl.SSLError:
                pass  # the other side's close_notify is missing, and not waited for
            return self.output()

    def info(self) -> TlsInfo:
        cipher = self._object.cipher()
        return TlsInfo(
            version=self._object.version(),
            cipher=cipher[0] if cipher else None,
            server_hostname=self._object.server_hostname,
            peer_certificate=self._object.getpeercert() or None,  # empty if it was not verified
        )


class BaseStream(ABC):
    """A connection. One caller at a time may read it, and one may write to it.

    Attributes:
        peername: The address of the other side; ``""`` if it was gone before we could ask.
        sockname: Our address.
        tls: The facts of TLS, None in plaintext.
        idle: Set by whoever uses the stream: a read may be cut short when the server stops.
        stopping: The server stops. A read that is idle then gives ``b""``; writing is still possible.
        first_octets: What the other side said first in a TLS handshake: no TLS, sometimes, but SMTP or HTTP.
        farewell: Gives the octets that a session wants to have sent when it is ended from outside.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.peername: Address = ""
        self.sockname: Address = ""
        self.tls: TlsInfo | None = None
        self.idle = False
        self.stopping = False
        self.first_octets = b""
        self.farewell: Callable[[], bytes] | None = None
        self._now = now
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._broken = False
        self._ended = False
        self._last_words = b""  # what had arrived when a write failed
        self._channel: _Tls | None = None

    # -- for an adapter to supply; deadlines are in the time of its clock --

    @abstractmethod
    async def _receive(self, deadline: float | None) -> bytes:
        """At most READ_SIZE octets, ``b""`` at the end; ``_check()`` is called after each waiting."""

    @abstractmethod
    def _receive_now(self) -> bytes | None:
        """At most READ_SIZE octets without waiting: None if there are none yet, ``b""`` at the end."""

    @abstractmethod
    async def _send(self, data: bytes, deadline: float | None) -> None:
        """Everything, or an exception."""

    @abstractmethod
    def _offer(self, data: bytes) -> bytes:
        """Send what the system takes at once, and give the rest; raises OSError."""

    @abstractmethod
    def _break(self) -> None:
        """Drop the connection; who waits on it is woken."""

    @abstractmethod
    async def _finish(self, last: bytes) -> None:
        """Close the connection, sending a last few octets if that needs no waiting. Raises nothing."""

    @abstractmethod
    def _wake_reader(self) -> None:
        """Make a ``_receive()`` look again that waits in an idle read."""

    # -- for sessions --

    @abstractmethod
    async def give_way(self) -> None:
        """Let other sessions run."""

    async def read(self, timeout: float | None) -> bytes:
        """Give what has arrived, at most 64 KiB, as soon as there is something.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            ``b""`` at the end, which a TLS peer need not have announced; or when ``stopping``.

        Raises:
            TimeoutError: Nothing has come. Nothing is lost either: the stream can still be used.
            OSError: And the stream is broken.
            RuntimeError: Somebody else is reading.
        """
        self._enter(self._reading)
        try:
            if self._ended or (self.stopping and self.idle):
                return b""
            deadline = None if timeout is None else self._now() + timeout
            if self._channel is None:
                data = await self._receive(deadline)
            else:
                data = await self._read_tls(self._channel, deadline)
            self._ended = not data
            return data
        except Stopped:
            return b""
        except TimeoutError as error:
            if error.errno is not None:  # the system's own: it has given the connection up
                self.abort()
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self._reading.release()

    def arrived(self) -> bytes | None:
        """Give what has arrived, at most 64 KiB, without waiting.

        After a write that failed this is, once, what the peer had sent before.

        Returns:
            None if nothing has arrived; ``b""`` at the end.

        Raises:
            OSError: And the stream is broken.
            RuntimeError: Another caller is reading.
        """
        if self._broken:
            data, self._last_words = self._last_words, b""
            return data or None
        self._enter(self._reading)
        try:
            if self._ended or (self.stopping and self.idle):
                return b""
            data_now = self._read_now()
            self._ended = data_now == b""
            return data_now
        except BaseException:
            self.abort()
            raise
        finally:
            self._reading.release()

    async def write(self, data: bytes, timeout: float | None) -> None:
        """Hand all octets to the system.

        Args:
            data: Octets.
            timeout: Seconds for all of them; None waits for ever.

        Raises:
            TimeoutError, OSError: And the stream is broken; ``arrived()`` gives what the peer had sent.
            RuntimeError: Somebody else is writing.
        """
        self._enter(self._writing)
        try:
            deadline = None if timeout is None else self._now() + timeout
            await self._send(data if self._channel is None else self._channel.encrypt(data), deadline)
        except OSError:
            self._keep_last_words()
            self.abort()
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self._writing.release()

    async def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None,
        timeout: float | None,
    ) -> TlsInfo:
        """Do the TLS handshake.

        Args:
            context: Certificates, and what is asked of the other side's.
            server_side: Which side we are.
            server_hostname: The name the certificate has to be for; None on the server's side.
            timeout: Seconds for all of it; None waits for ever.

        Raises:
            TimeoutError, OSError: And the stream is broken; ``ssl.SSLError`` is an OSError.
            RuntimeError: Somebody else is reading or writing.
        """
        self._enter(self._reading)
        try:
            self._enter(self._writing)
            try:
                deadline = None if timeout is None else self._now() + timeout
                channel = _Tls(context, server_side, server_hostname)
                await self._shake_hands(channel, deadline)
                self._channel = channel
                self.tls = channel.info()
                return self.tls
            except BaseException:
                self.abort()
                raise
            finally:
                self._writing.release()
        finally:
            self._reading.release()

    async def close(self) -> None:
        """Close for good; under TLS with a close_notify (RFC 8446 6.1), if the system takes it at once."""
        last = b""
        # Never between the octets of a writer. The turn is not given back: nobody writes behind this.
        if not self._broken and self._channel is not None and self._writing.acquire(False):
            last = self._channel.farewell()
        self._broken = True
        await self._finish(last)

    def abort(self) -> None:
        """Break the connection: whoever waits on it fails, and so does all later use but ``close()``."""
        if not self._broken:
            self._broken = True
            self._break()

    def dismiss(self) -> None:
        """Break the connection; before that send the farewell of the session, if that needs no waiting."""
        # Never between the octets of a writer.
        if self.farewell is not None and not self._broken and self._writing.acquire(False):
            try:
                last = self.farewell()
                self._offer(last if self._channel is None else self._channel.encrypt(last))
            except OSError:
                pass  # it is gone already
            finally:
                self._writing.release()
        self.abort()

    def stop(self) -> None:
        """Say that the server stops."""
        self.stopping = True
        self._wake_reader()

    # -- how it is done --

    def _enter(self, turn: threading.Lock) -> None:
        if self._broken:
            raise self._gone()
        if not turn.acquire(False):
            raise RuntimeError("this stream is in use: one caller at a time may read, and one may write")

    def _read_now(self) -> bytes | None:
        channel = self._channel
        if channel is None:
            return self._receive_now()
        while (data := channel.decrypt()) is None:
            octets = self._receive_now()
            if octets is None:
                return None
            channel.feed(octets)
        return data

    def _keep_last_words(self) -> None:
        """Read what the peer had sent before the connection broke, unless another caller is reading."""
        if self._broken or not self._reading.acquire(False):
            return
        try:
            while len(self._last_words) < READ_SIZE and (data := self._read_now()):
                self._last_words += data
        except OSError:
            pass  # there is no more
        finally:
            self._reading.release()

    def _gone(self) -> OSError:
        return ConnectionAbortedError("this stream is closed, or an earlier call failed or was cancelled")

    def _check(self) -> None:
        if self._broken:
            raise self._gone()
        if self.stopping and self.idle:
            raise Stopped("the server stops")

    async def _read_tls(self, channel: _Tls, deadline: float | None) -> bytes:
        while True:
            data = channel.decrypt()
            if channel.owed:
                self._send_owed(channel)
            if data is not None:
                return data
            channel.feed(await self._receive(deadline))
            self._check_time(deadline)  # what arrives may be records without data, without end

    def _send_owed(self, channel: _Tls) -> None:
        if self._writing.acquire(False):
            try:
                channel.put_back(self._offer(channel.output()))
            finally:
                self._writing.release()
        if channel.owed > OWN_OUTPUT:
            raise ConnectionAbortedError(
                f"the peer asks for TLS messages and does not read them: {channel.owed} octets wait"
            )

    def _check_time(self, deadline: float | None) -> None:
        """Raise TimeoutError if the deadline has passed: waiting does so only where it has to wait."""
        if deadline is not None and self._now() > deadline:
            raise TimeoutError(TIMED_OUT)

    async def _shake_hands(self, channel: _Tls, deadline: float | None) -> None:
        done = False
        while not done:
            try:
                done = channel.shake_hands()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._send(channel.output(), deadline)  # the alert that tells the other side why
                raise
            await self._send(channel.output(), deadline)
            if not done:
                data = await self._receive(deadline)
                self._check_time(deadline)
                self.first_octets = self.first_octets or data[:64]
                channel.feed(data)


class SocketStream(BaseStream):
    """A stream on a non-blocking socket, for adapters that can wait until a socket is ready."""

    def __init__(self, sock: socket.socket, now: Callable[[], float]) -> None:
        super().__init__(now)
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._waiting = False  # a read does
        self.peername, self.sockname = _address_of(sock.getpeername), _address_of(sock.getsockname)

    @abstractmethod
    async def _ready(self, deadline: float | None, *, writing: bool = False) -> None:
        """Wait until the socket may be ready, or a reader was woken; raises TimeoutError."""

    async def _receive(self, deadline: float | None) -> bytes:
        while True:
            self._check()
            try:
                return self._socket.recv(READ_SIZE)
            except BlockingIOError:
                pass
            # Another thread's stop() sets ``stopping``, then looks at this: one of the two sees the other.
            self._waiting = True
            self._check()
            await self._ready(deadline)
            self._waiting = False

    def _receive_now(self) -> bytes | None:
        try:
            return self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return None

    async def _send(self, data: bytes, deadline: float | None) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await self._ready(deadline, writing=True)

    def _offer(self, data: bytes) -> bytes:
        try:
            return data[self._socket.send(data) :]
        except BlockingIOError:
            return data

    async def _finish(self, last: bytes) -> None:
        try:
            self._socket.send(last)
        except OSError:
            pass  # it is gone, or would have to be waited for
        self._break()  # closing alone does not wake those who wait
        self._socket.close()


def _address_of(ask: Callable[[], Address]) -> Address:
    try:
        return ask()
    except OSError:
        return ""  # the connection is gone already


class Waiter:
    """Lets one task wait for one direction of an asyncio stream.

    That costs a future and hardly ever a timer operation: one timer looks whether the deadline has passed,
    which has usually moved on, and goes on to sleep until then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, deadline: float | None) -> None:
        """Wait for ``wake()``; raises TimeoutError at the deadline."""
        self._future = self._loop.create_future()
        self._deadline = math.inf if deadline is None else deadline
        if self._deadline < (math.inf if self._timer is None else self._timer.when()):
            self._set_timer()
        await self._future

    def wake(self) -> None:
        """Wake the task, if it waits."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def end(self) -> None:
        """Wake the task for the last time."""
        self.wake()
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._future is not None and not self._future.done() and self._deadline < math.inf:
            if self._deadline <= self._loop.time():
                self._future.set_exception(TimeoutError(TIMED_OUT))
            else:
                self._set_timer()


# -- connecting --


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
                    sock.bind((local_address, 0))
                return await connect(sock, address, share)
            except BaseException:
                sock.close()
                raise
        except OSError:
            if not found:
                raise


# -- listening --


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
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: Address) -> str | None:
        """Take a place; give the reason if there is none."""
        key = self._key(address)
        with self._lock:
            limit = PER_ADDRESS if self._per_address is None else self._per_address
            unlimited = not key or (self._per_address is None and _is_loopback(key))
            if not unlimited and self._taken[key] >= limit:
                return f"too many connections from {address[0]}"
            if not self._free:
                return TOO_MANY
            self._free -= 1
            self._taken[key] += 1
            return None

    def give_back(self, address: Address) -> None:
        """Give a place back."""
        key = self._key(address)
        with self._lock:
            self.refused.clear()
            self._free += 1
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    @staticmethod
    def _key(address: Address) -> str:
        if isinstance(address, str) or not isinstance(address[0], str):
            return ""  # a Unix socket: its clients have no addresses
        host = address[0].partition("%")[0]
        if ":" not in host:
            return host
        packed = socket.inet_pton(socket.AF_INET6, host)
        return host if packed == _LOOPBACK_6 else packed[:8].hex()


TOO_MANY = "too many connections"
_LOOPBACK_6 = bytes(15) + b"\1"


def _is_loopback(key: str) -> bool:
    return key.startswith("127.") or key == "::1"


class ListenOptions(TypedDict, total=False):
    """What ``listen()`` of every adapter takes; see BaseServer."""

    max_connections: int
    max_connections_per_address: int | None
    refusal: Callable[[Address, str], bytes]


def _say_nothing(sockname: Address, reason: str) -> bytes:
    return b""


class BaseServer(ABC, Generic[S]):
    """Accepts connections and runs a session for each.

    An exception of a session is logged, and of no effect on the others. That holds for SystemExit and
    KeyboardInterrupt as well: a handler that raises them ends its session, not the server.

    A connection belongs to the accepting loop until a place is taken for it, and then to its session: there is
    no wait between accepting it and starting the session, so a server that stops leaves none open and
    unanswered.

    Args:
        host: A name or an address literal, of which every address is listened on; None is every interface.
        port: 0 lets the system choose a free one.
        serve_one: A coroutine function, called with the stream of each connection, which is closed after it.
        max_connections: Sessions at a time; further connections are refused. It is lowered to what the process
            has descriptors for.
        max_connections_per_address: Of these from one address; see Places for the default.
        refusal: Called with the address of our side and a reason; gives the octets to send to a connection that
            is refused.

    Raises:
        OSError: An address could not be resolved or bound; then none is.
        ValueError: A number of connections is less than 1.

    Attributes:
        addresses: (host, port) of each listening socket.
        streams: Those of the running sessions.
    """

    def __init__(
        self,
        host: str | None,
        port: int,
        serve_one: RunSession[S],
        *,
        max_connections: int = MAX_CONNECTIONS,
        max_connections_per_address: int | None = None,
        refusal: Callable[[Address, str], bytes] = _say_nothing,
    ) -> None:
        self._places = Places(affordable(max_connections), max_connections_per_address)
        self._sockets = bind(host, port)
        self.addresses: list[tuple[str, int]] = [sock.getsockname()[:2] for sock in self._sockets]
        self.streams: set[S] = set()
        self._serve_one = serve_one
        self._refusal = refusal
        self._admitted: dict[socket.socket, Address] = {}
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

    def _cancel_sessions(self) -> None:
        """Cancel all sessions, where that is possible."""

    def _is_cancellation(self, error: BaseException) -> bool:
        """Whether an exception of a session says that the session was cancelled from outside."""
        return isinstance(error, GeneratorExit)

    # -- for users --

    def abort(self) -> None:
        """End all sessions at once. A ``close()`` that is waiting for them returns.

        Each client is told why, as far as that needs no waiting. On asyncio and trio call this in the thread of
        the event loop; the blocking adapter takes it from any thread, and from a signal handler.
        """
        self._stopping = self._aborting = True
        for stream in list(self.streams):
            stream.dismiss()
        self._cancel_sessions()
        self._notify()

    # -- how it is done --

    async def _accept_all(self, sock: socket.socket) -> None:
        with sock:
            told = False
            while True:
                try:
                    connection, address = await self._accept(sock)
                except OSError as error:
                    if error.errno not in _CONNECTION_GONE:
                        if not told:
                            logger.error("cannot accept connections: %s", error)
                        told = True
                        await self._sleep(PAUSE)
                    continue
                told = False
                try:
                    await self._admit(connection, address)
                except BaseException as error:
                    connection.close()
                    if not isinstance(error, (OSError, RuntimeError)):
                        raise
                    logger.warning("a connection is dropped: %s", error)  # there are no threads left

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
        self._admitted[connection] = address
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
                    logger.error("a session with %s failed", stream.peername, exc_info=error)
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
            for sock in self._sockets:
                sock.close()  # also where the accepting loop has not begun
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


def bind(host: str | None, port: int) -> list[socket.socket]:
    """Listen on every address that a host name stands for, on all of them at one port.

    Args:
        host: A name or an address literal; None or ``""`` is every interface. The name of a local interface
            resolves without a network, so this does not wait.
        port: 0 lets the system choose a free one.

    Returns:
        The listening sockets, non-blocking, at least one.

    Raises:
        OSError: An address could not be resolved or bound; then none is.
    """
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


def _listen(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
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
