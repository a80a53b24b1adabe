"""``python3 -m smtpcore send``: send a message, composed from options or read from a file.

The exit code tells a script what to do. 0: the server accepted the message for every recipient. 75: it may
accept the message for the others when it is sent again later. 69 and others: it will not.

A new message gets Date and Message-ID (RFC 5322 3.6.1, 3.6.4), because a person at a command line does not type
these. A file is sent as it is.
"""

from __future__ import annotations

import argparse
import email.utils
import getpass
import mimetypes
import os
import ssl
import sys
from email.message import EmailMessage
from pathlib import Path
from typing import TextIO

from .. import sync
from .._core.errors import LocalProtocolError, SMTPError
from .._core.failures import RemoteProtocolError
from .._core.printable import printable
from .._net.connect import default_context
from .._net.errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ReplyError,
    TlsError,
)
from .._net.options import ConnectOptions
from .._net.results import SendResult
from ..message import prepare_message
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
    PORT,
    Failure,
    Printer,
    complain,
    is_unresolvable,
    unreadable,
)

PORTS = {"tls": 465, "starttls": 587}
PASSWORD_VARIABLE = "SMTPCORE_PASSWORD"
# The options that compose a message.
_COMPOSING = "subject", "body", "html", "cc", "header", "attach"
_BIG = 1024 * 1024  # octets of content for which progress is shown
_BAR = 30  # characters


def run(options: argparse.Namespace) -> int:
    """Send a message.

    Args:
        options: The command line.

    Returns:
        The exit code for the replies to the recipients.

    Raises:
        Failure: The message or an option is not valid; nothing was sent.
        SMTPError: See :func:`exit_code`.
    """
    message = _message(options)
    sender, recipients = (options.sender, options.to) if options.file else (None, None)
    size = len(
        prepare_message(message, sender=sender, recipients=recipients).content
    )  # report an error at once
    host, port = _where(options)
    connect_options = ConnectOptions(
        security=options.security,
        ssl_context=_context(options),
        timeout=options.timeout,
        local_hostname=options.local_hostname,
    )
    if options.user is not None:
        connect_options["auth"] = options.user, password_for(options)
    meter = None
    if options.trace:
        connect_options["transcript"] = Transcript(sink=_trace, max_entries=1)
    elif size > _BIG and sys.stderr.isatty():
        connect_options["transcript"] = meter = Meter(size, sys.stderr)
    try:
        with sync.connect(host, port, **connect_options) as client:
            prepared = prepare_message(
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
    """Return the exit code for an error."""
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
    """Print the result of each recipient, and return the exit code."""
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
    complain(format_entry(entry))


class Meter(Transcript):
    """A progress bar. It takes the place of a transcript, which sees all octets.

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

    def record_client(self, data: bytes | bytearray | memoryview) -> None:
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


def _where(options: argparse.Namespace) -> tuple[str, int]:
    """The host and the port: without ``--host`` those where ``serve`` listens."""
    if options.host is None:
        return "127.0.0.1", PORT if options.port is None else options.port
    return options.host, PORTS.get(options.security, 25) if options.port is None else options.port


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.insecure:
        complain("smtpcore: warning: --insecure: any server is trusted, and may read mail and password")
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


def password_for(options: argparse.Namespace) -> str:
    """The password of ``--user``: from ``--password-file``, the environment, or a prompt."""
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
    """Return the message; that of a file as octets, because a parsed message does not keep all of them."""
    given = [f"--{name}" for name in _COMPOSING if getattr(options, name)]
    if options.file is not None:
        if given:
            raise Failure(EX_USAGE, f"{given[0]} is for a new message, and FILE.eml is a whole one")
        return _read(options.file)
    if not any(getattr(options, name) is not None for name in ("subject", "body", "html")) and not given:
        raise Failure(EX_USAGE, "nothing to send (hint: give FILE.eml, or --subject and --body)")
    if not (options.sender and options.to):
        raise Failure(EX_USAGE, "a new message needs --from and --to")
    if options.body == options.html == "-":
        raise Failure(EX_USAGE, "only one of --body and --html can be read from the standard input")
    try:
        return _compose(options)
    except Failure:
        raise
    except Exception as error:  # the standard library's parser of addresses raises IndexError and others
        raise Failure(EX_DATAERR, f"the message cannot be composed: {error}") from None


def _compose(options: argparse.Namespace) -> EmailMessage:
    message = EmailMessage()
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon:
            raise Failure(EX_USAGE, f"{line!r} is not a valid header field (hint: --header 'NAME: VALUE')")
        message[name] = value.strip()
    message["From"] = options.sender
    message["To"] = ", ".join(options.to)
    if options.cc:
        message["Cc"] = ", ".join(options.cc)
    if options.subject is not None:
        message["Subject"] = options.subject
    if "Date" not in message:
        message["Date"] = email.utils.localtime()
    if "Message-ID" not in message:
        domain = options.sender.rpartition("@")[2].rstrip(">") or "localhost"
        message["Message-ID"] = email.utils.make_msgid(domain=domain)
    if options.html is None:
        message.set_content(_text(options.body or ""))
    elif options.body is None:
        message.set_content(_text(options.html), subtype="html")
    else:
        message.set_content(_text(options.body))
        message.add_alternative(_text(options.html), subtype="html")
    for path in options.attach:
        kind = mimetypes.guess_type(path)[0] or ""
        maintype, _, subtype = kind.partition("/")
        if maintype in ("", "message", "multipart"):  # RFC 2046 5.2.1: these must not be encoded in base64
            maintype, subtype = "application", "octet-stream"
        message.add_attachment(_read(path), maintype=maintype, subtype=subtype, filename=Path(path).name)
    return message


def _text(text: str) -> str:
    return _read("-").decode("utf-8") if text == "-" else text
