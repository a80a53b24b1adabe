"""Checks of SMTP smuggling: only CRLF, dot, CRLF ends the content (RFC 5321 4.1.1.4).

Commands follow each look-alike. A server that honours it answers them: more than one reply comes before that to
QUIT. No wait is needed to see it.
"""

from __future__ import annotations

from typing import Final

from ..session import Session, letter, token
from ..table import Check, Failed, Table
from ..wire import Closed, Silent, shown

CHECKS: Final = Table[Session]()
check = CHECKS.check

_BEHIND: Final = b"NOOP smuggled\r\nRSET\r\nNOOP smuggled\r\n"

SHAPES: Final[tuple[tuple[str, bytes], ...]] = (
    ("lf-dot-lf", b"\n.\n"),
    ("lf-dot-crlf", b"\n.\r\n"),
    ("crlf-dot-lf", b"\r\n.\n"),
    ("cr-dot-cr", b"\r.\r"),
    ("cr-dot-crlf", b"\r.\r\n"),
    ("crlf-dot-cr", b"\r\n.\r"),
    ("lf-dot-cr", b"\n.\r"),
    ("cr-dot-lf", b"\r.\n"),
    ("lfcr-dot-lfcr", b"\n\r.\n\r"),
    ("crlf-dot-lfcr", b"\r\n.\n\r"),
    ("crlf-dot-crcrlf", b"\r\n.\r\r\n"),
    ("crcrlf-dot-crcrlf", b"\r\r\n.\r\r\n"),
    ("crlf-nul-dot-crlf", b"\r\n\0.\r\n"),
    ("crlf-dot-nul-crlf", b"\r\n.\0\r\n"),
    ("nul-dot-nul", b"\0.\0"),
    ("crlf-dot-blank-crlf", b"\r\n. \r\n"),
    ("crlf-blank-dot-crlf", b"\r\n .\r\n"),
    ("crlf-dot-tab-crlf", b"\r\n.\t\r\n"),
    ("crlf-dot-dot-crlf", b"\r\n..\r\n"),
    ("vt-dot-vt", b"\x0b.\x0b"),
    ("ff-dot-ff", b"\x0c.\x0c"),
    ("nel-dot-nel", b"\x85.\x85"),
    ("ls-dot-ls", b"\xe2\x80\xa8.\xe2\x80\xa8"),
    ("fs-dot-fs", b"\x1c.\x1c"),
    ("rs-dot-rs", b"\x1e.\x1e"),
    ("vt-dot-crlf", b"\x0b.\r\n"),
    ("lf-lf-dot-lf-lf", b"\n\n.\n\n"),
    ("lf-dot-crcrlf", b"\n.\r\r\n"),
    ("crlf-cr-dot-crlf", b"\r\n\r.\r\n"),
    ("crlf-dot-vt-crlf", b"\r\n.\x0b\r\n"),
    ("crlf-tab-dot-crlf", b"\r\n\t.\r\n"),
    ("crnullf-dot-crnullf", b"\r\0\n.\r\0\n"),
    ("crlf-dot-crnullf", b"\r\n.\r\0\n"),
    ("crlf-bom-dot-crlf", b"\r\n\xef\xbb\xbf.\r\n"),
    ("high-crlf-dot-crlf", b"\x8d\x8a.\x8d\x8a"),
    ("crlf-high-dot-crlf", b"\r\n\xae\r\n"),
    ("crlf-bs-dot-crlf", b"\r\n\x08.\r\n"),
    ("crlf-wide-dot-crlf", b"\r\n\xef\xbc\x8e\r\n"),
    ("eof-character", b"\r\n\x1a\r\n"),
)
"""Sequences that do not end the content, by name. They come after text, which no CRLF has ended."""


def _shape(name: str, octets: bytes, *, first_octets: bool = False) -> Check[Session]:
    """Content with a look-alike in it, or with one as its first octets."""

    def run(session: Session) -> None:
        session.ready()
        session.data()
        before = b"" if first_octets else letter(token(), b"text")
        session.send(before + octets + _BEHIND + b"\r\n.\r\n")
        try:
            first = session.read(".")
        except Closed:
            return  # refused, and without doubt
        except Silent:
            raise Failed("the content is not answered at its true end") from None
        others = session.rest()
        if first.kind in (4, 5) and not others:
            return  # refused, and closed
        if [reply.code for reply in others] != [221] and len(others) > 1:
            raise Failed(
                f"{shown(octets)} ends the content: after {first} come {', '.join(map(str, others[:-1]))}"
            )

    return Check(
        f"smuggling-{name}", "DAT-05", "5321 4.1.1.4", f"{shown(octets)} does not end the content", run
    )


for _name, _octets in SHAPES:
    CHECKS.add(_shape(_name, _octets))
for _name, _octets in (
    ("dot-lf", b".\n"),
    ("dot-cr", b".\r"),
    ("dot-crcrlf", b".\r\r\n"),
    ("dot-blank", b". \r\n"),
):
    CHECKS.add(_shape(f"{_name}-at-once", _octets, first_octets=True))


def _lone(name: str, octets: bytes, sentence: str) -> Check[Session]:
    def run(session: Session) -> None:
        session.ready()
        session.data()
        session.send(letter(token(), b"a" + octets + b"b\r\n") + b".\r\n")
        try:
            reply = session.read(".")
        except Closed:
            return
        if reply.kind == 2:
            session.permit(f"content with {shown(octets)} is accepted")
            session.alive("after the content")

    return Check(name, "DAT-07", "practice", sentence, run, "SHOULD")


CHECKS.add(_lone("lone-lf-in-content", b"\n", "A lone LF in content is refused"))
CHECKS.add(_lone("lone-cr-in-content", b"\r", "A lone CR in content is refused"))
