"""Smoothing before a coarser grid, so that fine structure is averaged and not sampled by chance."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.networks.layers import GaussianFilter
from monai.transforms import MapTransform


class SmoothBeforeSpacingd(MapTransform):
    """Smooth images along the axes in which `Spacingd`, which comes next, makes voxels larger.

    `Spacingd` interpolates between the voxels next to each new one and passes over those further away. A Gaussian of
    standard deviation 0.5 √(f² − 1) voxels, where f is the factor by which voxels grow, gives a voxel of the old size
    the width of the new one. Axes whose voxels stay or shrink are left as they are.

    Args:
        keys: items to smooth, each a MetaTensor ``(C, I, J, K)``.
        pixdim: size of the coming voxels in mm, one number or one per axis.
        allow_missing_keys: do not raise when a key is absent.
    """

    def __init__(self, keys: KeysCollection, pixdim: float | Sequence[float], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.pixdim = [float(pixdim)] * 3 if isinstance(pixdim, int | float) else [float(size) for size in pixdim]

    def __call__(self, data: Mapping[Hashable, MetaTensor]) -> dict[Hashable, MetaTensor]:
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            factors = [new / float(old) for new, old in zip(self.pixdim, image.pixdim, strict=True)]
            sigma = [0.5 * math.sqrt(factor**2 - 1) if factor > 1 else 0.0 for factor in factors]
            if any(sigma):
                # A width of 0 is no Gaussian; one of a hundredth of a voxel changes nothing.
                smooth = GaussianFilter(3, [max(width, 0.01) for width in sigma])
                plain = image.as_subclass(torch.Tensor).float()
                result[key] = MetaTensor(smooth(plain[None])[0], meta=image.meta)
        return result
