"""Calibration of K classes, each against the rest: slope, calibration in the large, and the classwise error.

As for two classes, what is scored is the probability of one fitted model, and a case's models together weigh as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from treatment_response.classes import Classes
from treatment_response.cohort.case import with_case
from treatment_response.evaluation.calibration_scores import (
    intercept_in_the_large,
    recalibration,
    reliability,
    single_model_rows,
)
from treatment_response.metrics.bootstrap import Statistic, patient_bootstrap
from treatment_response.metrics.class_scores import class_probabilities

CALIBRATION_WORDS = (
    "Slope 1 and intercept 0 are perfect: a slope below 1 is too sure of itself, an intercept above 0 says that the "
    "class came more often than was said. The error is the mean distance of what was said and what came, over five "
    "groups of cases of about equal number (classwise expected calibration error)."
)


def class_calibration(
    predictions: pd.DataFrame, classes: Classes, methods: Sequence[str], resamples: int = 1000
) -> dict[str, dict[str, Any]]:
    """Method → class → its calibration against the rest.

    Args:
        predictions: rows of a comparison's ``predictions.csv``, of one role.
    """
    return {
        method: calibration_by_class(predictions[predictions["method"] == method], classes, resamples)
        for method in methods
    }


def calibration_by_class(predictions: pd.DataFrame, classes: Classes, resamples: int = 1000) -> dict[str, Any]:
    """Calibration of each class's probability, the class against the rest.

    Args:
        predictions: one row per case and fitted model, of one role.

    Returns:
        Class → ``slope`` of the logistic regression of the class on the logit of its probability and ``intercept`` with
        that slope fixed at 1, each with its interval over patients; ``error``, the class's expected calibration error;
        ``reliability``: per group of cases ``n``, ``predicted`` and ``observed``. A class without cases has None.

    References:
        Van Calster et al., J Clin Epidemiol 74 (2016) 167; Kull et al., NeurIPS 2019 (classwise ECE).
    """
    table = with_case(predictions)
    p = class_probabilities(table, classes)
    found: dict[str, Any] = {}
    for index, name in enumerate(classes.names):
        rows = _against_rest(table, p[:, index], index)
        if rows["label"].nunique() < 2:
            found[name] = None
            continue
        groups = reliability(rows)
        found[name] = {
            "slope": _interval(rows, partial(recalibration, coefficient=1), resamples),
            "intercept": _interval(rows, intercept_in_the_large, resamples),
            "error": expected_error(groups),
            "reliability": groups,
        }
    return found


def expected_error(groups: Sequence[Mapping[str, float]]) -> float:
    """Mean distance of the predicted and the observed share over groups of cases, weighted by their size."""
    total = sum(group["n"] for group in groups)
    return sum(group["n"] * abs(group["predicted"] - group["observed"]) for group in groups) / total


def _against_rest(table: pd.DataFrame, probability: Any, index: int) -> pd.DataFrame:
    """The rows as `calibration_scores` reads those of two classes, the class as the second."""
    session = table.get("session", "")
    rows = table.assign(
        lesion=table["case"], session=session, p_response=probability, label=(table["label"] == index).astype(int)
    )
    return single_model_rows(rows, str(rows["role"].iloc[0]))


def _interval(rows: pd.DataFrame, values: Any, resamples: int) -> dict[str, Any]:
    return patient_bootstrap(rows, Statistic(values), n=resamples).as_dict()
