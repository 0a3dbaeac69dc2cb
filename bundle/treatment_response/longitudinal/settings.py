"""How cases of several studies are prepared."""

from __future__ import annotations

from dataclasses import dataclass

from treatment_response.classes import Classes
from treatment_response.geometry.eqd2 import BRAIN_ALPHA_BETA_GY
from treatment_response.text_enum import TextEnum

CLASSES = Classes(("radiation effect", "recurrence"), "recurrence", "auc")
MIXED = "mixed"
"""A label that is neither class: told, counted and left out."""
CASE = "event"
IMAGES = ("post_operative", "event", "dose", "brain")
WORDS = {
    "title": "Radiation effect or recurrence",
    "question": "Is a new contrast enhancement after radiotherapy a recurrence or an effect of the radiation?",
    "case": "event",
    "cases": "events",
}


class DoseScale(TextEnum):
    """What the voxels of the dose are."""

    EQD2 = "eqd2"
    PHYSICAL = "physical"


@dataclass(frozen=True)
class LongitudinalSettings:
    """How patients are prepared.

    Attributes:
        dose: EQD2 per course and voxel, or physical dose; both are summed over the courses.
        alpha_beta_gy: of EQD2.
        roi: names of ROIs that outline the lesion at the event; None: names that clinics give to lesions.
        folds: by patient. test_patients: apart from them, stratified by class.
        seed: of folds and test patients.
    """

    dose: DoseScale = DoseScale.EQD2
    alpha_beta_gy: float = BRAIN_ALPHA_BETA_GY
    roi: str | None = None
    folds: int = 5
    test_patients: int = 12
    seed: int = 0

    @property
    def dose_text(self) -> str:
        """As ``dataset.json`` says it."""
        if self.dose == DoseScale.PHYSICAL:
            return "physical, Gy"
        return f"EQD2, alpha/beta {self.alpha_beta_gy:g} Gy"
