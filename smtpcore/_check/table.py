"""What a check is, the outcomes it can have, and the table that collects checks."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, Literal, TypeVar

Level = Literal["MUST", "SHOULD", "MAY"]
S = TypeVar("S")


class Outcome(enum.StrEnum):
    """What came out of a check."""

    PASS = "pass"
    FAIL = "fail"
    LATITUDE = "permitted latitude"
    NOT_OFFERED = "not offered"
    INCONCLUSIVE = "inconclusive"


class Verdict(Exception):
    """Ends a check with an outcome other than a pass. The text says what was observed."""

    outcome: ClassVar[Outcome]


class Failed(Verdict):
    """The peer breaks the requirement."""

    outcome = Outcome.FAIL


class Permitted(Verdict):
    """The peer does otherwise than recommended, as the RFC allows."""

    outcome = Outcome.LATITUDE


class NotOffered(Verdict):
    """The peer does not offer what the check is about."""

    outcome = Outcome.NOT_OFFERED


class Inconclusive(Verdict):
    """The check did not get as far as its question."""

    outcome = Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """One question to a peer.

    Attributes:
        name: Unique, of lower-case words joined by hyphens.
        requirement: The id in docs/requirements.md.
        rfc: Number and section, or "practice".
        sentence: What is required, in one sentence.
        run: Asks the question; it returns, or raises a :class:`Verdict`.
        level: A failure counts as permitted latitude where it is not MUST.
        keyword: The EHLO keyword without which the check is not applicable; empty for none.
        needs: ``"user"`` or ``"stored"``: the option of the command line without which it cannot run.
    """

    name: str
    requirement: str
    rfc: str
    sentence: str
    run: Callable[[S], None] = field(compare=False)
    level: Level = "MUST"
    keyword: str = ""
    needs: Literal["", "user", "stored"] = ""


class Table(Generic[S]):
    """Collects the checks of one file, in their order."""

    def __init__(self) -> None:
        self._checks: list[Check[S]] = []

    def __iter__(self) -> Iterator[Check[S]]:
        return iter(self._checks)

    def add(self, check: Check[S]) -> None:
        """Append a check."""
        self._checks.append(check)

    def check(
        self,
        requirement: str,
        rfc: str,
        sentence: str,
        *,
        level: Level = "MUST",
        keyword: str = "",
        needs: Literal["", "user", "stored"] = "",
    ) -> Callable[[Callable[[S], None]], Callable[[S], None]]:
        """Append the decorated function as a check, which is named after it."""

        def decorate(function: Callable[[S], None]) -> Callable[[S], None]:
            name = function.__name__.replace("_", "-")
            self.add(Check(name, requirement, rfc, sentence, function, level, keyword, needs))
            return function

        return decorate


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a check.

    Attributes:
        name: Of the check.
        requirement: Its id.
        rfc: Number and section.
        sentence: What is required.
        outcome: What came out.
        why: What was observed; empty for a pass.
        dialog: The evidence, one line each; empty for a pass.
    """

    name: str
    requirement: str
    rfc: str
    sentence: str
    outcome: Outcome
    why: str = ""
    dialog: tuple[str, ...] = ()


ORDER: Final = (
    Outcome.FAIL,
    Outcome.INCONCLUSIVE,
    Outcome.LATITUDE,
    Outcome.NOT_OFFERED,
    Outcome.PASS,
)
"""The outcomes, the most urgent first."""
