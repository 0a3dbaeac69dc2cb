"""Between pixels and cells, 2D or 3D: what a region's cells hold, and how alike two maps are over them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import rankdata
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, max_pool1d, max_pool2d, max_pool3d

Cells = int | Sequence[int]
"""Cells along every axis, or along each one."""
_MEAN_POOLING = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}
_MAX_POOLING = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


def cell_sides(grid: Sequence[int], cells: Cells) -> tuple[int, ...]:
    """Pixels along each side of a cell.

    Raises:
        ValueError: the grid is no multiple of the cells.
    """
    counts = (cells,) * len(grid) if isinstance(cells, int) else tuple(cells)
    if len(counts) != len(grid) or any(size % count for size, count in zip(grid, counts, strict=True)):
        raise ValueError(f"A grid of {tuple(grid)} cannot be cut into {counts} equal cells.")
    return tuple(size // count for size, count in zip(grid, counts, strict=True))


def mean_pooled(pixels: torch.Tensor, cells: Cells) -> torch.Tensor:
    """Mean over the pixels of each cell, ``(N, C, *grid)`` → ``(N, C, *cells)``."""
    return _MEAN_POOLING[pixels.ndim - 2](pixels, cell_sides(pixels.shape[2:], cells))


def max_pooled(pixels: torch.Tensor, cells: Cells) -> torch.Tensor:
    """The largest pixel of each cell, ``(N, C, *grid)`` → ``(N, C, *cells)``."""
    result: torch.Tensor = _MAX_POOLING[pixels.ndim - 2](pixels, cell_sides(pixels.shape[2:], cells))
    return result


def cell_sums(pixels: torch.Tensor, cells: Cells) -> torch.Tensor:
    """Sum over the pixels of each cell: ``(N, *grid)`` → ``(N, *cells)``."""
    return mean_pooled(pixels[:, None], cells)[:, 0] * math.prod(cell_sides(pixels.shape[1:], cells))


def cell_means(pixels: torch.Tensor, mask: torch.Tensor, cells: Cells) -> torch.Tensor:
    """Mean over the region's pixels of each cell, 0 where a cell holds none.

    Args:
        pixels, mask: ``(N, *grid)``; the mask is 0 or 1.
    """
    total, area = cell_sums(pixels * mask, cells), cell_sums(mask, cells)
    return torch.where(area > 0, total / area.clamp(min=1), torch.zeros_like(total))


def pixels_of(maps: torch.Tensor, grid: Cells) -> torch.Tensor:
    """Every cell's value at each of its pixels: ``(N, *cells)`` → ``(N, *grid)``."""
    sizes = (grid,) * (maps.ndim - 1) if isinstance(grid, int) else tuple(grid)
    for axis, side in enumerate(cell_sides(sizes, maps.shape[1:]), start=1):
        maps = maps.repeat_interleave(side, dim=axis)
    return maps


def rank_correlation(first: torch.Tensor, second: torch.Tensor, cell_mask: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation of two maps over each region's cells, ``(N,)`` float64 in [-1, 1].

    Tied cells share their ranks. A map that is the same everywhere in the region orders no cells: its correlation with
    anything is 0, what a random map has on average.

    Args:
        first, second: ``(N, *cells)``.
        cell_mask: the region's cells, ``(N, *cells)``, 0 or 1.
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
