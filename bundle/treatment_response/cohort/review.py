"""Lesions whose fate at follow-up a person has to decide: written to ``review.csv``, read back with ``--review``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from treatment_response.cohort.lesion import DoubtfulLesion, LesionScan
from treatment_response.cohort.masks import centroid
from treatment_response.cohort.table_file import read_table
from treatment_response.problems import DataProblem, Problem

REVIEW = "review.csv"
PICTURES = "review"
COLUMNS = ("subject", "lesion", "days", "reason", "thumbnail", "decision", "check")


class Decision(StrEnum):
    """What a person saw at follow-up."""

    RESOLVED = "resolved"
    """It is gone: volume 0."""
    RESECTED = "resected"
    """It was operated on: excluded."""
    NOT_IMAGED = "not imaged"
    """The follow-up does not show its place: excluded."""
    PRESENT = "present"
    """It is there: it waits for an outline."""


@dataclass(frozen=True)
class Review:
    """Decisions of a ``review.csv``.

    Attributes:
        decisions: by subject and lesion: the decision, and the mark of the lesion that it is about (empty if the file
            has none).
    """

    decisions: Mapping[tuple[str, str], tuple[Decision, str]] = field(default_factory=dict)

    def of(self, subject: str, lesion: str, mark: str) -> tuple[Decision | None, str]:
        """The decision on a lesion, and why there is none although the file has a row for it."""
        decision, decided_on = self.decisions.get((subject, lesion), (None, ""))
        if decision is not None and decided_on and decided_on != mark:
            return None, f"the review's decision '{decision}' is about another outline or follow-up; look again"
        return decision, ""


def lesion_mark(scan: LesionScan, days: int) -> str:
    """A short hash of an outline on MRI 1 and of the follow-up's day, by which a decision knows its lesion."""
    place = np.round(centroid(scan.mask), 1) + 0.0 if scan.mask.array.any() else "empty"
    return hashlib.sha256(f"{scan.volume_mm3:.1f} {place} {days}".encode()).hexdigest()[:12]


def read_review(path: Path) -> Review:
    """Read the decisions of a ``review.csv``; rows without one say nothing.

    Raises:
        DataProblem: the file cannot be read, a decision is none of :class:`Decision`, or a lesion is listed twice with
            different decisions.
    """
    table = read_table(path, "review", "--review", ("subject", "lesion", "decision"))
    choices = ", ".join(Decision)
    decisions: dict[tuple[str, str], tuple[Decision, str]] = {}
    problems = []
    for row in table.rows:
        word = row["decision"].casefold()
        if not word:
            continue
        key = (row["subject"], row["lesion"])
        if word not in {str(decision) for decision in Decision}:
            what = f"column decision says '{row['decision'][:20]}', expected one of {choices}"
            problems.append(Problem(f"review row {row.number}", what, "correct it, or leave the cell empty"))
        elif decisions.get(key, (word,))[0] != word:
            what = f"{' '.join(key)} is listed twice with different decisions"
            problems.append(Problem(f"review row {row.number}", what, "keep one of the rows"))
        else:
            decisions[key] = (Decision(word), row.get("check", ""))
    if problems:
        raise DataProblem(*problems)
    return Review(decisions)


def check_review_kept(out: Path, review: Path | None) -> None:
    """Refuse to replace a data set whose review holds decisions that this run does not read.

    Raises:
        DataProblem: ``out`` holds a ``review.csv`` with decisions, and ``review`` is not given.
    """
    path = out / REVIEW
    if review is None and path.is_file() and (count := len(read_review(path).decisions)):
        what = f"its {REVIEW} holds {count} decision(s) that this run would lose"
        raise DataProblem(Problem("--out", what, f"read them with --review {path}, or move the file away"))


def write_review(root: Path, lesions: Sequence[DoubtfulLesion]) -> None:
    """Write ``review.csv`` and its pictures; nothing if there is no lesion to decide or that was decided."""
    if not lesions:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    (root / PICTURES).mkdir()
    for lesion in sorted(lesions, key=lambda one: (one.subject, one.lesion)):
        thumbnail = f"{PICTURES}/{lesion.subject}_{lesion.lesion}.png"
        (root / thumbnail).write_bytes(lesion.thumbnail)
        values = (lesion.subject, lesion.lesion, lesion.days, lesion.reason, thumbnail, lesion.decision, lesion.mark)
        writer.writerow(dict(zip(COLUMNS, values, strict=True)))
    (root / REVIEW).write_text(text.getvalue(), encoding="utf-8")


def doubt_line(labelled: Sequence[str], doubtful: Sequence[str]) -> str:
    """How many lesions of MRI 1 have no label, by lesions per patient: leaving them out biases what is learned.

    Args:
        labelled, doubtful: the subject of each lesion.
    """
    lesions = [*labelled, *doubtful]
    if not doubtful:
        return f"None of the {len(lesions)} lesions of MRI 1 is in doubt."
    counts = {subject: lesions.count(subject) for subject in lesions}
    groups = []
    for number in sorted(set(counts.values())):
        of_all = sum(counts[subject] == number for subject in lesions)
        of_doubtful = sum(counts[subject] == number for subject in doubtful)
        groups.append(f"{number} per patient {of_doubtful} of {of_all}")
    share = len(doubtful) / len(lesions)
    return (
        f"{len(doubtful)} of {len(lesions)} lesions of MRI 1 ({share:.0%}) have no label, because it is not known what "
        f"became of them: {'; '.join(groups)}."
    )
