"""Lesions with known sizes, drawn on grids of any spacing and direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation
from treatment_response.geometry import Volume

Shape = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From mm along the two axes of a slice and across the slices, from the grid's middle, to inside or not."""


def grid(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], angles: tuple[float, float, float]
) -> Volume:
    """An empty volume whose middle voxel lies at (3, -7, 20) mm.

    Args:
        angles: rotation in degrees about R, A and S.
    """
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 3] = np.array([3.0, -7.0, 20.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Volume(np.zeros(shape, dtype=bool), affine)


def draw(inside: Shape, volume: Volume) -> Volume:
    """Set the voxels whose centres lie inside a shape around the grid's middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(volume.array.shape, volume.spacing, strict=True)]
    return Volume(volume.array | inside(*np.meshgrid(*axes, indexing="ij")), volume.affine)


def ellipsoid(semi: tuple[float, float, float], turned: float = 0.0, centre: tuple[float, ...] = (0, 0, 0)) -> Shape:
    """Semi-axes in mm, turned in the slice by degrees."""
    cosine, sine = np.cos(np.radians(turned)), np.sin(np.radians(turned))

    def inside(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        x, y, z = x - centre[0], y - centre[1], z - centre[2]
        along, across = cosine * x + sine * y, cosine * y - sine * x
        return (along / semi[0]) ** 2 + (across / semi[1]) ** 2 + (z / semi[2]) ** 2 <= 1

    return inside


def minus(shape: Shape, hole: Shape) -> Shape:
    """A shape without another."""
    return lambda x, y, z: shape(x, y, z) & ~hole(x, y, z)


def cylinder(radius: float, half_height: float, centre: tuple[float, float] = (0, 0)) -> Shape:
    """A disc in every slice."""
    return lambda x, y, z: ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2) & (np.abs(z) <= half_height)
