"""The lesion's own grid: place, volume and intensities survive it."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_lesions import AFFINES, CENTRE, make_lesion, stored_otherwise, three_voxels
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.features.grid import lesion_grid, mask_on
from treatment_response.features.intensity import scale_to_head
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

each_affine = pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES)


def plane(points: np.ndarray) -> np.ndarray:
    return points @ np.array([1.0, -2.0, 3.0]) + 10.0


def world(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return Volume(np.zeros(shape), affine).to_world(np.argwhere(np.ones(shape, dtype=bool))).reshape(*shape, 3)


@each_affine
@pytest.mark.parametrize("step", [0.5, 1.0])
def test_intensities_and_lesion_keep_their_place_in_millimetres(matrix: np.ndarray, step: float) -> None:
    image, mask = make_lesion(plane, matrix=matrix)
    grid = lesion_grid(mask_on(image, mask, "case"), step, 2.0, "case")
    values, valid = grid.sample(image, "case")
    places = world(grid.affine, grid.mask.shape)
    assert valid.all()
    np.testing.assert_allclose(values, plane((places - CENTRE).reshape(-1, 3)).reshape(values.shape), atol=1e-3)
    np.testing.assert_allclose(places[grid.mask].mean(axis=0), CENTRE, atol=0.02)
    # A symmetric lesion on a grid of its own step takes points in groups of equals; others come within one point.
    assert grid.mask.sum() * step**3 == pytest.approx(mask.sum() * image.voxel_volume, rel=0.06)
    radial = np.linalg.norm(places - CENTRE, axis=-1)
    assert radial[grid.mask].max() < 8.03 + 1.6
    assert grid.mask[radial < 8.03 - 1.6].all()


@each_affine
def test_depth_is_the_distance_from_the_border(matrix: np.ndarray) -> None:
    image, mask = make_lesion(plane, radius=8.03, matrix=matrix)
    grid = lesion_grid(mask_on(image, mask, "case"), 0.5, 4.0, "case")
    depth = grid.depth(3.0)
    radial = np.linalg.norm(world(grid.affine, grid.mask.shape) - CENTRE, axis=-1)
    near = np.isfinite(depth)
    assert (near == (np.abs(depth) < 3.0)).all()
    assert np.abs(depth[near] - (8.03 - radial[near])).max() < 1.0
    assert np.abs(depth[near] - (8.03 - radial[near])).mean() < 0.3
    assert (depth[grid.mask] >= 0).all()
    assert (depth[~grid.mask] <= 0).all()


@each_affine
@pytest.mark.parametrize("step", [0.5, 1.0, 3.0])
def test_three_voxels_are_never_lost(matrix: np.ndarray, step: float) -> None:
    image, _ = make_lesion(plane, matrix=matrix)
    mask = three_voxels(image)
    grid = lesion_grid(mask_on(image, mask, "case"), step, 2.0, "case")
    assert grid.mask.any()
    centre = image.to_world(np.argwhere(mask)).mean(axis=0)
    np.testing.assert_allclose(world(grid.affine, grid.mask.shape)[grid.mask].mean(axis=0), centre, atol=step)


@each_affine
def test_the_order_of_storage_changes_nothing(matrix: np.ndarray) -> None:
    image, mask = make_lesion(lambda points: np.cos(points @ np.array([0.3, 0.4, 0.5])), matrix=matrix)
    mask[: mask.shape[0] // 2, :, :4] = False
    first, second = (
        (grid, grid.sample(volume, "case")[0])
        for volume, drawn in ((image, mask), stored_otherwise(image, mask))
        for grid in [lesion_grid(mask_on(volume, drawn, "case"), 1.0, 5.0, "case")]
    )
    np.testing.assert_array_equal(first[0].mask, second[0].mask)
    np.testing.assert_allclose(first[0].affine, second[0].affine, atol=1e-9)
    np.testing.assert_allclose(first[1], second[1], atol=1e-9)


def test_beyond_the_image_its_edge_goes_on_and_is_marked() -> None:
    image, mask = make_lesion(plane, reach=2.0)
    grid = lesion_grid(mask_on(image, mask, "case"), 1.0, 10.0, "case")
    values, valid = grid.sample(image, "case")
    assert not valid.all()
    assert valid[grid.mask].all()
    assert np.isfinite(values).all()
    assert values.max() == pytest.approx(image.array.max(), abs=1)


def head(gain: float = 1.0, shift: float = 0.0) -> Volume:
    rng = np.random.default_rng(3)
    array = np.abs(rng.normal(0, 3, (40, 40, 30)))
    array[8:32, 8:32, 5:25] = rng.normal(500, 20, (24, 24, 20))
    array[12:15, 12:15, 10:13] = 900.0
    return Volume(array * gain + shift, np.eye(4))


@settings(deadline=None, max_examples=15)
@given(gain=st.floats(0.01, 1000), shift=st.floats(-1000, 1000))
def test_scaling_takes_away_the_scanners_gain_and_shift(gain: float, shift: float) -> None:
    first, second = scale_to_head(head(), "case").array, scale_to_head(head(gain, shift), "case").array
    np.testing.assert_allclose(second, first, atol=1e-6)


def test_scaling_puts_air_at_0_and_tissue_at_100() -> None:
    array = scale_to_head(head(), "case").array
    assert np.median(array[:6]) == pytest.approx(0, abs=1)
    assert np.median(array[8:32, 8:32, 5:25]) == pytest.approx(100, abs=1)
    assert array[13, 13, 11] == pytest.approx(180, abs=1)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "holds NaN"), (5.0, "is constant")])
def test_images_without_a_scale_are_refused(value: float, message: str) -> None:
    with pytest.raises(DataProblem, match=f"sub-001 ses-01: the image {message}"):
        scale_to_head(Volume(np.full((5, 5, 5), value), np.eye(4)), "sub-001 ses-01")


def test_an_image_of_one_value_but_for_single_voxels_is_refused() -> None:
    array = np.ones((20, 20, 20))
    array[0, 0, :3] = 0
    with pytest.raises(DataProblem, match="sub-001 ses-01: nearly all of the image has one value"):
        scale_to_head(Volume(array, np.eye(4)), "sub-001 ses-01")
