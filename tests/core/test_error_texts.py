"""Errors of the caller: each text has the value that is wrong, and says what is accepted instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smtpcore import (
    ClientConnection,
    Ehlo,
    Expn,
    ForwardPath,
    Helo,
    Help,
    LocalProtocolError,
    Mail,
    Mailbox,
    Noop,
    Rcpt,
    Reply,
    ReversePath,
    Vrfy,
)

BAD_ADDRESSES = [
    "nonsense",
    "a b@c",
    "a@",
    "@b.example",
    ".a@b.example",
    "a@b_c.example",
    "a@[300.1.1.1]",
    "a@[IPv9:1]",
    '"a@b.example',
    "<a@b.example",
    "<@x,y:a@b.example>",
    "a@b.example\r\nRSET",
    "a" * 65 + "@b.example",
    "a@" + "b." * 127 + "example",
]


@pytest.mark.parametrize("text", [*BAD_ADDRESSES, "", "<>"])
@pytest.mark.parametrize("make", [ForwardPath, Rcpt, Mailbox.parse, ForwardPath.parse])
def test_an_error_about_an_address_has_the_address(make: Callable[[str], object], text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make(text)
    shown, _, reason = str(caught.value).partition(" is not a valid ")
    assert shown == f"{text!r:.320}"
    what, _, reason = reason.partition(": ")
    assert what == ("recipient" if make in (ForwardPath, Rcpt) else "mailbox")
    assert reason


@pytest.mark.parametrize("text", BAD_ADDRESSES)
@pytest.mark.parametrize("make", [ReversePath, Mail, ReversePath.parse])
def test_an_error_about_a_sender_has_the_sender(make: Callable[[str], object], text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make(text)
    assert str(caught.value).startswith(f"{text!r:.320} is not a valid ")


def test_an_error_about_the_parts_of_a_mailbox_has_both() -> None:
    with pytest.raises(LocalProtocolError, match="'\"a b\"@c_d' is not a valid mailbox: the domain"):
        Mailbox("a b", "c_d")


def test_an_address_of_any_length_is_shown_in_part() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Mail("x" * 100_000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "make, value",
    [
        (Ehlo, "a b"),
        (Helo, "-x-"),
        (Noop, "a\nb"),
        (Vrfy, "  "),
        (Expn, "a\rb"),
        (Help, "\u00fc"),
        (lambda value: Mail("a@b.example", {value: True}), "x tag"),
        (lambda value: Mail("a@b.example", {"X-TAG": value}), "a b"),
        (lambda value: Rcpt("a@b.example", {"X-TAG": value}), None),
        (lambda value: Rcpt("a@b.example", {"X-TAG": value}), False),
        (lambda value: Mail("a@b.example", {"SIZE": value}), -7),
        (lambda value: Reply(value, None, "x"), 199),
        (lambda value: Reply(250, value, "x"), "2.x"),
        (lambda value: Reply(250, None, value), "a\x00b"),
    ],
)
def test_an_error_about_a_command_or_a_reply_has_the_value(make: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "command, value",
    [
        (Mail("a@b.example", {"BODY": "9BIT"}), "9BIT"),
        (Mail("a@b.example", {"SIZE": "many"}), "many"),
        (Mail("a@b.example", {"SMTPUTF8": 5}), 5),
        (Mail("a@b.example", {"AUTH": "x"}), "x"),
        (Mail("a@b.example", {"X-TAG": 5}), 5),
        (Mail("\u00fc@b.example"), "\u00fc@b.example"),
        (Vrfy("\u00fc"), "\u00fc"),
    ],
)
def test_an_error_about_what_is_sent_has_the_value(command: Any, value: object) -> None:
    keywords = ["PIPELINING", "8BITMIME", "SIZE", "AUTH PLAIN", "X-TAG"]
    if "SMTPUTF8" in getattr(command, "parameters", ()):
        keywords.append("SMTPUTF8")
    client = ClientConnection()
    client.receive_data(b"220 mx.example\r\n")
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    client.receive_data("".join(f"250-{one}\r\n" for one in ["mx", *keywords]).encode() + b"250 HELP\r\n")
    client.next_event()
    with pytest.raises(LocalProtocolError) as caught:
        client.send(command)
    assert repr(value) in str(caught.value)
