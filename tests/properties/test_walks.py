"""ServerConnection: what holds for sessions that get somewhere, see ``tests.walks``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcore import (
    Chunk,
    Command,
    CommandRejected,
    Connect,
    ConnectionClosed,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Expn,
    Helo,
    Help,
    Mail,
    MessageAborted,
    Noop,
    Quit,
    Rcpt,
    Rset,
    ServerConfig,
    StartTls,
    State,
    Vrfy,
)
from smtpcore.sasl import AuthQuestion

from ..helpers.walks import CHALLENGE, CONFIGS, GONE, LATER, OWN_REPLY, REFUSED, Facts, Moment, Walk, play, walk
from . import MANY

# Reply-line of RFC 5321 4.2, a whole reply with one code.
REPLY = re.compile(rb"(?:([2-5][0-5][0-9])-[\t -~]*\r\n(?=\1))*([2-5][0-5][0-9]) ([\t -~]*)\r\n")
STATUS = re.compile(rb"([245])(?:\.(?:0|[1-9][0-9]{0,2})){2} ")


@st.composite
def walks(draw: st.DrawFn, configs: Sequence[ServerConfig] = CONFIGS) -> Walk:
    # A seed instead of many choices of Hypothesis is ten times as fast; what is shrunk is the length.
    lines, seed = draw(st.integers(1, 40)), draw(st.integers(0, 2**64))
    return walk(Random(seed), draw(st.sampled_from(configs)), lines=lines)


def octets(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def at(places: Sequence[int]) -> Callable[[bytes], list[bytes]]:
    """A way to cut."""

    def cut(data: bytes) -> list[bytes]:
        borders = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
        return [data[start:end] for start, end in pairwise(borders) if start < end]

    return cut


def verb(event: Event) -> bytes:
    """The verb of a command, refused or not; EndOfMessage and the like are none."""
    if isinstance(event, Command):
        return event.verb.encode()
    if not isinstance(event, CommandRejected):
        return b""
    found = re.match(rb"[^ \t]*", event.line)
    assert found is not None
    # BDAT is known in every spelling, such as BDAT<: octets follow it that are not commands.
    return b"BDAT" if re.match(rb"[^!-~]*BDAT(?![A-Z])", event.line, re.IGNORECASE) else found[0].upper()


def code(moment: Moment) -> int:
    """The code of the reply; challenges that came before it do not count."""
    return int(moment.said.split(b"\r\n")[-2][:3])


# -- octets --


@pytest.mark.req("FRM-04", "SEC-01", "SEC-02")
@MANY
@given(walks(), st.lists(st.integers(0, 3000), max_size=12), st.booleans())
def test_a_walk_is_the_same_however_it_is_cut(walk: Walk, places: list[int], eof: bool) -> None:
    whole = play(walk, eof=eof)
    # A line of 13,000 octets takes long, octet by octet, and there is nothing in it.
    short = all(len(line) < 1000 for part in walk.parts for line in part)
    for cut in (at([]), at(places), octets if short else at(range(0, 50000, 499))):
        again = play(walk.cut(cut), eof=eof)
        assert again.happened == whole.happened
        assert again.output == whole.output
        assert again.end == whole.end


@pytest.mark.req("RPL-01", "RPL-02", "RPL-03", "RPL-29", "DAT-21", "FRM-02")
@MANY
@given(walks())
def test_each_event_of_a_walk_gets_the_reply_that_it_wants(walk: Walk) -> None:
    for moment in play(walk).moments:
        rest = CHALLENGE.sub(b"", moment.said)
        wanted = (Command, Connect, EndOfMessage, AuthQuestion, CommandRejected, MessageAborted)
        if isinstance(moment.event, wanted):
            assert REPLY.fullmatch(rest)
        else:
            assert rest == b""


# -- codes --

# What success is, per command (RFC 5321 4.3.2, RFC 3207 4, RFC 4954 4).
SUCCESS: dict[type[Event], int] = {
    Connect: 220,
    Ehlo: 250,
    Helo: 250,
    Mail: 250,
    Rcpt: 250,
    Data: 354,
    EndOfMessage: 250,
    Rset: 250,
    Noop: 250,
    Vrfy: 252,
    Expn: 252,
    Help: 214,
    Quit: 221,
    StartTls: 220,
}
# What a server refuses a command with by itself (the same sections): syntax, order, policy, limits.
REFUSALS: dict[bytes, set[int]] = {
    b"EHLO": {501},
    b"HELO": {501, 530},
    b"MAIL": {501, 503, 530, 550, 552, 555},
    b"RCPT": {501, 503, 530, 553, 555},
    b"DATA": {501, 503, 530},
    b"RSET": {501, 530},
    b"NOOP": {501},
    b"VRFY": {501, 530},
    b"EXPN": {501, 502, 530},
    b"HELP": {501, 502, 530},
    b"QUIT": {501},
    b"STARTTLS": {501, 502, 503},
    b"AUTH": {501, 502, 503, 504, 530, 535, 538},
    b"BDAT": {501, 502, 503, 521},
}


def may_be_503(command: bytes, before: Facts) -> bool:
    """Whether the command is out of order (RFC 5321 4.1.4, RFC 3207 4, RFC 4954 4)."""
    match command:
        case b"MAIL":
            return before.hello is None or before.mail is not None
        case b"RCPT":
            return before.mail is None
        case b"DATA":
            return not before.recipients
        case b"STARTTLS" | b"AUTH":
            fresh = before.tls is None if command == b"STARTTLS" else before.authenticated is None
            return before.mail is not None or not (fresh and isinstance(before.hello, Ehlo))
        case _:
            return command == b"BDAT"


def check_refusal(walk: Walk, moment: Moment) -> None:
    """What the server refuses by itself has a code that fits the command, the state and the configuration."""
    event, before, config = moment.event, moment.before, walk.config
    assert isinstance(event, CommandRejected)
    command, reply = verb(event), code(moment)
    assert reply == event.reply.code
    if reply == 421:
        assert moment.after.state is State.CLOSED
    elif before.state is State.REFUSED:
        # Syntax comes first.
        refusals = {500, 501, 502, 504, 550, 553, 555, 521 if config.never_accepts_mail else 503}
        # What looks like content after a refused DATA ends the session with 554.
        assert reply in refusals or (reply == 554 and moment.after.state is State.CLOSED)
    elif reply == 554:
        # HTTP, a TLS handshake, or content for which DATA was not granted: the session ends with it. A verb
        # that begins with AUTH is shown as AUTH, without what may be its secret.
        assert moment.after.state is State.CLOSED
        assert command not in REFUSALS or event.line.endswith(b"***")
    elif reply == 500:
        # The verb is unknown, the line is too long, or it is shown without its secret.
        assert command not in REFUSALS or len(event.line) >= 200 or event.line.endswith(b"***")
    else:
        assert reply in REFUSALS[command]
        if reply == 503:
            assert may_be_503(command, before)
        elif reply == 502:
            offered = {
                b"EXPN": config.expn,
                b"HELP": config.help,
                b"STARTTLS": config.starttls,
                b"AUTH": bool(config.auth_mechanisms),
            }
            assert not offered.get(command, False)
        elif reply == 552:
            assert b"SIZE=" in event.line
        elif reply in (550, 553, 555):
            assert b"=" in event.line or b"@" in event.line or b"SMTPUTF8" in event.line
        elif reply == 530:
            assert (config.require_tls and before.tls is None) or (
                config.require_auth and before.authenticated is None
            )


@pytest.mark.req("RPL-15", "MAI-17", "RCP-17", "DAT-26", "DAT-27", "SES-23", "SES-43")
@MANY
@given(walks())
def test_replies_have_the_codes_that_their_commands_foresee(walk: Walk) -> None:
    for moment in play(walk).moments:
        event, number, before = moment.event, moment.answer, moment.before
        if isinstance(event, CommandRejected):
            check_refusal(walk, moment)
        elif isinstance(event, MessageAborted):
            assert event.reply is not None and event.reply.code == code(moment) in {421, 550, 552, 554}
        elif number is None:
            assert isinstance(event, Chunk | ConnectionClosed)
        elif isinstance(event, AuthQuestion) and code(moment) == 421:
            assert number in (REFUSED, LATER, GONE) and moment.after.state is State.CLOSED
        else:
            assert not may_be_503(verb(event), before), f"{event!r} is out of order"
            if number in (REFUSED, LATER, GONE) and not (isinstance(event, Quit) and number != GONE):
                refused_with = {REFUSED: 550, LATER: 451, GONE: 421}[number]
                if code(moment) == 421:  # one refused command too many
                    assert moment.after.state is State.CLOSED
                    continue
                assert code(moment) == (554 if isinstance(event, Connect) and number != GONE else refused_with)
            elif isinstance(event, AuthQuestion):
                assert code(moment) == 235
            elif number == OWN_REPLY and isinstance(event, Vrfy | Expn):
                assert code(moment) == 250
            else:
                assert code(moment) == SUCCESS[type(event)]


@pytest.mark.req("ESC-01", "ESC-02", "ESC-03", "ESC-04", "ESC-05", "ESC-06", "DAT-26")
@MANY
@given(walks([config for config in CONFIGS if config.enhanced_status_codes]))
def test_status_codes_are_in_all_replies_that_have_one(walk: Walk) -> None:
    opened = False
    for moment in play(walk).moments:
        event = moment.event
        without = verb(event) in (b"EHLO", b"HELO") or (isinstance(event, Connect) and not opened)
        opened = True
        for line in moment.said.split(b"\r\n")[:-1]:
            status = STATUS.match(line[4:])
            if without or line.startswith(b"3"):
                assert status is None
            else:
                assert status is not None
                assert status[1] == line[:1]


@pytest.mark.req("RPL-30")
@MANY
@given(walks())
def test_every_reply_has_text(walk: Walk) -> None:
    for moment in play(walk).moments:
        lines = CHALLENGE.sub(b"", moment.said).split(b"\r\n")[:-1]
        for line in lines[:1] if isinstance(moment.event, Ehlo) else lines:  # the others are keywords
            assert re.search(r"[a-z]{2,}|\?", STATUS.sub(b"", line[4:]).decode())


# -- what a refusal leaves as it was --


@pytest.mark.req("SES-42", "SES-43", "SES-05")
@MANY
@given(walks())
def test_a_refused_command_changes_nothing(walk: Walk) -> None:
    for moment in play(walk).moments:
        event, before, after = moment.event, moment.before, moment.after
        if after.state is State.CLOSED:
            continue
        refused = isinstance(event, CommandRejected) or (
            moment.answer in (REFUSED, LATER) and isinstance(event, Command | AuthQuestion)
        )
        if refused and not isinstance(event, Quit):
            if before.state is State.AUTHENTICATING:
                assert after.state is State.READY  # that exchange is over
                before = before._replace(state=State.READY)
            assert after == before


@pytest.mark.req("SES-42", "SES-43")
@MANY
@given(walks())
def test_a_session_goes_on_as_if_a_refused_line_had_not_been_there(walk: Walk) -> None:
    """What is refused is left out, and everything else remains."""
    played = play(walk)
    if any(b"421 " in moment.said for moment in played.moments):
        return  # a limit was reached, which counts the refused lines as well
    left_out = set()
    in_hope = False  # of 354 or 334, which did not come: then lines that are no commands may end the session
    for moment in played.moments:
        event = moment.event
        if not isinstance(event, CommandRejected):
            in_hope = False
        elif moment.after.state is State.CLOSED:
            return
        elif moment.before.state is State.AUTHENTICATING or verb(event) in (b"DATA", b"AUTH"):
            in_hope = True
        elif not in_hope:
            left_out.add(moment.place)
    kept = [moment for moment in played.moments if moment.place not in left_out]
    assert all(isinstance(one.event, CommandRejected) for one in played.moments if one.place in left_out)
    parts = [
        [line for number, line in enumerate(part) if (where, number) not in left_out]
        for where, part in enumerate(walk.parts)
    ]
    again = play(walk._replace(parts=parts))
    assert again.happened == played._replace(moments=kept).happened


# -- what an application is told --


@pytest.mark.req("RCP-02", "LIM-17", "MAI-06", "SES-01", "SES-07")
@MANY
@given(walks())
def test_the_envelope_is_what_was_accepted(walk: Walk) -> None:
    """A model of RFC 5321 4.1.1: which commands begin a transaction, add to it and end it."""
    mail: Mail | None = None
    recipients: list[Rcpt] = []
    for moment in play(walk).moments:
        event, number = moment.event, moment.answer
        if isinstance(event, EndOfMessage):
            assert moment.before.mail is mail
            assert moment.before.recipients == tuple(recipients)
        granted = number is not None and number not in (REFUSED, LATER, GONE)
        if granted and isinstance(event, Mail):
            mail, recipients = event, []
        elif granted and isinstance(event, Rcpt):
            recipients.append(event)
        elif isinstance(event, EndOfMessage | MessageAborted) or (
            granted and isinstance(event, Rset | Ehlo | Helo | StartTls)
        ):
            mail, recipients = None, []
        if moment.after.state is State.CLOSED:
            break
        assert moment.after.mail == mail
        assert [str(one) for one in moment.after.recipients] == [str(one) for one in recipients]
        assert [one.parameters for one in moment.after.recipients] == [one.parameters for one in recipients]


# -- where walks get to --


@pytest.mark.parametrize(
    "kind",
    [
        *(Ehlo, Helo, Mail, Rcpt, Data, Chunk, EndOfMessage, Rset, Noop, Vrfy, Expn, Help, Quit, StartTls),
        *(AuthQuestion, MessageAborted, ConnectionClosed),
    ],
)
def test_walks_reach_every_kind_of_event(kind: type[Event]) -> None:
    """Of two hundred walks, with these seeds, ten at least get to each kind of event."""
    made = [walk(Random(seed), CONFIGS[seed % len(CONFIGS)]) for seed in range(200)]
    assert sum(any(isinstance(moment.event, kind) for moment in play(one).moments) for one in made) >= 10


@pytest.mark.parametrize("code", [421, 500, 501, 502, 503, 504, 521, 530, 553, 555])
def test_walks_meet_every_refusal(code: int) -> None:
    met = set()
    for seed in range(1000):
        if code in met:
            break
        played = play(walk(Random(seed), CONFIGS[seed % len(CONFIGS)]))
        met |= {one.event.reply.code for one in played.moments if isinstance(one.event, CommandRejected)}
    assert code in met


def test_an_exchange_of_auth_gets_to_both_ends() -> None:
    ends = set()
    for seed in range(200):
        for moment in play(walk(Random(seed), CONFIGS[1])).moments:
            if moment.before.state is State.AUTHENTICATING:
                ends.add(code(moment))
    assert {235, 501} <= ends
