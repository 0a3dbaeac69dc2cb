"""The weights that an evaluation scores."""

from __future__ import annotations

from ignite.engine import Engine, Events
from torch import nn

from treatment_response.training.scoring import load_trained


class LoadTrained:
    """Put a run's weights into the network when its evaluation starts; see `load_trained`.

    Args:
        network: that the evaluator runs.
        output_dir: the run's folder.
        protocol, fold: what is to be scored as held out.
    """

    def __init__(self, network: nn.Module, output_dir: str, protocol: str, fold: int) -> None:
        self.network = network
        self.output_dir = output_dir
        self.protocol = protocol
        self.fold = fold

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        load_trained(self.network, self.output_dir, self.protocol, self.fold)
