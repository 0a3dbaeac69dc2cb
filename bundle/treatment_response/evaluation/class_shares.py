"""How far the shares of the classes differ between the data that trained a model and the data that it is applied to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.metrics.thresholds import share_with_interval

SHARES_WORDS = (
    "A share in training that lies outside the interval of the share here has shifted. A model says a class about as "
    "often as it was trained to; where its mean probability follows the training and not this data set, its "
    "probabilities are not calibrated here."
)


def class_shares(table: pd.DataFrame, classes: Classes, training: Mapping[str, int] | None) -> dict[str, Any]:
    """The share of each class in both data sets and in what the model says.

    Args:
        table: one row per case: ``label`` and the classes' columns.
        training: class → cases that trained the model; None where they are not known.

    Returns:
        ``classes``: class → ``here`` (see `share_with_interval`), ``said`` (its mean probability), ``training`` and
        ``training_cases`` (None if unknown), ``shifted`` (whether the training's share lies outside the interval);
        ``distance``: half the sum of the shares' differences, 0 to 1 (total variation).
    """
    total = sum(training.values()) if training else 0
    found: dict[str, Any] = {}
    for number, name in enumerate(classes.names):
        here = share_with_interval(table, table["label"] == number)
        before = training[name] / total if training else None
        known = before is not None and here["low"] is not None and here["high"] is not None
        found[name] = {
            "here": here,
            "said": float(table[classes.columns[number]].mean()),
            "training": before,
            "training_cases": training[name] if training else None,
            "shifted": not here["low"] <= before <= here["high"] if known else None,
        }
    distance = sum(abs(one["training"] - one["here"]["estimate"]) for one in found.values()) / 2 if training else None
    return {"classes": found, "distance": distance}


def brier_of_shares(table: pd.DataFrame, classes: Classes, training: Mapping[str, int] | None) -> float | None:
    """The Brier score of answering every case with the training's shares; None where they are not known."""
    if not training:
        return None
    total = sum(training.values())
    shares = [training[name] / total for name in classes.names]
    truth = table["label"].to_numpy()
    return float(sum(((truth == n) - share) ** 2 for n, share in enumerate(shares)).mean())
