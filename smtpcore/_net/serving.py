"""Run one session of a server on a connection."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from .._core.config import ServerConfig
from .._core.replies import Reply
from .._core.server import ServerConnection
from .._core.state import State
from .basestream import peer_in_words
from .callbacks import Callbacks, Table, result_of
from .connect import hello_name
from .handlercheck import check_handler, name_of
from .hints import words_of
from .serveroptions import ServerOptions
from .session import NO_HANDSHAKE, ServerSession
from .stream import Stream

if TYPE_CHECKING:
    from ..transcript import Transcript

logger = logging.getLogger("smtpcore")

ServeOne = Callable[[ServerSession], Coroutine[Any, Any, None]]

_INTERNAL_ERROR: Final = Reply(421, "4.3.0", "internal error")
_LEFT_EARLY: Final = Reply(421, "4.3.0", "local error in processing")
_GENERATOR: Final = "%s is a generator function, so no line of it was run: a handler has no yield"
_RETURNED_EARLY: Final = "%s has returned before the end of the session with %s: the client gets %s"


def session_runner(
    handler: object, options: ServerOptions, make_session: Callable[[Stream, ServerOptions], ServerSession]
) -> Callable[[Stream], Coroutine[Any, Any, None]]:
    """Return the coroutine function that runs a session on a connection. For adapters.

    Args:
        handler: A function that is called with the session, or an object with callbacks.
        options: The other options of the server.
        make_session: The adapter's class of sessions.

    Raises:
        TypeError: The handler is neither; see :class:`Handler`.
    """
    check_handler(handler)
    run_function = cast(Callable[[ServerSession], Any], handler) if callable(handler) else None
    table = Table(handler)

    # Both are plain functions: a coroutine that only waits for another one needs memory as long as the session.
    def run(stream: Stream) -> Coroutine[Any, Any, None]:
        return serve_one(stream, make_session, handle, options)

    def handle(session: ServerSession) -> Coroutine[Any, Any, None]:
        if run_function is not None:
            return _run_function(run_function, session)
        return Callbacks(table, session).run()

    return run


async def _run_function(handler: Callable[[ServerSession], Any], session: ServerSession) -> None:
    """Run a session for a function that takes the events itself.

    A function that returns before the session has ended leaves a client without its reply. That is an error of
    the server (RFC 5321 3.8: 421), and is logged.
    """
    result = handler(session)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        logger.error(_GENERATOR, name_of(handler))
    else:
        await result_of(result)
        if session.connection.state is not State.CLOSED:
            logger.error(_RETURNED_EARLY, name_of(handler), peer_in_words(session.peername), _LEFT_EARLY)
    session.connection.close(_LEFT_EARLY)  # of no effect if it is closed already


async def serve_stream(
    stream: Stream,
    handler: object,
    *,
    hostname: str | None = None,
    config: ServerConfig | Callable[[Any], ServerConfig] | None = None,
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    implicit_tls: bool = False,
    transcript: Callable[[], Transcript | None] | None = None,
    greet_pause: float = 0.0,
) -> None:
    """Run one session of a server over a stream, and close the stream.

    Args:
        stream: The connection of a client.
        handler: An object with methods of :class:`smtpcore.handlers.Handler`, or a function that is called with
            the session and loops over its events.
        hostname: The server's name in the greeting; by default this machine's, or the address of the stream.
        config: What the server offers and its limits; or a function of the client's address.
        ssl_context: The certificate, for STARTTLS or ``implicit_tls``; or a function that returns it.
        implicit_tls: TLS begins at once (RFC 8314 3).
        transcript: Called once; returns the recorder of the session, or None.
        greet_pause: Seconds to wait before the greeting for a client that does not wait for it.

    Raises:
        TypeError: The handler cannot be a handler, or an argument has the wrong type.
        LocalProtocolError: A value or a combination of values is not possible.
        Exception: What the handler has raised outside its callbacks; the client got 421.
    """
    options = ServerOptions(hostname, config, ssl_context, implicit_tls, transcript, greet_pause)
    run_session = session_runner(handler, options, ServerSession)
    try:
        await run_session(stream)
    finally:
        await stream.close()


async def serve_one(
    stream: Stream,
    make_session: Callable[[Stream, ServerOptions], ServerSession],
    handler: ServeOne,
    options: ServerOptions,
) -> None:
    """Run one session on a connection that was accepted. For adapters.

    A handler that fails, or that leaves before the end, leaves nothing half-accepted: the client gets 421.
    """
    try:
        options = options.for_peer(stream.peername)
    except Exception:
        if not options.implicit_tls:
            session = make_session(stream, dataclasses.replace(options, config=None))
            session.connection.close(_INTERNAL_ERROR)
            await session.finish()
        raise
    if options.implicit_tls:
        try:
            await stream.start_tls(
                options.context(),
                server_side=True,
                server_hostname=None,
                timeout=options.fixed_config.timeouts.connect,
            )
        except OSError as error:
            hint = " (does the client speak plain SMTP?)" if stream.first_octets[:2].isalpha() else ""
            logger.info(NO_HANDSHAKE, peer_in_words(stream.peername), words_of(error) + hint)
            return
    session = make_session(stream, options)
    try:
        if options.greet_pause:
            await session.wait_before_greeting(options.greet_pause)
        await handler(session)
    except (Exception, SystemExit, KeyboardInterrupt):
        session.connection.close(_INTERNAL_ERROR)
        raise
    except BaseException:
        stream.dismiss()  # the session is cancelled: nothing can be awaited any more
        raise
    finally:
        await session.finish()


def refusal_of(options: ServerOptions) -> Callable[[Any, str], bytes]:
    """What to send to a client that gets no session. For adapters.

    Args:
        options: The options of the server.

    Returns:
        A function that is given the address of our side and a reason, and gives the octets of a 421 in place
        of a greeting (RFC 5321 3.8); none where the client expects TLS first.
    """

    def refusal(sockname: Any, reason: str) -> bytes:
        if options.implicit_tls:
            return b""
        connection = ServerConnection(
            options.hostname or hello_name(None, sockname), config=options.fixed_config
        )
        connection.close(Reply(421, "4.3.2", reason))
        return connection.data_to_send()

    return refusal
