"""Random servers against the client's conversations, over a stream in memory.

The server knows its protocol and answers at random, and with some probability, which is drawn as well and may
be zero, it says anything else, says it twice, or goes. A client connects, in one of the ways there are, with or
without a password, and sends a few messages.

Whatever the server does,

* only an ``SMTPError`` leaves, and it knows the facts;
* ``send()`` returns only if the server got the complete content, octet by octet, and took it;
* a message that the server took is never reported as lost for sure;
* the password is in no transcript and no exception, and not in plaintext on the wire unless that was allowed;
* no mail goes out in plaintext if TLS was required;
* the stream is closed at the end;

and if the server is honest, every command is one, no content comes without a recipient, and the accepted
recipients are those the server has accepted.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from smtpcore import Limits, SendOutcome, SendResult, SMTPError, TlsInfo, TransportError
from smtpcore._net import client as _flows
from smtpcore._net.connect import connect_client
from smtpcore._net.options import ConnectOptions
from smtpcore._net.stream import run as drive
from smtpcore.transcript import Transcript

from . import from_seed

PASSWORD = "s3cretPassw0rd"
SECRETS = [
    PASSWORD,
    b64encode(PASSWORD.encode()).decode(),
    b64encode(f"\0user\0{PASSWORD}".encode()).decode(),
]
CONTEXT = ssl.create_default_context()  # nobody encrypts anything here

VERBS = b"EHLO HELO MAIL RCPT DATA QUIT RSET NOOP VRFY AUTH STARTTLS".split()
KEYWORDS = (
    *("PIPELINING", "8BITMIME", "SIZE 1000", "SIZE abc", "SIZE -1 x", "SMTPUTF8", "STARTTLS"),
    *("AUTH PLAIN LOGIN", "AUTH LOGIN", "ENHANCEDSTATUSCODES"),
)
CODES = (
    *(200, 211, 220, 221, 235, 250, 251, 252, 334, 354, 355, 421, 450, 451, 452, 454),
    *(500, 501, 502, 503, 530, 535, 538, 550, 552, 553, 554, 571, 599),
)
TEXTS = ("ok", "2.1.0 ok", "5.1.1 no", "4.3.0 x", "", "\x1b[2J", "ü", "x" * 600, "a\rb", "VXNlcm5hbWU6")
NO_REPLIES = (b"hello\r\n", b"250 x\n", b"\0\r\n", b"250-a\r\n251 b\r\n", b"2", b"\x16\x03\x01")

SENDERS = ("", "a@b.example", "ü@b.example")
CONTENTS = (
    *(b"", b"x", b"hi\r\n", b".\r\n..\r\n", b"caf\xe9\r\n", b"y\r\n" * 500),
    *(b"a\nb\r\n", b"a\r"),  # cannot be sent
)


class Stored(NamedTuple):
    """A content that the server has got, up to its final dot and with at least one recipient."""

    content: bytes
    recipients: list[str]
    reply: bytes


class Server:
    """A stream that leads to a server.

    Args:
        random: Decides on everything.
        chaos: The probability of a reply that is none, or is the wrong one.
        implicit_tls: The server says nothing before the handshake.
    """

    peername = ("127.0.0.1", 25)
    sockname = ("127.0.0.1", 40000)
    idle = False
    stopping = False
    farewell: Callable[[], bytes] | None = None

    def __init__(self, random: Random, chaos: float, *, implicit_tls: bool) -> None:
        self.tls: TlsInfo | None = None
        self.first_octets = b""
        self.closed = False
        self.plaintext = b""  # what the client has written without TLS
        self.stored: list[Stored] = []
        self.mistakes: list[str] = []  # of the client; those of a client that was misled are none
        self._random = random
        self._chaos = chaos
        self._implicit_tls = implicit_tls
        self._drips = random.random() < 0.4
        self._broken = False
        self._gone = False  # there is nothing behind the output
        self._input = b""
        self._output = b"" if implicit_tls else self._greeting()
        self._in_content = False
        self._login_lines = 0  # that are still to come before the verdict
        self._recipients: list[str] = []

    # -- the stream --

    async def read(self, timeout: float | None) -> bytes:
        if self.closed:
            raise ConnectionAbortedError("closed")
        if self._output:
            size = 1 if self._drips else 65536
            data, self._output = self._output[:size], self._output[size:]
            return data
        if self._gone:
            return b""
        if self._broken:
            raise ConnectionResetError("reset")
        raise TimeoutError("slow")

    async def write(self, data: bytes, timeout: float | None) -> None:
        assert data, "nothing was written"
        if self._broken or self.closed:
            raise ConnectionResetError("gone")
        if self._random.random() < self._chaos / 10:
            self._broken = True
            raise ConnectionResetError("reset")
        if self.tls is None:
            self.plaintext += data
        self._input += data
        while self._step():
            pass

    async def start_tls(self, context: ssl.SSLContext, **options: Any) -> TlsInfo:
        if self._random.random() < 0.1:
            raise ssl.SSLError(1, "bad")
        if self._output:
            self.first_octets = self._output[:64]
            raise OSError("plaintext in the handshake")
        self._input = b""
        self.tls = TlsInfo(version="TLSv1.3", cipher="x")
        if self._implicit_tls:
            self._output = self._greeting()
        return self.tls

    async def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def dismiss(self) -> None:
        if self.farewell is not None and not self._broken:
            farewell = self.farewell()
            self._input += farewell
            if self.tls is None:
                self.plaintext += farewell
        self.abort()

    # -- the server --

    def _greeting(self) -> bytes:
        return self._nonsense() if self._is_chaotic() else b"220 mx.example hi\r\n"

    def _is_chaotic(self) -> bool:
        return self._random.random() < self._chaos

    def _nonsense(self) -> bytes:
        random = self._random
        kind = random.random()
        if kind < 0.6:
            code, text = random.choice(CODES), random.choice(TEXTS)
            if random.random() < 0.2:
                return f"{code}-{text}\r\n{code} {random.choice(['PIPELINING', 'x'])}\r\n".encode()
            return f"{code} {text}\r\n".encode()
        if kind < 0.7:
            self._gone = True
            return b""
        if kind < 0.8:
            return random.choice(NO_REPLIES)
        if kind < 0.9:
            # A reply too many that arrives late is the answer to what was said meanwhile: nobody can tell. So
            # from here on everything arrives at once.
            self._drips = False
            return b"250 ok\r\n" * random.randrange(2, 4)
        return b"421 4.3.2 bye\r\n"

    def _step(self) -> bool:
        """Take a line or a whole content, if it is there."""
        if self._gone:  # a reply to the next command would pass for the one that is missing
            return False
        if self._in_content:
            end = (b"\r\n" + self._input).find(b"\r\n.\r\n")
            if end < 0:
                return False
            content, self._input = self._input[:end], self._input[end + 3 :]
            self._take_content(content)
            return True
        line, end_of_line, rest = self._input.partition(b"\r\n")
        if not end_of_line:
            return False
        self._input = rest
        if self._login_lines:
            self._take_login_line(line)
        else:
            self._take_command(line)
        return True

    def _take_content(self, content: bytes) -> None:
        self._in_content = False
        if self._is_chaotic():
            reply = self._nonsense()
        else:
            verdicts = [b"250 2.0.0 queued\r\n"] * 8 + [b"451 4.0.0 no\r\n", b"554 5.0.0 no\r\n"]
            reply = self._random.choice(verdicts)
        if self._recipients:
            unstuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n")[2:]
            self.stored.append(Stored(unstuffed, self._recipients, reply))
        elif content:
            self.mistakes.append(f"content without a recipient: {content!r}")
        self._recipients = []
        self._output += reply

    def _take_login_line(self, line: bytes) -> None:
        if line == b"*":
            self._login_lines = 0
            self._output += b"501 cancelled\r\n"
            return
        self._login_lines -= 1
        if self._login_lines:
            self._output += self._random.choice([b"334 VXNlcm5hbWU6\r\n", b"334 \r\n"])
        else:
            verdicts = [b"235 2.7.0 ok\r\n"] * 3 + [b"535 5.7.8 bad\r\n", b"535 5.7.8 bad: " + line + b"\r\n"]
            self._output += self._random.choice(verdicts)

    def _take_command(self, line: bytes) -> None:
        verb = line.split(b" ")[0].upper()
        if verb not in VERBS:
            self.mistakes.append(f"no command: {line!r}")
            self._output += b"500 what\r\n"
            return
        if verb == b"MAIL":
            self._recipients = []
        reply = self._nonsense() if self._is_chaotic() else self._answer(verb, line)
        # Whoever sends nonsense still has to stand by it.
        if verb == b"RCPT" and reply.startswith(b"2"):
            self._recipients.append(line.partition(b"<")[2].partition(b">")[0].decode())
        elif verb == b"DATA" and reply.startswith(b"3"):
            self._in_content = True
        elif verb == b"AUTH" and reply.startswith(b"334"):
            self._login_lines = self._random.randrange(1, 4) if self._chaos else 2
        self._output += reply

    def _answer(self, verb: bytes, line: bytes) -> bytes:
        choose = self._random.choice
        match verb:
            case b"EHLO":
                *first, last = ["mx.example", *(one for one in KEYWORDS if self._random.random() < 0.6)]
                return "".join([*(f"250-{one}\r\n" for one in first), f"250 {last}\r\n"]).encode()
            case b"RCPT":
                return choose([b"250 ok\r\n"] * 3 + [b"550 5.1.1 no\r\n", b"452 4.5.3 many\r\n"])
            case b"DATA":
                granted = self._recipients or self._random.random() < 0.3  # RFC 2920 3.1 allows that
                return b"354 go\r\n" if granted else b"554 none\r\n"
            case b"STARTTLS":
                return choose([b"220 go\r\n"] * 4 + [b"454 no\r\n", b"220 go\r\n250 injected\r\n"])
            case b"AUTH" if b"LOGIN" in line:
                return b"334 VXNlcm5hbWU6\r\n"
            case b"AUTH":
                return choose([b"235 ok\r\n", b"235 ok\r\n", b"535 no\r\n", b"500 what: " + line + b"\r\n"])
            case b"QUIT":
                self._gone = True
                return b"221 bye\r\n"
            case _:
                return b"250 ok\r\n"


class Session:
    """A client, and what is to be said of how it fares."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._security = random.choice(["none", "opportunistic", "starttls", "tls"])
        self._chaos = random.choice([0, 0.03, 0.1, 0.3])
        self._server = Server(random, self._chaos, implicit_tls=self._security == "tls")
        self._transcript = Transcript()
        self._cleartext = random.random() < 0.5  # the password may go out without TLS
        self._abandoned = False  # send_many() was left before its end

    def play(self) -> None:
        server = self._server
        client = self._connect()
        if client is not None:
            for _ in range(self._random.randrange(1, 5)):
                self._converse(client)
            drive(client.quit())
        assert server.closed, "the stream is open"
        assert self._chaos or not server.mistakes, f"the client has made mistakes: {server.mistakes}"
        tls_required = self._security in ("tls", "starttls")
        if tls_required:
            assert b"MAIL" not in server.plaintext, "mail went out in plaintext"
        if tls_required or not self._cleartext:
            self._check_secrets("plaintext", server.plaintext.decode("latin-1"))
        self._check_secrets("transcript", str(self._transcript))
        self._check_secrets("JSON", self._transcript.jsonl())

    def _connect(self) -> _flows.Client | None:
        random = self._random
        options: ConnectOptions = {
            "ssl_context": CONTEXT,
            "security": self._security,
            "transcript": self._transcript,
            "limits": Limits(outstanding_commands=random.choice([1, 2, 100])),
            "local_hostname": "client.example",
        }
        if random.random() < 0.4:
            options["auth"] = ("user", PASSWORD)
            options["allow_cleartext_auth"] = self._cleartext

        async def open_stream(host: str, port: int, **options: Any) -> Server:
            return self._server

        try:
            return drive(connect_client(open_stream, "mx.example", 25, options))
        except SMTPError as error:
            self._check_error(error)
            return None

    def _converse(self, client: _flows.Client) -> None:
        kind = self._random.random()
        try:
            if kind < 0.4:
                self._send(client)
            elif kind < 0.7:
                drive(self._send_many(client))
            elif kind < 0.8:
                drive(client.noop())
            elif kind < 0.9:
                drive(client.reset())
            else:
                drive(client.verify("x"))
        except SMTPError as error:
            self._check_error(error)
        except RuntimeError:
            if not self._abandoned:
                raise

    def _send(self, client: _flows.Client) -> None:
        sender, recipients, pieces, whole = self._message(1)
        before = len(self._server.stored)
        try:
            result = drive(client.send(sender, recipients, pieces))
        except SMTPError as error:
            self._check_loss(error, self._server.stored[before:])
            raise
        self._check_success(result, whole, self._server.stored[before:])

    async def _send_many(self, client: _flows.Client) -> None:
        """Send messages, perhaps without asking for all outcomes."""
        random = self._random
        messages = [self._message(number) for number in range(random.randrange(1, 6))]
        before = len(self._server.stored)
        wanted = random.choice([99, 99, random.randrange(1, 6)])
        outcomes: list[SendOutcome] = []
        silent = False
        batch = client.send_many(iter([(sender, names, pieces) for sender, names, pieces, _ in messages]))
        try:
            while len(outcomes) < wanted:
                outcomes.append(await anext(batch))
        except StopAsyncIteration:
            assert len(outcomes) == len(messages), "a message has no outcome"
        except SMTPError as error:  # the session is over, perhaps since before
            self._check_error(error)
            silent = bool(outcomes) and all(one.error is None for one in outcomes)
        assert not silent, "the session is over, and no message says why"
        self._abandoned |= len(outcomes) == wanted
        stored = self._server.stored[before:]
        for (_, recipients, _, whole), outcome in zip(messages, outcomes, strict=False):
            of_this = [one for one in stored if one.recipients[0] in recipients]
            if outcome.error is not None:
                self._check_error(outcome.error)
                self._check_loss(outcome.error, of_this)
            else:
                assert outcome.result is not None
                self._check_success(outcome.result, whole, of_this)
        for _, recipients, _, _ in messages[len(outcomes) :]:
            assert not [one for one in stored if one.recipients[0] in recipients], "sent without an outcome"

    def _message(self, number: int) -> tuple[str, list[str], Any, bytes]:
        """Sender, recipients and content of a message, and what a server gets of it."""
        random = self._random
        recipients = [f"r{number}-{one}@x.example" for one in range(random.randrange(1, 5))]
        content = random.choice(CONTENTS)
        whole = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
        pieces = random.choice([content, content, iter([content, b""]), [content[:3], content[3:]]])
        return random.choice(SENDERS), recipients, pieces, whole

    def _check_success(self, result: SendResult, whole: bytes, stored: list[Stored]) -> None:
        assert len(stored) == 1, "sent, but the server has no new message, or several"
        (one,) = stored
        assert one.reply.startswith(b"2"), f"sent, but the server said {one.reply!r}"
        assert one.content == whole, f"sent {whole!r}, and stored was {one.content!r}"
        assert result.accepted_recipients, "sent, but nobody was accepted"
        if not self._chaos:
            assert list(result.accepted_recipients) == one.recipients, (
                f"{result.accepted_recipients}, not {one.recipients}"
            )

    def _check_loss(self, error: SMTPError, stored: list[Stored]) -> None:
        """What an error says of a message is true."""
        result = error.result
        assert result is None or not result.accepted_recipients, f"an error, but accepted: {result}"
        for one in stored:
            if isinstance(error, TransportError) and not one.reply.startswith((b"4", b"5")):
                assert error.maybe_delivered, f"the content was complete, but {error!r}"
            if one.reply.startswith(b"2"):
                assert result is not None and result.maybe_delivered, f"taken by the server, but {error!r}"

    def _check_error(self, error: SMTPError) -> None:
        assert error.context is not None, f"{error!r} has no facts"
        for one in _chain(error):
            self._check_secrets(type(one).__name__, f"{one} {one!r} {vars(one)}")

    def _check_secrets(self, where: str, text: str) -> None:
        for secret in SECRETS:
            assert secret not in text, f"{where} has the password in it"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all those it came of, as a traceback shows them."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or one.__context__


@from_seed
def run(random: Random) -> None:
    """One client, one server."""
    Session(random).play()
