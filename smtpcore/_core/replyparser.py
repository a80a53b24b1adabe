"""The octets of a server become :class:`~smtpcore.Reply` values (RFC 5321 4.2).

**How the parser works.** Octets arrive into ``_partial``, a bytearray. When there is an LF in what has
arrived, everything up to the last one moves, decoded once as latin-1, to ``_text``: whole lines only. There
they are matched in place by one expression that takes a line with its code, enhanced code and text; unless
the very same line was there before, which is the rule, and then so is its reply. So

* a line that does not match is broken, never merely incomplete;
* an octet is looked at twice, once for LF and once by the expression, however it dripped in: the search for
  LF goes on where it ended, and the beginning of a bytearray is cut off without moving the rest;
* two limits bound everything held: the octets of a line and the lines of a reply.

Lines are judged strictly in order, and only when everything before them has been handed out. Therefore the
cutting of the stream cannot matter: a line is too long, or broken, or good, whatever arrived together with
it. The first bad one ends it: what follows cannot be trusted to be where it seems to be, so the parser
forgets all it holds, accepts no more, and raises the same error at every call.

Only CRLF ends a line (RFC 5321 2.3.8). A bare LF is an error at once, and not after a five-minute wait for
a CRLF that never comes; a bare CR is one as soon as its line is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, cast

from .failures import RemoteProtocolError
from .printable import printable
from .replies import REPLY_LINE, REPLY_LINE_LENGTH, Reply, parse_status

# Replies of one line, by that line. Servers choose what is in here, so it has an end.
_recent: dict[str, Reply] = {}
_RECENT_MOST = 256
_RECENT_LENGTH = 128

# Characters of an offending line that an error shows: a whole line, if it is no longer than RFC 5321 allows.
_SHOWN: Final = REPLY_LINE_LENGTH - 2


class ReplyParser:
    """Octets of a server in, :class:`Reply` values out; see the module's text for how.

    Args:
        max_line: Octets of a line with its CRLF.
        max_lines: Lines of a reply.

    Attributes:
        mask: Applied to the lines that an error shows of a reply; None: nothing is masked.
    """

    __slots__ = (
        "_code",
        "_error",
        "_held",
        "_lines",
        "_max_line",
        "_max_lines",
        "_partial",
        "_searched",
        "_start",
        "_status",
        "_text",
        "mask",
    )

    def __init__(self, *, max_line: int, max_lines: int) -> None:
        self._max_line = max_line
        self._max_lines = max_lines
        self.mask: Callable[[Iterable[str]], list[str]] | None = None
        self._error: tuple[str, Reply | None, str | None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._partial = bytearray()  # the beginning of a line
        self._searched = 0  # so many octets of it are known to hold no LF
        self._text = ""  # whole lines, not looked at from _start on
        self._start = 0
        # The reply whose last line has not been seen:
        self._code = ""
        self._status = ""
        self._lines: list[str] = []
        self._held = 0  # octets of these lines

    @property
    def pending(self) -> int:
        """Octets that arrived and are not part of a reply that was handed out."""
        return self._held + len(self._text) - self._start + len(self._partial)

    def discard(self) -> int:
        """Forget all pending octets.

        Returns:
            How many there were.
        """
        pending = self.pending
        self._clear()
        return pending

    def feed(self, data: bytes | bytearray | memoryview) -> bool:
        """Take what has arrived. Call :meth:`next_reply` until it returns None before feeding more.

        Returns:
            Whether a reply begins with these octets: nothing was pending.
        """
        if self._error is not None:
            return True
        if data[-1:] == b"\n" and not self._partial and self._start == len(self._text):
            # Whole lines and nothing before them: nearly every read.
            self._text = str(data, "latin-1")
            self._start = 0
            return not self._lines
        pending = self.pending
        self._partial += data
        return not pending

    def next_reply(self) -> Reply | None:
        """The next complete reply, or None when more octets are needed.

        Raises:
            RemoteProtocolError: The next line is not valid in a reply, or a limit is exceeded. From then on
                every call raises this.
        """
        if not self._lines:
            # Most replies of a server are repetitions.
            text, start = self._text, self._start
            end = text.find("\n", start) + 1
            reply = _recent.get(text[start:end])
            if reply is not None:
                self._start = end
                return reply
            if not (end or self._partial or self._error):
                return None
        if self._error is not None:
            reason, partial, line = self._error
            raise RemoteProtocolError(reason, reply=partial, line=line)
        return self._read_lines()

    def repeated(self, codes: list[int]) -> list[Reply] | None:
        """Give the next replies at once, if all of them are repetitions, and there are no more lines.

        Args:
            codes: The code of each.

        Returns:
            None if not: then nothing is taken, and ``next_reply()`` gives them.
        """
        replies = [_recent.get(line) for line in self._text[self._start :].splitlines(keepends=True)]
        if self._lines or [reply and reply.code for reply in replies] != codes:
            return None
        self._start = len(self._text)
        return cast("list[Reply]", replies)

    def _read_lines(self) -> Reply | None:
        """Read lines to the end of a reply; None if there are not enough of them."""
        while self._start < len(self._text) or (self._partial and self._refill()):
            start = self._start
            match = REPLY_LINE.match(self._text, start)
            if match is None:
                raise self._broken(*self._why_no_match())
            self._start = end = match.end()
            if end - start > self._max_line:
                raise self._broken(self._too_long(), match[0])
            code, _, separator, status, text = match.groups("")
            if not self._lines:
                if separator != "-":  # nearly every reply has one line
                    reply = Reply._received(
                        int(code),
                        parse_status(status) if status else None,
                        (text if text.isascii() else _decode(text),),
                    )
                    if end - start <= _RECENT_LENGTH:
                        if len(_recent) >= _RECENT_MOST:
                            _recent.clear()
                        _recent[match[0]] = reply
                    return reply
                self._code = code
                self._status = status
            elif code != self._code:
                reason = f"the lines of one reply begin with {self._code} and with {code}"
                raise self._broken(reason, match[0], quoted=True)
            elif len(self._lines) == self._max_lines:
                raise self._broken(f"a reply of more than {self._max_lines} lines", match[0])
            # A further line bears the enhanced code of the first one, or what looks like one is text.
            if status != self._status:
                text = match[0][4:-2]
            self._lines.append(_decode(text))
            self._held += end - start
            if separator != "-":
                lines = tuple(self._lines)
                self._lines = []
                self._held = 0
                return Reply._received(int(code), parse_status(self._status) if self._status else None, lines)
        return None

    def _refill(self) -> bool:
        """Move the whole lines among what has arrived to ``_text``, of which nothing is left."""
        end = self._partial.rfind(b"\n", self._searched) + 1
        # A line so long without its LF is too long with it.
        if not end and len(self._partial) >= self._max_line:
            raise self._broken(self._too_long(), self._partial[: self._max_line].decode("latin-1"))
        self._text = self._partial[:end].decode("latin-1")
        self._start = 0
        del self._partial[:end]
        self._searched = len(self._partial)
        return end > 0

    def _why_no_match(self) -> tuple[str, str, bool]:
        line = self._text[self._start : self._text.index("\n", self._start) + 1]
        if len(line) > self._max_line:
            return self._too_long(), line, False
        if not line.endswith("\r\n"):
            reason = "a line ends in LF without CR"
        elif "\r" in line[:-2]:
            reason = "there is a CR inside a line"
        elif line == "\r\n":
            reason = "an empty line does not begin with a reply code from 200 to 599"
        else:
            reason = "a line does not begin with a reply code from 200 to 599"
        return reason, line, True

    def _too_long(self) -> str:
        return f"a reply line of more than {self._max_line} octets"

    def _broken(self, reason: str, line: str, quoted: bool = False) -> RemoteProtocolError:
        """Take no more.

        Args:
            reason: What is wrong.
            line: The offending line.
            quoted: The text of the error shows the line, and the line in which its reply began.
        """
        held, line = self._lines, _decode(line.rstrip("\r\n"))
        if self.mask is not None:
            *held, line = self.mask([*held, line])
        # How much has come of a line that is too long depends on the cutting, but it is at least so much.
        line = line[: min(_SHOWN, self._max_line - 2)]
        partial = None
        if held:
            status = parse_status(self._status) if self._status else None
            partial = Reply._received(int(self._code), status, tuple(held))
        elif (mended := REPLY_LINE.match(f"{line}\r\n")) is not None:
            code, _, _, status_text, text = mended.groups("")
            status = parse_status(status_text) if status_text else None
            partial = Reply._received(int(code), status, (text,))
        if quoted:
            reason = f"not a valid SMTP reply: {reason}: {line!r}"
            if held:
                reason += f", after {f'{self._code}-{held[0]}'[:_SHOWN]!r}"
        line = printable(line)
        self._clear()
        self._error = (reason, partial, line)
        return RemoteProtocolError(reason, reply=partial, line=line)


def _decode(line: str) -> str:
    """Text that was decoded as latin-1, as UTF-8 if it is that. Either way no octet is lost."""
    try:
        return line.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return line
