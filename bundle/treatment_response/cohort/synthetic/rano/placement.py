"""Where a patient's tumour lies: its first focus deep in one hemisphere, further ones around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from treatment_response.cohort.synthetic.rano.course import CoursePatient
from treatment_response.cohort.synthetic.rice.head import PatientHead, random_patient_head, template_head

_DEPTH_MM = 12.0
_NEAR_MM = (25.0, 45.0)
"""Distance of a further focus from the first one."""
_ATTEMPTS = 400


@dataclass(frozen=True)
class Place:
    """The centre ``(3,)`` of a focus, head RAS mm."""

    centre: np.ndarray


@dataclass(frozen=True)
class PlacedPatient:
    """A patient's course, head, and the place of every focus that it ever has."""

    course: CoursePatient
    head: PatientHead
    places: Mapping[str, Place]


def place_patient(patient: CoursePatient, seed: int) -> PlacedPatient:
    """Draw the head and the places."""
    rng = np.random.default_rng([seed, 33, patient.index])
    head = random_patient_head(rng)
    names = sorted({name for study in patient.studies for name in study.foci}, key=lambda name: int(name[1:]))
    places: dict[str, Place] = {}
    for name in names:
        first = next(iter(places.values())).centre if places else None
        places[name] = Place(_inside(head, first, rng))
    return PlacedPatient(patient, head, places)


def _inside(head: PatientHead, first: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """A point well inside the brain above the tentorium, at some distance of the first focus if there is one."""
    best, deepest = np.zeros(3), -np.inf
    for _ in range(_ATTEMPTS):
        if first is None:
            point = np.array([rng.choice([-1, 1]) * rng.uniform(18, 50), rng.uniform(-75, 40), rng.uniform(-5, 50)])
        else:
            direction = rng.standard_normal(3)
            point = first + direction / np.linalg.norm(direction) * rng.uniform(*_NEAR_MM)
        depth = float(head.sample(template_head().depth, point[None])[0])
        above = float(head.sample(template_head().supratentorial, point[None])[0])
        depth = depth if above > 0.5 else -1.0
        if depth > _DEPTH_MM:
            return point
        if depth > deepest:
            best, deepest = point, depth
    return best
