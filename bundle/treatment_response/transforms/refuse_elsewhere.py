"""Volumes that lie beside the place that they are meant for are refused."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from treatment_response.geometry.course_dose import LEAST_REACHED
from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms.refuse_constant import case_name


class RefuseElsewhered(MapTransform):
    """Refuse volumes whose highest value inside a mask is far below their own: a dose that misses the brain.

    Args:
        keys: items that are looked at, each ``(C, *grid)``, not negative; they stay as they are.
        mask_key: item ``(1, *grid)`` on their grid, above 0 inside.
        share: least share, in (0, 1], of the highest value that is reached inside.
        allow_missing_keys: do not raise when a key is absent.

    Raises:
        ValueError: ``share`` is outside (0, 1].
        DataProblem: a volume is 0 everywhere, or lies outside the mask.
    """

    def __init__(
        self, keys: KeysCollection, mask_key: str, share: float = LEAST_REACHED, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}, expected a number in (0, 1]")
        self.mask_key, self.share = mask_key, share

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        inside = torch.as_tensor(data[self.mask_key])[0] > 0
        for key in self.key_iterator(dict(data)):
            values = torch.as_tensor(data[key])
            highest = float(values.max())
            there = float(values[:, inside].max()) if bool(inside.any()) else 0.0
            if highest <= 0 or there < self.share * highest:
                what = f"'{key}' misses '{self.mask_key}': it reaches {highest:.3g}, and {there:.3g} inside"
                raise DataProblem(Problem(case_name(data), what, "check its frame of reference and whose it is"))
        return dict(data)
