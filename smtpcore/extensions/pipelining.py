"""PIPELINING: the client sends groups of commands without waiting for each reply (RFC 2920).

The keyword is all there is to declare. A server replies in order to whatever arrives early, offered or not; a
client groups commands where the keyword is offered, by the ``group`` that each command's spec names.
"""

from __future__ import annotations

from .._core.config import Extension, Facts, ServerConfig


def _offer(config: ServerConfig, facts: Facts) -> tuple[str, ...] | None:
    return () if config.pipelining else None


PIPELINING = Extension("PIPELINING", offer=_offer)
