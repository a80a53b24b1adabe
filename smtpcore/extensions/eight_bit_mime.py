"""8BITMIME: content may have octets above 127 (RFC 6152)."""

from __future__ import annotations

from .._core.config import Extension, Facts, ServerConfig
from .._core.parameters import Parameter


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.eight_bit_mime else None


EIGHT_BIT_MIME = Extension(
    "8BITMIME",
    offer=_offer,
    # body-value    = "7BIT" / "8BITMIME"                                                     ; RFC 6152 2
    parameters=(Parameter.of_names("BODY", "MAIL", "7BIT", "8BITMIME"),),
    mail_octets=14,  # RFC 6152 names no number; " BODY=8BITMIME" has this many.
)
