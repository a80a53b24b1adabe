"""HELP: the client asks which commands the server has (RFC 5321 4.1.1.8)."""

from __future__ import annotations

from .._core.commandspec import CommandSpec
from .._core.config import Extension, Facts, ServerConfig
from .._core.events import TextCommand
from .._core.replies import Reply
from .._core.state import ANY_TIME


class Help(TextCommand):
    """HELP: asks which commands the server has (RFC 5321 4.1.1.8).

    Args:
        argument: The subject; ``""`` for help in general.
    """

    __slots__ = ()
    verb = "HELP"


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.help else None


HELP = Extension(
    "HELP",
    offer=_offer,
    commands=(
        CommandSpec(
            Help,
            parse=Help,
            format=Help.text,
            reply=Reply(214, "2.0.0", "commands:"),  # the server appends the verbs that it has
            states=ANY_TIME,
            success=frozenset({211, 214}),
            idle=True,
            unasked=True,
            unattended=True,
            before_auth=True,
        ),
    ),
)
