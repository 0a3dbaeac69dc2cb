"""The numbers of a comparison on tables whose answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from treatment_response.evaluation.comparison.statistics import (
    differences,
    higher_of,
    nadeau_bengio,
    null_check,
    per_trial,
    score_table,
    training_gaps,
)
from treatment_response.metrics.scores import lesion_averages


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
    better, copy, both = differences(predictions, "cnn", [0.25] * 10, resamples=500)
    assert (better["method"], better["minus"]) == ("better", "cnn")
    assert 0 < better["auc"]["low"] < better["auc"]["estimate"]
    assert better["nadeau_bengio"]["low"] > 0
    assert copy["auc"]["low"] == copy["auc"]["high"] == 0
    assert copy["nadeau_bengio"] == {"mean": 0.0, "low": None, "high": None, "p": None, "trials": 10}
    # Two methods that are both compared with the reference are compared with each other too.
    assert (both["method"], both["minus"]) == ("copy", "better")
    assert [higher_of(entry) for entry in (better, copy, both)] == ["better", None, "better"]
    doubted = {**better, "nadeau_bengio": {**better["nadeau_bengio"], "low": -0.1}}
    assert higher_of(doubted) is None


def test_nadeau_bengio_is_a_t_interval_with_a_larger_variance() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.2, 20)
    low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    plain, corrected = nadeau_bengio(values, 0.0), nadeau_bengio(values, 0.25)
    assert (plain["low"], plain["high"]) == (pytest.approx(low), pytest.approx(high))
    assert plain["p"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    wider = (corrected["high"] - corrected["low"]) / (high - low)
    assert wider == pytest.approx(np.sqrt((1 / 20 + 0.25) / (1 / 20)))


def equal_models(seed: int) -> pd.DataFrame:
    """Five folds whose models know every lesion equally well, trained on or not: noise of their own on one signal."""
    rng = np.random.default_rng(seed)
    lesion = np.arange(60)
    label, fold = (lesion % 3 == 0).astype(int), lesion // 2 % 5
    parts = []
    for model in range(5):
        for role, rows in (("train_mri2", fold != model), ("heldout_mri2", fold == model)):
            logit = (label + rng.normal(size=60))[rows]
            part = {"subject": lesion[rows] // 2, "lesion": lesion[rows], "fold": fold[rows], "label": label[rows]}
            parts.append(pd.DataFrame({"model": model, "role": role, **part, "p_response": 1 / (1 + np.exp(-logit))}))
    return pd.concat(parts, ignore_index=True).assign(session="ses-02", method="a")


def test_equal_models_score_their_training_lesions_no_better() -> None:
    gaps, rows, of_means = [], [], []
    for seed in range(25):
        predictions = equal_models(seed)
        gaps.append(training_gaps(predictions, resamples=2)["a"]["true"]["estimate"])
        areas = {
            role: roc_auc_score(part["label"], part["p_response"])
            for role, part in lesion_averages(predictions).groupby("role")
        }
        rows.append(areas["train_mri2"] - areas["heldout_mri2"])
        means = predictions.groupby(["role", "lesion"]).agg({"label": "first", "p_response": "mean"}).loc["train_mri2"]
        of_means.append(roc_auc_score(means["label"], means["p_response"]) - areas["heldout_mri2"])
    for unbiased in (gaps, rows):
        assert abs(np.mean(unbiased)) < 3 * stats.sem(unbiased)
    assert np.mean(of_means) > 0.1  # what a mean of four models against one would have said


def test_every_lesion_is_scored_by_as_many_models_in_every_role() -> None:
    trials = pd.concat([equal_models(seed).assign(model=lambda t, s=seed: t["model"] + 5 * s) for seed in range(2)])
    names = trials.assign(p_response=1 / (1 + trials["model"]))  # which models stand in a mean can be read off it
    averaged = lesion_averages(names).set_index(["role", "lesion"])["p_response"]
    for lesion in (0, 59):
        fold = lesion // 2 % 5
        assert averaged["heldout_mri2", lesion] == pytest.approx(np.mean([1 / (1 + fold), 1 / (6 + fold)]))
    # The next models after 0 and 5, and after 4 (the last of its repeat) and 9.
    assert averaged["train_mri2", 0] == pytest.approx(np.mean([1 / 2, 1 / 7]))
    assert averaged["train_mri2", 59] == pytest.approx(np.mean([1 / 6, 1 / 1]))


def test_what_recognising_is_worth_is_what_exceeds_shuffled_labels() -> None:
    def run(skill: float, seed: int) -> pd.DataFrame:
        return pd.concat([made("a", skill, seed, 4, "train_mri2"), made("a", 0.0, seed + 50, 4, "heldout_mri2")])

    gap = training_gaps(run(4.0, 3), [run(1.0, 5), run(1.0, 7)], resamples=200)["a"]

    def by_hand(runs: list[pd.DataFrame]) -> float:
        inside = [
            [roc_auc_score(part["label"], part["p_response"]) for _, part in rows.groupby("model")]
            for table in runs
            for _, rows in table.groupby("role", sort=False)
        ]
        return float(np.mean(inside[::2]) - np.mean(inside[1::2]))

    true, shuffled = by_hand([run(4.0, 3)]), by_hand([run(1.0, 5), run(1.0, 7)])
    assert gap["true"]["estimate"] == pytest.approx(true)
    assert gap["shuffled"]["estimate"] == pytest.approx(shuffled)
    assert gap["recognition"]["estimate"] == pytest.approx(true - shuffled)
    assert 0 < gap["recognition"]["low"] < true - shuffled < gap["recognition"]["high"]
    assert training_gaps(run(4.0, 3), resamples=200)["a"]["recognition"] is None
    assert training_gaps(made("a", 1.0, 5), resamples=200) == {}


def test_the_null_check_passes_noise_and_catches_skill() -> None:
    noise = null_check([made("a", 0.0, seed + 10, trials=2) for seed in range(20)])
    skill = null_check([made("a", 1.0, seed + 10, trials=2) for seed in range(20)])
    assert (noise[0]["within_3_se"], noise[0]["pooled_within_3_se"]) == (True, True)
    assert (skill[0]["within_3_se"], skill[0]["pooled_within_3_se"]) == (False, False)
    assert null_check([made("a", 0.0, 0)])[0]["within_3_se"] is None


def test_the_null_check_sees_what_only_the_pooled_auc_shows() -> None:
    # Inside each trial the scores are noise; a trial that holds out more responders has the higher ones.
    def shuffle(seed: int) -> pd.DataFrame:
        table = made("a", 0.0, seed, trials=1)
        return table.assign(model=table["label"], p_response=(table["p_response"] + table["label"]) / 2)

    (found,) = null_check([shuffle(seed) for seed in range(20)])
    assert found["mean"] is None  # one class in each trial
    assert found["pooled_mean"] == 1
    assert found["pooled_within_3_se"] is False


def test_of_an_extended_check_only_the_new_shuffles_count() -> None:
    lucky = [made("a", 2.0, seed, trials=2) for seed in range(5)]
    new = [made("a", 0.0, seed + 10, trials=2) for seed in range(20)]
    (extended,), (alone,) = null_check([*lucky, *new], {"a": 5}), null_check(new)
    assert extended == {**alone, "earlier": 5}
    assert alone["shuffles"] == 20
