"""The command line: ``python3 -m smtpcore demo``. It needs nothing but Python's standard library.

Whatever fails is told in one line on the standard error, and by an exit code of sysexits.h; a traceback is a
defect of ours.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; None for those of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="smtpcore")
    parser.add_argument("--version", action="version", version=f"smtpcore {__version__}")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("demo")
    options = parser.parse_args(argv)
    if options.command == "demo":
        from ._demo import run

        return run(sys.stdout)
    parser.print_help()
    return 0
