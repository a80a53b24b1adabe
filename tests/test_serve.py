"""``serve()`` of the three adapters: one signature, one documentation, and each way to use the server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import os
import socket
import ssl
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from smtpcore import LocalProtocolError, ServerConfig, State
from smtpcore import asyncio as asyncio_adapter
from smtpcore import sync as sync_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net.tls import TlsChannel
from smtpcore.handlers import Handler

LATE = 60.0  # seconds until a timeout that is not meant to be reached
ADAPTERS: list[Any] = [sync_adapter, asyncio_adapter, trio_adapter]
every_adapter = pytest.mark.parametrize("adapter", ADAPTERS, ids=["sync", "asyncio", "trio"])


class Inbox(Handler):
    """A handler that stores nothing and keeps its sessions."""

    def __init__(self) -> None:
        self.sessions: list[Any] = []
        self.ended = threading.Event()

    def accept_connection(self, session: Any) -> bool:
        self.sessions.append(session)
        session.data["greeted"] = True
        return True

    def on_disconnect(self, session: Any) -> None:
        self.ended.set()


def talk(address: Any, *commands: str, early: bytes = b"", family: int = socket.AF_INET) -> list[str]:
    """Connect, send each command after the reply before it; return the lines of all replies."""
    with socket.socket(family) as sock:
        sock.settimeout(LATE)
        sock.connect(address)
        sock.sendall(early)
        with sock.makefile("rb") as file:
            lines = []
            for command in (*commands, "QUIT", None):
                while True:
                    lines.append(file.readline().decode().rstrip())
                    if lines[-1][3:4] != "-":
                        break
                if command is not None:
                    sock.sendall(command.encode() + b"\r\n")
            return lines


def during(adapter: Any, handler: object, client: Callable[[Any], Any], *arguments: Any, **options: Any) -> Any:
    """Run a client in a thread, with the address of the server, while a server runs."""
    if adapter is sync_adapter:
        with sync_adapter.serve(handler, *arguments, **options) as server:
            return client(server.addresses[0])

    async def on_asyncio() -> Any:
        async with asyncio_adapter.serve(handler, *arguments, **options) as server:
            return await asyncio.to_thread(client, server.addresses[0])

    async def on_trio() -> Any:
        async with trio_adapter.serve(handler, *arguments, **options) as server:
            return await trio.to_thread.run_sync(client, server.addresses[0])

    return asyncio.run(on_asyncio()) if adapter is asyncio_adapter else trio.run(on_trio)


# --- The signature -----------------------------------------------------------------------------------------


def parameters_of(adapter: Any) -> dict[str, Any]:
    parameters = inspect.signature(adapter.serve).parameters
    return {name: (one.kind, one.default, one.annotation) for name, one in parameters.items()}


def test_the_three_adapters_have_one_signature() -> None:
    on_trio = parameters_of(trio_adapter)
    del on_trio["task_status"]
    assert parameters_of(sync_adapter) == parameters_of(asyncio_adapter) == on_trio


@every_adapter
def test_every_option_is_documented(adapter: Any) -> None:
    text = inspect.getdoc(adapter.serve)
    arguments = text.partition("Args:\n")[2].partition("Returns:\n")[0]
    documented = [line.strip().partition(":")[0] for line in arguments.splitlines() if line[4:5].strip()]
    assert documented == list(inspect.signature(adapter.serve).parameters)


def test_the_three_adapters_document_the_options_in_the_same_words() -> None:
    texts = {
        inspect.getdoc(adapter.serve)
        .partition("Args:\n")[2]
        .partition("Returns:")[0]
        .partition("    task_st")[0]
        .strip()
        for adapter in ADAPTERS
    }
    assert len(texts) == 1


# --- What is refused at once -------------------------------------------------------------------------------


@every_adapter
@pytest.mark.parametrize(
    "options, words",
    [
        ({"port": "x"}, r"invalid port: 'x' \(0-65535\)"),
        ({"port": 99999}, r"invalid port: 99999 \(0-65535\)"),
        ({"port": -1}, r"invalid port: -1 \(0-65535\)"),
        ({"port": None}, "port is a number from 0 to 65535, not NoneType None"),
        ({"port": True}, "port is a number from 0 to 65535, not bool True"),
        ({"host": 42}, "host is a string, a path or None, not int 42"),
        ({"hostname": 42}, "hostname is a string, not int 42"),
        ({"config": {}}, "config is a ServerConfig, or a function of the peer's address, not dict {}"),
        (
            {"ssl_context": "cert.pem"},
            "ssl_context is an ssl.SSLContext, or a function that returns one, not str",
        ),
        ({"implicit_tls": "no"}, "implicit_tls is True or False, not str 'no'"),
        ({"transcript": True}, "transcript is a function that returns a Transcript, not bool True"),
        ({"max_connections": "9"}, "max_connections is a number, not str '9'"),
        (
            {"max_connections_per_address": 1.5},
            "max_connections_per_address is a number or None, not float 1.5",
        ),
        ({"grace": "1"}, "grace is a number of seconds, not str '1'"),
        ({"grace": -1}, "grace is a number of seconds, 0 or more, not -1"),
        ({"greet_pause": float("nan")}, "greet_pause is a number of seconds, 0 or more, not nan"),
        ({"greet_pause": True}, "greet_pause is a number of seconds, not bool True"),
        ({"sock": 3}, "sock is a bound socket, not int 3"),
        ({"max_conections": 3}, "unexpected keyword argument"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_opened(adapter: Any, options: Any, words: str) -> None:
    with pytest.raises((TypeError, LocalProtocolError), match=words):
        adapter.serve(Inbox(), **options)


@every_adapter
@pytest.mark.parametrize("handler", [None, 42, Inbox, object()])
def test_what_is_not_a_handler_is_a_type_error_at_serve(adapter: Any, handler: object) -> None:
    with pytest.raises(TypeError, match="a handler is a function"):
        adapter.serve(handler)


# --- With and without a block ------------------------------------------------------------------------------


def test_a_blocking_server_is_closed_by_close_and_serves_until_then() -> None:
    server = sync_adapter.serve(Inbox())
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert talk(server.addresses[0])[-1].startswith("221")
    server.close()
    thread.join(LATE)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        talk(server.addresses[0])
    server.close()  # a second time does nothing


def test_an_interrupted_blocking_server_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with sync_adapter.serve(Inbox()) as server:

        def interrupt() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(server._ended, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        with pytest.raises(ConnectionRefusedError):
            talk(server.addresses[0])


def test_an_asyncio_server_can_be_awaited_and_closed() -> None:
    async def main() -> None:
        server = await asyncio_adapter.serve(Inbox())
        serving = asyncio.create_task(server.serve_forever())
        assert (await asyncio.to_thread(talk, server.addresses[0]))[-1].startswith("221")
        await server.close()
        await serving
        with pytest.raises(ConnectionRefusedError):
            talk(server.addresses[0])
        async with await asyncio_adapter.serve(Inbox()) as another:
            address = another.addresses[0]
        with pytest.raises(ConnectionRefusedError):
            talk(address)

    asyncio.run(main())


def test_a_cancelled_asyncio_server_is_closed() -> None:
    async def main() -> None:
        server = await asyncio_adapter.serve(Inbox())
        serving = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        with pytest.raises(ConnectionRefusedError):
            talk(server.addresses[0])

    asyncio.run(main())


def test_a_trio_server_starts_in_a_nursery_and_ends_with_close() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(functools.partial(trio_adapter.serve, Inbox(), port=0))
            assert (await trio.to_thread.run_sync(talk, server.addresses[0]))[-1].startswith("221")
            await server.close()  # the nursery ends by itself

    trio.run(main)


def test_a_trio_server_ends_when_its_nursery_is_cancelled() -> None:
    async def main() -> Any:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(trio_adapter.serve, Inbox())
            nursery.cancel_scope.cancel()
        return server.addresses[0]

    address = trio.run(main)
    with pytest.raises(ConnectionRefusedError):
        talk(address)


def test_a_trio_server_can_be_awaited_until_it_is_cancelled() -> None:
    async def main() -> bool:
        with trio.CancelScope() as scope:
            scope.cancel()
            await trio_adapter.serve(Inbox())
        return scope.cancelled_caught

    assert trio.run(main)


# --- Where it listens --------------------------------------------------------------------------------------


def unbound() -> socket.socket:
    """A socket for which listen() would choose a port on all interfaces."""
    return socket.socket()


def closed() -> socket.socket:
    sock = socket.socket()
    sock.close()
    return sock


def of_datagrams() -> socket.socket:
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


@every_adapter
@pytest.mark.parametrize(
    "make, words",
    [
        (unbound, r"sock is not bound: call bind\(\) before serve\(\)"),
        (lambda: socket.socket(socket.AF_UNIX), r"sock is not bound: call bind\(\) before serve\(\)"),
        (closed, "sock is not bound: Bad file descriptor"),
        (of_datagrams, "sock is a stream socket, not a datagram socket"),
    ],
)
def test_a_socket_that_cannot_listen_where_it_should_is_refused(adapter: Any, make: Any, words: str) -> None:
    with make() as sock, pytest.raises(LocalProtocolError, match=words):
        adapter.serve(Inbox(), sock=sock)


@every_adapter
def test_a_bound_socket_can_be_given(adapter: Any) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    address = sock.getsockname()
    assert during(adapter, Inbox(), lambda where: (where, talk(where)[0][:3]), sock=sock) == (address, "220")
    assert sock.fileno() == -1, "the server closes it"


@every_adapter
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_that_of_a_unix_socket(adapter: Any, kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "smtp"
    handler = Inbox()
    for _ in range(2):  # also where the file of a server that crashed is left
        found = during(
            adapter,
            handler,
            lambda where: (where, talk(where[0], family=socket.AF_UNIX)[0][:3]),
            kind(path),
            hostname="mx.example",
        )
        assert found == ((str(path), 0), "220")
        assert not path.exists()
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(path))
        left.close()


def test_a_path_at_which_a_server_listens_is_not_taken_away(tmp_path: Path) -> None:
    with sync_adapter.serve(Inbox(), tmp_path / "smtp"):
        with pytest.raises(OSError, match=r"cannot listen on .*smtp: "):
            sync_adapter.serve(Inbox(), tmp_path / "smtp")
        assert os.path.exists(tmp_path / "smtp")


def test_a_second_close_leaves_the_path_to_the_next_server(tmp_path: Path) -> None:
    path = tmp_path / "smtp"
    first = sync_adapter.serve(Inbox(), path)
    first.close()
    with sync_adapter.serve(Inbox(), path):
        first.close()
        assert path.exists()
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract addresses")
@every_adapter
def test_a_socket_may_have_an_abstract_address(adapter: Any) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(b"\0smtpcore " + os.urandom(8).hex().encode())
    found = during(adapter, Inbox(), lambda where: talk(where[0], family=socket.AF_UNIX)[0][:3], sock=sock)
    assert found == "220"


def test_a_cancelled_start_leaves_no_path(tmp_path: Path) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with trio_adapter.serve(Inbox(), tmp_path / "smtp"):
                raise AssertionError("it is cancelled")

    trio.run(main)
    assert not (tmp_path / "smtp").exists()


@every_adapter
def test_a_port_may_be_text(adapter: Any) -> None:
    assert during(adapter, Inbox(), lambda where: talk(where)[0][:3], "127.0.0.1", "0") == "220"


# --- What a session knows ----------------------------------------------------------------------------------


@every_adapter
def test_the_configuration_may_depend_on_the_address_of_the_client(adapter: Any) -> None:
    asked: list[Any] = []

    def config(peername: Any) -> ServerConfig:
        asked.append(peername[0])
        return ServerConfig(pipelining=False)

    lines = during(adapter, Inbox(), lambda where: talk(where, "EHLO client.example"), config=config)
    assert asked == ["127.0.0.1"]
    assert "250-8BITMIME" in lines
    assert "250-PIPELINING" not in lines


@every_adapter
def test_a_configuration_that_cannot_be_made_is_421(adapter: Any, caplog: pytest.LogCaptureFixture) -> None:
    def client(where: Any) -> bytes:
        with socket.create_connection(where, timeout=LATE) as sock:
            return sock.recv(1000)

    def config(peername: Any) -> Any:
        return None

    heard = during(adapter, Inbox(), client, hostname="mx.example", config=config)
    assert heard == b"421 mx.example internal error\r\n"
    (record,) = caplog.records
    assert "what config() returns is a ServerConfig, not NoneType" in str(record.exc_info)


@every_adapter
def test_a_session_knows_its_facts(adapter: Any) -> None:
    handler = Inbox()
    lines = during(
        adapter,
        handler,
        lambda where: talk(where, "EHLO client.example", "MAIL FROM:<a@client.example>"),
        hostname="mx.example",
    )
    assert handler.ended.wait(LATE)
    (session,) = handler.sessions
    assert session.hello.domain == "client.example"
    assert session.peername[0] == session.sockname[0] == "127.0.0.1"
    assert session.octets_received == len("EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nQUIT\r\n")
    assert session.octets_sent == sum(len(line) + 2 for line in lines)
    assert session.tls is session.authenticated is session.envelope is None
    assert session.state is State.CLOSED
    assert session.data == {"greeted": True}
    assert session.started.tzinfo is not None
    assert session.early_input is False
    field = session.received_field()
    assert field.startswith(b"Received: from client.example ([127.0.0.1])")
    assert b"by mx.example" in field
    assert b"with ESMTP" in field


@every_adapter
def test_a_session_that_is_over_leaves_nothing_to_the_collector(adapter: Any) -> None:
    """A cycle of references would keep each session and its stream until the collector comes."""
    kept: list[weakref.ref[Any]] = []

    class Forgetful(Handler):
        def accept_connection(self, session: Any) -> bool:
            kept.extend(map(weakref.ref, (session, session.connection, session._stream)))
            return True

    gc.disable()
    try:
        during(adapter, Forgetful(), lambda where: talk(where, "EHLO client.example", "NOOP"))
        assert [one() for one in kept] == [None, None, None]
    finally:
        gc.enable()


def test_sessions_have_different_ids() -> None:
    handler = Inbox()
    during(sync_adapter, handler, lambda where: (talk(where), talk(where)))
    first, second = handler.sessions
    assert first.id != second.id
    assert len(bytes.fromhex(first.id)) == 8


def test_no_received_field_before_the_client_has_said_its_name() -> None:
    handler = Inbox()
    during(sync_adapter, handler, talk)
    with pytest.raises(LocalProtocolError, match="no Received field before EHLO or HELO"):
        handler.sessions[0].received_field()


@every_adapter
def test_a_client_that_does_not_wait_for_the_greeting_is_noticed(adapter: Any) -> None:
    handler = Inbox()
    # The pause ends with the octets that come too early, so nothing waits for a minute.
    lines = during(
        adapter, handler, lambda where: talk(where, early=b"NOOP\r\n"), greet_pause=LATE, hostname="mx.example"
    )
    assert lines[0].startswith("220 ")
    assert handler.sessions[0].early_input is True


def test_the_application_keeps_its_own_sni_callback() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("mx.example").configure_cert(server)
    authority.configure_trust(client)
    asked: list[Any] = []
    server.sni_callback = lambda sock, name, context: asked.append(name)
    for _ in range(2):
        ours, theirs = TlsChannel(server, True, None), TlsChannel(client, False, "mx.example")
        done = [False, False]
        while not all(done):
            for number, (one, other) in enumerate([(theirs, ours), (ours, theirs)]):
                done[number] = done[number] or one.shake_hands()
                if octets := one.output():
                    other.feed(octets)
        assert ours.info().server_hostname == "mx.example"
    assert asked == ["mx.example", "mx.example"]
