"""Every slice of a lesion, for its volume map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.transforms import MapTransform

from treatment_response.geometry.slice_patch import SlicePatch, axial_plane, cut_slice_patch, lesion_slices
from treatment_response.transforms.lesion_slice_patch import lesion_arrays

THREADS = 2
"""That cut slices: a viewer waits for them."""


class AllLesionSlicesPatchd(MapTransform):
    """Cut every slice that holds the lesion, each as `LesionSlicePatchd` cuts the largest one.

    Each slice is centred on the lesion's bounding box in that slice, as in training. A sample may hold ``angle``
    (degrees), as there.

    Args:
        image_key: image ``(1, I, J, K)`` with its affine.
        mask_key: lesion mask on the same grid.
        size: pixels along each side.
        pixel: mm.

    Returns:
        The sample with ``image`` ``(S, 1, size, size)``, ``mask`` ``(S, 1, size, size)``, ``affine`` ``(S, 4, 4)``
        (pixel to RAS mm, per slice), ``slice`` (S indices, ascending), ``pixel`` (S sizes in mm), ``coarse`` (S flags)
        and ``voxels`` (indices of the lesion's voxels, ``(N, 3)``).

    Raises:
        DataProblem: the mask is empty or lies on another grid.
    """

    def __init__(self, image_key: str = "image", mask_key: str = "mask", size: int = 64, pixel: float = 0.5) -> None:
        super().__init__([image_key, mask_key])
        self.image_key = image_key
        self.mask_key = mask_key
        self.size = size
        self.pixel = pixel

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, voxels, affine = lesion_arrays(data, self.image_key, self.mask_key)
        plane = axial_plane(affine)
        angle = float(data.get("angle", 0.0))

        def cut(index: int) -> SlicePatch:
            return cut_slice_patch(image, voxels, affine, plane, index, self.size, self.pixel, angle)

        with ThreadPoolExecutor(THREADS) as pool:  # scipy interpolates without Python's lock
            patches = list(pool.map(cut, lesion_slices(voxels, plane).tolist()))
        return {
            **data,
            self.image_key: torch.stack([torch.from_numpy(p.image) for p in patches])[:, None].clamp(0.0, 1.0),
            self.mask_key: torch.stack([torch.from_numpy(p.mask) for p in patches])[:, None],
            "affine": torch.stack([torch.from_numpy(p.affine) for p in patches]),
            "slice": [p.slice_index for p in patches],
            "pixel": [p.pixel for p in patches],
            "coarse": [p.coarse for p in patches],
            "voxels": voxels,
        }
