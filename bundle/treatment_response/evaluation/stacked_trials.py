"""Train the trials of one network at once where there is a GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from treatment_response.cases.samples import Samples
from treatment_response.evaluation.trials import Trial, config_files
from treatment_response.training.experiment import training_device
from treatment_response.training.stacked import CannotBeStacked, train_stacked

AT_ONCE = 50
"""Trials in one stack at first; half as many when the GPU's memory does not suffice."""


def pays(overlays: Sequence[str]) -> bool:
    """Whether the configs train on a GPU. On a CPU a stack is slower than trials one by one."""
    return training_device(config_files(overlays)).type == "cuda"


def train_at_once(
    trials: Sequence[Trial],
    samples: Mapping[str, Samples],
    overlays: Sequence[str] = (),
    console: Console | None = None,
    at_once: int = AT_ONCE,
) -> None:
    """Train the trials that have no model yet, in stacks; `run_trials` then scores them.

    A network that cannot be stacked is left to `run_trials` too, which trains one by one; the console says why.

    Args:
        trials, samples, overlays: as `run_trials`. console: where the progress goes.
        at_once: trials in one stack.

    Raises:
        DataProblem: a data set or setting is not fit for training.
    """
    console = console or Console(stderr=True)
    waiting = [trial for trial in trials if not (trial.output_dir / "models" / "model.pt").is_file()]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        while waiting:
            part = waiting[:at_once]
            name = f"{part[0].name} to {part[-1].name}: {len(part)} trials at once"
            task = progress.add_task(name, total=sum(trial.epochs for trial in part))
            done = [0] * len(part)

            def told(index: int, epochs: int, done: list[int] = done, task: Any = task) -> None:
                done[index] = epochs
                progress.update(task, completed=sum(done))

            try:
                train_stacked(config_files(overlays), [_overrides(t, samples[t.name]) for t in part], told)
            except CannotBeStacked as reason:
                progress.remove_task(task)
                console.print(f"{part[0].name}: the trials train one by one, for they cannot be stacked: {reason}")
                return
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                progress.remove_task(task)
                at_once = len(part) // 2
                continue
            waiting = waiting[len(part) :]


def _overrides(trial: Trial, samples: Samples) -> dict[str, Any]:
    resume = (trial.output_dir / "models" / "checkpoint.pt").is_file()
    return {**trial.overrides, "samples": samples, "output_dir": str(trial.output_dir), "resume": resume}
