"""A deliberately simple server that follows the RFCs, with a method for each decision: a mutant is a few lines.

It is slow, blocking, and forgets messages. The check has to find nothing in it.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[0-9]{1,2})"
IPV6 = r"IPv6:(?=[^\]]*::|(?:[^\]:]*:){7})[0-9A-Fa-f:.]+"
DOMAIN = rf"(?:{LABEL}(?:\.{LABEL})*|\[(?:{OCTET}(?:\.{OCTET}){{3}}|{IPV6})\])"
MAILBOX = rf"(?:{ATOM}(?:\.{ATOM})*|{QUOTED})@{DOMAIN}"
PATH = rf"(?:@{DOMAIN}(?:,@{DOMAIN})*:)?{MAILBOX}"
UTF8 = r"[^\x00-\x7f]"
USER, PASSWORD = "anna", "correct horse"


class Gone(Exception):
    """The client has gone, or the session is over."""


class Reference:
    """A session with a client.

    Args:
        sock: The connection.
        context: For STARTTLS.
    """

    limit = 200_000
    chunks_limit = limit
    line_limit = 2048
    auth_line_limit = 12288

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.context = context
        self.buffer = b""
        self.tls = False
        self.hello = ""
        self.user = ""
        self.failures = 0
        self.reset()

    def reset(self) -> None:
        self.mail = False
        self.utf8 = False
        self.binary = False
        self.sender = ""
        self.recipients: list[str] = []
        self.chunks: bytes | None = None

    # -- octets --

    def fill(self) -> None:
        try:
            octets = self.sock.recv(65536)
        except OSError:
            octets = b""
        if not octets:
            raise Gone
        self.buffer += octets

    def find_line_end(self) -> tuple[int, int]:
        """Where the first line ends, and where the next begins; -1 if it has not ended."""
        at = self.buffer.find(b"\r\n")
        return at, at + 2

    def line(self, limit: int) -> bytes | None:
        """The next line without its end; None for one that was too long."""
        too_long = False
        while (found := self.find_line_end())[0] < 0:
            if len(self.buffer) > limit:
                too_long = True
                self.buffer = self.buffer[-1:]
            self.fill()
        line, self.buffer = self.buffer[: found[0]], self.buffer[found[1] :]
        return None if too_long or len(line) > limit else line

    def send(self, octets: bytes) -> None:
        try:
            self.sock.sendall(octets)
        except OSError:
            raise Gone from None

    def say(self, code: int, status: str, *texts: str) -> None:
        """A reply; a status is written as 2.0.0, "" for none."""
        words = [" ".join(filter(None, (status, text))) for text in texts]
        last = len(words) - 1
        self.send_reply([f"{code}{' ' if at == last else '-'}{text}\r\n" for at, text in enumerate(words)])

    def send_reply(self, lines: list[str]) -> None:
        self.send("".join(lines).encode("ascii", "backslashreplace"))

    # -- the session --

    def run(self) -> None:
        try:
            self.greet()
            while True:
                line = self.line(self.line_limit)
                if line is None:
                    self.say(500, "5.5.2", "line too long")
                else:
                    self.command(line)
        except Gone:
            pass
        finally:
            with contextlib.suppress(OSError):
                if isinstance(self.sock, ssl.SSLSocket):
                    self.sock.settimeout(1)
                    self.sock = self.sock.unwrap()
            self.sock.close()

    def greet(self) -> None:
        self.say(220, "", "mx.example.com ESMTP reference")

    def command(self, line: bytes) -> None:
        verb, _, argument = self.decode(line).partition(" ")
        method = getattr(self, f"do_{verb.upper()}", None) if verb.isalpha() else None
        if method is None:
            self.unknown(verb)
        else:
            method(argument.strip(" "))

    def decode(self, line: bytes) -> str:
        return line.decode("utf-8", "surrogateescape")

    def unknown(self, verb: str) -> None:
        self.say(500, "5.5.1", "unknown command")

    def keywords(self) -> list[str]:
        names = ["PIPELINING", f"SIZE {self.limit}", "8BITMIME", "SMTPUTF8", "CHUNKING", "BINARYMIME"]
        names += ["ENHANCEDSTATUSCODES", "EXPN", "HELP"]
        if self.context is not None and not self.tls:
            names.append("STARTTLS")
        if mechanisms := self.mechanisms():
            names.append(f"AUTH {' '.join(mechanisms)}")
        return names

    def mechanisms(self) -> list[str]:
        return ["PLAIN", "LOGIN"] if self.tls or self.context is None else []

    def do_EHLO(self, argument: str) -> None:
        if not self.is_hello(argument):
            return self.say(501, "5.5.4", "EHLO takes a domain")
        self.reset()
        self.hello = "EHLO"
        return self.say(250, "", "mx.example.com", *self.keywords())

    def do_HELO(self, argument: str) -> None:
        if not self.is_hello(argument):
            return self.say(501, "5.5.4", "HELO takes a domain")
        self.reset()
        self.hello = "HELO"
        return self.say(250, "", "mx.example.com")

    def is_hello(self, argument: str) -> bool:
        return re.fullmatch(DOMAIN, argument) is not None

    # -- transactions --

    def do_MAIL(self, argument: str) -> None:
        if not self.hello:
            return self.say(503, "5.5.1", "say EHLO first")
        if self.mail:
            return self.say(503, "5.5.1", "MAIL already")
        found = self.path("FROM:", argument, PATH + "|", "")
        if found is None:
            return None
        problem = self.parameters(found[1].split(), self.mail_parameters(), found[0])
        if problem:
            self.reset()
            return self.say(*problem)
        self.mail = True
        self.sender = found[0]
        return self.accept_mail()

    def accept_mail(self) -> None:
        self.say(250, "2.1.0", "sender ok")

    def mail_parameters(self) -> dict[str, str]:
        if self.hello != "EHLO":
            return {}
        known = {"SIZE": "[0-9]{1,20}", "BODY": "7BIT|8BITMIME|BINARYMIME", "SMTPUTF8": ""}
        if self.mechanisms():
            known["AUTH"] = r"<>|(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+@(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})+"
        return known

    def path(self, prefix: str, argument: str, pattern: str, extra: str) -> tuple[str, str] | None:
        """The path and what follows it; None if the line was refused."""
        match = re.fullmatch(rf"{prefix}<([^ ]*?|.*\".*\"[^ ]*)>((?: .*)?)", argument, re.IGNORECASE)
        if match is None:
            self.say(501, "5.5.4", f"{prefix}<path> expected")
            return None
        path = match[1]
        plain = re.sub(UTF8, "u", path) if "SMTPUTF8" in match[2].upper().split() or self.utf8 else path
        if re.search("[\udc80-\udcff]", path) or not re.fullmatch(f"{pattern}{extra}", plain, re.IGNORECASE):
            self.say(*((553, "5.6.7") if not path.isascii() else (501, "5.1.7")), "malformed path")
            return None
        return path, match[2]

    def parameters(self, words: list[str], known: dict[str, str], path: str) -> tuple[Any, ...] | None:
        """What is wrong with parameters."""
        seen = set()
        for word in words:
            keyword, equals, value = word.partition("=")
            keyword = keyword.upper()
            if keyword not in known:
                return 555, "5.5.4", "unknown parameter"
            if keyword in seen:
                return 501, "5.5.4", "duplicate parameter"
            seen.add(keyword)
            if bool(equals) != bool(known[keyword]) or not re.fullmatch(known[keyword], value, re.IGNORECASE):
                return 501, "5.5.4", "malformed parameter"
            if keyword == "SIZE" and int(value) > self.limit:
                return 552, "5.3.4", "too big"
            self.utf8 |= keyword == "SMTPUTF8"
            self.binary |= value.upper() == "BINARYMIME"
        return None

    def do_RCPT(self, argument: str) -> None:
        if not self.mail:
            return self.say(503, "5.5.1", "say MAIL first")
        if self.chunks is not None:
            return self.say(503, "5.5.1", "BDAT has begun")
        found = self.path("TO:", argument, PATH, "|postmaster")
        if found is None:
            return None
        problem = self.parameters(found[1].split(), {}, found[0])
        if problem:
            return self.say(*problem)
        return self.accept_rcpt(found[0])

    def accept_rcpt(self, path: str) -> None:
        if len(self.recipients) >= 1000:
            return self.say(452, "4.5.3", "too many recipients")
        self.recipients.append(path)
        return self.say(250, "2.1.5", "recipient ok")

    def do_DATA(self, argument: str) -> None:
        if argument:
            return self.say(501, "5.5.4", "DATA takes no argument")
        if not self.mail or not self.recipients or self.chunks is not None or self.binary:
            return self.say(503, "5.5.1", "say MAIL and RCPT first")
        self.say(354, "", "go ahead")
        return self.judge(self.content())

    def find_content_end(self) -> tuple[int, int]:
        """Where the content ends, and where the next command begins; -1 if it has not ended."""
        if self.buffer.startswith(b".\r\n"):
            return 0, 3
        at = self.buffer.find(b"\r\n.\r\n")
        return at + 2 if at >= 0 else -1, at + 5

    def content(self) -> bytes:
        while (found := self.find_content_end())[0] < 0:
            self.fill()
        content, self.buffer = self.buffer[: found[0]], self.buffer[found[1] :]
        return content

    def judge(self, content: bytes) -> None:
        refused = self.refusal(content)
        if not refused:
            self.store(self.unstuffed(content))
        self.reset()
        if refused:
            return self.say(*refused)
        return self.say(250, "2.0.0", "stored")

    def unstuffed(self, content: bytes) -> bytes:
        """The content without the dots of transparency."""
        return re.sub(rb"(?<=\r\n)\.|\A\.", b"", content)

    def store(self, content: bytes) -> None:
        """Keep an accepted message: this server forgets it."""

    def refusal(self, content: bytes) -> tuple[Any, ...] | None:
        if len(content) > self.limit:
            return 552, "5.3.4", "too big"
        if re.search(rb"(?<!\r)\n|\r(?!\n)|\0", content):
            return 550, "5.6.0", "lone CR or LF"
        return None

    def do_BDAT(self, argument: str) -> None:
        match = re.fullmatch(r"([0-9]{1,18})(?: (LAST))?", argument, re.IGNORECASE)
        if match is None:
            self.say(501, "5.5.4", "BDAT takes a size")
            raise Gone
        octets = self.take(int(match[1]))
        if not self.recipients or self.binary is None:
            return self.say(503, "5.5.1", "say MAIL and RCPT first")
        self.chunks = (self.chunks or b"") + octets
        if len(self.chunks) > self.chunks_limit:
            return self.say(552, "5.3.4", "too big")
        if match[2]:
            self.store(self.chunks)
            self.reset()
        return self.say(250, "2.0.0", "chunk ok")

    def take(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self.fill()
            if count > self.limit:
                count -= len(self.buffer)
                self.buffer = b""
        octets, self.buffer = self.buffer[:count], self.buffer[count:]
        return octets

    # -- the rest --

    def do_RSET(self, argument: str) -> None:
        if argument:
            return self.say(501, "5.5.4", "RSET takes no argument")
        self.reset()
        return self.say(250, "2.0.0", "reset")

    def do_NOOP(self, argument: str) -> None:
        self.say(250, "2.0.0", "ok")

    def do_VRFY(self, argument: str) -> None:
        if not argument:
            return self.say(501, "5.5.4", "VRFY takes a name")
        return self.say(252, "2.1.5", "cannot verify")

    def do_EXPN(self, argument: str) -> None:
        if not argument:
            return self.say(501, "5.5.4", "EXPN takes a name")
        return self.say(252, "2.1.5", "cannot expand")

    def do_HELP(self, argument: str) -> None:
        self.say(214, "2.0.0", "EHLO HELO MAIL RCPT DATA", "RSET NOOP VRFY QUIT")

    def do_QUIT(self, argument: str) -> None:
        if argument:
            return self.say(501, "5.5.4", "QUIT takes no argument")
        self.say(221, "2.0.0", "mx.example.com closes")
        raise Gone

    def do_STARTTLS(self, argument: str) -> None:
        if argument:
            return self.say(501, "5.5.4", "STARTTLS takes no argument")
        if self.context is None or self.tls or not self.hello or self.mail:
            return self.say(503, "5.5.1", "not now")
        self.say(220, "2.0.0", "mx.example.com starts TLS")
        return self.handshake()

    def handshake(self) -> None:
        assert self.context is not None
        self.buffer = b""
        try:
            self.sock = self.context.wrap_socket(self.sock, server_side=True)
        except OSError:
            raise Gone from None
        self.tls = True
        self.hello = self.user = ""
        self.reset()

    def do_AUTH(self, argument: str) -> None:
        name, _, initial = argument.partition(" ")
        if not name:
            return self.say(501, "5.5.4", "AUTH takes a mechanism")
        if self.hello != "EHLO" or self.mail or self.user:
            return self.say(503, "5.5.1", "not now")
        if name.upper() not in self.mechanisms():
            return self.say(*((504, "5.5.4") if self.mechanisms() else (538, "5.7.11")), "not offered")
        try:
            if name.upper() == "PLAIN":
                _, user, password = self.response("", initial).split("\0")
            else:
                user = self.response("VXNlcm5hbWU6", initial)
                password = self.response("UGFzc3dvcmQ6", "")
        except Refusal as refusal:
            return self.say(*refusal.args)
        except ValueError:
            return self.say(501, "5.5.2", "malformed")
        return self.log_in(user, password, "" if name.upper() == "LOGIN" else _)

    def response(self, challenge: str, initial: str) -> str:
        """A decoded response of the client."""
        if not initial:
            self.say(334, "", challenge)
            line = self.line(self.auth_line_limit)
            if line is None:
                raise Refusal(500, "5.5.6", "line too long")
            initial = self.decode(line)
            if initial == "*":
                raise Refusal(501, "5.7.0", "cancelled")
        elif initial == "=":
            return ""
        return self.unbase64(initial)

    def unbase64(self, text: str) -> str:
        try:
            return base64.b64decode(text, validate=True).decode()
        except ValueError:
            raise Refusal(501, "5.5.2", "not valid base64") from None

    def log_in(self, user: str, password: str, identity: str) -> None:
        if identity not in ("", user) or not self.knows(user, password):
            return self.say(535, "5.7.8", "wrong")
        self.user = user
        return self.say(235, "2.7.0", "welcome")

    def knows(self, user: str, password: str) -> bool:
        return (user, password) == (USER, PASSWORD)


class Refusal(Exception):
    """Ends an AUTH exchange with a reply."""


@contextlib.contextmanager
def running(
    session: Callable[[socket.socket, ssl.SSLContext | None], Reference], context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server while the block lasts; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets.append(sock)
            threads.append(threading.Thread(target=session(sock, context).run, daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        for sock in sockets:
            sock.close()
