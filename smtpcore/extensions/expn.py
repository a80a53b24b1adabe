"""EXPN: the client asks for the members of a mailing list (RFC 5321 3.5, 4.1.1.7)."""

from __future__ import annotations

from .._core.commandspec import CommandSpec
from .._core.config import Extension, Facts, ServerConfig
from .._core.events import TextCommand
from .._core.replies import Reply
from .._core.state import ANY_TIME


class Expn(TextCommand):
    """EXPN: asks for the members of a mailing list (RFC 5321 4.1.1.7).

    Args:
        argument: The name as the client sent it.
    """

    __slots__ = ()
    verb = "EXPN"
    names_mailbox = True


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.expn else None


EXPN = Extension(
    "EXPN",
    offer=_offer,
    commands=(
        CommandSpec(
            Expn,
            parse=Expn,
            format=Expn.text,
            reply=Reply(252, "2.5.0", "not expanded: send mail and see"),
            states=ANY_TIME,
            success=frozenset({250, 252}),
            idle=True,
            unasked=True,
            unattended=True,
            utf8=True,
        ),
    ),
)
