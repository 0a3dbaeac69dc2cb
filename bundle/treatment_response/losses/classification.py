"""The loss of a plain classifier."""

from __future__ import annotations

import torch
from torch import nn

from treatment_response.problems import DataProblem, Problem


class ClassificationLoss(nn.Module):
    """A criterion on the logits of any network, in the form that the training step expects.

    Args:
        criterion: ``(logits, label) -> scalar``. With one logit it gets the label as a float ``(B, 1)``, with K logits
            as class numbers ``(B,)``. Without it: the binary cross-entropy of one logit, the cross-entropy of K.

    Shapes:
        ``forward(network, x (B, C, …), label (B, 1))`` returns ``pred`` (B, 1) or (B, K) and the scalars ``loss``,
        ``classification``.

    Raises:
        DataProblem: a label that the network has no logit for, or a criterion for K logits on one.
    """

    def __init__(self, criterion: nn.Module | None = None) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, network: nn.Module, x: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
        pred = network(x).float()
        loss = self._loss(pred, label)
        return {"loss": loss, "pred": pred, "classification": loss.detach()}

    def _loss(self, pred: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        count = pred.shape[1]
        if count == 1:
            if isinstance(self.criterion, nn.CrossEntropyLoss):  # it would be 0 whatever the network says
                remedy = "give the network one output per class, or leave the criterion out"
                raise DataProblem(
                    Problem("loss", "CrossEntropyLoss needs a logit per class, the network has one", remedy)
                )
            criterion = self.criterion or nn.functional.binary_cross_entropy_with_logits
            loss: torch.Tensor = criterion(pred, label)
            return loss
        classes = label.flatten().long()
        if pred.device.type == "cpu" and int(classes.max()) >= count:
            what = f"class {int(classes.max())} is in the data set, the network has outputs for 0 to {count - 1}"
            raise DataProblem(Problem("network_def", what, "give the network one output per class"))
        loss = (self.criterion or nn.functional.cross_entropy)(pred, classes)
        return loss
