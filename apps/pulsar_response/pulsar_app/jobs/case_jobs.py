"""Inference that takes long: jobs one after the other, with progress, a kept result and a way to stop."""

from __future__ import annotations

import hashlib
import json
import logging
import queue
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from treatment_response.files import make_folder, write_whole
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import told_to

from pulsar_app.jobs.records import Records
from pulsar_app.server.errors import record
from pulsar_app.server.problems import Busy, not_found

KEPT = 32
"""Finished jobs whose results are kept, the newest ones."""
FRESH_S = 600.0
"""How long the same request gets a finished job's result instead of a new job."""
_ANSWER, _LABELS = "answer.json", "labels"
logger = logging.getLogger(__name__)


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDED = {State.DONE, State.FAILED, State.CANCELLED}


@dataclass
class CaseJob:
    """One request that is worked on, or was.

    Attributes:
        id: given to the client.
        user: who asked. model, image: what was asked.
        same: equal for equal requests of one user.
        stage: in words. share: of the stage that is done, in [0, 1].
        problem: why it failed, one sentence; empty if it did not.
        ended: seconds since the epoch; 0 while it has not.
        wanted: whether nobody has cancelled it.
    """

    id: str
    user: str
    model: str
    image: str
    same: str
    state: State = State.WAITING
    stage: str = ""
    share: float = 0.0
    problem: str = ""
    started: float = field(default_factory=time.time)
    ended: float = 0.0
    wanted: bool = True

    def told(self) -> dict[str, Any]:
        """What clients are told: ``job`` (its id), where it stands, and the seconds that it took so far."""
        seconds = (self.ended or time.time()) - self.started
        return {
            "job": self.id,
            "model": self.model,
            "image": self.image,
            "state": self.state.value,
            "stage": self.stage,
            "share": round(self.share, 3),
            "seconds": round(seconds, 1),
            "problem": self.problem,
        }


class CaseJobs:
    """The jobs of a server. Results and records lie in a folder, and outlive the server.

    Args:
        folder: for them; made with the first job.
        infer: answers a request as the app does: ``file`` and ``params``.
        most: jobs that wait or run at a time.
    """

    def __init__(self, folder: Path, infer: Callable[[dict[str, Any]], dict[str, Any]], most: int) -> None:
        self.folder, self._infer, self._most = folder, infer, most
        self._records = Records(folder / "jobs.jsonl")
        self._jobs: dict[str, CaseJob] = {}
        self._lock = threading.Lock()
        self._waiting: queue.Queue[tuple[CaseJob, dict[str, Any]]] = queue.Queue()
        self._worker: threading.Thread | None = None

    def recover(self) -> None:
        """Take over what an earlier server left: its results, and that what it had not finished has failed."""
        for entry in self._records.read():
            try:
                job = CaseJob(**{**entry, "state": State(entry["state"])})
            except (KeyError, TypeError, ValueError):  # of another version
                continue
            self._jobs[job.id] = job
        for job in list(self._jobs.values()):
            if job.state not in _ENDED:
                self._end(job, State.FAILED, "The server ended before the job did; ask again.")
            elif job.state is State.DONE and not (self.folder / job.id / _ANSWER).is_file():
                del self._jobs[job.id]
        self._forget_oldest()
        if self._jobs:
            lines = [json.dumps(vars(job)) for job in self._jobs.values()]
            write_whole(self._records.path, "\n".join(lines))

    def start(self, request: Mapping[str, Any], user: str, image: str, weights: str) -> CaseJob:
        """Begin a job, or find the one that answers the same request of the same user already.

        Args:
            request: as the app's inference takes it.
            user: who asks.
            image: how the client calls the image.
            weights: what tells those of now from others.

        Raises:
            Busy: as many jobs as there may be wait or run.
        """
        same = hashlib.sha256(
            json.dumps([user, weights, dict(request)], sort_keys=True, default=str).encode()
        ).hexdigest()
        with self._lock:
            for job in reversed(self._jobs.values()):
                fresh = job.state is State.DONE and time.time() - job.ended < FRESH_S
                if job.same == same and job.wanted and (fresh or job.state not in _ENDED):
                    return job
            if sum(job.state not in _ENDED for job in self._jobs.values()) >= self._most:
                what = f"{self._most} jobs wait or run, as many as there may be"
                raise Busy(Problem("job", what, "wait until one has ended, or stop one (DELETE /jobs/ID)"))
            job = CaseJob(str(uuid.uuid4()), user, str(request["model"]), image, same)
            make_folder(self.folder, "jobs")
            self._jobs[job.id] = job
            self._note(job)
            self._waiting.put((job, dict(request)))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._worker.start()
        return job

    def all(self) -> list[CaseJob]:
        """Every job that is known, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def find(self, job_id: str) -> CaseJob:
        """The job of an id.

        Raises:
            NotFound: there is none (any more).
        """
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None:
            raise not_found("job", "there is none of this id (any more)", "ask again for what it was to answer")
        return job

    def result(self, job: CaseJob) -> tuple[dict[str, Any], Path | None]:
        """The answer of a job that is done, and the file of its label map.

        Raises:
            Busy: it is not done yet.
            NotFound: it was cancelled, or its result is gone.
            DataProblem: it failed.
        """
        if job.state is State.FAILED:
            raise DataProblem(Problem("job", f"it failed: {job.problem.rstrip('.')}", "correct this, and ask again"))
        if job.state is State.CANCELLED:
            raise not_found("job", "it was cancelled", "ask again")
        if job.state is not State.DONE:
            raise Busy(Problem("job", f"it is not done: {job.state.value} {job.stage}".rstrip(), "ask again later"))
        folder = self.folder / job.id
        try:
            answer = json.loads((folder / _ANSWER).read_text(encoding="utf-8"))
        except OSError:
            raise not_found("job", "its result is gone", "ask again") from None
        return answer, next(iter(folder.glob(f"{_LABELS}.*")), None)

    def cancel(self, job: CaseJob) -> None:
        """Stop a job at its next step, or forget the result of one that has ended."""
        job.wanted = False
        if job.state is State.WAITING:
            self._end(job, State.CANCELLED)
        elif job.state in _ENDED:
            with self._lock:
                self._forget(job)

    def _work(self) -> None:
        while True:
            job, request = self._waiting.get()
            if job.wanted:
                self._run(job, request)

    def _run(self, job: CaseJob, request: dict[str, Any]) -> None:
        def listen(stage: str, share: float) -> None:
            if not job.wanted:
                raise _Cancelled
            job.stage, job.share = stage, share

        job.state = State.RUNNING
        self._note(job)
        try:
            with told_to(listen):
                result = self._infer(request)
            self._keep(job, result)
        except _Cancelled:
            self._end(job, State.CANCELLED)
        except DataProblem as problem:
            self._end(job, State.FAILED, " ".join(str(problem).split()))
        except Exception as error:  # whatever it is, the next job must run
            self._end(job, State.FAILED, f"The server failed (incident {record(error)}); its log says where.")
        else:
            job.stage, job.share = "", 1.0
            self._end(job, State.DONE)
        with self._lock:
            self._forget_oldest()

    def _keep(self, job: CaseJob, result: dict[str, Any]) -> None:
        """Move the label map into the job's folder, and write the answer, which makes it whole."""
        folder = self.folder / job.id
        folder.mkdir()
        if result.get("file"):
            file = Path(result["file"])
            shutil.move(file, folder / f"{_LABELS}{''.join(file.suffixes)}")
        write_whole(folder / _ANSWER, json.dumps(result["params"], allow_nan=False))

    def _end(self, job: CaseJob, state: State, problem: str = "") -> None:
        if state is not State.DONE:
            shutil.rmtree(self.folder / job.id, ignore_errors=True)
        job.state, job.problem, job.ended = state, problem, time.time()
        self._note(job)

    def _note(self, job: CaseJob) -> None:
        self._records.add(vars(job))

    def _forget_oldest(self) -> None:
        ended = [job for job in self._jobs.values() if job.state in _ENDED]
        for job in ended[: max(0, len(ended) - KEPT)]:
            self._forget(job)

    def _forget(self, job: CaseJob) -> None:
        self._jobs.pop(job.id, None)
        shutil.rmtree(self.folder / job.id, ignore_errors=True)


class _Cancelled(BaseException):
    """Raised inside a job that nobody wants any more; no handler of errors may take it for one."""
