"""``python3 -m smtpcore send``: sends a message, made up of options or taken from a file.

The exit code tells a script what to do: 0, the message is taken for every recipient; 75, for those who have not
got it another try may help; 69 and others, it will not.
"""

from __future__ import annotations

import argparse
import email.utils
import getpass
import mimetypes
import os
import ssl
import sys
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import TextIO

from .. import sync
from .._core.errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    LocalProtocolError,
    RemoteProtocolError,
    ReplyError,
    SMTPError,
    TlsError,
)
from .._core.replies import printable
from .._core.results import SendResult
from .._net.connect import default_context
from .._net.options import ConnectOptions
from ..message import prepare
from ..transcript import Entry, Transcript, format_entry
from .common import (
    EX_CONFIG,
    EX_DATAERR,
    EX_NOHOST,
    EX_NOPERM,
    EX_OK,
    EX_PROTOCOL,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
    Failure,
    Printer,
    is_unresolvable,
    unreadable,
)

PORTS = {"tls": 465, "starttls": 587}
PASSWORD_VARIABLE = "SMTPCORE_PASSWORD"
_BIG = 1024 * 1024  # octets of content for which progress is shown
_BAR = 30  # characters


def run(options: argparse.Namespace) -> int:
    """Send a message.

    Args:
        options: The command line.

    Returns:
        The exit code, if the server has been asked about recipients.

    Raises:
        Failure: Before anything was sent.
        SMTPError: See :func:`exit_code`.
    """
    message = _message(options)
    sender, recipients = (options.sender, options.to) if options.file else (None, None)
    size = len(prepare(message, sender=sender, recipients=recipients).content)  # an error is told at once
    port = options.port or PORTS.get(options.security, 25)
    connect_options = ConnectOptions(
        security=options.security,
        ssl_context=_context(options),
        timeout=options.timeout,
        local_hostname=options.local_hostname,
    )
    if options.user is not None:
        connect_options["auth"] = options.user, _password(options)
    meter = None
    if options.trace:
        connect_options["transcript"] = Transcript(sink=_trace, max_entries=1)
    elif size > _BIG and sys.stderr.isatty():
        connect_options["transcript"] = meter = Meter(size, sys.stderr)
    try:
        with sync.connect(options.host, port, **connect_options) as client:
            prepared = prepare(
                message,
                sender=sender,
                recipients=recipients,
                eight_bit_mime="8BITMIME" in client.capabilities,
                smtputf8="SMTPUTF8" in client.capabilities,
            )
            result = client.send(
                prepared.sender, prepared.recipients, prepared.content, smtputf8=prepared.smtputf8
            )
    except ReplyError as error:
        if error.result is not None:
            _report(error.result)
        raise
    finally:
        if meter is not None:
            meter.end_line()
    return _report(result)


def exit_code(error: SMTPError) -> int:
    """The exit code for what went wrong."""
    if isinstance(error, LocalProtocolError):
        return EX_DATAERR
    if isinstance(error, AuthenticationUnavailable):
        return EX_NOPERM
    if isinstance(error, ReplyError):
        result = error.result
        if error.reply.is_transient or (result is not None and _code(result) == EX_TEMPFAIL):
            return EX_TEMPFAIL
        refused_login = isinstance(error, AuthenticationFailed) or error.reply.code == 530
        return EX_NOPERM if refused_login else EX_UNAVAILABLE
    if isinstance(error, RemoteProtocolError):
        return EX_PROTOCOL
    if isinstance(error, ConnectionFailed) and not isinstance(error.__cause__, TimeoutError):
        return EX_NOHOST if is_unresolvable(error.__cause__) else EX_UNAVAILABLE
    return EX_UNAVAILABLE if isinstance(error, TlsError) else EX_TEMPFAIL


def _report(result: SendResult) -> int:
    """Print what became of each recipient."""
    say = Printer(sys.stdout).say
    for one in result.results:
        word = "accepted" if one.accepted else "deferred" if one.retryable else "refused"
        said = "no reply" if one.reply is None else str(one.reply)
        say(f"{word:9} {printable(one.recipient)}: {printable(said)}", "green" if one.accepted else "red")
    return _code(result)


def _code(result: SendResult) -> int:
    refused = [one for one in result.results if not one.accepted]
    if not refused:
        return EX_OK
    return EX_TEMPFAIL if all(one.retryable for one in refused) else EX_UNAVAILABLE


def _trace(entry: Entry) -> None:
    print(format_entry(entry), file=sys.stderr)


class Meter(Transcript):
    """A progress bar, in the place of a transcript, where all octets pass.

    Args:
        size: Octets of the content.
        out: The terminal.
    """

    def __init__(self, size: int, out: TextIO) -> None:
        super().__init__(max_entries=1)
        self._expected = size
        self._terminal = out
        self._counted = 0
        self._percent = -1

    def client(self, data: bytes | bytearray | memoryview) -> None:
        """Count, and move the bar."""
        self._counted += len(data)
        percent = min(100, 100 * self._counted // self._expected)
        if percent != self._percent:
            self._percent = percent
            bar = ("#" * (_BAR * percent // 100)).ljust(_BAR)
            print(f"\r[{bar}] {percent:3}% of {self._expected} octets", end="", file=self._terminal, flush=True)

    def end_line(self) -> None:
        """Leave the line with the bar."""
        if self._percent >= 0:
            print(file=self._terminal, flush=True)


# --- What the command line says ---------------------------------------------------------------------------


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.insecure:
        print(
            "smtpcore: warning: --insecure: the server may be anybody, and read mail and password",
            file=sys.stderr,
        )
        return default_context(verify=False)
    if options.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except ssl.SSLError:
        hint = "certificates as PEM"
        raise Failure(EX_CONFIG, f"{options.ca_file} holds no certificates (hint: {hint})") from None
    except OSError as error:
        raise unreadable(options.ca_file, error) from None


def _password(options: argparse.Namespace) -> str:
    if options.password_file is not None:
        text = _read(options.password_file).decode("utf-8", "surrogateescape")
        return text.partition("\n")[0].removesuffix("\r")
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {options.user}: ")
    raise Failure(
        EX_USAGE, f"no password (hint: --password-file FILE, or {PASSWORD_VARIABLE} in the environment)"
    )


def _read(path: str) -> bytes:
    """The octets of a file; ``-`` is the standard input."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def _message(options: argparse.Namespace) -> EmailMessage | bytes:
    """The message; of a file, its octets, since a parsed message does not hold all of them."""
    composing = options.subject is not None or options.body is not None or bool(options.attach)
    if options.file is not None:
        if composing:
            raise Failure(EX_USAGE, "--subject, --body and --attach do not go with a file that is a message")
        return _read(options.file)
    if not composing:
        raise Failure(
            EX_USAGE, "nothing to send (hint: FILE.eml, - for the standard input, or --subject and --body)"
        )
    if not (options.sender and options.to):
        raise Failure(EX_USAGE, "a new message needs --from and --to")
    try:
        return _compose(options.sender, options.to, options.subject, options.body, options.attach)
    except Failure:
        raise
    except Exception as error:  # of the library's parser of addresses: IndexError, AttributeError, ...
        raise Failure(EX_DATAERR, f"this makes no message: {error}") from None


def _compose(
    sender: str, to: Sequence[str], subject: str | None, body: str | None, attachments: Sequence[str]
) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(to)
    if subject is not None:
        message["Subject"] = subject
    message["Date"] = email.utils.localtime()
    message["Message-ID"] = email.utils.make_msgid(domain=sender.rpartition("@")[2].rstrip(">") or "localhost")
    message.set_content(_read("-").decode("utf-8") if body == "-" else body or "")
    for path in attachments:
        kind = mimetypes.guess_type(path)[0] or ""
        maintype, _, subtype = kind.partition("/")
        if maintype in ("", "message", "multipart"):  # RFC 2046 5.2.1: these may not be encoded in base64
            maintype, subtype = "application", "octet-stream"
        message.add_attachment(_read(path), maintype=maintype, subtype=subtype, filename=Path(path).name)
    return message
