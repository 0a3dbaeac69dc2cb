"""Image and mask as the network's one input."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import MapTransform


class ConcatMaskd(MapTransform):
    """Put the image and its mask into one tensor: channel 0 the image, channel 1 the mask.

    Works on ``(1, H, W)`` and on stacks ``(S, 1, H, W)``. The affine stays: on the result where the image is a
    MetaTensor, under its own key for stacks.

    Args:
        image_key: image; replaced by the result, ``(2, H, W)`` or ``(S, 2, H, W)``.
        mask_key: mask of the same shape; removed.
    """

    def __init__(self, image_key: str = "image", mask_key: str = "mask") -> None:
        super().__init__([image_key, mask_key])
        self.image_key = image_key
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        mask = result.pop(self.mask_key)
        result[self.image_key] = torch.cat([result[self.image_key], mask], dim=-3)
        return result
