"""Workers: results come back, and what is stuck, greedy or dead costs its own call only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from treatment_response.cohort.nrrd_file import read_nrrd
from treatment_response.limited_workers import BusyError, DiedError, Limits, MemoryLimitError, StuckError, Workers
from treatment_response.problems import DataProblem

LIMITS = Limits(seconds=30, memory_bytes=200 * 2**20, wait_seconds=30)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    workers = Workers(2, LIMITS)
    workers.start()
    yield workers
    workers.close()


def test_results_and_errors_come_back_from_long_lived_processes(workers: Workers) -> None:
    first = {workers.call(os.getpid) for _ in range(5)}
    assert len(first) == 1
    assert os.getpid() not in first
    assert workers.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ValueError, match="invalid literal"):
        workers.call(int, "x")
    assert workers.call(os.getpid) in first


def test_a_problem_comes_back_whole(workers: Workers) -> None:
    with pytest.raises(DataProblem, match=r"^case: the file is missing; check its path\.$") as error:
        workers.call(read_nrrd, Path("nowhere.nrrd"), "case")
    assert error.value.problems[0].where == "case"


def test_a_greedy_call_is_refused_and_the_next_one_done(workers: Workers) -> None:
    with pytest.raises(MemoryLimitError):
        workers.call(bytearray, 2**30)
    assert workers.call(divmod, 7, 2) == (3, 1)


def test_a_dead_worker_is_replaced_whether_it_died_in_a_call_or_before(workers: Workers) -> None:
    with pytest.raises(DiedError):
        workers.call(os._exit, 3)
    idle = workers.call(os.getpid)
    os.kill(idle, signal.SIGKILL)
    time.sleep(0.2)
    assert workers.call(os.getpid) != idle


def test_stuck_workers_are_replaced_and_more_calls_than_workers_wait_only_so_long() -> None:
    workers = Workers(2, Limits(seconds=3, memory_bytes=2**30, wait_seconds=0.3))
    try:
        workers.start()
        with ThreadPoolExecutor(3) as threads:
            stuck = [threads.submit(workers.call, time.sleep, 300) for _ in range(2)]
            time.sleep(0.2)
            with pytest.raises(BusyError):
                threads.submit(workers.call, divmod, 7, 2).result()
            for one in stuck:
                with pytest.raises(StuckError, match="longer than 3 s"):
                    one.result()
        assert workers.call(divmod, 7, 2) == (3, 1)
    finally:
        workers.close()


def test_workers_end_without_a_word_when_their_parent_is_killed() -> None:
    program = """
        import os, time
        from treatment_response.limited_workers import Limits, Workers
        workers = Workers(2, Limits(60, 2**30, 60))
        workers.start()
        print(workers.call(os.getpid), flush=True)
        workers.call(time.sleep, 300)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        parent.kill()
        _, said = parent.communicate(timeout=60)  # the workers have this pipe too: it ends with the last of them
    assert said == ""
