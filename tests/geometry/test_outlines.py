"""Masks to contours and back: the same voxels, on any grid."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation
from treatment_response.geometry import outline_mask, planimetric_volume, rasterise

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [17, -8, 25], degrees=True).as_matrix() @ np.diag([0.9, 0.7, 2.1])
OBLIQUE[:3, 3] = [11.5, -23.25, 40.125]
FLIPPED = np.array([[0, 0, 3.0, 5], [-0.5, 0, 0, -7], [0, -0.8, 0, 9], [0, 0, 0, 1]])


def contours_of(mask: np.ndarray, affine: np.ndarray) -> list[np.ndarray]:
    return [points for _, points in outline_mask(mask, affine)]


@settings(max_examples=150, deadline=None)
@given(
    mask=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)).flatmap(lambda s: arrays(bool, s)),
    affine=st.sampled_from([OBLIQUE, FLIPPED, np.diag([1.0, 1, 1, 1])]),
)
def test_rasterising_the_outlines_gives_the_mask_back(mask: np.ndarray, affine: np.ndarray) -> None:
    mask |= mask.any(axis=2, keepdims=True) & ~mask.any(axis=(0, 1))  # no empty slice between drawn ones
    if mask.any():
        np.testing.assert_array_equal(rasterise(contours_of(mask, affine), affine, mask.shape), mask)
    else:
        assert outline_mask(mask, affine) == []


@settings(max_examples=100, deadline=None)
@given(mask=arrays(bool, (8, 8, 1)))
def test_area_is_that_of_the_voxels_and_no_ring_crosses_itself(mask: np.ndarray) -> None:
    """Each ring is wound once around its voxels, so the signed area (which a winding fill goes by) is theirs too."""
    area = 0.0
    for _, points in outline_mask(mask, np.eye(4)):
        x, y = points[:, 0], points[:, 1]
        area += float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
    assert area == pytest.approx(mask.sum())


def test_a_ring_of_voxels_is_one_contour_with_a_channel_to_its_hole() -> None:
    mask = np.ones((5, 5, 1), bool)
    mask[2, 2] = False
    ((k, points),) = outline_mask(mask, np.eye(4))
    assert k == 0
    assert len(points) == 10  # outer square with the channel's foot, and the hole closed on its corner
    assert shapely.Polygon(points[:, :2]).buffer(0).area == pytest.approx(24)


def test_very_many_holes_take_no_time() -> None:
    mask = np.ones((201, 201, 1), bool)
    mask[1::2, 1::2] = False
    started = time.process_time()
    contours = contours_of(mask, np.eye(4))
    assert time.process_time() - started < 30  # about 2 s; searching the ring anew for each hole takes minutes
    np.testing.assert_array_equal(rasterise(contours, np.eye(4), mask.shape), mask)


def test_straight_edges_have_no_points_between() -> None:
    ((_, points),) = outline_mask(np.ones((6, 4, 1)), np.diag([2.0, 3, 4, 1]))
    np.testing.assert_array_equal(
        sorted(map(tuple, points)), [(-1, -1.5, 0), (-1, 10.5, 0), (11, -1.5, 0), (11, 10.5, 0)]
    )


def test_volume_is_that_of_the_voxels() -> None:
    mask = np.random.default_rng(0).random((12, 10, 5)) > 0.4
    volume = planimetric_volume(contours_of(mask, OBLIQUE))
    assert volume == pytest.approx(mask.sum() * abs(np.linalg.det(OBLIQUE[:3, :3])), rel=1e-9)
