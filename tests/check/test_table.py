"""The table of checks: ids, names, and what follows from an ``Extension`` value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smtpcore._check.rules import RULES
from smtpcore._check.runner import Observations, run_one
from smtpcore._check.server import CHECKS
from smtpcore._check.server.extensions import checks_of
from smtpcore._check.table import Outcome
from smtpcore._check.target import Target
from smtpcore.extensions import STANDARD, Extension, Parameter

from .reference import Reference, running

REQUIREMENTS = Path(__file__).resolve().parents[2] / "docs" / "requirements.md"


def test_each_check_carries_the_id_of_a_requirement() -> None:
    ids = set(re.findall(r"^\| ([A-Z]{3}-[0-9]{2}) \|", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE))
    used = {check.requirement for check in CHECKS} | {rule.requirement for rule in RULES}
    assert used - ids == set()


def test_names_are_unique() -> None:
    names = [check.name for check in CHECKS] + [rule.name for rule in RULES]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_each_sentence_is_one_line_and_each_check_names_its_rfc() -> None:
    for check in CHECKS:
        assert "\n" not in check.sentence
        assert re.match(r"[0-9]{4}|practice", check.rfc), check.name


@pytest.mark.parametrize("extension", STANDARD, ids=lambda extension: extension.keyword)
def test_each_standard_extension_has_checks_that_follow_from_its_value(extension: Extension) -> None:
    derived = [check for check in CHECKS if check.name.startswith(f"{extension.keyword.lower()}-announcement")]
    assert len(derived) == 1


class _Prioritized(Reference):
    """Offers a private extension, and reads its parameter."""

    announced = "X-PRIORITY"
    values = "LOW|HIGH"

    def keywords(self) -> list[str]:
        return [*super().keywords(), self.announced]

    def mail_parameters(self) -> dict[str, str]:
        return {**super().mail_parameters(), "PRIO": self.values}


class _AnyValue(_Prioritized):
    values = ".+"


class _Arguments(_Prioritized):
    announced = "X-PRIORITY 5"


class _Refuses(_Prioritized):
    values = "NEVER"


PRIORITY = Extension("X-PRIORITY", parameters=(Parameter.of_names("PRIO", "MAIL", "LOW", "HIGH"),))


@pytest.mark.parametrize(
    "server, failed",
    [
        (_Prioritized, set()),
        (_AnyValue, {"x-priority-parameter-prio-malformed"}),
        (_Arguments, {"x-priority-announcement"}),
        (_Refuses, {"x-priority-parameter-prio", "x-priority-parameter-prio-in-any-case"}),
    ],
)
def test_a_private_extension_is_checked_by_its_value_alone(server: type[Reference], failed: set[str]) -> None:
    with running(server) as port:
        target = Target("127.0.0.1", port, timeout=30, recipient="postmaster", plain={"X-PRIORITY": ()})
        results = [run_one(check, target, Observations()) for check in checks_of(PRIORITY)]
    assert len(results) == 7
    assert {result.name for result in results if result.outcome is Outcome.FAIL} == failed
