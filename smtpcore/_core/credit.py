"""``Credit``: whether a reply answers a command that was handed out before the reply arrived.

Replies belong to commands by their order and by nothing else (RFC 2920 3.1), so a reply that arrives before its
command was handed out means that the two sides no longer talk about the same thing. To notice that, replies are
counted from the greeting on: those received, and those that there will be once everything handed out is
answered. With each read the second number is noted. A reply is solicited if its number does not exceed the one
noted when its first octet arrived.

A reply may come in pieces, and commands may be handed out between two of them. Then the older number holds for
the reply that has begun, and the newer one for the next reply: such pieces are kept in ``later``.
"""

from __future__ import annotations

from collections import deque


class Credit:
    """The count of replies of one connection.

    Attributes:
        answered: Replies received.
        expected: Replies that there will be when everything handed out is answered. The greeting is expected
            without a command.
        solicited: Replies that had been expected when the first octet of the next one arrived.
        later: For octets that arrived while a reply was incomplete: where they begin, and how many replies were
            expected then; None until there are any.
    """

    __slots__ = ("_octets", "answered", "expected", "later", "solicited")

    def __init__(self) -> None:
        self.answered = 0
        self.expected = 1
        self.solicited = 1
        self.later: deque[tuple[int, int]] | None = None
        self._octets = 0

    def note(self, octets: int, begins_reply: bool) -> None:
        """Note that octets have arrived.

        Args:
            octets: How many.
            begins_reply: The first of them begins a reply.
        """
        if begins_reply:
            self.solicited = self.expected
        elif self.expected != (self.later[-1][1] if self.later else self.solicited):
            if self.later is None:
                self.later = deque()
            self.later.append((self._octets, self.expected))
        self._octets += octets

    def advance(self, pending: int) -> None:
        """Find out which number holds for the next reply.

        Args:
            pending: Octets that have arrived and are not part of a reply that was handed out.
        """
        later = self.later
        begins = self._octets - pending
        while later and later[0][0] <= begins:
            self.solicited = later.popleft()[1]
