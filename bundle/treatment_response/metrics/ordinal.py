"""Ordered classes: how far from the truth a decision lies, and in which direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from treatment_response.classes import Classes
from treatment_response.metrics.class_scores import class_probabilities

FAR = 2
"""From so many steps on, calling the worst class a better one is listed case by case."""


def ordinal_errors(labels: ArrayLike, decided: ArrayLike, classes: Classes) -> NDArray[np.int64]:
    """Steps of the order from the truth to the decision: above 0 the decision is worse than the truth.

    Args:
        labels, decided: ``(N,)`` class numbers. classes: with an order.

    Returns:
        ``(N,)``, from −(K − 1) to K − 1.

    Raises:
        ValueError: the classes have no order.
    """
    if not classes.order:
        raise ValueError("these classes have no order")
    ranks = np.asarray(classes.ranks)
    return np.asarray(ranks[np.asarray(decided, dtype=int)] - ranks[np.asarray(labels, dtype=int)])


def far_misses(rows: pd.DataFrame, classes: Classes) -> list[dict[str, Any]]:
    """Cases of the worst class that were called at least `FAR` steps better; of RANO, PD called PR or CR.

    Args:
        rows: one per case: ``subject, case, label`` and the classes' columns. classes: with an order.

    Returns:
        Per case ``subject, case, truth, called, p_truth, p_called``, the surest first.

    Raises:
        ValueError: the classes have no order.
    """
    p = class_probabilities(rows, classes)
    decided, labels = p.argmax(axis=1), rows["label"].to_numpy(dtype=int)
    far = ordinal_errors(labels, decided, classes) <= -FAR
    worst = classes.names.index(classes.order[-1])
    found = [
        {
            "subject": str(rows["subject"].iloc[place]),
            "case": str(rows["case"].iloc[place]),
            "truth": classes.names[worst],
            "called": classes.names[decided[place]],
            "p_truth": float(p[place, worst]),
            "p_called": float(p[place, decided[place]]),
        }
        for place in np.flatnonzero(far & (labels == worst))
    ]
    return sorted(found, key=lambda one: (-one["p_called"], one["subject"], one["case"]))


def far_words(classes: Classes) -> str:
    """What `far_misses` lists, in words: ``PD called CR or PR``."""
    return f"{classes.order[-1]} called {' or '.join(classes.order[:-FAR])}"
