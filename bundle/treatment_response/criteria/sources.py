"""A patient's segmented studies before they are read, whatever files they come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.measurements import SegmentedStudy
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class PatientStudies:
    """A patient whose masks are not read yet.

    Attributes:
        subject: de-identified name.
        read: reads the studies; raises DataProblem.
        days_are_dates: whether the studies' days are dates (days since 0001-01-01, plus 1).
        synthetic: whether no person was scanned.
        clinical_name: how the clinical table calls the subject, if not by the same name.
    """

    subject: str
    read: Callable[[], list[SegmentedStudy]]
    days_are_dates: bool | None = None
    synthetic: bool = False
    clinical_name: str = ""


def in_one_time(patient: PatientStudies, course: PatientCourse) -> None:
    """Refuse a patient whose studies and clinical rows count days differently.

    Raises:
        DataProblem: one has dates, the other numbers of days.
    """
    if None in (course.days_are_dates, patient.days_are_dates) or course.days_are_dates == patient.days_are_dates:
        return
    what = "studies and clinical table count days differently: one has dates, the other whole numbers"
    raise DataProblem(Problem(patient.subject, what, "write both in one way"))
