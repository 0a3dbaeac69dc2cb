"""The RANO study's schedule: after an epoch without progress, back to the best weights with a tenth of the rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import nn


class RestoreAndDivide:
    """Restore the weights of the lowest training loss and divide the rate when an epoch's training loss does not fall.

    After an epoch whose mean training loss is below all earlier ones, its weights are kept and the count of failures is
    0 again. After any other epoch the kept weights come back, the rate is divided, the optimiser forgets its moments
    (the study makes a new one), and the count rises. A count of `patience` ends the training. Before the first progress
    the kept weights are those that the first epoch started with. The rate never rises again.

    The model that a training leaves is the one with the lowest training loss, if its last epoch has failed; no other
    data choose it. List the handler's object under ``schedules``: the watched cases are then scored after it, as in the
    study, and a failed epoch repeats the loss of the kept one. List it under ``resumed`` too: a resumed training then
    goes on with its counts.

    Args:
        network: the network that is trained. optimizer: its optimiser.
        factor: what the rate is divided by.
        patience: failures in a row that end the training.
        metric: name of the mean training loss among the trainer's metrics.

    References:
        anamatoso/RANO-classification, ``03_benchmarking.py``.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        factor: float = 10.0,
        patience: int = 10,
        metric: str = "loss",
    ) -> None:
        if factor <= 1 or patience < 1:
            raise ValueError(f"factor must be above 1 and patience at least 1, got {factor} and {patience}")
        self.network = network
        self.optimizer = optimizer
        self.factor = factor
        self.patience = patience
        self.metric = metric
        self.lowest = math.inf
        self.failures = 0
        self.kept: dict[str, torch.Tensor] = {}

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_STARTED(once=1), self.keep_first)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def start(self, engine: Workflow) -> None:
        if self.failures >= self.patience:
            engine.terminate()

    def keep_first(self, engine: Workflow) -> None:
        self._keep()  # by now other handlers have put in the weights that the training starts from

    def __call__(self, engine: Workflow) -> None:
        loss = float(engine.state.metrics[self.metric])
        if loss < self.lowest:
            self.lowest, self.failures = loss, 0
            self._keep()
            return
        self.network.load_state_dict(self.kept)
        self.optimizer.state.clear()
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr"] / self.factor
        self.failures += 1
        if self.failures >= self.patience:
            engine.terminate()

    def _keep(self) -> None:
        self.kept = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"lowest": self.lowest, "failures": self.failures, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.lowest, self.failures = float(state["lowest"]), int(state["failures"])
        self.kept = {name: value.to(self.network.state_dict()[name].device) for name, value in state["kept"].items()}
