"""Intensities into [0, 1], by the brain's own percentiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from treatment_response.geometry.brain_range import brain_range


class ScaleByBrainPercentilesd(MapTransform):
    """Scale a whole MR volume by its own air and brain: air becomes 0, white matter about ``brain_value``, in [0, 1].

    ``y = clip((x - air) / (tissue - air) * brain_value, 0, 1)``. ``air`` is a low percentile of the whole volume.
    ``tissue`` is a percentile of the *brain core* (`geometry.brain_range`). The default, the 75th, lies in white matter
    and stays there when an enhancing tumour fills up to a quarter of the core, so that a lesion does not scale its own
    picture. ``brain_value`` leaves head room for contrast enhancement up to 2.2 times white matter.

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


def _case(data: Mapping[Hashable, object]) -> str:
    parts = [str(data[key]) for key in ("subject", "session") if key in data]
    return " ".join(parts) or "image"
