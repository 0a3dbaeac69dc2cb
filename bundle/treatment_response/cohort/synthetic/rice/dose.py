"""The dose of a glioblastoma's radiotherapy: homogeneous in the target, falling off around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from treatment_response.cohort.synthetic.rice.head import PatientHead, template_head
from treatment_response.cohort.synthetic.rice.region import Region
from treatment_response.cohort.synthetic.simulate import Session
from treatment_response.geometry import Volume

CENTRAL_RISE = 0.002
"""The dose rises by this share of the prescription per mm below the target's surface."""
SURFACE_LEVEL = 1.03
ISODOSE = 0.95
"""The target's surface lies on this isodose."""
BEYOND_BRAIN_MM = 3.0
ALPHA_BETA_GY = 2.0
GRID_MM = (2.5, 2.5, 3.0)
TIGHT_MARGIN_MM, WIDE_MARGIN_MM = 28.0, 60.0
BEAMS = 3
BEAM_DIRECTIONS = np.array([[1.0, 0.3, 0.2], [-0.8, 0.7, 0.1], [0.1, -0.9, 0.5]])


@dataclass(frozen=True)
class Technique:
    """How a kind of radiation falls off.

    Attributes:
        width_mm: width of the logistic edge.
        bath: share of the prescription far from the target; falls off over 30 mm.
        dose_type: Dose Type of its RT Dose: protons are planned in Gy(RBE).
    """

    width_mm: float
    bath: float
    dose_type: str


TECHNIQUES = {"PHOTON": Technique(4.0, 0.18, "PHYSICAL"), "PROTON": Technique(4.4, 0.05, "EFFECTIVE")}


def relative_dose(outside_mm: np.ndarray | float, technique: Technique) -> np.ndarray:
    """Dose relative to the prescription at a distance in mm beyond the target's surface (negative: inside it)."""
    outside = np.asarray(outside_mm, dtype=float)
    half = technique.width_mm * np.log(1 / (SURFACE_LEVEL / ISODOSE - 1))
    edge = 1 / (1 + np.exp(np.clip((outside - half) / technique.width_mm, -50, 50)))
    bath = technique.bath * np.exp(-np.maximum(outside - half, 0) / 30) * (1 - edge)
    return (SURFACE_LEVEL + CENTRAL_RISE * np.maximum(-outside, 0)) * edge + bath


def distance_of_dose(relative: float, technique: Technique) -> float:
    """The distance in mm beyond the target's surface where the dose, relative to the prescription, is this."""
    return float(brentq(lambda outside: float(relative_dose(outside, technique)) - relative, -40.0, 40.0))


@dataclass(frozen=True)
class Part:
    """One plan of a treatment: its dose in Gy at the prescription, its fractions, and how far its target is smaller.

    Attributes:
        prescription_gy: of the plan.
        fractions: delivered and planned.
        shrink_mm: how far inside the treatment's target this plan's target lies.
    """

    prescription_gy: float
    fractions: int
    shrink_mm: float = 0.0


@dataclass(frozen=True)
class Treatment:
    """All plans given to one target.

    Attributes:
        head: for the brain's surface, which cuts the target.
        tumour: what was operated on.
        margin_mm: of the target around it.
        technique: of all plans.
        parts: the plans, first to last.
    """

    head: PatientHead
    tumour: Region
    margin_mm: float
    technique: Technique
    parts: tuple[Part, ...]

    @property
    def prescription_gy(self) -> float:
        """Of all plans together."""
        return sum(part.prescription_gy for part in self.parts)

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Distance in mm beyond the target's surface of head points ``(N, 3)``; the target ends near the brain's."""
        beyond_brain = self.head.sample(template_head().height, points) - BEYOND_BRAIN_MM
        return np.maximum(self.tumour.outside(points) - self.margin_mm, beyond_brain)

    def doses(self, points: np.ndarray) -> np.ndarray:
        """Gy of each plan ``(P, N)`` at head points ``(N, 3)``."""
        outside = self.outside(points)
        return np.stack(
            [part.prescription_gy * relative_dose(outside + part.shrink_mm, self.technique) for part in self.parts]
        )

    def relative(self, points: np.ndarray) -> np.ndarray:
        """Dose of all plans ``(N,)`` relative to the prescription of all of them."""
        return self.doses(points).sum(axis=0) / self.prescription_gy

    def eqd2(self, points: np.ndarray) -> np.ndarray:
        """EQD2 in Gy of all plans ``(N,)``: the sum of D · (D / n + α/β) / (2 + α/β), α/β 2 Gy."""
        fractions = np.array([part.fractions for part in self.parts])[:, None]
        doses = self.doses(points)
        return (doses * (doses / fractions + ALPHA_BETA_GY) / (2 + ALPHA_BETA_GY)).sum(axis=0)

    def on_grid(self, session: Session, margin_mm: float, number: int) -> Volume:
        """One plan's dose in Gy on an axial grid in a session's scanner mm, ``margin_mm`` around the target."""
        grid = self.empty_grid(session, margin_mm)
        points = _grid_points(grid)
        dose = self.doses(session.to_head(points))[number]
        return Volume(dose.astype(np.float32).reshape(grid.array.shape), grid.affine)

    def empty_grid(self, session: Session, margin_mm: float) -> Volume:
        """The grid of `on_grid`, all zero."""
        centre = session.to_world(self.tumour.centre[None])[0]
        reach = self.tumour.reach_mm + self.margin_mm + margin_mm
        shape = np.ceil(2 * reach / np.array(GRID_MM)).astype(int)
        affine = np.diag([-GRID_MM[0], -GRID_MM[1], GRID_MM[2], 1.0])
        affine[:3, 3] = np.round(centre + reach * np.array([1.0, 1.0, -1.0]))
        return Volume(np.zeros(shape, dtype=np.float32), affine)


def _grid_points(volume: Volume) -> np.ndarray:
    index = np.stack(np.meshgrid(*(np.arange(size) for size in volume.array.shape), indexing="ij"), axis=-1)
    return volume.to_world(index.reshape(-1, 3))


def split_into_beams(plan: Volume) -> list[Volume]:
    """Doses of three beams that add up to a plan's dose, each heavier on its own side."""
    points = _grid_points(plan)
    offsets = points - points.mean(axis=0)
    directions = BEAM_DIRECTIONS / np.linalg.norm(BEAM_DIRECTIONS, axis=1, keepdims=True)
    weights = np.exp(offsets @ directions.T / 60)
    weights /= weights.sum(axis=1, keepdims=True)
    shape = plan.array.shape
    return [
        Volume((plan.array * weights[:, beam].reshape(shape)).astype(np.float32), plan.affine) for beam in range(BEAMS)
    ]
