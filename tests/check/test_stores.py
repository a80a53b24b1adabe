"""The checks of what was stored: a server that stores what it accepts passes, and each mutant is caught."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from smtpcore._check.probe import probe
from smtpcore._check.runner import Observations, run_one
from smtpcore._check.server import CHECKS, stored
from smtpcore._check.table import Outcome
from smtpcore._check.target import Target

from .reference import running
from .store_mutants import MUTANTS, Keeping, Kept, StoreMutant

BY_NAME = {check.name: check for check in CHECKS if check.needs == "stored"}
_PATIENCE = 0.3  # seconds until a message counts as lost


@contextmanager
def serving(server: type[Keeping]) -> Iterator[Target]:
    """A server, and the target with what it stores."""
    kept = Kept()
    with running(type("Serving", (server,), {"kept": kept})) as port:
        yield Target("127.0.0.1", port, timeout=30, store=kept)


@pytest.fixture(scope="module")
def facts() -> Target:
    """What the probe finds out about the server that the mutants come from."""
    with serving(Keeping) as target:
        probe(target, lambda seen, dialog: None)
        return target


def test_nothing_is_found_in_a_server_that_stores_what_it_accepts() -> None:
    with serving(Keeping) as target:
        probe(target, lambda seen, dialog: None)
        results = [run_one(check, target, Observations()) for check in BY_NAME.values()]
    assert [(one.name, one.outcome, one.why) for one in results if one.outcome is not Outcome.PASS] == []
    assert {mutant.check for mutant in MUTANTS} == set(BY_NAME)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: StoreMutant, facts: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_WAIT", _PATIENCE)
    with serving(mutant.session) as target:
        known = dataclasses.replace(facts, port=target.port, store=target.store)
        result = run_one(BY_NAME[mutant.check], known, Observations())
    expected = Outcome.LATITUDE if mutant.permitted else Outcome.FAIL
    assert result.outcome is expected, f"{result.outcome}: {result.why}\n" + "\n".join(result.dialog)
    assert result.why
