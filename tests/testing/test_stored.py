"""What a server may change in what it has accepted, and what it may not."""

from __future__ import annotations

import pytest

from smtpcore.testing._stored import Message, difference

MESSAGE = Message("A@b.example", ("C@d.example", "Postmaster"), b"\r\na\r\n")


@pytest.mark.parametrize(
    "recipients, content",
    [
        (["C@d.example", "Postmaster"], b"\r\na\r\n"),
        (["postmaster", "C@D.EXAMPLE"], b"Received: x\r\n y\r\n\r\na\r\n"),
        (["C@d.example", "Postmaster"], b"From x\nTo: y\n\na\n"),
    ],
)
def test_a_server_may_add_fields_and_change_domains(recipients: list[str], content: bytes) -> None:
    assert difference(MESSAGE, "A@B.example", recipients, content) is None


@pytest.mark.parametrize(
    "sender, recipients, content, reason",
    [
        ("a@b.example", ["C@d.example", "Postmaster"], b"\r\na\r\n", "another sender: a@b.example"),
        ("A@b.example", ["c@d.example", "Postmaster"], b"\r\na\r\n", "other recipients: c@d.example"),
        ("A@b.example", ["C@d.example"] * 2 + ["Postmaster"], b"\r\na\r\n", "other recipients"),
        ("A@b.example", [], b"\r\na\r\n", "other recipients: none"),
        ("A@b.example", ["C@d.example", "Postmaster"], b"a\r\n", "the message was changed"),
        ("A@b.example", ["C@d.example", "Postmaster"], b"older\r\n\r\na\r\n", "the message was changed"),
    ],
)
def test_a_server_may_change_nothing_else(
    sender: str, recipients: list[str], content: bytes, reason: str
) -> None:
    found = difference(MESSAGE, sender, recipients, content)
    assert found is not None
    assert reason in found


def test_a_recipient_that_was_given_twice_may_be_stored_once() -> None:
    message = Message("", ("a@b", "a@b"), b"")
    assert difference(message, "", ["a@b"], b"") is None
    assert difference(message, "", ["a@b"] * 2, b"") is None
    assert difference(message, "", ["a@b"] * 3, b"") is not None


@pytest.mark.parametrize("eight_bit, kept", [(True, False), (False, True)])
def test_octets_above_127_are_kept_where_they_were_declared(eight_bit: bool, kept: bool) -> None:
    message = Message("", ("a@b",), b"a\xe9b\r\n", eight_bit=eight_bit)
    assert (difference(message, "", ["a@b"], b"aib\r\n") is None) == kept
    assert difference(message, "", ["a@b"], b"a\r\n") is not None


def test_content_does_not_end_at_NUL() -> None:
    message = Message("", ("a@b",), b"a\0b\r\n")
    assert difference(message, "", ["a@b"], b"ab\r\n") is None
    assert difference(message, "", ["a@b"], b"a\r\n") is not None
