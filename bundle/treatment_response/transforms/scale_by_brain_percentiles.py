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
    """Scale a whole MR volume by its own air and brain: air becomes 0, white matter about ``brain_value``, in [0, 1].

    ``y = clip((x - air) / (tissue - air) * brain_value, 0, 1)``. ``air`` is a low percentile of the whole volume.
    ``tissue`` is a percentile of the *brain core*: voxels above an Otsu threshold inside an ellipsoid in the middle of
    the head (60 % of its half axes), which leaves out air, skull and scalp fat without a skull stripper. The default,
    the 75th, lies in white matter and stays there when an enhancing tumour fills up to a quarter of the core, so that a
    lesion does not scale its own picture. ``brain_value`` leaves head room for contrast enhancement up to 2.2 times
    white matter.

    The result does not change when the scanner's intensities are multiplied by a positive number or shifted. About
    ``samples`` voxels, at a fixed stride, are looked at; nothing is random.

    Args:
        keys: items to scale, each ``(1, I, J, K)``.
        air: percentile of the whole volume that becomes 0.
        brain: percentile of the brain core that becomes ``brain_value``.
        brain_value: in (0, 1].
        samples: voxels that the percentiles are taken from.
        allow_missing_keys: do not raise when a key is absent.

    Raises:
        ValueError: a percentile is outside [0, 100], or ``brain_value`` outside (0, 1].
        DataProblem: the image is constant or holds values that are not finite.
    """

    def __init__(
        self,
        keys: KeysCollection,
        air: float = 1.0,
        brain: float = 75.0,
        brain_value: float = 0.45,
        samples: int = 200_000,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not (0 <= air <= 100 and 0 <= brain <= 100):
            raise ValueError(f"percentiles must be in [0, 100], got air={air}, brain={brain}.")
        if not 0 < brain_value <= 1:
            raise ValueError(f"brain_value must be in (0, 1], got {brain_value}.")
        self.air = air
        self.brain = brain
        self.brain_value = brain_value
        self.samples = samples

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            low, high = brain_range(np.asarray(image[0]), self.air, self.brain, self.samples, case=_case(data))
            scaled = (image.to(torch.float32) - low).mul_(self.brain_value / (high - low))
            result[key] = scaled.clamp_(0.0, 1.0)
        return result


def brain_range(
    volume: np.ndarray, air: float = 1.0, brain: float = 75.0, samples: int = 200_000, case: str = "image"
) -> tuple[float, float]:
    """Intensities of air and of the brain core's tissue in a volume ``(I, J, K)``; see `ScaleByBrainPercentilesd`."""
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


def _case(data: Mapping[Hashable, object]) -> str:
    parts = [str(data[key]) for key in ("subject", "session") if key in data]
    return " ".join(parts) or "image"
