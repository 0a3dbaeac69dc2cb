"""Intervals by resampling patients, all their cases together (SCIENCE: the unit is the patient).

A resample of patients is a weight of each patient, in proportion to how often it was drawn; every case carries its
patient's weight. Statistics are written for a whole block of such weights at once, so 2000 resamples of an AUC are
a few array operations. The resamples give the standard error; `metrics.intervals` makes the ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.cohort.splits import persons_of
from treatment_response.metrics.intervals import SHARE, UNLIMITED, Interval, Scale, interval_ends
from treatment_response.problems import DataProblem, Problem

Weights = NDArray[np.float64]
Rows = NDArray[np.bool_]
_WEIGHTS_AT_ONCE = 5_000_000
"""Numbers in a block of weights, which limits the memory of a bootstrap of many rows."""
_ROUNDS = 20
"""How often undefined resamples are drawn again before they are left out."""


def every_row(frame: pd.DataFrame) -> list[Rows]:
    """The only part of a statistic that rests on all rows."""
    return [np.ones(len(frame), dtype=bool)]


@dataclass(frozen=True)
class Statistic:
    """A number of a table of cases, and how its interval is made.

    Attributes:
        values: (rows (N), weights (B, N)) → (B,), NaN where the weighted rows leave it undefined.
        parts: rows → the groups of rows that it rests on, each (N,) bool; for an AUC the two classes.
        scale: where it lies.
        within_classes: whether patients are resampled within classes, because the number does not depend on how many
            cases of each class there are. Patients with cases of several classes are a group of their own.
    """

    values: Callable[[pd.DataFrame, Weights], NDArray[np.float64]]
    parts: Callable[[pd.DataFrame], Sequence[Rows]] = every_row
    scale: Scale = UNLIMITED
    within_classes: bool = False

    def __call__(self, frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        """The number for each row of weights."""
        return self.values(frame, weights)


def patient_bootstrap(
    frame: pd.DataFrame, statistic: Statistic, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of `statistic` from its standard error over patients drawn with replacement (`resample_weights`).

    A resample in which the statistic is undefined is drawn again, and counted.

    Args:
        frame: one row per case; the patient is the person of each row, by ``person`` or ``subject``.
        statistic: `auc`, `metric`, `mean` and `difference` make them.
        n: number of resamples. seed: fixes them. level: coverage aimed at, in (0, 1).

    Raises:
        DataProblem: `frame` is empty, or has no column ``subject``.
    """
    if "subject" not in frame or frame.empty:
        raise DataProblem(
            Problem("patient bootstrap", "no rows, or no column 'subject'", "pass one row per case with its patient")
        )
    codes, patients = pd.factorize(persons_of(frame))
    estimate = float(statistic(frame, np.ones((1, len(frame))))[0])
    strata = patient_strata(frame, codes) if statistic.within_classes else np.zeros(len(patients), dtype=int)
    rng, defined, redrawn = np.random.default_rng(seed), np.empty(0), 0
    for _ in range(_ROUNDS):
        missing = n - len(defined)
        drawn = _values(frame, statistic, resample_weights(strata, missing, rng), codes)
        found = drawn[~np.isnan(drawn)]
        defined, redrawn = np.r_[defined, found], redrawn + len(drawn) - len(found)
        if len(defined) == n or not len(found):
            break
    error = float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
    least = min(len(set(codes[rows])) for rows in statistic.parts(frame))
    low, high = interval_ends(estimate, error, least, statistic.scale, level)
    return Interval(estimate, float(low), float(high), level, len(patients), len(frame), len(defined), redrawn)


def resample_weights(strata: NDArray[np.int64], n: int, rng: np.random.Generator) -> Weights:
    """How much each patient counts in `n` resamples with replacement within strata, ``(n, patients)``.

    One patient fewer than there are is drawn from a stratum, and the counts are scaled up to their number (Rao and Wu,
    JASA 1988;83:231-241): the spread of as many draws as patients would be too small by (k − 1) / k for k patients. The
    only patient of a stratum always counts once.

    Args:
        strata: (patients,), the stratum of each.
    """
    weights = np.ones((n, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        if (k := len(members)) > 1:
            weights[:, members] = rng.multinomial(k - 1, np.full(k, 1 / k), size=n) * (k / (k - 1))
    return weights


def patient_strata(frame: pd.DataFrame, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stratum of each patient, (patients,): patients with cases of the same classes are in one.

    Args:
        frame: one row per case, with ``label``. codes: (N,), the patient of each row.
    """
    classes, label = np.unique(frame["label"].to_numpy(), return_inverse=True)
    present = np.zeros((codes.max() + 1, len(classes)), dtype=bool)
    present[codes, label] = True
    return np.unique(present, axis=0, return_inverse=True)[1].ravel()


def _values(
    frame: pd.DataFrame, statistic: Statistic, weights: Weights, codes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The statistic of each resample. weights: (B, patients). codes: (N,), the patient of each row."""
    step = max(1, _WEIGHTS_AT_ONCE // len(frame))
    blocks = (weights[start : start + step] for start in range(0, len(weights), step))
    return np.concatenate([statistic(frame, block[:, codes]) for block in blocks])


def weighted_auc(labels: NDArray, scores: NDArray, weights: Weights) -> NDArray[np.float64]:
    """Area under the ROC curve of label 1 for each row of weights; ties count one half.

    Args:
        labels: (N,) 0/1. scores: (N,), higher means more like class 1. weights: (B, N), non-negative.

    Returns:
        (B,), NaN where only one class has weight. Equals the Mann-Whitney statistic U / (n1 · n0).
    """
    order = np.argsort(scores, kind="stable")
    y, s, w = np.asarray(labels)[order], np.asarray(scores)[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])  # first of each group of equal scores
    ones = np.add.reduceat(w * (y == 1), starts, axis=1)
    zeros = np.add.reduceat(w * (y == 0), starts, axis=1)
    below = np.cumsum(zeros, axis=1) - zeros
    pairs = ones.sum(axis=1) * zeros.sum(axis=1)
    wins = (ones * (below + zeros / 2)).sum(axis=1)
    return ratio(wins, pairs)


def auc(score: str = "p_response", label: str = "label") -> Statistic:
    """The AUC of column `score` for class 1 of column `label` (the same number for either class as the finding)."""

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return weighted_auc(frame[label].to_numpy(), frame[score].to_numpy(dtype=float), weights)

    def classes(frame: pd.DataFrame) -> list[Rows]:
        return [(frame[label] == each).to_numpy() for each in (0, 1)]

    return Statistic(values, classes, SHARE, within_classes=True)


def metric(name: str, positive: int = 1, threshold: float = 0.5, score: str = "p_response") -> Statistic:
    """One of the six metrics of `metrics.scores` or "brier" as a statistic (same definitions, weighted)."""
    if name == "auc":
        return auc(score)

    def decisions(frame: pd.DataFrame) -> tuple[Rows, Rows]:
        """Truly positive and decided positive."""
        truth = (frame["label"] == positive).to_numpy()
        return truth, (frame[score].to_numpy(dtype=float) >= threshold) == (positive == 1)

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        if name == "brier":
            missed = (frame[score].to_numpy(dtype=float) - frame["label"].to_numpy()) ** 2
            return ratio(weights @ missed, weights.sum(axis=1))
        truth, decided = decisions(frame)
        tp, fp = weights @ (truth & decided), weights @ (~truth & decided)
        fn, tn = weights @ (truth & ~decided), weights @ (~truth & ~decided)
        shares = {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "accuracy": (tp + tn, tp + tn + fp + fn),
            "precision": (tp, tp + fp),
            "f1": (2 * tp, 2 * tp + fp + fn),
        }
        return ratio(*shares[name])

    def counted(frame: pd.DataFrame) -> list[Rows]:
        truth, decided = decisions(frame)
        rests_on = {"sensitivity": truth, "specificity": ~truth, "precision": decided, "f1": truth | decided}
        return [rests_on[name]] if name in rests_on else every_row(frame)

    return Statistic(values, counted, SHARE, within_classes=name in ("sensitivity", "specificity"))


def mean(value: str, scale: Scale) -> Statistic:
    """Mean over patients of each patient's mean of column `value`, which lies on `scale`."""

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        per_patient = 1.0 / frame.groupby(persons_of(frame))[value].transform("size").to_numpy(dtype=float)
        share = weights * per_patient
        return ratio(share @ frame[value].to_numpy(dtype=float), share.sum(axis=1))

    return Statistic(values, scale=scale)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """`first` − `second` on the same resampled patients: a paired difference, on its own scale."""

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return first(frame, weights) - second(frame, weights)

    def parts(frame: pd.DataFrame) -> list[Rows]:
        return [*first.parts(frame), *second.parts(frame)]

    scale = Scale(first.scale.low - second.scale.high, first.scale.high - second.scale.low, bent=False)
    return Statistic(values, parts, scale, first.within_classes and second.within_classes)


def ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    """`numerator` / `denominator`, NaN where the latter is 0."""
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
