"""Runs the checks of a server, each on a connection of its own, and judges every reply by the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from .probe import probe
from .rules import RULES, Exchange, Rule
from .server import CHECKS
from .server.idle import beside_others, idle_client
from .session import Session
from .table import Check, Failed, Outcome, Result, Verdict
from .target import Target
from .wire import Closed, Silent

UNANSWERED: Final = "the server does not answer commands"
_GIVE_UP: Final = 4
"""Failed checks in a row in which no command was answered, after which the rest is not tried."""


class Observations:
    """Judges replies by the rules, and keeps the first offence against each."""

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        self._rules = tuple(rules)
        self._offences: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.answers = 0
        """How many replies to commands were judged: from a greeting alone, such as 421, nothing is learned."""

    def judge(self, seen: Exchange, dialog: list[str]) -> None:
        """Judge a reply.

        Args:
            seen: The reply and its circumstances.
            dialog: The dialog up to it.
        """
        if seen.verb and seen.reply.code and not seen.unasked:
            self.answers += 1
        for rule in self._rules:
            if rule.name not in self._offences and (why := rule.judge(seen)):
                self._offences[rule.name] = why, tuple(dialog[-14:])

    def results(self) -> Iterator[Result]:
        """The outcome of each rule."""
        for rule in self._rules:
            why, dialog = self._offences.get(rule.name, ("", ()))
            outcome = Outcome.PASS if self.answers else Outcome.INCONCLUSIVE
            if why:
                outcome = Outcome.FAIL if rule.level == "MUST" else Outcome.LATITUDE
            yield Result(rule.name, rule.requirement, rule.rfc, rule.sentence, outcome, why, dialog)


def check_server(
    target: Target,
    *,
    only: frozenset[str] = frozenset(),
    report: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Check a server.

    Args:
        target: The server; what the probe finds is entered into it.
        only: Names of checks, or requirement ids, to run; empty for all.
        report: Called with each result as it is known.

    Returns:
        The results of the checks, and then those of the rules for replies.

    Raises:
        OSError: No server listens there.
    """
    seen = Observations()
    probe(target, seen.judge)
    results: list[Result] = []
    failures = heard = 0
    checks = [check for check in CHECKS if not only or only & {check.name, check.requirement}]
    if any(check.run is idle_client for check in checks):
        target.idle = beside_others(target)
    for check in checks:
        if failures >= _GIVE_UP:
            result = _result(check, Outcome.INCONCLUSIVE, UNANSWERED)
        else:
            try:
                result = run_one(check, target, seen)
            except OSError as error:
                result = _result(check, Outcome.INCONCLUSIVE, f"no connection to the server: {error}")
            if result.outcome is not Outcome.NOT_OFFERED:
                if seen.answers > heard:
                    failures, heard = 0, seen.answers
                elif result.outcome is not Outcome.PASS:
                    failures += 1
        results.append(result)
        report(result)
        if target.idle is not None:
            target.idle.look()
    if target.idle is not None:
        target.idle.wire.close()
    for result in seen.results():
        if not only or only & {result.name, result.requirement}:
            results.append(result)
            report(result)
    return results


def run_one(check: Check[Session], target: Target, seen: Observations) -> Result:
    """Run a check on a connection of its own.

    Raises:
        OSError: There is no connection.
    """
    if check.keyword and check.keyword not in {*target.plain, *target.secured}:
        return _result(check, Outcome.NOT_OFFERED, f"{check.keyword} is not offered")
    if (check.needs == "user" and target.user is None) or (check.needs == "stored" and target.store is None):
        return _result(check, Outcome.NOT_OFFERED, f"it needs --{check.needs}")
    try:
        session = Session(target, seen.judge, check.keyword)
    except Closed as error:  # implicit TLS
        return _result(check, Outcome.INCONCLUSIVE, str(error))
    try:
        check.run(session)
        session.finish()
    except Verdict as verdict:
        outcome, why = _considered(verdict, session)
    except (Silent, Closed) as error:
        # A check says itself where silence or an end is right.
        outcome, why = (Outcome.INCONCLUSIVE if session.limited else Outcome.FAIL), str(error)
    else:
        outcome, why = Outcome.PASS, ""
    finally:
        session.wire.close()
    if outcome is Outcome.PASS and session.permitted:
        outcome, why = Outcome.LATITUDE, session.permitted[0]
    if outcome is Outcome.FAIL and check.level != "MUST":
        outcome = Outcome.LATITUDE
    return _result(check, outcome, why, tuple(session.wire.dialog) if outcome is not Outcome.PASS else ())


def _considered(verdict: Verdict, session: Session) -> tuple[Outcome, str]:
    """A check that did not get as far as its question has failed if the reason is a reply too many."""
    waits = session.last is not None and session.last.kind != 3 and not session.limited
    if verdict.outcome is Outcome.INCONCLUSIVE and waits:
        try:
            session.finish()
        except Failed as failed:
            return failed.outcome, f"{failed}; before that: {verdict}"
    return verdict.outcome, str(verdict)


def _result(check: Check[Session], outcome: Outcome, why: str, dialog: tuple[str, ...] = ()) -> Result:
    return Result(check.name, check.requirement, check.rfc, check.sentence, outcome, why, dialog)
