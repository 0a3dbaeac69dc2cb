"""Which contours of a plane are holes, which are parts, and which are copies left over from editing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.geometry import enclosed_area, planimetric_volume, rasterise
from treatment_response.geometry.plane_region import plane_region, settle_contours

TURN = np.linspace(0, 2 * np.pi, 120, endpoint=False)


def circle(radius: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.column_stack([radius * np.cos(TURN) + x, radius * np.sin(TURN) + y])


def disc(radius: float) -> float:
    return enclosed_area(np.column_stack([circle(radius), np.zeros(len(TURN))]))


# name: contours, area of the region, whether they are told as crossing, as copied
PLANES: dict[str, tuple[list[np.ndarray], float, bool, bool]] = {
    "hole": ([circle(9), circle(5)], disc(9) - disc(5), False, False),
    "hole-at-the-rim": ([circle(9), circle(3, 6)], disc(9) - disc(3), False, False),
    "hole-poking-out-by-rounding": ([circle(9), circle(3, 6.02)], disc(9) - disc(3), False, False),
    "island": ([circle(9), circle(6), circle(3)], disc(9) - disc(6) + disc(3), False, False),
    "parts": ([circle(4), circle(4, 20)], 2 * disc(4), False, False),
    "parts-that-touch": ([circle(4), circle(4, 8)], 2 * disc(4), False, False),
    "the-same-twice": ([circle(9), circle(9)], disc(9), False, True),
    "the-same-three-times": ([circle(9), circle(9), circle(9)], disc(9), False, True),
    "rounded-copy": ([circle(9), np.round(circle(9), 1)], disc(9), False, True),
    "thin-rim": ([circle(9), circle(8.7)], disc(9), False, True),
    "nearly-equal-on-one-side": ([circle(9), circle(8.5, 0.45)], disc(9), False, True),
    "hole-drawn-twice": ([circle(9), circle(5), circle(5)], disc(9) - disc(5), False, True),
}


@pytest.mark.parametrize("name", PLANES)
def test_nested_is_a_hole_and_a_copy_counts_once(name: str) -> None:
    contours, area, crossing, copied = PLANES[name]
    settled = settle_contours(contours)
    assert plane_region(settled.polygons).area == pytest.approx(area, rel=5e-3)
    assert (settled.crossing, settled.copied) == (crossing, copied)


@pytest.mark.parametrize("shift", [0.3, 1.0, 4.0])
def test_crossing_copies_are_their_union(shift: float) -> None:
    settled = settle_contours([circle(9), circle(4, 1), circle(9, shift)])
    overlap = 2 * 81 * np.arccos(shift / 18) - shift / 2 * np.sqrt(4 * 81 - shift**2)
    assert plane_region(settled.polygons).area == pytest.approx(2 * disc(9) - overlap - disc(4), rel=2e-3)
    assert settled.crossing


def test_contours_that_need_no_settling_stay_as_they_are() -> None:
    contours = [circle(9), circle(5), circle(4, 20)]
    assert all(one is other for one, other in zip(contours, settle_contours(contours).polygons, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    circles=st.lists(st.tuples(*[st.floats(1, 9), st.floats(-9, 9), st.floats(-9, 9)]), min_size=2, max_size=5),
    order=st.randoms(use_true_random=False),
)
def test_volume_and_mask_agree_and_the_order_does_not_matter(circles: list, order: object) -> None:
    """Any circles of one plane: counted voxels hold the planimetric area, in any order of the contours."""
    contours = [np.column_stack([circle(*values), np.zeros(len(TURN))]) for values in circles]
    volume = planimetric_volume(contours, 1.0)
    affine = np.diag([0.1, 0.1, 1.0, 1.0])
    affine[:2, 3] = -20
    voxels = rasterise(contours, affine, (400, 400, 1)).sum() * 0.01
    assert voxels == pytest.approx(volume, rel=0.02, abs=0.3)
    shuffled = list(contours)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert planimetric_volume(shuffled, 1.0) == pytest.approx(volume, rel=1e-9)


def test_area_of_one_contour_is_by_the_even_odd_rule() -> None:
    eight = np.array([(0, 0, 0), (2, 2, 0), (2, 0, 0), (0, 2, 0)], dtype=float)
    assert enclosed_area(eight) == pytest.approx(2)
    assert enclosed_area(np.array([(0.0, 0, 0), (1, 1, 1), (2, 2, 2)])) == pytest.approx(0)
    assert enclosed_area(np.column_stack([np.zeros(120), circle(3)])) == pytest.approx(disc(3))
