"""The check of a server's time-out for silent clients, which goes on beside the others."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import pytest

from smtpcore._check.runner import check_server
from smtpcore._check.server import idle
from smtpcore._check.table import Outcome, Result
from smtpcore._check.target import Target

from .reference import Gone, Reference, running


class _Impatient(Reference):
    """Ends a silent client at once: after a time that no client notices otherwise."""

    farewell: tuple[Any, ...] = (421, "4.4.2", "mx.example.com does not wait")

    def run(self) -> None:
        self.sock.settimeout(0.3)
        super().run()

    def fill(self) -> None:
        try:
            super().fill()
        except Gone:
            if self.farewell:
                self.say(*self.farewell)
            raise


class _Silently(_Impatient):
    farewell = ()


def result_of(server: type[Reference], patience: float = 0.0) -> Result:
    with running(server) as port:
        target = Target("127.0.0.1", port, timeout=30, patience=patience)
        (result,) = check_server(target, only=frozenset(("idle-client",)))
    return result


@pytest.mark.parametrize("server", [_Impatient, _Silently])
def test_a_time_out_that_is_far_too_early_is_caught(server: type[Reference]) -> None:
    result = result_of(server)
    assert result.outcome is Outcome.FAIL
    assert "a silent client is ended after 0." in result.why
    assert ("421" in result.why) is bool(server is _Impatient)
    assert result.dialog


def test_without_patience_a_late_time_out_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_OBSERVED", 0.1)
    result = result_of(Reference)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "--patience" in result.why


def test_a_server_that_never_ends_a_silent_client_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_OBSERVED", 0.1)
    result = result_of(Reference, patience=0.2)
    assert result.outcome is Outcome.FAIL
    assert "not ended within" in result.why


@pytest.mark.parametrize("server, outcome", [(_Impatient, Outcome.PASS), (_Silently, Outcome.LATITUDE)])
def test_a_time_out_that_is_late_enough_is_judged_by_its_reply(
    server: type[Reference], outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "_FAR_TOO_EARLY", 0.1)
    monkeypatch.setattr(idle, "_RECOMMENDED", 0.2)
    assert result_of(server, patience=30).outcome is outcome


def test_a_time_out_before_five_minutes_is_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "_FAR_TOO_EARLY", 0.1)
    result = result_of(_Impatient)
    assert result.outcome is Outcome.LATITUDE
    assert "recommended: 421 after 300 s" in result.why


def test_no_client_is_silent_beside_others_where_the_server_serves_one_at_a_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    Reference(listener.accept()[0], None).run()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        target = Target("127.0.0.1", listener.getsockname()[1], timeout=0.1)
        assert idle.beside_others(target) is None
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_client_is_silent_beside_others() -> None:
    with running(Reference) as port:
        silent = idle.beside_others(Target("127.0.0.1", port, timeout=30))
        assert silent is not None
        silent.look()
        assert silent.ended is None
        silent.wire.close()
