"""How much each part of the evidence tells about the label: every number here is an assumption and a parameter.

No published cohort gives these numbers together. Each is chosen here; what is known of its direction, and where that
was read (abstracts and summaries, November 2026):

* Shares of the classes: 55 recurrences and 37 radiation effects, as RICE-NET's 48 + 7 and 32 + 5 (arXiv 2603.11827).
* Dose: assumed. Both classes lie mostly in or near the treated volume, so dose alone tells little, and radiation
  effects are taken to lie in the higher dose. RICE-NET's F1 from dose alone (0.78) is what the strong setting means.
* Ventricles: radiation-induced enhancement was found more often beside them, in 42 glioma patients after protons
  (Eulitz et al., Radiother Oncol 178, 2023, 109422: centres 2.1 mm from them in the median) and in 152 patients after
  photons or protons (arXiv 2604.10174). These compare places of the brain, not radiation effects with recurrences. In
  93 glioblastomas enhancement along the ventricles' wall spoke for progression (Young et al., Neurology 76, 2011,
  1918). The odds ratio, and even its direction between the classes, is an assumption.
* Time: assumed. A review gives 2 to 6 months for pseudoprogression, 6 to 12 and more for necrosis, and any time for
  recurrence (Future Oncol 10, 2014, 1277, Table 1), so the strength is small.
* Shape and texture: assumed. Necrosis is said to look like soap bubbles or Swiss cheese (the same table). Of eleven
  signs on conventional MRI ten told nothing in those 93 patients.
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
