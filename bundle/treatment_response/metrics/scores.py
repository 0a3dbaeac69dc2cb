"""The six metrics of the paper's Table 1 and the Brier score, with the positive class named beside every number.

A model answers with P(response). Which class is *the finding* is a choice of whoever reads the numbers: the paper
counts response (class 1) as positive without saying so, in the clinic non-response (class 0) is what one looks for.
Both readings use the same decision, "response if P(response) >= threshold"; only the bookkeeping differs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as skm

from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.splits import PERSON, persons_of
from treatment_response.problems import DataProblem, Problem
from treatment_response.protocols import PROTOCOLS

METRICS = ("sensitivity", "specificity", "accuracy", "auc", "precision", "f1")
TRAINED = "train_mri2"
"""Role (i), the only one whose lesions were trained on."""
ROLES = {
    "external": "External validation: MRI 1 of another data set's patients",
    "external_patients": "External validation: patients of another data set",
    "heldout_after_mri2": "After MRI 2: both MRIs of held-out patients",
    **{role.name: role.title for protocol in PROTOCOLS.values() for role in protocol.roles},
}
HELD_OUT = "heldout_mri1"
"""The primary role."""
HELD_OUT_AFTER = "heldout_after_mri2"
"""The role of methods that see MRI 2 too."""
EXTERNAL, EXTERNAL_PATIENTS = "external", "external_patients"
"""The roles of patients of a data set that nothing was fitted on: PULSAR's, and other systems'."""
PREDICTION_COLUMNS = ("subject", "lesion", "session", "role", "fold", "label", "p_response")


@dataclass(frozen=True)
class BinaryMetrics:
    """The six metrics for one positive class.

    Attributes:
        positive: name of the class counted as positive.
        threshold: "response" is decided where P(response) >= threshold.
        n: number of lesions; positives: how many of them are truly of the positive class.
        sensitivity, specificity, accuracy, auc, precision, f1: in [0, 1], higher is better; NaN where undefined.
        brier: mean squared difference of probability and label, in [0, 1], lower is better; the same for both classes.
        undefined: metric → the reason why it is NaN.
    """

    positive: str
    threshold: float
    n: int
    positives: int
    sensitivity: float
    specificity: float
    accuracy: float
    auc: float
    precision: float
    f1: float
    brier: float
    undefined: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The numbers for JSON: an undefined metric is ``None`` (JSON has no NaN)."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in vars(self).items()}


def binary_metrics(
    labels: ArrayLike, p_response: ArrayLike, positive: int = 1, threshold: float = 0.5
) -> BinaryMetrics:
    """Compute the six metrics and the Brier score.

    Args:
        labels: (N,) true classes, 1 = response, 0 = non-response.
        p_response: (N,) predicted probabilities of response in [0, 1].
        positive: the class that counts as the finding, 0 or 1.
        threshold: response is decided where ``p_response >= threshold``, whichever class is positive.

    Raises:
        DataProblem: the inputs differ in length, or hold anything but 0/1 and finite probabilities.
    """
    y, p = _checked(labels, p_response)
    truth = (y == positive).astype(int)
    score = p if positive == 1 else 1.0 - p
    decided = ((p >= threshold) == (positive == 1)).astype(int)
    name, n, positives, calls = CLASS_NAMES[positive], len(y), int(truth.sum()), int(decided.sum())
    hits, rejections = int((truth & decided).sum()), int((1 - (truth | decided)).sum())
    none_positive = f"no lesion is truly {name}"
    none_negative = f"no lesion is truly {CLASS_NAMES[1 - positive]}"
    undefined: dict[str, str] = {}
    if n == 0:
        undefined = dict.fromkeys((*METRICS, "brier"), "there is no lesion")
    else:
        if positives == 0:
            undefined |= {"sensitivity": none_positive, "auc": none_positive}
        if positives == n:
            undefined |= {"specificity": none_negative, "auc": none_negative}
        if calls == 0:
            undefined["precision"] = f"no lesion is predicted {name}"
        if calls + positives == 0:
            undefined["f1"] = f"no lesion is truly or by prediction {name}"
    compute = {
        "sensitivity": lambda: hits / positives,
        "specificity": lambda: rejections / (n - positives),
        "accuracy": lambda: (hits + rejections) / n,
        "auc": lambda: skm.roc_auc_score(truth, score),
        "precision": lambda: hits / calls,
        "f1": lambda: 2 * hits / (calls + positives),
        "brier": lambda: np.mean((score - truth) ** 2),
    }
    values = {key: math.nan if key in undefined else float(call()) for key, call in compute.items()}
    return BinaryMetrics(name, threshold, n, positives, **values, undefined=undefined)


def lesion_averages(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per role and lesion: its probability averaged over the fitted models that scored it.

    A lesion counts once. In every role its mean is over equally many models: in cross-validation one model holds it out
    and four are trained on it, and a mean of four would look better than each of them. Role (i) therefore takes, for
    every model that held the lesion out, the next one that was trained on it. Where nothing was held out, all count.
    """
    check_predictions(predictions)
    keys = ["role", "subject", "lesion", "session"]
    person = {PERSON: (PERSON, "first")} if PERSON in predictions else {}
    return (
        _as_many_models(predictions)
        .groupby(keys, as_index=False, sort=True)
        .agg(label=("label", "first"), p_response=("p_response", "mean"), **person)
    )


def _as_many_models(predictions: pd.DataFrame) -> pd.DataFrame:
    """Without the rows of role (i) of models beyond the number that held the lesion out, or beyond one if none did."""
    table = with_model(predictions)
    trained = (table["role"] == TRAINED).to_numpy()
    if trained.all():
        return table
    rows = list(zip(zip(table["subject"], table["lesion"], strict=True), table["model"], trained, strict=True))
    held_out_by: dict[tuple[str, str], set[int]] = defaultdict(set)
    trained_by: dict[tuple[str, str], set[int]] = defaultdict(set)
    for lesion, model, is_trained in rows:
        (trained_by if is_trained else held_out_by)[lesion].add(model)
    chosen: set[tuple[tuple[str, str], int]] = set()
    for number, (lesion, models) in enumerate(sorted(trained_by.items())):
        left = sorted(models)
        # Lesions that nobody held out are dealt to the models in turn.
        after = sorted(held_out_by[lesion]) or [left[number % len(left) - 1]]
        for model in after[: len(left)]:
            following = next((each for each in left if each > model), left[0])
            left.remove(following)
            chosen.add((lesion, following))
    return table[[not is_trained or (lesion, model) in chosen for lesion, model, is_trained in rows]]


def with_model(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the column ``model``: cross-validation writes it, a single run is one fitted model."""
    return predictions if "model" in predictions else predictions.assign(model=0)


def primary_role(table: pd.DataFrame) -> str:
    """Held-out MRI 1 where there is one; else the next of `ROLES` from its end."""
    roles = set(table["role"])
    return next(role for role in reversed(ROLES) if role in roles)


def metrics_by_role(predictions: pd.DataFrame, threshold: float = 0.5) -> dict[str, dict[str, Any]]:
    """Role → n, patients, and the metrics with response and with non-response as the positive class.

    Args:
        predictions: the rows of ``predictions.csv`` (see docs/reference/files.md); lesions scored by several fitted
            models are averaged first.
    """
    lesions = lesion_averages(predictions)
    result: dict[str, dict[str, Any]] = {}
    for role, rows in lesions.groupby("role"):
        result[str(role)] = {
            "role": ROLES.get(str(role), str(role)),
            "n": len(rows),
            "patients": int(persons_of(rows).nunique()),
            "positive_response": binary_metrics(rows["label"], rows["p_response"], 1, threshold).as_dict(),
            "positive_non_response": binary_metrics(rows["label"], rows["p_response"], 0, threshold).as_dict(),
        }
    return result


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse a table that is not a ``predictions.csv``.

    Raises:
        DataProblem: columns are missing.
    """
    missing = [column for column in PREDICTION_COLUMNS if column not in predictions]
    if missing:
        raise DataProblem(
            Problem("predictions", f"columns missing: {', '.join(missing)}", "write it with evaluate.json's run")
        )


def _checked(labels: ArrayLike, p_response: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    y, p = np.asarray(labels).ravel(), np.asarray(p_response, dtype=float).ravel()
    if len(y) != len(p):
        raise DataProblem(Problem("metrics", f"{len(y)} labels for {len(p)} probabilities", "pass one per lesion"))
    if not np.isin(y, (0, 1)).all():
        raise DataProblem(Problem("metrics", "labels other than 0 and 1", "use 1 = response, 0 = non-response"))
    if not ((p >= 0) & (p <= 1)).all():
        raise DataProblem(
            Problem("metrics", "probabilities outside [0, 1] or not finite", "pass P(response), not a logit")
        )
    return y.astype(np.int64), p
