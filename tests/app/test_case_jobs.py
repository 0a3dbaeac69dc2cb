"""Jobs of inference: progress, results that stay, cancelling, limits, and what a server that ended leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pulsar_app.jobs import case_jobs
from pulsar_app.jobs.case_jobs import CaseJob, CaseJobs, State
from pulsar_app.server.job_routes import _may_see
from pulsar_app.server.problems import Busy, NotFound
from pulsar_app.server.roles import Role
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell


class Work:
    """An inference that waits until it may go on, and tells where it stands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.go_on, self.calls = folder, threading.Event(), 0

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        tell("registering", 0.25)
        assert self.go_on.wait(20)
        tell("predicting", 0.5)
        if request.get("fault") == "told":
            raise DataProblem(Problem("input 'dose'", "it is missing", "export it"))
        if request.get("fault"):
            raise RuntimeError("the text of a library")
        file = self.folder / f"labels_{self.calls}.nii.gz"
        file.write_bytes(b"label map")
        return {"file": str(file), "params": {"class": "PD", "image": request["image"]}}


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


@pytest.fixture
def jobs(tmp_path: Path, work: Work) -> CaseJobs:
    return CaseJobs(tmp_path / "jobs", work, most=2)


def ask(jobs: CaseJobs, image: str = "a", user: str = "ann", **more: Any) -> CaseJob:
    return jobs.start({"model": "m", "image": image, **more}, user, image, "weights")


def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    raise AssertionError("it did not happen")


def test_a_job_tells_its_stage_and_keeps_its_result(jobs, work, tmp_path):
    job = ask(jobs)
    until(lambda: job.stage == "registering")
    told = job.told()
    assert (told["state"], told["stage"], told["share"], told["image"]) == ("running", "registering", 0.25, "a")
    with pytest.raises(Busy, match="it is not done: running registering; ask again later"):
        jobs.result(job)
    assert ask(jobs) is job  # the same request is the same job
    assert ask(jobs, user="bob") is not job
    work.go_on.set()
    until(lambda: job.state is State.DONE)
    answer, labels = jobs.result(job)
    assert answer == {"class": "PD", "image": "a"}
    assert labels is not None
    assert labels.name == "labels.nii.gz"
    assert labels.read_bytes() == b"label map"
    assert ask(jobs) is job
    assert not (tmp_path / "labels_1.nii.gz").exists()
    jobs.cancel(job)
    with pytest.raises(NotFound):
        jobs.find(job.id)
    assert not labels.exists()
    assert ask(jobs) is not job


def test_a_job_ends_at_its_next_step_or_before_it_begins(jobs, work):
    first, second = ask(jobs), ask(jobs, "b")
    until(lambda: first.stage == "registering")
    jobs.cancel(second)
    assert second.state is State.CANCELLED
    jobs.cancel(first)
    assert first.state is State.RUNNING
    third = ask(jobs, "c")
    work.go_on.set()
    until(lambda: third.state is State.DONE)
    assert first.state is State.CANCELLED
    assert work.calls == 2
    with pytest.raises(NotFound, match="it was cancelled"):
        jobs.result(first)


def test_there_are_only_so_many_jobs_and_only_the_last_results(jobs, work, monkeypatch):
    monkeypatch.setattr(case_jobs, "KEPT", 1)
    first, second = ask(jobs), ask(jobs, "b")
    with pytest.raises(Busy, match="2 jobs wait or run, as many as there may be"):
        ask(jobs, "c")
    work.go_on.set()
    until(lambda: second.state is State.DONE and len(jobs.all()) == 1)
    assert jobs.all() == [second]
    assert [path.name for path in jobs.folder.iterdir() if path.is_dir()] == [second.id]
    assert first.state is State.DONE


def test_a_failed_job_says_why_in_one_sentence_and_the_next_one_runs(jobs, work):
    work.go_on.set()
    told, other, good = ask(jobs, fault="told"), ask(jobs, fault="other"), None
    until(lambda: State.FAILED is told.state is other.state)
    with pytest.raises(DataProblem, match="it failed: input 'dose': it is missing; export it; correct this"):
        jobs.result(told)
    assert other.problem.startswith("The server failed (incident ")
    assert "library" not in other.problem
    good = ask(jobs)
    until(lambda: good.state is State.DONE)


def test_results_outlive_the_server_and_what_it_had_not_finished_has_failed(jobs, work, tmp_path):
    work.go_on.set()
    done = ask(jobs)
    until(lambda: done.state is State.DONE)
    work.go_on.clear()
    unfinished = ask(jobs, "b")
    until(lambda: unfinished.stage == "registering")
    later = CaseJobs(tmp_path / "jobs", work, most=2)
    later.recover()
    assert later.result(later.find(done.id))[0]["class"] == "PD"
    assert later.find(unfinished.id).problem == "The server ended before the job did; ask again."
    work.go_on.set()


def test_users_see_their_own_jobs_and_admins_all():
    job = CaseJob("1", "ann", "m", "a", "")
    for name, roles, may in (("ann", [], True), ("bob", [], False), ("bob", [Role.ADMIN.setting], True)):
        assert _may_see(SimpleNamespace(username=name, roles=roles), job) is may
