"""Prepare a whole cohort: patients in parallel, one data set at the end or none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from treatment_response.cohort.dataset import write_tables, written_whole
from treatment_response.cohort.each_patient import over_patients, unexpected
from treatment_response.cohort.lesion import PatientScans
from treatment_response.cohort.persons import same_persons
from treatment_response.cohort.prepare import PatientOutcome, PrepareSettings, prepare_patient
from treatment_response.cohort.prepare_command import Summary
from treatment_response.cohort.report import left_out_count, write_report
from treatment_response.cohort.review import write_review
from treatment_response.problems import DataProblem, Problem


class PatientSource(Protocol):
    """One patient that can be loaded in a worker process; it is pickled on its way there."""

    @property
    def subject(self) -> str:
        """The de-identified id, ``sub-001``."""

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Read the patient; what is left out on the way goes to ``outcome``. ``None``: nothing of it can be used."""


@dataclass(frozen=True)
class Cohort:
    """What an input folder or manifest holds.

    Attributes:
        sources: one per patient, in the order of their numbers.
        source: what the input is, for the report.
        volumes_from: how volumes are measured, for the report.
        problems: faults that belong to no patient.
        settings: more settings that the report names.
        key: original id by subject; goes to the key file outside the data set and nowhere else.
        same_person: subjects of one person by what their files say, each group sorted.
        image_bytes: size of the images to read.
    """

    sources: Sequence[PatientSource]
    source: str
    volumes_from: str
    problems: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    key: dict[str, str] = field(default_factory=dict)
    same_person: Sequence[tuple[str, ...]] = ()
    image_bytes: int = 0


def total_size(paths: Iterable[Path]) -> int:
    """Bytes of the files that are there, each counted once."""
    return sum(path.stat().st_size for path in set(paths) if path.is_file())


def subject_ids(originals: Sequence[str]) -> dict[str, str]:
    """Number patients ``sub-001``… by their sorted original ids: the same input always gives the same numbers."""
    return {original: f"sub-{number:03d}" for number, original in enumerate(sorted(set(originals)), start=1)}


def prepare_cohort(
    cohort: Cohort,
    out: Path,
    settings: PrepareSettings,
    *,
    name: str = "",
    workers: int = 2,
    console: Console | None = None,
    dry_run: bool = False,
) -> Summary:
    """Load, decide, write: a prepared data set at ``out``, or nothing if it cannot be made.

    Args:
        name: name of the data set; that of its folder by default.
        console: where the progress bar goes; none without it.
        dry_run: decide everything as always, and write nothing.

    Raises:
        DataProblem: no lesion is left, one class only, or ``out`` is in use. The reasons why lesions were left out are
            part of the message then.
    """
    place = contextlib.nullcontext(None) if dry_run else written_whole(out)
    with place as root:
        work = partial(_one_patient, root=root, settings=settings)
        outcomes = over_patients(work, cohort.sources, workers, _one_patient.__module__, console)
        marks = {outcome.subject: outcome.image_marks.values() for outcome in outcomes}
        persons, of_persons = same_persons(cohort.same_person, marks)
        for outcome in outcomes:
            outcome.notes += [of_persons[outcome.subject]] if outcome.subject in of_persons else []
        records = [record for outcome in outcomes for record in outcome.records]
        doubtful = [lesion for outcome in outcomes for lesion in outcome.doubtful]
        folds, told = _possible_folds(settings.folds, {persons.get(one.subject, one.subject) for one in records})
        try:
            table = write_tables(
                root,
                records,
                name=name or out.name,
                doubtful=doubtful,
                persons=persons,
                threshold=settings.response_threshold,
                contouring_sd_mm=settings.contouring_sd_mm,
                folds=folds,
                seed=settings.seed,
            )
        except DataProblem as error:
            raise DataProblem(*error.problems, *_reasons(outcomes, cohort.problems)) from None
        reviewed = [*doubtful, *(lesion for outcome in outcomes for lesion in outcome.decided)]
        if unused := settings.review.unused(reviewed):
            what = f"{unused} decision(s) are about no lesion in doubt as it is now, and are not used"
            told.append(str(Problem("review", what, "look at these lesions again")))
        if root is not None:
            write_review(root, reviewed)
        text = write_report(
            root,
            outcomes,
            table,
            settings,
            source=cohort.source,
            volumes_from=cohort.volumes_from,
            input_problems=[*cohort.problems, *told],
            more_settings=cohort.settings,
            persons=persons,
        )
    key = [(ours, "", original, "") for ours, original in sorted(cohort.key.items())]
    key += [
        (outcome.subject, lesion, cohort.key.get(outcome.subject, ""), name)
        for outcome in outcomes
        for lesion, name in sorted(outcome.original_names.items())
    ]
    return Summary(text, len(records), left_out_count(outcomes) + len(cohort.problems), tuple(key))


def _possible_folds(wanted: int, persons: set[str]) -> tuple[int, list[str]]:
    """As many folds as there are patients, if fewer than wanted, and what has to be told."""
    if not persons or len(persons) >= wanted:
        return wanted, []
    what = f"{len(persons)} patient(s) with a label cannot fill {wanted} folds; prepared with {len(persons)}"
    return len(persons), [str(Problem("folds", what, "bring more patients, or ask for fewer with --folds"))]


def _one_patient(source: PatientSource, root: Path | None, settings: PrepareSettings) -> PatientOutcome:
    outcome = PatientOutcome(source.subject)
    try:
        scans = source.load(outcome)
        if scans is not None:
            prepare_patient(root, scans, settings, outcome)
    except DataProblem as error:
        outcome.problems += [str(problem) for problem in error.problems]
        outcome.leave_out("", "its data cannot be used, see the problems below")
    except Exception as error:
        what = unexpected(error)  # one odd patient must not cost the other ones
        outcome.records.clear()
        outcome.doubtful.clear()
        outcome.decided.clear()
        outcome.problems.append(str(Problem(source.subject, what, "report it as a fault of this program")))
        outcome.leave_out("", what)
    return outcome


def _reasons(outcomes: Sequence[PatientOutcome], problems: Sequence[str]) -> list[Problem]:
    reasons = [
        Problem(f"{item.subject} {item.lesion}".strip(), f"left out: {item.reason}", "see docs/how-to/prepare-data.md")
        for outcome in outcomes
        for item in outcome.left_out
    ]
    texts = [*problems, *(problem for outcome in outcomes for problem in outcome.problems)]
    return reasons + [Problem("input", text.rstrip("."), "mend it and run again") for text in texts]
