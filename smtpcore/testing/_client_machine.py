"""A machine of Hypothesis that fuzzes a client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from .._core.errors import SMTPError, wrong_type
from ._faults import Rule, on
from ._oracle import Violation
from ._server import MailServer, ReceivedMail
from ._server_machine import DEFAULT_SETTINGS
from ._stored import shown

_CLIENT_SETTINGS: Final = settings(DEFAULT_SETTINGS, max_examples=100)
_REFUSALS: Final = (
    "421 4.3.2 shutting down",
    "450 4.2.0 later",
    "451 4.3.0 later",
    "452 4.2.2 full",
    "550 5.1.1 no",
    "554 5.7.1 no",
    "550-no\n550-really\n550 not",
)
_HELLOS: Final = (
    "250 mx.example",
    "250-mx.example\n250 PIPELINING",
    "250-mx.example\n250-SIZE 1000000\n250 8BITMIME",
    "250-mx.example\n250-AUTH\n250-X-UNKNOWN a=b\n250 HELP",
)
_FAULTS: Final = st.one_of(
    st.builds(
        lambda verb, nth, reply: on(verb, nth=nth, times=1).reply(reply),
        st.sampled_from(("RCPT", "MAIL", ".", "DATA", "EHLO", "CONNECT", "QUIT")),
        st.integers(1, 2),
        st.sampled_from(_REFUSALS),
    ),
    st.builds(
        lambda verb, after: on(verb, times=1).disconnect(after),
        st.sampled_from((".", "RCPT", "MAIL", "DATA", "QUIT")),
        st.sampled_from((0, 1, 4)),
    ),
    st.sampled_from(_HELLOS).map(lambda reply: on("EHLO").reply(reply)),
    st.integers(1, 3).map(lambda octets: on("*").split(octets)),
)


class ClientMachine(RuleBasedStateMachine):
    """A server that fuzzes a client: it refuses, delays, cuts its replies, and breaks off.

    Make one with :meth:`against`. The client has to end, may report success only if the message was accepted,
    and must report it if nothing went wrong; and what was accepted is what was to be sent.
    """

    client: ClassVar[Any]  # a function, which a type checker would take for a method
    expected: ClassVar[tuple[Sequence[str], bytes]]
    seconds: ClassVar[float] = 60.0

    @classmethod
    def against(
        cls,
        client: Callable[[str, int], bool],
        *,
        recipients: Iterable[str],
        content: bytes,
        seconds: float = 60.0,
    ) -> type[ClientMachine]:
        """Make a machine for a client.

        Args:
            client: Called with a host and a port; sends one message there, and returns whether all recipients
                were accepted. OSError, and the exceptions of smtplib and smtpcore, count as False.
            recipients: The recipients of the message.
            content: Octets that the content must end with.
            seconds: How long the client may take.

        Returns:
            A class; its ``TestCase`` is a test.

        Raises:
            ArgumentTypeError: An argument has the wrong type.
        """
        if not callable(client):
            raise wrong_type("client", "a function of a host and a port", client)
        if isinstance(recipients, str):
            raise wrong_type("recipients", "a sequence of strings, one each", recipients)
        if not isinstance(content, bytes):
            raise wrong_type("content", "bytes", content)
        members = {
            "client": staticmethod(client),
            "expected": (tuple(recipients), content),
            "seconds": seconds,
            "__doc__": cls.__doc__,
            "__module__": cls.__module__,
        }
        machine: Any = type("ClientMachine", (cls,), members)
        machine.TestCase.settings = _CLIENT_SETTINGS
        made: type[ClientMachine] = machine
        return made

    @rule(faults=st.lists(_FAULTS, max_size=2))
    def send(self, faults: list[Rule]) -> None:
        """Let the client send its message to a server with some faults, and judge what has come of it."""
        with MailServer(*faults, tls=None) as server:
            done, success = _run_client(type(self).client, server, self.seconds)
            messages = server.messages
            lines = [*(f"fault: {_as_text(one)}" for one in faults), *server.transcript.splitlines()]
        if not done:
            raise Violation(f"the client has not ended after {self.seconds:g} seconds", lines)
        if not success and all(one.octets is None and one.limit is None for one in faults):
            raise Violation("the client reports a failure, although nothing was refused", lines)
        self._judge(success, messages, lines)

    def _judge(self, success: bool, messages: list[ReceivedMail], lines: list[str]) -> None:
        recipients, content = self.expected
        received = set(chain.from_iterable(mail.recipients for mail in messages))
        if success and received != set(recipients):
            raise Violation(f"the client reports success, and these were accepted: {sorted(received)}", lines)
        for mail in messages:
            if not (b"\r\n" + mail.content).endswith(b"\r\n" + content):
                raise Violation(f"the message was changed: {shown(mail.content[-100:])}", lines)
            if not set(mail.recipients) <= set(recipients):
                raise Violation(f"the message has other recipients: {mail.recipients}", lines)
        if len(messages) > 1 and len(received) < sum(len(mail.recipients) for mail in messages):
            raise Violation("the client has sent the message twice to one recipient", lines)


def _as_text(rule: Rule) -> str:
    """A rule as the command line has it, to use it again."""
    where = rule.verb + (f" nth={rule.nth}" if rule.nth > 1 else "")
    where += f" times={rule.times}" if rule.times is not None else ""
    what = []
    if rule.octets is not None:
        what.append("reply " + rule.octets.decode("utf-8").removesuffix("\r\n").replace("\r\n", "\\n"))
    if rule.limit is not None:
        what.append(f"disconnect {rule.limit}")
    if rule.piece is not None:
        what.append(f"split {rule.piece}")
    return f"{where}: {'; '.join(what)}"


def _run_client(client: Callable[[str, int], bool], server: MailServer, seconds: float) -> tuple[bool, bool]:
    """Run a client in a thread; return whether it has ended, and whether it reports success."""
    results: list[bool] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(client(server.host, server.port))
        except (OSError, SMTPError):  # OSError is the base of smtplib's exceptions, too
            results.append(False)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return bool(results), bool(results and results[0])


def fuzz_client(
    client: Callable[[str, int], bool],
    *,
    recipients: Iterable[str],
    content: bytes,
    settings: settings | None = None,
) -> None:
    """Fuzz a client; return if nothing is wrong.

    Args:
        client: As for :meth:`ClientMachine.against`.
        recipients: The recipients of its message.
        content: Octets that the content must end with.
        settings: Of Hypothesis. None: 100 examples of 8 steps.

    Raises:
        Violation: The client does what it must not; it has the shortest dialogue found.
        ArgumentTypeError: An argument has the wrong type.
    """
    machine = ClientMachine.against(client, recipients=recipients, content=content)
    run_state_machine_as_test(machine, settings=settings or _CLIENT_SETTINGS)
