"""New contrast enhancement: what is brighter on a later image than on an earlier one, beyond noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from treatment_response.geometry import Volume

SMOOTHING_MM = 0.8
RISE, NOISES = 1.5, 4.0
"""The rise counts from so many of the brain's own spreads on, and from so many of the difference's."""
BRIGHT = 1.2
"""Spreads above the brain's median: enhancement is brighter than the tissue around it."""
WEAKER = 0.5
"""Share of both from which on a voxel beside such enhancement belongs to it."""
MARGIN_MM = 3.0
"""Nearer to the surface of the brain, vessels, dura and small shifts are brighter too."""
LEAST_ML, LEAST_SHARE = 0.2, 0.2
"""Of a connected part: in ml, and of the largest part's volume."""


def normalised(image: Volume, brain: np.ndarray) -> np.ndarray:
    """The image in spreads of the brain above its median, float32; the spread is 1.4826 times the median deviation."""
    values = image.array[brain].astype(np.float64)
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    return ((image.array - median) / max(spread, 1e-6)).astype(np.float32)


def enhancing(image: Volume, brain: Volume) -> Volume:
    """Mask of what is as bright as enhancement in one image, uint8, inside the brain; size does not count."""
    inside = brain.array > 0
    bright = _smoothed(normalised(image, inside), image) > BRIGHT
    return Volume((bright & inside).astype(np.uint8), image.affine)


def new_enhancement(later: Volume, earlier: Volume, brain: Volume) -> Volume | None:
    """Mask of new enhancement with the holes in it, uint8; None if there is none of sufficient size.

    Args:
        later, earlier: contrast T1s on one grid. brain: mask on it.
    """
    inside = brain.array > 0
    deep = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=later.spacing)[1:-1, 1:-1, 1:-1] > MARGIN_MM
    now, before = (_smoothed(normalised(image, inside), image) for image in (later, earlier))
    rise = now - before
    noise = 1.4826 * float(np.median(np.abs(rise[inside] - np.median(rise[inside]))))
    least = max(RISE, NOISES * noise)
    sure = deep & (rise > least) & (now > BRIGHT)
    around = deep & (rise > WEAKER * least) & (now > WEAKER * BRIGHT)
    found = ndimage.binary_fill_holes(ndimage.binary_propagation(sure, mask=around))
    labels = ndimage.label(found)[0]
    volumes = np.bincount(labels.ravel()) * later.voxel_volume / 1000
    volumes[0] = 0
    large = np.flatnonzero(volumes >= max(LEAST_ML, LEAST_SHARE * float(volumes.max())))
    if not len(large):
        return None
    return Volume(np.isin(labels, large).astype(np.uint8), later.affine)


def _smoothed(values: np.ndarray, image: Volume) -> np.ndarray:
    smoothed: np.ndarray = ndimage.gaussian_filter(values, SMOOTHING_MM / image.spacing)
    return smoothed
