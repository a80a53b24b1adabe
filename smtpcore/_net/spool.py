"""The content of a message for ``store()``: in memory while it is small, in a temporary file otherwise."""

from __future__ import annotations

import inspect
import io
import tempfile
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from .._core.events import Envelope
from .sources import IN_MEMORY

if TYPE_CHECKING:
    from .session import ServerSession


class Spool:
    """The sink that collects the content for ``store()``.

    Args:
        store: The method of the handler.
        session: Its first argument.
        envelope: Its second argument.
    """

    def __init__(self, store: Callable[..., Any], session: ServerSession, envelope: Envelope) -> None:
        self.store = store
        self._session = session
        self._envelope = envelope
        self._file: BinaryIO = io.BytesIO()  # SpooledTemporaryFile costs ten times as much
        self._room = IN_MEMORY

    def write(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0 and isinstance(self._file, io.BytesIO):
            in_memory = self._file
            self._file = cast(BinaryIO, tempfile.TemporaryFile())
            self._file.write(in_memory.getbuffer())
        self._file.write(data)

    def finish(self) -> Any:
        """Give what ``store()`` returns, or an awaitable of it."""
        self._file.seek(0)
        try:
            result = self.store(self._session, self._envelope, self._file)
        except BaseException:
            self._file.close()
            raise
        if inspect.isawaitable(result):
            return self._finish_later(result)
        self._file.close()
        return result

    async def _finish_later(self, result: Awaitable[Any]) -> Any:
        try:
            return await result
        finally:
            self._file.close()

    def abort(self) -> None:
        self._file.close()
