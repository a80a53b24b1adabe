"""A session of a server that follows rules: it goes wrong where they say so.

**The problem.** A fault must not only change octets on the wire. If RCPT is refused, the recipient must not be
in the envelope; if a client is disconnected after the final dot, the message is there all the same.

**The strategy.** The session stands between the core and the handler. An event that a rule refuses never
reaches the handler: the core is answered here. Any other event reaches it as usual. In both cases the reply of
the core is held until the handler asks for the next event, and goes out as the rule says: later, in pieces, cut
short, or replaced.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

from .._core.errors import LocalProtocolError
from .._core.events import (
    Chunk,
    CommandRejected,
    Connect,
    Data,
    EndOfMessage,
    Event,
    MessageAborted,
    Quit,
)
from .._core.replies import Reply
from .._core.state import State
from .._net.serveroptions import ServerOptions
from .._net.session import Due, ServerSession
from .._net.stream import Arrival, Stream
from ..sasl import AuthQuestion
from ._faults import CONNECT, END, Counter, Rule

Sleep = Callable[[float], Awaitable[None]]


class FaultySession(ServerSession):
    """A session with faults.

    Args:
        stream: The connection.
        options: Those of the server.
        faults: The rules, and what was counted.
        sleep: Waits some seconds.
    """

    def __init__(self, stream: Stream, options: ServerOptions, faults: Counter, sleep: Sleep) -> None:
        super().__init__(stream, options)
        self._faults = faults
        self._sleep = sleep
        self._rule: Rule | None = None  # of the event whose reply has not been sent
        self._next: Event | None = None  # what the handler gets when the octets before it have been sent
        self._content_size = 0
        self._content_answered = False  # the reply to the message was sent before its end

    def _advance(self, arrival: Arrival | None = None) -> Due:
        if arrival is not None:
            self._take(arrival)
        if self._next is not None:
            event, self._next = self._next, None
            return event
        if self._rule is not None:
            rule, self._rule = self._rule, None
            return self._send_as(rule, self.connection.data_to_send())
        due = super()._advance()
        while self._content_answered and isinstance(due, Chunk):
            due = super()._advance()
        if isinstance(due, Chunk):
            return self._content_goes_on(due)
        if isinstance(due, Data):
            self._content_size, self._content_answered = 0, False
        if isinstance(due, EndOfMessage) and self._content_answered:
            self.reject(554, "5.6.0", "refused already")
            self.connection.data_to_send()
            return MessageAborted(None)
        return self._with_fault(due) if isinstance(due, Event) and _is_answered(due) else due

    def _with_fault(self, event: Event) -> Due:
        """Give an event to the handler, unless its rule refuses it."""
        rule = self._faults.rule_for(_verb_of(event), event)
        if rule is None:
            return event
        self._rule = rule
        before = self._before(event)
        if rule.refuses and event is self.unanswered:
            self._refuse(event, rule.octets or b"")
            if not isinstance(event, EndOfMessage):
                return self._write(before)
            event = MessageAborted(None)  # so the handler discards what it has
        return self._after(self._write(before), event) if before else event

    def _after(self, writing: Awaitable[None], event: Event) -> Due:
        self._next = event
        return writing

    def _before(self, event: Event) -> bytes:
        """Take the replies to what came before an event, so that they go out first."""
        if isinstance(event, CommandRejected):  # its own reply is among them already
            return b""
        return self.connection.data_to_send()

    def _content_goes_on(self, chunk: Chunk) -> Due:
        """Count content, and give it to the handler when the fault that is due has happened."""
        before, self._content_size = self._content_size, self._content_size + len(chunk.data)
        rule = self._faults.rule_for_content(chunk, before, self._content_size)
        if rule is None:
            return chunk
        self._content_answered = rule.octets is not None
        return self._after(self._interrupt(rule), chunk)

    async def _interrupt(self, rule: Rule) -> None:
        await self._write(self.connection.data_to_send())
        await self._send_as(rule, b"")

    async def _write(self, octets: bytes) -> None:
        if octets and (writing := self._send(octets)) is not None:
            await writing

    def _refuse(self, event: Event, octets: bytes) -> None:
        """Answer the core, as far as it can be answered so; the octets on the wire are the rule's own."""
        try:
            self.send(Reply.parse(octets.decode("utf-8")))
        except (LocalProtocolError, UnicodeDecodeError):
            if isinstance(event, Quit):
                self.accept()
            elif isinstance(event, Connect):
                self.reject(554, None, "refused")
            elif isinstance(event, AuthQuestion):
                self.reject(535, "5.7.8", "refused")
            else:
                self.reject(550, "5.7.1", "refused")

    async def _send_as(self, rule: Rule, octets: bytes) -> None:
        """Send the reply to an event as its rule says."""
        if rule.octets is not None:
            octets = rule.octets
        if rule.seconds:
            await self._sleep(rule.seconds)
        if rule.limit is not None:
            octets = octets[: rule.limit]
        size = rule.piece or len(octets)
        for start in range(0, len(octets), size or 1):
            await self._write(octets[start : start + size])
        if rule.breaks:
            self._stream.abort()
            if self.state is State.TLS:
                self.connection.close()
            else:
                self._lost(ssl.SSLEOFError("a fault") if rule.drops_tls else ConnectionAbortedError("a fault"))


def _is_answered(event: Event) -> bool:
    return isinstance(event, (CommandRejected, AuthQuestion, Connect)) or hasattr(event, "verb")


def _verb_of(event: Event) -> str:
    if isinstance(event, Connect):
        return CONNECT
    if isinstance(event, AuthQuestion):
        return "AUTH"
    if isinstance(event, EndOfMessage):
        return END
    if isinstance(event, CommandRejected):
        return ""
    return str(getattr(event, "verb", ""))
