"""The table of calls and states of a client in docs/embedding.md is true."""

from __future__ import annotations

import pytest

from smtpcore import (
    Chunk,
    ClientConnection,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    LocalProtocolError,
    Mail,
    Noop,
    Quit,
    Rcpt,
    RemoteProtocolError,
    Reply,
    Response,
    StartTls,
    State,
)


def client(where: str) -> ClientConnection:
    """A client after EHLO, in one of the columns of the client's table."""
    connection = ClientConnection()
    hear(connection, "220 mx.example")
    connection.send(Ehlo("client.example"))
    connection.data_to_send()
    hear(connection, "250-mx.example", "250-PIPELINING", "250 STARTTLS")
    if where == "outstanding":
        connection.send(Noop())
        connection.data_to_send()
    elif where == "content":
        for command in (Mail("a@client.example"), Rcpt("b@example.org"), Data()):
            connection.send(command)
        connection.data_to_send()
        hear(connection, "250 ok", "250 ok", "354 go on")
    elif where == "tls":
        connection.send(StartTls())
        connection.data_to_send()
        hear(connection, "220 go on")
    elif where == "closed":
        connection.abort()
    return connection


def hear(connection: ClientConnection, *lines: str) -> list[Event]:
    connection.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    return events_of(connection)


def events_of(connection: ClientConnection) -> list[Event]:
    return list(iter(connection.next_event, None))


COLUMNS = ["nothing", "outstanding", "content", "tls", "closed"]


@pytest.mark.parametrize("where", COLUMNS)
def test_a_client_sends_commands_where_the_table_says(where: str) -> None:
    connection = client(where)
    if where in ("nothing", "outstanding"):
        connection.send(Noop())
        assert connection.outstanding[-1] == Noop()
        return
    with pytest.raises(LocalProtocolError):
        connection.send(Noop())
    if where == "content":
        connection.send(EndOfMessage())
        connection.send(Noop())


@pytest.mark.parametrize("where", COLUMNS)
@pytest.mark.parametrize("event", [Chunk(b"x\r\n"), EndOfMessage()])
def test_a_client_sends_content_after_354_only(where: str, event: Chunk | EndOfMessage) -> None:
    connection = client(where)
    if where == "content":
        connection.send(event)
        assert connection.data_to_send()
    else:
        with pytest.raises(LocalProtocolError):
            connection.send(event)


@pytest.mark.parametrize("data", [b"a\nb\r\n", b"a\rb\r\n", b"x" * 999 + b"\r\n", b"\xe4\r\n"])
def test_a_client_refuses_content_that_SMTP_cannot_carry(data: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        client("content").send(Chunk(data))


@pytest.mark.parametrize("where", COLUMNS)
def test_a_client_refuses_octets_where_they_cannot_be_SMTP(where: str) -> None:
    connection = client(where)
    if where in ("tls", "closed"):
        with pytest.raises(LocalProtocolError):
            connection.receive_data(b"250 ")
    else:
        connection.receive_data(b"250 ")


@pytest.mark.parametrize("where", COLUMNS)
def test_the_end_of_input_is_an_event_or_an_error_of_a_client(where: str) -> None:
    connection = client(where)
    closed = [] if where != "closed" else events_of(connection)
    connection.receive_data(b"")
    if where in ("outstanding", "content"):
        with pytest.raises(ConnectionLost):
            connection.next_event()
    events = events_of(connection)
    assert closed + events == [ConnectionClosed()]


def test_a_lost_connection_names_what_is_outstanding_and_whether_the_message_may_be_delivered() -> None:
    connection = client("content")
    connection.send(EndOfMessage())
    connection.data_to_send()
    connection.receive_data(b"")
    with pytest.raises(ConnectionLost) as caught:
        connection.next_event()
    assert caught.value.outstanding == (EndOfMessage(),) and caught.value.maybe_delivered


def test_a_closed_connection_after_QUIT_is_not_an_error() -> None:
    connection = client("nothing")
    connection.send(Quit())
    connection.data_to_send()
    connection.receive_data(b"")
    assert events_of(connection) == [ConnectionClosed()]


def test_an_unsolicited_reply_is_an_error_except_421() -> None:
    with pytest.raises(RemoteProtocolError):
        hear(client("nothing"), "250 ok")
    reply = Reply(421, None, "bye")
    assert hear(client("nothing"), "421 bye") == [Response(None, reply), ConnectionClosed()]
    assert hear(client("content"), "421 bye") == [Response(None, reply), ConnectionClosed()]


@pytest.mark.parametrize("code", [451, 552])
def test_a_refusal_within_content_ends_the_session(code: int) -> None:
    connection = client("content")
    assert hear(connection, f"{code} no")[0] == Response(None, Reply(code, None, "no"))
    with pytest.raises(LocalProtocolError):
        connection.send(Chunk(b"x\r\n"))


def test_421_answers_each_command_and_returns_those_that_were_held_back() -> None:
    connection = client("outstanding")
    connection.send(StartTls())  # held back: it ends a group
    reply = Reply(421, None, "bye")
    assert hear(connection, "421 bye") == [
        Response(Noop(), reply),
        CommandNotSent(StartTls()),
        ConnectionClosed(),
    ]


@pytest.mark.parametrize("where", COLUMNS)
def test_abort_closes_a_client_in_every_state(where: str) -> None:
    connection = client(where)
    connection.abort()
    assert connection.state is State.CLOSED


def test_commands_before_the_greeting_are_held_back() -> None:
    connection = ClientConnection()
    connection.send(Ehlo("client.example"))
    assert connection.outstanding == (Connect(),) and connection.data_to_send() == b""
