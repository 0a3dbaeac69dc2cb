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
    """One row of ``lesion_level``.

    Attributes:
        course: 0 if the cell holds no whole number; such a row belongs to no course.
        number: of the lesion, without leading zeros; empty if the cell holds no whole number.
        label: ``None`` where the rating is neither stable nor recurrence.
    """

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
    """The number by which DICOM (``GK.103``, ``GK.103_1``) and workbook (``103``) name one patient.

    It is the number after ``GK``, or a cell that is a number. Any other id, ``XX.103`` or ``2021-103``, has none, since
    it could be another patient's; the result is empty then.
    """
    match = re.search(r"(?<![a-z])gk[^a-z\d]*(\d+)", text, re.IGNORECASE)
    return str(int(match.group(1))) if match else str(_whole(text) or "")


def read_workbook(path: Path) -> tuple[dict[str, RatedPatient], list[Problem]]:
    """Read the workbook.

    Returns:
        Patients by :func:`patient_number`, and how many rows cannot be used, by reason.

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
        row = RatedLesion(
            _whole(course), str(_whole(number) or ""), location.strip(), RATINGS.get(rating.strip().lower())
        )
        lesions.setdefault(patient_number(patient), []).append(row)
        courses.setdefault(patient_number(patient), set()).add(row.course)
    patients = {
        patient: RatedPatient(tuple(sorted(numbers - {0})), tuple(lesions.get(patient, ())))
        for patient, numbers in courses.items()
        if patient
    }
    return patients, _unusable_rows(lesions)


def _unusable_rows(lesions: dict[str, list[RatedLesion]]) -> list[Problem]:
    rows = [row for patient_rows in lesions.values() for row in patient_rows]
    counts = {
        "no patient number": len(lesions.get("", ())),
        "no whole number as Treatment Course": sum(row.course == 0 for row in rows),
        "a rating that is neither stable nor recurrence": sum(row.label is None for row in rows),
    }
    where = "clinical workbook, sheet lesion_level"
    remedy = "these lesions get no label; correct the sheet if they should"
    return [
        Problem(where, f"{count} of {len(rows)} rows have {reason}", remedy)
        for reason, count in counts.items()
        if count
    ]


def _whole(text: str) -> int:
    """A whole number from a cell that may say ``2`` or ``2.0``; 0 if it says anything else."""
    match = re.fullmatch(r"\s*(\d{1,9})(?:\.0+)?\s*", text)
    return int(match.group(1)) if match else 0
