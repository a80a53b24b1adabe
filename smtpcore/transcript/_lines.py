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
            most: How many octets may belong to it; where they end, the line does. None: any number.

        Returns:
            At most SHOWN_LINE_LENGTH octets of it, without its end, and the number of all octets. None when
            more have to come.
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
            # The last octet may be the CR of a CRLF. Before it there is none, nor has the cut made one.
            self._searched = max(len(self.held) - 1, 0)
            return None
        line = bytes(self.held[: min(start, SHOWN_LINE_LENGTH)])
        octets = self._skipped + stop
        del self.held[:stop]
        self._searched = self._skipped = 0
        return line, octets

    def take_all(self) -> tuple[bytes, int]:
        """Take everything, as a line that has no end; the same as ``take()`` gives."""
        line = bytes(self.held[:SHOWN_LINE_LENGTH])
        octets = self._skipped + len(self.held)
        self.held.clear()
        self._searched = self._skipped = 0
        return line, octets
