"""Saving where a run stands, and going on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Workflow
from torch import nn

from treatment_response.files import whole_file
from treatment_response.problems import DataProblem, Problem
from treatment_response.training.handlers.best_epoch import KeepBestEpoch
from treatment_response.weights import load_state, plain_tensors, read_checkpoint, without_scales

# Scores of earlier weights, which would contradict the new ones beside them.
_SCORES = ("predictions.csv", "unlabelled_predictions.csv", "metrics.json", "lesion_views.npz")


class RunCheckpoint:
    """Save ``models/checkpoint.pt`` every few epochs and at the end; restore it on request.

    A checkpoint holds weights, optimiser and epoch. Order of batches and random numbers depend on seed and epoch alone,
    so a resumed run ends with the same weights as one that was never interrupted. A folder that holds a run is not
    written to unless it is resumed.

    Args:
        output_dir: the run's folder.
        network: the network that is trained.
        optimizer: its optimiser.
        settings: what must not change between the parts of a run (seed, protocol, fold, …), numbers and words.
        interval: epochs between checkpoints.
        resume: go on from ``models/checkpoint.pt``.
        writes: False for all but one of several processes; they only restore.
        validator, val_interval: what watches the training and how often, for protocols that keep the best epoch, see
            :class:`KeepBestEpoch`; ``protocol`` is one of the settings.
        resumed: name → anything else with a ``state_dict`` that a resumed run must find as it was, such as a schedule.

    Raises:
        DataProblem: at the start, when there is nothing to resume, it was made with other settings, or the folder
            holds a run that is not to be resumed.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: dict[str, Any],
        interval: int = 10,
        resume: bool = False,
        writes: bool = True,
        resumed: Mapping[str, Any] | None = None,
        validator: Engine | None = None,
        val_interval: int = 1,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.network = network
        self.optimizer = optimizer
        self.settings = {key: str(value) for key, value in settings.items()}
        self.interval = interval
        self.resume = resume
        self.writes = writes
        self.resumed = dict(resumed or {})
        self.validator = validator
        self.val_interval = val_interval

    def attach(self, engine: Workflow) -> None:
        if self.validator is not None:
            KeepBestEpoch(
                str(self.output_dir),
                self.network,
                self.settings["protocol"],
                self.validator,
                self.val_interval,
                self.resume,
                self.writes,
            ).attach(engine)
        engine.add_event_handler(Events.STARTED, self.start)
        if self.writes:
            engine.add_event_handler(Events.COMPLETED, self.save)

    def start(self, engine: Workflow) -> None:
        # What other handlers change at the end of an epoch belongs to it: they are all attached by now.
        if self.writes and not engine.has_event_handler(self.save, Events.EPOCH_COMPLETED):
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
        if self.resume:
            self._restore(engine)
        elif self.writes:
            self._refuse_another_run()
            (self.output_dir / "history.csv").unlink(missing_ok=True)  # of a run that ended before its first checkpoint
        if self.writes:
            for name in _SCORES:
                (self.output_dir / name).unlink(missing_ok=True)
        (self.output_dir / "models").mkdir(parents=True, exist_ok=True)

    def save(self, engine: Workflow) -> None:
        content = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "settings": json.dumps(self.settings),
            "resumed": {name: part.state_dict() for name, part in self.resumed.items()},
        }
        with whole_file(self.output_dir / "models" / "checkpoint.pt") as partial:
            torch.save(content, partial)

    def _refuse_another_run(self) -> None:
        for name in ("model.pt", "checkpoint.pt"):
            if (self.output_dir / "models" / name).is_file():
                what = f"the folder holds a run already (models/{name})"
                raise DataProblem(Problem("--output_dir", what, "go on with --resume true, or name a new folder"))

    def _restore(self, engine: Workflow) -> None:
        path = self.output_dir / "models" / "checkpoint.pt"
        if not path.is_file():
            what = "there is no models/checkpoint.pt to resume from"
            raise DataProblem(Problem("--resume", what, "name the run's folder (--output_dir) or drop --resume"))
        content = read_checkpoint(path, "--resume")
        try:
            before = dict(json.loads(content["settings"]))
            network, optimizer = content["network"], content["optimizer"]
            epoch, iteration = int(content["epoch"]), int(content["iteration"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise self._no_checkpoint() from error
        problems = [
            Problem("--resume", f"the run was made with {key} {before.get(key)}, not {value}", "ask for the same")
            for key, value in self.settings.items()
            if before.get(key) != value
        ]
        if problems:
            raise DataProblem(*problems)
        state = without_scales(plain_tensors(network, path.name, "--resume"))
        load_state(self.network, state, path.name, "--resume")
        try:
            self.optimizer.load_state_dict(optimizer)
            for name, part in self.resumed.items():
                part.load_state_dict(content["resumed"][name])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise self._no_checkpoint() from error
        engine.state.epoch = epoch
        engine.state.iteration = iteration

    @staticmethod
    def _no_checkpoint() -> DataProblem:
        what = "checkpoint.pt does not hold what a run's checkpoint holds, or not of this network's training"
        return DataProblem(Problem("--resume", what, "name the run's folder (--output_dir) or train anew in another"))
