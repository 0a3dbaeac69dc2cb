"""The methods of the comparison that work on features, each one pipeline fitted on training lesions only."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from treatment_response.evaluation.classical.columns import GroupColumns
from treatment_response.evaluation.classical.ensemble import EnsembleSelection
from treatment_response.evaluation.classical.platt import PlattClassifier
from treatment_response.evaluation.classical.selection import (
    ColumnFilter,
    CorrelationFilter,
    L1Selection,
    MedianFill,
    MinRedundancyMaxRelevance,
    RobustnessFilter,
    VarianceFilter,
)
from treatment_response.features.clinical import CLINICAL_GROUP, SIZE_GROUP
from treatment_response.features.deltas import GROUP as DELTA_GROUP
from treatment_response.features.gradients import GROUP as GRADIENT_GROUP
from treatment_response.features.radiomics import DOSE_GROUP, RADIOMICS_GROUP
from treatment_response.features.table import Known
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class FeatureModel:
    """A model on some groups of features.

    Attributes:
        groups: whose columns it takes.
        known: when everything it takes is known; columns known later are never taken.
        few: a handful of columns, all used by a logistic regression; others are filtered, selected and given to an SVM.
    """

    groups: tuple[str, ...]
    known: Known = Known.BEFORE_TREATMENT
    few: bool = False


FEATURE_MODELS = {
    "size": FeatureModel((SIZE_GROUP,), few=True),
    "clinical": FeatureModel((CLINICAL_GROUP,), few=True),
    "radiomics": FeatureModel((RADIOMICS_GROUP,)),
    "gradient": FeatureModel((GRADIENT_GROUP,)),
    "dose": FeatureModel((DOSE_GROUP,)),
    "ensemble": FeatureModel((RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP)),
    "size-after-mri2": FeatureModel((SIZE_GROUP,), Known.AFTER_MRI_2, few=True),
    "delta": FeatureModel((DELTA_GROUP,), Known.AFTER_MRI_2),
    "ensemble-after-mri2": FeatureModel((RADIOMICS_GROUP, GRADIENT_GROUP, DOSE_GROUP, DELTA_GROUP), Known.AFTER_MRI_2),
}


def build(
    method: str,
    seed: int,
    *,
    selection: str = "mrmr",
    count: int = 10,
    ratings: pd.DataFrame | None = None,
    least_icc: float = 0.75,
) -> Pipeline:
    """An unfitted model: ``fit(X, y)`` and ``predict_proba(X)`` with X a data frame of features, y 1 = response.

    Everything is learnt from the lesions given to ``fit``: medians for missing values, which columns are constant,
    not robust or alike, the selection, scaling, the SVM and its Platt curve (whose inner folds repeat the selection).
    X may hold more columns than the method takes. Rows indexed by ``subject`` keep a
    patient's lesions in one inner fold.

    Args:
        method: of ``FEATURE_MODELS``.
        seed: of everything random; the same seed and data give the same numbers.
        selection: ``mrmr`` or ``l1``; the ensemble uses both.
        count: features of the model at most; never more than one per five training lesions.
        ratings: of `features.robustness.perturbed_features`, for the ICC filter; without it nothing is left out for it.
        least_icc: the lowest ICC(2,1) that stays.

    Raises:
        DataProblem: an unknown method or selection. In ``fit``: labels of one class, or a table without the groups.
    """
    if method not in FEATURE_MODELS:
        raise DataProblem(Problem("--methods", f"{method} is unknown", f"choose from {', '.join(FEATURE_MODELS)}"))
    chosen = FEATURE_MODELS[method]
    steps: list[tuple[str, Any]] = [
        ("columns", GroupColumns(chosen.groups, chosen.known)),
        ("fill", MedianFill()),
        ("variance", VarianceFilter()),
    ]
    if chosen.few:
        # Volumes span three decades; the logarithm leaves doses and counts in order.
        logarithm = FunctionTransformer(_signed_log)
        model = Pipeline([("log", logarithm), ("scale", StandardScaler()), ("logistic", LogisticRegression())])
    else:
        if ratings is not None:
            steps.append(("robustness", RobustnessFilter(ratings, least_icc)))
        steps.append(("correlation", CorrelationFilter()))
        svm = SVC(kernel="linear", class_weight="balanced", random_state=seed)
        selector = _selector(selection, len(chosen.groups) > 1, count, seed)
        model = Pipeline([("select", selector), ("scale", StandardScaler()), ("svm", svm)])
    return Pipeline([*steps, ("model", PlattClassifier(model, seed=seed))])


def chosen_features(fitted: Pipeline) -> pd.DataFrame:
    """What a fitted pipeline looks at.

    Returns:
        ``feature``, ``weight`` (of the standardised value, positive speaks for response) and ``importance`` (its share
        of the sum of weights' sizes), largest first; empty if the model is the prevalence.
    """
    inner = fitted["model"].estimator_
    if inner is None:
        return pd.DataFrame({"feature": [], "weight": [], "importance": []})
    names = inner["select"].kept_ if "select" in inner.named_steps else list(inner.feature_names_in_)
    weight = inner[-1].coef_[0]
    total = float(np.abs(weight).sum())
    importance = np.abs(weight) / total if total else np.zeros(len(names))
    table = pd.DataFrame({"feature": names, "weight": weight, "importance": importance})
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def describe(model: Pipeline) -> list[dict[str, Any]]:
    """What a pipeline is made of, in order: each step's ``name`` and its ``settings``.

    Of scikit-learn's own steps only the settings that are not its defaults, and the penalty ``C``.
    """
    found: list[dict[str, Any]] = []
    for _, step in model.steps:
        settings = step.get_params(deep=False)
        inner = settings.pop("estimator", None)
        if isinstance(inner, Pipeline):
            found += describe(inner)
        defaults = {name: item.default for name, item in signature(type(step)).parameters.items()}
        if type(step).__module__.startswith("sklearn."):
            settings = {key: value for key, value in settings.items() if key == "C" or value is not defaults[key]}
        said = {key: _said(value) for key, value in settings.items() if key not in ("ratings", "seed", "random_state")}
        found.append({"name": type(step).__name__, "settings": said})
    return found


def _said(value: Any) -> Any:
    """A setting as JSON can say it."""
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    return value.__name__.lstrip("_") if callable(value) else value


def notes(fitted: Pipeline) -> list[str]:
    """What a reader must know of a fitted pipeline: fallbacks taken and groups that were not there."""
    found = [getattr(step, "note_", "") for _, step in fitted.steps]
    return [note for note in found if note]


def _selector(selection: str, several: bool, count: int, seed: int) -> ColumnFilter:
    if several:
        return EnsembleSelection(count, seed=seed)
    selectors = {"mrmr": MinRedundancyMaxRelevance(count), "l1": L1Selection(count, seed=seed)}
    if selection not in selectors:
        raise DataProblem(Problem("selection", f"{selection} is unknown", f"choose from {', '.join(selectors)}"))
    return selectors[selection]


def _signed_log(values: pd.DataFrame) -> pd.DataFrame:
    return np.sign(values) * np.log1p(np.abs(values))
