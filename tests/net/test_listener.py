"""Places for sessions, and a listener that accepts, refuses and closes, without an adapter."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpcore._net import listener as _listener
from smtpcore._net.listener import HANDOVER, PATIENCE, PAUSE, TOO_MANY, BaseServer
from smtpcore._net.stream import run

# -- places --


def test_places_are_counted_in_all_and_for_each_address() -> None:
    places = _listener.Places(300, None)
    for _ in range(_listener.PER_ADDRESS):
        assert places.take(("192.0.2.1", 1)) is None
    assert places.take(("192.0.2.1", 2)) == "too many connections from 192.0.2.1"
    for _ in range(150):
        assert places.take(("127.0.0.1", 1)) is None
    for _ in range(50):
        assert places.take(("::1", 1, 0, 0)) is None
    assert places.take(("192.0.2.2", 1)) is _listener.TOO_MANY
    places.refused.add("any reason")
    places.give_back(places.key(("192.0.2.1", 7)))
    assert places.refused == set()
    assert places.take(("192.0.2.1", 3)) is None
    assert places.take(("192.0.2.2", 1)) is _listener.TOO_MANY


def test_a_network_of_64_bits_is_one_address() -> None:
    places = _listener.Places(100, 2)
    assert places.take(("2001:db8::1", 1, 0, 0)) is None
    assert places.take(("2001:db8::ffff", 1, 0, 0)) is None
    assert places.take(("2001:db8:0:0:ff00::", 1, 0, 0)) == "too many connections from 2001:db8:0:0:ff00::"
    assert places.take(("2001:db8:0:1::", 1, 0, 0)) is None
    assert places.take(("fe80::1%eth0", 1, 0, 2)) is None
    assert places.take(("fe80::2%eth0", 1, 0, 2)) is None
    assert places.take(("fe80::3%eth0", 1, 0, 2)) is not None


@pytest.mark.parametrize("address", [("127.0.0.1", 1), ("127.9.9.9", 1), ("::1", 1, 0, 0)])
def test_a_loopback_address_may_take_all_places(address: tuple[Any, ...]) -> None:
    places = _listener.Places(_listener.PER_ADDRESS + 1, None)
    for _ in range(_listener.PER_ADDRESS + 1):
        assert places.take(address) is None
    assert places.take(address) is TOO_MANY


def test_an_IPv4_client_of_an_IPv6_socket_counts_by_its_IPv4_address() -> None:
    places = _listener.Places(300, None)
    for _ in range(_listener.PER_ADDRESS):
        assert places.take(("::ffff:192.0.2.1", 1, 0, 0)) is None
    assert places.take(("192.0.2.1", 1)) == "too many connections from 192.0.2.1"
    assert places.take(("::ffff:192.0.2.2", 1, 0, 0)) is None
    for _ in range(150):
        assert places.take(("::ffff:127.0.0.1", 1, 0, 0)) is None


def test_what_has_no_address_is_not_counted_by_it() -> None:
    places = _listener.Places(3, 1)
    for _ in range(3):
        assert places.take("") is None
    assert places.take("") is _listener.TOO_MANY
    assert _listener.Places(1, 1).take(("127.0.0.1", 1)) is None, "a number that is given counts for loopback"


class Limited:
    """Stands for the module ``resource``."""

    RLIMIT_NOFILE, RLIM_INFINITY = 7, -1

    def __init__(self, soft: int) -> None:
        self._soft = soft

    def getrlimit(self, which: int) -> tuple[int, int]:
        assert which == self.RLIMIT_NOFILE
        return self._soft, 1_000_000


@pytest.mark.parametrize(
    "soft, asked, given, level",
    [
        (1024, 5000, 496, "WARNING"),
        (1024, _listener.MAX_CONNECTIONS, 496, "INFO"),
        (1024, 496, 496, None),
        (10, 5, 1, "WARNING"),
        (Limited.RLIM_INFINITY, 5000, 5000, None),
        (None, 5000, 5000, None),
    ],
)
def test_sessions_are_no_more_than_descriptors_allow(
    soft: int | None,
    asked: int,
    given: int,
    level: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each has room for its socket and for a file of its message."""
    caplog.set_level("INFO", "smtpcore")
    monkeypatch.setattr(_listener, "resource", None if soft is None else Limited(soft))
    assert _listener.affordable(asked) == given
    assert [record.levelname for record in caplog.records] == [level] * (level is not None)
    if level is not None:
        assert f"at most {given} sessions at a time, not {asked}" in caplog.text


# -- a listener --


class Over(Exception):
    """Ends an accepting loop."""


class Cancelled(BaseException):
    """Stands for the cancellation of an event loop."""


class MemoryStream:
    """The stream of a session: it notes what is done to it."""

    def __init__(self) -> None:
        self.peername = ("192.0.2.2", 49152)
        self.idle = False
        self.done: list[str] = []

    def stop(self) -> None:
        self.done.append("stop in content" if self.idle else "stop")

    def dismiss(self) -> None:
        self.done.append("dismiss")

    async def close(self) -> None:
        self.done.append("close")


class MemoryServer(BaseServer[Any]):
    """A listener whose connections are given to it, and that never waits.

    Attributes:
        incoming: What ``_accept()`` gives: connections with their addresses, or an error.
        begun: The connections whose session has been started.
        slept: The seconds of each sleep.
        asleep: Called at each sleep.
        waited: The seconds of each wait of ``close()``, and whether it was needed.
        meanwhile: Called at each of these waits.
        notes: What else was called.
        no_start, no_stream: Raised where a session is started, and where its stream is made.
    """

    def __init__(self, serve_one: Any = None, *, host: Any = "127.0.0.1", **options: Any) -> None:
        super().__init__(host, 0, serve_one or nothing, **options)
        self.incoming: deque[Any] = deque()
        self.begun: list[socket.socket] = []
        self.slept: list[float] = []
        self.asleep: Callable[[], object] = lambda: None
        self.waited: list[tuple[float, bool]] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.notes: list[str] = []
        self.no_start: BaseException | None = None
        self.no_stream: BaseException | None = None

    async def _accept(self, sock: socket.socket) -> Any:
        if not self.incoming:
            raise Over
        arrival = self.incoming.popleft()
        if isinstance(arrival, BaseException):
            raise arrival
        return arrival

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep()

    async def _stream(self, connection: socket.socket) -> Any:
        if self.no_stream is not None:
            raise self.no_stream
        return MemoryStream()

    def _start(self, connection: socket.socket) -> None:
        if self.no_start is not None:
            raise self.no_start
        self.begun.append(connection)

    async def _stop_accepting(self) -> None:
        self.notes.append("accepts no more")

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        self.waited.append((seconds, not condition()))
        self.meanwhile()

    def _notify(self) -> None:
        self.notes.append("notify")

    def _cancel_sessions(self) -> None:
        self.notes.append("cancel")

    def _is_cancellation(self, error: BaseException) -> bool:
        return isinstance(error, Cancelled)

    # -- for tests --

    def accept_all(self) -> None:
        """Run an accepting loop until nothing is left in ``incoming``."""
        with pytest.raises(Over):
            run(self._accept_all(self._sockets[0]))

    def session(self) -> None:
        """Run the session that was started last."""
        run(self._session(self.begun[-1]))


async def nothing(stream: Any) -> None:
    """A session that ends at once."""


class Clients:
    """Connections of clients, which are closed at the end."""

    def __init__(self) -> None:
        self.opened: list[socket.socket] = []
        self.listening = socket.create_server(("127.0.0.1", 0))

    def connect(self, address: str = "192.0.2.2") -> tuple[socket.socket, tuple[socket.socket, Any]]:
        """A client, and what ``_accept()`` gives for it."""
        client = socket.create_connection(self.listening.getsockname(), timeout=60)
        connection = self.listening.accept()[0]
        self.opened += [client, connection]
        return client, (connection, (address, 49152))


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    for sock in (*made.opened, made.listening):
        sock.close()


@pytest.fixture
def make() -> Iterator[Callable[..., MemoryServer]]:
    """MemoryServer, of which each closes its sockets at the end."""
    made: list[MemoryServer] = []

    def make_one(*arguments: Any, **options: Any) -> MemoryServer:
        made.append(server := MemoryServer(*arguments, **options))
        return server

    yield make_one
    for server in made:
        server._give_up_addresses()


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_each_connection_gets_a_session_and_its_place_comes_back(make: Any, clients: Clients) -> None:
    seen = []

    async def look(stream: MemoryStream) -> None:
        seen.append((stream in server.streams, stream.done[:]))

    server = make(look, max_connections=1)
    for _ in range(2):
        client, arrival = clients.connect()
        server.incoming.append(arrival)
        server.accept_all()
        server.session()
        assert client.recv(1) == b"", "the connection is closed"
        assert server.notes.pop() == "notify"
        assert not server.streams
    assert seen == [(True, [])] * 2
    assert server.slept == []


def test_a_listening_socket_is_closed_when_its_loop_ends(make: Any) -> None:
    server = make()
    server.accept_all()
    assert server._sockets[0].fileno() == -1


def refusal(sockname: Any, reason: str) -> bytes:
    return f"421 {sockname[0]} {reason}\r\n".encode()


def test_a_full_server_waits_a_moment_and_refuses_the_next_ones_at_once(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    server = make(max_connections=1, refusal=refusal)
    (_, first), (second, arrival), (third, last) = clients.connect(), clients.connect(), clients.connect()
    server.incoming.extend([first, arrival, last])
    server.accept_all()
    assert len(server.begun) == 1
    assert server.slept == [HANDOVER] * PATIENCE
    for client in (second, third):
        assert client.recv(100) == b"421 127.0.0.1 too many connections\r\n"
        assert client.recv(100) == b""
    assert messages(caplog) == [("WARNING", "connections are refused: too many connections")]
    server.session()
    _, arrival = clients.connect()
    server.incoming.append(arrival)
    server.accept_all()
    assert len(server.begun) == 2


def test_a_place_that_becomes_free_is_used(make: Any, clients: Clients) -> None:
    server = make(max_connections=1, refusal=refusal)
    (_, first), (_, second) = clients.connect(), clients.connect()
    server.incoming.extend([first, second])
    server.asleep = lambda: server.session() if len(server.slept) == 3 else None
    server.accept_all()
    assert server.begun == [first[0], second[0]]
    assert server.slept == [HANDOVER] * 3


def test_too_many_connections_from_one_address_are_refused_at_once(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    server = make(max_connections_per_address=1, refusal=refusal)
    (_, first), (second, arrival), (_, other) = (
        clients.connect(),
        clients.connect(),
        clients.connect("192.0.2.3"),
    )
    server.incoming.extend([first, arrival, other])
    server.accept_all()
    assert server.begun == [first[0], other[0]]
    assert server.slept == []
    assert second.recv(100) == b"421 127.0.0.1 too many connections from 192.0.2.2\r\n"
    assert messages(caplog) == [("WARNING", "connections are refused: too many connections from 192.0.2.2")]


def test_a_refusal_without_a_reply_is_a_close(make: Any, clients: Clients) -> None:
    server = make(max_connections_per_address=1)
    (_, first), (second, arrival) = clients.connect(), clients.connect()
    server.incoming.extend([first, arrival])
    server.accept_all()
    assert second.recv(100) == b""


def test_a_refusal_is_not_lost_for_a_client_that_has_sent_already(make: Any, clients: Clients) -> None:
    server = make(max_connections_per_address=1, refusal=refusal)
    (_, first), (second, arrival) = clients.connect(), clients.connect()
    second.sendall(b"EHLO client.example\r\n")
    server.incoming.extend([first, arrival])
    server.accept_all()
    assert second.recv(100) == b"421 127.0.0.1 too many connections from 192.0.2.2\r\n"
    assert second.recv(100) == b"", "and not a reset"


def test_a_client_that_is_gone_cannot_be_refused_and_that_is_no_error(make: Any, clients: Clients) -> None:
    server = make(max_connections_per_address=1, refusal=refusal)
    (_, first), (_, gone), (_, other) = clients.connect(), clients.connect(), clients.connect("192.0.2.3")
    gone[0].shutdown(socket.SHUT_RDWR)
    server.incoming.extend([first, gone, other])
    server.accept_all()
    assert server.begun == [first[0], other[0]]


def test_errors_of_accepting_are_logged_once_until_a_connection_comes(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    none_left = OSError(errno.EMFILE, "Too many open files")
    _, arrival = clients.connect()
    server.incoming.extend([none_left, none_left, arrival, none_left])
    server.accept_all()
    assert server.slept == [PAUSE] * 3
    assert messages(caplog) == [
        ("ERROR", "cannot accept connections: [Errno 24] Too many open files"),
        ("ERROR", "cannot accept connections: [Errno 24] Too many open files"),
    ]


@pytest.mark.parametrize("name", ["ECONNABORTED", "ENETDOWN", "EPROTO", "ENOPROTOOPT", "EHOSTUNREACH"])
def test_a_connection_that_is_gone_when_it_is_accepted_costs_no_time(
    make: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.incoming.append(OSError(getattr(errno, name), "gone"))
    server.accept_all()
    assert server.slept == []
    assert caplog.records == []


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(errno.EMFILE, "no files")])
def test_a_session_that_cannot_be_started_is_dropped(
    make: Any, clients: Clients, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    server = make(max_connections=1)
    (client, arrival), (_, second) = clients.connect(), clients.connect()
    server.incoming.append(arrival)
    server.no_start = error
    server.accept_all()
    assert client.recv(1) == b""
    assert messages(caplog) == [("WARNING", f"a connection is dropped: {error}")]
    server.no_start = None
    server.incoming.append(second)
    server.accept_all()
    assert server.begun == [second[0]], "its place is free"
    assert server.slept == []


def test_an_accepting_loop_that_is_cancelled_closes_its_connection(make: Any, clients: Clients) -> None:
    server = make()
    client, arrival = clients.connect()
    server.incoming.append(arrival)
    server.no_start = Cancelled()
    with pytest.raises(Cancelled):
        run(server._accept_all(server._sockets[0]))
    assert client.recv(1) == b""
    assert server._sockets[0].fileno() == -1


def test_a_client_that_waits_for_a_place_when_the_server_stops_is_closed(make: Any, clients: Clients) -> None:
    def stop() -> None:
        raise Cancelled

    server = make(max_connections=1)
    (_, first), (second, arrival) = clients.connect(), clients.connect()
    server.incoming.extend([first, arrival])
    server.asleep = stop
    with pytest.raises(Cancelled):
        run(server._accept_all(server._sockets[0]))
    assert second.recv(1) == b""


def accepted(server: MemoryServer, clients: Clients) -> socket.socket:
    """A client whose session has been started, and not run yet."""
    client, arrival = clients.connect()
    server.incoming.append(arrival)
    server.accept_all()
    return client


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), SystemExit(), KeyboardInterrupt()])
def test_a_session_that_fails_is_logged(
    make: Any, clients: Clients, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Any) -> None:
        raise error

    server = make(fail)
    client = accepted(server, clients)
    server.session()
    assert client.recv(1) == b""
    assert messages(caplog) == [("ERROR", "a session with ('192.0.2.2', 49152) failed")]
    assert caplog.records[0].exc_info is not None and caplog.records[0].exc_info[1] is error


def test_a_session_that_fails_because_it_was_aborted_is_not_logged(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Any) -> None:
        server.abort()
        raise ConnectionAbortedError

    server = make(fail)
    accepted(server, clients)
    server.session()
    assert caplog.records == []


def test_a_session_that_is_cancelled_is_closed(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    streams = []

    async def cancelled(stream: MemoryStream) -> None:
        streams.append(stream)
        raise Cancelled

    server = make(cancelled)
    client = accepted(server, clients)
    with pytest.raises(Cancelled):
        server.session()
    assert streams[0].done == ["close"]
    assert client.recv(1) == b""
    assert not server.streams
    assert caplog.records == []


def test_a_connection_that_is_gone_before_it_has_a_stream_is_dropped(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    server = make(max_connections=1)
    client = accepted(server, clients)
    server.no_stream = OSError(errno.EINVAL, "gone")
    server.session()
    assert client.recv(1) == b""
    assert messages(caplog) == [("WARNING", "a connection is dropped: [Errno 22] gone")]
    accepted(server, clients)
    assert len(server.begun) == 2, "its place is free"


def test_a_place_comes_back_once(make: Any, clients: Clients) -> None:
    server = make(max_connections=1)
    accepted(server, clients)
    server._release(server.begun[0])
    server._release(server.begun[0])
    assert server.notes == ["notify"]


def test_a_server_without_sessions_closes_at_once(make: Any) -> None:
    server = make()
    run(server._close(7))
    assert server.notes[0] == "accepts no more"
    assert all(sock.fileno() == -1 for sock in server._sockets)
    assert [needed for _, needed in server.waited] == [False, False, False]


def running(make: Any, clients: Clients, during: Callable[[MemoryServer, MemoryStream], None]) -> MemoryStream:
    """Do something while a session runs; return its stream."""
    streams = []
    failures = []

    async def session(stream: MemoryStream) -> None:
        streams.append(stream)
        try:
            during(server, stream)
        except BaseException as error:  # the listener would only log it
            failures.append(error)

    server = make(session)
    accepted(server, clients)
    server.session()
    if failures:
        raise failures[0]
    return streams[0]


def test_a_server_that_closes_stops_sessions_and_aborts_those_that_do_not_end(
    make: Any, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def close(server: MemoryServer, stream: MemoryStream) -> None:
        server.meanwhile = lambda: seen.append(stream.done[:])
        run(server._close(7))
        assert server.waited == [(7, True), (_listener.FAREWELL, True), (_listener.ABORT_TIME, True)]
        assert server.notes == ["accepts no more", "cancel", "notify"]

    stream = running(make, clients, close)
    assert seen == [["stop"], ["stop", "stop in content"], ["stop", "stop in content", "dismiss"]]
    assert stream.done == ["stop", "stop in content", "dismiss", "close"]
    assert messages(caplog) == [("ERROR", "1 sessions do not end: their handlers still run")]


def test_a_close_that_is_cancelled_aborts_the_sessions(make: Any, clients: Clients) -> None:
    def close(server: MemoryServer, stream: MemoryStream) -> None:
        def cancel() -> None:
            if len(server.waited) == 1:
                raise Cancelled

        server.meanwhile = cancel
        with pytest.raises(Cancelled):
            run(server._close(7))

    assert running(make, clients, close).done == ["stop", "dismiss", "close"]


def test_an_abort_ends_the_waits_of_a_close(make: Any, clients: Clients) -> None:
    def abort(server: MemoryServer, stream: MemoryStream) -> None:
        assert not server._may_go_on()
        server.abort()
        assert server._may_go_on()
        assert not server._is_empty()
        assert server.notes == ["cancel", "notify"]

    assert running(make, clients, abort).done == ["dismiss", "close"]


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_session_that_starts_while_the_server_stops_is_told_so(make: Any, clients: Clients, how: str) -> None:
    seen = []

    async def look(stream: MemoryStream) -> None:
        seen.append(stream.done[:])

    server = make(look)
    accepted(server, clients)
    if how == "close":
        server.meanwhile = lambda: None if seen else server.session()
        run(server._close(7))
        assert server.waited[0] == (7, True)
    else:
        server.abort()
        server.session()
    assert seen == [["stop"]]


def test_a_generator_exit_is_the_cancellation_of_a_session() -> None:
    server: Any = None
    assert BaseServer._is_cancellation(server, GeneratorExit())
    assert not BaseServer._is_cancellation(server, KeyboardInterrupt())


def test_the_addresses_are_those_of_the_sockets(make: Any) -> None:
    server = make()
    [(host, port)] = server.addresses
    assert host == "127.0.0.1"
    assert port == server._sockets[0].getsockname()[1]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_the_path_of_a_server_is_removed_once(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    server = make(host=path)
    assert server.addresses == [(str(path), 0)]
    assert path.exists()
    run(server._close(0))
    assert not path.exists()
    path.write_text("of the next server")
    run(server._close(0))
    assert path.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_path_that_is_gone_already_is_no_error(make: Any, tmp_path: Path) -> None:
    server = make(host=str(tmp_path / "lmtp"))
    os.unlink(tmp_path / "lmtp")
    run(server._close(0))


def test_a_socket_that_is_given_is_made_ready(make: Any) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = make(sock=sock)
    assert server.addresses == [sock.getsockname()]
    assert not sock.getblocking()
    with socket.create_connection(sock.getsockname(), timeout=60):
        pass


@pytest.mark.parametrize(
    "options",
    [{"max_connections": 0}, {"max_connections_per_address": 0}, {"max_connections": -1}],
)
def test_a_number_of_connections_is_positive(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be (None or )?at least 1, not (0|-1)$"):
        MemoryServer(**options)


def test_the_last_place_of_an_address_and_of_all_can_be_taken() -> None:
    places = _listener.Places(2, 2)
    assert places.take(("192.0.2.1", 1)) is None
    assert places.take(("192.0.2.1", 1)) is None
    assert places.take(("192.0.2.1", 1)) == "too many connections from 192.0.2.1"
    assert places.take(("192.0.2.2", 1)) is TOO_MANY


@pytest.mark.parametrize(
    "name, value",
    [("host", 7), ("max_connections", "5"), ("max_connections_per_address", True), ("grace", "10")],
)
def test_a_listener_does_not_open_anything_for_an_argument_of_a_wrong_type(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_listener, "bind", None)
    with pytest.raises(TypeError, match=f"^{name} is "):
        MemoryServer(**{name: value})
