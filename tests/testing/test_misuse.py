"""Arguments of the wrong type: each error names the argument and what is accepted, before anything starts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from smtpcore import ArgumentTypeError, ClientConnection, LocalProtocolError, ServerConnection
from smtpcore.extensions import SIZE
from smtpcore.testing import (
    AsyncMailServer,
    MailServer,
    ReceivedMail,
    ScriptedClient,
    ScriptedServer,
    assert_mail,
    early_552,
    greylist,
    legal,
    on,
    pair,
    parse_rule,
    rate_limit,
    serve_with_faults,
    strategies,
    tarpit,
)
from smtpcore.testing.machines import ServerMachine, differ, fuzz_client

from ..interop.ours import Mailbox

RCPT = on("RCPT")
WRONG: list[tuple[Callable[..., object], Any, str]] = [
    (on, None, "verb is a string, not NoneType None"),
    (on, b"RCPT", "verb is a string, not bytes b'RCPT'"),
    (lambda nth: on("RCPT", nth=nth), "2", "nth is a whole number, not str '2'"),
    (lambda nth: on("RCPT", nth=nth), 1.5, "nth is a whole number"),
    (lambda nth: on("RCPT", nth=nth), True, "nth is a whole number"),
    (lambda times: on("RCPT", times=times), 2.5, "times is a whole number"),
    (lambda after: on("CONTENT", after=after), None, "after is a whole number"),
    (RCPT.reply, b"451 later", "a reply is a string, not bytes b'451 later'"),
    (RCPT.reply, 451, "a reply is a string, not int 451"),
    (RCPT.garbage, "\0", "garbage is bytes, not str"),
    (RCPT.garbage, None, "garbage is bytes, not NoneType"),
    (RCPT.delay, "3", "a delay is a number of seconds, not str '3'"),
    (RCPT.delay, None, "a delay is a number of seconds"),
    (RCPT.disconnect, None, r"disconnect\(after\) is a whole number"),
    (RCPT.disconnect, 1.5, r"disconnect\(after\) is a whole number"),
    (RCPT.split, "1", r"split\(octets\) is a whole number"),
    (RCPT.split, 1.5, r"split\(octets\) is a whole number"),
    (tarpit, "1", "a delay is a number of seconds"),
    (rate_limit, "1", "messages is a whole number"),
    (early_552, None, "after is a whole number"),
    (parse_rule, b"greylist", "a fault is a string, not bytes"),
    (MailServer, "greylist", r"a fault is a rule, such as greylist\(\) or .*, not str 'greylist'"),
    (MailServer, greylist, r"a fault is a rule, such as greylist\(\) or .*, not function"),
    (MailServer, [greylist()], "a fault is a rule, .*, not list"),
    (
        lambda faults: serve_with_faults(faults, Mailbox()),
        greylist(),
        "faults is an iterable of rules, not Rule",
    ),
    (
        lambda faults: serve_with_faults(faults, Mailbox()),
        "greylist",
        "faults is an iterable of rules, not str",
    ),
    (
        lambda users: MailServer(users=users),
        ("joe", "secret"),
        "passwords by user name, both strings, not tuple",
    ),
    (lambda users: MailServer(users=users), {"joe": b"secret"}, r"both strings, not {str: bytes}"),
    (ScriptedServer, b"S: 220 mx", "script is a string, not bytes"),
    (ScriptedClient, None, "script is a string, not NoneType"),
    (lambda timeout: ScriptedServer("S: 220 mx", timeout=timeout), "1", "timeout is a number of seconds"),
    (lambda timeout: ScriptedClient("S: 220 mx", timeout=timeout), None, "timeout is a number of seconds"),
    (
        lambda client: pair(client, ServerConnection("mx.example")),
        ServerConnection("mx"),
        "client is a ClientCon",
    ),
    (lambda server: pair(ClientConnection(), server), None, "server is a ServerConnection, not NoneType"),
    (
        lambda cuts: pair(ClientConnection(), ServerConnection("mx.example"), cuts=cuts),
        1,
        "cuts is an iterable of whole numbers, not int 1",
    ),
    (
        lambda delays: pair(ClientConnection(), ServerConnection("mx.example"), delays=delays),
        ["1"],
        "each of delays is a whole number, not str '1'",
    ),
    (legal, None, "transcript is a sequence of pairs, such as"),
    (
        legal,
        [("server", b"220 mx\r\n")],
        "each item of transcript is a pair of 'C', 'S', 'TLS' or 'EOF', and bytes",
    ),
    (legal, [("S", "220 mx\r\n")], "each item of transcript is a pair of .*, not tuple"),
    (legal, "S: 220 mx", "each item of transcript is a pair of .*, not str 'S'"),
    (ServerMachine.against, None, "a target is a pair of host and port, or a function .*, not NoneType"),
    (ServerMachine.against, ("127.0.0.1",), "a target is a pair of host and port"),
    (ServerMachine.against, ("127.0.0.1", None), "port is a number from 1 to 65535"),
    (lambda stored: ServerMachine.against("localhost", stored=stored), [], "stored is a function"),
    (lambda server: differ(("localhost", 25), server), "localhost", "a target is a pair of host and port"),
    (
        lambda client: fuzz_client(client, recipients=["a@b"], content=b""),
        None,
        "client is a function of a host",
    ),
    (lambda to: fuzz_client(print, recipients=to, content=b""), "a@b", "recipients is a sequence of strings"),
    (lambda text: fuzz_client(print, recipients=["a@b"], content=text), "x", "content is bytes, not str"),
    (strategies.chunked, "a", "octets is bytes, not str 'a'"),
    (strategies.replies, "250", "codes is a sequence of numbers, not str '250'"),
    (strategies.replies, 250, "codes is a sequence of numbers, not int 250"),
    (strategies.commands, "SIZE", "extensions is a sequence of extensions, or None, not str 'SIZE'"),
    (strategies.commands, SIZE, "extensions is a sequence of extensions, or None, not Extension"),
    (
        strategies.command_lines,
        "NOOP",
        r"source is a Command, such as Noop\(\), or a strategy .*, not str 'NOOP'",
    ),
    (assert_mail, None, "messages is a MailServer, or the messages of one, not NoneType"),
    (assert_mail, ["Report"], "messages is a MailServer, or the messages of one, not list"),
    (
        assert_mail,
        ReceivedMail("", (), b""),
        "messages is a MailServer, or the messages of one, not ReceivedMail",
    ),
]


@pytest.mark.parametrize("call, value, problem", WRONG)
def test_an_argument_of_the_wrong_type_is_named(call: Callable[..., object], value: Any, problem: str) -> None:
    threads = threading.active_count()
    with pytest.raises(ArgumentTypeError, match=problem):
        call(value)
    assert threading.active_count() == threads


def test_a_password_of_the_wrong_type_is_not_shown() -> None:
    users: Any = {"joe": b"secret"}
    with pytest.raises(ArgumentTypeError) as caught:
        MailServer(users=users)
    assert "secret" not in str(caught.value)
    assert "joe" not in str(caught.value)


@pytest.mark.parametrize("tls", [True, False, "STARTTLS", "tls"])
def test_a_mode_of_tls_that_does_not_exist_is_refused(tls: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"tls is 'starttls', 'implicit' or None, not {tls!r}"):
        MailServer(tls=tls)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("peer", [ScriptedServer, ScriptedClient])
def test_a_script_has_a_finite_timeout_above_0(peer: Callable[..., object], timeout: float) -> None:
    with pytest.raises(LocalProtocolError, match=r"timeout is a .*number of seconds"):
        peer("S: 220 mx", timeout=timeout)


def test_parameters_are_those_of_MAIL_or_RCPT() -> None:
    with pytest.raises(LocalProtocolError, match="command is 'MAIL' or 'RCPT', not 'DATA'"):
        strategies.parameters("DATA")  # type: ignore[arg-type]


def test_servers_are_compared_by_class_or_code() -> None:
    with pytest.raises(LocalProtocolError, match="compare is 'class' or 'code', not 'text'"):
        differ(("localhost", 25), ("localhost", 25), compare="text")  # type: ignore[arg-type]


def test_a_running_server_refuses_what_is_wrong() -> None:
    """An error in the middle of a session would be a 421 to the client, and not an error of the test."""
    with MailServer() as server:
        wrong: Any
        for wrong in (None, "greylist", greylist):
            with pytest.raises(ArgumentTypeError, match="a fault is a rule"):
                server.add(wrong)
        with pytest.raises(ArgumentTypeError, match="a reply is a string, not int 451"):
            server.fail_next("RCPT", 451)  # type: ignore[arg-type]
        wanted: list[dict[str, Any]] = [{"to": ["a@b"]}, {"subject": b"Report"}, {"timeout": None}]
        for wrong in wanted:
            with pytest.raises(ArgumentTypeError, match=f"{next(iter(wrong))} is a "):
                server.wait_for(**wrong)
        with pytest.raises(LocalProtocolError, match="timeout is a number of seconds, 0 or more, not -1"):
            server.wait_for(timeout=-1)
        for name in ("to", "sender", "subject", "contains"):
            with pytest.raises(ArgumentTypeError, match=f"{name} is a string, not bytes b'a'"):
                assert_mail(server, **{name: b"a"})
        assert server.messages == []


def test_the_messages_of_an_async_server_can_be_asserted() -> None:
    mail = ReceivedMail("", ("bob@example.org",), b"Subject: Report\r\n\r\n")
    with MailServer() as server:
        server._inbox.messages.append(mail)
        assert assert_mail(AsyncMailServer(server), to="bob@example.org") is mail
        with pytest.raises(AssertionError, match="no client has connected"):
            assert_mail(AsyncMailServer(server), to="eve@example.org")


def test_a_wait_may_be_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = ReceivedMail("", ("bob@example.org",), b"")

    def wait(seconds: float) -> bool:
        assert seconds <= threading.TIMEOUT_MAX  # a longer one is an OverflowError
        server._inbox.messages.append(mail)
        return True

    with MailServer() as server:
        monkeypatch.setattr(server._inbox.changed, "wait", wait)
        assert server.wait_for(timeout=float("inf")) is mail
