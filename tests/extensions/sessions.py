"""Sessions in memory between a client and a server, both real, for the tests of one extension."""

from __future__ import annotations

from typing import Any

from smtpcore import ClientConnection, Command, Ehlo, Event, Reply, Response, ServerConfig, ServerConnection
from smtpcore.extensions import STANDARD, Extension

from ..helpers.joined import Joined


def _accept(server: ServerConnection, event: Event) -> None:
    server.accept()


def session(*, extensions: tuple[Extension, ...] = STANDARD, **config: Any) -> Joined:
    """Return a client and a server after EHLO; the server accepts every command.

    Args:
        extensions: The extensions of both sides.
        config: The other fields of the server's configuration.
    """
    server = ServerConnection("mx.example", config=ServerConfig(extensions=extensions, **config))
    joined = Joined(ClientConnection(extensions=extensions), server, _accept)
    joined.run()
    joined.send(Ehlo("client.example"))
    joined.run()
    return joined


def replies_to(joined: Joined, *commands: Command) -> list[Reply]:
    """Send commands, and return the replies to them."""
    before = len(joined.client_events)
    joined.send(*commands)
    joined.run()
    return [event.reply for event in joined.client_events[before:] if isinstance(event, Response)]


def received(joined: Joined) -> Event:
    """Return the last event of the server."""
    return joined.server_events[-1]


def lines_to(server: ServerConnection, *lines: str) -> list[str]:
    """Give lines to a server, which accepts what is valid; return its replies, a line each."""
    server.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    while server.next_event() is not None:
        if server.unanswered is not None:
            server.accept()
    return server.data_to_send().decode().splitlines()
