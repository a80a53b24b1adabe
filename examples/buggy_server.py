"""Ten planted bugs in a mail server, of kinds that real servers have had: docs/tutorial/fuzzing.md finds them.

It is plain Python, without smtpcore. ``BuggySession(bug)`` is one session: a function from octets
to octets. ``python3 examples/buggy_server.py BUG`` serves on 127.0.0.1 port 2525, without TLS.

| bug | |
|---|---|
| bare-lf-end | content ends at a dot between bare line feeds |
| lost-pipeline | what was pipelined after a refused RCPT is forgotten |
| starttls-buffer | what was sent in plaintext after STARTTLS is run after the handshake |
| dot-at-border | a dot that begins a read is not unstuffed |
| auth-as-command | a response within AUTH is run as a command |
| leaking-recipient | RSET does not forget the recipients |
| early-250 | 250 is sent before the final dot |
| bdat-as-commands | the octets of a refused BDAT are run as commands |
| reply-splitting | an argument is repeated in the reply with its line ends |
| unbounded-line | a command line may have any length |
"""

from __future__ import annotations

import re
import socketserver
import sys

BUGS = (
    "bare-lf-end",
    "lost-pipeline",
    "starttls-buffer",
    "dot-at-border",
    "auth-as-command",
    "leaking-recipient",
    "early-250",
    "bdat-as-commands",
    "reply-splitting",
    "unbounded-line",
)
PATH = re.compile(
    rb"(?:FROM|TO):<([!-~]*@[a-z0-9-]+(?:\.[a-z0-9-]+)+|postmaster|)>(?P<more> *[^ ]+)?", re.IGNORECASE
)
LONGEST = 4096  # octets of a command line

Stored = tuple[str, list[str], bytes]


class BuggySession:
    """One session with one bug; ``""`` for none.

    Args:
        bug: One of BUGS.
        messages: Where messages are stored, as (sender, recipients, content).

    Attributes:
        closed: The server has closed the connection.
    """

    def __init__(self, bug: str = "", messages: list[Stored] | None = None) -> None:
        self.bug = bug
        self.messages: list[Stored] = [] if messages is None else messages
        self.closed = False
        self.tls = False
        self._mode = "command"
        self._buffer = b""
        self._out = b"220 buggy.example ESMTP\r\n"
        self._greeted = self._authenticated = False
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._content = b""
        self._left = 0
        self._chunked = self._chunk_refused = self._chunk_last = False

    def __call__(self, octets: bytes) -> bytes:
        """Take octets of the client; return what the server says."""
        if self._mode == "data" and self.bug == "dot-at-border" and self._is_cut_at_dots(octets):
            octets = b"." + octets  # one dot too many is left
        if self._mode == "data" and self.bug == "early-250" and octets and not self._content:
            self._reply("250 accepted")
            self._content = b" "
        self._buffer += octets
        while not self.closed and self._step():
            pass
        out, self._out = self._out, b""
        return out

    def start_tls(self) -> None:
        """The TLS handshake was done."""
        self.tls = True
        self._mode = "command"
        self._greeted = self._authenticated = False
        self._forget()
        if self.bug != "starttls-buffer":
            self._buffer = b""

    def _step(self) -> bool:
        """Take one line, or what there is of content; return whether there was one."""
        if self._mode == "tls":
            return False
        if self._mode == "data":
            return self._take_content()
        if self._mode == "chunk":
            return self._take_chunk()
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            return False
        self._buffer = rest
        if self._mode == "auth" and not (self.bug == "auth-as-command" and self._is_command(line)):
            self._mode = "command"
            self._authenticated = line == b"AGpvZQBzZWNyZXQ="
            self._reply("235 welcome" if self._authenticated else "535 no")
            return True
        self._command(line)
        return True

    def _reply(self, text: str) -> None:
        self._out += text.encode("latin-1") + b"\r\n"

    def _forget(self) -> None:
        self._sender, self._recipients, self._content = None, [], b""
        self._chunked = False

    def _is_cut_at_dots(self, octets: bytes) -> bool:
        held = b"\r\n" + self._buffer
        return (held.endswith(b"\r\n") and octets.startswith(b"..")) or (
            held.endswith(b"\r\n.") and octets.startswith(b".")
        )

    def _is_command(self, line: bytes) -> bool:
        return line[:4].upper() in (b"NOOP", b"RSET", b"QUIT")

    def _command(self, line: bytes) -> None:
        verb, _, argument = line.partition(b" ")
        if len(line) > LONGEST and self.bug != "unbounded-line":
            self._reply("500 line too long")
        elif re.search(rb"[\r\n\0]", line) and self.bug != "reply-splitting":
            self._reply("500 control character")
        else:
            method = getattr(self, "_do_" + verb.decode("latin-1").lower(), None)
            if method is None:
                self._reply("500 unknown")
            else:
                method(argument)

    # -- commands --

    def _do_ehlo(self, argument: bytes) -> None:
        self._forget()
        self._greeted = True
        offer = [
            "buggy.example",
            "PIPELINING",
            "CHUNKING",
            "AUTH PLAIN",
            *([] if self.tls else ["STARTTLS"]),
            "HELP",
        ]
        for word in offer[:-1]:
            self._reply(f"250-{word}")
        self._reply(f"250 {offer[-1]}")

    def _do_helo(self, argument: bytes) -> None:
        self._forget()
        self._greeted = True
        self._reply("250 buggy.example")

    def _do_noop(self, argument: bytes) -> None:
        self._reply("250 ok")

    def _do_vrfy(self, argument: bytes) -> None:
        self._reply(f"252 cannot verify {argument.decode('latin-1')}")

    def _do_help(self, argument: bytes) -> None:
        self._reply("214 no help")

    def _do_rset(self, argument: bytes) -> None:
        kept = self._recipients if self.bug == "leaking-recipient" else []
        self._forget()
        self._recipients = kept
        self._reply("250 ok")

    def _do_mail(self, argument: bytes) -> None:
        match = PATH.match(argument)
        if not self._greeted or self._sender is not None:
            self._reply("503 not now")
        elif match is None or argument[:4].upper() != b"FROM":
            self._reply("501 syntax")
        elif match["more"] and not match["more"].upper().startswith(b" AUTH="):
            self._reply("555 no such parameter")
        else:
            self._sender = match[1].decode("ascii")
            self._reply("250 ok")

    def _do_rcpt(self, argument: bytes) -> None:
        match = PATH.match(argument)
        if self._sender is None:
            self._reply("503 MAIL first")
        elif match is None or not match[1] or argument[:2].upper() != b"TO":
            self._reply("501 syntax")
            if self.bug == "lost-pipeline":
                self._buffer = b""
        elif match["more"]:
            self._reply("555 no such parameter")
        else:
            self._recipients.append(match[1].decode("ascii"))
            self._reply("250 ok")

    def _do_data(self, argument: bytes) -> None:
        if self._sender is None or not self._recipients:
            self._reply("503 RCPT first")
        elif self._chunked:
            self._reply("503 BDAT has begun")
        else:
            self._reply("354 go on")
            self._mode = "data"
            self._content = b""

    def _do_bdat(self, argument: bytes) -> None:
        match = re.fullmatch(rb"([0-9]{1,9})( LAST)?", argument)
        if match is None:
            self._reply("501 syntax")
            self.closed = True
            return
        self._chunk_refused = self._sender is None or not self._recipients
        if self._chunk_refused and self.bug == "bdat-as-commands":
            self._reply("503 RCPT first")
            return
        self._left, self._chunk_last = int(match[1]), match[2] is not None
        self._mode = "chunk"

    def _do_starttls(self, argument: bytes) -> None:
        if self.tls:
            self._reply("503 active already")
        else:
            self._reply("220 go on")
            self._mode = "tls"

    def _do_auth(self, argument: bytes) -> None:
        if self._authenticated or self._sender is not None:
            self._reply("503 not now")
        elif argument.upper() == b"PLAIN":
            self._reply("334 ")
            self._mode = "auth"
        else:
            self._reply("504 PLAIN only")

    def _do_quit(self, argument: bytes) -> None:
        self._reply("221 bye")
        self.closed = True

    # -- content --

    def _take_content(self) -> bool:
        held = b"\r\n" + self._buffer
        place = held.find(b"\r\n.\r\n")
        size = 5
        if self.bug == "bare-lf-end":
            match = re.search(rb"\r?\n\.\r?\n", held)
            place, size = (match.start(), len(match[0])) if match else (-1, 0)
        if place < 0:
            return False
        content, self._buffer = held[:place] + b"\r\n", held[place + size :]
        if place == 0:
            content = b"\r\n"
        self._mode = "command"
        self._store(content.replace(b"\r\n..", b"\r\n.")[2:])
        return True

    def _take_chunk(self) -> bool:
        if len(self._buffer) < self._left:
            return False
        octets, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._mode = "command"
        if self._chunk_refused:
            self._reply("503 RCPT first")
        elif not self._chunk_last:
            self._content += octets
            self._chunked = True
            self._reply("250 ok")
        else:
            self._store(self._content + octets)
        return True

    def _store(self, content: bytes) -> None:
        self.messages.append((self._sender or "", self._recipients, content))
        if self.bug != "early-250":
            self._reply("250 accepted")
        self._forget()


class Connection(socketserver.BaseRequestHandler):
    """One connection over a socket."""

    def handle(self) -> None:
        """Run the session."""
        session = BuggySession(sys.argv[1] if len(sys.argv) > 1 else "")
        self.request.sendall(session(b""))
        while not session.closed and (octets := self.request.recv(65536)):
            self.request.sendall(session(octets))


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 2525), Connection) as server:
        print("listening on 127.0.0.1 port 2525", flush=True)
        server.serve_forever()
