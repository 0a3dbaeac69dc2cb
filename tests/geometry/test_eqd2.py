"""EQD2 against values worked out by hand, and against the linear-quadratic model that it comes from."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose
from treatment_response.geometry.eqd2 import equivalent_dose


@pytest.mark.parametrize(
    ("dose", "fractions", "alpha_beta", "expected"),
    [
        (60.0, 30, 2.0, 60.0),  # 2 Gy a day are their own equivalent
        (40.05, 15, 2.0, 40.05 * (2.67 + 2) / 4),
        (20.0, 1, 2.0, 110.0),  # 20 Gy at once
        (20.0, 1, 10.0, 50.0),
        (30.0, 30, 2.0, 22.5),  # where half the dose is given, less than half counts
        (0.0, 30, 2.0, 0.0),
    ],
)
def test_values_by_hand(dose: float, fractions: int, alpha_beta: float, expected: float) -> None:
    assert equivalent_dose(dose, fractions, alpha_beta) == pytest.approx(expected)


def test_the_same_cells_survive() -> None:
    """n fractions of d and EQD2 / 2 fractions of 2 Gy: exp(−αD − βD²/n) is one number."""
    alpha, beta = 0.1, 0.05
    doses, fractions = np.linspace(0, 70, 15), 7
    equivalent = equivalent_dose(doses, fractions, alpha / beta)
    given = np.exp(-alpha * doses - beta * doses**2 / fractions)
    by_two = np.exp(-alpha * equivalent - beta * equivalent * 2)
    np.testing.assert_allclose(by_two, given, rtol=1e-12)


def test_a_course_with_its_prescription_on_one_surface() -> None:
    """The 95 % isodose is the same surface in physical dose and in EQD2, also when a course was ended early."""
    dose = np.linspace(0, 62, 32, dtype=np.float32).reshape(2, 4, 4)
    course = CourseDose(Volume(dose * 0.9, np.eye(4)), fractions=27, planned_fractions=30, prescription_gy=60.0)
    scaled = course.as_eqd2(2.0)
    assert scaled.volume.array.dtype == np.float32
    whole = CourseDose(Volume(dose, np.eye(4)), fractions=30, planned_fractions=30, prescription_gy=60.0)
    level, physical = whole.isodose(0.95, 2.0), whole.isodose(0.95, None)
    np.testing.assert_array_equal(whole.as_eqd2(2.0).volume.array >= level, dose >= physical)
    assert scaled.isodose(0.95, 2.0) == level  # what was prescribed does not change with what was given
    assert CourseDose(course.volume).isodose(0.95, None) is None


@pytest.mark.parametrize(("fractions", "alpha_beta"), [(0, 2.0), (3, 0.0), (3, float("nan"))])
def test_numbers_out_of_range(fractions: int, alpha_beta: float) -> None:
    with pytest.raises(ValueError, match="expected at least 1 and above 0"):
        equivalent_dose(10.0, fractions, alpha_beta)
