"""The clinical table: prescriptions, days of treatment and surgery, and what became of lesions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import TypeVar

from treatment_response.cohort.follow_up_state import FOLLOW_UP_REMEDY, FollowUpState, parse_follow_up
from treatment_response.cohort.table_file import TableFile, TableRow, read_table_file
from treatment_response.dicom.ingest.names import normalise
from treatment_response.problems import DataProblem, Problem

Value = TypeVar("Value", bound=Hashable)

WHERE = "clinical table"
TREATMENT, SURGERY = "first_treatment_date", "surgery_date"
_FACTS = ("prescription_gy", TREATMENT, SURGERY, "follow_up")
_MOST_GY = 200.0
# Columns that may hold what decides a label and are not read. Birth dates do not decide.
_OTHER_DATE = re.compile(r"(?<![a-z])date|datum|surgery|resect")
_BIRTH = re.compile(r"birth|geb|naiss|death|sterbe")


@dataclass
class ClinicalFacts:
    """What the table says of one patient.

    Attributes:
        prescriptions: Gy by normalised ROI name; ``""``: all lesions.
        treatment: first day of treatment.
        follow_up: what became of a lesion by the follow-up, by normalised ROI name.
        surgery: days of surgery, ascending, by normalised ROI name; ``""``: it may concern any lesion.
        unreadable: columns of dates in which a date of this patient could not be read.
        rows: numbers of the patient's rows.
    """

    prescriptions: dict[str, float] = field(default_factory=dict)
    treatment: Date | None = None
    follow_up: dict[str, FollowUpState] = field(default_factory=dict)
    surgery: dict[str, tuple[Date, ...]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


def read_clinical(path: Path) -> tuple[dict[str, ClinicalFacts], list[Problem]]:
    """Read a CSV with ``patient_id`` and at least one of the other columns.

    ``prescription_gy``, ``follow_up`` (``resolved``, ``resected``, ``present``, ``not imaged``) and ``surgery_date``
    belong to the ROI that ``roi_name`` names; ``prescription_gy`` and ``surgery_date`` to all of the patient's lesions
    where it is empty. ``first_treatment_date`` belongs to the patient. Other columns, free text among them, are not
    read. Rows that contradict each other are told and not used, except that the earliest day of treatment counts.

    Returns:
        Facts by patient id as in the DICOM files, and what cannot be used.

    Raises:
        DataProblem: the file cannot be read as a table, or needed columns are missing.
    """
    table = read_table_file(path, WHERE, ("patient_id",), ("roi_name", *_FACTS))
    if not set(table.columns) & set(_FACTS):
        what = f"has none of the columns {', '.join(_FACTS)}"
        raise DataProblem(Problem(WHERE, what, "name the columns in the first row"))
    problems = [*table.problems, *_other_dates(table)]
    rows_of: dict[str, list[TableRow]] = defaultdict(list)
    for row in table.rows:
        if row.text("patient_id"):
            rows_of[row.text("patient_id")].append(row)
        else:
            problems.append(Problem(row.where, "patient_id is empty; the row is not used", "fill it in"))
    facts = {}
    for patient, rows in rows_of.items():
        facts[patient] = _PatientRows(rows, problems).facts()
    for row in table.ragged:
        if row.text("patient_id"):
            _note_unread_dates(facts.setdefault(row.text("patient_id"), ClinicalFacts()), row, table)
    return facts, problems


def unmatched_ids(facts: Mapping[str, ClinicalFacts], originals: Collection[str]) -> list[Problem]:
    """Tell which patients of the table are not among the files, without naming them.

    Args:
        facts: by patient id of the table.
        originals: patient ids of the files.
    """
    problems = []
    nearly = {_bare_id(original) for original in set(originals) - set(facts)}
    unknown = 0
    for patient in sorted(set(facts) - set(originals)):
        rows = facts[patient].rows
        if _bare_id(patient) in nearly:
            what = "patient_id differs from an id of the files by capitals, leading zeros, spaces or hyphens only"
            where = f"{WHERE} row {rows[0]}" if rows else WHERE
            problems.append(Problem(where, f"{what}; it is not matched", "write it as the files do"))
        else:
            unknown += 1
    if unknown:
        what = f"names {unknown} patient(s) that are not among the files"
        problems.append(Problem(WHERE, what, "check its patient_id column"))
    return problems


class _PatientRows:
    """The rows of one patient, read together because they may contradict each other."""

    def __init__(self, rows: Iterable[TableRow], problems: list[Problem]) -> None:
        self.rows = list(rows)
        self.problems = problems
        self.result = ClinicalFacts(rows=[row.number for row in self.rows])

    def facts(self) -> ClinicalFacts:
        prescriptions: dict[str, dict[int, float]] = defaultdict(dict)
        states: dict[str, dict[int, FollowUpState]] = defaultdict(dict)
        surgery: dict[str, set[Date]] = defaultdict(set)
        treatment: dict[int, Date] = {}
        for row in self.rows:
            roi = normalise(row.text("roi_name"))
            if (day := self._date(row, TREATMENT)) is not None:
                treatment[row.number] = day
            if row.text("roi_name") and not roi:
                self._tell(row, "roi_name holds neither a letter nor a number; the row's facts of it are not used")
                continue
            if (day := self._date(row, SURGERY)) is not None:
                surgery[roi].add(day)
            if (dose := self._read(row, "prescription_gy")) is not None:
                prescriptions[roi][row.number] = dose
            if (state := self._state(row)) is not None:
                if roi:
                    states[roi][row.number] = state
                else:
                    self._tell(row, "follow_up is given without roi_name, so it is not known of which lesion")
        result = self.result
        result.prescriptions = self._agreeing(prescriptions, "prescription_gy")
        result.follow_up = self._agreeing(states, "follow_up")
        result.surgery = {roi: tuple(sorted(days)) for roi, days in surgery.items()}
        result.treatment = min(treatment.values(), default=None)
        if len(set(treatment.values())) > 1:
            what = f"give one patient several dates of first treatment ({_list(sorted(set(treatment.values())))})"
            remedy = "the earliest is used; keep only the first day of treatment"
            self.problems.append(Problem(f"{WHERE} rows {_list(treatment)}", what, remedy))
        return result

    def _date(self, row: TableRow, column: str) -> Date | None:
        try:
            return row.date(column)
        except DataProblem as error:
            self.problems += error.problems
            if column not in self.result.unreadable:
                self.result.unreadable.append(column)
            return None

    def _read(self, row: TableRow, column: str) -> float | None:
        try:
            return row.number_in(column, 0, _MOST_GY, "Gy")
        except DataProblem as error:
            self.problems += error.problems
            return None

    def _state(self, row: TableRow) -> FollowUpState | None:
        try:
            return row.value("follow_up", parse_follow_up, FOLLOW_UP_REMEDY)
        except DataProblem as error:
            self.problems += error.problems
            return None

    def _tell(self, row: TableRow, what: str) -> None:
        self.problems.append(Problem(row.where, what, "correct the row"))

    def _agreeing(self, given: Mapping[str, Mapping[int, Value]], column: str) -> dict[str, Value]:
        """One value per ROI; an ROI with several is told and left out."""
        agreed = {}
        for roi, by_row in given.items():
            values = sorted(set(by_row.values()), key=str)
            if len(values) == 1:
                agreed[roi] = values[0]
            else:
                what = f"contradict each other in {column} ({_list(values)}) for one ROI; none is used"
                self.problems.append(Problem(f"{WHERE} rows {_list(by_row)}", what, "correct them"))
        return agreed


def _note_unread_dates(facts: ClinicalFacts, row: TableRow, table: TableFile) -> None:
    """A row whose cells cannot be told apart may hold the patient's dates."""
    facts.rows.append(row.number)
    facts.unreadable += [
        column for column in (TREATMENT, SURGERY) if column in table.columns and column not in facts.unreadable
    ]


def _other_dates(table: TableFile) -> list[Problem]:
    """Columns that seem to hold dates of treatment and are not read. Their names are free text and not shown."""
    names = [name for name in table.unread_columns if _OTHER_DATE.search(name) and not _BIRTH.search(name)]
    if not names or {TREATMENT, SURGERY} <= set(table.columns):
        return []
    what = f"has {len(names)} column(s) whose names speak of dates or surgery and which are not read"
    return [Problem(WHERE, what, f"name a column {TREATMENT} or {SURGERY} if it is meant")]


def _bare_id(patient: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\s_-]+", "", patient.casefold()))


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
