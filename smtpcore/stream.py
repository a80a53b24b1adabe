"""The conversations over a stream of one's own: a WebSocket, a pipe, another framework, a test.

:func:`open_client` and :func:`serve_stream` run what ``connect()`` and ``serve()`` of the adapters run, over
any object with the methods of :class:`Stream`. They are coroutines that belong to no framework: they wait only
in the methods of the stream. If those never suspend, :func:`run` drives a conversation to its end.

``examples/own_stream.py`` runs both conversations over a pair in memory, ``examples/anyio_server.py`` a server
under anyio.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ._core.limits import Limits, Timeouts
from ._net import client as _client
from ._net.callbacks import serve_stream
from ._net.options import ConnectOptions, Credentials, Security
from ._net.stream import Stream, run

if TYPE_CHECKING:
    from .transcript import Transcript

__all__ = ["Stream", "open_client", "run", "serve_stream"]


async def open_client(
    stream: Stream,
    host: str = "",
    port: int = 25,
    *,
    security: Security | None = None,
    ssl_context: ssl.SSLContext | None = None,
    auth: Credentials | None = None,
    allow_cleartext_auth: bool = False,
    local_hostname: str | None = None,
    timeout: float | Timeouts | None = None,
    deadline: float | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
) -> _client.Client:
    """Open a session over a stream that is connected already: read the greeting, secure it, log in.

    Args:
        stream: The connection to a server; the client closes it.
        host: The name to verify the certificate against, and for errors. Without TLS it may be empty.
        port: Selects the default of ``security``, and is for errors.
        security: ``"none"``, ``"starttls"``, ``"tls"`` or ``"opportunistic"``, as for ``connect()``.
        ssl_context: The TLS context.
        auth: ``(user name, password)``, or a mechanism.
        allow_cleartext_auth: Whether the password may be sent without TLS.
        local_hostname: The argument of EHLO.
        timeout: Seconds that each wait may last, or :class:`smtpcore.Timeouts`.
        deadline: Seconds for the whole session.
        limits: Sizes and counts.
        transcript: Records the session.

    Returns:
        The client; ``await client.quit()`` ends it, and so does an ``async with`` block.

    Raises:
        SMTPError: As ``connect()``.
    """
    options = ConnectOptions(
        security=security,
        ssl_context=ssl_context,
        auth=auth,
        allow_cleartext_auth=allow_cleartext_auth,
        local_hostname=local_hostname,
        timeout=timeout,
        deadline=deadline,
        limits=limits,
        transcript=transcript,
    )

    async def connected(*where: object, **options: object) -> Stream:
        return stream

    return await _client.open_client(connected, host, port, options)
