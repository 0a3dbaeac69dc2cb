"""Folds by patient, stratified by label, drawn once and stored with the data set."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from treatment_response.problems import DataProblem, Problem


def fold_problems(subjects: Sequence[str], labels: Sequence[int], folds: int) -> list[Problem]:
    """Why these lesions cannot be split into ``folds`` folds by patient; empty if they can."""
    problems: list[Problem] = []
    if not len(subjects):
        return [Problem("data set", "no lesion is left", "see the reasons in the ingest report")]
    patients = len(set(subjects))
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
        name = {0: "non-response", 1: "response"}.get(labels[0], str(labels[0]))
        problems.append(
            Problem(
                "labels",
                f"all {len(labels)} lesions are {name}, so nothing can be learned or scored",
                "change --response-threshold, bring other patients, or use --folds 1 to prepare for inference only",
            )
        )
    commonest = max((list(labels).count(label) for label in set(labels)), default=0)
    if not problems and folds > commonest:
        problems.append(
            Problem(
                "folds",
                f"no class has as many lesions as there are folds ({commonest} against {folds})",
                f"ask for --folds {max(commonest, 1)} or bring more patients",
            )
        )
    return problems


def patient_folds(subjects: Sequence[str], labels: Sequence[int], folds: int = 5, seed: int = 0) -> np.ndarray:
    """Assign each lesion to a fold so that no patient is in two folds and the folds resemble each other in labels.

    The same lesions give the same folds in whatever order they come.

    Args:
        subjects: patient of each lesion, ``(N,)``.
        labels: 0 or 1 of each lesion, ``(N,)``.
        folds: number of folds; 1 puts everything in fold 0.

    Returns:
        Fold of each lesion, int ``(N,)``, in ``range(folds)``.

    Raises:
        DataProblem: fewer patients than folds, or one class only.
    """
    problems = fold_problems(subjects, labels, folds)
    if problems:
        raise DataProblem(*problems)
    if folds == 1:
        return np.zeros(len(subjects), dtype=int)
    order = np.lexsort((np.asarray(labels), np.asarray(subjects)))
    result = np.full(len(subjects), -1)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    labels_sorted, subjects_sorted = np.asarray(labels)[order], np.asarray(subjects)[order]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # fewer lesions of a class than folds: allowed, check_dataset tells
        for fold, (_, test) in enumerate(splitter.split(labels_sorted, labels_sorted, subjects_sorted)):
            result[order[test]] = fold
    if len(set(result.tolist())) < folds:
        raise DataProblem(
            Problem("folds", f"the patients do not fill {folds} folds", "ask for fewer folds with --folds")
        )
    return result
