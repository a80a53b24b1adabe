"""``python3 -m smtpcore send``: what it sends, its output, and its exit codes."""

from __future__ import annotations

import ast
import email
import getpass
import inspect
import io
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.policy import default
from pathlib import Path
from types import SimpleNamespace

import pytest

import smtpcore.sync
from smtpcore import Reply, ServerConfig, TlsUnavailable
from smtpcore._cli import main as _cli
from smtpcore._cli import send as _cli_send
from smtpcore._cli.common import AS_OPTIONS, as_options
from smtpcore._cli.main import main
from smtpcore._net import hints as _hints
from smtpcore.maildir import MaildirHandler

from .commands import HELLO, PASSWORD, Authority, Server, Terminal, fails, run, serving, stored, unresolvable


def test_send_composes_a_message(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    attachment = tmp_path / "ä.png"
    attachment.write_bytes(bytes(range(256)))
    (tmp_path / "inner.eml").write_bytes(b"Subject: inner\n\n")
    (tmp_path / "README").write_bytes(b"text")
    server = Server()
    with serving(server) as port:
        attach = [
            word for name in ("ä.png", "inner.eml", "README") for word in ("--attach", str(tmp_path / name))
        ]
        names = [
            "--from",
            "Älice <a@client.example>",
            "--to",
            "x@server.example",
            "--to",
            "Y <y@server.example>",
        ]
        assert main(["send", "--port", port, *names, "--subject", "hï", "--body", "hello", *attach]) == 0
    ((sender, recipients, content),) = server.messages
    assert (sender, recipients) == ("a@client.example", ["x@server.example", "y@server.example"])
    message = email.message_from_bytes(content, policy=default)
    assert (message["Subject"], message["From"]) == ("hï", "Älice <a@client.example>")
    assert message["Date"] and message["Message-ID"].endswith("@client.example>")
    assert isinstance(message, email.message.EmailMessage)
    parts = list(message.iter_attachments())
    assert [(part.get_content_type(), part.get_filename()) for part in parts] == [
        ("image/png", "ä.png"),
        ("application/octet-stream", "inner.eml"),
        ("application/octet-stream", "README"),
    ]
    assert parts[0].get_content() == bytes(range(256))
    body = message.get_body()
    assert body is not None and body.get_content().strip() == "hello"
    assert capsys.readouterr().out.splitlines() == [
        "accepted  x@server.example: 250 2.0.0 message accepted",
        "accepted  y@server.example: 250 2.0.0 message accepted",
    ]


NEW = ["--from", "a@client.example", "--to", "x@server.example", "--subject", "s"]


def sent(*arguments: str) -> tuple[list[str], email.message.EmailMessage]:
    """Send a new message with these options; returns its recipients, and the message."""
    server = Server()
    with serving(server) as port:
        assert main(["send", "--port", port, *NEW, *arguments]) == 0
    ((_, recipients, content),) = server.messages
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, email.message.EmailMessage)
    return recipients, message


def test_send_accepts_cc_and_further_fields() -> None:
    recipients, message = sent(
        "--cc", "y@server.example", "--header", "X-A: one", "--header", "Bcc: z@server.example"
    )
    assert recipients == ["x@server.example", "y@server.example", "z@server.example"]
    assert (message["Cc"], message["X-A"], message["Bcc"]) == ("y@server.example", "one", None)


def test_a_new_message_has_a_date_and_an_identifier() -> None:
    _, message = sent()
    assert message["Date"].datetime.tzinfo is not None
    assert message["Message-ID"].endswith("@client.example>")


def test_a_given_date_and_identifier_are_kept() -> None:
    date = "Wed, 01 Jan 2020 12:00:00 +0000"
    _, message = sent("--header", f"Date: {date}", "--header", "Message-ID: <1@client.example>")
    assert (message.get_all("Date"), message.get_all("Message-ID")) == ([date], ["<1@client.example>"])


def test_send_accepts_html_with_or_without_text() -> None:
    _, message = sent("--html", "<p>Hello</p>")
    assert (message.get_content_type(), message.get_content()) == ("text/html", "<p>Hello</p>\r\n")
    _, message = sent("--html", "<p>Hello</p>", "--body", "Hello")
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "arguments, where",
    [
        ([], ("127.0.0.1", 1025)),
        (["--security", "tls"], ("127.0.0.1", 1025)),
        (["--port", "25"], ("127.0.0.1", 25)),
        (["--host", "127.0.0.1"], ("127.0.0.1", 25)),
        (["--host", "mx.example", "--port", "2525"], ("mx.example", 2525)),
    ],
)
def test_send_connects_to_the_port_of_serve_unless_a_host_is_given(
    arguments: list[str], where: tuple[str, int]
) -> None:
    assert _cli_send._where(_cli._parser().parse_args(["send", *arguments])) == where
    serve = _cli._parser().parse_args(["serve"])
    assert (serve.host, serve.port) == ("127.0.0.1", 1025)


def test_a_message_may_have_no_body_or_no_subject() -> None:
    server = Server()
    envelope = ["--from", "a@client.example", "--to", "x@server.example"]
    with serving(server) as port:
        assert main(["send", "--port", port, *envelope, "--subject", "only"]) == 0
        assert main(["send", "--port", port, *envelope, "--body", "only"]) == 0
    (_, _, first), (_, _, second) = server.messages
    assert b"\r\nSubject: only\r\n" in first and b"Subject" not in second


def test_send_reads_the_body_from_the_standard_input() -> None:
    server = Server()
    with serving(server) as port:
        arguments = "--from", "a@client.example", "--to", "x@server.example", "--body", "-"
        assert run("send", "--port", port, *arguments, stdin="from a pipe\n").returncode == 0
    assert server.messages[0][2].endswith(b"\r\n\r\nfrom a pipe\r\n")


EML = b"From: a@client.example\nTo: x@server.example\nBcc: z@server.example\nSubject: s\n\n.\ndots\n"


def test_send_reads_a_message_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.eml").write_bytes(EML)
    server = Server()
    with serving(server) as port:
        assert main(["send", "--port", port, str(tmp_path / "x.eml")]) == 0
    ((sender, recipients, content),) = server.messages
    assert (sender, recipients) == ("a@client.example", ["x@server.example", "z@server.example"])
    assert content == EML.replace(b"Bcc: z@server.example\n", b"").replace(b"\n", b"\r\n")


SIGNED_EML = (
    b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=x.example; s=sel; h=from:to:subject:message-id;\r\n"
    b" bh=a=; b=b=\r\nFrom: Anna <a@x.example>\r\nTo:b@y.example\r\nSubject:   three blanks\r\n"
    b"Message-ID:\r\n <1@x.example>\r\n\r\nhello\r\n"
)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_send_sends_the_octets_of_a_file_unchanged(tmp_path: Path, line_end: bytes) -> None:
    (tmp_path / "signed.eml").write_bytes(SIGNED_EML.replace(b"\r\n", line_end))
    eight_bit = SIGNED_EML.replace(b"hello", b"\xc3\xa4")
    (tmp_path / "8bit.eml").write_bytes(eight_bit)
    (tmp_path / "utf8.eml").write_bytes(SIGNED_EML.replace(b"three", b"\xc3\xa4"))
    server = Server()
    with serving(server, config=ServerConfig(smtputf8=True)) as port:
        envelope = "--from", "a@x.example", "--to", "b@y.example"
        for name in ("signed", "8bit", "utf8"):
            assert main(["send", "--port", port, *envelope, str(tmp_path / f"{name}.eml")]) == 0
    assert [content for _, _, content in server.messages] == [
        SIGNED_EML,
        eight_bit,
        SIGNED_EML.replace(b"three", b"\xc3\xa4"),
    ]


@pytest.mark.parametrize("keyword", [b"8BITMIME", b"SMTPUTF8"])
def test_send_encodes_content_for_a_server_without_the_extension(tmp_path: Path, keyword: bytes) -> None:
    subject, body = ("\u00e4", "a") if keyword == b"SMTPUTF8" else ("a", "\u00e4")
    text = f"DKIM-Signature: v=1\nFrom:a@x\nTo:b@y\nSubject:{subject}\n\n{body} and more text than that\n"
    (tmp_path / "x.eml").write_bytes(text.encode())
    offered = [word for word in (b"8BITMIME", b"SMTPUTF8") if word != keyword]
    with conversing(b"250-mx\r\n250-%s\r\n250 HELP\r\n" % offered[0]) as (port, lines):
        assert main(["send", "--port", port, "--security", "none", str(tmp_path / "x.eml")]) == 0
    content = b"".join(lines[lines.index(b"DATA\r\n") + 1 : -1])
    assert content.isascii() and b"\r\nTo:b@y\r\n" in content


@contextmanager
def conversing(hello: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server for one message with a given reply to EHLO; yield its port and its lines."""
    lines: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def act() -> None:
            with listener.accept()[0] as sock, sock.makefile("rwb") as file:
                reply, in_content = b"220 mx\r\n", False
                while reply:
                    file.write(reply)
                    file.flush()
                    lines.append(line := file.readline())
                    while in_content and line not in (b".\r\n", b""):
                        lines.append(line := file.readline())
                    in_content = line == b"DATA\r\n"
                    reply = (
                        hello if line.startswith(b"EHLO") else b"354 go\r\n" if in_content else b"250 ok\r\n"
                    )
                    if line in (b"QUIT\r\n", b""):
                        reply = b""

        thread = threading.Thread(target=act)
        thread.start()
        yield str(listener.getsockname()[1]), lines
        thread.join()


def test_send_reads_a_message_from_the_standard_input_and_uses_the_given_envelope() -> None:
    server = Server()
    with serving(server) as port:
        envelope = "--from", "", "--to", "other@server.example"
        assert run("send", "--port", port, *envelope, "-", stdin=EML.decode()).returncode == 0
    assert server.messages[0][:2] == ("", ["other@server.example"])


def test_trace_shows_the_dialogue_without_the_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", PASSWORD)
    with serving(
        Server(), ssl_context=authority.server, config=ServerConfig(auth_mechanisms=("PLAIN",))
    ) as port:
        tls = "--security", "starttls", "--ca-file", authority.ca, "--user", "alice", "--trace"
        assert main(["send", "--port", port, *tls, *HELLO]) == 0
    shown = capsys.readouterr().err
    assert "C* AUTH PLAIN ***\n" in shown and "C* MAIL FROM:<a@client.example>" in shown
    assert PASSWORD not in shown


# -- what happens to recipients --

NO, LATER = Reply(550, "5.1.1", "no"), Reply(450, "4.2.1", "later")


@pytest.mark.parametrize(
    "server, code, printed",
    [
        (Server(rcpt=NO, refused="bad"), 69, ["accepted  x@", "refused   bad@"]),
        (Server(rcpt=LATER, refused="bad"), 75, ["accepted  x@", "deferred  bad@"]),
        (Server(rcpt=NO), 69, ["refused   x@", "refused   bad@"]),
        (Server(rcpt=LATER), 75, ["deferred  x@", "deferred  bad@"]),
        (Server(end=NO), 69, ["refused   x@", "refused   bad@"]),
        (Server(end=LATER), 75, ["deferred  x@", "deferred  bad@"]),
    ],
)
def test_each_recipient_is_printed_with_its_reply(
    capsys: pytest.CaptureFixture[str], server: Server, code: int, printed: list[str]
) -> None:
    with serving(server) as port:
        arguments = "--from", "a@client.example", "--to", "x@server.example", "--to", "bad@server.example"
        assert main(["send", "--port", port, *arguments, "--body", "x"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("@")[0] + "@" for line in lines] == printed


def test_a_message_that_is_too_big_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    config = ServerConfig(limits=smtpcore.Limits(message_size=10))
    with serving(Server(), config=config) as port:
        assert "the server accepts 10" in fails(capsys, 69, "send", "--port", port, *HELLO)


def test_hints_name_options_of_the_command_line(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server()) as port:
        said = fails(capsys, 69, "send", "--port", port, "--security", "tls", *HELLO)
        assert "use --security starttls (usually port 587)" in said
        said = fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)
        assert "use --security opportunistic or none" in said
    with serving(Server(), config=ServerConfig(auth_mechanisms=("PLAIN",), require_auth=True)) as port:
        assert "give --user)" in fails(capsys, 77, "send", "--port", port, *HELLO)
    with serving(Server(), ssl_context=authority.server) as port:
        assert "--ca-file FILE)" in fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)


@pytest.mark.parametrize("words", AS_OPTIONS)
def test_each_translated_part_of_a_hint_occurs_in_a_hint(words: str) -> None:
    assert words in re.sub(r'"\s+f?"', "", inspect.getsource(_hints))


def test_no_hint_on_the_command_line_names_an_argument_of_connect(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["send", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    texts = [
        node.value for node in ast.walk(ast.parse(inspect.getsource(_hints))) if isinstance(node, ast.Constant)
    ]
    said = [as_options(text) for text in texts if isinstance(text, str) and " " in text and "``" not in text]
    assert len(said) > 50
    for hint in said:
        assert not re.search(r"[a-z]=|[a-z]_[a-z]|smtpcore\.", hint), hint
        assert set(re.findall(r"--[a-z-]+", hint)) <= options, hint


@pytest.mark.parametrize("option", ["--ehlo", "--local-hostname"])
def test_the_argument_of_EHLO_can_be_given(option: str) -> None:
    with conversing(b"250 mx\r\n") as (port, lines):
        arguments = "--security", "none", option, "client.example", *HELLO
        assert main(["send", "--port", port, *arguments]) == 0
    assert lines[0] == b"EHLO client.example\r\n"


# -- what can go wrong before --


def test_a_missing_file_is_66(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot read no.eml: No such file or directory" in fails(capsys, 66, "send", "no.eml")
    fails(capsys, 66, "send", *HELLO, "--attach", "no.png")
    fails(capsys, 66, "send", *HELLO, "--user", "alice", "--password-file", "no.txt")
    fails(capsys, 66, "send", *HELLO, "--ca-file", "no.pem")


@pytest.mark.parametrize(
    "arguments",
    [
        [os.devnull],
        ["--from", "a@client.example", "--to", "not an address", "--body", "x"],
        ["--from", "a@client.example", "--to", "x@server.example", "--subject", "two\nlines"],
        ["--from", "a@client.example", "--to", "x@server.example, b@", "--body", "x"],
        ["--from", "a@client.example, (", "--to", "x@server.example", "--body", "x"],
    ],
)
def test_an_invalid_message_is_65(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    fails(capsys, 65, "send", *arguments)


@pytest.mark.parametrize(
    "part", [b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n"]
)
def test_a_message_that_is_nested_too_deep_is_65(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, part: bytes
) -> None:
    parts = [part % (level, level) if b"%" in part else part for level in range(500)]
    (tmp_path / "deep.eml").write_bytes(b"From: a@x\nTo: b@y\n" + b"".join(parts))
    assert "nested too deep" in fails(capsys, 65, "send", str(tmp_path / "deep.eml"))


def test_an_invalid_ca_file_is_78(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 78, "send", *HELLO, "--ca-file", __file__)


def test_an_unresolvable_host_is_68(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unresolvable(monkeypatch)
    assert "nowhere.invalid" in fails(capsys, 68, "send", "--host", "nowhere.invalid", *HELLO)


def test_a_refused_port_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = str(sock.getsockname()[1])
    assert f"port {port}: Connection refused (hint: " in fails(capsys, 69, "send", "--port", port, *HELLO)


def test_a_connection_that_times_out_is_75(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*arguments: object, **options: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("smtpcore.sync.open_stream", silent)
    fails(capsys, 75, "send", *HELLO)


def test_a_missing_greeting_is_75_after_the_given_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # the connection is made, but no greeting comes
        port = str(listener.getsockname()[1])
        said = fails(capsys, 75, "send", "--port", port, "--timeout", "0.05", *HELLO)
    assert "phase: greeting" in said


def test_a_connection_that_breaks_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda session: None) as port:  # it sends 421 and closes
        fails(capsys, 75, "send", "--port", port, *HELLO)


def test_a_lost_connection_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(b"220 mx\r\n") as port:
        fails(capsys, 75, "send", "--port", port, *HELLO)


def test_a_peer_that_does_not_speak_SMTP_is_76(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(b"SSH-2.0-OpenSSH_9.6\r\n") as port:
        fails(capsys, 76, "send", "--port", port, *HELLO)


@contextmanager
def scripted(greeting: bytes) -> Iterator[str]:
    """Run a server that sends a line and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def act() -> None:
            with listener.accept()[0] as sock:
                sock.sendall(greeting)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass

        thread = threading.Thread(target=act)
        thread.start()
        yield str(listener.getsockname()[1])
        thread.join()


# -- TLS --


def test_a_certificate_that_is_not_trusted_is_69(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server(), ssl_context=authority.server) as port:
        line = fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)
    assert "the certificate is not accepted" in line and "hint: " in line


def test_insecure_trusts_any_certificate_and_warns(
    capsys: pytest.CaptureFixture[str], authority: Authority
) -> None:
    with serving(Server(), ssl_context=authority.server) as port:
        assert main(["send", "--port", port, "--security", "starttls", "--insecure", *HELLO]) == 0
    assert "warning: --insecure" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("option", ["--insecure", "--trace"])
def test_a_message_is_sent_although_the_standard_error_is_full(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    server = Server()
    with serving(server) as port, open("/dev/full", "w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["send", "--port", port, option, *HELLO]) == 0
    assert len(server.messages) == 1


def test_tls_on_a_plain_port_is_69_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server()) as port:
        line = fails(capsys, 69, "send", "--port", port, "--security", "tls", *HELLO)
    assert "speaks plain SMTP first" in line


def test_starttls_that_is_not_offered_is_69(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server()) as port:
        fails(capsys, 69, "send", "--port", port, "--security", "starttls", *HELLO)


@pytest.mark.parametrize("security, port", [("tls", 465), ("starttls", 587), ("none", 25), (None, 25)])
def test_the_port_follows_from_the_security(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, security: str | None, port: int
) -> None:
    unresolvable(monkeypatch)
    arguments = ["--security", security] if security else []
    assert f"port {port}: " in fails(capsys, 68, "send", "--host", "x.invalid", *arguments, *HELLO)


# -- logging in --


@pytest.fixture
def submission(authority: Authority) -> Iterator[list[str]]:
    """Run a server that requires a login; yield the command that sends to it."""
    config = ServerConfig(auth_mechanisms=("PLAIN",), require_auth=True)
    with serving(Server(), ssl_context=authority.server, config=config) as port:
        yield ["send", "--port", port, "--security", "starttls", "--ca-file", authority.ca, *HELLO]


def test_a_password_is_read_from_a_file(submission: list[str], tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\r\na second line\n")
    assert main([*submission, "--user", "alice", "--password-file", str(tmp_path / "password")]) == 0


def test_a_password_is_asked_for_on_a_terminal(submission: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTPCORE_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr(getpass, "getpass", answer)
    assert main([*submission, "--user", "alice"]) == 0
    assert asked == ["Password of alice: "]


def test_no_password_and_no_terminal_is_64(
    submission: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMTPCORE_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert "--password-file" in fails(capsys, 64, *submission, "--user", "alice")


def test_a_wrong_password_is_77(
    submission: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", "guess")
    line = fails(capsys, 77, *submission, "--user", "alice")
    assert "535" in line and "guess" not in line


def test_a_missing_login_is_77(submission: list[str]) -> None:
    assert main(submission) == 77


def test_a_login_that_is_not_offered_is_77(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTPCORE_PASSWORD", PASSWORD)
    with serving(Server()) as port:
        fails(capsys, 77, "send", "--port", port, "--security", "none", "--user", "alice", *HELLO)


def test_a_login_that_fails_for_now_is_75() -> None:
    response = smtpcore.Response(smtpcore.Auth("PLAIN"), Reply(454, "4.7.0", "later"))
    assert _cli_send.exit_code(smtpcore.AuthenticationFailed(response)) == 75


# -- progress --


def big(tmp_path: Path) -> list[str]:
    (tmp_path / "big.bin").write_bytes(bytes(1_500_000))
    return [*HELLO, "--attach", str(tmp_path / "big.bin")]


def test_large_content_has_a_progress_bar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving(Server()) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 0
    bars = terminal.getvalue().split("\r")[1:]
    percents = [int(bar[32:36].rstrip("%")) for bar in bars]
    assert percents[0] == 0 and percents[-1] == 100 and percents == sorted(set(percents))
    assert bars[-1].startswith(f"[{'#' * 30}] 100% of ") and bars[-1].endswith(" octets\n")


def test_a_progress_bar_ends_its_line_before_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    unresolvable(monkeypatch)
    assert main(["send", "--host", "x.invalid", *big(tmp_path)]) == 68
    assert terminal.getvalue().startswith("smtpcore: ")  # no octet, so there is no bar to end
    terminal.truncate(0)
    terminal.seek(0)
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", terminal)
    with serving(Server(end=NO)) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 69
    assert " octets\nsmtpcore: " in terminal.getvalue()


def test_a_pipe_gets_no_progress_bar(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving(Server()) as port:
        assert main(["send", "--port", port, *big(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_a_message_is_refused_if_the_maildir_cannot_be_written(tmp_path: Path) -> None:
    maildir = MaildirHandler(tmp_path, trace=False)
    (tmp_path / "new").rmdir()
    with serving(maildir) as port:
        assert main(["send", "--port", port, *HELLO]) == 75  # so a script tries again
        assert list((tmp_path / "tmp").iterdir()) == []
        (tmp_path / "new").mkdir()
        assert main(["send", "--port", port, *HELLO]) == 0
    assert len(stored(tmp_path)) == 1


def test_a_refused_STARTTLS_is_69() -> None:
    assert _cli_send.exit_code(TlsUnavailable("the server refused STARTTLS")) == 69
