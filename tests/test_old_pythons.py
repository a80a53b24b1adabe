"""A Python that is too old is told so in one sentence, whichever it is."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ["2.7", *(f"3.{minor}" for minor in range(6, 11))]
VERSION = 'import sys; print("%d.%d.%d" % tuple(sys.version_info[:3]))'


def run(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [python, "-B", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pythons() -> dict[str, str]:
    """The old Pythons of this machine, in the path or with pyenv: their full versions and where they are."""
    found = {}
    for version in VERSIONS:
        in_path = shutil.which(f"python{version}")
        of_pyenv = sorted(glob.glob(os.path.expanduser(f"~/.pyenv/versions/{version}.*/bin/python")))
        for python in [*of_pyenv, *([in_path] if in_path else [])]:
            done = run(python, "-c", VERSION)
            if done.returncode == 0:  # a shim of pyenv stands for nothing, if that version is not chosen
                found[done.stdout.strip()] = python
    return found


@pytest.fixture(scope="module")
def old() -> dict[str, str]:
    found = pythons()
    if not found:
        pytest.skip(f"this machine has none of Python {', '.join(VERSIONS)}")
    return found


def test_a_command_is_one_sentence(old: dict[str, str]) -> None:
    for version, python in old.items():
        done = run(python, "-m", "smtpcore", "demo")
        sentence = f"smtpcore needs Python 3.11 or later; this is Python {version}\n"
        if version.startswith("2."):  # which does not tell a package that it is a command
            assert done.stderr.endswith(f"ImportError: {sentence}")
            continue
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)


@pytest.mark.parametrize("module", ["smtpcore", "smtpcore.sync", "smtpcore.maildir"])
def test_an_import_is_an_ImportError_with_that_sentence(old: dict[str, str], module: str) -> None:
    for version, python in old.items():
        done = run(python, "-c", f"import {module}")
        assert done.returncode == 1
        sentence = f"ImportError: smtpcore needs Python 3.11 or later; this is Python {version}"
        assert re.sub(r"^\w+\.", "", done.stderr.splitlines()[-1]) == sentence
        assert "SyntaxError" not in done.stderr
