"""The training's preprocessing for every slice of a lesion, with each MR read once for all its lesions."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from treatment_response.cases.lesion_transforms import LesionTransforms, Transforms
from treatment_response.geometry.slice_patch import axial_plane, largest_slice
from treatment_response.inference.lesions.head import Head


class LesionPreprocessing:
    """Turn a case into the stack of its lesion's slices, keeping what brings maps back to the MR.

    The last MRs are kept, so that lesions of one MR share its reading and scaling. A case is one of
    `LesionTransforms`; where it holds its volumes, it has a ``key`` too, which changes when the MR does.

    Args:
        image_transforms: run once per MR (read, scale); the training's.
        lesion_transforms: run once per lesion (read its mask); the training's.
        patch_transforms: cut every slice of the lesion; they leave ``image`` ``(S, 2, size, size)``, ``affine``
            ``(S, 4, 4)``, ``slice``, ``pixel``, ``coarse`` and ``voxels``.
        keep: how many prepared MRs are kept.

    Returns:
        Per case: ``image`` ``(S, 2, size, size)`` float32, ``affine`` ``(S, 4, 4)``, ``slice``, ``pixel`` (mm) and
        ``coarse`` (S each), ``largest`` (which of the S slices training would take), ``voxels`` (the indices of the
        lesion's voxels, ``(N, 3)``), ``mr_shape`` ``(I, J, K)`` and ``mr_affine`` ``(4, 4)`` of the MR's own grid,
        ``head`` (where it is in the MR), and whatever else the case holds.

    Raises:
        DataProblem: a file cannot be read or is no 3D image, the mask is empty or lies on another grid.
    """

    def __init__(
        self,
        image_transforms: Transforms,
        lesion_transforms: Transforms,
        patch_transforms: Transforms,
        keep: int = 1,
    ) -> None:
        self.transforms = LesionTransforms(image_transforms, lesion_transforms, patch_transforms)
        self.keep = keep
        self._prepared: OrderedDict[str, tuple[Any, Head]] = OrderedDict()

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in case.items() if key not in ("image", "mask", "key")}
        image, head = self.prepare(case)
        stack = self.transforms.patch(self.transforms.lesion(case, {"image": image}))
        voxels = stack["voxels"]
        mr_affine = np.asarray(image.affine, dtype=np.float64)
        return {
            **known,
            "image": torch.as_tensor(stack["image"], dtype=torch.float32).as_subclass(torch.Tensor),
            "affine": np.asarray(stack["affine"], dtype=np.float64),
            "slice": list(stack["slice"]),
            "pixel": list(stack["pixel"]),
            "coarse": list(stack["coarse"]),
            "largest": list(stack["slice"]).index(largest_slice(voxels, axial_plane(mr_affine))),
            "voxels": voxels,
            "mr_shape": tuple(image.shape[1:]),
            "mr_affine": mr_affine,
            "head": head,
        }

    def prepare(self, case: dict[str, Any]) -> tuple[Any, Head]:
        """The case's MR, read and scaled, ``(1, I, J, K)``, and its head; from the kept ones if they are there."""
        key = case.get("key", case["image"])
        if key not in self._prepared:
            while len(self._prepared) >= self.keep:  # let an earlier volume go before the next is read
                self._prepared.popitem(last=False)
            image = self.transforms.image(case)["image"]
            self._prepared[key] = image, Head.of(np.asarray(image[0]))
        self._prepared.move_to_end(key)
        return self._prepared[key]

    def keeps(self, key: str) -> bool:
        """Whether the MR of this key is prepared, so that a case need not bring its image."""
        return key in self._prepared

    def forget(self) -> None:
        """Let go of every MR that is kept."""
        self._prepared.clear()
