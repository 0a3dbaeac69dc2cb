"""Riley's criteria: the published example of pmsampsize, and simulation where that package simulates."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm
from treatment_response.evaluation.minimum_sample import design_effect, minimum_sample, r2_of_auc


def test_the_criteria_are_those_of_pmsampsize() -> None:
    # The example in the help pages of the R and Stata package: 24 parameters, 17.4 %, R² 0.288.
    found = minimum_sample(24, 0.174, 0.288).by_criterion
    assert (found["shrinkage"], found["optimism"], found["overall_risk"]) == (623, 662, 221)


def test_the_mean_error_is_that_of_its_formula_and_the_largest_wins() -> None:
    # van Smeden 2019: ln(MAPE) = -0.508 - 0.544 ln(n) + 0.259 ln(share) + 0.504 ln(predictors)
    found = minimum_sample(10, 0.3, 0.2)
    n = found.by_criterion["mean_error"]
    mean_error = np.exp(-0.508 - 0.544 * np.log(n) + 0.259 * np.log(0.3) + 0.504 * np.log(10))
    assert mean_error == pytest.approx(0.05, rel=2e-3)
    assert found.cases == max(found.by_criterion.values()) == found.by_criterion[found.criterion]
    assert minimum_sample(10, 0.7, 0.2).by_criterion["mean_error"] == n
    assert minimum_sample(31, 0.3, 0.2).by_criterion["mean_error"] is None
    assert minimum_sample(None, 0.3, 0.2).criterion == "overall_risk"


def test_r2_of_an_auc_is_that_of_simulated_cases() -> None:
    rng = np.random.default_rng(0)
    for auc, prevalence in ((0.75, 0.4), (0.93, 0.6)):
        label = (rng.random(200_000) < prevalence).astype(float)
        predictor = rng.normal(label * np.sqrt(2) * norm.ppf(auc), 1)
        fitted = sm.Logit(label, sm.add_constant(predictor)).fit(disp=False)
        simulated = 1 - np.exp(-2 * (fitted.llf - fitted.llnull) / len(label))
        assert r2_of_auc(auc, prevalence) == pytest.approx(simulated, abs=0.006)
    assert r2_of_auc(0.89, 0.174) == pytest.approx(0.2908, abs=5e-4)  # pmsampsize, from a million simulated cases


def test_the_design_effect_is_one_plus_that_of_equal_clusters() -> None:
    rng = np.random.default_rng(1)
    persons = np.repeat(np.arange(20_000), 3)
    together = np.repeat(rng.random(20_000) < 0.4, 3)
    alone = rng.random(60_000) < 0.4
    half = np.where(np.repeat(rng.random(20_000) < 0.5, 3), together, alone)  # correlation 0.5 within a person
    for labels, effect in ((together, 3.0), (half, 2.0), (alone, 1.0)):
        assert design_effect(labels.astype(int), persons) == pytest.approx(effect, rel=0.03)
    assert design_effect(np.tile([0, 1], 10), np.repeat(np.arange(10), 2)) == 1.0
