"""A client and a server in memory, joined under a schedule that cuts and delays what travels between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle

from .._core.client import ClientConnection
from .._core.errors import wrong_type
from .._core.events import (
    Chunk,
    Command,
    CommandRejected,
    ConnectionClosed,
    EndOfMessage,
    Event,
    InputDiscarded,
    MessageAborted,
)
from .._core.limits import TlsInfo
from .._core.server import ServerConnection
from .._core.state import State
from ._faults import check_count

_NOTICES = (Chunk, CommandRejected, MessageAborted, InputDiscarded, ConnectionClosed)


def _accept(server: ServerConnection, event: Event) -> None:
    server.accept()


def _numbers(name: str, numbers: object, least: int) -> list[int]:
    if not isinstance(numbers, Iterable) or isinstance(numbers, (str, bytes)):
        raise wrong_type(name, "an iterable of whole numbers", numbers)
    checked = list(numbers)
    for number in checked:
        check_count(f"each of {name}", number, least)
    return checked


class Pair:
    """Two connections that talk to each other. :func:`pair` makes one.

    Attributes:
        client: The client.
        server: The server.
        client_events: What the client's ``next_event()`` has given.
        server_events: What the server's ``next_event()`` has given; adjacent chunks are one.
        transcript: What has travelled, as :func:`legal` takes it.
    """

    def __init__(
        self,
        client: ClientConnection,
        server: ServerConnection,
        answer: Callable[[ServerConnection, Event], None],
        cuts: Iterable[int],
        delays: Iterable[int],
    ) -> None:
        if not isinstance(client, ClientConnection):
            raise wrong_type("client", "a ClientConnection", client)
        if not isinstance(server, ServerConnection):
            raise wrong_type("server", "a ServerConnection", server)
        self.client = client
        self.server = server
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self.transcript: list[tuple[str, bytes]] = []
        self._answer = answer
        sizes, turns = _numbers("cuts", cuts, 1), _numbers("delays", delays, 0)
        self._cuts, self._delays = cycle(sizes or [2**30]), cycle(turns or [0])
        self._held = 0  # turns for which the octets of the server are held
        self._to_server = b""
        self._to_client = b""

    def send(self, *events: Command | Chunk | EndOfMessage) -> None:
        """Let the client send events; nothing travels before :meth:`run`.

        Args:
            events: Commands, pieces of content, and its end.

        Raises:
            LocalProtocolError: The client cannot send one of them now.
        """
        for event in events:
            self.client.send(event)

    def run(self) -> None:
        """Carry octets until both sides wait for the application."""
        while True:
            self._ask_server()
            self._ask_client()
            self._to_server += self.client.data_to_send()
            if octets := self.server.data_to_send():
                self._to_client += octets
                self._held = self._held or next(self._delays)
            if self._to_server:
                self._held = max(0, self._held - 1)
                self._to_server = self._carry("C", self._to_server, self.server.receive_data)
            elif self._to_client:
                self._to_client = self._carry("S", self._to_client, self.client.receive_data)
            elif self.client.state is self.server.state is State.TLS:
                self.transcript.append(("TLS", b""))
                self.client.tls_started(TlsInfo(version="TLSv1.3"))
                self.server.tls_started(TlsInfo(version="TLSv1.3"))
            else:
                return
            if self._to_client and not self._held:
                self._to_client = self._carry("S", self._to_client, self.client.receive_data)

    def _carry(self, side: str, octets: bytes, receive: Callable[[bytes], None]) -> bytes:
        """Carry a piece, and return the rest."""
        size = next(self._cuts)
        self.transcript.append((side, octets[:size]))
        receive(octets[:size])
        return octets[size:]

    def _ask_server(self) -> None:
        events = self.server_events
        while (event := self.server.next_event()) is not None:
            last = events[-1] if events else None
            if isinstance(event, Chunk) and isinstance(last, Chunk):
                events[-1] = Chunk(last.data + event.data)
                continue
            events.append(event)
            if not isinstance(event, _NOTICES):
                self._answer(self.server, event)

    def _ask_client(self) -> None:
        while (event := self.client.next_event()) is not None:
            self.client_events.append(event)


def pair(
    client: ClientConnection,
    server: ServerConnection,
    *,
    answer: Callable[[ServerConnection, Event], None] = _accept,
    cuts: Iterable[int] = (),
    delays: Iterable[int] = (),
) -> Pair:
    """Join a client and a server in memory: no socket, thread or clock, so a test is exact and fast.

    ::

        joined = pair(ClientConnection(), ServerConnection("mx.example"), cuts=[1])
        joined.send(Ehlo("client.example"))
        joined.run()

    A TLS handshake is two calls, and nothing is encrypted.

    Args:
        client: The client.
        server: The server.
        answer: Called with the server and each event that needs an answer; gives it. By default it accepts.
        cuts: Octets of each piece that travels, in either direction, over and over. By default all there is.
        delays: For how many pieces of the client the octets of the server are held, over and over. Default: 0.

    Returns:
        The pair; ``run()`` carries the octets.

    Raises:
        LocalProtocolError: A piece has less than 1 octet, or a delay less than 0 turns.
        ArgumentTypeError: An argument has the wrong type.
    """
    return Pair(client, server, answer, cuts, delays)
