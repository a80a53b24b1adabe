"""Projects of users that test with the kit, each run as its user runs it, in a process and a folder of its own.

They need packages that the rest of our tests do not need. ``SMTPCORE_USERS_PYTHON`` names an interpreter that
has these and smtpcore, as on CI; without it this interpreter is used, and what it lacks is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..interop.peers import missing, require_node
from .test_pytest_plugin import INSTALLED, PATH

VARIABLE = "SMTPCORE_USERS_PYTHON"
PROJECTS = Path(__file__).parent / "users"


def run(tmp_path: Path, project: str, *arguments: str, needs: str = "", **environment: str) -> str:
    """Run a project in a copy of its folder, and return what it has printed."""
    folder = shutil.copytree(PROJECTS / project, tmp_path / project)
    own = os.environ.get(VARIABLE)
    python = own or sys.executable
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environment}
    if not own:
        environment["PYTHONPATH"] = PATH
        if arguments[0] == "pytest" and not INSTALLED:
            arguments = (*arguments, "-p", "smtpcore._pytest_plugin")
    if needs and subprocess.run([python, "-c", f"import {needs}"], capture_output=True, check=False).returncode:
        missing(needs, f"pip install {needs}")
    done = subprocess.run(
        [python, "-W", "error", "-m", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_unittest_without_pytest(tmp_path: Path) -> None:
    assert "Ran 4 tests" in run(tmp_path, "unittest_smtplib", "unittest", "-v")


def test_the_SMTP_backend_of_django(tmp_path: Path) -> None:
    settings = {"DJANGO_SETTINGS_MODULE": "settings"}
    assert "Ran 4 tests" in run(tmp_path, "django_backend", "django", "test", needs="django", **settings)


def test_pytest_with_smtplib_and_node(tmp_path: Path) -> None:
    """The fixtures of the plugin: smtplib, smtplib under faults, and a program in another language."""
    require_node("nodemailer")
    assert "23 passed" in run(tmp_path, "pytest_fixtures", "pytest", "-q", "-p", "no:asyncio")


def test_pytest_asyncio(tmp_path: Path) -> None:
    assert "3 passed" in run(tmp_path, "pytest_asyncio", "pytest", "-q", needs="pytest_asyncio")


def test_pytest_trio(tmp_path: Path) -> None:
    assert "4 passed" in run(tmp_path, "pytest_trio", "pytest", "-q", "-p", "no:asyncio", needs="pytest_trio")


def test_the_pytest_plugin_of_anyio(tmp_path: Path) -> None:
    assert "4 passed" in run(tmp_path, "pytest_anyio", "pytest", "-q", "-p", "no:asyncio", needs="anyio")
