"""Thresholds that other patients choose, exact intervals, and decision curves, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from treatment_response.classes import Classes
from treatment_response.metrics.net_benefit import decision_curve
from treatment_response.metrics.thresholds import (
    best_threshold,
    decided_at,
    exact_interval,
    held_out_decisions,
    operating_point,
)

CLASSES = Classes(("effect", "recurrence"), "recurrence")


def table(p: list[float], label: list[int], fold: list[int]) -> pd.DataFrame:
    subjects = [f"sub-{number:03d}" for number in range(len(p))]
    return pd.DataFrame({"subject": subjects, "label": label, "fold": fold, "p_recurrence": p}).assign(
        p_effect=lambda rows: 1 - rows["p_recurrence"]
    )


def test_the_best_threshold_lies_half_way_and_nearest_to_one_half() -> None:
    assert best_threshold([False, False, True, True], [0.1, 0.3, 0.7, 0.9]) == pytest.approx(0.5)
    assert best_threshold([False, True, True, False], [0.2, 0.6, 0.8, 0.1]) == pytest.approx(0.4)
    # Two thresholds are equally good, 0.15 and 0.45: the one nearer to one half.
    assert best_threshold([False, True, False, True], [0.1, 0.2, 0.4, 0.5]) == pytest.approx(0.45)
    with pytest.raises(ValueError, match="with the finding and cases without"):
        best_threshold([True, True], [0.1, 0.2])


def test_a_threshold_is_chosen_without_the_own_fold() -> None:
    """Fold 1 is large and its probabilities are lower: with it the threshold would be 0.2, without it 0.5."""
    p, label = [0.4, 0.6, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.4, 0.6], [0, 1, 0, 0, 0, 1, 1, 1, 0, 1]
    assert best_threshold(np.array(label) == 1, p) == pytest.approx(0.2)
    decided = held_out_decisions(table(p, label, [0, 0, 1, 1, 1, 1, 1, 1, 2, 2]), CLASSES)
    assert decided is not None
    np.testing.assert_allclose(decided["threshold"][2:8], 0.5)
    assert not decided["decided_finding"][2:8].any()
    np.testing.assert_allclose(decided["threshold"][:2], 0.2)
    rows = table([0.4, 0.6, 0.1, 0.3, 0.4, 0.6], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2])
    point = operating_point(decided_at(rows, CLASSES, 0.5), CLASSES)
    assert (point["sensitivity"]["hits"], point["sensitivity"]["n"]) == (2, 3)
    assert point["specificity"]["estimate"] == 1
    assert held_out_decisions(rows.assign(fold=rows["label"]), CLASSES) is None


def test_exact_intervals_are_clopper_and_pearsons() -> None:
    """RICE-NET's own test set: 11 of 12, 6 of 7, 5 of 5."""
    for hits, n, low, high in ((11, 12, 0.615, 0.998), (6, 7, 0.421, 0.996), (5, 5, 0.478, 1.0)):
        np.testing.assert_allclose(exact_interval(hits, n), (low, high), atol=5e-4)


def test_several_cases_of_a_patient_are_resampled_together() -> None:
    rows = table([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0], [0, 1, 0, 1])
    point = operating_point(decided_at(rows.assign(subject=["a", "a", "b", "c"]), CLASSES, 0.5), CLASSES)
    assert point["sensitivity"]["method"] == "patients resampled"
    assert point["specificity"]["method"] == "exact binomial"


def test_net_benefit_by_hand() -> None:
    """Ten cases, four of the finding; at 0.25 three true and two false positives."""
    truth = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
    p = np.array([0.9, 0.8, 0.3, 0.1, 0.6, 0.3, 0.2, 0.1, 0.1, 0.0])
    curve = decision_curve(truth, p, [0.25, 0.5])
    np.testing.assert_allclose(curve.model, [0.3 - 0.2 / 3, 0.2 - 0.1])
    np.testing.assert_allclose(curve.everybody, [0.4 - 0.6 / 3, 0.4 - 0.6])
    with pytest.raises(ValueError, match="between 0 and 1"):
        decision_curve(truth, p, [1.0])
