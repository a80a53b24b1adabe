"""The check finds nothing in a careful server that has no argument in docs/reference/conformance.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smtpcore._check.table import Outcome
from smtpcore._cli.common import EX_OK, EX_PROTOCOL

from ..check.peers import postfix
from ..check.write_conformance import ARGUMENTS, PAGE
from .ours import Certificates

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix is started by root only")
def test_each_failure_of_postfix_is_argued(certificates: Certificates) -> None:
    with postfix(certificates) as port:
        command = [
            sys.executable,
            "-m",
            "smtpcore",
            "check",
            f"127.0.0.1:{port}",
            "--timeout",
            "30",
            "--json",
            "-",
        ]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=600, check=False)
    results = json.loads(done.stdout)["checks"]
    failed = {result["name"]: result["observed"] for result in results if result["outcome"] == Outcome.FAIL}
    assert {name: why for name, why in failed.items() if ("Postfix", name) not in ARGUMENTS} == {}
    assert sum(result["outcome"] == Outcome.PASS for result in results) > 300
    assert done.returncode == (EX_PROTOCOL if failed else EX_OK)


def test_each_argument_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for (subject, name), argument in ARGUMENTS.items():
        assert f"### {subject}\n" in page
        assert name == "*" or f"`{name}`" in page, name
        assert argument in page, argument
