"""The intensities of air and brain in an MR volume, without a skull stripper."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_otsu

from treatment_response.problems import DataProblem, Problem


def brain_range(
    volume: np.ndarray, air: float = 1.0, brain: float = 75.0, samples: int = 200_000, case: str = "image"
) -> tuple[float, float]:
    """Intensities of air and of the brain core's tissue.

    The *brain core* holds the voxels above an Otsu threshold inside an ellipsoid in the middle of the head (60 % of its
    half axes). It leaves out air, skull and scalp fat without a skull stripper.

    Args:
        volume: ``(I, J, K)``.
        air: percentile of the whole volume. brain: percentile of the brain core.
        samples: about so many voxels are looked at, at a fixed stride.
        case: for messages.

    Raises:
        DataProblem: the image is constant or holds values that are not finite.
    """
    stride = max(1, int(np.ceil((volume.size / samples) ** (1 / 3))))
    # A stride never leaves fewer than about 16 samples along a thin axis (thick slices).
    strides = [max(1, min(stride, length // 16)) for length in volume.shape]
    sparse = np.asarray(volume[:: strides[0], :: strides[1], :: strides[2]], dtype=np.float64)
    if not np.isfinite(sparse).all():
        raise DataProblem(Problem(case, "the image holds values that are not finite", "export the series again"))
    low = float(np.percentile(sparse, air))
    bright = sparse[sparse > sparse.mean()]
    if not bright.size:
        raise DataProblem(Problem(case, "the image is constant", "export the series again"))
    # Cut at the typical tissue, or fat and enhancement would draw the threshold up between themselves and the brain.
    tissue = np.minimum(sparse, np.median(bright))
    head = tissue > threshold_otsu(tissue, nbins=256)
    first, last = np.percentile(np.argwhere(head), [2, 98], axis=0)
    middle, half = (first + last) / 2, np.maximum((last - first) / 2, 0.5)
    axes = np.ogrid[tuple(slice(0, length) for length in sparse.shape)]
    distance = sum(((axis - m) / (0.6 * h)) ** 2 for axis, m, h in zip(axes, middle, half, strict=True))
    core = sparse[head & (distance <= 1)]
    high = float(np.percentile(core if core.size >= 50 else sparse[head], brain))
    return low, high
