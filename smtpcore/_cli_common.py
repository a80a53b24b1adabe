"""What the commands of the command line have in common: exit codes, one clear line for a failure, colours."""

from __future__ import annotations

import os
import socket
from typing import Final, Literal, TextIO

# sysexits.h; os has these names on POSIX only.
EX_OK: Final = 0
EX_USAGE: Final = 64  # the command line is wrong
EX_DATAERR: Final = 65  # the message, or another input, is wrong
EX_NOINPUT: Final = 66  # a file is missing or cannot be read
EX_NOHOST: Final = 68  # the host name means nothing
EX_UNAVAILABLE: Final = 69  # refused for good, or nobody there
EX_CANTCREAT: Final = 73  # a file or folder cannot be made
EX_IOERR: Final = 74  # reading or writing failed
EX_TEMPFAIL: Final = 75  # the same may work later
EX_PROTOCOL: Final = 76  # the other side does not keep to the protocol
EX_NOPERM: Final = 77  # logging in has failed
EX_CONFIG: Final = 78  # a certificate or a file with passwords is wrong

Colour = Literal["bold", "dim", "red", "green", "yellow", "cyan"]
_CODES: Final[dict[Colour, int]] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


class Failure(Exception):
    """Ends a command.

    Args:
        code: The exit code.
        text: What is wrong: one line, which may end in ``(hint: ...)``.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def unreadable(path: str, error: OSError) -> Failure:
    """For a file that cannot be read."""
    return Failure(EX_NOINPUT, f"cannot read {path}: {error.strerror or error}")


def is_unresolvable(error: BaseException | None) -> bool:
    """Whether an error means that a host name has no address."""
    return isinstance(error, socket.gaierror)


class Printer:
    """Prints, in colour on a terminal, unless NO_COLOR asks for none (https://no-color.org).

    Args:
        out: Where to.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def say(self, text: str, colour: Colour | None = None) -> None:
        """Print a line."""
        if self._coloured and colour is not None:
            text = f"\x1b[{_CODES[colour]}m{text}\x1b[0m"
        try:
            print(text, file=self._out, flush=True)
        except OSError as error:
            # Python flushes again when it exits, which has to go somewhere.
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._out.fileno())
            gone = isinstance(error, BrokenPipeError)
            what = "nobody reads the output any more" if gone else f"cannot write the output: {error.strerror}"
            raise Failure(EX_IOERR, what) from None
