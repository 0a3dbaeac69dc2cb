"""Events from NIfTI files that a CSV lists: one row per course of radiotherapy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from treatment_response.cohort.nifti_file import read_placed_nifti
from treatment_response.cohort.pipeline import subject_ids
from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose
from treatment_response.geometry.grids import same_grid
from treatment_response.longitudinal.label_table import read_event_label
from treatment_response.longitudinal.pipeline import EventCohort
from treatment_response.longitudinal.studies import EventLabel, EventStudies, PlacedDose
from treatment_response.problems import DataProblem, Problem

NEEDED = ("subject", "event", "post_operative", "dose", "days_between", "label", "label_source")
OPTIONAL = (
    *("dose_space", "fractions", "prescription_gy", "radiation", "dose_type", "mask", "cavity", "site"),
    *("days_since_radiotherapy", "label_date_days"),
)
_SPACES = ("event", "post_operative")
_TYPES = ("physical", "effective")
_MOST_DAYS, _MOST_GY, _MOST_FRACTIONS = 36_500, 200.0, 100
_MOST_DOSE_GY = 500.0
_SAME = ("event", "post_operative", "days_between", "label", "label_source", "mask", "cavity", "site")


@dataclass(frozen=True)
class ManifestCourse:
    """One row: a dose and what is known of its course."""

    dose: Path
    at_event: bool
    fractions: int | None
    prescription_gy: float | None
    radiation: tuple[str, ...]
    effective: bool


@dataclass(frozen=True)
class ManifestEvent:
    """One patient's rows; paths are absolute."""

    subject: str
    label: EventLabel
    event: Path
    post_operative: Path
    courses: tuple[ManifestCourse, ...]
    days_between: int
    days_since: int | None
    label_days: int | None
    mask: Path | None
    cavity: Path | None

    @property
    def files(self) -> Sequence[Path]:
        """All images."""
        more = [path for path in (self.mask, self.cavity) if path is not None]
        return [self.event, self.post_operative, *(course.dose for course in self.courses), *more]

    @property
    def facts(self) -> str:
        """All numbers of the rows."""
        return repr((self.courses, self.days_between, self.days_since, self.label_days))

    def load(self) -> EventStudies:
        """Read the images."""
        event = read_placed_nifti(self.event, "event")
        earlier = read_placed_nifti(self.post_operative, "post-operative image")
        doses = [PlacedDose(_dose(course), None if course.at_event else earlier) for course in self.courses]
        return EventStudies(
            event,
            earlier,
            doses,
            self.days_between,
            lesion=_mask(self.mask, event, "mask"),
            cavity=_mask(self.cavity, earlier, "cavity"),
            days_since_radiotherapy=self.days_since,
            label_days=self.label_days,
        )


def read_event_manifest(path: Path) -> EventCohort:
    """Read the CSV: one row per course; rows of one subject agree in all but the course.

    ``dose`` is in Gy on its own grid, in the space of the event or of the post-operative image (``dose_space``).

    Raises:
        DataProblem: the file cannot be read as a table, or a column is missing.
    """
    table = read_table_file(path, "manifest", NEEDED, OPTIONAL)
    rows: dict[str, list[TableRow]] = {}
    problems = list(table.problems)
    for row in table.rows:
        if row.text("subject"):
            rows.setdefault(row.text("subject"), []).append(row)
        else:
            problems.append(Problem(row.where, "subject is empty; the row is not used", "fill it in"))
    ids = subject_ids(list(rows))
    sources, left_out = [], []
    for original, own in sorted(rows.items()):
        try:
            sources.append(_event(ids[original], own, path.parent, rows))
        except DataProblem as error:
            left_out.append((ids[original], " ".join(map(str, error.problems))))
    key = {subject: original for original, subject in ids.items()}
    return EventCohort(sources, left_out, "NIfTI manifest", [str(one) for one in problems], key)


def _event(subject: str, rows: Sequence[TableRow], folder: Path, originals: Iterable[str]) -> ManifestEvent:
    first = rows[0]
    for column in _SAME:
        if len({row.text(column) for row in rows}) > 1:
            what = f"the rows of one subject differ in {column}"
            raise DataProblem(Problem(f"manifest row {first.number}", what, "give one event per subject"))
    between = _whole(first, "days_between", _MOST_DAYS)
    if between is None:
        what = "days_between is empty"
        raise DataProblem(Problem(first.where, what, "write the days from the post-operative image to the event"))
    label_days = _whole(first, "label_date_days", _MOST_DAYS)
    if label_days is not None and label_days < between:
        what = "label_date_days is less than days_between, so the label cannot be that of this event"
        raise DataProblem(Problem(first.where, what, "count both from the post-operative image"))
    for column in ("event", "post_operative"):
        if not first.text(column):
            raise DataProblem(Problem(first.where, f"{column} is empty", "name the image"))
    return ManifestEvent(
        subject,
        read_event_label(first, originals),
        folder / first.text("event"),
        folder / first.text("post_operative"),
        tuple(_course(row, folder) for row in rows),
        between,
        _whole(first, "days_since_radiotherapy", _MOST_DAYS),
        label_days,
        folder / first.text("mask") if first.text("mask") else None,
        folder / first.text("cavity") if first.text("cavity") else None,
    )


def _course(row: TableRow, folder: Path) -> ManifestCourse:
    if not row.text("dose"):
        raise DataProblem(Problem(row.where, "dose is empty", "name the dose of a course before the event"))
    return ManifestCourse(
        folder / row.text("dose"),
        _choice(row, "dose_space", _SPACES) == "event",
        _whole(row, "fractions", _MOST_FRACTIONS),
        row.number_in("prescription_gy", 0, _MOST_GY, "Gy"),
        tuple(word.upper() for word in row.text("radiation").split("+") if word.isalpha()),
        _choice(row, "dose_type", _TYPES) == "effective",
    )


def _choice(row: TableRow, column: str, choices: Sequence[str]) -> str:
    text = row.text(column).casefold() or choices[0]
    if text not in choices:
        raise DataProblem(Problem(row.where, f"{column} is none of {', '.join(choices)}", "correct it"))
    return text


def _whole(row: TableRow, column: str, most: int) -> int | None:
    number = row.number_in(column, 0, most)
    if number is not None and number != int(number):
        raise DataProblem(Problem(row.where, f"{column} is {number:g}, expected a whole number", "correct it"))
    return None if number is None else int(number)


def _dose(course: ManifestCourse) -> CourseDose:
    volume = read_placed_nifti(course.dose, "dose")
    highest, lowest = float(volume.array.max()), float(volume.array.min())
    if lowest < 0 or highest <= 0:
        raise DataProblem(Problem("dose", "is 0 everywhere, or below 0 somewhere", "export the dose in Gy"))
    if highest > _MOST_DOSE_GY:
        what = f"reaches {highest:.0f}, expected at most {_MOST_DOSE_GY:.0f} Gy (are its values in cGy?)"
        raise DataProblem(Problem("dose", what, "export it in Gy"))
    return CourseDose(
        Volume(volume.array.astype(np.float32), volume.affine),
        fractions=course.fractions,
        fractions_from="the table" if course.fractions else "",
        planned_fractions=course.fractions,
        prescription_gy=course.prescription_gy,
        radiation=course.radiation,
        effective=course.effective,
    )


def _mask(path: Path | None, image: Volume, where: str) -> Volume | None:
    if path is None:
        return None
    mask = read_placed_nifti(path, where)
    if not same_grid(mask, image):
        raise DataProblem(Problem(where, "lies on another grid than its image", "resample it onto the image's grid"))
    if not (mask.array > 0).any():
        raise DataProblem(Problem(where, "holds no voxel above 0", "draw it, or leave the cell empty"))
    return Volume((mask.array > 0).astype(np.uint8), mask.affine)
