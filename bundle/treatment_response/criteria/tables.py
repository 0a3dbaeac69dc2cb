"""The tables of measured response: measurements, answers, lesions' changes, and a form that REDCap imports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.criteria.course import StudyDecision
from treatment_response.criteria.patient import PatientResponse
from treatment_response.criteria.rules import CATEGORIES, Criteria
from treatment_response.files import write_whole

MEASUREMENTS, RESPONSE, CHANGES = "measurements.csv", "response.csv", "lesion_changes.csv"
REDCAP, REDCAP_DICTIONARY = "redcap_import.csv", "redcap_data_dictionary.csv"
INSTRUMENT = "imaging_response"
_DICTIONARY_COLUMNS = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
    "Choices, Calculations, OR Slider Labels", "Field Note", "Text Validation Type OR Show Slider Number",
    "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?",
    "Field Annotation",
)  # fmt: skip
_NUMBERS = (
    "sum",
    "baseline_sum",
    "nadir_sum",
    "change_from_baseline_percent",
    "change_from_nadir_percent",
    "stability",
)
_REDCAP_FIELDS = ("study", "day", "criteria", "kind", "category", *_NUMBERS, "confirmation", "rule", "remarks")


def measurement_rows(patient: PatientResponse) -> list[dict[str, Any]]:
    """One row per lesion and study. Diameters in mm, products in mm², volumes in mm³, end points in RAS mm."""
    rows = []
    for number, study in enumerate(patient.studies):
        for name, lesion in study.lesions.items():
            row: dict[str, Any] = {
                "subject": patient.subject,
                "study": study.name,
                "day": study.day,
                "lesion": name,
                "volume_mm3": lesion.volume_mm3,
                "longest_mm": lesion.longest_mm,
                "perpendicular_mm": lesion.perpendicular_mm,
                "product_mm2": lesion.product_mm2,
                "slices": lesion.slices,
                "slice_thickness_mm": lesion.thickness_mm,
                "parts": len(lesion.parts),
                "outside_share": lesion.parts[0].outside if lesion.parts else None,
            }
            for criteria, answers in patient.decisions.items():
                targets = answers[number].decision.numbers.get("targets", ())
                row[f"measurable {criteria.name}"] = criteria.measurable(lesion)
                row[f"target {criteria.name}"] = name in targets or criteria.most_targets is None
            ends = [point for part in lesion.parts[:1] for point in (*part.longest, *part.perpendicular)]
            row["end_points_ras_mm"] = "; ".join(" ".join(f"{value:.2f}" for value in point) for point in ends)
            rows.append(row)
    return rows


def response_rows(patient: PatientResponse) -> list[dict[str, Any]]:
    """One row per study and criteria."""
    return [
        _response_row(patient, criteria, number, answer)
        for criteria, answers in patient.decisions.items()
        for number, answer in enumerate(answers)
    ]


def change_rows(patient: PatientResponse) -> list[dict[str, Any]]:
    """One row per lesion of the first study and later study: RANO-BM-style change beside the change of volume."""
    rows = []
    for study, changes in zip(patient.studies, patient.lesion_changes, strict=True):
        for name, change in changes.items():
            rows.append(
                {
                    "subject": patient.subject,
                    "study": study.name,
                    "day": study.day,
                    "lesion": name,
                    "rano_bm_style": change.category,
                    "measurable": change.measurable,
                    "longest_mm": change.longest_mm,
                    "baseline_longest_mm": change.baseline_mm,
                    "nadir_longest_mm": change.nadir_mm,
                    "diameter_change": change.diameter_change,
                    "volume_change": change.volume_change,
                }
            )
    return rows


def write_tables(out: Path, patients: Sequence[PatientResponse]) -> None:
    """Write all tables of a run, each whole or not at all."""
    tables = {
        MEASUREMENTS: pd.DataFrame([row for patient in patients for row in measurement_rows(patient)]),
        RESPONSE: pd.DataFrame([row for patient in patients for row in response_rows(patient)]),
        CHANGES: pd.DataFrame([row for patient in patients for row in change_rows(patient)]),
        REDCAP: redcap_table(patients),
        REDCAP_DICTIONARY: redcap_dictionary(),
    }
    for name, table in tables.items():
        write_whole(out / name, table.to_csv(index=False, float_format="%.6g"))


def redcap_table(patients: Iterable[PatientResponse]) -> pd.DataFrame:
    """`response_rows` as REDCap imports a repeating instrument: one instance per study and criteria."""
    rows = []
    for patient in patients:
        for instance, row in enumerate(response_rows(patient), start=1):
            key = {
                "record_id": patient.subject,
                "redcap_repeat_instrument": INSTRUMENT,
                "redcap_repeat_instance": instance,
            }
            rows.append(key | {f"ir_{name}": row[name] for name in _REDCAP_FIELDS})
    return pd.DataFrame(rows)


def redcap_dictionary() -> pd.DataFrame:
    """The data dictionary that a REDCap project needs before `redcap_table` can be imported."""
    rows = [
        {"Variable / Field Name": "record_id", "Form Name": "patient", "Field Type": "text", "Field Label": "Record"}
    ]
    for name in _REDCAP_FIELDS:
        number = "number" if name in _NUMBERS else "integer" if name == "day" else ""
        rows.append(
            {
                "Variable / Field Name": f"ir_{name}",
                "Form Name": INSTRUMENT,
                "Field Type": "notes" if name in ("rule", "remarks") else "text",
                "Field Label": name.replace("_", " ").capitalize(),
                "Text Validation Type OR Show Slider Number": number,
            }
        )
    return pd.DataFrame(rows, columns=list(_DICTIONARY_COLUMNS)).fillna("")


def _response_row(patient: PatientResponse, criteria: Criteria, number: int, answer: StudyDecision) -> dict[str, Any]:
    numbers = answer.decision.numbers
    shares = patient.shares[criteria.name][number]
    return {
        "subject": patient.subject,
        "study": answer.study,
        "day": answer.day,
        "criteria": criteria.name,
        "kind": answer.kind,
        "category": answer.decision.category,
        "imaging_category": numbers.get("imaging_category", answer.decision.category),
        "confirmation": answer.confirmation,
        "unit": criteria.unit,
        "sum": numbers.get("sum"),
        "baseline_sum": numbers.get("baseline_sum"),
        "nadir_sum": numbers.get("nadir_sum"),
        "baseline_day": numbers.get("baseline_day"),
        "nadir_day": numbers.get("nadir_day"),
        "change_from_baseline_percent": _percent(numbers.get("change_from_baseline")),
        "change_from_nadir_percent": _percent(numbers.get("change_from_nadir")),
        "targets": " ".join(numbers.get("targets", ())),
        "new_lesions": " ".join(numbers.get("new_lesions", ())),
        "stability": patient.share(criteria, number),
        **{f"share_{category}": shares.get(category, 0.0) for category in CATEGORIES},
        "rule": answer.decision.rule,
        "events": "; ".join(patient.studies[number].events),
        "remarks": "; ".join(answer.remarks),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def file_name(text: str) -> str:
    """A subject's or study's name without signs that a path may not have."""
    return re.sub(r"[^\w.-]+", "_", text)
