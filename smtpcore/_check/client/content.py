"""Checks of the content that a client sends."""

from __future__ import annotations

import re
from typing import Final

from ..table import Inconclusive
from ..wire import shown
from .player import Content, Seen
from .rounds import ClientTable, Rounds

CHECKS: Final = ClientTable()
each = CHECKS.each


def _by_data(seen: Seen) -> list[Content]:
    return [content for content in seen.contents if not content.chunked]


@each("DAT-08", "5321 2.3.8", "Content has no lone CR or LF")
def content_lines_end_in_crlf(seen: Seen) -> str | bool:
    for content in seen.contents:
        if match := re.search(rb"[^\r\n]{0,20}(?:(?<!\r)\n|\r(?!\n))", content.octets):
            return f"a lone CR or LF: {shown(match[0])}"
        if content.end != b".\r\n":
            return f"the content is ended by {shown(content.end)}"
    return bool(seen.contents)


@each("DAT-12", "5321 4.5.2", "The client doubles the dot that begins a line")
def dots_are_doubled(seen: Seen) -> str | bool:
    found = False
    for content in _by_data(seen):
        for line in content.octets.split(b"\r\n"):
            if line.startswith(b"."):
                found = True
                if not line.startswith(b".."):
                    return f"a line begins with a single dot: {shown(line)}"
    leftovers = [command for command in seen.commands if command.line.startswith((b".", b" "))]
    if leftovers and seen.contents:
        return f"content comes after its end: {shown(leftovers[0].line)}"
    return found


@each("DAT-12", "5321 4.5.2", "A dot alone on a line does not end the content of the client")
def content_is_whole(seen: Seen) -> str | bool:
    if not _by_data(seen):
        return False
    data = seen.first("DATA")
    assert data is not None
    for command in seen.after(data):
        if (
            not command.verb.isalpha()
            or command.verb not in "EHLO HELO MAIL RCPT DATA RSET NOOP QUIT AUTH STARTTLS BDAT VRFY"
        ):
            return f"content comes after its end: {shown(command.line)}"
    return True


@each("LIM-12", "5321 4.5.3.1.6", "Content lines have at most 998 octets, and CRLF")
def content_lines_are_short(seen: Seen) -> str | bool:
    for content in _by_data(seen):
        for line in content.octets.split(b"\r\n"):
            if len(line) - line.startswith(b"..") > 998:
                return f"a line of {len(line)} octets: {shown(line, 60)}"
    return bool(_by_data(seen))


@each("EIG-04", "6152 3; 5321 2.4", "Octets above 127 are not sent where 8BITMIME is not offered")
def eight_bits_need_the_extension(seen: Seen) -> str | bool:
    for content in seen.contents:
        if not content.octets.isascii() and "8BITMIME" not in content.offered:
            return "content has octets above 127 where 8BITMIME is not offered"
    return bool(seen.contents)


@each("EIG-05", "6152 3", "Content with octets above 127 is declared by BODY=8BITMIME")
def eight_bits_are_declared(seen: Seen) -> str | bool:
    found = False
    for content in seen.contents:
        if not content.octets.isascii() and "8BITMIME" in content.offered:
            found = True
            if not re.search(rb"(?i) BODY=(?:8BITMIME|BINARYMIME)", content.mail):
                return f"content has octets above 127 after {shown(content.mail)}"
    return found


@each("UTF-07", "6531 3.2; 6532 3", "Octets above 127 in the header are declared by SMTPUTF8")
def eight_bit_headers_are_declared(seen: Seen) -> str | bool:
    for content in seen.contents:
        header = content.octets.partition(b"\r\n\r\n")[0]
        if not header.isascii() and not re.search(rb"(?i) SMTPUTF8(?: |\r)", content.mail):
            return f"the header has octets above 127 after {shown(content.mail)}"
    return bool(seen.contents)


@each("UTF-06", "6531 3.4", "SMTPUTF8 is declared where it is needed only", "smtputf8", level="SHOULD")
def utf8_is_not_declared_needlessly(seen: Seen) -> str | bool:
    for content in seen.contents:
        header = content.octets.partition(b"\r\n\r\n")[0]
        envelope = b"".join(one.line for one in seen.commands if one.verb in ("MAIL", "RCPT"))
        if re.search(rb"(?i) SMTPUTF8[ \r]", content.mail) and header.isascii() and envelope.isascii():
            return f"nothing needs it: {shown(content.mail)}"
    return bool(seen.contents)


@each("DAT-19", "5321 2.4; 5322 2", "Content has no NUL")
def content_has_no_nul(seen: Seen) -> str | bool:
    if any(b"\0" in content.octets for content in seen.contents):
        return "content has a NUL"
    return bool(seen.contents)


@each("RCP-23", "5321 3.3", "No content is sent when no recipient was accepted")
def content_needs_recipients(seen: Seen) -> str | bool:
    for content in seen.contents:
        if not content.recipients and content.octets:
            return "content is sent although each recipient was refused"
    return bool(seen.first("RCPT"))


@each("SIZ-16", "1870 6", "The declared size is about that of the content")
def size_is_true(seen: Seen) -> str | bool:
    found = False
    for content in seen.contents:
        match = re.search(rb"(?i) SIZE=([0-9]+)", content.mail)
        if match:
            found = True
            size = len(content.octets) if content.chunked else len(re.sub(rb"(?m)^\.\.", b".", content.octets))
            if int(match[1]) < size * 0.9 - 100:
                return f"{size} octets of content after SIZE={match[1].decode()}"
    return found


@each("TRC-12", "5321 7.2", "The header has no Bcc field with addresses", level="SHOULD")
def no_bcc(seen: Seen) -> str | bool:
    for content in seen.contents:
        header = content.octets.partition(b"\r\n\r\n")[0]
        if re.search(rb"(?mi)^Bcc:[ \t]*[^ \t\r\n]", header):
            return "the header lists the blind recipients"
    return bool(seen.contents)


@each("CHK-02", "3030 2", "Content in chunks has no transparency dots", "chunking")
def chunks_have_no_dots(seen: Seen) -> str | bool:
    for content in seen.contents:
        if content.chunked and content.octets.endswith(b"\r\n.\r\n"):
            return "the content in chunks ends with a dot line"
    return any(content.chunked for content in seen.contents)


@CHECKS.check("CHK-02", "3030 2", "Content is the same by BDAT and, without its transparency dots, by DATA")
def client_chunks_hold_the_content(rounds: Rounds) -> None:
    found = [content for seen in rounds.of("accepting") for content in _by_data(seen)]
    for seen in rounds.of("chunking"):
        for content in seen.contents:
            if content.chunked and found:
                stuffed, chunk = (one.octets.partition(b"\r\n\r\n")[2] for one in (found[0], content))
                if chunk == stuffed != re.sub(rb"(?m)^\.", b"", stuffed):
                    raise rounds.fail(seen, "dots are doubled in a chunk")
                return
    raise Inconclusive("no round shows it")


@each("CHK-14", "3030 2", "The size of a chunk is the size that is sent", "chunking")
def chunk_sizes_are_true(seen: Seen) -> str | bool:
    chunk = seen.first("BDAT")
    if chunk is None:
        return False
    for command in seen.after(chunk):
        if command.reply.startswith("500"):
            return f"content comes after a chunk: {shown(command.line)}"
    return True if seen.contents else "the octets of a chunk do not come"


@each("CHK-08", "3030 2", "The client sends no further chunk after a refusal", "refusing-chunks")
def no_chunk_after_a_refusal(seen: Seen) -> str | bool:
    chunk = seen.first("BDAT")
    if chunk is None:
        return False
    for command in seen.after(chunk):
        if command.verb in ("RSET", "MAIL", "EHLO", "QUIT"):
            break
        if command.verb in ("BDAT", "DATA", "RCPT") and not command.early:
            return f"{shown(command.line)} after a refused chunk"
    return True


@each("CHK-11", "3030 2", "The client sends no DATA within a transaction by BDAT", "chunking")
def no_data_after_a_chunk(seen: Seen) -> str | bool:
    chunked = found = False
    for command in seen.commands:
        if command.verb == "BDAT":
            found = chunked = True
        elif command.verb in ("RSET", "MAIL", "EHLO"):
            chunked = False
        elif command.verb == "DATA" and chunked:
            return "DATA after BDAT"
    return found
