"""The training's preprocessing for every slice of a lesion, with each MR read once for all its lesions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, LoadImaged

from treatment_response.inference.cases import case_name
from treatment_response.inference.head import Head
from treatment_response.problems import DataProblem, Problem, data_problem_in
from treatment_response.transforms.slice_patch import axial_plane, largest_slice

Transforms = Sequence[Callable[[dict[str, Any]], dict[str, Any]]]


class LesionPreprocessing:
    """Turn a case into the stack of its lesion's slices, keeping what brings maps back to the MR.

    The last MRs are kept, so that lesions of one MR share its reading and scaling. A case names its files, or holds
    what would be read from them: ``image`` (float32) and ``mask`` as ``(1, I, J, K)`` MetaTensors, and ``key``, which
    changes when the MR does. Volumes in memory pass the same transforms, without those that load files.

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
        self.on_image = Compose(list(image_transforms))
        self.on_lesion = Compose(list(lesion_transforms))
        self.on_patch = Compose(list(patch_transforms))
        self.keep = keep
        self._prepared: OrderedDict[str, tuple[Any, Head]] = OrderedDict()

    def __call__(self, case: dict[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in case.items() if key not in ("image", "mask", "key")}
        image, head = self.prepare(case)
        lesion = _run(_without_loading(self.on_lesion, case["mask"]), {**case, "image": image}, case, "mask")
        _check_3d(lesion["mask"], case, "mask")
        stack = _run(self.on_patch, lesion, case, "lesion")
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
            image = _run(_without_loading(self.on_image, case["image"]), case, case, "image")["image"]
            _check_3d(image, case, "image")
            self._prepared[key] = image, Head.of(np.asarray(image[0]))
        self._prepared.move_to_end(key)
        return self._prepared[key]

    def keeps(self, key: str) -> bool:
        """Whether the MR of this key is prepared, so that a case need not bring its image."""
        return key in self._prepared

    def forget(self) -> None:
        """Let go of every MR that is kept."""
        self._prepared.clear()


def _without_loading(transform: Compose, item: Any) -> Compose:
    """The transforms as they are for a file; for a volume in memory, those after the loading."""
    if not isinstance(item, torch.Tensor):
        return transform
    return Compose([step for step in transform.transforms if not isinstance(step, LoadImaged)])


def _check_3d(image: torch.Tensor, case: dict[str, Any], what: str) -> None:
    if image.ndim != 4 or image.shape[0] != 1:
        shape = " × ".join(str(size) for size in image.shape)
        problem = f"the {what} is no single 3D volume (channels and axes: {shape})"
        raise DataProblem(Problem(case_name(case), problem, "give one 3D volume, one time point and one channel"))


def _run(transform: Compose, data: dict[str, Any], case: dict[str, Any], what: str) -> dict[str, Any]:
    """Run the transforms; whatever the input makes them raise becomes one sentence about the case."""
    try:
        return transform(data)
    except Exception as error:
        problem = data_problem_in(error)
        if problem is not None:
            raise problem from None
        found = f"the {what} cannot be read ({type(error).__name__})"
        raise DataProblem(Problem(case_name(case), found, "export it again as a 3D NIfTI or NRRD volume")) from error


def as_it_is(case: dict[str, Any]) -> dict[str, Any]:
    """For a loader that gives one lesion at a time: its slices are the batch already."""
    return case
