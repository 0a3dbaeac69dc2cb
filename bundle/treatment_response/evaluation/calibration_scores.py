"""Are the probabilities right, and would acting on them help: calibration and decision curve with intervals.

What is scored is the kind of probability that is delivered: that of one fitted model. Where several models held a
lesion out, each of their probabilities is scored, and together they weigh as one lesion. Their mean is another
predictor (it is smoother than any one of them), and nobody is given it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.metrics.bootstrap import Statistic, Weights, metric, patient_bootstrap, ratio
from treatment_response.metrics.intervals import SHARE, UNLIMITED, Scale
from treatment_response.metrics.net_benefit import net_benefit, net_benefit_of_all
from treatment_response.metrics.scores import primary_role

BINS = 5
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
SURE = 1e-7
"""A probability nearer to 0 or 1 than this is cut, so that it has a logit."""
MOST_STEPS, NO_MAXIMUM = 100, 25.0
"""Newton's steps at most; a coefficient (of the logit in SDs) beyond the second means that there is no maximum."""
LESION_SHARE = "share"
"""Column: the weight of a row, such that a lesion's rows weigh 1 together."""


def calibration(predictions: pd.DataFrame, methods: Sequence[str], resamples: int = 2000) -> dict[str, Any]:
    """Method → `calibration_scores` of its predictions.

    Args:
        predictions: the rows of a comparison's ``predictions.csv``.
    """
    return {
        method: calibration_scores(predictions[predictions["method"] == method], resamples=resamples)
        for method in methods
    }


def calibration_scores(predictions: pd.DataFrame, resamples: int = 2000) -> dict[str, Any]:
    """Calibration of one method's probabilities in its primary role.

    Args:
        predictions: one row per lesion and fitted model: ``role, subject, lesion, session, label, p_response``.
        resamples: of patients, for each interval.

    Returns:
        ``role, lesions, predictions`` (rows); ``slope`` and ``joint_intercept`` of the logistic regression of the label
        on the logit of P(response), 1 and 0 being perfect; ``intercept`` with the slope fixed at 1 (calibration in the
        large; above 0, response came more often than was said); ``brier``; ``brier_of_prevalence``, which saying the
        share of response for every lesion gets; ``brier_gain``, the latter minus the former; each with its interval
        over patients (`Interval.as_dict`). ``reliability`` and ``decision_curve``: see these functions.

    References:
        Van Calster et al., J Clin Epidemiol 74 (2016) 167; Steyerberg et al., Epidemiology 21 (2010) 128.
    """
    role = primary_role(predictions)
    rows = single_model_rows(predictions, role)
    scored = partial(_interval, rows, resamples=resamples)
    return {
        "role": role,
        "lesions": len(rows[["subject", "lesion"]].drop_duplicates()),
        "predictions": len(rows),
        "slope": scored(partial(recalibration, coefficient=1)),
        "joint_intercept": scored(partial(recalibration, coefficient=0)),
        "intercept": scored(intercept_in_the_large),
        "brier": scored(brier, scale=SHARE),
        "brier_of_prevalence": scored(brier_of_prevalence, scale=SHARE),
        "brier_gain": scored(_brier_gain),
        "reliability": reliability(rows),
        "decision_curve": decision_curve(rows, resamples),
    }


def single_model_rows(predictions: pd.DataFrame, role: str) -> pd.DataFrame:
    """The rows of a role with the column ``share``: 1 over the number of fitted models that scored the lesion."""
    rows = predictions[predictions["role"] == role]
    counts = rows.groupby(["subject", "lesion", "session"])["label"].transform("size")
    return rows.assign(**{LESION_SHARE: 1.0 / counts}).reset_index(drop=True)


def recalibration(rows: pd.DataFrame, weights: Weights, coefficient: int) -> NDArray[np.float64]:
    """Intercept (0) or slope (1) of the logistic regression of the label on the logit of P(response).

    Undefined where the classes are separated by the probability, one class alone has weight, or all probabilities are
    one.
    """
    logit = _logit(rows)
    scale = float(logit.std())
    if scale < 1e-9:
        return np.full(len(weights), np.nan)
    design = np.stack([np.ones(len(rows)), logit / scale], axis=1)
    found = _logistic(design, rows["label"].to_numpy(dtype=float), _weighed(rows, weights), np.zeros(len(rows)))
    return found[:, coefficient] / (scale if coefficient else 1.0)


def intercept_in_the_large(rows: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
    """Intercept of that regression with the slope fixed at 1, for each row of weights."""
    design = np.ones((len(rows), 1))
    return _logistic(design, rows["label"].to_numpy(dtype=float), _weighed(rows, weights), _logit(rows))[:, 0]


def brier(rows: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
    """Mean squared difference of P(response) and the label, for each row of weights."""
    return metric("brier")(rows, _weighed(rows, weights))


def brier_of_prevalence(rows: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
    """The Brier score of saying the share of response for every lesion, for each row of weights."""
    share = _mean(rows["label"].to_numpy(dtype=float), _weighed(rows, weights))
    return share * (1 - share)


def _brier_gain(rows: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
    return brier_of_prevalence(rows, weights) - brier(rows, weights)


def reliability(rows: pd.DataFrame, bins: int = BINS) -> list[dict[str, float]]:
    """Predictions in groups of about equal number by P(response): what was said and what came.

    Args:
        rows: from `single_model_rows`.

    Returns:
        Per group, from low to high: ``n`` (lesions: the sum of shares), mean ``predicted`` P(response) and ``observed``
        share of response.
    """
    order = rows.sort_values(["p_response", "subject", "lesion"])
    groups = np.array_split(np.arange(len(order)), min(bins, len(order)))
    found = []
    for places in groups:
        group = order.take(places)
        share = group[LESION_SHARE]
        predicted, observed = (float(np.average(group[name], weights=share)) for name in ("p_response", "label"))
        found.append({"n": float(share.sum()), "predicted": predicted, "observed": observed})
    return found


def decision_curve(rows: pd.DataFrame, resamples: int = 2000) -> list[dict[str, float | None]]:
    """Net benefit of acting on non-response (the finding that would change treatment), with intervals over patients.

    Acting where P(non-response) ≥ t has the net benefit TP/n − FP/n · t/(1 − t) (Vickers and Elkin, Med Decis Making 26
    (2006) 565). Acting on none has 0.

    Args:
        rows: from `single_model_rows`.

    Returns:
        Per threshold t: ``net_benefit`` with ``low`` and ``high``; ``act_on_all``, that of acting on every lesion; and
        ``advantage`` over the better of acting on all and on none, with ``advantage_low`` and ``advantage_high`` (on
        the same resampled patients).
    """
    points: list[dict[str, float | None]] = []
    for t in THRESHOLDS:
        benefit = _interval(rows, partial(_benefit, threshold=t), resamples)
        advantage = _interval(rows, partial(_advantage, threshold=t), resamples)
        everyone = float(_act_on_all(rows, np.ones((1, len(rows))), t)[0])
        point = {"threshold": t, "net_benefit": benefit["estimate"], "low": benefit["low"], "high": benefit["high"]}
        point |= {"act_on_all": everyone, "advantage": advantage["estimate"]}
        points.append(point | {"advantage_low": advantage["low"], "advantage_high": advantage["high"]})
    return points


def _benefit(rows: pd.DataFrame, weights: Weights, threshold: float) -> NDArray[np.float64]:
    """Net benefit of acting where P(non-response) ≥ threshold, for each row of weights."""
    probability = 1.0 - rows["p_response"].to_numpy(dtype=float)
    return net_benefit(_non_response(rows), probability, threshold, _weighed(rows, weights))


def _act_on_all(rows: pd.DataFrame, weights: Weights, threshold: float) -> NDArray[np.float64]:
    return net_benefit_of_all(_non_response(rows), threshold, _weighed(rows, weights))


def _non_response(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(rows["label"].to_numpy() == 0)


def _interval(
    rows: pd.DataFrame,
    values: Callable[[pd.DataFrame, Weights], NDArray[np.float64]],
    resamples: int,
    scale: Scale = UNLIMITED,
) -> dict[str, Any]:
    return patient_bootstrap(rows, Statistic(values, scale=scale), n=resamples).as_dict()


def _advantage(rows: pd.DataFrame, weights: Weights, threshold: float) -> NDArray[np.float64]:
    otherwise = np.maximum(_act_on_all(rows, weights, threshold), 0.0)
    return _benefit(rows, weights, threshold) - otherwise


def _logit(rows: pd.DataFrame) -> NDArray[np.float64]:
    p = rows["p_response"].to_numpy(dtype=float).clip(SURE, 1 - SURE)
    return np.asarray(np.log(p / (1 - p)))


def _weighed(rows: pd.DataFrame, weights: Weights) -> Weights:
    return weights * rows[LESION_SHARE].to_numpy()


def _mean(values: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    return ratio(weights @ values, weights.sum(axis=1))


def _logistic(
    design: NDArray[np.float64], label: NDArray[np.float64], weights: Weights, offset: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Maximum likelihood of many weighted logistic regressions at once, by Newton's method.

    Args:
        design: (N, P). label, offset: (N,). weights: (B, N).

    Returns:
        (B, P) coefficients, NaN where the likelihood has no maximum (one class alone, or separated classes).
    """
    found = np.zeros((len(weights), design.shape[1]))
    step = np.full_like(found, np.inf)
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    left = np.arange(len(weights))  # not yet at their maximum
    for _ in range(MOST_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(found[left] @ design.T + offset, -500, 500)))
        uphill = (weights[left] * (label - p)) @ design
        curvature = ((weights[left] * p * (1 - p)) @ products).reshape(len(left), *[design.shape[1]] * 2)
        # Without a maximum the curvature vanishes on the way out; the small number keeps it invertible.
        curvature += 1e-12 * np.eye(design.shape[1])
        step[left] = np.clip(np.linalg.solve(curvature, uphill[..., None])[..., 0], -1, 1)
        found[left] += step[left]
        left = left[np.abs(step[left]).max(axis=1) >= 1e-9]
        if not len(left):
            break
    there = (np.abs(step) < 1e-6) & (np.abs(found) < NO_MAXIMUM)
    return np.where(there.all(axis=1, keepdims=True), found, np.nan)
