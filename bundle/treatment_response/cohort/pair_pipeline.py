"""Prepare a data set of pairs: patients in parallel, resumed where it was stopped, one data set at the end or none."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from rich.console import Console

from treatment_response.classes import Classes
from treatment_response.cohort.case_dataset import case_folds, write_case_list
from treatment_response.cohort.each_patient import over_patients, unexpected
from treatment_response.cohort.pair_report import write_pair_report
from treatment_response.cohort.paired_patient import PairedPatient, PatientPairs, StudyReader, make_pairs
from treatment_response.cohort.prepare_command import Summary
from treatment_response.cohort.unfinished import UnfinishedFolder, fingerprint, resumed_whole
from treatment_response.problems import DataProblem, Problem

STUDIES = "studies.csv"
FOLD_TIMEPOINT = "fold_timepoint"
_METHOD = 1
"""Goes up when a patient is prepared in another way, so that what an earlier version left is made again."""


class PairSource(Protocol):
    """One patient that can be loaded in a worker process; it is pickled on its way there."""

    @property
    def subject(self) -> str:
        """The de-identified id, ``sub-001``."""

    def files(self) -> list[Path]:
        """All files that its cases depend on."""

    def load(self, reader: StudyReader) -> PairedPatient:
        """Its studies."""


@dataclass(frozen=True)
class PairCohort:
    """What an input holds.

    Attributes:
        sources: one per patient.
        left_out: subject → why none of its studies is used.
        source: what the input is, for the report.
        problems: faults that belong to no patient.
    """

    sources: Sequence[PairSource]
    left_out: Mapping[str, str]
    source: str
    classes: Classes
    words: Mapping[str, Any]
    problems: Sequence[Problem] = ()
    synthetic: bool = False


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made.

    Attributes:
        sequences: that both studies must have.
        folds, seed: of both kinds of folds.
    """

    sequences: tuple[str, ...]
    folds: int = 5
    seed: int = 0


def prepare_pairs(
    cohort: PairCohort,
    reader: StudyReader,
    out: Path,
    settings: PairSettings,
    *,
    workers: int = 1,
    console: Console | None = None,
    dry_run: bool = False,
) -> Summary:
    """Load, pair, write: a prepared data set at ``out``, or nothing if it cannot be made.

    Args:
        console: where the progress bar goes; none without it.
        dry_run: decide everything as always, and write nothing.

    Raises:
        DataProblem: no case is left, one class only, fewer patients than folds (the reasons why studies were left out
            are part of the message then); ``out`` is in use, or cannot be written, for which what is done is kept.
    """
    try:
        return _prepare(cohort, reader, out, settings, workers, console, dry_run)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        remedy = "free some room or look at its rights; the same command goes on where it stopped"
        raise DataProblem(Problem("--out", what, remedy)) from None


def _prepare(
    cohort: PairCohort,
    reader: StudyReader,
    out: Path,
    settings: PairSettings,
    workers: int,
    console: Console | None,
    dry_run: bool,
) -> Summary:
    place = contextlib.nullcontext(None) if dry_run else resumed_whole(out)
    with place as root:
        work = partial(_one_patient, reader=reader, settings=settings, root=root)
        outcomes = over_patients(work, cohort.sources, workers, _one_patient.__module__, console)
        try:
            entries = _with_folds(outcomes, cohort.classes, settings)
        except DataProblem as error:
            raise DataProblem(*error.problems, *_reasons(outcomes, cohort)) from None
        rows = [row for outcome in outcomes for row in outcome.rows]
        table_rows = [
            {FOLD_TIMEPOINT: entry[FOLD_TIMEPOINT], **row, "synthetic": cohort.synthetic}
            for entry, row in zip(entries, rows, strict=True)
        ]
        studies = [row for outcome in outcomes for row in outcome.studies]
        if root is not None:
            _remove_strangers(root, {entry["subject"] for entry in entries})
            write_case_list(
                root,
                entries,
                table_rows,
                name=out.name,
                synthetic=cohort.synthetic,
                classes=cohort.classes,
                words=cohort.words,
                folds=settings.folds,
                more={"preparation": str(reader.preparation)},
            )
            pd.DataFrame(studies).to_csv(root / STUDIES, index=False, float_format="%.6g")
        text = write_pair_report(
            root,
            outcomes,
            entries,
            cohort.classes,
            source=f"{cohort.source}; images: {reader.name}",
            settings={
                "sequences": " ".join(settings.sequences),
                "folds": settings.folds,
                "seed of the folds": settings.seed,
            },
            patients_left_out=cohort.left_out,
            input_problems=[str(problem) for problem in cohort.problems],
        )
    left_out = sum(len(one.left_out) + len(one.problems) for one in outcomes)
    return Summary(text, len(entries), left_out + len(cohort.left_out) + len(cohort.problems))


def time_point_folds(labels: Sequence[int], folds: int, seed: int) -> np.ndarray:
    """Folds by case, alike in their classes, whoever's they are: one patient is in several.

    They are the authors' protocol, kept to measure what its leak is worth; nothing else may use them.

    Returns:
        Fold of each case, int ``(N,)``.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(np.asarray(labels)[shuffled], kind="stable")]
    assigned = np.empty(len(labels), dtype=int)
    assigned[by_class] = np.arange(len(labels)) % folds
    return assigned


def _with_folds(outcomes: Sequence[PatientPairs], classes: Classes, settings: PairSettings) -> list[dict[str, Any]]:
    """The entries with ``fold`` and ``fold_timepoint``.

    Raises:
        DataProblem: they cannot be split.
    """
    entries = [entry for outcome in outcomes for entry in outcome.entries]
    labels = [int(entry["label"]) for entry in entries]
    by_patient = case_folds([entry["subject"] for entry in entries], labels, classes, settings.folds, settings.seed)
    by_time_point = time_point_folds(labels, settings.folds, settings.seed)
    return [
        {**entry, "fold": int(fold), FOLD_TIMEPOINT: int(other)}
        for entry, fold, other in zip(entries, by_patient, by_time_point, strict=True)
    ]


def _one_patient(source: PairSource, reader: StudyReader, settings: PairSettings, root: Path | None) -> PatientPairs:
    mark = fingerprint(source.files(), [_METHOD, repr(reader), settings.sequences, repr(source)])
    unfinished = None if root is None else UnfinishedFolder(root)
    if unfinished is not None and (kept := unfinished.result(source.subject, mark)) is not None:
        return PatientPairs(**kept)
    try:
        outcome = make_pairs(source.load(reader), settings.sequences, reader, root)
    except DataProblem as error:
        outcome = PatientPairs(source.subject, problems=[str(problem) for problem in error.problems])
        outcome.left_out[""] = "its data cannot be used, see the problems"
    except OSError:
        raise  # a full disk is no fault of one patient
    except Exception as error:
        what = unexpected(error)  # one odd patient must not cost the other ones
        outcome = PatientPairs(source.subject, left_out={"": what})
        outcome.problems.append(str(Problem(source.subject, what, "report it as a fault of this program")))
    if unfinished is not None:
        unfinished.keep(source.subject, mark, asdict(outcome))
    return outcome


def _remove_strangers(root: Path, subjects: set[str]) -> None:
    """Remove what an earlier run, with other files or settings, wrote of patients that have no case now."""
    for folder in (*root.glob("sub-*"), *root.glob("derivatives/masks/sub-*")):
        if folder.name not in subjects:
            shutil.rmtree(folder, ignore_errors=True)


def _reasons(outcomes: Sequence[PatientPairs], cohort: PairCohort) -> list[Problem]:
    counted = Counter(reason for outcome in outcomes for reason in outcome.left_out.values())
    counted.update(cohort.left_out.values())
    reasons = [
        Problem("left out", f"{count} studies: {reason}", "see docs/how-to/prepare-lumiere.md")
        for reason, count in counted.most_common()
    ]
    faults = [
        Problem("input", text.rstrip("."), "mend it and run again") for outcome in outcomes for text in outcome.problems
    ]
    return [*reasons, *cohort.problems, *faults]
