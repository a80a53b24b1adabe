"""What all commands of the command line use: exit codes, failures in one line, the standard streams, colours.

**The standard streams.** Each may be closed when the program starts (``>&-``), and each may fail later, because
a disk is full or the reader of a pipe has ended. For a closed stream Python has None. :func:`standard_streams`
replaces None by an object whose methods raise OSError, like those of any stream that fails. So one rule holds
for all commands: if the output cannot be written, the command ends with one line and EX_IOERR. Only a failure
of the standard error is ignored, because there is no place to report it.
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

_NARROWEST: Final = 40  # columns; wrapped at fewer, the lines would not be readable

Colour = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: Final[dict[Colour, int]] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}

# Parts of hints that name arguments of connect(), and the text with options of the command line to show
# instead.
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
    """Ends a command with a message.

    Args:
        code: The exit code.
        text: What is wrong, in one line, which may end in ``(hint: ...)``.
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
    """Return the failure for a file that cannot be read; ``-`` is the standard input."""
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
    """Replace the standard streams that are closed, and make sure that Python can flush the others at exit.

    The descriptors of closed streams are opened, and stay open. Otherwise the next file or socket would get one
    of them, and text that a library writes to the standard error would go into a message.

    Yields:
        The names of the streams that were closed: ``stdin``, ``stdout``, ``stderr``.
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
    """Write text, and flush it.

    Raises:
        Failure: The output is closed or full, or its reader has ended.
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
    """Discard what a stream still buffers: Python flushes it again at exit, which must not fail."""
    with contextlib.suppress(OSError):  # the stream has no descriptor
        descriptor = stream.fileno()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)


def terminal_width(out: TextIO) -> int | None:
    """Return the columns of a terminal, or COLUMNS; None for another stream and for a very narrow terminal."""
    if not out.isatty():
        return None
    columns = shutil.get_terminal_size(fallback=(0, 0)).columns
    return columns if columns >= _NARROWEST else None


class Printer:
    """Prints lines, in colour on a terminal unless NO_COLOR is set (https://no-color.org).

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
            indent: The beginning of the second and further lines of a line that is wrapped.

        Raises:
            Failure: The output is closed or full, or its reader has ended.
        """
        if self._width is not None:
            wrap = functools.partial(
                textwrap.fill, width=self._width, subsequent_indent=indent, replace_whitespace=False
            )
            text = "\n".join(map(wrap, text.split("\n")))
        if self._coloured and colour is not None:
            text = f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
        write(self._out, f"{text}\n")
