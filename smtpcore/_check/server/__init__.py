"""The checks of servers, one file for each subject."""

from __future__ import annotations

from typing import Final

from ..session import Session
from ..table import Check
from . import (
    auth,
    bdat,
    commands,
    content,
    extensions,
    greeting,
    idle,
    limits,
    login,
    order,
    paths,
    pipelining,
    smuggling,
    starttls,
    stored,
    storedheader,
)

CHECKS: Final[tuple[Check[Session], ...]] = tuple(
    check
    for module in (
        greeting,
        commands,
        order,
        paths,
        content,
        smuggling,
        pipelining,
        limits,
        extensions,
        bdat,
        starttls,
        auth,
        login,
        stored,
        storedheader,
        idle,
    )
    for check in module.CHECKS
)
"""All checks, in the order in which they run."""
