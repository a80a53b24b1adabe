"""A server for tests: it keeps what it receives, and goes wrong where its rules say so.

It runs on blocking sockets in threads of its own, so a test of any kind can use it: plain, asyncio, trio or
anyio. Nothing of it runs in the event loop of the test.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import functools
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Self, Unpack

from .._core.config import ServerConfig
from .._core.errors import ArgumentTypeError, LocalProtocolError, check_text, wrong_type
from .._core.events import Envelope
from .._core.limits import Limits
from .._core.parameters import Parameters
from .._net.listener import GRACE, BaseServer
from .._net.serveroptions import ServeOptions, ServerOptions, check_seconds
from .._net.serving import refusal_of, session_runner
from .._net.session import ServerSession
from .._net.stream import Stream
from ..handlers import Handler
from ..sasl import Credentials
from ..sync import Server
from ..transcript import Transcript
from ._faults import Counter, Rule, on
from ._session import FaultySession, Sleep

AnyServer = BaseServer[Any]

CERTIFICATE: Final = Path(__file__).parent / "insecure-localhost.pem"


def server_context() -> ssl.SSLContext:
    """Make a TLS context for a server on this machine, with a certificate that is **for tests only**.

    Its private key is published with smtpcore.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> ssl.SSLContext:
    """Make a TLS context for a client that trusts the certificate of :func:`server_context` and no other."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


@dataclass(frozen=True)
class ReceivedMail:
    """A message that a :class:`MailServer` has accepted.

    Attributes:
        sender: The reverse-path; ``""`` for the null reverse-path.
        recipients: The forward-paths that were accepted, in order.
        content: The octets, header and body, lines ended by CRLF.
        parameters: The parameters of MAIL.
        tls: Whether it arrived under TLS.
        user: The identity that the client has authenticated as; None without AUTH.
        hello: The argument of EHLO or HELO.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    parameters: Parameters = field(default_factory=dict)
    tls: bool = False
    user: str | None = None
    hello: str = ""

    @property
    def message(self) -> EmailMessage:
        """The message, parsed; lines of its text end in LF."""
        return email.message_from_bytes(self.content.replace(b"\r\n", b"\n"), policy=email.policy.default)

    @property
    def subject(self) -> str:
        """The Subject field, decoded; ``""`` if there is none."""
        return str(self.message["Subject"] or "")

    def __str__(self) -> str:
        to = ", ".join(f"<{path}>" for path in self.recipients)
        return f"from <{self.sender}> to {to}: {self.subject!r}, {len(self.content)} octets"


class _Inbox(Handler):
    def __init__(self, users: Mapping[str, str]) -> None:
        self.users = users
        self.messages: list[ReceivedMail] = []
        self.changed = threading.Condition()

    def check_credentials(self, session: ServerSession, credentials: Credentials) -> bool:
        return credentials.matches(self.users.get(credentials.username))

    def store(self, session: ServerSession, envelope: Envelope, content: BinaryIO) -> bool:
        mail = ReceivedMail(
            str(envelope.reverse_path),
            tuple(str(path) for path in envelope.forward_paths),
            content.read(),
            dict(envelope.mail.parameters),
            session.tls is not None,
            session.authenticated,
            "" if session.hello is None else session.hello.domain,
        )
        with self.changed:
            self.messages.append(mail)
            self.changed.notify_all()
        return True


def serve_with_faults(
    faults: Iterable[Rule],
    handler: object,
    host: str | None = "127.0.0.1",
    port: int = 0,
    **options: Unpack[ServeOptions],
) -> Server:
    """Start a server with a handler of your own that goes wrong where its rules say so.

    Args:
        faults: What goes wrong: :func:`on` makes rules. Of several that apply the first one counts.
        handler: As for :func:`smtpcore.sync.serve`.
        host: The address to listen on.
        port: The port to listen on; 0: a free one.
        options: ``hostname``, ``config``, ``ssl_context``, ``implicit_tls``, ``transcript`` and ``greet_pause``
            of :func:`smtpcore.sync.serve`.

    Returns:
        The running server.

    Raises:
        TypeError: The handler cannot be a handler.
        OSError: The address cannot be bound.
    """
    return _FaultyServer(Counter(faults), handler, host, port, ServerOptions(**options), GRACE)


class _FaultyServer(Server):
    """A server on blocking sockets whose delays end when it closes."""

    def __init__(
        self,
        counter: Counter,
        handler: object,
        host: str | None,
        port: int,
        options: ServerOptions,
        grace: float,
    ) -> None:
        runner = _runner(counter, self._delay, handler, options)
        super().__init__(host, port, runner, refusal=refusal_of(options), grace=grace)
        self._begin()

    async def _delay(self, seconds: float) -> None:
        self._closing.wait(seconds)


def _runner(
    counter: Counter, sleep: Sleep, handler: object, options: ServerOptions
) -> Callable[[Stream], Coroutine[Any, Any, None]]:
    def make_session(stream: Stream, options: ServerOptions) -> ServerSession:
        return FaultySession(stream, options, counter, sleep)

    return session_runner(handler, options, make_session)


@asynccontextmanager
async def serve_async_with_faults(
    faults: Iterable[Rule],
    handler: object,
    host: str | None = "127.0.0.1",
    port: int = 0,
    **options: Unpack[ServeOptions],
) -> AsyncIterator[AnyServer]:
    """Run a server with faults in the event loop, that of asyncio or trio, while the block lasts::

        async with serve_async_with_faults([greylist()], handler) as server:
            host, port = server.addresses[0]

    Args:
        faults: As for :func:`serve_with_faults`.
        handler: As for :func:`smtpcore.asyncio.serve` and :func:`smtpcore.trio.serve`.
        host: The address to listen on.
        port: The port to listen on; 0: a free one.
        options: ``hostname``, ``config``, ``ssl_context``, ``implicit_tls``, ``transcript`` and ``greet_pause``
            of these functions.

    Returns:
        A context manager that gives the running server.

    Raises:
        TypeError: The handler cannot be a handler.
        OSError: The address cannot be bound.
    """
    counter, made = Counter(faults), ServerOptions(**options)
    refusal = refusal_of(made)
    if not _is_on_trio():
        from .. import asyncio as on_asyncio

        block_ends = asyncio.Event()

        async def delay(seconds: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await block_ends.wait()

        runner = _runner(counter, delay, handler, made)
        server = await on_asyncio.listen(host, port, runner, refusal=refusal)
        try:
            yield server
        finally:
            block_ends.set()
            await server.close()
        return

    import trio

    from .. import trio as on_trio

    block_left = trio.Event()

    async def delay_on_trio(seconds: float) -> None:
        with trio.move_on_after(seconds):
            await block_left.wait()

    runner = _runner(counter, delay_on_trio, handler, made)
    async with on_trio._serving(
        functools.partial(on_trio.listen, host, port, runner, refusal=refusal)
    ) as listener:
        try:
            yield listener
        finally:
            block_left.set()


def _is_on_trio() -> bool:
    """Whether the caller is a task of trio. In the guest mode of trio a loop of asyncio runs as well."""
    trio = sys.modules.get("trio")
    try:
        return trio is not None and trio.lowlevel.current_task() is not None
    except RuntimeError:
        return False


class MailServer:
    """A server for tests on 127.0.0.1, in threads of its own: it keeps all mail, and relays none.

    It listens as soon as it is made, and until ``close()`` or the end of the ``with`` block. Any client can use
    it, and a test of any kind: plain, asyncio, trio, anyio.

    ::

        with MailServer(on("RCPT", nth=2).reply("550 5.1.1 no such user")) as server:
            application.send_report(server.host, server.port)
        assert server.messages[0].recipients == ("ann@example.org",)

    Args:
        faults: What goes wrong: :func:`on` makes rules. Of several that apply the first one counts.
        users: Passwords by user name; with any, AUTH PLAIN and LOGIN are offered, also without TLS. Mail is
            accepted without a login as well, unless ``config`` says otherwise.
        tls: ``"starttls"``: STARTTLS is offered; ``"implicit"``: TLS from the start; None: no TLS.
        config: What the server offers, in place of all that.
        host: The address to listen on.
        port: The port to listen on; 0: a free one.

    Raises:
        LocalProtocolError: ``tls`` or ``port`` is not possible.
        ArgumentTypeError: An argument has the wrong type.
        OSError: The address cannot be bound.

    Attributes:
        host: The address that it listens on.
        port: The port that it listens on.
        ca_file: The path of the certificate, for a client that takes a file. It is **for tests only**.
        transcripts: The dialogue of each session, oldest first.
    """

    def __init__(
        self,
        *faults: Rule,
        users: Mapping[str, str] | None = None,
        tls: Literal["starttls", "implicit"] | None = "starttls",
        config: ServerConfig | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.ca_file = str(CERTIFICATE)
        self.transcripts: list[Transcript] = []
        _check_users(users)
        if tls not in ("starttls", "implicit", None):
            raise LocalProtocolError(f"tls is 'starttls', 'implicit' or None, not {tls!r}")
        self._inbox = _Inbox(dict(users or {}))
        self._counter = Counter(faults)
        if config is None:
            config = ServerConfig(
                smtputf8=True,
                auth_mechanisms=("PLAIN", "LOGIN") if users else (),
                allow_cleartext_auth=True,
                limits=Limits(refused_recipients=None),
            )
        context = None if tls is None else server_context()
        options = ServerOptions("localhost.test", config, context, tls == "implicit", self._transcript)
        self._server = _FaultyServer(self._counter, self._inbox, host, port, options, 0.0)
        self.host, self.port = self._server.addresses[0]

    def _transcript(self) -> Transcript:
        transcript = Transcript()
        self.transcripts.append(transcript)
        return transcript

    @property
    def messages(self) -> list[ReceivedMail]:
        """The messages that were accepted so far, oldest first; a copy."""
        with self._inbox.changed:
            return list(self._inbox.messages)

    @property
    def transcript(self) -> str:
        """The dialogues of all sessions as text, without secrets."""
        texts = [f"session {number}:\n{one}" for number, one in enumerate(self.transcripts, 1)]
        return "\n".join(texts) or "no client has connected"

    def client_context(self) -> ssl.SSLContext:
        """Make a TLS context for a client that trusts this server and no other."""
        return client_context()

    def add(self, rule: Rule) -> None:
        """Add a fault; it counts from now on, and goes before the others."""
        self._counter.add(rule)

    def fail_next(self, verb: str, reply: str, *, times: int = 1) -> None:
        """Refuse the next command of a kind.

        Args:
            verb: As for :func:`on`.
            reply: The reply, such as ``"451 4.7.1 later"``.
            times: How many commands.
        """
        self.add(on(verb, times=times).reply(reply))

    def wait_for(
        self, *, to: str | None = None, subject: str | None = None, timeout: float = 10.0
    ) -> ReceivedMail:
        """Wait until a message has been accepted, and return the first one that fits.

        Args:
            to: A recipient of the envelope. None: any.
            subject: A part of the Subject field. None: any.
            timeout: Seconds.

        Raises:
            LocalProtocolError: ``timeout`` is negative.
            ArgumentTypeError: An argument has the wrong type.
            AssertionError: No such message was accepted in time; it shows what was, and the dialogues.
        """
        __tracebackhide__ = True
        return self._wait_for(to, subject, timeout, threading.Event())

    def _wait_for(
        self, to: str | None, subject: str | None, timeout: float, abandoned: threading.Event
    ) -> ReceivedMail:
        """Wait as :meth:`wait_for` does, and no longer than until ``abandoned`` is set."""
        __tracebackhide__ = True  # of pytest: the failing line of the test is shown, and not this one
        _check_wanted(to=to, subject=subject)
        check_seconds("timeout", timeout)
        deadline = time.monotonic() + timeout
        with self._inbox.changed:
            while not abandoned.is_set():
                for mail in self._inbox.messages:
                    if (to is None or to in mail.recipients) and (subject is None or subject in mail.subject):
                        return mail
                left = deadline - time.monotonic()
                if left <= 0 or not self._inbox.changed.wait(min(left, threading.TIMEOUT_MAX)):
                    break
        raise AssertionError(self._missing(to, subject, f"within {timeout:g} seconds"))

    def _abandon(self, abandoned: threading.Event) -> None:
        abandoned.set()
        with self._inbox.changed:
            self._inbox.changed.notify_all()

    def _missing(self, to: str | None, subject: str | None, when: str) -> str:
        wanted = f" to {to}" if to is not None else ""
        wanted += f" with {subject!r} in its subject" if subject is not None else ""
        accepted = [f"  {mail}" for mail in self.messages] or ["  none"]
        return "\n".join(
            [f"no message{wanted} was accepted {when}; accepted were:", *accepted, self.transcript]
        )

    def clear(self) -> None:
        """Forget the messages and the transcripts."""
        with self._inbox.changed:
            self._inbox.messages.clear()
        self.transcripts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop: accept no connections, and break those that are open."""
        self._server.close()


class AsyncMailServer:
    """A :class:`MailServer` for async tests: its methods that wait do not block the event loop.

    It works on asyncio and on trio, and so under anyio.

    Args:
        server: The server.

    Attributes:
        server: As given.
        host: The address that it listens on.
        port: The port that it listens on.
        ca_file: The path of the certificate, which is **for tests only**.
    """

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.host, self.port, self.ca_file = server.host, server.port, server.ca_file

    @property
    def messages(self) -> list[ReceivedMail]:
        """The messages that were accepted so far, oldest first; a copy."""
        return self.server.messages

    @property
    def transcript(self) -> str:
        """The dialogues of all sessions as text, without secrets."""
        return self.server.transcript

    def client_context(self) -> ssl.SSLContext:
        """Make a TLS context for a client that trusts this server and no other."""
        return client_context()

    def add(self, rule: Rule) -> None:
        """Add a fault; see :meth:`MailServer.add`."""
        self.server.add(rule)

    def fail_next(self, verb: str, reply: str, *, times: int = 1) -> None:
        """Refuse the next command of a kind; see :meth:`MailServer.fail_next`."""
        self.server.fail_next(verb, reply, times=times)

    async def wait_for(
        self, *, to: str | None = None, subject: str | None = None, timeout: float = 10.0
    ) -> ReceivedMail:
        """Wait until a message has been accepted, and return the first one that fits.

        Args:
            to: A recipient of the envelope. None: any.
            subject: A part of the Subject field. None: any.
            timeout: Seconds.

        Raises:
            LocalProtocolError: ``timeout`` is negative.
            ArgumentTypeError: An argument has the wrong type.
            AssertionError: No such message was accepted in time; it shows what was, and the dialogues.
        """
        __tracebackhide__ = True
        abandoned = threading.Event()
        wait = functools.partial(self.server._wait_for, to, subject, timeout, abandoned)
        try:
            if not _is_on_trio():
                return await asyncio.to_thread(wait)

            import trio

            return await trio.to_thread.run_sync(wait, abandon_on_cancel=True)
        finally:  # if the task is cancelled, its thread must end as well: asyncio.run() waits for it
            self.server._abandon(abandoned)


def _check_users(users: object) -> None:
    """Raise unless these are user names and passwords; the error does not show them."""
    accepted = "users is a mapping of passwords by user name, both strings"
    if users is None:
        return
    if not isinstance(users, Mapping):
        raise ArgumentTypeError(f"{accepted}, not {type(users).__name__}")
    for pair in users.items():
        if not all(isinstance(part, str) for part in pair):
            kinds = ": ".join(type(part).__name__ for part in pair)
            raise ArgumentTypeError(f"{accepted}, not {{{kinds}}}")


def _check_wanted(**wanted: object) -> None:
    for name, value in wanted.items():
        if value is not None:
            check_text(name, value)


def assert_mail(
    messages: Iterable[ReceivedMail] | MailServer | AsyncMailServer,
    *,
    to: str | None = None,
    sender: str | None = None,
    subject: str | None = None,
    contains: str | None = None,
) -> ReceivedMail:
    """Return the one message that fits; raise if there is none, or more than one.

    Args:
        messages: The messages, or the server that has received them.
        to: A recipient of the envelope. None: any.
        sender: The reverse-path. None: any.
        subject: The Subject field. None: any.
        contains: A part of a text part of the message, decoded, or of the header as it was sent. None: any.

    Raises:
        AssertionError: Not exactly one fits; it shows what was accepted, and the dialogues.
        ArgumentTypeError: An argument has the wrong type.
    """
    __tracebackhide__ = True  # of pytest: the failing line of the test is shown, and not this one
    wanted = {"to": to, "sender": sender, "subject": subject, "contains": contains}
    _check_wanted(**wanted)
    server = messages if isinstance(messages, (MailServer, AsyncMailServer)) else None
    candidates = _messages_of(messages)
    found = [
        mail
        for mail in candidates
        if (to is None or to in mail.recipients)
        and (sender is None or sender == mail.sender)
        and (subject is None or subject == mail.subject)
        and (contains is None or contains in _text_of(mail))
    ]
    if len(found) == 1:
        return found[0]
    wish = ", ".join(f"{name}={value!r}" for name, value in wanted.items() if value is not None) or "anything"
    lines = [f"{len(found)} messages have {wish}, instead of 1; accepted were:"]
    lines += [f"  {mail}" for mail in candidates] or ["  none"]
    if server is not None:
        lines.append(server.transcript)
    raise AssertionError("\n".join(lines))


def _messages_of(messages: object) -> list[ReceivedMail]:
    if isinstance(messages, (MailServer, AsyncMailServer)):
        return messages.messages
    if isinstance(messages, Iterable):
        found = list(messages)
        if all(isinstance(mail, ReceivedMail) for mail in found):
            return found
    raise wrong_type("messages", "a MailServer, or the messages of one", messages)


def _text_of(mail: ReceivedMail) -> str:
    texts = [mail.content.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")]
    for part in mail.message.walk():
        if part.get_content_maintype() == "text":
            payload = part.get_payload(decode=True)
            charset = part.get_content_charset("utf-8")
            octets = payload if isinstance(payload, bytes) else b""
            try:
                texts.append(octets.decode(charset, "replace"))
            except LookupError:
                texts.append(octets.decode("utf-8", "replace"))
    return "\n".join(texts)
