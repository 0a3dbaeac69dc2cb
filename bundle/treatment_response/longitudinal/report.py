"""The ingest report of events: what was taken, what was left out and why, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from treatment_response.longitudinal.settings import MIXED, LongitudinalSettings

_SHOWN = (
    *("subject", "fold", "label", "days_between", "courses", "fractions", "prescription_gy", "lesion_outline"),
    *("lesion_source", "lesion_volume_ml", "lesion_mean_dose_gy", "isodose_class", "stripping"),
)


@dataclass(frozen=True)
class Counts:
    """How many cases: taken by class, labelled `mixed`, and left out for other reasons."""

    by_class: Mapping[str, int]
    mixed: int
    left_out: int


def report(
    source: str,
    settings: LongitudinalSettings,
    counts: Counts,
    table: pd.DataFrame,
    left_out: Sequence[tuple[str, str]],
    notes: Mapping[str, Sequence[str]],
    problems: Sequence[str],
) -> tuple[str, dict[str, Any]]:
    """The text of ``ingest_report.txt`` and the content of ``ingest_report.json``.

    Args:
        source: ``DICOM`` or ``NIfTI manifest``.
        table: of ``cases.csv``; in a dry run what was found of each patient before registration and brain are tried.
        left_out: subject and reason. notes: by subject. problems: that belong to no patient.
    """
    chosen = {name: str(value) for name, value in asdict(settings).items()}
    content = {
        "source": source,
        "settings": {**chosen, "roi": settings.roi or "names that clinics give to lesions"},
        "counts": asdict(counts),
        "taken": json.loads(table.to_json(orient="records")),
        "left_out": [{"subject": subject, "reason": reason} for subject, reason in left_out],
        "notes": {subject: list(own) for subject, own in notes.items()},
        "input_problems": list(problems),
    }
    by_note: dict[str, list[str]] = {}
    for subject, own in notes.items():
        for note in own:
            by_note.setdefault(note, []).append(subject)
    taken = ", ".join(f"{count} {name}" for name, count in counts.by_class.items())
    lines = [
        f"Prepared from {source}; dose: {settings.dose_text}.",
        f"{sum(counts.by_class.values())} cases taken: {taken}.",
        f"{counts.mixed} labelled {MIXED} and {counts.left_out} others left out.",
        "",
        "Settings",
        *(f"  {name}: {value}" for name, value in content["settings"].items()),
    ]
    if len(table):
        shown = table[[name for name in _SHOWN if name in table]]
        lines += ["", "Taken", shown.to_string(index=False, na_rep="-", float_format="%.4g")]
    lines += ["", "Left out", *([f"  {subject}: {reason}" for subject, reason in left_out] or ["  none"])]
    lines += ["", "Notes", *([f"  {', '.join(subjects)}: {note}" for note, subjects in by_note.items()] or ["  none"])]
    lines += ["", "Faults of the input that belong to no patient", *([f"  {one}" for one in problems] or ["  none"])]
    return "\n".join(lines) + "\n", content
