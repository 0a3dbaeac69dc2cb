"""A network that decides by one corner of the lesion lights up that corner, in the scanner's millimetres."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from corner_network import corner_network
from monai.data import MetaTensor
from monai.transforms import Compose, ConcatItemsd
from scipy.spatial.transform import Rotation
from treatment_response.explain.cam import explain_all
from treatment_response.explain.target import TargetClass
from treatment_response.transforms.all_lesion_slices_patch import AllLesionSlicesPatchd
from treatment_response.transforms.patch_to_volume import CellsToVolume

CENTRE = np.array([12.0, -31.0, 44.0])
RADIUS = 13.0
CORNER_MM = np.array([(4 - 7.5) * 2.0, (11 - 7.5) * 2.0])  # the middle of corner_network.CORNER

AXES = {
    "axial": np.eye(3)[:, [0, 1, 2]],
    "dicom-axial": np.diag([-1.0, -1.0, 1.0]),
    "sagittal-storage": np.eye(3)[:, [1, 2, 0]] * [1, -1, -1],
}


def sphere(storage: np.ndarray, tilt: tuple[float, float, float]):
    """A bright sphere in an oblique, anisotropic volume (0.9 × 1.1 × 3 mm); returns sample, mask, affine, rotation."""
    rotation = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    spacing = np.array([0.9, 1.1, 3.0])
    spacing = np.where(np.argmax(np.abs(storage), axis=0) == 2, 3.0, spacing) if storage[2, 2] == 0 else spacing
    affine = np.eye(4)
    affine[:3, :3] = rotation @ storage * spacing
    shape = (44, 44, 44)
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2 + [0.3, -0.2, 0.1])
    index = np.indices(shape).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:]
    mask = (np.linalg.norm(world - CENTRE[:, None], axis=0) <= RADIUS).reshape(shape)
    as_tensor = [MetaTensor(torch.as_tensor(a, dtype=torch.float32)[None], affine=affine) for a in (mask * 0.8, mask)]
    return {"image": as_tensor[0], "mask": as_tensor[1]}, mask, affine, rotation


@pytest.mark.parametrize("storage", AXES.values(), ids=AXES.keys())
@pytest.mark.parametrize("tilt", [(0, 0, 0), (9, -6, 14)], ids=["straight", "oblique"])
@pytest.mark.parametrize("variant", ["gradcam", "gradcampp", "pixelwise"])
def test_the_corner_lights_up_where_it_lies_in_the_scanner(storage, tilt, variant):
    sample, mask, affine, rotation = sphere(storage, tilt)
    stack = Compose([AllLesionSlicesPatchd(), ConcatItemsd(["image", "mask"], "image", -3)])(sample)
    x = stack["image"].as_subclass(torch.Tensor)
    maps = explain_all(corner_network(+1.0, 0.0), x)[variant, TargetClass.RESPONSE]
    volume = CellsToVolume(stack["affine"].numpy(), stack["voxels"], mask.shape, affine)(maps.numpy())
    assert not volume[~mask].any()

    voxels = np.argwhere(mask)
    offset = (voxels @ affine[:3, :3].T + affine[:3, 3] - CENTRE) @ rotation
    value = volume[tuple(voxels.T)]
    middle = np.abs(offset[:, 2]) <= 3.0
    if variant == "pixelwise":
        # Each slice is centred on its own outline, so the corner is one place for all slices of a sphere.
        inside = (np.abs(offset[:, :2] - CORNER_MM) <= 2.0).all(axis=1)
        outside = (np.abs(offset[:, :2] - CORNER_MM) >= 5.6).any(axis=1)
        assert value[inside & middle].min() > 0.5
        assert value[outside].max() == 0
        hot = np.average(offset[middle], weights=value[middle], axis=0)
        np.testing.assert_allclose(hot[:2], CORNER_MM, atol=0.7)
    else:
        # One weight per feature map: these two show where the feature is, anywhere in the lesion.
        assert (value[middle & (np.linalg.norm(offset, axis=1) < RADIUS - 3)] > 0).all()


def test_the_same_corner_speaks_for_the_other_class_when_its_sign_turns():
    sample, *_ = sphere(AXES["axial"], (0, 0, 0))
    x = Compose([AllLesionSlicesPatchd(), ConcatItemsd(["image", "mask"], "image", -3)])(sample)["image"].as_subclass(
        torch.Tensor
    )
    towards, against = explain_all(corner_network(+1.0, 0.0), x), explain_all(corner_network(-1.0, 0.0), x)
    for variant in ("gradcam", "gradcampp", "pixelwise"):
        shown = towards[variant, TargetClass.RESPONSE]
        assert shown.any()
        torch.testing.assert_close(against[variant, TargetClass.NON_RESPONSE], shown)
        assert not towards[variant, TargetClass.NON_RESPONSE].any()
        assert not against[variant, TargetClass.RESPONSE].any()
