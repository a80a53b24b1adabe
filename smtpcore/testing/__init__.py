"""Test and fuzz mail: servers for tests, faulty and scripted peers.

Nothing in this module needs more than the standard library. With pytest there are the fixtures ``smtpd``,
``smtpd_async``, ``smtp_faults`` and ``assert_mail`` in each test, without any configuration.
"""

from __future__ import annotations

from .._core.public import publish as _publish
from ._faults import Rule, early_552, greylist, mailbox_full, on, parse_rule, rate_limit, tarpit
from ._legal import legal
from ._oracle import Violation
from ._pair import Pair, pair
from ._scripts import ScriptedClient, ScriptedServer, ScriptError
from ._server import (
    AsyncMailServer,
    MailServer,
    ReceivedMail,
    assert_mail,
    client_context,
    serve_async_with_faults,
    serve_with_faults,
    server_context,
)

__all__ = [
    "AsyncMailServer",
    "MailServer",
    "Pair",
    "ReceivedMail",
    "Rule",
    "ScriptError",
    "ScriptedClient",
    "ScriptedServer",
    "Violation",
    "assert_mail",
    "client_context",
    "early_552",
    "greylist",
    "legal",
    "mailbox_full",
    "on",
    "pair",
    "parse_rule",
    "rate_limit",
    "serve_async_with_faults",
    "serve_with_faults",
    "server_context",
    "tarpit",
]

_publish(__name__, globals())
