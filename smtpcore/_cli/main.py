"""The command line: ``python3 -m smtpcore demo``, ``serve`` and ``send``. Python's standard library is enough.

Whatever fails is told in one line on the standard error, ``smtpcore: what (hint: what to try)``, and by an exit
code of sysexits.h. A traceback is a defect of ours.
"""

from __future__ import annotations

import argparse
import io
import math
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from .._core.errors import SMTPError
from .._core.limits import Limits
from .._core.replies import printable
from .common import EX_IOERR, EX_OK, EX_USAGE, Failure, complain, standard_streams, write

_EXIT_CODES = """\
exit codes: 0 done, 64 usage, 65 bad message or input, 66 missing file, 68 unknown host, 69 refused for good or
nobody there, 73 cannot make a folder, 74 cannot read the input or write the output, 75 failed for now, 76 not
SMTP, 77 login or permission, 78 certificate, key or password file; 130 and 143 ended at once by a signal"""

# What a hint advises to a program, and the same as an option of the command line.
_AS_OPTIONS = {
    ": give auth=mechanism, a smtpcore.sasl.ClientMechanism": ", which this command cannot give",
    "set local_hostname to its real one": "give its real one with --local-hostname",
    "security='starttls' or 'tls'; or give allow_cleartext_auth=True on a network that you trust": (
        "--security starttls or tls"
    ),
    "security='starttls'": "--security starttls",
    "security='tls'": "--security tls",
    "security='opportunistic' or 'none'": "--security opportunistic or none",
    "auth=(user, password)": "--user",
    "give an ssl_context that trusts it": "--ca-file FILE",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"smtpcore: {message} (hint: {self.prog} --help)\n")

    def _print_message(self, message: str, file: object = None) -> None:
        # argparse hides a failure from Python 3.12 on, and shows a traceback before.
        if file is sys.stderr:
            complain(message.rstrip("\n"))
        else:
            write(sys.stdout, message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: The arguments; None for those of the process.

    Returns:
        The exit code.
    """
    with standard_streams() as closed:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # an address must not be too much for a terminal
        try:
            return _command(argv, closed)
        except Failure as failure:
            return _failed(failure.code, failure)
        except SMTPError as error:
            from .send import exit_code

            error.hint = error.hint and as_options(error.hint)
            return _failed(exit_code(error), error)
        except OSError as error:
            return _failed(EX_IOERR, error)
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


def _command(argv: Sequence[str] | None, closed: frozenset[str]) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if "stderr" in closed and getattr(options, "trace", False):
        raise Failure(EX_IOERR, "--trace needs the standard error, which is closed")
    code = _run(parser, options)
    write(sys.stdout, "")  # what an earlier failure left unwritten is one
    return code


def as_options(hint: str) -> str:
    """Return a hint with options of the command line in place of arguments of ``connect()``."""
    for words, option in _AS_OPTIONS.items():
        hint = hint.replace(words, option)
    return hint


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    # Each command loads what it needs: --help should not wait for ssl.
    if options.command == "demo":
        from . import demo as _demo

        return _demo.run(sys.stdout)
    if options.command == "serve":
        from . import serve as _cli_serve

        return _cli_serve.run(options)
    if options.command == "send":
        from . import send as _cli_send

        return _cli_send.run(options)
    parser.print_help()
    return EX_OK


def _failed(code: int, error: Exception) -> int:
    complain(f"smtpcore: {printable(str(error))}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="smtpcore", description="SMTP as a state machine, at work.", epilog=_EXIT_CODES, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"smtpcore {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    _add_command(commands, "demo", "one real mail session on loopback, explained line by line")
    _add_serve(commands)
    _add_send(commands)
    return parser


def _add_command(commands: argparse._SubParsersAction[_Parser], name: str, text: str) -> _Parser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)


def _add_serve(commands: argparse._SubParsersAction[_Parser]) -> None:
    serve = _add_command(commands, "serve", "receive mail, for everybody, into a Maildir or onto the screen")
    add = serve.add_argument
    limits = Limits()
    add("--host", default="127.0.0.1", help="where to listen (default: %(default)s)")
    add(
        "--port",
        type=_port,
        default=1025,
        help="0: a free one, which the first line tells (default: %(default)s)",
    )
    add("--maildir", metavar="DIR", help="store the messages there; it is made if need be")
    add("--print", action="store_true", help="print the messages; without --maildir they are not stored")
    add("--tls-cert", metavar="FILE", help="certificate, PEM; STARTTLS is offered with it")
    add("--tls-key", metavar="FILE", help="its private key, PEM, if it is not in the same file")
    add("--implicit-tls", action="store_true", help="TLS from the first octet, no STARTTLS")
    add("--require-tls", action="store_true", help="take no mail in plaintext")
    add("--auth-file", metavar="FILE", help="lines of user:password; mail then needs a login, and TLS")
    add(
        "--max-size",
        type=_number,
        metavar="OCTETS",
        default=limits.message_size,
        help="of a message, 0: any (default: %(default)s)",
    )
    add(
        "--max-recipients",
        type=_number,
        metavar="N",
        default=limits.recipients,
        help="of a message (default: %(default)s)",
    )
    add("--adapter", choices=("sync", "asyncio", "trio"), default="sync", help="(default: %(default)s)")
    add("--trace", action="store_true", help="print the dialogues, without secrets, to the standard error")


def _add_send(commands: argparse._SubParsersAction[_Parser]) -> None:
    send = _add_command(commands, "send", "send a message, from a file or made up of options")
    add = send.add_argument
    add("--host", default="127.0.0.1", help="the server (default: %(default)s)")
    add("--port", type=_port, help="(default: 465 for tls, 587 for starttls, else 25)")
    add(
        "--security",
        choices=("none", "starttls", "tls", "opportunistic"),
        help="(default: tls on port 465, starttls on 587 and with --user, else opportunistic)",
    )
    trust = send.add_mutually_exclusive_group()
    trust.add_argument("--ca-file", metavar="FILE", help="trust these certificates, PEM, and no others")
    trust.add_argument("--insecure", action="store_true", help="trust any certificate: for tests only")
    add(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait for each answer (default: minutes)",
    )
    add("--local-hostname", metavar="NAME", help="the name that EHLO gives (default: that of this machine)")
    add("--user", help="log in")
    add("--password-file", metavar="FILE", help="its first line; else SMTPCORE_PASSWORD, else you are asked")
    add("--from", dest="sender", metavar="ADDRESS", help="who sends it; with a file, the reverse-path")
    add(
        "--to",
        action="append",
        metavar="ADDRESS",
        help="who gets it, once for each; with a file, in place of its own",
    )
    add("--subject", metavar="TEXT")
    add("--body", metavar="TEXT", help="- for the standard input")
    add("--attach", action="append", default=[], metavar="FILE", help="once for each")
    add("--trace", action="store_true", help="print the dialogue, without secrets, to the standard error")
    add("file", nargs="?", metavar="FILE.eml", help="the message; - for the standard input")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


def _port(text: str) -> int:
    port = _number(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return port
