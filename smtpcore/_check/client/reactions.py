"""Checks of what a client does about replies: codes, refusals, closings, keywords."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..table import Inconclusive
from ..wire import shown
from .player import TRANSACTION, Seen
from .rounds import NOT_SHOWN, ClientTable, Rounds

CHECKS: Final = ClientTable()
each = CHECKS.each

_MOST_TRIES: Final = 5  # of a command that was refused, and of connections


def _goes_on(seen: Seen) -> str | bool:
    """The message has to arrive."""
    if seen.contents:
        return True
    last = seen.commands[-1] if seen.commands else None
    return f"the client does not send its message; its last command: {shown(last.line) if last else 'none'}"


@each("SEC-06", "5321 3.3", "The client sends its message to a server that accepts it", "accepting")
def sends_a_message(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each(
    "EHL-12",
    "5321 4.1.1.1",
    "The client sends its message to a server without extensions",
    "without-extensions",
    "without-pipelining",
)
def needs_no_extension(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each(
    "RPL-13",
    "5321 4.2, 4.2.1",
    "The client understands replies of several lines, and without text",
    "talkative",
)
def understands_lines(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each(
    "LIM-10", "5321 4.5.3.1.5, 4.2", "The client understands long reply lines and long replies", "long-winded"
)
def understands_long_replies(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each(
    "RPL-12",
    "practice; 5321 4.2",
    "Octets above 127 in a reply do not stop the client",
    "foreign",
    level="SHOULD",
)
def understands_foreign_text(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each("SIZ-02", "1870 3", "SIZE 0 does not limit the client", "size-zero")
def understands_size_zero(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each("EHL-10", "5321 4.1.1.1", "Only the first word of each further line of EHLO is a keyword", "look-alikes")
def is_not_misled_by_look_alikes(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each("RPL-06", "5321 4.2, 4.2.1", "The client understands a code with nothing after it", "terse")
def understands_codes_alone(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each("RPL-28", "5321 4.2", "How replies are cut makes no difference to the client", "in-pieces")
def understands_pieces(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each(
    "RPL-09", "5321 4.2, 4.3.2", "The client understands an unfamiliar code by its first digit", "other-codes"
)
def understands_codes(seen: Seen) -> str | bool:
    return _goes_on(seen)


@CHECKS.check("RPL-20", "5321 4.2.1", "The client sends the content once where it was accepted")
def client_sends_once(rounds: Rounds) -> None:
    sent = False
    for entries in rounds.seen.values():
        accepted: set[tuple[bytes, bytes]] = set()
        for seen in entries:
            for content in seen.contents:
                sent = True
                pairs = {(content.octets, recipient) for recipient in content.recipients}
                if pairs & accepted:
                    raise rounds.fail(seen, "content that was accepted is sent to a recipient again")
                if content.reply.startswith("2"):
                    accepted |= pairs
    if not sent:
        raise Inconclusive(NOT_SHOWN)


@each("GRT-13", "5321 3.1, 4.2.1", "After 554 as greeting the client does not go on to mail", "refusing")
def accepts_a_refusal(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb in TRANSACTION:
            return f"{shown(command.line)} after a greeting of 554"
    if any(command.verb in ("EHLO", "HELO") for command in seen.commands):
        return "the client introduces itself after a greeting of 554"
    return True


@each("SES-40", "5321 3.8", "After 421 as greeting the client closes the connection", "busy")
def accepts_a_busy_server(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb != "QUIT":
            return f"{shown(command.line)} after a greeting of 421"
    return True


@each(
    "SES-40",
    "5321 3.8",
    "After 421 the client gives up the connection",
    "closing-at-ehlo",
    "closing-at-mail",
    "closing-at-rcpt",
    "closing-at-data",
    "closing-after-the-content",
)
def gives_up_after_421(seen: Seen) -> str | bool:
    for number, command in enumerate(seen.commands):
        if command.reply.startswith("421"):
            for after in seen.commands[number + 1 :]:
                if after.verb not in ("QUIT", "RSET") and not after.early:
                    return f"{shown(after.line)} after 421"
            return True
    return bool(seen.contents)


@each(
    "RPL-25",
    "5321 3.3",
    "After a refused MAIL the client sends neither RCPT nor content",
    "refusing-the-sender",
    "deferring-the-sender",
)
def accepts_a_refused_sender(seen: Seen) -> str | bool:
    mail = seen.first("MAIL")
    if mail is None:
        return False
    for after in seen.after(mail):
        if after.verb in ("RCPT", "DATA", "BDAT") and not after.early:
            return f"{shown(after.line)} after a refused MAIL"
    return "content after a refused MAIL" if seen.contents else True


@each(
    "RCP-23",
    "5321 3.3",
    "After nothing but refused recipients the client sends no DATA",
    "refusing-recipients",
    "deferring-recipients",
    "granting-without-recipients",
)
def accepts_refused_recipients(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb in ("DATA", "BDAT") and not command.early:
            return f"{command.verb} although each recipient was refused"
    return bool(seen.first("RCPT"))


@each("PIP-08", "2920 3.1", "354 without recipients is answered by a lone dot", "granting-without-recipients")
def answers_354_by_a_dot(seen: Seen) -> str | bool:
    if any(content.octets for content in seen.contents):
        return "content is sent although each recipient was refused"
    return bool(seen.first("RCPT"))


@each(
    "RCP-24",
    "5321 3.3",
    "Content is sent for the recipients that were accepted",
    "refusing-the-first-recipient",
)
def sends_to_those_accepted(seen: Seen) -> str | bool:
    accepted = [command for command in seen.commands if command.verb == "RCPT" and command.ok]
    if not accepted:
        return False
    return True if seen.contents else "no content is sent, although a recipient was accepted"


@each(
    "DAT-04",
    "5321 3.3",
    "After a refused DATA the client sends no content",
    "refusing-data",
    "refusing-data-for-good",
    "granting-no-data",
)
def accepts_refused_data(seen: Seen) -> str | bool:
    data = seen.first("DATA")
    if data is None:
        return False
    for after in seen.after(data):
        if after.verb not in ("QUIT", "RSET", "MAIL", "NOOP", "DATA", "RCPT"):
            return f"content after a refused DATA: {shown(after.line)}"
    return True


@each(
    "DAT-26",
    "5321 4.2.1",
    "After refused content the client does not send it again on the same connection",
    "refusing-the-content",
    "deferring-the-content",
)
def accepts_refused_content(seen: Seen) -> str | bool:
    sent = [(content.octets, recipient) for content in seen.contents for recipient in content.recipients]
    return "refused content is sent again" if len(sent) > len(set(sent)) else bool(seen.contents)


@each("SIZ-15", "1870 7", "A message above the announced size is not sent", "small", level="SHOULD")
def obeys_the_size(seen: Seen) -> str | bool:
    return "content above the announced size is sent" if seen.contents else bool(seen.commands)


@CHECKS.check("EHL-11", "5321 2.4", "Keywords are recognised in any letter case")
def client_reads_keywords_in_any_case(rounds: Rounds) -> None:
    def declares(scenario: str) -> tuple[bool, Seen]:
        for seen in rounds.of(scenario):
            if mail := seen.first("MAIL"):
                return b" SIZE=" in mail.line.upper(), seen
        raise Inconclusive("no round shows it")

    upper, _ = declares("accepting")
    lower, seen = declares("talkative")
    if upper and not lower:
        raise rounds.fail(seen, "the client uses SIZE, and does not recognise it as size")


@CHECKS.check(
    "SIZ-14", "5321 4.2.1, 4.5.4.1", "A client that was refused does not try again at once", level="SHOULD"
)
def client_does_not_insist(rounds: Rounds) -> None:
    if not any(rounds.seen.values()):
        raise Inconclusive("the client has not connected")
    for entries in rounds.seen.values():
        if len(entries) > _MOST_TRIES:
            raise rounds.fail(entries[-1], f"the client has connected {len(entries)} times")
        for seen in entries:
            refused = Counter(
                one.verb if one.verb == "AUTH" else shown(one.line)
                for one in seen.commands
                if one.reply[:1] in ("4", "5")
            )
            for what, times in refused.items():
                if times > _MOST_TRIES:
                    raise rounds.fail(seen, f"{what} was refused {times} times on one connection")


@each("RPL-24", "practice", "A reply that answers no command ends the session", "unasked", level="SHOULD")
def notices_unasked_replies(seen: Seen) -> str | bool:
    return "the client goes on after a reply that answers no command" if seen.contents else True


@each(
    "EHL-14",
    "5321 4.1.1.1",
    "Malformed and repeated keywords do not disturb the client",
    "with-odd-keywords",
    level="SHOULD",
)
def understands_odd_keywords(seen: Seen) -> str | bool:
    return _goes_on(seen)


@each("TMO-07", "5321 4.5.3.2", "The client waits for a reply that takes two seconds", "slow", level="MUST")
def waits_for_slow_replies(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb == "DATA" and command.ok and not seen.contents:
            return "the client sends no content"
    return "the client has closed before the reply to its content" if seen.impatient else bool(seen.contents)
