"""Faults of a server, as rules: which event a rule is about, and what goes wrong there.

A rule is a value. ``on("RCPT", nth=2, times=1)`` says where, and each method adds one thing that happens::

    on("RCPT", nth=2, times=1).reply("451 4.7.1 later")
    on("DATA").delay(5).split(1)
    on("CONTENT", after=1000).disconnect()

What a server has counted is not part of the rule but of the :class:`Counter` of the server, so one rule can be
used for any number of servers.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from .._core.errors import LocalProtocolError
from .._core.events import Chunk, Event, Rcpt

ANY: Final = "*"
CONNECT: Final = "CONNECT"
CONTENT: Final = "CONTENT"
END: Final = "."

# Octets that no reply can begin with, and no line end a client could wait for.
GARBAGE: Final = b"\x00\xff\xfe not SMTP at all \x80\r\n"
_VERB: Final = re.compile(r"[A-Z][A-Z0-9-]*|[.*]")


@dataclass(frozen=True)
class Rule:
    """One fault of a server. :func:`on` makes one; each method returns a rule that does one thing more.

    The things happen in this order: the delay; the reply, in place of the usual one; the disconnection.

    Attributes:
        verb: What it is about; see :func:`on`.
        nth: The first occurrence that it applies to, counted from 1.
        times: How many occurrences it applies to; None: all from the first on.
        after: With ``CONTENT``: octets of content that have arrived before.
        first_of: With it the rule applies to the first occurrence of each value that this function returns for
            the event, and ``nth`` and ``times`` do not count.
        octets: What is sent in place of the reply; None: the usual reply.
        seconds: How long the server waits before it replies.
        limit: Octets of the reply that are sent before the connection is broken; None: it is not broken.
        piece: Octets of each write of the reply; None: one write.
        drops_tls: TLS breaks here.
    """

    verb: str
    nth: int = 1
    times: int | None = None
    after: int = 0
    first_of: Callable[[Event], Hashable] | None = None
    octets: bytes | None = None
    seconds: float = 0.0
    limit: int | None = None
    piece: int | None = None
    drops_tls: bool = False

    def reply(self, text: str) -> Rule:
        """Send this in place of the usual reply.

        A refusal (4yz, 5yz) and everything that is not a reply refuses the command: a message that it answers
        is not kept. Success (2yz, 3yz) only replaces the octets. The reply need not be legal.

        Args:
            text: One or more lines, separated by LF: ``"451 4.7.1 later"``. Each gets a CRLF, and is sent as it
                is.
        """
        lines = text.split("\n")
        return dataclasses.replace(self, octets="".join(f"{line}\r\n" for line in lines).encode("utf-8"))

    def garbage(self, octets: bytes = GARBAGE) -> Rule:
        """Send octets that are not a reply, in place of one.

        Args:
            octets: What to send, as it is.
        """
        return dataclasses.replace(self, octets=octets)

    def delay(self, seconds: float) -> Rule:
        """Wait before the reply.

        Args:
            seconds: How long. A server that closes does not wait any longer.

        Raises:
            LocalProtocolError: ``seconds`` is not a time to wait.
        """
        if not 0 <= seconds <= threading.TIMEOUT_MAX:  # not for NaN either
            raise LocalProtocolError(f"a delay has at least 0 seconds, and is finite, not {seconds}")
        return dataclasses.replace(self, seconds=seconds)

    def disconnect(self, after: int = 0) -> Rule:
        """Break the connection.

        A message that was complete is kept although its reply never arrives in full: the client cannot know,
        and will send it again (RFC 5321 4.2.5, RFC 1047).

        Args:
            after: Octets of the reply that are sent before.

        Raises:
            LocalProtocolError: ``after`` is negative.
        """
        if after < 0:
            raise LocalProtocolError(f"at least 0 octets of a reply are sent before the end, not {after}")
        return dataclasses.replace(self, limit=after)

    def split(self, octets: int) -> Rule:
        """Send the reply in pieces.

        Args:
            octets: Of each piece.

        Raises:
            LocalProtocolError: ``octets`` is less than 1.
        """
        if octets < 1:
            raise LocalProtocolError(f"a piece of a reply has at least 1 octet, not {octets}")
        return dataclasses.replace(self, piece=octets)

    def drop_tls(self) -> Rule:
        """Break TLS: with STARTTLS, the connection ends after the 220; else it ends without a close_notify."""
        return dataclasses.replace(self, drops_tls=True)

    @property
    def refuses(self) -> bool:
        """Whether the command is refused: something other than a reply of success is sent."""
        return self.octets is not None and self.octets[:1] not in (b"2", b"3")

    @property
    def breaks(self) -> bool:
        """Whether the connection ends with it."""
        return self.limit is not None or self.drops_tls


def on(verb: str, *, nth: int = 1, times: int | None = None, after: int = 0) -> Rule:
    """Make a rule about one kind of event; its methods say what happens there.

    Args:
        verb: ``"RCPT"`` or another verb, in any case; ``"CONNECT"``: the greeting; ``"CONTENT"``: content is
            arriving; ``"."``: the message is complete; ``"*"``: everything that is answered.
        nth: The first occurrence that the rule applies to, counted from 1 over all sessions of the server.
        times: How many occurrences it applies to. None: all from there on.
        after: With ``"CONTENT"``: octets of the content that arrive before; once a message.

    Returns:
        A rule that changes nothing yet: ``on("RCPT").reply("451 4.7.1 later")``.

    Raises:
        LocalProtocolError: An argument is not possible.
    """
    verb = verb.upper()
    if _VERB.fullmatch(verb) is None:
        raise LocalProtocolError(f"{verb!r} is not a verb; CONNECT, CONTENT, . and * are possible as well")
    if nth < 1 or after < 0 or (times is not None and times < 1):
        raise LocalProtocolError("nth and times are at least 1, and after is at least 0")
    if after and verb != CONTENT:
        raise LocalProtocolError(f"after= belongs to CONTENT, not to {verb}")
    return Rule(verb, nth, times, after)


class Counter:
    """What the sessions of one server have seen, to say which rule applies. Every thread may use it.

    Args:
        rules: The rules; of several that apply the first one counts.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._counts = [_Count(rule) for rule in rules]
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> None:
        """Add a rule, which goes before the others and counts from now on."""
        with self._lock:
            self._counts.insert(0, _Count(rule))

    def rule_for(self, verb: str, event: Event) -> Rule | None:
        """Count an event, and return the rule that applies to it, or None.

        Args:
            verb: Its verb, as ``on()`` names it.
            event: The event.
        """
        return self._first(event, lambda rule: rule.verb in (verb, ANY))

    def rule_for_content(self, chunk: Chunk, before: int, now: int) -> Rule | None:
        """Count a piece of content, and return the rule that applies to it, or None.

        Args:
            chunk: The piece.
            before: Octets of the message before it.
            now: Octets of the message with it.
        """
        return self._first(chunk, lambda rule: rule.verb == CONTENT and before < max(rule.after, 1) <= now)

    def _first(self, event: Event, is_about: Callable[[Rule], bool]) -> Rule | None:
        with self._lock:  # each rule counts, also if another one goes first
            due = [one.rule for one in self._counts if is_about(one.rule) and one.applies_to(event)]
        return due[0] if due else None


class _Count:
    """A rule of one server, and what it has counted. One rule may be there twice, and counts twice."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._seen = 0
        self._met: set[Hashable] = set()

    def applies_to(self, event: Event) -> bool:
        """Count an event that the rule is about; return whether the rule applies to it."""
        rule = self.rule
        if rule.first_of is not None:
            value = rule.first_of(event)
            new = value not in self._met
            self._met.add(value)
            return new
        self._seen += 1
        return self._seen >= rule.nth and (rule.times is None or self._seen < rule.nth + rule.times)


# --- Presets ----------------------------------------------------------------------------------------------


def _recipient(event: Event) -> Hashable:
    return str(event.forward_path).lower() if isinstance(event, Rcpt) else None


def greylist() -> Rule:
    """Refuse each recipient the first time it is named, with 451 4.7.1 (RFC 6647)."""
    rule = on("RCPT").reply("451 4.7.1 greylisted, try again later")
    return dataclasses.replace(rule, first_of=_recipient)


def tarpit(seconds: float = 1.0) -> Rule:
    """Delay each reply.

    Args:
        seconds: How long.
    """
    return on(ANY).delay(seconds)


def mailbox_full() -> Rule:
    """Refuse each recipient with 452 4.2.2 (RFC 5321 4.2.3)."""
    return on("RCPT").reply("452 4.2.2 mailbox full")


def rate_limit(messages: int = 1) -> Rule:
    """Accept some messages, then refuse each MAIL with 451 4.7.1.

    Args:
        messages: How many MAIL commands are accepted, over all sessions.
    """
    return on("MAIL", nth=messages + 1).reply("451 4.7.1 too many messages, try again later")


def early_552(after: int = 1) -> Rule:
    """Refuse a message while its content arrives, with 552 5.3.4, and break the connection.

    Args:
        after: Octets of content before.
    """
    return on(CONTENT, after=after).reply("552 5.3.4 message too big").disconnect(2**20)


PRESETS: Final[dict[str, Callable[[], Rule]]] = {
    "greylist": greylist,
    "tarpit": tarpit,
    "mailbox_full": mailbox_full,
    "rate_limit": rate_limit,
    "early_552": early_552,
}

# rule          = preset / (verb *(SP name "=" number) ":" action *(";" action))
# action        = "reply" SP text / "delay" SP seconds / "disconnect" [SP octets] / "garbage" / "drop_tls"
#                 / "split" SP octets
_RULE: Final = re.compile(r"(\S+?)((?:\s++(?:nth|times|after)=[0-9]{1,18}+)*)\s*:\s*(.+)", re.DOTALL)


def parse_rule(text: str) -> Rule:
    r"""Read a rule as the command line has it.

    Args:
        text: The name of a preset, such as ``greylist``; or an event, then a colon and what happens, separated
            by semicolons: ``"RCPT nth=2 times=1: delay 2; reply 451 4.7.1 later"``. The others are
            ``disconnect 5``, ``garbage``, ``drop_tls`` and ``split 1``. ``\n`` separates lines of a reply.

    Raises:
        LocalProtocolError: It is not a rule.
    """
    if text in PRESETS:
        return PRESETS[text]()
    match = _RULE.fullmatch(text.strip())
    if match is None:
        raise LocalProtocolError(
            f"{text!r} is not a fault: {', '.join(PRESETS)}, or such as 'RCPT nth=2: reply 451 4.7.1 later'"
        )
    numbers = {name: int(number) for name, _, number in (word.partition("=") for word in match[2].split())}
    rule = on(match[1], **numbers)
    for action in match[3].split(";"):
        rule = _with_action(rule, action.strip())
    return rule


def _with_action(rule: Rule, action: str) -> Rule:
    name, _, argument = action.partition(" ")
    try:
        match name:
            case "reply" if argument:
                return rule.reply(argument.replace("\\n", "\n"))
            case "delay":
                return rule.delay(float(argument))
            case "disconnect":
                return rule.disconnect(int(argument or 0))
            case "split":
                return rule.split(int(argument))
            case "garbage" if not argument:
                return rule.garbage()
            case "drop_tls" if not argument:
                return rule.drop_tls()
    except ValueError:
        raise LocalProtocolError(f"{argument!r} is not a number: {action}") from None
    raise LocalProtocolError(
        f"{action!r} is not a fault: reply TEXT, delay SECONDS, disconnect [OCTETS], split OCTETS, garbage,"
        " drop_tls"
    )
