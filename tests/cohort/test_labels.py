"""Labels from volumes, and how often a contouring error turns them round."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from treatment_response.cohort.labels import is_sure, p_response, response_label, volume_change


def sphere(diameter: float) -> tuple[float, float]:
    """Volume and area of a ball."""
    return math.pi * diameter**3 / 6, math.pi * diameter**2


@pytest.mark.parametrize(
    ("after", "threshold", "label"),
    [(79.9, 0.2, 1), (80.0, 0.2, 0), (80.1, 0.2, 0), (0.0, 0.2, 1), (69.9, 0.3, 1), (70.0, 0.3, 0), (150.0, 0.2, 0)],
)
def test_response_is_below_the_threshold_and_not_at_it(after: float, threshold: float, label: int) -> None:
    assert response_label(100.0, after, threshold) == label


@pytest.mark.parametrize("scale", [0.1, 0.3, 1 / 3, 7.7, 1234.5])
def test_exactly_at_the_threshold_is_non_response_at_any_scale(scale: float) -> None:
    assert response_label(100.0 * scale, 80.0 * scale) == 0


def test_rounding_makes_no_responder() -> None:
    assert 0.8 * 3.0 > 2.4  # in floating point
    assert response_label(3.0, 2.4) == 0


def test_change_is_relative_to_the_first_volume() -> None:
    assert volume_change(200.0, 100.0) == -0.5
    assert volume_change(100.0, 0.0) == -1.0


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_impossible_volumes_are_refused(before: float, after: float) -> None:
    with pytest.raises(ValueError, match="volumes must be"):
        response_label(before, after)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.2, 20.0])
def test_a_threshold_in_percent_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        response_label(100.0, 50.0, threshold)


@pytest.mark.parametrize(("diameter", "flips"), [(6, 0.38), (10, 0.32), (15, 0.25), (30, 0.08)])
@pytest.mark.parametrize("true_ratio", [0.9, 0.7], ids=["true-minus-10%", "true-minus-30%"])
def test_flips_of_science_md(diameter: float, flips: float, true_ratio: float) -> None:
    """SCIENCE.md's 38 / 32 / 25 / 8 %: true changes ten points from the threshold, each radius off by 0.3 mm SD."""
    rng = np.random.default_rng(0)
    before = diameter / 2
    after = before * true_ratio ** (1 / 3)
    noisy = ((after + rng.normal(0, 0.3, 200_000)) / (before + rng.normal(0, 0.3, 200_000))) ** 3
    simulated = float(np.mean((noisy < 0.8) != (true_ratio < 0.8)))
    assert simulated == pytest.approx(flips, abs=0.03)
    # The closed form that lesions.csv holds agrees with the simulation.
    (v1, a1), (v3, a3) = sphere(2 * before), sphere(2 * after)
    p = p_response(v1, v3, a1, a3)
    assert min(p, 1 - p) == pytest.approx(simulated, abs=0.02)


@given(
    diameter=st.floats(4, 40),
    ratio=st.floats(0.05, 3.0),
    threshold=st.floats(0.05, 0.9),
)
def test_p_response_sides_with_the_label(diameter: float, ratio: float, threshold: float) -> None:
    (v1, a1), (v3, a3) = sphere(diameter), sphere(diameter * ratio ** (1 / 3))
    p = p_response(v1, v3, a1, a3, threshold)
    assert 0 <= p <= 1
    if abs(v3 / v1 - (1 - threshold)) > 1e-6:
        assert (p > 0.5) == (response_label(v1, v3, threshold) == 1)


def test_p_response_sharpens_with_size_and_blurs_with_error() -> None:
    small, large = ((*sphere(d), *sphere(d * 0.6 ** (1 / 3))) for d in (6, 30))
    p_small = p_response(small[0], small[2], small[1], small[3])
    p_large = p_response(large[0], large[2], large[1], large[3])
    assert 0.5 < p_small < p_large
    assert p_response(large[0], large[2], large[1], large[3], contouring_sd_mm=1.0) < p_large
    assert p_response(large[0], large[2], large[1], large[3], contouring_sd_mm=0.0) == 1.0


def test_a_resolved_lesion_is_a_sure_response() -> None:
    assert p_response(500.0, 0.0, 300.0, 0.0) == 1.0


def test_sure_lesions() -> None:
    assert is_sure(0.95)
    assert is_sure(0.05)
    assert not is_sure(0.8)
    assert not is_sure(0.5)
