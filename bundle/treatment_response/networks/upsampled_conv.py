"""Upsampling and convolution in one."""

from __future__ import annotations

import torch
from torch import nn


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbour upsampling by 2, then a 3×3 convolution, computed on the small grid.

    Equals ``conv(interpolate(x, scale_factor=2, mode="nearest"))`` with the same parameters: each of the four output
    pixels of an input pixel sees at most 2×2 input pixels, so the 3×3 kernel folds into four kernels, one per phase
    (sub-pixel convolution, Shi et al. 2016, arXiv 1609.05158). The upsampled tensor, four times the size, is never
    made, which is what makes a training step on a CPU quick.

    Args:
        in_channels: channels of the small input.
        out_channels: channels of the output, which is twice as high and wide.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1)
        # fold[phase, small-grid tap, tap]: phase 0 sees the taps (-1 | 0, 1), phase 1 sees (-1, 0 | 1).
        first = [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
        second = [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        self.register_buffer("fold", torch.tensor([first, second]), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.einsum("pak,qbl,oikl->opqiab", self.fold, self.fold, self.weight).flatten(0, 2)
        x = nn.functional.pixel_shuffle(nn.functional.conv2d(x, weight, padding=1), 2)
        bias = self.bias
        assert bias is not None  # TorchScript does not know that nn.Conv2d was made with a bias
        return x + bias.view(-1, 1, 1)
