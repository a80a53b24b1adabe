"""The check of clients: nothing is found in careful ones, and each mutant is caught by the check named."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import pytest

from smtpcore._check.client import CHECKS
from smtpcore._check.client.runner import Trigger, check_client
from smtpcore._check.client.scenarios import SCENARIOS, Scenario
from smtpcore._check.table import Outcome, Result

from . import clients
from .client_mutants import MUTANTS, ClientMutant, Simple

# Seconds before a reply. What these clients send too early comes in one write with what was due, but for one.
_LOOK = 0.004
_LONG_LOOK = 0.2


def results_of(
    client: Trigger,
    scenarios: Iterable[Scenario] = SCENARIOS,
    look: float = _LOOK,
    *,
    demands_tls: bool = False,
) -> dict[str, Result]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        results = check_client(
            listener, client, timeout=20, look=look, scenarios=scenarios, demands_tls=demands_tls
        )
    return {result.name: result for result in results}


class _LogsIn(Simple):
    login = True


@pytest.mark.parametrize(
    "client",
    [clients.ours, lambda host, port: _LogsIn(host, port).run()],
    ids=["smtpcore", "the reference"],
)
def test_nothing_is_found_in_a_careful_client(client: Trigger) -> None:
    results = results_of(client)
    assert [(one.name, one.why) for one in results.values() if one.outcome is Outcome.FAIL] == []
    assert sum(result.outcome is Outcome.PASS for result in results.values()) > 45


def test_smtplib_does_not_know_other_codes_than_250_and_answers_421_with_helo() -> None:
    results = results_of(clients.python_smtplib)
    failed = {name for name, result in results.items() if result.outcome is Outcome.FAIL}
    assert failed == {"client-understands-codes", "client-gives-up-after-421"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: ClientMutant) -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in mutant.scenario.split()]
    look = _LONG_LOOK if mutant.check == "waits-for-the-greeting" else _LOOK
    results = results_of(
        lambda host, port: mutant.client(host, port).run(), scenarios, look, demands_tls=mutant.demands_tls
    )
    result = results[f"client-{mutant.check}"]
    expected = Outcome.LATITUDE if mutant.permitted else Outcome.FAIL
    assert result.outcome is expected, f"{result.outcome}: {result.why}\n" + "\n".join(result.dialog)
    assert result.dialog


def test_names_of_checks_and_scenarios_are_unique() -> None:
    names = [check.name for check in CHECKS] + [scenario.name for scenario in SCENARIOS]
    assert len(names) == len(set(names))
