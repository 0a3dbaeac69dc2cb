"""The JSON of measured response."""

from __future__ import annotations

from typing import Any

import numpy as np
from treatment_response.criteria.label_map import label_of, label_values
from treatment_response.criteria.rules import IMAGING
from treatment_response.criteria.tables import change_rows, measurement_rows, response_rows
from treatment_response.dicom.response_studies import statements
from treatment_response.dicom.results.response_report import MeasuringSoftware

from pulsar_app.studies.measured import MeasuredImage

_OF_PATIENT = ("subject", "study", "day")
_DECIMALS = 3


def software_told(name: str) -> dict[str, Any]:
    """What every client is told of what measures: its name, title and version; it has no weights."""
    maker = MeasuringSoftware()
    return {"name": name, "title": maker.name, "version": maker.version}


def criteria_answer(name: str, image_id: str, measured: MeasuredImage, labels: np.ndarray) -> dict[str, Any]:
    """The answer for one image; storing and timing add their own entries.

    Args:
        name: of the model.
        image_id: of the image that the request named.
        measured: its patient's studies.
        labels: the label map.

    Returns:
        ``criteria`` (per set of criteria ``category``, ``kind``, the ``rule`` that fired, sums, days, ``stability``),
        ``measured`` (per lesion mm, mm², mm³ and RAS mm), ``studies`` (all that were compared), and what every answer
        has.
    """
    response, number = measured.response, measured.number
    here = measured.study.name
    changes = {row["lesion"]: row for row in _of_study(change_rows(response), here)}
    lesions = [
        {
            **row,
            "label": label_of(row["lesion"]),
            "location_mm": measured.study.lesions[row["lesion"]].parts[0].longest.mean(axis=0).round(1).tolist(),
            "change": {key: value for key, value in changes.get(row["lesion"], {}).items() if key != "lesion"},
        }
        for row in _of_study(measurement_rows(response), here)
    ]
    judged = _of_study(response_rows(response), here)
    said = [f"{one['criteria']}: {one['category']} ({one['kind']})" for one in judged]
    present = set(np.unique(labels).tolist())
    return _plain(
        {
            "notice": MeasuringSoftware().notice,
            "model": software_told(name),
            "image": image_id,
            "day": measured.study.day,
            "criteria": [
                {**one, "sentence": sentence}
                for one, sentence in zip(judged, statements(response, number), strict=True)
            ],
            "measured": lesions,
            "studies": [
                {
                    "name": study.name,
                    "day": study.day,
                    "days_before": measured.study.day - study.day,
                    "lesions": len(study.lesions),
                    "volume_mm3": study.volumes_mm3["region"],
                    "events": study.events,
                }
                for study in response.studies
            ],
            "warnings": measured.warnings,
            "notes": _notes(judged),
            "stored": [],
            "message": f"Research only. {'; '.join(said)}.",
            # Slicer imports one segment per entry, in this order, so only what occurs in the label map may be named.
            "label_names": {text: value for text, value in label_values().items() if value in present},
        }
    )


def _of_study(rows: list[dict[str, Any]], study: str) -> list[dict[str, Any]]:
    """The rows of one study, without what is the same in all of them."""
    return [
        {key: value for key, value in row.items() if key not in _OF_PATIENT} for row in rows if row["study"] == study
    ]


def _notes(judged: list[dict[str, Any]]) -> list[str]:
    if not any(one["kind"] == IMAGING for one in judged):
        return []
    return [
        "An imaging category is no RANO: give steroids (now and at the baseline) and clinical state in the options."
    ]


def _plain(value: Any) -> Any:
    """The same in JSON's own types, numbers with three decimals."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return round(value, _DECIMALS) if isinstance(value, float) else value
