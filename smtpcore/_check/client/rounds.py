"""What a client did in all rounds, and the claims of checks about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ..table import Check, Failed, Inconclusive, Level, Permitted, Table
from .player import Seen

NOT_SHOWN: Final = "no round shows it"


@dataclass(slots=True)
class Rounds:
    """What a client did.

    Attributes:
        demands_tls: It is set up to send mail under TLS with a good certificate only.
        seen: By the name of the scenario: one entry for each connection.
        evidence: The dialog of the connection that the last claim was about.
    """

    demands_tls: bool = False
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)

    def all(self) -> Iterator[Seen]:
        """Every connection on which the client sent something."""
        for entries in self.seen.values():
            yield from (one for one in entries if one.commands)

    def of(self, *scenarios: str) -> list[Seen]:
        """The connections of some scenarios.

        Raises:
            Inconclusive: The client has not connected.
        """
        found = [one for name in scenarios for one in self.seen.get(name, ())]
        if not found:
            raise Inconclusive(f"the client has not met the server that is {' or '.join(scenarios)}")
        return found

    def fail(self, seen: Seen, why: str) -> Failed:
        """A failure, with the dialog as its evidence."""
        self.evidence = seen.dialog
        return Failed(f"{why} (to a server that {seen.scenario.sentence})")

    def permit(self, seen: Seen, why: str) -> Permitted:
        """Permitted latitude, with the dialog as its evidence."""
        self.evidence = seen.dialog
        return Permitted(f"{why} (to a server that {seen.scenario.sentence})")


Judge = Callable[[Seen], str | bool | None]
"""Returns what is wrong, True if all is well, and False or None if there was nothing to judge."""


class ClientTable(Table[Rounds]):
    """Collects checks that are judged connection by connection."""

    def each(
        self, requirement: str, rfc: str, sentence: str, *scenarios: str, level: Level = "MUST"
    ) -> Callable[[Judge], Judge]:
        """Append the decorated function as a check of each connection.

        Args:
            requirement: The id.
            rfc: Number and section.
            sentence: What is required.
            scenarios: Those it is about; none for all.
            level: A failure counts as permitted latitude where it is not MUST.
        """

        def decorate(judge: Judge) -> Judge:
            def run(rounds: Rounds) -> None:
                shown = False
                for seen in rounds.of(*scenarios) if scenarios else rounds.all():
                    verdict = judge(seen)
                    if isinstance(verdict, str):
                        raise rounds.fail(seen, verdict)
                    shown = shown or bool(verdict)
                if not shown:
                    raise Inconclusive(NOT_SHOWN)

            name = f"client-{judge.__name__.replace('_', '-')}"
            self.add(Check(name, requirement, rfc, sentence, run, level))
            return judge

        return decorate
