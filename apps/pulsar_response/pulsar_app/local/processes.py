"""Programs that run as long as `make serve` does, and none a moment longer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import requests
from treatment_response.problems import DataProblem, Problem

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 15.0


class Program:
    """One program in a process group of its own, with its output in a log file.

    The group is what is stopped, so that what the program starts itself ends with it. Where `setpriv` is there
    (util-linux), the kernel stops the program also when the thread that started it is gone, killed or not.

    Args:
        name: what messages call it.
        command: the program and its arguments; no shell reads them.
        log: file for its output; an older one is replaced.
        environment: what is added to this process's environment.
        folder: where it runs.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        setpriv = shutil.which("setpriv")
        tied = [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else list(command)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                tied,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(environment or {}),
                cwd=folder,
                start_new_session=True,
                umask=0o077,  # what it writes holds patients' images
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return when ``ready()`` is true.

        Raises:
            DataProblem: the program ended before, or it took longer than ``seconds``; says what its log ends with.
        """
        end = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise DataProblem(self.ended())
            if time.monotonic() > end:
                raise DataProblem(
                    Problem(self.name, f"did not answer within {seconds:.0f} s", f"read its log, {self.log}")
                )
            time.sleep(0.1)

    def ended(self) -> Problem:
        """What to tell when it has ended unasked."""
        last = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-3:]
        return Problem(
            self.name,
            f"ended with status {self._process.poll()}" + (", last saying: " + " / ".join(last) if last else ""),
            f"read its log, {self.log}",
        )

    def stop(self) -> None:
        """End the program and all it started: asked first, then killed."""
        _signal_group(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of the group has ended
        os.killpg(group, number)


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with success."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def free_port(wanted: int = 0) -> int:
    """``wanted`` if nothing listens there on this machine, else another free port of loopback.

    Args:
        wanted: 1 to 65535, or 0 for any.
    """
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DataProblem(Problem("this machine", "has no free port", "stop some programs"))
