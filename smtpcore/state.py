"""The state machine of an SMTP session as tables: the states, what is legal in each, and where replies lead.

**Provisional:** the shape of the two tables may change in a minor version until LMTP and CHUNKING use
them.

Both hold the commands of RFC 5321 only. A connection merges the rows of its extensions in
(:mod:`smtpcore.extensions`). ``docs/states.md`` is drawn from these tables.
"""

from __future__ import annotations

from ._core.state import LEGAL, TRANSITIONS, State

__all__ = ["LEGAL", "TRANSITIONS", "State"]
