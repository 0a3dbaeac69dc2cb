"""Trials on this machine: in this process, or in processes with one thread each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool

from treatment_response.evaluation.engines.engine import (
    Call,
    Done,
    Engine,
    Function,
    Waiting,
    call_in_one_thread,
    follow,
    ignore,
)
from treatment_response.problems import DataProblem, Problem
from treatment_response.processes import worker_pool
from treatment_response.stopping import prepare_worker

ATTEMPTS = 3
"""A call whose worker dies is done again, so often in all."""


class ThisProcess(Engine):
    """One call after the other, here."""

    parallel = False

    def run(self, function: Function, calls: Sequence[Call], done: Done = ignore, waiting: Waiting = ignore) -> None:
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

    def run(self, function: Function, calls: Sequence[Call], done: Done = ignore, waiting: Waiting = ignore) -> None:
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

    def _try(self, function: Function, calls: dict[int, Call], done: Done, waiting: Waiting) -> None:
        with worker_pool(self.workers, [function.__module__], _start_worker) as pool:
            futures = {pool.submit(call_in_one_thread, function, *call): index for index, call in calls.items()}
            follow(futures, done, waiting)


def _start_worker() -> None:
    prepare_worker()
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are loaded later
