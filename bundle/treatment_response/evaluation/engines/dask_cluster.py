"""Trials on the machines of a Dask cluster; imported only where a cluster is named."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from threading import Event, Thread
from typing import Any

from distributed import Client, Worker, get_worker
from distributed.scheduler import KilledWorker

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

CONNECT_SECONDS = 10
WORKER_SECONDS = 60
SAME = ("treatment-response", "torch", "monai", "numpy", "pandas", "scikit-learn")
"""Libraries that decide the numbers: workers must have the versions of the machine that gives the command."""

Seen = dict[str, str]
"""File → SHA-256 of its content, as the machine that gives the command sees it."""


class DaskCluster(Engine):
    """Workers that others have started, one call at a time in each.

    Dask does a call again whose worker died, up to its own limit (``distributed.scheduler.allowed-failures``, 3).

    Args:
        client: connected. seen: files that a worker must see with the same content before it begins.
    """

    def __init__(self, client: Client, seen: Seen) -> None:
        self.client = client
        self.seen = seen

    def share(self, value: Any) -> Any:
        """A task that returns the value: unlike scattered data it comes back when the worker that held it dies."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            return self.client.submit(_itself, value, pure=False)

    def run(self, function: Function, calls: Sequence[Call], done: Done = ignore, waiting: Waiting = ignore) -> None:
        futures = {
            self.client.submit(_call, function, self.seen, versions(), *call, pure=False): index
            for index, call in enumerate(calls)
        }
        try:
            follow(futures, done, waiting)
        except KilledWorker as error:
            what = f"a trial was given up because its workers died again and again ({error.last_worker.address})"
            raise DataProblem(Problem("--cluster", what, "give workers more memory, then say it again")) from error
        except CancelledError as error:
            what = "the connection to the scheduler was lost"
            raise DataProblem(
                Problem("--cluster", what, "the same command goes on with the unfinished trials")
            ) from error
        finally:
            self.client.cancel([future for future in futures if not future.done()])


@contextmanager
def open_cluster(address: str, writes: Sequence[Path], reads: Sequence[Path]) -> Iterator[DaskCluster]:
    """Connect, and check that every worker can do the work.

    Args:
        address: of the scheduler, ``tcp://host:8786`` or ``tls://host:8786``.
        writes: folders, and reads: files, which must be there under the same absolute path on every machine. For the
            check a file is put into each folder and taken away at the end.

    Raises:
        DataProblem: no scheduler, no worker, or workers with several threads, another version, or other files.
    """
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        what = f"no Dask scheduler answers at {address}"
        raise DataProblem(Problem("--cluster", what, "start `dask scheduler` and name its address")) from error
    with client, _probes(writes) as probes:
        seen = {str(file): _digest(file) for file in (*probes, *(file.resolve() for file in reads))}
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            what = f"the scheduler at {address} has no workers"
            raise DataProblem(
                Problem("--cluster", what, "start `dask worker --nthreads 1` with its address")
            ) from error
        answers = client.run(_problems, seen, versions(), on_error="return").values()
        broken = next((error for error in answers if isinstance(error, ImportError)), None)
        if broken is not None:
            what = f"a worker cannot import this package ({broken})"
            raise DataProblem(Problem("--cluster", what, "install the same environment on every machine"))
        # A worker that is just going or coming gives no answer here; each call checks again.
        problems = [problem for found in answers if isinstance(found, list) for problem in found]
        if problems:
            raise DataProblem(*problems)
        yield DaskCluster(client, seen)


def versions() -> dict[str, str]:
    """Versions of the libraries in `SAME`, here."""
    return {name: version(name) for name in SAME}


@contextmanager
def _probes(folders: Sequence[Path]) -> Iterator[list[Path]]:
    """Put a file that is nowhere else into each folder, so that a worker proves that it sees this very folder."""
    probes = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder.resolve() / f".cluster-{uuid.uuid4().hex}"
            probe.write_text(uuid.uuid4().hex, encoding="utf-8")
            probes.append(probe)
        yield probes
    finally:
        for probe in probes:
            probe.unlink(missing_ok=True)


def _problems(seen: Seen, expected: dict[str, str], dask_worker: Worker | None = None) -> list[Problem]:
    """What keeps this worker from doing the work; runs on the worker."""
    worker = dask_worker or get_worker()
    where = f"worker {worker.address}"
    problems = []
    if worker.state.nthreads != 1:
        what = f"it has {worker.state.nthreads} threads, and trials that share a process share its random numbers"
        problems.append(Problem(where, what, "start it with --nthreads 1, and several with --nworkers"))
    for path, digest in seen.items():
        if not Path(path).is_file() or _digest(Path(path)) != digest:
            what = f"it does not see the folder {Path(path).parent}"
            problems.append(Problem(where, what, "share data set and --out under the same path on all machines"))
    mine = versions()
    for name, wanted in expected.items():
        if mine[name] != wanted:
            what = f"it has {name} {mine[name]}, not {wanted}"
            problems.append(Problem(where, what, "install the same requirements.txt on every machine"))
    return problems


def _call(function: Function, seen: Seen, expected: dict[str, str], *arguments: Any) -> None:
    """One call, on a worker, which may have joined after the check at the start."""
    problems = _problems(seen, expected)
    if problems:
        raise DataProblem(*problems)
    finished = Event()
    worker = get_worker()
    Thread(target=_end_when_cancelled, args=(worker, worker.get_current_task(), finished), daemon=True).start()
    try:
        call_in_one_thread(function, *arguments)
    finally:
        finished.set()


def _end_when_cancelled(worker: Worker, key: str, finished: Event) -> None:
    """End the worker's process when nobody wants the result any more; its nanny starts a new one.

    Dask cannot stop a thread. One that went on after Ctrl-C would write into the folder of the command that was started
    again.
    """
    while not finished.wait(0.5):
        task = worker.state.tasks.get(key)
        if task is not None and task.state == "cancelled":
            os._exit(1)


def _itself(value: Any) -> Any:
    return value


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
