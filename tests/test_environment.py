"""The lock installs what it names, and pip finds nothing wrong with it beyond a reasoned list."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements.txt"
ALLOWED = Path(__file__).resolve().parent / "pip_check_allowed.txt"


def lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def test_every_requirement_is_pinned_and_installed_in_that_version() -> None:
    for line in lines(LOCK):
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+)", line)
        assert match, f"not an exact pin: {line}"
        assert version(match[1]).split("+")[0] == match[2], line


def test_pip_check_reports_nothing_beyond_the_allowed_list() -> None:
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    reported = [line for line in check.stdout.splitlines() if line.strip() and "No broken requirements" not in line]
    assert sorted(reported) == sorted(lines(ALLOWED))
