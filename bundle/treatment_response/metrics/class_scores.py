"""Scores of probabilities of K classes, all of them by scikit-learn's definitions.

Which class is decided is the one of the largest probability. The scores of two classes are a special case: balanced
accuracy is then the mean of sensitivity and specificity, and both classes have the same one-against-rest AUC.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as skm

from treatment_response.classes import Classes
from treatment_response.cohort.case import with_case
from treatment_response.cohort.splits import PERSON, persons_of
from treatment_response.metrics.scores import ROLES
from treatment_response.problems import DataProblem, Problem

PRIMARY_METRICS = ("auc", "accuracy", "balanced_accuracy", "macro_f1", "brier", "quadratic_kappa")


def class_probabilities(table: pd.DataFrame, classes: Classes) -> NDArray[np.float64]:
    """The probabilities in a table of predictions, ``(N, K)`` in the order of the classes.

    Tables of two classes may name the second alone, as PULSAR's ``p_response``.

    Raises:
        DataProblem: a column is missing.
    """
    columns = list(classes.columns)
    if len(columns) == 2 and columns[0] not in table and columns[1] in table:
        table = table.assign(**{columns[0]: 1.0 - table[columns[1]]})
    if absent := [name for name in columns if name not in table]:
        what = f"columns missing: {', '.join(absent)}"
        raise DataProblem(Problem("predictions", what, "write it with evaluate.json's run"))
    return table[columns].to_numpy(dtype=float)


def class_scores(labels: ArrayLike, probabilities: ArrayLike, classes: Classes) -> dict[str, Any]:
    """Scores of N cases.

    Args:
        labels: ``(N,)`` class numbers. probabilities: ``(N, K)``, each row summing to 1.

    Returns:
        ``accuracy``, ``balanced_accuracy``, ``macro_f1`` (over the classes that occur or are decided), ``auc`` (mean of
        the classes' one-against-rest AUCs), each in [0, 1] and higher is better; ``quadratic_kappa`` (Cohen's, in the
        classes' declared order, in [-1, 1]; None for more than two classes without one); ``ordinal_error`` (mean steps
        from the truth to the decision in that order, above 0: worse than the truth; None without one); ``brier`` (mean
        over cases of the squared differences, summed over classes, in [0, 2], lower is better); ``classes``: name →
        ``n``, ``recall``, ``precision``, ``f1``, ``auc``; ``confusion``: rows are the truth, columns the decision. An
        undefined number is None.

    Raises:
        DataProblem: other shapes, labels that are no class, or rows that are no probabilities.
    """
    y, p = np.asarray(labels).ravel(), np.asarray(probabilities, dtype=float)
    count = len(classes.names)
    if p.shape != (len(y), count) or not len(y):
        what = f"{len(y)} labels for probabilities of shape {p.shape}"
        raise DataProblem(Problem("metrics", what, f"pass (N, {count}), N above 0"))
    if not np.isin(y, range(count)).all():
        raise DataProblem(Problem("metrics", "a label is no class", f"use 0 to {count - 1}"))
    if not ((p >= 0) & (p <= 1)).all() or np.abs(p.sum(axis=1) - 1).max() > 1e-4:
        raise DataProblem(
            Problem("metrics", "rows are no probabilities", "pass probabilities that sum to 1, no logits")
        )
    y, decided, numbers = y.astype(int), p.argmax(axis=1), list(range(count))
    precision, recall, f1, support = skm.precision_recall_fscore_support(y, decided, labels=numbers, zero_division=0)
    aucs = [_auc(y == number, p[:, number]) for number in numbers]
    present = support > 0
    used = present | np.isin(numbers, decided)
    ranks = np.asarray(classes.ranks or range(count))
    kappa = None
    if (classes.order or count == 2) and len({*y, *decided}) > 1:
        kappa = skm.cohen_kappa_score(ranks[y], ranks[decided], labels=numbers, weights="quadratic")
    known = [auc for auc in aucs if auc is not None]
    return {
        "accuracy": float(np.mean(y == decided)),
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[used].mean()),
        "auc": float(np.mean(known)) if known else None,
        "ordinal_error": float((ranks[decided] - ranks[y]).mean()) if classes.order else None,
        "quadratic_kappa": None if kappa is None or math.isnan(kappa) else float(kappa),
        "brier": float(((p - np.eye(count)[y]) ** 2).sum(axis=1).mean()),
        "classes": {
            name: {
                "n": int(support[number]),
                "recall": float(recall[number]) if present[number] else None,
                "precision": float(precision[number]) if (decided == number).any() else None,
                "f1": float(f1[number]) if used[number] else None,
                "auc": aucs[number],
            }
            for number, name in enumerate(classes.names)
        },
        "confusion": skm.confusion_matrix(y, decided, labels=numbers).tolist(),
    }


def class_averages(predictions: pd.DataFrame, classes: Classes) -> pd.DataFrame:
    """One row per role and case: its probabilities averaged over the fitted models that scored it."""
    table = with_case(predictions)
    table = table.assign(**dict(zip(classes.columns, class_probabilities(table, classes).T, strict=True)))
    means = dict.fromkeys(classes.columns, "mean") | {"label": "first"} | ({PERSON: "first"} if PERSON in table else {})
    keys = [key for key in ("role", "subject", "case", "session") if key in table]
    return table.groupby(keys, as_index=False, sort=True).agg(means)


def class_scores_by_role(predictions: pd.DataFrame, classes: Classes) -> dict[str, dict[str, Any]]:
    """Role → n, patients, and `class_scores` with the primary metric named.

    Args:
        predictions: rows of ``predictions.csv``; cases scored by several fitted models are averaged first.
    """
    result: dict[str, dict[str, Any]] = {}
    for role, rows in class_averages(predictions, classes).groupby("role"):
        result[str(role)] = {
            "role": ROLES.get(str(role), str(role)),
            "n": len(rows),
            "patients": int(persons_of(rows).nunique()),
            "finding": classes.finding,
            "primary_metric": classes.primary_metric,
            "scores": class_scores(rows["label"], rows[list(classes.columns)].to_numpy(), classes),
        }
    return result


def _auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float | None:
    return None if truth.all() or not truth.any() else float(skm.roc_auc_score(truth, score))
