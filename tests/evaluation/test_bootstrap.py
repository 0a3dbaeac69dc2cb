import math
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from treatment_response.metrics.bootstrap import (
    auc,
    difference,
    mean,
    metric,
    patient_bootstrap,
    weighted_auc,
)
from treatment_response.metrics.intervals import (
    CORRELATION,
    SHARE,
    UNLIMITED,
    ends_text,
    interval_ends,
    side_of_zero,
)
from treatment_response.metrics.roc import roc_band
from treatment_response.metrics.scores import METRICS, binary_metrics
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
            interval = patient_bootstrap(frame.assign(subject=frame[unit]), auc(), n=400, seed=seed)
            covered[unit] += interval.low <= 0.5 <= interval.high
    assert 0.91 <= covered["subject"] / runs <= 0.99
    assert covered["row"] / runs < 0.85


def test_intervals_hold_a_high_auc():
    # Percentile ends are too short near 1: they hold it in 84 of 100 such cohorts.
    rng, covered, runs, shift = np.random.default_rng(0), 0, 200, np.sqrt(2) * stats.norm.ppf(0.97)
    for seed in range(runs):
        label = (np.arange(39) % 5 < 2).astype(int)
        score = rng.normal(size=39) + shift * label
        frame = pd.DataFrame({"subject": np.arange(39), "label": label, "p_response": score})
        interval = patient_bootstrap(frame, auc(), n=200, seed=seed)
        covered += interval.low <= 0.97 <= interval.high
    assert 0.93 <= covered / runs <= 0.99


def test_the_error_of_a_mean_is_the_textbooks():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"subject": np.arange(6), "value": rng.normal(3, 2, 6)})
    interval = patient_bootstrap(frame, mean("value", UNLIMITED), n=40000)
    low, high = stats.norm.interval(0.95, frame["value"].mean(), stats.sem(frame["value"]))
    assert interval.high - interval.low == pytest.approx(high - low, rel=0.02)
    assert interval.high + interval.low == pytest.approx(high + low)


def test_ends_lie_on_the_logit_and_on_fishers_z():
    low, high = interval_ends(0.9, 0.03, 20, SHARE)
    logit, error = np.log(0.9 / 0.1), 0.03 / (0.9 * 0.1)
    assert [low, high] == [pytest.approx(1 / (1 + np.exp(-(logit + sign * 1.959964 * error)))) for sign in (-1, 1)]
    low, high = interval_ends(-0.6, 0.1, 20, CORRELATION)
    assert [low, high] == [pytest.approx(np.tanh(np.arctanh(-0.6) + s * 1.959964 * 0.1 / 0.64)) for s in (-1, 1)]


def test_perfect_separation_has_the_exact_bound_of_the_smaller_class():
    # 7 lesions of 4 responding patients against 9 patients: no resample ever errs.
    frame = pd.DataFrame({"subject": [0, 0, 0, 1, 1, 2, 3, *range(4, 13)], "label": [1] * 7 + [0] * 9})
    frame["p_response"] = np.r_[np.linspace(0.7, 0.9, 7), np.linspace(0.1, 0.4, 9)]
    # All of 4 succeed at the bound with a chance of 0.025: the exact interval of Clopper and Pearson.
    bound = stats.binomtest(4, 4).proportion_ci(0.95, method="exact").low
    perfect, reverse = (
        patient_bootstrap(frame.assign(p_response=p), auc()) for p in (frame.p_response, -frame.p_response)
    )
    assert (perfect.estimate, perfect.low, perfect.high) == (1, pytest.approx(bound), 1)
    assert (reverse.estimate, reverse.low, reverse.high) == (0, 0, pytest.approx(1 - bound))
    nine = stats.binomtest(9, 9).proportion_ci(0.95, method="exact").low
    assert patient_bootstrap(frame, metric("specificity")).low == pytest.approx(nine)
    band = roc_band(frame)
    assert (band.low[0], band.low[-1], band.high.min()) == (pytest.approx(bound), pytest.approx(bound), 1)
    assert np.isnan(patient_bootstrap(frame.assign(subject=0, p_response=[0.5, 0.8] * 8), auc()).low)


def test_pairing_makes_the_difference_of_twins_exact():
    frame = clustered_null(0)
    frame["twin"] = frame["p_response"] ** 3  # same ranks
    interval = patient_bootstrap(frame, difference(auc(), auc("twin")))
    assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


def test_resamples_of_one_value_are_said_to_tell_no_spread():
    # Both patients have the same three cases, so every resample has the same AUC.
    one = pd.DataFrame({"subject": 0, "label": [1, 1, 0], "p_response": [0.9, 0.2, 0.3]})
    frame = pd.concat([one, one.assign(subject=1)])
    constant = patient_bootstrap(frame, auc())
    assert (constant.low, constant.high) == (0.5, 0.5)
    assert str(constant) == "0.500 [not estimable]"
    assert ends_text(0.4, 0.6, between=" to ") == "0.40 to 0.60"
    assert ends_text(None, None) == "no interval"
    # No order follows from a difference that never varies, whatever a second opinion says.
    assert side_of_zero((0.2, 0.2), (0.1, 0.3)) == 0
    assert (side_of_zero((0.1, 0.3), (None, None)), side_of_zero((-0.3, -0.1), (-0.2, -0.1))) == (1, -1)
    assert side_of_zero((0.1, 0.3), (-0.1, 0.3)) == side_of_zero((math.nan, math.nan), (0.1, 0.3)) == 0


def test_undefined_resamples_are_drawn_again_and_counted():
    # Only one of three patients is called a responder, so a resample without it has no precision.
    frame = pd.DataFrame({"subject": [0, 1, 2], "label": [1, 0, 1], "p_response": [0.9, 0.1, 0.2]})
    interval = patient_bootstrap(frame, metric("precision"), n=1000)
    assert interval.resamples == 1000
    assert interval.redrawn / (1000 + interval.redrawn) == pytest.approx((2 / 3) ** 2, abs=0.05)  # 2 of 3 are drawn
    undefined = patient_bootstrap(frame.assign(label=1), auc(), n=10)
    assert str(undefined) == "undefined"
    assert undefined.as_dict()["low"] is None


def test_a_patient_with_many_lesions_counts_once_in_a_mean():
    frame = pd.DataFrame({"subject": ["a"] * 9 + ["b"], "value": [1.0] * 9 + [0.0]})
    assert patient_bootstrap(frame, mean("value", SHARE)).estimate == pytest.approx(0.5)


def test_a_frame_without_patients_is_refused():
    with pytest.raises(DataProblem, match="subject"):
        patient_bootstrap(pd.DataFrame({"label": [1]}), auc())
