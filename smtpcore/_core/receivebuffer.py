"""``ReceiveBuffer``: octets received and not used yet, each of them searched and moved once.

A read is kept as the octets that came, ``data``, with the offset ``start`` of what has not been used. For
commands there is the same as ``text``: decoded as latin-1, so that octet and character stand at the same
offset, and only on request, since content never needs it. The reader of a whole command in ``text`` moves
``start`` on; no line is sliced out.

Only when a line is not complete does it move, to ``rest``, a bytearray to which the next reads are appended;
the search for its CRLF goes on where it ended. So each octet is moved once, and searched once, however it
dripped in. A line that has grown too long without an end is discarded as it comes, until its end has
arrived: memory is bounded by the limit and one read.
"""

from __future__ import annotations

from typing import Final

from .errors import LocalProtocolError
from .expressions import expression

HEAD: Final = 200
"""Octets that are kept of a line that is too long, for people to see."""


_BARE_LF = expression(rb"(?<!\r)\n")


class ReceiveBuffer:
    """Octets received and not yet used.

    Args:
        limit: Octets held at most. More must not be fed before some have been used.

    Attributes:
        data: The octets at hand.
        text: The same, decoded as latin-1; None until ``decode()`` was asked for.
        start: The offset of the first one not used.
        rest: What came after that.
        at_eof: The other side has ended its direction of the connection.
        too_long: The beginning of the line that ``find_line()`` reports, if it was longer than asked for, else
            ``b""``. Reset it when the line has been used.
    """

    __slots__ = ("_limit", "_searched", "at_eof", "data", "rest", "start", "text", "too_long")

    def __init__(self, limit: int) -> None:
        self.data = b""
        self.start = 0
        self.at_eof = False
        self.too_long = b""
        self.text: str | None = ""
        self.rest = bytearray()
        self._searched = 0
        self._limit = limit

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take what a read has given; nothing means that there will be no more.

        Raises:
            LocalProtocolError: More than the limit has not been used yet.
        """
        if not data:
            self.at_eof = True
        elif self.at_eof:
            raise LocalProtocolError("octets after the end of the connection")
        elif self.start == len(self.data) and not self.rest:
            self.data = data if isinstance(data, bytes) else bytes(data)
            self.start = 0
            self.text = None
        elif len(self) > self._limit:
            raise LocalProtocolError(
                f"more than {self._limit} octets have not been used: call next_event() until it returns None"
                " before you read more"
            )
        else:
            self.rest += data

    def __len__(self) -> int:
        return len(self.data) - self.start + len(self.rest)

    def decode(self) -> str:
        """Make ``text``."""
        self.text = text = self.data.decode("latin-1")
        return text

    def release(self) -> None:
        """Drop ``data``, which has been used to its end, so that an idle connection does not keep it."""
        self.data = b""
        self.text = ""
        self.start = 0

    def take(self) -> bytes:
        """Use everything there is, and give it back."""
        self.join()
        data = self.data[self.start :]
        self.clear()
        return data

    def clear(self) -> None:
        """Discard everything."""
        self.data = b""
        self.text = ""
        self.start = 0
        self.rest.clear()
        self._searched = 0
        self.too_long = b""

    def peek(self) -> bytes:
        """The first octet; ``b""`` if there is none."""
        return self.data[self.start : self.start + 1] or bytes(self.rest[:1])

    def join(self) -> None:
        """Bring everything that has arrived into ``data``."""
        if self.rest:
            self.data = self.data[self.start :] + self.rest
            self.text = None
            self.start = 0
            self.rest.clear()
            self._searched = 0

    def find_line(self, limit: int) -> int:
        """Look for the CRLF of the line at ``start``.

        Args:
            limit: Octets of a line at most, with its CRLF.

        Returns:
            The offset of the CRLF in ``data`` and ``text``; -1 if it has not arrived.
            If ``too_long`` is set, no more than the end of the line may still be there.
        """
        end = self.data.find(b"\r\n", self.start)
        if end < 0 and self.start < len(self.data):
            # What is left of this read is the beginning of a line, and precedes what has come since,
            # nothing of which has been searched yet.
            self.rest[:0] = self.data[self.start :]
            self.start = len(self.data)
        if end < 0 and self.rest:
            end = self.rest.find(b"\r\n", self._searched)
            if end >= 0:
                self.join()
            else:
                if len(self.rest) >= limit and not self.too_long:
                    self.too_long = bytes(self.rest[:HEAD])
                if self.too_long:
                    # The last octet may be the CR that the LF follows. It stays in any case, so that what comes
                    # next does not look like the beginning of a line.
                    del self.rest[:-1]
                self._searched = len(self.rest) - self.rest.endswith(b"\r")
        if end + 2 - self.start > limit and not self.too_long:
            self.too_long = self.data[self.start : self.start + HEAD]
        return end

    def take_line(self, limit: int) -> tuple[bytes, bool] | None:
        """Use the line at ``start``. All lines that arrive in pieces are read here.

        Args:
            limit: Octets of a line at most, with its CRLF.

        Returns:
            The line without its CRLF, and whether it is longer than ``limit``; then only its first ``HEAD``
            octets are given. None if its end has not arrived; EOF ends a line that is too long.
        """
        end = self.find_line(limit)
        head = self.too_long
        if end >= 0:
            line = head or self.data[self.start : end]
            self.start = end + 2
            self.too_long = b""
            return line, bool(head)
        if head and self.at_eof:
            self.clear()
            return head, True
        return None

    def discard(self, count: int) -> int:
        """Discard up to ``count`` octets; return how many there were."""
        self.join()
        count = min(count, len(self.data) - self.start)
        self.start += count
        return count

    @property
    def has_bare_lf(self) -> bool:
        """Whether an LF without CR is in what has not been used, or in the line that is being discarded."""
        self.join()
        return any(_BARE_LF.search(octets) for octets in (self.too_long, self.data[self.start :]))
