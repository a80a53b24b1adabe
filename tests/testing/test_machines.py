"""The machines, aimed at servers and clients without a planted bug, and at some with one."""

from __future__ import annotations

import itertools
import smtplib
import socket
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings

import smtpcore.sync
from smtpcore import (
    Command,
    LocalProtocolError,
    Reply,
    ServerConfig,
    ServerConnection,
    SMTPError,
    State,
    TlsInfo,
)
from smtpcore.extensions import CommandSpec, Extension, Parameter
from smtpcore.testing import MailServer, Rule, Violation, parse_rule
from smtpcore.testing._client_machine import _FAULTS, _as_text
from smtpcore.testing._peers import SocketPeer
from smtpcore.testing.machines import ClientMachine, ServerMachine, differ, fuzz_client, fuzz_server

from .test_buggy_server import BUGGY

FEW = settings(max_examples=10, stateful_step_count=8, deadline=None, database=None)
CONTENT = b"Subject: Report\r\n\r\n.dots\r\n"


class Core:
    """Our server's core in memory, as a machine takes it."""

    def __init__(self, config: ServerConfig) -> None:
        self.connection = ServerConnection("mx.example", config=config)
        self.closed = False

    def __call__(self, octets: bytes) -> bytes:
        connection = self.connection
        if octets and connection.state not in (State.TLS, State.CLOSED):
            connection.receive_data(octets)
        while connection.next_event() is not None:
            if connection.unanswered is not None:
                connection.accept()
        self.closed = connection.state is State.CLOSED
        return connection.data_to_send()

    def start_tls(self) -> None:
        self.connection.tls_started(TlsInfo())


CONFIG = ServerConfig(starttls=True, auth_mechanisms=("PLAIN",), allow_cleartext_auth=True)


def test_our_core_is_faultless() -> None:
    fuzz_server(lambda: Core(CONFIG), settings=settings(FEW, max_examples=50, stateful_step_count=12))


def test_our_server_over_sockets_is_faultless() -> None:
    with MailServer(users={"joe": "secret"}) as server:
        fuzz_server(
            server.host,
            server.port,
            stored=lambda: [(mail.sender, mail.recipients, mail.content) for mail in server.messages],
            settings=FEW,
        )


def test_a_target_may_be_a_host_with_its_port() -> None:
    with MailServer() as server:
        fuzz_server((server.host, server.port), settings=FEW)
        assert server.transcripts


def test_a_target_may_make_its_own_sockets() -> None:
    with MailServer() as server:
        fuzz_server(lambda: socket.create_connection((server.host, server.port), 30), settings=FEW)


def test_a_socket_may_have_any_descriptor() -> None:
    fcntl = pytest.importorskip("fcntl")
    near, far = socket.socketpair()
    with near, far:
        try:
            descriptor = fcntl.fcntl(near, fcntl.F_DUPFD, 1024)  # the first that select() cannot wait for
        except OSError:
            pytest.skip("this process may not open so many files")
        peer = SocketPeer(socket.socket(fileno=descriptor), "localhost")
        assert peer.receive(wait=False) is None
        far.sendall(b"220 mx.example\r\n")
        assert peer.receive(wait=True) == b"220 mx.example\r\n"
        far.close()
        assert peer.receive(wait=True) == b""
        peer.close()


def test_what_follows_a_refused_STARTTLS_is_a_command() -> None:
    machine = ServerMachine.against(lambda: Core(CONFIG))()
    machine.greet()
    machine._command(b"HELO client.example")
    machine.start_tls(b"NOOP\r\n")  # the core says 503, since HELO knows no extensions
    machine.teardown()


def test_a_server_that_goes_on_after_QUIT_is_found() -> None:
    def session() -> Callable[[bytes], bytes]:
        core = Core(CONFIG)
        return lambda octets: b"250 ok\r\n" if core.closed else core(octets)

    machine = ServerMachine.against(session)()
    machine.greet()
    with pytest.raises(Violation, match="the server goes on after QUIT"):
        machine.quit()


def test_a_server_that_does_not_greet_by_EHLO_is_not_stuck_in() -> None:
    machine = ServerMachine.against(lambda: lambda octets: b"550 no\r\n" if octets else b"220 mx.example\r\n")()
    machine.greet()
    assert not machine._ready_for(State.READY)
    machine.connect_again()


def test_a_deviation_that_is_known_is_not_sent() -> None:
    def session() -> Callable[[bytes], bytes]:
        core = Core(CONFIG)
        return lambda octets: b"252 ok\r\n" if b"\0" in octets else core(octets)

    strict = ServerMachine.against(session)()
    strict.greet()
    with pytest.raises(Violation, match="was accepted, and is not valid"):
        strict.spoilt_line(b"VRFY a\0")
    lenient = ServerMachine.against(session, without=["NUL in commands"])()
    lenient.greet()
    lenient.spoilt_line(b"VRFY a\0")
    with pytest.raises(LocalProtocolError, match="'NUL' is not a known deviation: accepted are LF in commands"):
        ServerMachine.against(session, without=["NUL"])


class Ping(Command):
    verb = "PING"


PRIVATE = Extension(
    "PING",
    parameters=(Parameter.of_names("COLOUR", "MAIL", "RED"),),
    commands=(CommandSpec(Ping, lambda text: Ping(), Reply(250, None, ["pong"])),),
)


def test_the_machine_sends_what_a_private_extension_adds() -> None:
    sent = []

    class Recording(Core):
        def __call__(self, octets: bytes) -> bytes:
            sent.append(octets)
            return super().__call__(octets)

    config = ServerConfig(extensions=(PRIVATE,))
    fuzz_server(lambda: Recording(config), extensions=(PRIVATE,), settings=settings(FEW, max_examples=100))
    assert any(octets.startswith(b"PING") for octets in sent)
    assert any(b" COLOUR=RED" in octets for octets in sent)


def test_a_violation_that_a_server_does_not_repeat_is_reported() -> None:
    sessions = itertools.count(1)

    def session() -> Callable[[bytes], bytes]:
        core = Core(CONFIG)
        return (lambda octets: b"250 hi\r\n") if next(sessions) == 3 else core

    with pytest.raises(Violation, match="250 is not a success of the connection"):
        fuzz_server(session, settings=FEW)


def test_a_machine_is_a_test() -> None:
    case = ServerMachine.against(lambda: BUGGY.BuggySession("unbounded-line")).TestCase
    case.settings = settings(FEW, max_examples=100, phases=[Phase.generate])
    with pytest.raises(Violation, match="was accepted, and is not valid"):
        case("runTest").runTest()


@pytest.mark.parametrize("host", ["192.0.2.1", "mx.example"])
def test_another_machine_needs_a_flag(host: str) -> None:
    with pytest.raises(LocalProtocolError, match="is not on this machine: give allow_remote=True"):
        ServerMachine.against(host)
    with pytest.raises(LocalProtocolError, match="is not on this machine"):
        ServerMachine.against((host, 25))
    with pytest.raises(LocalProtocolError, match="is not on this machine"):
        differ((host, 25), (host, 25))
    assert ServerMachine.against(host, allow_remote=True)


# --- Clients ----------------------------------------------------------------------------------------------


def our_client(host: str, port: int) -> bool:
    with smtpcore.sync.connect(host, port, security="none", timeout=20) as client:
        result = client.send("ann@example.org", ["bob@example.org", "eve@example.org"], CONTENT)
    return not result.refused_recipients


def python_client(host: str, port: int) -> bool:
    with smtplib.SMTP(host, port, timeout=20) as client:
        return not client.sendmail("ann@example.org", ["bob@example.org", "eve@example.org"], CONTENT)


def hopeful_client(host: str, port: int) -> bool:
    """It reports success whatever the server says."""
    try:
        python_client(host, port)
    except OSError:
        pass
    return True


def careless_client(host: str, port: int) -> bool:
    """It tries again after a lost connection, although the message may have been accepted."""
    for _ in range(2):
        try:
            return our_client(host, port)
        except SMTPError:
            pass
    return False


def silent_client(host: str, port: int) -> bool:
    """It has forgotten its return."""
    python_client(host, port)
    return None  # type: ignore[return-value]


def absent_client(host: str, port: int) -> bool:
    """It sends to another server, or none. Nothing that it does could be judged."""
    return False


RECIPIENTS = ("bob@example.org", "eve@example.org")


@pytest.mark.parametrize("client", [our_client, python_client])
def test_a_client_that_reports_the_truth_passes(client: object) -> None:
    fuzz_client(client, recipients=RECIPIENTS, content=CONTENT, settings=settings(FEW, max_examples=6))


@pytest.mark.parametrize(
    "client, reason",
    [
        (hopeful_client, "the client reports success, and these were accepted"),
        (careless_client, "the client has sent the message twice"),
        (silent_client, "the client reports a failure, although nothing was refused"),
        (absent_client, "the client reports a failure, although nothing was refused"),
    ],
)
def test_a_client_that_does_not_is_found(client: object, reason: str) -> None:
    many = settings(FEW, max_examples=100, phases=[Phase.generate])
    with pytest.raises(Violation, match=reason):
        fuzz_client(client, recipients=RECIPIENTS, content=CONTENT, settings=many)


@settings(max_examples=50)
@given(_FAULTS)
def test_a_fault_is_shown_as_the_command_line_has_it(fault: Rule) -> None:
    assert parse_rule(_as_text(fault)) == fault


def test_a_client_that_does_not_end_is_found() -> None:
    def stuck(host: str, port: int) -> bool:
        with socket.create_connection((host, port), 30) as sock:
            while sock.recv(100):
                pass
        return False

    machine = ClientMachine.against(stuck, recipients=RECIPIENTS, content=CONTENT, seconds=0.01)()
    with pytest.raises(Violation, match=r"the client has not ended after 0\.01 seconds"):
        machine.send([])


# --- Two servers ------------------------------------------------------------------------------------------


def test_a_server_does_not_differ_from_itself() -> None:
    assert differ(lambda: Core(CONFIG), lambda: Core(CONFIG), settings=FEW) is None


def test_the_difference_of_two_servers_is_shrunk() -> None:
    strict, lenient = ServerConfig(), ServerConfig(never_accepts_mail=True)
    difference = differ(lambda: Core(strict), lambda: Core(lenient))
    assert difference is not None
    assert len(difference.lines) == 1
    assert str(difference).startswith("C: ")


def test_a_difference_that_a_server_does_not_repeat_is_reported() -> None:
    commands = itertools.count(1)

    def forgetful() -> Callable[[bytes], bytes]:
        """The third command of all sessions is refused."""

        def exchange(octets: bytes) -> bytes:
            return b"451 later\r\n" if octets and next(commands) == 3 else b"250 ok\r\n"

        return exchange

    found = differ(forgetful, lambda: lambda octets: b"250 ok\r\n")
    assert found is not None
    assert "4" in found.first
    assert "4" not in found.second


def test_two_servers_over_sockets_are_compared_by_code() -> None:
    with MailServer(tls=None) as one, MailServer(tls=None) as other:
        other.fail_next("NOOP", "250 other", times=10**6)
        few = settings(FEW, max_examples=3)
        assert differ((one.host, one.port), (other.host, other.port), compare="code", settings=few) is None
