"""How far the number of patients carries: lesions per feature, width of the interval, and how many it would take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from treatment_response.cohort.splits import persons_of
from treatment_response.evaluation.report.shown import Row, ShownTable, interval

AIM = 0.05
"""Half width of the interval that is asked for."""
Z = 1.959963984540054


def hanley_mcneil_se(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC of independent cases (Hanley and McNeil, Radiology 1982;143:29-36).

    Args:
        auc: in [0, 1]. positives, negatives: number of cases of either class, > 0.
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))


def lesions_for_half_width(auc: float, share: float, half_width: float = AIM) -> int:
    """Fewest independent lesions whose 95 % interval of the AUC reaches at most `half_width` to either side.

    Args:
        auc: expected. share: of the positive class, in (0, 1).
    """
    low, high = 2, 4
    while Z * hanley_mcneil_se(auc, high * share, high * (1 - share)) > half_width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = Z * hanley_mcneil_se(auc, middle * share, middle * (1 - share)) <= half_width
        low, high = (low, middle) if enough else (middle, high)
    return high


def sample_size_table(
    key: str,
    lesions: pd.DataFrame,
    intervals: Mapping[str, Mapping[str, Any]],
    names: Mapping[str, str],
    candidates: Mapping[str, int | None],
    notes: tuple[str, ...] = (),
) -> ShownTable:
    """Per method: lesions of the rarer class per candidate feature, interval, and the patients that ±0.05 would take.

    Args:
        key: start of the CSV's name.
        lesions: one row per lesion of the primary role with ``subject`` and ``label``.
        intervals: method → ``estimate, low, high`` of its AUC over patients. names: method → words.
        candidates: method → how many features it may choose from; None: not known, or it has no list of features.
        notes: to stand under it besides the assumptions.
    """
    rarer = int(lesions["label"].value_counts().reindex([0, 1], fill_value=0).min())
    patients, share = persons_of(lesions).nunique(), float(lesions["label"].mean())
    rows: list[Row] = []
    data = []
    for method, found in intervals.items():
        count = candidates.get(method)
        half = (found["high"] - found["low"]) / 2
        # The interval narrows with the root of the number of patients.
        needed = math.ceil(patients * (half / AIM) ** 2) if half > 0 else None
        independent = lesions_for_half_width(_inside(found["estimate"]), share) if 0 < share < 1 else None
        facts = {
            "method": method,
            "candidate_features": count,
            "rarer_class_per_feature": None if count is None else rarer / count,
            "auc": found["estimate"],
            "low": found["low"],
            "high": found["high"],
            "half_width": half,
            "patients_for_half_width_0.05": needed,
            "independent_lesions_for_half_width_0.05": independent,
        }
        data.append(facts)
        rows.append(
            (
                names.get(method, method),
                "none listed" if count is None else f"{count}",
                "" if count is None else f"{rarer / count:.2g}",
                interval(found),
                f"±{half:.2f}",
                "undefined" if needed is None else f"{needed}",
                "undefined" if independent is None else f"{independent}",
            )
        )
    assumptions = [
        "Patients for ±0.05: the observed interval over patients, narrowing with the root of their number; it assumes "
        "patients like these, as many lesions each, the same AUC and shares of the classes.",
        "Independent lesions for ±0.05: Hanley and McNeil’s standard error, normal approximation, "
        f"{share:.0%} response. Lesions of one patient are not independent, so this is a lower bound.",
        f"Lesions per feature: the {rarer} lesions of the rarer class divided by the features a method may choose "
        "from, before any filter. Selection happens inside each split; with fewer than about 10 per feature a "
        "selection is unstable, and which features it names should not be read as biology.",
        f"Knowing the share of response alone to ±0.05 takes {math.ceil((Z / AIM) ** 2 * share * (1 - share))} "
        "independent lesions (Riley et al., BMJ 2020;368:m441, first criterion).",
        *notes,
    ]
    columns = (
        "method",
        "candidate features",
        "rarer class per feature",
        "AUC [95 % interval]",
        "half width",
        "patients for ±0.05",
        "independent lesions for ±0.05",
    )
    caption = f"Sample size: {len(lesions)} lesions of {patients} patients, {rarer} lesions of the rarer class."
    return ShownTable(f"{key}_sample_size", caption, columns, rows, assumptions, pd.DataFrame(data))


def _inside(auc: float) -> float:
    """An AUC of 0 or 1 has no spread in the formula; a class is told apart equally well in both directions."""
    return float(np.clip(max(auc, 1 - auc), 0.5, 0.99))
