"""Writes results: for people, as JSON, and as JUnit XML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from .table import ORDER, Outcome, Result


def exit_code(results: Sequence[Result], failed: int, useless: int) -> int:
    """The exit code for results.

    Args:
        results: The results.
        failed: The code if a check has failed.
        useless: The code if none has failed and none has passed: nothing was learned.
    """
    found = Counter(result.outcome for result in results)
    if found[Outcome.FAIL]:
        return failed
    return 0 if found[Outcome.PASS] else useless


def lines(results: Sequence[Result], *, everything: bool = False) -> Iterator[str]:
    """The report for people: failures with their dialog, then the others in a line each, then the counts.

    Args:
        results: The results.
        everything: Show passes and what is not offered, too.
    """
    for outcome in ORDER:
        if outcome in (Outcome.PASS, Outcome.NOT_OFFERED) and not everything:
            continue
        for result in results:
            if result.outcome is outcome:
                yield f"{outcome.upper()}: {result.requirement} {result.name} (RFC {result.rfc})".replace(
                    "RFC practice", "practice"
                )
                if outcome is not Outcome.PASS:
                    yield f"    required: {result.sentence}"
                    yield f"    observed: {result.why}"
                if outcome is Outcome.FAIL:
                    yield from (f"        {line}" for line in result.dialog)
    yield summary(results)


def summary(results: Sequence[Result]) -> str:
    """One line: how many checks had which outcome."""
    found = Counter(result.outcome for result in results)
    return f"{len(results)} checks: " + ", ".join(f"{found[outcome]} {outcome}" for outcome in ORDER)


def by_requirement(results: Sequence[Result]) -> dict[str, Outcome]:
    """The outcome of each requirement: the most urgent one of its checks, a pass before what is not offered."""
    rank = {outcome: number for number, outcome in enumerate(ORDER)}
    rank[Outcome.NOT_OFFERED], rank[Outcome.PASS] = len(ORDER), len(ORDER) - 1
    found: dict[str, Outcome] = {}
    for result in sorted(results, key=lambda one: one.requirement):
        known = found.get(result.requirement, result.outcome)
        found[result.requirement] = min(known, result.outcome, key=rank.__getitem__)
    return found


def as_json(results: Sequence[Result], peer: str) -> str:
    """The results as a JSON object.

    Args:
        results: The results.
        peer: What was checked, for people.
    """
    found = Counter(result.outcome for result in results)
    return json.dumps(
        {
            "peer": peer,
            "summary": {str(outcome): found[outcome] for outcome in ORDER},
            "requirements": {name: str(outcome) for name, outcome in by_requirement(results).items()},
            "checks": [
                {
                    "name": result.name,
                    "requirement": result.requirement,
                    "rfc": result.rfc,
                    "sentence": result.sentence,
                    "outcome": str(result.outcome),
                    "observed": result.why,
                    "dialog": list(result.dialog),
                }
                for result in results
            ],
        },
        indent=2,
    )


def as_junit(results: Sequence[Result], peer: str) -> str:
    """The results as JUnit XML: a failure for each failed check, "skipped" for what could not be judged.

    Args:
        results: The results.
        peer: What was checked, for people.
    """
    found = Counter(result.outcome for result in results)
    skipped = found[Outcome.INCONCLUSIVE] + found[Outcome.NOT_OFFERED]
    parts = ['<?xml version="1.0" encoding="UTF-8"?>']
    parts.append(
        f'<testsuite name={quoteattr(f"smtpcore check {peer}")} tests="{len(results)}"'
        f' failures="{found[Outcome.FAIL]}" errors="0" skipped="{skipped}">'
    )
    for result in results:
        parts.append(f"  <testcase classname={quoteattr(result.requirement)} name={quoteattr(result.name)}>")
        if result.outcome is Outcome.FAIL:
            text = escape("\n".join((result.sentence, f"RFC {result.rfc}", *result.dialog)))
            parts.append(f"    <failure message={quoteattr(result.why)}>{text}</failure>")
        elif result.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_OFFERED):
            parts.append(f"    <skipped message={quoteattr(f'{result.outcome}: {result.why}')}/>")
        elif result.outcome is Outcome.LATITUDE:
            parts.append(f"    <system-out>{escape(f'{result.outcome}: {result.why}')}</system-out>")
        parts.append("  </testcase>")
    parts.append("</testsuite>")
    return "\n".join(parts) + "\n"
