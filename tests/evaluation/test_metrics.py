import json
import math

import numpy as np
import pandas as pd
import pytest
from treatment_response.metrics.scores import METRICS, binary_metrics, lesion_averages, metrics_by_role
from treatment_response.problems import DataProblem

LABELS = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
P = [0.9, 0.8, 0.5, 0.2, 0.7, 0.4, 0.3, 0.2, 0.1, 0.05]  # response decided: first three and one false


def test_response_as_the_finding_by_hand():
    m = binary_metrics(LABELS, P)
    assert m.positive == "response"
    assert (m.n, m.positives) == (10, 4)
    assert m.sensitivity == pytest.approx(3 / 4)
    assert m.specificity == pytest.approx(5 / 6)
    assert m.accuracy == pytest.approx(8 / 10)
    assert m.precision == pytest.approx(3 / 4)
    assert m.f1 == pytest.approx(3 / 4)
    # pairs won: 0.9 → 6, 0.8 → 6, 0.5 → 5, 0.2 → 2 and a tie
    assert m.auc == pytest.approx((6 + 6 + 5 + 2.5) / 24)
    assert m.brier == pytest.approx(np.mean((np.array(P) - LABELS) ** 2))
    assert m.undefined == {}


def test_non_response_as_the_finding_swaps_the_bookkeeping_not_the_decision():
    m = binary_metrics(LABELS, P, positive=0)
    assert m.positive == "non-response"
    assert m.sensitivity == pytest.approx(5 / 6)
    assert m.specificity == pytest.approx(3 / 4)
    assert m.precision == pytest.approx(5 / 6)
    assert m.auc == pytest.approx(binary_metrics(LABELS, P).auc)
    assert m.brier == pytest.approx(binary_metrics(LABELS, P).brier)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_nan_with_a_reason(label):
    m = binary_metrics([label] * 3, [0.1, 0.2, 0.3])
    assert math.isnan(m.auc)
    assert "no lesion is truly" in m.undefined["auc"]
    assert math.isnan(m.precision)
    assert all(math.isnan(getattr(m, key)) == (key in m.undefined) for key in METRICS)
    assert json.loads(json.dumps(m.as_dict(), allow_nan=False))["auc"] is None


def test_nothing_at_all_is_undefined_not_an_exception():
    m = binary_metrics([], [])
    assert set(m.undefined) == {*METRICS, "brier"}


@pytest.mark.parametrize(
    ("labels", "p", "message"),
    [
        ([1, 0], [0.5], "2 labels for 1"),
        ([2], [0.5], "other than 0 and 1"),
        ([1], [3.0], "outside"),
        ([1], [math.nan], "outside"),
    ],
)
def test_bad_input_is_named(labels, p, message):
    with pytest.raises(DataProblem, match=message):
        binary_metrics(labels, p)


def predictions() -> pd.DataFrame:
    rows = [("sub-001", "L01", "ses-02", "train_mri2", fold, 1, p) for fold, p in [(0, 0.2), (1, 0.8)]]
    rows += [
        ("sub-001", "L01", "ses-01", "heldout_mri1", 2, 1, 0.6),
        ("sub-002", "L01", "ses-01", "heldout_mri1", 2, 0, 0.3),
    ]
    return pd.DataFrame(rows, columns=["subject", "lesion", "session", "role", "fold", "label", "p_response"])


def test_a_lesion_counts_once_per_role():
    means = lesion_averages(predictions())
    assert means.loc[means["role"] == "train_mri2", "p_response"].tolist() == [0.5]
    roles = metrics_by_role(predictions())
    assert (roles["train_mri2"]["n"], roles["heldout_mri1"]["patients"]) == (1, 2)
    assert roles["heldout_mri1"]["positive_non_response"]["positive"] == "non-response"
    json.dumps(roles, allow_nan=False)


def test_a_foreign_table_is_refused():
    with pytest.raises(DataProblem, match="columns missing: role"):
        metrics_by_role(predictions().drop(columns="role"))
