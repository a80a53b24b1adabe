"""The examples: each is run as a program of its own, with clients or servers of the tests."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import pytest
import trustme

import smtpcore.sync
from smtpcore import Envelope, Limits, Reply, ReplyError, ServerConfig
from smtpcore._core.replyparser import ReplyParser

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
# Warnings are errors in the examples too. Not "-X dev": asyncio would report steps that are slow under load.
PYTHON = [sys.executable, "-W", "error"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}

SENDER = "alice@elsewhere.example"
MESSAGE = b"Subject: hello\r\n\r\n.a line with a dot\r\nlast line\r\n"


class Running:
    """An example that runs as a server."""

    def __init__(self, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.maildir = folder / "maildir"
        self.output = ""

    def stored(self) -> list[bytes]:
        """The messages in the Maildir; nothing half-finished is beside them."""
        assert list((self.maildir / "tmp").iterdir()) == []
        return [path.read_bytes() for path in (self.maildir / "new").iterdir()]


@contextmanager
def running(
    name: str, folder: Path, *arguments: str, end: signal.Signals = signal.SIGTERM
) -> Iterator[Running]:
    """Run an example on a free port; afterwards it has ended well."""
    command = [*PYTHON, str(EXAMPLES / name), "--port", "0", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            listening = re.fullmatch(r"listening on port (\d+)\n", line)
            assert listening, line + process.stdout.read()
            server = Running(process, int(listening[1]), folder)
            yield server
            process.send_signal(end)
            server.output = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode == 0, server.output
    assert "Traceback" not in server.output
    assert "Warning" not in server.output


def core_client(
    port: int, *recipients: str, content: bytes = MESSAGE, sender: str = SENDER, options: tuple[str, ...] = ()
) -> tuple[int, str]:
    """Run the example; return its exit code and its output."""
    arguments = ["--port", str(port), "--from", sender, *options]
    for recipient in recipients:
        arguments += ["--to", recipient]
    done = subprocess.run(
        [*PYTHON, str(EXAMPLES / "core_client.py"), *arguments],
        env=ENVIRONMENT,
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def example(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


@pytest.fixture
def cafile(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


class Recorder:
    """A handler that keeps in memory what it gets."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies
        self.messages: list[tuple[Envelope, bytes]] = []
        self.seen: list[str] = []

    def accept_connection(self, session: object) -> Any:
        return self.replies.get("accept_connection", True)

    def accept_sender(self, session: object, reverse_path: Any, parameters: Any) -> Any:
        self.seen.append(f"MAIL {reverse_path} {dict(parameters)}")
        return self.replies.get("sender", True)

    def accept_recipient(self, session: object, forward_path: Any, parameters: Any) -> Any:
        self.seen.append(f"RCPT {forward_path}")
        return self.replies.get(forward_path.local_part, True)

    def store(self, session: object, envelope: Envelope, content: BinaryIO) -> Any:
        self.messages.append((envelope, content.read()))
        return self.replies.get("content", True)

    def on_disconnect(self, session: object) -> None:
        self.seen.append("gone")


# -- core_server and core_client --


def test_core_server_stores_what_core_client_sends(tmp_path: Path) -> None:
    with running("core_server.py", tmp_path, end=signal.SIGINT) as server:
        code, said = core_client(server.port, "bob@example.org", "eve@elsewhere.example", "carol@EXAMPLE.org")
        assert said == (
            "bob@example.org: 250 2.0.0 message accepted\n"
            "eve@elsewhere.example: 550 5.7.1 not for this domain\n"
            "carol@EXAMPLE.org: 250 2.0.0 message accepted\n"
        )
        assert code == 1
    (stored,) = server.stored()
    trace, content = stored[: -len(MESSAGE)], stored[-len(MESSAGE) :]
    assert content == MESSAGE
    assert trace.startswith(b"Return-Path: <alice@elsewhere.example>\r\nReceived: from [127.0.0.1]")
    assert b"by localhost with ESMTP;" in trace


def test_core_client_reports_success(tmp_path: Path) -> None:
    with running("core_server.py", tmp_path, end=signal.SIGINT) as server:
        assert core_client(server.port, "bob@example.org")[0] == 0


def test_core_server_discards_the_message_of_a_lost_connection(tmp_path: Path) -> None:
    with running("core_server.py", tmp_path, end=signal.SIGINT) as server:
        with smtpcore.sync.connect("127.0.0.1", server.port) as client:
            with pytest.raises(ZeroDivisionError):
                client.send(SENDER, ["bob@example.org"], (b"x" * (1 // (2 - n)) + b"\r\n" for n in range(3)))
            client._session._dialogue.stream.abort()
        assert core_client(server.port, "bob@example.org")[0] == 0
    assert len(server.stored()) == 1


def test_core_server_and_core_client_speak_under_tls(tmp_path: Path, certificate: str, cafile: str) -> None:
    with running("core_server.py", tmp_path, "--certificate", certificate, end=signal.SIGINT) as server:
        options = ("--host", "localhost", "--starttls")
        code, said = core_client(server.port, "bob@example.org", options=options)
        assert code == 1
        assert said.startswith("failed: ")
        assert "CERTIFICATE_VERIFY_FAILED" in said
        code, said = core_client(server.port, "bob@example.org", options=(*options, "--cafile", cafile))
        assert (code, said) == (0, "bob@example.org: 250 2.0.0 message accepted\n")
    (stored,) = server.stored()
    assert b"with ESMTPS for" in stored.replace(b"\r\n ", b" ")


def test_core_client_sends_nothing_without_the_required_TLS() -> None:
    handler = Recorder()
    with smtpcore.sync.serve(handler) as server:
        code, said = core_client(server.addresses[0][1], "bob@example.org", options=("--starttls",))
    assert (code, said) == (1, "failed: the server does not offer STARTTLS (RFC 5321 2.2.1)\n")
    assert handler.seen == ["gone"]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    "replies, expected",
    [
        ({"accept_connection": Reply(421, "4.3.2", "not now")}, "421"),
        ({"accept_connection": Reply(554, "5.7.1", "go away")}, "554"),
        ({"sender": False}, "550 5.7.1 sender not accepted"),
        ({"sender": Reply(421, "4.3.2", "not now")}, "421 4.3.2"),
        ({"bob": False}, "550 5.1.1 no such mailbox here"),
        ({"content": Reply(451, "4.3.0", "try later")}, "451 4.3.0 try later"),
    ],
)
def test_core_client_reports_each_refusal(replies: dict[str, Any], expected: str, pipelining: bool) -> None:
    with smtpcore.sync.serve(Recorder(**replies), config=ServerConfig(pipelining=pipelining)) as server:
        code, said = core_client(server.addresses[0][1], "bob@example.org")
    assert code == 1
    assert said.startswith(f"bob@example.org: {expected}")
    assert said.count("\n") == 1


def test_core_client_converts_line_ends_and_declares_size_and_body() -> None:
    handler = Recorder()
    content = "Subject: x\n\n\u00e9\n".encode()
    with smtpcore.sync.serve(handler) as server:
        code, said = core_client(server.addresses[0][1], "bob@example.org", content=content)
    assert code == 0, said
    ((envelope, stored),) = handler.messages
    assert stored == content.replace(b"\n", b"\r\n")
    assert (envelope.mail.size, envelope.mail.body) == (len(stored), "8BITMIME")


# -- the servers on adapters --


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_uses_public_names_only(path: Path) -> None:
    assert not re.search(r"\bsmtpcore\.(\w+\.)*_\w", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", ["threaded_server.py", "asyncio_server.py", "trio_server.py", "content_check.py"]
)
def test_a_server_stores_what_is_for_its_domain_and_nothing_else(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as server:
        with smtpcore.sync.connect("127.0.0.1", server.port) as client:
            result = client.send(SENDER, ["bob@example.org", "eve@elsewhere.example", "postmaster"], MESSAGE)
            assert result.accepted_recipients == ("bob@example.org", "postmaster")
            assert str(result.refused_recipients["eve@elsewhere.example"]).startswith("550 5.7.1 ")
            (stored,) = server.stored()
            client.send("", ["bob@example.org"], MESSAGE)  # a notification: its reverse-path is null
        assert any(one.startswith(b"Return-Path: <>\r\n") for one in server.stored())
    assert stored.startswith(b"Return-Path: <alice@elsewhere.example>\r\nReceived: ")
    assert stored.endswith(MESSAGE)


@pytest.mark.parametrize(
    "name", ["threaded_server.py", "asyncio_server.py", "trio_server.py", "content_check.py"]
)
def test_a_server_keeps_nothing_of_an_aborted_message(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"HELO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
            codes = [replies.readline()[:3] for _ in range(5)]
            assert codes == [b"220", b"250", b"250", b"250", b"354"]
            sock.sendall(b"half a message")
        with smtpcore.sync.connect("127.0.0.1", server.port) as client:
            client.send(SENDER, ["bob@example.org"], MESSAGE)
    assert len(server.stored()) == 1


@pytest.mark.parametrize("name", ["threaded_server.py", "asyncio_server.py", "trio_server.py"])
def test_a_server_that_stops_sends_421_to_its_clients(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        replies = sock.makefile("rb")
        assert replies.readline().startswith(b"220 ")
    with sock, replies:
        assert replies.readline().startswith(b"421 ")
        assert replies.readline() == b""


def test_asyncio_server_prints_refused_commands(tmp_path: Path) -> None:
    with (
        running("asyncio_server.py", tmp_path) as server,
        socket.create_connection(("127.0.0.1", server.port)) as sock,
        sock.makefile("rb") as replies,
    ):
        sock.sendall(
            b"HELO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@example.org>\r\nFOO\r\nDATA\r\n"
            b"a bare\nLF\r\n.\r\nQUIT\r\n"
        )
        codes = [line[:3] for line in replies]
        assert codes == [b"220", b"250", b"250", b"250", b"500", b"354", b"550", b"221"]
    assert server.stored() == []
    assert "b'FOO' was answered 500 5.5.2" in server.output
    assert "a message was aborted: 550 5.6.0" in server.output


def test_threaded_server_requires_a_login_for_senders_of_its_domain(
    tmp_path: Path, authority: trustme.CA, certificate: str
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("bob:secret\n")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    arguments = ("--certificate", certificate, "--passwords", str(passwords))
    with running("threaded_server.py", tmp_path, *arguments) as server:
        with smtpcore.sync.connect("127.0.0.1", server.port, security="none") as client:
            assert "AUTH" not in client.capabilities
            with pytest.raises(ReplyError, match=re.escape("530 5.7.0 log in")):
                client.send("bob@example.org", ["carol@example.org"], MESSAGE)
        with (
            pytest.raises(smtpcore.AuthenticationFailed),
            smtpcore.sync.connect("localhost", server.port, ssl_context=context, auth=("bob", "wrong")),
        ):
            pass
        with smtpcore.sync.connect(
            "localhost", server.port, ssl_context=context, auth=("bob", "secret")
        ) as client:
            assert client.send("bob@example.org", ["carol@example.org"], MESSAGE).accepted_recipients
    (stored,) = server.stored()
    assert b"with ESMTPSA" in stored.replace(b"\r\n ", b" ")


# -- twisted_server --


@pytest.fixture
def needs_twisted() -> None:
    for name in ("twisted", "OpenSSL", "service_identity"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed")


@pytest.mark.usefixtures("needs_twisted")
def test_twisted_server_stores_what_is_for_its_domain_under_TLS_and_in_plaintext(
    tmp_path: Path, authority: trustme.CA, certificate: str
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    large = MESSAGE + b"x" * 70 + b"\r\n" + b"another line\r\n" * 100_000
    with running("twisted_server.py", tmp_path, "--certificate", certificate) as server:
        with smtplib.SMTP("localhost", server.port, timeout=60) as client:
            client.starttls(context=context)
            refused = client.sendmail(SENDER, ["bob@example.org", "eve@elsewhere.example"], large)
            assert refused == {"eve@elsewhere.example": (550, b"5.7.1 not for this domain")}
            assert not client.has_extn("STARTTLS")
        with smtplib.SMTP("localhost", server.port, timeout=60) as client:
            for _ in range(2):
                assert client.sendmail(SENDER, ["postmaster"], MESSAGE) == {}
        assert sorted(server.stored(), key=len) == [MESSAGE, MESSAGE, large]


@pytest.mark.usefixtures("needs_twisted")
def test_twisted_server_discards_commands_that_were_sent_before_the_handshake(
    tmp_path: Path, certificate: str, cafile: str
) -> None:
    context = ssl.create_default_context(cafile=cafile)
    with (
        running("twisted_server.py", tmp_path, "--certificate", certificate) as server,
        smtplib.SMTP("localhost", server.port, timeout=60) as client,
    ):
        client.ehlo()
        assert client.sock is not None
        client.sock.sendall(b"STARTTLS\r\nEHLO x.example\r\n")
        assert client.getreply()[0] == 220
        client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
        client.file = None
        assert client.docmd("MAIL", f"FROM:<{SENDER}>") == (503, b"5.5.1 say EHLO first")


@pytest.mark.usefixtures("needs_twisted")
def test_twisted_server_keeps_nothing_of_an_aborted_message(tmp_path: Path) -> None:
    with running("twisted_server.py", tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"HELO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
            codes = [replies.readline()[:3] for _ in range(5)]
            assert codes == [b"220", b"250", b"250", b"250", b"354"]
            sock.sendall(b"half a message")
        with socket.create_connection(("127.0.0.1", server.port)) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"NOOP\r\n" * 2 + b"QUIT\r\n")
            assert [line[:3] for line in replies] == [b"220", b"250", b"250", b"221"]
    assert server.stored() == []


@pytest.mark.usefixtures("needs_twisted")
def test_twisted_server_sends_421_when_it_stops(tmp_path: Path) -> None:
    with running("twisted_server.py", tmp_path) as server:
        sock = socket.create_connection(("127.0.0.1", server.port))
        replies = sock.makefile("rb")
        assert replies.readline().startswith(b"220 ")
    with sock, replies:
        assert replies.readline().startswith(b"421 ")
        assert replies.readline() == b""


# -- content_check --


def test_content_check_refuses_at_the_end_and_keeps_nothing(tmp_path: Path) -> None:
    with (
        running("content_check.py", tmp_path, "--forbid", "make money", "--forbid", "fast") as server,
        smtpcore.sync.connect("127.0.0.1", server.port) as client,
    ):
        for content in (b"Make MONEY\r\n", b"x" * 70000 + b"\r\n" + b"Breakfast\r\n", b"fast"):
            with pytest.raises(ReplyError, match=r"the message was refused: 550 5\.7\.1 .*forbidden words"):
                client.send(SENDER, ["bob@example.org"], normal(content))
        assert server.stored() == []
        assert client.send(SENDER, ["bob@example.org"], b"make no money\r\n").accepted_recipients
    assert len(server.stored()) == 1


def normal(content: bytes) -> bytes:
    """The same, with no line too long to be sent."""
    return re.sub(rb"(x{900})", rb"\1\r\n", content)


def test_content_check_counts_attachments(tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"], message["To"] = SENDER, "bob@example.org"
    message.set_content("see there")
    with (
        running("content_check.py", tmp_path, "--attachments", "2") as server,
        smtpcore.sync.connect("127.0.0.1", server.port) as client,
    ):
        for _ in range(2):
            message.add_attachment(b"abc", maintype="application", subtype="octet-stream")
        assert client.send_message(message).accepted_recipients
        message.add_attachment(b"abc", maintype="application", subtype="octet-stream")
        with pytest.raises(ReplyError, match=r"550 5\.7\.1 .*more than 2 attachments"):
            client.send_message(message)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_content_check_finds_the_same_however_content_is_cut(size: int) -> None:
    limit_class = example("content_check").Limit
    text = b"abc aBc xab cabcab"
    for octets, times in ((b"abc", 3), (b"a", 5), (b"cab", 2), (b"xyz", 0)):
        enough, too_little = limit_class(octets, times, ""), limit_class(octets, times - 1, "")
        for start in range(0, len(text), size):
            enough.feed(text[start : start + size])
            too_little.feed(text[start : start + size])
        assert not enough.exceeded
        assert too_little.exceeded


# -- relay --


@contextmanager
def relayed(folder: Path, handler: object, config: ServerConfig | None = None) -> Iterator[Running]:
    """Run the relay, with a server of the tests as its next hop."""
    with (
        smtpcore.sync.serve(handler, config=config or ServerConfig(), grace=0) as server,
        running("relay.py", folder, "--next-port", str(server.addresses[0][1])) as relay,
    ):
        yield relay


@pytest.fixture(scope="module")
def relay_and_next_hop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Recorder]]:
    next_hop = Recorder()
    with relayed(tmp_path_factory.mktemp("relay"), next_hop) as relay:
        yield relay, next_hop


def test_relay_gives_each_recipient_the_reply_of_the_next_hop(tmp_path: Path) -> None:
    handler = Recorder(full=Reply(452, "4.2.2", "mailbox full"), nobody=False)
    recipients = [f"{name}@example.org" for name in ("bob", "full", "nobody", "carol")]
    with relayed(tmp_path, handler) as relay, smtpcore.sync.connect("127.0.0.1", relay.port) as client:
        result = client.send(SENDER, [*recipients, "eve@elsewhere.example"], MESSAGE)
        assert result.accepted_recipients == ("bob@example.org", "carol@example.org")
        assert result.retryable_recipients == ("full@example.org",)
        assert {name: str(reply) for name, reply in result.refused_recipients.items()} == {
            "full@example.org": "452 4.2.2 mailbox full",
            "nobody@example.org": "550 5.1.1 no such mailbox here",
            "eve@elsewhere.example": "550 5.7.1 not for this domain",
        }
        assert "RCPT eve@elsewhere.example" not in handler.seen
        ((envelope, content),) = handler.messages
        assert [str(path) for path in envelope.forward_paths] == ["bob@example.org", "carol@example.org"]
        trace = content[: -len(MESSAGE)]
        assert content == trace + MESSAGE
        assert re.fullmatch(
            rb"Received: from \S+ \(\[127\.0\.0\.1\]\)\s+by \S+ with\s+ESMTP;[^:]+:[^:]+:[^:]+\r\n", trace
        )
        assert envelope.mail.size == len(content)
        # And another message in the same session.
        assert client.send("", ["bob@example.org"], MESSAGE).accepted_recipients
        assert handler.messages[1][0].reverse_path.is_null


@pytest.mark.parametrize(
    "replies, answer",
    [
        ({"content": Reply(554, "5.6.0", "spam")}, "554 5.6.0 spam"),
        ({"content": Reply(451, "4.3.0", "later")}, "451 4.3.0 later"),
        ({"content": None}, "451 4.3.0 local error in processing"),
        ({"content": Reply(421, "4.3.2", "stopping")}, "451 4.3.0 the next server gives no service now"),
        ({"sender": Reply(550, "5.7.1", "not you")}, "550 5.7.1 not you"),
        ({"sender": Reply(530, "5.7.0", "log in")}, "451 4.3.0 the next server gives no service now"),
        ({"bob": Reply(421, "4.3.2", "stopping")}, "451 4.3.0 the next server gives no service now"),
        ({"accept_connection": Reply(421, "4.3.2", "busy")}, "451 4.4.1 the next server cannot be reached now"),
        ({"accept_connection": Reply(554, "5.7.1", "no")}, "451 4.4.1 the next server cannot be reached now"),
    ],
)
def test_relay_accepts_only_what_the_next_hop_has_accepted(
    replies: dict[str, Any], answer: str, relay_and_next_hop: tuple[Running, Recorder]
) -> None:
    relay, next_hop = relay_and_next_hop
    next_hop.replies = replies
    with smtpcore.sync.connect("127.0.0.1", relay.port) as client:
        with pytest.raises(ReplyError) as caught:
            client.send(SENDER, ["bob@example.org"], MESSAGE)
        assert str(caught.value.reply) == answer
        assert client.noop().code == 250  # our session with the client goes on


def test_relay_replies_451_without_a_next_hop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with (
        running("relay.py", tmp_path, "--next-port", str(port)) as relay,
        smtpcore.sync.connect("127.0.0.1", relay.port) as client,
        pytest.raises(ReplyError, match=r"451 4\.4\.1"),
    ):
        client.send(SENDER, ["bob@example.org"], MESSAGE)
    assert "next hop: " in relay.output


def test_relay_aborts_the_content_that_its_client_has_aborted(tmp_path: Path) -> None:
    handler = Recorder()
    with relayed(tmp_path, handler) as relay:
        with socket.create_connection(("127.0.0.1", relay.port)) as sock, sock.makefile("rb") as replies:
            sock.sendall(b"HELO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
            codes = [replies.readline()[:3] for _ in range(5)]
            assert codes == [b"220", b"250", b"250", b"250", b"354"]
            sock.sendall(b"half a message\r\n")
        with smtpcore.sync.connect("127.0.0.1", relay.port) as client:
            client.send(SENDER, ["bob@example.org"], MESSAGE)
    ((envelope, _),) = handler.messages
    assert str(envelope.reverse_path) == SENDER


def test_relay_forgets_a_transaction_that_is_reset(tmp_path: Path) -> None:
    handler = Recorder()
    with (
        relayed(tmp_path, handler) as relay,
        socket.create_connection(("127.0.0.1", relay.port)) as sock,
        sock.makefile("rb") as replies,
    ):
        sock.sendall(b"HELO x.example\r\nMAIL FROM:<a@x.example>\r\nRSET\r\nQUIT\r\n")
        assert [line[:3] for line in replies] == [b"220", b"250", b"250", b"250", b"221"]
    assert handler.seen == ["MAIL a@x.example {'BODY': '8BITMIME'}", "gone"]


def test_relay_breaks_a_loop(tmp_path: Path) -> None:
    handler = Recorder()
    field = b"Received: from a.example by b.example with ESMTP; Wed, 25 Nov 2026 10:00:00 +0000\r\n"
    with relayed(tmp_path, handler) as relay, smtpcore.sync.connect("127.0.0.1", relay.port) as client:
        assert client.send(SENDER, ["bob@example.org"], field * 99 + MESSAGE).accepted_recipients
        with pytest.raises(ReplyError, match=r"554 5\.4\.6"):
            client.send(SENDER, ["bob@example.org"], field * 100 + MESSAGE)
    assert len(handler.messages) == 1


def test_relay_refuses_content_that_the_next_hop_does_not_accept(tmp_path: Path) -> None:
    handler = Recorder()
    config = ServerConfig(eight_bit_mime=False, limits=Limits(message_size=10_000))
    with relayed(tmp_path, handler, config) as relay, smtpcore.sync.connect("127.0.0.1", relay.port) as client:
        with pytest.raises(ReplyError, match=r"554 5\.6\.3"):
            client.send(SENDER, ["bob@example.org"], b"\xe9\r\n")
        with pytest.raises(ReplyError, match=r"552 5\.3\.4"):
            client.send(SENDER, ["bob@example.org"], b"x\r\n" * 3333)
        assert client.send(SENDER, ["bob@example.org"], b"x\r\n" * 3000).accepted_recipients
    assert len(handler.messages) == 1


def test_relay_replies_with_a_valid_code() -> None:
    relay = example("relay")
    for octets, expected in (
        (b"571 5.7.1 no\r\n", "554 5.7.1 no"),
        (b"471 no\r\n", "451 no"),
        (b"550-5.1.1 one\r\n550 5.1.1 two\r\n", "550 5.1.1 one"),
    ):
        parser = ReplyParser(max_line=512, max_lines=10)
        parser.feed(octets)
        reply = parser.next_reply()
        assert str(relay.as_ours(smtpcore.Quit(), reply)).startswith(expected)


# --- Streams of one's own ---------------------------------------------------------------------------------


def test_own_stream_runs_both_conversations_in_memory() -> None:
    done = subprocess.run(
        [*PYTHON, str(EXAMPLES / "own_stream.py")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "from ann@example.org: b'Subject: hi\\r\\n\\r\\nHello.\\r\\n'",
        "250 2.0.0 message accepted",
    ]
    assert done.returncode == 0


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio_server_receives_a_message(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("anyio", reason="anyio is not installed")
    with (
        running("anyio_server.py", tmp_path, "--backend", backend) as server,
        smtplib.SMTP("127.0.0.1", server.port, timeout=60) as client,
    ):
        client.sendmail(SENDER, ["bob@example.org"], MESSAGE)
    assert f"from {SENDER}: {MESSAGE!r}" in server.output


# --- private_extension.py ---


def private_extension(*arguments: str) -> str:
    """What the example prints."""
    command = [*PYTHON, str(EXAMPLES / "private_extension.py"), *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.req("EXT-01", "EXT-07", "EXT-08")
@pytest.mark.parametrize("hours, tls", [(24, False), (72, True)])
def test_private_extension_is_used_by_both_roles_on_every_adapter(
    hours: int, tls: bool, certificate: str, cafile: str
) -> None:
    pytest.importorskip("trio")
    options = ("--certificate", certificate, "--authority", cafile) if tls else ()
    session = (
        f"HOLD up to {hours} hours\n"
        "  250 2.0.0 0 messages of all senders are held\n"
        "  250 2.1.0 sender ok\n"
        "  250 2.1.5 recipient ok\n"
        "  250 2.0.0 1 messages of alice are held\n"
    )
    assert private_extension(*options) == "".join(f"{name}: {session}" for name in ("sync", "asyncio", "trio"))
