"""The conversations over a stream of your own: a WebSocket, a pipe, another framework, a test.

:func:`open_client` and :func:`serve_stream` run what ``connect()`` and ``serve()`` of the adapters run, over
any object with the methods of :class:`Stream`. They are coroutines that belong to no framework: they wait only
in the methods of the stream. If those never suspend, :func:`run` drives a conversation to its end. A stream may
have a few more methods, which save time (``docs/embedding.md``); none of them is needed.

``examples/own_stream.py`` runs both conversations over a pair in memory, ``examples/anyio_server.py`` a server
under anyio.
"""

from __future__ import annotations

from ._core.public import publish as _publish
from ._net.client import Client
from ._net.connect import open_client
from ._net.serving import serve_stream
from ._net.session import ServerSession
from ._net.stream import Stream, run

__all__ = ["Client", "ServerSession", "Stream", "open_client", "run", "serve_stream"]

_publish(__name__, globals())
