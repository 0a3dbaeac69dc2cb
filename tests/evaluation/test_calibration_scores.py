"""Calibration against statsmodels and scikit-learn, on the probability of one model and never on a mean of models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss
from treatment_response.evaluation.calibration_scores import (
    calibration_scores,
    decision_curve,
    recalibration,
    reliability,
    single_model_rows,
)


def made(models: int = 3, patients: int = 40, seed: int = 0) -> pd.DataFrame:
    """Two lesions per patient, each scored by `models` models whose logits are too large and disagree."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 1, 2 * patients)
    label = (rng.random(2 * patients) < 1 / (1 + np.exp(-signal))).astype(int)
    lesions = pd.DataFrame({"subject": np.repeat([f"sub-{i:03d}" for i in range(patients)], 2), "label": label})
    lesions = lesions.assign(lesion=["L01", "L02"] * patients, session="ses-01", role="heldout_mri1")
    parts = []
    for model in range(models):
        logit = 2 * signal + rng.normal(0, 1, len(signal))
        parts.append(lesions.assign(model=model, p_response=1 / (1 + np.exp(-logit))))
    return pd.concat(parts, ignore_index=True)


def test_slope_intercepts_and_brier_are_those_of_statsmodels_and_scikit_learn() -> None:
    table = made()
    scores = calibration_scores(table, resamples=20)
    logit = np.log(table["p_response"] / (1 - table["p_response"])).to_numpy()
    label, family = table["label"].to_numpy(), sm.families.Binomial()
    joint, slope = sm.GLM(label, sm.add_constant(logit), family=family).fit().params
    (large,) = sm.GLM(label, np.ones((len(label), 1)), offset=logit, family=family).fit().params
    for name, value in (("slope", slope), ("joint_intercept", joint), ("intercept", large)):
        assert scores[name]["estimate"] == pytest.approx(value, abs=1e-6)
    assert scores["brier"]["estimate"] == pytest.approx(brier_score_loss(label, table["p_response"]))
    prevalence = brier_score_loss(label, np.full(len(label), label.mean()))
    assert scores["brier_of_prevalence"]["estimate"] == pytest.approx(prevalence)
    assert scores["brier_gain"]["estimate"] == pytest.approx(prevalence - scores["brier"]["estimate"])
    assert (scores["lesions"], scores["predictions"], scores["slope"]["patients"]) == (80, 240, 40)


def test_a_weighted_fit_is_that_of_repeated_rows() -> None:
    rows = single_model_rows(made(models=1), "heldout_mri1")
    counts = np.random.default_rng(1).integers(0, 4, len(rows))
    repeated = rows.loc[rows.index.repeat(counts)]
    for coefficient in (0, 1):
        weighted = recalibration(rows, np.stack([counts, np.ones(len(rows))]).astype(float), coefficient)
        again = recalibration(repeated, np.ones((1, len(repeated))), coefficient)
        assert weighted[0] == pytest.approx(again[0], abs=1e-6)
        assert weighted[0] != pytest.approx(weighted[1], abs=1e-3)


def test_it_is_one_model_that_is_scored_not_the_mean_of_several() -> None:
    # The mean of noisy models is another predictor: it is far better calibrated than any of them.
    table = made(models=12)
    mean = table.groupby(["subject", "lesion", "session", "role", "label"], as_index=False)["p_response"].mean()
    single, averaged = (calibration_scores(each, resamples=5) for each in (table, mean))
    each_model = [calibration_scores(part, resamples=2)["slope"]["estimate"] for _, part in table.groupby("model")]
    assert single["slope"]["estimate"] == pytest.approx(np.mean(each_model), abs=0.03)
    assert averaged["slope"]["estimate"] > single["slope"]["estimate"] + 0.05
    assert averaged["brier"]["estimate"] < single["brier"]["estimate"] - 0.005
    uneven = pd.concat([table, table[(table["model"] == 0) & (table["subject"] == "sub-000")]], ignore_index=True)
    assert single_model_rows(uneven, "heldout_mri1").groupby(["subject", "lesion"])["share"].sum().eq(1).all()


def test_separated_classes_and_one_class_have_no_slope() -> None:
    table = made(models=1)
    separated = table.assign(p_response=0.3 + 0.4 * table["label"] + np.linspace(0, 0.1, len(table)))
    assert calibration_scores(separated, resamples=5)["slope"]["estimate"] is None
    one_class = calibration_scores(table.assign(label=1), resamples=5)
    assert one_class["intercept"]["estimate"] is None
    assert one_class["brier_of_prevalence"]["estimate"] == 0


def test_reliability_and_decision_curve_by_hand() -> None:
    lesions = pd.DataFrame(
        {"subject": list("abcd"), "lesion": "L01", "p_response": [0.1, 0.3, 0.7, 0.9], "label": [0, 1, 0, 1]}
    ).assign(share=1.0)
    low, high = reliability(lesions, bins=2)
    assert low == {"n": 2, "predicted": pytest.approx(0.2), "observed": 0.5}
    assert high == {"n": 2, "predicted": pytest.approx(0.8), "observed": 0.5}
    curve = {row["threshold"]: row for row in decision_curve(lesions, resamples=100)}
    # P(non-response) is 0.9, 0.7, 0.3, 0.1: at 0.5 one true and one false finding are acted on.
    assert curve[0.5]["net_benefit"] == pytest.approx(1 / 4 - 1 / 4)
    assert curve[0.2]["net_benefit"] == pytest.approx(2 / 4 - 1 / 4 * 0.25)
    assert curve[0.2]["act_on_all"] == pytest.approx(2 / 4 - 2 / 4 * 0.25)
    assert curve[0.2]["advantage"] == pytest.approx(1 / 4 * 0.25)
    assert curve[0.2]["low"] < curve[0.2]["net_benefit"] < curve[0.2]["high"]
