import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from treatment_response.evaluation.bootstrap import auc, difference, leak, mean, metric, patient_bootstrap, weighted_auc
from treatment_response.evaluation.metrics import METRICS, binary_metrics
from treatment_response.problems import DataProblem


def clustered_null(seed: int, patients: int = 30) -> pd.DataFrame:
    """Score and label unrelated, both alike within a patient: what makes a lesion bootstrap too sure."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 6, patients)
    subject = np.repeat(np.arange(patients), size)
    label = (rng.normal(size=patients)[subject] + 0.3 * rng.normal(size=len(subject)) > 0).astype(int)
    logit = rng.normal(size=patients)[subject] + 0.3 * rng.normal(size=len(subject))
    return pd.DataFrame(
        {"subject": subject, "row": np.arange(len(subject)), "label": label, "p_response": 1 / (1 + np.exp(-logit))}
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=25))
def test_weighted_auc_is_sklearns_on_repeated_rows(rows):
    label, score, times = (np.array(column, dtype=int) for column in zip(*rows, strict=True))
    ours = weighted_auc(label, score, times[None].astype(float))[0]
    y, s = np.repeat(label, times), np.repeat(score, times)
    if 0 < y.sum() < len(y):
        assert ours == pytest.approx(roc_auc_score(y, s))
    else:
        assert np.isnan(ours)


@pytest.mark.parametrize("positive", [0, 1])
@pytest.mark.parametrize("name", [*METRICS, "brier"])
def test_weighted_metrics_agree_with_the_plain_ones(name, positive):
    frame = clustered_null(3)
    times = np.random.default_rng(1).integers(0, 4, len(frame))
    again = frame.loc[frame.index.repeat(times)]
    expected = getattr(binary_metrics(again["label"], again["p_response"], positive), name)
    assert metric(name, positive)(frame, times[None].astype(float))[0] == pytest.approx(expected)


def test_two_thousand_resamples_take_under_a_second():
    frame = pd.concat(
        [clustered_null(seed, 40).assign(subject=lambda d, s=seed: d["subject"] + 1000 * s) for seed in range(5)]
    )
    start = time.process_time()
    patient_bootstrap(frame, auc(), n=2000)
    assert time.process_time() - start < 1.0


def test_patients_not_lesions_give_coverage():
    covered = {"subject": 0, "row": 0}
    runs = 200
    for seed in range(runs):
        frame = clustered_null(seed)
        for unit in covered:
            interval = patient_bootstrap(frame, auc(), groups=unit, n=400, seed=seed)
            covered[unit] += interval.low <= 0.5 <= interval.high
    assert 0.87 <= covered["subject"] / runs <= 0.99
    assert covered["row"] / runs < 0.85


def test_pairing_makes_the_difference_of_twins_exact():
    frame = clustered_null(0)
    frame["twin"] = frame["p_response"] ** 3  # same ranks
    interval = patient_bootstrap(frame, difference(auc(), auc("twin")))
    assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


def test_one_class_resamples_are_skipped_and_counted():
    frame = pd.DataFrame({"subject": [0, 1], "label": [0, 1], "p_response": [0.1, 0.9]})
    interval = patient_bootstrap(frame, auc(), n=1000)
    assert interval.resamples + interval.skipped == 1000
    assert 400 < interval.skipped < 600  # both draws alike: one half
    assert (interval.low, interval.high) == (1, 1)
    undefined = patient_bootstrap(frame.assign(label=1), auc(), n=10)
    assert str(undefined) == "undefined"
    assert undefined.as_dict()["low"] is None


def test_a_patient_with_many_lesions_counts_once_in_a_mean():
    frame = pd.DataFrame({"subject": ["a"] * 9 + ["b"], "value": [1.0] * 9 + [0.0]})
    assert patient_bootstrap(frame, mean("value")).estimate == pytest.approx(0.5)


def test_leak_compares_within_each_fitted_model():
    def rows(role, fold, shift, good):
        label = [0, 0, 1, 1]
        p = [0.1, 0.2, 0.3, 0.4] if good else [0.4, 0.1, 0.3, 0.2]
        return pd.DataFrame(
            {"subject": range(4), "role": role, "model": fold, "label": label, "p_response": np.array(p) + shift}
        )

    frame = pd.concat(
        [rows("train_mri2", f, 0.5 * f, True) for f in (0, 1)]
        + [rows("heldout_mri2", f, 0.5 * f, False) for f in (0, 1)]
    )
    assert leak()(frame, np.ones((1, len(frame))))[0] == pytest.approx(1 - 0.5)


def test_a_frame_without_patients_is_refused():
    with pytest.raises(DataProblem, match="subject"):
        patient_bootstrap(pd.DataFrame({"label": [1]}), auc())
