"""The numbers of the tumour board's sheet on shapes whose numbers are known, on an oblique and anisotropic grid."""

from __future__ import annotations

import numpy as np
import pytest
from treatment_response.features.tumour_board import (
    IsodoseClass,
    distance_mm,
    dose_volume,
    dvh_rows,
    isodose_class,
    sheet_rows,
    tumour_board,
)
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

SHAPE, SPACING = (60, 50, 34), np.array([0.8, 1.0, 1.5])


def affine() -> np.ndarray:
    angle = np.deg2rad(20)
    matrix = np.eye(4)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix[:3, :3] = turn @ np.diag(SPACING * (-1, 1, 1))
    matrix[:3, 3] = (30, -20, 5)
    return matrix


def local_mm() -> np.ndarray:
    """Millimetres along the grid's own axes, from its middle, of every voxel."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return (index - (np.array(SHAPE) - 1) / 2) * SPACING


def ball(centre: tuple[float, float, float], radius: float) -> Volume:
    return Volume((np.linalg.norm(local_mm() - centre, axis=-1) < radius).astype(np.uint8), affine())


def ramp() -> Volume:
    """60 Gy at the middle's left, 2 Gy less per mm along the first axis."""
    return Volume((60 - 2 * local_mm()[..., 0]).clip(0).astype(np.float32), affine())


def test_the_histogram_of_a_ramp_through_a_ball() -> None:
    """Share of a ball of radius r beyond a plane at x: 1/2 − 3x/4r + x³/4r³."""
    radius = 9.0
    curve = dose_volume(ramp(), ball((0, 0, 0), radius))
    x = (60 - curve.dose_gy) / 2  # the ball's part with x' < x gets at least this dose
    x = np.clip(x, -radius, radius)
    expected = 0.5 + 0.75 * x / radius - 0.25 * (x / radius) ** 3
    np.testing.assert_allclose(curve.share, expected, atol=0.04)
    assert curve.mean_gy == pytest.approx(60, abs=0.2)
    assert curve.max_gy == pytest.approx(60 + 2 * radius, abs=2)
    assert (np.diff(curve.share) <= 0).all()
    assert curve.share[0] == 1
    # A ball's near-maximum: 2 % of its volume lie beyond x = 0.8407 r.
    assert curve.d2_gy == pytest.approx(60 + 2 * 0.8407 * radius, abs=1)
    assert curve.d98_gy == pytest.approx(60 - 2 * 0.8407 * radius, abs=1)


def test_the_sheet() -> None:
    lesion, ventricle, cavity = ball((0, 0, 0), 8.0), ball((-18, 0, 0), 4.0), ball((0, 14, 0), 7.0)
    before = ball((0, 0, -8.0), 8.0)
    sheet = tumour_board(lesion, ramp(), isodose_gy=57.0, ventricles=ventricle, cavity=cavity, before=before,
                         days_between=61, days_since_radiotherapy=365)  # fmt: skip
    volume = 4 / 3 * np.pi * 8**3 / 1000
    assert sheet.volume_ml == pytest.approx(volume, rel=0.02)
    inside = 0.5 + 0.75 * 1.5 / 8 - 0.25 * (1.5 / 8) ** 3  # the plane of 57 Gy lies 1.5 mm beyond the middle
    assert sheet.share_95 == pytest.approx(inside, abs=0.03)
    assert sheet.v95_ml == pytest.approx(inside * volume, rel=0.05)
    assert sheet.isodose == IsodoseClass.MARGINAL
    assert sheet.ventricle_distance_mm == pytest.approx(18 - 8 - 4, abs=0.6)
    assert sheet.cavity_distance_mm == 0  # they overlap
    shared = np.pi * (2 * 8 - 8) ** 2 * (8**2 + 4 * 8 * 8) / (12 * 8) / 1000
    assert sheet.growth_ml_per_month == pytest.approx((volume - shared) / (61 / 30.4375), rel=0.03)
    assert sheet.months_since_radiotherapy == pytest.approx(365 / 30.4375)
    row = sheet.row()
    assert row["isodose_class"] == "marginal"
    assert [line["subject"] for line in dvh_rows("sub-001", sheet)][:1] == ["sub-001"]


def test_neighbours_touch() -> None:
    one, other = (Volume(np.zeros(SHAPE, np.uint8), affine()) for _ in range(2))
    one.array[20, 20, 10] = 1
    for voxel, expected in (((21, 21, 11), 0.0), ((23, 20, 10), 1.6), ((20, 20, 13), 3.0), ((23, 20, 13), 3.4)):
        other.array[:] = 0
        other.array[voxel] = 1
        assert distance_mm(one, other) == pytest.approx(expected)


def test_lines_for_readers_have_units_and_say_why_a_value_is_missing() -> None:
    lesion = ball((0, 0, 0), 8.0)
    sheet = tumour_board(lesion, ramp(), isodose_gy=57.0, cavity=lesion)
    lines = {line.name: line for line in sheet_rows(sheet, dose_unit="Gy(RBE)", cavity_from="as outlined")}
    assert (lines["lesion volume"].value, lines["lesion volume"].unit) == (sheet.volume_ml, "ml")
    assert (lines["mean dose in the lesion"].value, lines["mean dose in the lesion"].unit) == (
        sheet.dose.mean_gy,
        "Gy(RBE)",
    )
    assert lines["share inside the 95 % isodose"].value == 100 * sheet.share_95
    assert lines["isodose class"].value == "marginal"
    assert (lines["distance to the cavity"].value, lines["distance to the cavity"].note) == (0.0, "as outlined")
    missing = [line for line in lines.values() if line.value is None]
    assert {line.name for line in missing} == {"growth", "distance to the ventricles", "time since radiotherapy"}
    assert all(line.note for line in missing)


def test_what_is_not_known_stays_empty() -> None:
    row = tumour_board(ball((0, 0, 0), 5.0), ramp()).row()
    empty = {name for name, value in row.items() if value == ""}
    assert empty == {
        *("lesion_growth", "lesion_v95_ml", "lesion_share_95", "isodose_class", "ventricle_distance_mm"),
        *("cavity_distance_mm", "months_since_radiotherapy"),
    }


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, "central"), (0.95, "central"), (0.949, "in-field"), (0.8, "in-field"), (0.79, "marginal"), (0.2, "marginal"),
     (0.199, "distant"), (0.0, "distant")],
)  # fmt: skip
def test_classes_of_lee_and_chan(share: float, expected: str) -> None:
    assert isodose_class(share) == expected


def test_refused_volumes() -> None:
    lesion = ball((0, 0, 0), 5.0)
    with pytest.raises(DataProblem, match="lesion: its mask is empty"):
        dose_volume(ramp(), Volume(np.zeros(SHAPE), affine()))
    with pytest.raises(DataProblem, match="lesion: lies on another grid than a volume"):
        distance_mm(lesion, Volume(lesion.array, np.eye(4)))
    assert distance_mm(lesion, Volume(np.zeros(SHAPE), affine())) is None
