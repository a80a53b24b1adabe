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

from smtpcore.testing._stimuli import Deviation
from smtpcore.testing.machines import fuzz_server

from ..check import peers
from .ours import PASSWORD, USER, Certificates

# These servers take some milliseconds for each reply, so there are few examples.
FEW = settings(max_examples=10, stateful_step_count=8, deadline=None, database=None)
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="this server is started by root only")

Start = Callable[[Certificates], AbstractContextManager[int]]


# What each server does that the standard does not allow: those lines are not sent, and the others find nothing.
ANY_ARGUMENT: tuple[Deviation, ...] = ("LF in commands", "CR in commands", "NUL in commands")
ARGUED: dict[Start, tuple[Deviation, ...]] = {
    # It refuses the parameter AUTH of MAIL, and accepts an empty path, or one in UTF-8, as a recipient, and the
    # command AUTH within a transaction.
    peers.aiosmtpd: (*ANY_ARGUMENT, "RCPT TO:<>", "UTF-8 in commands", "offered parameters", "AUTH"),
    # It replies 250 to AUTH, looks at nothing that follows, and at no parameter and no path.
    peers.smtp_sink: (*ANY_ARGUMENT, "AUTH", "RCPT TO:<>", "unknown parameters"),
    # It looks at no parameter that it does not know, and accepts a path in UTF-8, and AUTH within a
    # transaction.
    peers.smtp_server: (*ANY_ARGUMENT, "unknown parameters", "UTF-8 in commands", "AUTH"),
    # It reads LF as the end of a command line, for old clients, and strict_smtputf8 is off by default.
    peers.postfix: (*ANY_ARGUMENT, "UTF-8 in commands"),
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
        fuzz_server("127.0.0.1", port, without=ARGUED[start], user=(USER, PASSWORD), settings=FEW)
