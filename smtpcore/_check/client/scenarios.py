"""The servers that the check of clients plays in turn: one that only accepts sees half of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .certificates import Certificate

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
        hello: The text of the first line of the reply to EHLO.
        challenge: An AUTH challenge that is sent before the reply to AUTH.
        delay: Seconds before the reply to the content.
        certificate: What the server shows of itself.
        handshake: Octets that are sent in place of the server's part of the TLS handshake.
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
    hello: str = HOST
    challenge: str = ""
    delay: float = 0.0
    certificate: Certificate = "valid"
    handshake: bytes = b""


def _on(**replies: str | tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Replies by verb; ``END`` stands for the content."""
    return {
        "." if verb == "END" else verb: (reply,) if isinstance(reply, str) else reply
        for verb, reply in replies.items()
    }


_SECURED: Final = (*_COMMON, "AUTH PLAIN LOGIN")


def _starttls(name: str, sentence: str, certificate: Certificate = "valid", handshake: bytes = b"") -> Scenario:
    """A server with STARTTLS, and with AUTH in plaintext and under TLS."""
    return Scenario(
        name,
        sentence,
        keywords=(*_SECURED, "STARTTLS"),
        secured=_SECURED,
        certificate=certificate,
        handshake=handshake,
    )


SCENARIOS: Final = (
    Scenario("accepting", "accepts everything"),
    Scenario("without-extensions", "offers no extension", keywords=()),
    Scenario("without-pipelining", "offers no PIPELINING", keywords=("SIZE", "8BITMIME")),
    Scenario("without-ehlo", "does not know EHLO", replies=_on(EHLO="502 5.5.1 not implemented")),
    Scenario(
        "talkative",
        "has replies of several lines, and text that looks like a code",
        greeting=f"220-{HOST} ESMTP\n220-250 is not the code\n220 -",
        keywords=("x-frobnicate on OFF", "size 10000000", "8bitmime", "pipelining", "HELP"),
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
    Scenario(
        "look-alikes",
        "has the names of extensions where they are not keywords",
        keywords=(
            "X-STARTTLS",
            "XPIPELINING",
            "X-NO-8BITMIME",
            "X-LIST STARTTLS CHUNKING SMTPUTF8 PIPELINING AUTH",
            "XAUTH PLAIN LOGIN",
        ),
        hello="PIPELINING CHUNKING STARTTLS AUTH 8BITMIME",
    ),
    Scenario(
        "with-odd-keywords",
        "has malformed and repeated keywords",
        keywords=("-x", "X_Y", "SIZE", "SIZE 10000000", "8BITMIME 8BITMIME", "", "X-\u00fc", "=", "PIPELINING"),
    ),
    Scenario("slow", "replies to the content after two seconds", delay=2.0),
    Scenario(
        "size-zero",
        "offers SIZE 0, which means that there is no limit, and is named like an extension",
        keywords=("SIZE 0", "8BITMIME"),
        hello="STARTTLS",
    ),
    Scenario(
        "long-winded",
        "has reply lines of 512 octets, and replies of many lines",
        greeting="\n".join((*(f"220-{HOST} line {number}" for number in range(40)), f"220 {HOST}")),
        keywords=(*(f"X-{number} {'x' * 480}" for number in range(10)), *_COMMON),
        replies=_on(MAIL=f"250 2.1.0 {'x' * 500}", RCPT=f"250-2.1.5 {'x' * 500}\n250 2.1.5 ok"),
    ),
    Scenario(
        "foreign",
        "has octets above 127 in the text of its replies",
        greeting=f"220 {HOST} gr\u00fc\u00df dich",
        replies=_on(MAIL="250 2.1.0 f\u00fcr", RCPT="250 2.1.5 f\u00fcr", END="250 2.0.0 f\u00fcr"),
    ),
    Scenario(
        "refusing-the-introduction",
        "refuses EHLO and HELO",
        replies=_on(EHLO=f"550 {HOST} not you", HELO=f"550 {HOST} not you"),
    ),
    Scenario("refusing", "opens with 554", greeting=f"554 {HOST} no mail here"),
    Scenario("busy", "opens with 421, and closes", greeting=f"421 {HOST} too busy"),
    Scenario("refusing-the-sender", "refuses MAIL", replies=_on(MAIL="550 5.7.1 no")),
    Scenario(
        "refusing-recipients", "refuses each recipient", replies=_on(RCPT="550 5.1.1 no", DATA="554 5.5.1 no")
    ),
    Scenario("deferring-the-sender", "answers MAIL with 451", replies=_on(MAIL="451 4.7.1 later")),
    Scenario(
        "deferring-recipients",
        "answers each RCPT with 450",
        replies=_on(RCPT="450 4.7.1 later", DATA="503 5.5.1 no recipients"),
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
    Scenario("refusing-data-for-good", "refuses DATA with 554", replies=_on(DATA="554 5.7.1 no")),
    Scenario("granting-no-data", "answers DATA with 250", replies=_on(DATA="250 2.0.0 ok")),
    Scenario("refusing-the-content", "refuses the content", replies=_on(END="554 5.6.0 no")),
    Scenario("deferring-the-content", "answers the content with 451", replies=_on(END="451 4.3.0 later")),
    Scenario("closing-at-ehlo", "answers EHLO with 421, and closes", replies=_on(EHLO=f"421 {HOST} closing")),
    Scenario("closing-at-mail", "answers MAIL with 421, and closes", replies=_on(MAIL=f"421 {HOST} closing")),
    Scenario("closing-at-rcpt", "answers RCPT with 421, and closes", replies=_on(RCPT=f"421 {HOST} closing")),
    Scenario("closing-at-data", "answers DATA with 421, and closes", replies=_on(DATA=f"421 {HOST} closing")),
    Scenario(
        "closing-after-the-content", "answers the content with 421", replies=_on(END=f"421 {HOST} closing")
    ),
    Scenario("vanishing", "closes at DATA without a reply", replies=_on(DATA="")),
    Scenario("small", "offers SIZE 10", keywords=("PIPELINING", "SIZE 10", "8BITMIME")),
    Scenario("smtputf8", "offers SMTPUTF8", keywords=(*_COMMON, "SMTPUTF8")),
    Scenario("chunking", "offers CHUNKING", keywords=(*_COMMON, "CHUNKING")),
    Scenario(
        "refusing-chunks",
        "offers CHUNKING, and refuses BDAT",
        keywords=(*_COMMON, "CHUNKING"),
        replies=_on(BDAT="552 5.3.4 no"),
    ),
    _starttls("starttls", "offers STARTTLS, and AUTH in plaintext, too"),
    _starttls("with-another-name", "shows a certificate for another name", "wrong-name"),
    _starttls("expired", "shows a certificate that has expired", "expired"),
    _starttls("untrusted", "shows a certificate that has signed itself", "untrusted"),
    # An alert of TLS 1.2: handshake_failure.
    _starttls("refusing-the-handshake", "refuses the TLS handshake", handshake=b"\x15\x03\x03\0\2\2\x28"),
    _starttls(
        "without-a-handshake",
        "answers the TLS handshake in plaintext",
        handshake=b"454 4.7.0 TLS not available\r\n",
    ),
    Scenario(
        "starttls-later",
        "answers STARTTLS with 454, and offers AUTH",
        keywords=(*_COMMON, "AUTH PLAIN LOGIN", "STARTTLS"),
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
    Scenario(
        "auth-by-something-else",
        "offers AUTH by a mechanism that is not known",
        keywords=(*_COMMON, "AUTH X-FROBNICATE"),
        replies=_on(AUTH="504 5.5.4 no such mechanism"),
    ),
    Scenario(
        "auth-with-a-bad-challenge",
        "sends a challenge that is not base64",
        keywords=(*_COMMON, "AUTH PLAIN"),
        replies=_on(AUTH="501 5.7.0 cancelled"),
        challenge="!!!",
    ),
    Scenario("unasked", "sends a reply that answers no command", keywords=(), unasked="250 2.0.0 unasked"),
)
"""The servers, in the order in which they are played."""
