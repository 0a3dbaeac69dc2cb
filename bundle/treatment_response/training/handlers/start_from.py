"""A training that starts from given weights: fine-tuning."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import nn

from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import plain_tensors, read_checkpoint

_LEAST = 0.5
"""Share of the network's weights that a file must hold for it to be a start and no mistake."""


class StartFrom:
    """Put the weights of a file into the network before the first epoch, where names and shapes agree.

    A first convolution of other channels is copied over the network's channels in turn (1, 2, 1, 2, … of two). A last
    layer for other classes stays as it was drawn. The log says both. A training that is resumed goes on from its own
    checkpoint.

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
        stretched = _first_convolution(state, own)
        fitting |= stretched
        left = [name for name in own if name not in fitting]
        taken = sum(own[name].numel() for name in fitting) / sum(value.numel() for value in own.values())
        if taken < _LEAST:
            what = f"{taken:.0%} of the network's weights are in {path.name} under their names and shapes"
            raise DataProblem(Problem(where, what, f"name weights of the same network, at least {_LEAST:.0%}"))
        self.network.load_state_dict({**own, **fitting})
        said = (", ".join(stretched) or "nothing", ", ".join(left) or "nothing")
        logging.getLogger(__name__).info(
            "Started from %s; copied over the channels: %s; drawn anew: %s.", path.name, *said
        )


def _first_convolution(state: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's first convolution from one of other channels; nothing where it has the same, or another kernel."""
    name = next((name for name, value in own.items() if value.ndim > 2), None)
    if name is None or name not in state:
        return {}
    given, wanted = state[name], own[name]
    same = given.ndim == wanted.ndim and given.shape[0] == wanted.shape[0] and given.shape[2:] == wanted.shape[2:]
    if not same or given.shape[1] == wanted.shape[1]:
        return {}
    return {name: given[:, [channel % given.shape[1] for channel in range(wanted.shape[1])]]}
