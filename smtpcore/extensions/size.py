"""SIZE: the client declares the size of a message, the server the largest that it accepts (RFC 1870)."""

from __future__ import annotations

import re

from .._core.capabilities import Capabilities
from .._core.config import Extension, Facts, ServerConfig
from .._core.errors import LocalProtocolError
from .._core.events import Command, Mail
from .._core.expressions import expression
from .._core.parameters import Parameter
from .._core.replies import Reply

# size-value    = 1*20DIGIT                                                                   ; RFC 1870 3
_SIZE_VALUE = expression(r"[0-9]{1,20}", re.ASCII)
_WHAT = "SIZE takes a number of octets, of 1 to 20 digits (RFC 1870 3)"


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    # SIZE 0: there is no fixed limit (RFC 1870 3).
    return (str(config.limits.message_size or 0),) if config.size else None


def _read(arguments: tuple[str, ...]) -> int | None:
    number = arguments[0] if arguments else ""
    return int(number) if _SIZE_VALUE.fullmatch(number) else None


def _parse(value: str | None) -> int:
    if value is None or _SIZE_VALUE.fullmatch(value) is None:
        raise LocalProtocolError(_WHAT)
    return int(value)


def _format(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**20:
        raise LocalProtocolError(_WHAT)
    return str(value)


def _check(command: Command, capabilities: Capabilities, facts: Facts) -> Reply | None:
    # RFC 1870 6.1: refuse at MAIL what would be refused after the content.
    if isinstance(command, Mail) and capabilities.exceeds_size(command.size or 0):
        return Reply(
            552, "5.3.4", f"the message is too big: {command.size} octets, accepted are {capabilities.size}"
        )
    return None


SIZE = Extension(
    "SIZE",
    offer=_offer,
    read=_read,
    parameters=(Parameter("SIZE", "MAIL", _parse, _format),),
    check=_check,
    mail_octets=26,  # RFC 1870 3 (5)
)
