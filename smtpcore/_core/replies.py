"""Replies: the value, and its octets as they are sent.

A reply is a code, an enhanced status code if it has one, and lines of text for people (RFC 5321 4.2, RFC 2034).
Both roles use one class. Replies to send and replies received differ in how they are made:

* ``Reply(...)`` and ``Reply.parse(...)`` make a reply to *send*. It holds only what the grammar allows: CR, LF
  and NUL cannot be inside, so no text can become a second reply. ``Reply.sanitized(...)`` accepts text of
  unknown origin and replaces what cannot be sent.
* ``replyparser`` makes the replies *received*. Servers send any text, and no session is given up for it: any
  octet but CR and LF may be inside, and codes such as 571 are accepted. ``encode()`` replaces what cannot be
  sent, so a reply received from one side can be sent to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from .codes import CODES, SEVERITIES, STATUSES, SUBJECTS
from .errors import LocalProtocolError, wrong_type
from .expressions import expression
from .printable import printable

REPLY_LINE_LENGTH: Final = 512
"""Octets of a reply line as it is sent, with its code and CRLF (RFC 5321 4.5.3.1.5)."""

# status-code   = class "." subject "." detail                                             ; RFC 3463 2
# subject       = 1*3DIGIT     ; without leading zeros
# detail        = 1*3DIGIT     ; the same
_NUMBER = r"(?:0|[1-9][0-9]{0,2}+)"
_STATUS = expression(rf"([245])\.({_NUMBER})\.({_NUMBER})")

# textstring    = 1*(%d09 / %d32-126) ; HT, SP, Printable US-ASCII
_TEXTSTRING = expression(r"[\t -~]*+")
_NOT_TEXTSTRING = expression(r"[^\t -~]")
_LINE_END = expression(r"\r\n?|\n")

# Reply-line    = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
# Reply-code    = %x32-35 %x30-35 %x30-39
# text          = status-code SP textstring          ; RFC 2034 4, not in 3yz
#
# One line of it, as it is understood: any second digit, any octet in the text, the SP and the text may be
# missing. A status code only counts as one when its class is the first digit of the reply code.
REPLY_LINE: Final = expression(
    r"(([2-5])[0-9][0-9])"
    rf"(?>(?:([ -])(?>(?:((?!3)\2\.{_NUMBER}\.{_NUMBER})(?:[ ]|(?=\r)))?)([^\r\n]*+))?)"
    r"\r\n"
)

# Reply-code as it is sent.
_CODES_TO_SEND = frozenset(code for code in range(200, 560) if code // 10 % 10 <= 5)
# What stands in for a received code whose second digit the grammar does not know: the broadest of its kind.
_BROADEST = {2: 250, 3: 354, 4: 450, 5: 550}


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
                f"{self._text} is not a valid enhanced status code:"
                " the class is 2, 4 or 5, the numbers are 0 to 999 (RFC 3463 2)"
            )
        self.severity = severity
        self.subject = subject
        self.detail = detail

    @staticmethod
    def parse(text: str) -> EnhancedStatusCode:
        """Read ``"5.1.1"``.

        Raises:
            LocalProtocolError: It is not a valid enhanced status code (RFC 3463 2).
        """
        return parse_status(text)

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
def parse_status(text: str) -> EnhancedStatusCode:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise LocalProtocolError(f"{text!r} is not a valid enhanced status code such as 5.1.1 (RFC 3463 2)")
    severity, subject, detail = match.groups()
    return EnhancedStatusCode(int(severity), int(subject), int(detail))


def _lines_of(text: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(text, Sequence) or not all(isinstance(line, str) for line in text):
        raise wrong_type("text", "a string, or a sequence with a string for each line", text)
    return tuple(text) or ("",)


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
        LocalProtocolError: The code, the status or the text cannot be sent. If the status or the text has the
            wrong type, the error is a TypeError as well.
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
                f"{code!r} is not a valid reply code: the digits are 2-5, 0-5 and 0-9 (RFC 5321 4.2)"
            )
        if isinstance(status, str):
            status = parse_status(status)
        elif status is not None and not isinstance(status, EnhancedStatusCode):
            raise wrong_type("status", "an enhanced status code such as '5.1.1', or None", status)
        if status is not None and status.severity != code // 100:
            raise LocalProtocolError(
                f"a {code} reply cannot have the enhanced status code {status}: its class is the first"
                " digit of the reply code, and a 3yz reply has none (RFC 2034 4)"
            )
        lines = (text,) if isinstance(text, str) else _lines_of(text)
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
    def parse(cls, text: str) -> Reply:
        """Read a reply as it stands on the wire or in a log: ``"550 5.1.1 no such user"``.

        Args:
            text: One or more lines, separated by LF or CRLF; each begins with the same reply code, then ``-``,
                or a space in the last line (RFC 5321 4.2.1). The first line has the enhanced status code; a
                different one in a further line is text. The end of the last line may be missing.

        Raises:
            LocalProtocolError: The text is not one whole reply, or a reply that cannot be sent.
        """
        lines = text.removesuffix("\n").removesuffix("\r").replace("\r\n", "\n").split("\n")
        code = lines[0][:3]
        status: str | None = None
        texts = []
        for number, line in enumerate(lines, 1):
            match = REPLY_LINE.fullmatch(f"{line}\r\n")
            if match is None or match[1] != code or (match[3] == "-") == (number == len(lines)):
                raise LocalProtocolError(
                    f"{text!r} is not one whole reply, such as '550 5.1.1 no such user': each line begins with"
                    " the same reply code, and each line but the last has '-' after it (RFC 5321 4.2.1)"
                )
            if number == 1:
                status = match[4]
            texts.append(match[5] or "" if match[4] == status else line[4:])
        return cls(int(code), status, texts)

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
        the enhanced status code (RFC 2034 4). The space after the codes is there even when no text is.

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
        # A space at the very beginning must not divide the line: it would leave an empty part.
        space = line.rfind(" ", start + 1, start + width + 1)
        if space < 0:
            parts.append(line[start : start + width])
            start += width
        else:
            parts.append(line[start:space])
            start = space + 1
    parts.append(line[start:])
    return parts


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
            status = parse_status(status)
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
    match = REPLY_LINE.fullmatch(f"{line}\r\n")
    if match is None:
        raise LocalProtocolError(
            f"{printable(line[: REPLY_LINE_LENGTH - 2])!r} does not begin with a reply code, such as 550"
            " (RFC 5321 4.2)"
        )
    return int(match[1]), parse_status(match[4]) if match[4] else None
