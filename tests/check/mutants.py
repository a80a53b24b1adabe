"""Servers that each break one rule: a name, the check that catches it, and what differs from the reference."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .reference import Gone, Reference, Refusal

R = Reference


class Mutant(NamedTuple):
    """A server that breaks a rule.

    Attributes:
        name: What it does wrong.
        check: The check that catches it.
        changes: Methods and attributes of the reference server that it replaces.
        tls: Whether it offers STARTTLS.
        permitted: Whether it is only lenient, as careful servers are.
    """

    name: str
    check: str
    changes: dict[str, Any]
    tls: bool
    permitted: bool = False

    @property
    def session(self) -> type[Reference]:
        return type("Mutated", (Reference,), self.changes)


def mutant(name: str, check: str, *, tls: bool = False, **changes: Any) -> Mutant:
    return Mutant(name, check, changes, tls)


def lenient(name: str, check: str, **changes: Any) -> Mutant:
    return Mutant(name, check, changes, False, True)


def says(code: int, status: str, *texts: str) -> Callable[..., None]:
    """A command that has this reply whatever it gets."""
    return lambda self, argument="": self.say(code, status, *(texts or ("text",)))


def rewrites(pattern: str, replacement: str) -> Callable[..., None]:
    """All replies are changed so."""
    return lambda self, lines: self.send(re.sub(pattern, replacement, "".join(lines)).encode("latin-1"))


def then(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    """Both, one after the other."""

    def both(self: Any, *arguments: Any) -> None:
        first(self, *arguments)
        second(self, *arguments)

    return both


def sets(**values: Any) -> Callable[..., Any]:
    """Attributes of the session get these values."""
    return lambda self, *arguments: self.__dict__.update(values)


def keeps(*names: str) -> Callable[..., Any]:
    """``reset()`` that forgets to reset some attributes."""

    def reset(self: Any) -> None:
        kept = {name: self.__dict__[name] for name in names if name in self.__dict__}
        Reference.reset(self)
        self.__dict__.update(kept)

    return reset


def without_reset(method: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """A method during which some attributes are not reset."""

    def run(self: Any, *arguments: Any) -> None:
        self.reset = lambda: keeps(*names)(self)
        try:
            method(self, *arguments)
        finally:
            del self.reset

    return run


def accepts(method: Callable[..., Any], pattern: str, then_says: tuple[Any, ...]) -> Callable[..., Any]:
    """A command that accepts what matches, whatever the reference thinks of it."""

    def run(self: Any, argument: str) -> None:
        if re.search(pattern, argument):
            self.mail = True
            self.say(*then_says)
        else:
            method(self, argument)

    return run


def refuses(method: Callable[..., Any], pattern: str, reply: tuple[Any, ...]) -> Callable[..., Any]:
    """A command that refuses what matches."""

    def run(self: Any, argument: str) -> None:
        if re.search(pattern, argument):
            self.say(*reply)
        else:
            method(self, argument)

    return run


def line_ends(*ends: bytes) -> Callable[..., tuple[int, int]]:
    """Lines are ended by any of these."""

    def find(self: Any) -> tuple[int, int]:
        found = [(at, at + len(end)) for end in ends if (at := self.buffer.find(end)) >= 0]
        return min(found, default=(-1, 0))

    return find


def content_ends(pattern: bytes) -> Callable[..., tuple[int, int]]:
    """Content is ended by what matches, too."""

    def find(self: Any) -> tuple[int, int]:
        found = [re.search(pattern, self.buffer, re.DOTALL), re.search(rb"(?:\r\n|\A)\.\r\n", self.buffer)]
        spans = [match.span() for match in found if match]
        return min(spans, default=(-1, 0))

    return find


def _double_content_reply(self: Any, content: bytes) -> None:
    R.judge(self, content)
    self.say(250, "2.0.0", "stored again")


def _mail_after_mail(self: Any, argument: str) -> None:
    self.mail = False
    R.do_MAIL(self, argument)


def _no_recipients_needed(self: Any, argument: str) -> None:
    if self.mail and not self.recipients:
        self.recipients = ["nobody"]
    R.do_DATA(self, argument)


def _verb_prefix(self: Any, line: bytes) -> None:
    verb, space, rest = self.decode(line).partition(" ")
    R.command(self, (verb[:4] + space + rest).encode("utf-8", "surrogateescape"))


def _case_sensitive(self: Any, line: bytes) -> None:
    if line.split(b" ")[0].isupper():
        R.command(self, line)
    else:
        self.say(500, "5.5.1", "unknown command")


def _in_upper_case_only(verb: str) -> Callable[..., None]:
    def command(self: Any, line: bytes) -> None:
        found = self.decode(line).partition(" ")[0]
        if found.upper() == verb != found:
            self.unknown(found)
        else:
            R.command(self, line)

    return command


def _no_colon(self: Any, argument: str) -> None:
    R.do_MAIL(self, re.sub(r"^FROM ?<", "FROM:<", argument))


def _ignores_parameters(self: Any, words: list[str], known: dict[str, str], path: str) -> None:
    return None


def _injection(self: Any) -> None:
    kept = self.buffer
    R.handshake(self)
    self.buffer = kept


def _keeps_state_over_tls(*names: str) -> Callable[..., None]:
    def handshake(self: Any) -> None:
        kept = {name: self.__dict__[name] for name in names}
        R.handshake(self)
        self.__dict__.update(kept)

    return handshake


def _starttls_in_transaction(self: Any, argument: str) -> None:
    self.say(220, "2.0.0", "mx.example.com starts TLS")
    self.handshake()


def _greets_again(self: Any) -> None:
    R.handshake(self)
    self.greet()


def _plaintext_after_220(self: Any) -> None:
    line = self.line(1000) or b""
    self.command(line)
    raise Gone


def _star_as_password(self: Any, challenge: str) -> str:
    self.say(334, "", challenge)
    line = self.decode(self.line(self.auth_line_limit) or b"")
    return line if line == "*" else self.unbase64(line)


def _goes_on_in_plaintext(*, announces: bool = False) -> Callable[..., None]:
    """A handshake that may fail: the session goes on then."""

    def handshake(self: Any) -> None:
        plaintext = self.sock.dup()  # the failure closes the socket
        try:
            R.handshake(self)
        except Gone:
            self.sock = plaintext
            if announces:
                self.say(454, "4.7.0", "TLS not available")
        else:
            plaintext.close()

    return handshake


def _lossy_base64(self: Any, text: str) -> str:
    return base64.b64decode(re.sub("[^A-Za-z0-9+/=]", "", text) + "==").decode()


def _commands_in_exchange(self: Any, challenge: str, initial: str) -> str:
    if not initial:
        self.say(334, "", challenge)
        line = self.line(self.auth_line_limit) or b""
        if line[:4] in (b"QUIT", b"RSET", b"NOOP", b"EHLO"):
            self.command(line)
            raise Gone
        self.buffer = line + b"\r\n" + self.buffer
        initial = self.decode(self.line(self.auth_line_limit) or b"")
        if initial == "*":
            initial = "!"
    return R.response(self, challenge, initial)


def _bdat_reads_octets_as_commands(self: Any, argument: str) -> None:
    if not self.recipients:
        self.say(503, "5.5.1", "say MAIL and RCPT first")
    else:
        R.do_BDAT(self, argument)


def _bdat_dots(self: Any, argument: str) -> None:
    octets = self.take(int(argument.split()[0]))
    if b"\r\n.\r\n" in octets:
        self.buffer = octets.partition(b"\r\n.\r\n")[2] + self.buffer
    self.say(250, "2.0.0", "chunk ok")


def _bdat_without_state(self: Any, argument: str) -> None:
    R.take(self, int(argument.split()[0]))
    self.chunks = b""
    self.say(250, "2.0.0", "chunk ok")


def _acts_early(self: Any, limit: int) -> bytes:
    while b"\r\n" not in self.buffer:
        if self.buffer[:4] == b"NOOP":
            line, self.buffer = self.buffer, b""
            return bytes(line)
        self.fill()
    return R.line(self, limit)  # type: ignore[return-value]


def _throws_away(self: Any, line: bytes) -> None:
    self.buffer = b""
    R.command(self, line)


def _waits_for_more(self: Any, lines: list[str]) -> None:
    if self.buffer and b"\r\n" not in self.buffer:
        self.fill()
    R.send_reply(self, lines)


def _content_eats_rest(self: Any) -> bytes:
    content = R.content(self)
    self.buffer = b""
    return content


def _dot_at_a_border(self: Any) -> tuple[int, int]:
    at = getattr(self, "border", 0)
    self.border = len(self.buffer)
    found = R.find_content_end(self)
    if found[0] < 0 and at and self.buffer[at : at + 3] == b".\r\n":
        found = at, at + 3
    if found[0] >= 0:
        self.border = 0
    return found


def _long_lines_in_parts(self: Any, limit: int) -> bytes:
    while b"\r\n" not in self.buffer and len(self.buffer) < 1000:
        self.fill()
    at = self.buffer.find(b"\r\n")
    if 0 <= at < 1000:
        line, self.buffer = self.buffer[:at], self.buffer[at + 2 :]
    else:
        line, self.buffer = self.buffer[:1000], self.buffer[1000:]
    return bytes(line)


def _closes(self: Any, argument: str = "") -> None:
    raise Gone


def _closes_after(method: Callable[..., Any]) -> Callable[..., Any]:
    return then(method, _closes)


def _closes_on_unknown(self: Any, verb: str) -> None:
    self.say(500, "5.5.1", "unknown command")
    raise Gone


def _silent(self: Any, argument: str = "") -> None:
    return None


_shared: list[str] = []


def _shared_recipients(self: Any, path: str) -> None:
    _shared.append(path)
    self.recipients = _shared
    self.say(250, "2.1.5", "recipient ok")


def _few_recipients(most: int, *reply: Any) -> Callable[..., None]:
    def accept(self: Any, path: str) -> None:
        if len(self.recipients) >= most:
            self.say(*reply)
        else:
            R.accept_rcpt(self, path)

    return accept


def _no_keyword(name: str) -> Callable[..., list[str]]:
    return lambda self: [one for one in R.keywords(self) if one.split()[0] != name]


def _more_keywords(*names: str) -> Callable[..., list[str]]:
    return lambda self: [*R.keywords(self), *names]


def _changed_keyword(name: str, changed: str) -> Callable[..., list[str]]:
    return lambda self: [changed if one.split()[0] == name else one for one in R.keywords(self)]


def _fewer_keywords(self: Any) -> list[str]:
    self.asked = getattr(self, "asked", 0) + 1
    return R.keywords(self)[self.asked - 1 :]


def _content_refused(pattern: bytes, *reply: Any) -> Callable[..., Any]:
    return lambda self, content: reply if re.search(pattern, content) else R.refusal(self, content)


def _data_keeps_recipients(self: Any, content: bytes) -> None:
    kept = self.recipients
    R.judge(self, content)
    self.recipients = kept


def _echo(self: Any, verb: str) -> None:
    self.send(b"500 5.5.1 unknown command " + verb.encode("utf-8", "surrogateescape") + b"\r\n")


def _out_of_order(self: Any, argument: str) -> None:
    # The reply to RCPT waits for the next command of the group.
    if b"\r\n" in self.buffer:
        line = self.line(1000) or b""
        self.command(line)
    R.do_RCPT(self, argument)


def _one_reply_per_read(self: Any, line: bytes) -> None:
    R.command(self, line)
    while b"\r\n" in self.buffer and not self.buffer.startswith((b".", b"DATA")):
        self.line(1000)


def _vrfy_ends_the_transaction(self: Any, argument: str) -> None:
    self.reset()
    R.do_VRFY(self, argument)


def _wrong_size(self: Any, words: list[str], known: dict[str, str], path: str) -> Any:
    problem = R.parameters(self, words, known, path)
    return None if problem and problem[0] == 552 else problem


def _opens_when_refused(code: int) -> Callable[..., None]:
    """A MAIL that is refused with this code begins a transaction nevertheless, with its parameters."""

    def run(self: Any, argument: str) -> None:
        said: list[int] = []
        self.say = lambda code, *rest: (said.append(code), R.say(self, code, *rest))[1]
        try:
            R.do_MAIL(self, argument)
        finally:
            del self.say
        if said == [code] and self.hello:
            self.mail = code != 555
            self.utf8 = "SMTPUTF8" in argument
            self.binary = "BINARYMIME" in argument

    return run


def _introduces(method: Callable[..., Any]) -> Callable[..., Any]:
    """A command that counts as an introduction, too."""

    def run(self: Any, argument: str) -> None:
        self.hello = self.hello or "EHLO"
        method(self, argument)

    return run


def _resets_when_too_long(self: Any, limit: int) -> bytes | None:
    line = R.line(self, limit)
    if line is None:
        self.reset()
    return line


def _wraps_sizes(self: Any, words: list[str], known: dict[str, str], path: str) -> Any:
    wrapped = [
        re.sub(r"^SIZE=([0-9]{9,20})$", lambda found: f"SIZE={int(found[1]) % 2**32}", word) for word in words
    ]
    return R.parameters(self, wrapped, known, path)


def _drops(*words: str) -> Callable[..., Any]:
    """Some words after a path are not looked at."""
    return lambda self, found, known, path: R.parameters(
        self, [one for one in found if one not in words], known, path
    )


def _dot_at_a_block(self: Any) -> tuple[int, int]:
    found = R.find_content_end(self)
    for at in range(4096, len(self.buffer), 4096):
        if self.buffer[at : at + 3] == b".\r\n" and (found[0] < 0 or at < found[0]):
            return at, at + 3
    return found


def _dot_after_a_part_of_a_line(self: Any) -> tuple[int, int]:
    """Lines are read into room for 1024 octets, and each part is looked at like a line."""
    begin = 0
    while (end := self.buffer.find(b"\r\n", begin)) >= 0:
        for at in range(begin, end, 1024):
            if self.buffer[at:end] == b".":
                return at, end + 2
        begin = end + 2
    return -1, 0


def _gives_up_at_the_limit(self: Any) -> bytes:
    while (found := self.find_content_end())[0] < 0:
        if len(self.buffer) > self.limit:
            self.buffer = b""
            return b"x" * (self.limit + 1)
        self.fill()
    content, self.buffer = self.buffer[: found[0]], self.buffer[found[1] :]
    return content


def _counts_recipients_of_the_session(self: Any, path: str) -> None:
    self.count = getattr(self, "count", 0) + 1
    if self.count > 120:
        self.say(452, "4.5.3", "too many recipients")
    else:
        R.accept_rcpt(self, path)


def _refused_base64(self: Any, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise Refusal(535, "5.7.8", "wrong") from None


def _recoded(code: int, status: str, by: int) -> Callable[..., None]:
    """Replies with a code have another one."""
    return lambda self, found, text, *texts: R.say(
        self, *((by, status) if found == code else (found, text)), *texts
    )


def _cram(
    same: bool = False, initial: bool = False, form: str = "<{}.1@mx.example.com>"
) -> Callable[..., None]:
    """AUTH with CRAM-MD5, where nobody is known."""

    def run(self: Any, argument: str) -> None:
        name, _, response = argument.partition(" ")
        if name.upper() != "CRAM-MD5":
            return R.do_AUTH(self, argument)
        if response and not initial:
            return self.say(501, "5.7.0", "no initial response")
        challenge = form.format(7 if same else id(self))
        try:
            self.response(base64.b64encode(challenge.encode()).decode(), response)
        except Refusal as refusal:
            return self.say(*refusal.args)
        return self.say(535, "5.7.8", "wrong")

    return run


_OFFERS_CRAM = _changed_keyword("AUTH", "AUTH PLAIN LOGIN CRAM-MD5")


def _decodes(change: Callable[[str], str]) -> Callable[..., str]:
    """Base64 is read after it was changed so."""
    return lambda self, text: R.unbase64(self, change(text))


def _asks_known_users_only(self: Any, argument: str) -> None:
    if argument != "LOGIN":
        return R.do_AUTH(self, argument)
    try:
        user = self.response("VXNlcm5hbWU6", "")
        if user != "anna":
            return self.say(535, "5.7.8", "wrong")
        password = self.response("UGFzc3dvcmQ6", "")
    except Refusal as refusal:
        return self.say(*refusal.args)
    return self.log_in(user, password, "")


def _flushes(method: Callable[..., Any]) -> Callable[..., Any]:
    """A command that throws away what was received behind it."""
    return then(sets(buffer=b""), method)


MUTANTS = (
    # greeting, EHLO, HELO
    mutant("greets with 250", "greeting-is-220", greet=says(250, "", "mx.example.com")),
    mutant("greets without a domain", "greeting-domain", greet=says(220, "", "- ready")),
    mutant("greets with octets above 127", "reply-text", greet=lambda self: self.send(b"220 mx.example.com gr\xc3\xbc\xc3\x9fe\r\n")),
    mutant("greets with a control character", "reply-text", greet=lambda self: self.send(b"220 mx.example.com \x07\r\n")),
    mutant("greets with an address without brackets", "greeting-domain", greet=says(220, "", "192.0.2.1 ready")),
    mutant("names the client in its reply to EHLO", "ehlo-names-the-server", do_EHLO=lambda self, argument: (sets(hello="EHLO")(self), self.say(250, "", argument))[1]),
    mutant("knows names in lower case only", "ehlo-with-upper-case", is_hello=lambda self, argument: argument == argument.lower() and R.is_hello(self, argument)),
    mutant("greets with a status", "greeting-without-status", greet=says(220, "2.0.0", "mx.example.com")),
    mutant("sends nothing after the connection", "greeting-is-220", greet=_silent),
    mutant("does not know EHLO", "ehlo-is-accepted", do_EHLO=says(502, "5.5.1")),
    mutant("does not know HELO", "helo-is-accepted", do_HELO=says(502, "5.5.1")),
    mutant("answers HELO with keywords", "helo-lists-no-keywords", do_HELO=R.do_EHLO),
    mutant("answers EHLO without its domain", "ehlo-domain", do_EHLO=then(sets(hello="EHLO"), says(250, "", "@ hello", "SIZE"))),
    mutant("answers EHLO with a status", "ehlo-without-status", do_EHLO=then(sets(hello="EHLO"), says(250, "2.0.0", "mx.example.com"))),
    mutant("offers a keyword with an underscore", "ehlo-keywords", keywords=_more_keywords("BAD_WORD")),
    mutant("offers a keyword with two spaces", "ehlo-keywords", keywords=_changed_keyword("SIZE", "SIZE  1000")),
    mutant("offers a keyword twice", "ehlo-keywords", keywords=_more_keywords("PIPELINING")),
    mutant("offers a keyword that is not registered", "keywords-are-registered", keywords=_more_keywords("FROBNICATE")),
    mutant("accepts EHLO without argument", "ehlo-needs-an-argument", is_hello=lambda self, argument: True),
    mutant("accepts HELO without argument", "helo-needs-an-argument", do_HELO=then(sets(hello="HELO"), says(250, "", "mx.example.com"))),
    mutant("refuses an address literal", "ehlo-accepts-an-ipv4-literal", is_hello=lambda self, argument: argument[:1].isalnum()),
    mutant("refuses an IPv6 literal", "ehlo-accepts-an-ipv6-literal", is_hello=lambda self, argument: bool(argument) and "IPv6" not in argument),
    mutant("refuses a hyphen in a name", "ehlo-with-a-hyphen", is_hello=lambda self, argument: "-" not in argument and R.is_hello(self, argument)),
    mutant("refuses a label that begins with a digit", "ehlo-with-a-digit-first", is_hello=lambda self, argument: not argument[:1].isdigit() and R.is_hello(self, argument)),
    mutant("refuses a name of one label", "ehlo-with-one-label", is_hello=lambda self, argument: "." in argument),
    mutant("refuses a long name", "ehlo-with-255-octets", is_hello=lambda self, argument: 0 < len(argument) < 200),
    mutant("refuses EHLO after HELO", "ehlo-after-helo", do_EHLO=lambda self, argument: self.say(503, "5.5.1", "no") if self.hello == "HELO" else R.do_EHLO(self, argument)),
    mutant("takes a refused EHLO for an introduction", "nothing-else-introduces", do_EHLO=_introduces(R.do_EHLO)),
    mutant("takes RSET for an introduction", "nothing-else-introduces", do_RSET=_introduces(R.do_RSET)),
    mutant("forgets the introduction at a refused EHLO", "refused-ehlo-keeps-the-introduction", do_EHLO=then(sets(hello=""), R.do_EHLO)),
    mutant("drops the transaction at a refused HELO", "refused-helo-changes-nothing", do_HELO=lambda self, argument: (self.reset(), R.do_HELO(self, argument))[1]),
    mutant("offers SIZE with two numbers", "size-has-one-argument", keywords=_changed_keyword("SIZE", "SIZE 200000 1")),
    mutant("offers BINARYMIME with an argument", "bare-keywords", keywords=_changed_keyword("BINARYMIME", "BINARYMIME 1")),
    mutant("offers LIMITS without a limit", "limits-are-valid", keywords=_more_keywords("LIMITS")),
    mutant("offers LIMITS of zero", "limits-are-valid", keywords=_more_keywords("LIMITS RCPTMAX=0")),
    mutant("offers ETRN and does not know it", "etrn-works", keywords=_more_keywords("ETRN")),
    mutant("offers REQUIRETLS in plaintext", "requiretls-is-offered-under-tls", keywords=_more_keywords("REQUIRETLS")),
    mutant("offers REQUIRETLS and refuses it", "requiretls-parameter", keywords=_more_keywords("REQUIRETLS")),
    mutant("keeps recipients over EHLO", "second-ehlo-drops-the-transaction", do_EHLO=without_reset(R.do_EHLO, "mail", "recipients")),
    mutant("keeps the sender over EHLO", "second-ehlo-drops-the-sender", do_EHLO=without_reset(R.do_EHLO, "mail")),
    mutant("keeps recipients over HELO", "helo-drops-the-transaction", do_HELO=without_reset(R.do_HELO, "mail", "recipients")),
    mutant("drops the transaction at a refused EHLO", "refused-ehlo-changes-nothing", do_EHLO=lambda self, argument: (self.reset(), R.do_EHLO(self, argument))[1]),
    mutant("offers less at a second EHLO", "second-ehlo-offers-the-same", keywords=_fewer_keywords),
    mutant("knows AUTH without offering it", "auth-unoffered", keywords=lambda self: [one for one in R.keywords(self) if not one.startswith("AUTH")]),
    # commands without a transaction
    mutant("answers NOOP with 200", "noop-is-250", do_NOOP=says(200, "2.0.0")),
    mutant("answers NOOP with 251", "success-codes", do_NOOP=says(251, "2.0.0")),
    mutant("ends the transaction at NOOP", "noop-changes-nothing", do_NOOP=lambda self, argument: (self.reset(), R.do_NOOP(self, argument))[1]),
    mutant("ends the transaction at VRFY", "vrfy-changes-nothing", do_VRFY=_vrfy_ends_the_transaction),
    mutant("ends the transaction at HELP", "help-changes-nothing", do_HELP=lambda self, argument: (self.reset(), R.do_HELP(self, argument))[1]),
    mutant("ends the transaction at an unknown command", "unknown-command-changes-nothing", unknown=lambda self, verb: (self.reset(), R.unknown(self, verb))[1]),
    mutant("answers RSET with 501", "rset-is-250", do_RSET=says(501, "5.5.4")),
    mutant("refuses RSET before EHLO", "rset-is-allowed-before-ehlo", do_RSET=lambda self, argument: R.do_RSET(self, argument) if self.hello else self.say(503, "5.5.1", "no")),
    mutant("keeps the sender over RSET", "rset-drops-the-sender", do_RSET=without_reset(R.do_RSET, "mail")),
    mutant("keeps the recipients over RSET", "rset-drops-the-recipients", do_RSET=without_reset(R.do_RSET, "recipients")),
    mutant("closes after RSET", "rset-keeps-the-connection", do_RSET=_closes_after(R.do_RSET)),
    mutant("forgets EHLO at RSET", "rset-keeps-the-introduction", do_RSET=then(R.do_RSET, sets(hello=""))),
    mutant("does not know VRFY", "vrfy-is-implemented", do_VRFY=says(500, "5.5.1")),
    mutant("verifies what it refuses", "vrfy-verifies", do_VRFY=says(250, "2.1.5", "<x@mx.example.com>"), accept_rcpt=lambda self, path: self.say(550, "5.1.1", "unknown") if "no-such" in path else R.accept_rcpt(self, path)),
    mutant("verifies without a mailbox", "vrfy-names-a-mailbox", do_VRFY=says(250, "2.1.5", "yes")),
    mutant("answers QUIT with 250", "quit-is-221-and-closes", do_QUIT=_closes_after(says(250, "2.0.0"))),
    mutant("does not close after QUIT", "quit-is-221-and-closes", do_QUIT=says(221, "2.0.0", "mx.example.com")),
    mutant("refuses QUIT before EHLO", "quit-before-ehlo", do_QUIT=lambda self, argument: R.do_QUIT(self, argument) if self.hello else self.say(503, "5.5.1", "no")),
    mutant("refuses QUIT within a transaction", "quit-within-a-transaction", do_QUIT=lambda self, argument: self.say(503, "5.5.1", "no") if self.mail else R.do_QUIT(self, argument)),
    mutant("carries out what comes after QUIT", "nothing-after-quit-is-answered", do_QUIT=lambda self, argument: (self.say(221, "2.0.0", "mx.example.com"), [self.command(self.line(99)) for _ in range(2)], _closes(self))[0]),
    mutant("closes without 421 at an unknown command", "unknown-command-is-500", unknown=_closes),
    mutant("closes after an unknown command", "bad-commands-do-not-end-the-session", unknown=_closes_on_unknown),
    mutant("answers an unknown command with 250", "unknown-command-is-500", unknown=says(250, "2.0.0")),
    mutant("says nothing to an empty line", "empty-line-is-refused", command=lambda self, line: R.command(self, line) if line else None),
    mutant("accepts unknown commands with a leading X", "unknown-x-command-is-refused", unknown=lambda self, verb: R.do_NOOP(self, verb) if verb[:1] == "X" else R.unknown(self, verb)),
    mutant("looks at four letters of a verb", "noop-and-a-letter", command=_verb_prefix),
    mutant("answers EXPN without an argument with 252", "expn-needs-an-argument", do_EXPN=says(252, "2.1.5")),
    mutant("expands without a mailbox", "expn-names-mailboxes", do_EXPN=says(250, "2.1.5", "two members")),
    mutant("expands to two mailboxes on a line", "expn-names-mailboxes", do_EXPN=says(250, "2.1.5", "<a@example.com> <b@example.com>")),
    mutant("ends lines at FS", "fs-ends-no-line", find_line_end=line_ends(b"\r\n", b"\x1c")),
    mutant("ends a verb at a colon", "ehlo-and-a-colon", command=lambda self, line: R.command(self, line.replace(b"EHLO:", b"EHLO "))),
    lenient("ignores blanks before a verb", "blank-before-a-verb", command=lambda self, line: R.command(self, line.lstrip(b" "))),
    mutant("ends a verb at a digit", "noop-and-a-digit", command=lambda self, line: R.command(self, re.sub(rb"^([A-Z]{4})[0-9]", rb"\1 ", line))),
    mutant("ignores a CR within a line", "cr-within-a-verb", command=lambda self, line: R.command(self, line.replace(b"\r", b""))),
    lenient("ends a verb at a tab", "mail-and-a-tab", command=lambda self, line: R.command(self, line.replace(b"\t", b" "))),
    mutant("closes after some NOOPs", "many-noops", do_NOOP=lambda self, argument: (setattr(self, "count", getattr(self, "count", 0) + 1), _closes(self) if self.count > 5 else R.do_NOOP(self, argument))[1]),
    mutant("drops the transaction at a refused RSET", "refused-rset-changes-nothing", do_RSET=lambda self, argument: (self.reset(), R.do_RSET(self, argument))[1]),
    mutant("drops the transaction at a refused DATA", "refused-data-changes-nothing", do_DATA=lambda self, argument: (self.reset() if argument else None, R.do_DATA(self, argument))[1]),
    lenient("refuses VRFY of a mailbox", "vrfy-takes-a-mailbox", do_VRFY=refuses(R.do_VRFY, "@", (501, "5.5.4", "no"))),
    mutant("accepts abbreviated verbs", "noop-cut-short", unknown=lambda self, verb: self.do_NOOP("") if verb and "NOOP".startswith(verb) else R.unknown(self, verb)),
    mutant("acts before the line has ended", "unfinished-line-has-no-effect", line=_acts_early),
    mutant("knows commands in upper case only", "noop-in-any-case", command=_case_sensitive),
    mutant("knows HELP in upper case only", "help-in-any-case", command=_in_upper_case_only("HELP")),
    mutant("knows EXPN in upper case only", "expn-in-any-case", command=_in_upper_case_only("EXPN")),
    mutant("knows FROM: in upper case only", "mail-in-any-case", do_MAIL=lambda self, argument: R.do_MAIL(self, argument) if argument.startswith("FROM") else self.say(501, "5.5.4", "no")),
    mutant("ends lines at LF", "lf-ends-no-line", find_line_end=line_ends(b"\r\n", b"\n")),
    mutant("ends lines at CR", "cr-ends-no-line", find_line_end=line_ends(b"\r\n", b"\r")),
    mutant("ends lines at NUL", "nul-ends-no-line", find_line_end=line_ends(b"\r\n", b"\0")),
    mutant("ends lines at VT", "vt-ends-no-line", find_line_end=line_ends(b"\r\n", b"\x0b")),
    mutant("ends lines at a line separator", "line-separator-ends-no-line", find_line_end=line_ends(b"\r\n", b"\xe2\x80\xa8")),
    mutant("echoes octets of the command", "reply-text", unknown=_echo),
    mutant("echoes a CR", "replies-do-not-echo-a-cr", unknown=_echo),
    mutant("accepts NUL in a path", "nul-in-a-command-is-refused", do_MAIL=accepts(R.do_MAIL, "\0", (250, "2.1.0", "ok"))),
    lenient("accepts a control character in a path", "control-character-in-a-path-is-refused", do_MAIL=accepts(R.do_MAIL, "\x01", (250, "2.1.0", "ok"))),
    lenient("accepts eight-bit octets in a path", "eight-bits-in-a-path-are-refused", do_MAIL=accepts(R.do_MAIL, "[\udc80-\udcff]", (250, "2.1.0", "ok"))),
    # replies
    mutant("ends replies with LF", "reply-lines-end-in-crlf", send_reply=rewrites("\r\n", "\n")),
    mutant("continues replies with a space", "reply-separator", send_reply=rewrites(r"(?m)^([0-9]{3})([ -])", r"\1=")),
    mutant("has two digits in a code", "replies-have-three-digits", do_NOOP=lambda self, argument: self.send(b"25 ok\r\n")),
    mutant("has a code above 5", "reply-digits", do_NOOP=says(650, "", "ok")),
    mutant("has different codes in one reply", "reply-lines-agree", do_HELP=lambda self, argument: self.send(b"211-2.0.0 a\r\n214 2.0.0 b\r\n")),
    mutant("ends a reply with a continued line", "reply-separator", do_HELP=lambda self, argument: self.send(b"214-2.0.0 a\r\n")),
    mutant("sends a reply line of 600 octets", "reply-length", do_HELP=says(214, "2.0.0", "x" * 600)),
    mutant("quotes long commands", "reply-length", unknown=lambda self, verb: self.say(500, "5.5.1", f"unknown command {verb}")),
    mutant("sends eight-bit text", "reply-text", do_HELP=lambda self, argument: self.send(b"214 2.0.0 gr\xfc\xdfe\r\n")),
    mutant("answers NOOP twice", "one-reply-per-command", do_NOOP=then(R.do_NOOP, R.do_NOOP)),
    mutant("answers RSET not at all", "rset-is-250", do_RSET=_silent),
    mutant("has no status in a reply", "status-present", do_NOOP=says(250, "", "ok")),
    mutant("has the status of another class", "status-class", do_NOOP=says(250, "5.0.0", "ok")),
    mutant("has a status on the first line only", "status-on-each-line", do_HELP=lambda self, argument: self.send(b"214-2.0.0 a\r\n214 b\r\n")),
    mutant("has a malformed status", "status-shape", do_NOOP=says(250, "2.00.0", "ok")),
    mutant("has a status with 354", "no-status-with-3yz", do_DATA=lambda self, argument: self.send(b"354 2.0.0 go ahead\r\n") or R.judge(self, R.content(self))),
    mutant("has a status of class 3", "no-status-with-3yz", say=lambda self, code, status, *texts: R.say(self, code, "3.0.0" if code == 354 else status, *texts)),
    mutant("has no status after HELO", "status-present", say=lambda self, code, status, *texts: R.say(self, code, "" if self.hello == "HELO" else status, *texts)),
    mutant("offers HELP and does not know it", "offered-commands-work", do_HELP=says(502, "5.5.1")),
    # order
    mutant("accepts the content with 251", "one-message", judge=lambda self, content: (self.reset(), self.say(251, "2.0.0", "ok"))[1]),
    mutant("answers DATA with 350", "one-message", do_DATA=lambda self, argument: self.say(350, "", "go") or R.judge(self, R.content(self))),
    mutant("accepts RCPT before MAIL", "rcpt-before-mail", do_RCPT=lambda self, argument: (sets(mail=True)(self), R.do_RCPT(self, argument))[1]),
    mutant("answers RCPT before MAIL with 550", "rcpt-before-mail", do_RCPT=lambda self, argument: R.do_RCPT(self, argument) if self.mail else self.say(550, "5.5.1", "no")),
    mutant("accepts DATA before RCPT", "data-before-rcpt", do_DATA=_no_recipients_needed),
    mutant("accepts DATA before MAIL", "data-before-mail", do_DATA=lambda self, argument: (sets(mail=True, recipients=["x"])(self), R.do_DATA(self, argument))[1]),
    mutant("accepts DATA after refused recipients", "data-after-refused-rcpt", do_DATA=_no_recipients_needed),
    mutant("accepts MAIL within a transaction", "nested-mail", do_MAIL=_mail_after_mail),
    mutant("loses the transaction at a second MAIL", "nested-mail-changes-nothing", do_MAIL=lambda self, argument: (self.say(503, "5.5.1", "no"), self.reset())[1] if self.mail else R.do_MAIL(self, argument)),
    mutant("begins a transaction with a refused MAIL", "refused-mail-begins-nothing", do_MAIL=then(R.do_MAIL, sets(mail=True))),
    mutant("begins a transaction with a malformed parameter", "size-malformed", do_MAIL=_opens_when_refused(501)),
    mutant("begins a transaction with too large a size", "size-above-the-limit", do_MAIL=_opens_when_refused(552)),
    mutant("remembers SMTPUTF8 of a refused MAIL", "utf8-ends-with-the-transaction", do_MAIL=_opens_when_refused(555), reset=keeps("utf8")),
    mutant("remembers BINARYMIME of the last transaction", "binarymime-ends-with-the-transaction", reset=keeps("binary")),
    mutant("needs RSET after refused content", "refused-content-ends-the-recipients", judge=lambda self, content: (lambda bad: (R.judge(self, content), setattr(self, "mail", bool(bad)))[0])(self.refusal(content))),
    mutant("takes the null sender for none", "null-sender", do_MAIL=lambda self, argument: (R.do_MAIL(self, argument), setattr(self, "mail", self.mail and "<>" not in argument))[0]),
    mutant("loses the recipients at a refused one", "refused-rcpt-changes-nothing", do_RCPT=lambda self, argument: (self.recipients.clear() if "@@" in argument else None, R.do_RCPT(self, argument))[1]),
    mutant("accepts one recipient only", "second-recipient", accept_rcpt=_few_recipients(1, 452, "4.5.3", "no")),
    mutant("keeps the recipients over the content", "content-ends-the-recipients", judge=_data_keeps_recipients),
    mutant("keeps the sender over the content", "content-ends-the-sender", judge=without_reset(R.judge, "mail")),
    mutant("keeps the transaction over the content", "content-ends-the-transaction", judge=without_reset(R.judge, "mail", "recipients")),
    mutant("closes after a message", "two-messages", judge=_closes_after(R.judge)),
    mutant("shares recipients among sessions", "sessions-are-separate", accept_rcpt=_shared_recipients, do_DATA=lambda self, argument: (sets(recipients=_shared)(self), R.do_DATA(self, argument))[1]),
    mutant("answers the content twice", "one-reply-per-command", judge=_double_content_reply),
    mutant("accepts before the content", "no-reply-within-content", do_DATA=lambda self, argument: (self.say(354, "", "go"), self.say(250, "2.0.0", "ok"), self.content(), self.reset())[3]),
    # paths and parameters
    mutant("refuses the null sender", "null-sender", do_MAIL=refuses(R.do_MAIL, "<>", (501, "5.1.7", "no"))),
    mutant("refuses the null sender with parameters", "null-sender-with-parameters", do_MAIL=refuses(R.do_MAIL, "<> ", (501, "5.5.4", "no"))),
    mutant("wants the parameters in an order", "parameters-in-any-order", parameters=lambda self, words, known, path: (501, "5.5.4", "no") if words[:1] == ["SMTPUTF8"] and words[1:] else R.parameters(self, words, known, path)),
    mutant("answers an unknown parameter with 501", "mail-unknown-parameter", say=_recoded(555, "5.5.4", 501)),
    mutant("refuses postmaster without domain", "postmaster", do_RCPT=refuses(R.do_RCPT, "(?i)<postmaster>", (550, "5.1.1", "no"))),
    mutant("knows postmaster in lower case only", "postmaster-in-any-case", do_RCPT=refuses(R.do_RCPT, "<(?!postmaster)(?i:postmaster)>", (550, "5.1.1", "no"))),
    mutant("knows postmaster of its domain in lower case only", "postmaster-with-domain-in-any-case", do_RCPT=refuses(R.do_RCPT, "<(?!postmaster@)(?i:postmaster@)", (550, "5.1.1", "no"))),
    mutant("refuses postmaster of its domain", "postmaster-with-domain", do_RCPT=refuses(R.do_RCPT, "(?i)postmaster@", (550, "5.1.1", "no"))),
    mutant("compares domains by case", "domains-in-any-case", do_RCPT=refuses(R.do_RCPT, "@MX", (550, "5.1.1", "no"))),
    mutant("accepts MAIL without FROM:", "mail-without-from", do_MAIL=accepts(R.do_MAIL, "^<", (250, "2.1.0", "ok"))),
    mutant("accepts MAIL without a colon", "mail-without-colon", do_MAIL=_no_colon),
    mutant("accepts MAIL TO:", "mail-with-to", do_MAIL=accepts(R.do_MAIL, "^TO:", (250, "2.1.0", "ok"))),
    mutant("accepts an empty forward-path", "empty-forward-path", do_RCPT=accepts(R.do_RCPT, "<>", (250, "2.1.5", "ok"))),
    mutant("accepts an unclosed path", "unclosed-reverse-path", do_MAIL=accepts(R.do_MAIL, "^FROM:<[^>]+$", (250, "2.1.0", "ok"))),
    mutant("accepts a tab in a path", "reverse-path-with-tab", do_MAIL=accepts(R.do_MAIL, "<[^>]*\t", (250, "2.1.0", "ok"))),
    mutant("accepts a literal of three numbers", "ipv4-literal-of-three", do_MAIL=accepts(R.do_MAIL, r"\[[0-9]+\.[0-9]+\.[0-9]+\]", (250, "2.1.0", "ok"))),
    mutant("accepts a literal with a large number", "bad-ipv4-literal", do_MAIL=accepts(R.do_MAIL, r"\.256\]", (250, "2.1.0", "ok"))),
    lenient("accepts an IPv6 literal of three groups", "bad-ipv6-literal", do_MAIL=accepts(R.do_MAIL, "IPv6:1:2:3", (250, "2.1.0", "ok"))),
    lenient("accepts a word for a literal", "general-literal-without-tag", do_MAIL=accepts(R.do_MAIL, r"@\[[a-z]+\]", (250, "2.1.0", "ok"))),
    lenient("accepts a label of 64 octets", "label-of-64", do_MAIL=accepts(R.do_MAIL, "d{64}", (250, "2.1.0", "ok"))),
    lenient("accepts an underscore in a domain", "underscore-in-domain", do_MAIL=accepts(R.do_MAIL, "@[^>]*_", (250, "2.1.0", "ok"))),
    lenient("accepts a dot at the end of a domain", "dot-last-in-domain", do_MAIL=accepts(R.do_MAIL, r"\.>", (250, "2.1.0", "ok"))),
    mutant("refuses a forward-path of 256 octets", "forward-path-of-256", do_RCPT=refuses(R.do_RCPT, "<.{250}", (501, "5.1.3", "no"))),
    mutant("accepts two dots in a domain", "two-dots-in-domain", do_MAIL=accepts(R.do_MAIL, r"@[^>]*\.\.", (250, "2.1.0", "ok"))),
    mutant("accepts text after quotes", "text-after-quotes", do_MAIL=accepts(R.do_MAIL, '"[a-z]+@', (250, "2.1.0", "ok"))),
    mutant("accepts a route without a colon", "route-without-colon", do_MAIL=accepts(R.do_MAIL, "<@[^:]*>", (250, "2.1.0", "ok"))),
    mutant("accepts two recipients at once", "two-forward-paths", do_RCPT=accepts(R.do_RCPT, ">,<", (250, "2.1.5", "ok"))),
    mutant("accepts two recipients in a path", "two-forward-paths-in-brackets", do_RCPT=accepts(R.do_RCPT, "<[^>]*,[^>]*>", (250, "2.1.5", "ok"))),
    mutant("accepts SIZE of RCPT", "rcpt-parameter-of-mail", do_RCPT=lambda self, argument: R.do_RCPT(self, re.sub("> SIZE=.*", ">", argument))),
    lenient("accepts a sender without a domain", "sender-without-domain", do_MAIL=accepts(R.do_MAIL, "<[a-z]+>", (250, "2.1.0", "ok"))),
    lenient("accepts two dots in a recipient", "two-dots-in-forward-local-part", do_RCPT=accepts(R.do_RCPT, r"<[^@>]*\.\.", (250, "2.1.5", "ok"))),
    mutant("accepts a space in a path", "reverse-path-of-two-words", do_MAIL=accepts(R.do_MAIL, "<a b@", (250, "2.1.0", "ok"))),
    lenient("accepts a path without a local-part", "path-without-local-part", do_MAIL=accepts(R.do_MAIL, "<@example.com>", (250, "2.1.0", "ok"))),
    lenient("accepts two @", "path-with-two-ats", do_MAIL=accepts(R.do_MAIL, "a@b@", (250, "2.1.0", "ok"))),
    mutant("accepts text after a path", "mail-text-after-path", do_MAIL=accepts(R.do_MAIL, ">SIZE", (250, "2.1.0", "ok"))),
    mutant("ignores unknown parameters", "mail-unknown-parameter", parameters=_ignores_parameters),
    mutant("ignores unknown parameters of RCPT", "rcpt-unknown-parameter", do_RCPT=lambda self, argument: R.do_RCPT(self, argument.partition("> ")[0].removesuffix(">") + ">")),
    mutant("refuses quoted local-parts", "quoted-local-part", do_MAIL=refuses(R.do_MAIL, '"', (501, "5.1.7", "no"))),
    mutant("ends a path at the first >", "quoted-bracket", do_MAIL=refuses(R.do_MAIL, "<[^>]*>[^ ]", (501, "5.1.7", "no"))),
    mutant("splits at the first @", "quoted-at", do_MAIL=refuses(R.do_MAIL, "@.*@", (501, "5.1.7", "no"))),
    mutant("refuses a backslash", "quoted-pair", do_MAIL=refuses(R.do_MAIL, r"\\", (501, "5.1.7", "no"))),
    mutant("refuses special characters", "special-characters", do_MAIL=refuses(R.do_MAIL, "[{}|~`]", (501, "5.1.7", "no"))),
    mutant("refuses hyphens in domains", "hyphens-and-digits-in-domain", do_MAIL=refuses(R.do_MAIL, "@[^>]*-", (501, "5.1.7", "no"))),
    mutant("refuses upper case in domains", "domain-in-upper-case", do_MAIL=refuses(R.do_MAIL, "@[A-Z]", (501, "5.1.7", "no"))),
    mutant("refuses labels of 63 octets", "label-of-63", do_MAIL=refuses(R.do_MAIL, "[a-z]{63}", (501, "5.1.7", "no"))),
    mutant("refuses a domain of one letter", "shortest-mailbox", do_MAIL=refuses(R.do_MAIL, r"\.[a-z]>", (501, "5.1.7", "no"))),
    mutant("refuses A-labels", "a-label", do_MAIL=refuses(R.do_MAIL, "xn--", (501, "5.1.7", "no"))),
    mutant("refuses a local-part of digits", "digits-only", do_MAIL=refuses(R.do_MAIL, "<[0-9]+@", (501, "5.1.7", "no"))),
    lenient("refuses address literals", "ipv4-literal", do_MAIL=refuses(R.do_MAIL, r"@\[1", (501, "5.1.7", "no"))),
    mutant("refuses a local-part of 64 octets", "local-part-of-64", do_MAIL=refuses(R.do_MAIL, "a{64}", (501, "5.1.7", "no"))),
    mutant("refuses a path of 256 octets", "path-of-256", do_MAIL=refuses(R.do_MAIL, "<.{250}", (501, "5.1.7", "no"))),
    mutant("refuses source routes", "source-route", do_MAIL=refuses(R.do_MAIL, "<@", (501, "5.1.7", "no"))),
    mutant("refuses source routes of recipients", "forward-path-with-source-route", do_RCPT=refuses(R.do_RCPT, "<@", (501, "5.1.7", "no"))),
    # content
    mutant("ends the content at a dot with text", "single-dot-with-text", find_content_end=content_ends(rb"\r\n\.[a-z]+\r\n")),
    mutant("ends the content at LF . LF", "smuggling-lf-dot-lf", find_content_end=content_ends(rb"\n\.\n")),
    mutant("ends the content at LF . CRLF", "smuggling-lf-dot-crlf", find_content_end=content_ends(rb"\n\.\r\n")),
    mutant("ends the content at CRLF . LF", "smuggling-crlf-dot-lf", find_content_end=content_ends(rb"\r\n\.\n")),
    mutant("ends the content at CR . CR", "smuggling-cr-dot-cr", find_content_end=content_ends(rb"\r\.\r")),
    mutant("ends the content at CR . CRLF", "smuggling-cr-dot-crlf", find_content_end=content_ends(rb"\r\.\r\n")),
    mutant("ends the content at CRLF . CR", "smuggling-crlf-dot-cr", find_content_end=content_ends(rb"\r\n\.\r(?!\n)")),
    mutant("ignores NUL before the dot", "smuggling-crlf-nul-dot-crlf", find_content_end=content_ends(rb"\r\n\0*\.\r\n")),
    mutant("ignores blanks after the dot", "smuggling-crlf-dot-blank-crlf", find_content_end=content_ends(rb"\r\n\. *\r\n")),
    mutant("ignores a CR too many", "smuggling-crlf-dot-crcrlf", find_content_end=content_ends(rb"\r\n\.\r*\n")),
    mutant("ends the content at . LF at once", "smuggling-dot-lf-at-once", find_content_end=content_ends(rb"\A\.\n")),
    mutant("ends the content at FS . FS", "smuggling-fs-dot-fs", find_content_end=content_ends(rb"\x1c\.\x1c")),
    mutant("ends the content at VT . CRLF", "smuggling-vt-dot-crlf", find_content_end=content_ends(rb"\x0b\.\r\n")),
    mutant("ends the content at LF LF . LF LF", "smuggling-lf-lf-dot-lf-lf", find_content_end=content_ends(rb"\n\n\.\n\n")),
    mutant("ends the content at CRLF CR . CRLF", "smuggling-crlf-cr-dot-crlf", find_content_end=content_ends(rb"\r\n\r\.\r\n")),
    mutant("ends the content at CR NUL LF", "smuggling-crnullf-dot-crnullf", find_content_end=content_ends(rb"\r\0\n\.\r\0\n")),
    mutant("reads seven bits of an end", "smuggling-high-crlf-dot-crlf", find_content_end=content_ends(rb"[\x8d\r][\x8a\n]\.[\x8d\r][\x8a\n]")),
    mutant("reads seven bits of a dot", "smuggling-crlf-high-dot-crlf", find_content_end=content_ends(rb"\r\n\xae\r\n")),
    mutant("takes a dot at a border of blocks for the end", "dots-at-borders-of-blocks", find_content_end=_dot_at_a_block),
    mutant("takes the rest of a long line for a line", "dots-after-parts-of-lines", find_content_end=_dot_after_a_part_of_a_line),
    mutant("ends the content at a first line of dots", "content-begins-with-a-dot", find_content_end=content_ends(rb"\A\.\.\r\n")),
    mutant("refuses control characters", "control-characters-in-content", refusal=_content_refused(rb"[\x01-\x08]", 554, "5.6.0", "no")),
    mutant("does not find a dot straight after DATA", "empty-content", find_content_end=lambda self: (lambda at: (at + 2 if at >= 0 else -1, at + 5))(self.buffer.find(b"\r\n.\r\n"))),
    mutant("takes a dot at a border for the end", "dot-at-a-border", find_content_end=_dot_at_a_border),
    mutant("refuses lines of 1000 octets", "line-of-1000", refusal=_content_refused(rb"[^\r\n]{990}", 500, "5.5.2", "line too long")),
    mutant("refuses messages of 64 KiB", "message-of-64-kib", refusal=lambda self, content: (552, "5.3.4", "no") if len(content) > 60_000 else None),
    mutant("throws away what comes after the content", "quit-after-the-content", content=_content_eats_rest),
    # pipelining
    mutant("throws away the rest of a group", "group-in-one-write", command=_throws_away),
    mutant("throws away what follows NOOP", "nothing-is-thrown-away", do_NOOP=_flushes(R.do_NOOP)),
    mutant("throws away what follows HELO", "nothing-is-thrown-away", do_HELO=_flushes(R.do_HELO)),
    mutant("throws away what follows HELP", "nothing-is-thrown-away", do_HELP=_flushes(R.do_HELP)),
    mutant("throws away what follows EXPN", "nothing-is-thrown-away", do_EXPN=_flushes(R.do_EXPN)),
    mutant("drops nothing at RSET within a group", "rset-in-a-group", do_RSET=lambda self, argument: self.say(250, "2.0.0", "reset") if self.buffer else R.do_RSET(self, argument)),
    mutant("throws away what follows EHLO", "nothing-is-thrown-away", do_EHLO=_flushes(R.do_EHLO)),
    mutant("answers a group once", "group-in-one-write", command=_one_reply_per_read),
    mutant("answers a group out of order", "group-in-one-write", do_RCPT=_out_of_order),
    mutant("withholds a reply until the next command", "replies-are-not-withheld", send_reply=_waits_for_more),
    mutant("announces PIPELINING with an argument", "pipelining-announcement", keywords=_changed_keyword("PIPELINING", "PIPELINING 1")),
    # limits
    mutant("refuses lines of 300 octets", "command-line-of-512", line_limit=300),
    mutant("cuts long lines into commands", "long-line-is-skipped-whole", line=_long_lines_in_parts),
    mutant("drops the transaction at a long line", "long-line-changes-nothing", line=_resets_when_too_long),
    mutant("counts recipients over transactions", "hundred-recipients", accept_rcpt=_counts_recipients_of_the_session),
    mutant("accepts a path of any length", "mail-line-too-long", line_limit=10**9),
    mutant("accepts 50 recipients", "hundred-recipients", accept_rcpt=_few_recipients(50, 452, "4.5.3", "no")),
    mutant("refuses too many recipients with 552", "too-many-recipients", accept_rcpt=_few_recipients(200, 552, "5.5.3", "no")),
    # extensions
    mutant("announces a size with letters", "size-announcement", keywords=_changed_keyword("SIZE", "SIZE 10M")),
    mutant("accepts a declared size above the limit", "size-above-the-limit", parameters=_wrong_size),
    mutant("accepts content above the limit", "content-above-the-limit", refusal=lambda self, content: None),
    mutant("reads sizes in 32 bits", "size-above-the-limit", parameters=_wraps_sizes),
    mutant("answers too large a size with 501", "size-above-the-limit", say=_recoded(552, "5.5.4", 501)),
    mutant("reads the rest of large content as commands", "content-above-the-limit", content=_gives_up_at_the_limit),
    mutant("answers large content with 554", "content-above-the-limit", say=_recoded(552, "5.3.4", 554)),
    lenient("refuses content of the size of the limit", "content-at-the-limit", refusal=lambda self, content: (552, "5.3.4", "no") if len(content) >= self.limit else R.refusal(self, content)),
    mutant("accepts two equals signs", "size-malformed", parameters=lambda self, words, known, path: R.parameters(self, [word.replace("==", "=") for word in words], known, path)),
    mutant("accepts SIZE without a value", "size-parameter-without-value", parameters=_drops("SIZE")),
    mutant("accepts BODY without a value", "8bitmime-parameter-body-without-value", parameters=_drops("BODY")),
    lenient("accepts SIZE twice", "size-parameter-twice", parameters=lambda self, words, known, path: R.parameters(self, list(dict.fromkeys(words)), known, path)),
    mutant("knows parameters in upper case only", "size-parameter-in-any-case", parameters=lambda self, words, known, path: R.parameters(self, words, known, path) if " ".join(words).isupper() or not words else (555, "5.5.4", "no")),
    mutant("accepts any BODY", "8bitmime-parameter-body-malformed", mail_parameters=lambda self: {**R.mail_parameters(self), "BODY": ".*"}),
    mutant("looks at the beginning of BODY", "body-values-like-valid-ones", mail_parameters=lambda self: {**R.mail_parameters(self), "BODY": "(?:7BIT|8BIT|BINARYMIME).*"}),
    mutant("offers 8BITMIME and refuses BODY", "8bitmime-parameter-body", mail_parameters=lambda self: {"SIZE": "[0-9]{1,20}"}),
    mutant("refuses eight-bit content", "eight-bit-content", refusal=_content_refused(rb"[\x80-\xff]", 550, "5.6.3", "no")),
    mutant("offers SMTPUTF8 without 8BITMIME", "smtputf8-needs", keywords=_no_keyword("8BITMIME")),
    mutant("accepts SMTPUTF8 with a value", "smtputf8-parameter-malformed", mail_parameters=lambda self: {**R.mail_parameters(self), "SMTPUTF8": ".*"}, parameters=lambda self, words, known, path: R.parameters(self, [re.sub("SMTPUTF8=.*", "SIZE=1", word) for word in words], known, path)),
    lenient("accepts UTF-8 without SMTPUTF8", "utf8-sender-undeclared", do_MAIL=accepts(R.do_MAIL, "[^\x00-\x7f\udc80-\udcff].*>$", (250, "2.1.0", "ok"))),
    mutant("accepts malformed UTF-8", "utf8-malformed", do_MAIL=accepts(R.do_MAIL, "[\udc80-\udcff]", (250, "2.1.0", "ok"))),
    mutant("offers SMTPUTF8 and refuses it", "utf8-sender", do_MAIL=refuses(R.do_MAIL, "[^\x00-\x7f]", (553, "5.6.7", "no"))),
    mutant("refuses U-labels", "utf8-domain", do_MAIL=refuses(R.do_MAIL, "@[^>]*[^\x00-\x7f]", (553, "5.6.7", "no"))),
    mutant("refuses UTF-8 in the header", "utf8-header", refusal=_content_refused(rb"(?m)^Subject: .*[\x80-\xff]", 554, "5.6.0", "no")),
    mutant("offers BINARYMIME without CHUNKING", "binarymime-needs-chunking", keywords=_no_keyword("CHUNKING")),
    mutant("accepts DATA for binary content", "binarymime-and-data", do_DATA=lambda self, argument: (sets(binary=False)(self), R.do_DATA(self, argument))[1]),
    lenient("reads sizes of chunks in hexadecimal", "bdat-malformed-sizes", do_BDAT=lambda self, argument: R.do_BDAT(self, re.sub("^0x0", "0", argument))),
    lenient("accepts a negative size of a chunk", "bdat-malformed-sizes", do_BDAT=lambda self, argument: R.do_BDAT(self, re.sub("^-", "", argument))),
    mutant("reads a size of a chunk that is none as zero", "bdat-malformed", do_BDAT=lambda self, argument: R.do_BDAT(self, argument.replace("x", "0"))),
    lenient("goes on after a malformed BDAT", "bdat-malformed-and-more", do_BDAT=lambda self, argument: R.do_BDAT(self, argument) if argument[:1].isdigit() else self.say(501, "5.5.4", "BDAT takes a size")),
    mutant("keeps the chunks over EHLO", "bdat-and-ehlo", do_EHLO=without_reset(R.do_EHLO, "chunks")),
    mutant("reads octets of a refused BDAT as commands", "bdat-refused", do_BDAT=_bdat_reads_octets_as_commands),
    mutant("drops the transaction at NOOP between chunks", "bdat-and-noop", do_NOOP=lambda self, argument: (self.reset() if self.chunks is not None else None, R.do_NOOP(self, argument))[1]),
    mutant("accepts chunks above the limit", "bdat-above-the-limit", chunks_limit=10**9),
    mutant("accepts BDAT without recipients", "bdat-without-recipients", do_BDAT=_bdat_without_state),
    mutant("finds the end of a chunk by a dot", "bdat-is-transparent", do_BDAT=_bdat_dots),
    mutant("accepts BDAT after the last chunk", "bdat-after-last", do_BDAT=_bdat_without_state),
    mutant("accepts DATA after BDAT", "bdat-then-data", do_DATA=lambda self, argument: (sets(chunks=None)(self), R.do_DATA(self, argument))[1]),
    mutant("knows BDAT in upper case only", "bdat-in-any-case", command=lambda self, line: self.unknown("") if line[:4] == b"bDaT" else R.command(self, line)),
    mutant("keeps the recipients over the last chunk", "bdat-ends-the-recipients", do_BDAT=without_reset(R.do_BDAT, "recipients")),
    mutant("counts the dots of transparency", "size-exact", refusal=lambda self, content: (552, "5.3.4", "no") if content.count(b"\r\n..") > 100 else None),
    mutant("keeps the recipients over refused content", "refused-content-ends-the-recipients", judge=lambda self, content: _data_keeps_recipients(self, content) if self.refusal(content) else R.judge(self, content)),
    mutant("knows LHLO", "lhlo-unoffered", do_LHLO=R.do_EHLO),
    lenient("ends a verb at NUL", "rset-and-a-nul", command=lambda self, line: R.command(self, line.partition(b"\0")[0])),
    mutant("challenges in plain text", "challenges-are-base64", response=lambda self, challenge, initial: R.response(self, challenge and "Username:", initial)),
    mutant("closes without 421 after some commands", "many-messages", accept_mail=lambda self: (R.accept_mail(self), setattr(self, "count", getattr(self, "count", 0) + 1), _closes(self) if self.count > 3 else None)[0]),
    mutant("greets twice", "greeting-does-not-wait", greet=then(R.greet, R.greet)),
    mutant("answers BDAT with 354", "bdat-one-chunk", do_BDAT=lambda self, argument: (self.take(int(argument.split()[0])), self.say(354, "", "go"))[1]),
    lenient("refuses an empty chunk", "bdat-empty-chunk", do_BDAT=refuses(R.do_BDAT, "^0$", (501, "5.5.4", "no"))),
    mutant("accepts RCPT after a chunk", "bdat-then-rcpt", do_RCPT=lambda self, argument: (lambda chunks: (setattr(self, "chunks", None), R.do_RCPT(self, argument), setattr(self, "chunks", chunks)))(self.chunks)),
    # AUTH
    mutant("accepts AUTH before EHLO", "login-before-ehlo", do_AUTH=lambda self, argument: (sets(hello=self.hello or "EHLO")(self), R.do_AUTH(self, argument))[1]),
    mutant("accepts AUTH within a transaction", "auth-within-a-transaction", do_AUTH=lambda self, argument: (sets(mail=False)(self), R.do_AUTH(self, argument))[1]),
    mutant("accepts AUTH twice", "login-twice", do_AUTH=lambda self, argument: (sets(user="")(self), R.do_AUTH(self, argument))[1]),
    mutant("forgets the login at RSET", "login-lasts", do_RSET=then(R.do_RSET, sets(user=""))),
    mutant("forgets the login at a message", "login-lasts-over-a-message", judge=then(R.judge, sets(user=""))),
    mutant("forgets the login at HELO", "login-lasts-over-helo", do_HELO=then(R.do_HELO, sets(user=""))),
    mutant("forgets the login at a refused EHLO", "login-lasts-over-a-refused-ehlo", do_EHLO=lambda self, argument: (setattr(self, "user", self.user if self.is_hello(argument) else ""), R.do_EHLO(self, argument))[1]),
    mutant("answers bad base64 with 535", "auth-bad-base64-no-alphabet", unbase64=_refused_base64),
    mutant("answers an unknown mechanism with 535", "auth-unknown-mechanism", do_AUTH=refuses(R.do_AUTH, "FROB", (535, "5.7.8", "no"))),
    mutant("answers a star with 535", "auth-cancelled", say=lambda self, code, status, *texts: R.say(self, *((535, "5.7.8") if texts == ("cancelled",) else (code, status)), *texts)),
    mutant("takes a star for a password", "auth-cancelled-late", response=lambda self, challenge, initial: R.response(self, challenge, initial) if challenge != "UGFzc3dvcmQ6" else _star_as_password(self, challenge)),
    mutant("accepts a star as a login", "auth-cancelled", unbase64=lambda self, text: "\0anna\0correct horse", response=lambda self, challenge, initial: "" if initial else (self.say(334, "", challenge), self.line(9999), "\0anna\0correct horse")[2]),
    mutant("skips octets outside of base64", "auth-strict-base64", unbase64=_lossy_base64),
    mutant("reads base64 of URLs", "auth-bad-base64-url-safe-alphabet", unbase64=_decodes(lambda text: text.replace("_", "/"))),
    mutant("adds the padding itself", "auth-base64-without-padding", unbase64=_decodes(lambda text: text + "=" * (-len(text) % 4))),
    mutant("ignores what follows padding", "auth-base64-and-more", unbase64=_decodes(lambda text: re.sub("(=+).*", r"\1", text))),
    mutant("ignores equals signs at the beginning", "auth-base64-after-an-equals-sign", unbase64=_decodes(lambda text: text.lstrip("="))),
    mutant("takes = for an empty response", "auth-bad-base64-by-login", unbase64=_decodes(lambda text: "" if text == "=" else text)),
    mutant("takes a star after AUTH for none", "auth-bad-initial-response", response=lambda self, challenge, initial: R.response(self, challenge, initial.strip("*"))),
    mutant("refuses AUTH after a star", "login-after-failures", say=lambda self, code, status, *texts: (R.say(self, code, status, *texts), setattr(self, "user", "nobody") if texts == ("cancelled",) else None)[0]),
    mutant("runs commands within an exchange", "auth-command-as-response", response=_commands_in_exchange),
    mutant("accepts any password", "auth-wrong-password", knows=lambda self, user, password: True),
    mutant("accepts passwords in any case", "auth-password-in-another-case", knows=lambda self, user, password: password.lower() == "correct horse"),
    mutant("accepts an empty password", "auth-password-empty", knows=lambda self, user, password: password in ("", "correct horse")),
    mutant("accepts the password of any user", "auth-password-of-another", knows=lambda self, user, password: password == "correct horse"),
    mutant("strips passwords", "auth-password-followed-by-a-blank", knows=lambda self, user, password: password.strip() == "correct horse"),
    mutant("ends a password at NUL", "auth-password-followed-by-a-nul", unbase64=lambda self, text: "\0".join(R.unbase64(self, text).split("\0")[:3])),
    mutant("asks known users only for a password", "auth-login-hides-users", do_AUTH=_asks_known_users_only),
    mutant("accepts any authorization identity", "auth-as-another", log_in=lambda self, user, password, identity: R.log_in(self, user, password, "")),
    mutant("accepts any authorization identity that begins with the user", "auth-as-another", log_in=lambda self, user, password, identity: R.log_in(self, user, password, "" if identity.startswith(user) else identity)),
    mutant("tells unknown users from wrong passwords", "auth-hides-users", log_in=lambda self, user, password, identity: R.log_in(self, user, password, identity) if user == "anna" else self.say(550, "5.1.1", "unknown user")),
    mutant("sends 334 without a space", "auth-empty-challenge", say=lambda self, code, status, *texts: self.send(b"334\r\n") if code == 334 and texts == ("",) else R.say(self, code, status, *texts)),
    mutant("answers a login with 250", "login", log_in=lambda self, user, password, identity: self.say(250, "2.7.0", "welcome")),
    mutant("knows mechanisms in upper case only", "login-in-any-case", do_AUTH=lambda self, argument: self.say(504, "5.5.4", "no") if argument[:5] == "pLaIn" else R.do_AUTH(self, argument)),
    mutant("lists no mechanism", "auth-lists-mechanisms", keywords=_changed_keyword("AUTH", "AUTH")),
    mutant("lists a mechanism in lower case", "auth-mechanism-names", keywords=_changed_keyword("AUTH", "AUTH plain login")),
    mutant("lists a mechanism that it does not know", "auth-offered-mechanisms", keywords=_OFFERS_CRAM),
    mutant("has the same challenge for all", "auth-cram-challenge", keywords=_OFFERS_CRAM, do_AUTH=_cram(same=True)),
    mutant("has a challenge without a host", "auth-cram-challenge", keywords=_OFFERS_CRAM, do_AUTH=_cram(form="{}")),
    mutant("takes an initial response of CRAM-MD5", "auth-cram-initial-response", keywords=_OFFERS_CRAM, do_AUTH=_cram(initial=True)),
    mutant("ignores a third argument of AUTH", "auth-with-three-arguments", do_AUTH=lambda self, argument: R.do_AUTH(self, " ".join(argument.split()[:2]))),
    mutant("sends a challenge of two lines", "challenges-are-base64", say=lambda self, code, status, *texts: R.say(self, code, status, *texts, *(texts if code == 334 else ()))),
    mutant("accepts an unknown mechanism", "auth-unknown-mechanism", do_AUTH=refuses(R.do_AUTH, "FROB", (235, "2.7.0", "welcome"))),
    mutant("refuses responses of 12 KiB with 500", "auth-long-response", auth_line_limit=4000),
    mutant("closes after a failed login", "auth-wrong-password", log_in=lambda self, user, password, identity: (R.log_in(self, user, password, identity), _closes(self) if password == "wrong" else None)[0]),
    mutant("answers a long response twice", "auth-response-too-long", do_AUTH=lambda self, argument: (R.do_AUTH(self, argument), self.say(500, "5.5.1", "unknown command"))[1] if argument == "PLAIN" else R.do_AUTH(self, argument)),
    mutant("refuses AUTH=<>", "auth-parameter", mail_parameters=lambda self: {**R.mail_parameters(self), "AUTH": "x"}),
    mutant("accepts AUTH without a value", "auth-parameter-bad-values", parameters=_drops("AUTH=")),
    # STARTTLS
    mutant("offers STARTTLS and refuses it", "starttls-works", tls=True, do_STARTTLS=says(502, "5.5.1")),
    mutant("accepts STARTTLS with an argument", "starttls-takes-no-argument", tls=True, do_STARTTLS=lambda self, argument: R.do_STARTTLS(self, "")),
    mutant("forgets the introduction at a refused STARTTLS", "refused-starttls-changes-nothing", tls=True, do_STARTTLS=then(sets(hello=""), R.do_STARTTLS)),
    mutant("drops the transaction at a refused STARTTLS", "refused-starttls-changes-nothing", tls=True, do_STARTTLS=lambda self, argument: (self.reset(), R.do_STARTTLS(self, argument))[1]),
    mutant("carries out plaintext under TLS", "starttls-injection-noop", tls=True, handshake=_injection),
    mutant("completes a command under TLS", "starttls-injection-half-a-command", tls=True, handshake=_injection),
    mutant("reads plaintext after 220", "plaintext-after-220", tls=True, handshake=_plaintext_after_220),
    mutant("goes on in plaintext after plaintext in place of a handshake", "plaintext-after-220", tls=True, handshake=_goes_on_in_plaintext()),
    mutant("goes on in plaintext after a malformed handshake", "plaintext-after-a-malformed-handshake", tls=True, handshake=_goes_on_in_plaintext()),
    mutant("goes on in plaintext after an alert", "plaintext-after-an-alert", tls=True, handshake=_goes_on_in_plaintext()),
    mutant("goes on in plaintext after no handshake", "plaintext-after-no-handshake", tls=True, handshake=_goes_on_in_plaintext()),
    mutant("answers a failed handshake with 454, and goes on", "plaintext-after-a-malformed-handshake", tls=True, handshake=_goes_on_in_plaintext(announces=True)),
    mutant("keeps the introduction over TLS", "introduction-ends-with-tls", tls=True, handshake=_keeps_state_over_tls("hello")),
    mutant("keeps the transaction over TLS", "transaction-ends-with-tls", tls=True, do_STARTTLS=_starttls_in_transaction, handshake=_keeps_state_over_tls("hello", "mail", "recipients")),
    mutant("keeps the sender over TLS", "sender-ends-with-tls", tls=True, do_STARTTLS=_starttls_in_transaction, handshake=_keeps_state_over_tls("hello", "mail")),
    mutant("greets again under TLS", "no-greeting-under-tls", tls=True, handshake=_greets_again),
    mutant("offers STARTTLS under TLS", "starttls-is-not-offered-under-tls", tls=True, keywords=lambda self: [*R.keywords(self), *(["STARTTLS"] if self.tls else [])]),
    mutant("accepts STARTTLS twice", "starttls-under-tls", tls=True, do_STARTTLS=lambda self, argument: self.say(220, "2.0.0", "mx.example.com") if self.tls else R.do_STARTTLS(self, argument)),
    mutant("offers PLAIN in plaintext beside STARTTLS", "auth-in-the-clear", tls=True, mechanisms=lambda self: ["PLAIN"]),
    mutant("accepts PLAIN in plaintext without offering it", "auth-refused-in-the-clear", tls=True, do_AUTH=lambda self, argument: self.say(334, "", "") or R.do_AUTH(self, argument)),
    mutant("keeps the login over TLS", "login-before-tls", tls=True, mechanisms=lambda self: ["PLAIN"], handshake=_keeps_state_over_tls("user")),
)  # fmt: skip
