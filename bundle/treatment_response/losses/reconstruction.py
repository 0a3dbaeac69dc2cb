"""How well the autoencoder rebuilds the lesion."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.losses.ssim import SSIMLoss


class MaskedReconstructionLoss(nn.Module):
    """``w_ssim · (1 − SSIM) + w_pixel · BCE + w_outside · L2``, of slice × mask.

    SSIM and the pixel-wise binary cross-entropy compare the reconstruction with slice × mask over all pixels (soft
    targets in [0, 1]). L2 is the mean over all entries of the squared code outside the mask: mean((A · (1 − M))²).

    Args:
        ssim: weight of 1 − SSIM.
        pixel: weight of the cross-entropy.
        outside: weight of the code outside the mask.

    References:
        Peng, Jiang, Timmerman, arXiv 2506.17536, supplement: weights 0.2, 0.6, 0.2.
    """

    def __init__(self, ssim: float = 0.2, pixel: float = 0.6, outside: float = 0.2) -> None:
        super().__init__()
        self.weight_ssim = ssim
        self.weight_pixel = pixel
        self.weight_outside = outside
        self.ssim = SSIMLoss()

    def forward(
        self, logits: torch.Tensor, target: torch.Tensor, code: torch.Tensor, cell_mask: torch.Tensor
    ) -> torch.Tensor:
        """One number.

        Args:
            logits: reconstruction before the sigmoid, ``(B, 1, S, S)``.
            target: slice × mask in [0, 1], same shape.
            code: the encoder's output before the mask, ``(B, F, S', S')``.
            cell_mask: ``(B, 1, S', S')``, 0 or 1.
        """
        logits = logits.float()
        pixel = nn.functional.binary_cross_entropy_with_logits(logits, target)
        similarity = self.ssim(torch.sigmoid(logits), target)
        outside = (code.float() * (1.0 - cell_mask)).square().mean()
        return self.weight_ssim * similarity + self.weight_pixel * pixel + self.weight_outside * outside
