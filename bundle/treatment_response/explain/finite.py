"""A network whose answer is no number has none: nothing may be made of it."""

from __future__ import annotations

import torch

from treatment_response.problems import DataProblem, Problem


def check_finite(*answers: torch.Tensor) -> None:
    """Refuse logits or maps that are not finite; finite weights can give them, such as a negative variance.

    Raises:
        DataProblem: one of them holds NaN or an infinite number.
    """
    if not all(bool(torch.isfinite(answer).all()) for answer in answers):
        remedy = "train it again, or use other weights"
        raise DataProblem(Problem("the model", "its predictions or maps are not finite", remedy))
