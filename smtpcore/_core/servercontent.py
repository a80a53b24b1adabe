"""Octets that are content and not commands: after the 354 to DATA, and after a refused BDAT.

Content is handed out as it arrives, and judged on the way. Once it is refused, the rest is drained to its true
end, and only then is the reply given: what is inside content stays inside. The octets that follow a BDAT are
discarded in the same way, up to their count (RFC 3030 2).
"""

from __future__ import annotations

from typing import Final

from . import replytexts as texts
from .config import ServerConfig
from .content import ContentDecoder
from .events import Chunk, EndOfMessage
from .limits import Limits
from .receivebuffer import ReceiveBuffer
from .replies import Reply

_new = object.__new__

END_OF_MESSAGE: Final = EndOfMessage()


def drained_enough(size: int, limits: Limits) -> bool:
    """Whether so many octets of refused content are more than the server reads only to discard them."""
    return limits.message_size is not None and size > limits.message_size * limits.oversize_factor


class ContentReceiver:
    """The content of the messages of one session, one after the other.

    Args:
        config: The limits, and what is refused.
        buffer: Where the octets come from.
    """

    __slots__ = ("_buffer", "_decoder", "_limits")

    def __init__(self, config: ServerConfig, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer
        self._limits = config.limits
        self._decoder = ContentDecoder(
            max_size=config.limits.message_size,
            max_line=config.limits.content_line,
            line_endings=config.line_endings,
            nul=config.nul,
        )

    @property
    def has_bare_lf(self) -> bool:
        """Whether the message is refused for an LF without CR."""
        return self._decoder.violation == "bare-lf"

    def next_event(self) -> Chunk | EndOfMessage | Reply | None:
        """Take what has arrived.

        Returns:
            A piece of content; its end; at the end of content that is refused, the reply; None if more octets
            are needed.
        """
        buffer = self._buffer
        decoder = self._decoder
        while not decoder.done:
            if decoder.violation is not None and drained_enough(decoder.size, self._limits):
                break
            if buffer.start == len(buffer.data):
                buffer.release()
                buffer.join()
                if not buffer.data:
                    return None
            buffer.start = decoder.decode(buffer.data, buffer.start)
            if decoder.chunk:
                chunk = _new(Chunk)
                chunk.data = decoder.chunk
                return chunk
        violation = decoder.violation
        too_much = violation is not None and drained_enough(decoder.size, self._limits)
        decoder.reset()
        if buffer.start == len(buffer.data):
            buffer.release()
        if violation is None:
            return END_OF_MESSAGE
        return texts.TOO_MUCH_CONTENT if too_much else texts.VIOLATIONS[violation]


class RefusedChunk:
    """A refused BDAT whose octets have not all arrived.

    Args:
        size: How many octets follow the command.
    """

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def discard(self, buffer: ReceiveBuffer) -> bool:
        """Discard what has arrived; return whether that was all."""
        self._left -= buffer.discard(self._left)
        return not self._left
