"""The table of events: when each patient's event was seen, what it turned out to be, and who decided."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path

from treatment_response.cohort.table_file import TableRow, read_table_file
from treatment_response.longitudinal.settings import CLASSES, MIXED
from treatment_response.longitudinal.studies import EventLabel
from treatment_response.problems import DataProblem, Problem

WHERE = "clinical table"
NEEDED = ("patient_id", "event_date", "label", "label_date", "label_source")
OPTIONAL = ("post_operative_date", "operation_date", "site", "fractions_delivered")
SOURCES = ("biopsy", "resection", "follow-up", "imaging", "pathology", "consensus", "other")
"""What a label may rest on."""
_LABELS = (*CLASSES.names, MIXED)
_SITE = re.compile(r"[A-Za-z0-9]{1,12}")
_MANY_DIGITS = re.compile(r"[0-9]{4}")


@dataclass(frozen=True)
class EventRow:
    """One patient's row.

    Attributes:
        number: of the row, as a spreadsheet counts.
        event: day of the event's MR.
        label_date: day on which the label was decided; None if it is not told.
        post_operative: day of the post-operative MR; None: it is found.
        operation: day of the operation; None if it is not told.
        fractions_delivered: of each course before the event, in order of date; empty if nobody states them.
    """

    number: int
    event: Date
    label: EventLabel
    label_date: Date | None
    post_operative: Date | None
    operation: Date | None
    fractions_delivered: tuple[int, ...] = ()


def parse_fractions(text: str) -> tuple[int, ...]:
    """Fractions that were given, ``27``; of several courses in order of date ``30+5``.

    Raises:
        ValueError: it is something else; the end of a sentence that begins with the column's name.
    """
    parts = text.split("+") if text else []
    if not all(re.fullmatch(r"[1-9][0-9]?", part.strip()) for part in parts):
        raise ValueError("is no number of fractions from 1 to 99, or several joined by +")
    return tuple(int(part) for part in parts)


def parse_label(text: str) -> str:
    """One of the classes' names or ``mixed``, in any case and with ``_`` or ``-`` for a space.

    Raises:
        ValueError: it is none; the end of a sentence that begins with the column's name.
    """
    wanted = " ".join(text.casefold().replace("_", " ").replace("-", " ").split())
    if wanted not in _LABELS:
        raise ValueError(f"is none of {', '.join(_LABELS)}")
    return wanted


def parse_source(text: str) -> str:
    """One of `SOURCES`, in any case and with a space or ``_`` for ``-``. Free text could name a person.

    Raises:
        ValueError: it is none; the end of a sentence that begins with the column's name.
    """
    if not text:
        raise ValueError("is empty, so it is not known what the label rests on")
    wanted = "-".join(text.casefold().replace("_", " ").replace("-", " ").split())
    if wanted not in SOURCES:
        raise ValueError(f"is none of {', '.join(SOURCES)}")
    return wanted


def parse_site(text: str, ids: Iterable[str] = ()) -> str:
    """A short code of a clinic or scanner; empty if there is none.

    Args:
        ids: of patients, which must not stand in it.

    Raises:
        ValueError: it is longer, or could tell a date, a number or an id of a patient; the end of a sentence.
    """
    if not text:
        return ""
    if not _SITE.fullmatch(text) or _MANY_DIGITS.search(text):
        raise ValueError("is no short code, expected up to 12 letters and digits, and no more than 3 digits in a row")
    spelled = (re.sub(r"[^a-z0-9]", "", one.casefold()) for one in ids)
    if any(one == text.casefold() or (len(one) > 2 and one in text.casefold()) for one in spelled):
        raise ValueError("holds the id of a patient")
    return text


def read_event_label(row: TableRow, ids: Iterable[str]) -> EventLabel:
    """The label of a row, with its source.

    Args:
        ids: of the table's patients, which must not stand in the data set.

    Raises:
        DataProblem: an unknown label or source, or a site that is no code.
    """
    label = row.value("label", parse_label, f"write {' or '.join(_LABELS)}")
    source = row.value("label_source", parse_source, f"write {' or '.join(SOURCES)}")
    site = row.value("site", lambda text: parse_site(text, ids), "write a code such as A or clinic2, or leave it empty")
    return EventLabel(label, source, site)


def read_events(path: Path) -> tuple[dict[str, EventRow], dict[str, Problem], list[Problem]]:
    """Read the table: one row per patient.

    Returns:
        Rows by patient id as in the DICOM files; why a patient's row cannot be used; what is wrong beside.

    Raises:
        DataProblem: the file cannot be read as a table, or a needed column is missing.
    """
    table = read_table_file(path, WHERE, NEEDED, OPTIONAL)
    rows: dict[str, EventRow] = {}
    faults: dict[str, Problem] = {}
    problems = list(table.problems)
    counts = Counter(row.text("patient_id") for row in table.rows)
    for row in table.rows:
        patient = row.text("patient_id")
        if not patient:
            problems.append(Problem(row.where, "patient_id is empty; the row is not used", "fill it in"))
        elif counts[patient] > 1:
            what = f"names a patient that has {counts[patient]} rows, expected one event of each"
            faults[patient] = Problem(row.where, what, "keep the event that is meant")
        else:
            try:
                rows[patient] = _row(row, counts)
            except DataProblem as error:
                faults[patient] = error.problems[0]
    return rows, faults, problems


def _row(row: TableRow, ids: Iterable[str]) -> EventRow:
    event = row.date("event_date")
    if event is None:
        raise DataProblem(Problem(row.where, "event_date is empty", "write the day of the event's MR"))
    dates = {name: row.date(name) for name in ("label_date", "post_operative_date", "operation_date")}
    post_operative = dates["post_operative_date"]
    if post_operative is not None and post_operative >= event:
        what = "event_date is not after post_operative_date"
        raise DataProblem(Problem(row.where, what, "correct the dates, or exchange them"))
    label_date = dates["label_date"]
    if label_date is not None and label_date < event:
        what = "label_date lies before event_date, so the label cannot be that of this event"
        raise DataProblem(Problem(row.where, what, "correct the dates, or exchange them"))
    operation = dates["operation_date"]
    if post_operative is not None and operation is not None and post_operative < operation:
        what = "post_operative_date lies before operation_date"
        raise DataProblem(Problem(row.where, what, "correct the dates, or exchange them"))
    delivered = row.value("fractions_delivered", parse_fractions, "write 30, or 30+5 of two courses, or leave it empty")
    return EventRow(row.number, event, read_event_label(row, ids), label_date, post_operative, operation, delivered)
