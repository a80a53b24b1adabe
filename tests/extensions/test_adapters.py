"""Commands of extensions over a stream: ``client.command()`` and ``on_command()``."""

from __future__ import annotations

from typing import Any

import pytest

from smtpcore import Auth, Data, Expn, LocalProtocolError, Reply, ReplyError, StartTls

from ..helpers.scripted import QUIT, serve, talk
from .test_private import EXTENSIONS, HoldStatus, private


@pytest.mark.req("EXT-07")
def test_command_returns_the_reply() -> None:
    steps = [("HOLD-STATUS a", "250 one"), ("EXPN staff", "250 a@client.example"), QUIT]

    async def conversation(client: Any) -> list[Reply]:
        return [await client.command(HoldStatus("a")), await client.command(Expn("staff"))]

    replies = talk(steps, conversation, keywords=["HOLD 24"], extensions=EXTENSIONS)
    assert [reply.text for reply in replies] == ["one", "a@client.example"]


def test_command_raises_a_refusal() -> None:
    with pytest.raises(ReplyError, match="550 no"):
        talk(
            [("HOLD-STATUS", "550 no"), QUIT],
            lambda client: client.command(HoldStatus()),
            keywords=["HOLD 24"],
            extensions=EXTENSIONS,
        )


@pytest.mark.parametrize("command", [Data(), StartTls(), Auth("PLAIN")])
def test_command_sends_nothing_that_another_method_sends(command: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"command.. does not send {command.verb}"):
        talk([QUIT], lambda client: client.command(command), keywords=["STARTTLS", "AUTH PLAIN"])


@pytest.mark.req("EXT-06")
@pytest.mark.parametrize(
    "decision, reply",
    [(True, "250"), (False, "550"), (None, "451"), (Reply(250, "2.0.0", "one"), "250 2.0.0 one")],
)
def test_on_command_decides(decision: Any, reply: str) -> None:
    class Handler:
        def on_command(self, session: object, command: object) -> Any:
            assert command == HoldStatus("a")
            return decision

    steps = [("220", "EHLO client.example"), ("250", "HOLD-STATUS a"), (reply, "QUIT")]
    serve(Handler(), steps, last="221", config=private.CONFIG)
