"""Probabilities from a classifier's decision values, learnt inside the training split alone (Platt scaling)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from treatment_response.evaluation.classical.selection import as_frame
from treatment_response.problems import DataProblem, Problem

LEAST_SLOPE = 1e-3
"""Decision values that do not separate held-out training lesions keep their order but move no probability."""


class PlattClassifier(ClassifierMixin, BaseEstimator):
    """A classifier with a decision function and, on top, P(response) by Platt scaling.

    The logistic curve is fitted to decision values of training lesions that the classifier (with its feature selection)
    did not see: folds inside the training split, by patient where the rows name patients. Its slope is never negative:
    on small samples held-out folds are easily ordered the wrong way round, and turning the final model's order for that
    would be overfitting the calibration.

    Fallbacks, each with a sentence in ``note_``: without any feature, or with fewer than two lesions in a class, every
    lesion gets the prevalence of the training lesions.

    Args:
        estimator: a scikit-learn classifier with ``decision_function``.
        folds: inside the training split; fewer if a class has fewer lesions.
        seed: of the folds.

    References:
        Platt, Advances in Large Margin Classifiers (1999) 61.
    """

    def __init__(self, estimator: Any, folds: int = 5, seed: int = 0) -> None:
        self.estimator = estimator
        self.folds = folds
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: Any) -> Self:
        """Fit the classifier and its curve.

        Args:
            X: ``(lesions, features)``, named, no value missing; may have no column.
            y: 1 = response, 0 = non-response.

        Raises:
            DataProblem: the labels are of one class, or something else than 0 and 1.
        """
        labels = _labels(y)
        self.classes_ = np.array([0, 1])
        self.prevalence_ = float(labels.mean())
        self.estimator_, self.note_ = None, ""
        fewest = int(np.bincount(labels, minlength=2).min())
        if not as_frame(X).shape[1]:
            self.note_ = "no feature was left: every lesion gets the training prevalence"
        elif fewest < 2:
            self.note_ = "one training lesion in a class: every lesion gets the training prevalence"
        else:
            decisions, known = self._held_out_decisions(X, labels, fewest)
            self.estimator_ = clone(self.estimator).fit(X, labels)
            self._fit_curve(decisions[known], labels[known])
        return self

    def decision_function(self, X: pd.DataFrame) -> np.ndarray:
        """Log odds of response, ``(lesions,)``."""
        if self.estimator_ is None:
            return np.full(len(X), _logit(self.prevalence_))
        result: np.ndarray = self.intercept_ + self.slope_ * self.estimator_.decision_function(X)
        return result

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """``(lesions, 2)``: P(non-response), P(response)."""
        response = 1.0 / (1.0 + np.exp(-self.decision_function(X)))
        return np.stack([1.0 - response, response], axis=1)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """1 where P(response) is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(int)

    def _held_out_decisions(self, X: pd.DataFrame, labels: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
        named = "subject" in X.index.names
        patients = X.index.get_level_values("subject") if named else np.arange(len(X))
        folds = min(self.folds, fewest, len(np.unique(patients)))
        decisions, known = np.zeros(len(X)), np.zeros(len(X), dtype=bool)
        if folds < 2:
            return decisions, known
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed)
        for train, held in splitter.split(X, labels, patients):
            if len(np.unique(labels[train])) == 2:
                decisions[held] = (
                    clone(self.estimator).fit(X.iloc[train], labels[train]).decision_function(X.iloc[held])
                )
                known[held] = True
        return decisions, known

    def _fit_curve(self, decisions: np.ndarray, labels: np.ndarray) -> None:
        self.slope_, self.intercept_ = LEAST_SLOPE, _logit(self.prevalence_)
        spread = float(decisions.std()) if len(decisions) else 0.0
        if len(np.unique(labels)) == 2 and spread > 0:
            # Scaled, so that the curve's mild penalty, which keeps separable data finite, is the same for all models.
            curve = LogisticRegression().fit((decisions / spread)[:, None], labels)
            slope = float(curve.coef_[0, 0]) / spread
            if slope > LEAST_SLOPE:
                self.slope_, self.intercept_ = slope, float(curve.intercept_[0])
                return
        self.note_ = "held-out training lesions are not separated: probabilities stay at the prevalence"


def _labels(y: Any) -> np.ndarray:
    values = np.asarray(y)
    if not np.isin(values, [0, 1]).all():
        raise DataProblem(Problem("labels", "a label is neither 0 nor 1", "1 is response, 0 is non-response"))
    labels = values.astype(int)
    if len(np.unique(labels)) < 2:
        found = "none" if not len(labels) else f"all {len(labels)} are {'response' if labels[0] else 'non-response'}"
        what = f"training needs lesions of both classes, {found}"
        raise DataProblem(Problem("labels", what, "use more patients, or another --threshold"))
    return labels


def _logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))
