"""The servers that the check of clients plays in turn: one that only accepts sees half of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HOST: Final = "server.example"
_COMMON: Final = ("PIPELINING", "SIZE 10000000", "8BITMIME", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A server.

    Attributes:
        name: Unique.
        sentence: What it does, for the person at the client.
        greeting: The greeting.
        keywords: What EHLO is answered with.
        secured: The same under TLS.
        replies: Replies in place of the usual ones, by verb; "." is the content. They are used up in order, and
            the last one stays. "" closes the connection without a reply; a reply of 421 closes after it.
        cut: Replies are sent octet by octet.
        injected: Octets that follow the 220 of STARTTLS in plaintext.
        unasked: A reply that is sent after that to EHLO, without a command.
    """

    name: str
    sentence: str
    greeting: str = f"220 {HOST} ESMTP"
    keywords: tuple[str, ...] = _COMMON
    secured: tuple[str, ...] = _COMMON
    replies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cut: bool = False
    injected: bytes = b""
    unasked: str = ""


def _on(**replies: str | tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Replies by verb; ``END`` stands for the content."""
    return {
        "." if verb == "END" else verb: (reply,) if isinstance(reply, str) else reply
        for verb, reply in replies.items()
    }


SCENARIOS: Final = (
    Scenario("accepting", "accepts everything"),
    Scenario("without-extensions", "offers no extension", keywords=()),
    Scenario("without-pipelining", "offers no PIPELINING", keywords=("SIZE 10000000", "8BITMIME")),
    Scenario("without-ehlo", "does not know EHLO", replies=_on(EHLO="502 5.5.1 not implemented")),
    Scenario(
        "talkative",
        "has replies of several lines, and text that looks like a code",
        greeting=f"220-{HOST} ESMTP\n220-250 is not the code\n220 -",
        keywords=("x-frobnicate on OFF", "size", "8bitmime", "HELP"),
        replies=_on(
            MAIL="250-2.1.0 sender\n250 ok",
            RCPT="250-550 not a refusal\n250 2.1.5 recipient ok",
            DATA="354-go\n354 ahead",
            END="250-2.0.0 stored\n250 2.0.0 -",
        ),
    ),
    Scenario(
        "terse",
        "sends codes without text",
        replies=_on(MAIL="250", RCPT="250-\n250", DATA="354", END="250", RSET="250", QUIT="221"),
    ),
    Scenario("in-pieces", "sends its replies octet by octet", cut=True),
    Scenario(
        "other-codes",
        "answers with 2yz codes that are not common",
        replies=_on(MAIL="259 sender", RCPT="251 will forward to <other@server.example>", END="259 stored"),
    ),
    Scenario("refusing", "opens with 554", greeting=f"554 {HOST} no mail here"),
    Scenario("busy", "opens with 421, and closes", greeting=f"421 {HOST} too busy"),
    Scenario("refusing-the-sender", "refuses MAIL", replies=_on(MAIL="550 5.7.1 no")),
    Scenario(
        "refusing-recipients", "refuses each recipient", replies=_on(RCPT="550 5.1.1 no", DATA="554 5.5.1 no")
    ),
    Scenario(
        "granting-without-recipients",
        "refuses each recipient, and answers DATA with 354",
        replies=_on(RCPT="550 5.1.1 no", END="554 5.5.1 no recipients"),
    ),
    Scenario(
        "refusing-the-first-recipient",
        "refuses the first recipient",
        replies=_on(RCPT=("550 5.1.1 no", "250 2.1.5 ok")),
    ),
    Scenario("refusing-data", "refuses DATA", replies=_on(DATA="451 4.3.0 not now")),
    Scenario("refusing-the-content", "refuses the content", replies=_on(END="554 5.6.0 no")),
    Scenario("closing-at-mail", "answers MAIL with 421, and closes", replies=_on(MAIL=f"421 {HOST} closing")),
    Scenario("closing-at-rcpt", "answers RCPT with 421, and closes", replies=_on(RCPT=f"421 {HOST} closing")),
    Scenario(
        "closing-after-the-content", "answers the content with 421", replies=_on(END=f"421 {HOST} closing")
    ),
    Scenario("vanishing", "closes at DATA without a reply", replies=_on(DATA="")),
    Scenario("small", "offers SIZE 10", keywords=("PIPELINING", "SIZE 10", "8BITMIME")),
    Scenario("chunking", "offers CHUNKING", keywords=(*_COMMON, "CHUNKING")),
    Scenario(
        "refusing-chunks",
        "offers CHUNKING, and refuses BDAT",
        keywords=(*_COMMON, "CHUNKING"),
        replies=_on(BDAT="552 5.3.4 no"),
    ),
    Scenario("starttls", "offers STARTTLS", keywords=(*_COMMON, "STARTTLS")),
    Scenario(
        "starttls-later",
        "answers STARTTLS with 454",
        keywords=(*_COMMON, "STARTTLS"),
        replies=_on(STARTTLS="454 4.7.0 not now"),
    ),
    Scenario(
        "starttls-injection",
        "sends plaintext after the 220 of STARTTLS",
        keywords=(*_COMMON, "STARTTLS"),
        injected=b"250-server.example\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN\r\n",
    ),
    Scenario(
        "starttls-offers-more",
        "offers other extensions under TLS",
        keywords=(*_COMMON, "STARTTLS", "CHUNKING"),
        secured=("SIZE 10000000",),
    ),
    Scenario("auth", "offers AUTH", keywords=(*_COMMON, "AUTH PLAIN LOGIN")),
    Scenario(
        "refusing-auth",
        "refuses the login",
        keywords=(*_COMMON, "AUTH PLAIN LOGIN"),
        replies=_on(AUTH="535 5.7.8 no"),
    ),
    Scenario("unasked", "sends a reply that answers no command", keywords=(), unasked="250 2.0.0 unasked"),
)
"""The servers, in the order in which they are played."""
