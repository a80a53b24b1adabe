"""ENHANCEDSTATUSCODES: replies have the status codes of RFC 3463 (RFC 2034).

The keyword announces them; ``ServerConfig.enhanced_status_codes`` puts them into replies.
"""

from __future__ import annotations

from .._core.config import Extension, Facts, ServerConfig


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.enhanced_status_codes else None


ENHANCEDSTATUSCODES = Extension("ENHANCEDSTATUSCODES", offer=_offer)
