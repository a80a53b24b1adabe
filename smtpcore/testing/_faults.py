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

from .._core.errors import LocalProtocolError, check_text, wrong_type
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

        Raises:
            LocalProtocolError: The text has a line end of its own at its end, or CRLF.
            ArgumentTypeError: It is not a string.
        """
        check_text("a reply", text)
        if "\r\n" in text or text.endswith("\n"):
            raise LocalProtocolError(
                f"a reply is lines separated by LF, which get their CRLF, not {text!r:.80}"
                " (hint: garbage() sends octets as they are)"
            )
        lines = text.split("\n")
        return dataclasses.replace(self, octets="".join(f"{line}\r\n" for line in lines).encode("utf-8"))

    def garbage(self, octets: bytes = GARBAGE) -> Rule:
        """Send octets that are not a reply, in place of one.

        Args:
            octets: What to send, as it is.

        Raises:
            ArgumentTypeError: They are not bytes.
        """
        if not isinstance(octets, (bytes, bytearray, memoryview)):
            raise wrong_type("garbage", "bytes", octets)
        return dataclasses.replace(self, octets=bytes(octets))

    def delay(self, seconds: float) -> Rule:
        """Wait before the reply.

        Args:
            seconds: How long. A server that closes does not wait any longer.

        Raises:
            LocalProtocolError: ``seconds`` is not a time to wait.
            ArgumentTypeError: It is not a number.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise wrong_type("a delay", "a number of seconds", seconds)
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
            ArgumentTypeError: It is not a whole number.
        """
        check_count("disconnect(after)", after, 0)
        return dataclasses.replace(self, limit=after)

    def split(self, octets: int) -> Rule:
        """Send the reply in pieces.

        Args:
            octets: Of each piece.

        Raises:
            LocalProtocolError: ``octets`` is less than 1.
            ArgumentTypeError: It is not a whole number.
        """
        check_count("split(octets)", octets, 1)
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


def check_count(name: str, value: object, least: int) -> None:
    """Raise an error that names the argument unless its value is a whole number, ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "a whole number", value)
    if value < least:
        raise LocalProtocolError(f"{name} is at least {least}, not {value}")


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
        ArgumentTypeError: An argument has the wrong type.
    """
    check_text("verb", verb)
    verb = verb.upper()
    if _VERB.fullmatch(verb) is None:
        raise LocalProtocolError(f"{verb!r} is not a verb; CONNECT, CONTENT, . and * are possible as well")
    check_count("nth", nth, 1)
    check_count("after", after, 0)
    if times is not None:
        check_count("times", times, 1)
    if after and verb != CONTENT:
        raise LocalProtocolError(f"after= belongs to CONTENT, not to {verb}")
    return Rule(verb, nth, times, after)


def _checked(rule: object) -> Rule:
    if not isinstance(rule, Rule):
        raise wrong_type("a fault", "a rule, such as greylist() or on('RCPT').reply('451 4.7.1 later')", rule)
    return rule


class Counter:
    """What the sessions of one server have seen, to say which rule applies. Every thread may use it.

    Args:
        rules: The rules; of several that apply the first one counts.

    Raises:
        ArgumentTypeError: One is something else.
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        if isinstance(rules, (Rule, str)) or not isinstance(rules, Iterable):
            raise wrong_type("faults", "an iterable of rules", rules)
        self._counts = [_Count(_checked(rule)) for rule in rules]
        self._lock = threading.Lock()

    def add(self, rule: Rule) -> None:
        """Add a rule, which goes before the others and counts from now on."""
        with self._lock:
            self._counts.insert(0, _Count(_checked(rule)))

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

    Raises:
        LocalProtocolError: ``seconds`` is not a time to wait.
        ArgumentTypeError: It is not a number.
    """
    return on(ANY).delay(seconds)


def mailbox_full() -> Rule:
    """Refuse each recipient with 452 4.2.2 (RFC 5321 4.2.3)."""
    return on("RCPT").reply("452 4.2.2 mailbox full")


def rate_limit(messages: int = 1) -> Rule:
    """Accept some messages, then refuse each MAIL with 451 4.7.1.

    Args:
        messages: How many MAIL commands are accepted, over all sessions.

    Raises:
        LocalProtocolError: ``messages`` is negative.
        ArgumentTypeError: It is not a whole number.
    """
    check_count("messages", messages, 0)
    return on("MAIL", nth=messages + 1).reply("451 4.7.1 too many messages, try again later")


def early_552(after: int = 1) -> Rule:
    """Refuse a message while its content arrives, with 552 5.3.4, and break the connection.

    Args:
        after: Octets of content before.

    Raises:
        LocalProtocolError: ``after`` is negative.
        ArgumentTypeError: It is not a whole number.
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
_OPTION: Final = re.compile(r"(nth|times|after)=([0-9]{1,18})")
_ACTIONS: Final = {
    "reply": "reply TEXT",
    "delay": "delay SECONDS",
    "disconnect": "disconnect [OCTETS]",
    "split": "split OCTETS",
    "garbage": "garbage",
    "drop_tls": "drop_tls",
}


def parse_rule(text: str) -> Rule:
    r"""Read a rule as the command line has it.

    Args:
        text: The name of a preset, such as ``greylist``; or an event, then a colon and what happens, separated
            by semicolons: ``"RCPT nth=2 times=1: delay 2; reply 451 4.7.1 later"``. The others are
            ``disconnect 5``, ``garbage``, ``drop_tls`` and ``split 1``. ``\n`` separates lines of a reply.

    Raises:
        LocalProtocolError: It is not a rule.
        ArgumentTypeError: It is not a string.
    """
    check_text("a fault", text)
    if text.strip() in PRESETS:
        return PRESETS[text.strip()]()
    where, _, what = text.partition(":")
    if not where.strip() or not what.strip():
        raise LocalProtocolError(
            f"{text!r} is not a fault: {', '.join(PRESETS)}, or such as 'RCPT nth=2: reply 451 4.7.1 later'"
        )
    verb, *options = where.split()
    rule = on(verb, **_numbers(options))
    seen = set()
    for action in what.split(";"):
        name, rule = _with_action(rule, action.strip())
        if name in seen:
            raise LocalProtocolError(f"duplicate {name} in {what.strip()!r}: each action is possible once")
        seen.add(name)
    return rule


def _numbers(options: Iterable[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for option in options:
        match = _OPTION.fullmatch(option)
        if match is None:
            raise LocalProtocolError(
                f"{option!r} is not an option of a fault: nth=NUMBER, times=NUMBER, after=NUMBER"
            )
        if match[1] in numbers:
            raise LocalProtocolError(f"duplicate {match[1]} in {option!r}: each option is possible once")
        numbers[match[1]] = int(match[2])
    return numbers


def _with_action(rule: Rule, action: str) -> tuple[str, Rule]:
    """Add an action to a rule; return its name, and the rule."""
    name, _, argument = action.partition(" ")
    try:
        match name:
            case "reply" if argument:
                return name, rule.reply(argument.replace("\\n", "\n"))
            case "delay":
                return name, rule.delay(float(argument))
            case "disconnect":
                return name, rule.disconnect(int(argument or 0))
            case "split":
                return name, rule.split(int(argument))
            case "garbage" if not argument:
                return name, rule.garbage()
            case "drop_tls" if not argument:
                return name, rule.drop_tls()
    except ValueError:
        raise LocalProtocolError(f"{argument!r} is not a number: {_ACTIONS[name]}") from None
    accepted = _ACTIONS.get(name) or ", ".join(_ACTIONS.values())
    raise LocalProtocolError(f"{action!r} is not a fault: {accepted}")
