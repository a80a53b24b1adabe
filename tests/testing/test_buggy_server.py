"""The planted bugs of the tutorial: each is found by the machine, and shrunk to a short dialogue."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import threading
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from smtpcore.testing import ScriptedClient, ScriptError, Violation, server_context
from smtpcore.testing.machines import ServerMachine

from ..conftest import SEED_VARIABLE

ROOT = Path(__file__).resolve().parent.parent.parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("buggy_server", ROOT / "examples" / "buggy_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUGGY = load()
# What the error says of each; a bug may show in more than one way.
REASONS = {
    "bare-lf-end": "a reply to what was not sent|there is no reply|the message was changed",
    "lost-pipeline": "there is no reply to ",
    "starttls-buffer": "a reply to what was not sent",
    "dot-at-border": "the message was changed|there is no reply",
    "auth-as-command": "250 is not a success of|221 is not a success of|a reply to what was not sent",
    "leaking-recipient": "a message was accepted without a recipient|the message has other recipients",
    "early-250": "a reply before the end of the content|there is no reply to BDAT 0 LAST",
    "bdat-as-commands": "a reply to what was not sent",
    "reply-splitting": "this is not a reply|.* was accepted, and is not valid",
    "unbounded-line": r"MAIL FROM:<a+\.\.\. \[\d+ octets\] was accepted, and is not valid",
}
SHORT = 6  # lines of the client

# As a reader of the tutorial has them: the default number of examples, and none from earlier runs.
DEFAULT = settings(ServerMachine.against(lambda: BUGGY.BuggySession()).TestCase.settings, database=None)


def fuzz(bug: str, run: int = 1) -> None:
    messages: list[object] = []
    machine = ServerMachine.against(lambda: BUGGY.BuggySession(bug, messages), stored=lambda: list(messages))
    # Hypothesis draws from the seed of the whole test run, unless a machine has one: each run needs its own.
    seeded = seed(f"{os.environ[SEED_VARIABLE]} {bug} {run}")(machine)
    run_state_machine_as_test(seeded, settings=DEFAULT)


def find(bug: str) -> tuple[Violation, list[str]]:
    """Find a bug; give its violation and what the client has sent after EHLO.

    A run of random examples misses a bug now and then, or stops at a dialogue that could be shorter, so there
    are three of them at most.
    """
    dialogues = []
    for run in range(3):
        try:
            fuzz(bug, run)
        except Violation as violation:
            greeted = violation.dialogue.index("C: EHLO client.example")
            lines = [line for line in violation.dialogue[greeted + 1 :] if line.startswith("C")]
            if len(lines) <= SHORT:
                return violation, lines
            dialogues.append("\n".join(violation.dialogue))
    pytest.fail("\n\n".join([f"three runs have not found {bug} in {SHORT} lines", *dialogues]))


def serve(sock: socket.socket, bug: str) -> None:
    """Run a session over a socket until the client closes."""
    session = BUGGY.BuggySession(bug)
    with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
        sockets.enter_context(sock)
        sock.sendall(session(b""))
        while octets := sock.recv(65536):
            sock.sendall(session(octets))
            if session._mode == "tls":
                sock = sockets.enter_context(server_context().wrap_socket(sock, server_side=True))
                session.start_tls()
                sock.sendall(session(b""))


def replay(bug: str, violation: Violation) -> None:
    """Play the dialogue of a violation: the server does the same again."""
    client, server = socket.socketpair()
    serving = threading.Thread(target=serve, args=(server, bug))
    serving.start()
    try:
        ScriptedClient("\n".join(violation.dialogue)).run_over(client)
    finally:
        client.close()
        serving.join()


def test_there_are_ten_bugs() -> None:
    assert set(REASONS) == set(BUGGY.BUGS)
    assert len(BUGGY.BUGS) == 10


@pytest.mark.parametrize("bug", BUGGY.BUGS)
def test_each_bug_is_found_and_shrunk_to_a_script_of_six_lines(bug: str) -> None:
    violation, lines = find(bug)
    assert re.match(REASONS[bug], violation.reason), violation.reason
    assert lines
    if any(line.endswith(" octets]") for line in lines):
        with pytest.raises(ScriptError, match=r"line \d+ was cut short: write its \d+ octets in full"):
            replay(bug, violation)
    else:
        replay(bug, violation)


def test_the_server_without_a_bug_is_faultless() -> None:
    fuzz("")
