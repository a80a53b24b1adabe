"""Message content on its way through DATA: dots off and judged (server), dots on (client). RFC 5321 4.5.2.

**The one idea.** Look at the wire as if a CRLF stood before it. Then there is no "start of a line" to
keep track of any more, only octets to find:

* the content ends where ``CRLF . CRLF`` first occurs, and nowhere else;
* every other ``CRLF .`` has one dot too many;
* and of a piece of the stream nothing is uncertain but its very end, when that is a beginning of
  ``CRLF . CRLF``. So at most four octets are held back, and always the same ones, however it was cut.

That leaves nothing to be done line by line, which is where the speed comes from: a piece of 64 KiB is a
handful of searches in C. What is held back also keeps a CRLF together: a piece of content never ends between
the CR and the LF of a line end, so a CR or an LF without its partner *in the same piece* is a bare one.

**Judging.** Taking dots away neither makes nor breaks a CRLF, so the rules about line endings, NUL, the
length of lines and the size are rules about the content, however it was carried; ``_admit()`` knows nothing
of dots. All rules are tried on every piece, and of those broken the one whose offending octet comes first
counts. The octets before it are handed out, none after it, and from there on only the end is looked
for: what looks like commands after a bare LF is content, however it was meant (SMTP smuggling). Since octets
are admitted strictly in order, and each rule names an octet, the cutting of the stream cannot change the
verdict.

**Speed without a bad case.** Every search is for a fixed string of at most five octets, so none is worse than
linear; none goes past the terminator, so a read full of small messages is not searched once per message. Two
tricks are less obvious. One pass of ``io.IncrementalNewlineDecoder``, which is C, classifies all line ends of
a piece, four times as fast as counting CRs, LFs and CRLFs; only when it has seen a wrong one does a slow
search find out where. And ``_replace()`` cuts at the first few dots and joins the pieces, because
``bytes.replace()`` reads everything twice; with many dots the pieces would cost more, so the rest is left to
``replace()`` after all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal, cast, overload

from .errors import ArgumentTypeError, LocalProtocolError
from .expressions import expression

Violation = Literal["bare-cr", "bare-lf", "nul", "line-too-long", "too-large"]

CONTENT_LINE_LENGTH: Final = 998
"""Octets of a text line without its CRLF that every receiver accepts (RFC 5321 4.5.3.1.6)."""

_CRLF = b"\r\n"
_DOT_LINE = b"\r\n."
_TERMINATOR = b"\r\n.\r\n"

_BYTES = (bytes, bytearray, memoryview)
_PIECE = 65536  # octets that are read from a file at a time

_BARE = expression(rb"\r(?!\n)|(?<!\r)\n")

_MEND_LINE_ENDS = "every line must end in CRLF (RFC 5321 2.3.8); normalize_line_endings() sees to that"
_SHORTEN_LINES = "encode that part as quoted-printable or base64 (RFC 5321 4.5.3.1.6)"

# Up to here it pays to cut at each occurrence; the exact number matters little.
_FEW = 64


def _replace(octets: bytes, old: bytes, new: bytes) -> bytes:
    """``octets.replace(old, new)``, and faster when there are few."""
    pieces = octets.split(old, _FEW)
    if len(pieces) > _FEW:
        pieces[-1] = pieces[-1].replace(old, new)
    return new.join(pieces)


def _find_bare(content: bytes) -> int:
    """The offset of the first CR or LF that is not part of a CRLF, or -1."""
    # Positional, since this is called for every little message, and keywords would double its price.
    line_ends = io.IncrementalNewlineDecoder(None, False)
    line_ends.decode(content.decode("latin-1"), True)
    if line_ends.newlines not in (None, "\r\n") and (bare := _BARE.search(content)):
        return bare.start()
    return -1


def _measure_lines(content: bytes, column: int, limit: int) -> tuple[int, int]:
    """Find a line that is too long.

    A line is fine when a CRLF begins within ``limit`` octets. The last such CRLF is as good as the first, so
    this takes all short lines at once: two steps get ahead by at least ``limit`` octets, whatever is in them.

    Args:
        content: The next piece of content, with no CRLF cut in two.
        column: Octets that the current line had before it; at most ``limit``.
        limit: Octets a line may have without its CRLF.

    Returns:
        The offset of the first octet that is too much, or -1, and the column after the piece.
    """
    size = len(content)
    line = -column  # the offset at which the current line starts
    while size - line > limit:
        end = content.rfind(_CRLF, line if line > 0 else 0, line + limit + 2)
        if end < 0:
            return line + limit, column
        line = end + 2
    end = content.rfind(_CRLF, line if line > 0 else 0)
    return -1, size - (end + 2 if end >= 0 else line)


class ContentDecoder:
    """The content of one message as DATA carries it: finds its end, takes the dots off, judges it.

    Call :meth:`decode` with what has arrived until :attr:`done`, and look at the attributes after each call.

    Args:
        max_size: Octets of content to hand out at most; None: any number.
        max_line: Octets of a line at most, without its CRLF and stuffing dot; None: any number.
        line_endings: ``"reject"`` a bare CR or LF, or ``"accept"`` it as an octet like any other. Neither
            ever ends a line where dots are concerned (RFC 5321 2.3.8, 4.1.1.4).
        nul: ``"reject"`` or ``"accept"`` NUL octets.

    Attributes:
        chunk: The content that the last call has brought, to be handed out.
        done: The terminator has been met.
        size: Octets of content so far, as SIZE counts them (RFC 1870 5): with CRLFs, without stuffing dots
            and terminator. Up to four octets later than the wire until done. What is not handed out counts too.
        violation: What is wrong with the content, if anything: the first thing only. Once it is set,
            ``chunk`` stays empty; content up to the offending octet has been handed out and is void.
    """

    __slots__ = (
        "_begun",
        "_column",
        "_held",
        "_max_line",
        "_max_size",
        "_refuse_bare",
        "_refuse_nul",
        "chunk",
        "done",
        "size",
        "violation",
    )

    def __init__(
        self,
        *,
        max_size: int | None = None,
        max_line: int | None = None,
        line_endings: Literal["reject", "accept"] = "reject",
        nul: Literal["reject", "accept"] = "reject",
    ) -> None:
        self._max_size = max_size
        self._max_line = max_line
        self._refuse_bare = line_endings == "reject"
        self._refuse_nul = nul == "reject"
        self.reset()

    def reset(self) -> None:
        """Begin with the content of the next message."""
        self._held = _CRLF  # the one that is not there, see above
        self._begun = False  # whether that one is out of the way
        self._column = 0
        self.chunk = b""
        self.done = False
        self.size = 0
        self.violation: Violation | None = None

    def decode(self, data: bytes, start: int) -> int:
        """Consume content; not to be called again once :attr:`done`.

        Args:
            data: What has arrived.
            start: The offset at which the content, or the rest of it, begins in ``data``.

        Returns:
            The offset after what was consumed: all of ``data``, or up to the end of the terminator
            (RFC 5321 4.1.1.4). What follows that is commands.
        """
        # The first test costs next to nothing and is all that base64 needs.
        dot = data.find(b".", start)
        held = self._held
        if dot > start + 2 and held == _CRLF and not self._begun:
            # A small message, all of it in one read: nothing is held, and nothing has to be.
            end = data.find(_TERMINATOR, dot - 2)
            if end >= 0:
                self.done = True
                content = data[start : end + 2]
                if dot != end + 2 and _DOT_LINE in content:
                    content = _replace(content, _DOT_LINE, _CRLF)
                self.chunk = self._admit(content)
                return end + len(_TERMINATOR)
        if data.startswith(_TERMINATOR[len(held) :], start):
            self.done = True
            self.chunk = self._admit(self._begin(_CRLF))
            return start + len(_TERMINATOR) - len(held)

        if dot >= 0:
            dot = data.find(_DOT_LINE, dot - 2 if dot > start + 2 else start)
        end = data.find(_TERMINATOR, dot) if dot >= 0 else -1
        if end >= 0:
            self.done = True
            content = held + data[start : end + 2]
            consumed = end + len(_TERMINATOR)
        else:
            content = held + data[start:]
            consumed = len(data)
            uncertain = len(_TERMINATOR) - 1
            while not content.endswith(_TERMINATOR[:uncertain]):
                uncertain -= 1
            self._held = _TERMINATOR[:uncertain]
            content = content[: len(content) - uncertain]
        # There may be a stuffing dot right before the terminator, or where the piece joins the one before.
        if dot != end or content.startswith(_DOT_LINE):
            content = _replace(content, _DOT_LINE, _CRLF)
        self.chunk = self._admit(content if self._begun else self._begin(content))
        return consumed

    def _begin(self, content: bytes) -> bytes:
        """Take away the CRLF that is not there."""
        if not self._begun and content:
            self._begun = True
            return content[2:]
        return content

    def _admit(self, content: bytes) -> bytes:
        """Count and judge the next octets; give back those that may be handed out."""
        size = self.size
        self.size = size + len(content)
        if self.violation is not None:
            return b""
        bare = _find_bare(content) if self._refuse_bare else -1
        nul = content.find(b"\0") if self._refuse_nul else -1
        overlong = -1
        if self._max_line is not None and not (self.done and self._column + len(content) <= self._max_line):
            overlong, self._column = _measure_lines(content, self._column, self._max_line)
        too_large = self._max_size is not None and self.size > self._max_size
        if bare < 0 and nul < 0 and overlong < 0 and not too_large:
            return content

        # The first octet that offends decides; in one and the same octet, what it is counts before where it is.
        found: list[tuple[int, Violation]] = []
        if bare >= 0:
            found.append((bare, "bare-cr" if content.startswith(b"\r", bare) else "bare-lf"))
        if nul >= 0:
            found.append((nul, "nul"))
        if overlong >= 0:
            found.append((overlong, "line-too-long"))
        if self._max_size is not None and too_large:
            found.append((self._max_size - size, "too-large"))
        at, self.violation = min(found, key=lambda offence: offence[0])
        return content[:at]


class ContentEncoder:
    """The content of one message for DATA: puts the dots on, and the end.

    Nothing is mended here, since a conversion that comes after dot-stuffing is how a lone dot gets onto the
    wire. What must not be sent is refused, before anything of that piece is sent: a bare CR or LF (RFC 5321
    2.3.8) and a line that is too long (RFC 5321 4.5.3.1.6). For other line ends there is
    :func:`normalize_line_endings`.

    Args:
        max_line: Octets of a line at most, without its CRLF and stuffing dot; None: any number.

    Attributes:
        size: Octets of content so far, as SIZE counts them (RFC 1870 5); with the CRLF that
            :meth:`finish` may have to add.
        eight_bit: An octet above 127 has been among them: needs 8BITMIME (RFC 6152 3).
    """

    __slots__ = ("_column", "_fresh", "_held", "_max_line", "eight_bit", "size")

    def __init__(self, *, max_line: int | None = CONTENT_LINE_LENGTH) -> None:
        self._max_line = max_line
        self.reset()

    def reset(self) -> None:
        """Begin with the content of the next message."""
        self._held = b""  # a CR whose LF has not come yet
        self._fresh = True  # at the start of a line
        self._column = 0
        self.size = 0
        self.eight_bit = False

    def encode(self, data: bytes) -> bytes:
        """Encode the next piece of content, cut anywhere.

        Args:
            data: Content with CRLF line ends.

        Returns:
            The octets to send.

        Raises:
            LocalProtocolError: There is a bare CR or LF, or a line too long; it says in which line. Nothing
                of this piece has been encoded, and the encoder is as it was.
        """
        content, held, column = self._checked(data)
        self._held = held
        self._column = column
        self.size += len(data)
        self.eight_bit = self.eight_bit or not data.isascii()
        if not content:
            return b""
        dot = b"." if self._fresh and content.startswith(b".") else b""
        self._fresh = content.endswith(b"\n")
        if content.find(b".") >= 0:  # three times as fast as "in", and all that base64 needs
            content = _replace(content, _DOT_LINE, b"\r\n..")
        return dot + content

    def _checked(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Find what must not be sent; otherwise what can be, what has to wait, and the column after it."""
        content = self._held + data if self._held else data
        held = b""
        if content.endswith(b"\r"):
            held = b"\r"
            content = content[:-1]

        # In this order: a text with LF alone is one overlong line, but that is not what is wrong with it.
        if (at := _find_bare(content)) >= 0:
            octet = "CR" if content.startswith(b"\r", at) else "LF"
            raise LocalProtocolError(f"{self._line(content, at)} has a bare {octet}: {_MEND_LINE_ENDS}")
        column = 0
        if self._max_line is not None:
            at, column = _measure_lines(content, self._column, self._max_line)
            if at >= 0:
                raise LocalProtocolError(
                    f"{self._line(content, at)} is longer than {self._max_line} octets: {_SHORTEN_LINES}"
                )
        return content, held, column

    def check(self, data: bytes) -> None:
        """Raise if ``data`` could not be encoded as the last piece; the encoder stays as it is.

        Raises:
            LocalProtocolError: As :meth:`encode`, or it ends in a bare CR.
        """
        if self._checked(data)[1]:
            raise LocalProtocolError(f"the content ends in a bare CR: {_MEND_LINE_ENDS}")

    def finish(self) -> bytes:
        """End the content.

        Returns:
            The terminator, after a CRLF if the content has not ended in one (RFC 5321 4.1.1.4).

        Raises:
            LocalProtocolError: The content ends in a CR whose LF never came.
        """
        if self._held:
            raise LocalProtocolError(f"the content ends in a bare CR: {_MEND_LINE_ENDS}")
        if self._fresh:
            return b".\r\n"
        self.size += 2
        return _TERMINATOR

    def _line(self, content: bytes, at: int) -> str:
        # Counting the lines of all pieces, only to know a number here, would cost a third of the speed.
        line = content.count(_CRLF, 0, at) + 1
        begin = self.size - len(self._held)
        return f"line {line} of the piece from octet {begin} on" if begin else f"line {line} of the content"


def check_content(content: bytes, *, max_line: int | None = CONTENT_LINE_LENGTH) -> None:
    """See whether a whole content can be sent as it is, before anything of it is.

    Raises:
        LocalProtocolError: A :class:`ContentEncoder` would refuse it; it says in which line.
    """
    ContentEncoder(max_line=max_line).check(content)


def encode_content(content: bytes, *, max_line: int | None = CONTENT_LINE_LENGTH) -> tuple[list[bytes], bool]:
    """Encode a whole content before anything of it is sent.

    Returns:
        The octets for the wire, in pieces of about 64 KiB, the last of which ends in the terminator; and
        whether octets above 127 are among them.

    Raises:
        LocalProtocolError: A :class:`ContentEncoder` would refuse it; it says in which line.
    """
    # A short message needs no encoder, which costs a third of what is done for it here.
    if len(content) <= _PIECE and (octets := _encode_short(content, max_line)) is not None:
        return [octets], not content.isascii()
    encoder = ContentEncoder(max_line=max_line)
    try:
        pieces = [encoder.encode(content[at : at + _PIECE]) for at in range(0, len(content), _PIECE)] or [b""]
        pieces[-1] += encoder.finish()
    except LocalProtocolError:
        check_content(content, max_line=max_line)  # counts lines from the beginning
        raise
    return pieces, encoder.eight_bit


def _encode_short(content: bytes, max_line: int | None) -> bytes | None:
    """Encode a whole content as a :class:`ContentEncoder` would; None if that would refuse it."""
    if _find_bare(content) >= 0 or (max_line is not None and _measure_lines(content, 0, max_line)[0] >= 0):
        return None
    end = b".\r\n" if not content or content.endswith(b"\n") else _TERMINATOR
    if content.find(b".") >= 0:
        dot = b"." if content.startswith(b".") else b""
        return dot + _replace(content, _DOT_LINE, b"\r\n..") + end
    return content + end


@overload
def normalize_line_endings(chunks: bytes | bytearray | memoryview) -> bytes: ...
@overload
def normalize_line_endings(chunks: BinaryIO | Iterable[bytes]) -> Iterator[bytes]: ...
def normalize_line_endings(
    chunks: bytes | bytearray | memoryview | BinaryIO | Iterable[bytes],
) -> bytes | Iterator[bytes]:
    """Make every line end, be it CRLF, LF or CR, a CRLF.

    Args:
        chunks: Content: bytes, a binary file, or an iterable of bytes, cut anywhere.

    Returns:
        For bytes: bytes. For a file or an iterable: an iterator that gives it piece by piece, as it comes.

    Raises:
        ArgumentTypeError: It is text, which has to be encoded first, or something else; for a piece of an
            iterable the iterator raises it. This is a TypeError.
    """
    if isinstance(chunks, _BYTES):
        return b"".join(_normalized((bytes(chunks),)))
    if hasattr(chunks, "encode") or hasattr(chunks, "encoding"):  # a str, a text file
        raise _not_bytes(chunks)
    if hasattr(chunks, "read"):
        return _normalized(_read(cast(BinaryIO, chunks)))
    if not hasattr(chunks, "__iter__"):
        raise _not_bytes(chunks)
    return _normalized(chunks)


def _normalized(chunks: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    translator = io.IncrementalNewlineDecoder(None, translate=True)  # keeps a CR that may still become CRLF
    for chunk in chunks:
        if not isinstance(chunk, _BYTES):
            raise _not_bytes(chunk)
        if octets := translator.decode(str(chunk, "latin-1")).replace("\n", "\r\n").encode("latin-1"):
            yield octets
    if octets := translator.decode("", final=True).replace("\n", "\r\n").encode("latin-1"):
        yield octets


def _read(file: BinaryIO) -> Iterator[bytes]:
    # Not line by line: a file with no LF in it is one line.
    while piece := file.read(_PIECE):
        yield piece


def _not_bytes(content: object) -> ArgumentTypeError:
    advice = ": encode() it first" if isinstance(content, str) else ""
    return ArgumentTypeError(
        "normalize_line_endings() takes bytes, a binary file or an iterable of bytes, not"
        f" {type(content).__name__}{advice}"
    )
