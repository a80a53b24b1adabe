"""SMTPUTF8: addresses and header fields may have UTF-8 (RFC 6531)."""

from __future__ import annotations

from .._core.config import Extension, Facts, ServerConfig
from .._core.parameters import Parameter


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.smtputf8 else None


SMTPUTF8 = Extension(
    "SMTPUTF8",
    offer=_offer,
    parameters=(Parameter.flag("SMTPUTF8", "MAIL"),),  # RFC 6531 3.4
    mail_octets=10,  # RFC 6531 3.1 (8)
    needs=("8BITMIME",),  # RFC 6531 3.1 (2)
)
