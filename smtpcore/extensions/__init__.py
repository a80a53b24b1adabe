"""Service extensions, one value and one file each (RFC 5321 2.2).

An :class:`Extension` holds all that an extension adds to the protocol: its EHLO keyword, parameters of MAIL and
RCPT, commands, and rules. The extensions of this package are such values. An extension of your own is the same
kind of value in a module of your own::

    from smtpcore.extensions import STANDARD, Extension, Parameter

    PRIORITY = Extension("PRIORITY", parameters=(Parameter.of_names("PRIO", "MAIL", "LOW", "HIGH"),))
    config = smtpcore.ServerConfig(extensions=(*STANDARD, PRIORITY))

A server offers the extensions of its configuration; a client uses those that the server offers. The default of
both is ``STANDARD``, from which the switches of :class:`smtpcore.ServerConfig` choose.
"""

from __future__ import annotations

from typing import Final

from .._core.commandspec import CommandSpec, Group, WithoutArgument
from .._core.config import Extension, Facts
from .._core.parameters import Parameter
from .._core.public import publish as _publish
from .auth import AUTH
from .eight_bit_mime import EIGHT_BIT_MIME
from .enhancedstatuscodes import ENHANCEDSTATUSCODES
from .expn import EXPN
from .help import HELP
from .pipelining import PIPELINING
from .size import SIZE
from .smtputf8 import SMTPUTF8
from .starttls import STARTTLS

__all__ = [
    "AUTH",
    "EIGHT_BIT_MIME",
    "ENHANCEDSTATUSCODES",
    "EXPN",
    "HELP",
    "PIPELINING",
    "SIZE",
    "SMTPUTF8",
    "STANDARD",
    "STARTTLS",
    "CommandSpec",
    "Extension",
    "Facts",
    "Group",
    "Parameter",
    "WithoutArgument",
]

# In the order in which the reply to EHLO lists them.
STANDARD: Final[tuple[Extension, ...]] = (
    PIPELINING,
    SIZE,
    EIGHT_BIT_MIME,
    SMTPUTF8,
    STARTTLS,
    AUTH,
    ENHANCEDSTATUSCODES,
    EXPN,
    HELP,
)

_publish(__name__, globals())
