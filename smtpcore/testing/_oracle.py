"""An oracle over a dialogue: which reply the standard allows at which moment.

**The problem.** Most replies are a matter of taste: a server may refuse whatever it likes, in its own words.
What it may not do is little, and follows from the tables of the state machine: succeed where the state does not
allow it, succeed with a code of another command, reply to what was not sent, or accept what is not there.

**The strategy.** The oracle follows both directions as a client does. What the client has sent waits in a
queue; each reply belongs to its oldest item and is judged by the state in which the server was by then. The
tables are those of the connections (``Rules``), so the commands of extensions are known by their values.

**Latitude.** A server may accept MAIL without EHLO, and reply 354 without a recipient (RFC 5321 3.3). It may
close the connection at any moment, with 421 or without. An early refusal of content is permitted; what follows
it is not judged.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from .._core.addresses import parse_mailbox
from .._core.commands import verb_of
from .._core.config import Extension
from .._core.errors import LocalProtocolError
from .._core.events import Connect, Data, Ehlo, EndOfMessage, Event, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from .._core.rules import rules_for
from .._core.state import HANDSHAKEN, State, after
from ..extensions import STANDARD
from ..extensions.auth import Auth

# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF         ; RFC 5321 4.2
# Octets above 127 in the text are not judged: many servers send UTF-8.
_REPLY: Final = re.compile(
    rb"(?:([2-5][0-9][0-9])-[^\r\n\0]*+\r\n(?=\1))*([2-5][0-9][0-9])(?: ([^\r\n\0]*))?\r\n"
)
_MIDDLE: Final = re.compile(rb"([2-5][0-9][0-9])-[^\r\n\0]*")
BDAT: Final = re.compile(rb"BDAT ([0-9]{1,20})( LAST)?", re.IGNORECASE)
_PATH: Final = re.compile(r"[^:]*:\s*<?(?:@[^:]*:)?(\"(?>(?:[^\"\\]++|\\.)*)\"@[^> ]*|[^> ]*)>?")

_BASE: Final[dict[str, type[Event]]] = {
    kind.verb: kind for kind in (Ehlo, Helo, Mail, Rcpt, Data, Rset, Noop, Quit, Vrfy)
}


class Violation(AssertionError):
    """A reply that the standard does not allow, or a message that is not what was sent.

    Attributes:
        reason: What is wrong, in one sentence.
        dialogue: The dialogue up to there, as lines of text. That of a server is a script for
            :class:`ScriptedClient`.
    """

    def __init__(self, reason: str, dialogue: Sequence[str]) -> None:
        super().__init__("\n".join([reason, *dialogue]))
        self.reason = reason
        self.dialogue = tuple(dialogue)


@dataclass(frozen=True)
class Message:
    """A message as the client has sent it.

    Attributes:
        sender: The reverse-path.
        recipients: The forward-paths that were accepted.
        content: The octets, dot-stuffing removed.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(frozen=True)
class _Sent:
    """Something that gets one reply.

    ``kind`` is None for a line that is not a command. ``wrong``: it must not succeed.
    """

    kind: type[Event] | None
    line: bytes
    wrong: bool = False
    chunk: bytes | None = None
    last: bool = False

    @property
    def name(self) -> str:
        if self.kind is Connect:
            return "the connection"
        if self.kind is EndOfMessage and self.chunk is None:
            return "the end of the content"
        return shown(self.line)


def shown(octets: bytes) -> str:
    """A line as it is shown, short and safe; as in a script, where a space at the end would be lost."""
    text = "".join(
        chr(one)
        if 32 <= one < 127 and one != 92
        else {13: "\\r", 10: "\\n", 92: "\\\\"}.get(one, f"\\x{one:02x}")
        for one in octets[:120]
    )
    if text.endswith(" "):
        text = f"{text[:-1]}\\x20"
    return text if len(octets) <= 120 else f"{text}... [{len(octets)} octets]"


class Oracle:
    """Follows a dialogue, and raises :class:`Violation` at the first reply that is not allowed.

    Args:
        extensions: The extensions whose commands are known. None: the standard ones.

    Attributes:
        state: Where the session is.
        offered: The keywords of the last reply to EHLO, with their arguments.
        accepted: The messages that the server has taken the responsibility for.
        closed: The session is over.
        lost: It cannot be followed any more, and is not judged.
        lines: The dialogue as text.
    """

    def __init__(self, extensions: Sequence[Extension] | None = None) -> None:
        self._rules = rules_for(STANDARD if extensions is None else tuple(extensions))
        self.state = State.OPENING
        self.offered: dict[str, tuple[str, ...]] = {}
        self.accepted: list[Message] = []
        self.closed = False
        self.lost = False
        self.lines: list[str] = []
        self._outstanding: deque[_Sent] = deque([_Sent(Connect, b"")])
        self._received = b""
        self._sender = ""
        self._recipients: list[str] = []
        self._chunks = b""

    # -- what the client does --

    @property
    def outstanding(self) -> int:
        """How many replies are missing."""
        return len(self._outstanding)

    def sent_line(self, line: bytes, *, wrong: bool = False) -> None:
        """A command line, or a response within AUTH, was sent.

        Args:
            line: Without its CRLF.
            wrong: It is not valid, so it must not be accepted.
        """
        self.lines.append(f"C: {shown(line)}")
        if self.state is State.AUTHENTICATING:
            self._outstanding.append(_Sent(Auth, line))
            return
        verb = verb_of(line[:64].decode("latin-1"))
        spec = self._rules.verbs.get(verb)
        kind = _BASE.get(verb) if spec is None else spec.event
        self._outstanding.append(_Sent(kind, line, wrong))

    def sent_chunk(self, line: bytes, octets: bytes) -> None:
        """BDAT with its octets was sent.

        Args:
            line: The command, without its CRLF.
            octets: What follows it.
        """
        match = BDAT.fullmatch(line)
        last = match is not None and match[2] is not None
        self.lines.append(f"C: {shown(line)}")
        if octets:
            self.lines.append(f"C> {shown(octets)}")
        self._outstanding.append(_Sent(EndOfMessage, line, match is None, octets, last))

    def sent_content(self, content: bytes, *, ended: bool) -> None:
        """Content was sent, after 354.

        Args:
            content: All of it, before dot-stuffing.
            ended: The final dot was sent as well.
        """
        if ended:
            self._chunks = content
            self._outstanding.append(_Sent(EndOfMessage, b"."))

    def note(self, text: str) -> None:
        """Add a line to the dialogue."""
        self.lines.append(text)

    def tls_started(self) -> None:
        """The TLS handshake is done: everything begins anew (RFC 3207 4.2)."""
        self.lines.append("TLS")
        self.state = HANDSHAKEN[self.state]
        self.offered = {}
        self._received = b""

    # -- what the server does --

    def received(self, octets: bytes) -> None:
        """Judge what the server has sent.

        Raises:
            Violation: It is not allowed.
        """
        self._received += octets
        while self._received and not self.lost:
            match = _REPLY.match(self._received)
            if match is None:
                if b"\n" in self._received and not _may_go_on(self._received):
                    self.lines.append(f"S> {shown(self._received)}")
                    self.fail("this is not a reply (RFC 5321 4.2)")
                return
            whole, self._received = match[0], self._received[match.end() :]
            self.lines += [f"S: {shown(line)}" for line in whole.split(b"\r\n")[:-1]]
            self._judge(int(match[2]), whole)

    def quiet(self) -> None:
        """The server waits for the client.

        Raises:
            Violation: A reply is missing, or is not complete.
        """
        if self.closed or self.lost:
            return
        if self._received:
            self.lines.append(f"S> {shown(self._received)}")
            self.fail("this reply has no end")
        if self._outstanding:
            self.fail(f"there is no reply to {self._outstanding[0].name}")

    def ended(self) -> None:
        """The connection was closed, which a server may do at any moment."""
        self.lines.append("EOF S")
        self.closed = True

    def check_stored(self, stored: Sequence[tuple[str, Sequence[str], bytes]]) -> None:
        """Compare what the server has stored with what it has accepted.

        Args:
            stored: Sender, recipients and content of each message. The content may have fields before it.

        Raises:
            Violation: A message is missing, is there twice, or is not what was sent.
        """
        if self.lost:
            return
        if len(stored) != len(self.accepted):
            self.fail(f"{len(self.accepted)} messages were accepted, and {len(stored)} are stored")
        for message, (sender, recipients, content) in zip(self.accepted, stored, strict=True):
            if sorted(recipients) != sorted(message.recipients):
                self.fail(f"the message has other recipients: {', '.join(recipients)}")
            if sender != message.sender:
                self.fail(f"the message has another sender: {sender}")
            if _is_sound(message.content) and not (b"\r\n" + content).endswith(b"\r\n" + message.content):
                self.fail(f"the message was changed: {shown(content[-100:])}")

    def fail(self, reason: str) -> NoReturn:
        """Raise a violation.

        Args:
            reason: What is wrong.

        Raises:
            Violation: Always.
        """
        raise Violation(reason, self.lines)

    # -- how it is judged --

    def _judge(self, code: int, whole: bytes) -> None:
        if code == 421:
            self._outstanding.clear()
            self.closed = True
            self.state = State.CLOSED
            return
        if not self._outstanding:
            if self.state is State.CONTENT and code >= 400:
                self.lost = True  # an early refusal: the server may close, or read on
                return
            self.fail(
                "a reply to what was not sent"
                if self.state is not State.CONTENT
                else "a reply before the end of the content"
            )
        sent = self._outstanding.popleft()
        if code < 400:
            self._check_success(sent, code)
        self._go_on(sent, code, whole)

    def _check_success(self, sent: _Sent, code: int) -> None:
        if sent.wrong:
            self.fail(f"{sent.name} was accepted, and is not valid")
        kind = sent.kind
        if kind is None:
            self.lost = True  # a command that is not known here
            return
        if sent.chunk is not None:
            if code != 250:
                self.fail(f"{code} is not a success of BDAT")
            if not self._recipients:
                self.fail("a chunk was accepted without a recipient")
            return
        intermediate = kind is Auth and code == 334
        if not intermediate and code not in self._rules.success[kind]:
            self.fail(f"{code} is not a success of {sent.name}")
        if self.state is State.AUTHENTICATING and kind is Auth:
            return
        early_mail = kind is Mail and self.state is State.GREETED
        vain_data = kind is Data and self.state in (State.READY, State.MAIL)
        if kind not in self._rules.legal[self.state] and not (early_mail or vain_data):
            self.fail(f"{sent.name} was accepted out of order, in the state {self.state.value!r}")
        if kind is EndOfMessage and not self._recipients:
            self.fail("a message was accepted without a recipient")

    def _go_on(self, sent: _Sent, code: int, whole: bytes) -> None:
        kind = sent.kind
        if sent.chunk is not None:
            self._chunk_answered(sent, code)
            return
        if kind is None:
            return
        if kind is EndOfMessage:
            if code < 300:
                self.accepted.append(Message(self._sender, tuple(self._recipients), self._chunks))
            self._forget()
        if code < 300:
            self._succeeded(sent, whole)
        state = State.READY if kind is Mail and self.state is State.GREETED else self.state
        self.state = after(self._rules.after, kind, code, state)
        self.closed = self.closed or self.state is State.CLOSED
        if kind is Auth and code == 334 and self.state is not State.AUTHENTICATING:
            self.lost = True

    def _succeeded(self, sent: _Sent, whole: bytes) -> None:
        kind = sent.kind
        if kind is Mail:
            self._forget()
            self._sender = _mailbox_in(sent.line)
        elif kind is Rcpt:
            self._recipients.append(_mailbox_in(sent.line))
        elif kind in (Ehlo, Helo, Rset):
            self._forget()
            if kind is Ehlo:
                words = [line[4:].decode("latin-1").split() for line in whole.split(b"\r\n")[1:-1]]
                self.offered = {one[0].upper(): tuple(one[1:]) for one in words if one}
            elif kind is Helo:
                self.offered = {}

    def _chunk_answered(self, sent: _Sent, code: int) -> None:
        if code >= 400:
            # What the transaction is after a refused chunk is for the server to say (RFC 3030 2).
            self._chunks = b""
            if self._recipients:
                self.lost = True
            return
        self._chunks += sent.chunk or b""
        if sent.last:
            self.accepted.append(Message(self._sender, tuple(self._recipients), self._chunks))
            self._forget()
            self.state = State.READY

    def _forget(self) -> None:
        self._sender, self._recipients, self._chunks = "", [], b""


def _may_go_on(octets: bytes) -> bool:
    """Whether these octets, which are not a whole reply, are the beginning of one with several lines."""
    *lines, rest = octets.split(b"\r\n")
    codes = {match[1] if (match := _MIDDLE.fullmatch(line)) else None for line in lines}
    return codes == {lines[0][:3]} and b"\n" not in rest and lines[0].startswith(rest[:3])


def _mailbox_in(line: bytes) -> str:
    """The mailbox of MAIL or RCPT, as far as it can be told."""
    text = line.decode("utf-8", "replace")
    match = _PATH.match(text)
    mailbox = "" if match is None else match[1]
    try:
        return parse_mailbox(mailbox, smtputf8=True)
    except LocalProtocolError:
        return mailbox


def _is_sound(content: bytes) -> bool:
    """Whether a server has no reason to change the content."""
    rest = content.replace(b"\r\n", b"")
    return not any(one in rest for one in b"\r\n\0") and content.isascii()
