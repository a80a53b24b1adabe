"""``python3 -m smtpcore serve``: receive mail, and print it or store it in a Maildir.

The server accepts mail for any address, so it listens on the loopback address unless ``--host`` names another.
It never relays: all mail is printed or stored in one Maildir.

This module reads the command line. ``serving`` runs the server until a signal ends it, and ``receiver`` has the
handler.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import logging
import shlex
import ssl
import stat
import sys
from pathlib import Path

from .._core.addresses import is_hello_argument
from .._core.config import ServerConfig
from .._core.errors import LocalProtocolError
from .._core.limits import Limits
from .._net.serveroptions import ServeOptions
from ..maildir import MaildirHandler
from ..transcript import Entry, Transcript, format_entry
from .common import (
    EX_CANTCREAT,
    EX_CONFIG,
    EX_NOHOST,
    EX_NOPERM,
    EX_UNAVAILABLE,
    EX_USAGE,
    PORT,
    Failure,
    Printer,
    complain,
    is_unresolvable,
    unreadable,
)
from .receiver import Receiver
from .serving import AnyServer, serve_until_signal

logger = logging.getLogger("smtpcore.serve")


def run(options: argparse.Namespace) -> int:
    """Run the server until a signal ends it.

    Args:
        options: The command line.

    Returns:
        0; if a second signal ended the server at once, 128 plus its number.

    Raises:
        Failure: The server cannot be started.
    """
    show = options.print or options.maildir is None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    accounts = None if options.auth_file is None else _accounts(options.auth_file)
    context = _context(options)
    config = _config(options, with_auth=accounts is not None)
    receiver = Receiver(_maildir(options.maildir), accounts or {}, show=show)
    serve_options = ServeOptions(config=config, ssl_context=context, implicit_tls=options.implicit_tls)
    if options.hostname is not None:
        if not is_hello_argument(options.hostname):
            raise Failure(
                EX_USAGE, f"{options.hostname!r} is not a valid host name (hint: --hostname mx.example.org)"
            )
        serve_options["hostname"] = options.hostname
    announce = functools.partial(_announce, options=options, user=next(iter(accounts or {}), None))
    if options.trace:
        numbers = itertools.count(1)
        serve_options["transcript"] = lambda: _tracer(next(numbers))
    try:
        received = serve_until_signal(options, receiver, serve_options, announce)
    except (OSError, BaseExceptionGroup) as error:
        cause = _innermost(error)
        raise (_cannot_listen(cause) if isinstance(cause, OSError) else cause) from None
    return 0 if received is None else 128 + received


def _announce(listener: AnyServer, *, options: argparse.Namespace, user: str | None) -> None:
    """Print where the server listens, and a command that sends mail to it."""
    say = Printer(sys.stdout).say
    for host, port in listener.addresses:
        say(f"listening on {host} port {port}")
    say(f"to send to it: {_send_command(*listener.addresses[0], options, user)}")


def _send_command(host: str, port: int, options: argparse.Namespace, user: str | None) -> str:
    words = ["python3", "-m", "smtpcore", "send"]
    if host not in ("127.0.0.1", "0.0.0.0"):
        words += ["--host", "::1" if host == "::" else host, "--port", str(port)]
    elif port != PORT:
        words += ["--port", str(port)]
    if options.implicit_tls:
        words += ["--security", "tls", "--insecure"]
    elif options.require_tls or user is not None:
        words += ["--security", "starttls", "--insecure"]
    if user is not None:
        words += ["--user", user]
    words += [
        "--from",
        "alice@example.com",
        "--to",
        "bob@example.org",
        "--subject",
        "Hello",
        "--body",
        "Hello Bob",
    ]
    return shlex.join(words)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):  # trio makes groups
        error = error.exceptions[0]
    return error


# --- What the command line says ---------------------------------------------------------------------------


def _config(options: argparse.Namespace, *, with_auth: bool) -> ServerConfig:
    lenient = options.lenient
    try:
        return ServerConfig(
            smtputf8=True,
            address_syntax="lenient" if lenient else "strict",
            unknown_parameters="ignore" if lenient else "reject",
            require_tls=options.require_tls,
            require_auth=with_auth,
            auth_mechanisms=("PLAIN", "LOGIN") if with_auth else (),
            limits=Limits(message_size=options.max_size or None, recipients=options.max_recipients),
        )
    except LocalProtocolError as error:
        raise Failure(EX_USAGE, str(error)) from None


def _context(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        for name in ("tls_key", "implicit_tls", "require_tls", "auth_file"):
            if getattr(options, name):
                option = "--" + name.replace("_", "-")
                raise Failure(EX_USAGE, f"{option} needs a certificate (hint: --tls-cert FILE --tls-key FILE)")
        return None
    for path in filter(None, (options.tls_cert, options.tls_key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise unreadable(path, error) from None

    key_file = options.tls_key or options.tls_cert

    def encrypted() -> str:
        # A server often starts without a user at a terminal, so it does not ask for a passphrase.
        hint = f"openssl pkey -in {key_file} -out FILE decrypts it; keep FILE readable for its owner only"
        raise Failure(EX_CONFIG, f"the private key in {key_file} is encrypted (hint: {hint})")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password=encrypted)
    except ssl.SSLError as error:
        # OpenSSL gives no reason if the certificate or the key is missing.
        what = (error.reason or "it lacks a certificate or its private key").replace("_", " ").lower()
        hint = "--tls-cert takes a certificate and --tls-key its private key, both as PEM"
        raise Failure(EX_CONFIG, f"{options.tls_cert} cannot be used: {what} (hint: {hint})") from None
    return context


def _accounts(path: str) -> dict[str, str]:
    """Read lines of ``user:password``; the password is everything after the first colon."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
            mode = Path(path).stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise Failure(EX_CONFIG, f"{path} is not UTF-8") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("other users can read the passwords in %s (hint: chmod 600 %s)", path, path)
    accounts = {}
    for number, line in enumerate(lines, 1):
        user, colon, password = line.partition(":")
        if line.strip():
            if not (user and colon and password):
                raise Failure(EX_CONFIG, f"line {number} of {path} does not have the form user:password")
            accounts[user] = password
    return accounts


def _maildir(path: str | None) -> MaildirHandler | None:
    try:
        return None if path is None else MaildirHandler(path)
    except OSError as error:
        raise Failure(EX_CANTCREAT, f"cannot create the Maildir {path}: {error.strerror}") from None


def _cannot_listen(error: BaseException) -> Failure:
    code = EX_NOPERM if isinstance(error, PermissionError) else EX_UNAVAILABLE
    assert isinstance(error, OSError)
    return Failure(EX_NOHOST if is_unresolvable(error) else code, error.strerror or str(error))


def _tracer(number: int) -> Transcript:
    """Return a transcript that prints the dialogue of a session, each line with the number of the session."""

    def show(entry: Entry) -> None:
        complain(f"[{number}] {format_entry(entry)}")

    return Transcript(sink=show, max_entries=1)
