"""Scripted servers and clients: they do what is written, and say in which line the other side did not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

import smtpcore.asyncio
import smtpcore.sync
from smtpcore import ReplyError
from smtpcore.testing import (
    MailServer,
    ScriptedClient,
    ScriptedServer,
    ScriptError,
    client_context,
    on,
)

GREETED = """
    S: 220 mx.example ESMTP
    C: EHLO ...
    S> 250-mx.ex
    S> ample\\r\\n250 SIZE\\r\\n
"""


def test_a_client_meets_a_server_that_follows_a_script() -> None:
    script = f"""{GREETED}
        # The server is full.
        C~ MAIL FROM:<ann@example.org>( SIZE=\\d+)?
        S: 452 4.3.1 no room
        C: QUIT
        S: 221 bye
        EOF C
    """
    with (
        ScriptedServer(script) as server,
        smtpcore.sync.connect(server.host, server.port, security="none") as client,
        pytest.raises(ReplyError, match="no room"),
    ):
        client.send("ann@example.org", ["bob@example.org"], b"x\r\n")
    assert "C: MAIL FROM:<ann@example.org>" in server.transcript


def test_a_script_has_content_tls_and_a_delay() -> None:
    script = """
        S: 220 mx.example ESMTP
        C: EHLO ...
        S: 250-mx.example
        S: 250 STARTTLS
        C: STARTTLS
        S: 220 go on
        TLS
        C: EHLO ...
        S: 250 mx.example
        C: MAIL FROM:<ann@example.org>
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        S: 250 ok
        C: DATA
        S: 354 go on
        CONTENT
        WAIT 0.001
        S: 250 thanks
        C: QUIT
        EOF S
    """
    with ScriptedServer(script) as server:
        options = {"security": "starttls", "ssl_context": client_context()}
        with smtpcore.sync.connect(server.host, server.port, **options) as client:
            result = client.send("ann@example.org", ["bob@example.org"], b"x\r\n..y\r\n")
    assert result.reply is not None
    assert result.reply.text == "thanks"


@pytest.mark.parametrize(
    "script, problem",
    [
        ("S: 220 x\nC: HELO client.example", "line 2, 'HELO client.example' was expected: received 'EHLO"),
        ("S: 220 x\nC> X", "line 2, 'X' was expected: received b'E'"),
        ("S: 220 x\nC~ HELO .*", "line 2, 'HELO .*' was expected: received 'EHLO"),
        ("S: 220 x\nEOF C", "line 2, 'EOF C' was expected: received b'EHLO"),
        ("S: 220 x\nTLS", "line 2, 'TLS' was expected: "),
    ],
)
def test_a_client_that_does_not_follow_the_script_is_an_error_of_its_line(script: str, problem: str) -> None:
    server = ScriptedServer(script)
    with socket.create_connection((server.host, server.port), 30) as sock:
        sock.recv(100)
        sock.sendall(b"EHLO client.example\r\n")
        with contextlib.suppress(OSError):  # the server may have closed already
            sock.shutdown(socket.SHUT_WR)
        with pytest.raises(ScriptError) as caught:
            server.finish()
    assert str(caught.value).startswith(problem)


def test_a_client_that_leaves_early_is_an_error() -> None:
    server = ScriptedServer("S: 220 x\nC: NOOP")
    with socket.create_connection((server.host, server.port), 30) as sock:
        assert sock.recv(100) == b"220 x\r\n"
        sock.sendall(b"NOO")
    with pytest.raises(ScriptError, match="the connection was closed after b'NOO'"):
        server.finish()


def test_a_client_that_does_not_come_or_does_nothing_is_an_error() -> None:
    with pytest.raises(ScriptError, match=r"no client has connected within 0\.01 seconds"):
        ScriptedServer("S: 220 x", timeout=0.01).finish()
    server = ScriptedServer("S: 220 x\nC: NOOP", timeout=0.2)
    with (
        socket.create_connection((server.host, server.port), 30),
        pytest.raises(ScriptError, match="nothing arrived in time"),
    ):
        server.finish()


def test_the_error_of_a_test_is_not_hidden_by_that_of_the_script() -> None:
    with pytest.raises(ZeroDivisionError), ScriptedServer("S: 220 x\nC: NOOP"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "script, problem",
    [
        ("S: 220 x\n\nX: y", "line 3: 'X: y' is not a step"),
        ("S: \\q", r"line 1: '\\q' is not an escape"),
        ("C~ (", r"line 1: '\(' is not a regular expression"),
        ("WAIT soon", "line 1: 'WAIT soon' is not a step"),
    ],
)
def test_a_script_that_means_nothing_is_refused(script: str, problem: str) -> None:
    for kind in (ScriptedServer, ScriptedClient):
        with pytest.raises(ScriptError, match=problem.replace("\\\\", "\\\\\\\\")):
            kind(script)


def test_a_scripted_client_meets_a_server() -> None:
    script = """
        S: 220 ...
        C: EHLO client.example
        S~ 250-.*
        S: 250 HELP
        C: STARTTLS
        S: 220 ...
        TLS
        C> NO
        C> OP\\r\\n
        S> 250
        S:  2.0.0 ok
        C: QUIT
        S~ 221 .*
        EOF S
    """
    with MailServer(on("EHLO").reply("250-localhost.test\n250 HELP")) as server:
        dialogue = ScriptedClient(script).run("localhost", server.port)
    assert "C* QUIT" in dialogue


def test_a_server_that_does_not_follow_the_script_is_an_error_of_its_line() -> None:
    with MailServer() as server, pytest.raises(ScriptError) as caught:
        ScriptedClient("S: 220 ...\nC: NOOP\nS: 500 ...").run(server.host, server.port)
    assert str(caught.value).startswith("line 3, '500 ...' was expected: received '250 2.0.0 ok'\n")
    assert "C: NOOP" in str(caught.value)


def test_a_failed_test_frees_its_client_at_once() -> None:
    server = ScriptedServer("S: 220 x\nC: NOOP", timeout=600)
    with socket.create_connection((server.host, server.port), 30) as sock:
        assert sock.recv(100) == b"220 x\r\n"
        with pytest.raises(ZeroDivisionError), server:
            raise ZeroDivisionError
        assert sock.recv(100) == b""
    server._thread.join(60)
    assert not server._thread.is_alive()


def test_a_line_of_a_script_ends_at_a_line_feed_only() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ScriptedClient("C: a\u2028b\x0cc").run_over(ours)
        assert theirs.recv(100) == "a\u2028b\x0cc\r\n".encode()


@pytest.mark.parametrize("step", ["C~ .*", "CONTENT"])
def test_a_pattern_cannot_be_sent(step: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ScriptError, match=r"can expect .* and not send it"):
        ScriptedClient(step).run_over(ours)


def test_an_asyncio_test_can_use_both() -> None:
    async def main() -> str:
        with ScriptedServer(f"{GREETED}\nC: QUIT\nS: 221 bye") as server:
            async with await smtpcore.asyncio.connect(server.host, server.port, security="none"):
                pass
        with MailServer() as server:
            return await asyncio.to_thread(ScriptedClient("S: 220 ...").run, server.host, server.port)

    assert "S: 220 localhost.test" in asyncio.run(main())


def test_lines_that_follow_each_other_are_sent_at_once() -> None:
    """So that a script can pipeline, and a reply of several lines arrives whole."""
    client, server = socket.socketpair()
    script = "C: MAIL FROM:<a@b>\nC: RCPT TO:<a@b>\nC> DA\nC> TA\\r\\n"
    sent: list[bytes] = []

    class Socket(socket.socket):
        def sendall(self, octets: Any, flags: int = 0) -> None:
            sent.append(bytes(octets))

    with server, Socket(fileno=client.detach()) as observed:
        ScriptedClient(script).run_over(observed)
    assert sent == [b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n", b"DA", b"TA\r\n"]


def test_a_line_of_the_server_that_an_oracle_has_cut_short_stands_for_the_rest() -> None:
    script = f"S: 220 {'x' * 112}... [206 octets]"
    with ScriptedServer(f"S: 220 {'x' * 200}") as server:
        ScriptedClient(script).run(server.host, server.port)
    with ScriptedServer(f"S: 220 {'x' * 20}") as server, pytest.raises(ScriptError, match="line 1, "):
        ScriptedClient(script).run(server.host, server.port)
