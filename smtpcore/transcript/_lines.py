"""Octets of one direction, cut into lines."""

from __future__ import annotations

from ._entry import SHOWN_LINE_LENGTH


class Lines:
    """Buffers the octets of one side, and returns them line by line.

    Of a line that has not ended, :data:`SHOWN_LINE_LENGTH` octets are held and the others counted.
    """

    __slots__ = ("_end", "_searched", "_skipped", "held")

    def __init__(self, end: bytes) -> None:
        self._end = end
        self._searched = 0  # no line end begins before this offset
        self._skipped = 0  # octets before the last one that are only counted
        self.held = bytearray()

    def take(self, most: int | None = None) -> tuple[bytes, int] | None:
        """Take the next line.

        Args:
            most: The number of octets after which the line ends in any case. None: no limit.

        Returns:
            At most SHOWN_LINE_LENGTH octets of the line, without its end, and the number of all its octets.
            None if the line is not complete.
        """
        limit = None if most is None else most - self._skipped
        start = self.held.find(self._end, self._searched, limit)
        if start >= 0:
            stop = start + len(self._end)
        elif limit is not None and len(self.held) >= limit:
            start = stop = limit
        else:
            if len(self.held) > SHOWN_LINE_LENGTH + 1:
                self._skipped += len(self.held) - SHOWN_LINE_LENGTH - 1
                del self.held[SHOWN_LINE_LENGTH:-1]
            # The last octet may be the CR of a CRLF; no line end begins before it, also after the cut.
            self._searched = max(len(self.held) - 1, 0)
            return None
        line = bytes(self.held[: min(start, SHOWN_LINE_LENGTH)])
        octets = self._skipped + stop
        del self.held[:stop]
        self._searched = self._skipped = 0
        return line, octets

    def take_all(self) -> tuple[bytes, int]:
        """Take all octets, as a line without an end; return what ``take()`` returns."""
        line = bytes(self.held[:SHOWN_LINE_LENGTH])
        octets = self._skipped + len(self.held)
        self.held.clear()
        self._searched = self._skipped = 0
        return line, octets
