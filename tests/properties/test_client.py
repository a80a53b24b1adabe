"""``ClientConnection`` against anything that may call itself a server, however its octets are cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Auth,
    Chunk,
    ClientConnection,
    Command,
    CommandNotSent,
    Connect,
    ConnectionClosed,
    ConnectionLost,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Help,
    Limits,
    LocalProtocolError,
    Mail,
    Noop,
    Quit,
    Rcpt,
    RemoteProtocolError,
    Response,
    ReversePath,
    Rset,
    StartTls,
    State,
    TlsInfo,
    Vrfy,
)
from smtpcore.sasl import ClientMechanism, LoginClient, MechanismError, PlainClient

from ..helpers.standard import RULES

LIMITS = Limits(reply_line=512, reply_lines=6, outstanding_commands=5, challenges=3)
TLS = TlsInfo(version="TLSv1.3")

# --- What an application does -----------------------------------------------------------------------------

Action = Callable[[ClientConnection], object]


class Echo(ClientMechanism):
    """Responds with whatever octets it is challenged with, and gives up in the end."""

    __slots__ = ("_left",)
    name = "LOGIN"

    def initial_response(self) -> bytes | None:
        self._left = 2
        return None

    def respond(self, challenge: bytes) -> bytes:
        self._left -= 1
        if not self._left:
            raise MechanismError("enough")
        return challenge


def sending(event: Command | Chunk | EndOfMessage) -> tuple[str, Action]:
    return f"send {event!r}", lambda client: client.send(event)


COMMANDS = [
    Ehlo("client.example"),
    Helo("client.example"),
    Mail("a@example.org"),
    Mail("", {"SIZE": 10, "BODY": "8BITMIME"}),
    Mail("\xfc@example.org", {"SMTPUTF8": True, "AUTH": ReversePath("")}),
    Rcpt("b@example.com"),
    Rcpt("\u65e5@example.com"),
    Data(),
    Rset(),
    Noop(),
    Vrfy("J\xf6rg"),
    Help(),
]
BASICS = [Mail("a@example.org"), Rcpt("b@example.com"), Rcpt("c@example.com"), Data(), Rset(), Noop()]
CONTENT = [Chunk(b"x\r\n"), Chunk(b".x\r"), Chunk(b"\n."), Chunk(b"caf\xe9\r\n"), Chunk(b"\n"), EndOfMessage()]
AUTHENTICATING = [
    ("authenticate PLAIN", lambda client: client.authenticate(PlainClient("u", "p"), allow_cleartext=True)),
    ("authenticate with a long password", lambda client: client.authenticate(PlainClient("u", "p" * 500))),
    ("authenticate LOGIN", lambda client: client.authenticate(LoginClient("u", "p"), allow_cleartext=True)),
    ("authenticate with binary responses", lambda client: client.authenticate(Echo())),
]


def abort(client: ClientConnection) -> None:
    client.abort()


actions: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([*map(sending, BASICS)]),
    st.sampled_from([*map(sending, (*COMMANDS, *CONTENT))]),
    st.sampled_from(AUTHENTICATING),
    st.sampled_from([sending(Quit()), ("abort", abort)]),
)

# --- What a server does -----------------------------------------------------------------------------------

texts = st.sampled_from(["", "ok", "2.0.0 ok", "5.1.1 no", "250 ok", "421", "eA==", "\xe9\x1b[2J", "x" * 600])
codes = st.one_of(
    st.sampled_from([220, 235, 250, 221, 334, 354, 421, 450, 550, 501]),
    st.integers(100, 699),
    st.integers(0, 9999),
)
EHLO_LINES = [
    ["PIPELINING"],
    ["PIPELINING", "SIZE 100", "8BITMIME", "STARTTLS", "AUTH PLAIN LOGIN"],
    ["STARTTLS", "AUTH LOGIN", "SMTPUTF8", "8BITMIME"],
    ["AUTH=PLAIN", "SIZE x", "-", "\xe9"],
    ["SIZE abc", "AUTH \xe9\x1b LOGIN"],
    ["SIZE 99999999999999999999999", "SIZE \xb2", "AUTH"],
    ["SIZE abc", "AUTH", "PIPELINING x", "8BITMIME"],
    ["SIZE \xb2", "SMTPUTF8 1", "STARTTLS", "AUTH PL@IN ="],
    ["SIZE " + "9" * 400, "SIZE", "SIZE -1"],
]
# Challenges that are base64 of text or of other octets, and some that are not base64.
CHALLENGES = [
    f"334 {text}\r\n".encode("latin-1") for text in ("VXNlcm5hbWU6", "gIH/AA==", "YQ", "YR==", "=", "!", "\xe9")
]


class Answer(NamedTuple):
    """A sensible reply to each of so many commands under way."""

    count: int
    success: Sequence[bool]
    offer: list[str]

    def octets(self, client: ClientConnection) -> bytes:
        octets = b""
        for command, success in zip(client.outstanding[: self.count], cycle(self.success), strict=False):
            if not success:
                octets += b"550-5.1.1 no\r\n550 5.1.1 such\r\n"
            elif isinstance(command, Ehlo):
                lines = ["mx.example", *self.offer]
                octets += "".join(f"250-{line}\r\n" for line in lines[:-1]).encode("latin-1")
                octets += f"250 {lines[-1]}\r\n".encode("latin-1")
            else:
                octets += f"{min(RULES.success[type(command)])} 2.0.0 fine\r\n".encode()
        return octets


def reply(code: int, lines: list[str]) -> bytes:
    *inner, last = lines
    return "".join([*(f"{code}-{line}\r\n" for line in inner), f"{code} {last}\r\n"]).encode("latin-1")


answers = st.builds(
    Answer,
    st.integers(1, 6),
    st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=4),
    st.sampled_from(EHLO_LINES),
)
octets = st.one_of(
    st.builds(reply, codes, st.lists(texts, min_size=1, max_size=6)),
    st.builds(lambda code: b"%d\r\n" % code, codes),
    st.sampled_from(
        [b"334 VXNlcm5hbWU6\r\n", b"334\r\n", b"334 !\r\n", b"220 mx\r\n", b"250 ok\n", b"\r\n", b"250-"]
    ),
    st.binary(min_size=1, max_size=40),
)

# As most sessions begin.
BEGINNING: list[Any] = [Answer(1, [True], []), sending(Ehlo("c.example")), Answer(1, [True], EHLO_LINES[1])]

# What would seldom come about by chance.
FINE = Answer(6, [True], EHLO_LINES[1])
phrases: st.SearchStrategy[list[Any]] = st.sampled_from(
    [
        [sending(Mail("a@example.org")), sending(Rcpt("b@example.com")), sending(Data())],
        [sending(Mail("", {"BODY": "8BITMIME"})), sending(Rcpt("b@example.com")), sending(Data()), FINE],
        [AUTHENTICATING[0], FINE],
        [AUTHENTICATING[2], b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"],
        *([action, challenge, FINE] for action in AUTHENTICATING for challenge in CHALLENGES),
        *(
            [sending(Ehlo("again.example")), Answer(6, [True], offer), *map(sending, COMMANDS)]
            for offer in EHLO_LINES
        ),
        [*map(sending, CONTENT), FINE],
        [FINE],
        [sending(Rset())] * 7,
        [sending(Ehlo("again.example")), Answer(6, [True], ["8BITMIME"]), sending(Rset()), sending(Rset())],
        [
            sending(Ehlo("again.example")),
            Answer(6, [True], ["8BITMIME"]),
            sending(Mail("")),
            sending(Rcpt("b@example.com")),
            Answer(1, [False], []),
        ],
    ]
)


def mostly_sensible(
    phrases: st.SearchStrategy[list[Any]], *kinds: st.SearchStrategy[Any]
) -> st.SearchStrategy[list[Any]]:
    single = st.one_of(*kinds).map(lambda step: [step])
    answer = answers.map(lambda step: [step])
    choices = st.sampled_from([phrases, phrases, phrases, answer, answer, single])
    rows = st.lists(choices.flatmap(lambda choice: choice), min_size=4, max_size=30)
    return rows.map(lambda rows: [step for row in rows for step in row])


steps = mostly_sensible(phrases, actions, actions, actions, octets, st.none())
starting_tls: Any = [sending(StartTls()), FINE]
steps_with_tls = mostly_sensible(
    st.one_of(phrases, phrases, st.just([*starting_tls, *BEGINNING[1:]])),
    actions,
    st.sampled_from(starting_tls),
    octets,
    st.none(),
)

# --- Both together ----------------------------------------------------------------------------------------


class Play:
    """What happens when these steps are taken, with the octets of each step cut as the sizes say."""

    def __init__(self, steps: Sequence[Any], sizes: Sequence[int] = ()) -> None:
        self.client = ClientConnection(limits=LIMITS)
        self.events: list[Event] = []
        self.output = b""
        self.error: Exception | None = None
        self.closed = False
        self.sent: list[Event] = [Connect()]
        self._sizes = cycle(sizes or [10**9])
        for step in (*BEGINNING, *steps):
            if isinstance(step, Answer):
                self._feed(step.octets(self.client))
            elif isinstance(step, bytes):
                self._feed(step)
            elif step is None:
                self.client.receive_data(b"")
                self._take()
            else:
                self._act(step[1])
            self._look()

    def _act(self, action: Action) -> None:
        before = [*self.client._under_way()]
        try:
            action(self.client)
        except LocalProtocolError:
            assert [*self.client._under_way()] == before
        else:
            self.sent += [*self.client._under_way()][len(before) :]

    def _feed(self, data: bytes) -> None:
        while data and self.client.state is not State.CLOSED and not self.client._at_eof:
            size = next(self._sizes)
            self.client.receive_data(data[:size])
            data = data[size:]
            self._take()

    def _take(self) -> None:
        try:
            while (event := self.client.next_event()) is not None:
                assert not self.closed, "ConnectionClosed is the last event"
                self.closed = event == ConnectionClosed()
                if not self.closed:
                    self.events.append(event)
        except (RemoteProtocolError, ConnectionLost) as error:
            assert self.error is None
            self.error = error
            assert self.client.state is State.CLOSED

    def _look(self) -> None:
        client = self.client
        self.output += client.data_to_send()
        assert client._parser.pending <= LIMITS.reply_line * (LIMITS.reply_lines + 1)
        under_way = client.outstanding
        assert len(under_way) <= LIMITS.outstanding_commands
        assert all(one.__class__ in RULES.pipelined for one in under_way[:-1])
        assert len(under_way) <= 1 or "PIPELINING" in client.capabilities
        assert client.timeout > 0
        # What the server offers is whatever it says, and can be asked for all the same.
        offered = client.capabilities
        assert offered.size is None or offered.size >= 0
        assert all(isinstance(name, str) for name in offered.mechanisms)
        assert RULES.extra_octets("MAIL", offered) >= RULES.extra_octets("RCPT", offered) >= 0
        assert (repr(offered) + "".join(offered.mechanisms)).isascii()
        if client.state is State.TLS:
            client.tls_started(TLS)

    @property
    def answered(self) -> list[Event | None]:
        """What was sent and came to an end, in order."""
        commands: list[Event | None] = []
        for event in self.events:
            assert isinstance(event, Response | CommandNotSent)
            commands.append(event.command)
        return commands


@pytest.mark.req("SEC-01")
@given(steps_with_tls)
def test_no_server_makes_the_client_raise_anything_but_the_two_errors(steps: Sequence[Any]) -> None:
    play = Play(steps)
    assert play.client.state is State.CLOSED or play.error is None


@pytest.mark.req("FRM-04", "RPL-28", "SEC-02")
@given(steps, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_the_cutting_of_replies_makes_no_difference(steps: Sequence[Any], sizes: list[int]) -> None:
    whole, cut = Play(steps), Play(steps, sizes)
    assert cut.events == whole.events
    assert cut.output == whole.output
    assert (type(cut.error), str(cut.error)) == (type(whole.error), str(whole.error))
    assert cut.client.state is whole.client.state
    assert cut.client.outstanding == whole.client.outstanding


@pytest.mark.req("PIP-06", "PIP-07")
@given(steps)
def test_every_command_has_exactly_one_outcome_in_order(steps: Sequence[Any]) -> None:
    play = Play(steps)
    answered = [one for one in play.answered if one is not None]
    pending: list[Event] = [*play.client._under_way()]
    if isinstance(play.error, ConnectionLost):
        pending = [*play.error.outstanding]
    if isinstance(play.error, RemoteProtocolError) or play.client.state is State.CLOSED:
        # Given up: what was under way is left without an answer.
        assert answered == play.sent[: len(answered)]
    else:
        assert [*answered, *pending] == play.sent


@pytest.mark.req("FRM-02", "DAT-08")
@given(steps_with_tls)
def test_what_is_sent_is_lines(steps: Sequence[Any]) -> None:
    play = Play(steps)
    rest = play.output.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    # Content that is not at its end may stop anywhere.
    if not any(isinstance(one, Response) and isinstance(one.command, Data) for one in play.events):
        assert play.output.endswith(b"\r\n") or not play.output


@pytest.mark.req("FRM-02")
@given(
    st.sampled_from([Mail, Rcpt, Ehlo, Helo, Vrfy, Help, Noop, Auth]),
    st.text(st.sampled_from('ab1.@<>"\\ =[]\r\n\0\x7f\x85\u2028\xe4'), max_size=12),
)
def test_no_argument_makes_a_second_line(kind: Callable[[str], Command], argument: str) -> None:
    client = ClientConnection(limits=LIMITS)
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    client.receive_data(b"250-mx\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n")
    client.next_event()
    client.data_to_send()
    try:
        client.send(kind(argument))
    except LocalProtocolError:
        assert client.data_to_send() == b""
    else:
        line = client.data_to_send()
        assert line.endswith(b"\r\n")
        assert b"\r" not in line[:-2]
        assert b"\n" not in line[:-2]


@pytest.mark.req("FRM-15")
@given(
    st.lists(
        st.builds(reply, st.sampled_from([250, 451, 550]), st.lists(texts, min_size=1, max_size=3)), max_size=5
    )
)
def test_every_received_octet_is_used_or_held(answers: list[bytes]) -> None:
    client = ClientConnection(limits=Limits(outstanding_commands=10))
    client.receive_data(b"220 mx\r\n")
    client.next_event()
    client.send(Ehlo("client.example"))
    client.data_to_send()
    client.receive_data(b"250-mx\r\n250 PIPELINING\r\n")
    client.next_event()
    for _ in answers:
        client.send(Rset())
    client.data_to_send()
    ends = [sum(map(len, answers[: number + 1])) for number in range(len(answers))]
    for at, octet in enumerate(b"".join(answers)):
        client.receive_data(bytes([octet]))
        event = client.next_event()
        assert (event is not None) is (at + 1 in ends)
        used = max([end for end in ends if end <= at + 1], default=0)
        assert client._parser.pending == at + 1 - used
