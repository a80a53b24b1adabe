"""What a client may do before the session ends: each count, at its limit and without one."""

from __future__ import annotations

from smtpcore import Limits
from smtpcore._core.tally import COMMAND, RECIPIENT, Tally


def test_idle_commands_are_counted_and_ten_recipients_are_one() -> None:
    tally = Tally(Limits(idle_commands=2))
    assert [tally.is_idle(COMMAND) for _ in range(3)] == [False, False, True]
    tally.idle = 0
    assert [tally.is_idle(RECIPIENT) for _ in range(21)] == [False] * 20 + [True]


def test_without_a_limit_idle_commands_never_end_the_session() -> None:
    tally = Tally(Limits(idle_commands=None))
    tally.idle = 10**12
    assert not tally.is_idle(COMMAND)


def test_rejected_commands_are_counted() -> None:
    tally = Tally(Limits(bad_commands=2))
    assert [tally.is_rejected() for _ in range(3)] == [False, False, True]


def test_refused_recipients_are_counted_if_there_is_a_limit() -> None:
    tally = Tally(Limits(refused_recipients=1))
    assert [tally.is_refused_recipient() for _ in range(2)] == [False, True]
    tally = Tally(Limits(refused_recipients=None))
    assert not any(tally.is_refused_recipient() for _ in range(1000))


def test_failed_logins_are_counted_until_one_succeeds() -> None:
    tally = Tally(Limits(auth_attempts=2))
    assert [tally.is_failed_login() for _ in range(2)] == [False, False]
    tally.forget_logins()
    assert [tally.is_failed_login() for _ in range(3)] == [False, False, True]
