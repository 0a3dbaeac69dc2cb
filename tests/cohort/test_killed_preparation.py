"""Preparing a cohort that is killed leaves no process behind that goes on writing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCE = """
import os, time
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Slow:
    subject: str
    folder: str

    def load(self, outcome):
        (Path(self.folder) / f"{os.getpid()}.pid").touch()
        time.sleep(300)
"""
RUN = """
import sys
from pathlib import Path
from slow_patients import Slow
from treatment_response.cohort.pipeline import Cohort, prepare_cohort
from treatment_response.cohort.prepare import PrepareSettings

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    cohort = Cohort([Slow(f"sub-{number:03d}", str(folder)) for number in range(1, 9)], "slow patients", "")
    prepare_cohort(cohort, folder / "dataset", PrepareSettings(), workers=2)
"""


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_no_worker_outlives_a_killed_command(tmp_path: Path) -> None:
    (tmp_path / "slow_patients.py").write_text(SOURCE)
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    run = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(workers := [int(file.stem) for file in tmp_path.glob("*.pid")]) < 2:
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.05)
        run.kill()
        run.wait()
        deadline = time.monotonic() + 10
        while any(map(is_there, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(is_there, workers))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
