"""A map lands where its cells lie in the scanner: oblique, anisotropic, flipped, coarse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from treatment_response.geometry import voxel_indices
from treatment_response.transforms.patch_to_volume import CellsToVolume

OBLIQUE = Rotation.from_euler("xyz", [12, -7, 25], degrees=True).as_matrix()
SHAPE = (60, 50, 9)


def mr_affine(spacing=(0.9, 1.1, 4.0), rotation=OBLIQUE, signs=(1, 1, 1), origin=(-20.0, 31.0, 7.0)):
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(np.multiply(spacing, signs))
    affine[:3, 3] = origin
    return affine


def patch_on_slice(affine, centre, slice_index, pixel=0.5, pixels=64):
    """A patch in the plane of an MR slice, centred on a voxel, its axes along the MR's."""
    patch = np.eye(4)
    for axis in range(3):
        patch[:3, axis] = affine[:3, axis] / np.linalg.norm(affine[:3, axis]) * (pixel if axis < 2 else 1)
    middle = affine @ np.array([*centre, slice_index, 1.0])
    patch[:3, 3] = middle[:3] - patch[:3, :2] @ np.full(2, (pixels - 1) / 2)
    return patch


def cell_centre_in_mm(patch, row, column):
    return (patch @ np.array([4 * row + 1.5, 4 * column + 1.5, 0, 1]))[:3]


AFFINES = {
    "oblique": mr_affine(),
    "flipped": mr_affine(signs=(-1, -1, 1)),
    "left-handed": mr_affine(signs=(1, -1, 1), rotation=np.eye(3)),
    "permuted": mr_affine(rotation=np.roll(np.eye(3), 1, axis=0)),
}


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("pixel", [0.5, 0.83], ids=["fine", "coarse"])
def test_one_hot_cell_is_a_tent_around_its_centre_in_millimetres(affine, pixel):
    patch = patch_on_slice(affine, (30, 25), 4, pixel)
    cells = np.zeros((16, 16))
    cells[5, 11] = 1
    volume = CellsToVolume([patch], voxel_indices(np.ones(SHAPE) * (np.arange(9) == 4)), SHAPE, affine)([cells])
    hot = np.argwhere(volume > 0)
    world = hot @ affine[:3, :3].T + affine[:3, 3]
    offset = (world - cell_centre_in_mm(patch, 5, 11)) @ np.linalg.inv(patch[:3, :3]).T
    side = 4
    expected = np.prod(1 - np.abs(offset[:, :2]) / side, axis=1)
    np.testing.assert_allclose(volume[tuple(hot.T)], expected, atol=1e-6)
    np.testing.assert_allclose(offset[:, 2], 0, atol=1e-9)
    # It is complete: its sum is the cell's area in voxels, within the sampling of a tent.
    area = (side * pixel) ** 2 / (0.9 * 1.1)
    assert volume.sum() == pytest.approx(area, rel=0.15)


@given(
    slopes=st.tuples(*[st.floats(-3, 3)] * 3),
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    pixel=st.floats(0.5, 1.2),
    centre=st.tuples(st.floats(20, 40), st.floats(20, 30)),
)
@settings(max_examples=40, deadline=None)
def test_a_ramp_in_millimetres_comes_back_exactly(slopes, angles, pixel, centre):
    # A linear function of position is kept by bilinear interpolation, wherever the grids lie: a half-cell shift shows.
    affine = mr_affine(rotation=Rotation.from_euler("xyz", angles, degrees=True).as_matrix())
    patch = patch_on_slice(affine, centre, 3, pixel)
    rows, columns = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    points = (patch @ np.stack([4 * rows + 1.5, 4 * columns + 1.5, 0 * rows, 1 + 0 * rows]).reshape(4, -1))[:3]
    cells = (np.array(slopes) @ points).reshape(16, 16)
    mask = np.zeros(SHAPE)
    mask[25:35, 20:30, 3] = 1
    volume = CellsToVolume([patch], voxel_indices(mask), mask.shape, affine)([cells])
    voxels = np.argwhere(mask)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    index = (world - patch[:3, 3]) @ np.linalg.inv(patch[:3, :3]).T
    between = np.all((index[:, :2] >= 1.5) & (index[:, :2] <= 61.5), axis=1)
    assert between.any()
    expected = world @ np.array(slopes)
    np.testing.assert_allclose(volume[tuple(voxels.T)][between], expected[between], rtol=1e-5, atol=1e-4)


def test_each_slice_takes_its_own_map_and_nothing_leaves_the_mask():
    affine = AFFINES["oblique"]
    mask = np.zeros(SHAPE)
    mask[20:40, 18:30, 2:6] = 1
    patches = [patch_on_slice(affine, (30, 25), k) for k in (2, 3, 4, 5)]
    maps = [np.full((16, 16), float(value)) for value in (10, 20, 30, 40)]
    volume = CellsToVolume(patches[::-1], voxel_indices(mask), mask.shape, affine)(maps[::-1])
    for k, value in zip((2, 3, 4, 5), (10, 20, 30, 40), strict=True):
        np.testing.assert_array_equal(np.unique(volume[20:40, 18:30, k]), [value])
    assert not volume[mask == 0].any()
    assert volume.dtype == np.float32


def test_cells_hold_to_the_patch_edge_and_end_there():
    affine = np.diag([0.5, 0.5, 3.0, 1.0])
    patch = np.eye(4)
    patch[:2, :2] *= 0.5
    patch[:2, 3] = 10.0
    mask = np.zeros((120, 120, 1))
    mask[:, :, 0] = 1
    volume = CellsToVolume([patch], voxel_indices(mask), mask.shape, affine)([np.ones((16, 16))])
    rows, columns = np.nonzero(volume[..., 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 83, 20, 83)
    assert (volume[20:84, 20:84, 0] == 1).all()


def test_an_empty_mask_gives_zeros_and_a_missing_affine_is_refused():
    affine = AFFINES["oblique"]
    patch = patch_on_slice(affine, (30, 25), 4)
    assert not CellsToVolume([patch], np.empty((0, 3), int), SHAPE, affine)([np.ones((16, 16))]).any()
    with pytest.raises(ValueError, match="2 affines"):
        CellsToVolume([patch, patch], voxel_indices(np.ones(SHAPE)), SHAPE, affine)([np.ones((16, 16))])
