"""One patient by all criteria: what the tables, the page and the DICOM report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treatment_response.cohort.labels import CONTOURING_SD_MM
from treatment_response.criteria import rano2, rano_bm, volumetric
from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.course import StudyDecision, decide
from treatment_response.criteria.measurements import MeasuredStudy, SegmentedStudy, measure_studies
from treatment_response.criteria.rano_bm import LesionChange, lesion_changes
from treatment_response.criteria.rules import BASELINE, NE, Criteria
from treatment_response.criteria.stability import DRAWS, category_shares
from treatment_response.problems import DataProblem, Problem

CRITERIA_SETS: dict[str, tuple[Criteria, ...]] = {
    "rano2": (rano2.ENHANCING, volumetric.ENHANCING),
    "rano2-non-enhancing": (rano2.NON_ENHANCING, volumetric.NON_ENHANCING),
    "rano-bm": (rano_bm.PATIENT,),
    "rano-bm-immunotherapy": (rano_bm.IMMUNOTHERAPY,),
}
"""What a command line may ask for."""


@dataclass(frozen=True)
class PatientResponse:
    """The answer for one patient.

    Attributes:
        subject: de-identified.
        studies: measured, in order of their days.
        decisions: criteria → one answer per study.
        shares: the name of criteria → per study the share of plausible contours that give each category.
        lesion_changes: per study RANO-BM-style changes of the first study's lesions; none for the first.
    """

    subject: str
    studies: tuple[MeasuredStudy, ...]
    decisions: Mapping[Criteria, tuple[StudyDecision, ...]]
    shares: Mapping[str, Sequence[Mapping[str, float]]]
    lesion_changes: tuple[Mapping[str, LesionChange], ...]

    def share(self, criteria: Criteria, study: int) -> float | None:
        """Share of plausible contours that give the category that was given; None where nothing was judged."""
        category = self.decisions[criteria][study].decision.category
        return None if category in (BASELINE, NE) else self.shares[criteria.name][study].get(category, 0.0)


def patient_response(
    subject: str,
    studies: Sequence[SegmentedStudy],
    criteria: Sequence[Criteria],
    course: PatientCourse | None = None,
    contouring_sd_mm: float = CONTOURING_SD_MM,
    draws: int = DRAWS,
) -> PatientResponse:
    """Measure a patient's studies and judge them.

    Args:
        studies: at least two.
        course: of the clinical table, if the patient stands in it.

    Raises:
        DataProblem: there is no earlier study, or see `measure_studies` and `decide`.
    """
    if len(studies) < 2:
        what = f"has {len(studies)} study: there is no earlier one to compare with"
        raise DataProblem(Problem(subject, what, "add the study before treatment, or leave the patient out"))
    measured = measure_studies(studies, subject)
    decisions = {one: decide(measured, one, course, subject) for one in criteria}
    shares = {one.name: category_shares(measured, one, course, contouring_sd_mm, draws) for one in criteria}
    changes = [lesion_changes(measured[:number], measured[number]) for number in range(1, len(measured))]
    return PatientResponse(subject, measured, decisions, shares, ({}, *changes))
