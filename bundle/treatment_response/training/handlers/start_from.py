"""A training that starts from given weights: fine-tuning."""

from __future__ import annotations

import logging
from pathlib import Path

from ignite.engine import Events
from monai.engines import Workflow
from torch import nn

from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import plain_tensors, read_checkpoint

_LEAST = 0.5
"""Share of the network's weights that a file must hold for it to be a start and no mistake."""


class StartFrom:
    """Put the weights of a file into the network before the first epoch, where names and shapes agree.

    A first layer for other channels or a last one for other classes stays as it was drawn, and the log says so. A
    training that is resumed goes on from its own checkpoint.

    Args:
        network: the network that is trained.
        model_path: a plain state dictionary, such as a run's ``model.pt``; None starts from random weights.

    Raises:
        DataProblem: at the start, when the file cannot be used or less than half of the weights agree.
    """

    def __init__(self, network: nn.Module, model_path: str | None = None) -> None:
        self.network = network
        self.model_path = model_path

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Workflow) -> None:
        if self.model_path is None or engine.state.epoch > 0:
            return
        path, where = Path(self.model_path), "--start_from"
        if not path.is_file():
            raise DataProblem(Problem(where, f"there is no file {path.name}", "name a state dictionary (.pt)"))
        state, own = plain_tensors(read_checkpoint(path, where), path.name, where), self.network.state_dict()
        fitting = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
        left = [name for name in own if name not in fitting]
        taken = sum(own[name].numel() for name in fitting) / sum(value.numel() for value in own.values())
        if taken < _LEAST:
            what = f"{taken:.0%} of the network's weights are in {path.name} under their names and shapes"
            raise DataProblem(Problem(where, what, f"name weights of the same network, at least {_LEAST:.0%}"))
        self.network.load_state_dict({**own, **fitting})
        logging.getLogger(__name__).info("Started from %s; drawn anew: %s.", path.name, ", ".join(left) or "nothing")
