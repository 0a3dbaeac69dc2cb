"""Several trainings of the bundle's config side by side: two single-thread processes beat one with two threads."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.stopping import end_workers, prepare_worker
from treatment_response.training.experiment import run_evaluation, run_training
from treatment_response.training.samples import SampleRow, Samples

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Trial:
    """One training and its scoring.

    Attributes:
        name: what the progress shows.
        output_dir: the run's folder; a trial whose ``predictions.csv`` is there is finished and skipped.
        overrides: config ids and values on top of the config files, for training and scoring.
        epochs: how many epochs it trains, for the progress.
    """

    name: str
    output_dir: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 150

    def finished(self) -> bool:
        """Whether it was trained and scored."""
        return (self.output_dir / "predictions.csv").is_file()


def run_trials(
    trials: Sequence[Trial],
    samples: Mapping[str, Samples],
    overlays: Sequence[str] = (),
    workers: int = 2,
    console: Console | None = None,
) -> None:
    """Train and score every trial that is not finished; an interrupted one goes on from its last checkpoint.

    Args:
        trials: what to run. samples: trial name → its preprocessed lesions in memory (of unfinished trials).
        overlays: configs on top of ``train.json``.
        workers: processes, each with one thread.
        console: where the progress goes.

    Raises:
        DataProblem: from a trial; the others' results stay.
    """
    waiting = [trial for trial in trials if not trial.finished()]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, TimeRemainingColumn(), console=console or Console(stderr=True)) as progress,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool,
    ):
        for trial in trials:
            if trial.finished():
                progress.console.print(f"{trial.name}: finished before, skipped")
        running: dict[Future[None], tuple[Trial, Any]] = {}
        for trial in waiting:
            chosen = samples[trial.name]
            task = progress.add_task(trial.name, total=trial.epochs)
            running[pool.submit(_run, trial, chosen.image.numpy(), chosen.rows, tuple(overlays))] = (trial, task)
        try:
            while running:
                time.sleep(POLL_SECONDS)
                for future in [future for future in running if future.done()]:
                    _, task = running.pop(future)
                    future.result()
                    progress.update(task, completed=progress.tasks[task].total)
                for trial, task in running.values():
                    progress.update(task, completed=_epochs_done(trial.output_dir))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end_workers()
            raise


def _run(trial: Trial, image: np.ndarray, rows: list[SampleRow], overlays: tuple[str, ...]) -> None:
    samples = Samples(torch.from_numpy(image), rows)
    overrides = {**trial.overrides, "samples": samples, "output_dir": str(trial.output_dir)}
    if not (trial.output_dir / "models" / "model.pt").is_file():
        resume = (trial.output_dir / "models" / "checkpoint.pt").is_file()
        run_training(("train.json", *overlays), **overrides, resume=resume)
    run_evaluation(("train.json", *overlays, "evaluate.json"), **overrides)


def _epochs_done(output_dir: Path) -> int:
    history = output_dir / "history.csv"
    return max(0, history.read_bytes().count(b"\n") - 1) if history.is_file() else 0


def _one_thread() -> None:
    prepare_worker()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
