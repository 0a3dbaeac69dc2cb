"""The calibration and the conformal scores of fold models, from what each said of the lesions that it did not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from treatment_response.certainty import Calibration, Certainty, ClassScores, ConformalSets, scores_of
from treatment_response.classes import CLASS_NAMES
from treatment_response.cohort.splits import persons_of
from treatment_response.problems import DataProblem, Problem

LEVEL = 0.9
_DIGITS = 6


def fit_certainty(held_out: pd.DataFrame, level: float = LEVEL, seed: int = 0) -> Certainty:
    """Fit what a network's fold models need beside their weights.

    One logistic curve serves all fold models: each has too few held-out lesions for a curve of its own (some 60 of 300,
    a third of them non-response), and they are of one design, trained alike. It is not penalised.

    Args:
        held_out: one row per lesion: ``subject`` (and ``person``), ``fold``, ``label`` (1 response, 0 non-response) and
            ``logit``, by the fold model that was trained without it. Folds are counted from 0.
        level: of the conformal sets.
        seed: of the order in which the patients get their numbers, so that these tell nothing.

    Raises:
        DataProblem: a class or a fold is missing, or the logits do not rise with the label.
    """
    held_out = held_out.assign(logit=held_out["logit"].round(_DIGITS))
    folds = sorted(held_out["fold"].unique())
    if set(held_out["label"]) != {0, 1} or folds != list(range(len(folds))) or len(folds) < 2:
        what = "its held-out lesions are not of both classes, in folds 0, 1, …"
        raise DataProblem(Problem("calibration", what, "give all folds of one cross-validation"))
    logits = held_out[["logit"]].to_numpy()
    curve = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits, held_out["label"])
    slope = float(curve.coef_[0, 0])
    if slope <= 0:
        what = "the fold models do not tell the classes of held-out lesions apart"
        raise DataProblem(Problem("calibration", what, "calibrate a network that does"))
    names, persons = persons_of(held_out).unique(), np.random.default_rng(seed)
    numbers = dict(zip(persons.permutation(names), range(len(names)), strict=True))
    rows = held_out.assign(patient=persons_of(held_out).map(numbers)).sort_values(["patient", "logit"])
    return Certainty(
        Calibration(float(curve.intercept_[0]), slope, float(logits.min()), float(logits.max())),
        ConformalSets(level, tuple(_scores(rows[rows["fold"] == fold]) for fold in folds)),
    )


def _scores(rows: pd.DataFrame) -> dict[str, ClassScores]:
    found = {}
    for label, name in enumerate(CLASS_NAMES):
        own = rows[rows["label"] == label]
        scores = [scores_of(logit, CLASS_NAMES)[name] for logit in own["logit"]]
        found[name] = ClassScores(tuple(scores), tuple(int(patient) for patient in own["patient"]))
    return found
