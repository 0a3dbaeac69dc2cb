"""Epoch means of what a training step returns."""

from __future__ import annotations

from typing import Any

import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce

Output = tuple[dict[str, torch.Tensor], torch.Tensor]


def _pred_and_label(output: dict[str, Any]) -> Output:
    return output["pred"], output["label"]


class StepMean(Metric):
    """Mean over an epoch's samples of one entry of the step's output: ``loss``, ``accuracy``, ``reconstruction``, …

    Args:
        key: which entry.
    """

    required_output_keys = None

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(output_transform=_pred_and_label)

    @reinit__is_reduced
    def reset(self) -> None:
        self._sum = 0.0
        self._count = 0

    @reinit__is_reduced
    def update(self, output: Output) -> None:
        pred, label = output
        self._sum += float(pred[self.key]) * len(label)
        self._count += len(label)

    @sync_all_reduce("_sum", "_count")
    def compute(self) -> float:
        return self._sum / max(self._count, 1)
