"""Small networks with the interface of the masked autoencoder-classifier."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class SmallMaskedClassifier(nn.Module):
    """The interface the maps need, with batch norm and dropout in the head so that modes matter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(5 * 256, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Dropout(0.1), nn.Linear(32, 1)
        )

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x[:, :1])

    def cell_mask(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.max_pool2d(x[:, 1:], 4)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classify(self.encode(x) * self.cell_mask(x))


@pytest.fixture
def network() -> SmallMaskedClassifier:
    torch.manual_seed(3)
    network = SmallMaskedClassifier().double()
    network.head[3].running_mean.uniform_(-1, 1)
    network.head[3].running_var.uniform_(0.5, 2)
    return network


@pytest.fixture
def lesions() -> torch.Tensor:
    """Five slices with discs of different place and size, float64."""
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(5, 64, 64, generator=generator, dtype=torch.float64)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    centres = [(32, 32, 14), (20, 40, 9), (45, 15, 6), (32, 32, 3), (30, 30, 25)]
    mask = torch.stack([((rows - i) ** 2 + (columns - j) ** 2 <= r * r).double() for i, j, r in centres])
    return torch.stack([image, mask], dim=1)
