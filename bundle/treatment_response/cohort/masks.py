"""Lesions measured on voxel masks: for data that come without contours."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from treatment_response.cohort.lesion import LesionScan
from treatment_response.geometry import Volume


def scan_from_mask(mask: Volume) -> LesionScan:
    """Measure a lesion on its mask: volume by counted voxels, area by marching cubes.

    Args:
        mask: any values; above 0 is lesion.
    """
    binary = Volume((mask.array > 0).astype(np.uint8), mask.affine)
    return LesionScan(binary, float(binary.array.sum()) * mask.voxel_volume, _area(binary))


def components(mask: Volume, min_volume_mm3: float = 0.0) -> list[Volume]:
    """Split a mask of several lesions into its connected components (26-neighbourhood), largest first.

    Args:
        min_volume_mm3: smaller components are specks and are dropped.
    """
    labelled, count = ndimage.label(mask.array > 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(labelled.ravel())[1:]
    order = [number + 1 for number in np.argsort(-sizes, kind="stable")]
    return [
        Volume((labelled == number).astype(np.uint8), mask.affine)
        for number in order
        if count and sizes[number - 1] * mask.voxel_volume >= min_volume_mm3
    ]


def centroid(mask: Volume) -> np.ndarray:
    """Centre of a mask in RAS mm, ``(3,)``."""
    return mask.to_world(np.argwhere(mask.array > 0)).mean(axis=0)


def _area(mask: Volume) -> float:
    filled = np.argwhere(mask.array)
    if len(filled) == 0:
        return 0.0
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    box = np.pad(mask.array[tuple(slice(*pair) for pair in zip(low, high, strict=True))], 1)
    vertices, faces, _, _ = marching_cubes(box.astype(np.float32), level=0.5, spacing=tuple(mask.spacing))
    return float(mesh_surface_area(vertices, faces))
