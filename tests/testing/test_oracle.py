"""The oracle: what it lets pass, and the first reply that it does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from smtpcore import (
    Chunk,
    ClientConnection,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    LocalProtocolError,
    Mail,
    Quit,
    Rcpt,
    Response,
    ServerConfig,
    ServerConnection,
    StartTls,
)
from smtpcore.testing import Violation, legal, pair, strategies
from smtpcore.testing._oracle import Oracle
from smtpcore.testing._scripts import _parse

HELLO = [("S", b"220 mx.example\r\n"), ("C", b"EHLO a\r\n"), ("S", b"250-mx.example\r\n250 PIPELINING\r\n")]

CHUNKED = "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\n\nS 250 a\\n250 b\\n\nC BDAT 2\\nhi\nS 250 c\\n\n"


def dialogue(text: str) -> list[tuple[str, bytes]]:
    """A dialogue from text: a side, then octets, in which \\n is CRLF."""
    steps = []
    for line in text.strip().splitlines():
        side, _, rest = line.strip().partition(" ")
        steps.append(
            (side, rest.encode().replace(b"\\n", b"\r\n").replace(b"\\r", b"\r").replace(b"\\l", b"\n"))
        )
    return [*HELLO, *steps]


@pytest.mark.parametrize(
    "text",
    [
        "C NOOP\\n\nS 250 ok\\n",
        "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\nDATA\\n\nS 250 a\\n250 b\\n354 c\\n\nC x\\n..\\n.\\n\nS 250 d\\n",
        "C MAIL FROM:<a@b>\\n\nS 550 no\\n\nC RCPT TO:<a@b>\\n\nS 503 no\\n",
        "C RCPT TO:<a@b>\\n\nS 421 bye\\n",
        "C DATA\\n\nS 354 go on\\n\nC .\\n\nS 554 no recipients\\n",
        "C STARTTLS\\n\nS 220 go on\\n\nTLS\nC EHLO a\\n\nS 250 mx\\n",
        "C AUTH PLAIN\\n\nS 334 \\n\nC AA==\\n\nS 535 no\\n\nC NOOP\\n\nS 250 ok\\n",
        "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\n\nS 250 a\\n251 b\\n\nC BDAT 2 LAST\\nhi\nS 250 c\\n",
        f"{CHUNKED}C DATA\\n\nS 503 no\\n\nC NOOP\\n\nS 503 RSET first\\n",
        "C BDAT 0\\n\nS 503 no\\n\nC MAIL FROM:<a@b>\\n\nS 503 RSET first\\n",
        "C MAIL FROM:<a@b>\\n\nS 501 5.1.8 no such domain\\n",
        "C MAIL FROM:<.a@b>\\n\nS 501 no\\n",
        "C EHLO 192.0.2.1\\n\nS 501 no\\n",
        "C EHLO a\\n\nS 250-mx\\n250 \\n",
        "C QUIT\\n\nS 221 bye\\n\nEOF",
        "EOF",
    ],
)
def test_what_the_standard_allows_passes(text: str) -> None:
    legal(dialogue(text))


@pytest.mark.parametrize(
    "text, reason",
    [
        ("S 250 ok\\n", "a reply to what was not sent"),
        ("C NOOP\\n", "there is no reply to NOOP"),
        ("C NOOP\\n\nS 250 ok", "this reply has no end"),
        ("C NOOP\\n\nS 250 a\\lb\\n", "this is not a reply"),
        ("C NOOP\\n\nS 250-a\\n251 b\\n", "this is not a reply"),
        ("C NOOP\\n\nS hello\\n", "this is not a reply"),
        ("C NOOP\\n\nS 354 go on\\n", "354 is not a success of NOOP"),
        ("C RCPT TO:<a@b>\\n\nS 250 ok\\n", "RCPT TO:<a@b> was accepted out of order, in the state 'ready'"),
        ("C DATA\\n\nS 354 go on\\n\nC .\\n\nS 250 ok\\n", "a message was accepted without a recipient"),
        (
            "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\nDATA\\n\nS 250 a\\n250 b\\n354 c\\n\nS 250 ok\\n",
            "a reply before the end of the content",
        ),
        ("C AUTH PLAIN\\n\nS 334 \\n\nC RSET\\n\nS 250 ok\\n", "250 is not a success of RSET"),
        ("C STARTTLS\\n\nS 250 go on\\n", "250 is not a success of STARTTLS"),
        ("C NOOP\\n\nS 250 ok\\l", "this is not a reply"),
        ("C NOOP\\n\nS 503 no\\n", "NOOP is legal here, and refused with 503"),
        ("C BDAT 0\\n\nS 503 no\\n\nC RSET\\n\nS 250 a\\n\nC NOOP\\n\nS 503 no\\n", "NOOP is legal here"),
        ("C MAIL FROM:<>\\n\nS 501 no\\n", "MAIL FROM:<> is legal here, and refused with 501"),
        (f"C NOOP\\n\nS 250 {'x' * 507}\\n", "a reply line has 513 octets"),
        ("C EHLO a\\n\nS 250-mx\\n250 X_FOO\\n", "does not begin with a keyword"),
        (
            "C EHLO a\\n\nS 250-mx\\n250 ENHANCEDSTATUSCODES\\n\nC NOOP\\n\nS 250 5.0.0 ok\\n",
            "the enhanced status code is of another class",
        ),
        (
            "C STARTTLS\\n\nS 220 a\\n\nTLS\nC EHLO a\\n\nS 250-mx\\n250 STARTTLS\\n",
            "offered after the TLS handshake",
        ),
        ("C AUTH PLAIN\\n\nS 334 \\n\nC *\\n\nS 235 ok\\n", "AUTH was cancelled, and goes on"),
        ("C AUTH PLAIN\\n\nS 334 \\n\nC !\\n\nS 334 \\n", "! was accepted within AUTH"),
        (
            "C AUTH PLAIN AA==\\n\nS 235 ok\\n\nC AUTH PLAIN\\n\nS 334 \\n",
            "AUTH was accepted after it had succeeded",
        ),
        (
            f"{CHUNKED}C DATA\\n\nS 354 d\\n",
            "DATA was accepted after BDAT",
        ),
        ("C MAIL FROM:<a@b>\\nRCPT TO:<>\\n\nS 250 a\\n250 b\\n", "RCPT TO:<> was accepted"),
        (
            "C MAIL FROM:<a@b>\\n\nS 250 a\\n\nC BDAT 0 LAST\\n\nS 250 b\\n",
            "a chunk was accepted without a recip",
        ),
        (
            "C MAIL FROM:<a@b>\\n\nS 250 a\\n\nC MAIL FROM:<a@b>\\n\nS 250 a\\n",
            "MAIL FROM:<a@b> was accepted out",
        ),
    ],
)
def test_what_the_standard_does_not_allow_is_found(text: str, reason: str) -> None:
    with pytest.raises(Violation, match=re.escape(reason)) as caught:
        legal(dialogue(text))
    assert caught.value.dialogue[0] == "S: 220 mx.example"


@settings(max_examples=20)
@given(strategies.transactions(), strategies.chunked(bytes(40)), strategies.chunked(bytes(9)))
def test_a_joined_pair_says_the_same_however_it_is_cut_and_delayed(
    transaction: strategies.Transaction, cuts: list[bytes], delays: list[bytes]
) -> None:
    sizes = [len(piece) for piece in cuts]
    if not transaction.mail.is_ascii:
        return
    joined = pair(
        ClientConnection(), ServerConnection("mx.example"), cuts=sizes, delays=[len(one) for one in delays]
    )
    joined.send(Ehlo("client.example"))
    joined.run()
    joined.send(transaction.mail, *transaction.rcpts, Data())
    joined.run()
    joined.send(*([Chunk(transaction.content)] if transaction.content else []), EndOfMessage(), Quit())
    joined.run()
    responses = [event for event in joined.client_events if isinstance(event, Response)]
    assert [one.reply.code for one in responses] == [
        220,
        250,
        250,
        *[250] * len(transaction.rcpts),
        354,
        250,
        221,
    ]
    assert [event for event in joined.server_events if isinstance(event, (Mail, Rcpt))] == [
        transaction.mail,
        *transaction.rcpts,
    ]
    contents = [event.data for event in joined.server_events if isinstance(event, Chunk)]
    assert b"".join(contents) == transaction.content
    legal(joined.transcript)


def test_a_pair_shakes_hands_in_memory_and_refuses_as_it_is_told() -> None:
    def answer(server: ServerConnection, event: Event) -> None:
        if isinstance(event, Mail):
            server.reject(550, "5.7.1", "no")
        else:
            server.accept()

    joined = pair(
        ClientConnection(), ServerConnection("mx.example", config=ServerConfig(starttls=True)), answer=answer
    )
    joined.send(Ehlo("client.example"))
    joined.run()
    joined.send(StartTls())
    joined.run()
    joined.send(Ehlo("client.example"), Mail("a@b.example"))
    joined.run()
    assert joined.server.tls is not None
    last = joined.client_events[-1]
    assert isinstance(last, Response)
    assert last.reply.code == 550
    legal(joined.transcript)


@pytest.mark.parametrize("schedule", [{"cuts": [0]}, {"cuts": [3, -1]}, {"delays": [-1]}])
def test_a_pair_needs_a_schedule_in_which_octets_travel(schedule: dict[str, list[int]]) -> None:
    with pytest.raises(LocalProtocolError, match=r"each of (cuts is at least 1|delays is at least 0), not"):
        pair(ClientConnection(), ServerConnection("mx.example"), **schedule)


def test_the_recipient_of_a_message_may_be_a_quoted_string() -> None:
    oracle = Oracle()
    for sent, received in (
        (None, b"220 mx.example\r\n"),
        (b"EHLO a", b"250 mx.example\r\n"),
        (b'MAIL FROM:<"a> b"@example.org> SIZE=3', b"250 ok\r\n"),
        (b'RCPT TO:<@x.example:"c \\" d"@example.org>', b"250 ok\r\n"),
        (b"DATA", b"354 go on\r\n"),
    ):
        if sent is not None:
            oracle.sent_line(sent)
        oracle.received(received)
    oracle.sent_content(b"a\r\n", ended=True)
    oracle.received(b"250 ok\r\n")
    oracle.check_stored([('"a> b"@example.org', ['"c \\" d"@example.org'], b"a\r\n")])


def test_the_dialogue_of_a_violation_is_a_script() -> None:
    """Nothing in it is lost when it is read: a space at the end, a chunk, content, and what is not a reply."""
    text = (
        "C AUTH PLAIN\\n\nS 334 \\n\nC AA==\\n\nS 535 no\\n\n"
        "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\nDATA\\n\nS 250 a\\n250 b\\n354 c\\n\nC x\\n.\\n\nS 250 d\\n\n"
        "C MAIL FROM:<a@b>\\nRCPT TO:<a@b>\\n\nS 250 a\\n250 b\\n\nC BDAT 2\\nhi\nS 250 c\\n\nS what\\n"
    )
    with pytest.raises(Violation) as caught:
        legal(dialogue(text))
    steps = _parse("\n".join(caught.value.dialogue))
    octets = [(step.side, step.octets + b"\r\n" * (step.kind == "line")) for step in steps]
    assert "".join(side for side, _ in octets) == "SCSSCSCSCCCSSSCSCCSSCCSS"
    for side in "CS":
        sent = b"".join(octets for one, octets in dialogue(text) if one == side)
        assert b"".join(octets for one, octets in octets if one == side) == sent
