"""The streams of the adapters: what they have in common.

A stream has two layers. Below are a few small things that only an adapter can do: receive what is there,
send, break, finish. Above is everything that is the same whichever way one waits, written once as coroutines
over them. (The blocking adapter never suspends in them, so they never suspend there.)

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
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from .._core.limits import TlsInfo
from .tls import OWN_OUTPUT, READ_SIZE, TlsChannel

TIMED_OUT = "the peer took too long"

# What getsockname() and getpeername() give: (host, port), two more items for IPv6, a path for Unix sockets.
Address = tuple[str, int] | tuple[str, int, int, int] | str


class Stopped(ConnectionAbortedError):
    """An idle read was cut short because the server stops."""


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
        self._channel: TlsChannel | None = None

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
        """Drop the connection, and wake the callers that wait on it."""

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
            RuntimeError: Another caller is reading.
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
            RuntimeError: Another caller is writing.
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
            RuntimeError: Another caller is reading or writing.
        """
        self._enter(self._reading)
        try:
            self._enter(self._writing)
            try:
                deadline = None if timeout is None else self._now() + timeout
                channel = TlsChannel(context, server_side, server_hostname)
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

    async def _read_tls(self, channel: TlsChannel, deadline: float | None) -> bytes:
        while True:
            data = channel.decrypt()
            if channel.owed:
                self._send_owed(channel)
            if data is not None:
                return data
            channel.feed(await self._receive(deadline))
            self._check_time(deadline)  # what arrives may be records without data, without end

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

    def _check_time(self, deadline: float | None) -> None:
        """Raise TimeoutError if the deadline has passed: waiting does so only where it has to wait."""
        if deadline is not None and self._now() > deadline:
            raise TimeoutError(TIMED_OUT)

    async def _shake_hands(self, channel: TlsChannel, deadline: float | None) -> None:
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
