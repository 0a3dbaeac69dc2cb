"""Where trials run: in this process, in single-thread processes of this machine, or on a Dask cluster.

The numbers are the same everywhere: a call has one thread, gets what it needs as arguments and writes its own files.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import torch
from threadpoolctl import threadpool_limits

from treatment_response.problems import DataProblem, Problem
from treatment_response.stopping import ended_on_error, prepare_worker

POLL_SECONDS = 0.5
ATTEMPTS = 3
"""A call whose worker dies is done again, so often in all."""

Function = Callable[..., None]
Call = tuple[Any, ...]


class _Future(Protocol):
    def done(self) -> bool: ...
    def result(self) -> Any: ...


def _ignore(*_: Any) -> None:
    """Nobody asked to be told."""


class Engine(ABC):
    """Runs a function once for each of many arguments.

    Attributes:
        parallel: whether calls run beside this process, which then can watch them.
    """

    parallel = True

    def share(self, value: Any) -> Any:
        """A stand-in for a large argument of several calls, which is sent to each worker once instead of every time."""
        return value

    @abstractmethod
    def run(
        self,
        function: Function,
        calls: Sequence[Call],
        done: Callable[[int], None] = _ignore,
        waiting: Callable[[], None] = _ignore,
    ) -> None:
        """Call ``function(*call)`` for every call; what is left over is cancelled when one fails or on Ctrl-C.

        Args:
            function: importable by name; it writes files and returns nothing.
            calls: its arguments, which can be pickled.
            done: told the index of each call that is done, in this process.
            waiting: called about twice a second meanwhile.

        Raises:
            DataProblem: from a call, or because workers died.
        """


class ThisProcess(Engine):
    """One call after the other, here."""

    parallel = False

    def run(
        self,
        function: Function,
        calls: Sequence[Call],
        done: Callable[[int], None] = _ignore,
        waiting: Callable[[], None] = _ignore,
    ) -> None:
        for index, call in enumerate(calls):
            call_in_one_thread(function, *call)
            done(index)
            waiting()


class LocalProcesses(Engine):
    """Processes of this machine: two with one thread each beat one with two threads.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(
        self,
        function: Function,
        calls: Sequence[Call],
        done: Callable[[int], None] = _ignore,
        waiting: Callable[[], None] = _ignore,
    ) -> None:
        left = dict(enumerate(calls))

        def finished(index: int) -> None:
            del left[index]
            done(index)

        for _ in range(ATTEMPTS):
            try:
                self._try(function, dict(left), finished, waiting)
                return
            except BrokenProcessPool:
                continue  # a worker was killed from outside, most often because memory ran out
        what = f"worker processes died {ATTEMPTS} times, {len(left)} trials are left"
        raise DataProblem(
            Problem("--workers", what, "start fewer, if memory is short; the same command goes on from here")
        )

    def _try(
        self,
        function: Function,
        calls: dict[int, Call],
        done: Callable[[int], None],
        waiting: Callable[[], None],
    ) -> None:
        context = get_context("spawn")
        with (
            ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker) as pool,
            ended_on_error(pool),
        ):
            futures = {pool.submit(call_in_one_thread, function, *call): index for index, call in calls.items()}
            follow(futures, done, waiting)


@contextmanager
def open_engine(
    workers: int, cluster: str | None = None, writes: Sequence[Path] = (), reads: Sequence[Path] = ()
) -> Iterator[Engine]:
    """The engine that was asked for.

    Args:
        workers: processes of this machine; with 1 everything runs in this process. Not looked at with a cluster.
        cluster: address of a Dask scheduler, ``tcp://host:8786``.
        writes: folders, and reads: files, of the calls; each machine of a cluster must see them under these paths.

    Raises:
        DataProblem: the cluster cannot be used; the message says why.
    """
    if cluster is not None:
        # Only here, so that nobody else waits for the import.
        from treatment_response.evaluation.dask_cluster import open_cluster

        with open_cluster(cluster, writes, reads) as engine:
            yield engine
    else:
        yield ThisProcess() if workers <= 1 else LocalProcesses(workers)


def call_in_one_thread(function: Function, *arguments: Any) -> None:
    """Call it with one thread in torch and in linear algebra, so that sums are in the same order anywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            function(*arguments)
    finally:
        torch.set_num_threads(threads)


def follow(futures: dict[Any, int], done: Callable[[int], None], waiting: Callable[[], None]) -> None:
    """Wait for all futures (of any executor), telling what happens; the first error is raised."""
    running: dict[_Future, int] = dict(futures)
    while running:
        for future in [future for future in running if future.done()]:
            index = running.pop(future)
            future.result()
            done(index)
        waiting()
        if running:
            time.sleep(POLL_SECONDS if all(not future.done() for future in running) else 0)


def _start_worker() -> None:
    prepare_worker()
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
