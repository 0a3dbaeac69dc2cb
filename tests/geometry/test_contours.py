"""Volumes and masks of analytic shapes, in millimetres, whatever the orientation."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from skimage.draw import polygon2mask
from treatment_response.geometry import equivalent_diameter, planimetric_volume, rasterise, surface_area

TURN = np.linspace(0, 2 * np.pi, 180, endpoint=False)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
CIRCLE *= np.sqrt(np.pi / (90 * np.sin(2 * np.pi / 180)))  # the polygon has the circle's area, so its bias is zero


def ring(radius: float, centre: tuple[float, float], z: float) -> np.ndarray:
    return np.column_stack([CIRCLE * radius + centre, np.full(len(CIRCLE), z)])


def sphere(radius: float, centre: np.ndarray, spacing: float = 1.0) -> list[np.ndarray]:
    """Contours on the planes z = k · spacing."""
    planes = np.arange(np.ceil((centre[2] - radius) / spacing), np.floor((centre[2] + radius) / spacing) + 1) * spacing
    square = radius**2 - (planes - centre[2]) ** 2
    return [ring(np.sqrt(s), centre[:2], z) for s, z in zip(square, planes, strict=True) if s > 1e-6]


def box(size: tuple[float, float], z: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2 * size + centre
    return np.column_stack([corners, np.full(4, z)])


def rotated(contours: list[np.ndarray], rotation: np.ndarray, shift: np.ndarray) -> list[np.ndarray]:
    return [points @ rotation.T + shift for points in contours]


ORIENTATIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "oblique": Rotation.from_euler("xyz", [20, -35, 12], degrees=True).as_matrix(),
}
VOLUME_LIMIT = {3: 0.035, 5: 0.015, 10: 0.005, 30: 0.002}
MASK_LIMIT = {3: 0.06, 5: 0.03, 10: 0.01, 30: 0.002}


@pytest.mark.parametrize("radius", VOLUME_LIMIT)
def test_planimetry_of_spheres_at_any_offset(radius: int) -> None:
    truth = 4 / 3 * np.pi * radius**3
    volumes = [planimetric_volume(sphere(radius, np.array([0, 0, z]))) for z in np.linspace(0, 1, 41)]
    assert np.abs(np.array(volumes) / truth - 1).max() < VOLUME_LIMIT[radius]


@settings(max_examples=40, deadline=None)
@given(
    radius=st.sampled_from(sorted(VOLUME_LIMIT)),
    offset=st.tuples(*[st.floats(0, 1)] * 3),
    angles=st.tuples(*[st.floats(-90, 90)] * 3),
    shift=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_planimetry_does_not_depend_on_orientation(radius: int, offset: tuple, angles: tuple, shift: tuple) -> None:
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    contours = rotated(sphere(radius, np.array(offset)), rotation, np.array(shift))
    truth = 4 / 3 * np.pi * radius**3
    assert planimetric_volume(contours) == pytest.approx(truth, rel=VOLUME_LIMIT[radius])


@pytest.mark.parametrize(("radius", "spheres"), zip(MASK_LIMIT, (1000, 1000, 200, 100), strict=True))
def test_mask_of_spheres_at_many_offsets(radius: int, spheres: int) -> None:
    truth, size = 4 / 3 * np.pi * radius**3, 2 * radius + 4
    offsets = np.random.default_rng(radius).uniform(0, 1, (spheres, 3)) + radius + 1
    errors = [rasterise(sphere(radius, c), np.eye(4), (size,) * 3).sum() / truth - 1 for c in offsets]
    assert np.percentile(np.abs(errors), 95) < MASK_LIMIT[radius]
    assert abs(np.mean(errors)) < 0.005


@pytest.mark.parametrize("drawn_on", ORIENTATIONS)
@pytest.mark.parametrize("image", ORIENTATIONS)
def test_mask_holds_the_voxel_centres_inside(drawn_on: str, image: str) -> None:
    """An ellipsoid-like stack of rings, on a grid that is anisotropic and turned against the contours' planes."""
    rotation, shift = ORIENTATIONS[drawn_on], np.array([31.0, -12.0, 55.0])
    contours = rotated([ring(8.0, (1.0, -2.0), z) for z in np.arange(-5.0, 6.0, 2.0)], rotation, shift)
    affine = np.eye(4)
    affine[:3, :3] = ORIENTATIONS[image] @ np.diag([0.9, -0.7, 1.6])
    shape = np.array((40, 50, 30))
    affine[:3, 3] = shift + 0.123 - affine[:3, :3] @ (shape / 2)
    mask = rasterise(contours, affine, shape)
    world = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    local = (world - shift) @ rotation  # back into the frame that the cylinder was made in
    distance = np.hypot(local[:, 0] - 1, local[:, 1] + 2)
    truth = (distance < 8) & (np.abs(local[:, 2]) < 6)  # slabs reach 1 mm beyond the planes at ±5
    sure = (np.abs(distance - 8) > 0.01) & (np.abs(np.abs(local[:, 2]) - 6) > 0.01)  # the ring is a polygon
    np.testing.assert_array_equal(mask.ravel()[sure], truth[sure])
    assert truth.sum() > 1500


def test_mask_agrees_with_skimage_on_one_slice() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
        points = np.column_stack([np.cos(angle), np.sin(angle)]) * rng.uniform(3, 14, (12, 1)) + rng.uniform(15, 17, 2)
        mask = rasterise([np.column_stack([points, np.full(12, 1.0)])], np.eye(4), (32, 32, 3))
        np.testing.assert_array_equal(mask[:, :, 1], polygon2mask((32, 32), points))
        assert not mask[:, :, [0, 2]].any()


def test_regions_that_share_an_edge_share_no_voxel() -> None:
    left, right = (rasterise([box((4, 6), z, (x, 3)) for z in (0, 1)], np.eye(4), (9, 9, 2)) for x in (2, 6))
    assert left.sum() == right.sum() == 4 * 6 * 2
    assert not (left & right).any()


def test_holes_and_several_parts_count_by_xor() -> None:
    outer = [box((10, 10), z, (10, 10)) for z in range(3)]
    hole = [box((4, 4), z, (10, 10)) for z in range(3)]
    island = [box((2, 2), z, (10, 10)) for z in range(3)]
    apart = [box((3, 3), z, (20, 10)) for z in range(3)]
    contours = outer + hole + island + apart
    assert planimetric_volume(contours) == pytest.approx(3 * (100 - 16 + 4 + 9))
    mask = rasterise(contours, np.diag([0.1, 0.1, 1, 1]), (240, 180, 3))
    assert mask.sum() / 100 == pytest.approx(3 * 97, rel=1e-9)
    assert mask[100, 100, 1]
    assert not mask[115, 100, 1]


@pytest.mark.parametrize("noise", range(5))
def test_contours_half_way_between_slices_fill_as_many_slices(noise: int) -> None:
    rng = np.random.default_rng(noise)
    contours = [box((4, 4), z + 0.5 + rng.uniform(-1e-4, 1e-4), (5, 5)) for z in range(3, 7)]
    assert rasterise(contours, np.eye(4), (10, 10, 12)).any(axis=(0, 1)).sum() == 4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    drawn_on=st.tuples(*[st.floats(-180, 180)] * 3),
    image=st.tuples(*[st.floats(-180, 180)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 3)] * 3),
)
def test_mask_agrees_with_point_in_polygon_in_any_orientation(
    seed: int, drawn_on: tuple, image: tuple, spacing: tuple
) -> None:
    """Two crossing star-shaped outlines in each of five planes count as their union, by shapely's point in polygon."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    stars = [[circle * rng.uniform(2, 8, (14, 1)) + centre for centre in ((0, 0), (3, 2))] for _ in range(5)]
    rotation, axes = (Rotation.from_euler("xyz", a, degrees=True).as_matrix() for a in (drawn_on, image))
    contours = [np.column_stack([star, np.full(14, 2.0 * k)]) @ rotation.T for k in range(5) for star in stars[k]]
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag(spacing)
    shape = np.ceil(24 / np.array(spacing)).astype(int)
    affine[:3, 3] = rotation @ (0, 0, 4) - affine[:3, :3] @ (shape / 2)
    mask = rasterise(contours, affine, shape)
    local = (np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]) @ rotation
    plane = np.floor((local[:, 2] + 1) / 2)  # the slab of plane k is 2 k ± 1 mm
    truth = np.zeros(len(local), dtype=bool)
    for k in range(5):
        one, other = (shapely.contains_xy(shapely.Polygon(star), *local[:, :2].T) for star in stars[k])
        truth |= (plane == k) & (one | other)
    sure = np.abs((local[:, 2] + 1) % 2 - 1) < 0.99
    assert truth.any()
    np.testing.assert_array_equal(mask.ravel()[sure], truth[sure])


def test_keyhole_contour_leaves_its_hole_out() -> None:
    hole = [(-2, -2), (-2, 2), (2, 2), (2, -2), (-2, -2)]
    keyhole = np.array([(-5, -5), (5, -5), (5, 5), (-5, 5), (-5, -5), *hole], dtype=float)
    contours = [np.column_stack([keyhole, np.full(len(keyhole), z)]) for z in (0.0, 2.0)]
    assert planimetric_volume(contours) == pytest.approx(4 * (100 - 16))


def test_missing_middle_slices_are_filled_and_separate_parts_are_not() -> None:
    column = [box((6, 6), z) for z in range(10)]
    gap = [points for points in column if points[0, 2] not in (4, 5)]
    assert planimetric_volume(gap) == pytest.approx(360)
    affine = np.diag([0.5, 0.5, 1, 1])
    affine[:3, 3] = -5, -5, 0
    assert rasterise(gap, affine, (20, 20, 10)).sum() == 12 * 12 * 10
    parts = [box((6, 6), z, (20.0 if z > 4 else 0.0, 0.0)) for z in (0, 1, 2, 5, 6, 7)]
    assert planimetric_volume(parts) == pytest.approx(6 * 36)
    far = [box((6, 6), z) for z in (0, 1, 2, 12, 13, 14)]
    assert planimetric_volume(far) == pytest.approx(6 * 36)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(8)), flips=st.lists(st.booleans(), min_size=8, max_size=8), noise=st.integers(0, 99))
def test_order_direction_and_rounding_of_contours_do_not_matter(order: list, flips: list, noise: int) -> None:
    contours = rotated([ring(5.0, (0, 0), z) for z in np.arange(8) * 1.5], ORIENTATIONS["oblique"], np.full(3, 7.0))
    rng = np.random.default_rng(noise)
    noisy = [points + rng.uniform(-0.005, 0.005, points.shape) for points in contours]
    shuffled = [noisy[i][::-1] if flip else noisy[i] for i, flip in zip(order, flips, strict=True)]
    assert planimetric_volume(shuffled) == pytest.approx(np.pi * 25 * 12, rel=2e-3)


def test_two_far_planes_are_two_parts_where_the_slice_distance_is_known() -> None:
    """Two planes 10 mm apart tell no plane distance; three of them at even distances do."""
    far = [box((6, 6), z) for z in (0.0, 10.0)]
    assert planimetric_volume(far) == pytest.approx(2 * 36 * 10)
    assert planimetric_volume(far, slice_distance=1.0) == pytest.approx(2 * 36)
    even = [*far, box((6, 6), 20.0)]
    assert planimetric_volume(even, slice_distance=1.0) == pytest.approx(3 * 36 * 10)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("step", [0.15, 0.4, 0.9, 1.0, 1.5])
def test_parts_off_each_others_planes_keep_their_thickness(orientation: str, step: float) -> None:
    """Two balls side by side, the second drawn a little above the slices: volume, surface and mask hold both."""
    first = sphere(9, np.array([0.0, 0, 0.4]), 2.0)
    second = [points + np.array([30, 0, step]) for points in first]
    contours = rotated([*first, *second], ORIENTATIONS[orientation], np.array([7.0, -3, 11]))
    truth = 2 * planimetric_volume(first)
    assert planimetric_volume(contours, slice_distance=2.0) == pytest.approx(truth, rel=0.012)
    assert surface_area(contours, slice_distance=2.0) > 0
    affine = np.eye(4)
    affine[:3, :3] = ORIENTATIONS[orientation] @ np.diag([1.0, 1, 2])
    affine[:3, 3] = ORIENTATIONS[orientation] @ [-12.0, -12, -14] + [7.0, -3, 11]
    mask = rasterise(contours, affine, (56, 25, 15), slice_distance=2.0)
    assert mask.sum() * 2.0 == pytest.approx(truth, rel=0.02)
    assert mask[:30].sum() == pytest.approx(mask[30:].sum(), rel=0.03)


def test_a_contour_drawn_again_beside_its_plane_splits_no_region() -> None:
    once = sphere(9, np.zeros(3), 2.0)
    twice = [*once, *(points + np.array([0, 0, 0.15]) for points in once)]
    assert planimetric_volume(twice, slice_distance=2.0) == pytest.approx(planimetric_volume(once), rel=0.03)


def test_finer_planes_than_the_image_has_slices_are_left_as_they_are() -> None:
    fine = sphere(6, np.array([0.0, 0, 0.3]), 1.0)
    assert planimetric_volume(fine, slice_distance=5.5) == planimetric_volume(fine)
    assert surface_area(fine, slice_distance=5.5) == surface_area(fine)


def test_one_plane_needs_a_spacing() -> None:
    with pytest.raises(ValueError, match="give the slice spacing"):
        planimetric_volume([box((2, 3), 0)])
    assert planimetric_volume([box((2, 3), 0)], spacing=1.5) == pytest.approx(9)
    mask = rasterise([box((4, 4), 3.0, (5, 5))], np.diag([1, 1, 1.5, 1]), (10, 10, 5))
    assert mask.sum(axis=(0, 1)).tolist() == [0, 0, 16, 0, 0]


def test_contours_that_make_no_stack_are_refused() -> None:
    with pytest.raises(ValueError, match="no contours"):
        rasterise([], np.eye(4), (4, 4, 4))
    with pytest.raises(ValueError, match="enclose no area"):
        planimetric_volume([np.array([[0.0, 0, 0], [1, 1, 0], [2, 2, 0]])], spacing=1)
    with pytest.raises(ValueError, match="not parallel"):
        planimetric_volume([box((9, 9), 0), box((9, 9), 0) @ ORIENTATIONS["sagittal"].T])


def test_region_outside_the_image_gives_an_empty_mask() -> None:
    assert not rasterise(sphere(3, np.array([50.0, 50, 50])), np.eye(4), (20, 20, 20)).any()


@pytest.mark.parametrize(("radius", "tolerance"), [(3, 0.06), (5, 0.025), (10, 0.01), (30, 0.003)])
def test_surface_of_spheres(radius: int, tolerance: float) -> None:
    for z in np.linspace(0, 1, 11):
        area = surface_area(sphere(radius, np.array([0, 0, z])))
        assert area == pytest.approx(4 * np.pi * radius**2, rel=tolerance)


def test_equivalent_diameter() -> None:
    assert equivalent_diameter(4 / 3 * np.pi * 125) == pytest.approx(10)
