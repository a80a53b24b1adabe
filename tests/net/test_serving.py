"""How a session is run, ended from outside and refused, against scripted clients."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest

from smtpcore import Data, EndOfMessage, LocalProtocolError, Noop, Reply, ServerConfig
from smtpcore._net.serveroptions import ServerOptions
from smtpcore._net.serving import refusal_of
from smtpcore._net.session import ServerSession
from smtpcore.stream import run, serve_stream
from smtpcore.transcript import Transcript

from ..helpers.scripted import Stream, serve

HELLO = ("220", "EHLO client.example")
TO_THE_END = [
    HELLO,
    ("250", "MAIL FROM:<a@client.example>"),
    ("250", "RCPT TO:<one@mx.example>"),
    ("250", "DATA"),
    ("354", "x\n."),
]


async def accept_all(session: ServerSession) -> None:
    async for _ in session:
        if session.unanswered:
            session.accept()


# -- on a stream of one's own --


def test_a_session_runs_over_a_stream_of_ones_own_and_closes_it() -> None:
    stream = Stream([HELLO, ("250", "QUIT")])
    run(serve_stream(stream, accept_all, hostname="mx.example"))
    stream.finish("221")
    assert stream.written.startswith(b"220 mx.example ")


def test_the_options_of_a_session_over_a_stream_of_ones_own() -> None:
    transcript = Transcript()
    stream = Stream([HELLO, ("250", "QUIT")])
    run(
        serve_stream(
            stream,
            accept_all,
            hostname="mx.example",
            config=ServerConfig(smtputf8=False),
            ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            transcript=lambda: transcript,
        )
    )
    assert b"STARTTLS" in stream.written
    assert b"SMTPUTF8" not in stream.written
    assert "EHLO client.example" in str(transcript)


def test_a_stream_of_ones_own_is_closed_when_the_handler_fails() -> None:
    async def fail(session: ServerSession) -> None:
        raise ZeroDivisionError

    stream = Stream([])
    with pytest.raises(ZeroDivisionError):
        run(serve_stream(stream, fail, hostname="mx.example"))
    stream.finish("421 mx.example internal error")


def test_what_cannot_be_a_handler_is_refused_before_anything_is_sent() -> None:
    handler: Any = "not a handler"
    stream = Stream([])
    with pytest.raises(TypeError):
        run(serve_stream(stream, handler))
    assert stream.written == b""


# -- ended from outside --


class Cancelled(BaseException):
    """Stands for the cancellation of an event loop."""


def test_a_session_that_is_cancelled_sends_421_and_breaks_the_connection() -> None:
    async def cancelled_at_noop(session: ServerSession) -> None:
        async for event in session:
            if isinstance(event, Noop):
                raise Cancelled
            session.accept()

    stream = Stream([HELLO, ("250", "NOOP")])
    with pytest.raises(Cancelled):
        serve(cancelled_at_noop, [], stream=stream, last="421 4.3.2 mx.example service is shutting down")
    assert stream.aborted


@pytest.mark.parametrize("answer", ["accept", "send"])
def test_a_message_that_is_accepted_after_the_farewell_is_logged(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client got 421 and sends the message again, so it may be stored twice."""
    transcript = Transcript()
    sessions = []

    async def dismissed_at_the_end(session: ServerSession) -> None:
        sessions.append(session)
        async for event in session:
            if isinstance(event, EndOfMessage):
                stream.dismiss()
                for _ in range(2):
                    with pytest.raises(LocalProtocolError):
                        session.accept() if answer == "accept" else session.send(Reply(250, "2.0.0", "ok"))
                return
            if session.unanswered:
                session.accept()

    stream = Stream(TO_THE_END)
    serve(dismissed_at_the_end, [], stream=stream, last="421", transcript=lambda: transcript)
    assert stream.written.endswith(b"421 4.3.2 mx.example service is shutting down\r\n")
    assert "421 4.3.2 mx.example" in str(transcript)
    assert sessions[0].octets_sent == len(stream.written)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "a message of ('192.0.2.2', 25) was accepted after the server had stopped: the client got 421, and may"
        " send the message again"
    )


def test_only_a_message_is_worth_that_line(caplog: pytest.LogCaptureFixture) -> None:
    async def dismissed_at_data(session: ServerSession) -> None:
        async for event in session:
            if isinstance(event, Data):
                stream.dismiss()
                with pytest.raises(LocalProtocolError):
                    session.accept()
                return
            session.accept()

    stream = Stream(TO_THE_END[:-1])
    serve(dismissed_at_data, [], stream=stream, last="421")
    assert caplog.records == []


def test_a_message_that_is_refused_after_the_farewell_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def dismissed_at_the_end(session: ServerSession) -> None:
        async for event in session:
            if isinstance(event, EndOfMessage):
                stream.dismiss()
                with pytest.raises(LocalProtocolError):
                    session.send(Reply(550, "5.7.1", "no"))
                return
            if session.unanswered:
                session.accept()

    stream = Stream(TO_THE_END)
    serve(dismissed_at_the_end, [], stream=stream, last="421")
    assert caplog.records == []


# -- facts of a session --


def test_each_session_has_an_id_of_its_own() -> None:
    sessions: list[ServerSession] = []

    async def handle(session: ServerSession) -> None:
        sessions.append(session)
        await accept_all(session)

    for _ in range(2):
        serve(handle, [HELLO, ("250", "QUIT")], last="221")
    first, second = sessions
    assert first.id == first.id != second.id
    assert len(bytes.fromhex(first.id)) == 8


def test_a_session_gives_the_received_field_of_its_transaction() -> None:
    fields = []

    async def handle(session: ServerSession) -> None:
        async for event in session:
            if isinstance(event, Data):
                fields.append(session.received_field())
            if session.unanswered:
                session.accept()

    serve(handle, [*TO_THE_END, ("250", "QUIT")], last="221")
    (field,) = fields
    assert field.startswith(b"Received: from client.example ([192.0.2.2])")
    assert b"for <one@mx.example>" in field


# -- refused --


def test_a_connection_for_which_there_is_no_place_gets_421() -> None:
    refusal = refusal_of(ServerOptions(hostname="mx.example"))
    assert refusal(("192.0.2.1", 25), "too many connections") == b"421 mx.example too many connections\r\n"


def test_a_connection_that_expects_tls_is_refused_without_a_word() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    options = ServerOptions(hostname="mx.example", ssl_context=context, implicit_tls=True)
    assert refusal_of(options)(("192.0.2.1", 25), "too many connections") == b""
