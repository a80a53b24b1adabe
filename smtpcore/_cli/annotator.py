"""Explain a dialogue line by line: the event that a line became, the meaning of a reply, the state after it.

An :class:`Annotator` gets the entries of a transcript in order. It parses the lines with the parsers of the
core and follows them through the tables of the core, so its remarks agree with what the core does. Replies are
matched to commands in order (RFC 2920 3.1).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._core.capabilities import Capabilities
from .._core.commands import CommandParser
from .._core.config import ServerConfig
from .._core.events import CommandRejected, Connect, Ehlo, EndOfMessage, Event
from .._core.replies import Refused, describe
from .._core.replyparser import ReplyParser
from .._core.rules import rules_for
from .._core.state import HANDSHAKEN, State, after
from ..extensions import STANDARD
from ..extensions.auth import Auth

if TYPE_CHECKING:
    from ..transcript import Entry

_LINE, _LINES = 16384, 1024  # octets of a reply line, lines of a reply: more than a transcript shows

_RULES = rules_for(STANDARD)
_CONFIG = ServerConfig(address_syntax="lenient", unknown_parameters="ignore")


class Annotator:
    """Follows one connection from its first entry on. The transcript must not show content line by line.

    Attributes:
        state: The state of the session after the last entry.
    """

    def __init__(self) -> None:
        self.state = State.OPENING
        self._parser = CommandParser(_CONFIG, _RULES)
        self._replies = ReplyParser(max_line=_LINE, max_lines=_LINES)
        self._unanswered: deque[type[Event]] = deque([Connect])
        self._tls = False

    def annotate(self, entry: Entry) -> str | None:
        """Explain an entry.

        Args:
            entry: The next one.

        Returns:
            One line; None if the entry needs no remark, or is not the last line of its reply.
        """
        if entry.kind == "note":
            return self._note(entry)
        if entry.kind == "reply":
            return self._reply(entry.text)
        if entry.kind == "content":
            self._unanswered.append(EndOfMessage)
            return "events Chunk, with a piece of the content each, and then EndOfMessage()"
        if entry.kind == "auth" and self.state is State.AUTHENTICATING:
            self._unanswered.append(Auth)
            return "the response to a challenge; it goes to the SASL mechanism"
        return self._command(entry.text)

    def _note(self, entry: Entry) -> str | None:
        if not entry.tls or self._tls:
            return None
        self._tls = True
        self._parser = CommandParser(_CONFIG, _RULES)
        if self.state is not State.TLS:
            return "TLS from the first octet on"
        forgotten = "the session before the handshake is forgotten (RFC 3207 4.2)"
        return f"{forgotten}; {self._go(HANDSHAKEN[self.state])}"

    def _command(self, text: str) -> str:
        try:
            command = self._parser.parse(text.encode("utf-8").decode("latin-1"), smtputf8=True)
        except Refused as refused:
            self._unanswered.append(CommandRejected)
            return f"event CommandRejected: {refused.reply}"
        self._unanswered.append(command.__class__)
        return f"event {command!r}"

    def _reply(self, text: str) -> str | None:
        self._replies.feed(text.encode("utf-8") + b"\r\n")
        reply = self._replies.next_reply()
        if reply is None:
            return None
        question = self._unanswered.popleft() if self._unanswered and reply.code != 421 else None
        if question is Ehlo and reply.is_success:
            offered = Capabilities.parse(reply.lines[1:], _RULES.readers)
            self._parser = CommandParser(_CONFIG, _RULES, offered)
        asked = f"answers {question.__name__}: " if question else ""
        new = after(_RULES.after, question or Event, reply.code, self.state)
        return f"{asked}{describe(reply)}; {self._go(new)}"

    def _go(self, state: State) -> str:
        before, self.state = self.state, state
        return f"state {state.value}" if state is before else f"state {before.value} -> {state.value}"
