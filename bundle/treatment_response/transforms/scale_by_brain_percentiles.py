"""Intensities into [0, 1], by the brain's own percentiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from skimage.filters import threshold_otsu

from treatment_response.problems import DataProblem, Problem


class ScaleByBrainPercentilesd(MapTransform):
    """Scale a whole MR volume so that the brain's intensities fill a fixed part of [0, 1].

    ``y = clip((x - p_lower) / (p_upper - p_lower) * upper_value, 0, 1)``, where the percentiles are those of the *brain
    core*: voxels above Otsu's threshold inside an ellipsoid in the middle of the head (60 % of its half axes), which
    leaves out air, skull and scalp fat without a skull stripper. ``upper_value`` below 1 leaves head room for contrast
    enhancement, so that a lesion brighter than brain is not clipped flat.

    The result does not change when the scanner's intensities are multiplied by a positive number or shifted. At most
    ``samples`` voxels, at a fixed stride, are looked at; nothing is random.

    Args:
        keys: items to scale, each ``(1, I, J, K)``.
        lower: percentile that becomes 0.
        upper: percentile that becomes ``upper_value``.
        upper_value: in (0, 1].
        samples: voxels that the percentiles are taken from.
        allow_missing_keys: do not raise when a key is absent.

    Raises:
        ValueError: ``0 <= lower < upper <= 100`` or ``0 < upper_value <= 1`` does not hold.
        DataProblem: the image is constant or holds values that are not finite.
    """

    def __init__(
        self,
        keys: KeysCollection,
        lower: float = 1.0,
        upper: float = 99.0,
        upper_value: float = 0.6,
        samples: int = 200_000,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 <= lower < upper <= 100:
            raise ValueError(f"percentiles must satisfy 0 <= lower < upper <= 100, got lower={lower}, upper={upper}.")
        if not 0 < upper_value <= 1:
            raise ValueError(f"upper_value must be in (0, 1], got {upper_value}.")
        self.lower = lower
        self.upper = upper
        self.upper_value = upper_value
        self.samples = samples

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            low, high = brain_range(np.asarray(image[0]), self.lower, self.upper, self.samples, case=_case(data))
            scaled = (image.to(torch.float32) - low).mul_(self.upper_value / (high - low))
            result[key] = scaled.clamp_(0.0, 1.0)
        return result


def brain_range(
    volume: np.ndarray, lower: float = 1.0, upper: float = 99.0, samples: int = 200_000, case: str = "image"
) -> tuple[float, float]:
    """The two percentiles of the brain core's intensities in a volume ``(I, J, K)``; see `ScaleByBrainPercentilesd`."""
    stride = max(1, int(np.ceil((volume.size / samples) ** (1 / 3))))
    # A stride never leaves fewer than about 16 samples along a thin axis (thick slices).
    strides = [max(1, min(stride, length // 16)) for length in volume.shape]
    sparse = np.asarray(volume[:: strides[0], :: strides[1], :: strides[2]], dtype=np.float64)
    if not np.isfinite(sparse).all():
        raise DataProblem(Problem(case, "the image holds values that are not finite", "export the series again"))
    bottom, top = np.percentile(sparse, [0.1, 99.9])
    if not top > bottom:
        raise DataProblem(Problem(case, "the image is constant", "export the series again"))
    head = sparse > threshold_otsu(np.clip(sparse, bottom, top), nbins=256)
    index = np.argwhere(head).astype(np.float64)
    first, last = np.percentile(index, [2, 98], axis=0)
    half = np.maximum((last - first) / 2, 0.5)
    axes = np.ogrid[tuple(slice(0, length) for length in sparse.shape)]
    distance = sum(
        ((axis - middle) / (0.6 * h)) ** 2 for axis, middle, h in zip(axes, (first + last) / 2, half, strict=True)
    )
    core = sparse[head & (distance <= 1)]
    if core.size < 50:  # small fields of view
        core = sparse[head]
    low, high = np.percentile(core, [lower, upper])
    if not high > low:
        low, high = bottom, top
    return float(low), float(high)


def _case(data: Mapping[Hashable, object]) -> str:
    parts = [str(data[key]) for key in ("subject", "session") if key in data]
    return " ".join(parts) or "image"
