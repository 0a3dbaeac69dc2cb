"""What a comparison says: spread over splits, intervals over patients, paired differences, the leak, the null check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from treatment_response.evaluation.bootstrap import auc, difference, leak, metric, patient_bootstrap
from treatment_response.evaluation.metrics import METRICS, ROLES, binary_metrics, lesion_averages, primary_role

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
    """AUC of every other method minus that of `reference`, per role, on the same lesions and patients.

    Args:
        shares: per trial n_test / n_train in lesions, for the second opinion.

    Returns:
        Per method and role: the patient-bootstrap interval and, for held-out roles, `nadeau_bengio` on the trials.
    """
    trials = per_trial(predictions)
    trials = trials[trials["finding"] == "response"].sort_values("model")
    base = lesion_averages(predictions[predictions["method"] == reference].assign(fold=0))
    result = []
    for method in (m for m in _in_order(predictions["method"]) if m != reference):
        other = lesion_averages(predictions[predictions["method"] == method].assign(fold=0))
        both = other.merge(base, on=["role", *LESION], suffixes=("", "_reference"))
        for role in (role for role in reversed(ROLES) if role in set(both["role"])):
            interval = patient_bootstrap(
                both[both["role"] == role], difference(auc(), auc("p_response_reference")), n=resamples
            )
            entry: dict[str, Any] = {"method": method, "minus": reference, "role": role, "auc": interval.as_dict()}
            if role.startswith("heldout"):
                mine, its = (
                    trials[(trials["method"] == name) & (trials["role"] == role)] for name in (method, reference)
                )
                paired = mine["auc"].to_numpy(dtype=float) - its["auc"].to_numpy(dtype=float)
                defined = ~np.isnan(paired)
                tested = np.asarray(shares)[mine["model"].to_numpy(dtype=int)]
                share = float(np.mean(tested[defined])) if defined.any() else math.nan
                entry["nadeau_bengio"] = nadeau_bengio(paired[defined], share)
            result.append(entry)
    return result


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


def leaks(predictions: pd.DataFrame, resamples: int = 2000) -> dict[str, dict[str, Any]]:
    """Method → AUC (i) − (ii) inside each fitted model, averaged over the models, with its interval over patients."""
    rows = predictions[predictions["role"].isin(["train_mri2", "heldout_mri2"])]
    if rows["role"].nunique() < 2:
        return {}
    return {
        method: patient_bootstrap(rows[rows["method"] == method], leak(), n=resamples).as_dict()
        for method in _in_order(rows["method"])
    }


def null_check(shuffles: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
    """Per method: held-out AUC over runs with shuffled labels, which should be 0.5.

    Args:
        shuffles: the predictions of each shuffle's trials.

    Returns:
        ``mean`` over shuffles of the AUC inside each trial (the primary role), its standard error ``se``, the number
        of ``shuffles`` that have one, and ``within_3_se``: whether 0.5 is (None with fewer than two shuffles).
    """
    tables = [per_trial(predictions).assign(shuffle=number) for number, predictions in enumerate(shuffles)]
    trials = pd.concat(tables, ignore_index=True)
    trials = trials[trials["finding"] == "response"]
    result = []
    for method in _in_order(shuffles[0]["method"]):
        mine = trials[trials["method"] == method]
        values = mine[mine["role"] == primary_role(mine)].groupby("shuffle")["auc"].mean().dropna()
        several = len(values) > 1
        mean = float(values.mean()) if len(values) else None
        se = float(values.std(ddof=1) / math.sqrt(len(values))) if several else None
        fine = abs(float(values.mean()) - 0.5) <= 3 * se if se is not None else None
        result.append({"method": method, "mean": mean, "se": se, "shuffles": len(values), "within_3_se": fine})
    return result


def _in_order(column: pd.Series) -> list[str]:
    return [str(name) for name in column.drop_duplicates()]
