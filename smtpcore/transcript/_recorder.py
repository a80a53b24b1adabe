"""The recorder: it follows both directions of a connection and makes an entry of each line."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from .._core.errors import ArgumentTypeError, check_text, wrong_type
from ._entry import SHOWN_LINE_LENGTH, Direction, Entry, Kind, format_entry, shown_text
from ._lines import Lines
from ._masking import AUTH, BURL, MASK, MECHANISM, Secrets, pieces_of

if TYPE_CHECKING:
    from ..extensions import Extension

# The octets and the commands of a client that are held until a reply arrives. Without a limit, a missing reply
# would make the recorder hold everything.
_MOST_HELD = 1024 * 1024
_MOST_OUTSTANDING = 10_000

_VERBS = frozenset(
    b"ATRN AUTH BDAT BURL DATA EHLO ETRN EXPN HELO HELP LHLO MAIL NOOP QUIT RCPT RSET SAML SEND SOML"
    b" STARTTLS TURN VRFY XCLIENT XFORWARD".split()
)
# After these commands the meaning of the next line depends on the reply.
_WAIT_FOR = frozenset((b"AUTH", b"DATA", b"STARTTLS"))
# Items of the queue that are not verbs.
_GREETING = b"greeting"
_END_OF_CONTENT = b"end of content"

# Reply codes that only one command can have. They resynchronize the queue after a missing reply.
_ONLY_FOR = {334: b"AUTH", 235: b"AUTH", 354: b"DATA"}

# The beginning of a PROXY header of version 2, which load balancers send before the first command.
_PROXY = b"\r\n\r\n\0\r\nQUIT\n"
# bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF ; RFC 3030 2; white space is not checked
_BDAT = re.compile(rb"\s*BDAT\s+([0-9]{1,20})(\s+LAST)?\s*", re.IGNORECASE)
_REPLY = re.compile(rb"([2-5][0-9][0-9])([ -]|\Z)")
# The prompts of LOGIN, "Username:" and "Password:", and the empty challenge.
_PROMPTS = frozenset((b"", b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6"))


class Transcript:
    """Records a connection: pass it as ``transcript=`` to ``connect()``, or call its methods.

    Args:
        content: Show the content of messages line by line. It is private, and may be large.
        max_entries: Entries to keep; when there are more, the oldest are dropped.
        sink: Called with each new entry. Its exceptions are raised by the method that made the entry; a session
            logs the first one and continues without the transcript. See :func:`log_to`.
        clock: Returns the seconds since the epoch.
        extensions: Extensions of your own that the session uses. Their verbs are then known, so the commands
            are shown also after AUTH, where a line with an unknown verb could be a secret.

    Attributes:
        dropped: How many entries were dropped.

    Raises:
        ArgumentTypeError: An argument has the wrong type.
    """

    __slots__ = (
        "_client",
        "_clock",
        "_content",
        "_doubt",
        "_elided",
        "_entries",
        "_first",
        "_left",
        "_lmtp",
        "_mode",
        "_outstanding",
        "_recipients",
        "_secrets",
        "_server",
        "_sink",
        "_tls",
        "_verbs",
        "dropped",
    )

    # The meaning of the client's next octets. START: a command, or a PROXY header before it. WAITING: the reply
    # to the last command decides. HANDSHAKE: TLS, in both directions. LOST: the dialogue cannot be followed any
    # more.
    _mode: Literal["START", "COMMAND", "WAITING", "RESPONSE", "DATA", "CHUNK", "HANDSHAKE", "LOST"]

    def __init__(
        self,
        *,
        content: bool = False,
        max_entries: int = 10_000,
        sink: Callable[[Entry], None] | None = None,
        clock: Callable[[], float] = time.time,
        extensions: Iterable[Extension] = (),
    ) -> None:
        # "no" of a configuration file must not show content.
        if not isinstance(content, bool):
            raise wrong_type("content", "True or False", content)
        if sink is not None and not callable(sink):
            raise wrong_type("sink", "a function, or None", sink)
        if not callable(clock):
            raise wrong_type("clock", "a function", clock)
        self._content = content
        self._sink = sink
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=max_entries)
        self.dropped = 0
        self._first: float | None = None  # the time of the first entry
        self._secrets = Secrets()
        self._verbs = _VERBS | {spec.verb.encode() for extension in extensions for spec in extension.commands}
        self._begin()

    def _begin(self) -> None:
        self._tls = False
        self._doubt: Kind | None = None  # what a line that looks like a command may be instead
        self._outstanding = deque([_GREETING])
        self._forget()

    def _forget(self) -> None:
        """Forget the dialogue, but not the commands that have no reply yet."""
        self._client = Lines(b"\r\n")
        self._server = Lines(b"\n")
        self._mode = "START"
        self._elided = 0  # octets that the next entry will count
        self._left = 0  # octets of a chunk that are missing
        self._lmtp = False
        self._recipients = 0  # that were accepted in this transaction

    # --- What happens on the connection -------------------------------------------------------------------

    def record_client(self, data: bytes | bytearray | memoryview) -> None:
        """Record octets that the client has sent; under TLS, as they were before encryption."""
        self._client.held += data
        self._read_client()

    def record_server(self, data: bytes | bytearray | memoryview) -> None:
        """Record octets that the server has sent; under TLS, as they were before encryption."""
        self._server.held += data
        while self._mode != "HANDSHAKE":
            taken = self._server.take()
            if taken is None:
                return
            self._reply(*taken)
            self._read_client()
        self._elided += self._server.take_all()[1]

    def record_tls(self, description: str) -> None:
        """Record that TLS is active from now on, after STARTTLS or from the beginning.

        Args:
            description: The text of the note, such as ``"TLSv1.3 TLS_AES_256_GCM_SHA384"``.
        """
        self._flush()
        self._forget()
        self._tls = True
        self.record_note(description)

    def record_note(self, text: str) -> None:
        """Record a note: the address of the peer, a timeout, a lost connection."""
        check_text("text", text)
        octets = text.encode("utf-8", "backslashreplace")
        shown = (
            MASK
            if self._secrets.are_in(octets, self._held_pieces())
            else shown_text(octets[:SHOWN_LINE_LENGTH], len(octets))
        )
        self._add("*", "note", 0, shown)

    def hide(self, *secrets: str) -> None:
        """Mask these passwords or tokens wherever the server repeats them.

        Args:
            secrets: The text, not encoded. A text of fewer than four octets is not masked.
        """
        for secret in secrets:
            if not isinstance(secret, str):  # the error does not show it
                raise ArgumentTypeError(f"a secret is a string, not {type(secret).__name__}")
            self._secrets.hide(secret.encode("utf-8", "surrogatepass"))

    def record_end(self) -> None:
        """Record the end of the connection and what is unfinished; further octets belong to another one."""
        self._flush()
        self._begin()
        # If octets of this connection follow all the same, they must not be shown as commands.
        self._doubt = "auth"

    # --- What was recorded --------------------------------------------------------------------------------

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries, oldest first. Every thread may read them while the session goes on."""
        return tuple(self._entries)  # one step: a loop over the deque fails if a session adds an entry

    def __str__(self) -> str:
        """Return the entries as text, a line each; the module docstring shows the form."""
        lines = [f"[{self.dropped} entries before these were dropped]"] if self.dropped else []
        lines += map(format_entry, self.entries)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Transcript: {len(self._entries)} entries>"

    def __reduce__(self) -> tuple[object, ...]:
        """Make a copy of the entries alone: it has no sink, and does not know the secrets of the connection."""
        return _copied, (self._content, self.entries, self._entries.maxlen, self.dropped, self._first)

    def jsonl(self) -> str:
        """The entries as JSON, an object a line, with the attributes of :class:`Entry` as names."""
        return "".join(json.dumps(asdict(entry)) + "\n" for entry in self.entries)

    def _add(self, direction: Direction, kind: Kind, octets: int, text: str) -> None:
        now = self._clock()
        if self._first is None:
            self._first = now
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        entry = Entry(now, now - self._first, direction, self._tls, kind, octets, text)
        self._entries.append(entry)
        if self._sink is not None:
            self._sink(entry)

    # --- The client ---------------------------------------------------------------------------------------
    #
    # The state changes before the entry is made: if the sink raises, the recorder must still know that AUTH is
    # under way.

    def _read_client(self) -> None:
        while self._client.held:
            if self._mode == "START":
                # Its octets 13 and 14 are the version and the family, 15 and 16 the length of the rest.
                header = self._client.held
                if self._not_greeted() and header[:12] == _PROXY[: len(header)]:
                    size = 16 + int.from_bytes(header[14:16], "big")
                    if len(header) < size:
                        return
                    del header[:size]
                    self._elided = size
                self._mode = "COMMAND"
                self._add_elided("C", "command", "PROXY header")
                continue
            if self._mode == "WAITING":
                if len(self._client.held) > _MOST_HELD:
                    self._mode = "LOST"
                    continue
                return
            if self._mode in ("HANDSHAKE", "LOST"):
                self._elided += self._client.take_all()[1]
                return
            taken = self._client.take(self._left if self._mode == "CHUNK" else None)
            if taken is None:
                return
            self._client_line(*taken)

    def _not_greeted(self) -> bool:
        return _GREETING in self._outstanding

    def _client_line(self, line: bytes, octets: int) -> None:
        match self._mode:
            case "RESPONSE":
                self._expect(b"AUTH")
                self._add("C", "auth", octets, self._response(line))
            case "DATA":
                if line == b".":
                    self._mode = "COMMAND"
                    self._expect(_END_OF_CONTENT)
                self._content_line(line, octets, line == b".")
            case "CHUNK":
                self._left -= octets
                if not self._left:
                    self._mode = "COMMAND"
                    self._doubt_about("content")  # the client may have miscounted
                self._content_line(line, octets, not self._left)
            case _:
                self._command(line, octets)

    def _command(self, line: bytes, octets: int) -> None:
        kind, shown = self._shown(line, octets)
        verb = _verb_of(line)
        if verb in self._verbs:
            self._doubt = None
        if verb == b"BDAT" and (match := _BDAT.fullmatch(line)):
            # The octets follow, whatever the reply is (RFC 3030 2).
            self._left = int(match[1])
            if self._left:
                self._mode = "CHUNK"
            self._expect(_END_OF_CONTENT if match[2] else verb)
        elif verb == b"BDAT":
            self._doubt_about("content")
            self._expect(verb)
        elif verb != b"PROXY" or not self._not_greeted():  # version 1 of that header has no reply either
            self._lmtp = self._lmtp or verb == b"LHLO"
            self._expect(verb if verb in self._verbs else b"")
        self._add("C", kind, octets, shown)

    def _doubt_about(self, kind: Kind) -> None:
        if not (kind == "content" and self._content):
            self._doubt = kind

    def _expect(self, verb: bytes) -> None:
        """Queue ``verb``, whose reply is expected."""
        self._outstanding.append(verb)
        if len(self._outstanding) > _MOST_OUTSTANDING:
            self._mode = "LOST"
        elif verb in _WAIT_FOR:
            self._mode = "WAITING"

    def _shown(self, line: bytes, octets: int) -> tuple[Kind, str]:
        """Return the kind of a command line, and the text to show."""
        if auth := AUTH.search(line):
            end = auth.end()
            if mechanism := MECHANISM.match(line, end):
                end = mechanism.end()
            rest = line[end:]
            self._secrets.begin_exchange()
            self._secrets.remember(rest)
            return "auth", f"{shown_text(line[:end])} {MASK}" if rest.strip() else shown_text(line)
        if self._doubt and _verb_of(line) not in self._verbs:
            return self._doubt, self._response(line) if self._doubt == "auth" else MASK
        if burl := BURL.match(line):
            return "command", f"{shown_text(burl[0])} {MASK}"
        return "command", shown_text(line, octets)

    def _response(self, line: bytes) -> str:
        """Return the text to show for a line within AUTH."""
        if line == b"*":  # the client gives up (RFC 4954 4)
            return "*"
        self._secrets.remember(line)
        return MASK

    def _content_line(self, line: bytes, octets: int, last: bool) -> None:
        if self._content:
            self._add("C", "content", octets, shown_text(line, octets))
            return
        self._elided += octets
        if last:
            self._add_elided("C", "content", "content")

    def _add_elided(self, direction: Direction, kind: Kind, what: str) -> None:
        octets, self._elided = self._elided, 0
        if octets:
            self._add(direction, kind, octets, f"[{octets} octets of {what}]")

    # --- The server ---------------------------------------------------------------------------------------

    def _reply(self, line: bytes, octets: int) -> None:
        line = line.removesuffix(b"\r")
        shown = self._shown_reply(line, octets)
        match = _REPLY.match(line)
        if match and match[2] != b"-":
            self._answer(int(match[1]))
        self._add("S", "reply", octets, shown)

    def _shown_reply(self, line: bytes, octets: int) -> str:
        if (
            self._mode == "LOST"
            or (line.startswith(b"334") and line[4:] not in _PROMPTS)
            or self._secrets.are_in(line, self._held_pieces())
        ):
            match = _REPLY.match(line)
            return shown_text(match[0] if match else b"") + MASK
        return shown_text(line, octets)

    def _held_pieces(self) -> set[int]:
        """Return the pieces of held octets: the server may have understood more of them than the recorder."""
        held = bytes(self._client.held[:SHOWN_LINE_LENGTH])
        waiting = self._mode == "WAITING" and self._outstanding[-1] == b"AUTH"
        if waiting or self._mode == "RESPONSE" or self._doubt == "auth":
            return pieces_of(held)
        auth = AUTH.search(held)
        return pieces_of(held[auth.end() :]) if auth else set()

    def _answer(self, code: int) -> None:
        """Match a whole reply to its command, and change the mode."""
        waiting = self._outstanding
        meant = _ONLY_FOR.get(code)
        if meant in waiting:
            while waiting[0] != meant:
                waiting.popleft()
        elif code == 334:  # the server has read another command as AUTH
            self._doubt = "auth"
        # RFC 2033 4.3: one reply to the last chunk for each accepted recipient, so without any there is none.
        while waiting and waiting[0] == _END_OF_CONTENT and self._lmtp and not self._recipients:
            waiting.popleft()
        if not waiting:
            return  # unsolicited: 421, or an error of the server
        verb = waiting[0]
        if verb == _END_OF_CONTENT and self._lmtp:
            self._recipients -= 1
            if self._recipients:
                return
        waiting.popleft()
        if verb == b"RCPT" and code < 300:
            self._recipients += 1
        elif verb == b"MAIL":
            self._recipients = 0
        if self._mode == "WAITING" and not waiting:  # this was the awaited reply
            self._go_on(verb, code)

    def _go_on(self, verb: bytes, code: int) -> None:
        if verb == b"DATA" and code == 354:
            self._mode = "DATA"
        elif verb == b"AUTH" and code == 334:
            self._mode = "RESPONSE"
        elif verb == b"STARTTLS" and code == 220:
            self._mode = "HANDSHAKE"
        else:
            self._mode = "COMMAND"
            # The client may have sent its responses, or its content, without having waited for this.
            if verb != b"STARTTLS":
                self._doubt_about("auth" if verb == b"AUTH" else "content")

    # --- The end ------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Record unfinished lines, by the rules for complete ones."""
        line, octets = self._client.take_all()
        match self._mode:
            case "DATA" | "CHUNK":
                if octets and self._content:
                    self._add_unfinished("C", "content", octets, shown_text(line, octets))
                else:
                    self._elided += octets
                    self._add_elided("C", "content", "unfinished content")
            case "WAITING":
                self._elided += octets
                kind: Kind = "auth" if self._outstanding[-1] == b"AUTH" else "content"
                self._add_elided("C", kind, "data that was sent before the reply arrived")
            case "HANDSHAKE":
                self._add_elided("*", "note", "TLS handshake")
            case "LOST":
                self._add_elided("C", "content", "a dialogue that could not be followed")
            case "RESPONSE" if octets:
                self._add_unfinished("C", "auth", octets, self._response(line))
            case "START" | "COMMAND" if octets:
                kind, shown = self._shown(line, octets)
                self._add_unfinished("C", kind, octets, shown)
        line, octets = self._server.take_all()
        if octets:
            self._add_unfinished("S", "reply", octets, self._shown_reply(line, octets))

    def _add_unfinished(self, direction: Direction, kind: Kind, octets: int, text: str) -> None:
        self._add(direction, kind, octets, f"{text} [unfinished]")


def _copied(
    content: bool, entries: tuple[Entry, ...], max_entries: int | None, dropped: int, first: float | None
) -> Transcript:
    transcript = Transcript(content=content)
    transcript._entries = deque(entries, max_entries)
    transcript.dropped = dropped
    transcript._first = first
    transcript.record_end()  # a copy does not record the rest of the connection
    return transcript


def _verb_of(line: bytes) -> bytes:
    if AUTH.search(line):
        return b"AUTH"
    words = line.split(None, 1)
    return words[0].upper() if words else b""
