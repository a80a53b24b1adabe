"""The check of servers: nothing is found in one that follows the RFCs, and each mutant is caught."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import cast

import pytest
import trustme

from smtpcore._check.probe import probe
from smtpcore._check.rules import RULES
from smtpcore._check.runner import Observations, check_server, run_one
from smtpcore._check.server import CHECKS
from smtpcore._check.table import Outcome, Result
from smtpcore._check.target import Keywords, Target

from .mutants import MUTANTS, Mutant
from .reference import PASSWORD, USER, Reference, running

BY_NAME = {check.name: check for check in CHECKS}
RULE_NAMES = {rule.name for rule in RULES}

# A mutant that breaks a rule for replies is observed while these run.
_WHILE = (
    "greeting-is-220",
    "one-message",
    "noop-is-250",
    "help-is-answered",
    "status-of-each-reply",
    "replies-to-long-commands",
    "replies-echo-only-printable-text",
    "status-after-helo",
    "empty-content",
    "login-by-login",
)
# Checks that the reference server cannot pass: it does not offer what they are about.
_NOT_SHOWN = {
    "login-before-tls",
    "auth-in-the-clear",
    "limits-are-valid",
    "etrn-works",
    "requiretls-is-offered-under-tls",
    "requiretls-parameter",
    "auth-cram-challenge",
    "auth-cram-initial-response",
}
# Seconds until the silence of a mutant counts. The reference server is given as long as it takes.
_PATIENCE = 0.5


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def known(context: ssl.SSLContext) -> dict[bool, Target]:
    """What the probe finds out about the reference server, with and without TLS."""
    targets = {}
    for tls in (False, True):
        with running(Reference, context if tls else None) as port:
            targets[tls] = Target("127.0.0.1", port, timeout=30, user=(USER, PASSWORD))
            probe(targets[tls], lambda seen, dialog: None)
    return targets


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "STARTTLS"])
def test_nothing_is_found_in_a_server_that_follows_the_rfcs(tls: bool, context: ssl.SSLContext) -> None:
    with running(Reference, context if tls else None) as port:
        target = Target("127.0.0.1", port, timeout=30, user=(USER, PASSWORD))
        results = check_server(target)
    assert [(result.name, result.why) for result in results if result.outcome is Outcome.FAIL] == []
    passed = {result.name for result in results if result.outcome is Outcome.PASS}
    assert len(passed) > 350
    assert {mutant.check for mutant in MUTANTS if mutant.tls is tls} - passed - _NOT_SHOWN == set()


def _offered_by(mutant: Mutant, facts: Target) -> Keywords:
    """The keyword that the check is about, if the mutant offers it and the reference does not."""
    check = BY_NAME.get(mutant.check)
    if check is None or not check.keyword or check.keyword in facts.secured:
        return {}
    return {check.keyword: ()}


def judge(mutant: Mutant, target: Target) -> Result:
    """The result of the check that has to catch a mutant."""
    seen = Observations()
    if mutant.check not in RULE_NAMES:
        return run_one(BY_NAME[mutant.check], target, seen)
    for name in _WHILE:
        run_one(BY_NAME[name], target, seen)
    return next(result for result in seen.results() if result.name == mutant.check)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant, known: dict[bool, Target], context: ssl.SSLContext) -> None:
    facts = known[mutant.tls]
    with running(mutant.session, context if mutant.tls else None) as port:
        target = Target(
            "127.0.0.1",
            port,
            timeout=_PATIENCE,
            user=facts.user,
            recipient=facts.recipient,
            plain={**_offered_by(mutant, facts), **facts.plain},
            secured=facts.secured,
            domain=facts.domain,
        )
        result = judge(mutant, target)
    expected = Outcome.LATITUDE if mutant.permitted else Outcome.FAIL
    assert result.outcome is expected, f"{result.outcome}: {result.why}\n" + "\n".join(result.dialog)
    assert result.why
    assert result.dialog


def _closes(sock: socket.socket) -> None:
    sock.close()


def _is_silent(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(4096):
            pass


def _floods(octets: bytes) -> Callable[[socket.socket], None]:
    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(octets)

    return flood


class _Odd:
    """Anything but a server of SMTP."""

    def __init__(self, play: Callable[[socket.socket], None], sock: socket.socket) -> None:
        self._play, self._sock = play, sock

    def run(self) -> None:
        self._play(self._sock)


@pytest.mark.parametrize(
    "play",
    [
        _closes,
        _is_silent,
        _floods(b"250-more\r\n" * 1000),
        _floods(b"x" * 10_000),
        _floods(b"\x16\x03\x01\r\n"),
    ],
    ids=["closes", "silent", "a reply without end", "a line without end", "no SMTP"],
)
def test_the_check_ends_whatever_the_peer_does(play: Callable[[socket.socket], None]) -> None:
    with running(lambda sock, context: cast(Reference, _Odd(play, sock))) as port:
        results = check_server(Target("127.0.0.1", port, timeout=0.05), only=frozenset(("SES-01", "GRT-01")))
    assert {result.outcome for result in results} & {Outcome.FAIL, Outcome.INCONCLUSIVE}
    assert Outcome.PASS not in {result.outcome for result in results if result.requirement == "GRT-01"}


def _is_busy(sock: socket.socket) -> None:
    sock.sendall(b"421 4.3.2 mx.example.com too busy\r\n")
    sock.close()


def _only_greets(sock: socket.socket) -> None:
    sock.sendall(b"220 mx.example.com ESMTP\r\n")
    _is_silent(sock)


def _drips(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b"2")
            time.sleep(0.01)


@pytest.mark.parametrize("play", [_is_busy, _only_greets, _drips])
def test_a_server_that_answers_no_command_is_given_up(play: Callable[[socket.socket], None]) -> None:
    """Each of some hundred checks would wait for a reply, and rules for replies would pass without any."""
    connections = []

    def session(sock: socket.socket, context: ssl.SSLContext | None) -> Reference:
        connections.append(sock)
        return cast(Reference, _Odd(play, sock))

    with running(session) as port:
        results = check_server(Target("127.0.0.1", port, timeout=0.05))
    passed = [result.name for result in results if result.outcome is Outcome.PASS]
    assert passed in ([], ["greeting-is-220"])
    assert len(connections) < 12
