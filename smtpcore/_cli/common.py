"""What the commands of the command line have in common: exit codes, one clear line for a failure, colours.

**The standard streams.** Each may be closed when the program starts (``>&-``), and each may fail later: a full
disk, a pipe that is not read any more. Python gives None for a closed one. :func:`standard_streams` puts an
object in its place that fails like any other stream, with an OSError, so that one rule holds for all commands:
an output that cannot be written ends the command with one line and EX_IOERR. The standard error is different:
its loss cannot be reported anywhere, so it is silent and ends no command.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import shutil
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, NoReturn, TextIO

# sysexits.h; os has these names on POSIX only.
EX_OK: Final = 0
EX_USAGE: Final = 64  # the command line is wrong
EX_DATAERR: Final = 65  # the message, or another input, is wrong
EX_NOINPUT: Final = 66  # a file is missing or cannot be read
EX_NOHOST: Final = 68  # the host name cannot be resolved
EX_UNAVAILABLE: Final = 69  # refused for good, or no server there
EX_CANTCREAT: Final = 73  # a file or folder cannot be created
EX_IOERR: Final = 74  # reading or writing failed
EX_TEMPFAIL: Final = 75  # the same command may succeed later
EX_PROTOCOL: Final = 76  # the other side breaks the protocol
EX_NOPERM: Final = 77  # logging in has failed
EX_CONFIG: Final = 78  # a certificate or a file with passwords is wrong

PORT: Final = 1025
"""Where ``serve`` listens and where ``send`` connects, unless the command line says otherwise."""

_NARROWEST: Final = 40  # columns; wrapping below this makes nothing readable

Colour = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: Final[dict[Colour, int]] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}

# Parts of hints, which advise arguments of connect(), and the options of the command line to show instead.
AS_OPTIONS: Final = {
    ": give auth=mechanism, a smtpcore.sasl.ClientMechanism": ", which this command cannot give",
    "set local_hostname to its real one": "give its real one with --ehlo",
    "security='starttls' or 'tls'; or give allow_cleartext_auth=True on a network that you trust": (
        "--security starttls or tls"
    ),
    "security='starttls'": "--security starttls",
    "security='tls'": "--security tls",
    "security='opportunistic' or 'none'": "--security opportunistic or none",
    "auth=(user, password)": "--user",
    "give an ssl_context that trusts it": "--ca-file FILE",
    "the port is an argument of its own": "the port has an option of its own, --port",
}


class Failure(Exception):
    """Ends a command.

    Args:
        code: The exit code.
        text: What is wrong: one line, which may end in ``(hint: ...)``.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def as_options(hint: str) -> str:
    """Return a hint with options of the command line in place of arguments of ``connect()``."""
    for words, option in AS_OPTIONS.items():
        hint = hint.replace(words, option)
    return hint


def unreadable(path: str, error: OSError) -> Failure:
    """For a file that cannot be read; ``-`` is the standard input."""
    if path == "-":
        return Failure(EX_IOERR, f"cannot read the standard input: {error.strerror or error}")
    return Failure(EX_NOINPUT, f"cannot read {path}: {error.strerror or error}")


def is_unresolvable(error: BaseException | None) -> bool:
    """Whether an error means that a host name has no address."""
    return isinstance(error, socket.gaierror)


class _Closed(io.TextIOBase):
    """A standard stream that was closed before the program started: each use fails."""

    def write(self, text: str, /) -> int:
        self._fail()

    def read(self, size: int | None = -1, /) -> str:
        self._fail()

    @property
    def buffer(self) -> _Closed:
        return self

    def _fail(self) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed")


class _Silent(io.TextIOBase):
    """A standard error that was closed: what is written is lost."""

    def write(self, text: str, /) -> int:
        return len(text)


@contextmanager
def standard_streams() -> Iterator[frozenset[str]]:
    """Replace the standard streams that are closed; at the end see that Python can flush the others.

    Their descriptors are occupied for good. Otherwise the next file or socket would get one of them, and what
    a library writes to the standard error would be written into a message.

    Gives the names of the streams that were closed: ``stdin``, ``stdout``, ``stderr``.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
    closed = frozenset(name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None)
    for name in closed:
        setattr(sys, name, _Silent() if name == "stderr" else _Closed())
    try:
        yield closed
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                _give_up(stream)
        for name in closed:
            setattr(sys, name, None)


def write(out: TextIO, text: str) -> None:
    """Write text at once.

    Raises:
        Failure: The output is closed, full, or not read any more.
    """
    try:
        out.write(text)
        out.flush()
    except OSError as error:
        _give_up(out)
        gone = isinstance(error, BrokenPipeError)
        what = (
            "the reader of the output has closed it" if gone else f"cannot write the output: {error.strerror}"
        )
        raise Failure(EX_IOERR, what) from None


def complain(text: str) -> None:
    """Write a line to the standard error, if that is possible."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python flushes again when it exits, and must not fail there."""
    with contextlib.suppress(OSError):  # the stream has no descriptor
        descriptor = stream.fileno()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)


def terminal_width(out: TextIO) -> int | None:
    """Return the columns of a terminal, or COLUMNS; None if the stream is not a terminal or a tiny one."""
    if not out.isatty():
        return None
    columns = shutil.get_terminal_size(fallback=(0, 0)).columns
    return columns if columns >= _NARROWEST else None


class Printer:
    """Print lines, in colour on a terminal, unless NO_COLOR asks for none (https://no-color.org).

    Args:
        out: The stream to print to.
        width: Wrap lines at this column; None: never.
    """

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self._out = out
        self._width = width
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, text: str, colour: Colour | None = None, indent: str = "") -> None:
        """Print a line, or several.

        Args:
            text: The lines, without the last line end.
            colour: Their colour on a terminal.
            indent: The beginning of the second and further lines, where a line is wrapped.

        Raises:
            Failure: The output is closed, full, or not read any more.
        """
        if self._width is not None:
            wrap = functools.partial(
                textwrap.fill, width=self._width, subsequent_indent=indent, replace_whitespace=False
            )
            text = "\n".join(map(wrap, text.split("\n")))
        if self._coloured and colour is not None:
            text = f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
        write(self._out, f"{text}\n")
