"""``serve --fault``: rules on the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import smtpcore.sync
from smtpcore import RecipientsRefused

from ..interop.ours import ADAPTERS

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-m", "smtpcore", "serve", "--port", "0"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_serve_goes_wrong_where_its_rules_say(adapter: str) -> None:
    command = [
        *COMMAND,
        "--adapter",
        adapter,
        "--fault",
        "RCPT nth=2: reply 451 4.7.1 later",
        "--fault",
        "QUIT: disconnect",
    ]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            match = re.fullmatch(r"listening on (\S+) port (\d+)\n", process.stdout.readline())
            assert match is not None
            with smtpcore.sync.connect(match[1], int(match[2]), security="none") as client:
                client.send("ann@example.org", ["bob@example.org"], b"x\r\n")
                with pytest.raises(RecipientsRefused, match="later"):
                    client.send("ann@example.org", ["bob@example.org"], b"x\r\n")
        finally:
            process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_wrong_rule_is_an_error_of_usage() -> None:
    done = subprocess.run(
        [*COMMAND, "--fault", "nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 64
    assert "'nonsense' is not a fault" in done.stderr
