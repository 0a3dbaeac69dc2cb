"""Where the head is in an MR, so that an outline in the air or around everything is not taken for a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

DARKEST_TISSUE = 0.15
"""Scaled intensity from which a voxel is tissue: a third of white matter, which `ScaleByBrainPercentilesd` puts at
0.45. Darker parts inside the head, such as necrosis, ventricles or bone, are filled."""

_SAMPLES = 200_000


@dataclass(frozen=True)
class Head:
    """The head's voxels at a stride.

    Attributes:
        inside: bool ``(I', J', K')``, every ``strides``-th voxel.
        strides: along i, j and k.
    """

    inside: np.ndarray
    strides: tuple[int, int, int]

    @classmethod
    def of(cls, scaled: np.ndarray) -> Head:
        """Find the head in a volume ``(I, J, K)`` that `ScaleByBrainPercentilesd` scaled: air is 0, tissue above it."""
        stride = max(1, int(np.ceil((scaled.size / _SAMPLES) ** (1 / 3))))
        i, j, k = (max(1, min(stride, length // 16)) for length in scaled.shape)
        sparse = np.asarray(scaled[::i, ::j, ::k], dtype=np.float32)
        # Averages over neighbours are above the noise of air, whatever a single voxel is.
        tissue = ndimage.uniform_filter(sparse, 3, mode="nearest") > DARKEST_TISSUE
        inside = tissue.copy()
        for axis in range(3):
            # Filled in planes: in 3D, sinuses, the neck and a slab's ends lead from the inside to the air.
            plane = np.moveaxis(np.zeros((3, 3, 3), bool), axis, 0)
            plane[1] = ndimage.generate_binary_structure(2, 1)
            inside |= ndimage.binary_fill_holes(tissue, np.moveaxis(plane, 0, axis))
        return cls(inside, (i, j, k))

    def share_outside(self, voxels: np.ndarray) -> float:
        """Which part of at least one voxel, by their indices ``(N, 3)``, lies outside the head, in [0, 1]."""
        index = voxels // self.strides
        return float(1 - self.inside[tuple(index.T)].mean())

    def share_filled(self, voxels: np.ndarray) -> float:
        """The volume of voxels as a part of the head's; infinite where there is no head."""
        head = float(self.inside.sum()) * float(np.prod(self.strides))
        return len(voxels) / head if head else float("inf")
