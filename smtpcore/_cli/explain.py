"""``python3 -m smtpcore explain``: what a reply, or the text of an error, means, and what to try.

A reply is explained by its codes, with the words and hints of the library. The text of an error is looked up in
a table of parts of the texts of OpenSSL, operating systems and Python, which other mail programs show too,
and of this library.
"""

from __future__ import annotations

import argparse
import re
import sys
from typing import Final

from .._core.errors import LocalProtocolError
from .._core.events import Response
from .._core.replies import Reply, describe
from .._net.errors import ErrorContext, ReplyError
from .._net.hints import hint_for
from .common import EX_DATAERR, EX_OK, Failure, Printer, as_options, terminal_width

# A reply within other text: "550-5.1.1 no", "(535, b'5.7.8 no')" of smtplib.
_REPLY = re.compile(
    r"(?<![0-9.])([2-5][0-5][0-9])(?:[ -]|, b?['\"])?([245]\.[0-9]{1,3}\.[0-9]{1,3})?(?![0-9.])"
)
# One that is not just a number: with an enhanced status code, or in quotation marks.
_CERTAIN_REPLY = re.compile(
    r"(?<![0-9.])[2-5][0-5][0-9](?:[ -][245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])|, b?['\"])"
)
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # alone
# The phase of a session in which a reply code is usual, for the hint.
_PHASES: Final[dict[int, str]] = dict.fromkeys((432, 454, 534, 535, 538), "auth")
_AUTH_CODES: Final = {"4.7.12": "432", "5.7.8": "535", "5.7.9": "534", "5.7.11": "538"}  # RFC 4954 6
_NEED_TLS: Final = frozenset({523, 538})
_KINDS: Final = {
    2: "success",
    3: "the server waits for more",
    4: "a temporary failure: the same command may succeed later",
    5: "a permanent failure: the same command will fail again",
}

# Parts of texts in lower case; their meaning; what to try. The first that occurs counts.
_TEXTS: Final = (
    (
        ("wrong_version_number", "wrong version number"),
        "the client began with TLS and the server answered in plain text",
        "use STARTTLS, usually on port 587; TLS from the start is for port 465 (RFC 8314 3.3)",
    ),
    (
        ("hostname mismatch", "doesn't match"),
        "the certificate of the server is for another name",
        "connect by a name that is in the certificate; an IP address or an alias is usually not",
    ),
    (
        ("certificate has expired",),
        "the certificate of the server is out of date, or the clock of this machine is wrong",
        "renew the certificate on the server, or set the clock",
    ),
    (
        (
            "certificate_verify_failed",
            "certificate verify failed",
            "self-signed",
            "self signed",
            "local issuer certificate",
        ),
        "the certificate of the server is not from an authority that this machine trusts",
        "trust the certificate of your own server with --ca-file; any other has to send its whole chain",
    ),
    (
        (
            "unsupported_protocol",
            "unsupported protocol",
            "no_protocols",
            "no protocols",
            "handshake_failure",
            "handshake failure",
        ),
        "client and server have no version or cipher of TLS in common",
        "update the older side; TLS 1.0 and 1.1 are obsolete (RFC 8996)",
    ),
    (
        ("key_too_small", "key too small"),
        "a key of the server is too short for the OpenSSL of this machine",
        "the server needs a longer key",
    ),
    (
        ("unexpected_eof", "eof occurred"),
        "the server closed the connection during the TLS handshake",
        "look into the log of the server; it may refuse this address or want a certificate of the client",
    ),
    (
        ("connection refused", "actively refused"),
        "no server listens on this port of this host",
        "check host and port: 587 or 465 for users, 25 between servers; is the server started?",
    ),
    (
        (
            "name or service not known",
            "nodename nor servname",
            "getaddrinfo failed",
            "temporary failure in name",
        ),
        "the host name has no address, or cannot be looked up now",
        "check the spelling of the host name, and the network of this machine",
    ),
    (
        ("timed out", "timeout"),
        "the other side did not answer in time",
        "check host and port: many networks block port 25, and port 465 is silent without TLS from the start",
    ),
    (
        ("connection reset", "broken pipe", "unexpectedly closed", "forcibly closed", "closed the connection"),
        "the other side closed the connection",
        "look into the log of the other side; some servers do so after a wrong password or too many errors",
    ),
    (
        ("auth extension not supported", "no suitable authentication"),
        "the server offers no login here, or no mechanism that the client has",
        "many servers offer AUTH only after STARTTLS: use port 587 or 465",
    ),
    (
        ("starttls extension not supported", "does not offer starttls"),
        "the server offers no TLS on this port",
        "use port 587, or port 465 with TLS from the start",
    ),
    (
        ("greylist", "graylist"),
        "the server refuses the first attempt of an unknown client (RFC 6647)",
        "send the same message again in 5 to 15 minutes, from the same address",
    ),
    (
        ("not a valid smtp reply", "web server on port"),
        "what listens on this port does not speak SMTP",
        "check host and port: 587 or 465 for users, 25 between servers",
    ),
    (
        ("bare lf", "bare cr", "bare newline", "bare <lf>"),
        "a line of the content does not end in CRLF (RFC 5321 2.3.8)",
        "send_message() converts line ends, and so do normalize_line_endings() and curl --crlf",
    ),
    (
        ("longer than 998 octets", "line too long"),
        "a line is longer than RFC 5321 4.5.3.1 allows",
        "send_message() encodes such a part; otherwise encode it as quoted-printable or base64",
    ),
    (
        ("smtputf8",),
        "an address is not ASCII, and the server has to offer SMTPUTF8 for it (RFC 6531 3.2)",
        "use an address whose local part is ASCII; a domain that is not is sent in its xn-- form",
    ),
    (
        ("address already in use",),
        "another program listens on this port",
        "end that program, or choose another port; port 0 lets the system choose",
    ),
    (
        ("permission denied",),
        "the system does not permit this to the user of the program; ports below 1024 are privileged",
        "listen on a higher port, or on a socket that systemd has bound; check the rights of files",
    ),
    (
        ("cannot assign requested address",),
        "an address to listen on, or to connect from, is not an address of this machine",
        "leave it out, or give an address that this machine has",
    ),
)


def run(options: argparse.Namespace) -> int:
    """Explain a text.

    Args:
        options: The command line; ``text`` has its words.

    Returns:
        EX_OK.

    Raises:
        Failure: Nothing is known about the text.
    """
    text = " ".join(options.text)
    lines: list[tuple[str, str | None]] | None
    if _STATUS.fullmatch(text):
        lines = _by_status(text)
    elif reply := _REPLY.match(text) or _CERTAIN_REPLY.search(text):
        lines = _by_reply(text[reply.start() :])  # its text may have any words
    else:
        lines = _by_text(text) or _by_reply(text)
    if lines is None:
        raise Failure(
            EX_DATAERR,
            f"nothing is known about {text!r} (hint: give a reply such as '550 5.1.1', or an error text)",
        )
    say = Printer(sys.stdout, terminal_width(sys.stdout)).say
    for name, line in lines:
        if line is not None:
            say(f"{name + ':':8} {line}", indent=" " * 9)
    return EX_OK


def _by_text(text: str) -> list[tuple[str, str | None]] | None:
    lower = text.lower()
    for parts, meaning, advice in _TEXTS:
        if any(part in lower for part in parts):
            return [("meaning", meaning), ("try", advice)]
    return None


def _by_status(text: str) -> list[tuple[str, str | None]]:
    """Explain an enhanced status code alone, as one of a usual reply code of its class."""
    code = _AUTH_CODES.get(text, f"{text[0]}50")
    lines = dict(_by_reply(f"{code} {text}") or ())
    meaning = (lines["meaning"] or "").removeprefix(f"{describe(code)}; ")
    return [("status", text), ("meaning", meaning), ("kind", lines["kind"]), ("try", lines["try"])]


def _by_reply(text: str) -> list[tuple[str, str | None]] | None:
    match = _REPLY.search(text)
    if match is None:
        return None
    code, status = int(match[1]), match[2]
    try:
        reply = Reply(code, status, "")
        meaning = describe(reply)
    except LocalProtocolError:  # an enhanced status code of another class (RFC 2034 4)
        reply = Reply(code, None, "")
        meaning = describe(reply)
    advice = None
    if code >= 400:
        facts = ErrorContext(phase=_PHASES.get(code, "command"), tls=code not in _NEED_TLS)
        advice = as_options(hint_for(ReplyError(Response(None, reply)), facts) or "") or None
    return [
        ("reply", f"{code} {reply.status}" if reply.status else str(code)),
        ("meaning", meaning),
        ("kind", _KINDS[code // 100]),
        ("try", advice),
    ]
