"""Subjects that are one person: they share a fold, or what is known of one would tell the other."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.cluster.hierarchy import DisjointSet

from treatment_response.geometry import Volume


def image_mark(image: Volume) -> str:
    """A hash of an image's values, whatever its UIDs and names say."""
    array = np.ascontiguousarray(image.array)
    return hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()


def same_persons(
    by_files: Sequence[tuple[str, ...]], marks: Mapping[str, Collection[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Subjects that are one person with another one.

    Args:
        by_files: groups of subjects with the same name and birth date.
        marks: all subjects, with the `image_mark` of each of their images; two that hold the same image are one person.

    Returns:
        Subject → the subject that stands for the person; and subject → what has to be told of it.
    """
    groups = DisjointSet(list(marks))
    reasons: dict[str, set[str]] = {}

    def join(one: str, other: str, reason: str) -> None:
        groups.merge(one, other)
        for subject in (one, other):
            reasons.setdefault(subject, set()).add(reason)

    for group in by_files:
        for one, other in combinations((subject for subject in group if subject in marks), 2):
            join(one, other, "the same name and birth date")
    for first, second in combinations(marks, 2):
        if not set(marks[first]).isdisjoint(marks[second]):
            join(first, second, "the same images")
    persons, told = {}, {}
    for subject in marks:
        subjects = sorted(groups.subset(subject))
        if len(subjects) > 1:
            persons[subject] = subjects[0]
            others = ", ".join(other for other in subjects if other != subject)
            why = " and ".join(sorted(reasons[subject]))
            told[subject] = f"one person with {others}: {why}; all of them are in one fold"
    return persons, told
