"""``Tally``: what one client has done that brings no mail, counted against ``Limits``.

Each of these costs the client nothing and the server time, so each has a number after which the session ends
with 421: commands that the server refuses itself, idle commands, recipients that the application refuses, and
failed logins. The methods count, and say whether that was one too many; the server decides what to reply.
"""

from __future__ import annotations

import sys
from typing import Final

from .limits import Limits

# The weight of an idle command, in tenths: a client may have sent many recipients before it receives a refusal.
COMMAND: Final = 10
RECIPIENT: Final = 1


class Tally:
    """The counts of one session.

    Args:
        limits: What is allowed.

    Attributes:
        idle: Idle commands since the last accepted message, in tenths.
        most_idle: How many of those there may be, in tenths.
    """

    __slots__ = ("_limits", "_logins", "_recipients", "_rejected", "idle", "most_idle")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rejected = self._recipients = self._logins = 0
        self.idle = 0
        self.most_idle = sys.maxsize if limits.idle_commands is None else limits.idle_commands * COMMAND

    def is_idle(self, tenths: int) -> bool:
        """Count a command that brings no mail; return whether there have been too many."""
        self.idle += tenths
        return self.idle > self.most_idle

    def is_rejected(self) -> bool:
        """Count a command that the server has refused itself; return whether there have been too many."""
        self._rejected += 1
        return self._rejected > self._limits.bad_commands

    def is_refused_recipient(self) -> bool:
        """Count a recipient that the application has refused for good; return whether there were too many."""
        self._recipients += 1
        most = self._limits.refused_recipients
        return most is not None and self._recipients > most

    def is_failed_login(self) -> bool:
        """Count an AUTH exchange that has failed; return whether there have been too many."""
        self._logins += 1
        return self._logins > self._limits.auth_attempts

    def forget_logins(self) -> None:
        """Begin to count failed logins anew, since one has succeeded."""
        self._logins = 0
