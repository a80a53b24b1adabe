"""``CommandSpec``: all that the state machine knows of a command that an extension adds.

The commands of RFC 5321 itself stand in the tables of :mod:`smtpcore._core.state`. A command of an extension
brings its own rows along, one value a command, and ``Rules`` merges them into copies of those tables.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .errors import LocalProtocolError
from .events import Command
from .replies import Reply
from .state import State


class Group(enum.Enum):
    """Where a command may stand in a pipelined group (RFC 2920 3.1)."""

    ANYWHERE = "anywhere"
    """Like MAIL, RCPT and RSET: other commands may follow before its reply."""
    LAST = "last"
    """Like EHLO, DATA and NOOP: it ends a group, because the client has to see its reply."""
    ALONE = "alone"
    """Sent only when every earlier reply has arrived."""


def _no_argument(command: Command) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class WithoutArgument:
    """The ``parse`` of a command that takes no argument."""

    event: type[Command]

    def __call__(self, text: str) -> Command:
        if text:
            raise LocalProtocolError(f"{self.event.verb} takes no argument")
        return self.event()


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command that an extension adds.

    Attributes:
        event: Its class, a :class:`smtpcore.Command` with a ``verb`` of letters, digits and hyphens.
        parse: From the text after the verb, without surrounding blanks, to an event of that class. It raises
            :class:`smtpcore.LocalProtocolError` for text that is not valid; the server then replies 501 with
            the text of the error, and the application never sees the line. Any other exception is an error
            of the extension: ``next_event()`` raises it, and an adapter logs it and ends the session with 421.
        format: From an event to the text after the verb, ``""`` for none.
        states: Where the command may come.
        success: The codes that it may succeed with. Failure may have any code of 4yz and 5yz.
        reply: What ``accept()`` replies.
        leads: Where a reply leads, by its first digit: ``{2: {State.READY: State.MAIL}}``. What is not listed
            changes nothing, and neither does a refusal.
        group: Where it may stand in a pipelined group.
        idle: It costs the client nothing and does not further the delivery of mail, so it is counted against
            ``Limits.idle_commands``.
        before_tls: It may come although the server requires TLS that is not active yet (RFC 3207 4).
        before_auth: It may come although the server requires authentication (RFC 4954 6).
        utf8: Its argument may hold UTF-8 where SMTPUTF8 is offered (RFC 6531 3.7.4).
        line_limit: The field of :class:`smtpcore.Limits` that bounds its line, in octets with CRLF.
        unasked: A client may send it although the server does not offer the keyword: HELP and EXPN are commands
            of RFC 5321 itself.
        unattended: ``reply`` is true although no application has seen the command, as for HELP. A handler
            without ``on_command`` then accepts it. Off: such a handler answers 451, since only the application
            can do what the command asks for.
    """

    event: type[Command]
    parse: Callable[[str], Command]
    reply: Reply
    format: Callable[..., str] = _no_argument
    states: frozenset[State] = frozenset({State.READY})
    success: frozenset[int] = frozenset({250})
    leads: Mapping[int, Mapping[State, State]] = field(default_factory=dict, hash=False)
    group: Group = Group.LAST
    idle: bool = False
    before_tls: bool = False
    before_auth: bool = False
    utf8: bool = False
    line_limit: str = "command_line"
    unasked: bool = False
    unattended: bool = False

    @property
    def verb(self) -> str:
        """The verb, in upper case."""
        return self.event.verb
