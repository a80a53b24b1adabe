"""Stateful fuzzing: machines of Hypothesis that talk to a server or a client, and judge what it does.

``ServerMachine`` is a client that knows the state of the session. It sends what is legal, what nearly is, and
what attacks are made of, cut anywhere; an oracle judges each reply by the tables of the state machine. What it
finds is shrunk to a short dialogue::

    from smtpcore.testing.machines import ServerMachine

    TestServer = ServerMachine.against("127.0.0.1", 2525).TestCase

That is a test for pytest and unittest. ``fuzz_server()`` runs a machine without either. ``ClientMachine`` is a
server that replies in every way that the standard permits, and judges what the client makes of it. ``differ()``
sends the same sessions to two servers, and returns the shortest one in which they differ.

It needs Hypothesis: ``pip install smtpcore[testing]``.
"""

from __future__ import annotations

from .._core.public import publish as _publish
from ._client_machine import ClientMachine, fuzz_client
from ._differ import Difference, differ
from ._server_machine import ServerMachine, fuzz_server

__all__ = ["ClientMachine", "Difference", "ServerMachine", "differ", "fuzz_client", "fuzz_server"]

_publish(__name__, globals())
