"""How well a map finds a known sub-region: scores per case, cell by cell, that a random map has a known value of.

Cells are scored against the niche fraction f of each cell in [0, 1]: a cell counts as niche with weight f and as the
rest of the region with weight 1 − f. Cells that tie share their places, so a map without any evidence gets exactly what
a random map gets on average. Localisation is not faithfulness: that a map finds the niche does not show that the
network uses it.

All scores: higher is better. A region without niche, or with nothing but niche, has no score (NaN).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LocalisationScores:
    """Scores of one method, one value per case, each ``(N,)`` float64.

    Attributes:
        auc: probability that a niche cell has a higher value than another cell of the region; chance is 0.5.
        pointing: niche fraction of the map's highest cell, the mean of them when several tie.
        dice: Dice of the niche with as many of the highest cells as the niche has area.
        chance: expected ``pointing`` and ``dice`` of a random map: the niche fraction of the region.
        empty: 1 where the map is zero everywhere ("no evidence"), else 0.
    """

    auc: torch.Tensor
    pointing: torch.Tensor
    dice: torch.Tensor
    chance: torch.Tensor
    empty: torch.Tensor


def localisation_scores(maps: torch.Tensor, niche: torch.Tensor, cell_mask: torch.Tensor) -> LocalisationScores:
    """Score maps against the niche, case by case.

    Args:
        maps: ``(N, *grid)``, any scale; only the order of cells within a region matters.
        niche: niche fraction of each cell, ``(N, *grid)`` in [0, 1].
        cell_mask: the region's cells, ``(N, *grid)`` or ``(N, 1, *grid)``, 0 or 1.

    Raises:
        ValueError: if the shapes differ or a niche fraction leaves [0, 1].

    References:
        Pointing game: Zhang et al., Top-down neural attention by excitation backprop, 2016.
    """
    cell_mask = cell_mask.reshape(niche.shape)
    if maps.shape != niche.shape:
        raise ValueError(f"maps {tuple(maps.shape)} and niche fractions {tuple(niche.shape)} must have one shape.")
    if niche.min() < -1e-6 or niche.max() > 1 + 1e-6:
        raise ValueError(f"niche fractions must be in [0, 1], got {float(niche.min())} to {float(niche.max())}.")
    rows = [
        _one_case(one_map[inside].double(), fraction[inside].double().clamp(0, 1))
        for one_map, fraction, inside in zip(maps, niche, cell_mask > 0, strict=True)
    ]
    columns = torch.tensor(rows, dtype=torch.float64).reshape(-1, 5).T
    return LocalisationScores(*columns)


def _one_case(value: torch.Tensor, fraction: torch.Tensor) -> tuple[float, float, float, float, float]:
    """(auc, pointing, dice, chance, empty) of one region's cells ``(C,)``."""
    nan = float("nan")
    area = float(fraction.sum())
    if not 0 < area < len(fraction):
        return nan, nan, nan, nan, nan
    chance = area / len(fraction)
    pointing = float(fraction[value == value.max()].mean())
    return _weighted_auc(value, fraction), pointing, _dice(value, fraction, area), chance, float(not value.any())


def _weighted_auc(value: torch.Tensor, fraction: torch.Tensor) -> float:
    """Over the levels of the map, so that a whole brain of voxels takes a sort and not all pairs."""
    inside, outside = _by_level(value, fraction), _by_level(value, 1 - fraction)
    below = outside.cumsum(0) - outside
    return float(inside @ (below + 0.5 * outside) / (inside.sum() * outside.sum()))


def _dice(value: torch.Tensor, fraction: torch.Tensor, area: float) -> float:
    """Take cells from the highest value down until their area is the niche's; tied cells are taken in equal parts."""
    inside, cells = _by_level(value, fraction).flip(0), _by_level(value, torch.ones_like(fraction)).flip(0)
    taken = torch.minimum((area - (cells.cumsum(0) - cells)).clamp(min=0), cells)
    return float((taken * inside / cells).sum()) / area


def _by_level(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The sum of the weights ``(C,)`` at each level of the map, the lowest first."""
    levels, index = value.unique(return_inverse=True)
    return torch.zeros(len(levels), dtype=weight.dtype, device=weight.device).scatter_add_(0, index, weight)


def score_methods(
    maps: Mapping[str, torch.Tensor], niche: torch.Tensor, cell_mask: torch.Tensor
) -> dict[str, LocalisationScores]:
    """The scores of several methods on the same cases: the CAM variants beside their controls."""
    return {name: localisation_scores(method, niche, cell_mask) for name, method in maps.items()}
