"""What sending gives: results, outcomes, and the exchanges of an error."""

from __future__ import annotations

import pytest

from smtpcore import (
    Auth,
    Command,
    Connect,
    EndOfMessage,
    Exchange,
    Mail,
    Noop,
    RecipientResult,
    Reply,
    SendOutcome,
    SendResult,
    SMTPError,
)
from smtpcore._net.results import make_exchange

OK, LATER, NEVER = Reply(250, None, "ok"), Reply(451, "4.3.0", "later"), Reply(550, "5.1.1", "no")
RESULT = SendResult(
    "a@client.example",
    (
        RecipientResult("one@mx.example", OK, True, False),
        RecipientResult("two@mx.example", LATER, False, True),
        RecipientResult("three@mx.example", NEVER, False, False),
        RecipientResult("four@mx.example", None, False, True),
    ),
    OK,
)


def test_a_result_sorts_its_recipients() -> None:
    assert RESULT.accepted_recipients == ("one@mx.example",)
    assert RESULT.refused_recipients == {
        "two@mx.example": LATER,
        "three@mx.example": NEVER,
        "four@mx.example": None,
    }
    assert RESULT.retryable_recipients == ("two@mx.example", "four@mx.example")
    assert not RESULT.maybe_delivered


def test_an_outcome_has_a_result_or_an_error_or_both() -> None:
    assert SendOutcome("m", RESULT).error is None
    assert SendOutcome("m", RESULT, SMTPError("no")) != SendOutcome("m", RESULT)


class Strange(Command):
    """Of an extension of the application."""

    __slots__ = ()
    verb = "X-STRANGE"

    def __repr__(self) -> str:
        return "Strange(\x1b)"


@pytest.mark.parametrize(
    "exchange, text",
    [
        (Exchange(Noop(), OK), "C: NOOP\nS: 250 ok"),
        (Exchange(Mail("a@x.example", {"SIZE": 7}), None), "C: MAIL FROM:<a@x.example> SIZE=7"),
        (Exchange(EndOfMessage(), LATER), "C: (content) .\nS: 451 4.3.0 later"),
        (Exchange(Connect(), OK), "S: 250 ok"),
        (Exchange(None, NEVER), "S: 550 5.1.1 no"),
        (Exchange(Strange(), None), r"C: Strange(\x1b)"),
    ],
)
def test_an_exchange_is_shown_as_in_a_transcript(exchange: Exchange, text: str) -> None:
    assert str(exchange) == text


def test_an_exchange_does_not_have_what_is_secret_in_its_command() -> None:
    command = Auth("PLAIN", "AGpvZQBzZWNyZXQ=")
    kept = make_exchange(command, OK)
    assert kept == Exchange(Auth("PLAIN"), OK)
    assert "AGpv" not in repr(kept)
    assert command == Auth("PLAIN", "AGpvZQBzZWNyZXQ="), "that of the session stays as it was"
    assert make_exchange(None, OK) == Exchange(None, OK)
