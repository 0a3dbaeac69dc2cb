"""Are the probabilities right, and would acting on them help: reliability curve and decision curve.

Both are made of each lesion's held-out prediction, averaged over trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.evaluation.metrics import lesion_averages, primary_role

BINS = 5
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))


def calibration(predictions: pd.DataFrame, methods: Sequence[str]) -> dict[str, Any]:
    """Method → the role that is primary for it, its reliability and its decision curve.

    Args:
        predictions: the rows of ``predictions.csv``.
    """
    result = {}
    for method in methods:
        averaged = lesion_averages(predictions[predictions["method"] == method].assign(fold=0))
        role = primary_role(averaged)
        lesions = averaged[averaged["role"] == role]
        result[method] = {"role": role, "reliability": reliability(lesions), "decision_curve": decision_curve(lesions)}
    return result


def reliability(lesions: pd.DataFrame, bins: int = BINS) -> list[dict[str, Any]]:
    """Lesions in groups of about equal number by P(response): what was said and what came.

    Args:
        lesions: one row per lesion with ``p_response`` and ``label``.

    Returns:
        Per group, from low to high: ``n``, mean ``predicted`` P(response) and ``observed`` share of response.
    """
    order = lesions.sort_values(["p_response", "subject", "lesion"])
    predicted = np.array_split(order["p_response"].to_numpy(dtype=float), min(bins, len(order)))
    observed = np.array_split(order["label"].to_numpy(dtype=float), min(bins, len(order)))
    return [
        {"n": len(p), "predicted": float(p.mean()), "observed": float(o.mean())}
        for p, o in zip(predicted, observed, strict=True)
    ]


def decision_curve(lesions: pd.DataFrame) -> list[dict[str, float]]:
    """Net benefit of acting on non-response (the finding that would change treatment).

    Acting where P(non-response) ≥ t has the net benefit TP/n − FP/n · t/(1 − t) (Vickers and Elkin, 2006); beside it
    acting on every lesion. Acting on none has 0.
    """
    found = (lesions["label"] == 0).to_numpy()
    p = 1.0 - lesions["p_response"].to_numpy(dtype=float)
    rows = []
    for t in THRESHOLDS:
        odds = t / (1 - t)
        acted = p >= t
        benefit = np.mean(acted & found) - np.mean(acted & ~found) * odds
        everyone = np.mean(found) - np.mean(~found) * odds
        rows.append({"threshold": t, "net_benefit": float(benefit), "act_on_all": float(everyone)})
    return rows
