"""The calibration and the conformal scores of fold models, from what each said of the lesions that it did not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from treatment_response.certainty import (
    Calibration,
    Certainty,
    ClassScores,
    ConformalSets,
    TemperatureCalibration,
    class_scores_of,
    top_log_odds,
)
from treatment_response.classes import RESPONSE, Classes
from treatment_response.cohort.splits import persons_of
from treatment_response.problems import DataProblem, Problem

LEVEL = 0.9
_DIGITS = 6
_MOST_LOG = 7.0
"""Logarithm of the largest temperature that is tried, and minus that of the smallest."""


def fit_certainty(
    held_out: pd.DataFrame, level: float = LEVEL, seed: int = 0, classes: Classes = RESPONSE
) -> Certainty:
    """Fit what a network's fold models need beside their weights.

    One curve serves all fold models: each has too few held-out cases for a curve of its own (PULSAR's some 60 of 300, a
    third of them non-response), and they are of one design, trained alike. A network with one logit gets a logistic
    curve, which is not penalised; one with K logits gets a temperature of least cross-entropy.

    Args:
        held_out: one row per case: ``subject`` (and ``person``), ``fold``, ``label`` (number of its class), and by the
            fold model that was trained without it ``logit`` or one ``logit_<class>`` per class. Folds count from 0.
        level: of the conformal sets.
        seed: of the order in which the patients get their numbers, so that these tell nothing.
        classes: what the labels are numbers of.

    Raises:
        DataProblem: a class or a fold is missing, or the logits do not rise with the label.
    """
    columns = ["logit"] if "logit" in held_out else [name.replace("p_", "logit_", 1) for name in classes.columns]
    held_out = held_out.assign(**{name: held_out[name].round(_DIGITS) for name in columns})
    folds = sorted(held_out["fold"].unique())
    expected = set(range(len(classes.names)))
    if set(held_out["label"]) != expected or folds != list(range(len(folds))) or len(folds) < 2:
        every = "both" if len(expected) == 2 else f"all {len(expected)}"
        what = f"its held-out cases are not of {every} classes, in folds 0, 1, …"
        raise DataProblem(Problem("calibration", what, "give all folds of one cross-validation"))
    logits, label = held_out[columns].to_numpy(), held_out["label"].to_numpy()
    curve = _logistic(logits, label) if len(columns) == 1 else _temperature(logits, label)
    names, persons = persons_of(held_out).unique(), np.random.default_rng(seed)
    numbers = dict(zip(persons.permutation(names), range(len(names)), strict=True))
    rows = held_out.assign(patient=persons_of(held_out).map(numbers)).sort_values(["patient", *columns])
    of_folds = tuple(_scores(rows[rows["fold"] == fold], columns, classes) for fold in folds)
    return Certainty(curve, ConformalSets(level, of_folds))


def _logistic(logits: NDArray[np.float64], label: NDArray[np.int64]) -> Calibration:
    curve = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits, label)
    slope = float(curve.coef_[0, 0])
    if slope <= 0:
        raise _not_apart()
    return Calibration(float(curve.intercept_[0]), slope, float(logits.min()), float(logits.max()))


def _temperature(logits: NDArray[np.float64], label: NDArray[np.int64]) -> TemperatureCalibration:
    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(label)), label]))

    best = minimize_scalar(loss, bounds=(-_MOST_LOG, _MOST_LOG), method="bounded", options={"xatol": 1e-6})
    if loss(best.x) >= np.log(logits.shape[1]):  # no better than the same probability for every class
        raise _not_apart()
    tops = [top_log_odds(row) for row in logits.tolist()]
    return TemperatureCalibration(float(np.exp(best.x)), min(tops), max(tops))


def _not_apart() -> DataProblem:
    what = "the fold models do not tell the classes of held-out cases apart"
    return DataProblem(Problem("calibration", what, "calibrate a network that does"))


def _scores(rows: pd.DataFrame, columns: list[str], classes: Classes) -> dict[str, ClassScores]:
    found = {}
    for label, name in enumerate(classes.names):
        own = rows[rows["label"] == label]
        scores = [class_scores_of(logits, classes.names)[name] for logits in own[columns].to_numpy().tolist()]
        found[name] = ClassScores(tuple(scores), tuple(int(patient) for patient in own["patient"]))
    return found
