"""The streams of the adapters: what they have in common.

A stream has two layers. Below are a few small things that only an adapter can do: pump octets, offer and send
octets, break, finish. Above is everything that is the same whichever way one waits, written once. (The blocking
adapter never suspends in it.)

TLS is a plain function over the pump: it is given octets, and gives what is in them to the function of the
caller.

A call that fails or is cancelled, or a write that times out, leaves two sides out of step. There is no way
back from that: the connection is broken at once, and later calls raise rather than misunderstand. Only a read
that times out has consumed nothing, and a server can still say why it closes.

What the peer has sent can be looked at without waiting: ``arrived()``. A write that fails does so because the
peer has closed, and a peer that closes has often said why. That reply has arrived before the connection broke,
so it is read before the connection is dropped, and ``arrived()`` gives it afterwards (RFC 5321 4.2.5).

A server that stops tells its clients. A caller that reads with ``idle`` set agrees to be woken: the read
returns ``b""``, ``stopping`` says why, and the stream can still be written. A session that is busy in a handler
when the time is over cannot write: ``dismiss()`` sends its ``farewell``, if that needs no waiting, and breaks
the connection.
"""

from __future__ import annotations

import contextlib
import math
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .._core.limits import TlsInfo
from .stream import Arrival, Take
from .tls import OWN_OUTPUT, READ_SIZE, TlsChannel

T = TypeVar("T")

TIMED_OUT = "the peer took too long"

# What getsockname() and getpeername() give: (host, port), two more items for IPv6, a path for Unix sockets.
Address = tuple[str, int] | tuple[str, int, int, int] | str


def peer_in_words(peername: Address) -> object:
    """Name a peer in a log: its address, or words for one that has none, as on a Unix socket."""
    return peername or "a peer without an address"


class BaseStream(ABC):
    """A connection. One caller at a time may read it, and one may write to it.

    Attributes:
        peername: The address of the other side; ``""`` if it was gone before we could ask.
        sockname: Our address.
        tls: The facts of TLS, None in plaintext.
        idle: Set by the session: a read may be cut short when the server stops.
        stopping: The server stops. A read that is idle then gives ``b""``; writing is still possible.
        first_octets: What the other side said first in a TLS handshake: no TLS, sometimes, but SMTP or HTTP.
        farewell: Gives the octets that a session wants to have sent when it is ended from outside.
        deadline: The time, as ``time.monotonic()`` gives it, when a pump gives TimeoutError; infinite: never.
        expects_silence: Set by a client during content: a write that waits fails when the peer sends something.
    """

    # Defaults of the class, and not of each object: an object with 30 attributes of its own needs more memory
    # and is slower (CPython 3.11).
    tls: TlsInfo | None = None
    stopping = False
    first_octets = b""
    farewell: Callable[[], bytes] | None = None
    expects_silence = False
    _ended = False
    _last_words = b""  # what had arrived when a write failed

    def __init__(self) -> None:
        self.peername: Address = ""
        self.sockname: Address = ""
        self.idle = False
        self.deadline = math.inf
        self._reading, self._writing = threading.Lock(), threading.Lock()
        # Looked at for each write, and CPython 3.11 finds the attribute of a class six times as slowly.
        self._broken = False
        self._channel: TlsChannel | None = None

    # -- for an adapter to supply; times are those of time.monotonic() --

    @abstractmethod
    async def _pump(self, take: Take[T]) -> T:
        """Call ``take`` with octets, at most READ_SIZE at a time, ``b""`` at the end, or an error.

        Errors come from ``_failed()``. If this is cancelled, it calls ``abort()``.
        """

    @abstractmethod
    def _receive_now(self) -> bytes | None:
        """At most READ_SIZE octets without waiting: None if there are none yet, ``b""`` at the end."""

    @abstractmethod
    def _offer(self, data: bytes) -> bytes:
        """Send what the system accepts at once, and give the rest; raises OSError."""

    @abstractmethod
    async def _send(self, data: bytes, deadline: float) -> None:
        """Send everything that ``_offer()`` has given back, or raise an exception.

        It calls ``_check_silence()`` before it waits and when something arrives.
        """

    @abstractmethod
    def _break(self) -> None:
        """Drop the connection, and wake the callers that wait on it."""

    @abstractmethod
    async def _finish(self, last: bytes) -> None:
        """Close the connection, sending a last few octets if that needs no waiting. Raises nothing."""

    @abstractmethod
    def _wake_reader(self) -> None:
        """Make a ``_pump()`` look at ``_stops`` that waits."""

    # -- for sessions --

    @abstractmethod
    async def give_way(self) -> None:
        """Let other sessions run."""

    async def pump(self, take: Take[T]) -> T:
        """Call a function with what arrives, as soon as it arrives, until it gives something other than None.

        Args:
            take: A plain function. It gets octets; ``b""`` at the end, which a TLS peer need not have
                announced, or when ``stopping``; TimeoutError at ``deadline``, after which the stream can still
                be used; another OSError when the stream is broken. After all of these but octets it has to
                give something back.

        Returns:
            What the function has given.

        Raises:
            OSError: The stream is broken already.
            RuntimeError: Another caller is reading.
        """
        self._enter(self._reading)
        try:
            if self._channel is not None:
                take_octets = self._decrypting(self._channel, take)
                result = take_octets(None)  # the end may have arrived together with the last data
                if result is None and self._is_over():
                    result = take_octets(b"")
                return await self._pump(take_octets) if result is None else result
            result = take(b"") if self._is_over() else None
            return await self._pump(take) if result is None else result
        finally:
            self._reading.release()

    async def read(self, timeout: float | None) -> bytes:
        """Give what has arrived, about 64 KiB at most, as soon as there is something.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            ``b""`` at the end, which a TLS peer need not have announced; or when ``stopping``.

        Raises:
            TimeoutError: Nothing has come. Nothing is lost either: the stream can still be used.
            OSError: And the stream is broken.
            RuntimeError: Another caller is reading.
        """
        self.deadline = _deadline(timeout)
        arrival: Arrival = await self.pump(_itself)
        if isinstance(arrival, OSError):
            raise arrival
        return arrival

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
            if self._is_over():
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
            RuntimeError: Another caller is writing.
        """
        if (rest := self.begin_write(data, timeout)) is not None:
            await rest

    def begin_write(self, data: bytes, timeout: float | None) -> Awaitable[None] | None:
        """Hand octets to the system: None if it has accepted all at once, else what has to be awaited.

        Args:
            data: Octets.
            timeout: Seconds for all of them; None waits for ever.

        Raises:
            TimeoutError, OSError: Here or when it is awaited, as for ``write()``.
            RuntimeError: Another caller is writing.
        """
        if self._broken or not self._writing.acquire(False):  # as _enter(), without a call
            raise self._why_not()
        channel = self._channel
        try:
            rest = self._offer(data if channel is None else channel.encrypt(data))
        except BaseException as error:
            self._fail_write(error)
            raise
        if rest:
            return self._write_rest(rest, _deadline(timeout))
        self._writing.release()
        return None

    async def _write_rest(self, rest: bytes, deadline: float) -> None:
        try:
            await self._send(rest, deadline)
        except BaseException as error:
            self._fail_write(error)
            raise
        self._writing.release()

    def _fail_write(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            self._keep_last_words()
        self.abort()
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
            RuntimeError: Another caller is reading or writing.
        """
        self._enter(self._reading)
        try:
            self._enter(self._writing)
            try:
                self.deadline = _deadline(timeout)
                channel = TlsChannel(context, server_side, server_hostname)
                await self._shake_hands(channel)
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
        # Never between the octets of a writer. The lock stays acquired: no write may follow.
        if not self._broken and self._channel is not None and self._writing.acquire(False):
            last = self._channel.farewell()
        self._broken = True
        await self._finish(last)

    def abort(self) -> None:
        """Break the connection: pending calls fail, and so do all later calls but ``close()``."""
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
        if self._broken or not turn.acquire(False):
            raise self._why_not()

    def _why_not(self) -> Exception:
        if self._broken:
            return self._gone()
        return RuntimeError("this stream is in use: one caller at a time may read, and one may write")

    def _read_now(self) -> bytes | None:
        channel = self._channel
        if channel is None:
            return self._receive_now()
        while (data := self._data_of(channel)) is None:
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

    def _check_silence(self) -> None:
        """Raise if the peer has sent something that cannot be awaited yet; ``arrived()`` gives it."""
        if self.expects_silence and self._reading.acquire(False):
            try:
                arrival = self._read_now()
            finally:
                self._reading.release()
            if arrival is not None:
                self._last_words += arrival
                raise ConnectionAbortedError("the peer has replied, or closed, before all was sent")

    def _gone(self) -> OSError:
        return ConnectionAbortedError("this stream is closed, or an earlier call failed or was cancelled")

    def _stops(self) -> bool:
        return self.stopping and self.idle

    def _is_over(self) -> bool:
        return self._ended or self._stops()

    def _failed(self, error: OSError) -> OSError:
        """Give an error to a pump; the connection is broken unless the time alone is over."""
        if not isinstance(error, TimeoutError) or error.errno is not None:  # with a number it is the system's
            self.abort()
        return error

    def _decrypting(self, channel: TlsChannel, take: Take[T]) -> Callable[[Arrival | None], T | None]:
        """Return a function for octets of TLS that gives what is in them to ``take``."""

        def take_octets(octets: Arrival | None) -> T | None:
            if isinstance(octets, OSError):
                return take(octets)
            while (data := self._decrypt(channel, octets)) is not None:
                if (result := take(data)) is not None:
                    return result
                octets = None
            return None

        return take_octets

    def _decrypt(self, channel: TlsChannel, octets: bytes | None) -> Arrival | None:
        try:
            if octets is not None:
                channel.feed(octets)
            data = self._data_of(channel)
            if channel.owed:
                self._send_owed(channel)
            if data is None and octets is not None:
                self._check_time(self.deadline)  # what arrives may be records without data, without end
        except OSError as error:
            return self._failed(error)
        return data

    def _data_of(self, channel: TlsChannel) -> bytes | None:
        """Decrypt what has arrived; if that fails, send the alert that tells the peer why (RFC 8446 6.2)."""
        try:
            return channel.decrypt()
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                self._send_owed(channel)
            raise

    def _send_owed(self, channel: TlsChannel) -> None:
        if self._writing.acquire(False):
            try:
                channel.put_back(self._offer(channel.output()))
            finally:
                self._writing.release()
        if channel.owed > OWN_OUTPUT:
            raise ConnectionAbortedError(
                f"the peer asks for TLS messages and does not read them: {channel.owed} octets wait"
            )

    def _check_time(self, deadline: float) -> None:
        """Raise TimeoutError if the deadline has passed."""
        if time.monotonic() >= deadline:
            raise TimeoutError(TIMED_OUT)

    async def _shake_hands(self, channel: TlsChannel) -> None:
        done = False
        while not done:
            try:
                done = channel.shake_hands()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    await self._send_all(channel.output())  # the alert that tells the other side why
                raise
            await self._send_all(channel.output())
            if not done:
                octets: Arrival = await self._pump(_itself)
                if isinstance(octets, OSError):
                    raise octets
                if self._stops():
                    raise ConnectionAbortedError("the server stops")
                self._check_time(self.deadline)  # octets that are always there never let the pump wait
                self.first_octets = self.first_octets or octets[:64]
                channel.feed(octets)

    async def _send_all(self, data: bytes) -> None:
        if rest := self._offer(data):
            await self._send(rest, self.deadline)


def _deadline(timeout: float | None) -> float:
    return math.inf if timeout is None else time.monotonic() + timeout


def _itself(arrival: Arrival) -> Arrival:
    """The function with which a pump is a read."""
    return arrival
