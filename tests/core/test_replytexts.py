"""The replies that a server sends on its own: the code and the status that the standard gives each of them.

A client acts on the code: 4yz is tried again, 5yz is not, and 421 ends the session (RFC 5321 4.2.1, 3.8).
"""

from __future__ import annotations

import pytest

from smtpcore import Reply
from smtpcore._core import replytexts
from smtpcore._core.events import (
    Connect,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Vrfy,
)

REPLIES = {
    "NEED_HELLO": "503 5.5.1 EHLO first",
    "IN_TRANSACTION": "503 5.5.1 transaction is under way",
    "NEED_MAIL": "503 5.5.1 MAIL first",
    "NEED_RCPT": "503 5.5.1 no valid recipients",
    "CONTENT_WITHOUT_354": "554 5.5.1 DATA was refused",
    "NEED_TLS": "530 5.7.0 STARTTLS first",
    "WEAK_TLS": "554 5.7.0 too weak: all that is left is QUIT",
    "NEED_AUTH": "530 5.7.0 authentication is required",
    "NO_SERVICE": "503 5.5.1 no service here: all that is left is QUIT",
    "NEVER_MAIL": "521 5.3.2 accepts no mail",
    "NO_COUNT": "501 5.5.4 BDAT without a usable count",
    "AUTHENTICATED": "235 2.7.0 authenticated",
    "BAD_CREDENTIALS": "535 5.7.8 credentials not accepted",
    "MALFORMED_RESPONSE": "501 5.5.2 malformed response",
    "NOT_BASE64": "501 5.5.2 not valid base64",
    "NO_INITIAL_RESPONSE": "501 5.7.0 has no initial response",
    "CANCELLED": "501 5.7.0 authentication cancelled",
    "RESPONSE_TOO_LONG": "500 5.5.6 line too long",
    "TOO_MANY_RECIPIENTS": "452 4.5.3 too many recipients",
    "TOO_MANY_ERRORS": "421 4.7.0 too many errors",
    "TOO_MANY_IDLE": "421 4.7.0 too many commands without mail",
    "TOO_MANY_REFUSED": "421 4.7.0 too many refused recipients",
    "TOO_MANY_LOGINS": "421 4.7.0 too many failed authentications",
    "TOO_MUCH_CONTENT": "421 4.3.4 exceeds the size limit",
    "TIMEOUT": "421 4.4.2 timeout",
    "TIMEOUT_AFTER_LF": "421 4.4.2 received LF without CR, lines end in CRLF",
    "SHUTTING_DOWN": "421 4.3.2 shutting down",
    "NO_HTTP": "554 5.5.1 not a web server",
    "NO_TLS_HERE": "554 5.5.1 TLS only after STARTTLS",
}
SUCCESS: dict[type[Event], str] = {
    Connect: "220 ESMTP",
    Ehlo: "250 greets you",
    Helo: "250 greets you",
    Mail: "250 2.1.0 sender ok",
    Rcpt: "250 2.1.5 recipient ok",
    Data: "354 end it with a dot on a line of its own",
    EndOfMessage: "250 2.0.0 message accepted",
    Rset: "250 2.0.0 reset",
    Noop: "250 2.0.0 ok",
    Vrfy: "252 2.5.0 not verified",
    Quit: "221 2.0.0 goodbye",
}
VIOLATIONS = {
    "bare-cr": "550 5.6.0 CR without LF; every line must end in CRLF",
    "bare-lf": "550 5.6.0 LF without CR; every line must end in CRLF",
    "nul": "550 5.6.0 NUL octet",
    "line-too-long": "554 5.6.0 line of the content is too long",
    "too-large": "552 5.3.4 the message is too big",
}


def says(reply: Reply, expected: str) -> bool:
    """Whether a reply has this code and status, and says these words."""
    code, _, rest = expected.partition(" ")
    status = "" if reply.status is None else f"{reply.status} "
    return reply.code == int(code) and rest.startswith(status) and rest.removeprefix(status) in reply.text


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_has_the_code_and_the_status_of_its_meaning(name: str) -> None:
    assert says(getattr(replytexts, name), REPLIES[name])


def test_each_success_has_the_code_of_its_command() -> None:
    assert all(says(replytexts.SUCCESS[event], SUCCESS[event]) for event in replytexts.SUCCESS)
    assert {*replytexts.SUCCESS} == {*SUCCESS}


def test_each_violation_has_the_code_of_its_kind() -> None:
    assert all(says(reply, VIOLATIONS[kind]) for kind, reply in replytexts.VIOLATIONS.items())
    assert {*replytexts.VIOLATIONS} == {*VIOLATIONS}


def test_no_reply_is_missing_here() -> None:
    assert {name for name, value in vars(replytexts).items() if isinstance(value, Reply)} == {*REPLIES}
