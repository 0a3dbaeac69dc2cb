"""What a comparison of K classes says: spread over splits, intervals over patients, paired differences, null check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.classes import Classes
from treatment_response.evaluation.comparison.statistics import nadeau_bengio, null_half
from treatment_response.metrics.bootstrap import Statistic, difference, patient_bootstrap
from treatment_response.metrics.class_intervals import (
    ALL_CLASSES,
    CLASS_METRIC_NAMES,
    LOWER_IS_BETTER,
    class_metric,
    metric_names,
    one_class_metric,
)
from treatment_response.metrics.class_scores import class_averages
from treatment_response.metrics.intervals import side_of_zero


def statistics_of(classes: Classes) -> dict[tuple[str, str], Statistic]:
    """(class, score) → the statistic: the scores over all classes, then those of each."""
    found = {(ALL_CLASSES, name): class_metric(name, classes) for name in metric_names(classes)}
    for index, label in enumerate(classes.names):
        found |= {(label, name): one_class_metric(name, classes, index) for name in CLASS_METRIC_NAMES}
    return found


def value_of(statistic: Statistic, rows: pd.DataFrame) -> float:
    """The number itself, NaN where it is undefined."""
    return float(statistic(rows, np.ones((1, len(rows))))[0]) if len(rows) else math.nan


def score_table(predictions: pd.DataFrame, classes: Classes, resamples: int = 2000) -> pd.DataFrame:
    """One row per method, class and score.

    Columns: ``mean, sd, median, trials`` (the spread over splits: trials in which the score is defined) and ``estimate,
    low, high, cases, patients`` (each case's predictions averaged over the trials that held it out, then resamples of
    patients, 95 %).

    Args:
        predictions: ``method, model, role, subject, case, label`` and the classes' columns.
    """
    rows = []
    for method, own in predictions.groupby("method", sort=False):
        averaged = class_averages(own, classes)
        trials = [trial for _, trial in own.groupby("model")]
        for (label, score), statistic in statistics_of(classes).items():
            values = pd.Series([value_of(statistic, trial) for trial in trials]).dropna()
            interval = patient_bootstrap(averaged, statistic, n=resamples)
            rows.append(
                {
                    "method": method,
                    "role": own["role"].iloc[0],
                    "class": label,
                    "score": score,
                    "mean": values.mean(),
                    "sd": values.std(ddof=1),
                    "median": values.median(),
                    "trials": len(values),
                    "estimate": interval.estimate,
                    "low": interval.low,
                    "high": interval.high,
                    "cases": interval.n,
                    "patients": interval.patients,
                }
            )
    return pd.DataFrame(rows)


def differences(
    predictions: pd.DataFrame, classes: Classes, reference: str, shares: Sequence[float], resamples: int = 2000
) -> list[dict[str, Any]]:
    """Paired differences of the primary metric on the same cases and patients.

    Every other method minus `reference`, then every other pair, so that no order is read off two intervals that stand
    alone. Where a method answers for some cases only, a pair is compared on the cases that both answer for.

    Args:
        shares: per trial n_test / n_train in cases, for Nadeau and Bengio's interval.

    Returns:
        Per pair ``method, minus, metric``, ``interval`` over patients, ``nadeau_bengio`` over the trials, and
        ``better``: the method that both intervals say is better, or None.
    """
    name = classes.primary_metric
    one, other = class_metric(name, classes), class_metric(name, classes, "_other")
    methods = [str(method) for method in predictions["method"].drop_duplicates()]
    of_method = {method: predictions[predictions["method"] == method] for method in methods}
    averaged = {method: class_averages(own, classes) for method, own in of_method.items()}
    cases = {method: set(zip(own["subject"], own["case"], strict=True)) for method, own in averaged.items()}
    values = {method: _by_trial(own, one) for method, own in of_method.items()}
    others = [method for method in methods if method != reference]
    pairs = [(method, reference) for method in others] + [(late, early) for early, late in combinations(others, 2)]
    result = []
    for method, minus in pairs:
        keys = [key for key in averaged[method] if key not in classes.columns]
        both = averaged[method].merge(averaged[minus], on=keys, suffixes=("", "_other"))
        if both.empty:
            continue
        interval = patient_bootstrap(both, difference(one, other), n=resamples)
        paired = (values[method] - values[minus]).dropna()
        if cases[method] != cases[minus]:  # a rule that could not be computed for some
            common = cases[method] & cases[minus]
            first, second = (_by_trial(_of_cases(of_method[each], common), one) for each in (method, minus))
            paired = (first - second).dropna()
        share = float(np.mean([shares[int(trial)] for trial in paired.index])) if len(paired) else math.nan
        entry: dict[str, Any] = {"method": method, "minus": minus, "metric": name, "interval": interval.as_dict()}
        entry["nadeau_bengio"] = nadeau_bengio(paired.to_numpy(dtype=float), share)
        result.append(entry | {"better": better_of(entry)})
    return result


def _by_trial(own: pd.DataFrame, statistic: Statistic) -> pd.Series:
    """The statistic inside each trial of a method."""
    return pd.Series({model: value_of(statistic, rows) for model, rows in own.groupby("model")}, dtype=float)


def _of_cases(own: pd.DataFrame, keys: set[tuple[str, str]]) -> pd.DataFrame:
    return own[[key in keys for key in zip(own["subject"], own["case"], strict=True)]]


def better_of(entry: Mapping[str, Any]) -> str | None:
    """The method of a pair that may be called better; None where no order may be claimed.

    The interval over patients must lie on one side of 0, and so must Nadeau and Bengio's where there is one.
    """
    side = side_of_zero(*((part["low"], part["high"]) for part in (entry["interval"], entry["nadeau_bengio"])))
    if entry["metric"] in LOWER_IS_BETTER:
        side = -side
    return {1: str(entry["method"]), -1: str(entry["minus"])}.get(side)


def null_check(shuffles: Sequence[pd.DataFrame], classes: Classes, earlier: Mapping[str, int]) -> list[dict[str, Any]]:
    """Per method: the AUC over runs with shuffled labels, which should be 0.5, whatever the number of classes.

    Args:
        shuffles: the predictions of each shuffle's trials.
        earlier: method → how many of the first shuffles an earlier check has shown; they do not count.

    Returns:
        As `statistics.null_check`.
    """
    area = class_metric("auc", classes)
    result = []
    for method in shuffles[0]["method"].drop_duplicates():
        shown = earlier.get(method, 0)
        inside, pooled = [], []
        for table in shuffles[shown:]:
            own = table[table["method"] == method]
            inside.append(pd.Series([value_of(area, trial) for _, trial in own.groupby("model")]).mean())
            pooled.append(value_of(area, class_averages(own, classes)))
        counts = {"shuffles": len(pooled), "earlier": shown}
        result.append({"method": method, **null_half(inside), **null_half(pooled, "pooled_"), **counts})
    return result
