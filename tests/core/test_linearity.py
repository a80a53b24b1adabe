"""Twice the input is twice the work: counted in calls, not in seconds.

What is counted is every call of a Python or C function while the input goes through. A loop over what has
arrived already, once for every read, shows as a count that grows with the square.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping

import pytest

import smtpcore
from smtpcore import (
    Chunk,
    ClientConnection,
    CommandRejected,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Limits,
    Mail,
    MessageAborted,
    Rcpt,
    ServerConfig,
    ServerConnection,
)
from smtpcore.extensions import STANDARD, Extension, Parameter

ENVELOPE = b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
LOOSE = Limits(bad_commands=10**9, idle_commands=None, message_size=None, recipients=10**9)


def calls(function: Callable[[], object]) -> int:
    """How many functions were called."""
    count = 0

    def tell(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tell)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def assert_linear(work: Callable[[int], object], size: int = 1000) -> None:
    work(10)  # caches are filled, modules loaded
    once, twice = calls(lambda: work(size)), calls(lambda: work(2 * size))
    assert once > 0
    assert twice <= 2.2 * once + 200


def pieces(octets: bytes, size: int) -> Iterable[bytes]:
    return (octets[start : start + size] for start in range(0, len(octets), size))


def serve(octets: bytes, size: int) -> None:
    connection = ServerConnection("mx.example", config=ServerConfig(limits=LOOSE))
    for piece in pieces(octets, size):
        connection.receive_data(piece)
        while (event := connection.next_event()) is not None:
            if isinstance(event, ConnectionClosed):
                return
            if not isinstance(event, Chunk | CommandRejected | MessageAborted):
                connection.accept()
        connection.data_to_send()


# Methods that go through all of the octets or the text that they belong to.
WHOLE = frozenset({"decode", "encode", "replace", "split", "splitlines", "translate", "upper", "lower", "join"})


def octets(function: Callable[[], object]) -> int:
    """How many octets and characters such methods have gone through."""
    count = 0

    def tell(frame: object, event: str, argument: object) -> None:
        nonlocal count
        whole = getattr(argument, "__self__", None)
        if event == "c_call" and getattr(argument, "__name__", "") in WHOLE and isinstance(whole, bytes | str):
            count += len(whole)

    sys.setprofile(tell)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def assert_octets_linear(work: Callable[[int], object], size: int = 200) -> None:
    work(10)
    once, twice = octets(lambda: work(size)), octets(lambda: work(2 * size))
    assert once > 0
    assert twice <= 2.2 * once + 1000


def test_the_count_of_octets_notices_a_read_that_is_decoded_for_each_command() -> None:
    def work(size: int) -> None:
        read = b"NOOP\r\n" * size
        for _ in range(size):
            read.decode("latin-1")

    with pytest.raises(AssertionError):
        assert_octets_linear(work)


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize(
    "block",
    [
        b"NOOP\r\n",
        b"noop x\r\n",
        b"HELO a.example\r\n",
        b"EHLO a.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
        b"EHLO M\xdcLLER\r\n",
        b"BDAT 3\r\nxyz",
        b"\xff\r\n",
        ENVELOPE + b"x\r\n.\r\n",
        ENVELOPE + b"..x\r\n\0\r\n.\r\n",
    ],
    ids=repr,
)
def test_a_read_full_of_commands_is_decoded_once(block: bytes, size: int) -> None:
    assert_octets_linear(lambda count: serve(block * count, size))


def test_the_count_of_instructions_notices_quadratic_work() -> None:
    def work(size: int) -> None:
        for number in range(size // 10):
            for _ in range(number):
                len("")

    with pytest.raises(AssertionError):
        assert_linear(work)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize(
    "block",
    [b"x", b"\r", b"\n", b"\0", b"\r\n", b"NOOP\r\n", b'NOOP "\\', b"MAIL FROM:<", b"a@", b"EHLO -"],
    ids=repr,
)
def test_commands_of_any_kind_take_linear_work(block: bytes, size: int) -> None:
    assert_linear(lambda count: serve(block * count, size), 300)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize(
    "block", [b"x", b".", b"\r\n", b"..\r\n", b"\r\n.", b"\r\n.\r", b"\n", b"x.\r\n", b"\r\n..\r\n"], ids=repr
)
def test_content_of_any_kind_takes_linear_work(block: bytes, size: int) -> None:
    assert_linear(lambda count: serve(ENVELOPE + block * count + b"\r\n.\r\n", size), 300)


def test_recipients_take_linear_work() -> None:
    recipients = b"RCPT TO:<c@d.example>\r\n"
    assert_linear(lambda count: serve(ENVELOPE[:-6] + recipients * count, 4096))


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("line", [b"250-x\r\n", b"250 x\r\n"], ids=repr)
def test_replies_take_linear_work(line: bytes, size: int) -> None:
    def work(count: int) -> None:
        connection = ClientConnection(limits=Limits(reply_lines=10**9, outstanding_commands=10**9))
        ask(connection)
        connection.send(Mail("a@b.example"))
        for _ in range(count - 1):
            connection.send(Rcpt("c@d.example"))
        connection.data_to_send()
        for piece in pieces(line * (count - 1) + b"250 x\r\n", size):
            connection.receive_data(piece)
            while connection.next_event() is not None:
                pass

    assert_linear(work, 300)


def ask(connection: ClientConnection, offer: bytes = b"250-x\r\n250 PIPELINING\r\n") -> None:
    connection.receive_data(b"220 x\r\n")
    connection.next_event()
    connection.send(Ehlo("a.example"))
    connection.data_to_send()
    connection.receive_data(offer)
    connection.next_event()


def test_refused_recipients_take_linear_work() -> None:
    def work(count: int) -> None:
        connection = ClientConnection()
        ask(connection)
        connection.send(Mail("a@b.example"))
        for _ in range(count):
            connection.send(Rcpt("c@d.example"))
        connection.send(Data())
        connection.data_to_send()
        answered = 0
        connection.receive_data(b"250 x\r\n")
        while answered < count:
            if connection.next_event() is None:
                connection.data_to_send()
                connection.receive_data(b"550 x\r\n")
                answered += 1

    assert_linear(work)


def test_recipients_with_parameters_that_a_client_sends() -> None:
    """All before the first reply: each one is judged by what the server offers, and waits for its turn."""
    notify = Extension("NOTE", parameters=(Parameter.of_names("NOTE", "RCPT", "YES", "NO"),))

    def work(count: int) -> None:
        connection = ClientConnection(extensions=(*STANDARD, notify))
        ask(connection, b"250-x\r\n250-NOTE\r\n250 PIPELINING\r\n")
        connection.send(Mail("a@b.example"))
        for _ in range(count):
            connection.send(Rcpt("c@d.example", {"NOTE": "YES"}))
            connection.data_to_send()

    assert_linear(work)


def test_ten_thousand_recipients_cost_no_more_each_than_a_thousand() -> None:
    """A count for each recipient, by server and client together, that the number of them does not change."""

    def work(count: int) -> None:
        client = ClientConnection()
        ask(client)
        server = ServerConnection("mx.example", config=ServerConfig(limits=LOOSE))
        server.receive_data(b"EHLO a.example\r\n")
        client.send(Mail("a@b.example"))
        for _ in range(count):
            client.send(Rcpt("c@d.example"))
        accepted = 0
        while True:
            while (event := server.next_event()) is not None:
                accepted += isinstance(event, Rcpt)
                server.accept()
            replies = server.data_to_send().partition(b"250 2.1")  # those before are to the opening and EHLO
            if replies[1]:
                client.receive_data(replies[1] + replies[2])
            while client.next_event() is not None:
                pass
            octets = client.data_to_send()
            if not octets:
                break
            server.receive_data(octets)
        assert accepted == count

    work(10)
    assert calls(lambda: work(10_000)) <= 10.2 * calls(lambda: work(1000))


def test_a_read_for_each_octet_of_content_costs_a_constant() -> None:
    """Each read of one octet is the same few calls, however much has gone before."""

    def work(count: int) -> None:
        connection = ServerConnection("mx.example", config=ServerConfig(limits=LOOSE))
        connection.receive_data(ENVELOPE)
        while connection.next_event() is not None:
            connection.accept()
        for _ in range(count):
            connection.receive_data(b".")
            while connection.next_event() is not None:
                pass

    assert_linear(work)


def test_256_MiB_of_content_are_not_copied_more_often_than_one_MiB() -> None:
    """What 1 MiB costs is the same at the beginning and after 255 MiB, and nothing is held meanwhile."""
    read = (b"x" * 74 + b"\r\n") * 862  # nearly 64 KiB

    def begun() -> ServerConnection:
        connection = ServerConnection("mx.example", config=ServerConfig(limits=LOOSE))
        connection.receive_data(ENVELOPE)
        while connection.next_event() is not None:
            connection.accept()
        return connection

    def work(connection: ServerConnection, reads: int) -> None:
        for _ in range(reads):
            connection.receive_data(read)
            event = connection.next_event()
            assert isinstance(event, Chunk) and abs(len(event.data) - len(read)) <= 4
            assert connection.next_event() is None

    connection = begun()
    work(connection, 1)
    first = octets(lambda: work(connection, 16))
    work(connection, 4096 - 32)
    assert octets(lambda: work(connection, 16)) == first
    assert calls(lambda: work(connection, 1)) < 50
    assert len(connection._buffer) == 0 and connection._buffer.data == b""


def test_content_that_a_client_sends_takes_linear_work() -> None:
    def work(count: int) -> None:
        connection = ClientConnection()
        ask(connection)
        for command in (Mail("a@b.example"), Rcpt("c@d.example"), Data()):
            connection.send(command)
        connection.data_to_send()
        connection.receive_data(b"250 x\r\n250 x\r\n354 x\r\n")
        while connection.next_event() is not None:
            pass
        for _ in range(count):
            connection.send(Chunk(b".\r\n"))
            connection.data_to_send()
        connection.send(EndOfMessage())

    assert_linear(work)


# --- What sessions share -----------------------------------------------------------------------------------


def unbounded_caches(members: Mapping[str, object]) -> list[str]:
    """The functions and methods that remember without a limit what they have returned."""
    found = []
    for name, member in members.items():
        if isinstance(member, type):
            found += unbounded_caches(vars(member))
        parameters = getattr(member, "cache_parameters", None)
        if parameters is not None and parameters()["maxsize"] is None:
            found.append(name)
    return found


def test_no_cache_grows_without_a_limit() -> None:
    """Sessions share the caches, and a peer chooses the keys of some of them."""

    class Offence:
        method = functools.cache(len)

    functions = {"f": functools.cache(len), "g": functools.lru_cache(maxsize=8)(len), "Offence": Offence}
    assert unbounded_caches(functions) == ["f", "method"]
    names = [one.name for one in pkgutil.walk_packages(smtpcore.__path__, "smtpcore.")]
    assert "smtpcore._core.server" in names
    for name in names:
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        assert unbounded_caches(vars(module)) == [], name
