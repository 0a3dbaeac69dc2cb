"""Several trainings of the bundle's config side by side: two single-thread processes beat one with two threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.cases.samples import SampleRow, Samples
from treatment_response.classes import Classes
from treatment_response.cohort.layout import DATALIST
from treatment_response.evaluation.engines.choice import open_engine
from treatment_response.training.experiment import run_evaluation, run_training


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
    cluster: str | None = None,
) -> None:
    """Train and score every trial that is not finished; an interrupted one goes on from its last checkpoint.

    Args:
        trials: what to run. samples: trial name → its preprocessed lesions in memory (of unfinished trials).
        overlays: configs on top of ``train.json``.
        workers, cluster: where they run, see `open_engine`.
        console: where the progress goes.

    Raises:
        DataProblem: from a trial; the others' results stay.
    """
    trials = [replace(trial, output_dir=trial.output_dir.resolve()) for trial in trials]
    waiting = [trial for trial in trials if not trial.finished()]
    console = console or Console(stderr=True)
    for trial in trials:
        if trial.finished():
            console.print(f"{trial.name}: finished before, skipped")
    if not waiting:
        return
    reads = sorted({Path(t.overrides["dataset_dir"]) / DATALIST for t in waiting if "dataset_dir" in t.overrides})
    with open_engine(workers, cluster, sorted({trial.output_dir.parent for trial in waiting}), reads) as engine:
        images = {id(s.image): engine.share(_sent(s.image)) for s in (samples[trial.name] for trial in waiting)}
        calls = [
            (trial, images[id(samples[trial.name].image)], _facts(samples[trial.name]), config_files(overlays))
            for trial in waiting
        ]
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        # A trial in this process has a line of its own.
        with Progress(*columns, TimeRemainingColumn(), console=console, disable=not engine.parallel) as progress:
            tasks = {index: progress.add_task(trial.name, total=trial.epochs) for index, trial in enumerate(waiting)}

            def done(index: int) -> None:
                progress.update(tasks.pop(index), completed=waiting[index].epochs)

            def look() -> None:
                for index, task in tasks.items():
                    progress.update(task, completed=_epochs_done(waiting[index].output_dir))

            engine.run(_run, calls, done, look)


def config_files(overlays: Sequence[str]) -> tuple[str, ...]:
    """``train.json`` and its overlays, named so that they are found from any folder on any machine."""
    return ("train.json", *(name if Path(name).name == name else str(Path(name).resolve()) for name in overlays))


def _sent(image: Any) -> Any:
    """Inputs as they go to other processes: arrays from memory; of those on disk only where they lie."""
    return image.numpy() if isinstance(image, torch.Tensor) else image


def _facts(samples: Samples) -> tuple[list[SampleRow], Classes]:
    return samples.rows, samples.classes


def _run(trial: Trial, image: Any, facts: tuple[list[SampleRow], Classes], configs: tuple[str, ...]) -> None:
    samples = Samples(torch.from_numpy(image) if isinstance(image, np.ndarray) else image, *facts)
    overrides = {**trial.overrides, "samples": samples, "output_dir": str(trial.output_dir)}
    if not (trial.output_dir / "models" / "model.pt").is_file():
        resume = (trial.output_dir / "models" / "checkpoint.pt").is_file()
        run_training(configs, **overrides, resume=resume)
    run_evaluation((*configs, "evaluate.json"), **overrides)


def _epochs_done(output_dir: Path) -> int:
    history = output_dir / "history.csv"
    return max(0, history.read_bytes().count(b"\n") - 1) if history.is_file() else 0
