"""A lesion's area in each slice, by which the slices' logits are weighted."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def mean_over_area(logits: torch.Tensor, x: torch.Tensor, pixel: Sequence[float]) -> torch.Tensor:
    """The mean of slices' logits, each weighted by the GTV's area.

    Args:
        logits: ``(N,)`` or ``(N, K)`` float64.
        x: the patches, ``(N, 2, S, S)``, the GTV's mask in their second channel.
        pixel: mm along each side of a patch's pixels, N; they differ where a lesion is wider than the others' field.
    """
    area = lesion_areas(x, pixel)
    return (area / area.sum()) @ logits


def lesion_areas(x: torch.Tensor, pixel: Sequence[float]) -> torch.Tensor:
    """The GTV's area in each slice, mm², ``(N,)`` float64; arguments as `mean_over_area`."""
    return torch.as_tensor(x)[:, 1].flatten(1).sum(1).double() * torch.tensor(pixel, dtype=torch.float64) ** 2
