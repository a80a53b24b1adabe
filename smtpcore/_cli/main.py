"""The command line: ``python3 -m smtpcore`` ``demo``, ``serve``, ``send``, ``check`` and ``explain``.

A failure is reported in one line on the standard error, ``smtpcore: what (hint: what to try)``, and by an exit
code of sysexits.h. A traceback is a defect of this package.
"""

from __future__ import annotations

import argparse
import io
import math
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from .._core.errors import SMTPError
from .._core.limits import Limits
from .._core.printable import printable
from .._version import __version__
from .common import EX_IOERR, EX_OK, EX_USAGE, PORT, Failure, as_options, complain, standard_streams, write

_EXIT_CODES = """\
exit codes: 0 done, 64 usage, 65 bad message or input, 66 missing file, 68 unknown host, 69 refused for good or
no server there, 73 cannot create a folder, 74 cannot read the input or write the output, 75 failed for now, 76
not SMTP, 77 login or permission, 78 certificate, key or password file; 130 and 143 ended at once by a signal"""


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
            sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal can show every address
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
    if options.command == "check":
        from . import check as _cli_check

        return _cli_check.run(options)
    if options.command == "explain":
        from . import explain as _cli_explain

        return _cli_explain.run(options)
    parser.print_help()
    return EX_OK


def _failed(code: int, error: Exception) -> int:
    complain(f"smtpcore: {printable(str(error))}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="smtpcore",
        description="Send and receive mail over SMTP.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"smtpcore {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    _add_command(commands, "demo", "one real mail session on loopback, explained line by line")
    _add_serve(commands)
    _add_send(commands)
    _add_check(commands)
    explain = _add_command(
        commands, "explain", "say what a reply or the text of an error means, and what to try"
    )
    explain.add_argument(
        "text", nargs="+", metavar="TEXT", help="such as '535 5.7.8' or 'SSL: WRONG_VERSION_NUMBER'"
    )
    return parser


def _add_command(commands: argparse._SubParsersAction[_Parser], name: str, text: str) -> _Parser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)


def _add_serve(commands: argparse._SubParsersAction[_Parser]) -> None:
    serve = _add_command(
        commands, "serve", "receive mail for any address and print it, or store it in a Maildir"
    )
    add = serve.add_argument
    limits = Limits()
    add("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add(
        "--port",
        type=_port,
        default=PORT,
        help="the port to listen on; 0 chooses a free port, and the first line shows it (default: %(default)s)",
    )
    add(
        "--hostname",
        metavar="NAME",
        help="the name of the server in its replies (default: the fully qualified name of this machine, else"
        " the address)",
    )
    add("--maildir", metavar="DIR", help="store the messages in this folder, which is created if necessary")
    add("--print", action="store_true", help="print the messages; the default without --maildir")
    add(
        "--lenient",
        action="store_true",
        help="accept malformed addresses and unknown parameters that some clients send",
    )
    add("--tls-cert", metavar="FILE", help="the certificate, as PEM; with it the server offers STARTTLS")
    add("--tls-key", metavar="FILE", help="the private key, as PEM, if it is not in the same file")
    add("--implicit-tls", action="store_true", help="begin with TLS instead of offering STARTTLS")
    add("--require-tls", action="store_true", help="refuse mail in plaintext")
    add("--auth-file", metavar="FILE", help="lines of user:password; clients then need TLS and a login")
    add(
        "--max-size",
        type=_number,
        metavar="OCTETS",
        default=limits.message_size,
        help="the largest message to accept, 0: no limit (default: %(default)s)",
    )
    add(
        "--max-recipients",
        type=_positive,
        metavar="N",
        default=limits.recipients,
        help="the most recipients of a message (default: %(default)s)",
    )
    add(
        "--adapter",
        choices=("sync", "asyncio", "trio"),
        default="sync",
        help="the adapter that runs the server (default: %(default)s)",
    )
    add("--trace", action="store_true", help="print the dialogues, with secrets masked, to the standard error")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="RULE",
        help="misbehave, to test a client; may be repeated. RULE is greylist, tarpit, mailbox_full, rate_limit,"
        " early_552, or such as 'RCPT nth=2: delay 3; reply 451 4.7.1 later'",
    )


def _add_send(commands: argparse._SubParsersAction[_Parser]) -> None:
    send = _add_command(commands, "send", "send a message, from a file or from options")
    add = send.add_argument
    add("--host", help=f"the server (default: this machine, port {PORT}, where `serve` listens)")
    add("--port", type=_port, help="the port (default with --host: 465 for tls, 587 for starttls, else 25)")
    add(
        "--security",
        choices=("none", "starttls", "tls", "opportunistic"),
        help="the TLS mode (default: tls on port 465, starttls on 587 and with --user, else opportunistic)",
    )
    trust = send.add_mutually_exclusive_group()
    trust.add_argument("--ca-file", metavar="FILE", help="trust these certificates (PEM) only")
    trust.add_argument("--insecure", action="store_true", help="trust any certificate, for tests only")
    add(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait for each reply (default: 2 to 10 minutes, by its phase: RFC 5321 4.5.3.2)",
    )
    add(
        "--ehlo",
        "--local-hostname",
        dest="local_hostname",
        metavar="NAME",
        help="the argument of EHLO (default: the fully qualified name of this machine, else its address)",
    )
    add("--user", metavar="NAME", help="log in with this user name")
    add(
        "--password-file",
        metavar="FILE",
        help="the file whose first line is the password (default: SMTPCORE_PASSWORD, or a prompt)",
    )
    add("--from", dest="sender", metavar="ADDRESS", help="the sender; with FILE.eml, of the envelope only")
    add(
        "--to",
        action="append",
        metavar="ADDRESS",
        help="a recipient, may be repeated; with FILE.eml, of the envelope, instead of those in the file",
    )
    new = send.add_argument_group("a new message", "Date and Message-ID are added, unless --header gives them.")
    add = new.add_argument
    add("--cc", action="append", default=[], metavar="ADDRESS", help="another recipient; may be repeated")
    add("--subject", metavar="TEXT", help="the subject")
    add("--body", metavar="TEXT", help="the text; - reads the standard input")
    add("--html", metavar="TEXT", help="the text as HTML, with --body or alone; - reads the standard input")
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="another header field, may be repeated; Bcc adds a recipient of the envelope only",
    )
    add("--attach", action="append", default=[], metavar="FILE", help="attach a file; may be repeated")
    add = send.add_argument
    add("--trace", action="store_true", help="print the dialogue, with secrets masked, to the standard error")
    add("file", nargs="?", metavar="FILE.eml", help="the message, sent as it is; - reads the standard input")


def _add_check(commands: argparse._SubParsersAction[_Parser]) -> None:
    add = _add_command(
        commands, "check", "judge the conformance of a server, or of a client, of whatever make"
    ).add_argument
    add(
        "target",
        nargs="?",
        metavar="HOST:PORT",
        help=f"the server (default: 127.0.0.1:{PORT}); with --client, where to listen",
    )
    add("--client", action="store_true", help="listen, and judge the client that connects")
    add(
        "--run",
        metavar="COMMAND",
        help="with --client, a command that makes the client send one message to host $1, port $2",
    )
    add(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME",
        help="with --client, play this server only (--client --list shows them); may be repeated",
    )
    add(
        "--save-ca",
        metavar="FILE",
        help="with --client, write the certificate that the client has to trust to this file first",
    )
    add(
        "--require-tls",
        action="store_true",
        help="with --client, the client is to send mail only under TLS, to a server with a good certificate",
    )
    add(
        "--remote",
        action="store_true",
        help="allow a server that is not on this machine, which will get bad input",
    )
    add(
        "--from",
        dest="sender",
        metavar="ADDRESS",
        default="check@example.com",
        help="a sender that the server accepts (default: %(default)s)",
    )
    add(
        "--to",
        dest="recipient",
        metavar="ADDRESS",
        default="",
        help="a recipient that it accepts (default: postmaster of its domain)",
    )
    add("--user", metavar="NAME", help="log in with this user name, for the checks of AUTH")
    add(
        "--password-file",
        metavar="FILE",
        help="the file whose first line is the password (default: SMTPCORE_PASSWORD, or a prompt)",
    )
    add(
        "--stored",
        metavar="DIR|COMMAND",
        help="where stored messages show up: a folder, or a command that prints the message that contains $1",
    )
    add("--implicit-tls", action="store_true", help="begin with TLS")
    add(
        "--timeout",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how long to wait for each reply (default: %(default)s)",
    )
    add(
        "--patience",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for the server to end a silent client (default: while other checks run)",
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="CHECK",
        help="run this check, or those of this requirement id; may be repeated",
    )
    add("--all", action="store_true", help="show passes, and what is not offered, too")
    add("--list", action="store_true", help="print the checks, and run none")
    add(
        "--json",
        metavar="FILE",
        help="write the results as JSON; - for the standard output, instead of the report",
    )
    add("--junit", metavar="FILE", help="write the results as JUnit XML")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not _number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _port(text: str) -> int:
    port = _number(text)
    if port > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a valid port (0-65535)")
    return port
