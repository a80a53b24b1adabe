"""Some hundred seeds of each fuzzer, new ones in each run, and that a failure says which seed it was."""

from __future__ import annotations

import logging
import os
import threading
from random import Random

import pytest

from smtpcore import LocalProtocolError

from ..conftest import SEED_VARIABLE
from . import client, from_seed, octets, server
from .__main__ import FUZZERS, main
from .adapters import ADAPTERS, fuzzer, nothing_lost
from .guided import MISSING, NAMES
from .guided import main as guided_main
from .targets import TARGETS, corpus

SERVER_SEEDS, CLIENT_SEEDS, OCTETS_SEEDS, ADAPTER_SEEDS = 500, 1000, 500, 3  # that takes a few seconds
FIRST = Random(os.environ[SEED_VARIABLE]).randrange(2**32)


def test_a_server_core_says_the_same_however_its_input_is_cut() -> None:
    for seed in range(FIRST, FIRST + SERVER_SEEDS):
        server.run(seed)


def test_whatever_a_server_does_the_client_tells_the_truth_and_keeps_the_secret() -> None:
    for seed in range(FIRST, FIRST + CLIENT_SEEDS):
        client.run(seed)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_survives_every_end(adapter: str) -> None:
    run = fuzzer(adapter)
    for seed in range(FIRST, FIRST + ADAPTER_SEEDS):
        run(seed)


def test_an_error_that_is_only_logged_is_found() -> None:
    with pytest.raises(AssertionError, match="smtpcore: it was only logged"), nothing_lost():
        logging.getLogger("smtpcore").error("it was only logged")


def test_an_exception_of_a_thread_is_found() -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail)

    def run() -> None:
        with nothing_lost():
            thread.start()
            thread.join()

    with pytest.raises(AssertionError, match="in a thread"):
        run()


@pytest.mark.parametrize("error", [AssertionError("it differs"), LocalProtocolError("no"), KeyError()])
def test_whatever_a_run_raises_names_the_seed(error: Exception) -> None:
    @from_seed
    def run(random: Random) -> None:
        raise error

    with pytest.raises(AssertionError, match=r"^seed 17: .") as caught:
        run(17)
    assert caught.value.__cause__ is error


def test_the_same_seed_gives_the_same_run() -> None:
    drawn = []
    run = from_seed(lambda random: drawn.append(server.draw_input(random)))
    run(1)
    run(1)
    run(2)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_command_counts_its_sessions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "5"]) == 0
    lines = [f"{name}: 1 sessions, seeds 5 to 5\n" for name in FUZZERS]
    assert capsys.readouterr().out == "".join(lines)


def test_the_command_fails_with_the_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(random: Random) -> None:
        raise AssertionError("found")

    monkeypatch.setitem(FUZZERS, "server", from_seed(check))
    assert main(["server", "--seed", "7", "--seconds", "60"]) == 1
    captured = capsys.readouterr()
    assert "python -m tests.fuzz server --seed 7" in captured.out
    assert "seed 7: found" in captured.err


@pytest.mark.parametrize("name", TARGETS)
def test_the_invariant_of_a_target_holds_for_changed_dialogs(name: str) -> None:
    run = octets.fuzzer(name)
    for seed in range(FIRST, FIRST + OCTETS_SEEDS):
        run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_the_invariant_of_a_target_holds_for_the_dialogs(name: str) -> None:
    for said in corpus():
        TARGETS[name](said)


def test_the_guided_fuzzer_has_all_targets() -> None:
    assert tuple(TARGETS) == NAMES


def test_without_atheris_the_guided_fuzzer_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert guided_main([]) == MISSING
    assert "pip install atheris" in capsys.readouterr().out
