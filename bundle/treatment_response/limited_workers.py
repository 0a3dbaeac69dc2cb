"""Long-lived worker processes: each does one call at a time, within limits of time and memory.

Reading what strangers send may take for ever, fill the memory or crash a library. In a worker it costs one call: a
worker that is stuck or dead is ended, another takes its place, and the caller is told.

A worker is started by a command of its own. `multiprocessing` would import the parent's main module into each worker
again, and with it all that a server needs: ten seconds and half a gigabyte for MONAI Label's.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

_COMMAND = "import sys; from treatment_response.limited_workers import serve; serve(*sys.argv[1:])"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_START_SECONDS, _END_SECONDS = 120.0, 5.0


class WorkerFailed(Exception):
    """A call that gave no result for a reason that is not the function's own."""


class StuckError(WorkerFailed):
    """The call took longer than it may; its worker was ended."""


class MemoryLimitError(WorkerFailed):
    """The call needed more memory than it may have; its worker was ended."""


class DiedError(WorkerFailed):
    """The worker died in the call."""


class BusyError(WorkerFailed):
    """No worker became free in time."""


@dataclass(frozen=True)
class Limits:
    """What one call may take.

    Attributes:
        seconds: from the moment that a worker that has started has the call.
        memory_bytes: beyond what a worker has after its imports.
        wait_seconds: for a worker to become free.
    """

    seconds: float
    memory_bytes: int
    wait_seconds: float


class Workers:
    """A fixed number of processes that call functions; safe in threads.

    Args:
        count: how many calls run at a time.
        limits: of each call.
        preload: modules that every worker imports at its start.
    """

    def __init__(self, count: int, limits: Limits, preload: Sequence[str] = ()) -> None:
        self.count, self.limits, self._preload = count, limits, tuple(preload)
        self._turns = threading.BoundedSemaphore(count)
        self._free: list[_Worker] = []
        self._changing = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start all workers, so that no call waits for it; without it they start as they are needed."""
        with self._changing:
            while not self._closed and len(self._free) < self.count:
                self._free.append(self._new())

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a worker.

        Args:
            function: importable by name.
            arguments: its arguments, which can be pickled, as its result can. Large arrays go through files.

        Raises:
            StuckError: it took too long.
            MemoryLimitError: it needed too much memory.
            DiedError: the worker died.
            BusyError: all workers are at other calls, and stay so.
            Exception: whatever the function raises.
        """
        if not self._turns.acquire(timeout=self.limits.wait_seconds):
            raise BusyError(f"all {self.count} workers are at other calls")
        try:
            worker = self._take()
            try:
                done, result = worker.call(function, arguments, self.limits.seconds)
            except BaseException:
                self._replace(worker)
                raise
            self._put_back(worker)
        finally:
            self._turns.release()
        if not done:
            raise result
        return result

    def close(self) -> None:
        """End the workers that are free now, and the others after their calls."""
        with self._changing:
            self._closed = True
            ended, self._free = self._free, []
        for worker in ended:
            worker.end()

    def _take(self) -> _Worker:
        with self._changing:
            while self._free:
                worker = self._free.pop()
                if worker.alive:
                    return worker
                worker.end()  # killed while it waited
            return self._new()

    def _put_back(self, worker: _Worker) -> None:
        with self._changing:
            if not self._closed:
                self._free.append(worker)
                return
        worker.end()

    def _replace(self, worker: _Worker) -> None:
        worker.end()
        with self._changing:
            if not self._closed:
                self._free.insert(0, self._new())  # those that are ready come first

    def _new(self) -> _Worker:
        return _Worker(self.limits.memory_bytes, self._preload)


class _Worker:
    """One process, seen from its parent."""

    def __init__(self, memory_bytes: int, preload: Sequence[str]) -> None:
        self._started = False
        self._connection, other = Pipe()
        with other:
            given = [str(other.fileno()), str(memory_bytes), json.dumps(preload)]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, *given],
                # The worker ends when this pipe does, which this process holds open as long as it lives.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[other.fileno()],
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> tuple[bool, Any]:
        """Whether the function returned, and what it returned or raised."""
        try:
            if not self._started:
                self._started = bool(self._receive(_START_SECONDS))
            self._connection.send((function, arguments))
            done, result = self._receive(seconds)
        except (EOFError, ConnectionError):
            raise DiedError("its process died") from None
        if isinstance(result, MemoryLimitError):
            raise result
        return done, result

    def _receive(self, seconds: float) -> Any:
        if not self._connection.poll(seconds):
            raise StuckError(f"it took longer than {seconds:g} s")
        return self._connection.recv()

    def end(self) -> None:
        self._process.kill()
        self._connection.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):  # it may be in the kernel, waiting for a disk that does not answer
            self._process.wait(_END_SECONDS)


def serve(descriptor: str, memory_bytes: str, preload: str) -> None:
    """A worker's whole life, in its own process.

    Args:
        descriptor: number of the open connection to the parent.
        memory_bytes: that a call may take.
        preload: list of modules as JSON.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for module in json.loads(preload):
        importlib.import_module(module)
    _limit(int(memory_bytes))
    with Connection(int(descriptor)) as connection, suppress(EOFError, ConnectionError):  # the parent is gone
        connection.send(True)  # it has started
        while True:
            function, arguments = connection.recv()
            connection.send(_outcome(function, arguments))


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*arguments)
    except MemoryError:
        return False, MemoryLimitError("it needed more memory than it may have")
    except Exception as error:
        return False, error


def _limit(memory_bytes: int) -> None:
    """Limit this process's own memory, and write no image of it to the disk if it crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    taken = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = taken + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: this ends when the parent does
    os._exit(1)
