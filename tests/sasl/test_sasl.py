"""SASL: the step interface, PLAIN, LOGIN, base64, SASLprep.

Client and server mechanisms are joined by ``converse()``, which drives both as the two cores do and keeps
what would be on the wire. Three toy mechanisms show that the interface carries more than one message.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import stringprep
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpcore import sasl
from smtpcore._core.errors import ArgumentTypeError, LocalProtocolError
from smtpcore.sasl import (
    CLIENT_MECHANISMS,
    SERVER_MECHANISMS,
    AuthQuestion,
    Challenge,
    ClientMechanism,
    Credentials,
    Failed,
    LoginClient,
    LoginServer,
    MechanismError,
    PasswordMechanism,
    PlainClient,
    PlainServer,
    SecretRequest,
    ServerMechanism,
    Step,
    StoredSecret,
    Succeeded,
    choose_mechanism,
    decode_base64,
    decode_initial_response,
    encode_base64,
    encode_initial_response,
    saslprep,
)

# --- Client joined to server ------------------------------------------------------------------------------

Decision = Callable[[ServerMechanism, AuthQuestion], Step]


@dataclass
class Conversation:
    wire: list[str]
    questions: list[AuthQuestion]
    outcome: Succeeded | Failed | None  # None: the client gave up
    error: MechanismError | None = None


def accept(mechanism: ServerMechanism, question: AuthQuestion) -> Step:
    return mechanism.accepted()


def reject(mechanism: ServerMechanism, question: AuthQuestion) -> Step:
    return mechanism.rejected()


def converse(
    client: ClientMechanism, server: ServerMechanism, decide: Decision = accept, *, line_limit: int = 512
) -> Conversation:
    """Drive both sides to the end, as the cores do."""
    talk = Conversation([], [], None)
    initial = client.initial_response()
    held = None
    line = f"AUTH {client.name}"
    if initial is not None:
        if len(line) + 1 + len(encode_initial_response(initial)) + 2 <= line_limit:
            line += " " + encode_initial_response(initial)
        else:
            held = initial
    talk.wire.append(line)

    _, _, argument = line.removeprefix("AUTH ").partition(" ")
    step = server.start(decode_initial_response(argument) if argument else None)
    while True:
        if isinstance(step, AuthQuestion):
            talk.questions.append(step)
            step = decide(server, step)
        elif isinstance(step, Challenge):
            talk.wire.append("334 " + encode_base64(step.data))
            try:
                challenge = decode_base64(talk.wire[-1].removeprefix("334 "))
                if held is None:
                    response = client.respond(challenge)
                else:
                    assert challenge == b""
                    response, held = held, None
            except MechanismError as error:
                talk.wire.append("*")
                talk.error = error
                return talk
            talk.wire.append(encode_base64(response))
            step = server.step(decode_base64(talk.wire[-1]))
        else:
            talk.outcome = step
            if isinstance(step, Succeeded):
                try:
                    client.verify_success()
                except MechanismError as error:
                    talk.error = error
            return talk


# Any text that PLAIN can carry: no NUL, no surrogates, not empty.
plain_character = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
plain_text = st.text(plain_character, min_size=1, max_size=300)


@pytest.mark.req("SAS-03", "AUT-29")
@given(plain_text, plain_text, st.integers(0, 1000))
def test_plain_gives_back_exactly_the_credentials(username: str, password: str, line_limit: int) -> None:
    talk = converse(PlainClient(username, password), PlainServer(prepare=False), line_limit=line_limit)
    assert talk.questions == [Credentials("PLAIN", username, None, password)]
    assert talk.outcome == Succeeded(username)


@given(plain_text, plain_text)
def test_login_gives_back_exactly_the_credentials(username: str, password: str) -> None:
    talk = converse(LoginClient(username, password), LoginServer(prepare=False))
    assert talk.questions == [Credentials("LOGIN", username, None, password)]
    assert talk.outcome == Succeeded(username)


@given(plain_text, plain_text, st.sampled_from([PlainClient, LoginClient]))
@example("I\u00adX", "\u2168", PlainClient)
@example("\u00ad", "secret", LoginClient)
@example("alice", "\u0627\u0031", PlainClient)
def test_a_preparing_server_sees_prepared_credentials_or_fails(
    username: str, password: str, mechanism: type[PasswordMechanism]
) -> None:
    talk = converse(mechanism(username, password), SERVER_MECHANISMS[mechanism.name]())
    try:
        prepared = saslprep(username), saslprep(password)
    except LocalProtocolError:
        prepared = "", ""
    if all(prepared):
        assert talk.questions == [Credentials(mechanism.name, prepared[0], None, prepared[1])]
        assert talk.outcome == Succeeded(prepared[0])
    else:
        assert talk.questions == []
        assert isinstance(talk.outcome, Failed) and talk.outcome.malformed


# --- base64 -----------------------------------------------------------------------------------------------


@pytest.mark.req("AUT-14", "AUT-15")
@pytest.mark.parametrize(
    "text",
    [
        "!!!!",
        "AAA",
        "AA",
        "A",
        "AAAAA",
        "=AAA",
        "AAA=BBB",
        "AA==BB==",
        "AAA=BBBB",
        "AA==x",
        "AAAA=",
        "AAAA====",
        "=",
        "==",
        "====",
        "A===",
        "AA=A",
        "AA AA",
        " AAAA",
        "AAAA ",
        "AAAA\n",
        "AAAA\r\n",
        "AA\x00AA",
        "AA-_",
        "AB==",  # the four bits left over are not zero
        "AAB=",  # nor are the two
        "AGFs\xe9WNl",
        "AAAA\u0100",
        "*",
        '"AAAA"',
    ],
)
def test_malformed_base64_is_refused(text: str) -> None:
    with pytest.raises(MechanismError, match="base64"):
        decode_base64(text)
    if text.isascii():
        with pytest.raises(MechanismError):
            decode_base64(text.encode())


@pytest.mark.req("AUT-15")
@given(
    st.one_of(
        st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()),
        st.text("AQgw+/=9 \n-", max_size=9),
        st.text(max_size=9),
    )
)
def test_base64_accepts_exactly_the_canonical_encodings(text: str) -> None:
    # base64          = base64-terminal / ( 1*(4base64-char) [base64-terminal] )
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    pads = len(text) - len(body)
    canonical = len(text) % 4 == 0 and pads < 3 and all(character in alphabet for character in body)
    if canonical and pads:
        canonical = alphabet.index(body[-1]) % (4 if pads == 1 else 16) == 0
    if canonical:
        assert encode_base64(decode_base64(text)) == text
    else:
        with pytest.raises(MechanismError):
            decode_base64(text)


@given(st.binary(max_size=300))
def test_base64_round_trip(data: bytes) -> None:
    text = encode_base64(data)
    assert text == base64.b64encode(data).decode()
    assert decode_base64(text) == decode_base64(text.encode()) == data
    assert decode_initial_response(encode_initial_response(data)) == data


@pytest.mark.req("AUT-09")
def test_an_empty_initial_response_is_an_equals_sign() -> None:
    assert encode_initial_response(b"") == "="
    assert decode_initial_response("=") == b""
    assert decode_initial_response(b"=") == b""
    assert encode_initial_response(b"\0") == "AA=="
    with pytest.raises(MechanismError):
        decode_initial_response("")


def test_an_equals_sign_is_not_base64_after_the_initial_response() -> None:
    assert encode_base64(b"") == ""
    assert decode_base64("") == b""
    with pytest.raises(MechanismError):
        decode_base64("=")


# --- PLAIN, server ----------------------------------------------------------------------------------------


@pytest.mark.req("SAS-05")
def test_plain_server_asks_about_the_credentials() -> None:
    server = PlainServer()
    assert server.start(b"\0tim\0tanstaaftanstaaf") == Credentials("PLAIN", "tim", None, "tanstaaftanstaaf")
    assert server.accepted() == Succeeded("tim")


def test_plain_server_without_initial_response_sends_an_empty_challenge() -> None:
    server = PlainServer()
    assert server.start(None) == Challenge(b"")
    assert server.step(b"\0tim\0secret") == Credentials("PLAIN", "tim", None, "secret")
    rejected = server.rejected()
    assert isinstance(rejected, Failed) and not rejected.malformed


def test_plain_server_reads_an_empty_initial_response_as_a_message() -> None:
    assert PlainServer().start(b"") == Failed("a PLAIN message has exactly two NULs", malformed=True)


@pytest.mark.req("SAS-01")
@pytest.mark.parametrize(
    "message", [b"", b"alice", b"alice\0secret", b"\0alice\0secret\0", b"\0a\0b\0c", b"\0" * 3]
)
def test_plain_server_needs_exactly_two_nuls(message: bytes) -> None:
    step = PlainServer().start(message)
    assert isinstance(step, Failed) and step.malformed


@pytest.mark.req("SAS-02")
@pytest.mark.parametrize("prepare", [True, False])
@pytest.mark.parametrize(
    "message",
    [
        b"\0\0password",
        b"\0alice\0",
        b"\0\0",
        b"\0al\xffice\0secret",
        b"\0alice\0se\xffcret",
        b"ad\xffmin\0alice\0secret",
        b"\0alice\0\xc0\x80",  # an overlong NUL
        b"\0alice\0\xed\xa0\x80",  # a surrogate
        b"\0alice\0\xf4\x90\x80\x80",  # beyond Unicode
    ],
)
def test_plain_server_needs_a_name_and_a_password_in_utf8(message: bytes, prepare: bool) -> None:
    step = PlainServer(prepare=prepare).start(message)
    assert isinstance(step, Failed) and step.malformed


@pytest.mark.req("SAS-03")
@pytest.mark.parametrize("part", ["x" * 255, "\U0001f511" * 63 + "xyz", "\u00e9" * 127 + "x"])
def test_plain_server_accepts_255_octets_of_each(part: str) -> None:
    octets = part.encode()
    assert len(octets) == 255
    step = PlainServer().start(octets + b"\0" + octets + b"\0" + octets)
    assert step == Credentials("PLAIN", part, part, part)


@pytest.mark.req("SAS-06")
@pytest.mark.parametrize("name", ["\u0007", "\u0627\u0031", "\ue000", "\u00ad"])
def test_PLAIN_server_refuses_text_that_SASLprep_refuses_or_empties(name: str) -> None:
    octets = name.encode()
    for message in (b"\0" + octets + b"\0secret", b"\0alice\0" + octets):
        step = PlainServer().start(message)
        assert isinstance(step, Failed) and step.malformed
        assert isinstance(PlainServer(prepare=False).start(message), Credentials)


@pytest.mark.req("SAS-06")
def test_PLAIN_server_prepares_before_it_compares() -> None:
    message = "\u2168\0I\u00adX\0\u00aa".encode()
    assert PlainServer().start(message) == Credentials("PLAIN", "IX", "IX", "a")
    assert PlainServer(prepare=False).start(message) == Credentials("PLAIN", "I\u00adX", "\u2168", "\u00aa")


@pytest.mark.req("AUT-36")
@pytest.mark.parametrize("identity", ["\u00ad", "\u0007", "\u0627\u0031"])
def test_an_authorization_identity_that_cannot_be_prepared_fails(identity: str) -> None:
    step = PlainServer().start(identity.encode() + b"\0alice\0secret")
    assert isinstance(step, Failed)
    with pytest.raises(LocalProtocolError):
        PlainClient("alice", "secret", identity)


def test_the_session_acts_for_another_only_when_the_application_says_so() -> None:
    asked = PlainClient("alice", "secret", "admin")
    talk = converse(asked, PlainServer())
    assert talk.questions == [Credentials("PLAIN", "alice", "admin", "secret")]
    assert talk.outcome == Succeeded("alice")
    talk = converse(asked, PlainServer(), lambda mechanism, _: mechanism.accepted("admin"))
    assert talk.outcome == Succeeded("admin")


# --- PLAIN, client ----------------------------------------------------------------------------------------


@pytest.mark.req("AUT-29")
def test_plain_client_writes_the_message_of_the_rfc() -> None:
    assert PlainClient("tim", "tanstaaftanstaaf").initial_response() == b"\0tim\0tanstaaftanstaaf"
    assert PlainClient("Kurt", "xipj3plmq", "Ursel").initial_response() == b"Ursel\0Kurt\0xipj3plmq"
    talk = converse(PlainClient("test", "1234", "test"), PlainServer())
    assert talk.wire == ["AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ="]
    talk = converse(PlainClient("test", "1234", "test"), PlainServer(), line_limit=10)
    assert talk.wire == ["AUTH PLAIN", "334 ", "dGVzdAB0ZXN0ADEyMzQ="]


@pytest.mark.req("SAS-04")
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("bad", ["\0", "a\0b", "ab\0"])
def test_plain_client_refuses_nul(index: int, bad: str) -> None:
    parts = ["alice", "secret", "admin"]
    parts[index] = bad
    with pytest.raises(LocalProtocolError):
        PlainClient(*parts)


@pytest.mark.parametrize("mechanism", [PlainClient, LoginClient])
@pytest.mark.parametrize("bad", ["", "\0", "a\0b", "\ud800"])
def test_password_mechanisms_refuse_what_cannot_be_sent(mechanism: type[PasswordMechanism], bad: str) -> None:
    with pytest.raises(LocalProtocolError, match="user name"):
        mechanism(bad, "secret")
    with pytest.raises(LocalProtocolError, match="password"):
        mechanism("alice", bad)


@pytest.mark.req("AUT-36")
def test_plain_client_prepares_the_authorization_identity() -> None:
    assert PlainClient("alice", "\u00aa", "I\u00adX").initial_response() == "IX\0alice\0\u00aa".encode()


def test_plain_client_gives_up_when_the_server_sends_a_second_challenge() -> None:
    client = PlainClient("alice", "secret")
    client.initial_response()
    with pytest.raises(MechanismError):
        client.respond(b"")


# --- LOGIN ------------------------------------------------------------------------------------------------


@pytest.mark.req("SAS-32")
def test_login_server_asks_for_user_name_and_password() -> None:
    server = LoginServer()
    assert server.start(None) == Challenge(b"Username:")
    assert server.step(b"alice") == Challenge(b"Password:")
    assert server.step(b"secret") == Credentials("LOGIN", "alice", None, "secret")
    assert server.accepted() == Succeeded("alice")


@pytest.mark.req("SAS-32")
def test_login_server_reads_the_initial_response_as_the_user_name() -> None:
    server = LoginServer()
    assert server.start(b"alice") == Challenge(b"Password:")
    assert server.step(b"secret") == Credentials("LOGIN", "alice", None, "secret")


@pytest.mark.parametrize("bad", [b"", b"\xff", b"a\0b", b"\x07"])
def test_LOGIN_server_refuses_invalid_responses(bad: bytes) -> None:
    step = LoginServer().start(bad)
    assert isinstance(step, Failed) and step.malformed
    server = LoginServer()
    server.start(b"alice")
    step = server.step(bad)
    assert isinstance(step, Failed) and step.malformed


def test_login_server_refuses_nul_even_unprepared() -> None:
    assert isinstance(LoginServer(prepare=False).start(b"a\0b"), Failed)
    assert isinstance(LoginServer(prepare=False).start(b"a\x07b"), Challenge)


@pytest.mark.req("SAS-32", "SAS-37")
@pytest.mark.parametrize(
    "challenges", [(b"Username:", b"Password:"), (b"User Name\0", b"Password\0"), (b"", b"\xff")]
)
def test_login_client_ignores_the_text_of_a_challenge(challenges: tuple[bytes, bytes]) -> None:
    client = LoginClient("alice", "secret")
    for _ in range(2):  # a failed exchange does not influence the next one
        client.initial_response()
        assert client.respond(challenges[0]) == b"alice"
    assert client.respond(challenges[1]) == b"secret"
    with pytest.raises(MechanismError):
        client.respond(b"Password:")


def test_login_exchanges_these_lines() -> None:
    talk = converse(LoginClient("alice", "secret"), LoginServer())
    assert talk.wire == ["AUTH LOGIN", "334 VXNlcm5hbWU6", "YWxpY2U=", "334 UGFzc3dvcmQ6", "c2VjcmV0"]


# --- Questions and answers --------------------------------------------------------------------------------


def test_an_answer_without_a_question_is_a_local_error() -> None:
    server = PlainServer()
    server.start(None)
    for answer in (server.accepted, server.rejected):
        with pytest.raises(LocalProtocolError, match="has not asked a question"):
            answer()
    server.step(b"\0alice\0secret")
    with pytest.raises(LocalProtocolError, match="no stored secret"):
        server.supply("secret")
    server.accepted()
    with pytest.raises(LocalProtocolError, match="has not asked a question"):
        server.rejected()


def test_credentials_match_exactly_their_password() -> None:
    credentials = Credentials("PLAIN", "alice", None, "secret")
    assert credentials.matches("secret")
    assert not credentials.matches("Secret")
    assert not credentials.matches("secret2")
    assert not credentials.matches("")
    assert not credentials.matches(None)


def test_credentials_with_another_authorization_identity_do_not_match() -> None:
    own = Credentials("PLAIN", "alice", "alice", "secret")
    other = Credentials("PLAIN", "alice", "admin", "secret")
    assert own.matches("secret")
    assert not other.matches("secret")
    assert other.matches("secret", any_identity=True)
    assert not other.matches("wrong", any_identity=True)
    assert not other.matches(None, any_identity=True)


@pytest.mark.req("SAS-06")
@pytest.mark.parametrize(
    ("presented", "stored", "equal"),
    [
        ("IX", "I\u00adX", True),
        ("\u2168", "IX", True),
        ("e\u0301", "\u00e9", True),
        ("user", "USER", False),
        ("a\tb", "a\tb", True),  # not to be prepared: matches itself
        ("a\tb", "ab", False),
        ("\u00ad", "\u200d", False),  # both empty when prepared
        ("\u00ad", "", False),
        ("x", "\ud800", False),
    ],
)
def test_passwords_are_compared_prepared(presented: str, stored: str, equal: bool) -> None:
    assert Credentials("PLAIN", "alice", None, presented).matches(stored) is equal


def lookups(monkeypatch: pytest.MonkeyPatch, presented: str, stored: str | None) -> int:
    """How often the tables of stringprep are asked to compare two passwords: that is what costs time."""
    count = 0

    def counted(table: Callable[[str], bool]) -> Callable[[str], bool]:
        def look(character: str) -> bool:
            nonlocal count
            count += 1
            return table(character)

        return look

    with monkeypatch.context() as patch:
        for name in [name for name in dir(stringprep) if name.startswith("in_table_")]:
            patch.setattr(stringprep, name, counted(getattr(stringprep, name)))
        Credentials("PLAIN", "alice", None, presented).matches(stored)
    return count


@pytest.mark.parametrize(
    "presented", ["guess", "g", "gu\u00e9ss", "\u03b1\u03b2\u03b3", "a longer guess, with blanks"]
)
def test_the_work_does_not_tell_which_accounts_exist(monkeypatch: pytest.MonkeyPatch, presented: str) -> None:
    unknown = lookups(monkeypatch, presented, None)
    for stored in ["abc", "abcdefghijkl", "p\u00e4swor", "\u03b1\u03b2\u03b3\u03b4\u03b5\u03b6\u03b7\u03b8"]:
        # Characters that a password has twice are looked up once, and save a few of hundreds of lookups.
        assert lookups(monkeypatch, presented, stored) == pytest.approx(unknown, rel=0.05)
    assert unknown > 500  # the work for an ASCII password is the same


def test_passwords_are_compared_although_there_is_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spy(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    assert not Credentials("PLAIN", "nobody", None, "secret").matches(None)
    assert not Credentials("PLAIN", "alice", "admin", "secret").matches("other")
    assert compared == [(b"secret", b"secret"), (b"secret", b"other")]


# --- Secrets ----------------------------------------------------------------------------------------------


@pytest.mark.req("AUT-52")
def test_no_secret_is_in_any_repr() -> None:
    secret = "hunter2"
    plain, login = PlainClient("alice", secret, "admin"), LoginClient("alice", secret)
    login.initial_response()
    plain_server, login_server = PlainServer(), LoginServer()
    question = plain_server.start(plain.initial_response())
    login_server.start(b"alice")
    values = [plain, login, plain_server, login_server, question, login_server.step(secret.encode())]
    values += [plain_server.rejected(), login_server.accepted()]
    for value in values:
        assert secret not in repr(value) + str(value) + f"{value}"
    assert repr(plain) == "PlainClient(username='alice')"
    assert repr(login) == "LoginClient(username='alice')"
    facts = "mechanism='PLAIN', username='alice', authorization_identity='admin'"
    assert repr(question) == f"Credentials({facts})"


@pytest.mark.req("AUT-52")
@pytest.mark.parametrize(
    "provoke",
    [
        lambda: PlainClient("alice", "hunter2\0"),
        lambda: PlainClient("alice", "hunter2\ud800"),
        lambda: LoginClient("alice", "hunter2\ud800"),
        lambda: saslprep("hunter2\x07"),
        lambda: saslprep("\u0627hunter2"),
        lambda: saslprep("hunter2\u0221", stored=True),
        lambda: decode_base64("hunter2"),
        lambda: decode_base64("hunter2\u0100"),
        lambda: PlainServer().supply("hunter2"),
    ],
)
def test_no_secret_is_in_any_exception(provoke: Callable[[], object]) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        provoke()
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    # An exception in its context could contain the secret.
    assert caught.value.__context__ is None
    shown = "".join(traceback.format_exception_only(caught.value))
    assert "hunter2" not in shown


@pytest.mark.req("AUT-52")
@given(st.binary(max_size=60))
def test_a_failure_never_quotes_the_client(message: bytes) -> None:
    steps = [PlainServer().start(message), LoginServer().start(message)]
    assert {step.reason for step in steps if isinstance(step, Failed)} <= {
        "a PLAIN message has exactly two NULs",
        "a name or password that is empty or not valid",
    }


# --- SASLprep ---------------------------------------------------------------------------------------------


@pytest.mark.req("SAS-06")
@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("", ""),
        ("user", "user"),
        ("USER", "USER"),
        ("a b ~!", "a b ~!"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b\u3000c", "a b c"),
        ("a\u200bb", "a b"),
        ("a\u200db\ufeff", "ab"),
        ("\u00ad\u200d", ""),
        ("e\u0301", "\u00e9"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("\u0627 1\u0628", "\u0627 1\u0628"),
        ("\U0001f511", "\U0001f511"),  # assigned long after Unicode 3.2
    ],
)
def test_saslprep_prepares_as_the_rfc_says(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared
    assert saslprep(prepared) == prepared


@pytest.mark.req("SAS-06")
@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "a\tb",
        "\x07",
        "\x7f",
        "\x85",
        "\u2028",
        "\u06dd",
        "\ue000",
        "\U000f0000",
        "\ufdd0",
        "\uffff",
        chr(0xD800),
        "\ufffd",
        "\ufff9",
        "\u2ff0",
        "\u0340\u200e",
        "\u202a",
        "\U000e0041",
        "\u0627\u0031",  # right-to-left, but does not end so
        "1\u0627",  # nor begin so
        "\u0627a\u0628",  # and left-to-right in between
    ],
)
def test_saslprep_refuses_prohibited_text(text: str) -> None:
    with pytest.raises(LocalProtocolError):
        saslprep(text)
    with pytest.raises(LocalProtocolError):
        saslprep(text, stored=True)


@pytest.mark.parametrize("text", ["\u0221", "\U0001f511"])
def test_saslprep_stores_no_unassigned_code_point(text: str) -> None:
    assert saslprep(text) == text
    with pytest.raises(LocalProtocolError, match="assign"):
        saslprep(text, stored=True)
    assert saslprep("\u00e9", stored=True) == "\u00e9"


@given(st.text(max_size=20))
def test_saslprep_of_prepared_text_changes_nothing(text: str) -> None:
    try:
        prepared = saslprep(text)
    except LocalProtocolError:
        return
    assert saslprep(prepared) == prepared
    assert "\0" not in prepared


# --- Names and choice -------------------------------------------------------------------------------------


@pytest.mark.req("AUT-47")
@pytest.mark.parametrize("name", ["", "plain", "PLAIN\u0131", "PL@IN", "A B", "A" * 21, "A\n"])
def test_a_mechanism_with_a_malformed_name_cannot_be_defined(name: str) -> None:
    for base in (ServerMechanism, ClientMechanism):
        with pytest.raises(LocalProtocolError, match="mechanism name"):
            type("Malformed", (base,), {"name": name})
        assert type("WellFormed", (base,), {"name": "X-20_" + "A" * 15})


@pytest.mark.req("AUT-47")
def test_malformed_names_in_an_offer_are_ignored() -> None:
    for name in ("PLA\u0131N", "PLAIN ", "\u017f", "PLAIN" * 5, ""):
        assert choose_mechanism([name], username="alice", password="secret", tls=True) is None
    chosen = choose_mechanism(
        ["A" * 21, "PL@IN", "LOGIN", "pla\u0131n"], username="alice", password="secret", tls=True
    )
    assert isinstance(chosen, LoginClient)


class Strong(PasswordMechanism):
    """Stands for a mechanism that does not show the password."""

    __slots__ = ()

    name = "X-STRONG"

    def initial_response(self) -> bytes:
        return b""

    def respond(self, challenge: bytes) -> bytes:
        return b""


@pytest.mark.req("AUT-50")
@pytest.mark.parametrize(
    ("offered", "tls", "allow_cleartext", "expected"),
    [
        (["LOGIN", "PLAIN", "X-STRONG"], True, False, Strong),
        (["PLAIN", "x-strong"], True, True, Strong),
        (["LOGIN", "PLAIN", "X-STRONG"], False, False, Strong),
        (["LOGIN", "PLAIN"], True, False, PlainClient),
        (["login", "plain"], True, False, PlainClient),
        (["LOGIN"], True, False, LoginClient),
        (["LOGIN", "PLAIN"], False, False, None),
        (["LOGIN", "PLAIN"], False, True, PlainClient),
        (["LOGIN"], False, True, LoginClient),
        (["GSSAPI", "X-FOO"], True, True, None),
        ([], True, True, None),
    ],
)
def test_the_first_usable_mechanism_is_chosen(
    offered: list[str], tls: bool, allow_cleartext: bool, expected: type[PasswordMechanism] | None
) -> None:
    mechanisms = {"X-STRONG": Strong} | CLIENT_MECHANISMS
    chosen = choose_mechanism(
        offered,
        username="alice",
        password="secret",
        tls=tls,
        allow_cleartext=allow_cleartext,
        mechanisms=mechanisms,
    )
    if expected is None:
        assert chosen is None
    else:
        assert isinstance(chosen, expected)
        assert chosen.username == "alice"


def test_an_error_about_the_user_to_act_as_names_it() -> None:
    with pytest.raises(LocalProtocolError, match="the authorization identity must not be empty or contain NUL"):
        PlainClient("alice", "secret", "\xad")  # SASLprep maps a soft hyphen to nothing


@pytest.mark.parametrize("message", [b"\0\0secret", b"\0alice\0", b"\xff\0alice\0secret", b"\0\xff\0secret"])
def test_a_name_that_is_not_valid_is_a_failure_with_its_reason(message: bytes) -> None:
    failed = Failed("a name or password that is empty or not valid", malformed=True)
    assert PlainServer().start(message) == failed


def test_a_password_with_a_new_character_is_prepared_for_the_comparison() -> None:
    # U+0221 has no meaning in Unicode 3.2; U+2168 is a compatibility character for "IX" (RFC 4013 2.2, 2.5).
    assert Credentials("PLAIN", "alice", None, "\u2168\u0221").matches("IX\u0221")


@pytest.mark.req("AUT-50")
def test_a_password_is_not_shown_without_TLS_unless_that_is_asked_for() -> None:
    assert choose_mechanism(["PLAIN", "LOGIN"], username="alice", password="secret", tls=False) is None


def test_each_mechanism_states_its_facts() -> None:
    assert list(CLIENT_MECHANISMS) == ["PLAIN", "LOGIN"]
    assert list(SERVER_MECHANISMS) == ["PLAIN", "LOGIN"]
    for name in SERVER_MECHANISMS:
        assert SERVER_MECHANISMS[name].name == CLIENT_MECHANISMS[name].name == name
        assert SERVER_MECHANISMS[name].cleartext and CLIENT_MECHANISMS[name].cleartext
        assert not SERVER_MECHANISMS[name].server_first
    assert not Strong.cleartext


def test_importing_sasl_loads_no_large_module() -> None:
    code = (
        "import sys, smtpcore.sasl as sasl\n"
        "sasl.PlainClient('alice', 'secret'), sasl.PlainServer().start(b'\\0alice\\0secret')\n"
        "print(sorted({'ssl', 'asyncio', 'email', 'hmac', 'stringprep', 'unicodedata'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_exported_name_exists() -> None:
    assert all(hasattr(sasl, name) for name in sasl.__all__)


# --- More than one message: a toy in the manner of SCRAM --------------------------------------------------
#
# C: name            S: the server's nonce            C: proof over it, by the shared key
# S: (334) the server's signature                     C: an empty line          S: 235


def keyed(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"\0".join(parts), hashlib.sha256).digest()


class ToySecret(StoredSecret):
    __slots__ = ("key",)

    def __init__(self, password: str) -> None:
        self.key = keyed(b"toy", password.encode())


@dataclass(frozen=True, slots=True)
class Proven(AuthQuestion):
    """A question of the mechanism's own: may this user, who is authenticated, act as the other identity?"""


class ToyServer(ServerMechanism):
    __slots__ = ("_known", "_name", "_outcome", "_secret", "_signed")

    name = "X-TOY"
    nonce = b"fresh"

    def __init__(self, *, prepare: bool = True) -> None:
        super().__init__(prepare=prepare)
        self._name = self._signed = False
        self._secret = ToySecret("no such account")
        self._known = False
        self._outcome: Step | None = None

    def step(self, response: bytes) -> Step:
        if not self._name:
            self._name = True
            username = self.text(response)
            if username is None:
                return Failed("an unusable name", malformed=True)
            return self.ask(SecretRequest(self.name, username, None))
        if self._outcome is not None:
            return Failed("data behind the end", malformed=True) if response else self._outcome
        question = self.answer()
        proof = keyed(self._secret.key, b"client", self.nonce)
        if not (hmac.compare_digest(response, proof) and self._known):
            return Failed("wrong proof")
        return self.ask(Proven(self.name, question.username, None))

    def supply(self, secret: str | StoredSecret | None) -> Step:
        question = self.answer()
        self.ask(question)
        if isinstance(secret, str):
            secret = ToySecret(secret)
        if secret is not None:
            if not isinstance(secret, ToySecret):
                raise LocalProtocolError("X-TOY needs a password or a ToySecret")
            self._secret, self._known = secret, True
        return Challenge(self.nonce)

    def accepted(self, identity: str | None = None) -> Step:
        self._outcome = super().accepted(identity)
        return Challenge(keyed(self._secret.key, b"server", self.nonce))


class ToyClient(PasswordMechanism):
    __slots__ = ("_expected", "verified")

    name = "X-TOY"

    def initial_response(self) -> bytes:
        self._expected = b""
        self.verified = False
        return self.username.encode()

    def respond(self, challenge: bytes) -> bytes:
        key = ToySecret(self._password).key
        if not self._expected:
            self._expected = keyed(key, b"server", challenge)
            return keyed(key, b"client", challenge)
        if not hmac.compare_digest(challenge, self._expected):
            raise MechanismError("the server's signature is wrong")
        self.verified = True
        return b""

    def verify_success(self) -> None:
        if not self.verified:
            raise MechanismError("the server has not signed")


def look_up(stored: str | StoredSecret | None) -> Decision:
    def decide(mechanism: ServerMechanism, question: AuthQuestion) -> Step:
        if isinstance(question, SecretRequest):
            return mechanism.supply(stored)
        return mechanism.accepted()

    return decide


@pytest.mark.req("AUT-21")
@pytest.mark.parametrize("stored", ["secret", ToySecret("secret")])
@pytest.mark.parametrize("line_limit", [512, 0])
def test_final_server_data_goes_in_a_334_answered_by_an_empty_line(
    stored: str | StoredSecret, line_limit: int
) -> None:
    client = ToyClient("alice", "secret")
    talk = converse(client, ToyServer(), look_up(stored), line_limit=line_limit)
    assert talk.questions == [SecretRequest("X-TOY", "alice", None), Proven("X-TOY", "alice", None)]
    assert talk.outcome == Succeeded("alice")
    assert talk.error is None and client.verified
    key = ToySecret("secret").key
    begin = ["AUTH X-TOY YWxpY2U="] if line_limit else ["AUTH X-TOY", "334 ", "YWxpY2U="]
    assert talk.wire == [
        *begin,
        "334 " + encode_base64(b"fresh"),
        encode_base64(keyed(key, b"client", b"fresh")),
        "334 " + encode_base64(keyed(key, b"server", b"fresh")),
        "",
    ]


def test_unknown_account_and_wrong_password_look_alike() -> None:
    unknown = converse(ToyClient("alice", "secret"), ToyServer(), look_up(None))
    wrong = converse(ToyClient("alice", "secret"), ToyServer(), look_up("other"))
    assert unknown.outcome == wrong.outcome == Failed("wrong proof")
    assert unknown.wire == wrong.wire
    # Nor does the password help that stands for no account.
    guessed = converse(ToyClient("alice", "no such account"), ToyServer(), look_up(None))
    assert guessed.outcome == Failed("wrong proof")


def test_a_multi_step_exchange_can_be_refused_at_each_question() -> None:
    refused = Failed("refused by the application")
    talk = converse(ToyClient("alice", "secret"), ToyServer(), reject)
    assert len(talk.questions) == 1 and talk.outcome == refused

    def refuse_the_proven(mechanism: ServerMechanism, question: AuthQuestion) -> Step:
        return mechanism.rejected() if isinstance(question, Proven) else mechanism.supply("secret")

    talk = converse(ToyClient("alice", "secret"), ToyServer(), refuse_the_proven)
    assert len(talk.questions) == 2 and talk.outcome == refused


def test_accepting_does_not_answer_a_request_for_a_secret() -> None:
    server = ToyServer()
    server.start(b"alice")
    with pytest.raises(LocalProtocolError, match="supply"):
        server.accepted()
    with pytest.raises(LocalProtocolError, match="ToySecret"):
        server.supply(StoredSecret())
    # Neither mistake has changed anything.
    assert server.supply("secret") == Challenge(b"fresh")


def test_data_in_the_response_to_the_final_challenge_fails() -> None:
    server = ToyServer()
    server.start(b"alice")
    server.supply("secret")
    server.step(keyed(ToySecret("secret").key, b"client", b"fresh"))
    assert isinstance(server.accepted(), Challenge)
    assert server.step(b"x") == Failed("data behind the end", malformed=True)
    assert ToyServer().start(b"\xff") == Failed("an unusable name", malformed=True)


class Impostor(ToyServer):
    """Does not know the secret: it signs with another one, or replies 235 at once."""

    __slots__ = ("_signs",)

    def __init__(self, *, signs: bool) -> None:
        super().__init__()
        self._signs = signs

    def step(self, response: bytes) -> Step:
        if not self._name:
            self._name = True
            return Challenge(self.nonce)
        return Challenge(b"forged") if self._signs else Succeeded("alice")


@pytest.mark.parametrize("signs", [True, False])
def test_a_client_may_verify_the_server(signs: bool) -> None:
    client = ToyClient("alice", "secret")
    talk = converse(client, Impostor(signs=signs))
    assert not client.verified
    assert str(talk.error) == ("the server's signature is wrong" if signs else "the server has not signed")
    assert (talk.wire[-1] == "*") is signs


def test_plain_client_believes_the_success_of_the_server() -> None:
    talk = converse(PlainClient("alice", "secret"), PlainServer())
    assert talk.outcome == Succeeded("alice") and talk.error is None


# --- Server first: a toy in the manner of CRAM-MD5 --------------------------------------------------------


class FirstServer(ServerMechanism):
    __slots__ = ("_digest",)

    name = "X-FIRST"
    server_first = True

    def first_challenge(self) -> bytes:
        return b"<1.2@server.example>"

    def step(self, response: bytes) -> Step:
        name, _, self._digest = response.rpartition(b" ")
        return self.ask(SecretRequest(self.name, name.decode(), None))

    def supply(self, secret: str | StoredSecret | None) -> Step:
        question = self.answer()
        password = secret if isinstance(secret, str) else ""
        proof = keyed(password.encode(), self.first_challenge())
        same = hmac.compare_digest(proof.hex().encode(), self._digest)
        return Succeeded(question.username) if same and password else Failed("wrong digest")


class FirstClient(PasswordMechanism):
    __slots__ = ()

    name = "X-FIRST"

    def initial_response(self) -> None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        return f"{self.username} {keyed(self._password.encode(), challenge).hex()}".encode()


def test_a_server_first_mechanism_begins_with_its_challenge() -> None:
    talk = converse(FirstClient("a b", "secret"), FirstServer(), look_up("secret"))
    assert talk.outcome == Succeeded("a b")
    assert talk.wire[:2] == ["AUTH X-FIRST", "334 " + encode_base64(b"<1.2@server.example>")]
    assert len(talk.wire) == 3
    for stored in ("other", None):
        talk = converse(FirstClient("a b", "secret"), FirstServer(), look_up(stored))
        assert talk.outcome == Failed("wrong digest")


@pytest.mark.parametrize("initial", [b"", b"\0\0\0"])
def test_a_server_first_mechanism_refuses_an_initial_response(initial: bytes) -> None:
    step = FirstServer().start(initial)
    assert step == Failed("an initial response, although the server sends first", malformed=True)


# --- An error report before failing: a toy in the manner of OAUTHBEARER -----------------------------------
# --- and, with an empty message, of EXTERNAL and ANONYMOUS ------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token(AuthQuestion):
    token: str


class TokenServer(ServerMechanism):
    __slots__ = ("_refused",)

    name = "X-TOKEN"
    cleartext = True

    def __init__(self, *, prepare: bool = True) -> None:
        super().__init__(prepare=prepare)
        self._refused: Step | None = None

    def step(self, response: bytes) -> Step:
        if self._refused is not None:
            return self._refused
        return self.ask(Token(self.name, "", None, response.decode()))

    def rejected(self) -> Step:
        self._refused = super().rejected()
        return Challenge(b'{"status":"invalid_token"}')


class TokenClient(ClientMechanism):
    __slots__ = ("_token", "error")

    name = "X-TOKEN"
    cleartext = True

    def __init__(self, token: str) -> None:
        self._token = token
        self.error = b""

    def initial_response(self) -> bytes:
        return self._token.encode()

    def respond(self, challenge: bytes) -> bytes:
        self.error = challenge
        return b"\x01"


def test_a_mechanism_can_send_an_error_report_before_it_fails() -> None:
    client = TokenClient("expired")
    talk = converse(client, TokenServer(), reject)
    assert talk.wire[1:] == ["334 " + encode_base64(b'{"status":"invalid_token"}'), "AQ=="]
    assert talk.outcome == Failed("refused by the application")
    assert client.error == b'{"status":"invalid_token"}'


@pytest.mark.req("AUT-09")
@pytest.mark.parametrize("line_limit", [512, 0])
def test_the_application_can_choose_the_identity(line_limit: int) -> None:
    talk = converse(
        TokenClient(""),
        TokenServer(),
        lambda mechanism, _: mechanism.accepted("carol"),
        line_limit=line_limit,
    )
    assert talk.wire == (["AUTH X-TOKEN ="] if line_limit else ["AUTH X-TOKEN", "334 ", ""])
    assert talk.questions == [Token("X-TOKEN", "", None, "")]
    assert talk.outcome == Succeeded("carol")


def test_steps_and_credentials_compare_by_value() -> None:
    assert Challenge(b"x") == Challenge(b"x") != Challenge(b"y")
    credentials = Credentials("PLAIN", "alice", None, "secret")
    assert credentials != replace(credentials, password="other")
    assert not hasattr(credentials, "__dict__")
    assert not hasattr(PlainClient("alice", "secret"), "__dict__")
    assert not hasattr(PlainServer(), "__dict__")


@pytest.mark.parametrize("wrong", [None, b"hunter2", ["hunter2"], {"hunter2": 1}, 5])
@pytest.mark.parametrize("mechanism", [sasl.PlainClient, sasl.LoginClient])
def test_a_user_name_or_password_that_is_not_a_string_is_named_and_not_shown(
    mechanism: Any, wrong: Any
) -> None:
    for arguments, name in (((wrong, "secret"), "user name"), (("joe", wrong), "password")):
        with pytest.raises(ArgumentTypeError, match=f"^the {name} is a string, not {type(wrong).__name__}$"):
            mechanism(*arguments)


@pytest.mark.parametrize("stored", [b"hunter2", ["hunter2"], 5])
def test_a_stored_password_that_is_not_a_string_is_named_and_not_shown(stored: Any) -> None:
    credentials = sasl.Credentials("PLAIN", "joe", None, "hunter2")
    with pytest.raises(ArgumentTypeError, match=f"string or None, not {type(stored).__name__}$"):
        credentials.matches(stored)
