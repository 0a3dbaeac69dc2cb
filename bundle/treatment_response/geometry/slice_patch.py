"""The geometry of a lesion's slice patch: which plane, which slice, where its pixels lie in the scanner.

Plain arrays in, plain arrays out; the dictionary transforms around it carry the meta data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

# Beyond this many source pixels the cubic spline's memory of the cut edge is under 1e-6.
_SPLINE_MARGIN = 12


@dataclass(frozen=True)
class Plane:
    """The array plane that lies closest to the scanner's axial plane.

    Attributes:
        slice_axis: array axis across the slices (the one closest to superior).
        axes: the two array axes inside the slice, the one closest to R first, then the one closest to A.
        directions: ``(2, 3)`` unit vectors in RAS along ``axes``, turned towards +R and +A.
        steps: ``(2,)`` signed mm per voxel along ``directions`` (negative where the array runs towards L or P).
    """

    slice_axis: int
    axes: tuple[int, int]
    directions: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class SlicePatch:
    """One lesion slice on the network's grid.

    Attributes:
        image: ``(size, size)`` float32.
        mask: ``(size, size)`` float32, 0 or 1.
        affine: ``(4, 4)`` float64; pixel ``(i, j, 0, 1)`` to RAS mm. The third column is one step across the slices.
        slice_index: which slice of the source array.
        pixel: mm along each side of a pixel.
        coarse: True when the lesion needed pixels larger than asked for.
    """

    image: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    slice_index: int
    pixel: float
    coarse: bool


def axial_plane(affine: np.ndarray) -> Plane:
    """Find the array plane closest to axial, in closest-canonical (R, A) order.

    Args:
        affine: ``(4, 4)``, voxel index to RAS mm.
    """
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    cosines = matrix / spacing
    slice_axis = int(np.argmax(np.abs(cosines[2])))
    inside = [axis for axis in range(3) if axis != slice_axis]
    if abs(cosines[0, inside[0]]) * abs(cosines[1, inside[1]]) < abs(cosines[0, inside[1]]) * abs(
        cosines[1, inside[0]]
    ):
        inside.reverse()
    signs = np.array([1.0 if cosines[row, axis] >= 0 else -1.0 for row, axis in enumerate(inside)])
    directions = np.stack([cosines[:, axis] * sign for axis, sign in zip(inside, signs, strict=True)])
    return Plane(slice_axis, (inside[0], inside[1]), directions, spacing[inside] * signs)


def lesion_slices(voxels: np.ndarray, plane: Plane) -> np.ndarray:
    """Indices of the slices that hold any of the lesion's voxels ``(N, 3)``, ascending."""
    return np.unique(voxels[:, plane.slice_axis])


def largest_slice(voxels: np.ndarray, plane: Plane) -> int:
    """The slice with the largest lesion area; of several equal ones the one nearest to the middle of the lesion.

    Args:
        voxels: indices of the lesion's voxels, ``(N, 3)``.
    """
    areas = np.bincount(voxels[:, plane.slice_axis])
    best = np.flatnonzero(areas == areas.max())
    middle = np.average(np.arange(areas.size), weights=areas)
    return int(best[np.argmin(np.abs(best - middle))])


def cut_slice_patch(
    image: np.ndarray,
    voxels: np.ndarray,
    affine: np.ndarray,
    plane: Plane,
    slice_index: int,
    size: int = 64,
    pixel: float = 0.5,
    angle: float = 0.0,
) -> SlicePatch:
    """Sample a square patch around the lesion's cross-section in one slice, in one interpolation.

    Resampling to ``pixel`` mm and turning by ``angle`` happen in a single cubic interpolation of the whole slice, so a
    turned copy has no empty corners and is not smoothed twice. The mask is interpolated linearly and cut at 0.5.

    Args:
        image: ``(I, J, K)`` voxel values.
        voxels: indices of the lesion's voxels on the image's grid, ``(N, 3)``.
        affine: ``(4, 4)``, voxel index to RAS mm.
        plane: from `axial_plane`.
        slice_index: along ``plane.slice_axis``; at least one voxel of the lesion must be there.
        size: pixels along each side.
        pixel: mm; grows when the lesion would not fit into the field at every angle (``coarse`` is then set).
        angle: degrees about the patch's centre, counter-clockwise from R towards A, by which the patch's axes turn; the
            picture turns the other way.
    """
    order = (*plane.axes, plane.slice_axis)
    source = np.transpose(image, order)[:, :, slice_index]
    inside = voxels[voxels[:, plane.slice_axis] == slice_index][:, plane.axes]
    centre = (inside.min(axis=0) + inside.max(axis=0)) / 2.0
    offsets = (np.abs(inside - centre) + 0.5) * np.abs(plane.steps)
    radius = float(np.sqrt((offsets**2).sum(axis=1)).max())
    needed = 2.0 * radius / (size - 2)  # one free pixel around
    coarse = needed > pixel
    pixel = max(pixel, needed)

    theta = np.deg2rad(angle)
    turn = np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])  # rows: the patch's two axes
    grid = (np.arange(size) - (size - 1) / 2.0) * pixel
    along_first, along_second = np.meshgrid(grid, grid, indexing="ij")
    millimetres = (
        along_first[..., None] * turn[0] + along_second[..., None] * turn[1]
    )  # (size, size, 2) along R-ish, A-ish
    index = np.moveaxis(millimetres / plane.steps + centre, -1, 0)

    low = np.maximum(np.floor(index.min(axis=(1, 2))).astype(int) - _SPLINE_MARGIN, 0)
    high = np.minimum(np.ceil(index.max(axis=(1, 2))).astype(int) + _SPLINE_MARGIN + 1, source.shape)
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    index = index - low[:, None, None]
    patch = map_coordinates(
        source[window].astype(np.float64, copy=False), index, order=3, mode="grid-constant", cval=0.0
    )
    outline = np.zeros(high - low)  # the patch holds the whole lesion, so its window does
    outline[tuple((inside - low).T)] = 1.0
    coverage = map_coordinates(outline, index, order=1, mode="grid-constant", cval=0.0)
    # A lesion of one small voxel can stay under 0.5 everywhere: keep its best pixel rather than lose it.
    patch_mask = coverage >= min(0.5, coverage.max())

    directions = turn @ plane.directions
    result = np.eye(4)
    result[:3, :2] = directions.T * pixel
    step = np.asarray(affine, dtype=np.float64)[:3, plane.slice_axis]
    result[:3, 2] = step if step[2] >= 0 else -step
    voxel = np.empty(3)
    voxel[list(plane.axes)] = centre
    voxel[plane.slice_axis] = slice_index
    middle = np.asarray(affine, dtype=np.float64)[:3, :3] @ voxel + np.asarray(affine, dtype=np.float64)[:3, 3]
    result[:3, 3] = middle - result[:3, :2].sum(axis=1) * (size - 1) / 2.0
    return SlicePatch(
        patch.astype(np.float32), patch_mask.astype(np.float32), result, int(slice_index), float(pixel), bool(coarse)
    )
