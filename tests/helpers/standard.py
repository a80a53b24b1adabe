"""The rules of the standard extensions, as the connections have them by default."""

from __future__ import annotations

from typing import Final

from smtpcore._core.rules import Rules, rules_for
from smtpcore.extensions import STANDARD

RULES: Final[Rules] = rules_for(STANDARD)
