"""Intervals by resampling patients, all their lesions together (SCIENCE: the unit is the patient).

A resample of patients is a count of how often each patient was drawn; every lesion carries its patient's count as a
weight. Statistics are written for a whole block of such weights at once, so 2000 resamples of an AUC are a few array
operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.metrics import with_model
from treatment_response.problems import DataProblem, Problem

Weights = NDArray[np.float64]
Statistic = Callable[[pd.DataFrame, Weights], NDArray[np.float64]]
"""(rows (N), weights (B, N)) → (B,) values, NaN where the weighted rows leave it undefined."""


@dataclass(frozen=True)
class Interval:
    """A statistic with its percentile interval over resampled patients.

    Attributes:
        estimate: the statistic on all rows; low, high: the interval's ends at `level`.
        patients, n: resampled patients and their rows; resamples: how many resamples counted.
        skipped: resamples left out because the statistic was undefined there (for an AUC: one class only).
    """

    estimate: float
    low: float
    high: float
    level: float
    patients: int
    n: int
    resamples: int
    skipped: int

    def __str__(self) -> str:
        if math.isnan(self.estimate):
            return "undefined"
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_dict(self) -> dict[str, float | int | None]:
        """The numbers for JSON: an undefined value is ``None``."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(self).items()}


def patient_bootstrap(
    frame: pd.DataFrame,
    statistic: Statistic,
    groups: str | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval of `statistic`, drawing patients with replacement.

    Args:
        frame: one row per lesion.
        statistic: see `Statistic`; `auc`, `metric`, `mean` and `difference` make them.
        groups: the column that names the patient; None: the person of each row, by ``person`` or ``subject``.
        n: number of resamples. seed: fixes them. level: coverage aimed at, in (0, 1).

    Raises:
        DataProblem: `groups` is no column of `frame`, or `frame` is empty.
    """
    column = "subject" if groups is None else groups
    if column not in frame or frame.empty:
        raise DataProblem(
            Problem(
                "patient bootstrap", f"no rows, or no column '{column}'", "pass one row per lesion with its patient"
            )
        )
    codes, patients = pd.factorize(persons_of(frame) if groups is None else frame[groups])
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=n).astype(float)
    values = statistic(frame, counts[:, codes])
    estimate = float(statistic(frame, np.ones((1, len(frame))))[0])
    defined = values[~np.isnan(values)]
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (math.nan, math.nan)
    return Interval(estimate, float(low), float(high), level, len(patients), len(frame), len(defined), n - len(defined))


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
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def auc(score: str = "p_response", label: str = "label") -> Statistic:
    """The AUC of column `score` for class 1 of column `label` (the same number for either class as the finding)."""

    def statistic(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return weighted_auc(frame[label].to_numpy(), frame[score].to_numpy(dtype=float), weights)

    return statistic


def metric(name: str, positive: int = 1, threshold: float = 0.5, score: str = "p_response") -> Statistic:
    """One of the six metrics of `evaluation.metrics` or "brier" as a statistic (same definitions, weighted)."""

    def statistic(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        label, p = frame["label"].to_numpy(), frame[score].to_numpy(dtype=float)
        if name == "auc":
            return weighted_auc(label, p, weights)
        if name == "brier":
            return _ratio(weights @ (p - label) ** 2, weights.sum(axis=1))
        truth, decided = label == positive, (p >= threshold) == (positive == 1)
        tp, fp = weights @ (truth & decided), weights @ (~truth & decided)
        fn, tn = weights @ (truth & ~decided), weights @ (~truth & ~decided)
        parts = {
            "sensitivity": (tp, tp + fn),
            "specificity": (tn, tn + fp),
            "accuracy": (tp + tn, tp + tn + fp + fn),
            "precision": (tp, tp + fp),
            "f1": (2 * tp, 2 * tp + fp + fn),
        }
        return _ratio(*parts[name])

    return statistic


def mean(value: str) -> Statistic:
    """Mean over patients of each patient's mean of column `value` (needs the column ``subject``)."""

    def statistic(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        per_patient = 1.0 / frame.groupby(persons_of(frame))[value].transform("size").to_numpy(dtype=float)
        share = weights * per_patient
        return _ratio(share @ frame[value].to_numpy(dtype=float), share.sum(axis=1))

    return statistic


def difference(first: Statistic, second: Statistic) -> Statistic:
    """`first` − `second` on the same resampled patients: a paired difference."""

    def statistic(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return first(frame, weights) - second(frame, weights)

    return statistic


def within_models(role: str, score: str = "p_response") -> Statistic:
    """AUC inside each fitted model for the rows of `role`, averaged over the models where it is defined.

    Needs the columns ``role`` and ``model`` (which fitted model gave the row). No two models' scores are compared.
    """

    def statistic(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        columns = []
        chosen = (frame["role"] == role).to_numpy()
        for model in frame.loc[chosen, "model"].unique():
            rows = chosen & (frame["model"] == model).to_numpy()
            part = frame.loc[rows]
            columns.append(weighted_auc(part["label"].to_numpy(), part[score].to_numpy(), weights[:, rows]))
        if not columns:
            return np.full(len(weights), np.nan)
        table = np.stack(columns)
        defined = ~np.isnan(table)
        return _ratio(np.where(defined, table, 0.0).sum(axis=0), defined.sum(axis=0).astype(float))

    return statistic


def leak() -> Statistic:
    """(i) − (ii): what scoring MRI 2 of the training lesions is worth, within the same fitted models."""
    return difference(within_models("train_mri2"), within_models("heldout_mri2"))


def leak_interval(predictions: pd.DataFrame) -> Interval | None:
    """(i) − (ii) within the same fitted models, or None where a run has not both roles."""
    if not {"train_mri2", "heldout_mri2"} <= set(predictions["role"]):
        return None
    return patient_bootstrap(with_model(predictions), leak())


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
