"""Several methods in one: the mean of their logits, trial by trial and lesion by lesion. Nothing is fitted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from treatment_response.evaluation.comparison.methods import FUSED, FUSION

SURE = 1e-7
"""A probability nearer to 0 or 1 than this is cut: written down with few digits it would have no logit."""


def fused(predictions: pd.DataFrame) -> pd.DataFrame:
    """The fusion's predictions.

    Args:
        predictions: rows of ``predictions.csv``, or of ``unlabelled_predictions.csv``, that hold all of ``FUSED``, on
            the same trials.

    Returns:
        Such rows: P(response) is the inverse logit of the parts' mean logit.
    """
    keys = [name for name in predictions if name not in ("method", "p_response")]
    parts = predictions[predictions["method"].isin(FUSED)]
    p = parts["p_response"].clip(SURE, 1 - SURE)
    logits = parts.assign(logit=np.log(p / (1 - p))).pivot(index=keys, columns="method", values="logit")
    mean = logits[list(FUSED)].mean(axis=1, skipna=False)
    result = (1 / (1 + np.exp(-mean))).rename("p_response").reset_index().assign(method=FUSION)
    # In the order of its parts, so that a table is the same however pandas sorts.
    order = parts.loc[parts["method"] == FUSED[0], keys]
    return order.merge(result, on=keys, validate="one_to_one")[list(predictions)]
