"""The loss of training the autoencoder first, then the classifier on its frozen code."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.losses.reconstruction import MaskedReconstructionLoss


class SequentialLoss(nn.Module):
    """First the reconstruction loss alone, then the classification loss alone on a frozen encoder.

    The half that rests is computed without gradients, so its parameters receive none and an optimiser skips them (no
    weight decay, no momentum): frozen means unchanged. Under DDP such a step has unused parameters.

    Args:
        reconstruction: loss of the autoencoder.

    Attributes:
        phase: ``"autoencoder"`` or ``"classifier"``; a handler switches it.

    Shapes:
        as `JointLoss`.
    """

    def __init__(self, reconstruction: MaskedReconstructionLoss | None = None) -> None:
        super().__init__()
        self.reconstruction = MaskedReconstructionLoss() if reconstruction is None else reconstruction
        self.phase = "autoencoder"

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.phase == "autoencoder"
        grad = torch.is_grad_enabled()
        with torch.set_grad_enabled(grad and first):
            code, cells = network.encode(x), network.cell_mask(x)
            masked = code * cells
            reconstruction = self.reconstruction(network.decode_logits(masked), x[:, :1] * x[:, 1:], code, cells)
        with torch.set_grad_enabled(grad and not first):
            pred = network.classify(masked.detach()).float()
            classification = nn.functional.binary_cross_entropy_with_logits(pred, label)
        return {
            "loss": reconstruction if first else classification,
            "pred": pred.detach() if first else pred,
            "reconstruction": reconstruction.detach(),
            "classification": classification.detach(),
        }
