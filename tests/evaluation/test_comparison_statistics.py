"""The numbers of a comparison on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from treatment_response.evaluation.comparison.statistics import (
    differences,
    leaks,
    nadeau_bengio,
    null_check,
    per_trial,
    score_table,
)


def made(method: str, skill: float, seed: int, trials: int = 10, role: str = "heldout_mri1") -> pd.DataFrame:
    """Each of 60 lesions of 30 patients scored in every trial; `skill` is the distance between the classes' logits."""
    lesion = np.arange(60)
    label = (lesion % 3 == 0).astype(int)
    tables = []
    for trial in range(trials):
        logit = skill * (label - 0.5) + np.random.default_rng([seed, trial]).normal(size=60)
        subjects = [f"sub-{number // 2:03d}" for number in lesion]
        table = pd.DataFrame({"method": method, "model": trial, "role": role, "session": "ses-01", "subject": subjects})
        tables.append(
            table.assign(lesion=[f"L{n:02d}" for n in lesion], label=label, p_response=1 / (1 + np.exp(-logit)))
        )
    return pd.concat(tables, ignore_index=True)


def test_the_spread_is_over_trials_and_the_interval_over_patients() -> None:
    predictions = made("a", 0.5, 0)
    table = score_table(predictions, resamples=200).set_index(["finding", "score"])
    trials = per_trial(predictions)
    auc = trials.loc[trials["finding"] == "response", "auc"]
    row = table.loc[("response", "auc")]
    assert row["mean"] == pytest.approx(auc.mean())
    assert row["sd"] == pytest.approx(auc.std(ddof=1))
    assert (row["trials"], row["lesions"], row["patients"]) == (10, 60, 30)
    # Averaging ten noisy predictions of a lesion tells the classes better than one of them.
    assert row["estimate"] > row["mean"]
    assert row["low"] < row["estimate"] < row["high"]
    for one, other in (("sensitivity", "specificity"), ("auc", "auc"), ("brier", "brier")):
        assert table.loc[("response", one), "mean"] == pytest.approx(table.loc[("non-response", other), "mean"])


def test_differences_are_paired_and_signed() -> None:
    predictions = pd.concat([made("cnn", 0.3, 1), made("better", 3.0, 2), made("copy", 0.3, 1)], ignore_index=True)
    better, copy = differences(predictions, "cnn", [0.25] * 10, resamples=500)
    assert (better["method"], better["minus"]) == ("better", "cnn")
    assert 0 < better["auc"]["low"] < better["auc"]["estimate"]
    assert better["nadeau_bengio"]["low"] > 0
    assert copy["auc"]["low"] == copy["auc"]["high"] == 0
    assert copy["nadeau_bengio"] == {"mean": 0.0, "low": None, "high": None, "p": None, "trials": 10}


def test_nadeau_bengio_is_a_t_interval_with_a_larger_variance() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 20)
    low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    plain, corrected = nadeau_bengio(values, 0.0), nadeau_bengio(values, 0.25)
    assert (plain["low"], plain["high"]) == (pytest.approx(low), pytest.approx(high))
    assert plain["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    wider = (corrected["high"] - corrected["low"]) / (high - low)
    assert wider == pytest.approx(np.sqrt((1 / 20 + 0.25) / (1 / 20)))


def test_the_leak_is_what_the_training_lesions_score_more() -> None:
    leaky = pd.concat([made("a", 4.0, 3, role="train_mri2"), made("a", 0.0, 4, role="heldout_mri2")])
    assert leaks(leaky, resamples=200)["a"]["low"] > 0.2
    assert leaks(made("a", 1.0, 5), resamples=200) == {}


def test_the_null_check_passes_noise_and_catches_a_leak() -> None:
    noise = null_check([made("a", 0.0, seed + 10, trials=2) for seed in range(20)])
    leak = null_check([made("a", 1.0, seed + 10, trials=2) for seed in range(20)])
    assert noise[0]["within_3_se"] is True
    assert leak[0]["within_3_se"] is False
    assert null_check([made("a", 0.0, 0)])[0]["within_3_se"] is None
