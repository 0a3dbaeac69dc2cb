"""The slice of a lesion that the network sees."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

from treatment_response.geometry import voxel_indices
from treatment_response.geometry.slice_patch import SlicePatch, axial_plane, cut_slice_patch, largest_slice
from treatment_response.problems import DataProblem, Problem


class LesionSlicePatchd(MapTransform):
    """Cut the axial slice with the largest lesion area, on a small square grid centred on the lesion.

    The plane is the array plane closest to axial, in closest-canonical order: the patch's first axis runs towards R,
    the second towards A, whatever the order and the flips of the array. The centre is that of the lesion's bounding box
    in the slice. Spacing and rotation are one cubic interpolation of the slice; the mask is interpolated linearly and
    cut at 0.5. A lesion that would not fit gets larger pixels, and ``coarse`` is set.

    A sample may hold ``angle`` (degrees; the patch's axes turn from R towards A) and ``slice`` (an index along the
    slice axis) to ask for another view than the default.

    Args:
        image_key: image ``(1, I, J, K)`` with its affine.
        mask_key: lesion mask ``(1, I, J, K)`` on the same grid.
        size: pixels along each side.
        pixel: mm.

    Returns:
        The sample with ``image`` and ``mask`` as ``(1, size, size)`` whose ``(4, 4)`` affine maps pixel
        ``(i, j, 0, 1)`` to RAS mm, ``slice`` (index in the source array), ``pixel`` (mm) and ``coarse``.

    Raises:
        DataProblem: the mask is empty (in the volume or in the slice asked for), or lies on another grid.
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
        index = data.get("slice")
        index = largest_slice(voxels, plane) if index is None else int(index)
        if not (voxels[:, plane.slice_axis] == index).any():
            raise DataProblem(
                Problem(case_name(data), f"slice {index} holds no voxel of the lesion", "ask for a slice of the lesion")
            )
        angle = float(data.get("angle", 0.0))
        patch = cut_slice_patch(image, voxels, affine, plane, index, self.size, self.pixel, angle)
        return {**data, **as_sample(patch, self.image_key, self.mask_key)}


def lesion_arrays(
    data: Mapping[Hashable, Any], image_key: str, mask_key: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image ``(I, J, K)``, indices of the lesion's voxels ``(N, 3)`` and affine of a sample, checked.

    Raises:
        DataProblem: the mask is empty or on another grid than the image.
    """
    image, mask = data[image_key], data[mask_key]
    affine = np.asarray(image.affine, dtype=np.float64)
    if image.shape != mask.shape:
        what = f"image and mask have different grids, {tuple(image.shape[1:])} and {tuple(mask.shape[1:])}"
        raise DataProblem(Problem(case_name(data), what, "resample the mask to the image's grid"))
    apart = np.abs(np.asarray(mask.affine, dtype=np.float64) - affine)
    corner = apart[:3, 3].max() + (apart[:3, :3] * np.array(image.shape[1:])).sum(axis=1).max()
    if corner > 0.1:
        what = f"image and mask lie up to {corner:.1f} mm apart"
        raise DataProblem(Problem(case_name(data), what, "resample the mask to the image's grid"))
    voxels = voxel_indices(np.asarray(mask[0]))
    if not len(voxels):
        raise DataProblem(Problem(case_name(data), "the mask is empty", "check its export or drop the case"))
    return np.asarray(image[0]), voxels, affine


def as_sample(patch: SlicePatch, image_key: str, mask_key: str) -> dict[Hashable, Any]:
    """A patch as sample entries, tensors with their affine."""
    affine = torch.as_tensor(patch.affine)
    return {
        image_key: MetaTensor(torch.from_numpy(patch.image).clamp(0.0, 1.0)[None], affine=affine),
        mask_key: MetaTensor(torch.from_numpy(patch.mask)[None], affine=affine),
        "slice": patch.slice_index,
        "pixel": patch.pixel,
        "coarse": patch.coarse,
    }


def case_name(data: Mapping[Hashable, Any]) -> str:
    """Which case a message is about: ids of the prepared data set, never a patient's name."""
    return " ".join(str(data[key]) for key in ("subject", "session", "lesion") if key in data) or "case"
