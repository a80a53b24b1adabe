"""Clients that each break one rule: a name, the check that catches it, the server that shows it, what differs."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

from smtpcore._check.client.certificates import AUTHORITY_PEM

MESSAGE = b"From: <anna@client.example>\r\nSubject: dots\r\n\r\n.\r\n.hidden\r\nQUIT\r\nlast\r\n"


class GiveUp(Exception):
    """The client does not go on with its message."""


class Simple:
    """A careful client, one method for each decision; a mutant replaces some."""

    hello = b"client.example"
    sender = b"anna@client.example"
    recipients: tuple[bytes, ...] = (b"bert@server.example", b"carla@server.example")
    message = MESSAGE
    login = False

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.peer = host, port
        self.sock: socket.socket = socket.create_connection(self.peer, 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.offered: dict[bytes, list[bytes]] = {}
        self.tls = False
        self.accepted = 0

    # -- lines --

    def send(self, line: bytes) -> None:
        self.sock.sendall(line + b"\r\n")

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            octets = self.sock.recv(4096)
            if not octets:
                raise ConnectionError
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def reply(self) -> tuple[int, list[bytes]]:
        lines = []
        while True:
            line = self.line()
            lines.append(line[4:])
            if line[3:4] != b"-":
                break
        if line[:3] == b"421":
            self.closing()
        return int(line[:3]), lines

    def closing(self) -> None:
        raise ConnectionError

    def command(self, line: bytes) -> int:
        self.send(line)
        return self.reply()[0]

    # -- the session --

    def run(self) -> None:
        try:
            self.start()
            if self.reply()[0] // 100 != 2:
                self.refused_greeting()
            self.introduce()
            if b"STARTTLS" in self.offered:
                self.start_tls()
            if self.login and b"PLAIN" in self.offered.get(b"AUTH", []):
                self.authenticate()
            self.deliver()
            self.quit()
        except GiveUp:
            with contextlib.suppress(OSError):
                self.quit()
        except OSError:
            pass
        finally:
            self.sock.close()

    def start(self) -> None:
        pass

    def refused_greeting(self) -> None:
        raise GiveUp

    def introduce(self) -> None:
        self.send(b"EHLO " + self.hello)
        code, lines = self.reply()
        if code == 250:
            words = [line.upper().split() for line in lines[1:]]
            self.offered = {word[0]: word[1:] for word in words if word}
        elif self.command(b"HELO " + self.hello) != 250:
            raise GiveUp

    def start_tls(self) -> None:
        if self.command(b"STARTTLS") != 220:
            raise GiveUp
        self.handshake()
        self.introduce()

    def handshake(self) -> None:
        self.buffer = b""
        self.sock = self.trust().wrap_socket(self.sock, server_hostname=self.host)
        self.tls = True
        self.offered = {}

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=AUTHORITY_PEM)

    def authenticate(self) -> None:
        code = self.command(b"AUTH PLAIN " + base64.b64encode(b"\0anna\0secret"))
        if code == 334:
            code = self.challenged()
        if code != 235:
            raise GiveUp

    def challenged(self) -> int:
        return self.command(b"*")

    def quit(self) -> None:
        self.command(b"QUIT")

    # -- the message --

    def parameters(self) -> bytes:
        words = b""
        if b"SIZE" in self.offered:
            words += b" SIZE=%d" % len(self.message)
        if b"8BITMIME" in self.offered and not self.message.isascii():
            words += b" BODY=8BITMIME"
        return words

    def deliver(self) -> None:
        limit = self.offered.get(b"SIZE", [b"0"])[:1] or [b"0"]
        if 0 < int(limit[0]) < len(self.message):
            raise GiveUp
        if b"CHUNKING" in self.offered:
            return self.deliver_chunk()
        self.mail()
        self.rcpt()
        if not self.accepted:
            self.no_recipient()
        if self.command(b"DATA") != 354:
            return self.refused_data()
        return self.content()

    def mail(self) -> None:
        if self.command(b"MAIL FROM:<" + self.sender + b">" + self.parameters()) // 100 != 2:
            self.refused_mail()

    def refused_mail(self) -> None:
        raise GiveUp

    def rcpt(self) -> None:
        for recipient in self.recipients:
            self.accepted += self.command(b"RCPT TO:<" + recipient + b">") // 100 == 2

    def no_recipient(self) -> None:
        raise GiveUp

    def refused_data(self) -> None:
        raise GiveUp

    def stuffed(self) -> bytes:
        return re.sub(rb"(?m)^\.", b"..", self.message)

    def content(self) -> None:
        self.sock.sendall(self.stuffed() + b".\r\n")
        self.verdict(self.reply()[0])

    def verdict(self, code: int) -> None:
        pass

    def deliver_chunk(self) -> None:
        self.mail()
        self.rcpt()
        if not self.accepted:
            raise GiveUp
        self.chunk(self.message)

    def chunk(self, octets: bytes) -> None:
        self.sock.sendall(b"BDAT %d LAST\r\n" % len(octets) + octets)
        self.reply()


class ClientMutant(NamedTuple):
    """A client that breaks a rule.

    Attributes:
        name: What it does wrong.
        check: The check that catches it, without ``client-``.
        scenario: The server that shows it, or two by a space.
        changes: What it replaces.
        permitted: Whether it only does what an RFC does not recommend.
        demands_tls: Whether it was set up to demand TLS.
    """

    name: str
    check: str
    scenario: str
    changes: dict[str, Any]
    permitted: bool = False
    demands_tls: bool = False

    @property
    def client(self) -> type[Simple]:
        return type("Mutated", (Simple,), self.changes)


def mutant(name: str, check: str, scenario: str = "accepting", **changes: Any) -> ClientMutant:
    return ClientMutant(name, check, scenario, changes)


def lenient(name: str, check: str, scenario: str = "accepting", **changes: Any) -> ClientMutant:
    return ClientMutant(name, check, scenario, changes, True)


def demanding(name: str, check: str, scenario: str = "accepting", **changes: Any) -> ClientMutant:
    return ClientMutant(name, check, scenario, changes, demands_tls=True)


def _group(*lines: bytes, replies: int) -> Callable[[Any], None]:
    """The message is sent by these lines in one write, and the replies are read after."""

    def deliver(self: Any) -> None:
        self.sock.sendall(b"\r\n".join(lines) + b"\r\n")
        for _ in range(replies):
            self.reply()

    return deliver


_MAIL, _RCPT = b"MAIL FROM:<anna@client.example>", b"RCPT TO:<bert@server.example>"


def _everything_at_once(self: Any) -> None:
    self.sock.sendall(b"\r\n".join((_MAIL, _RCPT, b"DATA", self.stuffed())) + b".\r\n")
    for _ in range(4):
        self.reply()


def _goes_on(self: Any, *ignored: Any) -> None:
    return None


def _content_anyway(self: Any) -> None:
    self.sock.sendall(self.stuffed() + b".\r\n")
    self.reply()


def _data_anyway(self: Any) -> None:
    if self.command(b"DATA") == 354:
        self.content()
    raise GiveUp


def _twice(self: Any) -> None:
    Simple.deliver(self)
    self.accepted = 0
    Simple.deliver(self)


def _remembers(self: Any) -> None:
    offered = self.offered
    Simple.handshake(self)
    self.introduce = lambda: (Simple.introduce(self), self.offered.update(offered))


def _keeps_buffer(self: Any) -> None:
    kept = self.buffer
    if b"\r\n" not in kept:
        with contextlib.suppress(OSError):
            self.sock.settimeout(0.1)
            kept += self.sock.recv(4096)
    self.sock.settimeout(10)
    Simple.handshake(self)
    self.buffer = kept


def _reads_plaintext(self: Any) -> None:
    """Reads from the socket in large pieces, and keeps what comes after the 220."""
    if self.command(b"STARTTLS") != 220:
        raise GiveUp
    _keeps_buffer(self)
    self.introduce()


def _closes(self: Any) -> None:
    raise ConnectionError


def _two_commands_under_421(self: Any) -> None:
    """Takes 421 for any other refusal."""


def _strict_codes(self: Any, line: bytes) -> int:
    self.send(line)
    code, _ = self.reply()
    if line[:4] in (b"MAIL", b"RCPT") and code != 250:
        raise GiveUp
    return code


def _single_line(self: Any) -> tuple[int, list[bytes]]:
    code, lines = Simple.reply(self)
    if len(lines) > 1 and code in (220, 354):
        raise GiveUp
    return code, lines


def _login_in_transaction(self: Any) -> None:
    Simple.mail(self)
    self.authenticate()


def _first_line_of_ehlo(self: Any) -> None:
    self.send(b"EHLO " + self.hello)
    self.offered = {line.upper().split()[0]: [] for line in self.reply()[1]}


def _keywords_anywhere(self: Any) -> None:
    self.send(b"EHLO " + self.hello)
    text = b" ".join(self.reply()[1])
    self.offered = {word: [] for word in (b"CHUNKING", b"PIPELINING") if word in text}


def _upper_case_keywords(self: Any) -> None:
    self.send(b"EHLO " + self.hello)
    self.offered = {line.split()[0]: line.split()[1:] for line in self.reply()[1] if line.isupper()}


def _ignores_refusals(self: Any) -> None:
    self.command(b"EHLO " + self.hello)


def _chunk_in_a_group(self: Any) -> None:
    lines = b"".join((_MAIL, b"\r\n", _RCPT, b"\r\nBDAT %d LAST\r\n" % len(self.message)))
    self.sock.sendall(lines + self.message)
    for _ in range(3):
        self.reply()


def _data_after_a_chunk(self: Any, octets: bytes) -> None:
    self.sock.sendall(b"BDAT %d\r\n" % len(octets) + octets)
    self.reply()
    if self.command(b"DATA") == 354:
        self.content()


def _limited_lines(most: int) -> Callable[[Any], tuple[int, list[bytes]]]:
    """Gives up at a reply line that is longer."""

    def reply(self: Any) -> tuple[int, list[bytes]]:
        code, lines = Simple.reply(self)
        if any(len(line) > most for line in lines):
            raise ConnectionError
        return code, lines

    return reply


def _few_lines(self: Any) -> tuple[int, list[bytes]]:
    code, lines = Simple.reply(self)
    if len(lines) > 20:
        raise ConnectionError
    return code, lines


def _ascii_replies(self: Any) -> tuple[int, list[bytes]]:
    code, lines = Simple.reply(self)
    if not b"".join(lines).isascii():
        raise ConnectionError
    return code, lines


def _codes_in_texts(self: Any) -> tuple[int, list[bytes]]:
    code, lines = Simple.reply(self)
    return (550 if any(line.startswith(b"550") for line in lines) else code), lines


def _one_line(self: Any) -> tuple[int, list[bytes]]:
    """The next line of the server, taken for a reply."""
    line = self.line()
    return int(line[:3]), [line[4:]]


def _counts_lines(self: Any) -> None:
    self.sock.sendall(b"\r\n".join((_MAIL, _RCPT, b"DATA")) + b"\r\n")
    codes = [_one_line(self)[0] for _ in range(3)]
    if codes[-1] == 354:
        self.content()


def _only_for_good(self: Any) -> None:
    if self.command(b"MAIL FROM:<" + self.sender + b">") // 100 == 5:
        raise GiveUp


def _deferred_recipients_count(self: Any) -> None:
    for recipient in self.recipients:
        self.accepted += self.command(b"RCPT TO:<" + recipient + b">") // 100 != 5


def _again(self: Any, code: int) -> None:
    if code // 100 == 4 and not self.tried:
        self.tried = True
        self.deliver()


def _data_by_250(self: Any) -> None:
    self.mail()
    self.rcpt()
    if self.command(b"DATA") in (250, 354):
        self.content()


def _logs_in_first(self: Any) -> None:
    self.authenticate()
    Simple.start_tls(self)


def _connects_again(self: Any) -> None:
    host, port = self.sock.getpeername()
    self.sock.close()
    for _ in range(7):
        Simple(host, port).run()


def _stops_within_the_content(self: Any) -> None:
    self.sock.sendall(self.stuffed())
    raise ConnectionError


def _delivers_again(self: Any) -> None:
    Simple.quit(self)
    Simple(*self.peer).run()


def _minds_odd_keywords(self: Any) -> None:
    self.send(b"EHLO " + self.hello)
    if any(not re.fullmatch(rb"[A-Za-z0-9][A-Za-z0-9-]*(?: [!-~]+)*", line) for line in self.reply()[1]):
        raise GiveUp


def _logs_in_at_once(self: Any) -> None:
    self.command(b"AUTH LOGIN")
    self.sock.sendall(b"YW5uYQ==\r\nc2VjcmV0\r\n")
    for _ in range(2):
        self.reply()


def _lenient_about(**changes: Any) -> Callable[[Any], ssl.SSLContext]:
    """Verifies certificates but for some attributes of the context."""

    def trust(self: Any) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=AUTHORITY_PEM)
        for name, value in changes.items():
            setattr(context, name, value)
        return context

    return trust


_ANY_NAME = _lenient_about(check_hostname=False)
_ANY_DATE = _lenient_about(verify_flags=0x20_0000)  # X509_V_FLAG_NO_CHECK_TIME
_ANY_ISSUER = _lenient_about(check_hostname=False, verify_mode=ssl.CERT_NONE)


def _goes_on_in_plaintext(self: Any) -> None:
    plaintext = self.sock.dup()
    try:
        Simple.handshake(self)
    except OSError:
        self.sock, self.offered = plaintext, {}


def _speaks_in_plaintext(self: Any) -> None:
    plaintext = self.sock.dup()
    try:
        Simple.handshake(self)
    except OSError:
        with plaintext:
            plaintext.sendall(b"EHLO client.example\r\n")
        raise


def _waits_for_plaintext(self: Any) -> None:
    """Takes the plaintext in place of a handshake for a reply."""
    self.sock.sendall(b"\x16\x03\x01\0\1\0")
    self.reply()
    self.offered = {}


def _in_plaintext_again(login: bool) -> Callable[[Any], None]:
    """After a handshake that failed, the client connects again, and uses no TLS."""

    def handshake(self: Any) -> None:
        try:
            Simple.handshake(self)
        except OSError:
            again = Simple(*self.peer)
            again.start_tls = lambda: None  # type: ignore[method-assign]
            again.login = login
            again.run()
            raise

    return handshake


_OCTETS = MESSAGE + "Grüße\r\n".encode()

MUTANTS = (
    mutant("speaks before the greeting", "waits-for-the-greeting", start=lambda self: self.send(b"NOOP")),
    mutant("ends commands with LF", "commands-end-in-crlf", send=lambda self, line: self.sock.sendall(line + b"\n")),
    mutant("sends a CR within a command", "commands-end-in-crlf", hello=b"client\r.example"),
    mutant("sends a command of 600 octets", "commands-are-short", hello=b"a." * 300 + b"example"),
    mutant("sends a control character", "commands-are-ascii", sender=b"anna\x07@client.example"),
    mutant("sends UTF-8 without SMTPUTF8", "commands-are-ascii", sender="änna@client.example".encode()),
    mutant("does not declare a UTF-8 address", "utf8-is-declared", "smtputf8", sender="änna@client.example".encode()),
    lenient("declares SMTPUTF8 always", "utf8-is-not-declared-needlessly", "smtputf8", parameters=lambda self: b" SMTPUTF8"),
    mutant("sends no EHLO", "introduces-itself", introduce=_goes_on),
    mutant("names itself by an underscore", "names-itself", hello=b"my_host"),
    mutant("names itself by an address without brackets", "names-itself", hello=b"::1"),
    mutant("names itself by three numbers in brackets", "names-itself", hello=b"[192.0.2]"),
    mutant("names itself by nothing", "names-itself", hello=b""),
    mutant("adds words to EHLO", "names-itself", hello=b"client.example and more"),
    mutant("writes two blanks after EHLO", "names-itself", hello=b" client.example"),
    mutant("names itself by an IPv4 address without brackets", "names-itself", hello=b"192.0.2.1"),
    mutant("names itself by a label of 64 octets", "names-itself", hello=b"a" * 64 + b".example"),
    lenient("names itself by one label", "names-itself-in-full", hello=b"laptop"),
    lenient("begins with HELO", "begins-with-ehlo", introduce=lambda self: self.command(b"HELO " + self.hello)),
    mutant("goes on after a refused EHLO", "introduces-itself", "refusing-the-introduction", introduce=_ignores_refusals),
    mutant("takes the first line of EHLO for a keyword", "uses-what-is-offered", "size-zero", introduce=_first_line_of_ehlo),
    mutant("looks for keywords anywhere", "uses-what-is-offered", "look-alikes", introduce=_keywords_anywhere),
    mutant("knows keywords in upper case only", "reads-keywords-in-any-case", "accepting talkative", introduce=_upper_case_keywords),
    mutant("sends an initial response of 700 octets", "commands-are-short", "auth", login=True, authenticate=lambda self: self.command(b"AUTH PLAIN " + b"AAAA" * 175)),
    mutant("sends parameters after HELO", "uses-nothing-after-helo", "without-ehlo", parameters=lambda self: b" SIZE=10"),
    mutant("sends SIZE where it is not offered", "uses-what-is-offered", "without-extensions", parameters=lambda self: b" SIZE=10"),
    mutant("sends BODY where it is not offered", "uses-what-is-offered", "without-extensions", parameters=lambda self: b" BODY=8BITMIME"),
    mutant("sends BDAT where it is not offered", "uses-what-is-offered", deliver=Simple.deliver_chunk),
    mutant("declares BINARYMIME where it is not offered", "uses-what-is-offered", parameters=lambda self: b" BODY=BINARYMIME"),
    mutant("sends STARTTLS where it is not offered", "uses-what-is-offered", deliver=lambda self: self.command(b"STARTTLS")),
    mutant("writes a blank after the colon", "writes-paths", mail=lambda self: self.command(b"MAIL FROM: <anna@client.example>")),
    mutant("writes no brackets", "writes-paths", mail=lambda self: self.command(b"MAIL FROM:anna@client.example")),
    mutant("writes a display name", "writes-paths", sender=b"Anna <anna@client.example>"),
    mutant("writes a malformed mailbox", "writes-paths", recipients=(b"bert..b@server.example",)),
    mutant("writes an empty recipient", "writes-paths", recipients=(b"",)),
    mutant("writes a source route", "writes-paths", recipients=(b"@relay.example:bert@server.example",)),
    mutant("sends QUIT with an argument", "sends-bare-commands", quit=lambda self: self.command(b"QUIT now")),
    mutant("sends DATA with a blank", "sends-bare-commands", command=lambda self, line: Simple.command(self, line + b" " if line == b"DATA" else line)),
    mutant("sends an unknown command", "sends-known-commands", deliver=lambda self: self.command(b"HELLO there")),
    mutant("sends MAIL twice", "keeps-the-order", mail=lambda self: (Simple.mail(self), Simple.mail(self))[0]),
    mutant("sends RCPT before MAIL", "keeps-the-order", mail=lambda self: (self.rcpt(), Simple.mail(self))[0]),
    mutant("pipelines without PIPELINING", "waits-for-replies", "without-pipelining", deliver=_group(_MAIL, _RCPT, replies=2)),
    mutant("pipelines after DATA", "ends-groups-properly", deliver=_group(_MAIL, b"NOOP", b"RSET", replies=3)),
    mutant("pipelines after EHLO", "waits-for-replies", "without-pipelining", introduce=lambda self: (self.sock.sendall(b"EHLO client.example\r\n" + _MAIL + b"\r\n"), self.reply(), self.reply())[0]),
    mutant("reads the first line of a reply", "waits-for-replies", "without-pipelining", reply=_one_line),
    mutant("sends a chunk with the recipients", "waits-before-chunks", "chunking", deliver_chunk=_chunk_in_a_group),
    mutant("sends everything at once", "waits-for-354", deliver=_everything_at_once),
    mutant("sends content after a refused DATA", "waits-for-354", "refusing-data", refused_data=_content_anyway),
    mutant("closes without QUIT", "ends-with-quit", quit=_closes),
    mutant("sends a command after QUIT", "nothing-after-quit", quit=lambda self: (self.sock.sendall(b"QUIT\r\nNOOP\r\n"), self.reply())[0]),
    mutant("writes a size with a unit", "writes-parameters", parameters=lambda self: b" SIZE=1k"),
    mutant("writes a parameter twice", "writes-parameters", parameters=lambda self: b" SIZE=10 SIZE=10"),
    # content
    mutant("sends bare LF", "content-lines-end-in-crlf", stuffed=lambda self: Simple.stuffed(self).replace(b"last\r\n", b"last\n")[:-1] + b"\n\r\n"),
    mutant("sends a lone CR", "content-lines-end-in-crlf", message=b"Subject: cr\r\n\r\na\rb\r\n"),
    mutant("ends the content by LF, dot, LF", "content-lines-end-in-crlf", content=lambda self: (self.sock.sendall(b"Subject: x\r\n\r\ntext\n.\n"), self.reply())[0]),
    mutant("does not double dots", "dots-are-doubled", stuffed=lambda self: self.message.replace(b"\r\n.\r\n", b"\r\n..\r\n")),
    mutant("does not double a dot at the beginning", "dots-are-doubled", message=b".first\r\nlast\r\n", stuffed=lambda self: self.message.replace(b"\r\n.", b"\r\n..")),
    mutant("closes without the reply to the content", "ends-with-quit", content=lambda self: (self.sock.sendall(self.stuffed() + b".\r\n"), _closes(self))[0]),
    mutant("does not double a dot alone", "content-is-whole", stuffed=lambda self: self.message),
    mutant("sends lines of 2000 octets", "content-lines-are-short", message=b"Subject: long\r\n\r\n" + b"x" * 2000 + b"\r\n"),
    mutant("sends eight bits where 8BITMIME is not offered", "eight-bits-need-the-extension", "without-extensions", message=_OCTETS),
    mutant("does not declare eight bits", "eight-bits-are-declared", message=_OCTETS, parameters=lambda self: b""),
    mutant("sends UTF-8 in the header", "eight-bit-headers-are-declared", message="Subject: Grüße\r\n\r\ntext\r\n".encode()),
    mutant("closes within its content", "sends-a-message", content=_stops_within_the_content),
    mutant("sends NUL", "content-has-no-nul", message=b"Subject: nul\r\n\r\na\0b\r\n"),
    mutant("sends content without recipients", "content-needs-recipients", "granting-without-recipients", no_recipient=_data_anyway),
    mutant("declares a small size", "size-is-true", message=MESSAGE + b"x" * 900 + b"\r\n", parameters=lambda self: b" SIZE=10"),
    mutant("adds the final dot to a chunk", "chunks-have-no-dots", "chunking", deliver_chunk=lambda self: (self.mail(), self.rcpt(), self.chunk(self.message + b".\r\n"))[0]),
    mutant("doubles dots in a chunk", "chunks-hold-the-content", "accepting chunking", chunk=lambda self, octets: Simple.chunk(self, self.stuffed())),
    mutant("sends more than the size of a chunk", "chunk-sizes-are-true", "chunking", chunk=lambda self, octets: (self.sock.sendall(b"BDAT %d LAST\r\n" % (len(octets) - 6) + octets), self.reply())[0]),
    mutant("sends a chunk after a refused one", "no-chunk-after-a-refusal", "refusing-chunks", chunk=lambda self, octets: (Simple.chunk(self, octets), Simple.chunk(self, octets))[0]),
    mutant("sends DATA after a chunk", "no-data-after-a-chunk", "chunking", chunk=_data_after_a_chunk),
    mutant("sends DATA after a refused chunk", "no-chunk-after-a-refusal", "refusing-chunks", chunk=_data_after_a_chunk),
    # reactions
    mutant("needs an extension", "needs-no-extension", "without-extensions", deliver=lambda self: Simple.deliver(self) if self.offered else None),
    mutant("reads one line of each reply", "understands-lines", "talkative", reply=_single_line),
    mutant("knows 250 only", "understands-codes", "other-codes", command=_strict_codes),
    mutant("looks for a code in the text", "understands-lines", "talkative", reply=_codes_in_texts),
    mutant("counts lines for replies", "understands-lines", "talkative", deliver=_counts_lines),
    mutant("has room for lines of 256 octets", "understands-long-replies", "long-winded", reply=_limited_lines(256)),
    mutant("has room for replies of 20 lines", "understands-long-replies", "long-winded", reply=_few_lines),
    lenient("reads ASCII only", "understands-foreign-text", "foreign", reply=_ascii_replies),
    mutant("takes SIZE 0 for no room", "understands-size-zero", "size-zero", deliver=lambda self: None if b"0" in self.offered.get(b"SIZE", []) else Simple.deliver(self)),
    mutant("sends its message twice", "sends-once", deliver=_twice),
    mutant("sends its message again on another connection", "sends-once", quit=_delivers_again),
    mutant("does not wait for a slow reply", "waits-for-slow-replies", "slow", start=lambda self: self.sock.settimeout(0.3)),
    lenient("minds odd keywords", "understands-odd-keywords", "with-odd-keywords", introduce=_minds_odd_keywords),
    mutant("sends the user and the password at once", "waits-for-challenges", "auth", login=True, authenticate=_logs_in_at_once),
    lenient("sends EHLO again and again", "does-not-insist", "without-ehlo", introduce=lambda self: [self.command(b"EHLO " + self.hello) for _ in range(8)]),
    lenient("names a refused recipient again and again", "does-not-insist", "refusing-recipients", recipients=(b"bert@server.example",) * 8),
    mutant("goes on after 554 as greeting", "accepts-a-refusal", "refusing", refused_greeting=_goes_on),
    mutant("goes on after 421 as greeting", "accepts-a-busy-server", "busy", closing=_goes_on, refused_greeting=_goes_on),
    mutant("goes on after 421", "gives-up-after-421", "closing-at-mail", closing=_goes_on, refused_mail=_goes_on),
    mutant("goes on after a refused MAIL", "accepts-a-refused-sender", "refusing-the-sender", refused_mail=_goes_on),
    mutant("goes on after 421 to EHLO", "gives-up-after-421", "closing-at-ehlo", closing=_goes_on),
    mutant("goes on after 421 to DATA", "gives-up-after-421", "closing-at-data", closing=_goes_on, refused_data=lambda self: self.command(b"NOOP")),
    mutant("goes on after a deferred MAIL", "accepts-a-refused-sender", "deferring-the-sender", mail=_only_for_good),
    mutant("counts deferred recipients as accepted", "accepts-refused-recipients", "deferring-recipients", rcpt=_deferred_recipients_count),
    mutant("sends content after 554 to DATA", "accepts-refused-data", "refusing-data-for-good", refused_data=_content_anyway),
    mutant("sends content after 250 to DATA", "accepts-refused-data", "granting-no-data", deliver=_data_by_250),
    mutant("sends deferred content again at once", "accepts-refused-content", "deferring-the-content", tried=False, verdict=_again),
    lenient("connects again and again", "does-not-insist", "refusing", run=_connects_again),
    mutant("sends DATA without recipients", "accepts-refused-recipients", "refusing-recipients", no_recipient=_goes_on),
    mutant("answers 354 without recipients by content", "answers-354-by-a-dot", "granting-without-recipients", no_recipient=_data_anyway),
    mutant("gives up when one recipient is refused", "sends-to-those-accepted", "refusing-the-first-recipient", deliver=lambda self: (self.mail(), self.rcpt(), self.command(b"RSET"))[0]),
    mutant("sends refused content again", "accepts-refused-content", "refusing-the-content", deliver=_twice),
    mutant("sends no EHLO under TLS", "starts-over-under-tls", "starttls", introduce=lambda self: None if self.tls else Simple.introduce(self)),
    mutant("remembers what was offered before TLS", "forgets-what-was-offered", "starttls-offers-more", handshake=_remembers),
    mutant("sends STARTTLS twice", "starttls-once", "starttls", deliver=lambda self: self.command(b"STARTTLS")),
    mutant("pipelines after STARTTLS", "nothing-follows-starttls", "starttls-later", start_tls=lambda self: (self.sock.sendall(b"STARTTLS\r\nEHLO client.example\r\n"), self.reply(), self.reply())[0]),
    mutant("sends EHLO in plaintext after 220", "begins-a-handshake", "starttls", start_tls=lambda self: (self.command(b"STARTTLS"), self.introduce())[0]),
    mutant("takes injected plaintext for a reply", "refuses-injected-replies", "starttls-injection", start_tls=_reads_plaintext),
    mutant("logs in in plaintext", "hides-the-password", "starttls-later", start_tls=lambda self: (self.command(b"STARTTLS"), self.command(b"AUTH PLAIN AGEAYg=="))[0]),
    mutant("logs in before it starts TLS", "hides-the-password", "starttls", start_tls=_logs_in_first),
    mutant("goes on in plaintext after a refused handshake", "ends-after-a-failed-handshake", "refusing-the-handshake", handshake=_goes_on_in_plaintext),
    mutant("goes on in plaintext after a bad certificate", "ends-after-a-failed-handshake", "expired", handshake=_speaks_in_plaintext),
    mutant("takes plaintext in place of a handshake for a reply", "ends-after-a-failed-handshake", "without-a-handshake", handshake=_waits_for_plaintext),
    mutant("connects again in plaintext, and logs in", "hides-the-password", "untrusted", handshake=_in_plaintext_again(True)),
    mutant("logs in in plaintext after a refused handshake", "hides-the-password", "refusing-the-handshake", login=True, handshake=_goes_on_in_plaintext),
    mutant("logs in whatever the name", "verifies-names", "starttls with-another-name", login=True, trust=_ANY_NAME),
    mutant("logs in whatever the date", "verifies-dates", "starttls expired", login=True, trust=_ANY_DATE),
    mutant("logs in whatever the issuer", "verifies-issuers", "untrusted", login=True, trust=_ANY_ISSUER),
    lenient("sends mail whatever the name", "verifies-names", "starttls with-another-name", trust=_ANY_NAME),
    lenient("sends mail whatever the date", "verifies-dates", "starttls expired", trust=_ANY_DATE),
    lenient("sends mail whatever the issuer", "verifies-issuers", "untrusted", trust=_ANY_ISSUER),
    lenient("sends mail in plaintext after 454", "demands-tls", "starttls-later", start_tls=lambda self: self.command(b"STARTTLS")),
    lenient("connects again in plaintext", "demands-tls", "expired", handshake=_in_plaintext_again(False)),
    lenient("logs in in plaintext where TLS is not offered", "hides-the-password-without-starttls", "auth", login=True),
    demanding("demands TLS of any name", "verifies-names", "starttls with-another-name", trust=_ANY_NAME),
    demanding("demands TLS of any issuer", "verifies-issuers", "untrusted", trust=_ANY_ISSUER),
    demanding("demands TLS, and not after 454", "demands-tls", "starttls-later", start_tls=lambda self: self.command(b"STARTTLS")),
    demanding("demands TLS, and connects again in plaintext", "demands-tls", "untrusted", handshake=_in_plaintext_again(False)),
    demanding("demands TLS only where it is offered", "demands-starttls", "auth"),
    demanding("demands TLS for mail only", "demands-starttls", "auth", login=True, deliver=lambda self: None),
    mutant("writes bad base64", "writes-base64", "auth", login=True, authenticate=lambda self: self.command(b"AUTH PLAIN anna:secret")),
    mutant("uses a mechanism that is not offered", "uses-offered-mechanisms", "auth", login=True, authenticate=lambda self: self.command(b"AUTH XOAUTH2 eA==")),
    mutant("uses PLAIN whatever is offered", "uses-offered-mechanisms", "auth-by-something-else", deliver=lambda self: self.authenticate()),
    mutant("answers a bad challenge", "cancels-a-bad-challenge", "auth-with-a-bad-challenge", login=True, challenged=lambda self: self.command(b"AA==")),
    lenient("logs in again and again", "does-not-insist", "refusing-auth", deliver=lambda self: [self.command(b"AUTH PLAIN AGEAYg==") for _ in range(8)]),
    mutant("logs in twice", "authenticates-once", "auth", login=True, authenticate=lambda self: (Simple.authenticate(self), Simple.authenticate(self))[0]),
    mutant("logs in within a transaction", "authenticates-once", "auth", mail=_login_in_transaction),
)  # fmt: skip
