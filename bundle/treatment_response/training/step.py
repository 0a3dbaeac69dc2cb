"""One training step, in the form that MONAI's engines and DDP both understand."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

Batch = dict[str, torch.Tensor]


class TrainingStep(nn.Module):
    """A network and its loss as one module: its forward pass is the whole computation that has gradients.

    DDP averages the gradients of what runs inside its module's forward pass; a loss that calls `encode` and `decode`
    outside it would train every process on its own. Any network fits, with a loss ``loss(network, x, label)`` that
    returns a dictionary with ``loss`` and ``pred``.

    Args:
        network: the network.
        loss: e.g. `treatment_response.losses.JointLoss`.
        bf16: compute convolutions and products in bfloat16 (autocast); weights and losses stay float32.
    """

    def __init__(self, network: nn.Module, loss: nn.Module, bf16: bool = False) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.bf16 = bf16

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.loss(self.network, x, label)


def prepare_batch(
    batch: Batch, device: torch.device | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict[str, Any]]:
    """Input, label, and the label once more as the step's second argument, on the device."""
    image = batch["image"].to(device, non_blocking=non_blocking, **kwargs)
    label = batch["label"].to(device, non_blocking=non_blocking, **kwargs)
    return image, label, (label,), {}


def step_loss(output: dict[str, torch.Tensor], label: torch.Tensor) -> torch.Tensor:
    """The loss that the step has computed already; the engine asks for a function of output and label."""
    return output["loss"]
