"""The dose of one course of radiotherapy, and the sum of several on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from treatment_response.geometry.eqd2 import equivalent_dose
from treatment_response.geometry.volume import Volume
from treatment_response.problems import DataProblem, Problem

LEAST_REACHED = 0.5
"""Share of a dose's highest value that it must reach where the patient is; below it, it lies elsewhere.

What is treated lies in the brain, so a dose in its place has its highest value there, but for what resampling takes. Of
a dose in a wrong frame of reference at most the fall-off comes in. Half lies far from both.
"""


@dataclass(frozen=True)
class CourseDose:
    """What one course delivered.

    Attributes:
        volume: Gy, or Gy(RBE) if `effective`, on its own grid.
        frame_uid: frame of reference that the grid lies in; empty where it is the image's own.
        fractions: that were delivered; None if nobody says.
        fractions_from: who says so: ``treatment records``, ``the plan`` or ``the table``.
        planned_fractions: in which the prescription is to be given; None if nobody says.
        prescription_gy: None if there is none.
        radiation: ``PHOTON``, ``PROTON``, …; empty if it is not stated.
        effective: the dose is weighted by the relative biological effectiveness.
        notes: what a reader has to know, without subject.
    """

    volume: Volume
    frame_uid: str = ""
    fractions: int | None = None
    fractions_from: str = ""
    planned_fractions: int | None = None
    prescription_gy: float | None = None
    radiation: tuple[str, ...] = ()
    effective: bool = False
    notes: tuple[str, ...] = ()

    def as_eqd2(self, alpha_beta_gy: float, where: str = "dose") -> CourseDose:
        """The same course with its dose as EQD2, see `equivalent_dose`. The prescription stays physical.

        Raises:
            DataProblem: the number of fractions is not known.
        """
        if self.fractions is None:
            what = "the number of fractions is not known, so EQD2 cannot be computed"
            remedy = "export the plan or the treatment records, or take physical dose (--dose physical)"
            raise DataProblem(Problem(where, what, remedy))
        array = equivalent_dose(self.volume.array, self.fractions, alpha_beta_gy)
        return replace(self, volume=Volume(array.astype(np.float32), self.volume.affine))

    def isodose(self, share: float, alpha_beta_gy: float | None) -> float | None:
        """The dose on the surface where a share of the prescription is given; None without a prescription.

        Args:
            share: of the prescription, such as 0.95.
            alpha_beta_gy: the surface's EQD2 is asked for, as of `as_eqd2`; None: its physical dose.
        """
        fractions = self.planned_fractions or self.fractions
        if self.prescription_gy is None or (alpha_beta_gy is not None and fractions is None):
            return None
        dose = share * self.prescription_gy
        if alpha_beta_gy is None or fractions is None:
            return dose
        return float(equivalent_dose(dose, fractions, alpha_beta_gy))


def summed_isodose(doses: Sequence[CourseDose], share: float, alpha_beta_gy: float | None) -> float | None:
    """The summed dose where all courses give a share of their prescriptions, see `CourseDose.isodose`.

    Returns:
        Gy; None if one of the courses has no prescription.
    """
    levels = [dose.isodose(share, alpha_beta_gy) for dose in doses]
    return None if any(level is None for level in levels) else sum(level for level in levels if level is not None)


def dose_unit(doses: Sequence[CourseDose], is_eqd2: bool) -> str:
    """What a sum of these doses is, such as ``EQD2 Gy``, ``physical Gy`` or ``Gy(RBE)``."""
    kinds = {dose.effective for dose in doses}
    unit = {frozenset({True}): "Gy(RBE)", frozenset({False}): "Gy"}.get(frozenset(kinds), "Gy and Gy(RBE)")
    return f"EQD2 {unit}" if is_eqd2 else f"physical {unit}".replace("physical Gy(RBE)", unit)
