"""The spatial null: a planted relation stands out, unrelated smooth maps do not, with or without a common trend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import spearmanr
from treatment_response.explain.spatial_null import SpatialNull

ROWS, COLUMNS = np.mgrid[:16, :16]
LESIONS = [
    ((ROWS - a) / r) ** 2 + ((COLUMNS - b) / s) ** 2 <= 1
    for a, b, r, s in [(7.5, 7.5, 6, 6), (8, 7, 5, 4), (7, 8, 3.5, 4.5), (7.4, 7.7, 7, 5)]
]
# Real lesions are seldom round: one with a bay.
LESIONS.append(LESIONS[0] & ~((ROWS > 7) & (COLUMNS > 9)))


def fields(rng: np.random.Generator, inside: np.ndarray, count: int, sigma: float = 1.0) -> np.ndarray:
    """Independent smooth random fields in a lesion, SD 1, ``(count, C)``."""
    drawn = np.stack([gaussian_filter(rng.normal(size=(16, 16)), sigma)[inside] for _ in range(count)])
    return drawn / drawn.std(axis=1, keepdims=True)


@pytest.mark.parametrize("trend", [0.0, 1.0, 3.0], ids=["stationary", "both rise to the centre", "steeply"])
def test_unrelated_smooth_maps_are_significant_as_often_as_alpha_says(trend):
    rng = np.random.default_rng(0)
    p = []
    for inside in LESIONS:
        null = SpatialNull(inside)
        depth = distance_transform_edt(inside)[inside]
        depth = trend * (depth - depth.mean()) / depth.std()
        for _ in range(8):
            maps, features = fields(rng, inside, 6) + depth, fields(rng, inside, 6) + depth
            p += np.diag(null.test(maps, features).p_turned).tolist()
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.042)  # 240 pairs, 3 SE
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


def test_shifts_mistake_a_common_trend_for_a_relation_and_turns_do_not():
    rng = np.random.default_rng(1)
    inside = LESIONS[0]
    depth = distance_transform_edt(inside)[inside]
    depth = (depth - depth.mean()) / depth.std()
    test = SpatialNull(inside).test(fields(rng, inside, 12) + depth, fields(rng, inside, 12) + depth)
    assert abs(test.z_turned.mean()) < 0.5
    assert test.z_shifted.mean() > 1


@pytest.mark.parametrize("inside", LESIONS, ids=range(len(LESIONS)))
def test_a_map_that_is_the_feature_stands_out(inside):
    rng = np.random.default_rng(2)
    feature = fields(rng, inside, 1)
    test = SpatialNull(inside).test(np.concatenate([feature, -feature, 0 * feature]), feature)
    assert test.rho[:, 0] == pytest.approx([1, -1, 0])
    assert test.z_turned[0, 0] > 2.5
    assert test.z_turned[1, 0] == pytest.approx(-test.z_turned[0, 0])
    assert test.z_turned[2, 0] == 0
    assert test.p_turned[:, 0] == pytest.approx([1 / 48, 1 / 48, 1])
    assert test.z_shifted[0, 0] > 2


def test_a_map_of_the_depth_alone_is_like_nothing_beyond_it():
    inside = LESIONS[1]
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1][inside]
    test = SpatialNull(inside).test(depth[None], depth[None])
    assert test.rho[0, 0] == pytest.approx(1)
    assert (test.z_turned[0, 0], test.p_turned[0, 0]) == (0, 1)


def test_turns_move_a_spot_to_where_they_say_and_keep_all_within_the_lesion():
    inside = LESIONS[0]
    null = SpatialNull(inside)
    cells = np.argwhere(inside)
    assert null.turned.shape == (47, len(cells))
    quarter = null.turned[5]  # 90 degrees: exact on a lesion that is symmetric about its centre
    centred = cells - cells.mean(axis=0)
    np.testing.assert_allclose(centred[quarter], centred @ np.array([[0, -1], [1, 0]]).T, atol=1e-9)
    assert sorted(quarter) == list(range(len(cells)))


def test_shifts_keep_pairs_of_cells_apart_by_the_shift():
    inside = LESIONS[1]
    cells = np.argwhere(inside)
    null = SpatialNull(inside)
    for source, landed in null.shifts:
        step = cells[landed] - cells[source]
        assert (step == step[0]).all()
        assert np.abs(step[0]).max() >= 2
        assert len(source) >= len(cells) / 2


@pytest.mark.parametrize("side", [3, 4])
def test_a_lesion_of_few_cells_can_be_significant_and_is_as_often_as_alpha_says(side):
    inside = np.zeros((16, 16), dtype=bool)
    inside[4 : 4 + side, 5 : 5 + side] = True
    null = SpatialNull(inside)
    assert not (null.turned == np.arange(side**2)).all(axis=1).any()  # a turn by 15 degrees moves no cell
    feature = np.random.default_rng(3).normal(size=(1, side**2))
    assert null.test(feature, feature).p_turned[0, 0] == 1 / (1 + len(null.turned)) <= 0.05
    maps, features = (np.random.default_rng(seed).normal(size=(20, side**2)) for seed in (4, 5))
    assert np.mean(null.test(maps, features).p_turned <= 0.05) == pytest.approx(0.05, abs=0.04)


def test_a_tiny_lesion_has_no_shifts():
    inside = np.zeros((16, 16), dtype=bool)
    inside[4:7, 5:8] = True
    values = np.random.default_rng(0).normal(size=(2, 9))
    test = SpatialNull(inside).test(values[:1], values[1:])
    assert np.isnan(test.z_shifted).all()
    assert test.rho[0, 0] == pytest.approx(spearmanr(*values).statistic)


def test_a_volume_is_turned_in_every_plane_and_finds_a_related_map():
    rng = np.random.default_rng(0)
    inside = np.zeros((9, 10, 8), dtype=bool)
    inside[1:8, 2:9, 1:7] = True
    inside[1:4, 2:5, 1:4] = False
    null = SpatialNull(inside)
    smooth = gaussian_filter(rng.normal(size=(2, *inside.shape)), (0, 1, 1, 1))[:, inside]
    result = null.test(smooth[:1], np.stack([smooth[0] + 0.2 * smooth[1], smooth[1]]))
    assert result.p_turned[0, 0] < 0.05 < result.p_turned[0, 1]
    assert result.z_turned[0, 0] > 3
    assert result.z_shifted[0, 0] > 3
    # Three planes of 23 turns and 24 mirrored ones, the mirror image itself once.
    assert len(null.turned) == 3 * 23 + 3 * 23 + 1
    assert all(len(source) >= inside.sum() / 2 for source, _ in null.shifts)
