"""The text of every reply that a server sends on its own: successes, refusals, farewells.

The standard extensions have the replies to their own commands (``smtpcore.extensions``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .content import Violation
from .events import Connect, Data, Ehlo, EndOfMessage, Event, Helo, Mail, Noop, Quit, Rcpt, Rset, Vrfy
from .replies import Reply

# What accept() sends. Each text names the command that it answers (RFC 2920 3.2 (10)).
SUCCESS: Final[Mapping[type[Event], Reply]] = {
    Connect: Reply(220, None, "ESMTP service ready"),
    Ehlo: Reply(250, None, "greets you"),
    Helo: Reply(250, None, "greets you"),
    Mail: Reply(250, "2.1.0", "sender ok"),
    Rcpt: Reply(250, "2.1.5", "recipient ok"),
    Data: Reply(354, None, "send the message, and end it with a dot on a line of its own"),
    EndOfMessage: Reply(250, "2.0.0", "message accepted"),
    Rset: Reply(250, "2.0.0", "reset"),
    Noop: Reply(250, "2.0.0", "ok"),
    Vrfy: Reply(252, "2.5.0", "not verified: send mail and see"),
    Quit: Reply(221, "2.0.0", "goodbye"),
}

VIOLATIONS: Final[Mapping[Violation, Reply]] = {
    "bare-cr": Reply(550, "5.6.0", "the content has a CR without LF; every line must end in CRLF"),
    "bare-lf": Reply(550, "5.6.0", "the content has an LF without CR; every line must end in CRLF"),
    "nul": Reply(550, "5.6.0", "the content has a NUL octet"),
    "line-too-long": Reply(554, "5.6.0", "a line of the content is too long"),
    "too-large": Reply(552, "5.3.4", "the message is too big"),
}

NEED_HELLO = Reply(503, "5.5.1", "say EHLO first")
IN_TRANSACTION = Reply(503, "5.5.1", "a mail transaction is under way")
NEED_MAIL = Reply(503, "5.5.1", "say MAIL first")
NEED_RCPT = Reply(503, "5.5.1", "no valid recipients")
CONTENT_WITHOUT_354 = Reply(554, "5.5.1", "message data not expected: DATA was refused")
NEED_TLS = Reply(530, "5.7.0", "say STARTTLS first")
WEAK_TLS = Reply(554, "5.7.0", "this TLS channel is too weak: all that is left is QUIT")
NEED_AUTH = Reply(530, "5.7.0", "authentication is required")
NO_SERVICE = Reply(503, "5.5.1", "no service here: all that is left is QUIT")
NEVER_MAIL = Reply(521, "5.3.2", "this host accepts no mail")
NO_COUNT = Reply(501, "5.5.4", "BDAT without a usable count: cannot tell where the next command begins")
AUTHENTICATED = Reply(235, "2.7.0", "authenticated")
BAD_CREDENTIALS = Reply(535, "5.7.8", "credentials not accepted")
MALFORMED_RESPONSE = Reply(501, "5.5.2", "malformed response")
NOT_BASE64 = Reply(501, "5.5.2", "not valid base64")
NO_INITIAL_RESPONSE = Reply(501, "5.7.0", "this mechanism has no initial response: the server speaks first")
CANCELLED = Reply(501, "5.7.0", "authentication cancelled")
RESPONSE_TOO_LONG = Reply(500, "5.5.6", "line too long")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "too many recipients")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "too many errors")
TOO_MANY_IDLE = Reply(421, "4.7.0", "too many commands without mail")
TOO_MANY_REFUSED = Reply(421, "4.7.0", "too many refused recipients")
TOO_MANY_LOGINS = Reply(421, "4.7.0", "too many failed authentications")
TOO_MUCH_CONTENT = Reply(421, "4.3.4", "the content far exceeds the size limit")
TIMEOUT = Reply(421, "4.4.2", "timeout, closing connection")
TIMEOUT_AFTER_LF = Reply(421, "4.4.2", "timeout, closing connection: received LF without CR, lines end in CRLF")
SHUTTING_DOWN = Reply(421, "4.3.2", "service is shutting down")
NO_HTTP = Reply(554, "5.5.1", "this is an SMTP server, not a web server")
NO_TLS_HERE = Reply(554, "5.5.1", "this port speaks SMTP, and TLS only after STARTTLS")
