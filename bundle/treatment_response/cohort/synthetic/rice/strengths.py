"""How much each part of the evidence tells about the label: every number here is an assumption and a parameter.

No published cohort gives these numbers together. What is taken from where:

* Shares of the classes: 55 recurrences and 37 radiation effects, as RICE-NET's 48 + 7 and 32 + 5 (arXiv 2603.11827).
* Dose: recurrences of glioblastoma lie mostly in or near the treated volume, as radiation effects do, so dose alone
  tells little. Radiation effects are taken to lie in the higher dose. RICE-NET's F1 from dose alone (0.78) is what the
  strong setting stands for.
* Ventricles: enhancement after radiotherapy is reported more often beside the ventricles (for protons in low-grade
  glioma: Bahn et al., Int J Radiat Oncol Biol Phys 2020); the odds ratio is an assumption.
* Time: radiation effects are taken to appear earlier; reports differ, so the strength is small.
* Shape and texture: necrosis, feathered borders and holes for radiation effects, solid nodules for recurrences.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Strengths:
    """What the label model is built to reach, each as if the other evidence were not there.

    Attributes:
        dose_auc: AUC of the lesion's mean dose relative to the prescription, 0.5 to below 1. 0.5: dose carries nothing.
        periventricular_odds_ratio: odds of a radiation effect beside a ventricle over the odds elsewhere, at least 1.
        periventricular_share: share of the radiation effects that lie beside a ventricle, between 0 and 1.
        time_auc: AUC of the time from radiotherapy to the event.
        texture_auc: AUC of the lesion's shape and texture on the event MRI.
        combined_auc: AUC of all evidence together. Where it is above what independent evidence would give, dose and
            texture depend on each other within each class so that it is met: where the dose misleads, the texture
            tends not to. None: they are independent.
        recurrence_share: share of recurrences.
    """

    dose_auc: float = 0.65
    periventricular_odds_ratio: float = 2.5
    periventricular_share: float = 0.40
    time_auc: float = 0.62
    texture_auc: float = 0.70
    combined_auc: float | None = 0.85
    recurrence_share: float = 55 / 92


SETTINGS = {
    "default": Strengths(),
    "strong-dose": Strengths(dose_auc=0.80, combined_auc=None),
    "zero-dose": Strengths(dose_auc=0.50, combined_auc=None),
}
"""The named settings of ``scripts/make_cohort.py --strengths``."""
