"""connect() and serve() of the three adapters: the same tests on each, over loopback.

On the blocking adapter a test coroutine never suspends: it runs to its end in the thread of the test, while the
sessions of the server have threads of their own. Peers that are no part of the library are plain sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from smtpcore import (
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    EndOfMessage,
    Event,
    LocalProtocolError,
    Quit,
    RecipientsRefused,
    RemoteProtocolError,
    ReplyError,
    ServerConfig,
    TimedOut,
    Timeouts,
    TlsError,
    TlsUnavailable,
    sync,
)
from smtpcore import asyncio as asyncio_adapter
from smtpcore import trio as trio_adapter
from smtpcore._net import listener as _listener
from smtpcore._net.stream import run as run_blocking
from smtpcore.transcript import Transcript

SOON = 0.05  # seconds until a timeout that is meant to be reached
LATE = 60.0  # seconds until one that is not
SENDER, ONE, TWO = "a@client.example", "one@mx.example", "two@mx.example"
CONTENT = b"Subject: x\r\n\r\nbody\r\n"
NAME = "client.example"


class Awaitables:
    """A blocking client, whose methods are awaited."""

    def __init__(self, client: sync.Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if not callable(value):
            return value

        async def method(*arguments: Any, **options: Any) -> Any:
            return value(*arguments, **options)

        return method


class Blocking:
    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        run_blocking(function())

    @contextlib.asynccontextmanager
    async def connect(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        with sync.connect(*arguments, **options) as client:
            yield Awaitables(client)

    @contextlib.asynccontextmanager
    async def serve(self, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        with sync.serve(*arguments, **options) as listener:
            yield listener

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        return function()


class Asyncio:
    connect = staticmethod(asyncio_adapter.connect)
    serve = staticmethod(asyncio_adapter.serve)

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(function())

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(function)


class Uvloop(Asyncio):
    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(function())


class Trio:
    connect = staticmethod(trio_adapter.connect)
    serve = staticmethod(trio_adapter.serve)

    def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        trio.run(function)

    async def in_thread(self, function: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(function)


@pytest.fixture(params=[Blocking, Asyncio, Uvloop, Trio], ids=["sync", "asyncio", "uvloop", "trio"])
def adapter(request: pytest.FixtureRequest) -> Any:
    return request.param()


class Store:
    """A handler with callbacks that keeps everything."""

    def __init__(self, *, later: bool = False) -> None:
        self.later = later
        self.contents: list[bytes] = []
        self.logins: list[str] = []
        self.ended = 0

    def _decision(self, value: bool) -> Any:
        async def later() -> bool:
            return value

        return later() if self.later else value

    def accept_recipient(self, session: Any, forward_path: Any, parameters: Any) -> Any:
        return self._decision(forward_path.local_part != "two")

    def check_credentials(self, session: Any, credentials: Any) -> Any:
        self.logins.append(credentials.username)
        return self._decision(credentials.matches("secret"))

    def store(self, session: Any, envelope: Any, content: Any) -> Any:
        self.contents.append(content.read())
        return self._decision(True)

    def on_disconnect(self, session: Any) -> None:
        self.ended += 1


class Certificates:
    """Of an authority of our own: for the address of the server, and for somebody else's name."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.roots = authority.cert_pem.bytes()
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
        self.server, self.other = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
        authority.issue_cert("127.0.0.1").configure_cert(self.server)
        authority.issue_cert("mx.example", "::1").configure_cert(self.other)


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def port_of(listener: Any) -> int:
    return int(listener.addresses[0][1])


class Peer:
    """A plain socket on the other side of a server."""

    def __init__(self, listener: Any) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port_of(listener)), timeout=LATE)

    def say(self, *lines: str) -> str:
        """Say some lines, each when the one before has been answered; give the last answer."""
        answer = ""
        for line in lines:
            self._socket.sendall(line.encode() + b"\r\n")
            answer = self.hear()
        return answer

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hear(self) -> str:
        """The next reply."""
        answer = b""
        while not answer.endswith(b"\r\n") or answer.splitlines()[-1][3:4] == b"-":
            answer += self._socket.recv(1)
        return answer.decode()

    def hear_all(self) -> str:
        """What comes until the end."""
        answer = b""
        while data := self._socket.recv(1000):
            answer += data
        return answer.decode()

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def server(session: Callable[[Any], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server in a thread, for one session on a binary file of a socket; under TLS, if there is a context."""

    class File:
        """What is read is buffered, what is written is not."""

        def __init__(self, connection: socket.socket) -> None:
            self._reader = connection.makefile("rb", buffering=1000)
            self.readline, self.read, self.write = self._reader.readline, self._reader.read, connection.sendall
            self.end = functools.partial(connection.shutdown, socket.SHUT_WR)

        def close(self) -> None:
            self._reader.close()

    def run() -> None:
        connection = listening.accept()[0]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection, contextlib.closing(File(connection)) as file, contextlib.suppress(OSError):
            session(file)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(LATE)


# --- From one end to the other ----------------------------------------------------------------------------


@pytest.mark.parametrize("later", [False, True], ids=["plain", "async"])
def test_mail_goes_from_connect_to_serve(adapter: Any, later: bool) -> None:
    store = Store(later=later)

    async def test() -> None:
        async with adapter.serve(store) as listener:
            port = port_of(listener)
            async with adapter.connect("127.0.0.1", port, local_hostname=NAME) as client:
                result = await client.send(SENDER, [ONE, TWO], CONTENT)
                assert result.accepted_recipients == (ONE,)
                assert list(result.refused_recipients) == [TWO]
                with pytest.raises(RecipientsRefused):
                    await client.send(SENDER, TWO, CONTENT)
                assert (await client.noop()).code == 250
                assert (await client.verify("joe")).code == 252
                assert (await client.reset()).code == 250
                big = b"0123456789abcd\r\n" * 100_000
                assert (await client.send("", ONE, iter([big, CONTENT]))).accepted_recipients == (ONE,)
                assert client.context.host == "127.0.0.1"

    adapter.run(test)
    assert store.contents == [CONTENT, b"0123456789abcd\r\n" * 100_000 + CONTENT]
    assert store.ended == 1


def witness() -> tuple[list[Event], Callable[[Any], Coroutine[Any, Any, None]]]:
    """A handler that runs a session event by event and grants everything, and what it has seen."""
    seen: list[Event] = []

    async def handle(session: Any) -> None:
        async for event in session:
            seen.append(event)
            if session.unanswered:
                session.accept()

    return seen, handle


def blocking_witness() -> tuple[list[Event], Callable[[sync.ServerSession], None]]:
    """The same for sessions of the blocking adapter: a plain function with a plain loop."""
    seen: list[Event] = []

    def handle(session: sync.ServerSession) -> None:
        for event in session:
            seen.append(event)
            if session.unanswered:
                session.accept()

    return seen, handle


def test_a_session_can_be_run_event_by_event(adapter: Any) -> None:
    seen, handle = witness()

    async def test() -> None:
        async with (
            adapter.serve(handle) as listener,
            adapter.connect("127.0.0.1", port_of(listener), local_hostname=NAME) as client,
        ):
            await client.send(SENDER, ONE, CONTENT)

    adapter.run(test)
    assert any(isinstance(event, EndOfMessage) for event in seen)
    assert isinstance(seen[-1], Quit)


def test_a_handler_of_blocking_sessions_is_a_plain_function_with_a_plain_loop() -> None:
    seen, handle = blocking_witness()

    with sync.serve(handle) as listener, sync.connect("127.0.0.1", port_of(listener)) as client:
        assert client.send(SENDER, ONE, CONTENT).accepted_recipients == (ONE,)
    assert isinstance(seen[-1], Quit)


def test_a_block_that_fails_ends_with_quit_and_a_stopped_server(adapter: Any) -> None:
    class Whatever(Exception):
        pass

    seen, handle = witness()

    async def test() -> None:
        async with adapter.serve(handle) as listener:
            port = port_of(listener)
            with pytest.raises(Whatever):
                async with adapter.connect("127.0.0.1", port):
                    raise Whatever
            raise Whatever

    with pytest.raises(Whatever):
        adapter.run(test)
    assert isinstance(seen[-1], Quit)


def test_politeness_does_not_depend_on_what_is_being_handled_around() -> None:
    """A blocking session within the handling of an interrupt is as ordinary as any other."""
    seen, handle = blocking_witness()

    with sync.serve(handle) as listener:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            with sync.connect("127.0.0.1", port_of(listener)):
                pass
    assert isinstance(seen[-1], Quit)


def test_a_port_that_is_taken_is_refused_at_once(adapter: Any) -> None:
    async def test() -> None:
        async with adapter.serve(Store()) as listener:
            with pytest.raises(OSError, match="cannot listen on"):
                async with adapter.serve(Store(), port=port_of(listener)):
                    pass

    adapter.run(test)


def test_options_that_are_none_are_refused(adapter: Any) -> None:
    async def test() -> None:
        with pytest.raises(TypeError):
            async with adapter.serve(Store(), ssl_contxt=None):
                pass
        with pytest.raises(LocalProtocolError):
            async with adapter.serve(Store(), implicit_tls=True):
                pass
        with pytest.raises(TypeError):
            async with adapter.connect("127.0.0.1", 1, ssl_contxt=None):
                pass

    adapter.run(test)


def test_where_nobody_listens_the_error_says_so(adapter: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        async def test() -> None:
            with pytest.raises(
                ConnectionFailed, match=rf"cannot connect to 127\.0\.0\.1 port {port}: "
            ) as caught:
                async with adapter.connect("127.0.0.1", port):
                    pass
            assert caught.value.context is not None
            assert caught.value.context.phase == "connect"

        adapter.run(test)


@pytest.mark.parametrize("host", ["", "mx..example", "x" * 64 + ".example"])
def test_what_no_host_is_called_cannot_be_connected_to(adapter: Any, host: str) -> None:
    async def test() -> None:
        with pytest.raises(LocalProtocolError):
            async with adapter.connect(host, 25):
                pass

    adapter.run(test)


# --- TLS --------------------------------------------------------------------------------------------------

LOGIN = ServerConfig(auth_mechanisms=("PLAIN",))


@pytest.mark.req("TLS-30", "AUT-29")
@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("callable_context", [False, True])
def test_mail_goes_under_tls(
    adapter: Any, certificates: Certificates, security: str, callable_context: bool
) -> None:
    store, transcripts = Store(), [Transcript(), Transcript()]
    context: Any = (lambda: certificates.server) if callable_context else certificates.server

    async def test() -> None:
        async with (
            adapter.serve(
                store,
                ssl_context=context,
                implicit_tls=security == "tls",
                config=LOGIN,
                transcript=lambda: transcripts[0],
            ) as listener,
            adapter.connect(
                "127.0.0.1",
                port_of(listener),
                security=security,
                ssl_context=certificates.client,
                auth=("joe", "secret"),
                transcript=transcripts[1],
            ) as client,
        ):
            assert client.tls.version.startswith("TLSv1.")
            assert client.tls.peer_certificate is not None
            assert (await client.send(SENDER, ONE, CONTENT)).accepted_recipients == (ONE,)

    adapter.run(test)
    assert store.contents == [CONTENT]
    assert store.logins == ["joe"]
    for transcript in transcripts:
        assert "TLSv1." in str(transcript)
        assert "235 2.7.0" in str(transcript)
        assert "AGpvZQBzZWNyZXQ" not in str(transcript)


@pytest.fixture
def trusted(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our authority is one that the system trusts, and so the default context."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(certificates.roots)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))


@pytest.mark.req("TLS-32", "AUT-30", "TLS-19")
@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    "fault, words",
    [("name", "IP address mismatch"), ("authority", "unable to get local issuer certificate|self.signed")],
)
@pytest.mark.parametrize("given", [True, False], ids=["context given", "default context"])
def test_a_certificate_that_is_not_accepted_gets_no_password(
    adapter: Any,
    certificates: Certificates,
    security: str,
    fault: str,
    words: str,
    given: bool,
    request: pytest.FixtureRequest,
) -> None:
    store = Store()
    served = certificates.other if fault == "name" else certificates.server
    context = None
    if fault == "name":
        request.getfixturevalue("trusted")
    if given:
        context = certificates.client if fault == "name" else ssl.create_default_context()

    async def test() -> None:
        async with adapter.serve(
            store, ssl_context=served, implicit_tls=security == "tls", config=LOGIN
        ) as listener:
            with pytest.raises(TlsError, match=f"the certificate is not accepted: .*({words})") as caught:
                async with adapter.connect(
                    "127.0.0.1",
                    port_of(listener),
                    security=security,
                    ssl_context=context,
                    auth=("joe", "secret"),
                ):
                    pass
            assert caught.value.hint is not None
            why = "is not for '127.0.0.1'" if fault == "name" else "is not from an authority"
            assert f"the certificate {why}" in caught.value.hint
            assert caught.value.context is not None
            assert caught.value.context.phase == "tls"

    adapter.run(test)
    assert store.logins == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_is_accepted_gets_the_password(
    adapter: Any, certificates: Certificates, security: str
) -> None:
    """With the context that every user gets, so that its refusals are not for want of trust."""
    store = Store()

    async def test() -> None:
        async with (
            adapter.serve(
                store, ssl_context=certificates.server, implicit_tls=security == "tls", config=LOGIN
            ) as listener,
            adapter.connect("127.0.0.1", port_of(listener), security=security, auth=("joe", "secret")),
        ):
            pass

    adapter.run(test)
    assert store.logins == ["joe"]


@pytest.mark.req("TLS-32")
@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    "host, asked",
    [("mx.example.", "mx.example"), ("mx.example", "mx.example"), ("::1%lo", None)],
)
def test_the_name_that_is_verified_has_neither_a_last_dot_nor_a_zone(
    adapter: Any,
    certificates: Certificates,
    security: str,
    host: str,
    asked: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RFC 6066 3, RFC 9525 2; what is looked up is the name as it was given."""
    if isinstance(adapter, Uvloop):
        pytest.skip("uvloop does not call socket.getaddrinfo()")
    looked_up: list[str] = []
    sni: list[str | None] = []
    original = socket.getaddrinfo

    def resolve(name: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        looked_up.append(name)
        return original("127.0.0.1", port, *arguments, **options)

    def look(connection: Any, name: str | None, context: Any) -> None:
        sni.append(name)

    monkeypatch.setattr(certificates.other, "sni_callback", look)

    async def test() -> None:
        async with adapter.serve(
            Store(), ssl_context=certificates.other, implicit_tls=security == "tls"
        ) as listener:
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            async with adapter.connect(
                host, port_of(listener), security=security, ssl_context=certificates.client
            ) as client:
                assert client.tls is not None
                assert client.context.host == host

    adapter.run(test)
    assert looked_up == [host]
    assert sni == [asked]


@pytest.mark.parametrize("port", ["465", "587"])
def test_a_port_that_is_text_picks_the_same_security_as_a_number(
    adapter: Any, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without TLS is refused; with 465 the first octets are a handshake."""
    if isinstance(adapter, Uvloop):
        pytest.skip("uvloop does not call socket.getaddrinfo()")
    original = socket.getaddrinfo
    asked: list[Any] = []

    def resolve(name: Any, number: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(number)
        return original(name, listening, *arguments, **options)

    listening = 0

    async def test() -> None:
        nonlocal listening
        async with adapter.serve(Store()) as listener:
            listening = port_of(listener)
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            with pytest.raises(TlsError) as caught:
                async with adapter.connect("127.0.0.1", port):
                    pass
            assert isinstance(caught.value, TlsUnavailable) is (port == "587")

    adapter.run(test)
    assert asked == [int(port)]


@pytest.mark.parametrize(
    "host, port, options, words",
    [
        ("127.0.0.1", "submission", {}, "invalid port: 'submission'"),
        ("127.0.0.1", 25.5, {}, "port is "),
        (None, 25, {}, "host is "),
        ("127.0.0.1", 25, {"security": ""}, "security is "),
        ("127.0.0.1", 25, {"auth": "a:b"}, "auth is "),
    ],
)
def test_an_argument_that_is_none_is_named_before_a_connection_is_made(
    adapter: Any, host: Any, port: Any, options: Any, words: str
) -> None:
    async def test() -> None:
        with pytest.raises(LocalProtocolError, match=f"^{words}"):
            async with adapter.connect(host, port, **options):
                pass

    adapter.run(test)


def test_a_refused_login_is_told(adapter: Any, certificates: Certificates) -> None:
    async def test() -> None:
        async with adapter.serve(Store(), ssl_context=certificates.server, config=LOGIN) as listener:
            with pytest.raises(AuthenticationFailed) as caught:
                async with adapter.connect(
                    "127.0.0.1", port_of(listener), ssl_context=certificates.client, auth=("joe", "wrong")
                ):
                    pass
            assert caught.value.reply.code == 535

    adapter.run(test)


@pytest.mark.req("TLS-24")
def test_encryption_that_is_optional_asks_for_no_certificate(adapter: Any, certificates: Certificates) -> None:
    async def test() -> None:
        async with (
            adapter.serve(Store(), ssl_context=certificates.other) as listener,
            adapter.connect("127.0.0.1", port_of(listener)) as client,
        ):
            assert client.tls.peer_certificate is None
            assert client.context.tls

    adapter.run(test)


def test_tls_from_the_start_where_smtp_is_spoken_is_recognised(adapter: Any) -> None:
    """By what the server has said, and not by the words of OpenSSL."""

    async def test() -> None:
        async with adapter.serve(Store()) as listener:
            with pytest.raises(TlsError) as caught:
                async with adapter.connect("127.0.0.1", port_of(listener), security="tls"):
                    pass
            assert caught.value.hint is not None
            assert "speaks plain SMTP first" in caught.value.hint
            assert "wrong version number" in str(caught.value), "what OpenSSL says, without its numbers"

    adapter.run(test)


def test_plaintext_where_tls_is_expected_is_recognised(adapter: Any, certificates: Certificates) -> None:
    """Such a server waits for us, and we for it."""

    async def test() -> None:
        async with adapter.serve(Store(), ssl_context=certificates.server, implicit_tls=True) as listener:
            with pytest.raises(TimedOut, match="phase: greeting") as caught:
                async with adapter.connect("127.0.0.1", port_of(listener), timeout=Timeouts(greeting=SOON)):
                    pass
            assert caught.value.hint is not None
            assert "a server with TLS from the start stays silent too" in caught.value.hint

    adapter.run(test)


# --- Servers that speak too early, and are gone -----------------------------------------------------------

BIG = b"0123456789abcd\r\n" * 1_638_400  # octets that no system buffers for us: 25 MiB


def grants(file: Any) -> None:
    """The server's part up to 354, one command at a time."""
    for reply in (
        b"220 mx.example\r\n",
        b"250-mx.example\r\n250 8BITMIME\r\n",
        b"250 ok\r\n",
        b"250 ok\r\n",
        b"354 go\r\n",
    ):
        file.write(reply)
        if not reply.startswith(b"354"):
            file.readline()


@pytest.mark.req("RPL-26")
@pytest.mark.parametrize("security", ["none", "tls"])
@pytest.mark.parametrize(
    "reply, retryable", [(b"552 5.3.4 too big", False), (b"554 5.7.1 no", False), (b"421 4.3.0 bye", True)]
)
@pytest.mark.parametrize("how", ["closes", "closes its half", "reads on", "reads no more"])
def test_a_refusal_in_the_middle_of_the_content_is_reported_as_that(
    adapter: Any, certificates: Certificates, how: str, reply: bytes, retryable: bool, security: str
) -> None:
    taken, reported = 0, threading.Event()

    def session(file: Any) -> None:
        nonlocal taken
        grants(file)
        file.read(1000)
        file.write(reply + b"\r\n")
        if how == "closes its half":
            file.end()
        if how == "reads no more":
            reported.wait(LATE)
        while how in ("closes its half", "reads on") and (data := file.read(65536)):
            taken += len(data)

    context = certificates.server if security == "tls" else None
    with server(session, context) as port:

        async def test() -> None:
            async with adapter.connect(
                "127.0.0.1", port, security=security, ssl_context=certificates.client, timeout=LATE
            ) as client:
                with pytest.raises(ReplyError) as caught:
                    await client.send(SENDER, [ONE], BIG)
                error = caught.value
                reported.set()
                assert str(error).startswith(f"the message was refused: {reply.decode()}")
                assert error.retryable is retryable
                assert error.result is not None
                assert error.result.retryable_recipients == ((ONE,) if retryable else ())
                assert not error.result.maybe_delivered
                with pytest.raises(ConnectionLost, match="the session is over"):
                    await client.noop()

        adapter.run(test)
    assert taken < len(BIG) // 2, "and the rest is not uploaded"


@pytest.mark.req("RPL-26")
def test_a_refusal_in_the_middle_of_many_recipients_is_reported_as_that(adapter: Any) -> None:
    domain = f"{'x' * 60}.{'y' * 60}.{'z' * 60}.example"
    recipients = [f"user{number}@{domain}" for number in range(100)]

    def session(file: Any) -> None:
        file.write(b"220 mx.example\r\n")
        file.readline()
        file.write(b"250-mx.example\r\n250 PIPELINING\r\n")
        file.readline()
        file.write(b"250 ok\r\n550 5.1.1 no\r\n421 4.7.0 bye\r\n")

    with server(session) as port:

        async def test() -> None:
            async with adapter.connect("127.0.0.1", port, security="none", timeout=LATE) as client:
                with pytest.raises(ReplyError) as caught:
                    await client.send(SENDER, recipients, CONTENT)
                assert caught.value.reply.code == 421
                assert caught.value.result is not None
                rows = caught.value.result.results
                assert [one.reply and one.reply.code for one in rows[:3]] == [550, 421, None]
                assert [one.retryable for one in rows[:3]] == [False, True, True]

        adapter.run(test)


def test_a_success_before_the_final_dot_is_not_taken_for_its_answer(adapter: Any) -> None:
    """It comes while the content is on its way, over a real socket."""
    spoken = threading.Event()

    def session(file: Any) -> None:
        grants(file)
        file.readline()
        file.write(b"250 surplus\r\n")
        spoken.set()
        if file.read().endswith(b"\r\n.\r\n"):
            file.write(b"452 4.3.1 full\r\n")

    def content() -> Iterator[bytes]:
        yield CONTENT
        yield CONTENT
        assert spoken.wait(LATE)
        yield CONTENT

    with server(session) as port:

        async def test() -> None:
            async with adapter.connect("127.0.0.1", port, security="none", timeout=LATE) as client:
                with pytest.raises(RemoteProtocolError, match="250 surplus") as caught:
                    await client.send(SENDER, [ONE], content())
                assert caught.value.result is not None
                assert caught.value.result.accepted_recipients == ()

        adapter.run(test)


# --- Time, and ends of all kinds --------------------------------------------------------------------------


def test_a_silent_server_is_not_waited_for_for_ever(adapter: Any) -> None:
    with server(lambda file: file.read()) as port:

        async def test() -> None:
            with pytest.raises(TimedOut, match="phase: greeting"):
                async with adapter.connect("127.0.0.1", port, timeout=Timeouts(greeting=SOON)):
                    pass

        adapter.run(test)


def test_a_deadline_ends_whatever_is_going_on(adapter: Any) -> None:
    def session(file: Any) -> None:
        file.write(b"220 mx.example\r\n")
        file.read()

    with server(session) as port:

        async def test() -> None:
            with pytest.raises(TimedOut, match="phase: ehlo"):
                async with adapter.connect("127.0.0.1", port, deadline=SOON * 20):
                    pass

        adapter.run(test)


@pytest.mark.req("TMO-10")
def test_a_silent_client_is_told_421(adapter: Any) -> None:
    store = Store()

    async def test() -> None:
        config = ServerConfig(timeouts=Timeouts(idle=SOON))
        async with adapter.serve(store, config=config, hostname="mx.example") as listener:
            peer = Peer(listener)
            heard = await adapter.in_thread(peer.hear_all)
            assert heard.splitlines()[1].startswith("421 4.4.2 mx.example")
            peer.close()

    adapter.run(test)
    assert store.ended == 1


class Sink:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.calls.append("write")

    def finish(self) -> bool:
        self.calls.append("finish")
        return True

    def abort(self) -> None:
        self.calls.append("abort")


class Sinking:
    """A handler that gives everybody the same sink."""

    def __init__(self) -> None:
        self.sink = Sink()

    def begin_message(self, session: Any, envelope: Any) -> Sink:
        return self.sink


ENVELOPE = ("EHLO client.example", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{ONE}>", "DATA")


@pytest.mark.req("SES-38")
def test_the_message_of_a_client_that_vanishes_is_aborted(adapter: Any) -> None:
    handler = Sinking()

    async def test() -> None:
        async with adapter.serve(handler) as listener:
            peer = Peer(listener)
            await adapter.in_thread(peer.hear)
            await adapter.in_thread(lambda: peer.say(*ENVELOPE))
            peer.send(b"half of it\r\n.")
            peer.close()

    adapter.run(test)
    assert handler.sink.calls[-1] == "abort"
    assert "finish" not in handler.sink.calls


@pytest.mark.req("SES-37")
def test_a_server_that_stops_says_421_to_who_is_idle(adapter: Any) -> None:
    peers: list[Peer] = []

    async def test() -> None:
        async with adapter.serve(Store(), hostname="mx.example", grace=LATE) as listener:
            peers.append(Peer(listener))
            await adapter.in_thread(peers[0].hear)
            await adapter.in_thread(lambda: peers[0].say("EHLO client.example"))

    adapter.run(test)
    assert peers[0].hear_all().startswith("421 4.3.2 mx.example")
    peers[0].close()


@pytest.mark.req("SES-37")
def test_who_is_not_idle_gets_the_grace_and_no_more_but_421(adapter: Any) -> None:
    handler, peers = Sinking(), []

    async def test() -> None:
        async with adapter.serve(handler, hostname="mx.example", grace=SOON) as listener:
            peers.append(Peer(listener))
            await adapter.in_thread(peers[0].hear)
            await adapter.in_thread(lambda: peers[0].say(*ENVELOPE))
            peers[0].send(b"half of it\r\n")

    adapter.run(test)
    assert handler.sink.calls[-1] == "abort"
    assert peers[0].hear_all().startswith("421 4.3.2 mx.example")
    peers[0].close()


def test_no_more_sessions_run_at_a_time_than_are_allowed(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_listener, "PATIENCE", 1_000_000)

    async def test() -> None:
        async with adapter.serve(Store(), max_connections=1) as listener:
            first, second = Peer(listener), Peer(listener)
            await adapter.in_thread(first.hear)
            assert len(listener.streams) == 1
            assert (await adapter.in_thread(lambda: first.say("QUIT"))).startswith("221")
            assert (await adapter.in_thread(second.hear)).startswith("220")
            assert len(listener.streams) == 1
            first.close()
            second.close()

    adapter.run(test)


def test_what_a_handler_says_in_an_exception_stays_at_home(
    adapter: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of a session is the end of that session, and of no other."""

    async def handle(session: Any) -> None:
        raise RuntimeError("the cellar key is under the mat")

    async def test() -> None:
        async with adapter.serve(handle, hostname="mx.example") as listener:
            for _ in range(2):
                peer = Peer(listener)
                heard = await adapter.in_thread(peer.hear_all)
                assert heard == "421 mx.example internal error\r\n"
                peer.close()

    adapter.run(test)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "the cellar key is under the mat"
    ] * 2


@pytest.mark.req("PIP-22")
def test_a_long_list_of_recipients_does_not_fill_the_buffers(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server reads a command and answers it at length; meanwhile nobody has room for all the others."""

    class Narrow(socket.socket):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if self.family == socket.AF_INET:
                for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    self.setsockopt(socket.SOL_SOCKET, option, 16384)

    monkeypatch.setattr(socket, "socket", Narrow)
    domain = f"{'x' * 60}.{'y' * 60}.{'z' * 60}.example"
    recipients = [f"user{number}@{domain}" for number in range(600)]

    def session(file: Any) -> None:
        file.write(b"220 mx.example\r\n")
        file.readline()
        file.write(b"250-mx.example\r\n250 PIPELINING\r\n")
        while file.readline() != b"DATA\r\n":
            file.write(b"250-" + b"x" * 500 + b"\r\n250 ok\r\n")
        file.write(b"354 go\r\n")
        while file.readline() != b".\r\n":
            pass
        file.write(b"250 ok\r\n")
        file.readline()

    with server(session) as port:

        async def test() -> None:
            async with adapter.connect("127.0.0.1", port, timeout=LATE) as client:
                result = await client.send(SENDER, recipients, CONTENT)
                assert len(result.accepted_recipients) == 600

        adapter.run(test)


def silent_after_ehlo(file: Any) -> None:
    file.write(b"220 mx.example\r\n")
    file.readline()
    file.write(b"250 mx.example\r\n")
    file.read()


def test_a_cancelled_conversation_ends_the_session_on_asyncio() -> None:
    async def test(port: int) -> None:
        async with asyncio_adapter.connect("127.0.0.1", port) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SOON):
                    await client.noop()
            with pytest.raises(ConnectionLost, match="the session is over: it was broken off"):
                await client.noop()

    with server(silent_after_ehlo) as port:
        asyncio.run(test(port))


def test_a_cancelled_conversation_ends_the_session_on_trio() -> None:
    async def test(port: int) -> None:
        async with trio_adapter.connect("127.0.0.1", port) as client:
            with trio.move_on_after(SOON) as scope:
                await client.noop()
            assert scope.cancelled_caught
            with pytest.raises(ConnectionLost, match="the session is over: it was broken off"):
                await client.noop()

    with server(silent_after_ehlo) as port:
        trio.run(test, port)


def test_a_cancelled_block_closes_without_quit_on_asyncio() -> None:
    said: list[bytes] = []

    async def test(port: int) -> None:
        async def block() -> None:
            async with asyncio_adapter.connect("127.0.0.1", port):
                connected.set()
                await asyncio.Event().wait()

        connected = asyncio.Event()
        task = asyncio.create_task(block())
        await connected.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with server(noting(said)) as port:
        asyncio.run(test(port))
    assert said == [b""]


def test_a_cancelled_block_closes_without_quit_on_trio() -> None:
    said: list[bytes] = []

    async def test(port: int) -> None:
        with trio.CancelScope() as cancelling:
            async with trio_adapter.connect("127.0.0.1", port):
                cancelling.cancel()
                await trio.sleep_forever()

    with server(noting(said)) as port:
        trio.run(test, port)
    assert said == [b""]


def noting(said: list[bytes]) -> Callable[[Any], None]:
    """A server that notes what comes behind EHLO."""

    def session(file: Any) -> None:
        file.write(b"220 mx.example\r\n")
        file.readline()
        file.write(b"250 mx.example\r\n")
        said.append(file.readline())

    return session


def test_a_server_whose_block_is_cancelled_ends_on_asyncio() -> None:
    async def cancelling() -> None:
        async with asyncio.timeout(LATE) as patience, asyncio_adapter.serve(Store()):
            patience.reschedule(0)
            await asyncio.sleep(LATE)

    with pytest.raises(TimeoutError):
        asyncio.run(cancelling())


def test_who_is_cancelled_while_a_server_stops_does_not_wait_for_its_sessions_on_asyncio() -> None:
    async def stopping() -> None:
        began, ended = asyncio.Event(), asyncio.Event()
        streams: list[asyncio_adapter.Stream] = []

        async def dawdle(session: asyncio_adapter.ServerSession) -> None:
            began.set()
            try:
                await asyncio.sleep(LATE)
            finally:
                ended.set()

        async def serving() -> None:
            async with asyncio_adapter.serve(dawdle, grace=LATE) as listener:
                streams.append(await asyncio_adapter.open_stream(*listener.addresses[0]))
                await began.wait()
                streams.extend(listener.streams)

        task = asyncio.create_task(serving())
        await began.wait()
        while not (streams and streams[-1].stopping):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert ended.is_set()
        await streams[0].close()

    asyncio.run(stopping())


def test_a_server_whose_block_is_cancelled_ends_on_trio() -> None:
    async def cancelling() -> None:
        with trio.CancelScope() as scope:
            async with trio_adapter.serve(Store()):
                scope.cancel()
                await trio.sleep(LATE)

        assert scope.cancelled_caught

    trio.run(cancelling)


def test_an_interrupt_in_a_session_is_the_interrupt_of_the_program_on_trio() -> None:
    """Ctrl-C may be pressed while a session runs: that is not an exception of this session."""

    async def interrupted(session: trio_adapter.ServerSession) -> None:
        signal.raise_signal(signal.SIGINT)

    async def serving() -> None:
        async with (
            trio_adapter.serve(interrupted) as listener,
            await trio.open_tcp_stream(*listener.addresses[0]),
        ):
            await trio.sleep(LATE)

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        trio.run(serving)
    if isinstance(caught.value, BaseExceptionGroup):
        assert caught.value.split(KeyboardInterrupt)[1] is None


def test_a_connection_attempt_can_be_cancelled_on_asyncio() -> None:
    async def test(port: int) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON), asyncio_adapter.connect("127.0.0.1", port):
                pass

    with server(lambda file: file.read()) as port:
        asyncio.run(test(port))


def test_two_tasks_cannot_use_a_session_at_once() -> None:
    async def test(port: int) -> None:
        async with asyncio_adapter.connect("127.0.0.1", port) as client:
            waiting = asyncio.create_task(client.noop())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="one conversation at a time"):
                await client.noop()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    with server(silent_after_ehlo) as port:
        asyncio.run(test(port))


# --- Many clients, and servers that stop ------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"max_connections": 1}, {"max_connections_per_address": 1}])
def test_a_client_for_which_there_is_no_place_is_told_421(adapter: Any, options: dict[str, int]) -> None:
    async def test() -> None:
        async with adapter.serve(Store(), hostname="mx.example", **options) as listener:
            first, second = Peer(listener), Peer(listener)
            await adapter.in_thread(first.hear)
            heard = await adapter.in_thread(second.hear_all)
            assert heard.startswith("421 mx.example too many connections")
            assert (await adapter.in_thread(lambda: first.say("QUIT"))).startswith("221")
            first.close()
            second.close()

    adapter.run(test)


def test_a_client_that_expects_tls_first_is_refused_without_a_word(
    adapter: Any, certificates: Certificates
) -> None:
    async def test() -> None:
        async with adapter.serve(
            Store(), ssl_context=certificates.server, implicit_tls=True, max_connections_per_address=1
        ) as listener:
            first, second = Peer(listener), Peer(listener)
            assert await adapter.in_thread(second.hear_all) == ""
            first.close()
            second.close()

    adapter.run(test)


@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_a_handler_that_wants_to_end_the_program_ends_its_session(
    adapter: Any, leave: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    class Leaving(Store):
        def accept_recipient(self, session: Any, forward_path: Any, parameters: Any) -> bool:
            raise leave

    store = Leaving()

    async def test() -> None:
        async with adapter.serve(store, hostname="mx.example") as listener:
            for _ in range(2):
                peer = Peer(listener)
                peer.send("\r\n".join([*ENVELOPE, ""]).encode())
                last = (await adapter.in_thread(peer.hear_all)).splitlines()[-1]
                assert last.startswith("421 4.3.0 mx.example internal error") or (
                    leave is asyncio.CancelledError and last.startswith("421 4.3.2 mx.example")
                )
                peer.close()

    adapter.run(test)
    assert store.ended == 2
    assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [leave, leave]


class Busy(Store):
    """A handler that stores a message for as long as it is left to."""

    def __init__(self, adapter: Any, *, stubborn: bool = False) -> None:
        super().__init__()
        self._adapter = adapter
        self._stubborn = stubborn
        self.began = threading.Event()
        self.released = threading.Event()

    async def store(self, session: Any, envelope: Any, content: Any) -> bool:
        self.began.set()
        if isinstance(self._adapter, Blocking):
            assert self.released.wait(LATE)
        elif isinstance(self._adapter, Asyncio):
            try:
                await asyncio.sleep(LATE)
            except asyncio.CancelledError:
                if not self._stubborn:
                    raise
                while not self.released.is_set():
                    await asyncio.sleep(SOON / 10)
        else:
            with trio.CancelScope(shield=self._stubborn):
                while not self.released.is_set():
                    await trio.sleep(SOON / 10)
        return True


async def send_all(adapter: Any, peer: Peer) -> None:
    await adapter.in_thread(peer.hear)
    await adapter.in_thread(lambda: peer.say(*ENVELOPE))
    peer.send(b"all of it\r\n.\r\n")


@pytest.mark.req("SES-37")
def test_a_client_that_waits_for_a_handler_is_told_421_when_the_grace_ends(adapter: Any) -> None:
    handler, peers = Busy(adapter), []

    async def test() -> None:
        async with adapter.serve(handler, hostname="mx.example", grace=SOON) as listener:
            peers.append(Peer(listener))
            await send_all(adapter, peers[0])
            await adapter.in_thread(lambda: handler.began.wait(LATE))

    adapter.run(test)
    assert peers[0].hear_all().startswith("421 4.3.2 mx.example")
    peers[0].close()
    handler.released.set()


@pytest.mark.req("SES-37")
def test_a_client_is_told_421_under_tls_as_well(adapter: Any, certificates: Certificates) -> None:
    handler = Busy(adapter)
    heard: list[bytes] = []

    def talk(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=LATE) as raw,
            certificates.client.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            for line in ("", *ENVELOPE, "."):
                tls.sendall(line.encode() + b"\r\n" if line else b"")
                heard.append(tls.recv(1000))

    async def test() -> None:
        async with adapter.serve(
            handler, hostname="mx.example", grace=SOON, ssl_context=certificates.server, implicit_tls=True
        ) as listener:
            threads.append(threading.Thread(target=talk, args=(port_of(listener),)))
            threads[0].start()
            await adapter.in_thread(lambda: handler.began.wait(LATE))

    threads: list[threading.Thread] = []
    adapter.run(test)
    threads[0].join(LATE)
    handler.released.set()
    assert heard[-1].startswith(b"421 4.3.2 mx.example")


def test_what_is_stored_after_the_grace_is_said_in_the_log(
    adapter: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The client was told 421 and will send the message again. No handler holds a server for ever."""
    monkeypatch.setattr(_listener, "FAREWELL", SOON)
    monkeypatch.setattr(_listener, "ABORT_TIME", SOON)
    handler, peers = Busy(adapter, stubborn=True), []

    async def test() -> None:
        async with adapter.serve(handler, hostname="mx.example", grace=0) as listener:
            peers.append(Peer(listener))
            await send_all(adapter, peers[0])
            await adapter.in_thread(lambda: handler.began.wait(LATE))
            if isinstance(adapter, Trio):  # its tasks do not outlive their nursery
                threading.Timer(SOON * 8, handler.released.set).start()
        handler.released.set()
        while not handler.ended:
            await adapter.in_thread(lambda: None)

    adapter.run(test)
    assert peers[0].hear_all().startswith("421 4.3.2 mx.example")
    peers[0].close()
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "1 sessions do not end: their handlers still run"
    assert "was accepted after the server had stopped: the client got 421" in told[1]
    assert len(told) == 2
