"""Everything that happens on an SMTP connection, as values: the vocabulary of both roles.

A client sends the very objects that a server receives: ``client.send(Mail("a@example.org"))`` becomes octets,
and out of them the server's ``next_event()`` makes an equal ``Mail``.

* *Commands* carry the names of RFC 5321. They are validated when they are constructed: no CR, LF or NUL can be
  inside one, so no argument can ever become a second command. The parser has proven that already when it
  builds one, and goes past the constructor.
* *Content* is any number of ``Chunk`` and one ``EndOfMessage``.
* *Notices* tell a server's application what it need not answer; ``Response`` has the reply of a server for a
  client.

Events are slotted classes rather than frozen dataclasses, which take twice as long to make. Do not change one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from .addresses import ForwardPath, ReversePath, is_hello_argument, proven
from .errors import LocalProtocolError, check_text
from .grammar import COMMON_MAILBOX, PRINTABLE, SHORT_MAILBOX
from .parameters import NO_PARAMETERS, Parameters, ParameterValue, check_parameters
from .replies import Reply


class Event:
    """The base of all events: they compare by value, and show their fields."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()
    _hidden: ClassVar[frozenset[str]] = frozenset()

    def __eq__(self, other: object) -> bool:
        if self.__class__ is not other.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __hash__(self) -> int:
        values = (getattr(self, name) for name in self.__match_args__)
        return hash(
            (self.__class__, *(frozenset(one.items()) if isinstance(one, Mapping) else one for one in values))
        )

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__match_args__ if name not in self._hidden)
        fields = [f"{name}={value!r}" for name, value in shown if value is not None and value != {}]
        return f"{self.__class__.__name__}({', '.join(fields)})"


# --- Commands: RFC 5321 4.1.1 -----------------------------------------------------------------------------


class Command(Event):
    """A request of a client, which a server answers with exactly one reply.

    Attributes:
        verb: What a line with it begins with, in upper case.
    """

    __slots__ = ()
    verb: ClassVar[str]


class _Hello(Command):
    __slots__ = ("domain",)
    __match_args__ = ("domain",)

    domain: str

    def __init__(self, domain: str) -> None:
        check_text("domain", domain)
        if not is_hello_argument(domain):
            raise LocalProtocolError(
                f"{domain!r} is neither a domain nor an address literal such as [192.0.2.1] (RFC 5321 4.1.1.1)"
            )
        self.domain = domain


class Ehlo(_Hello):
    """EHLO: the client introduces itself and asks what the server offers (RFC 5321 4.1.1.1).

    Args:
        domain: The client's fully-qualified domain, or an address literal.

    Raises:
        LocalProtocolError: It is neither. (A lenient server accepts any printable text: see ServerConfig.)
    """

    __slots__ = ()
    verb = "EHLO"


class Helo(_Hello):
    """HELO: the client introduces itself and asks for no service extensions (RFC 5321 4.1.1.1)."""

    __slots__ = ()
    verb = "HELO"


def _is_common(text: str) -> bool:
    """Whether this is a mailbox of the ordinary kind; any other is judged when its path is made."""
    try:
        return len(text) <= SHORT_MAILBOX and COMMON_MAILBOX.fullmatch(text) is not None
    except TypeError:  # the constructor of the path says so in words
        return False


class _WithPath(Command):
    __slots__ = ("_path", "parameters")

    _path: Any  # a mailbox that a parser has proven becomes a path when it is asked for
    parameters: Parameters

    def __getstate__(self) -> object:
        # A read-only mapping, such as that of the commands without parameters, cannot be pickled.
        return self._path, dict(self.parameters)

    def __setstate__(self, state: tuple[Any, dict[str, ParameterValue]]) -> None:
        self._path, parameters = state
        self.parameters = parameters or NO_PARAMETERS


class Mail(_WithPath):
    """MAIL: begins a mail transaction (RFC 5321 4.1.1.2).

    Args:
        reverse_path: Where notifications go; ``""`` for the null reverse-path.
        parameters: Values by keyword in upper case: ``{"SIZE": 1000, "BODY": "8BITMIME"}``.

    Raises:
        LocalProtocolError: One of them is malformed.
    """

    __slots__ = ()
    __match_args__ = ("reverse_path", "parameters")
    verb = "MAIL"

    _path: ReversePath | str

    def __init__(
        self, reverse_path: str | ReversePath, parameters: Mapping[str, ParameterValue] = NO_PARAMETERS
    ) -> None:
        if not isinstance(reverse_path, ReversePath) and not _is_common(reverse_path):
            reverse_path = ReversePath(reverse_path)
        if parameters:
            check_parameters(parameters)
        self._path = reverse_path
        self.parameters = dict(parameters) if parameters else NO_PARAMETERS

    @property
    def reverse_path(self) -> ReversePath:
        """Where notifications go."""
        path = self._path
        if isinstance(path, str):
            path = self._path = proven(ReversePath, path)
        return path

    @property
    def is_ascii(self) -> bool:
        """Whether the reverse-path can go without SMTPUTF8."""
        return str(self._path).isascii()

    @property
    def size(self) -> int | None:
        """SIZE: the octets the client means to send (RFC 1870 3), or None."""
        value = self.parameters.get("SIZE")
        return value if isinstance(value, int) else None

    @property
    def body(self) -> str | None:
        """BODY: ``"7BIT"`` or ``"8BITMIME"`` (RFC 6152 2), or None."""
        value = self.parameters.get("BODY")
        return value if isinstance(value, str) else None

    @property
    def smtputf8(self) -> bool:
        """SMTPUTF8: addresses and header may hold UTF-8 (RFC 6531 3.4)."""
        return "SMTPUTF8" in self.parameters

    @property
    def auth(self) -> ReversePath | None:
        """AUTH: the submitter of the message; null if unknown (RFC 4954 5), None if absent.

        It is the client's claim: :attr:`smtpcore.ServerConnection.submitter` believes it only from a client
        that has authenticated.
        """
        value = self.parameters.get("AUTH")
        return value if isinstance(value, ReversePath) else None


class Rcpt(_WithPath):
    """RCPT: names a recipient (RFC 5321 4.1.1.3).

    Args:
        forward_path: The recipient.
        parameters: Values by keyword in upper case.

    Raises:
        LocalProtocolError: One of them is malformed.
    """

    __slots__ = ()
    __match_args__ = ("forward_path", "parameters")
    verb = "RCPT"

    _path: ForwardPath | str

    def __init__(
        self, forward_path: str | ForwardPath, parameters: Mapping[str, ParameterValue] = NO_PARAMETERS
    ) -> None:
        if not isinstance(forward_path, ForwardPath) and not _is_common(forward_path):
            forward_path = ForwardPath(forward_path)
        if parameters:
            check_parameters(parameters)
        self._path = forward_path
        self.parameters = dict(parameters) if parameters else NO_PARAMETERS

    @property
    def forward_path(self) -> ForwardPath:
        """The recipient."""
        path = self._path
        if isinstance(path, str):
            path = self._path = proven(ForwardPath, path)
        return path

    @property
    def is_ascii(self) -> bool:
        """Whether the forward-path can go without SMTPUTF8."""
        return str(self._path).isascii()


class Data(Command):
    """DATA: asks to send the content (RFC 5321 4.1.1.4). The octets are in ``Chunk`` events."""

    __slots__ = ()
    verb = "DATA"


class Rset(Command):
    """RSET: drops the mail transaction (RFC 5321 4.1.1.5)."""

    __slots__ = ()
    verb = "RSET"


class Quit(Command):
    """QUIT: ends the session (RFC 5321 4.1.1.10)."""

    __slots__ = ()
    verb = "QUIT"


class TextCommand(Command):
    """The base of commands that take one line of text: VRFY, EXPN, HELP, NOOP."""

    __slots__ = ("argument",)
    __match_args__ = ("argument",)
    # Such an argument must be given, and may be UTF-8 (RFC 6531 3.7.4).
    names_mailbox: ClassVar[bool] = False

    argument: str

    def __init__(self, argument: str = "") -> None:
        check_text("argument", argument)
        permitted = argument.strip() if self.names_mailbox else argument.isascii()
        if not permitted or (argument and PRINTABLE.fullmatch(argument) is None):
            raise LocalProtocolError(f"{self.verb} takes one line of printable text, not {argument!r}")
        self.argument = argument

    def text(self) -> str:
        """What follows the verb."""
        return self.argument


class Vrfy(TextCommand):
    """VRFY: asks whether there is such a user or mailbox (RFC 5321 4.1.1.6).

    Args:
        argument: The name as it was typed.
    """

    __slots__ = ()
    verb = "VRFY"
    names_mailbox = True


class Noop(TextCommand):
    """NOOP: asks for a reply, and nothing else (RFC 5321 4.1.1.9).

    Args:
        argument: Any text; a server ignores it.
    """

    __slots__ = ()
    verb = "NOOP"


# --- Content ----------------------------------------------------------------------------------------------


class Chunk(Event):
    """A piece of the content, as it came, dot-stuffing removed or not yet applied (RFC 5321 4.5.2).

    It is a piece of any content, after DATA as well, and not the chunk of a BDAT command (RFC 3030).

    Args:
        data: Octets, at least one as a server gives it out.
    """

    __slots__ = ("data",)
    __match_args__ = ("data",)

    data: bytes

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Chunk({len(self.data)} octets)"


class EndOfMessage(Event):
    """The content is complete. It is answered like a command: 250 takes the responsibility (RFC 5321 6.1).

    The reply is for all recipients together (RFC 5321 4.1.1.4). If delivery to some of them fails, the
    application still accepts the message, and sends a report about these to the reverse-path (RFC 5321 4.4).
    """

    __slots__ = ()
    verb: ClassVar[str] = "."


# --- The connection itself, and notices to a server -------------------------------------------------------


class Connect(Event):
    """A client has connected: 220 welcomes it, 421 or 554 do not (RFC 5321 3.1)."""

    __slots__ = ()
    verb: ClassVar[str] = "connect"


class CommandRejected(Event):
    """The core has answered a line by itself: bad syntax, bad sequence, unknown, too long. Nothing to answer.

    Args:
        line: The line without its CRLF, cut if it is long; secrets of an AUTH command are not in it.
        reply: What was answered.
    """

    __slots__ = ("line", "reply")
    __match_args__ = ("line", "reply")

    line: bytes
    reply: Reply

    def __init__(self, line: bytes, reply: Reply) -> None:
        self.line = line
        self.reply = reply


class MessageAborted(Event):
    """The content that was handed out is void: it was refused by the core, or it never came to its end.

    Args:
        reply: What was answered, None if the connection is gone.
    """

    __slots__ = ("reply",)
    __match_args__ = ("reply",)

    reply: Reply | None

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply


class InputDiscarded(Event):
    """Octets arrived in plaintext after STARTTLS and were discarded (RFC 3207 4.2): possibly an attack.

    Args:
        data: The octets.
    """

    __slots__ = ("data",)
    __match_args__ = ("data",)

    data: bytes

    def __init__(self, data: bytes) -> None:
        self.data = data


class ConnectionClosed(Event):
    """The session is over: send what ``data_to_send()`` gives, and close. It comes once, as the last event."""

    __slots__ = ()


# --- Replies, as a client sees them -----------------------------------------------------------------------


class Response(Event):
    """The reply of a server to a command.

    Args:
        command: The command, ``EndOfMessage`` or ``Connect`` it answers; None for a 421 that answers none.
        reply: The reply.
        recipient: The recipient that the reply is about, if it is about one only; a reply to RCPT needs none.
    """

    __slots__ = ("_recipient", "command", "reply")
    __match_args__ = ("command", "reply", "recipient")

    command: Command | EndOfMessage | Connect | None
    reply: Reply
    _recipient: ForwardPath | None

    def __init__(
        self,
        command: Command | EndOfMessage | Connect | None,
        reply: Reply,
        recipient: ForwardPath | None = None,
    ) -> None:
        self.command = command
        self.reply = reply
        self._recipient = recipient

    @property
    def recipient(self) -> ForwardPath | None:
        """The recipient that the reply is about; None: all of them, or none."""
        return self.command.forward_path if isinstance(self.command, Rcpt) else self._recipient

    @property
    def verb(self) -> str:
        """The verb of the command; ``"."`` for the end of the content, ``"connect"`` for the opening."""
        return "connection" if self.command is None else self.command.verb


class CommandNotSent(Event):
    """A command was held back until it had no sense any more, and was never sent.

    Args:
        command: The command: RCPT after a refused MAIL, DATA without a recipient, anything after a 421.
    """

    __slots__ = ("command",)
    __match_args__ = ("command",)

    command: Command

    def __init__(self, command: Command) -> None:
        self.command = command


class Envelope:
    """The envelope of the mail transaction under way (RFC 5321 2.3.1). It compares by value, and grows.

    Attributes:
        mail: The MAIL command.
        rcpts: The RCPT commands that were accepted, in order.
    """

    __slots__ = ("mail", "rcpts")

    mail: Mail
    rcpts: list[Rcpt]

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.rcpts = []

    @property
    def reverse_path(self) -> ReversePath:
        """Where notifications go."""
        return self.mail.reverse_path

    @property
    def forward_paths(self) -> list[ForwardPath]:
        """Where the message goes."""
        return [one.forward_path for one in self.rcpts]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Envelope):
            return NotImplemented
        return self.mail == other.mail and self.rcpts == other.rcpts

    def __repr__(self) -> str:
        return f"Envelope({self.reverse_path!r}, {self.forward_paths!r})"
