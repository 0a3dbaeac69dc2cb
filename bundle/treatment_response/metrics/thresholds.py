"""Sensitivity and specificity for a finding at a threshold that other patients have chosen, with exact intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from treatment_response.classes import Classes
from treatment_response.cohort.splits import persons_of
from treatment_response.metrics.bootstrap import Rows, Statistic, Weights, patient_bootstrap, ratio
from treatment_response.metrics.intervals import SHARE, Interval

SMALL = 50
"""With fewer patients than these, a share has its exact binomial interval."""
CHOSEN = "the largest sum of sensitivity and specificity"
_DECIDED = "decided_finding"


def best_threshold(truth: ArrayLike, probability: ArrayLike) -> float:
    """The threshold with the largest sum of sensitivity and specificity (Youden's).

    It lies half-way between two probabilities that occur; of equally good ones, the one nearest to 0.5 is taken.

    Args:
        truth: ``(N,)`` bool, cases of the finding. probability: ``(N,)`` of the finding, in [0, 1].

    Raises:
        ValueError: the cases are all of the finding, or none is.
    """
    y, p = np.asarray(truth, dtype=bool), np.asarray(probability, dtype=float)
    if y.all() or not y.any():
        raise ValueError("a threshold is chosen on cases with the finding and cases without")
    values = np.unique(p)
    candidates = np.r_[0.0, (values[1:] + values[:-1]) / 2, 1.0]
    above = p >= candidates[:, None]
    youden = (above & y).sum(axis=1) / y.sum() - (above & ~y).sum(axis=1) / (~y).sum()
    best = candidates[youden >= youden.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def held_out_decisions(table: pd.DataFrame, classes: Classes) -> pd.DataFrame | None:
    """Decide each case at the threshold of the patients of the other folds.

    The threshold of a fold is chosen on the held-out predictions of all other folds. No case takes part in the choice
    of its own threshold.

    Args:
        table: one row per case: ``label``, ``fold``, and the probability of the finding.

    Returns:
        The table with ``threshold`` and the bool ``decided_finding``; None for more classes than two, or where the
        other folds of one lack a class.
    """
    if len(classes.names) != 2:
        return None
    finding = classes.names.index(classes.finding)
    probability = table[classes.columns[finding]].to_numpy(dtype=float)
    truth, fold = (table["label"] == finding).to_numpy(), table["fold"].to_numpy()
    if any(len(set(truth[fold != number])) < 2 for number in np.unique(fold)):
        return None
    chosen = {number: best_threshold(truth[fold != number], probability[fold != number]) for number in np.unique(fold)}
    threshold = np.array([chosen[number] for number in fold])
    return table.assign(threshold=threshold, **{_DECIDED: probability >= threshold})


def decided_at(table: pd.DataFrame, classes: Classes, threshold: float) -> pd.DataFrame:
    """Decide each case at one threshold that other patients have chosen, as `held_out_decisions` gives it."""
    probability = table[classes.columns[classes.names.index(classes.finding)]].to_numpy(dtype=float)
    return table.assign(threshold=threshold, **{_DECIDED: probability >= threshold})


def operating_point(decided: pd.DataFrame, classes: Classes) -> dict[str, Any]:
    """Sensitivity and specificity for the finding of decided cases, with 95 % intervals.

    Args:
        decided: from `held_out_decisions` or `decided_at`.

    Returns:
        ``finding``, ``chosen`` (how), ``thresholds`` (the different ones), and ``sensitivity`` and ``specificity`` as
        `share_with_interval` gives them.
    """
    truth = decided["label"] == classes.names.index(classes.finding)
    return {
        "finding": classes.finding,
        "chosen": CHOSEN,
        "thresholds": sorted(float(value) for value in set(decided["threshold"])),
        "sensitivity": share_with_interval(decided[truth], decided.loc[truth, _DECIDED]),
        "specificity": share_with_interval(decided[~truth], ~decided.loc[~truth, _DECIDED]),
    }


def share_with_interval(rows: pd.DataFrame, right: pd.Series) -> dict[str, Any]:
    """A share of cases with its 95 % interval: exact where patients are few, each with one case; else over patients.

    Args:
        rows: the cases, with ``subject``. right: which of them count, bool.

    Returns:
        ``estimate, low, high, hits, n`` and ``method``; undefined numbers are None.
    """
    n, hits = len(rows), int(right.sum())
    counts: dict[str, Any] = {"hits": hits, "n": n}
    if not n:
        return {"estimate": None, "low": None, "high": None, **counts, "method": "no case"}
    patients = persons_of(rows).nunique()
    if patients == n and n < SMALL:
        low, high = exact_interval(hits, n)
        return {"estimate": hits / n, "low": low, "high": high, **counts, "method": "exact binomial"}
    found = _over_patients(rows.assign(right=right.to_numpy()))
    return {
        **{name: found.as_dict()[name] for name in ("estimate", "low", "high")},
        **counts,
        "method": "patients resampled",
    }


def exact_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of a share of n independent cases (Clopper and Pearson, Biometrika 1934)."""
    found = binomtest(hits, n).proportion_ci(confidence_level=level, method="exact")
    return float(found.low), float(found.high)


def _over_patients(rows: pd.DataFrame) -> Interval:
    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        return ratio(weights @ frame["right"].to_numpy(dtype=float), weights.sum(axis=1))

    def parts(frame: pd.DataFrame) -> list[Rows]:
        return [np.ones(len(frame), dtype=bool)]

    return patient_bootstrap(rows, Statistic(values, parts, SHARE))
