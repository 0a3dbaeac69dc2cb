"""What becomes of lesions when something happened between the sessions, patient by patient."""

from __future__ import annotations

from pathlib import Path

import pytest
from ingest_bench import BACK, FRONT, Ball, Case, Visit, turned, write_case
from treatment_response.cohort.prepare import PatientOutcome, PrepareSettings, prepare_patient
from treatment_response.dicom.ingest import IngestSettings, ingest_folder

SMALLER: Ball = (FRONT[0], 7.0)
LARGER: Ball = (FRONT[0], 10.0)
SKULL: dict[str, Ball] = {"Skull": ((0.0, 0.0, 0.0), 60.0)}
AWAY: Ball = ((BACK[0][0], -BACK[0][1], BACK[0][2]), 8.0)


def outcome_of(folder: Path, visits: list[Visit], table: str = "") -> PatientOutcome:
    """Load one patient and decide its lesions, without writing."""
    write_case(folder / "export", Case("P1", visits))
    clinical = None
    if table:
        clinical = folder / "clinical.csv"
        clinical.write_text(table)
    [source] = ingest_folder(folder / "export", IngestSettings(), clinical=clinical).sources
    outcome = PatientOutcome(source.subject)
    scans = source.load(outcome)
    if scans is not None:
        prepare_patient(None, scans, PrepareSettings(), outcome)
    return outcome


def two(last: dict[str, Ball], organs: dict[str, Ball] | None = None, **more: object) -> list[Visit]:
    """Lesions 1 and 2 on MRI 1, and a follow-up 90 days later."""
    first = Visit(0, {"GTV 1": FRONT, "GTV 2": BACK}, SKULL)
    return [first, Visit(90, last, {**SKULL, **(organs or {})}, pose=turned(4, (2, -3, 1)), **more)]  # type: ignore[arg-type]


def told(outcome: PatientOutcome) -> str:
    return "\n".join([*(f"{one.lesion}: {one.reason}" for one in outcome.left_out), *outcome.notes, *outcome.problems])


def taken(outcome: PatientOutcome) -> dict[str, str]:
    return {record.lesion: str(record.status) for record in outcome.records}


HEAD = "patient_id,roi_name,follow_up,surgery_date\n"
GONE = {"GTV 1": SMALLER}
CASES: dict[str, tuple[list[Visit], str, dict[str, str], str]] = {
    "nothing": (two(GONE), "", {"L01": "present", "L02": "resolved"}, "L02: its ROI is gone"),
    "only-grown": (two({"GTV 1": LARGER}), "", {"L01": "present"}, "only lesions that grew"),
    "operated-and-drawn": (
        two({"GTV 1": SMALLER, "GTV 2": BACK}),
        HEAD + "P1,GTV 1,,2024-04-01\n",
        {"L02": "present"},
        "L01: at follow-up: resected",
    ),
    "operated-on-the-day": (two(GONE), HEAD + "P1,,,2024-03-01\n", {"L01": "present"}, "surgery since MRI 1"),
    "operated-before": (
        two(GONE),
        HEAD + "P1,,,2024-02-01\n",
        {"L01": "present", "L02": "resolved"},
        "L02: its ROI is gone",
    ),
    "operated-somewhere": (
        two({"GTV 1": SMALLER, "GTV 2": BACK}),
        HEAD + "P1,,,2024-04-01\n",
        {"L01": "present", "L02": "present"},
        "lesions that are drawn may have been operated on",
    ),
    "cavity-beside-a-rest": (
        two({"GTV 1": SMALLER, "GTV 2": BACK}, {"GTV 1 cavity": FRONT}),
        "",
        {"L02": "present"},
        "L01: at follow-up: resected",
    ),
    "cavity-elsewhere": (two(GONE, {"Cavity": AWAY}), "", {"L01": "present"}, "is called a cavity"),
    "called-post-operative": (two(GONE, description="t1 post-op"), "", {"L01": "present"}, "called post-operative"),
    "stated-resolved": (two({}), HEAD + "P1,GTV 2,resolved,\n", {"L02": "resolved"}, "L01: in doubt"),
    "stated-by-another-spelling": (two({}), HEAD + "P1,GTVp2,resolved,\n", {"L02": "resolved"}, "L01: in doubt"),
    "stated-present": (two(GONE), HEAD + "P1,GTV 2,present,\n", {"L01": "present"}, "calls it present"),
    "stated-resolved-and-drawn": (
        two({"GTV 1": SMALLER, "GTV 2": BACK}),
        HEAD + "P1,GTV 1,resolved,\n",
        {"L02": "present"},
        "calls it resolved, and it is drawn",
    ),
    "stated-not-imaged": (two(GONE), HEAD + "P1,GTV 2,not imaged,\n", {"L01": "present"}, "not imaged, by the clin"),
    "stated-without-outlines": (
        two({}, structures=False),
        HEAD + "P1,GTV 1,resolved,\nP1,GTV 2,resolved,\n",
        {"L01": "resolved", "L02": "resolved"},
        "",
    ),
    "empty-under-another-spelling": (two({}, empty_rois=("GTVp1",)), "", {"L01": "resolved"}, "L02: in doubt"),
    "drawn-in-a-later-session": (
        [*two(GONE), Visit(150, {"GTV 2": BACK}, SKULL)],
        "",
        {"L01": "present"},
        "L02: in doubt at follow-up: not drawn at follow-up, and drawn in a later session",
    ),
    "unreadable-date": (two(GONE), HEAD + "P1,,,1/10/2024\n", {}, "surgery_date cannot be read"),
    "no-t1": (two(GONE, description="t2_flair_tra"), "", {"L01": "present", "L02": "resolved"}, "filed as FLAIR"),
}


@pytest.mark.parametrize("name", CASES)
def test_fate(name: str, tmp_path: Path) -> None:
    visits, table, expected, words = CASES[name]
    outcome = outcome_of(tmp_path, visits, table)
    assert taken(outcome) == expected, told(outcome)
    assert words in told(outcome)
