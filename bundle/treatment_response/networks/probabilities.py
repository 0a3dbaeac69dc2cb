"""From a network's logits to the probabilities of its classes."""

from __future__ import annotations

import torch


def class_logits(logits: torch.Tensor) -> torch.Tensor:
    """One logit per class: K as they are; a single logit z, which is of the second of two classes, as (0, z).

    Args:
        logits: ``(B, 1)`` or ``(B, K)``, K ≥ 2.

    Returns:
        ``(B, 2)`` or ``(B, K)``; their softmax is `probabilities`.
    """
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The classes' probabilities in the order of their numbers, in [0, 1], each row summing to 1.

    Args:
        logits: ``(B, 1)`` is of the second of two classes: the result is (1 − p, p) with p its sigmoid. ``(B, K)`` is
            one per class: the result is their softmax.

    Returns:
        ``(B, 2)`` or ``(B, K)``, of the logits' type.
    """
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return torch.softmax(logits, dim=1)
