"""One scan given as NIfTI: its image, and masks drawn on it, with the faults that would give a wrong volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from treatment_response.cohort.nifti_file import NiftiFile, read_nifti
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference
from treatment_response.problems import DataProblem, Problem

_MOST_VALUES = 20
"""A mask of more values is an image."""
_LARGEST_ML = 500.0
_MOST_OF = 0.5
_ODD_SHARE_IN_AIR = 0.2
"""Bone is as dark as air, and few lesions take in so much of it."""
_AIR_SPREAD = 4.0
"""Air reaches this many standard deviations above its median."""


def read_image(path: Path, where: str) -> NiftiFile:
    """Read a session's MR.

    Raises:
        DataProblem: as in :func:`read_nifti`, or all of it has one value.
    """
    file = read_nifti(path, where)
    if file.volume.array.min() == file.volume.array.max():
        raise DataProblem(Problem(where, "all of the image has one value", "export the series again"))
    return file


def read_mask(path: Path, image: Volume, where: str) -> Volume:
    """Read a mask on an image's grid, whatever its values mean.

    Raises:
        DataProblem: as in :func:`read_nifti`; it is on another grid, holds negative values, or is an image.
    """
    mask = read_nifti(path, where).volume
    if difference := grid_difference(mask, image):
        what = f"lies on another grid than its image ({difference})"
        raise DataProblem(Problem(where, what, "resample the mask to the image"))
    if mask.array.min() < 0:
        what = f"holds negative values (down to {mask.array.min():g}), so it is not known what is lesion"
        raise DataProblem(Problem(where, what, "write 1 for the lesion and 0 elsewhere"))
    if len(positive_values(mask)) > _MOST_VALUES:
        what = f"holds {len(positive_values(mask))} different values: it looks like an image, or like probabilities"
        raise DataProblem(Problem(where, what, "write 1 for the lesion and 0 elsewhere"))
    return mask


def positive_values(mask: Volume) -> list[float]:
    """The different values above 0 in a mask, ascending."""
    return [float(value) for value in np.unique(mask.array[mask.array > 0])]


def check_lesion(inside: np.ndarray, image: Volume, where: str) -> str:
    """Refuse a lesion that cannot be one by its size or its place.

    Args:
        inside: bool ``(I, J, K)`` on the image's grid; empty is fine.

    Returns:
        What is odd about its place; empty if nothing is.

    Raises:
        DataProblem: it looks inverted (half of the image, most of its border, or over 500 ml), or lies in air.
    """
    share, millilitres = float(inside.mean()), float(inside.sum()) * image.voxel_volume / 1000
    if share > _MOST_OF or millilitres > _LARGEST_ML or float(_border(inside).mean()) > _MOST_OF:
        what = f"looks inverted: it fills {share:.0%} of the image, {millilitres:.0f} ml"
        raise DataProblem(Problem(where, what, "write 1 for the lesion and 0 elsewhere"))
    air = _air(image.array)
    if air is not None and inside.any():
        in_air = float(air[inside].mean())
        if in_air > _MOST_OF:
            what = f"lies outside the head: {in_air:.0%} of its voxels are as dark as air"
            raise DataProblem(Problem(where, what, "check that the mask belongs to this image and was not moved"))
        if in_air > _ODD_SHARE_IN_AIR:
            return f"{in_air:.0%} of its voxels are as dark as air: it may have been moved"
    return ""


def _air(values: np.ndarray) -> np.ndarray | None:
    """Which voxels are as dark as the image's border; ``None`` where the border is not darker than the rest.

    Air is noise of one level, so its median and spread at the border tell it. Of an image without its skull, or cut to
    the head, the border is one value, or tissue.
    """
    border = _border(values)
    level = float(np.median(border))
    spread = 1.4826 * float(np.median(np.abs(border - level)))
    if spread == 0:
        outside = values == level
        return outside if outside.mean() < 1 else None
    limit = level + _AIR_SPREAD * spread
    # A tenth of a head's image is surely head; if even that is not brighter, the border is no air.
    return values <= limit if np.percentile(values, 90) > limit + _AIR_SPREAD * spread else None


def _border(array: np.ndarray) -> np.ndarray:
    """Values on the six faces of ``(I, J, K)``."""
    faces = [array[0], array[-1], array[:, 0], array[:, -1], array[:, :, 0], array[:, :, -1]]
    return np.concatenate([face.ravel() for face in faces])
