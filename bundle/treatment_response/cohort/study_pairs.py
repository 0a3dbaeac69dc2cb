"""Pairs of a study and an earlier one of the same patient, never across an operation.

What an operation left behind is another tumour: neither a change nor a response can be read across one. When an
operation took place is known from the studies before and after it alone, so it is an interval, not a day.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

_NAME = re.compile(r"week-(\d{1,4})(?:-(\d{1,2}))?")


@dataclass(frozen=True, order=True)
class TimePoint:
    """When a study was made: its week, and its place among several studies of one week.

    Attributes:
        week: whole weeks from the patient's first operation or study.
        repeat: 0 if the name has no suffix, which comes before ``-1``.
        name: as the data set writes it: ``week-040`` or ``week-040-1``.
    """

    week: int
    repeat: int
    name: str = field(compare=False)


def time_point(name: str) -> TimePoint | None:
    """Read ``week-040`` or ``week-040-1``; None if it is neither."""
    match = _NAME.fullmatch(name.strip())
    return TimePoint(int(match[1]), int(match[2] or 0), match[0]) if match else None


@dataclass(frozen=True)
class Operation:
    """An operation, known by the study before it, the study after it, or both.

    Attributes:
        after: the study that was made before the operation; None if none is known.
        by: the study that shows what the operation left; None if none is known.
        margin: weeks by which ``by`` may be wrong; 0 if there is such a study.
    """

    after: TimePoint | None = None
    by: TimePoint | None = None
    margin: int = 0

    @property
    def at(self) -> TimePoint:
        """When it had taken place at the latest, as far as is known.

        Raises:
            ValueError: nothing is known.
        """
        known = self.by or self.after
        if known is None:
            raise ValueError("an operation is known by a study before or after it")
        return known

    def lies_between(self, earlier: TimePoint, later: TimePoint) -> bool:
        """Whether it does, or may, lie between two studies."""
        if self.by is not None and self.margin:
            return earlier.week <= self.by.week + self.margin and later.week >= self.by.week - self.margin
        if self.by is None or self.after is None:
            return earlier <= self.at < later if self.by is None else earlier < self.at <= later
        return earlier < self.by and later > self.after


@dataclass(frozen=True)
class RatedStudy:
    """One study of a patient, as far as pairs are concerned.

    Attributes:
        at: when it was made.
        sequences: names of the images that are there.
        label: number of its class; None if it has none that counts.
        reason: why it has none.
    """

    at: TimePoint
    sequences: frozenset[str]
    label: int | None = None
    reason: str = "it has no rating"


@dataclass(frozen=True)
class Pair:
    """A labelled study and the study that it is compared with."""

    study: RatedStudy
    earlier: RatedStudy

    @property
    def name(self) -> str:
        """The case's name."""
        return self.study.at.name


def pair_studies(
    studies: Sequence[RatedStudy],
    operations: Collection[Operation],
    sequences: Sequence[str],
    unusable: Mapping[TimePoint, str] | None = None,
) -> tuple[list[Pair], dict[str, str]]:
    """Pair each labelled study with the previous one that has all sequences.

    Args:
        studies: of one patient, in any order.
        operations: of the patient.
        sequences: that both studies must have.
        unusable: studies whose images cannot be used, with the reason.

    Returns:
        The pairs in order of time, and name → reason of each study that is in none as the current one.
    """
    broken = unusable or {}
    pairs: list[Pair] = []
    left_out: dict[str, str] = {}
    complete: list[RatedStudy] = []
    for study in sorted(studies, key=lambda one: one.at):
        missing = [name for name in sequences if name not in study.sequences]
        usable = not missing and study.at not in broken
        if study.label is None:
            left_out[study.at.name] = study.reason
        elif missing:
            left_out[study.at.name] = f"it has no {', '.join(missing)}"
        elif not usable:
            left_out[study.at.name] = broken[study.at]
        elif not complete:
            left_out[study.at.name] = f"no earlier study has {', '.join(sequences)}"
        elif any(operation.lies_between(complete[-1].at, study.at) for operation in operations):
            left_out[study.at.name] = f"an operation lies between it and the earlier study, {complete[-1].at.name}"
        else:
            pairs.append(Pair(study, complete[-1]))
        if usable:
            complete.append(study)
    return pairs, left_out


def since_operation(
    studies: Sequence[TimePoint], operations: Collection[Operation], current: TimePoint
) -> list[TimePoint]:
    """The studies before the current one that no operation parts from it, in order of time; the first is the baseline.

    The date of radiotherapy is not known, so the baseline is the first study after the operation.
    """
    return [
        one
        for one in sorted(studies)
        if one < current and not any(operation.lies_between(one, current) for operation in operations)
    ]
