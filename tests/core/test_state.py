"""The tables of the state machine: that they are whole, and what they say.

The diagram in the module is a picture for people; these tests speak of the tables alone.
"""

from __future__ import annotations

import functools

import pytest

from smtpcore._core import events as _events
from smtpcore._core import state as _state
from smtpcore._core.events import (
    Command,
    Connect,
    Data,
    Ehlo,
    EndOfMessage,
    Event,
    Helo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Vrfy,
)
from smtpcore._core.state import HANDSHAKEN, State
from smtpcore.extensions.auth import Auth
from smtpcore.extensions.expn import Expn
from smtpcore.extensions.help import Help
from smtpcore.extensions.starttls import StartTls

from ..helpers.standard import RULES

# The tables of RFC 5321 with the rows of the standard extensions in them.
TRANSITIONS, LEGAL, SUCCESS, PIPELINED = RULES.after, RULES.legal, RULES.success, RULES.pipelined
BEFORE_AUTH, BEFORE_TLS = RULES.before_auth, RULES.before_tls
after = functools.partial(_state.after, TRANSITIONS)

COMMANDS = {one for one in vars(_events).values() if isinstance(one, type) and issubclass(one, Command)}
COMMANDS = {one for one in COMMANDS if "verb" in vars(one)} | RULES.commands.keys()
ANSWERED: set[type[Event]] = {*COMMANDS, Connect, EndOfMessage}
# A code for each class, and the one that is an exception.
CODES = (220, 250, 354, 421, 450, 550)

OPENING, REFUSED, GREETED, READY = State.OPENING, State.REFUSED, State.GREETED, State.READY
AUTHENTICATING, TLS, MAIL, RCPT = State.AUTHENTICATING, State.TLS, State.MAIL, State.RCPT
CONTENT, CLOSED = State.CONTENT, State.CLOSED
IN_SESSION = (GREETED, READY, MAIL, RCPT)
IN_TRANSACTION = (MAIL, RCPT)


def steps(state: State) -> set[State]:
    """Where one legal command, or what goes on without one, can lead."""
    states = {after(kind, code, state) for kind in LEGAL[state] for code in CODES}
    if state is AUTHENTICATING:
        states |= {after(Auth, code, state) for code in (235, 334, 454, 535)}
    if state in HANDSHAKEN:
        states.add(HANDSHAKEN[state])
    return states


def reachable(state: State) -> set[State]:
    found = {state}
    while more := {target for one in found for target in steps(one)} - found:
        found |= more
    return found


# --- That they are whole ---


def test_every_state_is_in_the_table() -> None:
    assert LEGAL.keys() == set(State)
    assert len({state.value for state in State}) == len(State)


def test_exactly_the_answered_events_are_legal_somewhere() -> None:
    assert set().union(*LEGAL.values()) == ANSWERED == SUCCESS.keys()


def test_every_state_can_be_reached() -> None:
    assert reachable(OPENING) == set(State)


@pytest.mark.parametrize("state", [state for state in State if state is not CLOSED])
def test_every_session_can_come_to_its_end(state: State) -> None:
    assert CLOSED in reachable(state)
    # Not only because somebody says 421: by what is legal, and answered as it should be.
    target, seen = state, set()
    while target is not CLOSED:
        assert target not in seen, "going round in circles"
        seen.add(target)
        if target in HANDSHAKEN:
            target = HANDSHAKEN[target]
        elif target is AUTHENTICATING:
            target = after(Auth, 535, target)
        elif Quit in LEGAL[target]:
            target = after(Quit, 221, target)
        else:
            (kind,) = LEGAL[target]
            target = after(kind, min(SUCCESS[kind]), target)


def test_nothing_comes_after_the_end() -> None:
    assert LEGAL[CLOSED] == frozenset()
    assert reachable(CLOSED) == {CLOSED}


def test_a_command_leads_somewhere_only_from_where_it_is_legal() -> None:
    exceptions = {
        (Auth, AUTHENTICATING),  # the reply that ends an exchange: no command is legal in one
        (Data, READY),  # 354 to a DATA that was sent with RCPT, before they were refused (RFC 2920 3.1)
        (Data, MAIL),
    }
    sources = {(kind, state) for (kind, _), moves in TRANSITIONS.items() for state in moves}
    assert {(kind, state) for kind, state in sources if kind not in LEGAL[state]} <= exceptions
    assert (Auth, AUTHENTICATING) in sources


def test_every_transition_is_for_a_first_digit_from_2_to_5() -> None:
    assert {severity for _, severity in TRANSITIONS} <= {2, 3, 4, 5}
    assert {kind for kind, _ in TRANSITIONS} <= ANSWERED


def test_states_are_usable_as_keys() -> None:
    assert {state: state.value for state in State}[State("mail")] == "mail"
    assert hash(State.MAIL) == hash(State("mail"))


# --- What is legal ---


@pytest.mark.parametrize(
    "state, legal",
    [
        (OPENING, {Connect}),
        (REFUSED, {Quit}),
        (GREETED, {Ehlo, Helo, Noop, Help, Expn, Vrfy, Rset, Quit}),
        (READY, {Ehlo, Helo, Noop, Help, Expn, Vrfy, Rset, Quit, Mail, Auth, StartTls}),
        (AUTHENTICATING, set()),
        (TLS, set()),
        (MAIL, {Ehlo, Helo, Noop, Help, Expn, Vrfy, Rset, Quit, Rcpt}),
        (RCPT, {Ehlo, Helo, Noop, Help, Expn, Vrfy, Rset, Quit, Rcpt, Data}),
        (CONTENT, {EndOfMessage}),
        (CLOSED, set()),
    ],
)
def test_the_legal_commands_of_each_state_are_those_of_the_rfc(state: State, legal: set[type[Event]]) -> None:
    assert LEGAL[state] == legal


# --- Where it leads ---


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("kind", sorted(ANSWERED, key=lambda kind: kind.__name__))
def test_421_ends_the_session_whatever_it_answers(kind: type[Event], state: State) -> None:
    assert after(kind, 421, state) is CLOSED


@pytest.mark.parametrize(
    "kind", sorted(ANSWERED - {Connect, EndOfMessage, Quit}, key=lambda kind: kind.__name__)
)
def test_a_refused_command_leaves_the_state_as_it_was(kind: type[Event]) -> None:
    for state in State:
        for code in (450, 454, 500, 503, 535, 550, 554):
            if (kind, state) != (Auth, AUTHENTICATING):
                assert after(kind, code, state) is state


@pytest.mark.parametrize("code", [220, 221, 235, 250, 252, 334, 354, 450, 502, 554])
def test_a_command_out_of_place_leaves_the_state_as_it_was(code: int) -> None:
    for state in State:
        for kind in ANSWERED - LEGAL[state]:
            moved = (kind is Auth and state is AUTHENTICATING) or (kind is Data and code // 100 == 3)
            if not moved:
                assert after(kind, code, state) is state


@pytest.mark.parametrize("kind", [Noop, Help, Vrfy, Expn])
def test_commands_without_effect_change_no_state(kind: type[Event]) -> None:
    for state in State:
        for code in (200, 211, 214, 250, 252, 354, 450, 550):
            assert after(kind, code, state) is state


def walk(*moves: tuple[type[Event], int]) -> list[State]:
    """The states that a session comes through; each command is legal, or the rest of an exchange."""
    state = OPENING
    states = []
    for kind, code in moves:
        assert kind in LEGAL[state] or (kind is Auth and state is AUTHENTICATING)
        state = after(kind, code, state)
        states.append(state)
    return states


def test_a_transaction_leads_through_its_states() -> None:
    moves = [(Connect, 220), (Ehlo, 250), (Mail, 250), (Rcpt, 250), (Rcpt, 550), (Rcpt, 251), (Data, 354)]
    moves += [(EndOfMessage, 250), (Mail, 250), (Rcpt, 450), (Rset, 250), (Quit, 221)]
    assert walk(*moves) == [
        *(GREETED, READY, MAIL, RCPT, RCPT, RCPT, CONTENT),
        *(READY, MAIL, MAIL, READY, CLOSED),
    ]


@pytest.mark.parametrize("code", [250, 452, 554])
def test_the_end_of_the_content_ends_the_transaction_however_it_is_answered(code: int) -> None:
    assert after(EndOfMessage, code, CONTENT) is READY


def test_an_accepted_connection_is_greeted_and_a_refused_one_is_not() -> None:
    assert after(Connect, 220, OPENING) is GREETED
    for code in (450, 521, 554):
        assert after(Connect, code, OPENING) is REFUSED
    assert after(Quit, 221, REFUSED) is CLOSED


@pytest.mark.req("EHL-35")
@pytest.mark.parametrize("kind", [Ehlo, Helo])
def test_an_introduction_leads_to_the_initial_state(kind: type[Event]) -> None:
    assert {after(kind, 250, state) for state in IN_SESSION} == {READY}


def test_rset_ends_a_transaction_and_is_no_introduction() -> None:
    assert {after(Rset, 250, state) for state in IN_TRANSACTION} == {READY}
    assert after(Rset, 250, READY) is READY
    assert after(Rset, 250, GREETED) is GREETED


def test_quit_ends_a_session_however_it_is_answered() -> None:
    for state in (REFUSED, *IN_SESSION):
        for code in (221, 250, 450, 500, 502, 554):
            assert after(Quit, code, state) is CLOSED


def test_data_needs_354() -> None:
    assert after(Data, 354, RCPT) is CONTENT
    for code in (250, 450, 503, 554):
        assert after(Data, code, RCPT) is RCPT


def test_an_auth_exchange_leads_through_its_states() -> None:
    moves = [(Connect, 220), (Ehlo, 250), (Auth, 334), (Auth, 334), (Auth, 535), (Auth, 334), (Auth, 454)]
    moves += [(Auth, 504), (Auth, 334), (Auth, 235), (Auth, 235)]
    assert walk(*moves)[2:] == [
        *(AUTHENTICATING, AUTHENTICATING, READY, AUTHENTICATING, READY),
        *(READY, AUTHENTICATING, READY, READY),
    ]


def test_the_handshake_leads_back_to_the_state_before_ehlo() -> None:
    assert walk((Connect, 220), (Ehlo, 250), (StartTls, 454), (StartTls, 220))[2:] == [READY, TLS]
    assert HANDSHAKEN == {TLS: GREETED}


# --- The sets ---


def test_policies_only_remove_legal_commands() -> None:
    for policy in (BEFORE_TLS, BEFORE_AUTH):
        assert policy < ANSWERED
        for state in (OPENING, REFUSED, CONTENT):
            assert LEGAL[state] <= policy, "a session that is under way could not go on, or not end"
        assert not policy & {Mail, Rcpt, Data}
        assert {Quit, StartTls, Ehlo} <= policy


def test_before_required_tls_only_four_commands_are_legal() -> None:
    assert {Noop, Ehlo, StartTls, Quit} == BEFORE_TLS & COMMANDS


def test_before_required_authentication_eight_commands_are_legal() -> None:
    assert {Auth, Ehlo, Helo, Noop, Rset, Quit, StartTls, Help} == BEFORE_AUTH & COMMANDS


def test_only_mail_rcpt_and_rset_stand_anywhere_in_a_group() -> None:
    assert {Rset, Mail, Rcpt, EndOfMessage} == PIPELINED


@pytest.mark.parametrize(
    "kind, codes",
    [
        (Connect, {220}),
        (Ehlo, {250}),
        (Helo, {250}),
        (Mail, {250}),
        (Rcpt, {250, 251}),
        (Data, {354}),
        (EndOfMessage, {250}),
        (Rset, {250}),
        (Noop, {250}),
        (Vrfy, {250, 251, 252}),
        (Expn, {250, 252}),
        (Help, {211, 214}),
        (Quit, {221}),
        (StartTls, {220}),
        (Auth, {235}),
    ],
)
def test_the_codes_of_success_are_those_of_the_rfcs(kind: type[Event], codes: set[int]) -> None:
    assert SUCCESS[kind] == codes
    assert {code // 100 for code in codes} <= {2, 3}


def test_a_command_that_changes_the_state_does_so_by_success() -> None:
    moving = {kind for kind, _ in TRANSITIONS}
    for kind in moving - {Rset}:
        for code in SUCCESS[kind]:
            assert (kind, code // 100) in TRANSITIONS
    assert moving == ANSWERED - {Noop, Help, Vrfy, Expn}


def test_every_state_has_a_name_to_show() -> None:
    assert [one.value for one in State] == [one.name.lower() for one in State]


@pytest.mark.parametrize("code", [200, 250, 299, 300, 399, 400, 422, 499, 500, 599])
def test_only_the_first_digit_of_a_reply_matters(code: int) -> None:
    for kind in ANSWERED:
        for state in State:
            assert after(kind, code, state) is after(kind, code // 100 * 100 + 50, state)
