"""Which replies answer what was handed out before they arrived."""

from __future__ import annotations

from smtpcore._core.credit import Credit


def test_the_greeting_is_expected_without_a_command() -> None:
    credit = Credit()
    assert credit.answered < credit.solicited == 1


def test_a_reply_that_begins_now_may_answer_all_that_was_handed_out() -> None:
    credit = Credit()
    credit.answered, credit.expected = 1, 3
    credit.note(8, begins_reply=True)
    assert credit.solicited == 3 and credit.later is None


def test_the_older_number_holds_until_the_reply_that_has_begun_is_complete() -> None:
    credit = Credit()
    credit.note(2, begins_reply=True)
    credit.expected = 2
    credit.note(8, begins_reply=False)  # the rest of the first reply, and a second one from octet 7 on
    credit.advance(pending=10)
    assert credit.solicited == 1
    credit.advance(pending=8)
    assert credit.solicited == 2 and not credit.later


def test_pieces_with_the_same_number_are_noted_once() -> None:
    credit = Credit()
    credit.note(1, begins_reply=True)
    credit.expected = 2
    for _ in range(100):
        credit.note(1, begins_reply=False)
    assert credit.later is not None and list(credit.later) == [(1, 2)]
    credit.expected = 3
    credit.note(1, begins_reply=False)
    assert list(credit.later) == [(1, 2), (101, 3)]
    credit.advance(pending=52)  # a reply that begins at octet 50 arrived before the third was expected
    assert credit.solicited == 2
    credit.advance(pending=1)
    assert credit.solicited == 3
