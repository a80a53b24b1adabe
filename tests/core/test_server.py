"""ServerConnection: what dialogs cannot show.

``Peer`` is the client and the application in one: it says lines, accepts everything unless it is told
otherwise, and notes what happened. What a session looks like from outside is in tests/dialogs; here are the
facts a connection states, what the application may do and may not, limits, and all commands in all states.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from smtpcore._core import commands as _commands
from smtpcore._core import replytexts as _replytexts
from smtpcore._core.codes import STATUSES
from smtpcore._core.config import ServerConfig
from smtpcore._core.errors import LocalProtocolError
from smtpcore._core.events import (
    Chunk,
    Command,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    InputDiscarded,
    Mail,
    MessageAborted,
    Quit,
    Rcpt,
    Vrfy,
)
from smtpcore._core.limits import Limits, Timeouts, TlsInfo
from smtpcore._core.replies import Reply
from smtpcore._core.replyparser import ReplyParser
from smtpcore._core.server import ServerConnection
from smtpcore._core.state import State
from smtpcore.extensions import Extension
from smtpcore.extensions.expn import Expn
from smtpcore.extensions.starttls import StartTls
from smtpcore.sasl import (
    SERVER_MECHANISMS,
    AuthQuestion,
    Challenge,
    Credentials,
    Failed,
    SecretRequest,
    ServerMechanism,
    Step,
    StoredSecret,
    Succeeded,
)

from ..helpers.standard import RULES

PLAIN = "AUTH PLAIN AGFsaWNlAHNlY3JldA=="  # alice, secret
WITH_AUTH: dict[str, Any] = {"auth_mechanisms": ("PLAIN",), "allow_cleartext_auth": True}

# status-code of RFC 3463 2, in front of a text
STATUS = re.compile(r"[245](?:\.(?:0|[1-9][0-9]{0,2})){2} ")

Answer = Callable[[ServerConnection, Event], None]


def accept(connection: ServerConnection, event: Event) -> None:
    connection.accept()


class Peer:
    """A client, an application, and the connection between them."""

    def __init__(
        self,
        *,
        hostname: str = "mx.example.com",
        limits: Limits | None = None,
        tls: TlsInfo | None = None,
        **config: Any,
    ) -> None:
        if limits is not None:
            config["limits"] = limits
        self.connection = ServerConnection(hostname, config=ServerConfig(**config), tls=tls)
        self.events: list[Event] = []

    def go_on(self, answer: Answer = accept) -> list[str]:
        """Handle all that has happened; give back the lines that the server has to say."""
        connection = self.connection
        while (event := connection.next_event()) is not None:
            self.events.append(event)
            if isinstance(event, (Command, Connect, EndOfMessage, AuthQuestion)):
                answer(connection, event)
        return connection.data_to_send().decode().split("\r\n")[:-1]

    def content(self) -> bytes:
        """All content that has been handed out."""
        return b"".join(event.data for event in self.events if isinstance(event, Chunk))

    def say(self, *lines: str, answer: Answer = accept) -> list[str]:
        """Say lines, all at once."""
        self.connection.receive_data("".join(f"{line}\r\n" for line in lines).encode("latin-1"))
        return self.go_on(answer)

    def hear(self, line: str) -> Event:
        """Say a line whose event is left unanswered."""
        self.connection.receive_data(f"{line}\r\n".encode("latin-1"))
        event = self.connection.next_event()
        assert event is not None
        return event


def greeted(**config: Any) -> Peer:
    peer = Peer(**config)
    assert peer.go_on()[0].startswith("220 mx.example.com ")
    return peer


def ready(**config: Any) -> Peer:
    peer = greeted(**config)
    assert peer.say("EHLO client.example")[0].startswith("250-mx.example.com ")
    return peer


def in_mail(**config: Any) -> Peer:
    peer = ready(**config)
    assert peer.say("MAIL FROM:<a@example.com>") == ["250 2.1.0 sender ok"]
    return peer


def in_rcpt(**config: Any) -> Peer:
    peer = in_mail(**config)
    assert peer.say("RCPT TO:<b@example.org>") == ["250 2.1.5 recipient ok"]
    return peer


def in_content(**config: Any) -> Peer:
    peer = in_rcpt(**config)
    assert peer.say("DATA")[0].startswith("354 ")
    return peer


def in_auth(**config: Any) -> Peer:
    peer = ready(**WITH_AUTH, **config)
    assert peer.say("AUTH PLAIN") == ["334 "]
    return peer


def in_handshake(**config: Any) -> Peer:
    peer = ready(starttls=True, **config)
    assert peer.say("STARTTLS")[0].startswith("220 ")
    return peer


def refused(**config: Any) -> Peer:
    peer = Peer(**config)
    peer.go_on(lambda connection, event: connection.reject(554, None, "no service here"))
    return peer


def closed(**config: Any) -> Peer:
    peer = ready(**config)
    peer.say("QUIT")
    return peer


IN: dict[State, Callable[..., Peer]] = {
    State.OPENING: Peer,
    State.REFUSED: refused,
    State.GREETED: greeted,
    State.READY: ready,
    State.AUTHENTICATING: in_auth,
    State.TLS: in_handshake,
    State.MAIL: in_mail,
    State.RCPT: in_rcpt,
    State.CONTENT: in_content,
    State.CLOSED: closed,
}

COMMANDS = {
    "EHLO": "EHLO other.example",
    "HELO": "HELO other.example",
    "MAIL": "MAIL FROM:<x@example.com>",
    "RCPT": "RCPT TO:<y@example.org>",
    "DATA": "DATA",
    "RSET": "RSET",
    "NOOP": "NOOP",
    "QUIT": "QUIT",
    "VRFY": "VRFY someone",
    "EXPN": "EXPN staff",
    "HELP": "HELP",
    "STARTTLS": "STARTTLS",
    "AUTH": PLAIN,
}


def snapshot(connection: ServerConnection) -> tuple[object, ...]:
    """All that a refused command or a misuse must not change."""
    envelope = connection.envelope
    recipients = None if envelope is None else list(envelope.rcpts)
    return (
        connection.state,
        connection.hello,
        None if envelope is None else envelope.mail,
        recipients,
        connection.authenticated,
        connection.tls,
        connection.capabilities,
        connection.unanswered,
    )


# --- The opening ------------------------------------------------------------------------------------------


@pytest.mark.req("GRT-01", "RPL-19")
@pytest.mark.parametrize("hostname", ["mx.example.com", "localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]"])
def test_the_greeting_begins_with_the_host_name(hostname: str) -> None:
    assert Peer(hostname=hostname).go_on() == [f"220 {hostname} ESMTP service ready"]


@pytest.mark.req("GRT-01", "UTF-16")
@pytest.mark.parametrize("hostname", ["", "a b", "mx_1.example", "-", "192.0.2.1]", "a\r\nb", "m\xfc.example"])
def test_a_malformed_host_name_is_refused(hostname: str) -> None:
    with pytest.raises(LocalProtocolError, match="neither a domain nor an address literal"):
        ServerConnection(hostname)


@pytest.mark.req("GRT-15")
def test_the_greeting_names_neither_product_nor_version() -> None:
    (line,) = Peer().go_on()
    assert "smtpcore" not in line.lower()
    assert not any(character.isdigit() for character in line.removeprefix("220 "))


@pytest.mark.req("GRT-08", "GRT-09")
@pytest.mark.parametrize("code, text", [(521, "no mail"), (550, "no"), (450, "busy"), (554, ""), (421, " ")])
def test_a_connection_is_refused_with_421_or_554_and_a_reason_only(code: int, text: str) -> None:
    peer = Peer()
    assert isinstance(peer.connection.next_event(), Connect)
    with pytest.raises(LocalProtocolError, match="421 or 554, and a reason"):
        peer.connection.reject(code, None, text)
    assert peer.connection.state is State.OPENING
    assert peer.connection.data_to_send() == b""
    peer.connection.accept()
    assert peer.connection.state is State.GREETED


@pytest.mark.req("GRT-09", "GRT-10")
def test_a_host_that_never_accepts_mail_says_so_at_once() -> None:
    connection = ServerConnection("mx.example.com", config=ServerConfig(never_accepts_mail=True))
    assert connection.next_event() is None
    assert connection.state is State.REFUSED
    assert connection.data_to_send() == b"521 this host accepts no mail\r\n"


@pytest.mark.req("GRT-16")
def test_input_before_the_greeting_is_noticed() -> None:
    peer = Peer()
    peer.connection.receive_data(b"EHLO client.example\r\n")
    assert isinstance(peer.connection.next_event(), Connect)
    assert peer.connection.early_input is True
    peer.connection.reject(554, None, "you are in too much of a hurry")
    assert peer.go_on() == [
        "554 you are in too much of a hurry",
        "503 no service here: all that is left is QUIT",
    ]


@pytest.mark.req("GRT-16")
def test_a_client_that_waits_for_the_greeting_has_no_early_input() -> None:
    peer = Peer()
    peer.connection.next_event()
    peer.connection.accept()
    peer.connection.receive_data(b"EHLO client.example\r\n")
    assert peer.connection.early_input is False


# --- Facts ------------------------------------------------------------------------------------------------


def test_a_new_connection_knows_nothing_yet() -> None:
    peer_name = ("192.0.2.1", 49152)
    connection = ServerConnection("mx.example.com", peer=peer_name)
    assert connection.hostname == "mx.example.com"
    assert connection.peer is peer_name
    assert connection.state is State.OPENING
    assert connection.early_input is False
    assert [connection.envelope, connection.hello, connection.authenticated, connection.tls] == [None] * 4
    assert connection.submitter is None
    assert connection.unanswered is None
    assert connection.data_to_send() == b""


@pytest.mark.req("TMO-08")
def test_a_client_has_five_minutes_for_its_next_command() -> None:
    for enter in IN.values():
        assert enter().connection.timeout == 300.0


@pytest.mark.req("TMO-09")
def test_the_time_a_client_has_can_be_changed() -> None:
    assert ready(timeouts=Timeouts(idle=7.5)).connection.timeout == 7.5


@pytest.mark.req("TLS-14")
def test_a_connection_knows_whether_TLS_is_active() -> None:
    peer = in_handshake()
    assert peer.connection.tls is None
    info = TlsInfo(version="TLSv1.3")
    peer.connection.tls_started(info)
    assert peer.connection.tls is info
    assert Peer(tls=info).connection.tls is info


def test_a_greeting_does_not_become_a_keyword_however_long_it_is() -> None:
    peer = Peer()
    peer.go_on()
    lines = peer.say("EHLO a.example", answer=lambda connection, event: connection.accept("x" * 600))
    assert len(lines[0]) == 510
    assert [line[4:] for line in lines[1:]] == list(peer.connection.capabilities.lines())


@pytest.mark.parametrize(
    "command, code", [("NOOP", 421), ("QUIT", 221), ("EHLO a.example", 250), ("HELO a.example", 250)]
)
def test_a_reply_of_another_server_can_be_sent_on(command: str, code: int) -> None:
    parser = ReplyParser(max_line=512, max_lines=1)
    parser.feed(f"{code} tsch\u00fcs\r\n".encode())
    reply = parser.next_reply()
    assert reply is not None

    peer = Peer(pipelining=False, size=False, eight_bit_mime=False, enhanced_status_codes=False, help=False)
    peer.go_on()
    peer.connection.receive_data(f"{command}\r\n".encode())
    assert peer.go_on(lambda connection, event: connection.send(reply)) == [f"{code} mx.example.com tsch?s"]


@pytest.mark.parametrize(
    "lines, shown",
    [
        ("AUTH PLAIN secret", "AUTH PLAIN ***"),
        ("auth login c2Vj cmV0", "AUTH login ***"),
        ("AUTH secret", "AUTH ***"),
        (" AUTH PLAIN secret", "AUTH PLAIN ***"),
        ("\0\tAUTH\tPLAIN\tsecret", "AUTH PLAIN ***"),
        ("AUTHPLAIN secret", "AUTH PLAIN ***"),
        ("AUTH=PLAIN secret", "AUTH ***"),
        ("AUTH LOGIN\r\ndXNlcg==\r\nsecret", "AUTH LOGIN ***|***|***"),
        ("XAUTH secret\r\nNOOP\r\nXYZ", "XAUTH secret|XYZ"),
    ],
)
def test_a_rejected_line_shows_no_secret(lines: str, shown: str) -> None:
    peer = Peer(auth_mechanisms=("PLAIN", "LOGIN"))  # but not in plaintext
    peer.say("EHLO client.example\r\nRSET\r\n" + lines)
    rejected = [event.line.decode() for event in peer.events if isinstance(event, CommandRejected)]
    assert "|".join(rejected) == shown


@pytest.mark.parametrize("refusal", ["!", "*", "YWxpY2U=\r\nYmFk"])
def test_lines_after_a_failed_exchange_are_hidden(refusal: str) -> None:
    def answer(connection: ServerConnection, event: Event) -> None:
        if isinstance(event, AuthQuestion):
            connection.reject(535, "5.7.8", "no")
        else:
            connection.accept()

    peer = Peer(auth_mechanisms=("LOGIN",), allow_cleartext_auth=True)
    peer.say("EHLO client.example", "AUTH LOGIN", refusal, "c2VjcmV0", "NOOP", "XYZ", answer=answer)
    peer.say("AUTH LOGIN", "*", "RSET", "XYZ")
    rejected = [event.line for event in peer.events if isinstance(event, CommandRejected)]
    assert rejected[-4:] == [b"***", b"XYZ", b"AUTH ***", b"XYZ"]


@pytest.mark.req("EHL-35")
@pytest.mark.parametrize("hello", [Ehlo("other.example"), Helo("other.example")])
def test_an_accepted_introduction_leads_out_of_any_transaction(hello: Ehlo | Helo) -> None:
    peer = in_rcpt()
    assert peer.connection.envelope is not None
    peer.say(f"{hello.verb} other.example")
    assert peer.connection.state is State.READY
    assert peer.connection.envelope is None
    assert peer.connection.hello == hello


@pytest.mark.req("RCP-02")
def test_the_envelope_grows_with_the_recipients_that_are_accepted() -> None:
    peer = in_mail()
    mail = Mail("a@example.com")
    envelope = peer.connection.envelope
    assert envelope is not None
    assert (envelope.mail, envelope.rcpts) == (mail, [])
    names = ["b", "c", "b", "e", "f"]  # in order, duplicates included, and not the same from behind
    peer.say(*[f"RCPT TO:<{name}@example.org>" for name in names[:3]])
    peer.say("RCPT TO:<d@example.org>", answer=lambda connection, event: connection.reject(550, "5.1.1", "no"))
    peer.say("RCPT TO:<e@example.org>", "RCPT TO:<f@example.org>")
    assert peer.connection.envelope is envelope
    assert envelope.mail == mail
    assert envelope.rcpts == [Rcpt(f"{name}@example.org") for name in names]


@pytest.mark.req("SES-28", "SES-35", "SES-27")
def test_QUIT_drops_the_transaction_and_ends_it_all() -> None:
    peer = in_rcpt()
    peer.say("QUIT", "DATA")
    assert peer.connection.envelope is None
    assert peer.connection.state is State.CLOSED
    assert not any(isinstance(event, EndOfMessage) for event in peer.events)
    with pytest.raises(LocalProtocolError, match="the session is over"):
        peer.connection.receive_data(b"NOOP\r\n")
    assert peer.events.count(ConnectionClosed()) == 1
    assert peer.connection.next_event() is None


def test_capabilities_are_those_of_the_moment() -> None:
    peer = in_handshake(auth_mechanisms=("PLAIN",))
    assert "STARTTLS" in peer.connection.capabilities
    assert peer.connection.capabilities.mechanisms == ()
    peer.connection.tls_started(TlsInfo())
    assert "STARTTLS" not in peer.connection.capabilities
    assert peer.connection.capabilities.mechanisms == ("PLAIN",)


# --- What the client must not be made to wait for, and what must not be lost --------------------------------


SESSION = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<a@example.com> SIZE=10\r\n",
    b"VRFY x\r\n",
    b"RCPT TO:<b@example.org>\r\n",
    b"DATA\r\n",
    b"x\r\n.\r\n",
    b"XYZZY\r\n",
    b"AUTH PLAIN\r\n",
    b"AGFsaWNlAHNlY3JldA==\r\n",
    b"NOOP\r\n",
    b"QUIT\r\n",
)


@pytest.mark.req("FRM-03", "FRM-15", "PIP-15", "PIP-16")
def test_each_line_is_answered_when_its_last_octet_is_there_and_not_before() -> None:
    peer = greeted(**WITH_AUTH)
    for line in SESSION:
        peer.connection.receive_data(line[:-1])
        assert peer.go_on() == []
        peer.connection.receive_data(line[-1:])
        assert peer.go_on() != []


@pytest.mark.req("FRM-15", "PIP-17", "DAT-31")
def test_nothing_of_what_arrives_together_is_lost() -> None:
    peer = greeted(**WITH_AUTH)
    peer.connection.receive_data(b"".join(SESSION))
    assert [line[:3] for line in peer.go_on() if line[3] == " "] == [
        "250", "250", "252", "250", "354", "250", "500", "334", "235", "250", "221"
    ]  # fmt: skip


@pytest.mark.req("FRM-15", "DAT-31")
def test_several_reads_may_wait_for_the_first_question() -> None:
    peer = in_content()
    for octets in (b"one\r\ntw", b"o\r", b"\n.\r", b"\nNO", b"OP\r\n"):
        peer.connection.receive_data(octets)
    assert peer.go_on() == ["250 2.0.0 message accepted", "250 2.0.0 ok"]
    assert peer.content() == b"one\r\ntwo\r\n"


@pytest.mark.req("PIP-12", "PIP-13", "PIP-14", "PIP-15")
@pytest.mark.parametrize(
    "last", ["EHLO c.example", "DATA", "VRFY x", "EXPN x", "TURN", "QUIT", "NOOP", "XYZZY"]
)
def test_replies_to_a_group_are_there_at_its_end_and_in_one_write(last: str) -> None:
    peer = ready()
    lines = peer.say("MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", last)
    assert len([line for line in lines if line[3] == " "]) == 3
    assert peer.connection.data_to_send() == b""


@pytest.mark.req("PIP-11")
def test_next_event_raises_before_the_last_event_is_answered() -> None:
    peer = in_mail()
    peer.connection.receive_data(b"RCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n")
    first = peer.connection.next_event()
    assert first == Rcpt("b@example.org")
    assert peer.connection.unanswered is first
    with pytest.raises(LocalProtocolError, match=r"Rcpt\(.*\) has to be answered first"):
        peer.connection.next_event()
    peer.connection.reject(550, "5.1.1", "no")
    assert peer.go_on() == ["550 5.1.1 no", "250 2.1.5 recipient ok"]


@pytest.mark.req("PIP-20")
def test_reply_texts_name_the_command_that_they_answer() -> None:
    peer = in_rcpt()
    peer.say("RSET")
    lines = ["NOOP", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", "x\r\n.", "RSET", "VRFY x"]
    replies = [reply for line in lines for reply in peer.say(line)]
    # The words alone: codes are the same for several commands.
    texts = {re.sub(r"^\d{3} (\d\.\d\.\d )?", "", reply) for reply in replies}
    assert len(texts) == len(lines)


@pytest.mark.req("PIP-19", "PIP-18", "DAT-03")
def test_DATA_without_an_accepted_recipient_is_refused() -> None:
    peer = in_mail()
    peer.say("RCPT TO:<b@example.org>", answer=lambda connection, event: connection.reject(550, "5.1.1", "no"))
    assert peer.say("DATA", ".")[0] == "503 5.5.1 no valid recipients"
    assert not any(isinstance(event, (Chunk, EndOfMessage)) for event in peer.events)


# --- Misuse: it raises, and nothing has changed -------------------------------------------------------------


MISUSES: dict[str, Callable[[ServerConnection], None]] = {
    "accept": lambda connection: connection.accept(),
    "accept with text": lambda connection: connection.accept("text"),
    "reject": lambda connection: connection.reject(550, "5.7.1", "no"),
    "send": lambda connection: connection.send(Reply(250, "2.0.0", "ok")),
    "supply_secret": lambda connection: connection.supply_secret("secret"),
}


@pytest.mark.req("SEC-07")
@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
@pytest.mark.parametrize("state", IN, ids=str)
def test_an_answer_without_a_question_raises_and_changes_nothing(
    state: State, misuse: Callable[[ServerConnection], None]
) -> None:
    connection = IN[state]().connection
    before = snapshot(connection)
    with pytest.raises(LocalProtocolError, match=r"nothing to answer|no secret was asked for"):
        misuse(connection)
    assert snapshot(connection) == before
    assert connection.data_to_send() == b""


# What each kind of event may succeed with, as RFC 5321 4.3.2, RFC 3207 4 and RFC 4954 4 list it.
QUESTIONS: dict[str, tuple[Callable[..., Peer], str, set[int]]] = {
    "EHLO": (greeted, "EHLO client.example", {250}),
    "HELO": (greeted, "HELO client.example", {250}),
    "MAIL": (ready, COMMANDS["MAIL"], {250}),
    "RCPT": (in_mail, COMMANDS["RCPT"], {250, 251}),
    "DATA": (in_rcpt, "DATA", {354}),
    "content": (in_content, ".", {250}),
    "RSET": (in_rcpt, "RSET", {250}),
    "NOOP": (in_rcpt, "NOOP", {250}),
    "VRFY": (ready, COMMANDS["VRFY"], {250, 251, 252}),
    "EXPN": (ready, COMMANDS["EXPN"], {250, 252}),
    "HELP": (ready, "HELP", {211, 214}),
    "QUIT": (ready, "QUIT", {221}),
    "STARTTLS": (ready, "STARTTLS", {220}),
    "AUTH": (ready, PLAIN, {235}),
}
NOTHING: dict[str, Any] = dict.fromkeys(
    ("pipelining", "size", "eight_bit_mime", "enhanced_status_codes", "help"), False
)
OFFERING_ALL: dict[str, Any] = {"starttls": True, "expn": True, **WITH_AUTH}


@pytest.mark.req("SEC-07")
@pytest.mark.parametrize("verb", QUESTIONS)
def test_a_command_succeeds_only_with_its_own_codes(verb: str) -> None:
    enter, line, codes = QUESTIONS[verb]
    for code in (*range(200, 260), *range(300, 360)):
        if code in codes or code // 10 % 10 > 5:
            continue
        peer = enter(**OFFERING_ALL)
        event = peer.hear(line)
        before = snapshot(peer.connection)
        allowed = " or ".join(map(str, sorted(codes)))
        with pytest.raises(LocalProtocolError, match=f"succeeds with {allowed}, not with {code}"):
            peer.connection.send(Reply(code, None, "x"))
        assert snapshot(peer.connection) == before
        assert peer.connection.unanswered is event
        assert peer.connection.data_to_send() == b""
    for code in codes:
        peer = enter(**OFFERING_ALL)
        peer.hear(line)
        peer.connection.send(Reply(code, None, "Fred <fred@example.com>"))
        assert peer.connection.data_to_send().startswith(str(code).encode())
        assert peer.connection.unanswered is None


@pytest.mark.req("SES-14", "SES-16", "SES-22")
@pytest.mark.parametrize(
    "line, named",
    [
        ("Fred Smith <fred@example.com>", True),
        ("fred@example.com", True),
        ("<fred@example.com>", True),
        ('"Fred <Freddy> Smith" <"fred smith"@example.com>', True),
        ("User not local; will forward to <fred@[192.0.2.1]>", True),
        ("Fred Smith", False),
        ("", False),
        ("fred", False),
        ("Fred Smith <fred>", False),
        ("Fred Smith <>", False),
        ("Fred Smith fred@example.com", False),
        ("Fred Smith <@relay.example:fred@example.com>", False),
        ("@relay.example:fred@example.com", False),
    ],
)
@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
def test_each_line_of_a_success_of_VRFY_and_EXPN_is_a_mailbox(verb: str, line: str, named: bool) -> None:
    peer = ready(expn=True)
    event = peer.hear(COMMANDS[verb])
    reply = Reply(250, "2.1.5", ["sam@example.com", line])
    if named:
        peer.connection.send(reply)
        assert peer.go_on() == ["250-2.1.5 sam@example.com", f"250 2.1.5 {line}"]
    else:
        with pytest.raises(LocalProtocolError, match=r"RFC 5321 3\.5\.1"):
            peer.connection.send(reply)
        assert peer.connection.unanswered is event
        assert peer.connection.data_to_send() == b""
        peer.connection.send(Reply(252, "2.5.0", line))
        assert peer.go_on() == [f"252 2.5.0 {line}"]


@pytest.mark.req("MAI-10", "SEC-07")
@pytest.mark.parametrize("verb", QUESTIONS)
def test_reject_needs_a_4yz_or_5yz_code(verb: str) -> None:
    enter, line, codes = QUESTIONS[verb]
    peer = enter(**OFFERING_ALL)
    peer.hear(line)
    before = snapshot(peer.connection)
    for code in codes:
        with pytest.raises(LocalProtocolError, match="is not a valid refusal"):
            peer.connection.reject(code, None, "no")
    assert snapshot(peer.connection) == before
    assert peer.connection.data_to_send() == b""


@pytest.mark.req("SES-27", "SEC-07")
def test_QUIT_cannot_be_refused() -> None:
    peer = ready()
    peer.hear("QUIT")
    with pytest.raises(LocalProtocolError, match="QUIT must not be refused"):
        peer.connection.reject(550, "5.7.1", "stay")
    peer.connection.reject(421, "4.3.2", "already going")
    assert peer.go_on() == ["421 4.3.2 mx.example.com already going"]
    assert peer.connection.state is State.CLOSED


@pytest.mark.req("SEC-07")
@pytest.mark.parametrize("state", [state for state in IN if state is not State.TLS], ids=str)
def test_a_handshake_without_STARTTLS_raises(state: State) -> None:
    connection = IN[state]().connection
    before = snapshot(connection)
    with pytest.raises(LocalProtocolError, match="STARTTLS has not been accepted"):
        connection.tls_started(TlsInfo())
    assert snapshot(connection) == before


@pytest.mark.req("TLS-03")
def test_octets_after_STARTTLS_belong_to_the_handshake() -> None:
    peer = in_handshake()
    with pytest.raises(LocalProtocolError, match="octets are for the TLS handshake"):
        peer.connection.receive_data(b"MAIL FROM:<a@example.com>\r\n")
    assert peer.go_on() == []
    peer.connection.tls_started(TlsInfo())
    assert peer.go_on() == []
    assert peer.say("EHLO client.example")[0].startswith("250-")


def test_an_unknown_mechanism_in_the_configuration_raises() -> None:
    with pytest.raises(LocalProtocolError, match=r"no SASL mechanism X-NONE: there are .*PLAIN"):
        ServerConnection("mx.example.com", config=ServerConfig(auth_mechanisms=("PLAIN", "X-NONE")))


@pytest.mark.req("AUT-47")
@pytest.mark.parametrize("name", ["plain", "A B", "", "ABCDEFGHIJKLMNOPQRSTU", "PL@IN"])
def test_a_malformed_mechanism_name_raises(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="not a valid SASL mechanism name"):
        ServerConfig(auth_mechanisms=(name,))


@pytest.mark.req("SEC-03")
@pytest.mark.parametrize("end", ["QUIT", "close", "EOF", "error"])
def test_after_the_end_everything_is_a_clean_error(end: str) -> None:
    peer = in_rcpt(limits=Limits(bad_commands=1))
    if end == "close":
        peer.connection.close()
    elif end == "EOF":
        peer.connection.receive_data(b"")
    elif end == "error":
        peer.say("XYZZY", "XYZZY")
    else:
        peer.say("QUIT")
    peer.go_on()
    assert peer.connection.state is State.CLOSED
    for misuse in MISUSES.values():
        with pytest.raises(LocalProtocolError):
            misuse(peer.connection)
    with pytest.raises(LocalProtocolError):
        peer.connection.receive_data(b"NOOP\r\n")
    with pytest.raises(LocalProtocolError):
        peer.connection.tls_started(TlsInfo())
    peer.connection.close()
    assert peer.go_on() == []
    assert peer.events[-1] == ConnectionClosed()


@pytest.mark.req("SEC-08")
@pytest.mark.parametrize("state", IN, ids=str)
def test_EOF_may_be_fed_more_than_once(state: State) -> None:
    peer = IN[state]()
    peer.connection.receive_data(b"")
    peer.connection.receive_data(b"")
    peer.go_on()
    assert peer.events[-1] == ConnectionClosed()
    peer.connection.receive_data(b"")
    assert peer.connection.next_event() is None
    assert peer.events.count(ConnectionClosed()) == 1


def test_octets_after_EOF_raise() -> None:
    peer = ready()
    peer.connection.receive_data(b"")
    with pytest.raises(LocalProtocolError, match="octets after the end"):
        peer.connection.receive_data(b"NOOP\r\n")


def test_reading_on_without_next_event_raises() -> None:
    peer = ready(limits=Limits(receive_buffer=65536))
    for _ in range(55):
        peer.connection.receive_data(b"NOOP\r\n" * 200)
    with pytest.raises(LocalProtocolError, match="call next_event"):
        peer.connection.receive_data(b"NOOP\r\n" * 200)


@pytest.mark.req("SEC-05")
def test_after_a_misuse_content_is_still_content() -> None:
    peer = in_content()
    for misuse in MISUSES.values():
        with pytest.raises(LocalProtocolError):
            misuse(peer.connection)
    assert peer.say("RSET", "QUIT") == []
    assert peer.say(".") == ["250 2.0.0 message accepted"]
    assert peer.content() == b"RSET\r\nQUIT\r\n"


@pytest.mark.req("SEC-05", "AUT-38")
def test_after_a_misuse_a_response_is_still_a_response() -> None:
    peer = in_auth()
    for misuse in MISUSES.values():
        with pytest.raises(LocalProtocolError):
            misuse(peer.connection)
    assert peer.say("QUIT") == ["501 5.5.2 malformed response"]


# --- Answers ------------------------------------------------------------------------------------------------


@pytest.mark.req("ESC-13", "RPL-19", "SES-11", "SES-12", "SES-13")
@pytest.mark.parametrize(
    "verb, reply",
    [
        ("HELO", "250 mx.example.com greets you"),
        ("MAIL", "250 2.1.0 sender ok"),
        ("RCPT", "250 2.1.5 recipient ok"),
        ("DATA", "354 send the message, and end it with a dot on a line of its own"),
        ("content", "250 2.0.0 message accepted"),
        ("RSET", "250 2.0.0 reset"),
        ("NOOP", "250 2.0.0 ok"),
        ("VRFY", "252 2.5.0 not verified: send mail and see"),
        ("EXPN", "252 2.5.0 not expanded: send mail and see"),
        ("HELP", "214 2.0.0 commands: EHLO HELO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS AUTH EXPN HELP"),
        ("QUIT", "221 2.0.0 mx.example.com goodbye"),
        ("STARTTLS", "220 2.0.0 mx.example.com begin the TLS handshake"),
        ("AUTH", "235 2.7.0 authenticated"),
    ],
)
def test_accept_sends_the_default_reply(verb: str, reply: str) -> None:
    enter, line, _ = QUESTIONS[verb]
    assert enter(**OFFERING_ALL).say(line) == [reply]


@pytest.mark.parametrize("verb", QUESTIONS)
def test_accept_sends_another_text(verb: str) -> None:
    enter, line, _ = QUESTIONS[verb]
    usual = enter(**OFFERING_ALL).say(line)
    peer = enter(**OFFERING_ALL)
    reply = peer.say(line, answer=lambda connection, event: connection.accept("by all\x07 means"))
    assert reply[0].endswith("by all? means")
    assert reply[0].split()[0] == usual[0].split()[0]
    assert reply[1:] == usual[1:]
    assert [reply[0].count(word) for word in ("2.", "mx.")] == [usual[0].count(word) for word in ("2.", "mx.")]


@pytest.mark.req("EHL-09", "RPL-03")
def test_the_greeting_of_an_EHLO_reply_may_be_of_any_length() -> None:
    peer = greeted()
    reply = Reply(250, None, ["nice to", "meet you"])
    lines = peer.say("EHLO client.example", answer=lambda connection, event: connection.send(reply))
    assert lines[0] == "250-mx.example.com nice to meet you"
    assert lines[-1] == "250 HELP"
    assert all(line.startswith("250-") for line in lines[:-1])
    peer = greeted(**NOTHING)
    lines = peer.say("EHLO client.example", answer=lambda connection, event: connection.send(reply))
    assert lines == ["250 mx.example.com nice to meet you"]  # a second line would be a keyword


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_an_empty_greeting_text_is_allowed(verb: str, text: str) -> None:
    peer = greeted(**NOTHING)
    answer = Reply(250, None, text)
    lines = peer.say(f"{verb} client.example", answer=lambda connection, event: connection.send(answer))
    assert lines == ["250 mx.example.com"]


@pytest.mark.req("RPL-05")
def test_a_reply_without_text_keeps_the_space() -> None:
    peer = ready(enhanced_status_codes=False)
    assert peer.say("NOOP", answer=lambda connection, event: connection.accept("")) == ["250 "]


@pytest.mark.req("LIM-09", "RPL-02", "RPL-03")
def test_long_text_is_divided_into_lines_of_the_same_reply() -> None:
    words = "word " * 400
    peer = ready()
    lines = peer.say("NOOP", answer=lambda connection, event: connection.accept(words))
    assert len(lines) > 3
    assert all(len(line) <= 510 and line.startswith("250-2.0.0 word") for line in lines[:-1])
    assert lines[-1].startswith("250 2.0.0 word")
    assert " ".join(line[10:] for line in lines).split() == words.split()


@pytest.mark.req("MAI-13", "RCP-18", "RCP-16", "LIM-18", "SIZ-06", "SIZ-12")
@pytest.mark.parametrize(
    "verb, reply",
    [
        ("MAIL", Reply(455, "4.5.4", "not now")),
        ("MAIL", Reply(452, "4.3.1", "no room")),
        ("RCPT", Reply(455, "4.5.4", "not now")),
        ("RCPT", Reply(250, "2.1.5", "whoever that is")),
        ("RCPT", Reply(550, "5.5.3", "that is enough of them")),
        ("RCPT", Reply(552, "5.2.3", "too big for that one")),
        ("DATA", Reply(503, "5.5.3", "too many of them")),
    ],
    ids=str,
)
def test_the_reply_of_the_application_is_sent_as_it_is(verb: str, reply: Reply) -> None:
    enter, line, _ = QUESTIONS[verb]
    peer = enter()
    said = peer.say(line, answer=lambda connection, event: connection.send(reply))
    assert said == [f"{reply.code} {reply.status} {reply.text}"]


def test_an_unknown_parameter_is_555_in_MAIL_and_RCPT() -> None:
    assert ready().say("MAIL FROM:<> X=1")[0].startswith("555 5.5.4 ")
    assert in_mail().say("RCPT TO:<b@example.org> X=1")[0].startswith("555 5.5.4 ")


@pytest.mark.req("DAT-23", "DAT-21")
def test_content_is_not_answered_before_the_application_accepts_it() -> None:
    peer = in_content()
    peer.connection.receive_data(b"x\r\n.\r\nNOOP\r\n")
    assert peer.connection.next_event() == Chunk(b"x\r\n")
    assert peer.connection.next_event() == EndOfMessage()
    assert peer.connection.data_to_send() == b""
    assert peer.connection.state is State.CONTENT
    with pytest.raises(LocalProtocolError, match="has to be answered first"):
        peer.connection.next_event()
    peer.connection.accept()
    assert peer.go_on() == ["250 2.0.0 message accepted", "250 2.0.0 ok"]


@pytest.mark.req("DAT-35")
def test_content_is_handed_out_before_the_final_dot_arrives() -> None:
    peer = in_content()
    for _ in range(16):
        peer.connection.receive_data(b"0123456789abcd\r\n" * 4096)
        assert peer.go_on() == []
    handed_out = len(peer.content())
    assert handed_out >= 16 * 65536 - 4
    assert peer.say(".") == ["250 2.0.0 message accepted"]
    assert len(peer.content()) - handed_out <= 4


@pytest.mark.req("DAT-21")
def test_there_is_one_answer_for_all_recipients() -> None:
    peer = in_rcpt()
    peer.say("RCPT TO:<c@example.org>", "DATA")
    assert peer.hear(".") == EndOfMessage()
    peer.connection.accept()
    with pytest.raises(LocalProtocolError, match="nothing to answer"):
        peer.connection.reject(550, "5.1.1", "not to the second one")
    assert peer.go_on() == ["250 2.0.0 message accepted"]


@pytest.mark.req("AUT-11")
@pytest.mark.parametrize("responses", [["="], ["dQ==", "="]], ids=["user name", "password"])
def test_an_equals_sign_is_bad_base64_and_not_an_empty_response(responses: list[str]) -> None:
    peer = ready(auth_mechanisms=("LOGIN",), allow_cleartext_auth=True)
    replies = peer.say("AUTH LOGIN", *responses)
    bad = peer.say("AUTH LOGIN", "!")[-1]
    assert replies[-1] == bad
    assert replies[-1] != peer.say("AUTH LOGIN", "")[-1]  # which is an empty response


@pytest.mark.req("DAT-20")
def test_eight_bit_content_passes_without_announcement() -> None:
    peer = in_content()
    assert peer.say("\xe9\xff", ".") == ["250 2.0.0 message accepted"]
    assert peer.content() == b"\xe9\xff\r\n"


@pytest.mark.req("DAT-22")
@pytest.mark.parametrize("code", [250, 451, 554])
def test_the_transaction_is_over_after_any_reply_to_content(code: int) -> None:
    peer = in_content()
    peer.say(".", answer=lambda connection, event: connection.send(Reply(code, None, "that is it")))
    assert peer.connection.state is State.READY
    assert peer.connection.envelope is None
    assert peer.say("RCPT TO:<b@example.org>")[0].startswith("503 ")
    assert peer.say("MAIL FROM:<a@example.com>") == ["250 2.1.0 sender ok"]


# --- close() ------------------------------------------------------------------------------------------------


@pytest.mark.req("SES-36", "TMO-10", "RPL-19")
@pytest.mark.parametrize("state", [state for state in IN if state not in (State.TLS, State.CLOSED)], ids=str)
def test_a_server_may_close_at_any_moment(state: State) -> None:
    peer = IN[state]()
    peer.connection.close()
    assert peer.connection.state is State.CLOSED
    assert peer.connection.envelope is None
    status = "" if state is State.OPENING else "4.3.2 "  # RFC 2034 3
    assert peer.go_on() == [f"421 {status}mx.example.com service is shutting down"]
    assert peer.events[-1] == ConnectionClosed()
    aborted = MessageAborted(Reply(421, "4.3.2", "service is shutting down"))
    assert (aborted in peer.events) is (state is State.CONTENT)
    peer.connection.close()
    assert peer.connection.data_to_send() == b""


@pytest.mark.req("SES-36", "ESC-03")
@pytest.mark.parametrize("verb, status", [("EHLO", ""), ("HELO", ""), ("NOOP", "4.4.2 "), ("AUTH", "4.4.2 ")])
def test_close_answers_the_outstanding_command(verb: str, status: str) -> None:
    peer = ready(**OFFERING_ALL)
    peer.hear(COMMANDS[verb])
    peer.connection.close(Reply(421, "4.4.2", "you are too slow"))
    assert peer.connection.unanswered is None
    assert peer.go_on() == [f"421 {status}mx.example.com you are too slow"]


def test_close_accepts_421_only() -> None:
    peer = in_rcpt()
    before = snapshot(peer.connection)
    with pytest.raises(LocalProtocolError, match="says 421"):
        peer.connection.close(Reply(221, "2.0.0", "bye"))
    assert snapshot(peer.connection) == before
    assert peer.connection.data_to_send() == b""


def test_the_question_about_credentials_is_void_after_close() -> None:
    peer = in_auth()
    peer.connection.receive_data(b"AGFsaWNlAHNlY3JldA==\r\n")
    assert isinstance(peer.connection.next_event(), Credentials)
    peer.connection.close()
    with pytest.raises(LocalProtocolError, match="nothing to answer"):
        peer.connection.accept()
    assert peer.go_on() == ["421 4.3.2 mx.example.com service is shutting down"]
    assert peer.connection.authenticated is None


def test_discarded_input_is_reported_after_close() -> None:
    peer = ready(starttls=True)
    peer.connection.receive_data(b"STARTTLS\r\nNOOP\r\n")
    peer.connection.next_event()
    peer.connection.accept()
    peer.connection.close()
    assert peer.go_on()[0].startswith("220 ")
    assert peer.events[-2:] == [InputDiscarded(b"NOOP\r\n"), ConnectionClosed()]


def test_unhandled_input_is_void_after_close() -> None:
    peer = ready()
    peer.connection.receive_data(b"MAIL FROM:<a@example.com>\r\n")
    peer.connection.close()
    assert [line[:3] for line in peer.go_on()] == ["421"]
    assert peer.events[-1] == ConnectionClosed()


# --- What is offered ----------------------------------------------------------------------------------------


@pytest.mark.req("PIP-23", "EIG-08", "EIG-10", "ESC-11", "EHL-09")
def test_the_default_offer_is_these_keywords() -> None:
    assert greeted().say("EHLO client.example") == [
        "250-mx.example.com greets you",
        "250-PIPELINING",
        f"250-SIZE {64 * 1024 * 1024}",
        "250-8BITMIME",
        "250-ENHANCEDSTATUSCODES",
        "250 HELP",
    ]


@pytest.mark.req("EHL-16", "TLS-26", "SES-21", "RPL-18", "AUT-01")
@pytest.mark.parametrize(
    "keyword, command, config",
    [
        ("HELP", "HELP", {"help": True}),
        ("EXPN", "EXPN staff", {"expn": True}),
        ("STARTTLS", "STARTTLS", {"starttls": True}),
        ("AUTH", PLAIN, WITH_AUTH),
    ],
)
def test_a_command_is_announced_exactly_when_it_is_implemented(keyword: str, command: str, config: Any) -> None:
    peer = greeted(**config)
    assert keyword in {line[4:].split()[0] for line in peer.say("EHLO client.example")[1:]}
    assert peer.say(command)[0][:3] not in ("500", "502")
    peer = greeted(help=False)
    assert keyword not in {line[4:].split()[0] for line in peer.say("EHLO client.example")[1:]}
    assert peer.say(command)[0].startswith("502 5.5.1 ")


@pytest.mark.req("SIZ-01")
def test_SIZE_is_announced_with_the_limit_or_0_where_there_is_none() -> None:
    assert "250-SIZE 70000" in greeted(limits=Limits(message_size=70000)).say("EHLO client.example")
    peer = greeted(limits=Limits(message_size=None))
    assert "250-SIZE 0" in peer.say("EHLO client.example")
    assert peer.say("MAIL FROM:<a@example.com> SIZE=99999999999999999999") == ["250 2.1.0 sender ok"]


@pytest.mark.req("EHL-13")
@pytest.mark.parametrize(
    "keywords", [{"AUTH=PLAIN": ""}, {"X FOO": ""}, {"": ""}, {"X-FOO": "b\xe4r"}, {"X-\n": ""}]
)
def test_a_malformed_keyword_in_the_configuration_raises(keywords: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        ServerConfig(keywords=keywords)


@pytest.mark.req("EHL-18", "EHL-19")
def test_a_configured_keyword_begins_with_X_and_belongs_to_no_extension() -> None:
    with pytest.raises(LocalProtocolError, match="must start with X, or be declared by an Extension"):
        ServerConfig(keywords={"FOO": ""})
    with pytest.raises(LocalProtocolError, match="belongs to an extension"):
        greeted(extensions=(Extension("X-FOO"),), keywords={"x-foo": ""})
    peer = greeted(keywords={"X-FOO": "bar  1"})
    assert peer.say("EHLO client.example")[-1] == "250 X-FOO bar 1"
    assert peer.say("XFOO")[0].startswith("500 ")


@pytest.mark.req("TLS-23")
def test_TLS_is_not_required_by_default() -> None:
    assert ServerConfig().require_tls is False
    assert ready(starttls=True).say("MAIL FROM:<a@example.com>") == ["250 2.1.0 sender ok"]


def test_status_codes_can_be_left_out_of_everything() -> None:
    peer = greeted(enhanced_status_codes=False, **WITH_AUTH)
    assert "250-ENHANCEDSTATUSCODES" not in peer.say("EHLO client.example")
    said = peer.say(COMMANDS["MAIL"], answer=lambda connection, event: connection.reject(550, "5.7.1", "no"))
    assert said == ["550 no"]
    for line in ("XYZZY", PLAIN, *COMMANDS.values()):
        assert not any(STATUS.match(reply[4:]) for reply in peer.say(line))


# --- Limits -------------------------------------------------------------------------------------------------


@pytest.mark.req("LIM-03", "AUT-46", "SIZ-19")
@pytest.mark.parametrize(
    "config, octets",
    [
        ({}, 0),
        ({"size": True}, 26),
        ({"eight_bit_mime": True}, 14),
        ({"eight_bit_mime": True, "smtputf8": True}, 24),
        (WITH_AUTH, 500),
        ({"size": True, "eight_bit_mime": True, "smtputf8": True, **WITH_AUTH}, 550),
    ],
)
def test_an_extension_makes_MAIL_lines_longer(config: dict[str, Any], octets: int) -> None:
    config = {"size": False, "eight_bit_mime": False, "unknown_parameters": "ignore", **config}
    for surplus, code in ((0, "250"), (1, "500")):
        start = "MAIL FROM:<a@example.com> X="
        line = start + "x" * (512 + octets + surplus - len(start) - 2)
        assert ready(**config).say(line)[0][:3] == code


@pytest.mark.req("LIM-05", "LIM-22")
def test_a_local_part_of_64_octets_is_accepted() -> None:
    peer = in_mail()
    assert peer.say(f"RCPT TO:<{'l' * 64}@example.org>") == ["250 2.1.5 recipient ok"]
    assert peer.say(f"RCPT TO:<{'l' * 65}@example.org>")[0].startswith("501 5.1.3 ")
    assert peer.connection.envelope is not None
    assert [str(path) for path in peer.connection.envelope.forward_paths] == [f"{'l' * 64}@example.org"]


@pytest.mark.req("LIM-06")
def test_a_domain_of_255_octets_is_accepted() -> None:
    domain = ".".join(["d" * 63] * 4)
    assert len(domain) == 255
    peer = greeted()
    assert peer.say(f"EHLO {domain}")[-1] == "250 HELP"
    assert peer.connection.hello == Ehlo(domain)
    assert greeted(ehlo_syntax="strict").say(f"EHLO {domain}x")[0].startswith("501 ")


@pytest.mark.req("LIM-07", "LIM-22")
def test_a_path_of_256_octets_is_accepted() -> None:
    domain = ".".join(["d" * 63] * 3)
    local = "l" * (256 - len(domain) - 3)
    assert ready().say(f"MAIL FROM:<{local}@{domain}>") == ["250 2.1.0 sender ok"]
    assert in_mail().say(f"RCPT TO:<{local}@{domain}>") == ["250 2.1.5 recipient ok"]
    assert ready().say(f"MAIL FROM:<{local}x@{domain}>")[0].startswith("501 5.1.7 ")
    assert in_mail().say(f"RCPT TO:<{local}x@{domain}>")[0].startswith("501 5.1.3 ")


@pytest.mark.req("LIM-14")
def test_content_of_64_KiB_is_accepted() -> None:
    peer = in_content()
    peer.connection.receive_data(b"0123456789abcdef" * 4096 + b"\r\n.\r\n")
    assert peer.go_on() == ["250 2.0.0 message accepted"]
    assert len(peer.content()) == 65536 + 2


def test_recipients_can_be_limited_to_fewer_than_100() -> None:
    peer = in_mail(limits=Limits(recipients=2))
    replies = peer.say(*["RCPT TO:<b@example.org>"] * 3)
    assert replies == ["250 2.1.5 recipient ok"] * 2 + ["452 4.5.3 too many recipients"]


def test_a_recipient_that_is_accepted_with_a_reply_counts_once() -> None:
    peer = in_mail(limits=Limits(recipients=3))
    replies = peer.say(
        *["RCPT TO:<b@example.org>"] * 4,
        answer=lambda connection, event: connection.send(Reply(250, "2.1.5", "fine")),
    )
    assert replies == ["250 2.1.5 fine"] * 3 + ["452 4.5.3 too many recipients"]


@pytest.mark.parametrize("code", [400, 450, 554])
def test_content_after_a_DATA_that_was_refused_with_any_code_is_never_run(code: int) -> None:
    peer = in_rcpt()
    replies = peer.say(
        "DATA", "no command", "RSET", answer=lambda connection, event: connection.reject(code, None, "no")
    )
    assert replies == [f"{code} no", "554 5.5.1 message data not expected: DATA was refused"]
    assert peer.events[-1] == ConnectionClosed()


@pytest.mark.req("LIM-15")
def test_a_transaction_can_have_100_recipients() -> None:
    for limits in (Limits(), Limits(recipients=100)):
        peer = in_mail(limits=limits)
        assert peer.say(*["RCPT TO:<b@example.org>"] * 100) == ["250 2.1.5 recipient ok"] * 100
        assert peer.connection.envelope is not None
        assert len(peer.connection.envelope.rcpts) == 100


@pytest.mark.req("SIZ-07", "SIZ-10", "SIZ-11")
def test_size_is_counted_without_stuffing_and_terminator() -> None:
    limits = Limits(message_size=9)
    for content, reply in ((b"..a\r\nb\r\n\r\n", "250 2.0.0 "), (b"..a\r\nbc\r\n\r\n", "552 5.3.4 ")):
        peer = ready(limits=limits)
        peer.say("MAIL FROM:<a@example.com> SIZE=9", "RCPT TO:<b@example.org>", "DATA")
        peer.connection.receive_data(content + b".\r\n")
        assert peer.go_on()[0].startswith(reply)


@pytest.mark.req("SIZ-17")
def test_a_size_is_for_the_application_to_judge_where_there_is_no_limit() -> None:
    peer = ready(limits=Limits(message_size=None))
    event = peer.hear("MAIL FROM:<a@example.com> SIZE=99999999999999999999")
    assert isinstance(event, Mail)
    assert event.size == 99999999999999999999
    assert peer.connection.data_to_send() == b""
    peer.connection.reject(452, "4.3.1", "no room")
    assert peer.go_on() == ["452 4.3.1 no room"]


@pytest.mark.req("LIM-21")
@pytest.mark.parametrize(
    "limits, enter, line",
    [
        (Limits(command_line=600), ready, "NOOP " + "x" * 593),
        (Limits(auth_line=13000), in_auth, "A" * 12996),
        (Limits(path=300, local_part=200), ready, f"MAIL FROM:<{'l' * 200}@{'d' * 60}.example>"),
        (Limits(path=400, domain=300), ready, f"MAIL FROM:<a@{'.'.join(['d' * 59] * 5)}>"),
        (Limits(content_line=2_000_000), in_content, "x" * 1_500_000),
    ],
)
def test_limits_can_be_changed(limits: Limits, enter: Callable[..., Peer], line: str) -> None:
    first, changed = enter(), enter(limits=limits)
    first.say(line, *["."] * (enter is in_content))
    changed.say(line, *["."] * (enter is in_content))
    assert isinstance(first.events[-1], (CommandRejected, MessageAborted))
    assert first.events[-1].reply != getattr(changed.events[-1], "reply", None)


@pytest.mark.req("LIM-21")
def test_optional_limits_can_be_removed() -> None:
    peer = in_mail(limits=Limits(idle_commands=None, refused_recipients=None))
    assert peer.say(*["NOOP"] * 2000) == ["250 2.0.0 ok"] * 2000
    said = peer.say(
        *["RCPT TO:<b@example.org>"] * 2000,
        answer=lambda connection, event: connection.reject(550, "5.1.1", "no"),
    )
    assert said == ["550 5.1.1 no"] * 2000


def test_the_beginning_of_an_overlong_line_is_shown() -> None:
    peer = ready()
    peer.say("NOOP " + "x" * 20000)
    assert peer.events[-1] == CommandRejected(b"NOOP " + b"x" * 195, Reply(500, "5.5.2", "line too long"))


@pytest.mark.req("FRM-16")
@pytest.mark.parametrize("state", [State.READY, State.AUTHENTICATING], ids=str)
def test_a_line_without_end_is_not_kept(state: State) -> None:
    peer = IN[state]()
    for _ in range(160):
        peer.connection.receive_data(b"x" * 65536)
        assert peer.go_on() == []
        assert len(peer.connection._buffer) <= 16384
    assert [line[:3] for line in peer.say("")] == ["500"]
    assert peer.say("NOOP") == ["250 2.0.0 ok"]


@pytest.mark.req("DAT-37", "DAT-30")
def test_content_is_not_kept() -> None:
    peer = in_content(limits=Limits(message_size=65536, oversize_factor=1000))
    connection = peer.connection
    for number in range(160):
        connection.receive_data(b"0123456789abcd\r\n" * 4096)
        while (event := connection.next_event()) is not None:
            assert isinstance(event, Chunk)
            assert number <= 1
        assert len(connection._buffer) == 0
    assert peer.say(".") == ["552 5.3.4 the message is too big"]
    assert peer.say("NOOP") == ["250 2.0.0 ok"]


# --- Strict and lenient -------------------------------------------------------------------------------------


@pytest.mark.req("FRM-12")
@pytest.mark.parametrize("octet", [*range(32), 127, 128, 160, 255])
def test_a_control_character_in_a_mailbox_is_501(octet: int) -> None:
    for line in (f"MAIL FROM:<a{chr(octet)}b@example.com>", f'MAIL FROM:<"a{chr(octet)}b"@example.com>'):
        peer = ready()
        assert [reply[:3] for reply in peer.say(line)] == ["501"]
        assert peer.connection.state is State.READY
        peer = in_mail()
        assert [reply[:3] for reply in peer.say(line.replace("MAIL FROM", "RCPT TO"))] == ["501"]
        assert peer.connection.state is State.MAIL


def test_unknown_parameters_can_be_ignored() -> None:
    peer = ready(unknown_parameters="ignore")
    peer.say("MAIL FROM:<a@example.com> FOO=1 SIZE=5 BAR", "RCPT TO:<b@example.org> FOO")
    assert peer.events[-2:] == [Mail("a@example.com", {"SIZE": 5}), Rcpt("b@example.org")]
    assert peer.say("MAIL FROM:<a@example.com> =1")[0][:3] == "501"


@pytest.mark.parametrize(
    "rest, path",
    [
        (" <a@example.com>", "a@example.com"),
        ("a@example.com", "a@example.com"),
        (" a@example.com SIZE=1", "a@example.com"),
        ("<.a..b.@example.com>", ".a..b.@example.com"),
        ("<a@my_host.example.com.>", "a@my_host.example.com"),
    ],
)
def test_lenient_address_syntax_accepts_odd_addresses(rest: str, path: str) -> None:
    assert ready().say(f"MAIL FROM:{rest}")[0].startswith("501 5.")
    peer = ready(address_syntax="lenient")
    assert peer.say(f"MAIL FROM:{rest}") == ["250 2.1.0 sender ok"]
    assert peer.connection.envelope is not None
    assert str(peer.connection.envelope.reverse_path) == path


@pytest.mark.req("EHL-29", "EHL-24")
@pytest.mark.parametrize("name", ["my_host", "a_b.c", "host.example.", "[192.0.2.1] and more"])
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_a_malformed_hello_name_is_accepted_unless_the_syntax_is_strict(verb: str, name: str) -> None:
    assert greeted().say(f"{verb} {name}")[0].startswith("250")
    peer = greeted(ehlo_syntax="strict")
    assert peer.say(f"{verb} {name}")[0].startswith("501 ")
    assert peer.connection.hello is None
    assert peer.connection.state is State.GREETED


@pytest.mark.req("EHL-30")
def test_the_hello_name_need_not_match_the_peer() -> None:
    connection = ServerConnection("mx.example.com", peer="192.0.2.1")
    connection.receive_data(b"EHLO [198.51.100.7]\r\nMAIL FROM:<a@example.com>\r\n")
    while connection.next_event() is not None:
        connection.accept()
    assert connection.state is State.MAIL


# --- Sequence: all commands in all states -------------------------------------------------------------------


def expected(state: State, verb: str) -> str:
    """The code that a command gets in a state: RFC 5321 4.1.4, RFC 3207 4, RFC 4954 4."""
    if state is State.REFUSED:
        return "221" if verb == "QUIT" else "503"
    any_time = {"EHLO": "250", "HELO": "250", "RSET": "250", "NOOP": "250", "QUIT": "221", "VRFY": "252"}
    any_time |= {"EXPN": "252", "HELP": "214"}
    begin = {"MAIL": "250", "STARTTLS": "220", "AUTH": "235"}
    legal: dict[State, dict[str, str]] = {
        State.GREETED: {},
        State.READY: begin,
        State.MAIL: {"RCPT": "250"},
        State.RCPT: {"RCPT": "250", "DATA": "354"},
    }
    return (any_time | legal[state]).get(verb, "503")


@pytest.mark.req("SES-43", "EHL-08", "MAI-07", "RCP-01", "DAT-02", "EHL-32", "AUT-04", "AUT-53", "TLS-27")
@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("state", [State.REFUSED, State.GREETED, State.READY, State.MAIL, State.RCPT], ids=str)
def test_each_command_in_each_state_gets_the_code_of_the_table(state: State, verb: str) -> None:
    peer = IN[state](**OFFERING_ALL)
    before = snapshot(peer.connection)
    code = expected(state, verb)
    assert peer.say(COMMANDS[verb])[-1][:3] == code
    if code == "503":
        assert isinstance(peer.events[-1], CommandRejected)
        assert snapshot(peer.connection) == before


@pytest.mark.req("RCP-25", "DAT-06")
@pytest.mark.parametrize("verb", COMMANDS)
def test_in_content_there_are_no_commands(verb: str) -> None:
    peer = in_content(**OFFERING_ALL)
    assert peer.say(COMMANDS[verb]) == []
    assert peer.connection.state is State.CONTENT
    assert peer.say(".") == ["250 2.0.0 message accepted"]
    assert peer.content() == f"{COMMANDS[verb]}\r\n".encode()


@pytest.mark.req("SES-43", "EHL-22", "MAI-09", "RCP-12")
@pytest.mark.parametrize("code", [450, 550])
@pytest.mark.parametrize("verb", [verb for verb in QUESTIONS if verb not in ("QUIT", "content")])
def test_a_command_that_the_application_refuses_changes_nothing(verb: str, code: int) -> None:
    enter, line, _ = QUESTIONS[verb]
    peer = enter(**OFFERING_ALL)
    before = snapshot(peer.connection)
    peer.say(line, answer=lambda connection, event: connection.reject(code, None, "no"))
    assert snapshot(peer.connection) == before


ALLOWED_BEFORE_TLS = {"NOOP", "EHLO", "STARTTLS", "QUIT"}
ALLOWED_BEFORE_AUTH = {"AUTH", "EHLO", "HELO", "NOOP", "RSET", "QUIT", "STARTTLS", "HELP"}


@pytest.mark.req("TLS-22", "TLS-24")
@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("state", [State.GREETED, State.READY], ids=str)
def test_before_required_TLS_other_commands_are_530(state: State, verb: str) -> None:
    peer = IN[state](require_tls=True, **OFFERING_ALL)
    before = snapshot(peer.connection)
    code = peer.say(COMMANDS[verb])[-1][:3]
    if verb in ALLOWED_BEFORE_TLS:
        assert code == expected(state, verb)
    else:
        assert code == "530"
        assert snapshot(peer.connection) == before


@pytest.mark.req("AUT-25")
@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("state", [State.GREETED, State.READY], ids=str)
def test_before_required_authentication_other_commands_are_530(state: State, verb: str) -> None:
    peer = IN[state](require_auth=True, **OFFERING_ALL)
    before = snapshot(peer.connection)
    code = peer.say(COMMANDS[verb])[-1][:3]
    if verb in ALLOWED_BEFORE_AUTH:
        assert code == expected(state, verb)
    else:
        assert code == "530"
        assert snapshot(peer.connection) == before


def test_a_530_reply_names_the_command_to_send_first() -> None:
    peer = ready(require_tls=True, require_auth=True, starttls=True, auth_mechanisms=("PLAIN",))
    assert peer.say(COMMANDS["MAIL"]) == ["530 5.7.0 say STARTTLS first"]
    peer.say("STARTTLS")
    peer.connection.tls_started(TlsInfo())
    peer.say("EHLO client.example")
    assert peer.say(COMMANDS["MAIL"]) == ["530 5.7.0 authentication is required"]
    assert ready(require_auth=True).say(COMMANDS["MAIL"]) == ["530 5.7.0 authentication is required"]
    peer = ready(tls=TlsInfo(), require_auth=True, require_tls=True)
    assert peer.say(COMMANDS["MAIL"]) == ["530 5.7.0 authentication is required"]


@pytest.mark.req("TLS-21")
@pytest.mark.parametrize("verb", COMMANDS)
def test_under_too_weak_TLS_only_QUIT_is_accepted(verb: str) -> None:
    peer = Peer(tls=TlsInfo(too_weak=True), **OFFERING_ALL)
    peer.go_on()
    assert peer.say(COMMANDS[verb])[0][:3] == ("221" if verb == "QUIT" else "554")


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.mark.req("TLS-06", "TLS-07", "TLS-29", "AUT-05")
def test_the_server_forgets_the_plaintext_session_when_TLS_starts() -> None:
    peer = ready(starttls=True, **WITH_AUTH)
    assert peer.say(PLAIN) == ["235 2.7.0 authenticated"]
    assert peer.connection.authenticated == "alice"
    peer.say("STARTTLS")
    assert peer.connection.state is State.TLS
    peer.connection.tls_started(TlsInfo())
    assert peer.go_on() == []
    assert peer.connection.state is State.GREETED
    assert peer.connection.hello is None
    assert peer.connection.authenticated is None
    for verb in ("MAIL", "RCPT", "DATA", "AUTH"):
        assert peer.say(COMMANDS[verb])[0].startswith("503 ")
    peer.say("EHLO client.example")
    assert peer.say(PLAIN) == ["235 2.7.0 authenticated"]


@pytest.mark.req("TLS-04", "TLS-34")
@pytest.mark.parametrize(
    "behind", ["MAIL FROM:<>\r\n", "EH", "\r", "\r\n", "NOOP\n", "RSET\r\nRSET\r\n", "\x16\x03\x01"]
)
def test_plaintext_after_STARTTLS_is_discarded(behind: str) -> None:
    peer = ready(starttls=True)
    peer.connection.receive_data(f"STARTTLS\r\n{behind}".encode())
    assert [line[:3] for line in peer.go_on()] == ["220"]
    assert peer.events[-1] == InputDiscarded(behind.encode())
    peer.connection.tls_started(TlsInfo())
    assert peer.go_on() == []
    assert peer.say("EHLO client.example")[-1] == "250 HELP"
    assert peer.events[-1] == Ehlo("client.example")


# --- Authentication -----------------------------------------------------------------------------------------


@pytest.mark.req("AUT-43", "AUT-44", "AUT-40")
def test_the_submitter_is_believed_only_from_authenticated_clients() -> None:
    peer = ready(**WITH_AUTH)
    assert peer.connection.submitter is None
    peer.say("MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com")
    assert peer.connection.submitter is not None
    assert peer.connection.submitter.is_null
    assert peer.connection.envelope is not None
    assert str(peer.connection.envelope.mail.auth) == "e=mc2@example.com"
    peer.say("RSET", PLAIN, "MAIL FROM:<a@example.com> AUTH=e+3Dmc2@example.com")
    assert str(peer.connection.submitter) == "e=mc2@example.com"
    peer.say("RSET", "MAIL FROM:<a@example.com> AUTH=<>")
    assert peer.connection.submitter is not None
    assert peer.connection.submitter.is_null
    peer.say("RSET", "MAIL FROM:<a@example.com>")
    assert peer.connection.submitter is None


@pytest.mark.req("SES-04", "EHL-26", "AUT-05")
def test_authentication_and_TLS_survive_RSET_and_EHLO() -> None:
    info = TlsInfo()
    peer = ready(tls=info, auth_mechanisms=("PLAIN",))
    peer.say(PLAIN)
    for line in ("RSET", "EHLO client.example", "HELO client.example", "EHLO client.example"):
        peer.say(line)
        assert peer.connection.authenticated == "alice"
        assert peer.connection.tls is info
        assert peer.connection.state is State.READY
    assert peer.say(PLAIN) == ["503 5.5.1 authenticated already"]


@pytest.mark.req("AUT-37", "AUT-12")
@pytest.mark.parametrize("line", ["*", "!", "AGFsaWNlAHdyb25n"])
def test_an_exchange_that_fails_changes_nothing(line: str) -> None:
    peer = ready(**WITH_AUTH)
    before = snapshot(peer.connection)
    peer.say("AUTH PLAIN")
    peer.say(line, answer=lambda connection, event: connection.reject(535, "5.7.8", "no"))
    assert snapshot(peer.connection) == before
    assert peer.say(PLAIN) == ["235 2.7.0 authenticated"]


@pytest.mark.req("SAS-03", "SAS-01")
def test_each_part_of_a_PLAIN_message_may_have_255_octets() -> None:
    message = "\0".join(["z" * 255, "u" * 255, "p" * 255])
    peer = in_auth()
    peer.say(base64.b64encode(message.encode()).decode())
    assert peer.events[-1] == Credentials("PLAIN", "u" * 255, "z" * 255, "p" * 255)


@pytest.mark.req("AUT-29")
def test_PLAIN_over_TLS() -> None:
    peer = ready(tls=TlsInfo(), auth_mechanisms=("PLAIN",), require_auth=True)
    assert peer.say(PLAIN) == ["235 2.7.0 authenticated"]
    assert peer.events[-1] == Credentials("PLAIN", "alice", None, "secret")
    assert peer.connection.authenticated == "alice"
    assert peer.say(COMMANDS["MAIL"]) == ["250 2.1.0 sender ok"]


@pytest.mark.req("AUT-49")
@pytest.mark.parametrize(
    "message, reply",
    [
        (b"admin\0alice\0secret", "535 5.7.8 no"),
        (b"\xff\0alice\0secret", "501 5.5.2 malformed response"),
        (b"alice\0alice\0secret", "235 2.7.0 authenticated"),
    ],
)
def test_credentials_with_another_authorization_identity_do_not_match(message: bytes, reply: str) -> None:
    def check(connection: ServerConnection, event: Event) -> None:
        assert isinstance(event, Credentials)
        if event.matches("secret"):
            connection.accept()
        else:
            connection.reject(535, "5.7.8", "no")

    peer = ready(**WITH_AUTH)
    assert peer.say(f"AUTH PLAIN {base64.b64encode(message).decode()}", answer=check) == [reply]


def test_accept_can_set_another_identity() -> None:
    peer = ready(**WITH_AUTH)
    peer.say(PLAIN, answer=lambda connection, event: connection.accept(identity="staff"))
    assert peer.connection.authenticated == "staff"


@pytest.mark.req("AUT-32")
def test_failed_attempts_are_counted_anew_after_a_success() -> None:
    peer = ready(limits=Limits(auth_attempts=3), starttls=True, **WITH_AUTH)
    for line in ("AUTH PLAIN !", "AUTH PLAIN =", "AUTH PLAIN *"):
        assert peer.say(line)[0][:3] == "501"
    assert peer.say(PLAIN) == ["235 2.7.0 authenticated"]
    peer.say("STARTTLS")
    peer.connection.tls_started(TlsInfo())
    peer.say("EHLO client.example")
    for line in ("AUTH PLAIN !", "AUTH PLAIN =", "AUTH PLAIN *"):
        assert peer.say(line)[0][:3] == "501"
    assert peer.say("AUTH PLAIN !") == ["421 4.7.0 mx.example.com too many failed authentications"]


class _Riddle(ServerMechanism):
    """The server speaks first, looks a secret up, and has the last word."""

    __slots__ = ("_response", "_solved")
    name: ClassVar[str] = "X-RIDDLE"
    server_first: ClassVar[bool] = True

    def first_challenge(self) -> bytes:
        self._response = b""
        self._solved = False
        return b"who is it?"

    def step(self, response: bytes) -> Step:
        if self._solved:
            return Succeeded("alice")
        self._response = response
        return self.ask(SecretRequest(self.name, "alice", None))

    def supply(self, secret: str | StoredSecret | None) -> Step:
        if isinstance(secret, StoredSecret):
            raise LocalProtocolError("a riddle has a word for an answer")
        self.answer()
        self._solved = secret is not None and secret.encode() == self._response
        return Challenge(b"right") if self._solved else Failed("wrong")


@pytest.fixture
def riddle(monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setitem(SERVER_MECHANISMS, "X-RIDDLE", _Riddle)
    return ready(auth_mechanisms=("X-RIDDLE",))


def _supply(secret: str | StoredSecret | None) -> Answer:
    return lambda connection, event: connection.supply_secret(secret)


@pytest.mark.req("AUT-06", "AUT-20")
def test_a_secret_is_supplied_and_the_server_has_the_last_word(riddle: Peer) -> None:
    assert "250-AUTH X-RIDDLE" in riddle.say("EHLO client.example")
    assert riddle.say("AUTH X-RIDDLE") == ["334 d2hvIGlzIGl0Pw=="]
    assert riddle.say("bWU=", answer=_supply("me")) == ["334 cmlnaHQ="]
    assert riddle.connection.authenticated is None
    assert riddle.say("") == ["235 2.7.0 authenticated"]
    assert riddle.connection.authenticated == "alice"


@pytest.mark.req("AUT-22", "AUT-48")
def test_a_wrong_secret_and_an_unknown_user_get_the_same_answer(riddle: Peer) -> None:
    for secret in ("you", None):
        riddle.say("AUTH X-RIDDLE")
        assert riddle.say("bWU=", answer=_supply(secret)) == ["535 5.7.8 credentials not accepted"]
    assert riddle.connection.state is State.READY


@pytest.mark.req("AUT-16")
def test_no_initial_response_where_the_server_speaks_first(riddle: Peer) -> None:
    assert riddle.say("AUTH X-RIDDLE bWU=")[0].startswith("501 5.7.0 ")
    assert riddle.connection.state is State.READY


@pytest.mark.req("SEC-07")
def test_a_request_for_a_secret_needs_a_secret_of_its_kind(riddle: Peer) -> None:
    riddle.say("AUTH X-RIDDLE")
    event = riddle.hear("bWU=")
    for misuse, complaint in (
        (lambda: riddle.connection.accept(), "supply"),
        (lambda: riddle.connection.supply_secret(StoredSecret()), "a word"),
    ):
        with pytest.raises(LocalProtocolError, match=complaint):
            misuse()
        assert riddle.connection.unanswered is event
        assert riddle.connection.data_to_send() == b""
    riddle.connection.supply_secret("me")
    assert riddle.go_on() == ["334 cmlnaHQ="]


@pytest.mark.req("SEC-07")
def test_a_password_is_not_answered_by_a_secret() -> None:
    peer = ready(**WITH_AUTH)
    event = peer.hear(PLAIN)
    with pytest.raises(LocalProtocolError, match="PLAIN asks for no stored secret"):
        peer.connection.supply_secret("secret")
    assert peer.connection.unanswered is event
    peer.connection.accept()
    assert peer.go_on() == ["235 2.7.0 authenticated"]


def test_credentials_can_be_accepted_with_another_reply_text() -> None:
    peer = ready(**WITH_AUTH)
    said = peer.say(PLAIN, answer=lambda connection, event: connection.send(Reply(235, "2.7.0", "come in")))
    assert said == ["235 2.7.0 come in"]
    assert peer.connection.authenticated == "alice"


SECRETS = ("secret", "AGFsaWNlAHNlY3JldA==", "c2VjcmV0")


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize(
    "lines",
    [
        [PLAIN],
        ["AUTH PLAIN", "AGFsaWNlAHNlY3JldA=="],
        ["AUTH PLAIN", "AGFsaWNlAHNlY3JldA==x"],
        ["AUTH PLAIN AGFsaWNlAHNlY3JldA==x"],
        ["AUTH PLAIN  AGFsaWNlAHNlY3JldA== x"],
        ["auth PLAIN AGFsaWNlAHNlY3JldA=="],
        ["AUTH PLAIN\tAGFsaWNlAHNlY3JldA=="],
        ["AUTH LOGIN", "YWxpY2U=", "c2VjcmV0"],
        ["AUTH LOGIN", "YWxpY2U=", "c2VjcmV0!"],
        ["MAIL FROM:<a@example.com>", PLAIN],
        ["AUTH PLAIN AGFsaWNlAHNlY3JldA==" + "A" * 13000],
        ["AUTH NONE AGFsaWNlAHNlY3JldA=="],
    ],
)
def test_secrets_are_in_no_repr_and_in_no_reply(lines: list[str]) -> None:
    complaints: list[str] = []

    def answer(connection: ServerConnection, event: Event) -> None:
        with pytest.raises(LocalProtocolError) as caught:
            connection.next_event()
        complaints.append(str(caught.value))
        connection.accept()

    peer = ready(auth_mechanisms=("PLAIN", "LOGIN"), allow_cleartext_auth=True)
    said = [reply for line in lines for reply in peer.say(line, answer=answer)]
    shown = repr((peer.events, peer.connection, peer.connection.unanswered)) + str(said) + str(complaints)
    assert "CommandRejected" in shown or "Credentials" in shown
    assert not any(secret in shown for secret in SECRETS)


# --- Strangers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "CONNECT mx.example.com:25 HTTP/1.1", "post / http/1.0"])
@pytest.mark.parametrize("enter", [greeted, in_rcpt])
def test_an_HTTP_request_ends_the_session(enter: Callable[..., Peer], line: str) -> None:
    peer = enter()
    said = peer.say(line, "Host: mx.example.com", "", "RSET")
    if enter is greeted:
        assert said == ["554 5.5.1 this is an SMTP server, not a web server"]
        assert peer.events[-1] == ConnectionClosed()
    else:
        assert [reply[:3] for reply in said] == ["500", "500", "500", "250"]


def test_a_TLS_handshake_on_a_plain_port_ends_the_session() -> None:
    peer = greeted()
    peer.connection.receive_data(b"\x16\x03\x01\x02\x00\x01")
    assert [line[:3] for line in peer.go_on()] == ["554"]
    assert peer.events[-1] == ConnectionClosed()
    peer = ready()
    peer.connection.receive_data(b"\x16\x03\x01\r\n")
    assert [line[:3] for line in peer.go_on()] == ["500"]


# --- The replies of the core itself -------------------------------------------------------------------------


def own_replies() -> list[Reply]:
    """Every reply that is written down in the core."""
    found: list[Reply] = []
    for module in (_replytexts, _commands):
        for value in vars(module).values():
            found += [value] if isinstance(value, Reply) else []
            if isinstance(value, dict):
                found += [one for one in value.values() if isinstance(one, Reply)]
    return found


@pytest.mark.req("ESC-12", "ESC-05")
def test_the_core_uses_registered_status_codes() -> None:
    replies = own_replies()
    assert len(replies) > 50
    for reply in replies:
        assert reply.text
        if reply.status is not None:
            assert f"X.{reply.status.subject}.{reply.status.detail}" in STATUSES
            assert reply.status.severity == reply.severity


def test_the_tables_of_questions_are_complete() -> None:
    kinds = {kind for kinds in RULES.legal.values() for kind in kinds}
    assert len(QUESTIONS) + 1 == len(kinds) == len(RULES.success)  # and Connect
    assert set(COMMANDS) == set(QUESTIONS) - {"content"}


# --- BDAT, which is not offered (RFC 3030 2) ---------------------------------------------------------------

HIDDEN = b"RSET\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<y@example.org>\r\nDATA\r\n"
WITH_COMMANDS = [State.REFUSED, State.GREETED, State.READY, State.MAIL, State.RCPT]
UNCOUNTED = [
    *(b"BDAT", b"BDAT ", b"BDAT x", b"BDAT -1", b"BDAT +1", b"BDAT 0x5", b"BDAT 5 FIRST", b"BDAT 5 LAST x"),
    *(
        b"BDAT 5,LAST",
        b"BDAT\t5",
        b" BDAT 5",
        b"BDAT 5\0",
        b"BDAT5",
        b"BDAT 123456789012345678901",
        b"bdat \xb2",
    ),
    *(b"BDAT 5\n", b"BDAT:5", b"\x00bdat 5 last", b"\xa0BDAT 5", b"BDAT 5" + b" " * 20000, b"BDAT 5 LAST\r"),
]


@pytest.mark.req("CHK-27", "CHK-28")
@pytest.mark.parametrize("cut", [1, 7, 100000])
@pytest.mark.parametrize("state", WITH_COMMANDS, ids=str)
@pytest.mark.parametrize("line", UNCOUNTED, ids=lambda line: repr(line[:30]))
def test_BDAT_without_a_usable_count_ends_the_session(line: bytes, state: State, cut: int) -> None:
    peer = IN[state]()
    before = len(peer.events)
    octets = line + b"\r\n" + HIDDEN
    said: list[str] = []
    for start in range(0, len(octets), cut):
        if peer.connection.state is not State.CLOSED:
            peer.connection.receive_data(octets[start : start + cut])
        said += peer.go_on()
    assert said == ["501 5.5.4 BDAT without a usable count: cannot tell where the next command begins"]
    rejected, *rest = peer.events[before:]
    assert (
        isinstance(rejected, CommandRejected)
        and line.startswith(rejected.line)
        and rest == [ConnectionClosed()]
    )


@pytest.mark.req("CHK-06", "CHK-28")
@pytest.mark.parametrize("cut", [1, 7, 100000])
@pytest.mark.parametrize("state", WITH_COMMANDS, ids=str)
@pytest.mark.parametrize("line", [b"BDAT %d", b"BDAT %d LAST", b"bdat  %d  last \t", b"BDAT 000%d"])
def test_the_octets_after_a_counted_BDAT_are_not_commands(line: bytes, state: State, cut: int) -> None:
    peer = IN[state]()
    before, envelope = len(peer.events), repr(peer.connection.envelope)
    line %= len(HIDDEN)
    octets = line + b"\r\n" + HIDDEN + b"QUIT\r\n"
    said: list[str] = []
    for start in range(0, len(octets), cut):
        peer.connection.receive_data(octets[start : start + cut])
        said += peer.go_on()
        if said and not said[-1].startswith("221"):
            assert repr(peer.connection.envelope) == envelope
    # RFC 5321 3.1: 503 to anything but QUIT after a refused connection.
    assert [reply[:4] for reply in said] == ["503 " if state is State.REFUSED else "502 ", "221 "]
    rejected, *rest = peer.events[before:]
    assert isinstance(rejected, CommandRejected) and rejected.line == line
    assert rest == [Quit(), ConnectionClosed()]


@pytest.mark.req("CHK-20", "CHK-28")
def test_octets_of_a_BDAT_are_not_held() -> None:
    peer = ready(limits=Limits(message_size=None))
    peer.connection.receive_data(b"BDAT 99999999999999999999 LAST\r\n")
    for _ in range(100):
        peer.connection.receive_data(b"NOOP\r\n" * 100_000)
        assert peer.go_on() == []
        assert len(peer.connection._buffer) == 0


def test_a_word_that_only_begins_like_BDAT_is_unknown() -> None:
    assert ready().say("BDATX 6", "NOOP") == ["500 5.5.2 command not recognized", "250 2.0.0 ok"]


# --- Lines that end in LF alone ----------------------------------------------------------------------------

WITH_LINES = [*WITH_COMMANDS, State.AUTHENTICATING]


@pytest.mark.req("FRM-01")
@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize("state", WITH_LINES, ids=str)
@pytest.mark.parametrize("octets", [b"NOOP\nAUTH PLAIN AHNlY3JldA==\n", b"\n", b"NOOP\nx"])
def test_at_EOF_a_client_is_told_that_its_lines_end_in_LF(octets: bytes, state: State, cut: int) -> None:
    peer = IN[state]()
    before = len(peer.events)
    for start in range(0, len(octets), cut):
        peer.connection.receive_data(octets[start : start + cut])
        assert peer.go_on() == []
    peer.connection.receive_data(b"")
    assert peer.go_on() == ["501 5.5.2 LF without CR in the command: lines end in CRLF"]
    shown = b"AUTH ***" if state is State.AUTHENTICATING else octets.partition(b"\n")[0]
    assert [getattr(event, "line", event) for event in peer.events[before:]] == [shown, ConnectionClosed()]


@pytest.mark.parametrize("secret", ["AUTH PLAIN AHNlY3JldA==", " auth AHNlY3JldA=="])
@pytest.mark.parametrize("line, reply", [("NOOP", _commands.UNKNOWN), ("NOOP x", _commands.BARE_LF)])
def test_a_secret_after_a_bare_LF_is_not_shown(line: str, reply: Reply, secret: str) -> None:
    peer = ready(**WITH_AUTH)
    peer.say(f"{line}\n{secret}")
    assert peer.events[-1] == CommandRejected(line.encode(), reply)


@pytest.mark.parametrize("state", WITH_LINES, ids=str)
def test_at_the_timeout_a_client_is_told_that_its_lines_end_in_LF(state: State) -> None:
    peer = IN[state]()
    plain = Reply(421, "4.4.2", "timeout, closing connection")
    assert peer.connection.timeout_reply == plain
    peer.connection.receive_data(b"NOOP")
    peer.go_on()
    assert peer.connection.timeout_reply == plain
    peer.connection.receive_data(b"\n")
    peer.go_on()
    peer.connection.close(peer.connection.timeout_reply)
    assert peer.go_on() == [
        "421 4.4.2 mx.example.com timeout, closing connection: received LF without CR, lines end in CRLF"
    ]


@pytest.mark.parametrize("content, told", [(b"x\n.\n", True), (b"x\r\n", False), (b"x\0\n", False)])
def test_at_the_timeout_a_client_is_told_that_its_content_has_a_bare_LF(content: bytes, told: bool) -> None:
    peer = IN[State.CONTENT]()
    peer.connection.receive_data(content)
    peer.go_on()
    assert ("LF without CR" in peer.connection.timeout_reply.text) is told
    peer.connection.receive_data(b"\r\n.\r\n")
    peer.go_on()
    assert "LF without CR" not in peer.connection.timeout_reply.text


def test_an_overlong_line_of_LFs_is_refused_with_that_reason() -> None:
    peer = ready()
    peer.connection.receive_data(b"NOOP\n" * 10_000)
    assert peer.go_on() == []
    peer.connection.receive_data(b"")
    assert peer.go_on() == ["500 5.5.2 line too long: it holds LF without CR, lines end in CRLF"]


@pytest.mark.req("AUT-19")
@pytest.mark.parametrize("cut", [1, 1000, 100_000])
def test_an_endless_response_is_answered_at_EOF_like_an_endless_command(cut: int) -> None:
    for state, reply in (
        (State.READY, "500 5.5.2 line too long"),
        (State.AUTHENTICATING, "500 5.5.6 line too long"),
    ):
        peer = IN[state]()
        octets = b"A" * 20_000
        for start in range(0, len(octets), cut):
            peer.connection.receive_data(octets[start : start + cut])
            assert peer.go_on() == []
        peer.connection.receive_data(b"")
        assert peer.go_on() == [reply]
        assert [type(event) for event in peer.events[-2:]] == [CommandRejected, ConnectionClosed]


def test_the_last_of_too_many_malformed_responses_is_reported_before_the_end() -> None:
    peer = ready(limits=Limits(auth_attempts=3), **WITH_AUTH)
    for _ in range(4):
        peer.say("AUTH PLAIN", "AAAA")
    assert peer.events[-1] == ConnectionClosed()
    assert isinstance(peer.events[-2], CommandRejected) and peer.events[-2].reply.code == 421


# --- Commands that are not progress ------------------------------------------------------------------------

TRANSACTION = ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.org>", "DATA", "."]
CIRCLES: list[tuple[list[str], tuple[type[Event], ...]]] = [
    # lines, and the events of which the application refuses
    *(
        ([line], ())
        for line in ("NOOP", "RSET", "HELP", "VRFY x", "EXPN x", "EHLO a.example", "HELO a.example")
    ),
    *(([line], (Vrfy, Expn, Ehlo, Helo)) for line in ("VRFY x", "EXPN x", "EHLO a.example", "HELO a.example")),
    (["STARTTLS"], (StartTls,)),
    (["MAIL FROM:<a@example.com>"], (Mail,)),
    (["MAIL FROM:<a@example.com> SIZE=99999999999"], ()),
    *(([*TRANSACTION[:1], line], ()) for line in ("RSET", "EHLO a.example", "HELO a.example")),
    *(([*TRANSACTION[:2], line], ()) for line in ("RSET", "EHLO a.example", "HELO a.example")),
    (TRANSACTION[:2], (Rcpt,)),
    (TRANSACTION[:3], (Data,)),
    (TRANSACTION, (EndOfMessage,)),
    ([*TRANSACTION[:3], "\0", "."], ()),
    (TRANSACTION[1:2], ()),  # beyond the limit of recipients
]


@pytest.mark.req("SES-47")
@pytest.mark.parametrize("code", [450, 550])
@pytest.mark.parametrize("start", ["EHLO a.example", "HELO a.example", "MAIL FROM:<a@example.com>", ""])
@pytest.mark.parametrize("lines, refused", CIRCLES, ids=str)
def test_no_cycle_of_commands_goes_on_forever(
    lines: list[str], refused: tuple[type[Event], ...], start: str, code: int
) -> None:
    def answer(connection: ServerConnection, event: Event) -> None:
        if isinstance(event, refused):
            connection.reject(code, None, "no")
        else:
            connection.accept()

    limits = Limits(idle_commands=20, recipients=100, refused_recipients=None, bad_commands=20)
    peer = greeted(limits=limits, starttls=True, expn=True)
    peer.say(start)
    walked = 0
    while peer.connection.state is not State.CLOSED:
        peer.say(*lines, answer=answer)
        walked += 1
        assert walked < 400


def test_a_hello_and_a_handshake_and_a_login_are_progress() -> None:
    peer = greeted(limits=Limits(idle_commands=0), starttls=True, **WITH_AUTH)
    assert peer.say("EHLO a.example", "STARTTLS")[-1].startswith("220 ")
    peer.connection.tls_started(TlsInfo())
    said = peer.say("EHLO a.example", PLAIN, *TRANSACTION, *TRANSACTION, *TRANSACTION)
    assert {reply[:3] for reply in said} == {"250", "235", "354"}


def test_ten_refused_recipients_count_as_one_command() -> None:
    def refuse(connection: ServerConnection, event: Event) -> None:
        connection.reject(450, "4.2.0", "greylisted")

    peer = in_rcpt(limits=Limits(idle_commands=2))
    assert peer.say(*["RCPT TO:<c@example.org>"] * 20, answer=refuse) == ["450 4.2.0 greylisted"] * 20
    assert peer.say("RCPT TO:<c@example.org>", answer=refuse) == [
        "421 4.7.0 mx.example.com too many commands without mail"
    ]


def test_thousands_of_recipients_beyond_the_limit_do_not_cost_those_before() -> None:
    peer = in_mail()
    said = peer.say(*[f"RCPT TO:<r{number}@example.org>" for number in range(6000)], "DATA", ".")
    assert [reply[:3] for reply in said] == ["250"] * 1000 + ["452"] * 5000 + ["354", "250"]


# --- Octets that do not decode -----------------------------------------------------------------------------

NOT_UTF8 = [b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"]


@pytest.mark.req("SEC-01")
@pytest.mark.parametrize("octets", NOT_UTF8)
@pytest.mark.parametrize("end", [b"", b" SMTPUTF8", b" SIZE=1 SMTPUTF8 BODY=8BITMIME"])
@pytest.mark.parametrize(
    "line", [b"MAIL FROM:<a%s@b.example>", b"RCPT TO:<a@%s.example>", b"VRFY %s", b"EXPN x%s", b"MAIL FROM:<%s"]
)
def test_octets_that_are_not_UTF8_are_a_syntax_error(line: bytes, end: bytes, octets: bytes) -> None:
    peer = ready(smtputf8=True, expn=True)
    if line.startswith(b"RCPT"):
        peer.say("MAIL FROM:<a@b.example> SMTPUTF8")
        end = b""
    peer.connection.receive_data(line % octets + end + b"\r\n")
    assert peer.go_on() == ["501 5.5.2 the command is not valid UTF-8"]
    assert isinstance(peer.events[-1], CommandRejected)
    assert peer.say("NOOP") == ["250 2.0.0 ok"]


NOT_BASE64 = [
    b"A",
    b"=",
    b"A===",
    b"AA=A",
    b"AAA=A",
    b"AA",
    b"\xff",
    b"A\0==",
    b"AAAA AAAA",
    b"AAA\xc3\xa9",
    b"-_-_",
]
NOT_A_RESPONSE = [b"/w==", b"AP8A/w==", b"AGEA/w==", b"AAAA", b""]  # not UTF-8; not NUL-separated; empty


@pytest.mark.req("SEC-01")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("response", [*NOT_BASE64, *NOT_A_RESPONSE])
def test_a_response_that_does_not_decode_is_an_error_of_the_protocol(
    response: bytes, initial: bool, mechanism: str
) -> None:
    peer = ready(auth_mechanisms=("PLAIN", "LOGIN"), allow_cleartext_auth=True)
    if initial:
        peer.connection.receive_data(b"AUTH %s %s\r\n" % (mechanism.encode(), response))
    else:
        peer.say(f"AUTH {mechanism}")
        peer.connection.receive_data(response + b"\r\n")
    reply = peer.go_on()[-1]
    if reply[:3] == "334":  # of two responses to LOGIN this was the first
        peer.connection.receive_data(response + b"\r\n")
        reply = peer.go_on()[-1]
    assert reply[:3] in (("501",) if response in NOT_BASE64 else ("501", "535", "235"))
    assert peer.connection.state is State.READY
    assert peer.say("NOOP") == ["250 2.0.0 ok"]


def test_the_size_of_the_output_is_known_before_it_is_fetched() -> None:
    server = ServerConnection("mx.example.com")
    server.next_event()
    server.accept()
    assert server.output_size == len(server.data_to_send()) > 0
    assert server.output_size == 0
