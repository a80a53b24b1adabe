"""Run the methods of handlers that block in worker threads, so that no other session waits for them.

An application marks such a method with :func:`smtpcore.handlers.blocking`. For the callbacks a marked method
looks like one that is ``async``: it gives an awaitable. So only this module knows of threads, and only a
stream knows how its adapter runs one: its method ``run_blocking()``. A stream without that method has no
threads, and the method of the handler is called where the session runs; on blocking sockets that is the
thread of the session.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from .stream import Stream

R = TypeVar("R")
Blocking = Callable[..., R]
"""A function that waits, for a disk for instance."""

_MARK: Final = "_smtpcore_blocking"


def mark_as_blocking(method: Callable[..., Any]) -> None:
    """Mark a function or a method; see :func:`smtpcore.handlers.blocking`."""
    setattr(method, _MARK, True)


def is_blocking(method: object) -> bool:
    """Return whether a method is marked."""
    try:
        return _MARK in method.__dict__  # a fifth of the time of getattr(), which makes an exception to discard
    except AttributeError:  # a function written in C
        return False


async def run_blocking(stream: Stream, function: Blocking[R], arguments: tuple[Any, ...]) -> R:
    """Run a function in a worker thread, if the adapter of the stream has them; otherwise call it."""
    run: Callable[..., Awaitable[R]] | None = getattr(stream, "run_blocking", None)
    return function(*arguments) if run is None else await run(function, *arguments)


def in_worker(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of a handler that the callbacks call: the session is its first argument."""
    if not is_blocking(method):
        return method

    @functools.wraps(method)  # the log names the method
    def call(session: Any, *arguments: object) -> Any:
        return session.run_blocking(method, session, *arguments)

    return call


def sink_in_worker(session: Any, sink: Any) -> Any:
    """Return the sink that the callbacks call: the sink itself if none of its methods is marked."""
    if not (is_blocking(sink.finish) or is_blocking(sink.write) or is_blocking(sink.abort)):
        return sink

    def prepared(method: Callable[..., Any]) -> Callable[..., Any]:
        if not is_blocking(method):
            return method
        return functools.wraps(method)(functools.partial(session.run_blocking, method))

    return SimpleNamespace(write=prepared(sink.write), finish=prepared(sink.finish), abort=prepared(sink.abort))
