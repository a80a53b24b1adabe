"""The client core joined to the server core: whatever is sent arrives, and whatever is answered comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Auth,
    Chunk,
    ClientConnection,
    Command,
    CommandNotSent,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Credentials,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Help,
    Limits,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Reply,
    Response,
    ReversePath,
    Rset,
    ServerConfig,
    ServerConnection,
    StartTls,
    State,
    Vrfy,
)
from smtpcore._core.commands import format_command
from smtpcore.sasl import LoginClient, PasswordMechanism, PlainClient

from ..helpers.joined import TLS, Joined
from ..helpers.standard import RULES
from .test_addresses import mailboxes

# --- What is sent, and what is answered -------------------------------------------------------------------

ascii_mailboxes = mailboxes.map(str).filter(str.isascii)
all_mailboxes = mailboxes.map(str)

lines = st.one_of(
    st.sampled_from([b"", b".", b"..", b".a", b"a.", b"QUIT", b". ", b"." * 998]),
    st.binary(max_size=30).map(lambda line: line.translate(None, b"\r\n\0")),
)


@dataclass(frozen=True)
class Message:
    """One mail transaction, and where its content is cut."""

    mail: Mail
    rcpts: Sequence[Rcpt]
    content: bytes
    cuts: Sequence[int]

    @property
    def chunks(self) -> list[Chunk]:
        places = [0, *sorted(min(cut, len(self.content)) for cut in self.cuts), len(self.content)]
        return [Chunk(self.content[start:end]) for start, end in pairwise(places)]

    @property
    def received(self) -> bytes:
        """The content as it has to arrive: it ends in a CRLF (RFC 5321 4.1.1.4)."""
        complete = self.content.endswith(b"\r\n") or not self.content
        return self.content if complete else self.content + b"\r\n"


@st.composite
def messages(draw: st.DrawFn) -> Message:
    content = b"\r\n".join(draw(st.lists(lines, max_size=8))) + draw(st.sampled_from([b"", b"\r\n"]))
    parameters: dict[str, Any] = {}
    if draw(st.booleans()):
        parameters["SMTPUTF8"] = True
    if not content.isascii():
        parameters["BODY"] = "8BITMIME"
    elif draw(st.booleans()):
        parameters["BODY"] = draw(st.sampled_from(["7BIT", "8BITMIME"]))
    if draw(st.booleans()):
        parameters["SIZE"] = len(content)
    if draw(st.booleans()):
        parameters["AUTH"] = ReversePath(draw(st.one_of(st.just(""), ascii_mailboxes)))
    order = draw(st.permutations(list(parameters)))
    addresses = all_mailboxes if "SMTPUTF8" in parameters else ascii_mailboxes
    return Message(
        mail=Mail(draw(st.one_of(st.just(""), addresses)), {keyword: parameters[keyword] for keyword in order}),
        rcpts=draw(st.lists(addresses.map(Rcpt), min_size=1, max_size=5)),
        content=content,
        cuts=draw(st.lists(st.integers(0, 100), max_size=4)),
    )


words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
mechanisms = st.one_of(
    st.builds(PlainClient, words, words),
    st.builds(LoginClient, words, words),
    st.builds(PlainClient, words, st.just("x" * 600)),
)
commands = st.sampled_from(
    [Noop(), Noop("hello"), Vrfy("Smith"), Vrfy("J\xf6rg"), Help(), Rset(), Ehlo("again.example"), StartTls()]
)
plans = st.lists(st.one_of(messages(), messages(), commands, mechanisms), max_size=8)

# None is the answer that the RFC prescribes. The texts have no four letters in a row, since a client masks what
# may be its password: in the lines "no" and "never" it masks NONE.
verdicts = st.lists(
    st.sampled_from([None, None, None, Reply(451, "4.3.0", "not now"), Reply(550, "5.7.1", ["no", "I am"])]),
    min_size=1,
    max_size=20,
)
cuttings = st.lists(st.integers(1, 60), max_size=4)

# --- The session ------------------------------------------------------------------------------------------


class Session:
    """A session from the greeting to QUIT.

    Attributes:
        sent: What the client has sent, in order; ``Connect`` stands for what it did not have to send.
        mechanisms: Those of the AUTH commands among them.
        contents: The contents that were sent to their end, as they have to arrive.
        answers: What the server has answered to what it was asked.
        envelopes: MAIL and the recipients of each message, as the server's application has got them.
    """

    def __init__(
        self,
        plan: Sequence[Any],
        verdicts: Sequence[Reply | None],
        *,
        pipelining: bool = True,
        window: int = 100,
        sizes: Sequence[int] = (),
    ) -> None:
        config = ServerConfig(
            pipelining=pipelining,
            smtputf8=True,
            starttls=True,
            auth_mechanisms=("PLAIN", "LOGIN"),
            allow_cleartext_auth=True,
            limits=Limits(auth_attempts=1000, bad_commands=1000),
        )
        self.client = ClientConnection(limits=Limits(outstanding_commands=window))
        self.joined = Joined(self.client, ServerConnection("mx.example", config=config), self._answer, sizes)
        self.sent: list[Event] = [Connect()]
        self.mechanisms: list[PasswordMechanism] = []
        self.contents: list[bytes] = []
        self.answers: list[Reply | None] = []
        self.envelopes: list[tuple[Mail, list[Rcpt]]] = []
        self._verdicts = cycle(verdicts)

        self._send(Ehlo("client.example"))
        for step in plan:
            if isinstance(step, Message):
                self._deliver(step)
            elif isinstance(step, PasswordMechanism):
                self._authenticate(step)
            else:
                self._say(step)
        self._send(Quit())
        self.joined.run()

    def _answer(self, server: ServerConnection, event: Event) -> None:
        verdict = None if isinstance(event, Connect | Ehlo | Rset | Quit) else next(self._verdicts)
        self.answers.append(verdict)
        if isinstance(event, EndOfMessage):
            assert server.envelope is not None
            self.envelopes.append((server.envelope.mail, list(server.envelope.rcpts)))
        if verdict is None:
            server.accept()
        else:
            server.send(verdict)

    def _send(self, *events: Command | EndOfMessage) -> None:
        self.joined.send(*events)
        self.sent += events

    def _clear_up(self) -> None:
        """Be where a transaction, or anything else, can begin."""
        self.joined.run()
        if self.client.state is not State.READY:
            self._send(Rset())
            self.joined.run()

    def _deliver(self, message: Message) -> None:
        # The next message may follow the final dot at once.
        if EndOfMessage() not in self.client.outstanding:
            self._clear_up()
        self._send(message.mail, *message.rcpts, Data())
        self.joined.run()
        if self.client.state is State.CONTENT:
            self.joined.send(*message.chunks)
            self._send(EndOfMessage())
            self.contents.append(message.received)

    def _authenticate(self, mechanism: PasswordMechanism) -> None:
        self._clear_up()
        if not self.client.authenticated:
            self.client.authenticate(mechanism, allow_cleartext=True)
            self.sent += self.client.outstanding
            self.mechanisms.append(mechanism)

    def _say(self, command: Command) -> None:
        self._clear_up()
        if not isinstance(command, StartTls):
            self._send(command)
        elif self.client.tls is None:
            self._send(command)
            self.joined.run()
            if self.client.state is State.GREETED:
                self._send(Ehlo("client.example"))


def written(event: Event) -> list[str]:
    """What equality does not see: how a path was written, and the order of parameters."""
    if isinstance(event, Mail):
        return [str(event.reverse_path), *map(repr, event.parameters.items())]
    if isinstance(event, Rcpt):
        return [str(event.forward_path), *map(repr, event.parameters.items())]
    return []


def check(session: Session) -> None:
    *outcomes, end = session.joined.client_events
    assert end == ConnectionClosed()
    arrived: Iterator[Event] = iter(session.joined.server_events)
    answers, mechanisms = iter(session.answers), iter(session.mechanisms)
    contents: list[bytes] = []
    envelopes = iter(session.envelopes)
    accepted: list[Event] = []  # MAIL and RCPT of the transaction
    assert len(outcomes) == len(session.sent)
    for sent, outcome in zip(session.sent, outcomes, strict=True):
        assert isinstance(outcome, Response | CommandNotSent)
        assert outcome.command == sent
        if isinstance(outcome, CommandNotSent):
            continue
        event = next(arrived)
        if isinstance(sent, EndOfMessage):
            contents.append(b"")
            if isinstance(event, Chunk):
                contents[-1] = event.data
                event = next(arrived)
            mail, recipients = next(envelopes)
            assert [mail, *recipients] == accepted
            assert [written(one) for one in (mail, *recipients)] == [written(one) for one in accepted]
        if isinstance(event, CommandRejected):
            # Behind a refused MAIL or without a recipient: the server's own answer.
            assert isinstance(sent, Rcpt | Data)
            assert event.line + b"\r\n" == format_command(sent, RULES)
            assert outcome.reply.code == event.reply.code
            continue
        if isinstance(sent, Auth):
            mechanism = next(mechanisms)
            assert event == Credentials(mechanism.name, mechanism.username, None, mechanism._password)
        else:
            assert event == sent
            assert written(event) == written(sent)
        answer = next(answers)
        if answer is None and isinstance(sent, Mail):
            accepted = [sent]
        elif answer is None and isinstance(sent, Rcpt):
            accepted.append(sent)
        if answer is None:
            assert outcome.reply.code in RULES.success[type(sent)]
        else:
            assert outcome.reply == answer
    assert contents == session.contents
    assert [*envelopes] == []
    assert [*arrived] == [ConnectionClosed()]
    assert [*answers] == []


@pytest.mark.req("SEC-06", "FRM-08", "DAT-10", "DAT-14")
@given(plans, verdicts, st.booleans(), st.sampled_from([1, 2, 3, 100]), cuttings)
def test_nothing_is_lost_between_client_and_server(
    plan: Sequence[Any], verdicts: Sequence[Reply | None], pipelining: bool, window: int, sizes: Sequence[int]
) -> None:
    check(Session(plan, verdicts, pipelining=pipelining, window=window, sizes=sizes))


@pytest.mark.req("FRM-04", "SEC-02")
@given(plans, verdicts, cuttings, cuttings)
def test_the_cutting_of_a_joined_session_makes_no_difference(
    plan: Sequence[Any], verdicts: Sequence[Reply | None], sizes: Sequence[int], other_sizes: Sequence[int]
) -> None:
    one = Session(plan, verdicts, sizes=sizes).joined
    other = Session(plan, verdicts, sizes=other_sizes).joined
    assert one.client_events == other.client_events
    assert one.server_events == other.server_events


@pytest.mark.req("TLS-14", "TLS-29", "AUT-29")
def test_a_session_with_two_logins_and_tls_delivers_every_message() -> None:
    message = Message(
        Mail("a@example.org", {"SIZE": 9}), [Rcpt("b@example.com"), Rcpt("c@example.com")], b".x\r\n\r\n..", [3]
    )
    early, late = LoginClient("u", "early"), PlainClient("user", "p4ss")
    plan = [message, early, StartTls(), message, late, message]
    for sizes in ((), (1,), (2, 5)):
        session = Session(plan, [None], sizes=sizes)
        check(session)
        assert session.client.tls is session.joined.server.tls is TLS
        assert session.mechanisms == [early, late]
        assert session.client.authenticated
        assert session.contents == [b".x\r\n\r\n..\r\n"] * 3


@pytest.mark.req("AUT-45")
@pytest.mark.parametrize("parameter", ["AUTH=<>", "AUTH=e+3Dmc2@example.com"])
def test_a_relay_passes_the_null_submitter_on_to_a_server_that_it_has_authenticated_to(parameter: str) -> None:
    config = ServerConfig(auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)
    relay = ServerConnection("relay.example", config=config)
    # This client has not authenticated, so a mailbox in its AUTH= is not believed either.
    relay.receive_data(f"EHLO client.example\r\nMAIL FROM:<a@example.org> {parameter}\r\n".encode())
    while relay.next_event() is not None:
        relay.accept()
    assert relay.submitter is not None

    next_hop = ServerConnection("mx.example", config=config)
    joined = Joined(ClientConnection(), next_hop, lambda server, event: server.accept())
    joined.send(Ehlo("relay.example"))
    joined.run()
    joined.client.authenticate(PlainClient("relay", "p4ss"), allow_cleartext=True)
    joined.run()
    assert joined.client.authenticated
    joined.send(Mail("a@example.org", {"AUTH": relay.submitter}))
    assert joined.client.data_to_send() == b"MAIL FROM:<a@example.org> AUTH=<>\r\n"
