"""Each vignette by the criteria, and by the second implementation."""

from __future__ import annotations

import math

import pytest
from treatment_response.cohort.synthetic.ratings import SUM, TrueCourse, TrueLesion, TrueStudy, rate
from treatment_response.criteria import rano2, rano_bm, volumetric
from treatment_response.criteria.clinical import ClinicalState, PatientCourse
from treatment_response.criteria.course import decide
from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy
from vignettes import VIGNETTES, Vignette

CRITERIA = {one.name: one for one in (rano2.ENHANCING, volumetric.ENHANCING, rano_bm.PATIENT, rano_bm.IMMUNOTHERAPY)}


def true_lesion(sizes: tuple[float, ...]) -> TrueLesion:
    longest, perpendicular, *rest = sizes
    volume = rest[0] if rest else math.pi / 6 * longest * perpendicular**2
    return TrueLesion(longest, perpendicular, volume, int(rest[1]) if len(rest) > 1 else 10, *rest[2:])


def measured(lesion: TrueLesion) -> LesionMeasures:
    sizes = lesion.longest, lesion.perpendicular, lesion.product
    return LesionMeasures(lesion.volume, 0.0, *sizes, lesion.slices, lesion.thickness)


def measured_studies(course: TrueCourse) -> list[MeasuredStudy]:
    return [
        MeasuredStudy(f"day {study.day}", study.day, {name: measured(one) for name, one in study.lesions.items()})
        for study in course.studies
    ]


@pytest.mark.parametrize("vignette", VIGNETTES, ids=lambda one: f"{one.criteria}: {one.name}")
def test_vignette(vignette: Vignette) -> None:
    studies = [
        TrueStudy(day, {name: true_lesion(sizes) for name, sizes in lesions.items()}, *_clinic(vignette, day))
        for day, lesions in vignette.studies.items()
    ]
    events = vignette.operations, vignette.radiotherapy_ends, vignette.treatment_starts
    true = TrueCourse(studies, *events)
    findings = tuple(ClinicalState(*one) for one in vignette.clinic)
    answers = decide(measured_studies(true), CRITERIA[vignette.criteria], PatientCourse(*events, findings))
    assert " ".join(answer.decision.category for answer in answers) == vignette.expected
    assert answers[-1].kind == vignette.kind
    assert all(answer.decision.rule for answer in answers)
    for number, start in vignette.confirmed.items():
        said = answers[number].confirmation
        assert said.startswith(start) if start else not said
    if vignette.criteria in SUM:
        assert " ".join(rate(true, vignette.criteria)) == vignette.expected


def _clinic(vignette: Vignette, day: int) -> tuple[float | None, str | None]:
    return next(((dose, state) for when, dose, state in vignette.clinic if when == day), (None, None))


def test_there_are_enough_and_each_names_its_source() -> None:
    assert len(VIGNETTES) >= 30
    assert len({(one.criteria, one.name) for one in VIGNETTES}) == len(VIGNETTES)
    assert all(one.source for one in VIGNETTES)
