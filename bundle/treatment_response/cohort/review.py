"""Lesions whose fate at follow-up a person has to decide: written to ``review.csv``, read back with ``--review``."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from treatment_response.cohort.follow_up_state import FOLLOW_UP_REMEDY, FollowUpState, parse_follow_up
from treatment_response.cohort.lesion import DoubtfulLesion, LesionScan
from treatment_response.cohort.masks import centroid
from treatment_response.cohort.table_file import read_table_file
from treatment_response.problems import DataProblem, Problem

REVIEW = "review.csv"
PICTURES = "review"
COLUMNS = ("subject", "lesion", "days", "reason", "thumbnail", "decision", "check")


@dataclass(frozen=True)
class Review:
    """Decisions of a ``review.csv``.

    ``resolved`` is volume 0, ``resected`` and ``not imaged`` are excluded, ``present`` waits for an outline.

    Attributes:
        by_mark: decision by the mark of the lesion that it is about (column ``check``). Subjects are numbered anew when
            patients are added, marks stay.
        by_number: decision by subject and lesion, of rows without a mark.
    """

    by_mark: Mapping[str, FollowUpState] = field(default_factory=dict)
    by_number: Mapping[tuple[str, str], FollowUpState] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.by_mark) + len(self.by_number)

    def of(self, subject: str, lesion: str, mark: str) -> FollowUpState | None:
        """The decision on a lesion in doubt."""
        return self.by_mark.get(mark, self.by_number.get((subject, lesion)))

    def unused(self, lesions: Sequence[DoubtfulLesion]) -> int:
        """How many decisions are about none of these lesions in doubt."""
        marks = {lesion.mark for lesion in lesions}
        numbers = {(lesion.subject, lesion.lesion) for lesion in lesions}
        return len(set(self.by_mark) - marks) + len(set(self.by_number) - numbers)


def lesion_mark(first_image: str, scan: LesionScan, later_image: str, days: int, reason: str) -> str:
    """A short hash of all that a decision is about: the outline on MRI 1, the follow-up, and what is in doubt there.

    Args:
        first_image, later_image: hashes of MRI 1 and of the follow-up.
        days: of the follow-up, from MRI 1.
        reason: of the doubt.
    """
    place = np.round(centroid(scan.mask), 1) + 0.0 if scan.mask.array.any() else "empty"
    words = f"{first_image} {scan.volume_mm3:.1f} {place} {later_image} {days} {reason}"
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def read_review(path: Path) -> Review:
    """Read the decisions of a ``review.csv``; rows without one say nothing.

    Raises:
        DataProblem: the file cannot be read, a row is ragged, a decision is unknown, or a lesion has two decisions.
    """
    table = read_table_file(path, "review", ("subject", "lesion", "decision"), ("check",))
    by_mark: dict[str, FollowUpState] = {}
    by_number: dict[tuple[str, str], FollowUpState] = {}
    problems = list(table.problems)
    for row in table.rows:
        try:
            decision = row.value("decision", parse_follow_up, FOLLOW_UP_REMEDY)
        except DataProblem as error:
            problems += error.problems
            continue
        if decision is None:
            continue
        mark, number = row.text("check"), (row.text("subject"), row.text("lesion"))
        earlier = by_mark.setdefault(mark, decision) if mark else by_number.setdefault(number, decision)
        if earlier is not decision:
            what = "its lesion has another decision in a row above"
            problems.append(Problem(row.where, what, "keep one of the rows"))
    if problems:
        raise DataProblem(*problems)
    return Review(by_mark, by_number)


def check_review_kept(out: Path, review: Path | None) -> None:
    """Refuse to replace a data set whose review holds decisions that this run does not read.

    Raises:
        DataProblem: ``out`` holds a ``review.csv`` with decisions, and ``review`` is not given.
    """
    path = out / REVIEW
    if review is None and path.is_file() and (count := len(read_review(path))):
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
