"""The loss of a plain classifier."""

from __future__ import annotations

import torch
from torch import nn


class ClassificationLoss(nn.Module):
    """A criterion on the logits of any network, in the form that the training step expects.

    Args:
        criterion: ``(logits, label) -> scalar``; default is the binary cross-entropy for one logit. For K classes give
            ``torch.nn.CrossEntropyLoss``.

    Shapes:
        ``forward(network, x (B, C, …), label)`` returns ``pred`` (B, K) and the scalars ``loss``, ``classification``.
    """

    def __init__(self, criterion: nn.Module | None = None) -> None:
        super().__init__()
        self.criterion = nn.BCEWithLogitsLoss() if criterion is None else criterion

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        pred = network(x).float()
        loss = self.criterion(pred, label)
        return {"loss": loss, "pred": pred, "classification": loss.detach()}
