"""From a lesion's files, or its volumes in memory, to what the networks take: the config's transforms, run in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Compose, LoadImaged

from treatment_response.problems import DataProblem, Problem, data_problem_in

Transforms = Sequence[Callable[[dict[str, Any]], dict[str, Any]]]
IDS = ("subject", "session", "lesion")


class LesionTransforms:
    """The three lists of transforms of a config; whatever the input makes them raise becomes one sentence on the case.

    A case is a dictionary with `IDS`, its images (``images`` lists their names; without it there is one, ``image``) and
    perhaps ``mask``: paths, or ``(1, I, J, K)`` MetaTensors (images float32). Volumes in memory pass the same
    transforms, without those that load files.

    Args:
        image_transforms: run once for the images of a case, which other cases may share (read, scale, concatenate).
        lesion_transforms: run once per case on top (read its mask).
        patch_transforms: make the network's input ``image`` of it: the whole, a slice, all slices; they may find
            ``angle`` in the case.
    """

    def __init__(
        self, image_transforms: Transforms, lesion_transforms: Transforms, patch_transforms: Transforms
    ) -> None:
        self.on_image = Compose(list(image_transforms))
        self.on_lesion = Compose(list(lesion_transforms))
        self.on_patch = Compose(list(patch_transforms))

    def image(self, case: dict[str, Any]) -> dict[str, Any]:
        """The case's images, read and scaled: name → ``(1, I, J, K)``, and what the transforms made of them.

        An image that the transforms do not read stays a path: the system makes no use of it.

        Raises:
            DataProblem: one cannot be read, or is no single 3D volume.
        """
        names = image_names(case)
        found = _run(_without_loading(self.on_image, case[names[0]]), case, " and ".join(names))
        for name in names:
            if isinstance(found[name], torch.Tensor):
                _check_volume(found, case, name)
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def lesion(self, case: dict[str, Any], images: dict[str, Any]) -> dict[str, Any]:
        """The case with its images from `image` and, if it has one, its mask ``(1, I, J, K)``; errors as there.

        A mask that the transforms do not read stays a path: the system makes no use of it.
        """
        if "mask" not in case:
            return _run(self.on_lesion, {**case, **images}, "case")
        found = _run(_without_loading(self.on_lesion, case["mask"]), {**case, **images}, "mask")
        if isinstance(found["mask"], torch.Tensor):
            _check_volume(found, case, "mask")
        return found

    def patch(self, lesion: dict[str, Any]) -> dict[str, Any]:
        """What the patch transforms cut from a case of `lesion`.

        Raises:
            DataProblem: they cannot, for example where the mask is empty or lies on another grid.
        """
        return _run(self.on_patch, lesion, "lesion")


def image_names(case: Mapping[str, Any]) -> list[str]:
    """The names of a case's images."""
    return list(case.get("images", ["image"]))


def _check_volume(found: Mapping[str, Any], case: Mapping[str, Any], what: str) -> None:
    shape = found[what].shape
    if len(shape) != 4 or shape[0] != 1:
        sizes = " × ".join(str(size) for size in shape)
        problem = f"the {what} is no single 3D volume (channels and axes: {sizes})"
        raise DataProblem(Problem(case_name(case), problem, "give one 3D volume, one time point and one channel"))


def case_name(case: Mapping[str, Any]) -> str:
    """The lesion in messages, by its ids."""
    return " ".join(str(case[key]) for key in IDS)


def _without_loading(transform: Compose, item: Any) -> Compose:
    """The transforms as they are for a file; for a volume in memory, those after the loading."""
    if not isinstance(item, torch.Tensor):
        return transform
    return Compose([step for step in transform.transforms if not isinstance(step, LoadImaged)])


def _run(transform: Compose, case: dict[str, Any], what: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = transform(case)
    except Exception as error:
        problem = data_problem_in(error)
        if problem is not None:
            raise problem from None
        found = f"the {what} cannot be read ({type(error).__name__})"
        raise DataProblem(Problem(case_name(case), found, "export it again as a 3D NIfTI or NRRD volume")) from error
    return result
