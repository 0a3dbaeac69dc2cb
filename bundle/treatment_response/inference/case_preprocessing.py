"""The training's preprocessing of a case, with what brings maps back to the grid of one of its images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from treatment_response.cases.lesion_transforms import LesionTransforms, Transforms, case_name, image_names
from treatment_response.problems import DataProblem, Problem


class CasePreprocessing:
    """Turn a case into the network's input, keeping where input and image lie in the scanner.

    Args:
        image_transforms, lesion_transforms, patch_transforms: the training's, see `LesionTransforms`; they leave
            ``image``, a MetaTensor ``(C, H, W, D)``.
        map_image: the name of the image whose own grid maps come back to; the first by default.

    Returns:
        Per case: ``image`` ``(1, C, H, W, D)`` float32, ``affine`` of its grid, ``map_image`` (a name), ``mr_affine``
        ``(4, 4)`` and ``mr_shape`` ``(I, J, K)`` of that image as it was read, and whatever else the case holds.

    Raises:
        DataProblem: a file cannot be read or is no 3D image, or the transforms leave no input with a place.
    """

    def __init__(
        self,
        image_transforms: Transforms,
        lesion_transforms: Transforms,
        patch_transforms: Transforms,
        map_image: str | None = None,
    ) -> None:
        self.transforms = LesionTransforms(image_transforms, lesion_transforms, patch_transforms)
        self.map_image = map_image

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        names = image_names(case)
        name = self.map_image or names[0]
        if name not in names:
            what = f"it has no image {name!r} for maps to come back to (it has {', '.join(names)})"
            raise DataProblem(Problem(case_name(case), what, "name one of its images (map_image)"))
        images = self.transforms.image(case)
        read = case[name] if isinstance(case[name], torch.Tensor) else None
        loaded = images[name]
        done = self.transforms.patch(self.transforms.lesion(case, images))["image"]
        if done.ndim != 4 or not hasattr(done, "affine"):
            what = f"the transforms leave an input of shape {tuple(done.shape)}, or one that has lost its affine"
            raise DataProblem(Problem(case_name(case), what, "leave a MetaTensor (C, H, W, D) under 'image'"))
        # What LoadImage wrote down of the file stays through all later transforms.
        affine = loaded.meta["original_affine"] if read is None else read.affine
        shape = loaded.meta["spatial_shape"] if read is None else read.shape[1:]
        known = {key: value for key, value in case.items() if key not in (*names, "image", "mask", "images")}
        return {
            **known,
            "image": torch.as_tensor(done, dtype=torch.float32).as_subclass(torch.Tensor)[None],
            "affine": np.asarray(done.affine, dtype=np.float64),
            "map_image": name,
            "mr_affine": np.asarray(affine, dtype=np.float64),
            "mr_shape": tuple(int(size) for size in shape),
        }
