"""The loss of training reconstruction and classification together."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.losses.reconstruction import MaskedReconstructionLoss


class JointLoss(nn.Module):
    """``reconstruction + classification``, weighted 1 : 1 by default; classification is BCE on the logit.

    Args:
        ssim, pixel, outside: weights of the parts of the autoencoder's loss, see `MaskedReconstructionLoss`.
        weight_reconstruction: its weight.
        weight_classification: the classifier's weight.

    Shapes:
        ``forward(network, x (B, 2, S, S), label (B, 1))`` returns ``pred`` (B, 1), and the scalars ``loss``,
        ``reconstruction``, ``classification``. The network needs `encode`, `cell_mask`, `decode_logits`, `classify`.
    """

    def __init__(
        self,
        ssim: float = 0.2,
        pixel: float = 0.6,
        outside: float = 0.2,
        weight_reconstruction: float = 1.0,
        weight_classification: float = 1.0,
    ) -> None:
        super().__init__()
        self.reconstruction = MaskedReconstructionLoss(ssim, pixel, outside)
        self.weight_reconstruction = weight_reconstruction
        self.weight_classification = weight_classification

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        code, cells = network.encode(x), network.cell_mask(x)
        masked = code * cells
        pred = network.classify(masked).float()
        reconstruction = self.reconstruction(network.decode_logits(masked), x[:, :1] * x[:, 1:], code, cells)
        classification = nn.functional.binary_cross_entropy_with_logits(pred, label)
        loss = self.weight_reconstruction * reconstruction + self.weight_classification * classification
        return {
            "loss": loss,
            "pred": pred,
            "reconstruction": reconstruction.detach(),
            "classification": classification.detach(),
        }
