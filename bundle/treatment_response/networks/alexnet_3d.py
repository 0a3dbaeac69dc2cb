"""AlexNet with 3D convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

SMALLEST = 63
"""Voxels along each axis below which nothing is left to pool."""


class AlexNet3D(nn.Module):
    """Five convolutions with three poolings, then three dense layers.

    Kernels, strides and widths are AlexNet's (Krizhevsky 2014, one column). The padding is the same along each axis.

    Args:
        in_channels: channels C of the input.
        out_channels: logits K.
        widths: channels of the five convolutions.
        dense: width of the two hidden dense layers; with 4096 the network has 260 million weights.
        dropout: before each hidden dense layer, in [0, 1).

    Shapes:
        ``(B, C, *grid)``, each axis at least `SMALLEST` voxels → logits ``(B, K)``.

    Raises:
        ValueError: a smaller grid, or not five widths.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 192, 384, 256, 256),
        dense: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"widths holds {len(widths)} numbers, expected 5")
        first, second, third, fourth, fifth = widths
        self.features = nn.Sequential(
            nn.Conv3d(in_channels, first, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(kernel_size=3, stride=2),
            nn.Conv3d(first, second, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(kernel_size=3, stride=2),
            nn.Conv3d(second, third, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(third, fourth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(fourth, fifth, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(kernel_size=3, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool3d(6)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(fifth * 6**3, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(dense, dense),
            nn.ReLU(inplace=True),
            nn.Linear(dense, out_channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if min(x.shape[2:]) < SMALLEST:
            raise ValueError(f"AlexNet3D needs at least {SMALLEST} voxels along each axis, got {tuple(x.shape[2:])}")
        logits: torch.Tensor = self.classifier(self.pool(self.features(x)))
        return logits
