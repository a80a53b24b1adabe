"""Peers that are missing are noticed where they have to be there."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from . import peers


@pytest.fixture(params=["skipped", "failed"])
def missed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """The exception that a missing peer has to lead to, here without and there with the variable."""
    if request.param == "failed":
        monkeypatch.setenv(peers.VARIABLE, "1")
        return pytest.fail.Exception
    monkeypatch.delenv(peers.VARIABLE, raising=False)
    return pytest.skip.Exception


def executable(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_program_is_found_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    swaks = executable(tmp_path, "swaks", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.require("swaks") == swaks


def test_a_missing_program_is_told_with_its_package(
    missed: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peers, "_SBIN", ())
    with pytest.raises(missed, match="smtp-sink is not here: apt-get install postfix"):
        peers.require("smtp-sink")
    with pytest.raises(missed, match="curl is not here: apt-get install curl"):
        peers.require("curl")


def test_a_module_is_imported_or_told_to_be_missing(missed: type[BaseException]) -> None:
    assert peers.require_module("json") is sys.modules["json"]
    with pytest.raises(missed, match=r"nobody\.at\.home is not here: pip install nobody"):
        peers.require_module("nobody.at.home")


def test_a_node_package_is_resolved_or_told_to_be_missing(
    missed: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = executable(tmp_path, "node", '[ "$3" = nodemailer ]')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.require_node("nodemailer") == node
    with pytest.raises(missed, match="smtp-server is not here: npm install smtp-server"):
        peers.require_node("nodemailer", "smtp-server")


def test_a_client_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    assert peers.run(executable(tmp_path, "good", "cat"), input=b"hello") == b"hello"
    with pytest.raises(AssertionError, match=r"bad ended with 3:\s+alas"):
        peers.run(executable(tmp_path, "bad", "echo alas >&2; exit 3"))


def test_a_server_that_ends_at_once_is_told_with_what_it_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server = executable(tmp_path, "server", "echo the port is taken; exit 1")
    with (
        pytest.raises(AssertionError, match="server does not serve"),
        peers.running(server, port=peers.free_port()),
    ):
        pytest.fail("it cannot have begun")
    assert "the port is taken" in capfd.readouterr().err


def test_a_server_is_awaited_and_ended_with_all_it_has_started(tmp_path: Path) -> None:
    port = peers.free_port()
    accept = f"import signal, socket; s = socket.create_server(('127.0.0.1', {port})); signal.pause()"
    server = executable(tmp_path, "server", f'"{sys.executable}" -c "{accept}" & wait')
    with peers.running(server, port=port):
        socket.create_connection(("127.0.0.1", port), peers.SECONDS).close()
    deadline = time.monotonic() + peers.SECONDS
    while is_taken(port):  # it is told to end, but that takes a moment
        assert time.monotonic() < deadline
