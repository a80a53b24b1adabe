"""``ClientConnection``: what it sends and when, what it makes of the replies, and what it will not do."""

from __future__ import annotations

import base64
import dataclasses
import traceback
import tracemalloc
from collections.abc import Callable, Sequence
from types import MethodType
from typing import Any, cast

import pytest

from smtpcore import (
    Auth,
    Capabilities,
    Chunk,
    ClientConnection,
    Command,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    EnhancedStatusCode,
    Event,
    Expn,
    ForwardPath,
    Helo,
    Help,
    Limits,
    LocalProtocolError,
    Mail,
    Mailbox,
    Noop,
    Quit,
    Rcpt,
    RemoteProtocolError,
    Reply,
    Response,
    ReversePath,
    Rset,
    StartTls,
    State,
    Timeouts,
    TlsInfo,
    Vrfy,
    normalize_line_endings,
)
from smtpcore.extensions import STANDARD, Extension, Parameter
from smtpcore.sasl import ClientMechanism, LoginClient, MechanismError, PlainClient

from ..helpers.standard import RULES

TLS = TlsInfo(version="TLSv1.3")
EHLO = Ehlo("client.example")
MAIL = Mail("a@example.org")
RCPT = Rcpt("b@example.com")
OTHER_RCPT = Rcpt("c@example.com")
DATA, RSET, NOOP, QUIT, STARTTLS, END = Data(), Rset(), Noop(), Quit(), StartTls(), EndOfMessage()
CLOSED = ConnectionClosed()
PASSWORD = "s3cr3t-p4ssw0rd"
ALL = ("PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "STARTTLS", "AUTH PLAIN LOGIN")

# Every command that an application can send, and what it becomes.
COMMANDS: dict[str, tuple[Command, bytes]] = {
    "EHLO": (EHLO, b"EHLO client.example\r\n"),
    "HELO": (Helo("client.example"), b"HELO client.example\r\n"),
    "MAIL": (MAIL, b"MAIL FROM:<a@example.org>\r\n"),
    "RCPT": (RCPT, b"RCPT TO:<b@example.com>\r\n"),
    "DATA": (DATA, b"DATA\r\n"),
    "RSET": (RSET, b"RSET\r\n"),
    "NOOP": (NOOP, b"NOOP\r\n"),
    "VRFY": (Vrfy("Smith"), b"VRFY Smith\r\n"),
    "EXPN": (Expn("list"), b"EXPN list\r\n"),
    "HELP": (Help("MAIL"), b"HELP MAIL\r\n"),
    "QUIT": (QUIT, b"QUIT\r\n"),
    "STARTTLS": (STARTTLS, b"STARTTLS\r\n"),
}


def wire(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def read(client: ClientConnection, *lines: str) -> list[Event]:
    """Feed lines of a server, and take all events."""
    client.receive_data(wire(*lines))
    return take(client)


def take(client: ClientConnection) -> list[Event]:
    events: list[Event] = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return events


def end(client: ClientConnection) -> list[Event]:
    """The server closes the connection."""
    client.receive_data(b"")
    return take(client)


def send(client: ClientConnection, *events: Command | Chunk | EndOfMessage) -> bytes:
    """Send, and give back the octets that may go out now."""
    for event in events:
        client.send(event)
    return client.data_to_send()


def greeted(**options: Any) -> ClientConnection:
    client = ClientConnection(**options)
    assert read(client, "220 mx.example ESMTP") == [Response(Connect(), Reply(220, None, "mx.example ESMTP"))]
    return client


def ready(*keywords: str, **options: Any) -> ClientConnection:
    """A session in which EHLO was answered with these keywords."""
    client = greeted(**options)
    send(client, EHLO)
    *inner, last = ["mx.example", *keywords]
    assert len(read(client, *(f"250-{line}" for line in inner), f"250 {last}")) == 1
    assert client.state is State.READY
    return client


def in_transaction(*keywords: str, mail: Mail = MAIL, **options: Any) -> ClientConnection:
    """One with a recipient, before DATA."""
    client = ready(*keywords, **options)
    for command in (mail, RCPT):
        send(client, command)
        read(client, "250 ok")
    assert client.state is State.RCPT
    return client


def in_content(*keywords: str, mail: Mail = MAIL, **options: Any) -> ClientConnection:
    client = in_transaction(*keywords, mail=mail, **options)
    send(client, DATA)
    read(client, "354 go")
    assert client.state is State.CONTENT
    return client


def grouped(*rcpts: Rcpt) -> ClientConnection:
    """One with MAIL, RCPT and DATA under way."""
    client = ready("PIPELINING")
    send(client, MAIL, *rcpts, DATA)
    return client


def in_starttls(**options: Any) -> ClientConnection:
    client = ready("STARTTLS", **options)
    assert send(client, STARTTLS) == b"STARTTLS\r\n"
    return client


def in_tls() -> ClientConnection:
    client = in_starttls()
    read(client, "220 go")
    assert client.state is State.TLS
    return client


def authenticating(mechanism: ClientMechanism | None = None, **options: Any) -> ClientConnection:
    """One with an AUTH command under way; the command is still to be sent."""
    client = ready("AUTH PLAIN LOGIN X-FIRST", tls=TLS, **options)
    client.authenticate(mechanism or LoginClient("user", PASSWORD))
    return client


def challenged() -> ClientConnection:
    client = authenticating()
    client.data_to_send()
    read(client, "334 VXNlcm5hbWU6")
    assert client.state is State.AUTHENTICATING
    client.data_to_send()
    return client


def refuses(method: Callable[..., object], *arguments: object, match: str = ".", **options: object) -> None:
    """Check that a call of a method of a client is refused and changes nothing."""
    client = cast(MethodType, method).__self__

    def facts() -> tuple[object, ...]:
        return (
            client.state,
            client.outstanding,
            tuple(client._waiting or ()),
            client.capabilities,
            client.timeout,
            client.tls,
            client.authenticated,
            client._mail,
            client._exchange,
        )

    before = facts()
    assert client.data_to_send() == b""
    with pytest.raises(LocalProtocolError, match=match):
        method(*arguments, **options)
    assert facts() == before
    assert client.data_to_send() == b""


def replies(events: Sequence[Event]) -> list[int]:
    codes = []
    for event in events:
        assert isinstance(event, Response)
        codes.append(event.reply.code)
    return codes


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


PLAIN_MESSAGE = b64(b"\0user\0" + PASSWORD.encode())


# --- A whole session --------------------------------------------------------------------------------------


@pytest.mark.req("PIP-01", "RPL-22")
def test_without_extensions_one_command_goes_at_a_time() -> None:
    client = ClientConnection()
    assert send(client, EHLO) == b""
    assert len(read(client, "220 mx.example")) == 1
    assert client.data_to_send() == b"EHLO client.example\r\n"
    assert len(read(client, "250 mx.example")) == 1
    for event in (MAIL, RCPT, OTHER_RCPT, DATA):
        client.send(event)
    for line, answer in (
        (b"MAIL FROM:<a@example.org>\r\n", "250 ok"),
        (b"RCPT TO:<b@example.com>\r\n", "250 ok"),
        (b"RCPT TO:<c@example.com>\r\n", "250 ok"),
        (b"DATA\r\n", "354 go"),
    ):
        assert client.data_to_send() == line
        assert client.next_event() is None
        assert len(client.outstanding) == 1
        assert len(read(client, answer)) == 1
    assert send(client, Chunk(b"Subject: x\r\n\r\nx\r\n"), END) == b"Subject: x\r\n\r\nx\r\n.\r\n"
    assert send(client, QUIT) == b""
    assert read(client, "250 queued") == [Response(END, Reply(250, None, "queued"))]
    assert client.data_to_send() == b"QUIT\r\n"
    assert read(client, "221 bye") == [Response(QUIT, Reply(221, None, "bye")), CLOSED]
    assert take(client) == []


@pytest.mark.req("FRM-13", "FRM-14", "EHL-28", "MAI-01", "RCP-03")
def test_commands_are_written_as_these_octets() -> None:
    for command, octets in COMMANDS.values():
        client = ready(*ALL)
        if isinstance(command, Rcpt | Data):
            client = in_transaction(*ALL) if isinstance(command, Data) else ready(*ALL)
            if isinstance(command, Rcpt):
                send(client, MAIL)
                read(client, "250 ok")
        assert send(client, command) == octets
    client = ready(*ALL)
    parameters = {"SIZE": 1, "BODY": "8BITMIME", "SMTPUTF8": True, "AUTH": ReversePath("")}
    assert send(client, Mail("", parameters)) == b"MAIL FROM:<> SIZE=1 BODY=8BITMIME SMTPUTF8 AUTH=<>\r\n"


@pytest.mark.req("FRM-12", "MAI-20")
@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f"])
def test_no_control_character_gets_into_a_path(control: str) -> None:
    for text in (f"a{control}b@example.org", f'"a{control}b"@example.org', f"a@example{control}.org"):
        for make in (Mail, Rcpt):
            with pytest.raises(LocalProtocolError):
                make(text)


@pytest.mark.req("MAI-20")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Rcpt("a@b.example>\r\nRCPT TO:<c@d.example"),
        lambda: Rcpt("a@b.example> NOTIFY=NEVER"),
        lambda: Mail("a@b.example> SIZE=1"),
        lambda: Mail("a@b.example", {"AUTH": "a\r\nQUIT"}),
        lambda: Mail("a@b.example", {"BODY": "8BITMIME\r\nQUIT"}),
        lambda: Mail("a@b.example", {"SIZE": "1\r\nQUIT"}),
        lambda: Mail("a@b.example", {"SIZE=1\r\nQUIT": True}),
        lambda: Ehlo("x\r\nMAIL FROM:<evil@example.com>"),
        lambda: Ehlo("client.example NOTIFY"),
        lambda: Helo("x\nQUIT"),
        lambda: Noop("x\r\nQUIT"),
        lambda: Vrfy("x\rQUIT"),
        lambda: Expn("x\nQUIT"),
        lambda: Help("\0"),
        lambda: Auth("PLAIN\r\nQUIT"),
        lambda: Auth("PLAIN", "AA==\r\nQUIT"),
    ],
)
def test_no_argument_becomes_a_command(make: Callable[[], object]) -> None:
    with pytest.raises(LocalProtocolError):
        make()


@pytest.mark.req("MAI-19")
def test_local_parts_are_quoted_only_if_need_be() -> None:
    client = ready()
    assert send(client, Mail(str(Mailbox("ab", "x.example")))) == b"MAIL FROM:<ab@x.example>\r\n"
    read(client, "250 ok")
    assert send(client, Rcpt(str(Mailbox("a b", "x.example")))) == b'RCPT TO:<"a b"@x.example>\r\n'


@pytest.mark.req("MAI-23")
def test_the_null_reverse_path_must_be_given_explicitly() -> None:
    make: Any = Mail
    with pytest.raises(TypeError):
        make()
    assert send(ready(), Mail("")) == b"MAIL FROM:<>\r\n"


@pytest.mark.req("RCP-10")
def test_source_routes_are_not_sent() -> None:
    client = ready("PIPELINING")
    octets = send(client, Mail("@relay.example:a@example.org"), Rcpt("@x.example,@y.example:b@example.com"))
    assert octets == b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n"


@pytest.mark.req("SES-44")
def test_there_is_no_TURN_command() -> None:
    kinds = [Command]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert "TURN" not in {getattr(kind, "verb", "") for kind in kinds}


# --- The opening ------------------------------------------------------------------------------------------


@pytest.mark.req("GRT-03")
def test_nothing_is_sent_before_the_greeting() -> None:
    client = ClientConnection()
    assert send(client, EHLO) == b""
    client.receive_data(b"220-mx.example\r\n220 hello\r")
    assert client.next_event() is None
    assert client.data_to_send() == b""
    client.receive_data(b"\n")
    assert replies(take(client)) == [220]
    assert client.data_to_send() == b"EHLO client.example\r\n"


@pytest.mark.req("GRT-04")
@pytest.mark.parametrize("lines", [["220-a", "220-", "220 b"], ["220"], ["220-550 go away", "220 421"]])
def test_a_greeting_may_have_several_lines_and_any_text(lines: list[str]) -> None:
    client = ClientConnection()
    assert replies(read(client, *lines)) == [220]
    assert client.state is State.GREETED


@pytest.mark.req("GRT-14")
@pytest.mark.parametrize("code", [200, 221, 250, 299])
def test_an_opening_with_another_2yz_is_a_welcome(code: int) -> None:
    client = ClientConnection()
    assert replies(read(client, f"{code} x")) == [code]
    assert send(client, EHLO) == b"EHLO client.example\r\n"


@pytest.mark.req("GRT-14")
def test_an_opening_with_3yz_breaks_the_protocol() -> None:
    client = ClientConnection()
    client.send(EHLO)
    with pytest.raises(RemoteProtocolError) as caught:
        read(client, "354 go")
    assert caught.value.reply == Reply(354, None, "go")
    assert client.data_to_send() == b"QUIT\r\n"


@pytest.mark.req("GRT-11", "GRT-13", "GRT-14")
@pytest.mark.parametrize("code", [450, 499, 521, 554, 550, 599])
def test_an_opening_that_is_a_refusal_leaves_QUIT(code: int) -> None:
    client = ClientConnection()
    client.send(EHLO)
    response, not_sent = read(client, f"{code} 1.2.3 no")
    assert isinstance(response, Response)
    assert response.command == Connect()
    assert response.reply.is_transient is (code < 500)
    assert response.reply.is_permanent is (code >= 500)
    assert not_sent == CommandNotSent(EHLO)
    assert client.state is State.REFUSED
    for command, _ in COMMANDS.values():
        if command != QUIT:
            refuses(client.send, command, match="refused")
    assert send(client, QUIT) == b"QUIT\r\n"
    assert read(client, "221 bye")[-1] == CLOSED


@pytest.mark.req("GRT-13")
def test_an_opening_with_421_is_the_end() -> None:
    client = ClientConnection()
    client.send(EHLO)
    reply = Reply(421, "4.3.2", "later")
    assert read(client, "421 4.3.2 later") == [Response(Connect(), reply), CommandNotSent(EHLO), CLOSED]
    assert reply.is_transient
    refuses(client.send, EHLO)


@pytest.mark.parametrize("junk", ["hello there", "22 x", "2200 x", "\x00220 x", "620 hi", "\x16\x03\x01"])
def test_an_opening_that_is_not_a_reply_breaks_the_protocol(junk: str) -> None:
    client = ClientConnection()
    client.send(EHLO)
    with pytest.raises(RemoteProtocolError):
        read(client, junk)
    assert take(client) == [CLOSED]
    assert b"EHLO" not in client.data_to_send()


# --- EHLO and HELO ----------------------------------------------------------------------------------------


@pytest.mark.req("EHL-07")
def test_mail_needs_a_hello() -> None:
    client = greeted()
    for command in (MAIL, RCPT, DATA, STARTTLS):
        refuses(client.send, command, match="'greeted'")
    refuses(client.authenticate, PlainClient("user", PASSWORD), match="'greeted'")
    assert send(client, Helo("client.example")) == b"HELO client.example\r\n"
    read(client, "250 mx.example")
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("EHL-10", "PIP-01")
@pytest.mark.parametrize("lines", [["250-PIPELINING", "250 HELP"], ["250 PIPELINING"], ["250 STARTTLS"]])
def test_the_first_line_of_an_EHLO_reply_is_not_a_keyword(lines: list[str]) -> None:
    client = greeted()
    send(client, EHLO)
    read(client, *lines)
    assert list(client.capabilities) == ["HELP"] * (len(lines) - 1)
    assert send(client, MAIL, RCPT) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("FRM-07", "EHL-11", "PIP-01")
def test_keywords_are_known_in_any_case_and_their_parameters_are_kept() -> None:
    client = ready("piPeLining", "aUtH Plain LOGIN", tls=TLS)
    assert client.capabilities["AUTH"] == ("Plain", "LOGIN")
    assert send(client, RSET, MAIL) == b"RSET\r\nMAIL FROM:<a@example.org>\r\n"
    client = ready("auth plain", tls=TLS)
    client.authenticate(PlainClient("u", "p"))
    assert client.data_to_send() == b"AUTH PLAIN AHUAcA==\r\n"


@pytest.mark.req("EHL-12", "EHL-14", "EHL-15")
def test_keywords_that_are_unknown_repeated_or_malformed_do_no_harm() -> None:
    client = greeted()
    send(client, EHLO)
    client.receive_data(
        b"250-mx\t\x7f\xff\r\n250-X-FOO bar\r\n250-BRANDNEW=1\r\n250-\r\n250--x\r\n250-AUTH=LOGIN\r\n"
        b"250-AUTH PLAIN\r\n250 AUTH CRAM-MD5 THIS-NAME-IS-MUCH-TOO-LONG\r\n"
    )
    assert replies(take(client)) == [250]
    assert client.capabilities["X-FOO"] == ("bar",)
    assert {"LOGIN", "PLAIN", "CRAM-MD5"} <= set(client.capabilities.mechanisms)
    assert client.state is State.READY


@pytest.mark.req("EHL-33", "EHL-34")
def test_the_last_reply_to_EHLO_replaces_what_was_offered() -> None:
    client = ready("SIZE 1000", "PIPELINING")
    send(client, EHLO)
    read(client, "250-mx.example", "250 8BITMIME")
    assert client.capabilities == Capabilities([("8BITMIME", [])])
    refuses(client.send, Mail("a@example.org", {"SIZE": 1}))
    assert send(client, Mail("", {"BODY": "8BITMIME"}), RCPT) == b"MAIL FROM:<> BODY=8BITMIME\r\n"


def test_a_refused_ehlo_changes_nothing() -> None:
    client = ready("SIZE 1000")
    send(client, EHLO)
    read(client, "451 later")
    assert client.capabilities.size == 1000
    assert client.state is State.READY
    assert send(client, Mail("", {"SIZE": 1})) == b"MAIL FROM:<> SIZE=1\r\n"


@pytest.mark.req("EHL-06", "EHL-33", "EHL-34", "PIP-01")
@pytest.mark.parametrize("hello", [EHLO, Helo("client.example")])
def test_nothing_is_offered_while_a_new_hello_is_under_way(hello: Command) -> None:
    client = ready(*ALL, tls=None)
    client.send(RSET)
    client.send(hello)  # held back, or sent behind RSET
    client.data_to_send()
    refuses(client.send, Mail("", {"SIZE": 1}), match="SIZE")
    refuses(client.send, STARTTLS, match="STARTTLS")
    refuses(client.send, Vrfy("J\xf6rg"), match="SMTPUTF8")
    refuses(client.authenticate, PlainClient("u", "p"), allow_cleartext=True, match="none")
    client.send(MAIL)
    read(client, "250 ok", "250 mx.example")
    assert client.data_to_send() == b"MAIL FROM:<a@example.org>\r\n"


def test_nothing_is_offered_while_a_hello_is_held_back() -> None:
    client = ready("SIZE 1000")
    assert send(client, NOOP, EHLO) == b"NOOP\r\n"
    refuses(client.send, Mail("", {"SIZE": 1}), match="SIZE")


@pytest.mark.req("EHL-06")
def test_after_helo_there_are_no_extensions() -> None:
    client = ready(*ALL)
    send(client, Helo("client.example"))
    read(client, "250-mx.example", "250 PIPELINING")
    assert not client.capabilities
    for parameters in ({"SIZE": 1}, {"BODY": "8BITMIME"}, {"SMTPUTF8": True}, {"AUTH": ReversePath("")}):
        refuses(client.send, Mail("", parameters))
    refuses(client.send, STARTTLS)
    refuses(client.authenticate, PlainClient("u", "p"), allow_cleartext=True)
    assert send(client, MAIL, RCPT) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.parametrize("code", [500, 502])
def test_helo_is_possible_when_ehlo_is_not_known(code: int) -> None:
    client = greeted()
    send(client, EHLO)
    assert replies(read(client, f"{code} what?")) == [code]
    assert client.state is State.GREETED
    refuses(client.send, MAIL)
    assert send(client, Helo("client.example")) == b"HELO client.example\r\n"
    read(client, "250 mx.example")
    assert client.state is State.READY


@pytest.mark.req("EHL-35")
@pytest.mark.parametrize("hello", [EHLO, Helo("client.example")])
def test_a_hello_ends_a_transaction(hello: Command) -> None:
    client = in_transaction()
    send(client, hello)
    assert client.state is State.RCPT
    read(client, "250 mx.example")
    assert client.state is State.READY
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("EHL-36")
def test_a_new_connection_knows_nothing() -> None:
    ready(*ALL)
    client = greeted()
    assert not client.capabilities
    assert not client.authenticated


@pytest.mark.req("SES-34")
def test_quit_is_possible_when_ehlo_has_failed() -> None:
    client = greeted()
    assert send(client, QUIT) == b"QUIT\r\n"
    client = greeted()
    send(client, EHLO)
    read(client, "550 go away")
    assert send(client, QUIT) == b"QUIT\r\n"


# --- Holding back: PIPELINING -----------------------------------------------------------------------------


@pytest.mark.req("PIP-02", "PIP-03")
def test_a_group_goes_out_at_once_and_DATA_ends_it() -> None:
    client = ready("PIPELINING")
    lines = send(client, MAIL, RCPT, OTHER_RCPT, RCPT, DATA)
    assert lines == wire(
        "MAIL FROM:<a@example.org>",
        "RCPT TO:<b@example.com>",
        "RCPT TO:<c@example.com>",
        "RCPT TO:<b@example.com>",
        "DATA",
    )
    for command, _ in COMMANDS.values():
        refuses(client.send, command, match="'content'")
    refuses(client.send, Chunk(b"x\r\n"))
    refuses(client.send, END)


@pytest.mark.req("PIP-02")
@pytest.mark.parametrize("name", ["RSET", "MAIL"])
def test_only_MAIL_RCPT_and_RSET_stand_anywhere_in_a_group(name: str) -> None:
    client = ready("PIPELINING")
    command, octets = COMMANDS[name]
    assert send(client, RSET, command, RSET) == b"RSET\r\n" + octets + b"RSET\r\n"


@pytest.mark.req("PIP-03", "PIP-04", "PIP-25", "TLS-16")
@pytest.mark.parametrize("name", ["EHLO", "HELO", "NOOP", "VRFY", "EXPN", "HELP", "STARTTLS"])
def test_any_other_command_ends_a_group(name: str) -> None:
    client = ready("PIPELINING", "STARTTLS")
    command, octets = COMMANDS[name]
    assert send(client, RSET, command) == b"RSET\r\n" + octets
    if command == STARTTLS:
        refuses(client.send, RSET)
    else:
        assert send(client, RSET) == b""
        read(client, "250 ok")
        assert client.data_to_send() == b""
        code = 214 if name == "HELP" else 250
        read(client, f"{code}-mx.example", f"{code} PIPELINING")
        assert client.data_to_send() == b"RSET\r\n"


@pytest.mark.req("PIP-03", "SES-46")
def test_QUIT_ends_a_group_and_the_session() -> None:
    client = ready("PIPELINING")
    assert send(client, RSET, QUIT) == b"RSET\r\nQUIT\r\n"
    for command, _ in COMMANDS.values():
        refuses(client.send, command)
    assert replies(read(client, "250 ok")) == [250]
    refuses(client.send, QUIT)


@pytest.mark.req("PIP-25", "AUT-33")
def test_AUTH_ends_a_group() -> None:
    client = ready("PIPELINING", "AUTH PLAIN", tls=TLS)
    client.send(RSET)
    client.authenticate(PlainClient("u", "p"))
    assert send(client, MAIL) == b"RSET\r\nAUTH PLAIN AHUAcA==\r\n"
    assert replies(read(client, "250 ok", "235 ok")) == [250, 235]
    assert client.data_to_send() == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("PIP-01")
def test_pipelining_begins_and_ends_with_its_offer() -> None:
    client = ready("PIPELINING")
    assert send(client, RSET, RSET) == b"RSET\r\nRSET\r\n"
    read(client, "250 ok", "250 ok")
    send(client, EHLO)
    read(client, "250 mx.example")
    assert send(client, RSET, RSET) == b"RSET\r\n"
    client = in_tls()
    client.tls_started(TLS)
    assert send(client, RSET, RSET) == b"RSET\r\n"


@pytest.mark.req("PIP-01", "TLS-08")
def test_pipelining_offered_in_plaintext_does_not_hold_under_tls() -> None:
    client = ready("PIPELINING", "STARTTLS")
    send(client, STARTTLS)
    read(client, "220 go")
    client.tls_started(TLS)
    assert send(client, RSET, RSET) == b"RSET\r\n"


@pytest.mark.req("PIP-05", "PIP-07")
def test_the_next_group_may_follow_the_final_dot() -> None:
    client = in_content("PIPELINING")
    first = send(client, Chunk(b"x\r\n"), END)
    assert send(client, MAIL, RCPT, DATA) == wire(
        "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "DATA"
    )
    assert first == b"x\r\n.\r\n"
    events = read(client, "451 later", "250 ok", "250 ok", "354 go")
    assert [(one.command, one.reply.code) for one in events if isinstance(one, Response)] == [
        (END, 451),
        (MAIL, 250),
        (RCPT, 250),
        (DATA, 354),
    ]
    assert client.state is State.CONTENT


@pytest.mark.req("PIP-05")
def test_without_pipelining_nothing_follows_the_final_dot() -> None:
    client = in_content()
    assert send(client, END, MAIL) == b".\r\n"
    read(client, "250 ok")
    assert client.data_to_send() == b"MAIL FROM:<a@example.org>\r\n"


def test_outstanding_commands_are_bounded() -> None:
    client = ready("PIPELINING", limits=Limits(outstanding_commands=3))
    rcpts = [Rcpt(f"r{number}@example.com") for number in range(5)]
    assert send(client, MAIL, *rcpts, DATA).count(b"\r\n") == 3
    assert client.outstanding == (MAIL, rcpts[0], rcpts[1])
    sent = []
    for code in (250, 250, 550, 250, 250, 250):
        read(client, f"{code} x")
        sent.append(client.data_to_send())
        assert len(client.outstanding) <= 3
    assert sent == [
        b"RCPT TO:<r2@example.com>\r\n",
        b"RCPT TO:<r3@example.com>\r\n",
        b"RCPT TO:<r4@example.com>\r\n",
        b"DATA\r\n",
        b"",
        b"",
    ]
    assert replies(read(client, "354 go")) == [354]


@pytest.mark.req("PIP-06", "PIP-07", "RCP-24")
def test_replies_belong_to_commands_by_their_order() -> None:
    rcpts = [Rcpt(f"r{number}@example.com") for number in range(3)]
    client = grouped(*rcpts)
    events = read(
        client, "250 r2@example.com ok", "550 DATA", "250 r0@example.com ok", "550 MAIL FROM failed", "354 go"
    )
    assert [(one.command, one.reply.code, one.recipient) for one in events if isinstance(one, Response)] == [
        (MAIL, 250, None),
        (rcpts[0], 550, rcpts[0].forward_path),
        (rcpts[1], 250, rcpts[1].forward_path),
        (rcpts[2], 550, rcpts[2].forward_path),
        (DATA, 354, None),
    ]
    assert send(client, Chunk(b"x"), END) == b"x\r\n.\r\n"
    assert read(client, "250 ok") == [Response(END, Reply(250, None, "ok"))]


@pytest.mark.req("PIP-10", "RPL-13", "DAT-34")
def test_a_reply_of_several_lines_counts_once() -> None:
    client = grouped(RCPT)
    lines = [f"{code}{mark}x" for code in (250, 250, 354) for mark in "-- "]
    assert replies(read(client, *lines)) == [250, 250, 354]
    assert client.state is State.CONTENT


@pytest.mark.req("RPL-13")
@pytest.mark.parametrize(
    "name, code", [("EHLO", 250), ("MAIL", 250), ("RSET", 250), ("NOOP", 250), ("QUIT", 221), ("VRFY", 252)]
)
def test_every_command_may_have_several_lines_of_reply(name: str, code: int) -> None:
    client = ready()
    command, _ = COMMANDS[name]
    send(client, command)
    events = read(client, f"{code}-a", f"{code}-", f"{code} c")
    assert events[0] == Response(command, Reply(code, None, ["a", "", "c"]))


@pytest.mark.req("RPL-22", "RCP-23")
def test_commands_that_became_pointless_are_not_sent() -> None:
    client = ready()
    send(client, MAIL, RCPT, OTHER_RCPT, DATA)
    reply = Reply(550, None, "no")
    assert read(client, "550 no") == [
        Response(MAIL, reply),
        CommandNotSent(RCPT),
        CommandNotSent(OTHER_RCPT),
        CommandNotSent(DATA),
    ]
    assert client.data_to_send() == b""
    assert client.outstanding == ()
    assert client.state is State.READY


@pytest.mark.req("RCP-23")
def test_without_a_recipient_there_is_no_DATA() -> None:
    client = ready()
    send(client, MAIL, RCPT, OTHER_RCPT, DATA)
    for line, code in (("250 ok", 250), ("550 no", 550)):
        assert replies(read(client, line)) == [code]
        client.data_to_send()
    reply = Reply(550, None, "no")
    assert read(client, "550 no") == [Response(OTHER_RCPT, reply), CommandNotSent(DATA)]
    assert b"DATA" not in client.data_to_send()
    refuses(client.send, DATA, match="'mail'")
    refuses(client.send, Chunk(b"x"))
    assert send(client, RSET) == b"RSET\r\n"


def test_commands_that_still_make_sense_after_a_failure_are_sent() -> None:
    client = ready()
    send(client, MAIL, RCPT, RSET, NOOP)
    assert read(client, "451 later")[1:] == [CommandNotSent(RCPT)]
    assert client.data_to_send() == b"RSET\r\n"
    read(client, "250 ok")
    assert client.data_to_send() == b"NOOP\r\n"


def test_the_next_command_is_judged_by_the_outstanding_ones() -> None:
    client = ready("PIPELINING", limits=Limits(outstanding_commands=2))
    send(client, MAIL, RCPT, OTHER_RCPT, RSET)
    read(client, "250 ok", "550 no")
    client.data_to_send()
    client.send(MAIL)  # what RSET will have done counts already
    refuses(client.send, MAIL)
    client.send(RCPT)
    client.send(DATA)
    for _ in range(4):
        read(client, "250 ok")
        client.data_to_send()
    assert client.outstanding == (DATA,)


def test_what_is_offered_still_counts_after_a_command_was_given_back() -> None:
    client = ready("SIZE 1000")
    send(client, MAIL, RCPT)
    assert read(client, "451 later")[1:] == [CommandNotSent(RCPT)]
    assert send(client, Mail("a@example.org", {"SIZE": 1})) == b"MAIL FROM:<a@example.org> SIZE=1\r\n"


def test_commands_given_back_no_longer_count() -> None:
    client = ready()
    send(client, MAIL, RCPT, NOOP, DATA)
    for answer in ("250 ok", "550 no"):
        read(client, answer)
        client.data_to_send()
    refuses(client.send, RSET, match="'content'")  # DATA may still be granted, as far as we know
    assert read(client, "250 ok")[1:] == [CommandNotSent(DATA)]
    assert send(client, RSET) == b"RSET\r\n"


@pytest.mark.req("PIP-08", "DAT-04")
@pytest.mark.parametrize("mail", [250, 550])
def test_354_after_all_recipients_were_refused_is_answered_with_a_lone_dot(mail: int) -> None:
    client = grouped(RCPT, OTHER_RCPT)
    assert replies(read(client, f"{mail} x", "550 no", "550 no", "354 go")) == [mail, 550, 550, 354]
    assert client.state is State.CONTENT
    refuses(client.send, Chunk(b"Subject: secret\r\n"), match="no recipient was accepted")
    refuses(client.send, RSET)
    assert send(client, END) == b".\r\n"
    assert read(client, "554 no valid recipients") == [Response(END, Reply(554, None, "no valid recipients"))]
    assert client.state is State.READY


@pytest.mark.req("PIP-08", "RCP-23")
def test_a_recipient_of_an_earlier_message_does_not_count() -> None:
    client = in_content("PIPELINING")
    send(client, Chunk(b"x\r\n"), END, MAIL, RCPT, DATA)
    read(client, "250 ok", "550 no", "550 no", "354 go")
    refuses(client.send, Chunk(b"Subject: secret\r\n"), match="no recipient was accepted")
    assert send(client, END) == b".\r\n"


def test_commands_held_back_after_a_hopeless_DATA_are_not_sent_as_content() -> None:
    client = ready("PIPELINING", limits=Limits(outstanding_commands=3))
    send(client, MAIL, RCPT, DATA)
    read(client, "250 ok", "550 no")
    refuses(client.send, RSET, match="'content'")
    read(client, "554 no valid recipients")
    assert client.state is State.MAIL
    assert send(client, RSET) == b"RSET\r\n"


# --- Replies ----------------------------------------------------------------------------------------------


@pytest.mark.req("RPL-20")
@pytest.mark.parametrize("code", range(200, 600))
def test_the_first_digit_decides(code: int) -> None:
    client = ready()
    send(client, MAIL)
    if code // 100 == 3:
        with pytest.raises(RemoteProtocolError):
            read(client, f"{code} x")
    elif code == 421:
        assert [*map(type, read(client, "421 x"))] == [Response, ConnectionClosed]
    else:
        assert replies(read(client, f"{code} x")) == [code]
        assert client.state is (State.MAIL if code < 300 else State.READY)


@pytest.mark.req("RPL-09")
def test_unknown_codes_count_by_their_first_digit() -> None:
    client = ready("PIPELINING")
    send(client, MAIL, RCPT, OTHER_RCPT, DATA)
    accepted, transient, permanent, refused = (
        event.reply for event in read(client, "288 x", "259 x", "571 x", "499 x") if isinstance(event, Response)
    )
    assert accepted.is_success
    assert transient.is_success
    assert permanent.is_permanent
    assert refused.is_transient
    assert client.state is State.RCPT


@pytest.mark.req("RCP-14", "RCP-20")
def test_every_reply_to_RCPT_is_understood_by_its_first_digit() -> None:
    codes = {251: True, 252: True, 551: False, 556: False, 550: False, 452: False}
    for code, accepted in codes.items():
        client = ready()
        send(client, MAIL)
        read(client, "250 ok")
        send(client, RCPT)
        (response,) = read(client, f"{code} <c@example.net>")
        assert isinstance(response, Response)
        assert response.recipient == RCPT.forward_path
        assert "<c@example.net>" in response.reply.text
        assert response.reply.is_permanent is (code >= 500)
        assert client.state is (State.RCPT if accepted else State.MAIL)


@pytest.mark.req("RPL-10", "RPL-12")
@pytest.mark.parametrize("text", ["", " ", "550 no", "421 bye", "error: failed", "\u0000\u001b[2J", "\xff\xfe"])
def test_the_text_decides_nothing(text: str) -> None:
    def line(code: int) -> bytes:
        return f"{code} {text}\r\n".encode("latin-1")

    client = ClientConnection()
    facts: list[tuple[object, ...]] = []
    for command, code in (
        (None, 220),
        (EHLO, 250),
        (MAIL, 250),
        (RCPT, 550),
        (RCPT, 250),
        (DATA, 451),
        (DATA, 354),
        (END, 250),
        (RSET, 250),
        (QUIT, 221),
    ):
        if command is not None:
            send(client, command)
        client.receive_data(line(code))
        (response, *rest) = take(client)
        assert isinstance(response, Response)
        assert response.reply.text == text
        facts.append((response.command, response.reply.code, client.state, len(rest)))
    assert facts == [
        (Connect(), 220, State.GREETED, 0),
        (EHLO, 250, State.READY, 0),
        (MAIL, 250, State.MAIL, 0),
        (RCPT, 550, State.MAIL, 0),
        (RCPT, 250, State.RCPT, 0),
        (DATA, 451, State.RCPT, 0),
        (DATA, 354, State.CONTENT, 0),
        (END, 250, State.READY, 0),
        (RSET, 250, State.READY, 0),
        (QUIT, 221, State.CLOSED, 1),
    ]


@pytest.mark.req("RPL-21")
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("DATA", "RCPT")])
@pytest.mark.parametrize("code", [300, 334, 354])
def test_a_3yz_reply_to_other_commands_breaks_the_protocol(name: str, code: int) -> None:
    client = ready("STARTTLS")
    send(client, COMMANDS[name][0])
    with pytest.raises(RemoteProtocolError) as caught:
        read(client, f"{code} x")
    assert caught.value.reply == Reply(code, None, "x")
    assert client.state is State.CLOSED


@pytest.mark.req("RPL-21")
def test_354_to_RCPT_breaks_the_protocol() -> None:
    client = ready()
    send(client, MAIL)
    read(client, "250 ok")
    send(client, RCPT)
    with pytest.raises(RemoteProtocolError):
        read(client, "354 go")
    refuses_after_close(client)


@pytest.mark.req("DAT-04")
def test_250_to_DATA_breaks_the_protocol_and_nothing_is_sent() -> None:
    client = in_transaction()
    send(client, DATA)
    with pytest.raises(RemoteProtocolError):
        read(client, "250 ok")
    refuses(client.send, Chunk(b"x\r\n"))
    refuses(client.send, END)


@pytest.mark.req("DAT-04")
@pytest.mark.parametrize("code", [421, 451, 503, 554])
def test_content_needs_354(code: int) -> None:
    client = in_transaction()
    send(client, DATA)
    refuses(client.send, Chunk(b"x\r\n"), match="354")
    read(client, f"{code} no")
    refuses(client.send, Chunk(b"x\r\n"), match="354")
    refuses(client.send, END, match="354")


def test_a_refused_DATA_may_be_tried_again() -> None:
    client = in_transaction()
    send(client, DATA)
    read(client, "451 later")
    assert send(client, DATA) == b"DATA\r\n"


@pytest.mark.req("RPL-24")
@pytest.mark.parametrize("code", [220, 250, 354, 451, 550])
def test_an_unsolicited_reply_breaks_the_protocol(code: int) -> None:
    client = ready()
    send(client, NOOP)
    client.receive_data(wire("250 ok", f"{code} what you did not ask"))
    assert client.next_event() == Response(NOOP, Reply(250, None, "ok"))
    with pytest.raises(RemoteProtocolError) as caught:
        client.next_event()
    assert caught.value.reply == Reply(code, None, "what you did not ask")
    assert client.data_to_send() == b"QUIT\r\n"
    refuses_after_close(client)


# Sessions in which something was sent, the lines with which a server answers what was handed out, and the lines
# of a reply to what was not.
TOO_EARLY: dict[str, tuple[Callable[[], ClientConnection], list[str], list[str]]] = {
    "greeting": (lambda: with_held_back(ClientConnection(), EHLO), ["220 mx"], ["250 mx"]),
    "EHLO": (lambda: with_held_back(greeted(), EHLO), [], ["250 mx"]),
    "RCPT": (lambda: with_sent(ready(), MAIL, RCPT, DATA), ["250 ok"], ["250 ok", "354 go"]),
    "RCPT, several lines": (lambda: with_sent(ready(), MAIL, RCPT), ["250-ok", "250 ok"], ["250-ok", "250 ok"]),
    "RCPT in a group": (
        lambda: with_held_back(with_sent(ready("PIPELINING"), MAIL), RCPT, DATA),
        ["250 ok"],
        ["250 ok", "354 go"],
    ),
    "RCPT outside the window": (
        lambda: with_sent(ready("PIPELINING", limits=Limits(outstanding_commands=2)), MAIL, RCPT, OTHER_RCPT),
        ["250 ok", "250 ok"],
        ["250 ok"],
    ),
    "refusal": (lambda: with_sent(ready(), MAIL, RSET), ["250 ok"], ["550 no"]),
    "STARTTLS": (lambda: with_held_back(ready("STARTTLS"), STARTTLS), [], ["220 go"]),
    "STARTTLS behind NOOP": (lambda: with_sent(ready("STARTTLS"), NOOP, STARTTLS), ["250 ok"], ["220 go"]),
    "final dot": (lambda: with_held_back(in_content(), Chunk(b"x\r\n"), END), [], ["250 queued"]),
    "next group": (
        lambda: with_held_back(with_sent(in_content("PIPELINING"), END), MAIL, RCPT),
        ["250 queued"],
        ["250 ok"],
    ),
    "QUIT": (lambda: with_sent(ready(), NOOP, QUIT), ["250 ok"], ["221 bye"]),
    "AUTH": (lambda: authenticating(PlainClient("user", PASSWORD)), [], ["235 ok"]),
    "challenge": (lambda: with_sent(authenticating()), ["334 VXNlcm5hbWU6"], ["334 UGFzc3dvcmQ6"]),
    "235 behind a challenge": (lambda: with_sent(authenticating()), ["334 VXNlcm5hbWU6"], ["235 ok"]),
    "535 behind a challenge": (lambda: challenged(), ["334 UGFzc3dvcmQ6"], ["535 no"]),
    "501 behind a bad challenge": (lambda: challenged(), ["334 !"], ["501 cancelled"]),
}


@pytest.mark.req("RPL-24", "PIP-06")
@pytest.mark.parametrize("name", TOO_EARLY)
def test_a_reply_that_begins_before_its_command_was_handed_out_is_unsolicited(name: str) -> None:
    make, answers, too_early = TOO_EARLY[name]
    octets, begins = wire(*answers, *too_early), len(wire(*answers))

    def receive(client: ClientConnection, events: list[Event], cut: int) -> None:
        for piece in (octets[:cut], octets[cut:]):
            client.receive_data(piece)
            events.extend(iter(client.next_event, None))
            if cut > begins:
                client.data_to_send()

    for cut in range(1, len(octets)):
        client = make()
        events: list[Event] = []
        with pytest.raises(RemoteProtocolError, match="unsolicited"):
            receive(client, events, cut)
        assert replies(events) == [int(line[:3]) for line in answers if line[3] == " " and line[0] != "3"]
        assert client.state is State.CLOSED
        assert set(client.data_to_send().splitlines()) <= {b"QUIT"}


def with_sent(client: ClientConnection, *events: Command | Chunk | EndOfMessage) -> ClientConnection:
    send(client, *events)
    return client


def with_held_back(client: ClientConnection, *events: Command | Chunk | EndOfMessage) -> ClientConnection:
    """Send, but do not hand out what is to be sent."""
    for event in events:
        client.send(event)
    return client


@pytest.mark.req("RPL-24")
def test_a_reply_after_its_command_was_handed_out_answers_it_however_it_is_cut() -> None:
    octets = wire("250 ok", "250 ok", "354 go")
    for cut in range(1, len(octets)):
        client = with_sent(ready("PIPELINING"), MAIL, RCPT, DATA)
        client.receive_data(octets[:cut])
        client.receive_data(octets[cut:])
        assert replies(take(client)) == [250, 250, 354]
    # What was handed out before the next read can be answered by it, whether or not the last one was used.
    client = with_sent(ready("PIPELINING"), MAIL)
    client.receive_data(b"250 ok\r\n")
    send(client, RCPT)
    client.receive_data(b"250 ok\r\n")
    assert replies(take(client)) == [250, 250]
    # What was handed out while a reply was incomplete can be answered by the next one.
    client = with_sent(ready("PIPELINING"), MAIL)
    client.receive_data(b"250-o")
    assert client.next_event() is None
    send(client, RCPT)
    client.receive_data(b"k\r\n2")
    send(client, DATA)
    client.receive_data(b"50 ok\r\n550 no\r\n503 ")
    assert replies(take(client)) == [250, 550]
    client.receive_data(b"no\r\n")
    assert replies(take(client)) == [503]


def test_octets_that_drip_in_are_not_counted_one_by_one() -> None:
    client = with_sent(ready("PIPELINING"), MAIL)
    client.receive_data(b"2")
    send(client, RCPT)
    for octet in b"50-x\r\n" + b"250-x\r\n" * 20 + b"250 y\r":
        client.receive_data(bytes([octet]))
        assert client.next_event() is None
        assert client._credit.later is not None and len(client._credit.later) == 1
    client.receive_data(b"\n550 x\r\n")
    assert replies(take(client)) == [250, 550]
    assert not client._credit.later


@pytest.mark.req("DAT-33")
@pytest.mark.parametrize("code", [451, 552])
def test_a_refusal_before_the_final_dot_was_handed_out_is_not_its_answer(code: int) -> None:
    client = in_content("PIPELINING")
    send(client, Chunk(b"x\r\n"))
    client.send(Chunk(b"y\r\n"))
    for event in (END, MAIL, RCPT):
        client.send(event)
    reply = Reply(code, None, "enough")
    assert read(client, f"{code} enough") == [
        Response(None, reply),
        CommandNotSent(MAIL),
        CommandNotSent(RCPT),
        CLOSED,
    ]
    assert client.data_to_send() == b"", "neither the rest of the content nor its end"
    assert client.outstanding == ()


@pytest.mark.req("SES-40")
def test_421_gives_back_what_was_not_handed_out() -> None:
    reply = Reply(421, None, "bye")
    client = with_held_back(ready("PIPELINING"), MAIL, RCPT)
    assert read(client, "421 bye") == [
        Response(None, reply),
        CommandNotSent(MAIL),
        CommandNotSent(RCPT),
        CLOSED,
    ]
    assert client.data_to_send() == b""
    client = with_held_back(in_content(), Chunk(b"x\r\n"), END)
    assert read(client, "421 bye") == [Response(None, reply), CLOSED]
    assert client.data_to_send() == b""
    client = with_sent(authenticating())
    assert read(client, "334 ", "421 bye") == [Response(Auth("LOGIN"), reply), CLOSED]


@pytest.mark.req("SES-41")
def test_a_message_whose_final_dot_was_not_handed_out_is_not_delivered() -> None:
    client = with_held_back(in_content(), Chunk(b"x\r\n"), END)
    client.receive_data(b"")
    with pytest.raises(ConnectionLost) as caught:
        client.next_event()
    assert not caught.value.maybe_delivered
    assert caught.value.outstanding == (END,)


@pytest.mark.req("RPL-04", "RPL-08", "RPL-27", "FRM-01")
@pytest.mark.parametrize(
    "octets",
    [
        b"250-a\r\n550 b\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"\r\n",
        b"250 ok\n",
        b"250 ok\n250 ok\r\n",
        b"250 ok\r250 ok\r\n",
        b"250 ok\r\0\n",
    ],
)
def test_a_malformed_reply_ends_the_session(octets: bytes) -> None:
    client = ready()
    send(client, MAIL, RCPT)
    client.receive_data(octets)
    with pytest.raises(RemoteProtocolError):
        client.next_event()
    assert client.data_to_send() == b"QUIT\r\n"
    refuses_after_close(client)


@pytest.mark.req("FRM-01", "RPL-27")
@pytest.mark.parametrize("octet", [b"\x0b", b"\x0c", b"\x85", b"\xc2\x85"])
def test_only_CRLF_ends_a_reply_line(octet: bytes) -> None:
    client = ready()
    send(client, MAIL)
    client.receive_data(b"250 a" + octet + b"550 b" + octet)
    assert client.next_event() is None
    client.receive_data(b"\r\n")
    assert replies(take(client)) == [250]


def test_events_before_a_protocol_error_are_not_lost() -> None:
    client = grouped(RCPT)
    client.receive_data(wire("250 ok", "550 no", "rubbish"))
    assert client.next_event() == Response(MAIL, Reply(250, None, "ok"))
    assert client.next_event() == Response(RCPT, Reply(550, None, "no"))
    with pytest.raises(RemoteProtocolError):
        client.next_event()
    assert take(client) == [CLOSED]


@pytest.mark.req("PIP-03")
@pytest.mark.parametrize(
    "client, last",
    [
        pytest.param(lambda: ready(), b"QUIT\r\n", id="idle"),
        pytest.param(lambda: grouped(RCPT), b"", id="354 may be on its way"),
        pytest.param(
            lambda: with_held_back(with_sent(ready("PIPELINING"), MAIL), RCPT, DATA),
            b"QUIT\r\n",
            id="DATA was not handed out",
        ),
        pytest.param(lambda: in_content(), b"", id="in content"),
        pytest.param(lambda: in_starttls(), b"", id="a handshake may be about to begin"),
        pytest.param(lambda: challenged(), b"", id="in an exchange"),
    ],
)
def test_QUIT_is_sent_after_a_protocol_error_where_it_is_a_command(
    client: Callable[[], ClientConnection], last: bytes
) -> None:
    connection = client()
    connection.receive_data(b"rubbish\r\n")
    with pytest.raises(RemoteProtocolError):
        connection.next_event()
    assert connection.data_to_send() == last


@pytest.mark.req("SES-46")
def test_QUIT_is_not_said_twice() -> None:
    client = ready()
    send(client, QUIT)
    with pytest.raises(RemoteProtocolError):
        read(client, "354 go")
    assert client.data_to_send() == b""


@pytest.mark.req("RPL-25")
def test_a_refused_MAIL_is_not_remembered() -> None:
    client = ready()
    send(client, MAIL)
    read(client, "550 no")
    send(client, RSET)
    read(client, "250 ok")
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"
    read(client, "250 ok")
    assert client.state is State.MAIL


@pytest.mark.req("MAI-08")
def test_there_is_one_transaction_at_a_time() -> None:
    client = ready("PIPELINING")
    send(client, MAIL)
    refuses(client.send, MAIL, match="'mail'")
    read(client, "250 ok")
    refuses(client.send, MAIL, match="'mail'")
    send(client, RCPT)
    read(client, "250 ok")
    refuses(client.send, MAIL, match="'rcpt'")
    refuses(client.send, STARTTLS, match="'rcpt'")
    refuses(client.authenticate, PlainClient("u", "p"), match="'rcpt'")


@pytest.mark.req("SES-06")
def test_after_RSET_the_extensions_stay() -> None:
    client = in_transaction("SIZE 1000")
    send(client, RSET)
    read(client, "250 ok")
    assert client.state is State.READY
    assert send(client, Mail("", {"SIZE": 1})) == b"MAIL FROM:<> SIZE=1\r\n"


@pytest.mark.req("LIM-08")
def test_a_refused_overlong_recipient_does_not_affect_the_others() -> None:
    long = Rcpt(f"{'x' * 64}@{'y' * 63}.{'z' * 63}.example")
    client = grouped(RCPT, long, OTHER_RCPT)
    assert replies(read(client, "250 ok", "250 ok", "501 too long", "250 ok", "354 go")) == [
        250,
        250,
        501,
        250,
        354,
    ]
    assert send(client, Chunk(b"x"), END) == b"x\r\n.\r\n"


@pytest.mark.req("LIM-10")
def test_long_reply_lines_are_read_up_to_a_limit() -> None:
    for length in (512, 5000):
        client = ready()
        send(client, NOOP)
        text = "x" * (length - 6)
        assert read(client, f"250 {text}") == [Response(NOOP, Reply(250, None, text))]
    client = ready()
    send(client, NOOP)
    client.receive_data(b"250 " + b"x" * 10 * 1024 * 1024)
    with pytest.raises(RemoteProtocolError, match="more than 12294 octets"):
        client.next_event()


@pytest.mark.req("RPL-31", "FRM-16")
@pytest.mark.parametrize("endless", [b"250-x\r\n" * 1000, b"250 " + b"x" * 7000])
def test_endless_replies_are_not_collected(endless: bytes) -> None:
    client = ready()
    send(client, NOOP)
    held: list[int] = []

    def go_on() -> None:
        for _ in range(1000):
            client.receive_data(endless)
            assert client.next_event() is None
            held.append(client._parser.pending)

    with pytest.raises(RemoteProtocolError, match="of more than"):
        go_on()
    assert max(held, default=0) <= 256 * 7 + 12294


@pytest.mark.req("LIM-21")
def test_the_limits_are_those_of_the_application() -> None:
    client = ready(limits=Limits(reply_line=512, reply_lines=2))
    send(client, NOOP)
    with pytest.raises(RemoteProtocolError, match="512"):
        read(client, "250 " + "x" * 507)
    client = greeted(limits=Limits(reply_lines=2))
    send(client, EHLO)
    with pytest.raises(RemoteProtocolError, match="more than 2 lines"):
        read(client, "250-a", "250-b", "250 c")
    client = ready("PIPELINING", limits=Limits(outstanding_commands=1))
    assert send(client, RSET, RSET) == b"RSET\r\n"
    client = authenticating(PlainClient("u", "p" * 600), limits=Limits(command_line=1024))
    assert len(client.data_to_send()) > 600
    client = authenticating(EndlessMechanism(), limits=Limits(challenges=2))
    client.data_to_send()
    for answer in (b"eA==\r\n", b"eA==\r\n", b"*\r\n"):
        read(client, "334 ")
        assert client.data_to_send() == answer


# --- 421 and other ends -----------------------------------------------------------------------------------


@pytest.mark.req("SES-40")
def test_421_answers_everything_under_way() -> None:
    rcpts = [Rcpt(f"r{number}@example.com") for number in range(5)]
    client = ready("PIPELINING", limits=Limits(outstanding_commands=6))
    send(client, MAIL, *rcpts, DATA)
    reply = Reply(421, "4.3.2", "shutting down")
    ok = Reply(250, None, "ok")
    events = read(client, "250 ok", "421 4.3.2 shutting down", "250 ok")
    assert events == [
        Response(MAIL, ok),
        *(Response(one, reply) for one in rcpts),
        CommandNotSent(DATA),
        CLOSED,
    ]
    assert client.outstanding == ()
    assert reply.is_transient
    refuses_after_close(client)


@pytest.mark.req("SES-40")
def test_421_gives_back_what_was_held_back() -> None:
    client = ready()
    send(client, MAIL, RCPT, DATA)
    reply = Reply(421, None, "bye")
    assert read(client, "421 bye") == [
        Response(MAIL, reply),
        CommandNotSent(RCPT),
        CommandNotSent(DATA),
        CLOSED,
    ]
    assert client.data_to_send() == b""


@pytest.mark.req("RPL-23")
def test_421_may_come_unasked() -> None:
    for client in (ready(), in_transaction(), greeted()):
        assert read(client, "421 4.4.2 idle too long") == [
            Response(None, Reply(421, "4.4.2", "idle too long")),
            CLOSED,
        ]
        refuses_after_close(client)


@pytest.mark.req("SES-40")
@pytest.mark.parametrize("name", COMMANDS)
def test_421_may_answer_anything(name: str) -> None:
    command, _ = COMMANDS[name]
    client = in_transaction() if name in ("RCPT", "DATA") else ready("STARTTLS")
    send(client, command)
    assert read(client, "421 bye") == [Response(command, Reply(421, None, "bye")), CLOSED]
    refuses_after_close(client)


@pytest.mark.req("DAT-33")
@pytest.mark.parametrize("code", [421, 451, 552])
def test_a_refusal_may_arrive_while_content_is_sent(code: int) -> None:
    client = in_content()
    send(client, Chunk(b"x\r\n"))
    assert read(client, f"{code} enough") == [Response(None, Reply(code, None, "enough")), CLOSED]
    assert client.data_to_send() == b""
    refuses_after_close(client)


def test_a_success_while_content_is_sent_breaks_the_protocol() -> None:
    client = in_content()
    send(client, Chunk(b"x\r\n"))
    with pytest.raises(RemoteProtocolError):
        read(client, "250 ok")
    assert client.data_to_send() == b""


@pytest.mark.req("DAT-29")
def test_content_is_broken_off_without_its_final_dot() -> None:
    client = in_content()
    send(client, Chunk(b"x\r\n"))
    client.abort()
    assert client.data_to_send() == b""
    refuses_after_close(client)


@pytest.mark.req("SES-33")
def test_the_end_comes_with_the_answer_to_QUIT() -> None:
    client = ready()
    send(client, QUIT)
    assert client.next_event() is None
    assert client.state is State.READY
    assert read(client, "221 bye") == [Response(QUIT, Reply(221, None, "bye")), CLOSED]
    assert client.state is State.CLOSED


@pytest.mark.req("SES-33")
def test_a_server_may_close_instead_of_answering_QUIT() -> None:
    client = ready()
    send(client, QUIT)
    assert end(client) == [CLOSED]


@pytest.mark.req("SES-46")
@pytest.mark.parametrize("code", [250, 421, 450, 500])
def test_any_answer_to_QUIT_is_the_end(code: int) -> None:
    client = ready()
    send(client, QUIT)
    assert read(client, f"{code} what?") == [Response(QUIT, Reply(code, None, "what?")), CLOSED]
    refuses_after_close(client)


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize(
    "client, outstanding",
    [
        pytest.param(lambda: ClientConnection(), (Connect(),), id="opening"),
        pytest.param(lambda: with_sent(greeted(), EHLO), (EHLO,), id="EHLO"),
        pytest.param(
            lambda: with_sent(ready(), MAIL, RCPT, DATA), (MAIL, RCPT, DATA), id="MAIL, RCPT held back"
        ),
        pytest.param(lambda: grouped(RCPT), (MAIL, RCPT, DATA), id="group"),
        pytest.param(lambda: with_sent(in_transaction(), DATA), (DATA,), id="DATA"),
        pytest.param(lambda: with_sent(in_content(), Chunk(b"x\r\n")), (), id="content"),
        pytest.param(lambda: in_starttls(), (STARTTLS,), id="STARTTLS"),
        pytest.param(lambda: authenticating(), (Auth("LOGIN"),), id="AUTH"),
        pytest.param(lambda: challenged(), (Auth("LOGIN"),), id="challenge"),
        pytest.param(lambda: with_sent(ready("PIPELINING"), RSET, QUIT), (RSET, QUIT), id="QUIT in a group"),
    ],
)
def test_the_connection_may_be_lost_anywhere(
    client: Callable[[], ClientConnection], outstanding: tuple[Event, ...]
) -> None:
    for partial in (b"", b"250-half a re"):
        connection = client()
        if partial:
            connection.receive_data(partial)
            assert connection.next_event() is None
        connection.receive_data(b"")
        with pytest.raises(ConnectionLost) as caught:
            connection.next_event()
        assert caught.value.outstanding == outstanding
        assert not caught.value.maybe_delivered
        assert connection.outstanding == ()
        assert take(connection) == [CLOSED]
        refuses_after_close(connection)


@pytest.mark.req("SES-41")
def test_a_connection_lost_after_the_final_dot_may_have_delivered() -> None:
    client = in_content("PIPELINING")
    send(client, Chunk(b"x\r\n"), END, MAIL)
    client.receive_data(b"")
    with pytest.raises(ConnectionLost) as caught:
        client.next_event()
    assert caught.value.maybe_delivered
    assert caught.value.outstanding == (END, MAIL)


def test_a_connection_lost_in_the_content_says_so() -> None:
    client = in_content()
    send(client, Chunk(b"x\r\n"))
    client.receive_data(b"")
    with pytest.raises(ConnectionLost, match="the server closed the connection while the content was sent"):
        client.next_event()


@pytest.mark.req("SES-41")
def test_a_lone_dot_without_recipients_delivers_nothing() -> None:
    client = grouped(RCPT)
    read(client, "250 ok", "550 no", "354 go")
    send(client, END)
    client.receive_data(b"")
    with pytest.raises(ConnectionLost) as caught:
        client.next_event()
    assert not caught.value.maybe_delivered


@pytest.mark.req("PIP-26")
def test_a_connection_lost_in_a_group_keeps_the_replies_received() -> None:
    client = grouped(RCPT, OTHER_RCPT, RCPT)
    client.receive_data(wire("250 ok", "550 no"))
    client.receive_data(b"")
    assert client.next_event() == Response(MAIL, Reply(250, None, "ok"))
    assert client.next_event() == Response(RCPT, Reply(550, None, "no"))
    with pytest.raises(ConnectionLost) as caught:
        client.next_event()
    assert caught.value.outstanding == (OTHER_RCPT, RCPT, DATA)


@pytest.mark.parametrize("client", [greeted, ready, in_transaction, in_tls])
def test_a_server_may_close_when_nothing_is_under_way(client: Callable[[], ClientConnection]) -> None:
    assert end(client()) == [CLOSED]


@pytest.mark.req("SEC-08")
def test_EOF_may_be_fed_more_than_once() -> None:
    client = ready()
    assert end(client) == [CLOSED]
    assert end(client) == []
    for empty in (b"", bytearray(), memoryview(b"")):
        client.receive_data(empty)
    assert take(client) == []
    client = ready()
    client.receive_data(b"")
    with pytest.raises(LocalProtocolError):
        client.receive_data(b"250 ok\r\n")
    assert take(client) == [CLOSED]


def refuses_after_close(client: ClientConnection) -> None:
    assert client.state is State.CLOSED
    assert client._parser.pending == 0
    client.data_to_send()
    for command, _ in COMMANDS.values():
        refuses(client.send, command)
    for event in (Chunk(b"x\r\n"), END, Auth("PLAIN")):
        refuses(client.send, event)
    refuses(client.authenticate, PlainClient("u", "p"))
    refuses(client.tls_started, TLS)
    refuses(client.receive_data, b"250 ok\r\n")
    assert take(client) in ([CLOSED], [])  # it may have been said before
    assert take(client) == []


@pytest.mark.req("SEC-03")
@pytest.mark.parametrize(
    "client", [ClientConnection, greeted, ready, in_transaction, in_content, in_tls, challenged]
)
def test_after_abort_everything_is_refused(client: Callable[[], ClientConnection]) -> None:
    connection = client()
    connection.abort()
    connection.abort()
    assert connection.data_to_send() == b""
    refuses_after_close(connection)


@pytest.mark.req("SEC-03")
@pytest.mark.parametrize("state", State)
def test_a_command_that_the_table_forbids_is_refused(state: State) -> None:
    make: dict[State, Callable[[], ClientConnection]] = {
        State.OPENING: ClientConnection,
        State.REFUSED: lambda: with_read(ClientConnection(), "554 no"),
        State.GREETED: greeted,
        State.READY: lambda: ready(*ALL),
        State.AUTHENTICATING: challenged,
        State.TLS: in_tls,
        State.MAIL: lambda: with_read(with_sent(ready(*ALL), MAIL), "250 ok"),
        State.RCPT: lambda: in_transaction(*ALL),
        State.CONTENT: in_content,
        State.CLOSED: lambda: with_read(ready(), "421 bye"),
    }
    # Before the greeting, and while AUTH is under way, commands are held back rather than refused.
    legal = {
        State.OPENING: RULES.legal[State.GREETED],
        State.AUTHENTICATING: RULES.legal[State.READY] - {StartTls},
    }
    for command, _ in COMMANDS.values():
        client = make[state]()
        assert client.state is state
        if type(command) in legal.get(state, RULES.legal[state]):
            client.send(command)
        else:
            refuses(client.send, command)


def with_read(client: ClientConnection, *lines: str) -> ClientConnection:
    read(client, *lines)
    return client


# --- Parameters, SIZE, SMTPUTF8 ---------------------------------------------------------------------------


@pytest.mark.req("EHL-34")
@pytest.mark.parametrize(
    "keyword, value, extension",
    [
        ("SIZE", 1, "SIZE"),
        ("BODY", "8BITMIME", "8BITMIME"),
        ("BODY", "7BIT", "8BITMIME"),
        ("SMTPUTF8", True, "SMTPUTF8"),
        ("AUTH", ReversePath("a@example.org"), "AUTH"),
    ],
)
def test_a_parameter_needs_its_extension(keyword: str, value: Any, extension: str) -> None:
    others = [one for one in ALL if one.split()[0] != extension]
    client = ready(*others)
    mail = Mail("a@example.org", {keyword: value})
    refuses(client.send, mail, match=f"does not offer the parameter {keyword} of MAIL")
    client = ready(extension)
    assert send(client, mail).startswith(f"MAIL FROM:<a@example.org> {keyword}".encode())


@pytest.mark.req("EHL-34")
def test_a_parameter_of_RCPT_needs_its_extension() -> None:
    extension = Extension("X-URGENCY", parameters=(Parameter.flag("X-URGENT", "RCPT"),))
    urgent = Rcpt("b@example.com", {"X-URGENT": True})
    client = in_transaction(extensions=(*STANDARD, extension))
    refuses(client.send, urgent, match="does not offer the parameter X-URGENT of RCPT")
    client = in_transaction("X-URGENCY", extensions=(*STANDARD, extension))
    assert send(client, urgent) == b"RCPT TO:<b@example.com> X-URGENT\r\n"


def test_a_parameter_of_another_command_is_named_as_such() -> None:
    extension = Extension("X-URGENCY", parameters=(Parameter.flag("X-URGENT", "RCPT"),))
    client = ready("X-URGENCY", extensions=(*STANDARD, extension))
    mail = Mail("a@example.org", {"X-URGENT": True})
    refuses(client.send, mail, match="X-URGENT is a parameter of RCPT, not of MAIL")


@pytest.mark.req("SIZ-02", "SIZ-15", "SIZ-20")
@pytest.mark.parametrize(
    "keyword, size, refused",
    [
        ("SIZE", None, None),
        ("SIZE 0", 0, None),
        ("SIZE 1000", 1000, 1001),
        ("SIZE abc", None, None),
        ("SIZE -5", None, None),
    ],
)
def test_a_message_above_the_announced_size_is_not_offered(
    keyword: str, size: int | None, refused: int | None
) -> None:
    client = ready(keyword)
    assert "SIZE" in client.capabilities
    assert client.capabilities.size == size
    if refused is None:
        assert send(client, Mail("", {"SIZE": 10**12})) == b"MAIL FROM:<> SIZE=1000000000000\r\n"
    else:
        refuses(client.send, Mail("", {"SIZE": refused}), match="1001 octets, accepted are 1000")
        assert send(client, Mail("", {"SIZE": refused - 1})) == b"MAIL FROM:<> SIZE=1000\r\n"


@pytest.mark.req("SIZ-14")
@pytest.mark.parametrize("code", [452, 552])
def test_a_MAIL_refused_for_its_size_begins_no_transaction(code: int) -> None:
    client = ready("SIZE 0", "PIPELINING")
    send(client, Mail("", {"SIZE": 1}))
    (response,) = read(client, f"{code} too big")
    assert isinstance(response, Response)
    assert response.reply.is_transient is (code == 452)
    assert response.reply.is_permanent is (code == 552)
    assert client.state is State.READY
    assert send(client, RSET, QUIT) == b"RSET\r\nQUIT\r\n"


@pytest.mark.req("SIZ-16")
def test_a_message_may_be_too_big_after_all() -> None:
    client = in_content("SIZE 0", mail=Mail("", {"SIZE": 3}))
    send(client, Chunk(b"x\r\n"), END)
    (response,) = read(client, "552 too big")
    assert isinstance(response, Response)
    assert response.command == END
    assert response.reply.is_permanent
    assert client.state is State.READY


@pytest.mark.req("EIG-11", "FRM-12")
def test_addresses_that_are_not_ASCII_need_SMTPUTF8() -> None:
    for keywords in ((), ("8BITMIME",), ALL):
        client = ready(*keywords)
        refuses(client.send, Mail("\xfc@example.org"), match="SMTPUTF8")
    client = ready(*ALL)
    send(client, Mail("", {"BODY": "8BITMIME"}))
    read(client, "250 ok")
    refuses(client.send, Rcpt("\xfc@example.com"), match="SMTPUTF8")
    client = ready(*ALL)
    assert send(client, Mail("\xfc@b\xfccher.example", {"SMTPUTF8": True})) == (
        "MAIL FROM:<\xfc@b\xfccher.example> SMTPUTF8\r\n".encode()
    )
    assert send(client, Rcpt("\u65e5@example.com")) == "RCPT TO:<\u65e5@example.com>\r\n".encode()
    # What the transaction before said does not count.
    read(client, "250 ok", "250 ok")
    send(client, RSET, MAIL)
    refuses(client.send, Rcpt("\xfc@example.com"), match="SMTPUTF8")


def test_text_that_is_not_ASCII_is_for_VRFY_and_EXPN_with_SMTPUTF8() -> None:
    for command in (Vrfy("J\xf6rg"), Expn("\u65e5")):
        client = ready("8BITMIME")
        refuses(client.send, command)
        client = ready("SMTPUTF8")
        assert send(client, command) == f"{command.verb} {command.argument}\r\n".encode()


# --- Content ----------------------------------------------------------------------------------------------


def encoded(*pieces: bytes, mail: Mail = MAIL, **options: Any) -> bytes:
    client = in_content(*ALL, mail=mail, **options)
    return send(client, *map(Chunk, pieces), END)


@pytest.mark.req("DAT-10", "DAT-12", "DAT-15", "DAT-16")
@pytest.mark.parametrize(
    "content, octets",
    [
        (b"", b".\r\n"),
        (b"x", b"x\r\n.\r\n"),
        (b"x\r\n", b"x\r\n.\r\n"),
        (b"x\r\n\r\n", b"x\r\n\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"..a\r\n", b"...a\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a.\r\n.b\r\n..\r\n\r\n.", b"a.\r\n..b\r\n...\r\n\r\n..\r\n.\r\n"),
        (b"a\r\n.\r\nMAIL FROM:<x@example.org>\r\n", b"a\r\n..\r\nMAIL FROM:<x@example.org>\r\n.\r\n"),
    ],
)
def test_dots_are_stuffed_wherever_content_is_cut(content: bytes, octets: bytes) -> None:
    assert encoded(content) == octets
    assert encoded(*(content[at : at + 1] for at in range(len(content)))) == octets
    for cut in range(len(content)):
        assert encoded(content[:cut], content[cut:]) == octets


@pytest.mark.req("DAT-08")
@pytest.mark.parametrize("content", [b"a\nb", b"a\rb", b"a\r\r\nb", b"\n", b"a\n\rb", b"\r\n.\n", b"\n.\r\n"])
def test_bare_line_ends_are_not_sent(content: bytes) -> None:
    for pieces in ([content], [content[at : at + 1] for at in range(len(content))]):
        client = in_content()
        sent = bytearray()
        complaint = ""
        for piece in (*pieces, b"x"):
            try:
                sent += send(client, Chunk(piece))
            except LocalProtocolError as error:
                complaint = str(error)
                break
        assert "bare" in complaint
        assert b"\r" not in sent.replace(b"\r\n", b"")
        assert b"\n" not in sent.replace(b"\r\n", b"")
        assert client.data_to_send() == b""


@pytest.mark.req("DAT-17")
def test_a_CR_at_the_end_does_not_merge_with_the_final_dot() -> None:
    client = in_content()
    assert send(client, Chunk(b"a\r")) == b"a"
    refuses(client.send, END, match="bare CR")
    assert client.state is State.CONTENT
    assert send(client, Chunk(b"\n"), END) == b"\r\n.\r\n"


@pytest.mark.req("DAT-08", "DAT-09")
def test_line_ends_are_normalized_before_dots_are_stuffed() -> None:
    assert encoded(*normalize_line_endings([b"a\n.\nb"])) == b"a\r\n..\r\nb\r\n.\r\n"


@pytest.mark.req("LIM-12")
def test_lines_have_998_octets_at_most() -> None:
    line = b"x" * 998
    assert encoded(line, b"\r\n.", line[1:]) == line + b"\r\n.." + line[1:] + b"\r\n.\r\n"
    client = in_content()
    send(client, Chunk(line))
    refuses(client.send, Chunk(b"x"), match="longer than 998")
    refuses(client.send, Chunk(b"\r\n" + line + b"x"), match="longer than 998")
    assert encoded(line, b"x", max_line=999) == line + b"x\r\n.\r\n"
    assert encoded(line * 1000, max_line=None) == line * 1000 + b"\r\n.\r\n"


@pytest.mark.req("DAT-19", "EIG-04", "EIG-05")
@pytest.mark.parametrize("parameters", [{}, {"BODY": "7BIT"}, {"SMTPUTF8": True}])
def test_octets_above_127_need_BODY_8BITMIME(parameters: dict[str, Any]) -> None:
    client = in_content(*ALL, mail=Mail("", parameters))
    refuses(client.send, Chunk(b"caf\xe9\r\n"), match="8BITMIME")
    assert send(client, Chunk(b"cafe\r\n"), END) == b"cafe\r\n.\r\n"


@pytest.mark.req("EIG-05", "EIG-06")
def test_8BITMIME_changes_neither_dots_nor_line_ends() -> None:
    mail = Mail("", {"BODY": "8BITMIME"})
    assert encoded(b".\xe9\r\n\xff\x80", mail=mail) == b"..\xe9\r\n\xff\x80\r\n.\r\n"
    client = in_content(*ALL, mail=mail)
    refuses(client.send, Chunk(b"\xe9" * 999), match="longer than 998")
    refuses(client.send, Chunk(b"\xe9\n"), match="bare LF")


def test_each_message_starts_with_a_fresh_encoder() -> None:
    client = in_content("PIPELINING")
    send(client, Chunk(b"x" * 998), END, MAIL, RCPT, DATA)
    read(client, "250 ok", "250 ok", "250 ok", "354 go")
    assert send(client, Chunk(b"." * 998), END) == b"." * 999 + b"\r\n.\r\n"


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",)])
def test_content_after_the_final_dot_is_refused(keywords: tuple[str, ...]) -> None:
    client = in_content(*keywords)
    assert send(client, Chunk(b"x"), END) == b"x\r\n.\r\n"
    refuses(client.send, Chunk(b"y"))
    refuses(client.send, END)
    assert replies(read(client, "250 ok")) == [250]
    refuses(client.send, Chunk(b"y"))
    refuses(client.send, END)


@pytest.mark.req("DAT-37")
def test_content_is_not_collected() -> None:
    client = in_content()
    piece = Chunk((b"x" * 70 + b"\r\n") * 10_000)
    tracemalloc.start()
    try:
        for _ in range(100):
            client.send(piece)
            assert len(client.data_to_send()) == len(piece.data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(piece.data)
    assert send(client, END) == b".\r\n"


# --- TLS --------------------------------------------------------------------------------------------------


@pytest.mark.req("TLS-14", "TLS-15")
def test_between_220_and_the_handshake_nothing_is_sent() -> None:
    client = in_tls()
    assert client.tls is None
    assert client.next_event() is None
    for command, _ in COMMANDS.values():
        refuses(client.send, command, match="'tls'")
    refuses(client.authenticate, PlainClient("u", "p"), match="'tls'")
    refuses(client.receive_data, b"\x16\x03\x03", match="handshake")
    client.tls_started(TLS)
    assert client.tls is TLS
    assert client.state is State.GREETED
    assert send(client, EHLO) == b"EHLO client.example\r\n"


@pytest.mark.req("PIP-25", "TLS-15")
def test_nothing_follows_STARTTLS() -> None:
    client = in_starttls()
    for command, _ in COMMANDS.values():
        refuses(client.send, command, match="'tls'")


@pytest.mark.req("TLS-05")
@pytest.mark.parametrize("behind", [b"250 fake\r\n", b"2", b"220 go\r\n", b"\x16\x03\x03", b"\r\n"])
def test_plaintext_after_the_220_to_STARTTLS_is_never_a_reply(behind: bytes) -> None:
    for pieces in ([b"220 go\r\n" + behind], [b"220 go\r\n", behind]):
        client = in_starttls()
        for piece in pieces:
            client.receive_data(piece)
        with pytest.raises(RemoteProtocolError, match="plaintext") as caught:
            client.next_event()
        assert caught.value.reply == Reply(220, None, "go")
        assert client.data_to_send() == b""
        refuses_after_close(client)


@pytest.mark.req("TLS-08", "TLS-14", "EHL-33")
def test_the_offer_in_plaintext_is_forgotten_under_TLS() -> None:
    client = ready(*ALL)
    send(client, STARTTLS)
    read(client, "220 go")
    client.tls_started(TLS)
    assert not client.capabilities
    refuses(client.send, MAIL, match="'greeted'")
    send(client, EHLO)
    read(client, "250 mx.example")
    refuses(client.send, Mail("", {"SIZE": 1}))
    refuses(client.authenticate, PlainClient("u", "p"))
    assert send(client, MAIL, RCPT) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("TLS-11")
def test_STARTTLS_is_not_sent_under_TLS() -> None:
    client = in_tls()
    client.tls_started(TLS)
    send(client, EHLO)
    read(client, "250-mx.example", "250 STARTTLS")
    refuses(client.send, STARTTLS, match="active already")
    client = ready("STARTTLS", tls=TLS)
    assert client.tls is TLS
    refuses(client.send, STARTTLS, match="active already")


def test_STARTTLS_needs_its_offer() -> None:
    client = ready("PIPELINING")
    refuses(client.send, STARTTLS, match="does not offer STARTTLS")


@pytest.mark.parametrize("code", [454, 501, 554])
def test_a_refused_STARTTLS_leaves_everything_as_it_was(code: int) -> None:
    client = in_starttls()
    assert replies(read(client, f"{code} no")) == [code]
    assert client.state is State.READY
    assert client.tls is None
    refuses(client.tls_started, TLS, match="not been accepted")
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("TLS-18")
@pytest.mark.parametrize("code", [200, 221, 250, 334, 354])
def test_only_220_begins_TLS(code: int) -> None:
    client = in_starttls()
    with pytest.raises(RemoteProtocolError) as caught:
        read(client, f"{code} ok")
    assert caught.value.reply == Reply(code, None, "ok")
    refuses_after_close(client)


@pytest.mark.req("TLS-29")
def test_authentication_does_not_survive_STARTTLS() -> None:
    client = ready("STARTTLS", "AUTH PLAIN")
    client.authenticate(PlainClient("u", "p"), allow_cleartext=True)
    client.data_to_send()
    read(client, "235 ok")
    assert client.authenticated
    send(client, STARTTLS)
    read(client, "220 go")
    client.tls_started(TLS)
    assert not client.authenticated
    send(client, EHLO)
    read(client, "250-mx.example", "250 AUTH PLAIN")
    client.authenticate(PlainClient("u", "p"))
    assert client.data_to_send() == b"AUTH PLAIN AHUAcA==\r\n"


# --- AUTH -------------------------------------------------------------------------------------------------


class FirstMechanism(ClientMechanism):
    """Sends what it is told to, and can be told to find the server a fraud."""

    __slots__ = ("fraud", "initial")
    name = "X-FIRST"

    def __init__(self, initial: bytes, *, fraud: bool = False) -> None:
        self.initial = initial
        self.fraud = fraud

    def initial_response(self) -> bytes:
        return self.initial

    def respond(self, challenge: bytes) -> bytes:
        return challenge

    def verify_success(self) -> None:
        if self.fraud:
            raise MechanismError("the server's signature is wrong")


class EndlessMechanism(ClientMechanism):
    """Always has something to say."""

    __slots__ = ()
    name = "X-FIRST"

    def initial_response(self) -> None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        return b"x"


@pytest.mark.req("AUT-29")
def test_PLAIN_sends_one_message() -> None:
    client = authenticating(PlainClient("user", PASSWORD))
    assert client.data_to_send() == f"AUTH PLAIN {PLAIN_MESSAGE}\r\n".encode()
    (auth,) = client.outstanding
    assert isinstance(auth, Auth)
    assert read(client, "235 2.7.0 ok") == [Response(auth, Reply(235, "2.7.0", "ok"))]
    assert client.authenticated
    assert client.state is State.READY
    refuses(client.authenticate, PlainClient("u", "p"), match="authenticated already")


@pytest.mark.req("SAS-32")
@pytest.mark.parametrize("texts", [(b"Username:", b"Password:"), (b"User Name\0", b"Password\0"), (b"", b"?")])
def test_LOGIN_ignores_the_text_of_challenges(texts: tuple[bytes, bytes]) -> None:
    client = authenticating()
    assert client.data_to_send() == b"AUTH LOGIN\r\n"
    assert read(client, f"334 {b64(texts[0])}") == []
    assert client.state is State.AUTHENTICATING
    assert client.data_to_send() == b"dXNlcg==\r\n"
    assert read(client, f"334 {b64(texts[1])}") == []
    assert client.data_to_send() == f"{b64(PASSWORD.encode())}\r\n".encode()
    assert read(client, "235 ok") == [Response(Auth("LOGIN"), Reply(235, None, "ok"))]
    assert client.authenticated


@pytest.mark.req("AUT-08", "AUT-10")
def test_an_empty_challenge_and_an_empty_response() -> None:
    for challenge in ("334", "334 "):
        client = authenticating(FirstMechanism(b"x"))
        assert client.data_to_send() == b"AUTH X-FIRST eA==\r\n"
        assert read(client, challenge) == []
        assert client.data_to_send() == b"\r\n"
        assert replies(read(client, "235 ok")) == [235]


@pytest.mark.req("AUT-09")
def test_an_empty_initial_response() -> None:
    assert authenticating(FirstMechanism(b"")).data_to_send() == b"AUTH X-FIRST =\r\n"


@pytest.mark.req("AUT-17")
def test_a_long_initial_response_is_held_back() -> None:
    limits = Limits(command_line=515)
    fits = b"x" * ((515 - len("AUTH X-FIRST \r\n")) // 4 * 3)
    client = authenticating(FirstMechanism(fits), limits=limits)
    assert len(client.data_to_send()) == 515
    assert client.outstanding == (Auth("X-FIRST", b64(fits)),)
    client = authenticating(FirstMechanism(fits + b"x"), limits=limits)
    assert client.data_to_send() == b"AUTH X-FIRST\r\n"
    read(client, "334 ")
    assert client.data_to_send() == f"{b64(fits + b'x')}\r\n".encode()
    read(client, "334 eg==")
    assert client.data_to_send() == b"eg==\r\n"
    read(client, "535 no")


@pytest.mark.req("AUT-17")
def test_a_response_held_back_is_not_sent_in_another_exchange() -> None:
    client = authenticating(PlainClient("user", "p" * 500))
    assert client.data_to_send() == b"AUTH PLAIN\r\n"
    read(client, "454 later")
    client.authenticate(LoginClient("user", PASSWORD))
    client.data_to_send()
    read(client, "334 ")
    assert client.data_to_send() == b"dXNlcg==\r\n"


@pytest.mark.req("AUT-18")
def test_challenges_and_responses_of_12288_octets_are_exchanged() -> None:
    long = b"x" * (12288 // 4 * 3)
    client = authenticating(FirstMechanism(long))
    assert client.data_to_send() == b"AUTH X-FIRST\r\n"
    read(client, "334 ")
    assert client.data_to_send() == f"{b64(long)}\r\n".encode()
    read(client, f"334 {b64(long)}")
    assert client.data_to_send() == f"{b64(long)}\r\n".encode()
    assert replies(read(client, "235 ok")) == [235]


@pytest.mark.req("AUT-13", "AUT-15")
@pytest.mark.parametrize(
    "challenge", ["rubbish!", "=AAA", "AAA=BBB", "YQ", "YR==", "YQ== ", " YQ==", "YQ==\t", "Y Q==", "\xc3\xa9"]
)
def test_a_challenge_that_cannot_be_decoded_cancels_the_exchange(challenge: str) -> None:
    client = authenticating()
    client.data_to_send()
    assert read(client, f"334 {challenge}") == []
    assert client.data_to_send() == b"*\r\n"
    assert len(client.outstanding) == 1
    assert read(client, "501 cancelled") == [Response(Auth("LOGIN"), Reply(501, None, "cancelled"))]
    assert not client.authenticated
    assert client.state is State.READY
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"


@pytest.mark.req("AUT-13")
def test_a_mechanism_that_gives_up_cancels_the_exchange() -> None:
    client = authenticating(PlainClient("u", "p"))
    client.data_to_send()
    read(client, "334 ")
    assert client.data_to_send() == b"*\r\n"
    assert replies(read(client, "501 cancelled")) == [501]
    client.authenticate(LoginClient("user", PASSWORD))
    assert client.data_to_send() == b"AUTH LOGIN\r\n"
    assert read(client, "334 ") == []
    assert client.data_to_send() == b"dXNlcg==\r\n"


def test_a_challenge_of_two_lines_cancels_the_exchange() -> None:
    client = authenticating()
    client.data_to_send()
    read(client, "334-VXNl", "334 cm5hbWU6")
    assert client.data_to_send() == b"*\r\n"


def test_too_many_challenges_cancel_the_exchange() -> None:
    client = authenticating(EndlessMechanism())
    client.data_to_send()
    for _ in range(20):
        assert read(client, "334 eA==") == []
        assert client.data_to_send() == b"eA==\r\n"
    assert read(client, "334 eA==") == []
    assert client.data_to_send() == b"*\r\n"
    with pytest.raises(RemoteProtocolError):
        read(client, "334 eA==")
    assert client.data_to_send() == b""
    refuses_after_close(client)


def test_each_exchange_may_have_its_challenges() -> None:
    client = authenticating(EndlessMechanism(), limits=Limits(challenges=2))
    for _ in range(2):
        client.data_to_send()
        for answer in (b"eA==\r\n", b"eA==\r\n"):
            read(client, "334 ")
            assert client.data_to_send() == answer
        read(client, "535 no")
        client.authenticate(EndlessMechanism())


@pytest.mark.req("AUT-39")
@pytest.mark.parametrize("code", [300, 335, 354])
def test_another_3yz_in_an_exchange_breaks_the_protocol(code: int) -> None:
    for client in (authenticating(), challenged()):
        client.data_to_send()
        with pytest.raises(RemoteProtocolError) as caught:
            read(client, f"{code} eA==")
        assert caught.value.reply == Reply(code, None, "eA==")
        refuses_after_close(client)


@pytest.mark.req("AUT-39")
def test_334_outside_an_exchange_breaks_the_protocol() -> None:
    client = ready("AUTH PLAIN")
    with pytest.raises(RemoteProtocolError):
        read(client, "334 eA==")
    refuses_after_close(client)


def test_success_after_a_cancellation_breaks_the_protocol() -> None:
    client = authenticating()
    client.data_to_send()
    read(client, "334 !")
    client.data_to_send()
    with pytest.raises(RemoteProtocolError, match="cancelled"):
        read(client, "235 welcome")
    assert not client.authenticated
    refuses_after_close(client)


def test_success_that_the_mechanism_does_not_believe_breaks_the_protocol() -> None:
    client = authenticating(FirstMechanism(b"x", fraud=True))
    client.data_to_send()
    with pytest.raises(RemoteProtocolError, match="signature") as caught:
        read(client, "235 welcome")
    assert caught.value.reply == Reply(235, None, "welcome")
    assert not client.authenticated
    assert client.data_to_send() == b"QUIT\r\n"


@pytest.mark.req("AUT-31")
@pytest.mark.parametrize("code", [432, 454, 534, 535])
def test_after_a_failed_login_the_client_may_retry_or_go_on(code: int) -> None:
    client = challenged()
    (response,) = read(client, f"{code} no")
    assert isinstance(response, Response)
    assert response.reply.is_transient is (code < 500)
    assert not client.authenticated
    assert client.state is State.READY
    client.authenticate(PlainClient("u", "p"))
    assert client.data_to_send() == b"AUTH PLAIN AHUAcA==\r\n"
    read(client, "535 no")
    assert send(client, MAIL) == b"MAIL FROM:<a@example.org>\r\n"


def test_one_exchange_at_a_time() -> None:
    client = authenticating()
    client.data_to_send()
    refuses(client.authenticate, PlainClient("u", "p"), match="under way")
    read(client, "334 ")
    assert client.data_to_send() == b"dXNlcg==\r\n"
    refuses(client.authenticate, PlainClient("u", "p"), match="under way")


@pytest.mark.req("AUT-27")
def test_a_mechanism_has_to_be_offered() -> None:
    client = ready("AUTH LOGIN", tls=TLS)
    refuses(client.authenticate, PlainClient("u", "p"), match="the mechanism PLAIN; it offers LOGIN")
    client = ready("PIPELINING", tls=TLS)
    refuses(client.authenticate, PlainClient("u", "p"), match="offers none")
    # The list is that of the last EHLO.
    client = ready("AUTH PLAIN", tls=TLS)
    send(client, EHLO)
    read(client, "250-mx.example", "250 AUTH LOGIN")
    refuses(client.authenticate, PlainClient("u", "p"), match="PLAIN")


def test_AUTH_is_begun_with_authenticate() -> None:
    client = ready("AUTH PLAIN", tls=TLS)
    refuses(client.send, Auth("PLAIN", "AHUAcA=="), match="authenticate")


def test_passwords_are_not_shown_without_TLS() -> None:
    client = ready("AUTH PLAIN LOGIN X-FIRST")
    for mechanism in (PlainClient("u", "p"), LoginClient("u", "p")):
        refuses(client.authenticate, mechanism, match="without TLS")
    client.authenticate(FirstMechanism(b"x"))
    assert client.data_to_send() == b"AUTH X-FIRST eA==\r\n"
    client = ready("AUTH PLAIN")
    client.authenticate(PlainClient("u", "p"), allow_cleartext=True)
    assert client.data_to_send() == b"AUTH PLAIN AHUAcA==\r\n"


@pytest.mark.req("AUT-55")
def test_421_ends_an_exchange_and_the_session() -> None:
    for client in (authenticating(), challenged()):
        send(client, MAIL)
        assert read(client, "421 bye") == [
            Response(Auth("LOGIN"), Reply(421, None, "bye")),
            CommandNotSent(MAIL),
            CLOSED,
        ]
        assert not client.authenticated
        refuses_after_close(client)


@pytest.mark.req("AUT-52")
def test_secrets_are_not_shown() -> None:
    client = authenticating(PlainClient("user", PASSWORD))
    shown = [repr(client), repr(client.outstanding), repr(vars(client)["_exchange"])]
    assert PLAIN_MESSAGE in client.data_to_send().decode()
    shown += map(repr, read(client, "535 no"))
    client.authenticate(PlainClient("user", PASSWORD))
    client.data_to_send()
    with pytest.raises(RemoteProtocolError) as caught:
        read(client, "354 what?")
    shown += [str(caught.value), repr(caught.value)]
    client = authenticating(PlainClient("user", PASSWORD))
    client.receive_data(b"")
    with pytest.raises(ConnectionLost) as lost:
        client.next_event()
    shown += [str(lost.value), repr(lost.value), repr(lost.value.outstanding)]
    for text in shown:
        assert PASSWORD not in text
        assert PLAIN_MESSAGE not in text


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("mechanism", [PlainClient("user", PASSWORD), LoginClient("user", PASSWORD)])
def test_a_reply_that_quotes_the_secret_does_not_show_it(mechanism: Any) -> None:
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    client = authenticating(mechanism)
    client.data_to_send()
    if isinstance(mechanism, LoginClient):
        for _ in range(2):
            read(client, "334 ")
            client.data_to_send()
    (response,) = read(
        client, f"535-5.7.8 AUTH {PLAIN_MESSAGE} {encoded}", f"535 5.7.8 {PASSWORD} of user is wrong"
    )
    assert isinstance(response, Response)
    assert PASSWORD not in response.reply.text
    assert (encoded if isinstance(mechanism, LoginClient) else PLAIN_MESSAGE) not in response.reply.text
    assert response.reply.lines[1] == "*** of user is wrong"
    assert response.reply.status == EnhancedStatusCode(5, 7, 8)


ECHOES = [
    PLAIN_MESSAGE,
    PLAIN_MESSAGE[:-6],
    b64(PASSWORD.encode()),
    PASSWORD,
    PASSWORD.upper(),
    f"AUTH PLAIN {PLAIN_MESSAGE}",
    "\xe4" * 600 + f" {PASSWORD}",
]


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    "octets",
    [
        "421 {}\r\n",
        "535-{}\r\n535 {}\r\n",
        "{}\r\n",
        "999 {}\r\n",
        "535 {}\n",
        "535 {}\rx\r\n",
        "535-{}\r\n421 {}\r\n",
        "535-{}\r\n{}\r\n",
        "354 {}\r\n",
        "300 {}\r\n",
        "334 {}\r\n334 {}\r\n",
        "334-{}\r\n335 {}\r\n",
        "535 no\r\n250 {}\r\n",
        "535 no\r\n334 {}\r\n",
        "535 no\r\n421 {}\r\n",
        "535 " + "{}" * 200 + "\r\n",
    ],
)
def test_nothing_that_the_server_says_shows_a_secret(octets: str, echo: str) -> None:
    for size in (1, 10**6):
        client = authenticating(PlainClient("user", PASSWORD))
        client.data_to_send()
        shown = shown_by(client, octets.replace("{}", echo).encode(), size)
        for secret in (PLAIN_MESSAGE, PLAIN_MESSAGE[:-6], b64(PASSWORD.encode()), PASSWORD):
            assert secret.lower() not in shown.lower()


def shown_by(client: ClientConnection, octets: bytes, size: int) -> str:
    """Everything that events and errors show of these octets."""
    shown: list[object] = []
    try:
        for at in range(0, len(octets), size):
            client.receive_data(octets[at : at + size])
            shown += take(client)
            client.data_to_send()
    except RemoteProtocolError as error:
        shown += [error, error.reply, error.line, error.__context__, *traceback.format_exception(error)]
    except LocalProtocolError:
        pass  # it was over before the last octet
    shown += [one.reply.text for one in shown if isinstance(one, Response)]
    return " ".join(f"{one!r} {one}" for one in shown)


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize("echo", ECHOES)
def test_the_reply_to_a_later_command_shows_no_secret(echo: str) -> None:
    client = authenticating(PlainClient("user", PASSWORD))
    client.data_to_send()
    read(client, "535 no")
    client.authenticate(LoginClient("user", "another"))
    client.data_to_send()
    for answer in ("334 ", "334 ", "235 ok"):
        read(client, answer)
        client.data_to_send()
    assert client.secrets == (PASSWORD, "another")
    send(client, NOOP)
    shown = shown_by(client, wire(f"250 {echo} another"), 10**6)
    send(client, EHLO)
    shown += shown_by(client, wire(f"250-mx {echo}", f"250-X-ECHO {echo}", f"250 AUTH {echo}"), 10**6)
    shown += repr(client.capabilities) + " ".join(client.capabilities.mechanisms)
    send(client, NOOP)
    shown += shown_by(client, wire(f"550-{echo}", f"551 {echo}"), 10**6)
    for secret in (PLAIN_MESSAGE[:-6], b64(PASSWORD.encode()), PASSWORD, "another"):
        assert secret.lower() not in shown.lower()


@pytest.mark.req("AUT-52")
def test_a_binary_response_is_sent_and_not_shown() -> None:
    response = bytes(range(256))
    client = authenticating(FirstMechanism(response))
    assert client.data_to_send() == f"AUTH X-FIRST {b64(response)}\r\n".encode()
    read(client, f"334 {b64(response)}")
    assert client.data_to_send() == f"{b64(response)}\r\n".encode()
    (refusal,) = read(client, f"535 no {b64(response)}")
    assert isinstance(refusal, Response)
    assert refusal.reply.text == "no ***"


def test_an_error_about_a_false_success_masks_the_secret() -> None:
    class Indiscreet(FirstMechanism):
        __slots__ = ()
        name = "X-FIRST"

        def verify_success(self) -> None:
            raise MechanismError(f"the server is not who knows {PASSWORD}")

    client = authenticating(Indiscreet(PASSWORD.encode()))
    client.data_to_send()
    with pytest.raises(RemoteProtocolError, match=r"knows \*\*\*$") as caught:
        read(client, "235 welcome")
    assert caught.value.__context__ is None


def test_a_reply_that_quotes_no_secret_stays_as_it_is() -> None:
    client = authenticating(PlainClient("abc", "abc"))  # so short that it would be found everywhere
    client.data_to_send()
    assert read(client, "535 no abc") == [Response(Auth("PLAIN", "AGFiYwBhYmM="), Reply(535, None, "no abc"))]


# --- Time -------------------------------------------------------------------------------------------------


@pytest.mark.req("TMO-01", "TMO-02", "TMO-03", "TMO-04", "TMO-05", "TMO-06", "TMO-07")
def test_each_wait_has_its_timeout() -> None:
    client = ClientConnection()
    assert client.timeout == 300  # greeting
    read(client, "220 mx.example")
    assert client.timeout == 300  # idle
    send(client, EHLO)
    read(client, "250-mx.example", "250 PIPELINING")
    send(client, MAIL)
    assert client.timeout == 300
    read(client, "250 ok")
    send(client, RCPT, DATA)
    assert client.timeout == 300  # RCPT is the oldest
    read(client, "250 ok")
    assert client.timeout == 120
    read(client, "354 go")
    assert client.timeout == 180
    send(client, Chunk(b"x\r\n"))
    assert client.timeout == 180
    send(client, END)
    assert client.timeout == 600
    send(client, MAIL)
    assert client.timeout == 600  # the dot is the oldest
    read(client, "250 ok")
    assert client.timeout == 300


@pytest.mark.req("TMO-01", "TMO-09")
def test_each_timeout_can_be_changed() -> None:
    timeouts = Timeouts(
        greeting=1, command=2, data_initiation=3, data_block=4, data_termination=5, farewell=6, idle=7
    )
    assert ClientConnection(timeouts=timeouts).timeout == 1
    for name in ("EHLO", "HELO", "MAIL", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "STARTTLS"):
        client = ready(*ALL, timeouts=timeouts)
        assert client.timeout == 2
        send(client, COMMANDS[name][0])
        assert client.timeout == 2
    assert authenticating(timeouts=timeouts).timeout == 2
    client = in_transaction(timeouts=timeouts)
    send(client, DATA)
    assert client.timeout == 3
    read(client, "354 go")
    assert client.timeout == 4
    send(client, END)
    assert client.timeout == 5
    read(client, "250 ok")
    send(client, QUIT)
    assert client.timeout == 6
    assert dataclasses.replace(timeouts, greeting=8).greeting == 8


# --- Octets in, octets out --------------------------------------------------------------------------------


def test_octets_to_send_are_given_out_once() -> None:
    client = ready("PIPELINING")
    client.send(RSET)
    client.send(NOOP)
    assert client.data_to_send() == b"RSET\r\nNOOP\r\n"
    assert client.data_to_send() == b""


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_accepted(kind: Callable[[bytes], Any]) -> None:
    client = ClientConnection()
    client.receive_data(kind(b"220 mx"))
    client.receive_data(kind(b".example\r\n"))
    assert replies(take(client)) == [220]


@pytest.mark.req("RPL-28", "FRM-04")
def test_a_session_cut_into_octets_is_the_same() -> None:
    def play(size: int) -> tuple[list[Event], bytes]:
        client = ClientConnection(tls=TLS)
        events: list[Event] = []
        octets = b""
        for commands, answer in (
            ([], wire("220-mx.example", "220 hello")),
            ([EHLO], wire("250-mx.example", "250-PIPELINING", "250 SIZE")),
            ([MAIL, RCPT, OTHER_RCPT, DATA], wire("250 ok", "550-5.1.1 no", "550 5.1.1 such", "250", "354 go")),
            ([Chunk(b".x"), END, QUIT], wire("250 2.0.0 queued", "221 bye")),
        ):
            octets += send(client, *commands)
            for at in range(0, len(answer), size):
                client.receive_data(answer[at : at + size])
                events += take(client)
        return events, octets

    whole = play(10_000)
    assert len(whole[0]) == 9
    assert play(1) == whole
    assert play(2) == whole
    assert play(7) == whole


@pytest.mark.req("FRM-15")
def test_no_octet_is_lost_or_waited_for() -> None:
    client = ready()
    send(client, NOOP)
    line = b"250 abc\r\n"
    for at, octet in enumerate(line):
        assert client._parser.pending == at
        assert client.next_event() is None
        client.receive_data(bytes([octet]))
    assert replies(take(client)) == [250]
    assert client._parser.pending == 0


def test_the_recipient_of_a_response() -> None:
    client = ready("PIPELINING")
    send(client, MAIL, RCPT)
    first, second = read(client, "250 ok", "250 ok")
    assert isinstance(first, Response)
    assert isinstance(second, Response)
    assert first.recipient is None
    assert second.recipient == ForwardPath("b@example.com")
