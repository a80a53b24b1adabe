"""The table of calls and states of a server in docs/embedding.md is true."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smtpcore import (
    Connect,
    ConnectionClosed,
    Event,
    LocalProtocolError,
    MessageAborted,
    Noop,
    Quit,
    Reply,
    ServerConfig,
    ServerConnection,
    State,
    TlsInfo,
)

CONFIG = ServerConfig(starttls=True, auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)
ENVELOPE = b"EHLO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n"
LINES = {
    State.GREETED: b"",
    State.READY: b"EHLO x.example\r\n",
    State.AUTHENTICATING: b"EHLO x.example\r\nAUTH PLAIN\r\n",
    State.TLS: b"EHLO x.example\r\nSTARTTLS\r\n",
    State.MAIL: ENVELOPE.partition(b"RCPT")[0],
    State.RCPT: ENVELOPE,
    State.CONTENT: ENVELOPE + b"DATA\r\n",
    State.CLOSED: b"QUIT\r\n",
}
OPEN = [state for state in LINES if state is not State.CLOSED]


def events_of(connection: ServerConnection) -> list[Event]:
    """Run the loop: accept everything, and leave at ConnectionClosed."""
    events: list[Event] = []
    while (event := connection.next_event()) is not None:
        events.append(event)
        if isinstance(event, ConnectionClosed):
            break
        if connection.unanswered is not None:
            connection.accept()
    return events


def server_in(state: State) -> ServerConnection:
    """A server in a state, with nothing left to send."""
    connection = ServerConnection("mx.example.org", config=CONFIG)
    events_of(connection)
    if LINES[state]:
        connection.receive_data(LINES[state])
        events_of(connection)
    connection.data_to_send()
    assert connection.state is state
    return connection


@pytest.mark.parametrize("state", OPEN)
def test_end_of_input_ends_the_session_without_a_reply(state: State) -> None:
    connection = server_in(state)
    connection.receive_data(b"")
    events = events_of(connection)
    assert events == [*([MessageAborted(None)] if state is State.CONTENT else []), ConnectionClosed()]
    assert (connection.state, connection.data_to_send()) == (State.CLOSED, b"")
    connection.receive_data(b"")  # a second time changes nothing


def test_complete_commands_before_the_end_of_input_are_still_answered() -> None:
    connection = server_in(State.READY)
    connection.receive_data(b"NOOP\r\nQUIT\r\nNOO")
    connection.receive_data(b"")
    assert events_of(connection) == [Noop(), Quit(), ConnectionClosed()]
    assert connection.data_to_send().count(b"\r\n") == 2


@pytest.mark.parametrize("state", OPEN)
def test_close_says_421_wherever_a_reply_is_possible(state: State) -> None:
    connection = server_in(state)
    reply = Reply(421, "4.4.2", "timeout")
    connection.close(reply)
    expected = b"" if state is State.TLS else b"421 4.4.2 mx.example.org timeout\r\n"
    assert (connection.state, connection.data_to_send()) == (State.CLOSED, expected)
    assert events_of(connection) == [
        *([MessageAborted(reply)] if state is State.CONTENT else []),
        ConnectionClosed(),
    ]
    connection.close()
    assert connection.data_to_send() == b""


def test_close_in_the_opening_says_421_in_place_of_the_greeting() -> None:
    connection = ServerConnection("mx.example.org")
    connection.close()
    assert events_of(connection) == [ConnectionClosed()]
    assert connection.data_to_send().startswith(b"421 mx.example.org ")


def test_close_drops_the_unanswered_event() -> None:
    connection = server_in(State.READY)
    connection.receive_data(b"NOOP\r\n")
    assert connection.next_event() == connection.unanswered == Noop()
    connection.close()
    assert connection.unanswered is None
    with pytest.raises(LocalProtocolError):
        connection.accept()


ANSWERS: list[Callable[[ServerConnection], object]] = [
    lambda connection: connection.accept(),
    lambda connection: connection.reject(550, None, "no"),
    lambda connection: connection.send(Reply(250, None, "yes")),
]


@pytest.mark.parametrize("state", LINES)
@pytest.mark.parametrize("answer", ANSWERS, ids=["accept", "reject", "send"])
def test_an_answer_without_an_event_is_refused(
    answer: Callable[[ServerConnection], object], state: State
) -> None:
    connection = server_in(state)
    with pytest.raises(LocalProtocolError):
        answer(connection)
    assert (connection.state, connection.data_to_send()) == (state, b"")


def test_an_answer_that_the_event_cannot_have_leaves_it_unanswered() -> None:
    connection = server_in(State.READY)
    connection.receive_data(b"NOOP\r\n")
    connection.next_event()
    with pytest.raises(LocalProtocolError):
        connection.send(Reply(354, None, "no"))
    with pytest.raises(LocalProtocolError):
        connection.next_event()
    assert (connection.unanswered, connection.data_to_send()) == (Noop(), b"")


@pytest.mark.parametrize("state", [State.TLS, State.CLOSED])
def test_octets_are_refused_where_they_cannot_be_SMTP(state: State) -> None:
    connection = server_in(state)
    with pytest.raises(LocalProtocolError):
        connection.receive_data(b"NOOP\r\n")
    assert connection.state is state


@pytest.mark.parametrize("state", LINES)
def test_tls_started_is_refused_except_after_STARTTLS(state: State) -> None:
    connection = server_in(state)
    if state is State.TLS:
        connection.tls_started(TlsInfo())
        assert (connection.state, connection.hello) == (State.GREETED, None)
    else:
        with pytest.raises(LocalProtocolError):
            connection.tls_started(TlsInfo())
        assert (connection.state, connection.tls) == (state, None)


@pytest.mark.parametrize("state", LINES)
def test_the_timeout_is_the_same_in_every_state(state: State) -> None:
    assert server_in(state).timeout == 300


def test_octets_before_the_greeting_are_kept_and_noticed() -> None:
    connection = ServerConnection("mx.example.org")
    connection.receive_data(b"NOOP\r\n")
    assert events_of(connection) == [Connect(), Noop()]
    assert connection.early_input


def test_a_caller_that_reads_without_asking_for_events_is_stopped() -> None:
    connection = server_in(State.READY)
    for _ in range(CONFIG.limits.receive_buffer // 65536 + 1):
        connection.receive_data(b"x" * 65536)
    with pytest.raises(LocalProtocolError):
        connection.receive_data(b"x")
