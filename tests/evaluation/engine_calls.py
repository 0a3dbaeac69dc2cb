"""What test_trials_engines.py lets workers do; apart from it, so that a worker need not import all that it imports."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from treatment_response.problems import DataProblem, Problem


def die_once(mark: Path, path: Path) -> None:
    """The first worker that tries this is killed, as by a kernel that is out of memory."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text("done")


def write_until_told(folder: Path, _: int) -> None:
    """Show that it lives, until the folder holds the file ``enough``."""
    while not (folder / "enough").exists():
        (folder / "alive").write_text(str(time.monotonic()))
        time.sleep(0.05)


def refuse(_: int) -> None:
    """Find that the data cannot be used."""
    raise DataProblem(Problem("trial", "it is not to be", "leave it"))
