"""What is measured of studies: volumes, parts, thickness; and how sure categories are under contouring error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from shapes import draw, ellipsoid, grid
from treatment_response.criteria import rano2, rano_bm, volumetric
from treatment_response.criteria.course import decide
from treatment_response.criteria.measurements import SegmentedStudy, measure_lesion, measure_studies
from treatment_response.criteria.rano_bm import lesion_changes
from treatment_response.criteria.stability import category_shares
from treatment_response.geometry import Volume

EMPTY = grid((70, 50, 30), (1.0, 0.9, 1.5), (12.0, -8.0, 5.0))


def ball(radius: float, x: float = 0.0) -> Volume:
    return draw(ellipsoid((radius,) * 3, centre=(x, 0, 0)), EMPTY)


def test_volume_area_slices_and_thickness() -> None:
    lesion = measure_lesion([ball(9)])
    assert lesion.volume_mm3 == pytest.approx(4 / 3 * math.pi * 9**3, rel=0.02)
    assert lesion.area_mm2 == pytest.approx(4 * math.pi * 81, rel=0.15)  # marching cubes of a binary mask has steps
    assert lesion.slices == 12  # 18 mm in slices of 1.5 mm
    assert lesion.thickness_mm == pytest.approx(1.5)
    assert lesion.product_mm2 == pytest.approx(18 * 18, rel=0.08)


def test_the_thickness_is_that_of_the_acquisition_however_it_lies() -> None:
    sagittal = np.eye(4)
    sagittal[:3, :3] = [[0, 0, 6], [1, 0, 0], [0, 1, 0]]  # 6 mm between sagittal slices
    lesion = measure_lesion([Volume(np.ones((12, 12, 3), dtype=bool), sagittal)])
    assert lesion.thickness_mm == 6
    assert lesion.slices == 12


def test_the_parts_of_a_split_lesion_are_added() -> None:
    apart = Volume(ball(6, -16).array | ball(6, 16).array, EMPTY.affine)
    whole = Volume(apart.array | draw(ellipsoid((16, 4, 4)), EMPTY).array, EMPTY.affine)
    first, second = measure_studies([SegmentedStudy("a", 0, whole), SegmentedStudy("b", 60, apart)], "x")
    assert list(first.lesions) == list(second.lesions) == ["1"]
    assert second.events == ("lesion 1 split",)
    assert second.lesions["1"].longest_mm == pytest.approx(24, abs=2)
    assert len(second.lesions["1"].parts) == 2


def test_a_merge_is_no_progression_by_itself() -> None:
    parts = Volume(ball(7, -10).array | ball(7, 10).array, EMPTY.affine)
    merged = Volume(parts.array | draw(ellipsoid((8, 3, 3)), EMPTY).array, EMPTY.affine)
    studies = measure_studies([SegmentedStudy("a", 0, parts), SegmentedStudy("b", 60, merged)], "x")
    assert studies[1].events[0].startswith("lesion 1 merged with 2")
    answers = decide(studies, volumetric.ENHANCING)
    assert [one.decision.category for one in answers] == ["baseline", "SD"]


def test_lesions_that_were_outlined_one_by_one_stay_two_where_they_touch() -> None:
    whole = ball(9).array
    halves = [whole & side for side in (np.arange(70)[:, None, None] < 35, np.arange(70)[:, None, None] >= 35)]
    region = Volume(whole, EMPTY.affine)
    studies = [SegmentedStudy(name, day, region, outlined=halves) for name, day in (("a", 0), ("b", 60))]
    for study in measure_studies(studies, "x"):
        assert list(study.lesions) == ["1", "2"]
        assert study.doubts == ("lesions 1 and 2 touch: the border between them is as drawn",)
        assert sum(one.volume_mm3 for one in study.lesions.values()) == pytest.approx(study.volumes_mm3["region"])
    together = measure_studies([studies[0], SegmentedStudy("b", 60, region)], "x")
    assert together[1].events == ("lesion 1 merged with 2",)


def test_lesion_changes_beside_volumes() -> None:
    studies = measure_studies([SegmentedStudy("a", 0, ball(10)), SegmentedStudy("b", 60, ball(6.5))], "x")
    change = lesion_changes(studies[:1], studies[1])["1"]
    assert change.category == "PR"
    assert change.diameter_change == pytest.approx(-0.35, abs=0.04)
    assert change.volume_change == pytest.approx(0.65**3 - 1, abs=0.04)
    assert change.measurable


def test_shares_of_plausible_contours() -> None:
    studies = measure_studies([SegmentedStudy("a", 0, ball(10)), SegmentedStudy("b", 60, ball(7))], "x")
    for criteria in (rano2.ENHANCING, volumetric.ENHANCING, rano_bm.PATIENT):
        none = category_shares(studies, criteria, contouring_sd_mm=0.0, draws=3)
        assert none == [{"baseline": 1.0}, {decide(studies, criteria)[1].decision.category: 1.0}]
    shares = category_shares(studies, rano_bm.PATIENT, contouring_sd_mm=0.3, draws=400)[1]
    assert sum(shares.values()) == pytest.approx(1)
    # By the same error in closed form: the diameter falls by 30 % or more.
    first, second = (study.lesions["1"].longest_mm for study in studies)
    sd = 2 * 0.3 * math.hypot(0.7, 1)
    expected = 0.5 * math.erfc(-(0.7 * first - second) / sd / math.sqrt(2))
    assert 0.05 < expected < 0.95
    assert shares["PR"] == pytest.approx(expected, abs=0.08)
    assert category_shares(studies, rano_bm.PATIENT, draws=20) == category_shares(studies, rano_bm.PATIENT, draws=20)
