"""``ClientConnection._send_envelope()``: a whole envelope at once is nothing but its commands one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smtpcore import (
    Chunk,
    ClientConnection,
    Command,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    Limits,
    LocalProtocolError,
    Mail,
    Rcpt,
    RemoteProtocolError,
    Reply,
    Response,
    Rset,
    State,
)
from smtpcore._core.client import EnvelopeAccepted
from smtpcore._core.replyparser import ReplyParser
from smtpcore.sasl import PlainClient

MAIL = Mail("a@example.org")
ONE, TWO = Rcpt("one@example.com"), Rcpt("two@example.com")
OK, GO, QUEUED = b"250 ok\r\n", b"354 go\r\n", b"250 2.0.0 queued\r\n"
PASSWORD = "s3cr3t-p4ssw0rd"

REPLIES = {
    "all accepted": OK * 3 + GO,
    "one recipient forwarded": OK + b"251 elsewhere\r\n" + OK + GO,
    "one recipient refused": OK + b"550 5.1.1 no\r\n" + OK + GO,
    "MAIL refused": b"451 4.3.0 later\r\n503 no\r\n503 no\r\n503 no\r\n",
    "DATA refused": OK * 3 + b"451 4.3.0 later\r\n",
    "DATA answered 250": OK * 4,
    "RCPT answered 354": OK + GO + OK + GO,
    "the last RCPT answered 354": OK * 2 + GO * 2,
    "a reply of two lines": b"250-ok\r\n250 ok\r\n" + OK * 2 + GO,
    "a reply too many": OK * 3 + GO + OK,
    "half a reply too many": OK * 3 + GO + b"250 o",
    "the end of the session": OK + b"421 4.3.2 bye\r\n",
    "a line that is not a reply": OK * 2 + b"ok\r\n" + GO,
    "a bare LF": OK * 2 + b"250 ok\n" + GO,
}


def opened(*keywords: str, limits: Limits | None = None) -> ClientConnection:
    client = ClientConnection(limits=limits or Limits())
    client.receive_data(b"220 mx.example\r\n")
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    lines = ["mx.example", *keywords]
    client.receive_data("".join(f"250{' ' if one is lines[-1] else '-'}{one}\r\n" for one in lines).encode())
    client.next_event()
    return client


def in_detail(client: ClientConnection) -> Iterator[object]:
    """The events that there are, each response by itself, and the error that ends them."""
    try:
        while (event := client.next_event()) is not None:
            if isinstance(event, EnvelopeAccepted):
                yield from map(Response, event.commands, event.replies)
            else:
                yield event
    except (RemoteProtocolError, ConnectionLost) as error:
        yield str(error)


def observed(client: ClientConnection, octets: bytes, cut: int) -> list[object]:
    """What comes of these octets, in two pieces, and how the connection is left."""
    facts: list[object] = []
    for piece in (octets[:cut], octets[cut:]):
        if piece and client.state is not State.CLOSED:
            client.receive_data(piece)
            facts += in_detail(client)
    return [
        *facts,
        client.state,
        client._projection(),
        client.outstanding,
        client.data_to_send(),
        client._parser.pending,
    ]


def both(*keywords: str, limits: Limits | None = None) -> tuple[ClientConnection, ClientConnection]:
    return opened(*keywords, limits=limits), opened(*keywords, limits=limits)


@pytest.mark.parametrize("keywords", [("PIPELINING",), ()])
@pytest.mark.parametrize("octets", REPLIES.values(), ids=REPLIES)
def test_an_envelope_is_the_same_as_its_commands(octets: bytes, keywords: tuple[str, ...]) -> None:
    for cut in range(len(octets)):
        for _ in range(2):  # the second time the lines are known
            whole, single = both(*keywords)
            whole._send_envelope(MAIL, [ONE, TWO])
            for command in (MAIL, ONE, TWO, Data()):
                single.send(command)
            assert whole.data_to_send() == single.data_to_send()
            assert whole.outstanding == single.outstanding
            assert observed(whole, octets, cut) == observed(single, octets, cut)


@pytest.mark.parametrize("octets", REPLIES.values(), ids=REPLIES)
def test_an_envelope_may_follow_the_end_of_a_message(octets: bytes) -> None:
    for cut in range(len(octets) + len(QUEUED)):
        connections = both("PIPELINING")
        facts = []
        for client in connections:
            client._send_envelope(MAIL, [ONE])
            client.data_to_send()
            client.receive_data(OK * 2 + GO)
            assert list(in_detail(client))
            client.send(EndOfMessage())
            if client is connections[0]:
                client._send_envelope(MAIL, [ONE, TWO])
            else:
                for command in (MAIL, ONE, TWO, Data()):
                    client.send(command)
            facts.append([client.data_to_send(), *observed(client, QUEUED + octets, cut)])
        assert facts[0] == facts[1]


def make_known(*lines: bytes) -> None:
    """Let a connection read these replies: only repetitions are looked at all at once."""
    client = opened("PIPELINING")
    for line in lines:
        client.send(Rset())
        client.data_to_send()
        client.receive_data(line)
        list(in_detail(client))


def test_an_envelope_that_is_accepted_is_one_event() -> None:
    make_known(OK, GO)
    client = opened("PIPELINING")
    client._send_envelope(MAIL, [ONE])
    client.data_to_send()
    client.receive_data(OK * 2 + GO)
    event = client.next_event()
    assert isinstance(event, EnvelopeAccepted)
    assert event.commands == (MAIL, ONE, Data())
    assert [reply.code for reply in event.replies] == [250, 250, 354]
    assert client.state is State.CONTENT
    client._send_encoded(b"x\r\n.\r\n", last=True)
    assert client.data_to_send() == b"x\r\n.\r\n"


def test_replies_that_came_before_the_envelope_was_handed_out_do_not_answer_it() -> None:
    make_known(OK, GO)
    client = opened("PIPELINING")
    client._send_envelope(MAIL, [ONE])
    client.receive_data(OK * 2 + GO)
    with pytest.raises(RemoteProtocolError, match="unsolicited"):
        client.next_event()


def test_an_envelope_keeps_to_the_window() -> None:
    whole, single = both("PIPELINING", limits=Limits(outstanding_commands=3))
    whole._send_envelope(MAIL, [ONE, TWO])
    for command in (MAIL, ONE, TWO, Data()):
        single.send(command)
    octets = single.data_to_send()
    assert whole.data_to_send() == octets
    assert b"DATA" not in octets
    assert observed(whole, OK * 3, 10) == observed(single, OK * 3, 10)


def test_an_envelope_waits_for_what_must_be_answered_alone() -> None:
    client = opened("PIPELINING")
    client.send(Ehlo("client.example"))
    client._send_envelope(MAIL, [ONE])
    assert client.data_to_send() == b"EHLO client.example\r\n"


@pytest.mark.parametrize("before", [Rset(), None])
@pytest.mark.parametrize(
    "mail, rcpt",
    [(Mail("a@example.org"), Rcpt("\u00fc@example.com")), (Mail("\u00fc@example.org"), ONE)],
)
def test_an_envelope_in_utf8_needs_SMTPUTF8(mail: Mail, rcpt: Rcpt, before: Command | None) -> None:
    client = opened("PIPELINING", "SMTPUTF8", "8BITMIME")
    if before is not None:
        client.send(before)
    with pytest.raises(LocalProtocolError, match="SMTPUTF8"):
        client._send_envelope(mail, [rcpt])
    assert b"MAIL" not in client.data_to_send()
    client = opened("PIPELINING", "SMTPUTF8", "8BITMIME")
    client._send_envelope(Mail(mail.reverse_path, {"SMTPUTF8": True}), [rcpt])
    assert "\u00fc".encode() in client.data_to_send()


def test_an_envelope_in_the_wrong_state_is_refused() -> None:
    began = opened("PIPELINING")
    began.send(MAIL)
    for client in (ClientConnection(), began):
        with pytest.raises(LocalProtocolError, match="cannot come in the state"):
            client._send_envelope(MAIL, [ONE])


def test_lines_that_end_a_reply_are_not_replies() -> None:
    make_known(OK, GO)
    parser = ReplyParser(max_line=512, max_lines=10)
    parser.feed(b"250-ok\r\n")
    assert parser.next_reply() is None
    parser.feed(OK + GO)
    assert parser.repeated([250, 354]) is None
    assert parser.next_reply() == Reply(250, None, ["ok", "ok"])
    assert parser.repeated([354]) == [Reply(354, None, "go")]
    assert parser.pending == 0


def test_a_secret_in_the_replies_to_an_envelope_is_masked() -> None:
    hello = f"250 hello {PASSWORD}\r\n".encode()
    make_known(OK, hello, GO)
    client = opened("PIPELINING", "AUTH PLAIN")
    client.authenticate(PlainClient("user", PASSWORD), allow_cleartext=True)
    client.data_to_send()
    client.receive_data(b"235 ok\r\n")
    client.next_event()
    client._send_envelope(MAIL, [ONE])
    client.data_to_send()
    client.receive_data(OK + hello + GO)
    event = client.next_event()
    assert isinstance(event, EnvelopeAccepted)
    assert [reply.text for reply in event.replies] == ["ok", "hello ***", "go"]


def test_content_is_judged_by_the_MAIL_of_the_envelope() -> None:
    client = opened("PIPELINING", "8BITMIME")
    client._send_envelope(MAIL, [ONE])
    client.data_to_send()
    client.receive_data(OK * 2 + GO)
    client.next_event()
    with pytest.raises(LocalProtocolError, match="MAIL had no BODY=8BITMIME"):
        client.send(Chunk(b"\xff\r\n"))
