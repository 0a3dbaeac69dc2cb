"""Scores of ordered classes: a four-class table worked by hand, scikit-learn, and what no order allows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as skm
from treatment_response.classes import Classes, classes_of
from treatment_response.evaluation.class_calibration import calibration_by_class, expected_error
from treatment_response.metrics.bootstrap import patient_bootstrap
from treatment_response.metrics.class_intervals import class_metric, metric_names, spread_over_models
from treatment_response.metrics.class_scores import class_scores
from treatment_response.metrics.ordinal import far_misses, far_words, ordinal_errors

ORDER = ("CR", "PR", "SD", "PD")
# The numbers of the classes are in no order on purpose: places in the order go by name.
CLASSES = Classes(("SD", "CR", "PD", "PR"), "PD", "balanced_accuracy", ORDER)
TRUTH = ["PD", "PD", "PD", "PD", "SD", "SD", "PR", "CR"]
CALLED = ["PD", "PR", "CR", "SD", "SD", "PD", "SD", "CR"]


def table(truth: list[str] = TRUTH, called: list[str] = CALLED, classes: Classes = CLASSES) -> pd.DataFrame:
    """One case per patient, called with P = 0.7."""
    numbers = [classes.names.index(name) for name in called]
    p = np.full((len(called), 4), 0.1) + 0.6 * np.eye(4)[numbers]
    rows = {"subject": [f"sub-{n}" for n in range(len(truth))], "case": "week-010", "role": "held_out", "session": "1"}
    labels = [classes.names.index(name) for name in truth]
    return pd.DataFrame({**rows, "label": labels, **dict(zip(classes.columns, p.T, strict=True))})


def test_the_ordinal_error_by_hand_is_positive_where_the_answer_is_worse() -> None:
    # Steps: 0, −2, −3, −1, 0, +1, +1, 0.
    labels, decided = ([CLASSES.names.index(name) for name in names] for names in (TRUTH, CALLED))
    assert ordinal_errors(labels, decided, CLASSES).tolist() == [0, -2, -3, -1, 0, 1, 1, 0]
    rows = table()
    scores = class_scores(rows["label"], rows[list(CLASSES.columns)], CLASSES)
    assert scores["ordinal_error"] == pytest.approx(-4 / 8)
    interval = patient_bootstrap(rows, class_metric("ordinal_error", CLASSES), n=300)
    assert interval.estimate == pytest.approx(-0.5)
    assert -3 < interval.low < -0.5 < interval.high < 3


def test_the_quadratic_kappa_is_scikit_learns_in_the_declared_order() -> None:
    rows = table()
    ranks = [[ORDER.index(name) for name in names] for names in (TRUTH, CALLED)]
    expected = skm.cohen_kappa_score(*ranks, weights="quadratic")
    other = skm.cohen_kappa_score(rows["label"], rows[list(CLASSES.columns)].to_numpy().argmax(1), weights="quadratic")
    assert abs(expected - other) > 0.1  # the numbers of the classes would give another one
    own = class_scores(rows["label"], rows[list(CLASSES.columns)], CLASSES)
    assert own["quadratic_kappa"] == pytest.approx(expected)
    assert class_metric("quadratic_kappa", CLASSES)(rows, np.ones((1, 8)))[0] == pytest.approx(expected)
    assert (
        own["balanced_accuracy"]
        == pytest.approx(skm.balanced_accuracy_score(TRUTH, CALLED))
        == (1 / 4 + 1 / 2 + 0 + 1) / 4
    )


def test_progressive_disease_called_a_response_is_listed_case_by_case() -> None:
    assert far_words(CLASSES) == "PD called CR or PR"
    found = far_misses(table(), CLASSES)
    assert [(one["subject"], one["called"]) for one in found] == [("sub-1", "PR"), ("sub-2", "CR")]
    assert found[0]["p_called"] == pytest.approx(0.7)
    assert found[0]["p_truth"] == pytest.approx(0.1)


def test_without_a_declared_order_nothing_is_guessed() -> None:
    plain = Classes(CLASSES.names, "PD", "balanced_accuracy")
    assert not {"quadratic_kappa", "ordinal_error"} & set(metric_names(plain))
    rows = table()
    scores = class_scores(rows["label"], rows[list(plain.columns)], plain)
    assert (scores["quadratic_kappa"], scores["ordinal_error"]) == (None, None)
    for call in (lambda: class_metric("quadratic_kappa", plain), lambda: ordinal_errors([0], [1], plain)):
        with pytest.raises(ValueError, match=r"quadratic_kappa|no order"):
            call()
    assert "quadratic_kappa" in metric_names(Classes(("a", "b"), "a"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": ["CR", "PR", "SD"]}, "each class once"),
        ({"order": ["CR", "PR", "SD", "SD"]}, "each class once"),
        ({"order": "CR"}, "no list"),
        ({"order": [], "primary_metric": "quadratic_kappa"}, "needs the order"),
        ({"primary_metric": "ordinal_error"}, "no primary metric"),
    ],
)
def test_an_order_that_cannot_be_used_is_refused(changes: dict, message: str) -> None:
    assert classes_of(CLASSES.content()) == CLASSES
    with pytest.raises(ValueError, match=message):
        classes_of({**CLASSES.content(), **changes})


def test_mean_sd_and_median_over_folds_stand_beside_the_pooled_number() -> None:
    rows = table().assign(model=[0, 0, 0, 1, 1, 1, 2, 2])
    found = spread_over_models(rows, CLASSES)["accuracy"]
    assert found["values"] == pytest.approx([1 / 3, 1 / 3, 1 / 2])
    assert found["median"] == pytest.approx(1 / 3)
    assert found["mean"] == pytest.approx(np.mean([1 / 3, 1 / 3, 1 / 2]))
    assert found["sd"] == pytest.approx(np.std([1 / 3, 1 / 3, 1 / 2], ddof=1))


def test_calibration_of_a_class_sees_who_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.2, (900, 4))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = [rng.choice(4, p=row) for row in true]
    rows = pd.DataFrame(
        {"subject": [f"s{n}" for n in range(900)], "case": "c", "role": "held_out", "session": "", "label": labels}
    )
    for sharper, slope in ((1.0, 1.0), (2.0, 0.5)):
        p = np.exp(sharper * logits) / np.exp(sharper * logits).sum(1, keepdims=True)
        found = calibration_by_class(rows.assign(**dict(zip(CLASSES.columns, p.T, strict=True))), CLASSES, 100)
        slopes = [found[name]["slope"]["estimate"] for name in CLASSES.names]
        assert np.mean(slopes) == pytest.approx(slope, abs=0.12)
        errors = [found[name]["error"] for name in CLASSES.names]
        assert (max(errors) < 0.05) if sharper == 1.0 else (min(errors) > 0.05)
    assert expected_error(
        [{"n": 3, "predicted": 0.5, "observed": 0.2}, {"n": 1, "predicted": 0.9, "observed": 1.0}]
    ) == (pytest.approx((3 * 0.3 + 0.1) / 4))
    no_cr = calibration_by_class(table(TRUTH[:7], CALLED[:7]), CLASSES, 20)
    assert no_cr["CR"] is None


def test_intervals_of_the_ordinal_error_hold_the_truth() -> None:
    rng = np.random.default_rng(0)
    score = class_metric("ordinal_error", CLASSES)
    confusion = np.array([[0.6, 0.2, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1], [0.1, 0.2, 0.5, 0.2], [0.1, 0.1, 0.2, 0.6]])
    share = np.array([0.1, 0.1, 0.3, 0.5])  # of CR, PR, SD, PD
    truth = float((share[:, None] * confusion * (np.arange(4) - np.arange(4)[:, None])).sum())
    inside = 0
    for _ in range(120):
        ranks = rng.choice(4, 70, p=share)
        called = [rng.choice(4, p=confusion[rank]) for rank in ranks]
        names = [[ORDER[rank] for rank in each] for each in (ranks, called)]
        rows = table(*names).assign(subject=[f"s{number // 2}" for number in range(70)])
        interval = patient_bootstrap(rows, score, n=150)
        inside += interval.low <= truth <= interval.high
    assert 0.88 <= inside / 120 <= 1.0
