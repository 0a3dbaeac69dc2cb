"""The label model: what the evidence says about recurrence or radiation effect, in closed form.

Evidence is dose, texture and time, each a number of unit variance whose mean is ``+separation / 2`` for recurrence and
``-separation / 2`` for radiation effect, and whether the lesion lies beside a ventricle. So

    log odds(recurrence | z) = log odds(prior) + separationᵀ C⁻¹ z + log P(beside | recurrence) / P(beside | effect)

with ``C`` the correlation within the classes (linear discriminant analysis). `simulate.py` turns the numbers into
gray, months and shapes by monotone rules, which change no AUC.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from treatment_response.cohort.synthetic.rice.strengths import Strengths
from treatment_response.problems import DataProblem, Problem

DOSE, TEXTURE, TIME = range(3)
KNOWN = {
    "dose": ((DOSE,), False),
    "texture": ((TEXTURE,), False),
    "time": ((TIME,), False),
    "ventricle": ((), True),
    "mri": ((TEXTURE,), True),
    "images": ((DOSE, TEXTURE), True),
    "all": ((DOSE, TEXTURE, TIME), True),
}
"""What an observer may know: columns of the evidence, and whether it sees the ventricles."""
CEILINGS = ("dose", "mri", "images", "all")
"""The observers whose P(recurrence | x) stands in ``truth.csv``."""


@dataclass(frozen=True)
class Evidence:
    """What is true about the lesions of ``N`` patients and bears on their label.

    Attributes:
        numbers: ``(N, 3)``: dose, texture, time; higher speaks for recurrence.
        beside_ventricle: ``(N,)`` bool.
    """

    numbers: np.ndarray
    beside_ventricle: np.ndarray


@dataclass(frozen=True)
class LabelModel:
    """The label model of one cohort.

    Raises:
        DataProblem: from its methods, where the strengths contradict each other.
    """

    strengths: Strengths

    @cached_property
    def separations(self) -> np.ndarray:
        """Distance ``(3,)`` of the two classes' means in standard deviations: AUC = Φ(separation / √2)."""
        aucs = [self.strengths.dose_auc, self.strengths.texture_auc, self.strengths.time_auc]
        return np.sqrt(2) * norm.ppf(aucs)

    @cached_property
    def shares_beside(self) -> tuple[float, float]:
        """P(beside a ventricle) of a radiation effect and of a recurrence."""
        effect = self.strengths.periventricular_share
        return effect, float(expit(logit(effect) - np.log(self.strengths.periventricular_odds_ratio)))

    @cached_property
    def correlation(self) -> float:
        """Of dose and texture within each class; 0, or negative as far as ``combined_auc`` needs it."""
        target = self.strengths.combined_auc
        if target is None:
            return 0.0

        def excess(correlation: float) -> float:
            return self._auc(KNOWN["all"], correlation) - target

        if excess(0.0) > 1e-9 or excess(-0.95) < 0:
            low, high = self._auc(KNOWN["all"], 0.0), self._auc(KNOWN["all"], -0.95)
            raise DataProblem(
                Problem(
                    "label model",
                    f"all evidence together cannot reach an AUC of {target:g}",
                    f"choose a combined AUC from {low:.2f} to {high:.2f}, or none",
                )
            )
        return float(brentq(excess, -0.95, 0.0))

    def auc(self, known: str) -> float:
        """The AUC of an observer of `KNOWN`: no model that sees nothing else can do better."""
        return self._auc(KNOWN[known], self.correlation)

    def p_recurrence(self, evidence: Evidence, known: str) -> np.ndarray:
        """True P(recurrence | what the observer knows), ``(N,)``."""
        columns, sees_ventricles = KNOWN[known]
        chosen = list(columns)
        log_odds = np.full(len(evidence.numbers), logit(self.strengths.recurrence_share))
        if chosen:
            weights = np.linalg.solve(_matrix(self.correlation)[np.ix_(chosen, chosen)], self.separations[chosen])
            log_odds += evidence.numbers[:, chosen] @ weights
        if sees_ventricles:
            effect, recurrence = self.shares_beside
            beside, elsewhere = np.log(recurrence / effect), np.log((1 - recurrence) / (1 - effect))
            log_odds += np.where(evidence.beside_ventricle, beside, elsewhere)
        return expit(log_odds)

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> Evidence:
        """Draw the evidence of patients with these labels ``(N,)``: 1 recurrence, 0 radiation effect, 0.5 both."""
        labels = np.asarray(labels, dtype=float)
        noise = rng.multivariate_normal(np.zeros(3), _matrix(self.correlation), len(labels), method="cholesky")
        effect, recurrence = self.shares_beside
        share = effect + (recurrence - effect) * labels
        return Evidence(noise + np.outer(labels - 0.5, self.separations), rng.random(len(labels)) < share)

    def _auc(self, known: tuple[tuple[int, ...], bool], correlation: float) -> float:
        """P(log odds of a recurrence > those of a radiation effect), ties half."""
        columns, sees_ventricles = known
        chosen = list(columns)
        separations = self.separations[chosen]
        squared = float(separations @ np.linalg.solve(_matrix(correlation)[np.ix_(chosen, chosen)], separations))
        if not sees_ventricles:
            return float(norm.cdf(np.sqrt(squared / 2)))
        effect, recurrence = self.shares_beside
        of_recurrence, of_effect = np.array([recurrence, 1 - recurrence]), np.array([effect, 1 - effect])
        told = np.log(of_recurrence / of_effect)  # log odds of "beside" and of "elsewhere"
        wins = np.array([[_wins(squared, one - other) for other in told] for one in told])
        return float(of_recurrence @ wins @ of_effect)


def _wins(squared: float, gap: float) -> float:
    """P(normal(squared + gap, 2 · squared) > 0), ties half."""
    if squared < 1e-12:
        return 0.5 * (1 + np.sign(gap))
    return float(norm.cdf((squared + gap) / np.sqrt(2 * squared)))


def _matrix(correlation: float) -> np.ndarray:
    matrix = np.eye(3)
    matrix[DOSE, TEXTURE] = matrix[TEXTURE, DOSE] = correlation
    return matrix
