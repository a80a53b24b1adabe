"""Replies: the value, its octets in both directions, and what the codes mean.

A reply is a code, perhaps an enhanced status code, and lines of text for people (RFC 5321 4.2, RFC 2034).
There is one class for both roles, and the difference between them lies in how it is made:

* ``Reply(...)`` is what somebody means to *send*. It holds what the grammar allows and nothing else: no
  CR, LF or NUL can be inside, so nobody's text can become a second reply. ``Reply.sanitized(...)`` is the
  same for text of unknown origin, which it bends until it fits.
* :class:`ReplyParser` makes what was *received*. Servers send all sorts of text, and none of it is worth
  losing a session for: any octet but CR and LF may be inside, and codes such as 571 as well. ``encode()``
  bends those too, so that what was received from one side can be sent to the other as it is.

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
forgets all it holds, takes no more, and repeats the error to everyone who asks.

Only CRLF ends a line (RFC 5321 2.3.8). A bare LF is an error at once, and not after a five-minute wait for
a CRLF that never comes; a bare CR is one as soon as its line is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from .errors import LocalProtocolError, RemoteProtocolError

REPLY_LINE_LENGTH: Final = 512
"""Octets of a reply line as it is sent, with its code and CRLF (RFC 5321 4.5.3.1.5)."""

# status-code   = class "." subject "." detail                                             ; RFC 3463 2
# subject       = 1*3DIGIT     ; without leading zeros
# detail        = 1*3DIGIT     ; the same
_NUMBER = r"(?:0|[1-9][0-9]{0,2}+)"
_STATUS = re.compile(rf"([245])\.({_NUMBER})\.({_NUMBER})")

# textstring    = 1*(%d09 / %d32-126) ; HT, SP, Printable US-ASCII
_TEXTSTRING = re.compile(r"[\t -~]*+")
_NOT_TEXTSTRING = re.compile(r"[^\t -~]")
_LINE_END = re.compile(r"\r\n?|\n")

# Reply-line    = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
# Reply-code    = %x32-35 %x30-35 %x30-39
# text          = status-code SP textstring          ; RFC 2034 4, not in 3yz
#
# One line of it, as it is understood: any second digit, any octet in the text, the SP and the text may be
# missing. A status code only counts as one when its class is the first digit of the reply code.
_REPLY_LINE = re.compile(
    r"(([2-5])[0-9][0-9])"
    rf"(?>(?:([ -])(?>(?:((?!3)\2\.{_NUMBER}\.{_NUMBER})(?:[ ]|(?=\r)))?)([^\r\n]*+))?)"
    r"\r\n"
)

# Reply-code as it is sent.
_CODES_TO_SEND = frozenset(code for code in range(200, 560) if code // 10 % 10 <= 5)
# What stands in for a received code whose second digit the grammar does not know: the broadest of its kind.
_BROADEST = {2: 250, 3: 354, 4: 450, 5: 550}

# What a terminal might obey rather than show: C0, DEL and C1; what turns the direction of writing or starts a
# new line (Unicode TR 9 and TR 14); what is invisible, so that two texts look the same (soft hyphen, zero width
# space, word joiner, invisible operators, byte order mark, interlinear annotation, tags); and half characters,
# which cannot even be written out. The two zero width joiners stay: words of some scripts need them.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_NOT_VISIBLE_ASCII = re.compile("[^!-~]")


# --- Values -----------------------------------------------------------------------------------------------


class EnhancedStatusCode:
    """An enhanced status code such as 5.1.1 (RFC 3463 2).

    Args:
        severity: The class: 2 success, 4 persistent transient failure, 5 permanent failure.
        subject: What it is about, 0 to 999: see ``SUBJECTS``.
        detail: 0 to 999.

    Raises:
        LocalProtocolError: A number is out of range.
    """

    __slots__ = ("_text", "detail", "severity", "subject")
    __match_args__ = ("severity", "subject", "detail")

    severity: int
    subject: int
    detail: int
    _text: str

    def __init__(self, severity: int, subject: int, detail: int) -> None:
        self._text = f"{severity}.{subject}.{detail}"
        if _STATUS.fullmatch(self._text) is None:
            raise LocalProtocolError(
                f"{self._text} is no enhanced status code:"
                " the class is 2, 4 or 5, the numbers are 0 to 999 (RFC 3463 2)"
            )
        self.severity = severity
        self.subject = subject
        self.detail = detail

    @staticmethod
    def parse(text: str) -> EnhancedStatusCode:
        """Read ``"5.1.1"``.

        Raises:
            LocalProtocolError: It is no enhanced status code (RFC 3463 2).
        """
        return _parse_status(text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"EnhancedStatusCode({self.severity}, {self.subject}, {self.detail})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EnhancedStatusCode):
            return NotImplemented
        return self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


# A server uses a few dozen of them over and over. Peers choose what they send, so the cache has an end.
@lru_cache(maxsize=256)
def _parse_status(text: str) -> EnhancedStatusCode:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise LocalProtocolError(f"{text!r} is no enhanced status code such as 5.1.1 (RFC 3463 2)")
    severity, subject, detail = match.groups()
    return EnhancedStatusCode(int(severity), int(subject), int(detail))


class Reply:
    """What a server answers (RFC 5321 4.2).

    Two replies are equal when they say the same: code, enhanced status code and lines. Treat one as
    immutable: it is hashable and remembers its octets.

    Args:
        code: The reply code: digits of 2-5, 0-5 and 0-9.
        status: The enhanced status code, or None. Its class is the first digit of ``code``; a 3yz reply has
            none (RFC 2034 4).
        text: The text for people, without codes; a sequence has an item for each line. Printable ASCII,
            spaces and tabs. It may be long: ``encode()`` makes lines of it.

    Attributes:
        code: The reply code. A received one may have any second digit; judge it by :attr:`severity`.
        status: The enhanced status code, or None.
        lines: The lines of text, at least one, without codes. In a received reply they may hold any
            character but CR and LF: see :func:`printable`. Octets that are not UTF-8 are there as the
            latin-1 characters of the same number.

    Raises:
        LocalProtocolError: The code, the status or the text cannot be sent.
    """

    __slots__ = ("_octets", "_octets_without_status", "code", "lines", "status")
    __match_args__ = ("code", "status", "text")

    code: int
    status: EnhancedStatusCode | None
    lines: tuple[str, ...]
    _octets: bytes | None
    _octets_without_status: bytes | None

    def __init__(
        self, code: int, status: str | EnhancedStatusCode | None = None, text: str | Sequence[str] = ""
    ) -> None:
        if code not in _CODES_TO_SEND:
            raise LocalProtocolError(
                f"{code!r} is no reply code: the digits are 2-5, 0-5 and 0-9 (RFC 5321 4.2)"
            )
        if isinstance(status, str):
            status = _parse_status(status)
        if status is not None and status.severity != code // 100:
            raise LocalProtocolError(
                f"a {code} reply cannot have the enhanced status code {status}: its class is the first"
                " digit of the reply code, and a 3yz reply has none (RFC 2034 4)"
            )
        lines = (text,) if isinstance(text, str) else tuple(text) or ("",)
        for line in lines:
            if _TEXTSTRING.fullmatch(line) is None:
                raise LocalProtocolError(
                    f"reply text is printable ASCII, space and tab (RFC 5321 4.2), not {line!r};"
                    " Reply.sanitized() takes any text"
                )
        self.code = int(code)  # an IntEnum is welcome and need not be kept
        self.status = status
        self.lines = lines
        self._octets = self._octets_without_status = None

    @classmethod
    def sanitized(cls, code: int, status: str | EnhancedStatusCode | None, text: str) -> Reply:
        """A reply with text of unknown origin: an exception's, an application's, another server's.

        CR, LF and CRLF begin new lines, save at the end; each other character that cannot be sent becomes
        ``?``.

        Raises:
            LocalProtocolError: The code or the status cannot be sent; never for the text.
        """
        return cls(code, status, [_sendable(line) for line in _LINE_END.split(text.rstrip("\r\n"))])

    @classmethod
    def _received(cls, code: int, status: EnhancedStatusCode | None, lines: tuple[str, ...]) -> Reply:
        """What a server has sent, unchecked: it may hold what may not be sent."""
        reply = cls.__new__(cls)
        reply.code = code
        reply.status = status
        reply.lines = lines
        reply._octets = reply._octets_without_status = None
        return reply

    @property
    def text(self) -> str:
        """The lines, joined by LF."""
        return "\n".join(self.lines)

    @property
    def severity(self) -> int:
        """The first digit of the code: 2, 3, 4 or 5. It alone decides what happens (RFC 5321 4.2.1)."""
        return self.code // 100

    @property
    def is_success(self) -> bool:
        """2yz: done."""
        return self.severity == 2

    @property
    def is_intermediate(self) -> bool:
        """3yz: so far so good, go on."""
        return self.severity == 3

    @property
    def is_transient(self) -> bool:
        """4yz: failed for now; the same may succeed later."""
        return self.severity == 4

    @property
    def is_permanent(self) -> bool:
        """5yz: failed for good; do not try the same again."""
        return self.severity == 5

    def encode(self, *, enhanced: bool = True) -> bytes:
        """The octets of the reply, computed once.

        No line exceeds 512 octets (RFC 5321 4.5.3.1.5): longer text is divided at spaces. Every line bears
        the enhanced status code (RFC 2034 4). The space behind the codes is there even when no text is.

        What was received is made to fit: characters that cannot be sent become ``?``, and a code whose
        second digit cannot be sent becomes 250, 354, 450 or 550.

        Args:
            enhanced: Put in the enhanced status code. Replies to EHLO and HELO, and the opening of the
                connection, never have one.
        """
        octets = self._octets if enhanced else self._octets_without_status
        if octets is None:
            if enhanced and self.status is not None:
                octets = self._octets = self._encode(f"{self.status} ")
            else:
                # Without an enhanced status code both forms are one.
                octets = self._octets_without_status = self._encode("")
                if self.status is None:
                    self._octets = octets
        return octets

    def _encode(self, prefix: str) -> bytes:
        code = self.code if self.code in _CODES_TO_SEND else _BROADEST[self.severity]
        width = REPLY_LINE_LENGTH - len(f"{code} {prefix}\r\n")
        *head, last = [part for line in self.lines for part in _wrap(_sendable(line), width)]
        octets = f"{code} {prefix}{last}\r\n"
        if head:
            octets = "".join([f"{code}-{prefix}{line}\r\n" for line in head]) + octets
        return octets.encode("ascii")

    def __str__(self) -> str:
        """``550 5.1.1 no such user``: one line, fit for a terminal or a log whatever was received."""
        status = "" if self.status is None else f"{self.status} "
        return f"{self.code} {status}{printable(' '.join(self.lines))}".rstrip()

    def __repr__(self) -> str:
        status = None if self.status is None else str(self.status)
        return f"Reply({self.code}, {status!r}, {self.lines[0] if len(self.lines) == 1 else self.lines!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Reply):
            return NotImplemented
        return self.code == other.code and self.status == other.status and self.lines == other.lines

    def __hash__(self) -> int:
        return hash((self.code, self.status, self.lines))


class Refused(Exception):
    """A parser's way to say that a command is to be answered with this. It never leaves the core."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def _sendable(line: str) -> str:
    return _NOT_TEXTSTRING.sub("?", line)


def _wrap(line: str, width: int) -> list[str]:
    """Divide ``line`` at spaces, or within a word that is too long by itself, into parts of ``width``."""
    parts = []
    start = 0
    while len(line) - start > width:
        # A space at the very beginning is no place to divide at: it would leave an empty part.
        space = line.rfind(" ", start + 1, start + width + 1)
        if space < 0:
            parts.append(line[start : start + width])
            start += width
        else:
            parts.append(line[start:space])
            start = space + 1
    parts.append(line[start:])
    return parts


# --- The parser -------------------------------------------------------------------------------------------


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
        mask: Applied to what an error shows of the octets received; None: nothing is masked.
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
        self.mask: Callable[[str], str] | None = None
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
        if data[-1:] == b"\n" and not self._partial and not self._text:
            # Whole lines and nothing before them: nearly every read.
            self._text = str(data, "latin-1")
            return not self._lines
        pending = self.pending
        self._partial += data
        return not pending

    def next_reply(self) -> Reply | None:
        """The next complete reply, or None when more octets are needed.

        Raises:
            RemoteProtocolError: The next line is none that a reply can have, or a limit is exceeded. From
                then on every call raises this.
        """
        if self._error is not None:
            text, partial, line = self._error
            raise RemoteProtocolError(text, reply=partial, line=line)
        while self._start < len(self._text) or (self._partial and self._refill()):
            start = self._start
            if not self._lines:
                # Most of what a server says it has said before.
                end = self._text.find("\n", start) + 1
                reply = _recent.get(self._text[start:end])
                if reply is not None:
                    self._start = end
                    return reply
            match = _REPLY_LINE.match(self._text, start)
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
                        _parse_status(status) if status else None,
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
                return Reply._received(int(code), _parse_status(self._status) if self._status else None, lines)
        self._text = ""  # let go of the last read, and feed() may take its short way
        self._start = 0
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
        held = [self._shown(one) for one in self._lines]
        line = self._shown(_decode(line.rstrip("\r\n")))
        # How much has come of a line that is too long depends on the cutting, but it is at least so much.
        line = line[: min(_SHOWN, self._max_line - 2)]
        partial = None
        if held:
            status = _parse_status(self._status) if self._status else None
            partial = Reply._received(int(self._code), status, tuple(held))
        elif (mended := _REPLY_LINE.match(f"{line}\r\n")) is not None:
            code, _, _, status_text, text = mended.groups("")
            status = _parse_status(status_text) if status_text else None
            partial = Reply._received(int(code), status, (text,))
        if quoted:
            reason = f"not a valid SMTP reply: {reason}: {line!r}"
            if held:
                reason += f", after {f'{self._code}-{held[0]}'[:_SHOWN]!r}"
        line = printable(line)
        self._clear()
        self._error = (reason, partial, line)
        return RemoteProtocolError(reason, reply=partial, line=line)

    def _shown(self, text: str) -> str:
        return text if self.mask is None else self.mask(text)


def _decode(line: str) -> str:
    """Text that was decoded as latin-1, as UTF-8 if it is that. Either way no octet is lost."""
    try:
        return line.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return line


def printable(text: str) -> str:
    """``text`` with what a terminal might obey written out: ``\\x1b`` for ESC.

    That is control characters (C0, DEL, C1, so line ends too), line separators, characters that change the
    direction of writing or are invisible, and unpaired surrogates.
    """
    return text if text.isprintable() else _UNPRINTABLE.sub(_written_out, text)


def visible_ascii(text: str) -> str:
    """``text`` with everything but ``!`` to ``~`` written out: ``\\x1b`` for ESC, ``\\x20`` for a space."""
    return _NOT_VISIBLE_ASCII.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    if number < 256:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


# --- What the codes mean ----------------------------------------------------------------------------------


def describe(reply: Reply | int | str, status: EnhancedStatusCode | str | None = None) -> str:
    """Say for people what a reply means by its codes, whatever its text says.

    An unknown reply code is described by its first digit (RFC 5321 4.2.1), an unknown enhanced status code by
    its subject, or else by its class (RFC 3463 2).

    Args:
        reply: A reply; a reply code, 200 to 599; or the text of a reply as it stands in a log, such as
            ``"550 5.1.1 no such user"``. Of a text with several lines the first one counts.
        status: An enhanced status code, if ``reply`` is a reply code.

    Returns:
        The meaning of the reply code, then that of the enhanced status code if there is one:
        ``"mailbox unavailable, unknown or refused by policy; recipient mailbox does not exist"``.

    Raises:
        LocalProtocolError: The text does not begin with a reply code, the reply code is out of range, or the
            enhanced status code is not one or does not belong to the reply code (RFC 2034 4).
        TypeError: ``reply`` is something else, or ``status`` stands beside something that is not a reply code.
    """
    code, status = _codes_of(reply, status)
    severity = code // 100
    meaning = CODES.get(code) or SEVERITIES[severity]
    if status is None:
        return meaning
    detail = STATUSES.get(f"X.{status.subject}.{status.detail}") or SUBJECTS.get(status.subject)
    return f"{meaning}; {detail or SEVERITIES[status.severity]}"


def _codes_of(
    reply: Reply | int | str, status: EnhancedStatusCode | str | None
) -> tuple[int, EnhancedStatusCode | None]:
    if isinstance(reply, int):
        if not 200 <= reply <= 599:
            raise LocalProtocolError(f"{reply!r} is not a valid reply code: 200 to 599 (RFC 5321 4.2)")
        if isinstance(status, str):
            status = _parse_status(status)
        if status is not None and status.severity != reply // 100:
            raise LocalProtocolError(
                f"the enhanced status code {status} does not belong to a {reply} reply: its class is the first"
                " digit of the reply code (RFC 2034 4)"
            )
        return int(reply), status
    if status is not None:
        raise TypeError("describe() takes an enhanced status code beside a reply code only")
    if isinstance(reply, Reply):
        return reply.code, reply.status
    if not isinstance(reply, str):
        raise TypeError(f"describe() takes a Reply, a reply code or the text of a reply, not {reply!r}")
    line = _LINE_END.split(reply.strip(), 1)[0]
    match = _REPLY_LINE.fullmatch(f"{line}\r\n")
    if match is None:
        raise LocalProtocolError(
            f"{printable(line[:_SHOWN])!r} does not begin with a reply code, such as 550 (RFC 5321 4.2)"
        )
    return int(match[1]), _parse_status(match[4]) if match[4] else None


# By first digit (RFC 5321 4.2.1), or by class (RFC 3463 3.1): these agree.
SEVERITIES: Final[dict[int, str]] = {
    2: "success",
    3: "accepted so far, more is expected",
    4: "temporary failure, worth another try later",
    5: "permanent failure, not to be tried again unchanged",
}

# The reply codes of RFC 5321 4.2.3 and of the extensions, and those that only the registry of RFC 5248 names.
CODES: Final[dict[int, str]] = {
    211: "system status or help",
    214: "help for a human reader",
    220: "service ready",
    221: "goodbye, the connection is being closed",
    235: "authentication succeeded",
    250: "done as requested",
    251: "user is elsewhere and mail will be forwarded (ETRN: nothing is waiting)",
    252: "user not verified but mail will be tried (ETRN: delivery of waiting mail has started)",
    253: "delivery of a number of waiting messages has started",
    334: "next step of the authentication, with a challenge in base64",
    354: "ready for the message, which a line with a single dot ends",
    355: "interrupted transaction can be resumed from this offset",
    421: "service not available, the connection is being closed",
    422: "password has to be converted for this mechanism",
    430: "command not possible now",
    432: "password has to be converted for this mechanism: log in with PLAIN once",
    450: "mailbox unavailable for now: busy, or held off by policy",
    451: "given up because of an error in processing",
    452: "not enough storage, or too many recipients at once",
    453: "no mail is waiting for you",
    454: "TLS or authentication is unavailable for now",
    455: "parameters cannot be honoured for now",
    458: "mail waiting for this node cannot be queued",
    459: "node not allowed to ask for its mail",
    500: "command not recognized, or its line too long",
    501: "error in the arguments, or authentication broken off",
    502: "command not implemented",
    503: "command out of order",
    504: "argument or mechanism not implemented",
    521: "host never accepts mail",
    523: "encryption needed",
    524: "encryption needed for this mechanism",
    525: "account disabled",
    530: "authentication or TLS has to come first",
    533: "not authorized",
    534: "mechanism too weak",
    535: "credentials not accepted",
    538: "encryption required for this mechanism",
    550: "mailbox unavailable, unknown or refused by policy",
    551: "user is elsewhere and mail is not forwarded",
    552: "message too big, or the storage allotted is used up",
    553: "mailbox name not allowed",
    554: "transaction failed, or no mail service here",
    555: "parameter of MAIL or RCPT unknown or not implemented",
    556: "domain of the recipient accepts no mail",
}

# RFC 3463 3.2 to 3.8.
SUBJECTS: Final[dict[int, str]] = {
    0: "about nothing in particular",
    1: "about an address",
    2: "about the mailbox",
    3: "about the mail system",
    4: "about the network or routing",
    5: "about the protocol",
    6: "about the content",
    7: "about security or policy",
}

# The registry of RFC 5248, whatever the class: RFC 3463, and where another RFC stands behind the entry, that.
STATUSES: Final[dict[str, str]] = {
    "X.0.0": "nothing more to say",
    "X.1.0": "address status",
    "X.1.1": "recipient mailbox does not exist",
    "X.1.2": "recipient domain does not exist or takes no mail",
    "X.1.3": "recipient address malformed",
    "X.1.4": "recipient address ambiguous",
    "X.1.5": "recipient address valid",
    "X.1.6": "recipient has moved and left no new address",
    "X.1.7": "sender address malformed",
    "X.1.8": "sender domain does not exist or takes no mail",
    "X.1.9": "relayed to a system without the extension asked for",  # RFC 3886
    "X.1.10": "recipient domain has a null MX",  # RFC 7505
    "X.2.0": "mailbox status",
    "X.2.1": "mailbox disabled",
    "X.2.2": "mailbox full",
    "X.2.3": "message longer than the mailbox allows",
    "X.2.4": "mailing list cannot be expanded",
    "X.3.0": "mail system status",
    "X.3.1": "storage of the mail system full",
    "X.3.2": "mail system not accepting messages",
    "X.3.3": "mail system lacks a feature asked for",
    "X.3.4": "message too big for the mail system",
    "X.3.5": "mail system misconfigured",
    "X.3.6": "priority changed",  # RFC 6710
    "X.4.0": "network or routing status",
    "X.4.1": "no answer from the next host",
    "X.4.2": "connection lost or timed out",
    "X.4.3": "directory or DNS failure",
    "X.4.4": "no route to the destination",
    "X.4.5": "mail system congested",
    "X.4.6": "routing loop",
    "X.4.7": "time for delivery used up",
    "X.5.0": "protocol status",
    "X.5.1": "command invalid or out of order",
    "X.5.2": "syntax error",
    "X.5.3": "too many recipients",
    "X.5.4": "arguments invalid",
    "X.5.5": "wrong version of the protocol",
    "X.5.6": "line of the authentication too long",  # RFC 4954
    "X.6.0": "content status",
    "X.6.1": "media type not supported",
    "X.6.2": "conversion needed but forbidden",
    "X.6.3": "conversion needed but not supported",
    "X.6.4": "converted with loss",
    "X.6.5": "conversion failed",
    "X.6.6": "content cannot be fetched",  # RFC 4468
    "X.6.7": "address with non-ASCII characters not permitted",  # RFC 6531
    "X.6.8": "answer would need UTF-8",  # RFC 6531
    "X.6.9": "recipient cannot get a message with a UTF-8 header",  # RFC 6531
    "X.6.10": "answer would need UTF-8 (superseded by X.6.8)",  # RFC 6531
    "X.7.0": "security status",
    "X.7.1": "not authorized, refused",
    "X.7.2": "expansion of the mailing list prohibited",
    "X.7.3": "conversion between security schemes needed but impossible",
    "X.7.4": "security feature not supported",
    "X.7.5": "cryptographic failure",
    "X.7.6": "cryptographic algorithm not supported",
    "X.7.7": "message integrity damaged",
    "X.7.8": "credentials invalid",  # RFC 4954
    "X.7.9": "authentication mechanism too weak",  # RFC 4954
    "X.7.10": "encryption needed",  # RFC 5248
    "X.7.11": "encryption required for the authentication mechanism",  # RFC 4954
    "X.7.12": "password has to be converted",  # RFC 4954
    "X.7.13": "account disabled",  # RFC 5248
    "X.7.14": "third server has to be trusted first",  # RFC 5248
    "X.7.15": "priority too low",  # RFC 6710
    "X.7.16": "message too big for its priority",  # RFC 6710
    "X.7.17": "mailbox has a new owner",  # RFC 7293
    "X.7.18": "domain has a new owner",  # RFC 7293
    "X.7.19": "change of owner cannot be checked",  # RFC 7293
    "X.7.20": "no valid DKIM signature",  # RFC 7372
    "X.7.21": "no acceptable DKIM signature",  # RFC 7372
    "X.7.22": "no valid DKIM signature of the author's domain",  # RFC 7372
    "X.7.23": "SPF check failed",  # RFC 7372
    "X.7.24": "SPF check impossible",  # RFC 7372
    "X.7.25": "reverse DNS of the client wrong",  # RFC 7372
    "X.7.26": "several authentication checks of the message failed",  # RFC 7372
    "X.7.27": "sender domain has a null MX",  # RFC 7505
    "X.7.28": "looks like part of a flood of mail",
    "X.7.29": "ARC check failed",  # RFC 8617
    "X.7.30": "REQUIRETLS needed",  # RFC 8689
}
