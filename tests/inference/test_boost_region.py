"""The boost region: which voxels pass, and that nothing of the patient moves the level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from treatment_response.inference.lesions.boost import SHARE, boost_region

SCALE = 4.0
LEVEL = SHARE * SCALE
SHAPE = (4, 3, 2)


def test_voxels_from_the_level_on_pass_inside_the_gtv_only() -> None:
    raw, mask = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    mask[1:3] = True
    raw[1, 0, 0], raw[1, 1, 0], raw[2, 2, 1] = LEVEL, LEVEL - 0.01, 100 * SCALE
    raw[0, 0, 0] = raw[3, 2, 1] = 10 * SCALE  # outside the GTV
    region = boost_region(raw, mask, SCALE)
    assert region.dtype == bool
    assert [tuple(index) for index in np.argwhere(region)] == [(1, 0, 0), (2, 2, 1)]


def test_a_weak_map_has_no_region_whatever_its_own_maximum() -> None:
    raw = np.linspace(0, LEVEL * 0.999, 24).reshape(SHAPE)
    assert not boost_region(raw, np.ones(SHAPE, bool), SCALE).any()


@given(
    raw=arrays(np.float32, SHAPE, elements=st.floats(0, 100, width=32)),
    mask=arrays(np.uint8, SHAPE, elements=st.integers(0, 1)),
    factor=st.sampled_from([0.25, 0.5, 2.0, 1024.0]),
)
def test_only_the_share_of_the_constant_counts(raw: np.ndarray, mask: np.ndarray, factor: float) -> None:
    region = boost_region(raw, mask, SCALE)
    assert not region[mask == 0].any()
    np.testing.assert_array_equal(region, boost_region(raw * np.float32(factor), mask, SCALE * factor))
    stronger_elsewhere = raw.copy()
    stronger_elsewhere[0, 0, 0] += 1000  # a hot spot must not push other voxels out
    np.testing.assert_array_equal(boost_region(stronger_elsewhere, mask, SCALE).ravel()[1:], region.ravel()[1:])


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_unfitted_constant_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        boost_region(np.zeros(SHAPE), np.zeros(SHAPE, bool), scale)


def test_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="different grids"):
        boost_region(np.zeros(SHAPE), np.zeros((4, 3, 3), bool), SCALE)
