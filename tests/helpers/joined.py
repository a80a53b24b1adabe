"""A client core and a server core with nothing but memory between them.

What the client sends is cut and handed to the server, what the server answers is cut and handed to the client,
in turns, until neither has anything left to say. A TLS handshake is two calls: nothing is encrypted here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import cycle

from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    CommandRejected,
    ConnectionClosed,
    EndOfMessage,
    Event,
    InputDiscarded,
    MessageAborted,
    ServerConnection,
    State,
    TlsInfo,
)

TLS = TlsInfo(version="TLSv1.3")

_NOTICES = (Chunk, CommandRejected, MessageAborted, InputDiscarded, ConnectionClosed)


class Joined:
    """Two connections that talk to each other.

    Args:
        client: The client.
        server: The server.
        answer: Called with the server and each event that wants an answer; gives it.
        sizes: Octets of each piece that is carried, in either direction, over and over; none: all there is.

    Attributes:
        client_events: What the client's ``next_event()`` has given.
        server_events: What the server's has; successive chunks are one.
    """

    def __init__(
        self,
        client: ClientConnection,
        server: ServerConnection,
        answer: Callable[[ServerConnection, Event], None],
        sizes: Iterable[int] = (),
    ) -> None:
        self.client = client
        self.server = server
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []
        self._answer = answer
        self._sizes = cycle([*sizes] or [2**30])
        self._to_server = b""
        self._to_client = b""

    def send(self, *events: Command | Chunk | EndOfMessage) -> None:
        """Have the client send these; nothing is carried yet."""
        for event in events:
            self.client.send(event)

    def run(self) -> None:
        """Carry octets until all is said."""
        while True:
            self._ask_server()
            self._ask_client()
            self._to_server += self.client.data_to_send()
            self._to_client += self.server.data_to_send()
            if self._to_server:
                size = next(self._sizes)
                self.server.receive_data(self._to_server[:size])
                self._to_server = self._to_server[size:]
            elif self._to_client:
                size = next(self._sizes)
                self.client.receive_data(self._to_client[:size])
                self._to_client = self._to_client[size:]
            elif self.client.state is self.server.state is State.TLS:
                self.client.tls_started(TLS)
                self.server.tls_started(TLS)
            else:
                return

    def _ask_server(self) -> None:
        events = self.server_events
        while (event := self.server.next_event()) is not None:
            last = events[-1] if events else None
            if isinstance(event, Chunk) and isinstance(last, Chunk):
                events[-1] = Chunk(last.data + event.data)
            elif event == last == ConnectionClosed():
                return
            else:
                events.append(event)
                if not isinstance(event, _NOTICES):
                    self._answer(self.server, event)

    def _ask_client(self) -> None:
        events = self.client_events
        while (event := self.client.next_event()) is not None:
            if events and event == events[-1] == ConnectionClosed():
                return
            events.append(event)
