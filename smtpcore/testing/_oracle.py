"""An oracle over a dialogue: which reply the standard allows at which moment.

**The problem.** Most replies are a matter of taste: a server may refuse whatever it likes, in its own words.
What it may not do is little, and follows from the tables of the state machine: succeed where the state does not
allow it, succeed with a code of another command, reply to what was not sent, or accept what is not there.

**The strategy.** The oracle follows both directions as a client does. What the client has sent waits in a
queue; each reply belongs to its oldest item and is judged by the state in which the server was by then. The
tables are those of the connections (``Rules``), so the commands of extensions are known by their values.

**Latitude.** A server may accept MAIL without EHLO, and reply 354 without a recipient (RFC 5321 3.3). It may
close the connection at any moment, with 421 or without. An early refusal of content is permitted; what follows
it is not judged. STARTTLS within a transaction may succeed. A server may refuse any command, but not as an
error of the protocol if each server has to know the command (RFC 5321 4.5.1), and it is legal in the state.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from .._core.addresses import parse_mailbox
from .._core.commands import verb_of
from .._core.config import Extension
from .._core.errors import LocalProtocolError
from .._core.events import Connect, Data, Ehlo, EndOfMessage, Event, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from .._core.grammar import EHLO_KEYWORD
from .._core.rules import rules_for
from .._core.state import HANDSHAKEN, State, after
from ..extensions import STANDARD
from ..extensions.auth import Auth
from ..extensions.starttls import StartTls
from ._stored import Message, difference, shown

# Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF         ; RFC 5321 4.2
# Octets above 127 in the text are not judged: many servers send UTF-8.
_REPLY: Final = re.compile(
    rb"(?:([2-5][0-9][0-9])-[^\r\n\0]*+\r\n(?=\1))*([2-5][0-9][0-9])(?: ([^\r\n\0]*))?\r\n"
)
_MIDDLE: Final = re.compile(rb"([2-5][0-9][0-9])-[^\r\n\0]*")
BDAT: Final = re.compile(rb"BDAT ([0-9]{1,20})( LAST)?", re.IGNORECASE)
_PATH: Final = re.compile(r"[^:]*:\s*<?(?:@[^:]*:)?(\"(?>(?:[^\"\\]++|\\.)*)\"@[^> ]*|[^> ]*)>?")

# Commands that each server has to know, in a form that each has to read (RFC 5321 4.1.1, 4.5.1).
_DOMAIN: Final = rb"(?:[A-Z0-9]++\.)*[A-Z][A-Z0-9]*+"
_MAILBOX: Final = rb"[A-Z0-9]++(?:\.[A-Z0-9]++)*@" + _DOMAIN
_KNOWN: Final = re.compile(
    rb"(?:EHLO|HELO) " + _DOMAIN + rb"|MAIL FROM:<(?:" + _MAILBOX + rb")?>|RCPT TO:<(?:" + _MAILBOX
    + rb"|Postmaster)>|DATA|RSET|NOOP|QUIT",
    re.IGNORECASE,
)  # fmt: skip
# A reply that calls a command an error of the protocol. With an enhanced code of another subject it does not:
# 501 5.1.8 refuses a domain that does not exist (RFC 3463 3).
_PROTOCOL_ERROR: Final = re.compile(rb"50[0-3](?: 5\.5\.| (?![245]\.[0-9]+\.[0-9])|\r|-)")
_ENHANCED: Final = re.compile(rb"([0-9])[0-9][0-9][- ]([245])\.[0-9]{1,3}\.[0-9]{1,3}(?: |\r|$)")
_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_EIGHT_BIT: Final = re.compile(rb" BODY=8BITMIME\b", re.IGNORECASE)
_EMPTY_PATH: Final = re.compile(rb"RCPT TO:<>", re.IGNORECASE)
_LONGEST_REPLY: Final = 512  # octets of a line (RFC 5321 4.5.3.1.5)

_SHORT: Final = 80  # octets of a command: shorter than any limit (RFC 5321 4.5.3.1)
_UNKNOWN: Final = (b"500", b"555")  # replies to a command or a parameter that a server does not know

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
class _Sent:
    """Something that gets one reply.

    ``kind`` is None for a line that is not a command. ``wrong``: it must not succeed. ``known``: the server has
    offered what is in it, so it must not reply that it does not know it.
    """

    kind: type[Event] | None
    line: bytes
    wrong: bool = False
    known: bool = False
    chunk: bytes | None = None
    last: bool = False

    @property
    def name(self) -> str:
        if self.kind is Connect:
            return "the connection"
        if self.kind is EndOfMessage and self.chunk is None:
            return "the end of the content"
        return shown(self.line)


class Oracle:
    """Follows a dialogue, and raises :class:`Violation` at the first reply that is not allowed.

    Args:
        extensions: The extensions whose commands are known. None: the standard ones.

    Attributes:
        state: Where the session is.
        offered: The keywords of the last reply to EHLO, with their arguments.
        accepted: The messages that the server has taken the responsibility for.
        authenticated: AUTH has succeeded.
        closed: The session is over.
        lost: It cannot be followed any more, and is not judged.
        lines: The dialogue as text.
        violation: What was found.
    """

    def __init__(self, extensions: Sequence[Extension] | None = None) -> None:
        self._rules = rules_for(STANDARD if extensions is None else tuple(extensions))
        self.state = State.OPENING
        self.offered: dict[str, tuple[str, ...]] = {}
        self.accepted: list[Message] = []
        self.closed = False
        self.lost = False
        self.authenticated = False
        self.lines: list[str] = []
        self.violation: Violation | None = None
        self._outstanding: deque[_Sent] = deque([_Sent(Connect, b"")])
        self._received = b""
        self._sender = ""
        self._recipients: list[str] = []
        self._chunks = b""
        self._chunking = False  # a chunk was accepted that was not the last one
        self._unclear = False  # BDAT was refused, or DATA after it; RSET makes the state clear (RFC 3030 2)
        self._eight_bit = False
        self._tls = False

    # -- what the client does --

    @property
    def keywords(self) -> Container[str]:
        """The keywords of the extensions that are known."""
        return self._rules.by_keyword

    @property
    def outstanding(self) -> int:
        """How many replies are missing."""
        return len(self._outstanding)

    def sent_line(self, line: bytes, *, wrong: bool = False, known: bool = False) -> None:
        """A command line, or a response within AUTH, was sent.

        Args:
            line: Without its CRLF.
            wrong: It is not valid, so it must not be accepted.
            known: It is of an extension that the server offers, so the server has to know it.
        """
        self.lines.append(f"C: {shown(line)}")
        if self.state is State.AUTHENTICATING:
            self._outstanding.append(_Sent(Auth, line))
            return
        verb = verb_of(line[:64].decode("latin-1"))
        spec = self._rules.verbs.get(verb)
        kind = _BASE.get(verb) if spec is None else spec.event
        # A forward-path is never empty (RFC 5321 4.1.1.3).
        wrong = wrong or _EMPTY_PATH.match(line) is not None
        self._outstanding.append(_Sent(kind, line, wrong, known))

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
        self._outstanding.append(_Sent(EndOfMessage, line, match is None, chunk=octets, last=last))

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
        self._tls, self.authenticated = True, False
        self.offered = {}
        self._forget()
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
            self._check_lines(whole)
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
        for message, one in zip(self.accepted, stored, strict=True):
            if (reason := difference(message, *one)) is not None:
                self.fail(reason)

    def fail(self, reason: str) -> NoReturn:
        """Raise a violation.

        Args:
            reason: What is wrong.

        Raises:
            Violation: Always.
        """
        self.violation = Violation(reason, self.lines)
        raise self.violation

    # -- how it is judged --

    def _check_lines(self, whole: bytes) -> None:
        for line in whole.split(b"\r\n")[:-1]:
            if len(line) + 2 > _LONGEST_REPLY:
                self.fail(f"a reply line has {len(line) + 2} octets, of {_LONGEST_REPLY} (RFC 5321 4.5.3.1.5)")
            match = _ENHANCED.match(line) if "ENHANCEDSTATUSCODES" in self.offered else None
            if match is not None and match[1] != match[2]:
                self.fail("the enhanced status code is of another class than the reply code (RFC 2034 4)")

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
        else:
            self._check_refusal(sent, whole)
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
        if kind is Auth:
            self._check_auth(sent)
        if self.state is State.AUTHENTICATING and kind is Auth:
            return
        early_mail = kind is Mail and self.state is State.GREETED
        vain_data = kind is Data and self.state in (State.READY, State.MAIL)
        late_tls = kind is StartTls and self.state in (State.MAIL, State.RCPT)
        if kind not in self._rules.legal[self.state] and not (early_mail or vain_data or late_tls):
            self.fail(f"{sent.name} was accepted out of order, in the state {self.state.value!r}")
        if kind is EndOfMessage and not self._recipients:
            self.fail("a message was accepted without a recipient")
        if kind is Data and self._chunking:
            self.fail("DATA was accepted after BDAT in a transaction (RFC 3030 2)")

    def _check_auth(self, sent: _Sent) -> None:
        """Judge 235 or 334."""
        if self.state is not State.AUTHENTICATING:
            if self.authenticated:
                self.fail("AUTH was accepted after it had succeeded (RFC 4954 4)")
        elif sent.line == b"*":
            self.fail("AUTH was cancelled, and goes on (RFC 4954 4)")
        elif _BASE64.fullmatch(sent.line) is None:
            self.fail(f"{sent.name} was accepted within AUTH, and is not base64 (RFC 4954 4)")

    def _check_refusal(self, sent: _Sent, whole: bytes) -> None:
        mixed = self._chunking and sent.kind in (Rcpt, Data)
        legal = sent.kind in self._rules.legal[self.state] and not (mixed or self._unclear)
        self._unclear = self._unclear or mixed or sent.chunk is not None
        if sent.known and whole.startswith(_UNKNOWN):
            self.fail(f"{sent.name} is offered, and not known")
        if legal and len(sent.line) <= _SHORT and _KNOWN.fullmatch(sent.line) and _PROTOCOL_ERROR.match(whole):
            self.fail(f"{sent.name} is legal here, and refused with {whole[:3].decode()} (RFC 5321 4.5.1)")

    def _go_on(self, sent: _Sent, code: int, whole: bytes) -> None:
        kind = sent.kind
        if sent.chunk is not None:
            self._chunk_answered(sent, code)
            return
        if kind is None:
            return
        if kind is EndOfMessage:
            if code < 300:
                self._accept()
            self._forget()
        if code < 300:
            self._succeeded(sent, whole)
            self.authenticated = self.authenticated or kind is Auth
        early_mail = kind is Mail and self.state is State.GREETED
        late_tls = kind is StartTls and code < 300
        state = State.READY if early_mail or late_tls else self.state
        self.state = after(self._rules.after, kind, code, state)
        self.closed = self.closed or self.state is State.CLOSED
        if kind is Auth and code == 334 and self.state is not State.AUTHENTICATING:
            self.lost = True

    def _succeeded(self, sent: _Sent, whole: bytes) -> None:
        kind = sent.kind
        if kind is Mail:
            self._forget()
            self._sender = _mailbox_in(sent.line)
            self._eight_bit = _EIGHT_BIT.search(sent.line) is not None
        elif kind is Rcpt:
            self._recipients.append(_mailbox_in(sent.line))
        elif kind in (Ehlo, Helo, Rset):
            self._forget()
            self._unclear = False
            if kind is Ehlo:
                self._read_offer(whole.split(b"\r\n")[1:-1])
            elif kind is Helo:
                self.offered = {}

    def _read_offer(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            keyword = line[4:].rstrip().partition(b" ")[0].decode("latin-1")
            # "AUTH=" stands in the replies of many servers, for clients older than RFC 2554, and empty lines in
            # those of some.
            old = not line[4:].strip() or keyword.upper().startswith("AUTH=")
            if not old and EHLO_KEYWORD.fullmatch(keyword) is None:
                self.fail("a line of the reply to EHLO does not begin with a keyword (RFC 5321 4.1.1.1)")
        words = [line[4:].decode("latin-1").split() for line in lines]
        self.offered = {one[0].upper(): tuple(one[1:]) for one in words if one}
        if self._tls and StartTls.verb in self.offered:
            self.fail("STARTTLS is offered after the TLS handshake (RFC 3207 4.2)")

    def _chunk_answered(self, sent: _Sent, code: int) -> None:
        if code >= 400:
            # What the transaction is after a refused chunk is for the server to say (RFC 3030 2).
            self._chunks = b""
            if self._recipients:
                self.lost = True
            return
        self._chunks += sent.chunk or b""
        self._chunking = True
        if sent.last:
            self._accept()
            self._forget()
            self.state = State.READY

    def _accept(self) -> None:
        self.accepted.append(
            Message(self._sender, tuple(self._recipients), self._chunks, eight_bit=self._eight_bit)
        )

    def _forget(self) -> None:
        self._sender, self._recipients, self._chunks = "", [], b""
        self._chunking = self._eight_bit = False


def _may_go_on(octets: bytes) -> bool:
    """Whether these octets, which are not a whole reply, are the beginning of one with several lines."""
    *lines, rest = octets.split(b"\r\n")
    codes = {match[1] if (match := _MIDDLE.fullmatch(line)) else None for line in lines}
    return bool(lines) and codes == {lines[0][:3]} and b"\n" not in rest and lines[0].startswith(rest[:3])


def _mailbox_in(line: bytes) -> str:
    """The mailbox of MAIL or RCPT, as far as it can be told."""
    text = line.decode("utf-8", "replace")
    match = _PATH.match(text)
    mailbox = "" if match is None else match[1]
    try:
        return parse_mailbox(mailbox, smtputf8=True)
    except LocalProtocolError:
        return mailbox
