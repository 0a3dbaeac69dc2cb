"""Jobs that run one at a time in a folder, and tell people where they stand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from treatment_response.problems import Problem

from pulsar_app.server.problems import Busy

_ENDING = 3.0  # seconds that a killed process may need until it is gone


def say(line: str) -> None:
    """Tell progress: MONAI Label reads a task's standard output line by line and shows the last twenty."""
    print(line, flush=True)


@contextlib.contextmanager
def alone(folder: Path, job: str, stop: str) -> Iterator[None]:
    """Hold a folder while a job runs; a killed process holds it no longer.

    Args:
        folder: made if it is missing.
        job: such as ``training``, for the message.
        stop: the request that stops it, for the message.

    Raises:
        Busy: another process or thread holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", thread_local=False)
    try:
        lock.acquire(timeout=_ENDING)
    except Timeout:
        what = f"another {job} is running"
        raise Busy(Problem(job, what, f"wait for its end, or stop it ({stop})")) from None
    try:
        yield
    finally:
        lock.release()


def is_idle(folder: Path, wait: bool = False) -> bool:
    """Whether no job holds the folder.

    Args:
        wait: give a job that was just stopped the time to end.
    """
    if not (folder / ".lock").is_file():
        return True
    try:
        with FileLock(folder / ".lock").acquire(timeout=_ENDING if wait else 0):
            return True
    except Timeout:
        return False
