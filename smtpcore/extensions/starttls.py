"""STARTTLS: the session continues under TLS (RFC 3207)."""

from __future__ import annotations

from .._core.capabilities import Capabilities
from .._core.commandspec import CommandSpec, WithoutArgument
from .._core.config import Extension, Facts, ServerConfig
from .._core.events import Command, Helo
from .._core.replies import Reply
from .._core.state import State

_ACTIVE = Reply(503, "5.5.1", "TLS is active already")
_NEED_EHLO = Reply(503, "5.5.1", "say EHLO first: HELO knows no extensions")


class StartTls(Command):
    """STARTTLS: asks for a TLS handshake (RFC 3207)."""

    __slots__ = ()
    verb = "STARTTLS"


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    # RFC 3207 4.2: not offered once TLS is active.
    return () if config.starttls and facts.tls is None else None


def _check(command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
    if facts.tls is not None:
        return _ACTIVE
    return _NEED_EHLO if isinstance(facts.hello, Helo) else None


STARTTLS = Extension(
    "STARTTLS",
    offer=_offer,
    check=_check,
    commands=(
        CommandSpec(
            StartTls,
            parse=WithoutArgument(StartTls),
            reply=Reply(220, "2.0.0", "begin the TLS handshake"),
            success=frozenset({220}),
            leads={2: {State.READY: State.TLS}},
            before_tls=True,
            before_auth=True,
            unattended=True,
        ),
    ),
)
