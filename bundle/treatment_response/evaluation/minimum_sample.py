"""How many independent cases a model for a binary outcome needs at least, by Riley's criteria.

The criteria are those of Riley et al., BMJ 368 (2020) m441; the first three are what ``pmsampsize`` computes too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

SHRINKAGE = 0.9
"""Aimed at: coefficients need to be shrunk by no more than a tenth."""
OPTIMISM, MARGIN, MEAN_ERROR = 0.05, 0.05, 0.05
MOST_PREDICTORS = 30
"""The formula of the mean error was found by simulation with up to so many predictors."""
NAMES = {
    "shrinkage": f"shrinkage of at least {SHRINKAGE:g}",
    "optimism": f"optimism in Nagelkerke’s R² of at most {OPTIMISM:g}",
    "overall_risk": f"share of the outcome known to ±{MARGIN:g}",
    "mean_error": f"mean absolute error of the probability of at most {MEAN_ERROR:g}",
}


@dataclass(frozen=True)
class MinimumSample:
    """Cases needed by each criterion of ``NAMES``.

    Attributes:
        by_criterion: criterion → number of cases; None where it does not apply.
        r2_cox_snell: what was assumed of the model.
    """

    by_criterion: dict[str, int | None]
    r2_cox_snell: float

    @property
    def criterion(self) -> str:
        """Which criterion asks for the most cases."""
        return max(self.by_criterion, key=lambda name: self.by_criterion[name] or 0)

    @property
    def cases(self) -> int:
        """That number."""
        return self.by_criterion[self.criterion] or 0


def minimum_sample(predictors: int | None, prevalence: float, r2_cox_snell: float) -> MinimumSample:
    """Fewest independent cases by all criteria.

    Args:
        predictors: candidate parameters, before any selection; None where a model has no list of them, so that only
            the overall risk is asked for.
        prevalence: share of the outcome, in (0, 1).
        r2_cox_snell: anticipated Cox-Snell R² of the model, in (0, its maximum).

    References:
        Riley et al., Stat Med 38 (2019) 1276, criteria 1 to 3; van Smeden et al., Stat Methods Med Res 28 (2019) 2455,
        mean absolute error.
    """
    spread = prevalence * (1 - prevalence)
    found: dict[str, int | None] = dict.fromkeys(NAMES)
    found["overall_risk"] = math.ceil((norm.ppf(0.975) / MARGIN) ** 2 * spread)
    if predictors is not None:
        null = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
        largest = 1 - math.exp(2 * null)
        for name, shrinkage in (
            ("shrinkage", SHRINKAGE),
            ("optimism", r2_cox_snell / (r2_cox_snell + OPTIMISM * largest)),
        ):
            found[name] = math.ceil(predictors / ((shrinkage - 1) * math.log(1 - r2_cox_snell / shrinkage)))
        if predictors <= MOST_PREDICTORS:
            rarer = min(prevalence, 1 - prevalence)
            exponent = -0.508 + 0.259 * math.log(rarer) + 0.504 * math.log(predictors) - math.log(MEAN_ERROR)
            found["mean_error"] = math.ceil(math.exp(exponent / 0.544))
    return MinimumSample(found, r2_cox_snell)


def r2_of_auc(auc: float, prevalence: float) -> float:
    """Cox-Snell R² of a well calibrated model with this AUC.

    Its linear predictor is taken as normal with the same spread in both classes, as Riley et al. (Stat Med 40 (2021)
    4230) do by simulation; here the expected likelihood ratio is integrated.

    Args:
        auc: in (0.5, 1). prevalence: in (0, 1).
    """
    distance = math.sqrt(2) * norm.ppf(auc)
    odds = math.log(prevalence / (1 - prevalence))

    def gain(x: float, outcome: int) -> float:
        """log P(outcome | x) − log P(outcome), weighted by the density of x in that class."""
        logit = odds + distance * x - distance**2 / 2
        share = prevalence if outcome else 1 - prevalence
        probability = -np.logaddexp(0, -logit if outcome else logit)
        return float((probability - math.log(share)) * share * norm.pdf(x - distance * outcome))

    information = sum(quad(gain, distance * outcome - 12, distance * outcome + 12, (outcome,))[0] for outcome in (0, 1))
    return 1 - math.exp(-2 * information)


def design_effect(labels: np.ndarray, persons: np.ndarray) -> float:
    """How much the variance of the outcome's share grows because lesions of one person resemble each other.

    The variance between persons (Kish, Survey Sampling, 1965: a ratio estimate over clusters) over that of as many
    independent lesions; at least 1, since a smaller value is chance.

    Args:
        labels: (N,) 0 or 1. persons: (N,) whose each is.
    """
    share = float(np.mean(labels))
    if share in (0, 1):
        return 1.0
    _, codes = np.unique(persons, return_inverse=True)
    clusters = int(codes.max()) + 1
    if clusters < 2:
        return 1.0
    sums = np.bincount(codes, weights=np.asarray(labels, dtype=float) - share)
    between = clusters / (clusters - 1) * float((sums**2).sum()) / len(labels) ** 2
    return max(1.0, between / (share * (1 - share) / len(labels)))
