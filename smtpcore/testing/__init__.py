"""Test and fuzz mail: servers for tests, faulty and scripted peers.

Nothing here needs more than the standard library, with two exceptions: ``smtpcore.testing.pytest_plugin`` needs
pytest, and finds its way into pytest by itself.
"""

from __future__ import annotations

from .._core.public import publish as _publish
from ._faults import Rule, early_552, greylist, mailbox_full, on, parse_rule, rate_limit, tarpit
from ._scripts import ScriptedClient, ScriptedServer, ScriptError
from ._server import MailServer, ReceivedMail, assert_mail, client_context, serve_with_faults, server_context

__all__ = [
    "MailServer",
    "ReceivedMail",
    "Rule",
    "ScriptError",
    "ScriptedClient",
    "ScriptedServer",
    "assert_mail",
    "client_context",
    "early_552",
    "greylist",
    "mailbox_full",
    "on",
    "parse_rule",
    "rate_limit",
    "serve_with_faults",
    "server_context",
    "tarpit",
]

_publish(__name__, globals())
