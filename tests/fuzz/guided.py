"""``python -m tests.fuzz.guided [NAME] --seconds N``: the targets under atheris, guided by coverage.

Without a name each target runs, one after the other, in a process of its own. What is new is kept in a folder
(``--corpus``), so a long run can be continued. What fails is written to ``crash-...``: make a dialog of it.
atheris is not one of our requirements: ``pip install atheris``.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

NAMES = ("server", "client", "content", "replies", "addresses", "sasl")
MISSING = 69  # EX_UNAVAILABLE


def fuzz(name: str, seconds: int, folder: Path) -> None:
    """Run one target; it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["smtpcore"], enable_loader_override=False):
        from .targets import LONGEST, TARGETS, corpus

    for number, octets in enumerate(corpus()):
        (folder / f"dialog-{number}").write_bytes(octets)
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=60", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name])
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description="atheris.")
    parser.add_argument("target", nargs="?", choices=NAMES, help="by default all, one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="for each (default: %(default)s)")
    parser.add_argument("--corpus", type=Path, help="the folder that keeps what is new; by default none")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (hint: pip install atheris)")
        return MISSING
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.corpus or Path(temporary)).resolve()
        if options.target is not None:
            own = folder / options.target
            own.mkdir(parents=True, exist_ok=True)
            fuzz(options.target, options.seconds, own)
        command = [sys.executable, "-m", "tests.fuzz.guided", "--seconds", str(options.seconds)]
        failed = [
            name
            for name in NAMES
            if subprocess.run([*command, "--corpus", str(folder), name], check=False).returncode != 0
        ]
    print(f"failed: {', '.join(failed)}" if failed else f"{len(NAMES)} targets, {options.seconds} s each")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
