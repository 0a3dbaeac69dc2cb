"""Which features a method on features looks at, and how often, over the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from treatment_response.evaluation.classical.columns import group_of
from treatment_response.evaluation.comparison.method import Method, TrialSet

COLUMNS = ["method", "feature", "group", "chosen", "weight"]


def read_chosen(methods: Sequence[Method], trials: TrialSet) -> pd.DataFrame:
    """What every finished trial wrote: ``method, trial, feature, weight, note``; a row is a feature or a note."""
    parts = [table for method in methods for table in method.chosen(trials)]
    empty = pd.DataFrame(columns=["feature", "weight", "note", "method", "trial"])
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else empty


def summary(chosen: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Rows of ``importances.csv``.

    Returns:
        ``method, feature, group``; ``chosen``: the share of the trials in which it was selected; ``weight``: the mean
        coefficient of its standardised value over these trials, positive speaks for response. Often chosen ones first.
    """
    rows = []
    for method, mine in chosen.dropna(subset=["feature"]).groupby("method", sort=False):
        found = mine.groupby("feature")["weight"].agg(["size", "mean"]).reset_index()
        found["strength"] = found["mean"].abs()
        found = found.sort_values(["size", "strength", "feature"], ascending=[False, False, True])
        groups = [group_of(feature) for feature in found["feature"]]
        rows.append(
            found.assign(method=method, group=groups, chosen=found["size"] / trials, weight=found["mean"])[COLUMNS]
        )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS)


def fallbacks(chosen: pd.DataFrame) -> list[dict[str, Any]]:
    """Every note that fits left behind, with the number of trials: ``method, note, trials``."""
    found = chosen.dropna(subset=["note"]).groupby(["method", "note"], sort=False)["trial"].nunique()
    return [
        {"method": row["method"], "note": row["note"], "trials": int(row["trial"])}
        for row in found.reset_index().to_dict("records")
    ]


def selected_features(chosen: pd.DataFrame, methods: Sequence[str], trials: int) -> dict[str, float]:
    """Method → how many features a trial's model looks at, on average."""
    counts = chosen.dropna(subset=["feature"]).groupby("method").size()
    return {method: float(counts.get(method, 0)) / trials for method in methods}
