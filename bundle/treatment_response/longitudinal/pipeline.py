"""Prepare a whole cohort of events: patients in parallel, one data set at the end or none, and nothing made twice."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from treatment_response.cohort.dataset import check_replaceable, write_descriptions, written_whole
from treatment_response.cohort.each_patient import over_patients, patients_bar
from treatment_response.cohort.layout import CASES, DATALIST, REPORT_JSON, REPORT_TEXT
from treatment_response.cohort.persons import same_persons
from treatment_response.cohort.pipeline import total_size
from treatment_response.cohort.prepare_command import Summary
from treatment_response.cohort.splits import PERSON, patient_folds, persons_apart
from treatment_response.cohort.unfinished import only_writer
from treatment_response.features.tumour_board import DVH, TUMOUR_BOARD
from treatment_response.files import check_room, make_folder
from treatment_response.longitudinal.case import course_numbers, dose_notes, scaled_doses
from treatment_response.longitudinal.patient import PatientRecord, prepare_patient, take_files, why_left_out
from treatment_response.longitudinal.report import Counts, report
from treatment_response.longitudinal.settings import CASE, CLASSES, MIXED, WORDS, LongitudinalSettings
from treatment_response.longitudinal.studies import EventSource, EventStudies
from treatment_response.problems import DataProblem, Problem

_TEST_FOLD = -1
_ON_DISK = 1.5
"""Bytes of the data set per byte of the files that it is read from, rough."""


@dataclass(frozen=True)
class EventCohort:
    """What an input folder or manifest holds.

    Attributes:
        sources: one per patient with a row in the table and the studies that it needs.
        left_out: subject and reason of patients that cannot be used, known without reading an image.
        source: what the input is, for the report.
        problems: faults that belong to no patient.
        key: original id by subject; goes to the key file outside the data set and nowhere else.
        same_person: subjects of one person by what their files say.
    """

    sources: Sequence[EventSource]
    left_out: Sequence[tuple[str, str]]
    source: str
    problems: Sequence[str] = ()
    key: Mapping[str, str] = field(default_factory=dict)
    same_person: Sequence[tuple[str, ...]] = ()


def dry_run(cohort: EventCohort, settings: LongitudinalSettings, console: Console | None = None) -> Summary:
    """Read every patient's images, doses and outlines, and tell what would be taken; nothing is written.

    Registration and the brain are not tried, so a patient may still be left out for them.
    """
    mixed, usable = _apart(cohort)
    records, rows = [], []
    with patients_bar(console) as bar:
        for source in bar.track(usable, description="patients"):
            try:
                studies = source.load()
                scaled_doses(studies, settings)
                notes = (*studies.notes, *dose_notes(studies))
                records.append(PatientRecord(source.subject, "", notes=notes, synthetic=studies.synthetic))
                rows.append(_found(source, studies))
            except Exception as error:
                records.append(PatientRecord(source.subject, "", why_left_out(error, source.subject)))
    return _told(cohort, settings, records, mixed, pd.DataFrame(rows))[0]


def _found(source: EventSource, studies: EventStudies) -> dict[str, Any]:
    """The row of a dry run's table: what was found of a patient before registration and brain are tried."""
    outline = "no" if studies.lesion is None else "yes"
    return {
        "subject": source.subject,
        "label": source.label.label,
        "days_between": studies.days_between,
        **course_numbers(studies),
        "lesion_outline": outline,
    }


def prepare_events(
    cohort: EventCohort,
    out: Path,
    settings: LongitudinalSettings,
    *,
    workers: int = 2,
    console: Console | None = None,
) -> Summary:
    """Prepare a data set at ``out``, or nothing if it cannot be made.

    Finished patients wait in a hidden folder beside ``out``. The same command goes on from there after a stop, and
    takes from an earlier ``out`` the patients whose files have not changed.

    Raises:
        DataProblem: no case is left, or one class only; ``out`` is in use; the disk is full.
    """
    check_replaceable(out)
    out = Path(os.path.abspath(out))  # noqa: PTH100  (resolve() would follow a link and write elsewhere)
    with only_writer(out):
        return _prepare(cohort, out, settings, workers, console)


def _prepare(
    cohort: EventCohort, out: Path, settings: LongitudinalSettings, workers: int, console: Console | None
) -> Summary:
    mixed, usable = _apart(cohort)
    size = total_size(path for source in usable for path in source.files)
    check_room(out, int(_ON_DISK * size), "--out", "the data set")
    work = out.with_name(f".{out.name}.preparing")
    make_folder(work, "--out")
    try:
        earlier = out if (out / DATALIST).is_file() else None
        one = partial(prepare_patient, settings=settings, work=work, earlier=earlier)
        records = over_patients(one, usable, workers, prepare_patient.__module__, console)
    finally:
        for part in work.glob(".part-*"):
            shutil.rmtree(part, ignore_errors=True)
    labels = {source.subject: CLASSES.names.index(source.label.label) for source in usable}
    taken = [record for record in records if record.is_taken]
    persons, of_persons = same_persons(cohort.same_person, {record.subject: record.image_marks for record in taken})
    taken = [_with_note(record, of_persons) for record in taken]
    records = [*taken, *(record for record in records if not record.is_taken)]
    folds, told = _folds([record.subject for record in taken], persons, labels, settings)
    table = _table(taken, labels, folds)
    summary, content = _told(cohort, settings, records, mixed, table, told)
    _check_classes(taken, labels, summary)
    with written_whole(out) as root:
        for record in taken:
            take_files(record, work / record.subject, root)
        _write_tables(root, out.name, taken, table, persons, settings)
        (root / REPORT_JSON).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (root / REPORT_TEXT).write_text(summary.text, encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)
    return summary


def _apart(cohort: EventCohort) -> tuple[list[EventSource], list[EventSource]]:
    mixed = [source for source in cohort.sources if source.label.label == MIXED]
    return mixed, [source for source in cohort.sources if source.label.label != MIXED]


def _with_note(record: PatientRecord, of_persons: Mapping[str, str]) -> PatientRecord:
    told = of_persons.get(record.subject)
    return replace(record, notes=(*record.notes, told)) if told else record


def _folds(
    subjects: Sequence[str], person_of: Mapping[str, str], labels: Mapping[str, int], settings: LongitudinalSettings
) -> tuple[dict[str, int], list[str]]:
    """Subject → fold, -1 for the test patients, and what has to be told.

    Args:
        person_of: subject → the subject that stands for its person, where two subjects are one person.
    """
    if not subjects:
        return {}, []
    persons = [person_of.get(subject, subject) for subject in subjects]
    numbers = [labels[subject] for subject in subjects]
    count, told = settings.test_patients, []
    if count > len(set(persons)) // 3:
        count = len(set(persons)) // 3
        told.append(f"{len(set(persons))} patients leave no {settings.test_patients} for the test; {count} are apart")
    test = persons_apart(persons, numbers, count, settings.seed)
    rest = [number for number, one in enumerate(persons) if one not in test]
    folds = min(settings.folds, len({persons[number] for number in rest}))
    if folds < settings.folds:
        told.append(f"{len(rest)} patients cannot fill {settings.folds} folds; prepared with {folds}")
    fold_of = dict.fromkeys(subjects, _TEST_FOLD)
    kept = [numbers[number] for number in rest]
    if len(set(kept)) > 1:
        assigned: Sequence[int] = patient_folds([persons[n] for n in rest], kept, folds, settings.seed).tolist()
    else:
        assigned = [0] * len(rest)
    fold_of.update({subjects[number]: int(fold) for number, fold in zip(rest, assigned, strict=True)})
    return fold_of, told


def _check_classes(taken: Sequence[PatientRecord], labels: Mapping[str, int], summary: Summary) -> None:
    if len({labels[record.subject] for record in taken}) > 1:
        return
    left = CLASSES.names[labels[taken[0].subject]] if taken else "nothing"
    what = f"all that is left is {left}, so nothing can be learned" if taken else "no case is left"
    raise DataProblem(Problem("data set", what, f"see why cases were left out:\n{summary.text}"))


def _table(taken: Sequence[PatientRecord], labels: Mapping[str, int], folds: Mapping[str, int]) -> pd.DataFrame:
    """``cases.csv``."""
    last = ("site", "label_source")
    rows = []
    for record in taken:
        numbers = {name: value for name, value in record.numbers.items() if name not in last}
        rows.append(
            {
                "subject": record.subject,
                "case": CASE,
                "fold": folds[record.subject],
                "label": labels[record.subject],
                **numbers,
                "label_source": record.numbers["label_source"],
                "label_date_days": "" if record.label_days is None else record.label_days,
                "site": record.numbers["site"],
                "synthetic": record.synthetic,
            }
        )
    return pd.DataFrame(rows)


def _write_tables(
    root: Path,
    name: str,
    taken: Sequence[PatientRecord],
    table: pd.DataFrame,
    persons: Mapping[str, str],
    settings: LongitudinalSettings,
) -> None:
    table.to_csv(root / CASES, index=False, float_format="%.6g")
    board = pd.DataFrame(
        [{"subject": record.subject, "case": CASE, **record.board} for record in taken if record.board]
    )
    board.to_csv(root / TUMOUR_BOARD, index=False, float_format="%.6g")
    curves = pd.DataFrame([row for record in taken for row in record.dvh], columns=["subject", "dose_gy", "share"])
    curves.to_csv(root / DVH, index=False, float_format="%.6g")
    given = {row["subject"]: (int(row["fold"]), int(row["label"])) for row in table.to_dict("records")}
    entries: dict[str, list[dict[str, Any]]] = {"training": [], "test": []}
    for record in taken:
        fold, label = given[record.subject]
        person = {PERSON: persons[record.subject]} if record.subject in persons else {}
        entry = {**record.entry, "label": label, "fold": fold, **person}
        entries["test" if fold == _TEST_FOLD else "training"].append(entry)
    content = {
        "name": name,
        "synthetic": any(record.synthetic for record in taken),
        "classes": CLASSES.content(),
        "words": WORDS,
        "dose": settings.dose_text,
        "folds": int(table["fold"].max()) + 1,
        **entries,
    }
    (root / DATALIST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_descriptions(root, name)


def _told(
    cohort: EventCohort,
    settings: LongitudinalSettings,
    records: Sequence[PatientRecord],
    mixed: Sequence[EventSource],
    table: pd.DataFrame,
    told: Sequence[str] = (),
) -> tuple[Summary, dict[str, Any]]:
    left_out = [*cohort.left_out, *((one.subject, one.left_out) for one in records if not one.is_taken)]
    taken = [record for record in records if record.is_taken]
    labels = {source.subject: source.label.label for source in cohort.sources}
    counts = Counts(
        by_class={name: sum(labels[record.subject] == name for record in taken) for name in CLASSES.names},
        mixed=len(mixed),
        left_out=len(left_out),
    )
    notes = {record.subject: list(record.notes) for record in taken if record.notes}
    problems = [*cohort.problems, *told]
    if cohort.same_person:
        count, persons = sum(map(len, cohort.same_person)), len(cohort.same_person)
        people = f"{persons} person{'s' if persons > 1 else ''}"
        problems.append(f"{count} subjects are {people} by name and birth date: cases of one person share a fold")
    text, content = report(cohort.source, settings, counts, table, left_out, notes, problems)
    return Summary(text, len(taken), len(left_out) + len(mixed)), content
