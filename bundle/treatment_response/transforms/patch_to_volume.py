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


class CellsToVolume:
    """Brings maps of a lesion's slices back to the MR's own grid; the geometry is worked out once for all its maps.

    Every voxel of the lesion takes its value from the slice whose plane is nearest to the voxel's centre (its own
    slice, at distance 0, when the patches were cut along the MR's slices), bilinearly between the cells around the
    centre. Beyond the outermost cell centres the cells hold their value up to the patch's edge; beyond that, and
    outside the lesion, the volume is 0.

    Args:
        patch_affines: one affine per slice, ``(S, 4, 4)``, patch index to RAS mm.
        voxels: indices of the lesion's voxels on the MR's grid, ``(N, 3)``.
        shape: of the MR, ``(I, J, K)``.
        affine: of the MR, ``(4, 4)``, voxel index to RAS mm.
        patch_pixels: pixels along a side of the patch.
    """

    def __init__(
        self,
        patch_affines: np.ndarray | Sequence[np.ndarray],
        voxels: np.ndarray,
        shape: tuple[int, ...],
        affine: np.ndarray,
        patch_pixels: int = PATCH_PIXELS,
    ) -> None:
        patches = np.asarray(patch_affines, dtype=np.float64)
        self.shape = shape
        self.slices = len(patches)
        self.patch_pixels = patch_pixels
        world = voxels @ affine[:3, :3].T + affine[:3, 3]
        nearest = np.argmin(np.stack([_plane_distance(world, patch) for patch in patches]), axis=0)
        pixel = np.zeros((len(voxels), 2))
        for index, patch in enumerate(patches):
            pixel[nearest == index] = _pixel_of(world[nearest == index], patch)
        # A tolerance of a thousandth pixel keeps voxels that lie on the edge itself.
        inside = np.all((pixel > -0.501) & (pixel < patch_pixels - 0.499), axis=1)
        self._voxels, self._slice, self._pixel = voxels[inside], nearest[inside], pixel[inside]

    def __call__(self, maps: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """The volume of one map ``(cells, cells)`` per slice: ``(I, J, K)`` float32, in the order that NIfTI stores.

        Raises:
            ValueError: if there are not as many maps as slices.
        """
        maps = np.asarray(maps, dtype=np.float64)
        if maps.ndim != 3 or len(maps) != self.slices:
            raise ValueError(f"{self.slices} affines need as many maps (S, cells, cells), got shape {maps.shape}.")
        cell = pixel_to_cell(self._pixel, self.patch_pixels / maps.shape[1])
        volume = np.zeros(self.shape, dtype=np.float32, order="F")
        for index, cells in enumerate(maps):
            chosen = self._slice == index
            values = map_coordinates(cells, cell[chosen].T, order=1, mode="nearest")
            volume[tuple(self._voxels[chosen].T)] = values
        return volume


def _plane_distance(world: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Distance in mm of points ``(N, 3)`` from the patch's plane."""
    normal = np.cross(patch[:3, 0], patch[:3, 1])
    return np.abs((world - patch[:3, 3]) @ (normal / np.linalg.norm(normal)))


def _pixel_of(world: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Fractional pixel index ``(N, 2)`` of the feet of points ``(N, 3)`` on the patch's plane."""
    (index, *_) = np.linalg.lstsq(patch[:3, :2], (world - patch[:3, 3]).T, rcond=None)
    return index.T
