"""What holds for any input, shown with examples that Hypothesis draws anew in each run."""

from __future__ import annotations

import os

from hypothesis import settings

EXAMPLES = int(os.environ.get("SMTPCORE_EXAMPLES", "100"))
"""Examples of an ordinary property; ``SMTPCORE_EXAMPLES=10000`` makes a long run of all."""

# The server's sessions are quick: a hundred of them take half a second.
MANY = settings(deadline=None, max_examples=5 * EXAMPLES)
