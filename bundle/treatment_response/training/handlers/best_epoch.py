"""The epoch with the lowest watched loss as the model, for protocols that choose it so."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines import Workflow
from torch import nn

from treatment_response.files import whole_file
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import protocol_of
from treatment_response.weights import load_state, plain_tensors, read_checkpoint

FILE = "best_epoch.pt"


class KeepBestEpoch:
    """Put the weights of the epoch with the lowest watched loss into the network when training ends.

    Where the watched cases are the test cases, as in the published protocol of RANO, what is then scored on them
    flatters: this handler exists to measure by how much. With other protocols it does nothing, and the last epoch
    counts. Of equal losses the first counts. A resumed training repeats its epochs exactly, so the file of an
    interrupted one stays right. `RunCheckpoint` attaches it, before the handler that writes the model.

    Args:
        output_dir: the run's folder; ``models/best_epoch.pt`` holds weights, epoch and loss.
        network: the network that is trained.
        protocol: a name, see `treatment_response.protocols`.
        validator: the evaluator of the watched cases, whose metric ``loss`` decides.
        interval: of the ``ValidationHandler`` in epochs.
        resume: whether the training goes on from a checkpoint.
        writes: False for all but one of several processes.

    Raises:
        DataProblem: at the start, when the protocol chooses an epoch and not every epoch is validated.
    """

    def __init__(
        self,
        output_dir: str,
        network: nn.Module,
        protocol: str,
        validator: Engine,
        interval: int = 1,
        resume: bool = False,
        writes: bool = True,
    ) -> None:
        self.path = Path(output_dir) / "models" / FILE
        self.network = network
        self.protocol = protocol
        self.validator = validator
        self.interval = interval
        self.resume = resume
        self.writes = writes
        self.epoch, self.loss = 0, float("inf")

    def attach(self, engine: Workflow) -> None:
        if not protocol_of(self.protocol).chooses_epoch:
            return
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.restore)
        # The validator runs at the end of the trainer's epoch, after handlers that were attached before it.
        self.validator.add_event_handler(Events.COMPLETED, self.look, engine)

    def start(self, engine: Workflow) -> None:
        if self.interval != 1:
            what = f"protocol {self.protocol} chooses among all epochs, and one in {self.interval} is validated"
            raise DataProblem(Problem("--val_interval", what, "set it to 1"))
        self.epoch, self.loss = 0, float("inf")
        if self.resume and self.path.is_file():
            content = read_checkpoint(self.path, "--resume")
            self.epoch, self.loss = int(content["epoch"]), float(content["loss"])
        elif self.writes:
            self.path.unlink(missing_ok=True)  # of a run that ended before its first checkpoint

    def look(self, validator: Engine, engine: Workflow) -> None:
        loss = float(validator.state.metrics["loss"])
        if not loss < self.loss:
            return
        self.epoch, self.loss = engine.state.epoch, loss
        if self.writes:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as partial:
                torch.save({"network": self.network.state_dict(), "epoch": self.epoch, "loss": loss}, partial)

    def restore(self, engine: Workflow) -> None:
        if not self.writes or not self.epoch:
            return
        content = read_checkpoint(self.path, "--output_dir")
        load_state(self.network, plain_tensors(content["network"], FILE, "--output_dir"), FILE, "--output_dir")
        logging.getLogger(__name__).info("The model is that of epoch %d, watched loss %.4g.", self.epoch, self.loss)
