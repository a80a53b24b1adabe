"""Plays the servers to a client, and judges what it did."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final

from ..table import Check, Outcome, Result, Verdict
from . import CHECKS
from .player import LOOK, Player
from .rounds import Rounds
from .scenarios import SCENARIOS, Scenario

Trigger = Callable[[str, int], object]
"""Makes the client send one message to a host and port, and returns when it has ended."""

_POLL: Final = 0.02  # seconds between two looks for a further connection
_MOST_CONNECTIONS: Final = 10  # to one server: a client that tries again for ever is not waited for


def check_client(
    listener: socket.socket,
    trigger: Trigger | None,
    *,
    demands_tls: bool = False,
    timeout: float = 10.0,
    patience: float = 120.0,
    look: float = LOOK,
    scenarios: Iterable[Scenario] = SCENARIOS,
    announce: Callable[[Scenario], None] = lambda scenario: None,
) -> list[Result]:
    """Check a client.

    Args:
        listener: Where it connects to.
        trigger: Starts it, once for each server; None: each connection that comes meets the next server.
        demands_tls: The client is set up to send mail under TLS with a good certificate only. Servers without
            STARTTLS are left out, but for one.
        timeout: Seconds that a wait within a session may take.
        look: Seconds before each reply, in which the client shows whether it waits for that reply.
        patience: Seconds to wait for a connection without a trigger.
        scenarios: The servers.
        announce: Called before each server is played.

    Returns:
        The results.
    """
    rounds = Rounds(demands_tls)
    for scenario in scenarios:
        if demands_tls and "STARTTLS" not in scenario.keywords and scenario.name != "auth":
            continue  # it shows only once more that the client sends no mail
        announce(scenario)
        if trigger is None:
            listener.settimeout(patience)
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                break
            rounds.seen.setdefault(scenario.name, []).append(Player(sock, scenario, timeout, look).play())
        else:
            _play(listener, trigger, scenario, rounds, timeout, look)
    return judge(rounds)


def _play(
    listener: socket.socket,
    trigger: Trigger,
    scenario: Scenario,
    rounds: Rounds,
    timeout: float,
    look: float,
) -> None:
    """Play one server on every connection that the client makes until it ends."""
    host, port = listener.getsockname()[:2]
    client = threading.Thread(target=trigger, args=(host, port), daemon=True)
    client.start()
    listener.settimeout(_POLL)
    while True:
        # Looked at before accept(): a connection made by a client that has ended is still to be served.
        running = client.is_alive()
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            if running:
                continue
            return
        seen = Player(sock, scenario, timeout, look).play()
        connections = rounds.seen.setdefault(scenario.name, [])
        connections.append(seen)
        if len(connections) >= _MOST_CONNECTIONS:
            return


def judge(rounds: Rounds) -> list[Result]:
    """Judge what a client did in all rounds."""
    return [_judge_one(check, rounds) for check in CHECKS]


def _judge_one(check: Check[Rounds], rounds: Rounds) -> Result:
    outcome, why = Outcome.PASS, ""
    dialog: tuple[str, ...] = ()
    rounds.evidence = []
    try:
        check.run(rounds)
    except Verdict as verdict:
        outcome, why, dialog = verdict.outcome, str(verdict), tuple(rounds.evidence)
        if outcome is Outcome.FAIL and check.level != "MUST":
            outcome = Outcome.LATITUDE
    return Result(check.name, check.requirement, check.rfc, check.sentence, outcome, why, dialog)
