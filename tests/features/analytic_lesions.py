"""Images with a formula and lesions with a shape, on any grid, for tests of features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation
from treatment_response.geometry import Volume

_TILT = Rotation.from_euler("xyz", [8, 5, 20], degrees=True).as_matrix()
_SHEAR = np.array([[1.0, 0.0, 0.15], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
AFFINES = {
    "isotropic": np.diag([1.0, 1.0, 1.0]),
    "fine": np.diag([0.5, 0.5, 0.5]),
    "anisotropic": np.diag([-0.9, -0.9, 1.6]),
    "oblique": _TILT @ np.diag([-0.9, -0.9, 1.6]),
    "sheared": _SHEAR @ np.diag([0.9, 0.9, 1.6]),
}
CENTRE = np.array([12.3, -31.7, 8.1])


def make_lesion(
    image: Callable[[np.ndarray], np.ndarray],
    radius: float = 8.03,
    matrix: np.ndarray = AFFINES["isotropic"],
    reach: float = 14.0,
) -> tuple[Volume, np.ndarray]:
    """An image from a formula of RAS mm points relative to the lesion's centre, and a spherical lesion in it.

    Args:
        image: ``(N, 3)`` → ``(N,)``.
        radius: of the lesion in mm, by voxel centres, none of which should lie right on it.
        matrix: columns are the steps of the voxel index in RAS mm.
        reach: mm of image beyond the lesion on every side; wide enough for the spline to forget the image's edge.
    """
    steps = np.linalg.norm(matrix, axis=0)
    shape = 2 * np.ceil((radius + reach) / steps).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = CENTRE - matrix @ ((shape - 1) / 2)
    volume = Volume(np.zeros(shape), affine)
    points = volume.to_world(np.argwhere(np.ones(shape, dtype=bool))) - CENTRE
    inside = (np.linalg.norm(points, axis=1) <= radius).reshape(shape)
    return Volume(image(points).reshape(shape), affine), inside


def three_voxels(volume: Volume) -> np.ndarray:
    """A mask of three voxels in a row, in the middle."""
    mask = np.zeros(volume.array.shape, dtype=bool)
    i, j, k = (length // 2 for length in mask.shape)
    mask[i - 1 : i + 2, j, k] = True
    return mask


def stored_otherwise(volume: Volume, mask: np.ndarray) -> tuple[Volume, np.ndarray]:
    """The same image and lesion with axes swapped and turned round, the affine accordingly."""
    affine = volume.affine[:, [2, 0, 1, 3]].copy()
    last = volume.array.shape[0] - 1
    affine[:3, 3] += affine[:3, 1] * last
    affine[:3, 1] *= -1
    turned = [np.flip(array.transpose(2, 0, 1), axis=1) for array in (volume.array, mask)]
    return Volume(turned[0], affine), turned[1]
