"""A grid of the lesion's own: isotropic, along RAS, centred on the lesion, whatever the scanner's was.

What is measured on it does not depend on the order in which voxels are stored, and little on the slices' tilt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

SPLINE_REACH = 16
"""Voxels beyond a point that a cubic spline depends on: the influence of one falls by 0.27 per voxel (1e-9 here)."""


@dataclass(frozen=True)
class LesionGrid:
    """Points around a lesion, and which of them lie in it.

    Attributes:
        mask: ``(X, Y, Z)`` bool: points in the lesion.
        share: ``(X, Y, Z)`` in [0, 1], the linearly interpolated mask; it is higher inside ``mask`` than outside.
        affine: grid index → RAS mm: ``step`` along R, A and S. The lesion's centre of mass lies in the middle, between
            the two middle points of each axis.
        step: mm between points.
    """

    mask: np.ndarray
    share: np.ndarray
    affine: np.ndarray
    step: float

    def offsets(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """R, A and S in mm from the lesion's centre of mass, each shaped to broadcast over the grid; never zero."""
        axes = [(np.arange(length) - (length - 1) / 2) * self.step for length in self.mask.shape]
        return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]

    def depth(self, limit: float) -> np.ndarray:
        """Distance in mm of every point from the lesion's border, positive inside, ``(X, Y, Z)``.

        The border runs between the points; counting from point to point would move it by up to half a step.

        Args:
            limit: from this distance on it is ±infinity.
        """
        level = (self.share[self.mask].min() + self.share[~self.mask].max()) / 2
        vertices = marching_cubes(self.share, level)[0] * self.step
        points = np.argwhere(np.ones(self.mask.shape, dtype=bool)) * self.step
        distance = cKDTree(vertices).query(points, distance_upper_bound=limit)[0].reshape(self.mask.shape)
        return np.where(self.mask, distance, -distance)

    def sample(self, image: Volume, where: str) -> tuple[np.ndarray, np.ndarray]:
        """An image's values at the points, by cubic spline, and which points lie in its field of view.

        Beyond the field of view the image's edge is continued. The image may lie on any affine.

        Args:
            where: the case, for messages.

        Returns:
            ``(X, Y, Z)`` float64 and ``(X, Y, Z)`` bool.

        Raises:
            DataProblem: the image holds values that are not finite where the points depend on them.
        """
        shape = self.mask.shape
        to_image = np.linalg.inv(image.affine) @ self.affine
        values = _interpolate(image.array, to_image, shape, order=3)
        if not np.isfinite(values).all():
            raise DataProblem(Problem(where, "the image holds NaN or infinite values", "export the series again"))
        return values, _in_view(to_image, shape, image.array.shape)


def lesion_grid(mask: Volume, step: float, reach_mm: float, where: str) -> LesionGrid:
    """The grid around a lesion.

    The lesion on it is the level set of the linearly interpolated mask that has the mask's volume: without the
    staircase of thick slices, which would pull the margin inwards, and without loss of the smallest lesions.

    Args:
        mask: above 0 inside; any affine, sheared and oblique included.
        step: mm between points.
        reach_mm: how far the grid goes beyond the lesion's outermost voxels.
        where: the case, for messages.

    Raises:
        DataProblem: the mask is empty.
    """
    inside = np.asarray(mask.array) > 0
    if not inside.any():
        raise DataProblem(Problem(where, "the mask is empty", "draw the lesion, or leave it out"))
    points = mask.to_world(np.argwhere(inside))
    centre = points.mean(axis=0)
    # How far a voxel reaches from its centre along R, A and S.
    half_voxel = np.abs(mask.affine[:3, :3]).sum(axis=1) / 2
    half_lengths = np.ceil((np.abs(points - centre).max(axis=0) + half_voxel + reach_mm) / step).astype(int)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = centre - (half_lengths - 0.5) * step
    shape = tuple(int(2 * length) for length in half_lengths)

    to_mask = np.linalg.inv(mask.affine) @ affine
    share = _interpolate(inside, to_mask, shape, order=1)
    share[~_in_view(to_mask, shape, inside.shape)] = 0.0
    count = max(1, round(np.count_nonzero(inside) * mask.voxel_volume / step**3))
    level = np.partition(share, -count, axis=None)[-count]
    if level > 0:
        # A little below: points that symmetry makes equal are taken together, whatever their rounding.
        return LesionGrid(share >= level - 1e-9, share, affine, step)
    # Smaller than the grid's cells: the points nearest to its voxels' centres stand for it.
    cells = np.zeros(shape, dtype=bool)
    cells[tuple(np.rint((points - affine[:3, 3]) / step).astype(int).T)] = True
    return LesionGrid(cells, cells.astype(float), affine, step)


def mask_on(image: Volume, mask: np.ndarray, where: str) -> Volume:
    """The mask as a volume on the image's grid.

    Raises:
        DataProblem: it has another shape than the image.
    """
    if mask.shape != image.array.shape:
        what = f"the mask has {mask.shape} voxels and the image {image.array.shape}"
        raise DataProblem(Problem(where, what, "put the mask on the image's own grid"))
    return Volume(np.asarray(mask), image.affine)


def _interpolate(array: np.ndarray, to_array: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    """The array's values on a grid whose index ``to_array`` maps to the array's; beyond it its edge is continued.

    A value that is not finite, anywhere in the part that the spline depends on, makes values not finite.
    """
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape])).reshape(3, -1).T
    reached = corners @ to_array[:3, :3].T + to_array[:3, 3]
    limits = np.array(array.shape)
    first = np.clip(np.floor(reached.min(axis=0)).astype(int) - SPLINE_REACH, 0, limits - 1)
    last = np.clip(np.ceil(reached.max(axis=0)).astype(int) + SPLINE_REACH + 1, first + 1, limits)
    part = np.asarray(array[tuple(slice(a, b) for a, b in zip(first, last, strict=True))], dtype=np.float64)
    offset = to_array[:3, 3] - first
    return ndimage.affine_transform(part, to_array[:3, :3], offset, shape, order=order, mode="nearest")


def _in_view(to_array: np.ndarray, shape: tuple[int, ...], array_shape: tuple[int, ...]) -> np.ndarray:
    """Which points of a grid lie in a voxel of the array."""
    x, y, z = np.ogrid[tuple(slice(0, length) for length in shape)]
    inside = np.ones(shape, dtype=bool)
    for row, length in zip(to_array[:3], array_shape, strict=True):
        index = row[0] * x + row[1] * y + row[2] * z + row[3]
        inside &= (index >= -0.5 - 1e-9) & (index <= length - 0.5 + 1e-9)
    return inside
