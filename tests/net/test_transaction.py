"""The envelope of a transaction as it is checked beforehand, and what becomes of each recipient."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest

from smtpcore import (
    ArgumentTypeError,
    ClientConnection,
    Data,
    Ehlo,
    Limits,
    LocalProtocolError,
    Mail,
    Rcpt,
    RecipientResult,
    Reply,
    Response,
    Timeouts,
)
from smtpcore._net.transaction import Transaction, names_of, prepare_email, prepare_transaction
from smtpcore.extensions import STANDARD, Extension, Parameter

SENDER, ONE, TWO = "a@client.example", "one@mx.example", "two@mx.example"
OK, LATER, NEVER = Reply(250, None, "ok"), Reply(451, "4.3.0", "later"), Reply(550, "5.1.1", "no")
QUEUED, TOO_MANY = Reply(250, "2.0.0", "queued"), Reply(552, None, "too many")


def text(value: str | None) -> str:
    return value or ""


TAG = Extension(
    "X-TAG", parameters=(Parameter("X-TAG", "MAIL", text, str), Parameter("X-TAG", "RCPT", text, str))
)


def greeted(*keywords: str) -> ClientConnection:
    """A core that has had the reply to EHLO."""
    connection = ClientConnection(extensions=(*STANDARD, TAG))
    connection.receive_data(b"220 mx.example\r\n")
    connection.next_event()
    connection.send(Ehlo("client.example"))
    connection.data_to_send()
    offer = ["mx.example", *keywords]
    reply = "".join(f"250{' ' if line is offer[-1] else '-'}{line}\r\n" for line in offer)
    connection.receive_data(reply.encode())
    connection.next_event()
    return connection


def prepared(
    *keywords: str,
    sender: Any = SENDER,
    recipients: Any = ONE,
    content: bytes | None = b"x\r\n",
    smtputf8: bool = False,
) -> Transaction:
    return prepare_transaction(greeted(*keywords), sender, recipients, content, smtputf8)


# --- Parameters -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keywords, content, parameters",
    [
        ([], b"x\r\n", {}),
        (["SIZE"], b"x\r\n", {"SIZE": 3}),
        (["SIZE"], b"x", {"SIZE": 3}),  # a CRLF is added
        (["SIZE"], b"", {"SIZE": 0}),
        (["SIZE"], None, {}),
        (["8BITMIME"], b"x\r\n", {}),
        (["8BITMIME"], b"\xfc\r\n", {"BODY": "8BITMIME"}),
        (["8BITMIME"], None, {"BODY": "8BITMIME"}),
        (["8BITMIME", "SIZE"], b"\xfc", {"BODY": "8BITMIME", "SIZE": 3}),
    ],
)
def test_mail_declares_what_is_known_and_offered(keywords: Any, content: Any, parameters: Any) -> None:
    assert dict(prepared(*keywords, content=content).mail.parameters) == parameters


def test_parameters_of_the_application_replace_those_that_are_worked_out() -> None:
    transaction = prepared("SIZE", "X-TAG", sender=Mail(SENDER, {"SIZE": 99, "X-TAG": "7"}))
    assert dict(transaction.mail.parameters) == {"SIZE": 99, "X-TAG": "7"}
    assert transaction.has_own_parameters
    assert prepared("X-TAG", recipients=Rcpt(ONE, {"X-TAG": "7"})).has_own_parameters
    assert not prepared("SIZE", sender=Mail(SENDER), recipients=[Rcpt(ONE)]).has_own_parameters


@pytest.mark.parametrize(
    "keywords, given, complaint",
    [
        ([], {"sender": Mail(SENDER, {"X-TAG": "7"})}, "does not offer the parameter X-TAG of MAIL"),
        ([], {"recipients": [ONE, Rcpt(TWO, {"X-TAG": "7"})]}, "does not offer the parameter X-TAG of RCPT"),
        (["8BITMIME"], {"sender": Mail(SENDER, {"BODY": "7BIT"}), "content": b"\xfc"}, "BODY=7BIT"),
        ([], {"content": b"\xfc"}, "does not offer 8BITMIME"),
        ([], {"content": b"a\nb"}, "line 1 of the content has a bare LF"),
        ([], {"recipients": []}, "at least one recipient"),
        ([], {"recipients": "one@"}, "'one@' is not a valid recipient"),
        ([], {"recipients": f"{ONE}, {TWO}"}, "recipients are given as a list"),
        ([], {"sender": "a@"}, "domain"),
        ([], {"smtputf8": True}, "the header is not ASCII"),
        ([], {"sender": Mail(SENDER, {"SMTPUTF8": True})}, "the header is not ASCII"),
        ([], {"recipients": "\xfc@mx.example"}, "the address '\xfc@mx.example' is not ASCII"),
    ],
)
def test_what_cannot_be_sent_is_named(keywords: Any, given: Any, complaint: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        prepared(*keywords, **given)
    assert complaint in str(caught.value)
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "given, complaint",
    [
        ({"sender": None}, "sender is a string"),
        ({"sender": b"a@client.example"}, "sender is a string"),
        ({"smtputf8": 1}, "smtputf8 is True or False"),
        ({"recipients": 7}, "recipients is a string or an Rcpt, or a sequence"),
        ({"recipients": b"one@mx.example"}, "recipients is a string or an Rcpt, or a sequence"),
        ({"recipients": [ONE, 7]}, "each of recipients is a string or an Rcpt, not int 7"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(given: Any, complaint: str) -> None:
    with pytest.raises(ArgumentTypeError, match=complaint):
        prepared(**given)


@pytest.mark.parametrize(
    "keywords, size, refused", [(["SIZE 10"], 10, False), (["SIZE 10"], 11, True), (["SIZE"], 11, False)]
)
def test_a_message_that_is_too_big_is_refused_beforehand(keywords: Any, size: int, refused: bool) -> None:
    transaction = prepared(*keywords, content=b"x" * (size - 2) + b"\r\n")
    assert (transaction.refusal is not None) is refused
    if transaction.refusal is not None:
        assert (transaction.refusal.reply.code, str(transaction.refusal.reply.status)) == (552, "5.3.4")
        assert transaction.result().reply == transaction.refusal.reply


@pytest.mark.parametrize("sender", [SENDER, f"<{SENDER}>", Mail(SENDER), Mail(f"<{SENDER}>")])
def test_the_sender_of_a_result_has_no_brackets(sender: Any) -> None:
    assert prepared(sender=sender).result().sender == SENDER


@pytest.mark.parametrize("sender", ["", "<>", Mail("")])
def test_the_null_sender_is_empty(sender: Any) -> None:
    transaction = prepared(sender=sender)
    assert transaction.result().sender == "" and transaction.mail == Mail("")


# --- Addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keywords", [[], ["SMTPUTF8"]])
def test_a_domain_alone_is_sent_with_a_labels(keywords: Any) -> None:
    transaction = prepared(*keywords, sender="a@b\xfccher.example", recipients=[ONE, "x@B\xfccher.example"])
    assert transaction.mail == Mail("a@xn--bcher-kva.example")
    assert transaction.rcpts == [Rcpt(ONE), Rcpt("x@xn--bcher-kva.example")]
    assert [one.recipient for one in transaction.result().results] == [ONE, "x@B\xfccher.example"]


def test_one_local_part_that_is_not_ascii_keeps_all_addresses_as_they_are() -> None:
    transaction = prepared("SMTPUTF8", sender="a@b\xfccher.example", recipients=["u\u0308@mx.example"])
    assert transaction.mail == Mail("a@b\xfccher.example", {"SMTPUTF8": True})
    assert transaction.rcpts == [Rcpt("\xfc@mx.example")], "composed"


def test_recipients_are_names_and_parameters() -> None:
    assert names_of(ONE) == names_of(Rcpt(ONE)) == names_of((ONE,)) == ([ONE], {})
    assert names_of([ONE, Rcpt(TWO, {"X-TAG": "7"})]) == ([ONE, TWO], {1: {"X-TAG": "7"}})
    assert names_of(iter([ONE, TWO])) == ([ONE, TWO], {})


def test_an_email_message_has_its_envelope_and_is_made_to_fit() -> None:
    email = EmailMessage()
    email["From"], email["To"], email["Bcc"] = SENDER, ONE, TWO
    email.set_content("\xfc", cte="8bit")
    transaction = prepare_email(greeted("8BITMIME"), email)
    assert transaction.mail == Mail(SENDER, {"BODY": "8BITMIME"}) and transaction.rcpts == [
        Rcpt(ONE),
        Rcpt(TWO),
    ]
    assert prepare_email(greeted(), email).mail == Mail(SENDER)
    tagged = prepare_email(greeted("X-TAG"), email, Mail("", {"X-TAG": "1"}), [Rcpt(TWO, {"X-TAG": "2"})])
    assert tagged.mail == Mail("", {"X-TAG": "1"}) and tagged.rcpts == [Rcpt(TWO, {"X-TAG": "2"})]
    wrong: Any
    for wrong in ({"message": b"x"}, {"message": email, "sender": 7}):
        with pytest.raises(ArgumentTypeError):
            prepare_email(greeted(), **wrong)


# --- What becomes of it ---------------------------------------------------------------------------------------


def transaction(
    *replies: Reply, refusal: Any = None, sent: bool = False, size: int | None = None
) -> Transaction:
    """With two recipients, after these replies to RCPT."""
    mail = Mail(SENDER, {} if size is None else {"SIZE": size})
    made = Transaction(SENDER, mail, [Rcpt(ONE), Rcpt(TWO)], [ONE, TWO])
    made.replies, made.refusal, made.sent = [*replies], refusal, sent
    return made


def rows(one: Transaction, final: Reply | None = None) -> list[tuple[Reply | None, bool, bool]]:
    return [(row.reply, row.accepted, row.retryable) for row in one.result(final).results]


@pytest.mark.parametrize(
    "replies, refusal, final, expected",
    [
        # Without an answer each recipient is worth another attempt (RFC 5321 3.8).
        ([], None, None, [(None, False, True), (None, False, True)]),
        ([OK], None, None, [(OK, False, True), (None, False, True)]),
        # RCPT decides alone where it refuses; the final reply decides for the others.
        ([OK, OK], None, QUEUED, [(QUEUED, True, False), (QUEUED, True, False)]),
        ([OK, NEVER], None, QUEUED, [(QUEUED, True, False), (NEVER, False, False)]),
        ([OK, LATER], None, QUEUED, [(QUEUED, True, False), (LATER, False, True)]),
        ([OK, NEVER], None, LATER, [(LATER, False, True), (NEVER, False, False)]),
        ([OK, LATER], None, NEVER, [(NEVER, False, False), (LATER, False, True)]),
        # MAIL decides for all, DATA for those that were accepted.
        ([OK, NEVER], Response(Mail(SENDER), LATER), None, [(LATER, False, True), (LATER, False, True)]),
        ([OK, LATER], Response(Mail(SENDER), NEVER), None, [(NEVER, False, False), (NEVER, False, False)]),
        ([OK, NEVER], Response(Data(), LATER), None, [(LATER, False, True), (NEVER, False, False)]),
        ([OK], Response(Rcpt(TWO), Reply(421)), None, [(Reply(421), False, True), (None, False, True)]),
    ],
)
def test_each_recipient_has_the_reply_that_decided(
    replies: Any, refusal: Any, final: Any, expected: Any
) -> None:
    assert rows(transaction(*replies, refusal=refusal), final) == expected


@pytest.mark.parametrize(
    "first, reply, size, retryable",
    [
        (OK, TOO_MANY, None, True),  # RFC 5321 4.5.3.1.10
        (OK, Reply(552, "5.5.3", "too many"), None, True),
        (OK, Reply(552, "5.2.2", "mailbox full"), None, False),
        (OK, TOO_MANY, 1000, False),  # RFC 1870 6.4: it may be about the size
        (NEVER, TOO_MANY, None, False),  # the first that is accepted cannot be too many
        (OK, Reply(554, None, "no"), None, False),
    ],
)
def test_552_to_rcpt_is_worth_another_attempt_only_where_it_means_too_many(
    first: Reply, reply: Reply, size: int | None, retryable: bool
) -> None:
    assert rows(transaction(first, reply, size=size))[1] == (reply, False, retryable)


def test_a_message_may_be_delivered_from_the_final_dot_to_its_reply() -> None:
    assert not transaction(OK, OK).result().maybe_delivered
    assert transaction(OK, OK, sent=True).result().maybe_delivered
    assert not transaction(OK, OK, sent=True).result(QUEUED).maybe_delivered
    assert not transaction(OK, OK, sent=True).result(NEVER).maybe_delivered


def test_the_recipients_of_the_content_are_those_whose_rcpt_was_accepted() -> None:
    assert transaction(OK, NEVER).accepted == [OK]
    assert transaction(OK, NEVER, refusal=Response(Data(), NEVER)).accepted == [OK]
    assert transaction(OK, OK, refusal=Response(Mail(SENDER), NEVER)).accepted == []


def test_the_result_has_the_last_reply_about_the_whole() -> None:
    assert transaction(OK, OK).result().reply is None
    assert transaction(OK, OK).result(QUEUED).reply == QUEUED
    assert transaction(OK, refusal=Response(Data(), LATER)).result().reply == LATER
    assert transaction(OK, OK).result(QUEUED).results[0] == RecipientResult(ONE, QUEUED, True, False)


def test_the_time_grows_with_recipients_content_and_the_pauses_of_the_application() -> None:
    one, timeouts, limits = transaction(), Timeouts(), Limits()
    waits = 2 * timeouts.command + timeouts.data_initiation + timeouts.data_block + timeouts.data_termination
    one.begin(1000.0, timeouts)
    assert one.allowed == waits + 2 * timeouts.recipient
    assert one.end == 1000.0 + one.allowed
    one.allow_content(2 * int(limits.upload_rate), limits)
    assert one.allowed == waits + 2 * timeouts.recipient + 2
    one.pause(50.0)
    assert (one.allowed, one.end) == (waits + 2 * timeouts.recipient + 2, 1050.0 + one.allowed)
