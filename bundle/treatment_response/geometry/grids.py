"""Whether two volumes lie on one grid, and what differs if they do not."""

from __future__ import annotations

from collections.abc import Iterable

import nibabel
import numpy as np

from treatment_response.geometry.volume import Volume

_SAME_PLACE_MM = 0.01


def same_grid(first: Volume, second: Volume) -> bool:
    """Whether two volumes have one shape and voxel centres that agree within a hundredth of a millimetre."""
    return first.array.shape == second.array.shape and _farthest_corners_mm(first, second) < _SAME_PLACE_MM


def grid_difference(first: Volume, second: Volume) -> str:
    """What differs between two grids, in numbers: ``5 × 6 × 7 voxels against 5 × 6 × 8``; empty if nothing does."""
    if same_grid(first, second):
        return ""
    differences = []
    if first.array.shape != second.array.shape:
        differences.append(f"{_times(first.array.shape)} voxels against {_times(second.array.shape)}")
    if not np.allclose(first.spacing, second.spacing, rtol=0, atol=1e-4):
        differences.append(f"voxels of {_times(first.spacing)} mm against {_times(second.spacing)} mm")
    axes = ["".join(nibabel.aff2axcodes(volume.affine)) for volume in (first, second)]
    cosines = np.sum(first.affine[:3, :3] * second.affine[:3, :3], axis=0) / (first.spacing * second.spacing)
    angle = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    if axes[0] != axes[1]:
        differences.append(f"axes {axes[0]} against {axes[1]}")
    elif angle > 0.01:
        differences.append(f"axes turned by {angle:.2g}°")
    shift = first.affine[:3, 3] - second.affine[:3, 3]
    if np.abs(shift).max() >= _SAME_PLACE_MM:
        differences.append(f"first voxel moved by ({shift[0]:.3g}, {shift[1]:.3g}, {shift[2]:.3g}) mm in RAS")
    return ", ".join(differences) or f"corners up to {_farthest_corners_mm(first, second):.2g} mm apart"


def _farthest_corners_mm(first: Volume, second: Volume) -> float:
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.array.shape])).reshape(3, -1).T
    return float(np.abs(first.to_world(corners) - second.to_world(corners)).max())


def _times(numbers: Iterable[float]) -> str:
    return " × ".join(f"{number:.6g}" for number in numbers)
