"""Do the maps follow the gradient features? Each lesion's gradient maps on its cells, and the test of every map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from treatment_response.cohort.layout import image_path, mask_path, read_volume
from treatment_response.evaluation.views import LesionSlice
from treatment_response.explain.spatial_null import SpatialNull
from treatment_response.features.gradients import QUANTITIES, GradientMaps, gradient_maps
from treatment_response.features.intensity import scale_to_head
from treatment_response.geometry import Volume

ALPHA = 0.05
Cells = dict[str, NDArray[np.float64]]
"""Quantity → ``(cells, cells)``, finite."""


def gradient_cells(
    slices: Sequence[LesionSlice], dataset_dir: Path, cells: int = 16, advance: Callable[[], None] | None = None
) -> list[Cells]:
    """Gradient magnitude, radial gradient and radial deviation of each lesion's slice, averaged over each cell.

    They are those of the gradient features: in three dimensions, on the features' own intensities.

    Args:
        slices: lesions of the data set. advance: called after each lesion.

    Raises:
        DataProblem: a volume of the data set cannot be read.
    """
    images: dict[str, Volume] = {}
    result = []
    for one in slices:
        where = f"{one.subject} {one.session} {one.lesion}"
        path = image_path(one.subject, one.session)
        if path not in images:
            images = {path: scale_to_head(read_volume(dataset_dir / path, where), where)}  # one patient's at a time
        mask = read_volume(dataset_dir / mask_path(one.subject, one.session, one.lesion), where)
        result.append(slice_cells(one, gradient_maps(images[path], mask.array, where), cells))
        if advance is not None:
            advance()
    return result


def slice_cells(one: LesionSlice, maps: GradientMaps, cells: int) -> Cells:
    """The gradient maps at the lesion's pixels of a slice, in scanner millimetres, averaged over each cell.

    Points without a direction do not count for the radial quantities; a cell without any takes the lesion's mean.
    """
    size = one.x.shape[-1]
    i, j = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    world = np.stack([i, j, np.zeros_like(i), np.ones_like(i)], axis=-1) @ one.affine.T
    index = np.moveaxis(world @ np.linalg.inv(maps.affine).T, -1, 0)[:3]
    mask = one.x[1] > 0
    blocks = (cells, size // cells, cells, size // cells)
    result = {}
    for quantity in QUANTITIES:
        values = getattr(maps, quantity)
        known = ~np.isnan(values)
        total, weight = (
            (map_coordinates(part, index, order=1, mode="nearest") * mask).reshape(blocks).sum(axis=(1, 3))
            for part in (np.where(known, values, 0.0), known.astype(float))
        )
        mean = np.divide(total, weight, out=np.full((cells, cells), np.nan), where=weight > 1e-6)
        known_cells = ~np.isnan(mean)
        result[quantity] = np.where(np.isnan(mean), mean[known_cells].mean() if known_cells.any() else 0.0, mean)
    return result


def feature_scores(
    maps: Mapping[str, torch.Tensor], features: Sequence[Cells], cell_mask: torch.Tensor
) -> list[tuple[str, str, torch.Tensor]]:
    """Every map against every gradient feature, lesion by lesion, with the spatial null.

    Args:
        maps: name → ``(N, H, W)``. features: one per lesion. cell_mask: ``(N, H, W)``.

    Returns:
        (map, measure, values ``(N,)``).
    """
    tables: dict[str, list[NDArray]] = {"rho": [], "z": [], "p05": [], "z_shifted": []}
    for index, cells in enumerate(features):
        inside = cell_mask[index].numpy() > 0
        values = np.stack([one[index].double().numpy()[inside] for one in maps.values()])
        test = SpatialNull(inside).test(values, np.stack([cells[quantity][inside] for quantity in QUANTITIES]))
        empty = (values == values[:, :1]).all(axis=1)[:, None]
        tables["rho"].append(test.rho)
        tables["z"].append(test.z_turned)
        tables["p05"].append(np.where(empty, ALPHA, test.p_turned <= ALPHA))  # no evidence counts as chance
        tables["z_shifted"].append(test.z_shifted)
    return [
        (name, f"{quantity}_{score}", torch.from_numpy(np.stack(tables[score])[:, row, column]))
        for row, name in enumerate(maps)
        for column, quantity in enumerate(QUANTITIES)
        for score in tables
    ]
