"""Subjects that are one person: they share a fold, or what is known of one would tell the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from scipy.cluster.hierarchy import DisjointSet

from treatment_response.cohort.prepare import PatientOutcome


def same_persons(by_files: Sequence[tuple[str, ...]], outcomes: Sequence[PatientOutcome]) -> dict[str, str]:
    """Subjects that share a person with another one → the subject that stands for the person; told in the outcomes.

    Args:
        by_files: groups of subjects with the same name and birth date.
        outcomes: all patients; two that hold the same image are one person.
    """
    groups = DisjointSet([outcome.subject for outcome in outcomes])
    reasons: dict[str, set[str]] = {}

    def join(one: str, other: str, reason: str) -> None:
        groups.merge(one, other)
        for subject in (one, other):
            reasons.setdefault(subject, set()).add(reason)

    for group in by_files:
        for one, other in combinations(group, 2):
            join(one, other, "the same name and birth date")
    for first, second in combinations(outcomes, 2):
        if not set(first.image_marks.values()).isdisjoint(second.image_marks.values()):
            join(first.subject, second.subject, "the same images")
    persons = {}
    for outcome in outcomes:
        subjects = sorted(groups.subset(outcome.subject))
        if len(subjects) > 1:
            persons[outcome.subject] = subjects[0]
            others = ", ".join(subject for subject in subjects if subject != outcome.subject)
            why = " and ".join(sorted(reasons[outcome.subject]))
            outcome.notes.append(f"one person with {others}: {why}; all of them are in one fold")
    return persons
