"""The dose that a course of radiotherapy delivered, read from its files, with what its biological effect depends on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from treatment_response.dicom.dose import read_dose
from treatment_response.dicom.entries import DoseEntry
from treatment_response.dicom.studies_over_time import Course
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose
from treatment_response.problems import DataProblem, Problem

_WHOLE = ("PLAN", "PLAN_OVERVIEW", "")
_PLAUSIBLE = (0.5, 3.0)
"""Highest dose of a plan, as a share of its prescription: beyond that one of the two is in another unit."""
_USUAL = (0.9, 1.5)
"""The same share: beyond that a reader is told."""
_EQUAL_GY = 1e-3
_EXPORT = "export the dose of the whole plan (summation type PLAN) in Gy"


def read_course_doses(courses: Sequence[Course]) -> list[CourseDose]:
    """Read what several courses of one patient delivered, one each.

    Raises:
        DataProblem: as of `read_course_dose`, or the planned doses of two courses are equal.
    """
    doses = [read_course_dose(course) for course in courses]
    for (number, one), (other_number, other) in combinations(enumerate(doses, start=1), 2):
        if _one_grid(one.volume, other.volume) and np.allclose(_planned(one), _planned(other), rtol=0, atol=_EQUAL_GY):
            what = f"{other_number} of {len(doses)} has the same dose as course {number}, so it may be a copy of it"
            raise DataProblem(Problem("course", what, "leave out the copy"))
    return doses


def read_course_dose(course: Course, where: str = "dose") -> CourseDose:
    """Read what a course delivered.

    The plan's dose counts, or a complete set of its beams' doses, summed. Where treatment records show fewer fractions
    than the plan has, the dose is scaled by their share. The number of fractions is the records', else the plan's.

    Args:
        where: what to call the dose in problems.

    Raises:
        DataProblem: the course has faults, the parts of a plan are not complete or lie on several grids, physical and
            effective dose are mixed, the highest dose does not fit the prescription, or a file cannot be read
            (`read_dose`).
    """
    if course.faults:
        raise DataProblem(*course.faults)
    parts = _parts(course, where)
    doses = [read_dose(part, where) for part in parts]
    first = doses[0].volume
    if any(one.frame_uid != doses[0].frame_uid or not _one_grid(one.volume, first) for one in doses):
        raise DataProblem(Problem(where, "the doses of its beams lie on several grids", _EXPORT))
    kinds = {one.dose_type or "PHYSICAL" for one in doses}
    if len(kinds) > 1 or kinds - {"PHYSICAL", "EFFECTIVE"}:
        what = "is neither physical nor effective dose, or a mixture of both"
        raise DataProblem(Problem(where, what, "export doses of one Dose Type"))
    total = np.sum([one.volume.array for one in doses], axis=0, dtype=np.float64)
    notes = [f"the doses of its {len(doses)} beams were summed"] if len(doses) > 1 else []
    notes += _checked_units(float(total.max()), course.prescription_gy, where)
    planned, delivered = course.fractions, course.delivered
    if planned and delivered and delivered != planned:
        total *= delivered / planned
        notes.append(
            f"{delivered} of {planned} planned fractions were delivered by {course.delivered_from}; the dose was scaled"
        )
    source = str(course.delivered_from) if delivered else "the plan"
    if planned and not delivered:
        notes.append("there are no treatment records, so the planned number of fractions was taken as delivered")
    if kinds == {"EFFECTIVE"}:
        notes.append("its dose is effective dose, in Gy(RBE)")
    return CourseDose(
        Volume(total.astype(np.float32), first.affine),
        frame_uid=doses[0].frame_uid,
        fractions=delivered or planned,
        fractions_from=source if delivered or planned else "",
        planned_fractions=planned,
        prescription_gy=course.prescription_gy,
        radiation=course.plan.radiation if course.plan else (),
        effective=kinds == {"EFFECTIVE"},
        notes=tuple(notes),
    )


def _parts(course: Course, where: str) -> tuple[DoseEntry, ...]:
    """The whole plan's dose, or the doses of all its beams."""
    if len(course.doses) == 1 and course.doses[0].summation in _WHOLE:
        return course.doses
    beams = [dose.beams for dose in course.doses]
    of_beams = all(dose.summation == "BEAM" and len(dose.beams) == 1 for dose in course.doses)
    if of_beams and course.plan is not None and course.plan.beams:
        missing = len(course.plan.beams - frozenset[int]().union(*beams))
        if not missing and len(beams) == len(course.plan.beams):
            return course.doses
        what = f"has the doses of {len(beams)} beams of a plan of {len(course.plan.beams)}"
        raise DataProblem(Problem(where, what, f"export all of them, or {_EXPORT}"))
    raise DataProblem(Problem(where, "a course has doses of parts of its plan only", _EXPORT))


def _planned(dose: CourseDose) -> np.ndarray:
    """Without the scale of the fractions that were delivered."""
    if dose.fractions is None or dose.planned_fractions is None:
        return dose.volume.array
    return dose.volume.array * (dose.planned_fractions / dose.fractions)


def _one_grid(one: Volume, other: Volume) -> bool:
    return one.array.shape == other.array.shape and np.allclose(one.affine, other.affine, atol=1e-3)


def _checked_units(highest_gy: float, prescription_gy: float | None, where: str) -> list[str]:
    """Refuse a highest dose that its prescription cannot give; what has to be told of an unusual one."""
    if prescription_gy is None:
        return []
    share = highest_gy / prescription_gy
    if not _PLAUSIBLE[0] <= share <= _PLAUSIBLE[1]:
        what = f"reaches {highest_gy:.3g} Gy where its plan prescribes {prescription_gy:g} Gy: a unit is wrong"
        raise DataProblem(Problem(where, what, "export dose and prescription in Gy"))
    if _USUAL[0] <= share <= _USUAL[1]:
        return []
    usual = f"{_USUAL[0]:g} to {_USUAL[1]:g}"
    return [
        f"its highest dose is {share:.2f} of the {prescription_gy:g} Gy prescribed, where {usual} is usual: check both"
    ]
