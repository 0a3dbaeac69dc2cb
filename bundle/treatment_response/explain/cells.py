"""Between pixels and cells: what a lesion's cells hold, and how alike two maps are over them."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch.nn.functional import avg_pool2d


def cell_sums(pixels: torch.Tensor, cells: int) -> torch.Tensor:
    """Sum over the pixels of each cell: ``(N, S, S)`` → ``(N, cells, cells)``; S is a multiple of `cells`."""
    side = pixels.shape[-1] // cells
    return avg_pool2d(pixels[:, None], side)[:, 0] * side**2


def cell_means(pixels: torch.Tensor, mask: torch.Tensor, cells: int) -> torch.Tensor:
    """Mean over the lesion's pixels of each cell, 0 where a cell holds none.

    Args:
        pixels, mask: ``(N, S, S)``; the mask is 0 or 1.
    """
    total, area = cell_sums(pixels * mask, cells), cell_sums(mask, cells)
    return torch.where(area > 0, total / area.clamp(min=1), torch.zeros_like(total))


def pixels_of(maps: torch.Tensor, size: int) -> torch.Tensor:
    """Every cell's value at each of its pixels: ``(N, h, w)`` → ``(N, size, size)``."""
    side = size // maps.shape[-1]
    return maps.repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)


def rank_correlation(first: torch.Tensor, second: torch.Tensor, cell_mask: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation of two maps over each lesion's cells, ``(N,)`` float64 in [-1, 1].

    Tied cells share their ranks. A map that is the same everywhere in the lesion orders no cells: its correlation with
    anything is 0, what a random map has on average.

    Args:
        first, second: ``(N, H, W)``.
        cell_mask: the lesion's cells, ``(N, H, W)``, 0 or 1.
    """
    values = [
        float(spearman_between(a[inside].numpy(), b[inside].numpy()[None])[0])
        for a, b, inside in zip(first.detach(), second.detach(), cell_mask > 0, strict=True)
    ]
    return torch.tensor(values, dtype=torch.float64)


def spearman_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of every row of one table with every row of another; 0 where a row is constant.

    Args:
        first: ``(..., C)``. second: ``(R, C)``.

    Returns:
        ``(..., R)``.
    """
    result: np.ndarray = standardised(rankdata(first, axis=-1)) @ standardised(rankdata(second, axis=-1)).T
    return result


def standardised(ranks: np.ndarray) -> np.ndarray:
    """Ranks, or what is left of them, centred and of length 1 along the last axis; 0 where nothing but rounding is."""
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    result: np.ndarray = np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 1e-9)
    return result
