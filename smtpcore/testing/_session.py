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
from .._net.session import ServerSession
from .._net.stream import Stream
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
        self._content_size = 0
        self._content_answered = False  # the reply to the message was sent before its end

    async def __anext__(self) -> Event:
        while True:
            if self._rule is not None:
                due, self._rule = self._rule, None
                await self._send_as(due, self.connection.data_to_send())
            event = await super().__anext__()
            if event.__class__ is Data:
                self._content_size, self._content_answered = 0, False
            if isinstance(event, Chunk):
                if not await self._content_goes_on(event):
                    continue
                return event
            if isinstance(event, EndOfMessage) and self._content_answered:
                self.reject(554, "5.6.0", "refused already")
                self.connection.data_to_send()
                return MessageAborted(None)
            rule = self._faults.rule_for(_verb_of(event), event) if _is_answered(event) else None
            if rule is None:
                return event
            if octets := self._before(event):
                await self._write(octets)
            self._rule = rule
            if not rule.refuses or event is not self.unanswered:
                return event
            self._refuse(event, rule.octets or b"")
            if isinstance(event, EndOfMessage):
                return MessageAborted(None)  # so the handler discards what it has

    def _before(self, event: Event) -> bytes:
        """Take the replies to what came before an event, so that they go out first."""
        if isinstance(event, CommandRejected):  # its own reply is among them already
            return b""
        return self.connection.data_to_send()

    async def _content_goes_on(self, chunk: Chunk) -> bool:
        """Count content; return whether the handler gets it."""
        if self._content_answered:
            return False
        before, self._content_size = self._content_size, self._content_size + len(chunk.data)
        rule = self._faults.rule_for_content(chunk, before, self._content_size)
        if rule is not None:
            self._content_answered = rule.octets is not None
            if octets := self.connection.data_to_send():
                await self._write(octets)
            await self._send_as(rule, b"")
        return True

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
