"""Prepare from NIfTI images and masks that a CSV lists: one row per lesion and session."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from treatment_response.cohort.layout import read_volume, same_grid
from treatment_response.cohort.lesion import (
    BASELINE,
    FOLLOW_UP,
    SESSIONS,
    DoseFacts,
    LesionScan,
    PatientScans,
    SessionScan,
)
from treatment_response.cohort.masks import scan_from_mask
from treatment_response.cohort.pipeline import Cohort, subject_ids
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

COLUMNS = ("subject", "lesion", "session", "image", "mask", "day")
VOXEL_COUNT = "counted mask voxels (no contours, so no planimetry: noisier for small lesions)"


@dataclass(frozen=True)
class Row:
    """One lesion in one session. ``mask`` is ``None`` where the lesion is not drawn although the session exists."""

    number: int
    lesion: str
    session: str
    image: Path
    mask: Path | None
    day: int
    dose: Path | None = None
    dose_facts: DoseFacts = field(default_factory=DoseFacts)
    site: str = ""


@dataclass(frozen=True)
class ManifestPatient:
    """One patient's rows, read in a worker process."""

    subject: str
    rows: tuple[Row, ...]
    bad_rows: tuple[tuple[str, str], ...] = ()  # lesion and reason

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Read images and masks; a fault in MRI 1 or at follow-up leaves the lesion out (never: resolved)."""
        names = {row.lesion for row in self.rows} | {lesion for lesion, _ in self.bad_rows}
        lesion_ids = {name: f"L{n:02d}" for n, name in enumerate(sorted(names - {""}), start=1)}
        outcome.original_names = {number: name for name, number in lesion_ids.items()}
        sessions: dict[str, SessionScan] = {}
        spoiled = {lesion: reason for lesion, reason in self.bad_rows if lesion}
        facts: dict[str, DoseFacts] = {}
        for name in SESSIONS:
            rows = [row for row in self.rows if row.session == name]
            if rows:
                scan = self._session(name, rows, lesion_ids, spoiled, outcome)
                if scan is not None:
                    sessions[name] = scan
        for row in self.rows:
            if row.session == BASELINE:
                facts[row.lesion] = row.dose_facts
        if FOLLOW_UP in sessions:
            for lesion in set(lesion_ids) - {row.lesion for row in self.rows if row.session == FOLLOW_UP}:
                spoiled.setdefault(lesion, f"no row for {FOLLOW_UP} (a row with an empty mask says that it is gone)")
        for lesion, reason in spoiled.items():
            outcome.leave_out(lesion_ids[lesion], reason)
        kept = {name: number for name, number in lesion_ids.items() if name not in spoiled}
        site = next((row.site for row in self.rows if row.site), "")
        return PatientScans(self.subject, kept, sessions, facts, site) if kept else None

    def _session(
        self,
        name: str,
        rows: list[Row],
        lesion_ids: Mapping[str, str],
        spoiled: dict[str, str],
        outcome: PatientOutcome,
    ) -> SessionScan | None:
        where = f"{self.subject} {name}"
        try:
            if len({row.image for row in rows}) > 1 or len({row.day for row in rows}) > 1:
                what = "its rows name different images or days"
                raise DataProblem(Problem(where, what, "give a session one image and one day"))
            image = read_volume(rows[0].image, f"{where} image (manifest row {rows[0].number})")
            dose = read_volume(rows[0].dose, f"{where} dose (manifest row {rows[0].number})") if rows[0].dose else None
        except DataProblem as error:
            outcome.problems += map(str, error.problems)
            if name in (BASELINE, FOLLOW_UP):
                spoiled.update(dict.fromkeys(lesion_ids, f"{name} cannot be used: {error.problems[0].what}"))
            return None
        lesions: dict[str, LesionScan] = {}
        for row in rows:
            if row.lesion and row.mask is not None:
                try:
                    scan = self._lesion(row, lesion_ids[row.lesion], image, row.lesion in lesions)
                except DataProblem as error:
                    outcome.problems += map(str, error.problems)
                    if name in (BASELINE, FOLLOW_UP):
                        spoiled[row.lesion] = f"its mask in {name}: {error.problems[0].what}"
                    continue
                if scan.mask.array.any() or name == BASELINE:
                    lesions[row.lesion] = scan
        return SessionScan(image, rows[0].day, lesions, dose)

    def _lesion(self, row: Row, lesion: str, image: Volume, seen: bool) -> LesionScan:
        where = f"{self.subject} {row.session} {lesion} mask (manifest row {row.number})"
        if seen:
            raise DataProblem(Problem(where, "the lesion is listed twice", "remove one of the rows"))
        assert row.mask is not None
        mask = read_volume(row.mask, where)
        if not same_grid(image, mask):
            what = f"lies on another grid than its image ({mask.array.shape} against {image.array.shape} voxels)"
            raise DataProblem(Problem(where, what, "resample the mask to the image"))
        if len(np.unique(mask.array)) > 2:
            raise DataProblem(Problem(where, "holds several labels", "write one mask per lesion"))
        return scan_from_mask(mask)


def read_manifest(path: Path) -> Cohort:
    """Read the CSV; rows that cannot be used are told and skipped.

    Columns: ``subject, lesion, session`` (``ses-01``, ``ses-02``, ``ses-03``), ``image, mask`` (paths, relative to the
    CSV), ``day`` (whole days since any fixed day, or a date as 2024-05-31); optional ``dose`` (path, Gy),
    ``prescription_gy, max_dose_gy, gradient_index, site``. An empty ``mask`` says that the lesion was looked for and
    not found in that session.

    Raises:
        DataProblem: the file or a column is missing.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise DataProblem(Problem("manifest", f"cannot be read ({type(error).__name__})", "name a CSV file")) from None
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        what = f"has no column {', '.join(missing)}; expected {', '.join(COLUMNS)}"
        raise DataProblem(Problem("manifest", what, "add the columns"))
    problems: list[str] = []
    rows: dict[str, list[Row]] = {}
    bad_rows: dict[str, list[tuple[str, str]]] = {}
    for number, values in enumerate(table.to_dict("records"), start=2):  # row 1 is the header
        try:
            subject, row = _row(number, {str(k): str(v).strip() for k, v in values.items()}, path.parent)
        except DataProblem as error:
            problems += map(str, error.problems)
            reason = f"manifest row {number}: {error.problems[0].what}"
            bad_rows.setdefault(str(values["subject"]).strip(), []).append((str(values["lesion"]).strip(), reason))
            continue
        rows.setdefault(subject, []).append(row)
    ids = subject_ids(list(rows))
    sources = [ManifestPatient(ids[name], tuple(rows[name]), tuple(bad_rows.get(name, ()))) for name in sorted(rows)]
    key = {subject: original for original, subject in ids.items()}
    return Cohort(sources, "NIfTI manifest", VOXEL_COUNT, problems, key=key)


def _row(number: int, values: Mapping[str, str], folder: Path) -> tuple[str, Row]:
    where = f"manifest row {number}"
    empty = [column for column in ("subject", "session", "image", "day") if not values[column]]
    if empty:
        raise DataProblem(Problem(where, f"{', '.join(empty)} is empty", "fill it in"))
    if values["session"] not in SESSIONS:
        raise DataProblem(Problem(where, "the session is none of " + ", ".join(SESSIONS), "correct it"))
    maximum, prescription, index = (
        _number(where, values, name) for name in ("max_dose_gy", "prescription_gy", "gradient_index")
    )
    facts = DoseFacts(maximum, prescription, index, "the manifest does not give it")
    return values["subject"], Row(
        number,
        values["lesion"],
        values["session"],
        folder / values["image"],
        folder / values["mask"] if values["mask"] else None,
        _day(where, values["day"]),
        folder / values["dose"] if values.get("dose") else None,
        facts,
        values.get("site", ""),
    )


def _day(where: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return datetime.date.fromisoformat(text).toordinal()
    except ValueError:
        what = "the day is neither a whole number nor a date as 2024-05-31"
        raise DataProblem(Problem(where, what, "correct it")) from None


def _number(where: str, values: Mapping[str, str], name: str) -> float | None:
    text = values.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value) or value <= 0:
        raise DataProblem(Problem(where, f"{name} is no positive number", "correct it or leave it empty"))
    return value
