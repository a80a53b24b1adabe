"""Faulty servers: what the rules do on the wire, and to the messages."""

from __future__ import annotations

import asyncio
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import trio

import smtpcore.asyncio
import smtpcore.sync
import smtpcore.trio
from smtpcore import (
    ConnectionLost,
    LocalProtocolError,
    RecipientsRefused,
    RemoteProtocolError,
    ReplyError,
    SMTPError,
    TlsError,
)
from smtpcore.testing import (
    MailServer,
    Rule,
    client_context,
    early_552,
    greylist,
    mailbox_full,
    on,
    parse_rule,
    rate_limit,
    tarpit,
)

CONTENT = b"Subject: Hello\r\n\r\nHello Bob\r\n"
HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<ann@example.org>\r\nRCPT TO:<bob@example.org>\r\nRCPT TO:<eve@example.org>\r\n"


def send(server: MailServer, *recipients: str, content: bytes = CONTENT) -> list[int]:
    """Send a message with our client, and return the reply codes of the recipients and of the message."""
    with smtpcore.sync.connect(server.host, server.port, security="none") as client:
        result = client.send("ann@example.org", recipients or ("bob@example.org",), content)
    return [one.reply.code for one in result.results if one.reply is not None]


def raw(server: MailServer, *pieces: bytes) -> bytes:
    """Send octets, close, and return all that the server sends."""
    with socket.create_connection((server.host, server.port), 30) as sock:
        for piece in pieces:
            sock.sendall(piece)
        try:
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))
        except OSError:
            return b""


def lines_after(octets: bytes, start: bytes) -> list[bytes]:
    """The lines from the first one on that begins with something."""
    lines = octets.split(b"\r\n")
    first = next(number for number, line in enumerate(lines) if line.startswith(start))
    return lines[first:]


def test_a_server_without_faults_keeps_what_it_has_accepted() -> None:
    with MailServer() as server:
        send(server, "bob@example.org", "eve@example.org")
    (mail,) = server.messages
    assert mail.sender == "ann@example.org"
    assert mail.recipients == ("bob@example.org", "eve@example.org")
    assert mail.content == CONTENT
    assert mail.subject == "Hello"
    assert mail.message.get_content() == "Hello Bob\n"


def test_a_reply_refuses_the_second_recipient_only() -> None:
    with (
        MailServer(on("RCPT", nth=2, times=1).reply("451 4.7.1 later")) as server,
        smtpcore.sync.connect(server.host, server.port) as client,
    ):
        result = client.send("ann@example.org", ["b@example.org", "c@example.org", "d@example.org"], CONTENT)
    assert {one.recipient: one.reply.code for one in result.results if one.reply} == {
        "b@example.org": 250,
        "c@example.org": 451,
        "d@example.org": 250,
    }
    assert server.messages[0].recipients == ("b@example.org", "d@example.org")


def test_the_octets_of_a_reply_are_sent_as_they_are_written() -> None:
    with MailServer(on("EHLO").reply("250-mx.example\n250 SIZE 10")) as server:
        assert raw(server, HELLO + b"NOOP\r\n").split(b"\r\n")[1:3] == [b"250-mx.example", b"250 SIZE 10"]


def test_replies_stay_in_the_order_of_the_commands() -> None:
    with MailServer(on("RCPT", nth=2).reply("451 4.7.1 later").delay(0.01)) as server:
        replies = lines_after(raw(server, HELLO + ENVELOPE + b"NOOP\r\n"), b"250 2.1.0")
    assert [reply[:3] for reply in replies] == [b"250", b"250", b"451", b"250", b""]


@pytest.mark.parametrize("reply", ["999 what", "hello", "250", "354 go on", "", "550-\n550-"])
def test_a_reply_need_not_be_legal(reply: str) -> None:
    with MailServer(on("NOOP").reply(reply)) as server:
        octets = raw(server, b"NOOP\r\n")
    assert octets.partition(b"\r\n")[2] == "".join(f"{line}\r\n" for line in reply.split("\n")).encode()


def test_a_message_that_is_refused_is_not_kept() -> None:
    with MailServer(on(".", times=1).reply("451 4.3.0 later")) as server:
        with pytest.raises(ReplyError) as caught:
            send(server)
        assert caught.value.reply.code == 451
        assert server.messages == []
        send(server)
        assert len(server.messages) == 1


def test_a_message_is_kept_although_its_reply_is_lost() -> None:
    with MailServer(on(".").disconnect()) as server:
        with pytest.raises(ConnectionLost) as caught:
            send(server)
        assert caught.value.maybe_delivered
        assert len(server.messages) == 1


@pytest.mark.parametrize("octets", [0, 1, 7])
def test_a_disconnection_comes_after_some_octets_of_the_reply(octets: int) -> None:
    with MailServer(on("NOOP").disconnect(after=octets)) as server:
        received = raw(server, b"NOOP\r\nNOOP\r\n")
    assert received.partition(b"\r\n")[2] == b"250 2.0.0 ok"[:octets]


def test_garbage_is_an_error_of_the_protocol_to_a_client() -> None:
    with MailServer(on("MAIL").garbage()) as server, pytest.raises(RemoteProtocolError):
        send(server)
    assert server.messages == []


def test_a_reply_in_pieces_is_understood() -> None:
    with MailServer(on("*").split(1)) as server:
        assert send(server) == [250]


def test_tls_that_is_dropped_is_an_error_of_tls() -> None:
    with MailServer(on("STARTTLS").drop_tls()) as server, pytest.raises(TlsError):
        smtpcore.sync.connect(server.host, server.port, security="starttls", ssl_context=client_context())


def test_tls_that_is_dropped_later_ends_the_session() -> None:
    with MailServer(on("MAIL").drop_tls(), tls="implicit") as server:
        options = {"security": "tls", "ssl_context": client_context()}
        with (
            smtpcore.sync.connect(server.host, server.port, **options) as client,
            pytest.raises(ConnectionLost),
        ):
            client.send("ann@example.org", ["bob@example.org"], CONTENT)


def test_a_greeting_can_be_refused_with_any_code() -> None:
    with MailServer(on("CONNECT").reply("451 no")) as server:
        assert raw(server, b"QUIT\r\n").startswith(b"451 no\r\n221 ")


def test_a_quit_can_be_refused() -> None:
    with MailServer(on("QUIT").reply("550 stay")) as server:
        assert raw(server, b"QUIT\r\n").endswith(b"\r\n550 stay\r\n")


def test_a_login_can_fail_although_the_password_is_right() -> None:
    with (
        MailServer(on("AUTH", times=2).reply("454 4.7.0 later"), users={"joe": "secret"}) as server,
        smtplib.SMTP(server.host, server.port) as client,
    ):
        with pytest.raises(smtplib.SMTPAuthenticationError):  # smtplib tries both mechanisms
            client.login("joe", "secret")
        assert client.login("joe", "secret")[0] == 235


def test_the_delay_ends_when_the_server_closes() -> None:
    server = MailServer(on("NOOP").delay(3600))
    with socket.create_connection((server.host, server.port), 30) as sock:
        sock.sendall(b"NOOP\r\n")
        assert sock.recv(4)
        server.close()
        while sock.recv(65536):
            pass


# --- Presets ----------------------------------------------------------------------------------------------


def test_greylisting_refuses_each_recipient_once() -> None:
    with MailServer(greylist()) as server:
        for path in ("bob@example.org", "eve@example.org"):
            with pytest.raises(RecipientsRefused):
                send(server, path)
            assert send(server, path) == [250]


def test_a_tarpit_delays_and_loses_nothing() -> None:
    with MailServer(tarpit(0.001)) as server:
        assert send(server) == [250]
        assert len(server.messages) == 1


def test_a_full_mailbox_refuses_for_now() -> None:
    with MailServer(mailbox_full()) as server, pytest.raises(RecipientsRefused) as caught:
        send(server)
    assert caught.value.reply.code == 452


def test_a_rate_limit_counts_messages_over_all_sessions() -> None:
    with MailServer(rate_limit(2)) as server:
        assert send(server) == send(server) == [250]
        with pytest.raises(ReplyError) as caught:
            send(server)
    assert caught.value.reply.code == 451


def test_an_early_552_comes_while_the_content_is_sent() -> None:
    with MailServer(early_552(after=1000)) as server:
        assert send(server) == [250]
        with pytest.raises(ReplyError) as caught:
            send(server, content=b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 200_000)
    assert caught.value.reply.code == 552
    assert [len(mail.content) for mail in server.messages] == [len(CONTENT)]


def test_a_message_that_was_refused_early_gets_no_second_reply() -> None:
    with MailServer(on("CONTENT", times=1).reply("452 4.3.1 no room")) as server:
        octets = raw(server, HELLO + ENVELOPE + b"DATA\r\n", CONTENT + b".\r\n", b"NOOP\r\n")
    assert [line[:3] for line in lines_after(octets, b"354")] == [b"354", b"452", b"250", b""]
    assert server.messages == []


# --- Rules ------------------------------------------------------------------------------------------------


def test_the_rule_that_was_added_last_goes_first() -> None:
    with MailServer(on("NOOP").reply("450 old")) as server:
        server.fail_next("NOOP", "451 new")
        assert raw(server, b"NOOP\r\nNOOP\r\n").endswith(b"\r\n451 new\r\n450 old\r\n")


def test_a_rule_that_is_added_again_counts_again() -> None:
    busy = on("NOOP", times=1).reply("451 busy")
    with MailServer(busy) as server:
        assert raw(server, b"NOOP\r\nNOOP\r\n").endswith(b"\r\n451 busy\r\n250 2.0.0 ok\r\n")
        server.add(busy)
        assert raw(server, b"NOOP\r\nNOOP\r\n").endswith(b"\r\n451 busy\r\n250 2.0.0 ok\r\n")
    rule = greylist()
    with MailServer() as server:
        for _ in range(2):
            server.add(rule)
            with pytest.raises(RecipientsRefused):
                send(server)
            assert send(server) == [250]


@pytest.mark.parametrize("after", [-1, -100])
def test_a_reply_is_not_cut_from_its_end(after: int) -> None:
    with pytest.raises(LocalProtocolError, match=rf"disconnect\(after\) is at least 0, not {after}"):
        on("NOOP").disconnect(after)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300])
def test_a_delay_is_a_time_that_every_adapter_can_wait(seconds: float) -> None:
    for make in (on("NOOP").delay, tarpit):
        with pytest.raises(LocalProtocolError, match="a delay has at least 0 seconds"):
            make(seconds)


@pytest.mark.parametrize(
    "text, rule",
    [
        ("tarpit", tarpit()),
        ("rcpt nth=2 times=1: reply 451 4.7.1 later", on("RCPT", nth=2, times=1).reply("451 4.7.1 later")),
        ("EHLO: reply 250-a\\n250 b", on("EHLO").reply("250-a\n250 b")),
        (".: delay 0.5; disconnect 3", on(".").delay(0.5).disconnect(3)),
        ("CONTENT after=9: disconnect", on("CONTENT", after=9).disconnect()),
        ("*: split 1", on("*").split(1)),
        ("STARTTLS: drop_tls", on("STARTTLS").drop_tls()),
        ("NOOP: garbage", on("NOOP").garbage()),
    ],
)
def test_a_rule_is_read_from_text(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "'' is not a fault"),
        ("greylisting", "'greylisting' is not a fault"),
        ("RCPT: explode", "'explode' is not a fault"),
        (f"RCPT nth={'9' * 5000}: garbage", "9' is not an option of a fault: nth=NUMBER, times=NUMBER, after="),
        ("RCPT nth=2", "'RCPT nth=2' is not a fault: greylist, "),
        ("RCPT: ", "'RCPT: ' is not a fault: greylist, "),
        (": garbage", "': garbage' is not a fault: greylist, "),
        ("RCPT nth=x: garbage", "'nth=x' is not an option of a fault: nth=NUMBER"),
        ("RCPT nth = 2: garbage", "'nth' is not an option of a fault: nth=NUMBER"),
        ("RCPT nth=2 nth=3: garbage", "duplicate nth in 'nth=3'"),
        ("MAIL FROM: garbage", "'FROM' is not an option of a fault"),
        ("RCPT: reply 451 a; reply 550 b", "duplicate reply in 'reply 451 a; reply 550 b'"),
        ("RCPT: reply 451 a; b", "'b' is not a fault: reply TEXT, delay SECONDS, "),
        ("RCPT: delay 1;", "'' is not a fault: reply TEXT, "),
        ("RCPT: split", "'' is not a number: split OCTETS"),
        ("RCPT: disconnect soon", "'soon' is not a number: disconnect [OCTETS]"),
        ("RCPT: disconnect -1", "disconnect(after) is at least 0, not -1"),
        ("RCPT: reply", "'reply' is not a fault: reply TEXT"),
        ("RCPT: delay long", "'long' is not a number: delay SECONDS"),
        ("RCPT: split 0", "split(octets) is at least 1, not 0"),
        ("RCPT nth=0: garbage", "nth is at least 1, not 0"),
        ("RCPT times=0: garbage", "times is at least 1, not 0"),
        ("RCPT after=5: garbage", "after= belongs to CONTENT"),
        ("R_T: garbage", "'R_T' is not a verb"),
        ("NOOP: garbage x", "'garbage x' is not a fault"),
    ],
)
def test_text_that_is_not_a_rule_is_refused(text: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=re.escape(problem)):
        parse_rule(text)


@pytest.mark.parametrize("text", ["250 ok\r\n", "250 ok\n", "250-a\r\n250 b"])
def test_a_reply_with_line_ends_of_its_own_is_refused(text: str) -> None:
    """They would come twice, as an empty line that no command has asked for."""
    with pytest.raises(LocalProtocolError, match=r"separated by LF, which get their CRLF, .*\(hint: garbage"):
        on("RCPT").reply(text)


# --- In tests of every kind -------------------------------------------------------------------------------


@pytest.fixture
def faulty() -> Iterator[MailServer]:
    with MailServer(on("RCPT").reply("550 5.1.1 no such user")) as server:
        yield server


def test_an_asyncio_test_can_use_it(faulty: MailServer) -> None:
    async def main() -> None:
        async with await smtpcore.asyncio.connect(faulty.host, faulty.port, security="none") as client:
            await client.send("ann@example.org", ["bob@example.org"], CONTENT)

    with pytest.raises(RecipientsRefused):
        asyncio.run(main())


def test_a_trio_test_can_use_it(faulty: MailServer) -> None:
    async def main() -> None:
        async with await smtpcore.trio.connect(faulty.host, faulty.port, security="none") as client:
            await client.send("ann@example.org", ["bob@example.org"], CONTENT)

    with pytest.raises(RecipientsRefused):
        trio.run(main)


def test_smtplib_can_use_it(faulty: MailServer) -> None:
    with smtplib.SMTP(faulty.host, faulty.port) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("ann@example.org", ["bob@example.org"], CONTENT)


def test_nothing_of_a_server_is_left_when_it_is_closed() -> None:
    before = threading.active_count()
    with MailServer() as server:
        send(server)
        idle = socket.create_connection((server.host, server.port), 30)
        idle.recv(1)
    with idle:
        while idle.recv(65536):
            pass
    assert threading.active_count() <= before + 1  # the thread of the last session may be ending


def test_a_login_and_tls_are_noted() -> None:
    with MailServer(users={"joe": "secret"}) as server:
        options = {"auth": ("joe", "secret"), "ssl_context": server.client_context()}
        with smtpcore.sync.connect(server.host, server.port, **options) as client:
            client.send("ann@example.org", ["bob@example.org"], CONTENT)
        with pytest.raises(SMTPError):
            smtpcore.sync.connect(server.host, server.port, **{**options, "auth": ("joe", "wrong")})
    assert server.messages[0].tls
    assert server.messages[0].user == "joe"


def test_the_certificate_is_trusted_under_each_of_its_names() -> None:
    with MailServer(tls="implicit") as server:
        for name in ("localhost", "127.0.0.1"):
            context = ssl.create_default_context(cafile=server.ca_file)
            with (
                socket.create_connection((server.host, server.port), 30) as sock,
                context.wrap_socket(sock, server_hostname=name) as tls,
            ):
                assert tls.recv(4) == b"220 "
