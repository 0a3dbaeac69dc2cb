"""From the network's cells to the MR's voxels, by way of scanner coordinates.

A patch is a slice of pixels; its affine ``(4, 4)`` maps the index ``(i, j, 0, 1)`` of a pixel's centre to RAS mm, where
i is the patch's first spatial axis (tensor axis −2) and j its second (tensor axis −1). The network's cell ``(a, b)``
covers a square of ``pixels / cells`` pixels a side (4 for 64 pixels and 16 cells): pixels ``4a`` to ``4a + 3``, so its
centre lies at pixel ``4a + 1.5``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import map_coordinates

PATCH_PIXELS = 64


def pixel_to_cell(pixel: np.ndarray, pixels_per_cell: float) -> np.ndarray:
    """Fractional cell index of a fractional pixel index; a cell's centre is the middle of its pixels' centres."""
    return (pixel + 0.5) / pixels_per_cell - 0.5


def cells_to_volume(
    maps: np.ndarray | Sequence[np.ndarray],
    patch_affines: np.ndarray | Sequence[np.ndarray],
    mask: np.ndarray,
    affine: np.ndarray,
    patch_pixels: int = PATCH_PIXELS,
) -> np.ndarray:
    """Bring the maps of a lesion's slices back to the MR's own grid.

    Every voxel of the mask takes its value from the slice whose plane is nearest to the voxel's centre (its own slice,
    at distance 0, when the patches were cut along the MR's slices), bilinearly between the cells around the centre.
    Beyond the outermost cell centres the cells hold their value up to the patch's edge; beyond that, and outside the
    mask, the volume is 0.

    Args:
        maps: one map ``(cells, cells)`` per slice, ``(S, cells, cells)``.
        patch_affines: one affine per slice, ``(S, 4, 4)``, patch index to RAS mm.
        mask: the lesion on the MR's grid, ``(I, J, K)``; voxels above 0 belong to it.
        affine: of the MR, ``(4, 4)``, voxel index to RAS mm.
        patch_pixels: pixels along a side of the patch.

    Returns:
        ``(I, J, K)``, float32.
    """
    maps, patch_affines = np.asarray(maps), np.asarray(patch_affines, dtype=np.float64)
    if len(maps) != len(patch_affines) or maps.ndim != 3:
        raise ValueError(f"{len(patch_affines)} affines need as many maps (S, cells, cells), got shape {maps.shape}.")
    volume = np.zeros(mask.shape, dtype=np.float32)
    voxels = np.argwhere(mask > 0)
    if len(voxels) == 0:
        return volume
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    nearest = np.argmin(np.stack([_plane_distance(world, patch) for patch in patch_affines]), axis=0)
    for index, (cells, patch) in enumerate(zip(maps, patch_affines, strict=True)):
        chosen = nearest == index
        pixel = _pixel_of(world[chosen], patch)
        cell = pixel_to_cell(pixel, patch_pixels / cells.shape[0])
        values = map_coordinates(cells.astype(np.float64), cell.T, order=1, mode="nearest")
        # A tolerance of a thousandth pixel keeps voxels that lie on the edge itself.
        inside = np.all((pixel > -0.501) & (pixel < patch_pixels - 0.499), axis=1)
        volume[tuple(voxels[chosen].T)] = np.where(inside, values, 0.0)
    return volume


def _plane_distance(world: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Distance in mm of points ``(N, 3)`` from the patch's plane."""
    normal = np.cross(patch[:3, 0], patch[:3, 1])
    return np.abs((world - patch[:3, 3]) @ (normal / np.linalg.norm(normal)))


def _pixel_of(world: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Fractional pixel index ``(N, 2)`` of the feet of points ``(N, 3)`` on the patch's plane."""
    (index, *_) = np.linalg.lstsq(patch[:3, :2], (world - patch[:3, 3]).T, rcond=None)
    return index.T
