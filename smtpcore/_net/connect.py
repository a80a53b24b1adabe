"""Open a session: connect, secure the connection, log in.

``connect_client()`` is what ``connect()`` of every adapter runs; ``open_client()`` does the same over a stream
that is connected already.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .. import sasl
from .._core.addresses import is_hello_argument
from .._core.config import Extension
from .._core.errors import LocalProtocolError, SMTPError
from .._core.events import Ehlo, Helo
from .._core.limits import Limits, Timeouts, TlsInfo
from .._core.printable import printable
from ..extensions.starttls import StartTls
from .client import Client
from .dialogue import Dialogue, make_connection, raise_refusal
from .errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ErrorContext,
    ReplyError,
    TlsError,
    TlsUnavailable,
)
from .hints import hint_for, words_of
from .options import (
    ConnectOptions,
    Credentials,
    Security,
    ascii_name,
    check_name,
    check_options,
    check_reference,
    checked_host,
    checked_port,
    deadline_of,
    is_path,
    reference_identifier,
    security_of,
    timeouts_of,
)
from .recorder import Recorder
from .stream import Stream

if TYPE_CHECKING:
    from ..transcript import Transcript

C = TypeVar("C", bound=Client)
OpenStream = Callable[..., Awaitable[Stream]]

# RFC 4954 4 and 6: the server does not take this mechanism, whatever the credentials are.
_MECHANISM_REFUSED = frozenset({504, 534})


class Opening(Generic[C]):
    """What ``connect()`` gives on asyncio and trio: ``await`` it, or enter it with ``async with``.

    ``client = await connect(...)`` opens the session, which ``client.quit()`` ends. ``async with connect(...)
    as client`` does both. It can be used once.
    """

    def __init__(self, opening: Coroutine[Any, Any, C]) -> None:
        self._opening = opening
        self._client: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._opening.__await__()

    async def __aenter__(self) -> C:
        self._client = await self._opening
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.__aexit__(kind, error, traceback)


async def connect_client(
    open_stream: OpenStream, host: object, port: object, options: ConnectOptions, *, suspends: bool = True
) -> Client:
    """Connect, secure the connection, log in. For adapters.

    Args:
        open_stream: Called with host, port, ``local_address`` and ``timeout``, and with ``sock`` if that was
            given to ``connect()``; gives a stream.
        host: The host, or the path of a Unix socket.
        port: The port.
        options: The other arguments of ``connect()``.
        suspends: The adapter can wait for asynchronous iterables.

    Raises:
        SMTPError: It has a context and a hint, and the connection is closed. Arguments are checked before the
            connection is made: LocalProtocolError, which is a TypeError as well if a type is wrong.
    """
    client_of = _prepared(host, port, options, suspends=suspends)
    context, recorder = client_of.context, client_of.recorder
    if not context.host and options.get("sock") is None:
        raise _without_connection(LocalProtocolError("host is empty"), context, options)
    where = printable(context.host)
    where = where if is_path(context.host) else f"{where} port {context.port}"
    recorder.record_note(f"connecting to {where}")
    try:
        place: dict[str, Any] = {"local_address": options.get("local_address")}
        if options.get("sock") is not None:
            place["sock"] = options.get("sock")
        host = context.host if is_path(context.host) else ascii_name(context.host)
        stream = await open_stream(host, context.port, **place, timeout=client_of.seconds)
    except UnicodeError as error:  # a path that the file system cannot have; names were checked before
        raise _without_connection(
            LocalProtocolError(f"host {context.host!r} is not a valid path: {words_of(error)}"),
            context,
            options,
        ) from error
    except OSError as error:
        what = "no answer in the time allowed" if isinstance(error, TimeoutError) else words_of(error)
        failed = ConnectionFailed(f"cannot connect to {where}: {what}")
        failed.__cause__ = error  # for the hint
        raise _without_connection(failed, context, options) from error
    return await client_of.over(stream)


def _without_connection(error: SMTPError, context: ErrorContext, options: ConnectOptions) -> SMTPError:
    """Give an error the facts that are known before there is a connection."""
    error.context, error.transcript = context, options.get("transcript")
    error.hint = hint_for(error, context)
    return error


async def open_client(
    stream: Stream,
    host: str = "",
    port: int = 25,
    *,
    security: Security | None = None,
    ssl_context: ssl.SSLContext | None = None,
    auth: Credentials | None = None,
    allow_cleartext_auth: bool = False,
    local_hostname: str | None = None,
    timeout: float | Timeouts | None = None,
    deadline: float | None = None,
    extensions: Iterable[Extension] | None = None,
    limits: Limits | None = None,
    transcript: Transcript | None = None,
) -> Client:
    """Open a session over a stream that is connected already: read the greeting, secure it, log in.

    Args:
        stream: An object with the methods of :class:`~smtpcore.stream.Stream`. It belongs to the client from
            now on, which closes it, also if this fails.
        host: The name to verify the certificate against, and for errors. Without TLS it may be empty.
        port: It selects the default of ``security``, and is for errors.
        security: As for :func:`smtpcore.asyncio.connect`, and so are the other arguments.
        ssl_context: The TLS context.
        auth: ``(user name, password)``, or a mechanism.
        allow_cleartext_auth: Whether the password may be sent without TLS.
        local_hostname: The argument of EHLO.
        timeout: Seconds that each wait may last, or :class:`~smtpcore.Timeouts`.
        deadline: Seconds for the whole session.
        extensions: The service extensions to use.
        limits: Sizes and counts.
        transcript: Records the session.

    Returns:
        The client; ``await client.quit()`` ends it, and so does an ``async with`` block.

    Raises:
        SMTPError: As :func:`smtpcore.asyncio.connect`.
    """
    options = ConnectOptions(
        security=security,
        ssl_context=ssl_context,
        auth=auth,
        allow_cleartext_auth=allow_cleartext_auth,
        local_hostname=local_hostname,
        timeout=timeout,
        deadline=deadline,
        extensions=extensions,
        limits=limits,
        transcript=transcript,
    )
    return await _prepared(host, port, options, suspends=True).over(stream)


@dataclass
class _Prepared:
    """A session whose arguments are checked, and whose clock runs."""

    context: ErrorContext
    options: ConnectOptions
    security: Security
    recorder: Recorder
    deadline: float  # by the clock
    seconds: float  # to connect in
    suspends: bool

    async def over(self, stream: Stream) -> Client:
        """Begin the session."""
        dialogue = Dialogue(stream, self.context, self.options, self.deadline, self.recorder)
        client = Client(dialogue, suspends=self.suspends)
        try:
            await _start(dialogue, self.security, self.options)
        except SMTPError:
            await client.quit()
            raise
        except BaseException:
            stream.abort()
            await client.close()
            raise
        return client


def _prepared(host: object, port: object, options: ConnectOptions, *, suspends: bool) -> _Prepared:
    check_options(options)
    name = checked_host(host)
    number = checked_port(port, lowest=0 if is_path(name) else 1)  # addresses of a server have 0 with a path
    security = security_of(number, options)
    check_reference(name, security, options)
    context = ErrorContext(host=name, port=number, security=security)
    if name and not is_path(name):
        try:
            check_name(name)
        except LocalProtocolError as error:
            raise _without_connection(error, context, options) from error.__cause__
    allowed = deadline_of(options)
    return _Prepared(
        context,
        options,
        security,
        Recorder(options.get("transcript")),
        time.monotonic() + allowed,
        min(timeouts_of(options).connect, allowed),
        suspends,
    )


async def _start(dialogue: Dialogue, security: Security, options: ConnectOptions) -> None:
    """Go from the open connection to where mail can be sent."""
    auth = options.get("auth")
    context = options.get("ssl_context")
    with dialogue.conversation("greeting"):
        if security == "tls":
            await _shake_hands(dialogue, context or default_context(verify=True))
            dialogue.connection = make_connection(options, dialogue.stream.tls)
        raise_refusal(await dialogue.response())
        dialogue.domain = hello_name(options.get("local_hostname"), dialogue.stream.sockname)
        await _hello(dialogue, fall_back=security != "starttls")
        if security == "starttls" or (
            security == "opportunistic" and "STARTTLS" in dialogue.connection.capabilities
        ):
            verify = security == "starttls" or auth is not None
            await _start_tls(dialogue, security, context or default_context(verify=verify))
        if auth is not None:
            await _log_in(dialogue, auth, allow_cleartext=options.get("allow_cleartext_auth", False))


async def _hello(dialogue: Dialogue, *, fall_back: bool) -> None:
    dialogue.context.phase = "ehlo"
    dialogue.send(Ehlo(dialogue.domain))
    response = await dialogue.response()
    if fall_back and response.reply.code in (500, 502):  # RFC 5321 3.2
        dialogue.send(Helo(dialogue.domain))
        response = await dialogue.response()
    if not response.reply.is_success:
        raise ReplyError(response, f"{response.verb} {dialogue.domain} was answered {response.reply}")
    dialogue.context.capabilities = tuple(dialogue.connection.capabilities.lines())


async def _start_tls(dialogue: Dialogue, security: Security, context: ssl.SSLContext) -> None:
    dialogue.context.phase = "starttls"
    if "STARTTLS" not in dialogue.connection.capabilities:
        raise TlsUnavailable("the server does not offer STARTTLS, and TLS is required")
    dialogue.send(StartTls())
    response = await dialogue.response()
    reply = response.reply
    if reply.is_success:
        await _shake_hands(dialogue, context)
        dialogue.connection.tls_started(dialogue.stream.tls or TlsInfo())
        await _hello(dialogue, fall_back=False)
    elif security == "starttls":
        raise TlsUnavailable(f"the server refused STARTTLS: {reply}")
    elif reply.code == 421:
        raise ReplyError(response)


async def _shake_hands(dialogue: Dialogue, context: ssl.SSLContext) -> None:
    dialogue.context.phase = "tls"
    try:
        info = await dialogue.stream.start_tls(
            context,
            server_side=False,
            server_hostname=reference_identifier(dialogue.context.host),
            timeout=dialogue.seconds_for(dialogue.timeouts.connect, "no TLS handshake"),
        )
    except TimeoutError as error:
        dialogue.loss = error
        raise
    except OSError as error:
        dialogue.note_arrival(dialogue.stream.first_octets)
        raise TlsError(f"the TLS handshake failed: {words_of(error)}") from error
    dialogue.context.tls = True
    if dialogue.transcript is not None:
        dialogue.recorder.record_tls(f"{info.version} {info.cipher}")


async def _log_in(dialogue: Dialogue, auth: Credentials, *, allow_cleartext: bool) -> None:
    dialogue.context.phase = "auth"
    connection = dialogue.connection
    offered = connection.capabilities.mechanisms
    left = list(offered)
    refusal: AuthenticationFailed | None = None
    while True:
        if isinstance(auth, sasl.ClientMechanism):
            mechanism: sasl.ClientMechanism | None = auth if auth.name in left else None
        else:
            mechanism = sasl.choose_mechanism(
                left,
                username=auth[0],
                password=auth[1],
                tls=connection.tls is not None,
                allow_cleartext=allow_cleartext,
            )
        if mechanism is None:
            raise refusal or AuthenticationUnavailable(
                f"no usable authentication mechanism: the server offers {', '.join(offered) or 'none'}"
            )
        dialogue.check_silence()
        connection.authenticate(mechanism, allow_cleartext=allow_cleartext)
        response = await dialogue.response()
        if response.reply.is_success:
            return
        refusal = AuthenticationFailed(response, f"{mechanism.name} was answered {response.reply}")
        if response.reply.code not in _MECHANISM_REFUSED:
            raise refusal
        left = [name for name in left if name.upper() != mechanism.name]


def default_context(*, verify: bool) -> ssl.SSLContext:
    """Make a TLS context for a client.

    Args:
        verify: Whether the certificate of the server is verified. Without that, TLS protects against listeners
            on the path, but not against an attacker that changes what is sent.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def hello_name(given: str | None, sockname: object) -> str:
    """Give the argument of EHLO: a fully-qualified domain, else an address literal (RFC 5321 4.1.4).

    DNS is never queried.
    """
    if given is not None:
        if is_hello_argument(given):
            return given
    else:
        name = socket.gethostname()
        if "." in name.strip(".") and is_hello_argument(name):
            return name
    host = str(sockname[0]) if isinstance(sockname, tuple) else "127.0.0.1"
    host = host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
