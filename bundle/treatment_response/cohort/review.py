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

    Attributes:
        decisions: by subject and lesion: the decision (``resolved`` is volume 0, ``resected`` and ``not imaged`` are
            excluded, ``present`` waits for an outline), and the mark of the lesion that it is about (empty if the file
            has none).
    """

    decisions: Mapping[tuple[str, str], tuple[FollowUpState, str]] = field(default_factory=dict)

    def of(self, subject: str, lesion: str, mark: str) -> tuple[FollowUpState | None, str]:
        """The decision on a lesion, and why there is none although the file has a row for it."""
        decision, decided_on = self.decisions.get((subject, lesion), (None, ""))
        if decision is not None and decided_on and decided_on != mark:
            return None, f"the review's decision '{decision}' is about another outline or follow-up; look again"
        return decision, ""


def lesion_mark(image_mark: str, scan: LesionScan, days: int) -> str:
    """A short hash of MRI 1, an outline on it, and the follow-up's day, by which a decision knows its lesion."""
    place = np.round(centroid(scan.mask), 1) + 0.0 if scan.mask.array.any() else "empty"
    return hashlib.sha256(f"{image_mark} {scan.volume_mm3:.1f} {place} {days}".encode()).hexdigest()[:12]


def read_review(path: Path) -> Review:
    """Read the decisions of a ``review.csv``; rows without one say nothing.

    Raises:
        DataProblem: the file cannot be read, a row is ragged, a decision is unknown, or a lesion has two decisions.
    """
    table = read_table_file(path, "review", ("subject", "lesion", "decision"), ("check",))
    decisions: dict[tuple[str, str], tuple[FollowUpState, str]] = {}
    problems = list(table.problems)
    for row in table.rows:
        key = (row.text("subject"), row.text("lesion"))
        try:
            decision = row.value("decision", parse_follow_up, FOLLOW_UP_REMEDY)
        except DataProblem as error:
            problems += error.problems
            continue
        if decision is None:
            continue
        if decisions.get(key, (decision, ""))[0] is not decision:
            problems.append(
                Problem(row.where, "its lesion has another decision in a row above", "keep one of the rows")
            )
        decisions[key] = (decision, row.text("check"))
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
