"""One training step, in the form that MONAI's engines and DDP both understand."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.networks.probabilities import class_logits
from treatment_response.problems import DataProblem, Problem
from treatment_response.training.memory import keep_freed_memory
from treatment_response.training.small_grids import float32_on_small_grids

_MEND = "start again in a new folder with a lower learning rate, or with --bf16 false"


class TrainingStep(nn.Module):
    """A network and its loss as one module: its forward pass is the whole computation that has gradients.

    DDP averages the gradients of what runs inside its module's forward pass; a loss that calls `encode` and `decode`
    outside it would train every process on its own. Any network fits, with a loss ``loss(network, x, label)`` that
    returns a dictionary with ``loss`` and ``pred`` (logits). The step adds ``accuracy``, the share of right classes.

    Args:
        network: the network.
        loss: e.g. `treatment_response.losses.JointLoss`.
        bf16: compute convolutions and products in bfloat16 (autocast); weights and losses stay float32.

    Raises:
        DataProblem: while training, the loss is no finite number.
    """

    def __init__(self, network: nn.Module, loss: nn.Module, bf16: bool = False) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.bf16 = bf16
        keep_freed_memory()
        if bf16:
            float32_on_small_grids(network)

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            output: dict[str, torch.Tensor] = self.loss(self.network, x, label)
        if self.training and not bool(torch.isfinite(output["loss"])):
            raise DataProblem(Problem("training", "the loss is no longer a finite number", _MEND))
        decided = class_logits(output["pred"].detach()).argmax(dim=1)
        return {**output, "accuracy": (decided == label.flatten()).to(torch.float32).mean()}

    @staticmethod
    def loss_of(output: dict[str, torch.Tensor], label: torch.Tensor) -> torch.Tensor:
        """The loss that the step has computed already; the engine asks for a function of output and label."""
        return output["loss"]
