"""The pytest plugin of smtpcore: the fixtures ``smtpd``, ``smtpd_async``, ``smtp_faults`` and ``assert_mail``.

pytest imports it in each run on a machine that has smtpcore. So it is not part of ``smtpcore.testing``, and
imports nothing before a test asks for a fixture: a run that has nothing to do with mail does not pay for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pluggy

    from .testing import AsyncMailServer, MailServer, ReceivedMail, Rule

_SERVERS = pytest.StashKey[list["MailServer"]]()
_MARKER = "smtpd(*faults, **options): what the fixture smtpd is made with, see smtpcore.testing.MailServer"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


# Not wrapper=True: the pluggy 1.0 of Debian 12 does not know it, and then no run of pytest would start.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Show the dialogues of its servers with a test that has failed."""
    report = (yield).get_result()
    if report.failed:
        servers = item.stash.get(_SERVERS, [])
        report.sections += [(f"mail server on port {one.port}", one.transcript) for one in servers]


def _open(node: pytest.Item, *faults: Rule, **options: Any) -> MailServer:
    from .testing import MailServer

    server = MailServer(*faults, **options)
    node.stash.setdefault(_SERVERS, []).append(server)
    return server


@pytest.fixture
def smtpd(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    """A mail server on 127.0.0.1 and a free port, one for each test: a smtpcore.testing.MailServer.

    It keeps what it receives (``messages``, ``wait_for()``) and fails where it is told to (``fail_next()``).
    ``@pytest.mark.smtpd(users={"joe": "secret"})`` sets the options of MailServer.
    """
    marker = request.node.get_closest_marker("smtpd")
    arguments, options = ((), {}) if marker is None else (marker.args, marker.kwargs)
    with _open(request.node, *arguments, **options) as server:
        yield server


@pytest.fixture
def smtpd_async(smtpd: MailServer) -> AsyncMailServer:
    """The same server for async tests, on asyncio and trio: ``await smtpd_async.wait_for()`` blocks no loop."""
    from .testing import AsyncMailServer

    return AsyncMailServer(smtpd)


@pytest.fixture
def smtp_faults(request: pytest.FixtureRequest) -> Iterator[Callable[..., MailServer]]:
    """A function that makes mail servers with faults: ``smtp_faults(greylist(), on("DATA").delay(1))``."""
    with contextlib.ExitStack() as servers:
        yield lambda *faults, **options: servers.enter_context(_open(request.node, *faults, **options))


@pytest.fixture
def assert_mail(smtpd: MailServer) -> Callable[..., ReceivedMail]:
    """A function that returns the one message that fits: ``assert_mail(to=..., subject=..., contains=...)``."""
    import functools

    from .testing import assert_mail

    return functools.partial(assert_mail, smtpd)
