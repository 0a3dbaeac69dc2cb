"""The ingest report of a data set of pairs: what was taken, what was left out and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treatment_response.classes import Classes
from treatment_response.cohort.layout import REPORT_JSON, REPORT_TEXT
from treatment_response.cohort.paired_patient import PatientPairs


def write_pair_report(
    root: Path | None,
    outcomes: Sequence[PatientPairs],
    entries: Sequence[Mapping[str, Any]],
    classes: Classes,
    *,
    source: str,
    settings: Mapping[str, Any],
    patients_left_out: Mapping[str, str],
    input_problems: Sequence[str],
) -> str:
    """Write ``ingest_report.json`` and ``ingest_report.txt``.

    Args:
        root: the data set being written; None makes the text alone.
        outcomes: one per patient.
        entries: the cases taken, with their folds.
        source: what the input is.
        patients_left_out: subject → why none of its studies is used.
        input_problems: faults that belong to no patient.

    Returns:
        The text.
    """
    left_out = [
        {"subject": outcome.subject, "study": study, "reason": reason}
        for outcome in outcomes
        for study, reason in outcome.left_out.items()
    ]
    left_out += [{"subject": subject, "study": "", "reason": reason} for subject, reason in patients_left_out.items()]
    content = {
        "source": source,
        "settings": dict(settings),
        "taken": [{key: entry[key] for key in ("subject", "case", "label", "fold")} for entry in entries],
        "left_out": left_out,
        "patients": [
            {
                "subject": outcome.subject,
                "studies": len(outcome.studies),
                "cases_taken": len(outcome.entries),
                "notes": outcome.notes,
                "problems": outcome.problems,
            }
            for outcome in outcomes
        ],
        "input_problems": list(input_problems),
    }
    text = _text(content, classes)
    if root is not None:
        (root / REPORT_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (root / REPORT_TEXT).write_text(text, encoding="utf-8")
    return text


def _text(content: Mapping[str, Any], classes: Classes) -> str:
    taken, left_out = content["taken"], content["left_out"]
    counts = Counter(case["label"] for case in taken)
    by_class = ", ".join(f"{counts[number]} {name}" for number, name in enumerate(classes.names))
    reasons = Counter(item["reason"] for item in left_out)
    lines = [
        f"Prepared from {content['source']}.",
        f"{len(taken)} pairs of {len({case['subject'] for case in taken})} patients taken: {by_class}.",
        f"{len(left_out)} studies and patients left out.",
        "",
        "Settings",
        *(f"  {name}: {value}" for name, value in content["settings"].items()),
        "",
        "Left out, by reason",
        *([f"  {count:4} {reason}" for reason, count in reasons.most_common()] or ["  none"]),
        "",
        "Left out",
        *(
            [f"  {item['subject']} {item['study'] or '(patient)':12} {item['reason']}" for item in left_out]
            or ["  none"]
        ),
        "",
        "Patients",
    ]
    for patient in content["patients"]:
        lines.append(f"  {patient['subject']}: {patient['studies']} studies, {patient['cases_taken']} pairs taken")
        lines += [f"    note: {note}" for note in patient["notes"]]
        lines += [f"    problem: {problem}" for problem in patient["problems"]]
    lines += ["", "Faults of the input that belong to no patient"]
    lines += [f"  {problem}" for problem in content["input_problems"]] or ["  none"]
    return "\n".join(lines) + "\n"
