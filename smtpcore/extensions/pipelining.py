"""PIPELINING: the client sends groups of commands without waiting for each reply (RFC 2920).

It declares nothing but the keyword. A server replies in order to commands that arrive early, also if it does
not offer the keyword. A client groups commands where the keyword is offered, as the ``group`` of each command
says.
"""

from __future__ import annotations

from .._core.config import Extension, Facts, ServerConfig


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.pipelining else None


PIPELINING = Extension("PIPELINING", offer=_offer)
