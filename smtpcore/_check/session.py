"""A session with a server: commands, replies, and what a check may claim about them."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Callable

from .rules import Exchange
from .table import Failed, Inconclusive, NotOffered
from .target import Keywords, Target, any_certificate
from .wire import Closed, Reply, Silent, Wire, shown

NAME = "check.example"
"""The argument of EHLO."""

_SHORT = 0.2  # seconds: for a reply that is not owed


Judge = Callable[[Exchange, list[str]], None]


def _ignore(seen: Exchange, dialog: list[str]) -> None:
    """Judge nothing: for connections beside the one of the check."""


class Session:
    """One connection to the server that is checked.

    Args:
        target: The server.
        observe: Called with each reply, and the dialog up to it.
        keyword: What the check is about; if it is offered under TLS only, :meth:`ready` starts TLS.
    """

    def __init__(self, target: Target, observe: Judge = _ignore, keyword: str = "") -> None:
        self.target = target
        self.wire = Wire(target.connect(), target.timeout)
        self.offered: Keywords | None = None
        self.permitted: list[str] = []
        """What was observed that the RFC permits, and does not recommend."""
        self.domain = ""
        """The domain that the server calls itself in its reply to EHLO, if it has a dot."""
        self.last: Reply | None = None
        """The last reply that was read."""
        self._observe = observe
        self._keyword = keyword
        if target.implicit_tls:
            self.wire.start_tls(any_certificate())

    # -- commands and replies --

    def read(self, verb: str, timeout: float | None = None, *, unasked: bool = False) -> Reply:
        """Read the reply to a command that was sent.

        Args:
            verb: Of the command.
            timeout: Seconds; None for those of the target.
            unasked: No command is outstanding.

        Raises:
            Silent: There is none.
            Closed: The server has closed the connection.
        """
        self.last = reply = self.wire.read_reply(timeout)
        if verb == "EHLO" and reply.code == 250:
            self.offered = keywords(reply)
        self._observe(Exchange(verb, reply, self.offered, unasked), self.wire.dialog)
        return reply

    def command(self, line: str | bytes, *pieces: bytes) -> Reply:
        """Send a command line, perhaps cut into more pieces, and read its reply."""
        octets = line.encode("utf-8") if isinstance(line, str) else line
        if pieces:
            self.wire.send(octets, *pieces)
        else:
            self.wire.send(octets + b"\r\n")
        return self.read(verb_of(octets))

    def send(self, *pieces: bytes) -> None:
        """Send octets as they are."""
        self.wire.send(*pieces)

    def greeting(self) -> Reply:
        """Read the greeting. It has more time than other replies: many servers look up the client's name."""
        return self.read("", self.target.timeout * 3)

    def rest(self) -> list[Reply]:
        """Send QUIT, and return every reply that comes before the server closes, that of QUIT included.

        A server that has closed before leaves a list without 221.
        """
        found: list[Reply] = []
        try:
            self.wire.send(b"QUIT\r\n")
            while not (found and found[-1].code == 221):
                found.append(self.wire.read_reply(None if not found else self.target.timeout))
        except (Closed, Silent):
            pass
        return found

    def finish(self) -> None:
        """End the session with QUIT; a reply that comes before the 221 is one too many.

        Raises:
            Failed: There is such a reply.
        """
        try:
            if self.wire.closed:
                return
            self.wire.send(b"QUIT\r\n")
            reply = self.read("QUIT")
            if reply.code != 221 and self.wire.pending(_SHORT):
                self._observe(Exchange("QUIT", reply, self.offered, unasked=True), self.wire.dialog)
                raise Failed(f"a reply that answers no command: {reply}")
        except (Silent, Closed):
            pass
        finally:
            self.wire.close()

    def end(self) -> None:
        """End the session; whatever comes is not judged."""
        with contextlib.suppress(Failed):
            self.finish()

    # -- ways into a state --

    def ready(self, *, tls: bool | None = None, auth: bool | None = None) -> None:
        """Introduce the client, and start TLS and log in where the server demands it.

        Args:
            tls: Whether to start TLS; None: where mail or the subject of the check needs it.
            auth: Whether to log in; None: where mail needs it.

        Raises:
            Inconclusive: This was not possible.
        """
        target = self.target
        if tls is None:
            only_there = self._keyword and self._keyword not in target.plain
            tls = target.needs_tls or bool(only_there and self._keyword in target.secured)
        try:
            greeting = self.greeting()
            if greeting.kind != 2:
                raise Inconclusive(f"the server refuses the session: {greeting}")
            self._ehlo()
            if tls and not self.wire.tls:
                self.start_tls()
                self._ehlo()
            if target.needs_auth if auth is None else auth:
                self.log_in()
        except (Silent, Closed) as error:
            raise Inconclusive(f"no session: {error}") from None

    def _ehlo(self) -> None:
        reply = self.command(f"EHLO {NAME}")
        if reply.code != 250:
            raise Inconclusive(f"EHLO was refused: {reply}")
        name = shown(reply.texts[0].partition(b" ")[0])
        self.domain = name if "." in name and not name.startswith("[") else ""

    def start_tls(self) -> None:
        """Start TLS.

        Raises:
            NotOffered: The server does not have STARTTLS.
            Inconclusive: It does not start TLS now.
        """
        if self.offered is None or "STARTTLS" not in self.offered:
            raise NotOffered("STARTTLS is not offered")
        reply = self.command("STARTTLS")
        if reply.code != 220:
            raise Inconclusive(f"STARTTLS was refused: {reply}")
        try:
            self.wire.start_tls(any_certificate())
        except Closed as error:
            raise Inconclusive(str(error)) from None

    def log_in(self) -> None:
        """Log in by PLAIN or LOGIN.

        Raises:
            NotOffered: No user is known, or neither mechanism is offered.
            Inconclusive: The server refuses the user.
        """
        reply = self.try_login(*self.user())
        if reply.code != 235:
            raise Inconclusive(f"the login was refused: {reply}")

    def user(self) -> tuple[str, str]:
        """The user name and the password.

        Raises:
            NotOffered: None was given.
        """
        if self.target.user is None:
            raise NotOffered("it needs --user")
        return self.target.user

    def size_limit(self) -> int:
        """The limit of a message in octets that SIZE announces, before EHLO in another session; 0 for none."""
        offered = self.target.plain or self.target.secured if self.offered is None else self.offered
        words = offered.get("SIZE", ())
        return int(words[0]) if words and words[0].isdigit() else 0

    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms that are offered now, in upper case."""
        return tuple(name.upper() for name in (self.offered or {}).get("AUTH", ()))

    def try_login(self, user: str, password: str) -> Reply:
        """Log in by PLAIN, or else by LOGIN, and return the last reply."""
        if "PLAIN" in self.mechanisms():
            return self.command(f"AUTH PLAIN {encoded(f'{chr(0)}{user}{chr(0)}{password}')}")
        if "LOGIN" not in self.mechanisms():
            raise NotOffered("neither PLAIN nor LOGIN is offered")
        reply = self.command("AUTH LOGIN")
        for answer in (user, password):
            if reply.code != 334:
                return reply
            reply = self.respond(encoded(answer))
        return reply

    def respond(self, line: str | bytes) -> Reply:
        """Send a line of an AUTH exchange, and read the reply."""
        self.wire.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.read("AUTH")

    def mail(self, parameters: str = "") -> None:
        """Begin a transaction.

        Raises:
            Failed: MAIL was refused as out of order, although it is due.
            Inconclusive: MAIL was refused.
        """
        reply = self.command(f"MAIL FROM:<{self.target.sender}>{parameters}")
        self._due(reply, "MAIL")
        if reply.kind != 2:
            raise Inconclusive(f"MAIL was refused: {reply}")

    @property
    def recipient(self) -> str:
        """A recipient that the server accepts.

        Raises:
            Inconclusive: None is known.
        """
        if not self.target.recipient:
            raise Inconclusive("no recipient is known that the server accepts: give one with --to")
        return self.target.recipient

    def rcpt(self) -> None:
        """Name the recipient.

        Raises:
            Failed: It was refused as out of order, although it is due.
            Inconclusive: It was refused.
        """
        reply = self.command(f"RCPT TO:<{self.recipient}>")
        self._due(reply, "RCPT")
        if reply.kind != 2:
            raise Inconclusive(f"RCPT was refused: {reply}")

    def data(self, parameters: str = "") -> None:
        """Begin a transaction up to 354.

        Raises:
            Failed: A command was refused as out of order, although it is due.
            Inconclusive: A command was refused.
        """
        self.mail(parameters)
        self.rcpt()
        reply = self.command("DATA")
        self._due(reply, "DATA")
        if reply.code != 354:
            raise Inconclusive(f"DATA was refused: {reply}")

    def content(self, octets: bytes) -> Reply:
        """Send content, dot-stuffed already, and its end, and read the reply."""
        self.wire.send(octets + b".\r\n")
        return self.read(".")

    # -- claims --

    @property
    def limited(self) -> bool:
        """Whether the last reply was that of a server which ends the session because of too many errors."""
        return self.last is not None and (
            self.last.code == 421 or any(b"too many" in text.lower() for text in self.last.texts)
        )

    def _due(self, reply: Reply, verb: str) -> None:
        """Claim that a command is not refused as out of order."""
        if reply.code == 503:
            raise Failed(f"{verb} is due, and is answered as out of order: {reply}")

    def permit(self, why: str) -> None:
        """Note that the server does otherwise than recommended, as the RFC allows."""
        self.permitted.append(why)

    def accepted(self, reply: Reply, what: str, *codes: int) -> None:
        """Claim that a command succeeded.

        Raises:
            Failed: It did not, or with another code than these.
            Inconclusive: It failed temporarily.
        """
        if reply.kind == 4 or self._demanded(reply):
            raise Inconclusive(f"{what}: {reply}")
        if reply.kind != 2 or (codes and reply.code not in codes):
            raise Failed(f"{what}: {reply}")

    def refused(self, reply: Reply, what: str, *codes: int, strict: bool = False) -> None:
        """Claim that a command was refused for good.

        Args:
            reply: Its reply.
            what: The command, for people.
            codes: The codes that the RFC has for it.
            strict: Another code is an offence, not only permitted latitude.

        Raises:
            Failed: It was not refused.
        """
        if reply.code == 421:
            raise Inconclusive(f"the server ends the session: {what}: {reply}")
        if self._demanded(reply):
            return
        if reply.kind not in (4, 5) or (strict and reply.code not in codes):
            wanted = " or ".join(map(str, codes))
            raise Failed(f"{what}: {reply}" + (f" (expected: {wanted})" if wanted else ""))
        if reply.kind == 4 or (codes and reply.code not in codes):
            self.permit(f"{what}: {reply} (recommended: {' or '.join(map(str, codes)) or '5yz'})")

    def _demanded(self, reply: Reply) -> bool:
        """Whether a reply demands the TLS or the login that mail needs here (RFC 3207 4, RFC 4954 6)."""
        return reply.code == 530 and (self.target.needs_tls or self.target.needs_auth)

    def not_ready_for_data(self, what: str) -> None:
        """Claim that no transaction with recipients exists: DATA is refused, or empty content is."""
        reply = self.command("DATA")
        if reply.code == 354:
            # RFC 5321 3.3 and 2920 3.2(3) let a server refuse the content instead.
            after = self.content(b"")
            if after.kind == 2:
                raise Failed(f"{what}: DATA and empty content were accepted without a recipient")
            self.permit(f"{what}: DATA was answered with 354, and the content refused: {after}")
        else:
            self.refused(reply, f"{what}: DATA", 503, 554, strict=True)

    def begun_nothing(self, what: str) -> None:
        """Claim that a MAIL that was refused has begun no transaction: the next MAIL is accepted.

        Raises:
            Failed: The next MAIL is out of order.
            Inconclusive: It is refused for another reason.
        """
        reply = self.command(f"MAIL FROM:<{self.target.sender}>")
        if reply.code == 503:
            raise Failed(f"{what} was refused, and has begun a transaction: MAIL: {reply}")
        if reply.kind != 2:
            raise Inconclusive(f"MAIL was refused: {reply}")

    def ready_for_data(self, what: str) -> None:
        """Claim that the transaction and its recipient stand: DATA is answered with 354."""
        reply = self.command("DATA")
        if reply.code != 354:
            raise Failed(f"{what}: the transaction is lost: DATA: {reply}")
        self.content(letter(token()))

    def alive(self, what: str) -> None:
        """Claim that the session goes on, without a reply too many: NOOP is answered with 250."""
        try:
            reply = self.command("NOOP")
        except (Silent, Closed) as error:
            if self.limited:
                raise Inconclusive(f"the server ends the session: {self.last}") from None
            raise Failed(f"{what}: the session does not go on: {error}") from None
        if reply.code != 250:
            raise Failed(f"{what}: NOOP: {reply}")


def keywords(reply: Reply) -> Keywords:
    """The keywords of a reply to EHLO, in upper case."""
    found: dict[str, tuple[str, ...]] = {}
    for text in reply.texts[1:]:
        words = text.decode("latin-1").split()
        if words:
            keyword, equals, first = words[0].upper().partition("=")
            arguments = (first, *words[1:]) if equals else tuple(words[1:])
            found[keyword] = (*found.get(keyword, ()), *arguments)
    return found


def verb_of(line: bytes) -> str:
    """The verb of a command line, in upper case."""
    words = line.split()
    return shown(words[0]).upper() if words else "?"


def encoded(text: str) -> str:
    """Text as base64."""
    return base64.b64encode(text.encode()).decode()


def token() -> str:
    """A word that no other message contains."""
    return f"check{secrets.token_hex(8)}"


def letter(mark: str, body: bytes = b"") -> bytes:
    """A message that contains a token, with CRLF line ends; the body is dot-stuffed by the caller."""
    return (
        f"From: <check@example.com>\r\nTo: <postmaster>\r\nSubject: {mark}\r\n"
        f"Date: Fri, 27 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}@example.com>\r\n\r\n"
    ).encode() + (body or b"text\r\n")
