"""The clinical workbook of Brain-TR-GammaKnife (TCIA, doi 10.7937/xb6d-py67).

Sheet ``lesion_level`` has one row per lesion: ``unique_pt_id`` (the number in the DICOM id ``GK.103``), ``Treatment
Course``, ``Lesion #``, ``Lesion Location`` and ``mri_type`` (stable or recurrence). Sheet ``course_level`` has one row
per course: ``unique_pt_id`` and ``Course #``. The columns are as third-party code reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from treatment_response.cohort.labels import NON_RESPONSE, RESPONSE
from treatment_response.problems import DataProblem, Problem

RATINGS = {"stable": RESPONSE, "recurrence": NON_RESPONSE, "recurrent": NON_RESPONSE}
_LESION_COLUMNS = ("unique_pt_id", "Treatment Course", "Lesion #", "Lesion Location", "mri_type")
_COURSE_COLUMNS = ("unique_pt_id", "Course #")


@dataclass(frozen=True)
class RatedLesion:
    """One row of ``lesion_level``; ``label`` is ``None`` where the rating is neither stable nor recurrence."""

    course: int
    number: str
    location: str
    label: int | None


@dataclass(frozen=True)
class RatedPatient:
    """The courses of one patient in order, and the lesions of all of them."""

    courses: tuple[int, ...]
    lesions: tuple[RatedLesion, ...]


def patient_number(text: str) -> str:
    """The number by which DICOM (``GK.103``, ``GK.103_1``) and workbook (``103``) name one patient; empty if none."""
    match = re.search(r"\d+", text)
    return str(int(match.group())) if match else ""


def read_workbook(path: Path) -> dict[str, RatedPatient]:
    """Read the workbook.

    Returns:
        Patients by :func:`patient_number`.

    Raises:
        DataProblem: the file, a sheet or a column is missing.
    """
    try:
        lesion_level = pd.read_excel(path, sheet_name="lesion_level", dtype=str)
        course_level = pd.read_excel(path, sheet_name="course_level", dtype=str)
    except (OSError, ValueError, KeyError) as error:
        what = f"cannot be read with sheets lesion_level and course_level ({type(error).__name__})"
        raise DataProblem(Problem("clinical workbook", what, "name the data set's .xlsx with --clinical")) from None
    for sheet, table, wanted in (
        ("lesion_level", lesion_level, _LESION_COLUMNS),
        ("course_level", course_level, _COURSE_COLUMNS),
    ):
        table.columns = [str(column).strip() for column in table.columns]
        missing = [column for column in wanted if column not in table.columns]
        if missing:
            what = f"sheet {sheet} has no column {', '.join(missing)}"
            raise DataProblem(Problem("clinical workbook", what, "use the workbook as published"))
    courses: dict[str, set[int]] = {}
    for patient, course in course_level[list(_COURSE_COLUMNS)].fillna("").itertuples(index=False):
        courses.setdefault(patient_number(patient), set()).add(_whole(course))
    lesions: dict[str, list[RatedLesion]] = {}
    for patient, course, number, location, rating in (
        lesion_level[list(_LESION_COLUMNS)].fillna("").itertuples(index=False)
    ):
        label = RATINGS.get(rating.strip().lower())
        row = RatedLesion(_whole(course), str(_whole(number)), location.strip(), label)
        lesions.setdefault(patient_number(patient), []).append(row)
        courses.setdefault(patient_number(patient), set()).add(row.course)
    return {
        patient: RatedPatient(tuple(sorted(own - {0})), tuple(lesions.get(patient, ())))
        for patient, own in courses.items()
        if patient
    }


def _whole(text: str) -> int:
    """A whole number from a cell that may say ``2`` or ``2.0``; 0 if it says none."""
    match = re.match(r"\s*(\d+)", text)
    return int(match.group(1)) if match else 0
