"""The client: what ``send()`` checks before it sends, and what it declares, against scripts."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from smtpcore import (
    ArgumentTypeError,
    ConnectionLost,
    LocalProtocolError,
    MessageTooBig,
    ReplyError,
    SendResult,
)
from smtpcore._net import sources as _sources
from smtpcore._net.client import Client
from smtpcore._net.stream import run

from ..helpers.messages import (
    CONTENT,
    DOT,
    MAIL,
    ONE,
    RCPT,
    SENDER,
    TWO,
    UNPIPELINED,
    Whatever,
    email,
    failure,
    result_of,
    sending,
    table,
)
from ..helpers.scripted import (
    ANY,
    EOF,
    GREETING,
    QUIT,
    Stream,
    connect,
    ehlo,
    talk,
)

# --- send(): what is checked, and what is declared --------------------------------------------------------


@pytest.mark.parametrize(
    "keywords, content, parameters",
    [
        ([], CONTENT, ""),
        (["SIZE"], CONTENT, " SIZE=20"),
        (["SIZE 0"], CONTENT, " SIZE=20"),
        (["SIZE 20"], CONTENT, " SIZE=20"),
        (["SIZE"], b"no line end", " SIZE=13"),
        (["SIZE"], b"", " SIZE=0"),
        (["SIZE", "8BITMIME"], CONTENT, " SIZE=20"),
        (["SIZE", "8BITMIME"], b"\xe4\r\n", " SIZE=3 BODY=8BITMIME"),
        (["SIZE", "8BITMIME", "SMTPUTF8"], bytearray(b"\xe4\r\n"), " SIZE=3 BODY=8BITMIME"),
        (["SIZE", "8BITMIME"], [b"a\r\n"], " BODY=8BITMIME"),
        (["SIZE"], [b"a\r\n"], ""),
    ],
)
@pytest.mark.req("EIG-05", "UTF-06")
def test_parameters_say_what_is_known_and_understood(keywords: Any, content: Any, parameters: str) -> None:
    octets = content if isinstance(content, (bytes, bytearray)) else b"".join(content)
    end = b"" if octets.endswith(b"\r\n") or not octets else b"\r\n"
    steps = [
        (MAIL + parameters, "250 ok"),
        (RCPT, "250 ok"),
        ("DATA", "354 go"),
        (bytes(octets) + end + b".\r\n", "250 ok"),
        QUIT,
    ]
    talk(steps, sending(content=content), keywords=keywords)


@pytest.mark.req("SIZ-15")
@pytest.mark.parametrize("keywords", [["SIZE 19"], ["SIZE 19", "PIPELINING"]])
def test_a_message_that_is_too_big_is_not_begun(keywords: list[str]) -> None:
    error = failure([QUIT], sending(ONE, TWO), MessageTooBig, keywords=keywords)
    assert error.reply.code == 552
    assert "20 octets" in str(error)
    assert table(result_of(error)) == [("one", 552, False, False), ("two", 552, False, False)]
    assert error.hint == "make the message smaller: compress or split attachments"
    assert error.context.reply is None, "the server was not asked"


@pytest.mark.req("SIZ-14")
@pytest.mark.parametrize("code, retryable", [(452, True), (552, False)])
def test_mail_refused_for_its_size_leaves_no_transaction(code: int, retryable: bool) -> None:
    async def twice(client: Client) -> ReplyError:
        with pytest.raises(ReplyError) as caught:
            await client.send(SENDER, [ONE], CONTENT)
        await client.send(SENDER, [ONE], b"")
        return caught.value

    steps = [
        (f"{MAIL} SIZE=20", f"{code} too big"),
        (f"{MAIL} SIZE=0", "250 ok"),
        (RCPT, "250 ok"),
        ("DATA", "354 go"),
        (".", "250 ok"),
        QUIT,
    ]
    error = talk(steps, twice, keywords=["SIZE"])
    assert bool(result_of(error).retryable_recipients) is retryable


@pytest.mark.req("DAT-19", "EIG-04")
@pytest.mark.parametrize(
    "content",
    [
        b"\xe4\r\n",
        memoryview(b"\xe4\r\n"),
        io.BytesIO(b"a\r\n" * 50_000 + b"\xe4\r\n"),
        [b"a\r\n", b"\xe4\r\n"],
        iter([b"a\r\n" * 500_000, b"\xe4\r\n"]),
    ],
    ids=["bytes", "memoryview", "file", "list", "iterator"],
)
def test_eight_bit_content_is_refused_before_anything_is_sent(content: Any) -> None:
    """Whatever it comes from."""
    error = failure([QUIT], sending(content=content), LocalProtocolError, keywords=["PIPELINING"])
    assert "8BITMIME" in str(error)


@pytest.mark.parametrize(
    "content",
    [lambda: io.BytesIO(CONTENT), lambda: [CONTENT[:5], CONTENT[5:]], lambda: iter([CONTENT])],
    ids=["file", "list", "iterator"],
)
@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_content_may_come_from_a_file_or_in_pieces(content: Any, keywords: list[str]) -> None:
    body = " BODY=8BITMIME" if keywords else ""
    steps = [(MAIL + body, "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    assert talk(steps, sending(content=content()), keywords=keywords).accepted_recipients == (ONE,)


def test_big_content_is_written_in_small_pieces() -> None:
    """However it is given: memory for one piece is enough."""
    content = b"0123456789abcd\r\n" * 40_000

    for given in (content, io.BytesIO(content), [content]):
        stream = Stream([GREETING, ehlo(), *UNPIPELINED, (content + b".\r\n", "250 ok"), QUIT])
        client = connect(stream)
        run(client.send(SENDER, [ONE], given))
        run(client.quit())
        stream.finish()
        assert max(stream.sizes) <= _sources.PIECE + 5


@pytest.mark.parametrize(
    "content, what",
    [
        (b"a\nb\r\n", "line 1 of the content has a bare LF"),
        (b"a\r\nb\rc\r\n", "line 2 of the content has a bare CR"),
        (b"x" * 999, "longer than 998 octets"),
        (b"a\r", "ends in a bare CR"),
    ],
)
def test_content_that_cannot_be_sent_is_refused_before_anything_is(content: bytes, what: str) -> None:
    error = failure([QUIT], sending(content=content), LocalProtocolError)
    assert what in str(error)
    assert error.result is None


@pytest.mark.req("DAT-29")
@pytest.mark.parametrize("bad", [b"b\nc", b"x" * 2000])
def test_content_found_invalid_while_sending_gets_no_final_dot(bad: bytes) -> None:
    async def conversation(client: Client) -> LocalProtocolError:
        with pytest.raises(LocalProtocolError) as caught:
            await client.send(SENDER, [ONE], iter([b"a\r\n", bad]))
        with pytest.raises(ConnectionLost, match=r"the session is over: .*\(phase: content\)"):
            await client.noop()
        return caught.value

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    error = talk(steps, conversation, keywords=["8BITMIME"], last=b"a\r\n")
    assert error.context is not None
    assert error.context.phase == "content"
    assert not result_of(error).maybe_delivered
    assert result_of(error).retryable_recipients == (ONE,)


@pytest.mark.parametrize(
    "content",
    [
        lambda: io.BytesIO(b""),
        lambda: used(io.BytesIO(CONTENT)),
        list,
        lambda: (b"", bytearray()),
        lambda: closed(iter_of(CONTENT)),
    ],
    ids=["empty file", "used file", "list", "empty pieces", "used generator"],
)
@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_a_source_without_octets_is_refused_before_anything(content: Any, keywords: list[str]) -> None:
    error = failure([QUIT], sending(content=content()), LocalProtocolError, keywords=keywords)
    assert "the content is empty" in str(error)


def used(file: Any) -> Any:
    file.read()
    return file


def closed(generator: Any) -> Any:
    list(generator)
    return generator


def iter_of(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces


@pytest.mark.req("DAT-29")
def test_an_iterator_without_octets_is_given_up_without_the_final_dot() -> None:
    """It shows only when content is asked for; an empty message would be accepted."""

    async def conversation(client: Client) -> LocalProtocolError:
        with pytest.raises(LocalProtocolError, match="the content is empty") as caught:
            await client.send(SENDER, [ONE], iter([]))
        with pytest.raises(ConnectionLost, match="the session is over"):
            await client.noop()
        return caught.value

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    error = talk(steps, conversation, keywords=["8BITMIME"])
    assert result_of(error).accepted_recipients == ()
    assert not result_of(error).maybe_delivered


def test_an_iterator_is_not_touched_before_the_server_asks_for_content() -> None:
    content = iter([CONTENT])

    async def twice(client: Client) -> SendResult:
        with pytest.raises(ReplyError):
            await client.send(SENDER, [ONE], content)
        return await client.send(SENDER, [ONE], content)

    steps = [(f"{MAIL} BODY=8BITMIME", "451 no"), (f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    assert talk([*steps, (DOT, "250 ok"), QUIT], twice, keywords=["8BITMIME"]).accepted_recipients == (ONE,)


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
def test_a_file_can_be_sent_again_when_the_first_try_has_failed(keywords: list[str]) -> None:
    """It goes back to where it stood, which need not be its beginning."""
    file = io.BytesIO(b"mbox line\n" + CONTENT)
    file.readline()

    async def twice(client: Client) -> SendResult:
        with pytest.raises(ReplyError) as caught:
            await client.send(SENDER, [ONE], file)
        assert result_of(caught.value).retryable_recipients == (ONE,)
        return await client.send(SENDER, [ONE], file)

    body = " BODY=8BITMIME" if keywords else ""
    try_once = [(MAIL + body, "250 ok"), *UNPIPELINED[1:]]
    steps = [*try_once, (DOT, "451 4.3.0 try again"), *try_once, (DOT, "250 ok"), QUIT]
    assert talk(steps, twice, keywords=keywords).accepted_recipients == (ONE,)
    assert file.read() == b"", "after success it is at its end"


def test_a_generator_that_was_begun_does_not_give_the_rest_of_a_message() -> None:
    content = iter_of(CONTENT, CONTENT, CONTENT)

    async def conversation(client: Client) -> None:
        with pytest.raises(ConnectionLost):
            await client.send(SENDER, [ONE], content)

    begin = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:2]]
    talk([*begin, ("DATA", ["354 go", EOF])], conversation, keywords=["8BITMIME"])
    error = failure([QUIT], sending(content=content), LocalProtocolError, keywords=["8BITMIME"])
    assert "the content is empty" in str(error)


FAILURES = [OSError(5, "Input/output error"), TimeoutError("the disk"), ConnectionResetError(104, "reset")]


def unreadable(error: Exception, *pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise error


async def unreadable_async(error: Exception, *pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise error


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
@pytest.mark.parametrize("make", [unreadable, unreadable_async, lambda *rest: Odd(*rest[1:], rest[0])])
def test_content_that_cannot_be_read_is_not_a_loss_of_the_connection(
    make: Any, keywords: list[str], error: OSError
) -> None:
    """It would be reported as a failure of the server, which another attempt may get over."""

    async def conversation(client: Client) -> None:
        with pytest.raises(type(error)) as caught:
            await client.send(SENDER, [ONE], make(error, CONTENT))
        assert caught.value is error
        assert client.last_result is None or not client.last_result.maybe_delivered
        with pytest.raises(ConnectionLost, match="the session is over"):
            await client.noop()

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]] if keywords else []
    talk(steps, conversation, keywords=keywords, last=ANY)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_recipients_that_cannot_be_read_are_not_a_loss_of_the_connection(error: OSError) -> None:
    async def conversation(client: Client) -> None:
        recipients: Any = unreadable(error)
        with pytest.raises(type(error)) as caught:
            await client.send(SENDER, recipients, CONTENT)
        assert caught.value is error

    talk([], conversation)


class Odd:
    """A binary file of its own kind, which cannot seek."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = [*pieces]

    def read(self, size: int) -> Any:
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece


@pytest.mark.req("DAT-29")
@pytest.mark.parametrize(
    "pieces, kind",
    [
        ([b"a\r\n", None, b"b\r\n", b""], LocalProtocolError),
        ([b"a\r\n", "b\r\n", ""], ArgumentTypeError),
        ([b"a\r\n", 7, b""], ArgumentTypeError),
        ([b""], LocalProtocolError),
        ([""], ArgumentTypeError),
        ([b"a\r\n", Whatever()], Whatever),
    ],
)
def test_a_file_that_goes_wrong_on_the_way_gets_no_final_dot(pieces: Any, kind: Any) -> None:
    """None is not the end: a file that does not block has nothing to give now."""

    async def conversation(client: Client) -> None:
        with pytest.raises(kind) as caught:
            await sending(content=Odd(*pieces))(client)
        assert type(caught.value) is kind

    talk([(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]], conversation, keywords=["8BITMIME"])


def test_a_file_that_cannot_seek_is_sent_as_it_comes() -> None:
    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    talk(steps, sending(content=Odd(CONTENT[:5], CONTENT[5:], b"", b"")), keywords=["8BITMIME"])


def test_a_file_of_text_that_does_not_say_so_is_refused_before_anything() -> None:
    class Seeking(Odd):
        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return 0

        def seek(self, position: int) -> None:
            pass

    error = failure([QUIT], sending(content=Seeking("S")), ArgumentTypeError, keywords=["8BITMIME"])
    assert "a piece of it is str" in str(error)


@pytest.mark.parametrize("mode", ["wb", "rb"], ids=["for writing", "closed"])
def test_a_file_that_cannot_be_read_is_refused_before_anything(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(CONTENT)
    with path.open(mode) as file:
        if mode == "rb":
            file.close()
        error = failure([QUIT], sending(content=file), LocalProtocolError, keywords=["8BITMIME"])
    assert "the content cannot be read: " in str(error)


def test_a_big_message_for_a_server_without_8bitmime_is_not_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rolled: list[bool] = []
    spooled: Any = tempfile.SpooledTemporaryFile

    class Spool(spooled):
        def close(self) -> None:
            rolled.append(self._rolled)
            super().close()

        def __exit__(self, *details: object) -> None:
            self.close()

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Spool)
    for octets in (_sources.IN_MEMORY, _sources.IN_MEMORY + 20):
        content = CONTENT * (octets // len(CONTENT))
        steps = [*UNPIPELINED, (content + b".\r\n", "250 ok"), QUIT]
        talk(steps, sending(content=[content]))
    assert rolled == [False, True]


def failing(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise Whatever


@pytest.mark.parametrize("keywords", [[], ["8BITMIME"]])
@pytest.mark.parametrize(
    "content, kind",
    [("Subject: x\r\n", "str"), (io.StringIO("x"), "StringIO"), (EmailMessage(), "EmailMessage")],
    ids=["str", "text file", "EmailMessage"],
)
def test_content_that_is_not_octets_is_refused_before_anything_is_sent(
    content: Any, kind: str, keywords: list[str]
) -> None:
    error = failure([QUIT], sending(content=content), ArgumentTypeError, keywords=keywords)
    assert f"content is octets, which a {kind} is not" in str(error)


@pytest.mark.req("DAT-29")
def test_content_that_fails_on_the_way_is_given_up_without_the_final_dot() -> None:
    """And without QUIT, which would be content; the session is over."""

    async def conversation(client: Client) -> None:
        with pytest.raises(Whatever):
            await client.send(SENDER, [ONE], failing(b"a\r\n", b"b\r\n"))
        with pytest.raises(ConnectionLost, match=r"the session is over: it was broken off \(phase: content\)"):
            await client.send(SENDER, [ONE], CONTENT)

    steps = [(f"{MAIL} BODY=8BITMIME", "250 ok"), *UNPIPELINED[1:]]
    talk(steps, conversation, keywords=["8BITMIME"], last=b"a\r\n")


@pytest.mark.parametrize(
    "recipients, advice",
    [
        ("one@mx.example, two@mx.example", True),
        (["one@mx.example,two@mx.example"], True),
        (["one@mx.example\r\nDATA"], False),
        (["no address"], False),
        (["bücher@mx.example"], False),
    ],
)
def test_invalid_recipients_are_refused_before_anything_is_sent(recipients: Any, advice: bool) -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, recipients, CONTENT), LocalProtocolError)
    assert ("recipients are given as a list" in str(error)) is advice


def test_a_message_needs_a_recipient() -> None:
    error = failure([QUIT], lambda client: client.send(SENDER, [], CONTENT), LocalProtocolError)
    assert "at least one recipient" in str(error)


def test_one_recipient_may_be_a_string() -> None:
    result = talk([*UNPIPELINED, (DOT, "250 ok"), QUIT], lambda client: client.send(SENDER, ONE, CONTENT))
    assert result.accepted_recipients == (ONE,)


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("sender", (None, [ONE], CONTENT), {}),
    ("sender", (b"a@client.example", [ONE], CONTENT), {}),
    ("recipients", (SENDER, None, CONTENT), {}),
    ("recipients", (SENDER, 7, CONTENT), {}),
    ("recipients", (SENDER, b"one@mx.example", CONTENT), {}),
    ("recipients", (SENDER, [None], CONTENT), {}),
    ("recipients", (SENDER, [ONE, b"two@mx.example"], CONTENT), {}),
    ("content", (SENDER, [ONE], None), {}),
    ("content", (SENDER, [ONE], 7), {}),
    ("content", (SENDER, [ONE], ["Subject: x\r\n"]), {}),
    ("content", (SENDER, [ONE], [CONTENT, None]), {}),
    ("content", (SENDER, [ONE], {"a": b"b"}), {}),
    ("smtputf8", (SENDER, [ONE], CONTENT), {"smtputf8": "no"}),
]


@pytest.mark.parametrize("keywords", [[], ["8BITMIME", "PIPELINING"]])
@pytest.mark.parametrize("name, arguments, options", WRONG)
def test_an_argument_of_the_wrong_type_is_named_and_costs_nothing(
    name: str, arguments: Any, options: Any, keywords: list[str]
) -> None:
    async def conversation(client: Client) -> ArgumentTypeError:
        with pytest.raises(ArgumentTypeError, match=f"^(each of )?{name} is ") as caught:
            await client.send(*arguments, **options)
        await client.noop()
        return caught.value

    error = talk([("NOOP", "250 ok"), QUIT], conversation, keywords=keywords)
    assert error.context is not None


def test_an_argument_that_is_not_a_message_is_named() -> None:
    async def conversation(client: Client) -> None:
        message: Any = b"Subject: x\r\n"
        with pytest.raises(ArgumentTypeError, match=r"^message is an EmailMessage"):
            await client.send_message(message)
        for sender, recipients, what in (
            (7, None, "sender"),
            (None, [None], "recipients"),
            (None, b"x", "recipients"),
        ):
            given: Any = {"sender": sender, "recipients": recipients}
            with pytest.raises(ArgumentTypeError, match=f"^(each of )?{what} is "):
                await client.send_message(email(), **given)
        name: Any = None
        with pytest.raises(ArgumentTypeError, match=r"^address is a string"):
            await client.verify(name)
        await client.noop()

    talk([("NOOP", "250 ok"), QUIT], conversation)


def test_pieces_may_be_any_kind_of_bytes() -> None:
    content = [memoryview(CONTENT[:3]), bytearray(CONTENT[3:9]), b"", CONTENT[9:]]
    talk([*UNPIPELINED, (DOT, "250 ok"), QUIT], sending(content=content))
    body = (f"{MAIL} BODY=8BITMIME", "250 ok")
    talk([body, *UNPIPELINED[1:], (DOT, "250 ok"), QUIT], sending(content=iter(content)), keywords=["8BITMIME"])


@pytest.mark.req("MAI-23")
def test_the_null_sender_is_used_when_it_is_asked_for() -> None:
    steps = [("MAIL FROM:<>", "250 ok"), *UNPIPELINED[1:], (DOT, "250 ok"), QUIT]
    assert talk(steps, lambda client: client.send("", [ONE], CONTENT)).sender == ""

    nobody: Any = None
    with pytest.raises(TypeError, match="sender is a string"):
        talk([QUIT], lambda client: client.send(nobody, [ONE], CONTENT))


@pytest.mark.req("UTF-05")
@pytest.mark.parametrize(
    "sender, recipient, smtputf8",
    [("ä@client.example", ONE, False), (SENDER, "ö@mx.example", False), (SENDER, ONE, True)],
)
def test_smtputf8_is_declared_for_whatever_needs_it(sender: str, recipient: str, smtputf8: bool) -> None:
    steps = [
        (f"MAIL FROM:<{sender}> SMTPUTF8", "250 ok"),
        (f"RCPT TO:<{recipient}>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    keywords = ["8BITMIME", "SMTPUTF8"]

    def conversation(client: Client) -> Any:
        return client.send(sender, [recipient], CONTENT, smtputf8=smtputf8)

    talk(steps, conversation, keywords=keywords)
    error = failure([QUIT], conversation, LocalProtocolError, keywords=["8BITMIME"])
    assert "does not offer SMTPUTF8" in str(error)


@pytest.mark.req("UTF-08")
@pytest.mark.parametrize("keywords", [[], ["8BITMIME", "SMTPUTF8"]])
@pytest.mark.parametrize("domain", ["b\u00fccher.example", "bu\u0308cher.example"])
def test_a_domain_alone_is_sent_with_a_labels_and_needs_no_smtputf8(domain: str, keywords: list[str]) -> None:
    """As send_message() sends it; composed or not."""
    steps = [
        ("MAIL FROM:<a@xn--bcher-kva.example>", "250 ok"),
        ("RCPT TO:<one@xn--bcher-kva.example>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    name = f"one@{domain}"
    result = talk(steps, lambda client: client.send(f"a@{domain}", [name], CONTENT), keywords=keywords)
    assert result.accepted_recipients == (name,), "as it was given"


@pytest.mark.req("UTF-05")
def test_an_address_that_needs_smtputf8_is_sent_composed() -> None:
    steps = [
        ("MAIL FROM:<\u00e4@b\u00fccher.example> SMTPUTF8", "250 ok"),
        ("RCPT TO:<one@b\u00fccher.example>", "250 ok"),
        ("DATA", "354 go"),
        (DOT, "250 ok"),
        QUIT,
    ]
    domain = "bu\u0308cher.example"
    talk(
        steps,
        lambda client: client.send(f"a\u0308@{domain}", [f"one@{domain}"], CONTENT),
        keywords=["SMTPUTF8"],
    )
