"""The two studies of a pair as one input."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference
from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms.refuse_constant import case_name

EARLIER = "_earlier"
"""Behind a sequence's name: the same sequence of the earlier study."""


def pair_images(sequences: Sequence[str]) -> list[str]:
    """Names of the images of a pair: the current study's, then the earlier one's, in the order of the sequences."""
    return [*sequences, *(name + EARLIER for name in sequences)]


def pair_channels(sequences: Sequence[str], difference: bool) -> list[str]:
    """Names of the input's channels: those of `pair_images`, or where studies are subtracted one per sequence."""
    return [f"{name}_difference" for name in sequences] if difference else pair_images(sequences)


class JoinImagesd(MapTransform):
    """Join images of one grid into ``image``, which later transforms then treat in one go.

    MONAI's ``ConcatItemsd`` does not look at affines, and its ``Spacingd`` takes an image called ``T1_earlier`` for a
    description of the image ``T1``.

    Args:
        keys: C images ``(1, *grid)`` → ``image`` ``(C, *grid)``, with the first one's affine.

    Raises:
        DataProblem: they do not lie on one grid.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        first = case[self.keys[0]]
        for key in self.keys[1:]:
            if fault := grid_difference(_on_grid(case[key]), _on_grid(first)):
                what = f"'{key}' and '{self.keys[0]}' lie on different grids ({fault})"
                raise DataProblem(Problem(case_name(case), what, "bring all images of a case onto one grid"))
        joined = torch.cat([torch.as_tensor(case[key]).as_subclass(torch.Tensor) for key in self.keys])
        case["image"] = MetaTensor(joined, meta=first.meta) if isinstance(first, MetaTensor) else joined
        return case


class SubtractEarlierd(MapTransform):
    """Turn the channels of two studies into their difference, current minus earlier, or leave them as they are.

    Args:
        keys: items ``(2 S, *grid)``, the current study's channels first → ``(S, *grid)``.
        difference: whether to subtract.
    """

    def __init__(self, keys: KeysCollection, difference: bool = False) -> None:
        super().__init__(keys)
        self.difference = difference

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            if self.difference:
                current, earlier = result[key].chunk(2)
                result[key] = current - earlier
        return result


def _on_grid(image: torch.Tensor) -> Volume:
    """An image ``(1, *grid)`` with its place; one that has none lies at the origin."""
    affine = image.affine.numpy().astype(np.float64) if isinstance(image, MetaTensor) else np.eye(4)
    return Volume(np.asarray(image[0]), affine)
