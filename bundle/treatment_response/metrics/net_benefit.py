"""Decision curves: what acting on a probability is worth, against acting on everybody and on nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from treatment_response.metrics.bootstrap import Weights, ratio


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit at each threshold, in true positives per case; acting on nobody is 0.

    Attributes:
        thresholds: ``(T,)`` in (0, 1): the probability of the finding from which on one would act.
        model, everybody: ``(T,)`` net benefit of acting on the model's answer and of acting on all cases.
    """

    thresholds: NDArray[np.float64]
    model: NDArray[np.float64]
    everybody: NDArray[np.float64]


def decision_curve(truth: ArrayLike, probability: ArrayLike, thresholds: ArrayLike | None = None) -> DecisionCurve:
    """The net benefit of a probability: TP / N − FP / N · t / (1 − t).

    A threshold t says how a needless action is weighed against a missed one: t / (1 − t) to 1.

    Args:
        truth: ``(N,)`` bool, cases of the finding. probability: ``(N,)`` of the finding, calibrated, in [0, 1].
        thresholds: in (0, 1); 0.05 to 0.95 in steps of 0.01 by default.

    Raises:
        ValueError: no case, or a threshold outside (0, 1).

    References:
        Vickers and Elkin, Decision curve analysis, Med. Decis. Making 26 (2006) 565.
    """
    y, p = np.asarray(truth, dtype=bool), np.asarray(probability, dtype=float)
    t = np.arange(5, 96) / 100 if thresholds is None else np.asarray(thresholds, dtype=float)
    if not len(y) or ((t <= 0) | (t >= 1)).any():
        raise ValueError("a decision curve needs cases, and thresholds between 0 and 1")
    once = np.ones((1, len(y)))
    model = np.concatenate([net_benefit(y, p, threshold, once) for threshold in t])
    everybody = np.concatenate([net_benefit_of_all(y, threshold, once) for threshold in t])
    return DecisionCurve(t, model, everybody)


def net_benefit(
    truth: NDArray[np.bool_], probability: NDArray[np.float64], threshold: float, weights: Weights
) -> NDArray[np.float64]:
    """Net benefit of acting where the probability of the finding is at least a threshold, ``(B,)``.

    Args:
        truth: ``(N,)``, cases of the finding. probability: ``(N,)`` of the finding.
        weights: ``(B, N)`` of the cases; a row gives one value.
    """
    return _mean((probability >= threshold) * _worth(truth, threshold), weights)


def net_benefit_of_all(truth: NDArray[np.bool_], threshold: float, weights: Weights) -> NDArray[np.float64]:
    """Net benefit of acting on every case, ``(B,)``; arguments as of `net_benefit`. Acting on nobody has 0."""
    return _mean(_worth(truth, threshold), weights)


def _worth(truth: NDArray[np.bool_], threshold: float) -> NDArray[np.float64]:
    """What acting on each case is worth: 1 for a true finding, minus the odds of the threshold for a false one."""
    return np.where(truth, 1.0, -threshold / (1 - threshold))


def _mean(values: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    return ratio(weights @ values, weights.sum(axis=1))
