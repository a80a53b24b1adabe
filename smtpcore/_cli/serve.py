"""``python3 -m smtpcore serve``: receive mail, and print it or store it in a Maildir.

The server accepts mail for any address. So it listens on the loopback address unless ``--host`` says otherwise,
and it never relays: all mail is printed or goes into one Maildir.

The main thread, or the event loop, runs until SIGINT or SIGTERM. Then the adapter ends the sessions in an
orderly way: it accepts no new ones, gives those that receive a message a moment, and sends 421 to the rest. A
second signal ends the sessions at once; a message that was not yet answered 250 is then not stored.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import logging
import shlex
import signal
import socket
import ssl
import stat
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from .._core.addresses import is_hello_argument
from .._core.config import ServerConfig
from .._core.errors import LocalProtocolError
from .._core.events import CommandRejected, Envelope
from .._core.limits import Limits
from .._core.printable import printable
from .._core.state import State
from .._net.listener import GRACE, BaseServer
from .._net.session import ServeOptions, ServerSession
from .._net.sources import IN_MEMORY
from ..handlers import blocking
from ..maildir import MaildirHandler, MaildirSink
from ..sasl import Credentials
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
    is_unresolvable,
    unreadable,
)

logger = logging.getLogger("smtpcore.serve")

_LOGGED = 5  # recipients that are named in the log

AnyServer = BaseServer[Any]
_STOP = signal.SIGINT, signal.SIGTERM
_SignalHandler = Callable[[int, object], object]
_Announce = Callable[[AnyServer], object]


def run(options: argparse.Namespace) -> int:
    """Run the server until a signal ends it.

    Args:
        options: The command line.

    Returns:
        0; 128 and the number of the signal if a second one ended the server at once.

    Raises:
        Failure: It cannot be started.
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
        received = _serve(options, receiver, serve_options, announce)
    except (OSError, BaseExceptionGroup) as error:
        cause = _innermost(error)
        raise (_cannot_listen(cause) if isinstance(cause, OSError) else cause) from None
    return 0 if received is None else 128 + received


def _serve(
    options: argparse.Namespace, receiver: Receiver, serve_options: ServeOptions, announce: _Announce
) -> int | None:
    """Serve until a signal ends it; return the number of the second signal, if one ended it at once."""
    where = receiver, options.host, options.port
    if options.adapter == "sync":
        return _serve_sync(where, serve_options, announce)
    if options.adapter == "asyncio":
        return _serve_asyncio(where, serve_options, announce)
    return _serve_trio(where, serve_options, announce)


def _serve_sync(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: _Announce
) -> int | None:
    from .. import sync

    listener: sync.Server | None = None

    def stop_at_once(number: int) -> None:
        if listener is not None:
            listener.abort()  # so there is nothing to wait for, wherever the exception comes
        raise _StoppedAtOnce(number)

    # Python calls a handler between two steps of the main thread, so one for a signal that comes right before a
    # wait would not end it. The octet is written at once.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    with reader, writer, _signals(lambda: None, stop_at_once):
        former = signal.set_wakeup_fd(writer.fileno())
        try:
            with sync.serve(*where, **serve_options) as listener:
                announce(listener)
                reader.recv(1)
                _say_what_remains(listener)
        except _StoppedAtOnce as error:
            if listener is not None:
                with contextlib.suppress(_StoppedAtOnce):
                    listener.close(0)  # the exception may have interrupted it
            return error.number
        finally:
            signal.set_wakeup_fd(former)
    return None


def _serve_asyncio(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: _Announce
) -> int | None:
    import asyncio

    from .. import asyncio as adapter

    numbers: list[int] = []

    async def main() -> None:
        loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        assert task is not None

        def stop_at_once(number: int) -> None:
            numbers.append(number)
            loop.call_soon_threadsafe(task.cancel)

        def install(number: int, handle: _SignalHandler) -> None:
            try:
                loop.add_signal_handler(number, handle, number, None)
            except NotImplementedError:  # on Windows, where each signal wakes the loop
                signal.signal(number, handle)

        with _signals(lambda: loop.call_soon_threadsafe(stopped.set), stop_at_once, install):
            try:
                await _serve_until(adapter.serve(*where, **serve_options), stopped.wait, announce)
            finally:
                with contextlib.suppress(NotImplementedError):
                    for number in _STOP:
                        loop.remove_signal_handler(number)

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        return numbers[-1]
    return None


def _serve_trio(
    where: tuple[Receiver, str, int], serve_options: ServeOptions, announce: _Announce
) -> int | None:
    try:
        import trio

        from .. import trio as adapter
    except ImportError:
        raise Failure(EX_UNAVAILABLE, "trio is not installed (hint: pip install trio)") from None

    numbers: list[int] = []

    async def main() -> bool:
        token, stopped = trio.lowlevel.current_trio_token(), trio.Event()

        def stop_at_once(number: int) -> None:
            numbers.append(number)
            token.run_sync_soon(scope.cancel)

        with trio.CancelScope() as scope, _signals(lambda: token.run_sync_soon(stopped.set), stop_at_once):
            await _serve_until(adapter.serve(*where, **serve_options), stopped.wait, announce)
        return scope.cancelled_caught

    return numbers[-1] if trio.run(main) else None


async def _serve_until(
    serving: AbstractAsyncContextManager[AnyServer], wait: Callable[[], Awaitable[object]], announce: _Announce
) -> None:
    async with serving as listener:
        announce(listener)
        await wait()
        _say_what_remains(listener)


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


def _say_what_remains(listener: AnyServer) -> None:
    sessions = len(listener.streams)
    if sessions:
        many = "1 session" if sessions == 1 else f"{sessions} sessions"
        logger.info("stopping: waiting for %s, at most %g seconds (Ctrl-C again: end at once)", many, GRACE)
    else:
        logger.info("stopping: there are no sessions")


class _StoppedAtOnce(BaseException):
    """A second signal came."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _signals(
    stop: Callable[[], object],
    stop_at_once: Callable[[int], object],
    install: Callable[[int, _SignalHandler], object] = signal.signal,
) -> Iterator[None]:
    """Call a function at the first SIGINT or SIGTERM, and the other one, with its number, at each later one."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        if len(received) == 1:
            stop()
        else:
            stop_at_once(number)

    former = [(number, signal.getsignal(number)) for number in _STOP]
    for number in _STOP:
        install(number, handle)
    try:
        yield
    finally:
        for number, handler in former:
            signal.signal(number, handler)


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
        # A server starts without a person at its terminal, so it does not ask for a passphrase.
        hint = f"openssl pkey -in {key_file} -out FILE decrypts it; keep FILE readable for its owner only"
        raise Failure(EX_CONFIG, f"the private key in {key_file} is encrypted (hint: {hint})")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key, password=encrypted)
    except ssl.SSLError as error:
        # OpenSSL gives no reason for what is not in the file at all.
        what = (error.reason or "it lacks a certificate or its private key").replace("_", " ").lower()
        hint = "--tls-cert takes a certificate and --tls-key its private key, both as PEM"
        raise Failure(EX_CONFIG, f"{options.tls_cert} cannot be used: {what} (hint: {hint})") from None
    return context


def _accounts(path: str) -> dict[str, str]:
    """Read lines of ``user:password``; the password is all after the first colon."""
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
                raise Failure(EX_CONFIG, f"line {number} of {path} is not of the form user:password")
            accounts[user] = password
    return accounts


def _maildir(path: str | None) -> MaildirHandler | None:
    try:
        return None if path is None else MaildirHandler(path)
    except OSError as error:
        raise Failure(EX_CANTCREAT, f"cannot make the Maildir {path}: {error.strerror}") from None


def _cannot_listen(error: BaseException) -> Failure:
    code = EX_NOPERM if isinstance(error, PermissionError) else EX_UNAVAILABLE
    assert isinstance(error, OSError)
    return Failure(EX_NOHOST if is_unresolvable(error) else code, error.strerror or str(error))


def _tracer(number: int) -> Transcript:
    """A transcript that shows the dialogue of one session, among others, and keeps nothing."""

    def show(entry: Entry) -> None:
        print(f"[{number}] {format_entry(entry)}", file=sys.stderr)

    return Transcript(sink=show, max_entries=1)


# --- The handler ------------------------------------------------------------------------------------------


class Receiver:
    """The handler.

    Args:
        maildir: Where messages are stored; None: nowhere.
        accounts: User names and their passwords.
        show: Print the messages.
    """

    def __init__(self, maildir: MaildirHandler | None, accounts: dict[str, str], *, show: bool) -> None:
        self._maildir = maildir
        self._accounts = accounts
        self._show = show
        self._printing = threading.Lock()

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        """See ``Handler``."""
        good = credentials.matches(self._accounts.get(credentials.username))
        if not good:
            logger.info("%s: wrong password for %r", _peer(session), credentials.username)
        return good

    def on_rejected(self, session: ServerSession, event: CommandRejected) -> None:
        """See ``Handler``; when the session ends with it, there is something to know."""
        if session.connection.state is State.CLOSED:
            logger.info("%s: the session ends: %s", _peer(session), event.reply)

    def begin_message(self, session: ServerSession, envelope: Envelope) -> Delivery:
        """See ``Handler``."""
        stored = None if self._maildir is None else self._maildir.begin_message(session, envelope)
        return Delivery(stored, self.print_message if self._show else None, _peer(session), envelope)

    def print_message(self, content: BinaryIO, peer: str) -> None:
        """Print a message in the manner of ``smtpd.DebuggingServer``, but none that commands the terminal."""
        lines = [
            "\t".join(printable(text) for text in line.decode("utf-8", "backslashreplace").split("\t"))
            for line in content.read().split(b"\r\n")
        ]
        del lines[-1:]  # the content ends in CRLF
        if "" in lines:
            lines.insert(lines.index(""), f"X-Peer: {peer}")
        text = "\n".join(
            ["---------- MESSAGE FOLLOWS ----------", *lines, "------------ END MESSAGE ------------", ""]
        )
        with self._printing:
            sys.stdout.write(text)
            sys.stdout.flush()  # an error means that the message is refused, so it must come here


class Delivery:
    """The sink of one message.

    Args:
        stored: The one that stores it, if it is stored.
        show: Prints it, if it is printed.
        peer: From where it comes.
        envelope: For the log.
    """

    def __init__(
        self,
        stored: MaildirSink | None,
        show: Callable[[BinaryIO, str], None] | None,
        peer: str,
        envelope: Envelope,
    ) -> None:
        self._stored = stored
        self._show = show
        self._peer = peer
        some = map(str, envelope.forward_paths[:_LOGGED])
        more = len(envelope.rcpts) - _LOGGED
        for_whom = ", ".join(some) + (f" and {more} more" if more > 0 else "")
        self._who = f"from <{envelope.reverse_path}> for {for_whom}"
        self._octets = 0
        # A message is printed when it is complete, and never mixed with another one.
        self._copy = None if show is None else tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)

    def write(self, data: bytes) -> None:
        """See ``MessageSink``."""
        self._octets += len(data)
        if self._stored is not None:
            self._stored.write(data)
        if self._copy is not None:
            self._copy.write(data)

    @blocking
    def finish(self) -> bool:
        """See ``MessageSink``."""
        where = ""
        if self._stored is not None:
            self._stored.finish()
            where = f", stored as {self._stored.path.name}"
        if self._copy is not None and self._show is not None:
            self._copy.seek(0)
            self._show(cast(BinaryIO, self._copy), self._peer)
            self._copy.close()
        logger.info("%s: message %s: %d octets%s", self._peer, printable(self._who), self._octets, where)
        return True

    def abort(self) -> None:
        """See ``MessageSink``."""
        if self._stored is not None:
            self._stored.abort()
        if self._copy is not None:
            self._copy.close()


def _peer(session: ServerSession) -> str:
    name = session.peername
    return str(name[0]) if isinstance(name, tuple) else "a local client"
