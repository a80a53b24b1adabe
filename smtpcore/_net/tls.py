"""TLS as values: octets go in, octets come out.

TLS is an ``SSLObject`` between two memory buffers. In the handshake each step is tried, what it has put out
is sent, and if it lacks input, some is received, and it is tried again. So octets that an adapter had read
ahead in plaintext go into the handshake, where they belong if they are the other side's first message, and
which fails if they are anything else: nothing read in plaintext is ever returned after ``start_tls()``.

After the handshake a read never waits to send and a write never receives, which is why one task can do the one
while another does the other. TLS 1.3 allows that: what it wants to say of its own accord, the answer to a key
update, has time until the next octets are written (RFC 8446 4.6.3). A read hands it to the system as far as
that needs no waiting. A peer that asks for key updates and does not read the answers would fill our memory, so
beyond OWN_OUTPUT octets the connection ends. The renegotiation of TLS 1.2 does not work so, and is not
supported.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Any

from .._core.limits import TlsInfo

READ_SIZE = 65536  # octets: the most that one read gives
OWN_OUTPUT = 65536  # octets that TLS wants to send of its own accord and the peer does not take


_NAME = "_smtpcore_server_name"  # an attribute of the SSLObject of a server
SniCallback = Callable[[Any, str | None, ssl.SSLContext], int | None]


class _NameNoter:
    """An SNI callback that notes the name that the client asks for, and calls the one that was set before.

    The ssl module gives the name to this callback of the context and nowhere else.
    """

    def __init__(self, previous: SniCallback | None) -> None:
        self._previous = previous

    def __call__(self, ssl_object: Any, name: str | None, context: ssl.SSLContext) -> int | None:
        setattr(ssl_object, _NAME, name)
        return None if self._previous is None else self._previous(ssl_object, name, context)


def _note_server_names(context: ssl.SSLContext) -> None:
    """See that handshakes of a server note the name; the callback of the application stays in place."""
    current: Any = getattr(context, "sni_callback", None)
    if not isinstance(current, _NameNoter):
        context.sni_callback = _NameNoter(current)


class TlsChannel:
    """A TLS channel without the connection. Other threads may come to it: OpenSSL bears only one at a time."""

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        if server_side:
            _note_server_names(context)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._lock = threading.Lock()
        self._rest = b""  # output that the system has not accepted yet
        self._failure: ssl.SSLError | None = None  # OpenSSL raises it once, and then gives an end

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
        """Keep what the system has not accepted: it goes before all further output."""
        self._rest = rest

    def encrypt(self, data: bytes) -> bytes:
        """Give what is to be sent for data."""
        rest = memoryview(data)
        with self._lock:
            while rest:
                rest = rest[self._object.write(rest) :]  # it may take less than all
            return self.output()

    def decrypt(self) -> bytes | None:
        """Give all data there is: None while there is none, ``b""`` at the end, announced or not.

        A peer may put each octet into a record of its own: what arrives together is given together.

        Raises:
            ssl.SSLError: What has arrived is not valid TLS; each later call raises it again.
        """
        if self._failure is not None:
            raise self._failure
        records: list[bytes] = []
        with self._lock:
            try:
                while record := self._object.read(READ_SIZE):
                    records.append(record)
            except ssl.SSLWantReadError:
                if not records:
                    return None
            except ssl.SSLEOFError:
                pass
            except ssl.SSLError as error:
                self._failure = error
                if not records:
                    raise
        return b"".join(records)

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
            server_hostname=getattr(self._object, _NAME, None) or self._object.server_hostname,
            peer_certificate=self._object.getpeercert() or None,  # empty if it was not verified
        )
