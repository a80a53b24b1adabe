"""The check of clients: a server for each situation, and checks of what the client did."""

from __future__ import annotations

from typing import Final

from ..table import Check
from . import auth, commands, content, reactions, starttls
from .rounds import Rounds

CHECKS: Final[tuple[Check[Rounds], ...]] = (
    *commands.CHECKS,
    *content.CHECKS,
    *reactions.CHECKS,
    *starttls.CHECKS,
    *auth.CHECKS,
)
"""All checks, in the order of the report."""
