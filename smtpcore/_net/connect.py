"""Open a session: connect, secure the connection, log in."""

from __future__ import annotations

import socket
import ssl
import time

from .. import sasl
from .._core.addresses import is_hello_argument
from .._core.client import ClientConnection
from .._core.errors import (
    AuthenticationFailed,
    AuthenticationUnavailable,
    ConnectionFailed,
    ErrorContext,
    LocalProtocolError,
    ReplyError,
    SMTPError,
    TlsError,
    TlsUnavailable,
)
from .._core.events import Ehlo, Helo
from .._core.limits import Limits, TlsInfo
from ..extensions.starttls import StartTls
from .client import Client, OpenStream, raise_refusal
from .hints import hint_for, words_of
from .options import (
    ConnectOptions,
    Credentials,
    Security,
    check_options,
    checked_host,
    checked_port,
    deadline_of,
    reference_identifier,
    security_of,
    timeouts_of,
)
from .recorder import Recorder

# RFC 4954 4 and 6: the server does not take this mechanism, whatever the credentials are.
_MECHANISM_REFUSED = frozenset({504, 534})


async def open_client(open_stream: OpenStream, host: str, port: int, options: ConnectOptions) -> Client:
    """Connect, secure the connection, log in. For adapters.

    Raises:
        SMTPError: With facts and a hint; the connection is closed. An argument is checked before the
            connection is made: LocalProtocolError, which is a TypeError as well if the type is wrong.
    """
    check_options(options)
    host, port = checked_host(host), checked_port(port)
    security = security_of(port, options)
    facts = ErrorContext(host=host, port=port, security=security)
    transcript = options.get("transcript")
    allowed = deadline_of(options)
    deadline = time.monotonic() + allowed
    seconds = min(timeouts_of(options).connect, allowed)
    recorder = Recorder(transcript)
    recorder.note(f"connecting to {host} port {port}")
    try:
        stream = await open_stream(host, port, local_address=options.get("local_address"), timeout=seconds)
    except (OSError, UnicodeError) as error:  # what no host can be called is a UnicodeError
        what = "no answer in the time allowed" if isinstance(error, TimeoutError) else words_of(error)
        failed = ConnectionFailed(f"cannot connect to {host} port {port}: {what}")
        failed.__cause__ = error  # which the hint is worked out from
        failed.context, failed.transcript = facts, transcript
        failed.hint = hint_for(failed, facts)
        raise failed from error
    client = Client(stream, facts, options, deadline, recorder)
    try:
        await _start(client, security, options)
    except SMTPError:
        await client.quit()
        raise
    except BaseException:
        stream.abort()
        await client.close()
        raise
    return client


async def _start(client: Client, security: Security, options: ConnectOptions) -> None:
    """From the open connection to where mail can be sent. For ``open_client()``."""
    auth = options.get("auth")
    context = options.get("ssl_context")
    with client._conversation("greeting"):
        if security == "tls":
            await _shake_hands(client, context or default_context(verify=True))
            client._connection = ClientConnection(
                limits=options.get("limits") or Limits(), timeouts=client._timeouts, tls=client._stream.tls
            )
        raise_refusal(await client._response())
        client._domain = hello_name(options.get("local_hostname"), client._stream.sockname)
        await _hello(client, fall_back=security != "starttls")
        if security == "starttls" or (security == "opportunistic" and "STARTTLS" in client.capabilities):
            verify = security == "starttls" or auth is not None
            await _start_tls(client, security, context or default_context(verify=verify))
        if auth is not None:
            await _log_in(client, auth, allow_cleartext=options.get("allow_cleartext_auth", False))


async def _hello(client: Client, *, fall_back: bool) -> None:
    client.context.phase = "ehlo"
    await client._say(Ehlo(client._domain))
    response = await client._response()
    if fall_back and response.reply.code in (500, 502):  # RFC 5321 3.2
        await client._say(Helo(client._domain))
        response = await client._response()
    if not response.reply.is_success:
        raise ReplyError(response, f"{response.verb} {client._domain} was answered {response.reply}")
    client.context.capabilities = tuple(client._connection.capabilities.lines())


async def _start_tls(client: Client, security: Security, context: ssl.SSLContext) -> None:
    client.context.phase = "starttls"
    if "STARTTLS" not in client._connection.capabilities:
        raise TlsUnavailable("the server does not offer STARTTLS, and TLS is required")
    await client._say(StartTls())
    response = await client._response()
    reply = response.reply
    if reply.is_success:
        await _shake_hands(client, context)
        client._connection.tls_started(client._stream.tls or TlsInfo())
        await _hello(client, fall_back=False)
    elif security == "starttls":
        raise TlsUnavailable(f"the server refused STARTTLS: {reply}")
    elif reply.code == 421:
        raise ReplyError(response)


async def _shake_hands(client: Client, context: ssl.SSLContext) -> None:
    client.context.phase = "tls"
    try:
        info = await client._stream.start_tls(
            context,
            server_side=False,
            server_hostname=reference_identifier(client.context.host),
            timeout=client._seconds(client._timeouts.connect, "no TLS handshake"),
        )
    except TimeoutError:
        raise
    except OSError as error:
        client._note_arrival(client._stream.first_octets)
        raise TlsError(f"the TLS handshake failed: {words_of(error)}") from error
    client.context.tls = True
    if client.transcript is not None:
        client._recorder.tls(f"{info.version} {info.cipher}")


async def _log_in(client: Client, auth: Credentials, *, allow_cleartext: bool) -> None:
    client.context.phase = "auth"
    connection = client._connection
    offered = connection.capabilities.mechanisms
    left = list(offered)
    refusal: AuthenticationFailed | None = None
    while True:
        if isinstance(auth, sasl.ClientMechanism):
            mechanism: sasl.ClientMechanism | None = auth if auth.name in left else None
        else:
            mechanism = sasl.choose(
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
        await client._expect_silence()
        connection.authenticate(mechanism, allow_cleartext=allow_cleartext)
        response = await client._response()
        if response.reply.is_success:
            return
        refusal = AuthenticationFailed(response, f"{mechanism.name} was answered {response.reply}")
        if response.reply.code not in _MECHANISM_REFUSED:
            raise refusal
        left = [name for name in left if name.upper() != mechanism.name]


def default_context(*, verify: bool) -> ssl.SSLContext:
    """A context for a client.

    Args:
        verify: Whether the server has to prove who it is. Without, TLS is better than nothing, and no more.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def hello_name(given: str | None, sockname: object) -> str:
    """The argument of EHLO: a fully-qualified domain, else an address literal (RFC 5321 4.1.4); without DNS."""
    if given is not None:
        if not given.isprintable():
            raise LocalProtocolError(f"local_hostname {given!r} has control characters in it")
        if is_hello_argument(given):
            return given
    else:
        name = socket.gethostname()
        if "." in name.strip(".") and is_hello_argument(name):
            return name
    host = str(sockname[0]) if isinstance(sockname, tuple) else "127.0.0.1"
    host = host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"
