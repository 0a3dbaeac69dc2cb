"""Training minus held-out: (i) − (ii) of the same fitted models, and what is left of it after shuffled labels' own.

(i) scores MRI 2 of the lesions that a model was trained on, (ii) MRI 2 of lesions that it has not seen. The difference
is not a leak by itself: every model fits its training lesions better, clinical facts that are the same at both MRIs
included. Models trained on shuffled labels have the same difference without anything to learn. What the true labels'
difference exceeds it by is called what recognising a lesion is worth.

Both roles are scored inside each fitted model, and the AUCs are averaged over the models. No two models' scores are
compared, and no mean of several models stands against a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from treatment_response.metrics.bootstrap import (
    Rows,
    Statistic,
    Weights,
    difference,
    patient_bootstrap,
    ratio,
    weighted_auc,
)
from treatment_response.metrics.intervals import SHARE, Interval
from treatment_response.metrics.scores import TRAINED, with_model

HELD_OUT_MRI2 = "heldout_mri2"
TRUE, SHUFFLED = "true", "shuffled"
"""Labels that a row's model was trained on and is scored with."""
GAP_PARTS = ("true", "shuffled", "recognition")
"""Of `TrainingGap`, in the order of the tables."""


@dataclass(frozen=True)
class TrainingGap:
    """AUC (i) − (ii) of one method.

    Attributes:
        true: with the true labels. shuffled: with shuffled labels; None without such a run.
        recognition: `true` − `shuffled` on the same resampled patients; None without such a run.
    """

    true: Interval
    shuffled: Interval | None
    recognition: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what was not computed is ``None``."""
        return {name: None if value is None else value.as_dict() for name, value in vars(self).items()}


def training_gap(
    predictions: pd.DataFrame, shuffled: Sequence[pd.DataFrame] = (), resamples: int = 2000
) -> TrainingGap | None:
    """AUC (i) − (ii) with intervals over patients, or None where the predictions have not both roles.

    Args:
        predictions: rows of ``predictions.csv`` of one method.
        shuffled: the same of runs with shuffled labels, on the same patients.
        resamples: of patients, for each interval.
    """
    true = _labelled(TRUE, [predictions])
    if not {TRAINED, HELD_OUT_MRI2} <= set(true["role"]):
        return None
    found = patient_bootstrap(true, _gap(TRUE), n=resamples)
    null = _labelled(SHUFFLED, shuffled)
    if not {TRAINED, HELD_OUT_MRI2} <= set(null["role"]):
        return TrainingGap(found, None, None)
    both = pd.concat([true, null], ignore_index=True)
    return TrainingGap(
        found,
        patient_bootstrap(null, _gap(SHUFFLED), n=resamples),
        patient_bootstrap(both, difference(_gap(TRUE), _gap(SHUFFLED)), n=resamples),
    )


def within_models(role: str, labels: str = TRUE) -> Statistic:
    """AUC inside each fitted model for the rows of `role`, averaged over the models where it is defined.

    Needs the columns ``role``, ``labels`` and ``model`` (which fitted model gave the row).
    """

    def chosen(frame: pd.DataFrame) -> Rows:
        rows: Rows = ((frame["role"] == role) & (frame["labels"] == labels)).to_numpy()
        return rows

    def values(frame: pd.DataFrame, weights: Weights) -> NDArray[np.float64]:
        places = np.flatnonzero(chosen(frame))
        total, models = np.zeros(len(weights)), np.zeros(len(weights))
        for rows in frame["model"].iloc[places].groupby(frame["model"]).indices.values():
            part = frame.iloc[places[rows]]
            area = weighted_auc(part["label"].to_numpy(), part["p_response"].to_numpy(), weights[:, places[rows]])
            total, models = total + np.nan_to_num(area), models + ~np.isnan(area)
        return ratio(total, models)

    def classes(frame: pd.DataFrame) -> list[Rows]:
        return [chosen(frame) & (frame["label"] == label).to_numpy() for label in (0, 1)]

    return Statistic(values, classes, SHARE, within_classes=True)


def _gap(labels: str) -> Statistic:
    return difference(within_models(TRAINED, labels), within_models(HELD_OUT_MRI2, labels))


def _labelled(labels: str, runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of roles (i) and (ii); models of different runs get different names."""
    columns = pd.DataFrame(columns=["role", "model", "labels"])
    parts = [
        run.assign(labels=labels, model=[f"{number} {model}" for model in run["model"]])
        for number, run in enumerate(map(with_model, runs))
    ]
    table = pd.concat(parts, ignore_index=True) if parts else columns
    return table[table["role"].isin([TRAINED, HELD_OUT_MRI2])]
