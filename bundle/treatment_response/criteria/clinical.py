"""What masks cannot show: steroids, the clinical state, operations and treatments, from a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.cohort.table_values import DAY_REMEDY, parse_day, parse_number
from treatment_response.problems import DataProblem, Problem

REPLACEMENT_MG = 0.75
"""Dexamethasone (mg a day) up to which a dose is physiologic replacement; it equals 20 mg of hydrocortisone."""
NEAREST_DAYS = 14
"""A clinical finding counts for a study at most so many days before or after it."""
IMPROVED, STABLE, WORSE = "improved", "stable", "worse"
OPERATION, RADIOTHERAPY_END, TREATMENT_START = "operation", "radiotherapy end", "treatment start"
_MOST_MG = 200.0
_STATES, _EVENTS = (IMPROVED, STABLE, WORSE), (OPERATION, RADIOTHERAPY_END, TREATMENT_START)
_NEEDED, _OPTIONAL = ("subject", "day"), ("steroids_mg", "state", "event")


@dataclass(frozen=True)
class ClinicalState:
    """What was found on one day; None where the table does not say.

    Attributes:
        steroids_mg: dexamethasone or its equivalent, mg a day.
        state: against the baseline, as far as the tumour causes it: `IMPROVED`, `STABLE` or `WORSE`.
    """

    day: int
    steroids_mg: float | None = None
    state: str | None = None


@dataclass(frozen=True)
class PatientCourse:
    """What happened to one patient, days as in the studies.

    Attributes:
        days_are_dates: whether the table gave dates (then days count from 0001-01-01); None for no row.
    """

    operations: tuple[int, ...] = ()
    radiotherapy_ends: tuple[int, ...] = ()
    treatment_starts: tuple[int, ...] = ()
    findings: tuple[ClinicalState, ...] = field(default_factory=tuple)
    days_are_dates: bool | None = None

    def counted_from(self, first: int) -> PatientCourse:
        """The same course with another day as day 0."""
        operations, ends, starts = (
            tuple(day - first for day in days)
            for days in (self.operations, self.radiotherapy_ends, self.treatment_starts)
        )
        findings = tuple(replace(one, day=one.day - first) for one in self.findings)
        return replace(self, operations=operations, radiotherapy_ends=ends, treatment_starts=starts, findings=findings)

    def at(self, day: int) -> ClinicalState:
        """Steroids and state nearest to a day, each within `NEAREST_DAYS`; of two as near the earlier."""
        near = [one for one in self.findings if abs(one.day - day) <= NEAREST_DAYS]
        near.sort(key=lambda one: (abs(one.day - day), one.day))
        steroids = next((one.steroids_mg for one in near if one.steroids_mg is not None), None)
        return ClinicalState(day, steroids, next((one.state for one in near if one.state is not None), None))


def read_clinical_table(path: Path) -> dict[str, PatientCourse]:
    """Read the CSV.

    Columns: ``subject, day`` (whole days on the scale of the studies, or dates), and of ``steroids_mg`` (dexamethasone
    equivalent a day), ``state`` (``improved``, ``stable``, ``worse``) and ``event`` (``operation``, ``radiotherapy
    end``, ``treatment start``) those that are known; any may be empty in a row.

    Raises:
        DataProblem: the file is no such table; every row that cannot be read is named.
    """
    table = read_table_file(path, "clinical table", _NEEDED, _OPTIONAL)
    problems = list(table.problems)
    events: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    findings: dict[str, list[ClinicalState]] = defaultdict(list)
    dates: dict[str, set[bool]] = defaultdict(set)
    for row in table.rows:
        try:
            subject, (day, is_date), event, finding = _row(row)
        except DataProblem as error:
            problems += error.problems
            continue
        dates[subject].add(is_date)
        if event:
            events[subject][event].append(day)
        findings[subject].append(finding)
    for number, subject in enumerate(sorted(dates), start=1):
        if len(dates[subject]) > 1:
            what = f"subject {number} has dates in some rows and whole numbers in others"
            problems.append(Problem("clinical table", what, "write all days of a subject in one way"))
    if problems:
        raise DataProblem(*problems)
    return {subject: _course(events[subject], findings[subject], dates[subject].pop()) for subject in sorted(dates)}


def _course(events: Mapping[str, Sequence[int]], findings: Sequence[ClinicalState], dates: bool) -> PatientCourse:
    operations, ends, starts = (tuple(sorted(set(events.get(event, ())))) for event in _EVENTS)
    return PatientCourse(operations, ends, starts, tuple(sorted(findings, key=lambda one: one.day)), dates)


def _row(row: TableRow) -> tuple[str, tuple[int, bool], str, ClinicalState]:
    subject = row.text("subject")
    day = row.value("day", parse_day, DAY_REMEDY)
    if not subject or day is None:
        missing = "day" if subject else "subject"
        raise DataProblem(Problem(row.where, f"{missing} is empty", "fill it in"))
    steroids = row.value(
        "steroids_mg", lambda text: parse_number(text, row.decimal_comma), "write mg of dexamethasone a day, 0 for none"
    )
    if steroids is not None and not 0 <= steroids <= _MOST_MG:
        what = f"steroids_mg is {steroids:g}, expected 0 to {_MOST_MG:g} mg of dexamethasone a day"
        raise DataProblem(Problem(row.where, what, "convert the dose to dexamethasone, or leave the cell empty"))
    state = _choice(row, "state", _STATES)
    event = _choice(row, "event", _EVENTS)
    return subject, day, event, ClinicalState(day[0], steroids, state or None)


def _choice(row: TableRow, column: str, choices: Sequence[str]) -> str:
    text = " ".join(row.text(column).casefold().replace("_", " ").split())
    if text and text not in choices:
        raise DataProblem(
            Problem(row.where, f"{column} is none of {', '.join(choices)}", "correct it or leave it empty")
        )
    return text
