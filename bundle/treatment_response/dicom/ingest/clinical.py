"""The clinical table: prescriptions and the first day of treatment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path

import pandas as pd

from treatment_response.dicom.headers import dicom_date
from treatment_response.dicom.ingest.names import normalise
from treatment_response.problems import DataProblem, Problem


@dataclass
class ClinicalFacts:
    """What the table says of one patient: Gy by normalised ROI name (``""``: all lesions), first treatment day."""

    prescriptions: dict[str, float] = field(default_factory=dict)
    treatment: Date | None = None


def read_clinical(path: Path) -> tuple[dict[str, ClinicalFacts], list[Problem]]:
    """Read a CSV with ``patient_id``, ``prescription_gy``, and if wanted ``roi_name`` and ``first_treatment_date``.

    Other columns, free text among them, are not read.

    Returns:
        Facts by patient id as in the DICOM files, and rows that cannot be used.

    Raises:
        DataProblem: the file or a column is missing.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        what = f"cannot be read ({type(error).__name__})"
        raise DataProblem(Problem("clinical table", what, "name a CSV file with --clinical")) from None
    missing = [column for column in ("patient_id", "prescription_gy") if column not in table.columns]
    if missing:
        raise DataProblem(Problem("clinical table", f"has no column {', '.join(missing)}", "add it"))
    facts: dict[str, ClinicalFacts] = {}
    problems: list[Problem] = []
    for number, row in enumerate(table.to_dict("records"), start=2):
        own = facts.setdefault(str(row["patient_id"]).strip(), ClinicalFacts())
        text = str(row["prescription_gy"]).strip()
        if text:
            dose = _dose(text)
            if dose is None:
                what = "prescription_gy is no dose in Gy between 0 and 200"
                problems.append(Problem(f"clinical table row {number}", what, "correct it"))
            else:
                own.prescriptions[normalise(str(row.get("roi_name", "")))] = dose
        day = dicom_date(row.get("first_treatment_date"))
        if day is not None:
            own.treatment = min(day, own.treatment or day)
    return facts, problems


def _dose(text: str) -> float | None:
    try:
        dose = float(text)
    except ValueError:
        return None
    return dose if 0 < dose <= 200 else None
