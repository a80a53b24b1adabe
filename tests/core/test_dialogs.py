"""The dialogs of tests/dialogs, each as it is written and cut in other ways; and the reader of dialogs."""

from __future__ import annotations

import random

import pytest

from ..helpers.dialogs import Dialog, DialogError, parse, play, read_all, replay

DIALOGS = read_all()
MESSAGE = """\
HELLO
C: MAIL FROM:<a@x.example>
C*2: RCPT TO:<c{n}@x.example>
C: DATA
S*3: 250 ...
S: 354 ...
C: ."""


@pytest.mark.parametrize(
    "dialog",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.req(*one.requirements)] * bool(one.requirements))
        for one in DIALOGS
    ],
)
def test_a_dialog_goes_as_it_is_written(dialog: Dialog) -> None:
    play(dialog)


@pytest.mark.req("FRM-04", "SEC-02")
@pytest.mark.parametrize("dialog", [pytest.param(one, id=one.name) for one in DIALOGS if one.cuttable])
def test_a_dialog_goes_alike_however_it_is_cut(dialog: Dialog) -> None:
    written = play(dialog)
    source = random.Random(dialog.name)
    for cut in (None, 1, source, source, source):
        again = replay(dialog, written.given, cut)
        assert again.events == written.events
        assert again.log == written.log
        assert again.output == written.output
        assert again.connection.state is written.connection.state


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("HELLO\nD: x", "line 2: this means nothing"),
        ("C~ x", "line 1: this means nothing"),
        ("S> x", "line 1: this means nothing"),
        ("C: \\q", "no such escape"),
        ("config: no_such=1", "no such setting"),
        ("config: limits.no_such=1", "no such setting"),
        ("config: starttls=maybe", "maybe"),
        ("config: profile=relay", "relay"),
        ("config: limits.recipients=many", "many"),
    ],
)
def test_a_malformed_dialog_is_reported_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(DialogError, match=complaint):
        parse("name", text)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("HELLO\nC: NOOP\nS: 250 2.0.0", "received"),
        ("HELLO\nC: NOOP\nS: 250 2.0.0 ok\nS: 250 2.0.0 ok", "received"),
        ("HELLO\nC: NOOP\nS-", "received"),
        ("HELLO\nC: NOOP\nC: RSET\nS: 250 2.0.0 ok", "received"),
        ("HELLO\nC: NOOP\nE: Rset\nS: 250 ...", "received"),
        ("HELLO\nC: NOOP\nE: Noop\nE: Noop\nS: 250 ...", "received"),
        ("HELLO\nC: NOOP x\nE: Noop y\nS: 250 ...", "received"),
        (f"{MESSAGE}\nS: 250 ...", "has no line E"),
        (f"{MESSAGE}\nE: EndOfMessage\nS: 250 ...", "received"),
        (f"{MESSAGE}\nE: EndOfMessage <a@x.example>\nS: 250 ...", "received"),
        (f"{MESSAGE}\nE: EndOfMessage <a@x.example> <c2@x.example> <c1@x.example>\nS: 250 ...", "received"),
        (f"{MESSAGE}\nE: EndOfMessage <a@x.example> <c{{1-3}}@x.example>\nS: 250 ...", "received"),
        ("HELLO\nC: NOOPX\nA: reject 550 5.7.1 no\nS: 500 ...", "nothing was asked"),
    ],
)
def test_a_dialog_with_another_outcome_fails(text: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        play(parse("name", text))


def test_the_envelope_of_a_message_is_reported() -> None:
    play(parse("name", f"{MESSAGE}\nE: EndOfMessage <a@x.example> <c{{1-2}}@x.example>\nS: 250 ..."))


def test_an_unknown_answer_in_a_dialog_is_an_error() -> None:
    with pytest.raises(DialogError, match="no such answer: shrug"):
        play(parse("name", "A: shrug\nS: 220 ..."))
