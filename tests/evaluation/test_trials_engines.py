"""Trials in this process, in local processes and on a real Dask cluster: same bytes, and dead workers are replaced."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_calls import die_once, refuse, write_until_told
from toy_dataset import write_toy_dataset
from treatment_response.cases.samples import Samples
from treatment_response.evaluation.comparison.feature_methods import FEATURE_METHODS, FeatureMethod
from treatment_response.evaluation.comparison.measurements import Measurements
from treatment_response.evaluation.comparison.method import TrialRun, TrialSet
from treatment_response.evaluation.comparison.run import Comparison, compare
from treatment_response.evaluation.comparison.splits import make_splits, read_lesions
from treatment_response.evaluation.engines.choice import open_engine
from treatment_response.evaluation.engines.dask_cluster import _problems, open_cluster, versions
from treatment_response.evaluation.trials import Trial, run_trials
from treatment_response.problems import DataProblem
from treatment_response.training.experiment import read_samples

pytestmark = pytest.mark.usefixtures("preloaded_workers")
SMOKE = ("smoke.json",)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster of two worker processes with nannies."""
    import dask
    from distributed import LocalCluster

    # Tests kill workers. A `LocalCluster` gives one up that is not back after 15 s, which a busy machine may need.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "5 minutes"}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_dataset(tmp_path_factory.mktemp("engines") / "dataset", patients=6, folds=3)


@pytest.fixture(scope="module")
def samples(dataset: Path) -> Samples:
    return read_samples(("train.json", *SMOKE), dataset_dir=str(dataset))


def network_trials(dataset: Path, out: Path) -> list[Trial]:
    settings = {"protocol": "B", "max_epochs": 1, "dataset_dir": str(dataset)}
    return [Trial(f"trial {n}", out / f"trial_{n}", {**settings, "fold": n, "seed": n}, 1) for n in range(2)]


def bytes_of(out: Path, name: str) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob(name))}


def test_networks_are_trained_to_the_same_bytes_on_a_cluster(
    dataset: Path, samples: Samples, scheduler: str, tmp_path: Path
) -> None:
    for name, workers, cluster in (("here", 1, None), ("cluster", 0, scheduler)):
        trials = network_trials(dataset, tmp_path / name)
        run_trials(trials, {trial.name: samples for trial in trials}, SMOKE, workers, None, cluster)
    here = bytes_of(tmp_path / "here", "predictions.csv")
    assert len(here) == 2
    assert len(set(here.values())) == 2
    assert bytes_of(tmp_path / "cluster", "predictions.csv") == here
    assert not list((tmp_path / "cluster").glob(".cluster-*")), "the probe is left behind"


def test_classical_trials_are_the_same_on_a_cluster(
    dataset: Path, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesions = read_lesions(dataset)
    size = FEATURE_METHODS["size"]
    seen = {"size": size.prepare(Measurements(dataset, [], tmp_path / "features"))}
    splits = make_splits(lesions, 5, "B")
    monkeypatch.chdir(tmp_path)  # workers have other working directories: relative paths must not reach them
    for name, cluster in (("here", None), ("cluster", scheduler)):
        trials = TrialSet("", splits, lesions, Path(name))
        FeatureMethod.run_trials([size], TrialRun([trials], dataset, seen=seen, workers=1, cluster=cluster))
    here = bytes_of(tmp_path / "here", "trial_*.csv")
    assert len(here) >= 5
    assert bytes_of(tmp_path / "cluster", "trial_*.csv") == here


@pytest.mark.parametrize("on_cluster", [False, True], ids=["processes", "cluster"])
def test_what_a_dead_worker_was_at_is_done_again(scheduler: str, tmp_path: Path, on_cluster: bool) -> None:
    told: list[int] = []
    with open_engine(2, scheduler if on_cluster else None, [tmp_path]) as engine:
        calls = [(tmp_path / "mark", tmp_path / str(n)) for n in range(4)]
        engine.run(die_once, calls, told.append)
    assert [(tmp_path / str(n)).read_text() for n in range(4)] == ["done"] * 4
    assert sorted(told) == [0, 1, 2, 3]


@pytest.mark.parametrize("on_cluster", [False, True], ids=["processes", "cluster"])
def test_ctrl_c_ends_what_runs(scheduler: str, tmp_path: Path, on_cluster: bool) -> None:
    def interrupt() -> None:
        if (tmp_path / "alive").exists():
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_engine(2, scheduler if on_cluster else None, [tmp_path]) as engine,
    ):
        engine.run(write_until_told, [(tmp_path, n) for n in range(3)], waiting=interrupt)
    deadline = time.monotonic() + 20
    while True:
        before = (tmp_path / "alive").read_text()
        time.sleep(0.4)
        if (tmp_path / "alive").read_text() == before:
            break
        assert time.monotonic() < deadline, "a call outlives the command that wanted it"


@pytest.mark.parametrize("where", ["here", "cluster"])
def test_a_problem_in_a_call_is_told_as_it_is(scheduler: str, tmp_path: Path, where: str) -> None:
    with (
        pytest.raises(DataProblem, match=r"^trial: it is not to be; leave it\.$"),
        open_engine(1, scheduler if where == "cluster" else None, [tmp_path]) as engine,
    ):
        engine.run(refuse, [(0,)])


def test_a_cluster_that_cannot_do_the_work_is_refused_before_it_begins(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, LocalCluster

    with pytest.raises(DataProblem, match="no Dask scheduler answers"), open_cluster("tcp://127.0.0.1:9", [], []):
        pass
    with Client(scheduler, set_as_default=False) as client:
        unseen = client.run(_problems, {str(tmp_path / "elsewhere" / "probe"): "0"}, versions())
        assert all("does not see the folder" in str(problem) for (problem,) in unseen.values())
        older = client.run(_problems, {}, {**versions(), "torch": "1.0"})
        assert all("not 1.0; install the same" in str(problem) for (problem,) in older.values())
    threads = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
    with threads, pytest.raises(DataProblem, match="it has 2 threads"), open_cluster(threads.scheduler_address, [], []):
        pass
    monkeypatch.setattr("treatment_response.evaluation.engines.dask_cluster.WORKER_SECONDS", 0.5)
    empty = LocalCluster(n_workers=0, processes=False, dashboard_address=None)
    with empty, pytest.raises(DataProblem, match="has no workers"), open_cluster(empty.scheduler_address, [], []):
        pass


def test_networks_killed_at_a_random_moment_end_with_the_same_bytes(
    dataset: Path, tmp_path: Path, repository: Path
) -> None:
    settings = Comparison(("cnn",), trials=2, epochs=12, overlays=SMOKE, workers=1)
    compare(dataset, tmp_path / "whole", settings)
    out = tmp_path / "killed"
    command = [sys.executable, str(repository / "scripts" / "compare.py"), str(dataset), "--out", str(out)]
    command += ["--methods", "cnn", "--trials", "2", "--epochs", "12", "--overlay", *SMOKE, "--workers", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet)
    epochs = random.randint(1, 22)  # of 24 in all
    deadline = time.monotonic() + 300
    while sum(file.read_bytes().count(b"\n") - 1 for file in out.rglob("history.csv")) < epochs:
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (out / "table.csv").exists(), "killed too late to say anything"
    assert list(out.rglob("checkpoint.pt")) or epochs < 3
    compare(dataset, out, settings)
    for name in ("predictions.csv", "table.csv", "table.json"):
        assert bytes_of(out, name) == bytes_of(tmp_path / "whole", name), f"killed in epoch {epochs}"


def test_nobody_waits_for_dask_without_a_cluster() -> None:
    code = "import sys, treatment_response.evaluation.engines.choice; assert 'distributed' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
