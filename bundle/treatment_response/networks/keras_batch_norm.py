"""Batch normalisation with Keras' defaults."""

from __future__ import annotations

import torch
from torch import nn


class KerasBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation of ``(B, features)`` with Keras' momentum (0.99, torch's 0.01) and epsilon (1e-3).

    A training batch of one sample, which torch refuses, is normalised by the running statistics and does not change
    them: the last batch of an epoch may hold one sample.

    Args:
        features: number of features.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, eps=1e-3, momentum=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        use_batch = self.training and x.shape[0] > 1
        if use_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, 0.01, self.eps
        )
