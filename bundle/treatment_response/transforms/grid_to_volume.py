"""From a map on the grid of a network's input to an image's own grid, by way of scanner coordinates."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

_EDGE = 1e-3
"""Voxels of tolerance, so that a centre that lies on the input's edge belongs to it."""


class GridToVolume:
    """Brings maps of one input back to an image's grid.

    Each voxel of the image takes the map's value at its centre, linearly between the cells around it. Beyond the
    outermost cell centres the cells hold their value up to the input's edge; beyond that the volume is 0. A map may be
    coarser than the input: its cells then divide the input evenly along each axis.

    Args:
        input_affine: of the network's input, ``(4, 4)``, voxel index to RAS mm.
        input_shape: its voxels, ``(H, W, D)``.
        affine: of the image, ``(4, 4)``, voxel index to RAS mm; any orientation, oblique or anisotropic.
        shape: of the image, ``(I, J, K)``.
    """

    def __init__(
        self, input_affine: np.ndarray, input_shape: tuple[int, ...], affine: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        self.input_shape = np.array(input_shape)
        self.shape = shape
        self.to_input = np.linalg.inv(np.asarray(input_affine, np.float64)) @ np.asarray(affine, np.float64)

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """The volume of one map ``(h, w, d)``: ``(I, J, K)`` float32, in the order that NIfTI stores."""
        side = self.input_shape / np.array(cells.shape)
        volume = np.zeros(self.shape, dtype=np.float32, order="F")
        j, k = (axis.ravel() for axis in np.meshgrid(*(np.arange(n) for n in self.shape[1:]), indexing="ij"))
        for i in range(self.shape[0]):  # plane by plane: the coordinates of a whole volume would take 24 times its room
            voxels = np.stack([np.full(j.size, i), j, k])
            index = self.to_input[:3, :3] @ voxels + self.to_input[:3, 3:]
            inside = ((index > -0.5 - _EDGE) & (index < self.input_shape[:, None] - 0.5 + _EDGE)).all(axis=0)
            at = (index[:, inside] + 0.5) / side[:, None] - 0.5
            values = map_coordinates(np.asarray(cells, np.float64), at, order=1, mode="nearest")
            volume[i, j[inside], k[inside]] = values
        return volume
