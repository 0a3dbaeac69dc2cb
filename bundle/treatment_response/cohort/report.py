"""The ingest report: what was taken, what was left out and why, for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.doubtful_counts import count_doubtful
from treatment_response.cohort.labels import is_sure
from treatment_response.cohort.layout import REPORT_JSON, REPORT_TEXT
from treatment_response.cohort.prepare import PatientOutcome, PrepareSettings
from treatment_response.cohort.review import REVIEW


def left_out_count(outcomes: Sequence[PatientOutcome]) -> int:
    """Lesions and whole patients left out, and faults of the input: what ``--strict`` refuses."""
    return sum(len(outcome.left_out) + len(outcome.problems) for outcome in outcomes)


def write_report(
    root: Path | None,
    outcomes: Sequence[PatientOutcome],
    table: pd.DataFrame,
    settings: PrepareSettings,
    *,
    source: str,
    volumes_from: str,
    input_problems: Sequence[str] = (),
    more_settings: dict[str, Any] | None = None,
    persons: Mapping[str, str] | None = None,
) -> str:
    """Write ``ingest_report.json`` and ``ingest_report.txt``.

    Args:
        root: the data set being written; None makes the text alone.
        outcomes: one per patient.
        table: what :func:`treatment_response.cohort.dataset.write_tables` returned.
        source: ``DICOM`` or ``NIfTI``, and the layout.
        volumes_from: how volumes were measured.
        input_problems: faults that belong to no patient.
        persons: subject → the subject that stands for its person, where two subjects are one person.

    Returns:
        The text.
    """
    person_of = dict(persons or {})
    labelled = [person_of.get(record.subject, record.subject) for outcome in outcomes for record in outcome.records]
    doubtful = [person_of.get(lesion.subject, lesion.subject) for outcome in outcomes for lesion in outcome.doubtful]
    doubt = count_doubtful(labelled, doubtful).note
    content = {
        "source": source,
        "volumes": volumes_from,
        "settings": {**_settings(settings), **(more_settings or {})},
        "taken": json.loads(table.to_json(orient="records")),
        "left_out": [asdict(item) for outcome in outcomes for item in outcome.left_out],
        "doubtful": [
            {"subject": lesion.subject, "lesion": lesion.lesion, "reason": lesion.reason}
            for outcome in outcomes
            for lesion in outcome.doubtful
        ],
        "doubt": doubt,
        "patients": [
            {
                "subject": outcome.subject,
                "days": outcome.days,
                "registration_residual_mm": outcome.residuals,
                "lesions_taken": len(outcome.records),
                "notes": outcome.notes,
                "problems": outcome.problems,
            }
            for outcome in outcomes
        ],
        "input_problems": list(input_problems),
    }
    text = _text(content, outcomes, table)
    if root is not None:
        (root / REPORT_JSON).write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")
        (root / REPORT_TEXT).write_text(text, encoding="utf-8")
    return text


def _settings(settings: PrepareSettings) -> dict[str, Any]:
    """The settings as the report shows them: of a review the number of its decisions."""
    shown = {name: value for name, value in vars(settings).items() if name != "review"}
    return {**shown, "review": f"{len(settings.review)} decision(s)"}


def _text(content: dict[str, Any], outcomes: Sequence[PatientOutcome], table: pd.DataFrame) -> str:
    left_out = content["left_out"]
    counts = table["label"].value_counts()
    checked = int(table["gradient_index"].notna().sum())
    sure = sum(is_sure(p) for p in table["p_response"] if pd.notna(p))
    lines = [
        f"Prepared from {content['source']}; volumes from {content['volumes']}.",
        f"{len(table)} lesions of {table['subject'].nunique()} patients taken: {counts.get(1, 0)} response, "
        f"{counts.get(0, 0)} non-response; {sure} of the labels are sure (P ≥ 0.9) under a contouring error of "
        f"{content['settings']['contouring_sd_mm']:g} mm.",
        f"{len(left_out)} left out. Gradient Index checked for {checked} of the {len(table)} taken.",
        content["doubt"] + (f" Decide them in {REVIEW}, then --review." if content["doubtful"] else ""),
        "",
        "Settings",
        *(f"  {name}: {_plain(value)}" for name, value in content["settings"].items()),
        "",
        "Taken",
        _table_text(table),
        "",
        "Left out",
        *(
            [f"  {item['subject']} {item['lesion'] or '(patient)':9} {item['reason']}" for item in left_out]
            or ["  none"]
        ),
        "",
        "Patients: day of each session from MRI 1, registration residual in mm",
    ]
    for outcome in outcomes:
        days = ", ".join(
            f"{name} day {day}" + (f" ({outcome.residuals[name]:.1f} mm)" if name in outcome.residuals else "")
            for name, day in outcome.days.items()
        )
        lines.append(f"  {outcome.subject}: {days or 'no session'}; {len(outcome.records)} taken")
        lines += [f"    note: {note}" for note in _joined(outcome.notes)]
        lines += [f"    problem: {problem}" for problem in outcome.problems]
    lines += ["", "Faults of the input that belong to no patient"]
    lines += [f"  {problem}" for problem in content["input_problems"]] or ["  none"]
    return "\n".join(lines) + "\n"


def _joined(notes: Sequence[str]) -> list[str]:
    """Notes on several lesions that say the same, as one: ``L01, L02: …``."""
    lesions: dict[str, list[str]] = {}
    for note in notes:
        lesion, text = re.match(r"(?:(L\d+): )?(.*)", note, flags=re.DOTALL).groups()  # type: ignore[union-attr]
        lesions.setdefault(text, []).extend([lesion] if lesion else [])
    return [f"{', '.join(own)}: {text}" if own else text for text, own in lesions.items()]


def _table_text(table: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "subject": table["subject"],
            "lesion": table["lesion"],
            "fold": table["fold"],
            "MRI 1 mm³": table["volume_ses-01_mm3"].map("{:.0f}".format),
            "follow-up mm³": _formatted(table["volume_ses-03_mm3"], "{:.0f}"),
            "change": _formatted(table["volume_change"], "{:+.0%}"),
            "label": table["label"].map(dict(enumerate(CLASS_NAMES))),
            "P(response)": _formatted(table["p_response"], "{:.2f}"),
            "MRI 2 day": table["days_ses-02"],
            "follow-up day": table["days_ses-03"],
            "Gradient Index": _formatted(table["gradient_index"], "{:.2f}"),
        }
    )
    return shown.to_string(index=False)


def _formatted(column: pd.Series, pattern: str) -> list[str]:
    return [pattern.format(value) if pd.notna(value) else "-" for value in column]


def _plain(value: Any) -> str:
    return " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)
