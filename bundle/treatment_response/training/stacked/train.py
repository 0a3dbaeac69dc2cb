"""Run the trainers of several trials side by side, step by step, with one computation for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from treatment_response.cases.samples import Samples
from treatment_response.training.experiment import prepare_training
from treatment_response.training.stacked.step import StackedStep, Tensors, TrialBatch


def train_stacked(
    config_files: Sequence[str | Path],
    overrides: Sequence[Mapping[str, Any]],
    told: Callable[[int, int], None] = lambda trial, epochs: None,
) -> None:
    """Train several trials of one config at once; each leaves the folder that `run_training` would.

    Every trial has the trainer of its config, with its handlers, optimiser, order of batches and random numbers; only
    forward and backward passes are computed together. Trials with fewer batches rest when theirs are done: a
    network without a batch is not updated. Checkpoints are each trial's own, so that a stack that was stopped, or a
    trial that was trained alone up to there, goes on whatever the others have done.

    Args:
        config_files: as `run_training`. overrides: of each trial; ``samples`` and ``output_dir`` are needed.
        told: is told a trial's index and the epochs it has done.

    Raises:
        CannotBeStacked: before anything is trained.
        DataProblem: as `run_training`.
    """
    trials = [_Trial(config_files, each) for each in overrides]
    stack = StackedStep(trials[0].trainer.network)
    stack.check(*trials[0].first_batch())
    for trial in trials:
        trial.start()
    while left := [trial for trial in trials if not trial.finished]:
        epoch = min(trial.epoch for trial in left)
        _run_epoch(stack, [trial for trial in left if trial.epoch == epoch])
        for index, trial in enumerate(trials):
            told(index, trial.epoch)


def _run_epoch(stack: StackedStep, trials: Sequence[_Trial]) -> None:
    for trial in trials:
        trial.start_epoch()
    going = list(trials)
    while going:
        groups: dict[tuple[torch.Size, torch.Size], list[tuple[_Trial, TrialBatch]]] = {}
        for trial in list(going):
            batch = trial.next_batch(stack)
            if batch is None:
                going.remove(trial)
            else:
                groups.setdefault((batch.x.shape, batch.label.shape), []).append((trial, batch))
        for group in groups.values():
            outputs = stack([batch for _, batch in group])
            for (trial, batch), output in zip(group, outputs, strict=True):
                trial.update(batch, output)
    for trial in trials:
        trial.end_epoch()


class _Trial:
    """One trial's trainer, moved on from outside: its events are fired in the order of ignite's own ``run``."""

    def __init__(self, config_files: Sequence[str | Path], overrides: Mapping[str, Any]) -> None:
        self.trainer = prepare_training(config_files, without=("ProgressLine",), **overrides)
        self.state = self.trainer.state
        self.finished = False
        data = self.trainer.data_loader.dataset
        if isinstance(data, Samples):
            data.image = data.image.to(self.state.device)  # batches are then picked on the device
        self.random = torch.get_rng_state()

    @property
    def epoch(self) -> int:
        """Epochs that are done, or the one that runs."""
        return int(self.state.epoch)

    def first_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Input and label of some samples, for trying the stack out."""
        data = self.trainer.data_loader.dataset
        return self._prepare(data.__getitems__(list(range(min(4, len(data))))))

    def start(self) -> None:
        self.trainer.fire_event(Events.STARTED)
        self._finish_if_done()

    def start_epoch(self) -> None:
        self.state.epoch += 1
        self.trainer.fire_event(Events.EPOCH_STARTED)  # seeds torch for this trial and epoch
        self.random = torch.get_rng_state()
        self.batches = iter(self.trainer.data_loader)

    def next_batch(self, stack: StackedStep) -> TrialBatch | None:
        """The next batch with its dropout, drawn from the trial's own stream in the order of a plain step; or None."""
        torch.set_rng_state(self.random)
        batch = next(self.batches, None)
        if batch is None:
            return None
        self.state.batch = batch
        self.state.iteration += 1
        self.trainer.fire_event(Events.ITERATION_STARTED)
        x, label = self._prepare(batch)
        result = TrialBatch(self.trainer.network, x, label, stack.draw(x, label))
        self.random = torch.get_rng_state()
        return result

    def update(self, batch: TrialBatch, output: Tensors) -> None:
        """Let the optimiser use the gradients, and tell the metrics."""
        self.trainer.optimizer.step()
        self.trainer.optimizer.zero_grad(set_to_none=True)
        self.state.output = {"label": batch.label.cpu(), "pred": output, "loss": output["loss"]}
        self.trainer.fire_event(Events.ITERATION_COMPLETED)

    def end_epoch(self) -> None:
        self.trainer.fire_event(Events.EPOCH_COMPLETED)
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self.epoch >= self.state.max_epochs:
            self.trainer.fire_event(Events.COMPLETED)
            self.finished = True

    def _prepare(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        x, label, *_ = self.trainer.prepare_batch(batch, self.state.device, self.trainer.non_blocking)
        return x, label
