"""Checks of logins, by a user that the server knows (RFC 4954)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..session import NAME, Session, encoded, letter, token
from ..table import Check, Failed, Inconclusive, NotOffered, Table
from .auth import begin_login, ready_for_auth, ready_for_plain

CHECKS: Final = Table[Session]()
check = CHECKS.check

_AUTH: Final = "AUTH"


@check(
    "AUT-48",
    "4422 3.6",
    "LOGIN asks for a password whether it knows the user or not",
    keyword=_AUTH,
    needs="user",
)
def auth_login_hides_users(session: Session) -> None:
    begin_login(session)
    known = session.respond(encoded(session.user()[0]))
    session.respond("*")
    if session.command("AUTH LOGIN").code != 334:
        raise Inconclusive("AUTH LOGIN is refused")
    unknown = session.respond(encoded("nobody-here"))
    if known.code != unknown.code:
        raise Failed(f"a known user: {known}; an unknown user: {unknown}")


@check("AUT-37", "4954 4", "A login works after exchanges that failed", keyword=_AUTH, needs="user")
def login_after_failures(session: Session) -> None:
    ready_for_plain(session)
    for response in ("*", "!!!"):
        if session.command("AUTH PLAIN").code != 334:
            raise Failed("AUTH PLAIN is refused after a failed exchange")
        session.refused(session.respond(response), f"the response {response}")
    session.refused(session.try_login(session.user()[0], "wrong"), "a wrong password")
    reply = session.try_login(*session.user())
    if reply.code != 235:
        raise Failed(f"a login after exchanges that failed: {reply}")


@check("AUT-22", "4954 4", "The password is that of one user only", keyword=_AUTH, needs="user")
def auth_password_of_another(session: Session) -> None:
    ready_for_auth(session)
    session.refused(session.try_login("nobody-here", session.user()[1]), "an unknown user", 535)


@check("AUT-53", "4954 4", "A login before EHLO is refused", keyword=_AUTH, needs="user")
def login_before_ehlo(session: Session) -> None:
    if "PLAIN" not in session.target.plain.get(_AUTH, ()):
        raise Inconclusive("PLAIN is offered under TLS only")
    session.greeting()
    user, password = session.user()
    reply = session.command(f"AUTH PLAIN {encoded(f'{chr(0)}{user}{chr(0)}{password}')}")
    session.refused(reply, "a login before EHLO", 503)


@check("AUT-15", "4954 4", "Octets outside of the alphabet are not skipped", keyword=_AUTH, needs="user")
def auth_strict_base64(session: Session) -> None:
    ready_for_plain(session)
    user, password = session.user()
    right = encoded(f"\0{user}\0{password}")
    for response in (f"{right[:4]}!{right[4:]}", f"{right[:4]} {right[4:]}", f"{right[:4]}-{right[4:]}"):
        if session.command("AUTH PLAIN").code != 334:
            raise Inconclusive("AUTH PLAIN is refused")
        session.refused(session.respond(response), "base64 with another octet in it", 501, 535)


def _not_quite(name: str, change: Callable[[str], str]) -> Check[Session]:
    """The right credentials in base64 that is not valid."""

    def run(session: Session) -> None:
        ready_for_plain(session)
        right = encoded("\0".join(("", *session.user())))
        response = change(right)
        if response == right:
            raise Inconclusive("the credentials need no padding")
        if session.command("AUTH PLAIN").code != 334:
            raise Inconclusive("AUTH PLAIN is refused")
        session.refused(session.respond(response), "base64 that is not valid", 501, strict=True)

    sentence = f"The right credentials {name.replace('-', ' ')} are refused with 501"
    return Check(f"auth-base64-{name}", "AUT-15", "4954 4", sentence, run, keyword=_AUTH, needs="user")


for _name, _spoil in (
    ("without-padding", lambda text: text.rstrip("=")),
    ("with-more-padding", lambda text: f"{text}===="),
    ("after-an-equals-sign", lambda text: f"={text}"),
    ("and-more", lambda text: f"{text}AAAA" if text.endswith("=") else f"{text}=AAAA"),
):
    CHECKS.add(_not_quite(_name, _spoil))


@check("AUT-20", "4954 4", "The right password is answered with 235", keyword=_AUTH, needs="user")
def login(session: Session) -> None:
    ready_for_auth(session)
    reply = session.try_login(*session.user())
    if reply.code != 235:
        raise Failed(f"the login: {reply}")
    session.alive("after the login")


@check("AUT-02", "4954 4", "The name of a mechanism is read in any letter case", keyword=_AUTH, needs="user")
def login_in_any_case(session: Session) -> None:
    ready_for_plain(session)
    user, password = session.user()
    reply = session.command(f"aUtH pLaIn {encoded(f'{chr(0)}{user}{chr(0)}{password}')}")
    if reply.code != 235:
        raise Failed(f"aUtH pLaIn: {reply}")


@check("AUT-20", "4954 4", "PLAIN works with the response on a line of its own", keyword=_AUTH, needs="user")
def login_in_two_steps(session: Session) -> None:
    ready_for_plain(session)
    user, password = session.user()
    if session.command("AUTH PLAIN").code != 334:
        raise Failed("AUTH PLAIN without an initial response is refused")
    reply = session.respond(encoded(f"\0{user}\0{password}"))
    if reply.code != 235:
        raise Failed(f"the login: {reply}")


@check("AUT-20", "4954 4", "LOGIN works, user and password on a line each", keyword=_AUTH, needs="user")
def login_by_login(session: Session) -> None:
    ready_for_auth(session)
    if "LOGIN" not in session.mechanisms():
        raise NotOffered("LOGIN is not offered")
    reply = session.command("AUTH LOGIN")
    for answer in session.user():
        if reply.code != 334:
            raise Failed(f"AUTH LOGIN: {reply}")
        reply = session.respond(encoded(answer))
    if reply.code != 235:
        raise Failed(f"AUTH LOGIN: {reply}")


@check("AUT-05", "4954 4", "AUTH after a success is refused with 503", keyword=_AUTH, needs="user")
def login_twice(session: Session) -> None:
    ready_for_auth(session)
    session.log_in()
    reply = session.try_login(*session.user())
    session.refused(reply, "a second login", 503, strict=True)
    session.alive("after a second login")


@check("SES-04", "5321 4.1.1.5; 4954 4", "RSET and EHLO keep the login", keyword=_AUTH, needs="user")
def login_lasts(session: Session) -> None:
    ready_for_auth(session)
    session.log_in()
    for line in ("RSET", f"EHLO {NAME}"):
        session.accepted(session.command(line), f"{line} after a login", 250)
        session.accepted(
            session.command(f"MAIL FROM:<{session.target.sender}>"), f"MAIL after a login and {line}"
        )
        session.command("RSET")
    if "PLAIN" in session.mechanisms() or "LOGIN" in session.mechanisms():
        reply = session.try_login(*session.user())
        session.refused(reply, "a second login after RSET and EHLO", 503)


def _login_lasts(name: str, what: str, between: Callable[[Session], object]) -> Check[Session]:
    def run(session: Session) -> None:
        ready_for_auth(session)
        session.log_in()
        between(session)
        if not {"PLAIN", "LOGIN"} & set(session.mechanisms()):
            raise NotOffered("neither PLAIN nor LOGIN is offered")
        session.refused(session.try_login(*session.user()), f"a second login after {what}", 503)

    sentence = f"After {what} AUTH is still refused"
    return Check(f"login-lasts-over-{name}", "AUT-05", "4954 4", sentence, run, keyword=_AUTH, needs="user")


def _message(session: Session) -> None:
    session.data()
    session.content(letter(token()))


def _helo(session: Session) -> None:
    session.command(f"HELO {NAME}")
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO after HELO", 250)


for _name, _what, _between in (
    ("a-message", "a message", _message),
    ("helo", "HELO and EHLO", _helo),
    ("a-refused-ehlo", "an EHLO that was refused", lambda session: session.command("EHLO")),
):
    CHECKS.add(_login_lasts(_name, _what, _between))


@check("AUT-20", "4954 4", "A message is accepted after a login", keyword=_AUTH, needs="user")
def message_after_login(session: Session) -> None:
    ready_for_auth(session)
    session.log_in()
    session.data()
    session.accepted(session.content(letter(token())), "the content")


@check(
    "AUT-48",
    "4422 3.6",
    "An unknown user and a wrong password have the same answer",
    keyword=_AUTH,
    needs="user",
)
def auth_hides_users(session: Session) -> None:
    ready_for_auth(session)
    known = session.try_login(session.user()[0], "wrong")
    unknown = session.try_login("nobody-here", "wrong")
    if known.lines != unknown.lines and known.code != unknown.code:
        raise Failed(f"a wrong password: {known}; an unknown user: {unknown}")
    if known.lines != unknown.lines and known.texts[0].replace(
        session.user()[0].encode(), b""
    ) != unknown.texts[0].replace(b"nobody-here", b""):
        raise Failed(f"a wrong password: {known}; an unknown user: {unknown}")


@check("AUT-49", "4422 3.6", "Another authorization identity is refused", keyword=_AUTH, needs="user")
def auth_as_another(session: Session) -> None:
    ready_for_plain(session)
    user, password = session.user()
    for identity in ("somebody-else", f"{user}x"):
        reply = session.command(f"AUTH PLAIN {encoded(f'{identity}{chr(0)}{user}{chr(0)}{password}')}")
        session.refused(reply, "PLAIN with another authorization identity", 535, 501)


def _similar(name: str, change: Callable[[str], str]) -> Check[Session]:
    def run(session: Session) -> None:
        ready_for_auth(session)
        user, password = session.user()
        if change(password) == password:
            raise Inconclusive("the password is the same so")
        session.refused(session.try_login(user, change(password)), "a similar password", 535, 501)

    sentence = f"A password that is {name.replace('-', ' ')} is refused"
    return Check(f"auth-password-{name}", "AUT-22", "4954 4", sentence, run, keyword=_AUTH, needs="user")


for _name, _change in (
    ("in-another-case", str.swapcase),
    ("longer", lambda text: f"{text}x"),
    ("shorter", lambda text: text[:-1]),
    ("empty", lambda text: ""),
    ("followed-by-a-blank", lambda text: f"{text} "),
    ("followed-by-a-nul", lambda text: f"{text}\0x"),
):
    CHECKS.add(_similar(_name, _change))


@check("TLS-29", "3207 4.2", "A login of before TLS is void under TLS", keyword=_AUTH, needs="user")
def login_before_tls(session: Session) -> None:
    session.ready(tls=False, auth=False)
    if "STARTTLS" not in (session.offered or {}) or "PLAIN" not in session.mechanisms():
        raise Inconclusive("STARTTLS and PLAIN are not offered together")
    session.log_in()
    session.start_tls()
    session.accepted(session.command(f"EHLO {NAME}"), "EHLO under TLS", 250)
    if session.mechanisms():
        reply = session.try_login(*session.user())
        if reply.code == 503:
            raise Failed(f"the login of before TLS counts under TLS: {reply}")
