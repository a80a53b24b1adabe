"""Checks of AUTH that need no user (RFC 4954); those of a login are in ``login``."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from ..._core.grammar import MECHANISM
from ..session import NAME, Session, encoded
from ..table import Check, Failed, Inconclusive, NotOffered, Table
from ..wire import Closed, Reply, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_AUTH: Final = "AUTH"
_WRONG: Final = encoded("\0nobody-here\0wrong")


def ready_for_auth(session: Session) -> None:
    """Introduce the client where AUTH is offered, without a login."""
    session.ready(auth=False)
    if _AUTH not in (session.offered or {}):
        raise Inconclusive("AUTH is not offered in this session")


def ready_for_plain(session: Session) -> None:
    ready_for_auth(session)
    if "PLAIN" not in session.mechanisms():
        raise NotOffered("PLAIN is not offered")


@check("AUT-01", "4954 3", "AUTH lists at least one mechanism, each once", keyword=_AUTH)
def auth_lists_mechanisms(session: Session) -> None:
    ready_for_auth(session)
    names = session.mechanisms()
    if not names:
        raise Failed("AUTH is offered without a mechanism")
    if len(set(names)) != len(names):
        # Of a line AUTH= for old clients.
        session.permit(f"a mechanism is listed twice: {' '.join(names)}")


@check(
    "AUT-47",
    "4422 3.1",
    "Names of mechanisms have 1 to 20 letters, digits, hyphens and underscores",
    keyword=_AUTH,
)
def auth_mechanism_names(session: Session) -> None:
    ready_for_auth(session)
    for name in (session.offered or {}).get(_AUTH, ()):
        if not MECHANISM.fullmatch(name):
            raise Failed(f"not a valid name of a mechanism: {name!r}")


@check(
    "AUT-28",
    "4954 4",
    "Mechanisms that show the password are not offered in plaintext where TLS can be had",
    keyword=_AUTH,
)
def auth_in_the_clear(session: Session) -> None:
    session.ready(tls=False, auth=False)
    shown = {"PLAIN", "LOGIN"} & set(session.mechanisms())
    if shown and "STARTTLS" in (session.offered or {}) and not session.wire.tls:
        raise Failed(f"offered in plaintext beside STARTTLS: {' '.join(sorted(shown))}")
    if shown and not session.wire.tls:
        session.permit(f"offered without any TLS: {' '.join(sorted(shown))}")


@check("AUT-28", "4954 4", "PLAIN that is offered under TLS only is refused in plaintext", keyword=_AUTH)
def auth_refused_in_the_clear(session: Session) -> None:
    session.ready(tls=False, auth=False)
    if "PLAIN" in session.mechanisms() or session.wire.tls:
        raise Inconclusive("PLAIN is offered here")
    for line in (f"AUTH PLAIN {_WRONG}", "AUTH PLAIN", "AUTH LOGIN"):
        session.refused(session.command(line), line, 503, 504, 530, 534, 538)
    if session.target.user:
        user, password = session.target.user
        reply = session.command(f"AUTH PLAIN {encoded(f'{chr(0)}{user}{chr(0)}{password}')}")
        session.refused(reply, "AUTH PLAIN in plaintext")


@check("AUT-02", "4954 4", "AUTH without a mechanism is refused with 501", keyword=_AUTH)
def auth_needs_a_mechanism(session: Session) -> None:
    ready_for_auth(session)
    session.refused(session.command("AUTH"), "AUTH without an argument", 501, strict=True)
    session.alive("after AUTH without an argument")


@check("AUT-03", "4954 4", "An unknown mechanism is refused with 504", keyword=_AUTH)
def auth_unknown_mechanism(session: Session) -> None:
    ready_for_auth(session)
    session.refused(session.command("AUTH FROBNICATE"), "AUTH with an unknown mechanism", 504, strict=True)
    session.alive("after an unknown mechanism")


@check("AUT-01", "4954 3, 4", "A mechanism that is offered is known", keyword=_AUTH)
def auth_offered_mechanisms(session: Session) -> None:
    ready_for_auth(session)
    for name in session.mechanisms():
        reply = session.command(f"AUTH {name}")
        if reply.code in (500, 502, 504):
            raise Failed(f"AUTH {name}, which is offered: {reply}")
        if reply.code == 334:
            session.respond("*")
        if reply.code == 421 or session.limited:
            return


@check("AUT-02", "4954 4", "AUTH with an argument too many is refused with 501", keyword=_AUTH)
def auth_with_three_arguments(session: Session) -> None:
    ready_for_plain(session)
    credentials = encoded("\0".join(("", *session.target.user))) if session.target.user else _WRONG
    line = f"AUTH PLAIN {credentials} more"
    session.refused(session.command(line), "AUTH with three arguments", 501)
    session.alive("after AUTH with three arguments")


def _cram(session: Session) -> Reply:
    """Begin an exchange by CRAM-MD5."""
    ready_for_auth(session)
    if "CRAM-MD5" not in session.mechanisms():
        raise NotOffered("CRAM-MD5 is not offered")
    reply = session.command("AUTH CRAM-MD5")
    if reply.code != 334:
        raise Failed(f"AUTH CRAM-MD5: {reply}")
    return reply


@check(
    "SAS-07",
    "2195 2",
    "The challenge of CRAM-MD5 is <digits.digits@host>, and not the same twice",
    keyword=_AUTH,
)
def auth_cram_challenge(session: Session) -> None:
    first = _cram(session)
    session.respond("*")
    other = Session(session.target)
    try:
        second = _cram(other)
        other.respond("*")
    finally:
        other.end()
    try:
        text = base64.b64decode(first.texts[-1])
    except binascii.Error:
        raise Failed(f"the challenge is not base64: {first}") from None
    if first.lines == second.lines:
        raise Failed(f"two sessions have the same challenge: {first}")
    if not re.fullmatch(rb"<[^<>@\s]+@[^<>@\s]+>", text):
        raise Failed(f"the challenge is {shown(text)}")


@check("AUT-16", "4954 4", "An initial response is refused where the server speaks first", keyword=_AUTH)
def auth_cram_initial_response(session: Session) -> None:
    _cram(session)
    session.respond("*")
    reply = session.command(f"AUTH CRAM-MD5 {_WRONG}")
    session.refused(reply, "AUTH CRAM-MD5 with an initial response", 501, strict=True)
    session.alive("after AUTH CRAM-MD5")


def begin_login(session: Session) -> None:
    """Begin an exchange by LOGIN."""
    ready_for_auth(session)
    if "LOGIN" not in session.mechanisms():
        raise NotOffered("LOGIN is not offered")
    reply = session.command("AUTH LOGIN")
    if reply.code != 334:
        raise Inconclusive(f"AUTH LOGIN: {reply}")


@check("AUT-11", "4954 4", "= within an exchange is bad base64, and so are other octets", keyword=_AUTH)
def auth_bad_base64_by_login(session: Session) -> None:
    for response in ("=", "!!!"):
        if response == "=":
            begin_login(session)
        elif session.command("AUTH LOGIN").code != 334:
            raise Inconclusive("AUTH LOGIN is refused")
        session.refused(session.respond(response), f"the response {response}", 501, strict=True)
    session.alive("after bad base64")


@check("AUT-53", "4954 4", "AUTH before EHLO is refused with 503", keyword=_AUTH)
def auth_before_ehlo(session: Session) -> None:
    if session.target.plain.get(_AUTH) is None:
        raise Inconclusive("AUTH is offered under TLS only")
    session.greeting()
    reply = session.command(f"AUTH PLAIN {_WRONG}")
    if reply.code in (454, 535):
        session.permit(f"AUTH before EHLO: {reply}")
    else:
        session.refused(reply, "AUTH before EHLO", 503)


@check("AUT-04", "4954 4", "AUTH within a transaction is refused with 503", keyword=_AUTH)
def auth_within_a_transaction(session: Session) -> None:
    ready_for_auth(session)
    if session.target.needs_auth:
        raise Inconclusive("mail needs a login")
    session.mail()
    reply = session.command(
        "AUTH PLAIN" if "PLAIN" in session.mechanisms() else f"AUTH {session.mechanisms()[0]}"
    )
    session.refused(reply, "AUTH within a transaction", 503, strict=True)
    session.rcpt()


@check("AUT-06", "4954 4", "PLAIN without an initial response is answered with 334", keyword=_AUTH)
def auth_plain_challenge(session: Session) -> None:
    ready_for_plain(session)
    reply = session.command("AUTH PLAIN")
    if reply.code != 334:
        raise Failed(f"AUTH PLAIN: {reply}")
    if reply.lines[-1] != b"334 \r\n":
        session.permit(f"the challenge of PLAIN is not empty: {reply}")
    session.refused(session.respond("*"), "a star", 501, strict=True)


@check("AUT-07", "4954 4", "An empty challenge is 334 and a space", keyword=_AUTH)
def auth_empty_challenge(session: Session) -> None:
    ready_for_plain(session)
    reply = session.command("AUTH PLAIN")
    if reply.code == 334 and reply.lines[-1] == b"334\r\n":
        raise Failed("334 comes without its space")
    session.respond("*")


@check("AUT-12", "4954 4", "A star cancels the exchange with 501, and the session goes on", keyword=_AUTH)
def auth_cancelled(session: Session) -> None:
    ready_for_auth(session)
    mechanism = session.mechanisms()[0] if session.mechanisms() else "PLAIN"
    if {"PLAIN", "LOGIN"} & set(session.mechanisms()):
        mechanism = "PLAIN" if "PLAIN" in session.mechanisms() else "LOGIN"
    reply = session.command(f"AUTH {mechanism}")
    if reply.code != 334:
        raise Inconclusive(f"AUTH {mechanism}: {reply}")
    session.refused(session.respond("*"), "a star", 501, strict=True)
    session.alive("after a star")


@check("AUT-12", "4954 4", "A star cancels the exchange where LOGIN asks for the password, too", keyword=_AUTH)
def auth_cancelled_late(session: Session) -> None:
    begin_login(session)
    reply = session.respond(encoded("check"))
    if reply.code != 334:
        raise Inconclusive(f"LOGIN and a user name: {reply}")
    session.refused(session.respond("*"), "a star in place of a password", 501, strict=True)
    session.alive("after a star")


def _bad_response(name: str, response: str) -> Check[Session]:
    def run(session: Session) -> None:
        ready_for_plain(session)
        if session.command("AUTH PLAIN").code != 334:
            raise Inconclusive("AUTH PLAIN is refused")
        session.refused(session.respond(response), f"the response {response}", 501, strict=True)
        session.alive("after bad base64")

    sentence = f"Bad base64 ({name.replace('-', ' ')}) is refused with 501 and ends the exchange"
    return Check(f"auth-bad-base64-{name}", "AUT-14", "4954 4", sentence, run, keyword=_AUTH)


for _name, _response in (
    ("no-alphabet", "!!!"),
    ("no-padding", "AG5vYm9keQB3cm9uZw"),
    ("padding-within", "AG5v=Ym9keQB3cm9uZw=="),
    ("padding-first", "=AG5vYm9keQB3cm9uZw="),
    ("equals-sign", "="),
    ("url-safe-alphabet", "AG5vYm9keQB3cm8_"),
    ("more-after-padding", "AG5vYm9keQB3cm9uZw==AAAA"),
):
    CHECKS.add(_bad_response(_name, _response))


@check("AUT-14", "4954 4", "An initial response of bad base64 is refused with 501", keyword=_AUTH)
def auth_bad_initial_response(session: Session) -> None:
    ready_for_plain(session)
    for response in ("!!!", "*"):
        line = f"AUTH PLAIN {response}"
        session.refused(session.command(line), line, 501, strict=True)
    session.alive("after bad base64")


@check("AUT-09", "4954 4", "= as the initial response is an empty one", keyword=_AUTH)
def auth_empty_initial_response(session: Session) -> None:
    ready_for_plain(session)
    session.refused(session.command("AUTH PLAIN ="), "AUTH PLAIN =", 501, 535)
    session.alive("after AUTH PLAIN =")


@check("AUT-10", "4954 4", "An empty response is an empty line", keyword=_AUTH)
def auth_empty_response(session: Session) -> None:
    ready_for_plain(session)
    if session.command("AUTH PLAIN").code != 334:
        raise Inconclusive("AUTH PLAIN is refused")
    session.refused(session.respond(""), "an empty response", 501, 535)
    session.alive("after an empty response")


@check("AUT-19", "4954 4", "A response that is too long fails, and is skipped whole", keyword=_AUTH)
def auth_response_too_long(session: Session) -> None:
    ready_for_plain(session)
    if session.command("AUTH PLAIN").code != 334:
        raise Inconclusive("AUTH PLAIN is refused")
    try:
        reply = session.respond("QUFB" * 50_000)
    except Closed:
        session.permit("the server closes the connection")
        return
    if reply.code in (421, 521):
        return
    session.refused(reply, "a response of 200 000 octets", 500, 501, 535)
    others = session.rest()
    if [one.code for one in others] not in ([221], []):
        raise Failed(f"a response of 200 000 octets is answered more than once: {others[0]}")


@check("AUT-18", "4954 4", "A response of 12288 octets is not too long", keyword=_AUTH)
def auth_long_response(session: Session) -> None:
    ready_for_plain(session)
    if session.command("AUTH PLAIN").code != 334:
        raise Inconclusive("AUTH PLAIN is refused")
    text = "\0" + "u" * 4600 + "\0" + "p" * 4600
    try:
        reply = session.respond(encoded(text)[:12284])
    except Closed:
        raise Failed("the server closes the connection at a response of 12286 octets") from None
    if reply.code == 500:
        raise Failed(f"a response of 12286 octets: {reply}")
    if reply.kind == 2:
        raise Failed(f"a wrong password is accepted: {reply}")
    session.alive("after a long response")


@check("AUT-22", "4954 4, 6", "A wrong password is refused with 535, and the session goes on", keyword=_AUTH)
def auth_wrong_password(session: Session) -> None:
    ready_for_auth(session)
    user = session.target.user[0] if session.target.user else "nobody-here"
    session.refused(session.try_login(user, "wrong"), "a wrong password", 535)
    session.alive("after a wrong password")


def _malformed_credentials(name: str, text: str) -> Check[Session]:
    def run(session: Session) -> None:
        ready_for_plain(session)
        session.refused(session.command(f"AUTH PLAIN {encoded(text)}"), f"AUTH PLAIN with {text!r}", 501, 535)
        session.alive("after bad credentials")

    sentence = f"Credentials of PLAIN ({name.replace('-', ' ')}) are refused"
    return Check(f"auth-plain-{name}", "AUT-22", "4616 2", sentence, run, keyword=_AUTH)


for _name, _text in (
    ("all-empty", "\0\0"),
    ("no-password", "\0nobody\0"),
    ("no-nul", "nobody"),
    ("one-nul", "\0nobody"),
    ("four-nuls", "a\0b\0c\0d"),
):
    CHECKS.add(_malformed_credentials(_name, _text))


@check("AUT-32", "4954 9", "The session does not end before the third failure", keyword=_AUTH, level="SHOULD")
def auth_three_failures(session: Session) -> None:
    ready_for_auth(session)
    for number in range(2):
        try:
            reply = session.try_login("nobody-here", "wrong")
        except Closed:
            raise Failed(f"the server closes after {number + 1} failures") from None
        if reply.code == 421:
            raise Failed(f"the server closes after {number + 1} failures: {reply}")
    session.alive("after two failures")


@check("AUT-38", "4954 4", "Within an exchange a line that looks like a command is a response", keyword=_AUTH)
def auth_command_as_response(session: Session) -> None:
    ready_for_plain(session)
    for line in ("QUIT", "RSET", "NOOP", "EHLO check.example"):
        if session.command("AUTH PLAIN").code != 334:
            raise Inconclusive("AUTH PLAIN is refused")
        reply = session.respond(line)
        if reply.kind == 2:
            raise Failed(f"{line} within an exchange is carried out: {reply}")
        if reply.code == 421:
            return
    session.alive("after the exchanges")


@check("AUT-37", "4954 4", "A failed exchange leaves the session as it was", keyword=_AUTH)
def auth_failure_changes_nothing(session: Session) -> None:
    ready_for_auth(session)
    if session.target.needs_auth:
        raise Inconclusive("mail needs a login")
    session.try_login("nobody-here", "wrong")
    reply = session.command(f"MAIL FROM:<{session.target.sender}>")
    session.accepted(reply, "MAIL after a failed login")


@check("AUT-40", "4954 5", "AUTH=<> of MAIL is accepted", keyword=_AUTH)
def auth_parameter_values(session: Session) -> None:
    session.ready()
    for value in ("<>", "check@example.com", "a+2Bb@example.com", "a+2bb@example.com"):
        line = f"MAIL FROM:<{session.target.sender}> AUTH={value}"
        session.accepted(session.command(line), line, 250)
        session.command("RSET")


@check("AUT-41", "4954 5", "AUTH of MAIL with a malformed value is refused", keyword=_AUTH)
def auth_parameter_bad_values(session: Session) -> None:
    session.ready()
    for value in ("", "+ZZ", "check+4"):
        line = f"MAIL FROM:<{session.target.sender}> AUTH={value}"
        session.refused(session.command(line), line, 501, 555)


@check("AUT-25", "4954 6", "Mail that needs a login is refused with 530", keyword=_AUTH)
def auth_required(session: Session) -> None:
    ready_for_auth(session)
    if not session.target.needs_auth:
        raise NotOffered("mail needs no login")
    session.refused(session.command(f"MAIL FROM:<{session.target.sender}>"), "MAIL without a login", 530)
    session.not_ready_for_data("without a login")


@check("AUT-25", "4954 6", "A failed login opens nothing", keyword=_AUTH)
def auth_required_after_failure(session: Session) -> None:
    ready_for_auth(session)
    if not session.target.needs_auth:
        raise NotOffered("mail needs no login")
    session.try_login("nobody-here", "wrong")
    session.refused(session.command(f"MAIL FROM:<{session.target.sender}>"), "MAIL after a failed login", 530)


@check("AUT-53", "4954 4", "AUTH after HELO is refused", keyword=_AUTH, level="SHOULD")
def auth_after_helo(session: Session) -> None:
    if _AUTH not in session.target.plain:
        raise Inconclusive("AUTH is offered under TLS only")
    session.greeting()
    session.command(f"HELO {NAME}")
    session.refused(session.command("AUTH PLAIN"), "AUTH after HELO", 500, 502, 503)
