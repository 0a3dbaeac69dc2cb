"""Where a planted voxel lands in the patch, in millimetres, whatever the array's order, flips and obliquity."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import ConcatItemsd
from treatment_response.geometry import voxel_indices
from treatment_response.geometry.slice_patch import axial_plane, cut_slice_patch, largest_slice
from treatment_response.problems import DataProblem
from treatment_response.transforms import AllLesionSlicesPatchd, LesionSlicePatchd

ORDERS = list(itertools.permutations(range(3)))


def oriented_affine(order, signs, spacing, tilt_degrees=0.0):
    """Array axis n runs along world axis order[n], with a sign; then the whole grid is tilted about two axes."""
    matrix = np.zeros((3, 3))
    for axis, world in enumerate(order):
        matrix[world, axis] = signs[axis] * spacing[axis]
    t = np.deg2rad(tilt_degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(t), -np.sin(t)], [0, np.sin(t), np.cos(t)]])
    about_z = np.array([[np.cos(t / 2), -np.sin(t / 2), 0], [np.sin(t / 2), np.cos(t / 2), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ matrix
    affine[:3, 3] = [13.0, -7.5, 31.0]
    return affine


def sample(image, mask, affine, **more):
    tensor = {
        "image": MetaTensor(torch.as_tensor(image, dtype=torch.float32)[None], affine=torch.tensor(affine)),
        "mask": MetaTensor(torch.as_tensor(mask, dtype=torch.uint8)[None], affine=torch.tensor(affine)),
    }
    return {**tensor, "subject": "sub-001", "session": "ses-01", "lesion": "L01", **more}


def box_mask(shape, centre, half):
    mask = np.zeros(shape, dtype=np.uint8)
    mask[tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))] = 1
    return mask


def brightest_world(patch, affine):
    """World position of the bright spot: intensity-weighted centre of the pixels above half of the maximum."""
    weights = np.where(patch > patch.max() / 2, patch, 0)
    i, j = (np.indices(patch.shape) * weights).sum(axis=(1, 2)) / weights.sum()
    return (np.asarray(affine) @ [i, j, 0, 1])[:3]


@pytest.mark.parametrize("angle", [0, 10, 30, 90, 137])
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join("RAS"[axis] for axis in order))
@pytest.mark.parametrize("tilt", [0.0, 17.0], ids=["straight", "oblique"])
def test_a_bright_voxel_keeps_its_place_in_millimetres(order, tilt, angle):
    signs = (-1, 1, -1)
    spacing = tuple(np.array([0.8, 1.1, 2.4])[list(order)])
    shape = tuple(np.array([60, 50, 30])[list(order)])
    affine = oriented_affine(order, signs, spacing, tilt)
    centre = np.array(shape) // 2
    plane = axial_plane(affine)
    bright = centre.copy()
    bright[plane.axes[0]] += 5
    bright[plane.axes[1]] -= 3
    image = np.zeros(shape)
    image[tuple(bright)] = 1.0
    half = np.array([6, 6, 6])
    half[plane.slice_axis] = 1
    out = LesionSlicePatchd(pixel=0.25)(sample(image, box_mask(shape, centre, half), affine, angle=angle))
    expected = affine @ [*bright, 1]
    found = brightest_world(out["image"][0].numpy(), out["image"].affine)
    np.testing.assert_allclose(found, expected[:3], atol=0.12)


def test_the_affine_is_the_one_of_every_pixel():
    """A ramp in world coordinates comes out as the same ramp (cubic interpolation is exact for it)."""
    affine = oriented_affine((0, 1, 2), (-1, -1, 1), (0.9, 0.7, 3.0), 12)
    shape = (70, 80, 12)
    index = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    world = index @ affine.T
    image = 0.5 + world[..., 0] * 0.003 + world[..., 1] * 0.002
    mask = box_mask(shape, (35, 40, 6), (5, 4, 1))
    out = LesionSlicePatchd()(sample(image, mask, affine, angle=33))
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(64), [0], [1], indexing="ij"), axis=-1).reshape(-1, 4)
    place = pixels @ np.asarray(out["image"].affine).T
    expected = 0.5 + place[:, 0] * 0.003 + place[:, 1] * 0.002
    np.testing.assert_allclose(out["image"][0].numpy().ravel(), expected, atol=2e-5)


def test_first_axis_runs_to_the_right_second_to_anterior():
    affine = oriented_affine((1, 0, 2), (-1, -1, 1), (1.0, 1.0, 2.0))
    mask = box_mask((40, 40, 10), (20, 20, 5), (3, 3, 1))
    out = LesionSlicePatchd()(sample(np.zeros((40, 40, 10)), mask, affine))
    np.testing.assert_allclose(np.asarray(out["image"].affine)[:3, 0], [0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.asarray(out["image"].affine)[:3, 1], [0, 0.5, 0], atol=1e-12)


def test_identity_where_the_grid_is_already_the_patch():
    rng = np.random.default_rng(0)
    affine = np.diag([0.5, 0.5, 1.0, 1.0])
    image = rng.uniform(0, 1, (100, 90, 3))
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[40:60, 30:50, 1] = 1  # 20 voxels: its centre lies between voxels, as the 64-pixel patch's does
    out = LesionSlicePatchd()(sample(image, mask, affine))
    np.testing.assert_allclose(out["image"][0].numpy(), image[18:82, 8:72, 1], atol=1e-6)
    np.testing.assert_array_equal(out["mask"][0].numpy(), mask[18:82, 8:72, 1])


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_quarter_turns_are_exact(angle, turns):
    rng = np.random.default_rng(1)
    affine = oriented_affine((0, 1, 2), (-1, 1, 1), (0.7, 1.3, 2.0), 9)
    image = rng.uniform(0, 1, (90, 70, 5))
    mask = box_mask(image.shape, (45, 35, 2), (7, 4, 0))
    transform = LesionSlicePatchd()
    straight = transform(sample(image, mask, affine))
    turned = transform(sample(image, mask, affine, angle=angle))
    for key in ("image", "mask"):
        np.testing.assert_allclose(
            turned[key][0].numpy(), np.rot90(straight[key][0].numpy(), -turns), atol=1e-5, err_msg=key
        )


@settings(max_examples=30, deadline=None)
@given(
    angle=st.floats(-180, 180),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    order=st.sampled_from(ORDERS),
    tilt=st.floats(0, 25),
)
def test_flips_and_order_of_the_array_do_not_matter(angle, signs, order, tilt):
    """The same head stored in another array order gives the same patch and affine."""
    rng = np.random.default_rng(2)
    affine = oriented_affine((0, 1, 2), (1, 1, 1), (0.9, 1.0, 2.2), tilt)
    image = rng.uniform(0, 1, (50, 48, 9))
    mask = box_mask(image.shape, (24, 25, 4), (4, 6, 1))
    stored, stored_mask, stored_affine = image, mask, affine.copy()
    for axis, sign in enumerate(signs):
        if sign < 0:
            stored, stored_mask = np.flip(stored, axis), np.flip(stored_mask, axis)
            stored_affine[:3, 3] += stored_affine[:3, axis] * (image.shape[axis] - 1)
            stored_affine[:3, axis] *= -1
    stored, stored_mask = np.transpose(stored, order), np.transpose(stored_mask, order)
    stored_affine = stored_affine[:, [*order, 3]]
    first = cut_slice_patch(image, voxel_indices(mask), affine, axial_plane(affine), 4, angle=angle)
    plane = axial_plane(stored_affine)
    index = 4 if signs[2] > 0 else image.shape[2] - 1 - 4
    second = cut_slice_patch(stored, voxel_indices(stored_mask), stored_affine, plane, index, angle=angle)
    np.testing.assert_allclose(second.image, first.image, atol=1e-5)
    np.testing.assert_allclose(second.affine, first.affine, atol=1e-9)
    assert np.mean(second.mask != first.mask) < 0.001


def test_turned_copies_have_no_empty_corners():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    mask = box_mask((80, 80, 5), (40, 40, 2), (4, 4, 0))
    out = LesionSlicePatchd()(sample(np.full((80, 80, 5), 0.7), mask, affine, angle=45))
    np.testing.assert_allclose(out["image"].numpy(), 0.7, atol=1e-6)


def test_the_slice_with_the_largest_area_is_taken():
    mask = np.zeros((40, 40, 8), dtype=np.uint8)
    mask[18:22, 18:22, 2:7] = 1
    mask[15:25, 15:25, 5] = 1
    out = LesionSlicePatchd()(sample(np.zeros(mask.shape), mask, np.diag([1.0, 1.0, 2.0, 1.0])))
    assert out["slice"] == 5
    assert out["mask"].sum() == pytest.approx(10 * 10 * 4, rel=0.05)
    equal = np.zeros((10, 10, 9), dtype=np.uint8)
    equal[4:6, 4:6, 2:7] = 1
    assert largest_slice(voxel_indices(equal), axial_plane(np.eye(4))) == 4


def test_the_area_of_the_mask_is_kept():
    """A disc of 8 mm radius, from 1.2 mm voxels, at every angle."""
    shape, affine = (80, 80, 3), np.diag([1.2, 1.2, 3.0, 1.0])
    grid = np.indices(shape)
    mask = ((grid[0] - 40.3) ** 2 + (grid[1] - 39.6) ** 2) * 1.2**2 < 64
    for angle in (0, 10, 45):
        out = LesionSlicePatchd()(sample(np.zeros(shape), mask, affine, angle=angle))
        assert float(out["mask"].sum()) * 0.25 == pytest.approx(np.pi * 64, rel=0.03)


def test_a_large_lesion_gets_coarser_pixels_and_is_wholly_inside():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    mask = box_mask((120, 120, 3), (60, 60, 1), (25, 20, 0))
    for angle in (0, 45):
        out = LesionSlicePatchd()(sample(np.zeros(mask.shape), mask, affine, angle=angle))
        pixel = np.linalg.norm(np.asarray(out["image"].affine)[:3, 0])
        assert out["coarse"]
        assert pixel > 0.5
        picture = out["mask"][0].numpy()
        assert not picture[[0, -1]].any()
        assert not picture[:, [0, -1]].any()
        assert picture.sum() * pixel**2 == pytest.approx(51 * 41, rel=0.03)


def test_a_lesion_of_one_small_voxel_does_not_vanish():
    mask = np.zeros((90, 90, 3), dtype=np.uint8)
    mask[40, 41, 1] = 1
    out = LesionSlicePatchd()(sample(np.zeros(mask.shape), mask, np.diag([0.4, 0.4, 1.0, 1.0])))
    assert out["mask"].sum() > 0


def test_a_lesion_at_the_border_of_the_volume_is_padded_with_zero():
    mask = box_mask((60, 60, 3), (2, 58, 1), (1, 1, 0))
    out = LesionSlicePatchd()(sample(np.ones(mask.shape), mask, np.diag([1.0, 1.0, 2.0, 1.0])))
    patch = out["image"][0].numpy()
    assert patch.min() == pytest.approx(0, abs=1e-6)
    assert patch[40:, :24].min() > 0.99


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["mask"].zero_(), "the mask is empty"),
        (lambda s: s.update(slice=0), "slice 0 holds no voxel"),
        (lambda s: s.update(mask=s["mask"][:, 1:]), "different grids"),
        (lambda s: s["mask"].affine[:3, 3].add_(2.0), "mm apart"),
    ],
    ids=["empty", "wrong-slice", "other-shape", "other-place"],
)
def test_what_cannot_be_cut_is_said(change, words):
    bad = sample(np.zeros((20, 20, 5)), box_mask((20, 20, 5), (10, 10, 2), (2, 2, 1)), np.eye(4))
    change(bad)
    with pytest.raises(DataProblem, match=words) as error:
        LesionSlicePatchd()(bad)
    assert "sub-001 ses-01 L01" in str(error.value)


def test_all_slices_hold_the_single_slice_among_them():
    rng = np.random.default_rng(3)
    affine = oriented_affine((0, 1, 2), (-1, -1, 1), (0.9, 0.9, 2.5), 14)
    image = rng.uniform(0, 1, (60, 60, 12))
    mask = box_mask(image.shape, (30, 28, 6), (4, 5, 2))
    mask[25:36, 20:40, 7] = 1
    one = ConcatItemsd(["image", "mask"], "image", -3)(LesionSlicePatchd()(sample(image, mask, affine)))
    stack = ConcatItemsd(["image", "mask"], "image", -3)(AllLesionSlicesPatchd()(sample(image, mask, affine)))
    assert stack["slice"] == [4, 5, 6, 7, 8]
    assert stack["image"].shape == (5, 2, 64, 64)
    where = stack["slice"].index(one["slice"])
    torch.testing.assert_close(stack["image"][where], one["image"].as_tensor())
    torch.testing.assert_close(stack["affine"][where], one["image"].affine.to(torch.float64))


def test_interpolation_is_cubic():
    """A wave of 8 voxels, turned by 30 degrees: cubic interpolation keeps it, a linear one flattens its peaks."""
    shape = (90, 90, 3)
    index = np.indices(shape)
    image = 0.5 + 0.4 * np.sin(2 * np.pi * index[0] / 8)
    out = LesionSlicePatchd()(sample(image, box_mask(shape, (45, 45, 1), (4, 4, 0)), np.eye(4), angle=30))
    pixels = np.stack(np.meshgrid(np.arange(64), np.arange(64), [0], [1], indexing="ij"), axis=-1).reshape(-1, 4)
    first = (pixels @ np.asarray(out["image"].affine).T)[:, 0]
    expected = 0.5 + 0.4 * np.sin(2 * np.pi * first / 8)
    assert np.abs(out["image"][0].numpy().ravel() - expected).max() < 0.008
