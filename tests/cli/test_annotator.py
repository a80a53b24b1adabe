"""The annotator: its remarks agree with what the core does."""

from __future__ import annotations

import pytest

from smtpcore import ConnectionClosed, Reply, ServerConfig, ServerConnection, State
from smtpcore._cli.annotator import Annotator
from smtpcore.transcript import Transcript


class Shown:
    """A dialogue as it is recorded, with the remark on each entry."""

    def __init__(self) -> None:
        self.annotator = Annotator()
        self.remarks: list[tuple[str, str | None]] = []
        self.transcript = Transcript(
            sink=lambda entry: self.remarks.append((entry.text, self.annotator.annotate(entry)))
        )

    def client(self, text: str) -> str | None:
        self.transcript.record_client(text.encode())
        return self.remarks[-1][1]

    def server(self, text: str) -> str | None:
        self.transcript.record_server(text.encode())
        return self.remarks[-1][1]

    def greeted(self) -> Shown:
        self.server("220 mx\r\n")
        self.client("EHLO me.example\r\n")
        self.server("250-mx\r\n250-PIPELINING\r\n250 SIZE 1000\r\n")
        return self


def test_the_greeting_is_explained_as_the_reply_to_Connect() -> None:
    assert Shown().server("220 mx\r\n") == "answers Connect: service ready; state opening -> greeted"


def test_a_command_is_explained_by_its_event() -> None:
    shown = Shown().greeted()
    remark = shown.client("MAIL FROM:<a@b.example> SIZE=5\r\n")
    assert remark == "event Mail(reverse_path=ReversePath('a@b.example'), parameters={'SIZE': 5})"


def test_a_reply_of_several_lines_is_explained_once() -> None:
    shown = Shown()
    shown.greeted()
    assert [remark for _, remark in shown.remarks[-3:]] == [
        None,
        None,
        "answers Ehlo: done as requested; state greeted -> ready",
    ]


def test_replies_to_a_group_are_matched_in_order() -> None:
    shown = Shown().greeted()
    shown.client("MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\n")
    shown.server("250 2.1.0 ok\r\n550 5.1.1 no\r\n250 2.1.5 ok\r\n")
    assert [(remark or "").split(":")[0] for _, remark in shown.remarks[-3:]] == [
        "answers Mail",
        "answers Rcpt",
        "answers Rcpt",
    ]
    assert [(remark or "").split("; ")[-1] for _, remark in shown.remarks[-3:]] == [
        "state ready -> mail",
        "state mail",
        "state mail -> rcpt",
    ]


def test_content_is_explained_as_Chunk_and_EndOfMessage() -> None:
    shown = Shown().greeted()
    shown.client("MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nDATA\r\n")
    shown.server("250 ok\r\n250 ok\r\n354 go\r\n")
    assert shown.annotator.state is State.CONTENT
    remark = shown.client("Subject: x\r\n.\r\n")
    assert remark == "events Chunk, with a piece of the content each, and then EndOfMessage()"
    assert shown.server("250 ok\r\n") == "answers EndOfMessage: done as requested; state content -> ready"


def test_a_refused_command_is_explained_by_the_reply_of_the_core() -> None:
    shown = Shown().greeted()
    remark = shown.client("RCPT FROM:<a@b.example>\r\n")
    assert remark is not None and remark.startswith("event CommandRejected: 501")
    assert (shown.server("501 5.5.2 no\r\n") or "").startswith("answers CommandRejected: ")
    assert shown.annotator.state is State.READY


def test_addresses_in_UTF8_are_explained() -> None:
    shown = Shown()
    shown.server("220 mx\r\n")
    shown.client("EHLO me.example\r\n")
    shown.server("250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
    remark = shown.client("MAIL FROM:<ä@b.example> SMTPUTF8\r\n")
    assert remark is not None and "ReversePath('ä@b.example')" in remark


def test_each_line_of_an_AUTH_exchange_is_explained() -> None:
    shown = Shown().greeted()
    assert shown.client("AUTH LOGIN\r\n") == "event Auth(mechanism='LOGIN')"
    assert (shown.server("334 VXNlcm5hbWU6\r\n") or "").endswith("state ready -> authenticating")
    assert shown.client("YWxpY2U=\r\n") == "the response to a challenge; it goes to the SASL mechanism"
    remark = shown.server("235 2.7.0 welcome\r\n")
    assert remark is not None and remark.startswith("answers Auth: ")
    assert remark.endswith("state authenticating -> ready")


def test_the_session_starts_again_after_STARTTLS() -> None:
    shown = Shown().greeted()
    shown.client("STARTTLS\r\n")
    assert (shown.server("220 go\r\n") or "").endswith("state ready -> tls")
    shown.transcript.record_tls("TLSv1.3")
    assert (
        shown.remarks[-1][1]
        == "the session before the handshake is forgotten (RFC 3207 4.2); state tls -> greeted"
    )
    shown.transcript.record_note("a note under TLS")
    assert shown.remarks[-1][1] is None
    remark = shown.client("MAIL FROM:<a@b.example> BODY=8BITMIME\r\n")  # not offered any more
    assert remark is not None and remark.startswith("event ")


def test_TLS_from_the_start_is_explained() -> None:
    shown = Shown()
    shown.transcript.record_note("connecting")
    assert shown.remarks[-1][1] is None
    shown.transcript.record_tls("TLSv1.3")
    assert shown.remarks[-1][1] == "TLS from the first octet on"
    assert shown.server("220 mx\r\n") == "answers Connect: service ready; state opening -> greeted"


@pytest.mark.parametrize("asked", [True, False])
def test_421_ends_the_session_and_belongs_to_no_command(asked: bool) -> None:
    shown = Shown().greeted()
    if asked:
        shown.client("NOOP\r\n")
    remark = shown.server("421 4.3.2 shutting down\r\n")
    assert remark is not None and not remark.startswith("answers")
    assert remark.endswith("state ready -> closed")


def test_an_unsolicited_reply_belongs_to_no_command() -> None:
    shown = Shown().greeted()
    assert shown.server("250 ok\r\n") == "done as requested; state ready"


def test_the_state_follows_that_of_the_core() -> None:
    """A session of the core with itself is the standard: after each line, the same state."""
    shown = Shown()
    connection = ServerConnection("mx.example", config=ServerConfig())
    lines = [
        "",
        "EHLO me",
        "RCPT TO:<x@y.example>",
        "MAIL FROM:<>",
        "RCPT TO:<x@y.example>",
        "RSET",
        "NOOP",
        "QUIT",
    ]
    for line in lines:
        if line:
            shown.client(line + "\r\n")
            connection.receive_data(line.encode() + b"\r\n")
        while (event := connection.next_event()) is not None and not isinstance(event, ConnectionClosed):
            if connection.unanswered is not None:
                connection.send(Reply(550, "5.7.1", "no")) if line == "NOOP" else connection.accept()
        shown.server(connection.data_to_send().decode())
        assert shown.annotator.state is connection.state, line
