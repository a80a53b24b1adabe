"""Checks of what a client does about STARTTLS, certificates and failed handshakes."""

from __future__ import annotations

import re
from typing import Final

from ..table import Check, Inconclusive, NotOffered
from ..wire import shown
from .player import TRANSACTION, Seen
from .rounds import NOT_SHOWN, ClientTable, Rounds

CHECKS: Final = ClientTable()
each = CHECKS.each

_IN_PLAINTEXT: Final = TRANSACTION | {"EHLO", "HELO", "AUTH", "RSET", "NOOP", "STARTTLS", "VRFY"}
_BROKEN: Final = ("refusing-the-handshake", "without-a-handshake")
_BAD_CERTIFICATES: Final = ("with-another-name", "expired", "untrusted")


@each(
    "TLS-09",
    "3207 4.2",
    "After the handshake the client starts over with EHLO",
    "starttls",
    "starttls-offers-more",
)
def starts_over_under_tls(seen: Seen) -> str | bool:
    under = [command for command in seen.commands if command.tls]
    if not under:
        return False
    return (
        True
        if under[0].verb in ("EHLO", "HELO", "QUIT")
        else f"the first command under TLS is {shown(under[0].line)}"
    )


@each("TLS-15", "3207 4", "After 220 the client begins a handshake, and sends no plaintext", "starttls")
def begins_a_handshake(seen: Seen) -> str | bool:
    if seen.no_handshake:
        return "plaintext comes after the 220 of STARTTLS"
    starttls = seen.first("STARTTLS")
    return bool(starttls and starttls.reply)


@each("TLS-08", "3207 4.2", "What was offered before TLS is forgotten", "starttls-offers-more")
def forgets_what_was_offered(seen: Seen) -> str | bool:
    found = False
    for command in seen.commands:
        if command.tls and command.offered is not None:
            found = True
            if command.verb in ("BDAT", "AUTH", "STARTTLS") or re.search(rb"(?i) BODY=", command.line):
                return f"{shown(command.line)} uses what is not offered under TLS"
            if command.early:
                return f"{shown(command.line)} is pipelined, which is not offered under TLS"
    return found


@each("TLS-11", "3207 4.2", "STARTTLS is not sent under TLS")
def starttls_once(seen: Seen) -> str | bool:
    if any(command.verb == "STARTTLS" and command.tls for command in seen.commands):
        return "STARTTLS under TLS"
    return any(command.tls for command in seen.commands)


@each("TLS-05", "3207 6", "Plaintext after the 220 of STARTTLS is not taken for a reply", "starttls-injection")
def refuses_injected_replies(seen: Seen) -> str | bool:
    if seen.used_injection:
        return "plaintext after the 220 is taken for the reply to EHLO"
    return bool(seen.first("STARTTLS"))


@each("TLS-17", "3207 4", "After 454 the client does not begin a handshake", "starttls-later")
def accepts_454(seen: Seen) -> str | bool:
    starttls = seen.first("STARTTLS")
    if starttls is None:
        return False
    for after in seen.after(starttls):
        if after.line.startswith(b"\x16"):
            return "the client begins a handshake after 454"
    return True


@each(
    "AUT-28",
    "4954 4",
    "The password is not shown in plaintext where TLS is offered",
    "starttls-later",
    "starttls",
    *_BROKEN,
    *_BAD_CERTIFICATES,
)
def hides_the_password(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb == "AUTH" and not command.tls:
            return "AUTH in plaintext"
    return bool(seen.commands)


@each(
    "TLS-15",
    "3207 4",
    "After a handshake that failed the client does not go on in plaintext",
    *_BROKEN,
    *_BAD_CERTIFICATES,
)
def ends_after_a_failed_handshake(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.after_handshake and command.verb in _IN_PLAINTEXT:
            return f"{shown(command.line)} in plaintext after a handshake that failed"
    return seen.handshake_failed


def _verifies(what: str, scenario: str, certificate: str) -> None:
    """Add a check of what a client does about a bad certificate."""

    def run(rounds: Rounds) -> None:
        asked = False
        for seen in rounds.of(scenario):
            asked = asked or seen.first("STARTTLS") is not None
            under_tls = [command for command in seen.commands if command.tls]
            if any(command.verb == "AUTH" for command in under_tls):
                raise rounds.fail(seen, f"AUTH in spite of {certificate}")
            if any(command.verb in TRANSACTION for command in under_tls):
                why = f"mail in spite of {certificate}"
                if rounds.demands_tls:
                    raise rounds.fail(seen, why)
                # RFC 7435 1.2: encryption without authentication is better than none.
                raise rounds.permit(seen, f"{why}, as opportunistic TLS permits")
        if not asked:
            raise Inconclusive("the client does not use STARTTLS")
        if scenario != "untrusted" and not any(
            command.tls for seen in rounds.of("starttls") for command in seen.commands
        ):
            raise Inconclusive("the client refuses a valid certificate, too (hint: --save-ca)")

    sentence = f"Nothing is sent to a server with {certificate}"
    CHECKS.add(Check(f"client-verifies-{what}", "TLS-32", "3207 4.1; 4954 14; 8314 5.4", sentence, run))


_verifies("names", "with-another-name", "a certificate for another name")
_verifies("dates", "expired", "a certificate that has expired")
_verifies("issuers", "untrusted", "a certificate that no authority has signed")


@CHECKS.check("TLS-24", "3207 4, 6; 8314 5", "No mail is sent in plaintext where TLS was refused, or failed")
def client_demands_tls(rounds: Rounds) -> None:
    asked = False
    for seen in rounds.of("starttls-later", *_BROKEN, *_BAD_CERTIFICATES):
        asked = asked or seen.first("STARTTLS") is not None
        if any(command.verb in TRANSACTION and not command.tls for command in seen.commands):
            if rounds.demands_tls:
                raise rounds.fail(seen, "mail in plaintext, although the client is to demand TLS")
            raise rounds.permit(seen, "mail in plaintext, as opportunistic TLS permits")
    if not asked:
        raise Inconclusive(NOT_SHOWN)


@CHECKS.check("TLS-25", "3207 6; 8314 5", "Where TLS is demanded no mail is sent to a server without STARTTLS")
def client_demands_starttls(rounds: Rounds) -> None:
    if not rounds.demands_tls:
        raise NotOffered("it needs --require-tls")
    for seen in rounds.of("auth"):
        if any(command.verb in TRANSACTION or command.verb == "AUTH" for command in seen.commands):
            raise rounds.fail(seen, "mail or AUTH in plaintext, although the client is to demand TLS")


@each("AUT-50", "4954 4, 14", "The password is not shown in plaintext", "auth", "refusing-auth", level="SHOULD")
def hides_the_password_without_starttls(seen: Seen) -> str | bool:
    for command in seen.commands:
        if command.verb == "AUTH" and not command.tls:
            return "AUTH in plaintext, where STARTTLS is not offered"
    return bool(seen.commands)
