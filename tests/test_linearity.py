"""Twice the input is twice the work: counted in calls, not in seconds.

What is counted is every call of a Python or C function while the input goes through. A loop over what has
arrived already, once for every read, shows as a count that grows with the square.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import pytest

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


def test_the_count_sees_the_square() -> None:
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
def test_commands_of_any_kind(block: bytes, size: int) -> None:
    assert_linear(lambda count: serve(block * count, size), 300)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize(
    "block", [b"x", b".", b"\r\n", b"..\r\n", b"\r\n.", b"\r\n.\r", b"\n", b"x.\r\n", b"\r\n..\r\n"], ids=repr
)
def test_content_of_any_kind(block: bytes, size: int) -> None:
    assert_linear(lambda count: serve(ENVELOPE + block * count + b"\r\n.\r\n", size), 300)


def test_recipients() -> None:
    recipients = b"RCPT TO:<c@d.example>\r\n"
    assert_linear(lambda count: serve(ENVELOPE[:-6] + recipients * count, 4096))


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("line", [b"250-x\r\n", b"250 x\r\n"], ids=repr)
def test_replies(line: bytes, size: int) -> None:
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


def ask(connection: ClientConnection) -> None:
    connection.receive_data(b"220 x\r\n")
    connection.next_event()
    connection.send(Ehlo("a.example"))
    connection.data_to_send()
    connection.receive_data(b"250-x\r\n250 PIPELINING\r\n")
    connection.next_event()


def test_recipients_that_are_all_refused() -> None:
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


def test_content_that_a_client_sends() -> None:
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
