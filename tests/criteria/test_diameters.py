"""Diameters on shapes with known ones, on grids of any kind, and against a search through all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import shapely
from scipy.ndimage import gaussian_filter
from shapes import cylinder, draw, ellipsoid, grid, minus
from treatment_response.criteria.diameters import measure_diameters
from treatment_response.geometry import Volume

GRIDS = {
    "1 mm": ((61, 61, 61), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "anisotropic": ((121, 67, 21), (0.5, 0.9, 3.0), (0.0, 0.0, 0.0)),
    "oblique": ((121, 67, 21), (0.5, 0.9, 3.0), (18.0, -25.0, 31.0)),
    "turned upside down": ((121, 67, 21), (0.5, 0.9, 3.0), (180.0, 0.0, 0.0)),
}


@pytest.fixture(params=GRIDS.values(), ids=GRIDS.keys())
def empty(request: pytest.FixtureRequest) -> Volume:
    return grid(*request.param)


def pixel(volume: Volume) -> float:
    return float(volume.spacing[:2].max()) + 1e-6


@pytest.mark.parametrize("turned", [0, 30, 90, 147])
def test_an_ellipsoid_is_as_long_and_wide_as_it_is(empty: Volume, turned: float) -> None:
    found = measure_diameters(draw(ellipsoid((13, 7, 10), turned), empty))
    assert found is not None
    assert found.longest_mm == pytest.approx(26, abs=pixel(empty))
    assert found.perpendicular_mm == pytest.approx(14, abs=pixel(empty))
    assert found.outside < 0.08


def test_the_diameters_lie_in_the_scanner_where_the_lesion_does(empty: Volume) -> None:
    centre = (4.0, -3.0, 3.0)
    found = measure_diameters(draw(ellipsoid((12, 6, 9), 30, centre), empty))
    assert found is not None
    unit = empty.affine[:3, :3] / empty.spacing
    middle = np.array([3.0, -7.0, 20.0]) + unit @ centre
    along = unit @ [np.cos(np.radians(30)), np.sin(np.radians(30)), 0]
    ends = sorted((found.longest - middle) @ along)
    np.testing.assert_allclose(ends, [-12, 12], atol=pixel(empty))
    for pair in (found.longest, found.perpendicular):  # both lie in one slice, within a slice of the centre
        heights = (pair - middle) @ unit[:, 2]
        assert np.ptp(heights) == pytest.approx(0, abs=1e-9)
        assert abs(heights[0]) <= empty.spacing[2]
    lines = np.diff(found.longest, axis=0)[0], np.diff(found.perpendicular, axis=0)[0]
    assert lines[0] @ lines[1] == pytest.approx(0, abs=1e-6)
    assert np.linalg.norm(lines[0]) == pytest.approx(found.longest_mm)
    assert np.linalg.norm(lines[1]) == pytest.approx(found.perpendicular_mm)


def test_a_ring_is_measured_from_outside_to_outside(empty: Volume) -> None:
    found = measure_diameters(draw(minus(ellipsoid((13, 9, 10)), ellipsoid((9, 5, 7))), empty))
    assert found is not None
    assert found.longest_mm == pytest.approx(26, abs=pixel(empty))
    assert found.perpendicular_mm == pytest.approx(18, abs=pixel(empty))
    assert found.outside == pytest.approx(18 / 26, abs=0.08)  # of its longest diameter, the hole


def test_a_crescent_is_measured_from_tip_to_tip(empty: Volume) -> None:
    found = measure_diameters(draw(minus(cylinder(12, 6), cylinder(12, 9, (8, 0))), empty))
    assert found is not None
    assert found.longest_mm == pytest.approx(24, abs=pixel(empty))
    assert found.perpendicular_mm == pytest.approx(12 + 4, abs=pixel(empty))


def test_two_voxels_in_a_row_are_two_voxels_long_and_one_wide() -> None:
    empty = grid((9, 9, 9), (0.5, 0.8, 3.0), (10.0, 20.0, 30.0))
    for axis, expected in ((0, (1.0, 0.8)), (1, (1.6, 0.5))):
        mask = np.zeros(empty.array.shape, dtype=bool)
        mask[4, 4, 4] = mask[tuple(np.array([4, 4, 4]) + np.eye(3, dtype=int)[axis])] = True
        found = measure_diameters(Volume(mask, empty.affine))
        assert found is not None
        assert (found.longest_mm, found.perpendicular_mm) == pytest.approx(expected)
    across = np.zeros(empty.array.shape, dtype=bool)
    across[4, 4, 4:6] = True  # two slices of one voxel each
    found = measure_diameters(Volume(across, empty.affine))
    assert found is not None
    assert (found.longest_mm, found.perpendicular_mm) == pytest.approx((0.8, 0.5))


def test_a_voxel_is_one_voxel_and_an_empty_mask_is_nothing() -> None:
    empty = grid((5, 5, 5), (0.7, 0.7, 2.0), (0.0, 0.0, 0.0))
    assert measure_diameters(empty) is None
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[0, 4, 0] = True
    found = measure_diameters(Volume(mask, empty.affine))
    assert found is not None
    assert (found.longest_mm, found.perpendicular_mm, found.outside) == pytest.approx((0.7, 0.7, 0))


def test_slices_are_the_axial_ones_however_the_array_is_stored() -> None:
    axial = draw(ellipsoid((13, 7, 10), 30), grid(*GRIDS["anisotropic"]))
    expected = measure_diameters(axial)
    assert expected is not None
    for order in ((2, 0, 1), (1, 2, 0), (0, 2, 1)):
        affine = axial.affine.copy()
        affine[:, :3] = affine[:, list(order)]
        found = measure_diameters(Volume(axial.array.transpose(order), affine))
        assert found is not None
        assert found.longest_mm == pytest.approx(expected.longest_mm)
        assert found.perpendicular_mm == pytest.approx(expected.perpendicular_mm)
        np.testing.assert_allclose(sorted(map(tuple, found.longest)), sorted(map(tuple, expected.longest)), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_the_search_through_all_pairs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    noise = gaussian_filter(generator.normal(size=(18, 15, 4)), (2, 2, 1))
    affine = grid((18, 15, 4), (0.6, 1.1, 2.5), tuple(generator.uniform(-20, 20, 3))).affine
    affine[:3, 0] += 0.15 * affine[:3, 1]  # sheared, too
    lesion = Volume(noise > np.quantile(noise, 0.8), affine)
    found = measure_diameters(lesion)
    assert found is not None
    sides = np.array([[0.5, 0, 0], [-0.5, 0, 0], [0, 0.5, 0], [0, -0.5, 0]])
    longest, width = 0.0, 0.0
    for k in range(4):
        voxels = np.argwhere(lesion.array & (np.arange(4) == k))
        points = np.unique((voxels[:, None] + sides).reshape(-1, 3), axis=0)
        world = lesion.to_world(points)
        for first, second in combinations(world, 2):
            length = float(np.linalg.norm(second - first))
            if length > longest + 1e-9:
                longest, width = length, _width(world, second - first)
    assert found.longest_mm == pytest.approx(longest)
    assert found.perpendicular_mm == pytest.approx(width, abs=0.01)


def _width(world: np.ndarray, diameter: np.ndarray) -> float:
    """The longest chord of the hull across a direction, by cutting it at many places."""
    along = diameter / np.linalg.norm(diameter)
    normal = np.linalg.svd(world - world.mean(axis=0))[2][2]
    across = np.cross(normal, along)
    hull = shapely.convex_hull(shapely.multipoints(np.column_stack([world @ along, world @ across])))
    low, bottom, high, top = hull.bounds
    places = np.linspace(low, high, 2001)
    lines = shapely.linestrings([[[place, bottom - 1], [place, top + 1]] for place in places])
    return float(shapely.length(shapely.intersection(lines, hull)).max())
