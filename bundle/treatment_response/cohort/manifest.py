"""Prepare from NIfTI images and masks that a CSV lists: one row per lesion and session."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from treatment_response.cohort.follow_up_state import FOLLOW_UP_REMEDY, parse_follow_up
from treatment_response.cohort.lesion import SESSIONS, DoseFacts
from treatment_response.cohort.manifest_patient import ManifestPatient, ManifestRow
from treatment_response.cohort.pipeline import Cohort, subject_ids, total_size
from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.cohort.table_values import DAY_REMEDY, parse_day
from treatment_response.problems import DataProblem, Problem

COLUMNS = ("subject", "lesion", "session", "image", "mask", "day")
OPTIONAL_COLUMNS = ("dose", "prescription_gy", "max_dose_gy", "gradient_index", "site", "follow_up")
VOXEL_COUNT = "counted mask voxels (no contours, so no planimetry: noisier for small lesions)"
_MOST_GY = 200.0
_MOST_INDEX = 1000.0


def read_manifest(path: Path) -> Cohort:
    """Read the CSV; rows that cannot be used are told and skipped.

    Columns: ``subject, lesion, session`` (``ses-01``, ``ses-02``, ``ses-03``), ``image, mask`` (paths, relative to the
    CSV), ``day`` (whole days since any fixed day of the subject, or a date); optional ``dose`` (path, Gy),
    ``prescription_gy, max_dose_gy, gradient_index, site`` and ``follow_up`` (``resolved``, ``resected``, ``present``,
    ``not imaged``: what became of the lesion). An empty ``mask`` says that the lesion was looked for and not found in
    that session.

    Raises:
        DataProblem: the file cannot be read as a table, or a column is missing.
    """
    table = read_table_file(path, "manifest", COLUMNS, OPTIONAL_COLUMNS)
    problems = [*table.problems]
    rows: dict[str, list[ManifestRow]] = defaultdict(list)
    bad_rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for table_row in table.rows:
        subject, lesion = table_row.text("subject"), table_row.text("lesion")
        try:
            row = _row(table_row, path.parent)
        except DataProblem as error:
            problems += error.problems
            if subject:
                bad_rows[subject].append((lesion, f"{table_row.where}: {error.problems[0].what}"))
            continue
        rows[subject].append(row)
    for subject, reason, numbers in _unusable_subjects(rows):
        problems.append(Problem(f"manifest rows {', '.join(map(str, numbers))}", reason, "correct them"))
        bad_rows[subject] += [(row.lesion, reason) for row in rows.pop(subject)]
    subjects = sorted({*rows, *bad_rows})
    problems += _alike(subjects)
    ids = subject_ids(subjects)
    sources = [ManifestPatient(ids[name], tuple(rows.get(name, ())), tuple(bad_rows[name])) for name in subjects]
    key = {subject: original for original, subject in ids.items()}
    size = total_size(row.image for own in rows.values() for row in own)
    told = [str(problem) for problem in problems]
    return Cohort(sources, "NIfTI manifest", VOXEL_COUNT, told, key=key, image_bytes=size)


def _row(row: TableRow, folder: Path) -> ManifestRow:
    empty = [column for column in ("subject", "session", "image", "day") if not row.text(column)]
    if empty:
        raise DataProblem(Problem(row.where, f"{', '.join(empty)} is empty", "fill it in"))
    if row.text("session") not in SESSIONS:
        raise DataProblem(Problem(row.where, "the session is none of " + ", ".join(SESSIONS), "correct it"))
    if not row.text("lesion") and (row.text("mask") or row.text("follow_up")):
        raise DataProblem(Problem(row.where, "lesion is empty, but a mask or follow_up is given", "name the lesion"))
    day = row.value("day", parse_day, DAY_REMEDY)
    assert day is not None  # it is not empty
    facts = DoseFacts(
        row.number_in("max_dose_gy", 0, _MOST_GY, "Gy"),
        row.number_in("prescription_gy", 0, _MOST_GY, "Gy"),
        row.number_in("gradient_index", 1, _MOST_INDEX),
        "the manifest does not give it",
    )
    return ManifestRow(
        row.number,
        row.text("lesion"),
        row.text("session"),
        folder / row.text("image"),
        folder / row.text("mask") if row.text("mask") else None,
        *day,
        folder / row.text("dose") if row.text("dose") else None,
        facts,
        row.text("site"),
        row.value("follow_up", parse_follow_up, FOLLOW_UP_REMEDY),
    )


def _unusable_subjects(rows: dict[str, list[ManifestRow]]) -> Iterable[tuple[str, str, list[int]]]:
    """Subjects whose rows cannot all be right: the subject, why, and the rows' numbers."""
    unusable: dict[str, tuple[str, list[int]]] = {}
    by_image: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for subject, of_subject in rows.items():
        for row in of_subject:
            by_image[os.path.normpath(row.image)][subject].append(row.number)
        dates = {row.number for row in of_subject if row.day_is_date}
        if dates and len(dates) < len(of_subject):
            what = "one subject's days are dates in some rows and whole numbers in others"
            unusable[subject] = what, [row.number for row in of_subject]
    for numbers in by_image.values():
        if len(numbers) > 1:
            what = "one image is listed for several subjects"
            for subject in numbers:
                unusable[subject] = what, sorted(number for some in numbers.values() for number in some)
    return [(subject, what, numbers) for subject, (what, numbers) in sorted(unusable.items())]


def _alike(subjects: Iterable[str]) -> list[Problem]:
    """Subjects that may be one person, spelled in two ways."""
    spelled: dict[str, int] = defaultdict(int)
    for subject in subjects:
        spelled["".join(subject.casefold().split())] += 1
    alike = sum(count for count in spelled.values() if count > 1)
    if not alike:
        return []
    what = f"{alike} subjects differ only by capitals or spaces and are taken for different persons"
    return [Problem("manifest", what, "spell one person in one way")]
