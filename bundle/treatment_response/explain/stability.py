"""Does a map stay when nothing that matters changes: the lesion moved by a few pixels, or a little noise?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import pad

from treatment_response.explain.cells import cell_means, pixels_of, rank_correlation

Explain = Callable[[torch.Tensor], dict[str, torch.Tensor]]
"""From a batch ``(N, 2, S, S)`` to maps ``(N, H, W)`` by name."""

SHIFTS = ((1, 0), (0, -1), (-2, 0), (0, 2), (3, 0), (0, -3))
"""Pixels along both axes; a cell has 4."""
NOISE = 0.1
"""SD of the noise as a share of the intensities' SD inside the lesion."""
NOISE_DRAWS = 5


def shifted(x: torch.Tensor, shift: tuple[int, int]) -> torch.Tensor:
    """The slice moved by whole pixels: content goes towards higher indices; the image's edge is continued.

    Args:
        x: ``(N, 2, S, S)``, image and mask; the mask gets zeros at the edge.
    """
    reach = max(abs(step) for step in shift)
    first, second = (slice(reach - step, reach - step + x.shape[-1]) for step in shift)
    image = pad(x[:, :1], (reach,) * 4, mode="replicate")
    mask = pad(x[:, 1:], (reach,) * 4)
    return torch.cat([image, mask], dim=1)[:, :, first, second]


def moved_back(maps: torch.Tensor, shift: tuple[int, int], mask: torch.Tensor) -> torch.Tensor:
    """Maps of a shifted lesion on the cells of the lesion where it was.

    Args:
        maps: ``(N, H, W)`` of the shifted slice.
        mask: ``(N, S, S)``, the lesion before it was shifted.

    Returns:
        ``(N, H, W)``: the mean, over the lesion's pixels of each cell, of what the map says of these pixels.
    """
    pixels = torch.roll(pixels_of(maps, mask.shape[-1]), tuple(-step for step in shift), dims=(1, 2))
    return cell_means(pixels, mask, maps.shape[-1])


def shift_agreement(explain: Explain, x: torch.Tensor, cell_mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean of Spearman's correlation between a lesion's map and its map after shifts (`SHIFTS`), moved back.

    Args:
        cell_mask: ``(N, H, W)``.

    Returns:
        Name → ``(N,)``; NaN for a lesion that every shift would push out of the field.
    """
    mask = x[:, 1]
    before = explain(x)
    sums = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    counted = torch.zeros(len(x), dtype=torch.float64)
    for shift in SHIFTS:
        moved = shifted(x, shift)
        whole = (moved[:, 1].sum(dim=(1, 2)) == mask.sum(dim=(1, 2))).double()
        counted += whole
        for name, maps in explain(moved).items():
            sums[name] += whole * rank_correlation(before[name], moved_back(maps, shift, mask), cell_mask)
    return {name: torch.where(counted > 0, total / counted, torch.nan) for name, total in sums.items()}


def noise_scores(
    explain: Explain, x: torch.Tensor, cell_mask: torch.Tensor, generator: torch.Generator
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What Gaussian noise of `NOISE` times the lesion's own SD does to a map, in `NOISE_DRAWS` draws.

    Returns:
        Mean Spearman's correlation before and after by name, ``(N,)``; and the largest relative change
        ‖map(x + noise) − map(x)‖ / ‖map(x)‖, NaN where the map is empty.

    References:
        Yeh et al., On the (in)fidelity and sensitivity of explanations, 2019; captum's ``sensitivity_max`` does the
        second for one kind of map at a time, where one pass gives them all here.
    """
    size = lesion_sd(x)[:, None, None, None] * NOISE
    before = explain(x)
    agreement = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    change = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    for _ in range(NOISE_DRAWS):
        noise = torch.randn(x[:, :1].shape, generator=generator, dtype=x.dtype) * size
        for name, maps in explain(torch.cat([x[:, :1] + noise, x[:, 1:]], dim=1)).items():
            agreement[name] += rank_correlation(before[name], maps, cell_mask) / NOISE_DRAWS
            change[name] = torch.maximum(change[name], relative_change(before[name], maps))
    return agreement, change


def relative_change(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """‖after − before‖ / ‖before‖ per lesion, ``(N,)`` float64; NaN where `before` is zero everywhere."""
    size = before.double().flatten(1).norm(dim=1)
    distance = (after - before).double().flatten(1).norm(dim=1)
    return torch.where(size > 0, distance / size.clamp(min=1e-300), torch.nan)


def lesion_sd(x: torch.Tensor) -> torch.Tensor:
    """SD of the intensities inside each lesion, ``(N,)``."""
    image, mask = x[:, 0], x[:, 1]
    area = mask.sum(dim=(1, 2)).clamp(min=1)
    mean = (image * mask).sum(dim=(1, 2)) / area
    return (((image - mean[:, None, None]) ** 2 * mask).sum(dim=(1, 2)) / area).sqrt()
