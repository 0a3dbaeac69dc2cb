"""Scores of K classes, by hand and against the two-class scores; tables of every age are read."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from treatment_response.classes import RESPONSE, Classes, classes_of, read_classes
from treatment_response.cohort.case import case_of, read_cases, with_case
from treatment_response.metrics.class_scores import class_probabilities, class_scores, class_scores_by_role
from treatment_response.metrics.scores import binary_metrics
from treatment_response.problems import DataProblem

RATINGS = Classes(("PD", "SD", "PR", "CR"), "PD", "balanced_accuracy", ("CR", "PR", "SD", "PD"))
LABELS = [0, 0, 0, 0, 1, 1, 2, 3]
DECIDED = [0, 0, 0, 1, 1, 3, 2, 1]


def sure(decided: list[int], p: float = 0.7, count: int = 4) -> np.ndarray:
    """Probabilities with p for the decided class and the rest shared out evenly."""
    made = np.full((len(decided), count), (1 - p) / (count - 1))
    made[np.arange(len(decided)), decided] = p
    return made


def test_four_classes_by_hand():
    found = class_scores(LABELS, sure(DECIDED), RATINGS)
    assert found["accuracy"] == pytest.approx(5 / 8)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1 + 0) / 4)
    # F1: PD 6/7, SD 2/5, PR 1, CR 0
    assert found["macro_f1"] == pytest.approx((6 / 7 + 2 / 5 + 1 + 0) / 4)
    right, wrong = 0.3**2 + 3 * 0.1**2, 0.7**2 + (1 - 0.1) ** 2 + 2 * 0.1**2
    assert found["brier"] == pytest.approx((5 * right + 3 * wrong) / 8)
    # One against rest: a hit 0.7 beats 0.1, equal values count one half.
    pd_auc = (3 * 4 + 1 * 4 / 2) / 16
    assert found["classes"]["PD"]["auc"] == pytest.approx(pd_auc)
    squared = [(y - d) ** 2 for y, d in zip(LABELS, DECIDED, strict=True)]
    expected = [(y - d) ** 2 for y in LABELS for d in DECIDED]
    assert found["quadratic_kappa"] == pytest.approx(1 - np.mean(squared) / np.mean(expected))
    assert found["confusion"] == [[3, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert found["classes"]["CR"] == {"n": 1, "recall": 0.0, "precision": 0.0, "f1": 0.0, "auc": pytest.approx(3 / 7)}


def test_two_classes_are_the_special_case():
    labels, p = [1, 1, 1, 0, 0, 0, 0], np.array([0.9, 0.6, 0.2, 0.7, 0.4, 0.3, 0.1])
    found = class_scores(labels, np.stack([1 - p, p], axis=1), RESPONSE)
    old = binary_metrics(labels, p)
    assert found["balanced_accuracy"] == pytest.approx((old.sensitivity + old.specificity) / 2)
    assert [found["auc"], found["classes"]["response"]["auc"]] == pytest.approx([old.auc] * 2)
    assert found["classes"]["response"]["precision"] == pytest.approx(old.precision)
    assert found["brier"] == pytest.approx(2 * old.brier)


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([0, 4], sure([0, 1]), "no class"),
        ([0], sure([0, 1]), "1 labels"),
        ([0, 1], 3 * sure([0, 1]), "no probabilities"),
        ([0, 1], sure([0, 1])[:, :3], "shape"),
    ],
)
def test_bad_input_is_told(labels, p, message):
    with pytest.raises(DataProblem, match=message):
        class_scores(labels, p, RATINGS)


def test_a_case_that_several_models_scored_counts_once():
    rows = pd.DataFrame({"subject": ["s1", "s1", "s2"], "case": "c", "role": "held_out", "label": [0, 0, 1]})
    p = sure([0, 1, 1])
    table = rows.assign(**dict(zip(RATINGS.columns, p.T, strict=True)))
    found = class_scores_by_role(table, RATINGS)["held_out"]
    assert (found["n"], found["patients"], found["primary_metric"]) == (2, 2, "balanced_accuracy")
    assert found["scores"] == class_scores([0, 1], [p[:2].mean(axis=0), p[2]], RATINGS)


def test_old_tables_and_entries_are_read(tmp_path):
    old = pd.DataFrame({"fold": [0], "subject": ["s"], "lesion": ["L01"], "label": [1], "p_response": [0.8]})
    assert list(with_case(old))[:4] == ["subject", "case", "fold", "label"]
    np.testing.assert_allclose(class_probabilities(old, RESPONSE), [[0.2, 0.8]])
    old.to_csv(tmp_path / "lesions.csv", index=False)
    assert read_cases(tmp_path)["case"].tolist() == ["L01"]
    with_case(old).to_csv(tmp_path / "cases.csv", index=False)
    assert read_cases(tmp_path)["case"].tolist() == ["L01"]
    entry = {"image": "a.nii.gz", "mask": "m.nii.gz", "subject": "s", "lesion": "L01", "session": "ses-02", "label": 1}
    case = case_of(entry, tmp_path)
    assert (case["case"], case["images"]) == ("L01", {"image": str(tmp_path / "a.nii.gz")})
    new = case_of({"images": {"t1": "a", "dose": "b"}, "subject": "s", "case": "w1", "label": 1}, tmp_path)
    assert (new["t1"], new["dose"], new["session"]) == (str(tmp_path / "a"), str(tmp_path / "b"), "ses-01")
    assert "mask" not in new


def test_classes_are_read_or_refused():
    assert read_classes({"labels": {"0": "non-response", "1": "response"}}, "data") == RESPONSE
    assert classes_of(json.loads(json.dumps(RATINGS.content()))) == RATINGS
    for wrong, message in (
        ({"names": ["PD"], "finding": "PD"}, "2 to 20"),
        ({"names": ["PD", "SD"], "finding": "CR"}, "finding"),
        ({"names": ["PD", "../x"], "finding": "PD"}, "letters"),
        ({"names": ["a b", "a-b"], "finding": "a b"}, "different"),
        ({"names": ["PD", "SD"]}, "finding"),
    ):
        with pytest.raises(DataProblem, match=message):
            read_classes({"classes": wrong}, "dataset.json")
