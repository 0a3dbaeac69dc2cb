"""Scores of K classes as statistics: the definitions of class_scores, the binary metrics as their special case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from treatment_response.classes import Classes
from treatment_response.metrics.bootstrap import auc, difference, metric, patient_bootstrap
from treatment_response.metrics.class_intervals import (
    CLASS_METRIC_NAMES,
    METRIC_NAMES,
    class_metric,
    one_class_metric,
)
from treatment_response.metrics.class_scores import class_scores

RATINGS = Classes(("PD", "SD", "PR", "CR"), "PD", "balanced_accuracy", ("CR", "PR", "SD", "PD"))
TWO = Classes(("effect", "recurrence"), "recurrence")


def table(classes: Classes, cases: int = 60, occurring: int | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, occurring or len(classes.names), cases)
    p = rng.dirichlet(np.ones(len(classes.names)), cases) + 0.3 * np.eye(len(classes.names))[labels]
    p /= p.sum(axis=1, keepdims=True)
    subjects = [f"sub-{number // 2:03d}" for number in range(cases)]
    return pd.DataFrame({"subject": subjects, "label": labels, **dict(zip(classes.columns, p.T, strict=True))})


@pytest.mark.parametrize("occurring", [4, 3], ids=["all-classes", "a-class-without-cases"])
def test_with_equal_weights_they_are_the_scores_themselves(occurring):
    cases = table(RATINGS, occurring=occurring)
    scores = class_scores(cases["label"], cases[list(RATINGS.columns)], RATINGS)
    once = np.ones((1, len(cases)))
    for name in METRIC_NAMES:
        assert class_metric(name, RATINGS)(cases, once)[0] == pytest.approx(scores[name], abs=1e-12)
    for index, of_class in enumerate(scores["classes"].values()):
        for name in CLASS_METRIC_NAMES:
            value = one_class_metric(name, RATINGS, index)(cases, once)[0]
            assert value == pytest.approx(np.nan if of_class[name] is None else of_class[name], abs=1e-12, nan_ok=True)


def test_whole_weights_are_repeated_cases():
    cases = table(RATINGS, 30)
    weights = np.random.default_rng(0).integers(1, 4, len(cases))
    repeated = cases.loc[np.repeat(cases.index, weights)]
    scores = class_scores(repeated["label"], repeated[list(RATINGS.columns)], RATINGS)
    for name in METRIC_NAMES:
        assert class_metric(name, RATINGS)(cases, weights[None].astype(float))[0] == pytest.approx(scores[name])


def test_two_classes_have_the_intervals_of_the_binary_metrics():
    cases = table(TWO)
    cases = cases.assign(p_response=cases["p_recurrence"])
    pairs = [
        (class_metric("auc", TWO), auc()),
        (class_metric("accuracy", TWO), metric("accuracy")),
        (one_class_metric("recall", TWO, 1), metric("sensitivity")),
        (one_class_metric("precision", TWO, 1), metric("precision")),
        (one_class_metric("f1", TWO, 1), metric("f1")),
    ]
    for of_classes, binary in pairs:
        first, second = (patient_bootstrap(cases, each, n=300).as_dict() for each in (of_classes, binary))
        assert first == pytest.approx(second)


def test_a_method_less_itself_is_nothing():
    cases = table(RATINGS)
    both = cases.assign(**{f"{name}_other": cases[name] for name in RATINGS.columns})
    for name in METRIC_NAMES:
        paired = difference(class_metric(name, RATINGS), class_metric(name, RATINGS, "_other"))
        found = patient_bootstrap(both, paired, n=50)
        assert (found.estimate, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-12)
