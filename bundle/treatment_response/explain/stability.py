"""Does a map stay when nothing that matters changes: the image moved by a few pixels, or a little noise?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import pad

from treatment_response.explain.cells import cell_means, pixels_of, rank_correlation
from treatment_response.explain.region import MaskChannel, Region, image_channels, with_images

Explain = Callable[[torch.Tensor], dict[str, torch.Tensor]]
"""From a batch ``(N, C, *grid)`` to maps ``(N, *cells)`` by name."""


def shifts_of(axes: int) -> tuple[tuple[int, ...], ...]:
    """Shifts by one to three pixels, each along one axis, forth and back."""
    steps = (1, -1, -2, 2, 3, -3)
    return tuple(tuple(step if axis == turn % axes else 0 for axis in range(axes)) for turn, step in enumerate(steps))


SHIFTS = shifts_of(2)
"""Pixels along both axes of a slice; a cell has 4."""
NOISE = 0.1
"""SD of the noise as a share of the intensities' SD inside the region."""
_IN_MASK = MaskChannel(1)
NOISE_DRAWS = 5


def shifted(x: torch.Tensor, shift: Sequence[int], region: Region = _IN_MASK) -> torch.Tensor:
    """Images moved by whole pixels: content goes towards higher indices; the images' edges are continued.

    Args:
        x: ``(N, C, *grid)``; a channel that is a mask gets zeros at the edge.
        shift: pixels along each axis.
    """
    reach = max(abs(step) for step in shift)
    around = (reach,) * 2 * len(shift)
    channels = [
        pad(x[:, [channel]], around, mode="constant" if channel == region.mask_channel else "replicate")
        for channel in range(x.shape[1])
    ]
    place = [slice(reach - step, reach - step + size) for step, size in zip(shift, x.shape[2:], strict=True)]
    return torch.cat(channels, dim=1)[(slice(None), slice(None), *place)]


def moved_back(maps: torch.Tensor, shift: Sequence[int], mask: torch.Tensor) -> torch.Tensor:
    """Maps of a shifted image on the cells of the region where it was.

    Args:
        maps: ``(N, *cells)`` of the shifted image.
        mask: ``(N, *grid)``, the region before it was shifted.

    Returns:
        ``(N, *cells)``: the mean, over the region's pixels of each cell, of what the map says of these pixels.
    """
    axes = tuple(range(1, mask.ndim))
    pixels = torch.roll(pixels_of(maps, mask.shape[1:]), tuple(-step for step in shift), dims=axes)
    return cell_means(pixels, mask, maps.shape[1:])


def shift_agreement(
    explain: Explain, x: torch.Tensor, cell_mask: torch.Tensor, region: Region = _IN_MASK
) -> dict[str, torch.Tensor]:
    """Mean of Spearman's correlation between a map and the map after shifts (`shifts_of`), moved back.

    Args:
        cell_mask: ``(N, *cells)``.

    Returns:
        Name → ``(N,)``; NaN where every shift would push the region out of the field.
    """
    mask = region(x)[:, 0]
    places = tuple(range(1, mask.ndim))
    before = explain(x)
    sums = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    counted = torch.zeros(len(x), dtype=torch.float64)
    for shift in shifts_of(mask.ndim - 1):
        moved = shifted(x, shift, region)
        whole = (region(moved)[:, 0].sum(dim=places) == mask.sum(dim=places)).double()
        counted += whole
        for name, maps in explain(moved).items():
            sums[name] += whole * rank_correlation(before[name], moved_back(maps, shift, mask), cell_mask)
    return {name: torch.where(counted > 0, total / counted, torch.nan) for name, total in sums.items()}


def noise_scores(
    explain: Explain,
    x: torch.Tensor,
    cell_mask: torch.Tensor,
    generator: torch.Generator,
    region: Region = _IN_MASK,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What Gaussian noise of `NOISE` times the region's own SD does to a map, in `NOISE_DRAWS` draws.

    Returns:
        Mean Spearman's correlation before and after by name, ``(N,)``; and the largest relative change
        ‖map(x + noise) − map(x)‖ / ‖map(x)‖, NaN where the map is empty.

    References:
        Yeh et al., On the (in)fidelity and sensitivity of explanations, 2019; captum's ``sensitivity_max`` does the
        second for one kind of map at a time, where one pass gives them all here.
    """
    images = x[:, image_channels(x, region)]
    size = region_sd(x, region).reshape(*images.shape[:2], *[1] * (x.ndim - 2)) * NOISE
    before = explain(x)
    agreement = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    change = {name: torch.zeros(len(x), dtype=torch.float64) for name in before}
    for _ in range(NOISE_DRAWS):
        noise = torch.randn(images.shape, generator=generator, dtype=x.dtype) * size
        for name, maps in explain(with_images(x, images + noise, region)).items():
            agreement[name] += rank_correlation(before[name], maps, cell_mask) / NOISE_DRAWS
            change[name] = torch.maximum(change[name], relative_change(before[name], maps))
    return agreement, change


def relative_change(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """‖after − before‖ / ‖before‖ per case, ``(N,)`` float64; NaN where `before` is zero everywhere."""
    size = before.double().flatten(1).norm(dim=1)
    distance = (after - before).double().flatten(1).norm(dim=1)
    return torch.where(size > 0, distance / size.clamp(min=1e-300), torch.nan)


def region_sd(x: torch.Tensor, region: Region = _IN_MASK) -> torch.Tensor:
    """SD of the intensities inside the region, ``(N, I)``: one for each image channel."""
    images, mask = x[:, image_channels(x, region)], region(x)
    places = tuple(range(2, x.ndim))
    area = mask.sum(dim=places, keepdim=True).clamp(min=1)
    mean = (images * mask).sum(dim=places, keepdim=True) / area
    return (((images - mean) ** 2 * mask).sum(dim=places) / area.flatten(1)).sqrt()
