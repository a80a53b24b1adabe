"""The check finds nothing in a careful server that has no argument in docs/reference/conformance.md."""

from __future__ import annotations

import os

import pytest

from smtpcore._check.runner import check_server
from smtpcore._check.table import Outcome
from smtpcore._check.target import Target

from ..check.peers import postfix
from ..check.write_conformance import ARGUMENTS, PAGE
from .ours import Certificates


@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix is started by root only")
def test_each_failure_of_postfix_is_argued(certificates: Certificates) -> None:
    with postfix(certificates) as port:
        results = check_server(Target("127.0.0.1", port, timeout=30))
    failed = {result.name: result.why for result in results if result.outcome is Outcome.FAIL}
    assert {name: why for name, why in failed.items() if ("Postfix", name) not in ARGUMENTS} == {}
    assert sum(result.outcome is Outcome.PASS for result in results) > 300


def test_each_argument_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for (subject, name), argument in ARGUMENTS.items():
        assert f"### {subject}\n" in page
        assert name == "*" or f"`{name}`" in page, name
        assert argument in page, argument
