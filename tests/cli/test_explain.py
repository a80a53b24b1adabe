"""``explain``: the meaning of a reply, or of the text of an error."""

from __future__ import annotations

import pytest

from smtpcore import describe
from smtpcore._cli.explain import _TEXTS
from smtpcore._cli.main import main


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    assert main(["explain", *words]) == 0
    lines = [line.split(":", 1) for line in capsys.readouterr().out.splitlines()]
    return {name: line.strip() for name, line in lines}


@pytest.mark.parametrize(
    "text, reply, advice",
    [
        ("535 5.7.8", "535 5.7.8", "user name or password are wrong"),
        ("535-5.7.8 Username and Password not accepted", "535 5.7.8", "user name or password are wrong"),
        ("(535, b'5.7.8 Error: authentication failed')", "535 5.7.8", "user name or password are wrong"),
        ("failed: MAIL was answered 530 5.7.0 log in", "530 5.7.0", "give --user"),
        ("550 5.1.1 no such user", "550 5.1.1", "check the spelling"),
        ("421 4.4.2 timeout exceeded", "421 4.4.2", "sessions that are idle or slow"),
        ("452", "452", "try again later, with fewer"),
        ("538 5.7.11", "538 5.7.11", "--security starttls"),
        ("550 2.1.1 a class of another code", "550", None),
        ("571", None, None),
    ],
)
def test_a_reply_is_explained_by_its_codes(
    capsys: pytest.CaptureFixture[str], text: str, reply: str | None, advice: str | None
) -> None:
    if reply is None:
        assert main(["explain", text]) == 65
        return
    lines = explained(capsys, *text.split())
    assert lines["reply"] == reply
    assert lines["meaning"] == describe(reply)
    assert lines["kind"].startswith("a temporary" if reply.startswith("4") else "a permanent")
    assert (advice in lines["try"]) if advice else "try" not in lines


@pytest.mark.parametrize("text, kind", [("250 2.0.0 ok", "success"), ("354 go", "the server waits for more")])
def test_a_success_is_explained_without_advice(
    capsys: pytest.CaptureFixture[str], text: str, kind: str
) -> None:
    lines = explained(capsys, text)
    assert lines["kind"] == kind and "try" not in lines


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "began with TLS"),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, (_ssl.c:1006)",
            "for another name",
        ),
        ("ssl.SSLCertVerificationError: certificate verify failed: self-signed certificate", "authority"),
        ("ConnectionRefusedError: [Errno 111] Connection refused", "no server listens"),
        ("smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out", "in time"),
        ("socket.gaierror: [Errno -2] Name or service not known", "has no address"),
        ("the certificate is not accepted: unable to get local issuer certificate", "authority"),
        ("PermissionError: [Errno 13] Permission denied", "below 1024"),
        ("line 3 of the content has a bare LF: every line must end in CRLF", "does not end in CRLF"),
        ("not a valid SMTP reply: a line does not begin with a reply code from 200 to 599", "not speak SMTP"),
    ],
)
def test_the_text_of_an_error_is_explained(capsys: pytest.CaptureFixture[str], text: str, meaning: str) -> None:
    lines = explained(capsys, text)
    assert meaning in lines["meaning"] and lines["try"]


def test_each_text_of_the_table_is_found_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for parts, meaning, _ in _TEXTS:
        for part in parts:
            assert explained(capsys, part.upper())["meaning"] == meaning


@pytest.mark.parametrize(
    "status, meaning, kind, advice",
    [
        ("5.1.1", "recipient mailbox does not exist", "a permanent failure", "check the spelling"),
        ("4.7.1", "not authorized, refused", "a temporary failure", "try again later"),
        ("5.7.8", "credentials invalid", "a permanent failure", "user name or password are wrong"),
        ("2.1.5", "recipient address valid", "success", None),
    ],
)
def test_an_enhanced_status_code_alone_is_explained(
    status: str, meaning: str, kind: str, advice: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = explained(capsys, status)
    assert lines["status"] == status and lines["meaning"] == meaning
    assert lines["kind"].startswith(kind)
    assert (advice in lines["try"]) if advice else "try" not in lines


@pytest.mark.parametrize(
    "text, meaning",
    [
        ("the server closed the connection without a reply to RCPT", "closed the connection"),
        ("line 1 of the content has a bare LF: every line must end in CRLF", "does not end in CRLF"),
        ("line 3 of the content is longer than 998 octets", "longer than"),
        ("the address 'j\xf6rg@x.example' is not ASCII, and the server does not offer SMTPUTF8", "not ASCII"),
        ("not a valid SMTP reply: a line does not begin with a reply code", "not speak SMTP"),
    ],
)
def test_texts_of_our_own_errors_are_explained(
    text: str, meaning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meaning in explained(capsys, text)["meaning"]


def test_an_unknown_text_is_65(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "nonsense"]) == 65
    assert capsys.readouterr().err.startswith("smtpcore: nothing is known about 'nonsense' (hint: ")


@pytest.mark.parametrize(
    "text, code",
    [
        ("SMTPDataError: (550, b'5.7.1 Permission denied')", "550 5.7.1"),
        ("smtplib.SMTPConnectError: (421, b'4.4.2 timeout exceeded')", "421 4.4.2"),
        ("to=<bob@example.org>, status=bounced (host said: 554 5.7.1 address already in use)", "554 5.7.1"),
    ],
)
def test_a_reply_counts_before_the_words_of_its_text(
    text: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(capsys, text)["reply"].startswith(code)


def test_a_number_of_seconds_is_not_a_reply(capsys: pytest.CaptureFixture[str]) -> None:
    assert "reply" not in explained(capsys, "timed out after 300 s")
