"""Replies that a server is about to send: the host name in them, and what VRFY and EXPN may find."""

from __future__ import annotations

import pytest

from smtpcore import LocalProtocolError, Reply
from smtpcore._core.events import Connect, Ehlo, Helo
from smtpcore._core.serverreplies import WITH_HOSTNAME, WITHOUT_STATUS, check_verified, with_hostname


def test_the_host_name_is_the_first_word_of_the_replies_that_need_it() -> None:
    assert {220, 221, 421} == WITH_HOSTNAME
    assert with_hostname("mx.example", Reply.sanitized(220, None, "ready\nnews")).lines == (
        "mx.example ready",
        "news",
    )
    assert with_hostname("mx.example", Reply(421, "4.3.2", "bye")) == Reply(421, "4.3.2", "mx.example bye")


def test_a_reply_without_a_text_is_the_host_name_alone() -> None:
    assert with_hostname("mx.example", Reply(220, None, "")).lines == ("mx.example",)


def test_only_the_first_line_of_the_reply_to_EHLO_is_not_a_keyword() -> None:
    reply = with_hostname("mx.example", Reply.sanitized(250, None, "hello\nSIZE 5"), ("PIPELINING", "8BITMIME"))
    assert reply.lines == ("mx.example hello SIZE 5", "PIPELINING", "8BITMIME")
    assert with_hostname("mx.example", Reply.sanitized(250, None, "hello\nyou"), ()).lines == (
        "mx.example hello you",
    )


def test_the_first_line_of_the_reply_to_EHLO_stays_one_line() -> None:
    reply = with_hostname("mx.example", Reply(250, None, "x" * 600), ("SIZE",))
    first, second = reply.lines
    assert second == "SIZE"
    assert len(f"250-{first}\r\n") == 512


def test_the_greeting_and_the_replies_to_EHLO_and_HELO_have_no_status() -> None:
    assert {*WITHOUT_STATUS} == {Connect, Ehlo, Helo}


@pytest.mark.parametrize("line", ["user@example.org", "Name <user@example.org>", "<user@example.org>"])
def test_one_mailbox_can_be_found(line: str) -> None:
    check_verified(line)


@pytest.mark.parametrize(
    "line", ["", "Name", "Name <>", "Name <user>", "a@b.example, c@d.example", "Name <a@b.example> x"]
)
def test_what_does_not_name_one_mailbox_is_an_error_that_shows_it(line: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        check_verified(line)
    assert repr(line) in str(caught.value)
    assert "user@example.org" in str(caught.value)
