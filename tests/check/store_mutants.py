"""Servers that each store something else than what they accepted, and the check that catches it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .reference import Gone, Reference

_TRACE = (
    "Return-Path: <{sender}>\r\n"
    "Received: from {name} ([127.0.0.1])\r\n"
    "\tby mx.example.com with {protocol}; Fri, 27 Nov 2026 12:00:00 +0000\r\n"
)


class Kept:
    """The messages that a server has stored.

    Attributes:
        messages: One entry for each recipient.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def find(self, token: str) -> list[bytes]:
        """Return the messages that contain a token."""
        return [message for message in self.messages if token.encode() in message]


class Keeping(Reference):
    """Follows the RFCs, and stores a message for each recipient; a mutant replaces some methods."""

    kept: Kept

    def do_EHLO(self, argument: str) -> None:
        self.name = argument
        super().do_EHLO(argument)

    def do_HELO(self, argument: str) -> None:
        self.name = argument
        super().do_HELO(argument)

    def store(self, content: bytes) -> None:
        for _ in dict.fromkeys(self.recipients):
            self.deliver(self.trace() + content)

    def trace(self) -> bytes:
        """The fields that are added on top."""
        protocol = f"{'E' * (self.hello == 'EHLO')}SMTP{'S' * self.tls}{'A' * bool(self.user)}"
        return _TRACE.format(sender=self.sender, name=self.name, protocol=protocol).encode()

    def deliver(self, message: bytes) -> None:
        self.kept.messages.append(message)


K = Keeping


class StoreMutant(NamedTuple):
    """A server that stores something else.

    Attributes:
        name: What it does wrong.
        check: The check that catches it.
        changes: Methods of the storing server that it replaces.
        permitted: Whether an RFC permits it.
    """

    name: str
    check: str
    changes: dict[str, Any]
    permitted: bool = False

    @property
    def session(self) -> type[Keeping]:
        return type("Mutated", (Keeping,), self.changes)


def mutant(name: str, check: str, **changes: Any) -> StoreMutant:
    return StoreMutant(name, check, changes)


def lenient(name: str, check: str, **changes: Any) -> StoreMutant:
    return StoreMutant(name, check, changes, True)


def changes(pattern: bytes, replacement: bytes | Callable[[re.Match[bytes]], bytes]) -> Callable[..., None]:
    """Stores the message with what matches replaced."""
    return lambda self, message: K.deliver(self, re.sub(pattern, replacement, message))


def unstuffs(pattern: bytes, replacement: bytes = b"") -> Callable[..., bytes]:
    """Replaces what matches, in place of the dots of transparency."""
    return lambda self, content: re.sub(pattern, replacement, content)


def in_header(pattern: bytes, replacement: bytes) -> Callable[..., None]:
    """Stores the message with what matches in the header that was received replaced."""

    def store(self: Any, content: bytes) -> None:
        header, empty, body = content.partition(b"\r\n\r\n")
        K.store(self, re.sub(pattern, replacement, header + b"\r\n") + empty[2:] + body)

    return store


def traces(pattern: bytes, replacement: bytes) -> Callable[..., bytes]:
    """Adds other fields on top."""
    return lambda self: re.sub(pattern, replacement, K.trace(self))


def _twice(self: Any, message: bytes) -> None:
    K.deliver(self, message)
    K.deliver(self, message)


def _twice_later(self: Any, argument: str) -> None:
    """The message is stored again, when the next one begins."""
    self.kept.messages += self.kept.messages[-1:]
    K.do_MAIL(self, argument)


def _even_refused(self: Any, content: bytes) -> None:
    if self.refusal(content):
        self.store(self.unstuffed(content))
    K.judge(self, content)


def _even_too_large(self: Any, content: bytes) -> None:
    if len(content) > self.limit:
        self.store(self.unstuffed(content))
    K.judge(self, content)


def _even_unfinished(self: Any) -> bytes:
    try:
        return K.content(self)
    except Gone:
        self.store(self.buffer)
        raise


def _even_unfinished_chunks(self: Any, count: int) -> bytes:
    try:
        return K.take(self, count)
    except Gone:
        self.store((self.chunks or b"") + self.buffer)
        raise


def _also_to_earlier_recipients(self: Any, content: bytes) -> None:
    self.all = [*getattr(self, "all", []), *self.recipients]
    for _ in self.all:
        self.deliver(self.trace() + content)


def _with_content_before(self: Any, content: bytes) -> None:
    before = getattr(self, "before", b"")
    self.before = content
    K.store(self, content + before)


def _keeps_chunks(self: Any) -> None:
    kept = getattr(self, "chunks", None)
    K.reset(self)
    self.dropped = kept or getattr(self, "dropped", b"")


def _with_dropped_chunks(self: Any, content: bytes) -> None:
    K.store(self, getattr(self, "dropped", b"") + content)


def _waiting(self: Any, message: bytes) -> None:
    self.waiting = [*getattr(self, "waiting", []), message]


def _stores_what_waits(self: Any, argument: str) -> None:
    self.kept.messages += self.__dict__.pop("waiting", [])
    K.do_QUIT(self, argument)


def _forgets_what_waits(self: Any, argument: str) -> None:
    self.waiting = []
    K.do_RSET(self, argument)


def _stores_at_the_end(self: Any) -> None:
    K.run(self)
    self.kept.messages += self.__dict__.pop("waiting", [])


def _unstuffs_pieces(self: Any) -> bytes:
    """Looks for dots at the beginning of each piece that the socket has returned, too."""
    borders = [0]
    while (found := self.find_content_end())[0] < 0:
        self.fill()
        borders.append(len(self.buffer))
    content, self.buffer = self.buffer[: found[0]], self.buffer[found[1] :]
    for at in reversed(borders):
        if content[at : at + 1] == b"." and content[at - 2 : at] == b"\r\n":
            content = content[:at] + b"." + content[at:]  # the dot that follows is not seen
    return content


def _blocks(change: Callable[[bytes], bytes], size: int = 4096) -> Callable[..., None]:
    """Each block of the content is changed so."""
    return lambda self, content: K.store(
        self, b"".join(change(content[at : at + size]) for at in range(0, len(content), size))
    )


def _folded(width: int) -> Callable[..., None]:
    return changes(rb"[^\r\n]{%d}(?=[^\r\n])" % width, lambda match: match[0] + b"\r\n")


MUTANTS = (
    # dots
    mutant("keeps the dots of transparency", "stored-dots", unstuffed=unstuffs(rb"\Z")),
    mutant("keeps a dot that was not doubled", "stored-single-dot", unstuffed=unstuffs(rb"(?m)^\.\.", b".")),
    mutant("doubles dots once more", "stored-dots", deliver=changes(rb"(?m)^\.", b"..")),
    mutant("removes all dots that begin a line", "stored-dots", unstuffed=unstuffs(rb"(?m)^\.+")),
    mutant("removes a dot after a blank", "stored-dots", unstuffed=unstuffs(rb"(?m)^( ?)\.", rb"\1")),
    mutant("loses a line that is a dot", "stored-dots", deliver=changes(rb"(?m)^\.\r\n", b"")),
    mutant("loses dots at the end of a line", "stored-dots", deliver=changes(rb"\.\r\n", b"\r\n")),
    lenient("removes dots after a lone LF", "stored-dot-after-lf", refusal=lambda self, content: None, unstuffed=unstuffs(rb"(?m)^\.")),
    mutant("does not see a dot that begins a piece", "stored-dots-in-pieces", content=_unstuffs_pieces),
    mutant("removes dots in chunks", "stored-chunks", do_BDAT=lambda self, argument: (setattr(self, "store", lambda octets: K.store(self, self.unstuffed(octets))), K.do_BDAT(self, argument), delattr(self, "store"))[1]),
    # lines
    mutant("stores CR for CRLF", "stored-last-crlf", deliver=changes(rb"\r\n", b"\r")),
    mutant("stores CRCRLF for CRLF", "stored-last-crlf", deliver=changes(rb"\r\n", b"\r\r\n")),
    mutant("loses the last CRLF", "stored-last-crlf", deliver=changes(rb"\r\n\Z", b"")),
    mutant("loses the last line", "stored-last-crlf", deliver=changes(rb"[^\r\n]*\r\n\Z", b"")),
    mutant("loses the first line of the body", "stored-last-crlf", store=changes(rb"\r\n\r\n[^\r\n]*\r\n", b"\r\n\r\n")),
    mutant("adds an empty line before the body", "stored-last-crlf", deliver=changes(rb"(?s)\A(.*?)\r\n\r\n", rb"\1\r\n\r\n\r\n")),
    mutant("joins empty lines", "stored-empty-lines", deliver=changes(rb"(\r\n){3,}", b"\r\n\r\n")),
    mutant("loses empty lines at the end", "stored-empty-lines-at-the-end", deliver=changes(rb"(\r\n)+\Z", b"\r\n")),
    mutant("strips blanks at the end of a line", "stored-empty-lines", deliver=changes(rb"[ \t]+\r\n", b"\r\n")),
    mutant("strips blanks at the beginning of a line", "stored-empty-lines", deliver=changes(rb"(?m)^ +", b"")),
    mutant("joins blanks", "stored-empty-lines", deliver=changes(rb" +", b" ")),
    mutant("expands tabs", "stored-empty-lines", deliver=changes(rb"\t", b"        ")),
    mutant("quotes From at the beginning of a line", "stored-from-line", deliver=changes(rb"(?m)^From ", b">From ")),
    mutant("removes a quote of From", "stored-from-line", deliver=changes(rb"(?m)^>From ", b"From ")),
    mutant("cuts long lines", "stored-long-line", deliver=changes(rb"(?m)^(.{990}).*$", rb"\1\r")),
    mutant("folds long lines", "stored-long-line", deliver=_folded(990)),
    mutant("folds lines of 1000 octets and more", "stored-line-of-5000", deliver=_folded(998)),
    mutant("cuts lines of 4096 octets", "stored-line-of-5000", deliver=changes(rb"([^\r\n]{4096})[^\r\n]*", rb"\1")),
    mutant("ends lines at VT", "stored-ascii", deliver=changes(rb"\x0b", b"\r\n")),
    mutant("ends lines at FS", "stored-ascii", deliver=changes(rb"\x1c", b"\r\n")),
    mutant("loses control characters", "stored-ascii", deliver=changes(rb"[\x01-\x08]", b"")),
    mutant("loses DEL", "stored-ascii", deliver=changes(rb"\x7f", b"")),
    mutant("ends the content at SUB", "stored-ascii", deliver=changes(rb"(?s)\x1a.*", b"\r\n")),
    mutant("decodes quoted-printable", "stored-encoded", deliver=changes(rb"=([0-9A-F]{2})", lambda match: bytes((int(match[1], 16),)))),
    mutant("joins lines that end in =", "stored-encoded", deliver=changes(rb"=\r\n", b"")),
    mutant("loses NUL", "stored-nul", refusal=lambda self, content: None, deliver=changes(rb"\0", b"")),
    mutant("ends a line at NUL", "stored-nul", refusal=lambda self, content: None, deliver=changes(rb"\0[^\r\n]*", b"")),
    lenient("stores a lone LF as CRLF", "stored-lone-lf", refusal=lambda self, content: None, deliver=changes(rb"(?<!\r)\n", b"\r\n")),
    # octets
    mutant("clears the eighth bit", "stored-eight-bits", deliver=lambda self, message: K.deliver(self, bytes(octet & 127 for octet in message))),
    mutant("replaces octets above 127", "stored-eight-bits", deliver=changes(rb"[\x80-\xff]", b"?")),
    mutant("reads octets above 127 as UTF-8", "stored-eight-bits", deliver=lambda self, message: K.deliver(self, message.decode("utf-8", "replace").encode())),
    mutant("reads octets above 127 as Latin-1", "stored-eight-bits", deliver=lambda self, message: K.deliver(self, message.decode("latin-1").encode())),
    mutant("ends lines at NEL", "stored-eight-bits", deliver=changes(rb"\x85", b"\r\n")),
    mutant("loses 255", "stored-eight-bits", deliver=changes(rb"\xff", b"")),
    mutant("reads the header as Latin-1", "stored-utf8-header", store=lambda self, content: (lambda parts: K.store(self, parts[0].decode("latin-1").encode() + parts[1] + parts[2]))(content.partition(b"\r\n\r\n"))),
    mutant("converts lone LF in binary octets", "stored-binary", deliver=changes(rb"(?<!\r)\n", b"\r\n")),
    # size
    mutant("cuts large messages", "stored-large-message", deliver=lambda self, message: K.deliver(self, message[:65536])),
    mutant("loses an octet at the border of a block", "stored-large-message", store=_blocks(lambda block: block[:4095])),
    mutant("does not see a dot that begins a block", "stored-large-message", unstuffed=lambda self, content: b"".join(re.sub(rb"(?<=\r\n)\.", b"", content[at : at + 4096]) for at in range(0, len(content), 4096))),
    # the header
    mutant("changes Received fields", "stored-header", store=in_header(rb"a\.example", b"A.EXAMPLE")),
    mutant("loses Received fields", "stored-header", store=in_header(rb"Received:[^\r\n]*\r\n[ \t][^\r\n]*\r\n", b"")),
    mutant("joins blanks in the header", "stored-header", store=in_header(rb" +", b" ")),
    mutant("unfolds the header", "stored-header", store=in_header(rb"\r\n(?=[ \t])", b"")),
    mutant("strips blanks at the end of a field", "stored-header", store=in_header(rb" +\r\n", b"\r\n")),
    mutant("loses Message-ID", "stored-header-is-whole", store=in_header(rb"Message-ID:[^\r\n]*\r\n", b"")),
    mutant("writes another Message-ID", "stored-header-is-whole", store=in_header(rb"Message-ID:", b"Message-Id:")),
    mutant("adds a field within the header", "stored-header-is-whole", store=in_header(rb"Subject:", b"X-Scanned: yes\r\nSubject:")),
    mutant("adds a field at the end of the header", "stored-header-is-whole", store=in_header(rb"\Z", b"X-Scanned: yes\r\n")),
    mutant("marks the subject", "stored-header-is-whole", store=in_header(rb"Subject: ", b"Subject: [external] ")),
    mutant("loses fields that it does not know", "stored-header-is-whole", store=in_header(rb"X-Twice:[^\r\n]*\r\n", b"")),
    mutant("loses a repeated field", "stored-header-is-whole", store=in_header(rb"X-Twice: 2\r\n", b"")),
    mutant("puts the fields in another order", "stored-header-is-whole", store=in_header(rb"(X-Address: root\r\n)(x-lower: y\r\n)", rb"\2\1")),
    mutant("writes field names in capitals", "stored-header-is-whole", store=in_header(rb"x-lower", b"X-Lower")),
    mutant("completes addresses in the header", "stored-header-is-whole", store=in_header(rb"X-Address: root", b"X-Address: root@mx.example.com")),
    lenient("loses Bcc", "stored-bcc", store=in_header(rb"Bcc:[^\r\n]*\r\n", b"")),
    # trace
    mutant("adds no Received", "stored-trace", trace=traces(rb"Received:[^;]*;[^\r\n]*\r\n", b"")),
    mutant("adds Received at the end of the header", "stored-trace", trace=lambda self: b"", store=in_header(rb"\Z", b"Received: from check.example ([127.0.0.1]) by mx; Fri, 27 Nov 2026 12:00:00 +0000\r\n")),
    mutant("writes a year of two digits", "stored-date", trace=traces(rb"2026", b"26")),
    mutant("writes GMT for a zone", "stored-date", trace=traces(rb"\+0000", b"GMT")),
    mutant("writes a date of ISO 8601", "stored-date", trace=traces(rb"Fri, 27 Nov 2026 12:00:00 \+0000", b"2026-11-27T12:00:00+00:00")),
    mutant("writes no date", "stored-date", trace=traces(rb";[^\r\n]*", b"")),
    mutant("does not tell where mail is from", "stored-received-from", trace=traces(rb"from [^\r\n]*\r\n\t", b"")),
    lenient("does not tell the name of the client", "stored-received-from", trace=traces(rb"from [^ ]*", b"from unknown")),
    lenient("does not tell the address of the client", "stored-received-from", trace=traces(rb" \(\[[^)]*\)", b"")),
    mutant("does not tell its name", "stored-received-by", trace=traces(rb"by [^ ]* ", b"")),
    lenient("writes SMTP for ESMTP", "stored-received-with", trace=traces(rb"with ESMTP", b"with SMTP")),
    lenient("writes a protocol that is not registered", "stored-received-with", trace=traces(rb"with ESMTP", b"with mail")),
    mutant("lists two recipients in Received", "stored-recipients-are-not-told", trace=lambda self: re.sub(rb"; ", b" for <" + ">,<".join(self.recipients).encode() + b">; ", K.trace(self))),
    lenient("names one of two recipients in Received", "stored-recipients-are-not-told", trace=lambda self: re.sub(rb"; ", b" for <" + self.recipients[0].encode() + b">; ", K.trace(self))),
    mutant("lists two recipients in a field", "stored-recipients-are-not-told", trace=lambda self: K.trace(self) + b"X-Envelope-To: " + ", ".join(self.recipients).encode() + b"\r\n"),
    # Return-Path
    mutant("adds Return-Path twice", "stored-return-path", trace=lambda self: b"Return-Path: <x@example.com>\r\n" + K.trace(self)),
    mutant("writes the recipient as Return-Path", "stored-return-path", trace=lambda self: re.sub(rb"\A[^\r\n]*", b"Return-Path: <" + self.recipients[0].encode() + b">", K.trace(self))),
    mutant("writes Return-Path in lower case", "stored-return-path", trace=lambda self: K.trace(self).replace(self.sender.encode() or b"<>", self.sender.lower().encode() or b"<>", 1)),
    mutant("writes a sender for the null path", "stored-return-path", trace=traces(rb"\ARe[^\r\n]*<>", b"Return-Path: <MAILER-DAEMON>")),
    mutant("writes the sender of the message before", "stored-return-path", trace=lambda self: (lambda sender: (setattr(self, "last", self.sender), re.sub(rb"\A[^\r\n]*", b"Return-Path: <" + sender.encode() + b">", K.trace(self)))[1])(getattr(self, "last", self.sender))),
    # messages
    mutant("stores nothing", "stored-once", deliver=lambda self, message: None),
    mutant("stores a message twice", "stored-once", deliver=_twice),
    mutant("stores a message again later", "stored-once", do_MAIL=_twice_later),
    mutant("delivers to the recipients of the message before", "stored-messages-are-separate", store=_also_to_earlier_recipients),
    mutant("appends the message before", "stored-messages-are-separate", store=_with_content_before),
    mutant("stores what it refused", "stored-only-what-was-accepted", judge=_even_refused),
    mutant("stores what is too large", "stored-too-large", judge=_even_too_large),
    mutant("stores unfinished content", "stored-only-what-was-accepted", content=_even_unfinished),
    mutant("stores unfinished chunks", "stored-unfinished-chunks", take=_even_unfinished_chunks),
    mutant("stores chunks that were dropped", "stored-chunks-after-rset", reset=_keeps_chunks, store=_with_dropped_chunks),
    mutant("stores messages at QUIT", "stored-stays", deliver=_waiting, do_QUIT=_stores_what_waits),
    mutant("forgets messages at RSET", "stored-stays", deliver=_waiting, do_RSET=_forgets_what_waits, run=_stores_at_the_end),
    # chunks
    mutant("loses the first chunk", "stored-chunks", do_BDAT=lambda self, argument: (setattr(self, "chunks", b"") if "LAST" in argument else None, K.do_BDAT(self, argument))[1]),
    mutant("adds CRLF to each chunk", "stored-chunks", take=lambda self, count: K.take(self, count) + b"\r\n"),
)  # fmt: skip
