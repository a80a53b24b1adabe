"""Run a server on an adapter until a signal ends it.

The main thread, or the event loop, waits for SIGINT or SIGTERM. Then the server accepts no new sessions, gives
those that are receiving a message some seconds to complete it, and sends 421 to the others. A second signal
ends all sessions at once; a message that was not yet answered 250 is then not stored.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from .._core.errors import LocalProtocolError
from .._net.listener import GRACE, BaseServer
from .._net.serveroptions import ServeOptions
from .common import EX_UNAVAILABLE, EX_USAGE, Failure
from .receiver import Receiver

if TYPE_CHECKING:
    from ..testing import Rule

logger = logging.getLogger("smtpcore.serve")

AnyServer = BaseServer[Any]
_STOP = signal.SIGINT, signal.SIGTERM
_SignalHandler = Callable[[int, object], object]
Announce = Callable[[AnyServer], object]
AsyncServe = Callable[..., AbstractAsyncContextManager[AnyServer]]


def serve_until_signal(
    options: argparse.Namespace, receiver: Receiver, serve_options: ServeOptions, announce: Announce
) -> int | None:
    """Serve until a signal; return the number of the second signal if it ended the server at once, or None."""
    where = receiver, options.host, options.port
    faults = _faults(options)
    if options.adapter == "sync":
        return _serve_sync(where, serve_options, announce, faults)
    if options.adapter == "asyncio":
        return _serve_asyncio(where, serve_options, announce, faults)
    return _serve_trio(where, serve_options, announce, faults)


def _faults(options: argparse.Namespace) -> list[Rule]:
    """Read the rules of ``--fault``."""
    if not options.fault:
        return []
    from ..testing import parse_rule

    try:
        return [parse_rule(text) for text in options.fault]
    except LocalProtocolError as error:
        raise Failure(EX_USAGE, str(error)) from None


def _serve_sync(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: Announce, faults: Sequence[Rule]
) -> int | None:
    from .. import sync

    serve: Callable[..., sync.Server] = sync.serve
    if faults:
        from ..testing import serve_with_faults

        serve = functools.partial(serve_with_faults, faults)
    listener: sync.Server | None = None

    def stop_at_once(number: int) -> None:
        if listener is not None:
            listener.abort()  # first, so that no code waits for a session after the exception
        raise _StoppedAtOnce(number)

    # Python runs a signal handler between two instructions of the main thread, so a signal right before a
    # blocking call would not end that call. An octet through a socket does.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer, _signals(lambda: None, stop_at_once):
        former = signal.set_wakeup_fd(writer.fileno())
        try:
            with serve(*where, **serve_options) as listener:
                announce(listener)
                reader.recv(1)
                _say_what_remains(listener)
        except _StoppedAtOnce as error:
            if listener is not None:
                with contextlib.suppress(_StoppedAtOnce):
                    listener.close(0)  # the exception may have interrupted it
            return error.number
        finally:
            signal.set_wakeup_fd(former)
    return None


def _with_faults(serve: AsyncServe, faults: Sequence[Rule]) -> AsyncServe:
    """Let the server of an async adapter go wrong where the rules of ``--fault`` say so."""
    if not faults:
        return serve
    from ..testing import serve_async_with_faults

    return functools.partial(serve_async_with_faults, faults)


def _serve_asyncio(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: Announce, faults: Sequence[Rule]
) -> int | None:
    import asyncio

    from .. import asyncio as adapter

    serve = _with_faults(adapter.serve, faults)
    numbers: list[int] = []

    async def main() -> None:
        loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        assert task is not None

        def stop_at_once(number: int) -> None:
            numbers.append(number)
            loop.call_soon_threadsafe(task.cancel)

        def install(number: int, handle: _SignalHandler) -> None:
            try:
                loop.add_signal_handler(number, handle, number, None)
            except NotImplementedError:  # on Windows, where each signal wakes the loop
                signal.signal(number, handle)

        with _signals(lambda: loop.call_soon_threadsafe(stopped.set), stop_at_once, install):
            try:
                await _serve_until(serve(*where, **serve_options), stopped.wait, announce)
            finally:
                with contextlib.suppress(NotImplementedError):
                    for number in _STOP:
                        loop.remove_signal_handler(number)

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        return numbers[-1]
    return None


def _serve_trio(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: Announce, faults: Sequence[Rule]
) -> int | None:
    try:
        import trio

        from .. import trio as adapter
    except ImportError:
        raise Failure(EX_UNAVAILABLE, "trio is not installed (hint: pip install trio)") from None

    serve = _with_faults(adapter.serve, faults)
    numbers: list[int] = []

    async def main() -> bool:
        token, stopped = trio.lowlevel.current_trio_token(), trio.Event()

        def stop_at_once(number: int) -> None:
            numbers.append(number)
            token.run_sync_soon(scope.cancel)

        with trio.CancelScope() as scope, _signals(lambda: token.run_sync_soon(stopped.set), stop_at_once):
            await _serve_until(serve(*where, **serve_options), stopped.wait, announce)
        return scope.cancelled_caught

    return numbers[-1] if trio.run(main) else None


async def _serve_until(
    serving: AbstractAsyncContextManager[AnyServer], wait: Callable[[], Awaitable[object]], announce: Announce
) -> None:
    async with serving as listener:
        announce(listener)
        await wait()
        _say_what_remains(listener)


def _say_what_remains(listener: AnyServer) -> None:
    sessions = len(listener.streams)
    if sessions:
        many = "1 session" if sessions == 1 else f"{sessions} sessions"
        logger.info("stopping: waiting for %s, at most %g seconds (Ctrl-C again: end at once)", many, GRACE)
    else:
        logger.info("stopping: there are no sessions")


class _StoppedAtOnce(BaseException):
    """Raised by the second signal."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _signals(
    stop: Callable[[], object],
    stop_at_once: Callable[[int], object],
    install: Callable[[int, _SignalHandler], object] = signal.signal,
) -> Iterator[None]:
    """Call ``stop()`` at the first SIGINT or SIGTERM, and ``stop_at_once(number)`` at each later one."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        if len(received) == 1:
            stop()
        else:
            stop_at_once(number)

    former = [(number, signal.getsignal(number)) for number in _STOP]
    for number in _STOP:
        install(number, handle)
    try:
        yield
    finally:
        for number, handler in former:
            signal.signal(number, handler)
