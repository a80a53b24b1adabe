"""The machine that fuzzes servers finds nothing in the servers of other projects but what is argued here.

Exim is left out. Version 4.96 ends the content at LF dot LF if its first line ends in LF alone, cuts a long
line into several commands, closes without 421 after a few errors, and now and then a process ends with SIGSEGV.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from smtpcore.testing.machines import ServerMachine

from ..check import peers
from .ours import Certificates

# These servers take some milliseconds for each reply, so there are few examples.
FEW = settings(max_examples=10, stateful_step_count=8, deadline=None, database=None)
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="this server is started by root only")

Start = Callable[[Certificates], AbstractContextManager[int]]


# What each server does that the standard does not allow, by the rule of the machine that finds it. The rule is
# left out, so that the others are shown to find nothing.
LF_ENDS_LINES = "It reads LF as the end of a command line, for old clients."
ANY_ARGUMENT = "It accepts a bare CR, a bare LF and a NUL in the argument of VRFY, and of others."
ARGUED: dict[Start, dict[str, str]] = {
    peers.aiosmtpd: {"spoilt_line": ANY_ARGUMENT, "near_miss": ANY_ARGUMENT},
    peers.smtp_sink: {
        "spoilt_line": ANY_ARGUMENT,
        "near_miss": ANY_ARGUMENT,
        "authenticate": "It replies 250 to AUTH, and looks at nothing that follows.",
    },
    peers.smtp_server: {"spoilt_line": ANY_ARGUMENT, "near_miss": ANY_ARGUMENT},
    peers.postfix: {"spoilt_line": LF_ENDS_LINES, "near_miss": LF_ENDS_LINES},
}


@pytest.mark.parametrize(
    "start",
    [
        peers.aiosmtpd,
        peers.smtp_sink,
        peers.smtp_server,
        pytest.param(peers.postfix, marks=ROOT_ONLY),
    ],
)
def test_there_is_no_false_alarm(start: Start, certificates: Certificates) -> None:
    with start(certificates) as port:
        machine = ServerMachine.against("127.0.0.1", port)
        careful = type("Machine", (machine,), dict.fromkeys(ARGUED[start]))
        run_state_machine_as_test(careful, settings=FEW)
