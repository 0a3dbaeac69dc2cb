"""The scores of K classes as statistics of a table of cases, so that each gets its interval over patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.classes import Classes
from treatment_response.metrics.bootstrap import Rows, Statistic, Weights, every_row, ratio, weighted_auc
from treatment_response.metrics.class_scores import class_probabilities
from treatment_response.metrics.intervals import CORRELATION, SHARE, Scale

ALL_CLASSES = "all classes"
"""Stands in the column ``class`` of a table of scores for a score over all of them."""
METRIC_NAMES = {
    "auc": "AUC (mean over classes)",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
    "ordinal_error": "ordinal error",
    "brier": "Brier score",
}
"""The scores of a table of cases, and what readers see. Classes without an order have not all, see `metric_names`."""
ORDINAL_ERROR_WORDS = (
    "Ordinal error: mean number of steps from the truth to the decision in the order {order}; above 0 the answers are "
    "worse than the truth, and 0 is no direction."
)
CLASS_METRIC_NAMES = {"recall": "recall", "precision": "precision", "f1": "F1", "auc": "AUC against the rest"}
"""The scores of one class."""
LOWER_IS_BETTER = ("brier",)
_SCALES = {"quadratic_kappa": CORRELATION, "brier": Scale(0.0, 2.0, bent=True)}


def metric_names(classes: Classes) -> dict[str, str]:
    """The scores of `METRIC_NAMES` that these classes have: those of an order only where one is declared.

    With K = 2 kappa is the same in either order, so it needs none.
    """
    without = set() if classes.order else {"ordinal_error"}
    without |= {"quadratic_kappa"} if not classes.order and len(classes.names) > 2 else set()
    return {name: words for name, words in METRIC_NAMES.items() if name not in without}


_Numbers = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""Labels (N,), probabilities (N, K), decisions (N,)."""


def spread_over_models(predictions: pd.DataFrame, classes: Classes) -> dict[str, dict[str, Any]]:
    """Each score inside each fitted model, and their mean, SD and median: the spread over folds, no interval.

    Args:
        predictions: of one role, with the column ``model``: which fitted model scored the row.

    Returns:
        Score → ``values`` (one per model, None where undefined), ``mean, sd, median`` (of the defined ones; None where
        there are none, ``sd`` for one too).
    """
    found = {}
    for name in metric_names(classes):
        score = class_metric(name, classes)
        values = [float(score(rows, np.ones((1, len(rows))))[0]) for _, rows in predictions.groupby("model")]
        defined = pd.Series(values, dtype=float).dropna()
        numbers = {"mean": defined.mean(), "sd": defined.std(ddof=1), "median": defined.median()}
        found[name] = {
            "values": [None if np.isnan(value) else value for value in values],
            **{key: None if np.isnan(value) else float(value) for key, value in numbers.items()},
        }
    return found


def class_metric(name: str, classes: Classes, suffix: str = "") -> Statistic:
    """A score of all classes, by the definitions of `metrics.class_scores`, weighted.

    A resample without a class that the table holds leaves scores over classes undefined, and is drawn again.

    Args:
        name: of `METRIC_NAMES`.
        suffix: after the names of the probabilities' columns, where a table holds those of two methods.

    Raises:
        ValueError: another name, or one that these classes do not have.
    """
    if name not in metric_names(classes):
        raise ValueError(f"name must be one of {', '.join(metric_names(classes))}, got {name!r}")
    over_classes = name in ("auc", "balanced_accuracy")

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        labels, p, decided = _numbers(frame, classes, suffix)
        if name in _ORDINAL:
            ranks = np.asarray(classes.ranks or range(len(classes.names)))
            return _ORDINAL[name](ranks[labels], ranks[decided], len(ranks), weights)
        return _SCORES[name]((labels, p, decided), weights)

    def parts(frame: pd.DataFrame) -> Sequence[Rows]:
        if not over_classes:
            return every_row(frame)
        return [(frame["label"] == label).to_numpy() for label in frame["label"].unique()]

    scale = Scale(1.0 - len(classes.names), len(classes.names) - 1.0, bent=False)
    scales = {**_SCALES, "ordinal_error": scale}
    return Statistic(values, parts, scales.get(name, SHARE), within_classes=over_classes)


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


def _quadratic_kappa(
    truth: NDArray[np.int64], decided: NDArray[np.int64], count: int, weights: Weights
) -> NDArray[np.float64]:
    number = np.arange(count)
    apart = (number[:, None] - number) ** 2.0
    rows, columns = ((weights @ (each[:, None] == number)) for each in (truth, decided))
    by_chance = ((rows @ apart) * columns).sum(axis=1) / weights.sum(axis=1)
    return 1.0 - ratio(weights @ apart[truth, decided], by_chance)


def _ordinal_error(
    truth: NDArray[np.int64], decided: NDArray[np.int64], count: int, weights: Weights
) -> NDArray[np.float64]:
    return ratio(weights @ (decided - truth), weights.sum(axis=1))


_ORDINAL: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64], int, Weights], NDArray[np.float64]]] = {
    "quadratic_kappa": _quadratic_kappa,
    "ordinal_error": _ordinal_error,
}
"""Scores of the places in the order, 0 the best: of the truth and of the decision, (N,) each."""


def _brier(numbers: _Numbers, weights: Weights) -> NDArray[np.float64]:
    labels, p, _ = numbers
    missed = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(axis=1)
    return ratio(weights @ missed, weights.sum(axis=1))


_SCORES: dict[str, Callable[[_Numbers, Weights], NDArray[np.float64]]] = {
    "auc": _auc,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "brier": _brier,
}
