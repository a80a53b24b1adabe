"""Sockets: the stream on one, and the addresses that are connected to and listened on."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpcore._net import sockets as _sockets
from smtpcore._net.sockets import SocketStream, bind, reach
from smtpcore._net.stream import run

needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


# -- SocketStream --


class PairStream(SocketStream):
    """A stream on one of two sockets that are joined; it never waits.

    Attributes:
        drain: Reads what the other side has not read; called when a write waits.
        waits: How often that was.
        woken: Whether a pump was waiting when the stream was told to wake it.
        broken: Whether callers that wait were woken by the end of the stream.
    """

    woken: bool | None = None
    broken = False

    def __init__(self, sock: socket.socket, drain: Callable[[], object]) -> None:
        sock.setblocking(False)
        super().__init__(sock)
        self.drain = drain
        self.waits = 0

    async def _receive(self) -> bytes:
        if (data := self._receive_now()) is None:
            raise TimeoutError("nothing has arrived")
        return data

    async def _writable(self, deadline: float) -> None:
        self.waits += 1
        self.drain()

    def _break(self) -> None:
        self.broken = True
        self._socket.shutdown(socket.SHUT_RDWR)

    def _wake_reader(self) -> None:
        self.woken = self._waiting

    async def give_way(self) -> None:
        raise NotImplementedError


class Pair:
    """A stream, and the socket at its other side."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname(), timeout=60)
            self.peer = server.accept()[0]
        self.peer.settimeout(60)
        self.heard = bytearray()
        self.stream = PairStream(ours, self.drain)

    def drain(self) -> None:
        self.heard += self.peer.recv(1 << 20)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    with pair.peer:
        yield pair
        pair.stream._socket.close()


def test_a_stream_knows_both_addresses_and_sends_small_writes_at_once(pair: Pair) -> None:
    assert pair.stream.peername == pair.peer.getsockname()
    assert pair.stream.sockname == pair.peer.getpeername()
    assert pair.stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_socket_that_is_not_connected_has_no_peername() -> None:
    with socket.socket() as sock:
        assert PairStream(sock, sock.close).peername == ""


def test_a_read_gives_what_the_socket_has(pair: Pair) -> None:
    assert pair.stream.arrived() is None
    with pytest.raises(TimeoutError):
        run(pair.stream.read(1))
    pair.peer.sendall(b"there")
    assert run(pair.stream.read(1)) == b"there"
    pair.peer.shutdown(socket.SHUT_WR)
    assert run(pair.stream.read(1)) == b""
    assert run(pair.stream.read(1)) == b""
    assert pair.stream.arrived() == b""
    run(pair.stream.write(b"back", 1))
    assert pair.peer.recv(100) == b"back"


def test_a_read_that_finds_the_stream_broken_fails(pair: Pair) -> None:
    """Another caller may break it while this one waits; the socket then gives an end."""

    async def broken_meanwhile() -> bytes:
        pair.stream.abort()
        return b""

    pair.stream._receive = broken_meanwhile  # type: ignore[method-assign]
    with pytest.raises(ConnectionAbortedError):
        run(pair.stream.read(1))


def test_a_stream_that_was_woken_because_the_server_stops_has_not_ended(pair: Pair) -> None:
    stream = pair.stream

    async def woken() -> bytes:
        stream.idle = stream.stopping = True
        return b""

    receive, stream._receive = stream._receive, woken  # type: ignore[method-assign]
    assert run(stream.read(1)) == b""
    stream._receive = receive  # type: ignore[method-assign]
    stream.idle = False
    pair.peer.sendall(b"content")
    assert run(stream.read(1)) == b"content"


def test_a_read_that_is_cancelled_breaks_the_stream(pair: Pair) -> None:
    async def cancelled() -> bytes:
        raise KeyboardInterrupt

    pair.stream._receive = cancelled  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run(pair.stream.read(1))
    assert pair.peer.recv(1) == b""
    with pytest.raises(ConnectionAbortedError):
        run(pair.stream.read(1))


def test_a_stream_that_is_not_read_needs_no_waking(pair: Pair) -> None:
    pair.stream.stop()
    assert pair.stream.woken is False


def test_a_pump_goes_on_until_its_function_gives_something(pair: Pair) -> None:
    seen: list[Any] = []

    def take(arrival: bytes | OSError) -> int | None:
        seen.append(arrival)
        if arrival == b"one":
            pair.peer.sendall(b"two")
            return None
        return 0

    pair.peer.sendall(b"one")
    assert run(pair.stream.pump(take)) == 0
    assert seen == [b"one", b"two"]


def test_a_long_write_waits_and_loses_nothing(pair: Pair) -> None:
    data = os.urandom(1 << 16) * 256
    run(pair.stream.write(data, 60))
    assert pair.stream.waits > 0
    while len(pair.heard) < len(data):
        pair.drain()
    assert pair.heard == data


def test_a_write_that_waits_looks_for_a_reply_before_each_wait(pair: Pair) -> None:
    pair.stream.expects_silence = True
    pair.peer.sendall(b"552 no\r\n")
    with pytest.raises(ConnectionAbortedError, match="before all was sent"):
        run(pair.stream.write(bytes(1 << 24), 60))
    assert pair.stream.waits == 0
    assert pair.stream.arrived() == b"552 no\r\n"


def test_the_last_octets_are_sent_if_that_needs_no_waiting(pair: Pair) -> None:
    run(pair.stream._finish(b"bye"))
    assert pair.peer.recv(100) == b"bye"
    assert pair.peer.recv(100) == b""
    assert pair.stream.broken
    assert pair.stream._socket.fileno() == -1


def test_a_full_socket_is_closed_without_last_octets(pair: Pair) -> None:
    while pair.stream._offer(bytes(1 << 16)) != bytes(1 << 16):
        pass
    run(pair.stream._finish(b"bye"))
    assert pair.stream._socket.fileno() == -1


# -- reach() --


def address(number: int) -> tuple[Any, ...]:
    """What getaddrinfo() gives for one address."""
    return (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", number))


class Attempts:
    """Stands for the connecting of an adapter: the first attempts take their whole time and fail."""

    def __init__(self, failures: int, *, silent: bool = True, error: type[BaseException] = OSError) -> None:
        self.failures = failures
        self.silent = silent
        self.error = error
        self.now = 100.0
        self.seen: list[tuple[int, float | None]] = []
        self.sockets: list[socket.socket] = []

    async def __call__(self, sock: socket.socket, where: Any, seconds: float | None) -> str:
        assert not sock.getblocking()
        self.sockets.append(sock)
        self.seen.append((where[1], seconds))
        if len(self.seen) <= self.failures:
            if self.silent and seconds is not None:
                self.now += seconds
            raise self.error(errno.ECONNREFUSED, f"attempt {len(self.seen)}")
        return f"connected to {where[1]}"

    def reach(self, *numbers: int, deadline: float | None = None, local_address: str | None = None) -> str:
        found = [address(number) for number in numbers]
        try:
            return run(reach(found, deadline, lambda: self.now, local_address, self))
        finally:
            if len(self.seen) > self.failures:
                self.sockets[-1].close()
            assert all(one.fileno() == -1 for one in self.sockets), "those that failed are closed"


def test_the_first_address_that_answers_is_the_one() -> None:
    attempts = Attempts(2)
    assert attempts.reach(1, 2, 3, 4) == "connected to 3"
    assert attempts.seen == [(1, None), (2, None), (3, None)]


def test_the_error_of_the_last_address_counts() -> None:
    attempts = Attempts(3)
    with pytest.raises(OSError, match="attempt 3"):
        attempts.reach(1, 2, 3)


def test_each_address_gets_its_share_of_the_time() -> None:
    attempts = Attempts(3)
    assert attempts.reach(1, 2, 3, 4, deadline=108.0) == "connected to 4"
    assert attempts.seen == [(1, 2.0), (2, 2.0), (3, 2.0), (4, 2.0)]


def test_time_that_an_address_has_not_used_is_left_to_the_others() -> None:
    attempts = Attempts(1, silent=False)
    attempts.reach(1, 2, deadline=108.0)
    assert attempts.seen == [(1, 4.0), (2, 8.0)]


def test_what_is_no_failure_of_an_address_ends_the_search() -> None:
    attempts = Attempts(1, error=ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        attempts.reach(1, 2)
    assert len(attempts.seen) == 1


def test_the_local_address_is_bound_before_connecting() -> None:
    attempts = Attempts(0)
    bound = []

    async def look(sock: socket.socket, where: Any, seconds: float | None) -> str:
        bound.append(sock.getsockname())
        return await attempts(sock, where, seconds)

    run(reach([address(1)], None, lambda: 0.0, "127.0.0.1", look))
    attempts.sockets[0].close()
    [(host, port)] = bound
    assert host == "127.0.0.1"
    assert port >= 1024, "the system chooses the port"


def test_a_local_address_of_another_machine_is_named_and_each_address_is_tried() -> None:
    attempts = Attempts(0)
    with pytest.raises(OSError, match=r"local_address '192\.0\.2\.1': ") as caught:
        attempts.reach(1, 2, local_address="192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert attempts.seen == []


# -- bind() --


@pytest.fixture
def listening() -> Iterator[Callable[..., list[socket.socket]]]:
    """bind(), whose sockets are closed at the end."""
    opened: list[socket.socket] = []

    def listen(host: Any, port: int = 0) -> list[socket.socket]:
        opened.extend(made := bind(host, port))
        return made

    yield listen
    for sock in opened:
        sock.close()


def found(*addresses: tuple[Any, ...]) -> Callable[..., list[tuple[Any, ...]]]:
    def getaddrinfo(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", one) for one in addresses]

    return getaddrinfo


def test_a_listening_socket_is_ready_for_an_event_loop(listening: Any) -> None:
    [sock] = listening("127.0.0.1")
    assert not sock.getblocking()
    assert sock.getsockname()[0] == "127.0.0.1"
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) is (os.name == "posix")
    with socket.create_connection(sock.getsockname(), timeout=60):
        pass


@pytest.mark.parametrize("host", [None, ""])
def test_no_host_is_every_interface(listening: Any, host: str | None) -> None:
    sockets = listening(host)
    addresses = {sock.getsockname()[0] for sock in sockets}
    assert "0.0.0.0" in addresses
    assert addresses <= {"0.0.0.0", "::"}
    assert len({sock.getsockname()[1] for sock in sockets}) == 1, "all of them at one port"
    for sock in sockets:
        if sock.family == socket.AF_INET6:
            assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_a_port_that_is_taken_is_named(listening: Any) -> None:
    [sock] = listening("127.0.0.1")
    port = sock.getsockname()[1]
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}: ") as caught:
        listening("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    sock.close()
    [again] = listening("127.0.0.1", port)
    assert again.getsockname()[1] == port


def test_every_interface_is_named_with_a_star(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", found(("192.0.2.1", 0)))
    with pytest.raises(OSError, match=r"cannot listen on \* port 0: "):
        listening(None)


def test_an_address_that_is_found_twice_is_listened_on_once(
    listening: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", 0), ("127.0.0.1", 0)))
    assert len(listening("twice.example")) == 1


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_an_address_that_this_system_does_not_have_is_left_out(
    listening: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    listen = _sockets._listen

    def listen_there(family: int, kind: int, protocol: int, where: Any) -> socket.socket:
        if where[0] == "192.0.2.1":
            raise OSError(number, "no")
        return listen(family, kind, protocol, where)

    monkeypatch.setattr(_sockets, "_listen", listen_there)
    monkeypatch.setattr(socket, "getaddrinfo", found(("192.0.2.1", 0), ("127.0.0.1", 0)))
    [sock] = listening("two.example")
    assert sock.getsockname()[0] == "127.0.0.1"
    monkeypatch.setattr(socket, "getaddrinfo", found(("192.0.2.1", 0)))
    with pytest.raises(OSError, match=r"cannot listen on one\.example port 0: no") as caught:
        listening("one.example")
    assert caught.value.errno == number


@pytest.mark.parametrize("number", [errno.EACCES, errno.EADDRINUSE])
def test_an_address_that_is_not_free_closes_the_others(
    listening: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    opened = []
    listen = _sockets._listen

    def listen_once(family: int, kind: int, protocol: int, where: Any) -> socket.socket:
        if opened:
            raise OSError(number, "no")
        opened.append(sock := listen(family, kind, protocol, where))
        return sock

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(_sockets, "_listen", listen_once)
    monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", port), ("127.0.0.2", port)))
    with pytest.raises(OSError, match=f"cannot listen on two.example port {port}: no"):
        listening("two.example", port)
    assert opened[0].fileno() == -1


def test_a_free_port_has_to_be_free_at_every_address(listening: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    opened = []
    listen = _sockets._listen

    def taken_once(family: int, kind: int, protocol: int, where: Any) -> socket.socket:
        asked.append(where)
        if len(asked) == 2:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        opened.append(sock := listen(family, kind, protocol, (*where[:1], 0)))
        return sock

    monkeypatch.setattr(_sockets, "_listen", taken_once)
    monkeypatch.setattr(socket, "getaddrinfo", found(("127.0.0.1", 0), ("127.0.0.2", 0)))
    sockets = listening("two.example")
    assert [where[0] for where in asked] == ["127.0.0.1", "127.0.0.2"] * 2
    first, second = opened[0].fileno(), sockets[0].getsockname()[1]
    assert first == -1, "the port of the first attempt is given up"
    assert [where[1] for where in asked[2:]] == [0, second], "the others follow the first one"


def test_an_address_keeps_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link-local address of IPv6 is of no use without the number of its interface (RFC 4007 6)."""
    asked = []

    def ask(family: int, kind: int, protocol: int, where: Any) -> socket.socket:
        asked.append(where)
        raise OSError(errno.EACCES, "no")

    link_local = (socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("fe80::1", 25, 0, 7))
    monkeypatch.setattr(_sockets, "_listen", ask)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [link_local])
    with pytest.raises(OSError, match="cannot listen on fe80::1%eth0 port 25: no"):
        bind("fe80::1%eth0", 25)
    assert asked == [("fe80::1", 25, 0, 7)]


@needs_unix_sockets
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_listened_on(listening: Any, tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "lmtp"
    [sock] = listening(kind(path))
    assert not sock.getblocking()
    assert stat.S_ISSOCK(path.stat().st_mode)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@needs_unix_sockets
def test_the_file_of_a_server_that_has_ended_is_replaced(listening: Any, tmp_path: Path) -> None:
    path = tmp_path / "lmtp"
    [sock] = listening(path)
    sock.close()
    assert path.exists()
    listening(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@needs_unix_sockets
@pytest.mark.parametrize("what", ["a server", "a file", "a folder", "a folder that is missing"])
def test_a_path_that_is_in_use_is_left_alone(listening: Any, tmp_path: Path, what: str) -> None:
    path = tmp_path / "lmtp"
    if what == "a server":
        listening(path)
    elif what == "a file":
        path.write_text("precious")
    elif what == "a folder":
        path.mkdir()
    else:
        path = path / "missing"
    before = path.exists() and path.stat().st_ino
    with pytest.raises(OSError, match=f"cannot listen on {path}: ") as caught:
        listening(path)
    assert caught.value.errno == (errno.ENOENT if what == "a folder that is missing" else errno.EADDRINUSE)
    assert (path.exists() and path.stat().st_ino) == before
