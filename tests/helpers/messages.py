"""A message to three recipients: the lines in which a client sends it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest

from smtpcore import (
    SendResult,
    SMTPError,
    TlsInfo,
)
from smtpcore._net.client import Client
from smtpcore._net.stream import run

from .scripted import (
    GREETING,
    Stream,
    connect,
    ehlo,
    talk,
)

SENDER = "a@client.example"
ONE, TWO, THREE = "one@mx.example", "two@mx.example", "three@mx.example"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
MAIL, RCPT, RCPT2, RCPT3 = (
    f"MAIL FROM:<{SENDER}>",
    f"RCPT TO:<{ONE}>",
    f"RCPT TO:<{TWO}>",
    f"RCPT TO:<{THREE}>",
)
DOT = CONTENT + b".\r\n"
INFO = TlsInfo("TLSv1.3", "A_CIPHER")


def group(*commands: str) -> str:
    return "\n".join(commands)


def sending(*recipients: str, content: Any = CONTENT) -> Callable[[Client], Any]:
    return lambda client: client.send(SENDER, recipients or (ONE,), content)


def failure(steps: Any, conversation: Callable[[Client], Any], kind: type[SMTPError], **options: Any) -> Any:
    """The error that a conversation ends with; of exactly this class."""
    with pytest.raises(kind) as caught:
        talk(steps, conversation, **options)
    assert type(caught.value) is kind
    return caught.value


def result_of(error: SMTPError) -> SendResult:
    assert isinstance(error.result, SendResult)
    return error.result


def table(result: SendResult) -> list[tuple[str, int | None, bool, bool]]:
    return [
        (one.recipient[: one.recipient.index("@")], one.reply and one.reply.code, one.accepted, one.retryable)
        for one in result.results
    ]


UNPIPELINED = [(MAIL, "250 ok"), (RCPT, "250 ok"), ("DATA", "354 go")]


class Whatever(Exception):
    pass


def email(**fields: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in {"From": SENDER, "To": ONE, "Subject": "x", **fields}.items():
        message[name.replace("_", "-")] = value
    message.set_content("body\n")
    return message


def content_of(stream: Stream) -> bytes:
    return stream.written.partition(b"DATA\r\n")[2].partition(b"\r\n.\r\n")[0]


OFFER = ("PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN")
BEFORE_TLS = [GREETING, ehlo(*OFFER), ("STARTTLS", "220 go")]


def introduced(steps: Any, *, last: Any = b"", name: str = "client.example", **options: Any) -> Client:
    """Connect, against a script that goes no further; then leave."""
    given = {"local_hostname": name, "security": None, **options}
    port = given.pop("port", 25)
    clock = given.pop("clock", None)
    stream = Stream(steps, clock=clock, **({"sockname": given.pop("sockname")} if "sockname" in given else {}))
    try:
        client = connect(stream, port=port, **given)
        run(client.quit())
    finally:
        stream.finish(last)
    return client


def refused(steps: Any, kind: type[SMTPError], **options: Any) -> Any:
    with pytest.raises(kind) as caught:
        introduced(steps, **options)
    assert type(caught.value) is kind
    assert caught.value.context is not None
    return caught.value


PLAIN = "AUTH PLAIN AGpvZQBzZWNyZXQ="
