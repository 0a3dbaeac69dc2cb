"""A small head with bright lesions, oblique and anisotropic, for tests of the app."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume

SHAPE = (96, 88, 30)
SPACING = np.array([1.0, 1.1, 2.0])
LESIONS = {"GTV_1": ((40, 44, 15), 8.0), "GTV_2": ((62, 40, 14), 6.0)}
"""Voxel of the middle, and radius in mm."""


def affine() -> np.ndarray:
    """Oblique, in float32's numbers, so that a NIfTI header holds it exactly."""
    matrix = np.eye(4)
    rotation = Rotation.from_euler("xyz", [5, -7, 11], degrees=True).as_matrix()
    matrix[:3, :3] = rotation @ np.diag(SPACING * [-1, -1, 1])
    matrix[:3, 3] = [42.0, 51.5, -20.25]
    return matrix.astype(np.float32).astype(np.float64)


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    """Voxels within ``radius`` mm of a voxel."""
    offsets = np.indices(SHAPE).reshape(3, -1) - np.array(centre)[:, None]
    return (np.linalg.norm(affine()[:3, :3] @ offsets, axis=0) <= radius).reshape(SHAPE)


def head(seed: int = 0) -> Volume:
    """Air, brain and the bright lesions, with noise; values are whole numbers that int16 holds."""
    unit = np.meshgrid(*[np.linspace(-1, 1, size) for size in SHAPE], indexing="ij")
    values = np.where(sum(axis**2 for axis in unit) < 0.9, 400.0, 20.0)
    for centre, radius in LESIONS.values():
        values[ball(centre, radius)] = 800
    noise = np.random.default_rng(seed).normal(0, 12, SHAPE)
    return Volume(np.rint((values + noise).clip(0)).astype(np.int16), affine())


def write_label(path: Path, *masks: np.ndarray) -> Path:
    """A label map: value n is the nth mask."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, mask in enumerate(masks, start=1):
        labels[mask] = value
    write_volume(path, Volume(labels, affine()))
    return path


def masks() -> list[np.ndarray]:
    """The lesions of :data:`LESIONS`."""
    return [ball(*lesion) for lesion in LESIONS.values()]
