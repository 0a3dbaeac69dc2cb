"""The scores of K classes as statistics of a table of cases, so that each gets its interval over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.classes import Classes
from treatment_response.metrics.bootstrap import Rows, Statistic, Weights, every_row, ratio, weighted_auc
from treatment_response.metrics.class_scores import class_probabilities
from treatment_response.metrics.intervals import CORRELATION, SHARE, Scale

METRIC_NAMES = {
    "auc": "AUC (mean over classes)",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
    "brier": "Brier score",
}
"""The scores of a table of cases, and what readers see."""
CLASS_METRIC_NAMES = {"recall": "recall", "precision": "precision", "f1": "F1", "auc": "AUC against the rest"}
"""The scores of one class."""
LOWER_IS_BETTER = ("brier",)
_SCALES = {"quadratic_kappa": CORRELATION, "brier": Scale(0.0, 2.0, bent=True)}
_Numbers = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""Labels (N,), probabilities (N, K), decisions (N,)."""


def class_metric(name: str, classes: Classes, suffix: str = "") -> Statistic:
    """A score of all classes, by the definitions of `metrics.class_scores`, weighted.

    A resample without a class that the table holds leaves scores over classes undefined, and is drawn again.

    Args:
        name: of `METRIC_NAMES`.
        suffix: after the names of the probabilities' columns, where a table holds those of two methods.

    Raises:
        ValueError: another name.
    """
    if name not in METRIC_NAMES:
        raise ValueError(f"name must be one of {', '.join(METRIC_NAMES)}, got {name!r}")
    over_classes = name in ("auc", "balanced_accuracy")

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return _SCORES[name](_numbers(frame, classes, suffix), weights)

    def parts(frame: pd.DataFrame) -> Sequence[Rows]:
        if not over_classes:
            return every_row(frame)
        return [(frame["label"] == label).to_numpy() for label in frame["label"].unique()]

    return Statistic(values, parts, _SCALES.get(name, SHARE), within_classes=over_classes)


def one_class_metric(name: str, classes: Classes, index: int, suffix: str = "") -> Statistic:
    """A score of one class against all others.

    Args:
        name: of `CLASS_METRIC_NAMES`. index: number of the class. suffix: as in `class_metric`.

    Raises:
        ValueError: another name.
    """
    if name not in CLASS_METRIC_NAMES:
        raise ValueError(f"name must be one of {', '.join(CLASS_METRIC_NAMES)}, got {name!r}")

    def truth_and_decision(frame: pd.DataFrame) -> tuple[Rows, Rows]:
        labels, _, decided = _numbers(frame, classes, suffix)
        return labels == index, decided == index

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        truth, decided = truth_and_decision(frame)
        if name == "auc":
            score = class_probabilities(_renamed(frame, suffix), classes)[:, index]
            return weighted_auc(truth.astype(int), score, weights)
        hits, of_class, of_decision = weights @ (truth & decided), weights @ truth, weights @ decided
        shares = {
            "recall": (hits, of_class),
            "precision": (hits, of_decision),
            "f1": (2 * hits, of_class + of_decision),
        }
        return ratio(*shares[name])

    def parts(frame: pd.DataFrame) -> Sequence[Rows]:
        truth, decided = truth_and_decision(frame)
        rests_on = {"recall": [truth], "precision": [decided], "f1": [truth | decided], "auc": [truth, ~truth]}
        return rests_on[name]

    return Statistic(values, parts, SHARE, within_classes=name in ("recall", "auc"))


def _renamed(frame: pd.DataFrame, suffix: str) -> pd.DataFrame:
    """The probabilities of the suffix under their own names, and the label."""
    if not suffix:
        return frame
    own = [name for name in map(str, frame) if name.endswith(suffix)]
    return frame[["label", *own]].rename(columns=lambda name: name.removesuffix(suffix))


def _numbers(frame: pd.DataFrame, classes: Classes, suffix: str) -> _Numbers:
    p = class_probabilities(_renamed(frame, suffix), classes)
    return frame["label"].to_numpy(dtype=int), p, p.argmax(axis=1)


def _accuracy(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, _, decided = numbers
    return ratio(weights @ (labels == decided), weights.sum(axis=1))


def _balanced_accuracy(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, _, decided = numbers
    recalls = [
        ratio(weights @ ((labels == label) & (decided == label)), weights @ (labels == label))
        for label in np.unique(labels)
    ]
    return np.mean(recalls, axis=0)


def _macro_f1(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, _, decided = numbers
    scores = [
        ratio(
            2 * weights @ ((labels == label) & (decided == label)),
            weights @ (labels == label) + weights @ (decided == label),
        )
        for label in np.unique([labels, decided])
    ]
    return np.mean(scores, axis=0)


def _auc(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, p, _ = numbers
    present = np.unique(labels)
    if len(present) < 2:
        return np.full(len(weights), np.nan)
    return np.mean([weighted_auc((labels == label).astype(int), p[:, label], weights) for label in present], axis=0)


def _quadratic_kappa(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, p, decided = numbers
    number = np.arange(p.shape[1])
    apart = (number[:, None] - number) ** 2.0
    rows, columns = ((weights @ (each[:, None] == number)) for each in (labels, decided))
    by_chance = ((rows @ apart) * columns).sum(axis=1) / weights.sum(axis=1)
    return 1.0 - ratio(weights @ apart[labels, decided], by_chance)


def _brier(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, p, _ = numbers
    missed = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1)
    return ratio(weights @ missed, weights.sum(axis=1))


_SCORES: dict[str, Callable[[_Numbers, Weights], NDArray[np.float64]]] = {
    "auc": _auc,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "quadratic_kappa": _quadratic_kappa,
    "brier": _brier,
}
