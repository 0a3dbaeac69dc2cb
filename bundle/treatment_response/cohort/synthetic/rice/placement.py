"""Place one patient's cavity, target and lesion so that dose and ventricles are what the evidence says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import norm

from treatment_response.cohort.synthetic.fields import WaveField, random_field
from treatment_response.cohort.synthetic.lesion import random_shape
from treatment_response.cohort.synthetic.rice.dose import TECHNIQUES, Treatment, relative_dose
from treatment_response.cohort.synthetic.rice.head import template_head
from treatment_response.cohort.synthetic.rice.label_model import DOSE, TEXTURE
from treatment_response.cohort.synthetic.rice.region import (
    CAVITY_SPREAD,
    RIM_WAVELENGTHS_MM,
    Lesion,
    Region,
    lesion_shape,
    random_lesion,
)
from treatment_response.cohort.synthetic.rice.simulate import RicePatient
from treatment_response.problems import DataProblem, Problem

TYPICAL_OUTSIDE_MM, OUTSIDE_SD_MM, OUTSIDE_RANGE_MM = -2.0, 5.0, (-14.0, 9.0)
BESIDE_MM, ELSEWHERE_MM = 5.0, 10.0
"""Distance from the lesion's surface to the ventricles: at most, where it lies beside them, and else at least."""
INSIDE = 0.99
ATTEMPTS, ROUNDS, CLOSEST, POINTS_PER_RADIUS, DOSE_TOLERANCE = 200, 3, 30, 4, 0.008


@dataclass(frozen=True)
class Planted:
    """What was planted into one patient's head.

    Attributes:
        cavity: of the operation.
        cavity_rim: where the cavity's rim enhances.
        treatment: of the tumour that lay there.
        lesion: new at the event.
    """

    cavity: Region
    cavity_rim: WaveField
    treatment: Treatment
    lesion: Lesion

    def ventricle_distance_mm(self) -> float:
        """Distance in mm from the lesion's surface to the lateral ventricles, of the ball of its volume; 0 if less."""
        region = self.lesion.region
        distance = self.treatment.head.sample(template_head().ventricle_distance, region.centre[None])[0]
        return max(float(distance) - region.radius_mm, 0.0)


def planned_relative_dose(dose: np.ndarray | float) -> np.ndarray:
    """Mean dose of the lesion relative to the prescription, of the evidence on dose: what `plant` realises."""
    outside = np.clip(TYPICAL_OUTSIDE_MM + OUTSIDE_SD_MM * np.asarray(dose), *OUTSIDE_RANGE_MM)
    return relative_dose(outside, TECHNIQUES["PHOTON"])


def plant(patient: RicePatient, seed: int) -> Planted:
    """Place a patient's regions; the same arguments give the same places.

    Raises:
        DataProblem: no place was found.
    """
    rng = np.random.default_rng([seed, 22, patient.index])
    solidity = float(norm.cdf(patient.evidence.numbers[0, TEXTURE]))
    surface = lesion_shape(solidity, rng)
    cavity_surface = random_shape(rng, CAVITY_SPREAD)
    wanted = float(planned_relative_dose(patient.evidence.numbers[0, DOSE]))
    technique = TECHNIQUES[patient.facts.modality]
    for _ in range(ATTEMPTS):
        cavity = Region(_random_tumour_place(patient, rng), patient.cavity_radius_mm, cavity_surface)
        treatment = Treatment(patient.head, cavity, patient.margin_mm, technique, patient.facts.parts)
        region = Region(cavity.centre, patient.lesion_radius_mm, surface)
        centre = _lesion_place(patient, treatment, region, wanted, rng)
        if centre is not None:
            lesion = random_lesion(Region(centre, region.radius_mm, surface), solidity, rng)
            return Planted(cavity, random_field(rng, RIM_WAVELENGTHS_MM, 10), treatment, lesion)
    raise DataProblem(
        Problem("synthetic cohort", "found no place for a lesion with its dose", "choose another seed or strengths")
    )


@lru_cache(maxsize=1)
def _places() -> np.ndarray:
    """Points ``(N, 3)`` of the supratentorial brain, about head RAS mm, 2 mm apart."""
    upper = template_head().supratentorial
    return upper.to_world(np.argwhere(upper.array > 0))


def _random_tumour_place(patient: RicePatient, rng: np.random.Generator) -> np.ndarray:
    """A point in a hemisphere from which the cavity does not reach far beyond its surface, nor into the ventricles."""
    places = _places()[rng.integers(len(_places()), size=400)]
    head = template_head()
    deep = patient.head.sample(head.depth, places) > 0.8 * patient.cavity_radius_mm
    away = patient.head.sample(head.ventricle_distance, places) > 0.7 * patient.cavity_radius_mm
    upper = patient.head.sample(head.supratentorial, places) > INSIDE
    lateral = np.abs(places[:, 0]) > 0.9 * patient.cavity_radius_mm
    return places[np.flatnonzero(deep & away & upper & lateral)[0]]


def _lesion_place(
    patient: RicePatient, treatment: Treatment, region: Region, wanted: float, rng: np.random.Generator
) -> np.ndarray | None:
    """A centre where the lesion has the wanted mean relative dose and lies beside the ventricles or not; None: none."""
    near = np.linalg.norm(_places() - region.centre, axis=1) < treatment.tumour.reach_mm + treatment.margin_mm + 15
    places = _places()[near]
    radius, head = region.radius_mm, template_head()
    ventricle = patient.head.sample(head.ventricle_distance, places)
    beside = (ventricle > 0.5 * radius) & (ventricle < radius + BESIDE_MM)
    fits = beside if patient.evidence.beside_ventricle[0] else ventricle > radius + ELSEWHERE_MM
    fits = fits & (patient.head.sample(head.depth, places) > radius)
    fits &= patient.head.sample(head.supratentorial, places) > INSIDE
    fits &= treatment.tumour.outside(places) > 0.3 * radius
    places = places[fits]
    if not len(places):
        return None
    # The mean over the lesion differs from the dose at its centre by about the same everywhere; few need averaging.
    at_centre, shift = treatment.relative(places), 0.0
    inside = region.points(POINTS_PER_RADIUS) - region.centre
    for _ in range(ROUNDS):
        order = np.argsort(np.abs(at_centre + shift - wanted))[: 4 * CLOSEST]
        chosen = rng.permutation(order)[:CLOSEST]
        points = (places[chosen][:, None] + inside[None]).reshape(-1, 3)
        mean = treatment.relative(points).reshape(len(chosen), -1).mean(axis=1)
        best = int(np.abs(mean - wanted).argmin())
        if abs(mean[best] - wanted) < DOSE_TOLERANCE:
            return places[chosen[best]]
        shift = float(np.median(mean - at_centre[chosen]))
    return None
