"""Change of features between MRI 1 and MRI 2."""

from __future__ import annotations

import numpy as np

from treatment_response.cohort.lesion import BASELINE, SECOND
from treatment_response.features.table import Feature, FeatureTable, Known

GROUP = "delta"
LIMIT = 100.0
"""A change is cut here: a first value near zero would make it any size."""


def delta_features(table: FeatureTable) -> FeatureTable:
    """The change of every feature from MRI 1 to MRI 2, relative to its size at MRI 1: (v₂ − v₁) / |v₁|.

    Args:
        table: a row per lesion and session.

    Returns:
        A row per lesion that has both sessions; features ``delta.<name>``, known after MRI 2, within ±100; no change is
        0, from zero too. NaN where one of the values is missing.
    """
    first, second = (table.at(session).values for session in (BASELINE, SECOND))
    both = first.index.intersection(second.index)
    before, after = first.loc[both], second.loc[both]
    with np.errstate(divide="ignore", invalid="ignore"):
        change = ((after - before) / before.abs()).clip(-LIMIT, LIMIT)
    change = change.mask(after == before, 0.0).add_prefix(f"{GROUP}.")
    features = tuple(Feature(f"{GROUP}.{item.name}", GROUP, Known.AFTER_MRI_2) for item in table.features)
    return FeatureTable(change, features)
