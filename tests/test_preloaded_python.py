"""The tests' own Python: what it runs ends, fails, stops and starts workers as with any other."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from preloaded_python import preloaded_python

POOL = """
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
if __name__ == "__main__":
    for method in ("spawn", "forkserver"):
        with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
            assert list(pool.map(abs, [-1, 2])) == [1, 2]
    loaded = [name in sys.modules for name in ("monai", "treatment_response")]
    print(sys.argv[1:], os.environ["ONE"], sys.stdin.read(), *loaded)
"""


def test_a_script_has_its_arguments_folder_environment_input_and_workers(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    command = [preloaded_python().python, "pool.py", "a b", "c"]
    environment = os.environ | preloaded_python().environment | {"ONE": "1"}
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, input="in", capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "['a b', 'c'] 1 in True False\n", "")


@pytest.mark.parametrize(
    ("program", "status", "told"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        (
            "import no_such_module",
            1,
            "No module named 'no_such_module'",
        ),
        ("import atexit, sys; atexit.register(print, 'left', file=sys.stderr)", 0, "left\n"),
        (
            "import sys, threading; threading.Timer(0.2, print, ['waited'], {'file': sys.stderr}).start()",
            0,
            "waited\n",
        ),
    ],
)
def test_it_ends_as_its_program_does(program: str, status: int, told: str) -> None:
    environment = os.environ | preloaded_python().environment
    run = subprocess.run(["python", "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == status
    assert told in run.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_who_ends_the_command_ends_its_program(number: signal.Signals) -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    environment = os.environ | preloaded_python().environment
    command = [preloaded_python().python, "-c", program]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.stdout is not None
        fork = psutil.Process(int(run.stdout.readline()))
        run.send_signal(number)
        assert run.wait(20) == -number
        psutil.wait_procs([fork], timeout=20)
        assert not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE
