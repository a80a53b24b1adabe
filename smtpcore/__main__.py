"""``python3 -m smtpcore``, and the console script ``smtpcore``."""

from __future__ import annotations

from ._cli.main import main as main

if __name__ == "__main__":
    raise SystemExit(main())
