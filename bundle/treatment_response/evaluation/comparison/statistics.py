"""What a comparison says: spread over splits, intervals over patients, paired differences, the null check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from treatment_response.evaluation.training_gap import training_gap
from treatment_response.metrics.bootstrap import auc, difference, metric, patient_bootstrap
from treatment_response.metrics.intervals import side_of_zero
from treatment_response.metrics.scores import METRICS, ROLES, binary_metrics, lesion_averages, primary_role

SCORES = (*METRICS, "brier")
FINDINGS = {"response": 1, "non-response": 0}
LESION = ["subject", "lesion", "session", "label"]


def per_trial(predictions: pd.DataFrame) -> pd.DataFrame:
    """Every score of every trial: ``method, role, finding, model`` and one column per score (NaN: undefined)."""
    rows = []
    for (method, role, model), part in predictions.groupby(["method", "role", "model"], sort=True):
        for finding, positive in FINDINGS.items():
            values = binary_metrics(part["label"], part["p_response"], positive)
            scores = {name: getattr(values, name) for name in SCORES}
            rows.append({"method": method, "role": role, "finding": finding, "model": model, **scores})
    return pd.DataFrame(rows)


def score_table(predictions: pd.DataFrame, resamples: int = 2000) -> pd.DataFrame:
    """One row per method, role, finding and score.

    Columns: ``mean, sd, trials`` (the spread over splits: trials in which the score is defined) and ``estimate, low,
    high, lesions, patients`` (each lesion's predictions averaged over the trials that scored it in this role, then
    2000 resamples of patients, 95 %).
    """
    trials = per_trial(predictions)
    rows = []
    for method in _in_order(predictions["method"]):
        averaged = lesion_averages(predictions[predictions["method"] == method].assign(fold=0))
        for role in (role for role in reversed(ROLES) if role in set(averaged["role"])):
            lesions = averaged[averaged["role"] == role]
            for finding, positive in FINDINGS.items():
                mine = (trials["method"] == method) & (trials["role"] == role) & (trials["finding"] == finding)
                for score in SCORES:
                    values = trials.loc[mine, score].dropna()
                    interval = patient_bootstrap(lesions, metric(score, positive), n=resamples)
                    rows.append(
                        {
                            "method": method,
                            "role": role,
                            "finding": finding,
                            "score": score,
                            "mean": values.mean(),
                            "sd": values.std(ddof=1),
                            "trials": len(values),
                            "estimate": interval.estimate,
                            "low": interval.low,
                            "high": interval.high,
                            "lesions": interval.n,
                            "patients": interval.patients,
                        }
                    )
    return pd.DataFrame(rows)


def differences(
    predictions: pd.DataFrame, reference: str, shares: Sequence[float], resamples: int = 2000
) -> list[dict[str, Any]]:
    """Paired AUC differences on the same lesions and patients.

    Every other method minus `reference` in each role, then every other pair of methods in the primary role, so that no
    order of two methods is read off two intervals that stand alone.

    Args:
        shares: per trial n_test / n_train in lesions, for the second opinion.

    Returns:
        Per pair and role: the patient-bootstrap interval and, for held-out roles, `nadeau_bengio` on the trials.
    """
    trials = per_trial(predictions)
    trials = trials[trials["finding"] == "response"].sort_values("model")
    methods = _in_order(predictions["method"])
    averaged = {
        method: lesion_averages(predictions[predictions["method"] == method].assign(fold=0)) for method in methods
    }
    others = [method for method in methods if method != reference]
    roles = [role for role in reversed(ROLES) if role in set(predictions["role"])]
    pairs = [(method, reference, role) for method in others for role in roles]
    pairs += [(method, other, roles[0]) for other, method in combinations(others, 2)]
    result = []
    for method, other, role in pairs:
        both = averaged[method].merge(averaged[other], on=["role", *LESION], suffixes=("", "_other"))
        lesions = both[both["role"] == role]
        if lesions.empty:
            continue
        interval = patient_bootstrap(lesions, difference(auc(), auc("p_response_other")), n=resamples)
        entry: dict[str, Any] = {"method": method, "minus": other, "role": role, "auc": interval.as_dict()}
        if role.startswith("heldout"):
            mine, its = (trials[(trials["method"] == name) & (trials["role"] == role)] for name in (method, other))
            paired = mine["auc"].to_numpy(dtype=float) - its["auc"].to_numpy(dtype=float)
            defined = ~np.isnan(paired)
            tested = np.asarray(shares)[mine["model"].to_numpy(dtype=int)]
            share = float(np.mean(tested[defined])) if defined.any() else math.nan
            entry["nadeau_bengio"] = nadeau_bengio(paired[defined], share)
        result.append(entry)
    return result


def higher_of(entry: Mapping[str, Any]) -> str | None:
    """The method of a pair whose AUC may be called higher; None where no order may be claimed.

    The interval over patients must lie on one side of 0, and so must Nadeau and Bengio's where there is one.

    Args:
        entry: of `differences`.
    """
    second = entry.get("nadeau_bengio") or {}
    side = side_of_zero((entry["auc"]["low"], entry["auc"]["high"]), (second.get("low"), second.get("high")))
    return {1: str(entry["method"]), -1: str(entry["minus"])}.get(side)


def nadeau_bengio(values: np.ndarray, share: float, level: float = 0.95) -> dict[str, float | int | None]:
    """Corrected resampled t-interval of the mean of paired differences over repeated splits.

    The trials share training lesions, so their variance is multiplied by 1/J + n_test/n_train instead of 1/J
    (Nadeau and Bengio, Machine Learning 52, 2003).

    Args:
        values: (J,) differences, one per trial. share: n_test / n_train.

    Returns:
        ``mean, low, high, p, trials``; None where fewer than two trials or no spread leave it undefined.
    """
    trials = len(values)
    mean = float(np.mean(values)) if trials else None
    if trials < 2 or np.ptp(values) == 0:
        return {"mean": mean, "low": None, "high": None, "p": None, "trials": trials}
    error = math.sqrt((1 / trials + share) * float(np.var(values, ddof=1)))
    half = float(stats.t.ppf(0.5 + level / 2, trials - 1)) * error
    p = 2 * float(stats.t.sf(abs(float(np.mean(values))) / error, trials - 1))
    centre = float(np.mean(values))
    return {"mean": centre, "low": centre - half, "high": centre + half, "p": p, "trials": trials}


def training_gaps(
    predictions: pd.DataFrame, shuffles: Sequence[pd.DataFrame] = (), resamples: int = 2000
) -> dict[str, dict[str, Any]]:
    """Method → `training_gap` as a mapping; empty where a role is missing.

    Args:
        shuffles: the predictions of each shuffle's trials.
    """
    found = {}
    for method in _in_order(predictions["method"]):
        own, *null = (table[table["method"] == method] for table in (predictions, *shuffles))
        if (gap := training_gap(own, null, resamples)) is not None:
            found[method] = gap.as_dict()
    return found


def null_check(shuffles: Sequence[pd.DataFrame], looked_at: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """Per method: AUC of held-out MRI 1 over runs with shuffled labels, which should be 0.5.

    A check that is extended after a look at its first shuffles would be stopped as soon as it pleases. Only the
    shuffles that nobody has looked at count.

    Args:
        shuffles: the predictions of each shuffle's trials.
        looked_at: method → how many of the first shuffles an earlier check has shown.

    Returns:
        ``mean`` over shuffles of the AUC inside each trial (the primary role), its standard error ``se`` and
        ``within_3_se``: whether 0.5 is (None with fewer than two shuffles); the same of the AUC that is reported,
        pooled over the trials of a shuffle, with ``pooled_`` before its names; ``shuffles``: how many count;
        ``earlier``: how many do not.
    """
    result = []
    for method in _in_order(shuffles[0]["method"]):
        earlier = (looked_at or {}).get(method, 0)
        inside, pooled = [], []
        for table in shuffles[earlier:]:
            mine = table[table["method"] == method]
            own = mine[mine["role"] == primary_role(mine)]
            inside.append(pd.Series([_area(trial) for _, trial in own.groupby("model")]).mean())
            pooled.append(_area(lesion_averages(own.assign(fold=0))))
        counts = {"shuffles": len(pooled), "earlier": earlier}
        result.append({"method": method, **null_half(inside), **null_half(pooled, "pooled_"), **counts})
    return result


def _area(rows: pd.DataFrame) -> float:
    """The AUC of the rows, NaN if they are of one class."""
    return float(auc()(rows, np.ones((1, len(rows))))[0])


def null_half(areas: Sequence[float], prefix: str = "") -> dict[str, float | bool | None]:
    """Mean and standard error of AUCs that should be 0.5 on average, and whether that lies within 3 errors."""
    values = np.asarray(areas, dtype=float)
    values = values[~np.isnan(values)]
    mean = float(values.mean()) if len(values) else None
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    fine = None if mean is None or se is None else abs(mean - 0.5) <= 3 * se
    return {f"{prefix}mean": mean, f"{prefix}se": se, f"{prefix}within_3_se": fine}


def _in_order(column: pd.Series) -> list[str]:
    return [str(name) for name in column.drop_duplicates()]
