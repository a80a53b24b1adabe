"""AUTH exchanges by themselves: what each side makes of the lines of the other."""

from __future__ import annotations

import pytest

from smtpcore import Auth, Reply
from smtpcore._core.auth import ClientExchange, ServerExchange
from smtpcore.sasl import (
    Challenge,
    ClientMechanism,
    Credentials,
    Failed,
    LoginClient,
    LoginServer,
    MechanismError,
    PlainClient,
    PlainServer,
    SecretRequest,
    ServerMechanism,
    Step,
    StoredSecret,
    Succeeded,
    encode_base64,
)

from ..helpers.standard import RULES

CREDENTIALS = encode_base64(b"\0alice\0secret")


class Proving(ClientMechanism):
    """A mechanism in which the server has to prove its identity."""

    name = "X-PROVING"
    __slots__ = ("proven",)

    def __init__(self) -> None:
        self.proven = False

    def initial_response(self) -> bytes:
        return b""

    def respond(self, challenge: bytes) -> bytes:
        self.proven = challenge == b"proof"
        return b"response to " + challenge

    def verify_success(self) -> None:
        if not self.proven:
            raise MechanismError("the server has not proven its identity")


def plain(most: int = 20) -> ClientExchange:
    return ClientExchange(PlainClient("alice", "secret"), most)


# --- The client ---------------------------------------------------------------------------------------------


def test_the_initial_response_is_in_the_command_if_it_fits() -> None:
    line = f"AUTH PLAIN {CREDENTIALS}\r\n".encode()
    assert plain().command(RULES, len(line)) == (Auth("PLAIN", CREDENTIALS), line)


def test_an_initial_response_that_does_not_fit_is_the_response_to_an_empty_challenge() -> None:
    exchange = plain()
    fits = len(f"AUTH PLAIN {CREDENTIALS}\r\n")
    assert exchange.command(RULES, fits - 1) == (Auth("PLAIN"), b"AUTH PLAIN\r\n")
    assert exchange.respond("") == b"\0alice\0secret"
    assert exchange.respond("") is None, "it is given once"


def test_a_server_that_sends_first_is_asked_without_an_initial_response() -> None:
    exchange = ClientExchange(LoginClient("alice", "secret"), 20)
    assert exchange.initial is None
    assert exchange.command(RULES, 5) == (Auth("LOGIN"), b"AUTH LOGIN\r\n")
    assert [exchange.respond(encode_base64(text)) for text in (b"Username:", b"Password:")] == [
        b"alice",
        b"secret",
    ]
    assert exchange.finish() == ""


@pytest.mark.req("AUT-09")
def test_an_empty_initial_response_is_sent_as_an_equals_sign() -> None:
    assert ClientExchange(Proving(), 20).command(RULES, 512)[1] == b"AUTH X-PROVING =\r\n"


def test_the_names_of_the_user_are_known_and_the_password_is_not_among_them() -> None:
    assert ClientExchange(PlainClient("alice", "secret", "admin"), 20).names == {"alice", "admin"}
    assert ClientExchange(Proving(), 20).names == frozenset()


@pytest.mark.parametrize("challenge", ["no base64", "====", "x"])
def test_a_challenge_that_is_not_base64_cancels_the_exchange(challenge: str) -> None:
    exchange = ClientExchange(Proving(), 20)
    assert exchange.respond(challenge) is None
    assert exchange.cancelled
    assert exchange.finish() == "the exchange had been cancelled"


def test_too_many_challenges_cancel_the_exchange() -> None:
    exchange = ClientExchange(Proving(), 2)
    assert [exchange.respond("") for _ in range(3)] == [b"response to ", b"response to ", None]
    assert exchange.cancelled


def test_a_success_is_believed_only_if_the_server_has_proven_its_identity() -> None:
    exchange = ClientExchange(Proving(), 20)
    assert exchange.finish() == "the server has not proven its identity"
    assert exchange.respond(encode_base64(b"proof")) == b"response to proof"
    assert exchange.finish() == ""
    assert not exchange.cancelled


# --- The server ---------------------------------------------------------------------------------------------


class First(ServerMechanism):
    """A mechanism in which the server sends first, and asks for a stored secret."""

    name = "X-FIRST"
    server_first = True
    __slots__ = ()

    def first_challenge(self) -> bytes:
        return b"nonce"

    def step(self, response: bytes) -> Step:
        return self.ask(SecretRequest(self.name, response.decode(), None))

    def supply(self, secret: str | StoredSecret | None) -> Step:
        self.answer()
        return Failed("no such account") if secret is None else Succeeded(str(secret))


def code_and_status(step: Step | Reply) -> tuple[int, str]:
    assert isinstance(step, Reply)
    return step.code, str(step.status)


def test_an_initial_response_is_the_first_step() -> None:
    question = Credentials("PLAIN", "alice", None, "secret")
    assert ServerExchange(PlainServer()).begin(CREDENTIALS) == question
    exchange = ServerExchange(PlainServer())
    assert exchange.begin(None) == Challenge(b"")
    assert exchange.respond(CREDENTIALS.encode()) == question


def test_a_mechanism_in_which_the_server_sends_first_has_no_initial_response() -> None:
    assert code_and_status(ServerExchange(First()).begin("=")) == (501, "5.7.0")
    assert ServerExchange(First()).begin(None) == Challenge(b"nonce")


@pytest.mark.parametrize("text", ["no base64", "x", "AB=C"])
def test_what_is_not_base64_is_a_reply(text: str) -> None:
    assert code_and_status(ServerExchange(PlainServer()).begin(text)) == (501, "5.5.2")
    exchange = ServerExchange(LoginServer())
    exchange.begin(None)
    assert code_and_status(exchange.respond(text.encode())) == (501, "5.5.2")


def test_a_client_can_cancel_the_exchange() -> None:
    exchange = ServerExchange(LoginServer())
    exchange.begin(None)
    assert code_and_status(exchange.respond(b"*")) == (501, "5.7.0")


def test_the_application_decides_about_credentials() -> None:
    exchange = ServerExchange(PlainServer())
    exchange.begin(CREDENTIALS)
    assert exchange.accept("admin") == Succeeded("admin")
    exchange = ServerExchange(PlainServer())
    exchange.begin(CREDENTIALS)
    assert (exchange.refusal.code, str(exchange.refusal.status)) == (535, "5.7.8")
    later = Reply(454, "4.7.0", "try again later")
    assert isinstance(exchange.reject(later), Failed)
    assert exchange.refusal == later


def test_the_application_supplies_a_stored_secret() -> None:
    for secret, step in [("secret", Succeeded("secret")), (None, Failed("no such account"))]:
        exchange = ServerExchange(First())
        exchange.begin(None)
        assert exchange.respond(encode_base64(b"alice").encode()) == SecretRequest("X-FIRST", "alice", None)
        assert exchange.supply(secret) == step
