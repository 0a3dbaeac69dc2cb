"""Folds by person, stratified by label, drawn once and stored with the data set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from treatment_response.classes import CLASS_NAMES
from treatment_response.problems import DataProblem, Problem

PERSON = "person"
"""Column of a lesion table, and field of a data list, that names a person with several subjects."""


def person_of(sample: Mapping[str, Any]) -> str:
    """Whose lesion an entry of the data list is: its ``person``, or its subject where there is none."""
    return str(sample.get(PERSON) or sample["subject"])


def persons_in(content: Mapping[str, Any]) -> dict[str, str]:
    """Subject → person, for the subjects that are known under another subject's name; mostly empty.

    Args:
        content: of ``dataset.json``.
    """
    samples = [*content.get("training", []), *content.get("unlabelled", []), *content.get("test", [])]
    return {sample["subject"]: person_of(sample) for sample in samples if person_of(sample) != sample["subject"]}


def with_persons(table: pd.DataFrame, persons: Mapping[str, str]) -> pd.DataFrame:
    """The table with the column ``person``; as it is if no subject has another person's name.

    Args:
        table: with the column ``subject``.
        persons: from `persons_in`.
    """
    if not persons:
        return table
    return table.assign(**{PERSON: [persons.get(subject, subject) for subject in table["subject"]]})


def persons_of(table: pd.DataFrame) -> pd.Series:
    """The person of each row: the unit of splits, shuffles and intervals. Without a column ``person``, the subject."""
    return table[PERSON].fillna(table["subject"]) if PERSON in table else table["subject"]


def fold_problems(
    persons: Sequence[str], labels: Sequence[int], folds: int, names: Sequence[str] = CLASS_NAMES
) -> list[Problem]:
    """Why these lesions cannot be split into ``folds`` folds by person; empty if they can."""
    problems: list[Problem] = []
    if not len(persons):
        return [Problem("data set", "no lesion is left", "see the reasons in the ingest report")]
    patients = len(set(persons))
    if folds < 1:
        problems.append(Problem("folds", f"{folds} folds asked for", "ask for 2 or more, or 1 for no split"))
    elif folds > 1 and patients < folds:
        problems.append(
            Problem(
                "folds",
                f"{patients} patient(s) cannot be split into {folds} folds, each needs at least one",
                f"ask for --folds {patients if patients > 1 else 1} or bring more patients",
            )
        )
    if folds > 1 and len(set(labels)) == 1:
        name = names[labels[0]] if labels[0] in range(len(names)) else str(labels[0])
        problems.append(
            Problem(
                "labels",
                f"all {len(labels)} lesions are {name}, so nothing can be learned or scored",
                "change --response-threshold, bring other patients, or use --folds 1 to prepare for inference only",
            )
        )
    return problems


def patient_folds(persons: Sequence[str], labels: Sequence[int], folds: int = 5, seed: int = 0) -> np.ndarray:
    """Assign each lesion to a fold so that no person is in two folds and the folds resemble each other in labels.

    The same lesions give the same folds in whatever order they come. No fold is empty. With too few lesions to spread
    the labels, the folds are alike in their number of lesions only.

    Args:
        persons: of each lesion, ``(N,)``; two subjects that are one person have one name here.
        labels: 0 or 1 of each lesion, ``(N,)``.
        folds: number of folds; 1 puts everything in fold 0.

    Returns:
        Fold of each lesion, int ``(N,)``, in ``range(folds)``.

    Raises:
        DataProblem: fewer persons than folds, or one class only.
    """
    problems = fold_problems(persons, labels, folds)
    if problems:
        raise DataProblem(*problems)
    if folds == 1:
        return np.zeros(len(persons), dtype=int)
    order = np.lexsort((np.asarray(labels), np.asarray(persons)))
    labels_sorted, persons_sorted = np.asarray(labels)[order], np.asarray(persons)[order]
    assigned = np.full(len(persons), -1)
    if np.unique(labels_sorted, return_counts=True)[1].max() >= folds:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # fewer lesions of a class than folds: allowed
            for fold, (_, test) in enumerate(splitter.split(labels_sorted, labels_sorted, persons_sorted)):
                assigned[test] = fold
    if len(set(assigned.tolist())) < folds:
        assigned = _folds_by_size(persons_sorted, folds, seed)
    result = np.full(len(persons), -1)
    result[order] = assigned
    return result


def _folds_by_size(persons: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each lesion: the persons with most lesions first, each into the fold with the fewest lesions."""
    names, member, counts = np.unique(persons, return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    sizes, fold_of = np.zeros(folds, dtype=int), np.zeros(len(names), dtype=int)
    for person in shuffled[np.argsort(-counts[shuffled], kind="stable")]:
        fold_of[person] = int(np.argmin(sizes))
        sizes[fold_of[person]] += counts[person]
    result: np.ndarray = fold_of[member]
    return result


def persons_apart(persons: Sequence[str], labels: Sequence[int], count: int, seed: int = 0) -> set[str]:
    """Persons to keep apart for a last test, with about the classes' shares of all.

    The same cases give the same persons in whatever order they come.

    Args:
        persons, labels: of each case; a person counts for the highest label of its cases.
        count: of persons, below the number of persons.
    """
    label_of: dict[str, int] = {}
    for person, label in zip(persons, labels, strict=True):
        label_of[person] = max(label, label_of.get(person, label))
    groups = {label: sorted(one for one in label_of if label_of[one] == label) for label in sorted(set(labels))}
    wanted = {label: count * len(group) / len(label_of) for label, group in groups.items()}
    taken = {label: int(number) for label, number in wanted.items()}
    # The classes whose share was cut most get one more each, until the number is right.
    for label in sorted(wanted, key=lambda one: taken[one] - wanted[one])[: count - sum(taken.values())]:
        taken[label] += 1
    rng = np.random.default_rng([seed, count])
    return {one for label, group in groups.items() for one in rng.permutation(group)[: taken[label]].tolist()}
