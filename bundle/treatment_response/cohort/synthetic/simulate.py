"""Draw a whole cohort: patients, their sessions and their lesions. Cheap; no image is made here."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from treatment_response.cohort.synthetic import biology
from treatment_response.cohort.synthetic.anatomy import Anatomy
from treatment_response.cohort.synthetic.fields import random_field
from treatment_response.cohort.synthetic.head import HeadShape, lobe_and_side, random_head, room_in_brain
from treatment_response.cohort.synthetic.lesion import (
    NICHE_KINDS,
    NICHE_WAVELENGTHS_MM,
    SHAPE_RANGE,
    TEXTURE_WAVELENGTHS_MM,
    Lesion,
    drawn_volume,
    inside_points,
    niche_threshold,
    random_shape,
)
from treatment_response.problems import DataProblem, Problem

NICHE_WAVES = 24
TEXTURE_WAVES = 48
RADIUS_MEDIAN_MM = 7.0
RADIUS_LOG_SD = 0.33
RADIUS_RANGE_MM = (4.0, 12.0)
MOST_GROWTH = math.exp(biology.LOG_RATIO_RANGE[1] / 3)
GAP_MM = 3.0
TYPICAL_GRADIENT_INDEX = (2.8, 0.15)
SHALLOW_DOSE_SHARE = 3 / 69
NAME_STYLES = ("GTV_{n:02d} {side} {lobe}", "gtv {n} {side} {lobe}", "GTV{n}_{side}_{lobe}", "Met {n} {lobe} {side}")


@dataclass(frozen=True)
class Session:
    """One visit.

    Attributes:
        day: days from MRI 1.
        rotation: ``(3, 3)``, head axes to scanner axes.
        shift: ``(3,)`` scanner RAS mm of the head's centre.
        contrast: whether contrast agent was given.
    """

    day: int
    rotation: np.ndarray
    shift: np.ndarray
    contrast: bool

    def to_world(self, head_points: np.ndarray) -> np.ndarray:
        """Scanner RAS mm of head coordinates ``(N, 3)``."""
        return head_points @ self.rotation.T + self.shift

    def to_head(self, world_points: np.ndarray) -> np.ndarray:
        """Head coordinates of scanner RAS mm ``(N, 3)``."""
        return (world_points - self.shift) @ self.rotation


@dataclass(frozen=True)
class Patient:
    """One synthetic patient: ``SYN001``, the scanner (``A`` or ``B``), head, three sessions and lesions."""

    patient_id: str
    index: int
    scanner: str
    head: HeadShape
    sessions: tuple[Session, Session, Session]
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True)
class SyntheticCohort:
    """All that is true about a synthetic cohort.

    Attributes:
        patients: in order of their ids.
        niche: ``texture`` or ``intensity``.
        seed: the cohort is a function of its arguments and this seed.
        non_response: expected share of non-response.
        biology: the calibrated label model.
        anatomy: the real head that stands in for the rendered ones, or None.
    """

    patients: tuple[Patient, ...]
    niche: str
    seed: int
    non_response: float
    biology: biology.Biology
    anatomy: Anatomy | None = None


def draw_radius(rng: np.random.Generator) -> float:
    """Radius in mm of a lesion's volume-equivalent ball at MRI 1: log-normal, cut at its ends."""
    return float(np.clip(RADIUS_MEDIAN_MM * np.exp(RADIUS_LOG_SD * rng.standard_normal()), *RADIUS_RANGE_MM))


def simulate_cohort(
    patients: int = 39,
    lesions: int = 69,
    seed: int = 0,
    non_response: float = 0.35,
    niche: str = "texture",
    anatomy: Anatomy | None = None,
) -> SyntheticCohort:
    """Draw patients and lesions with a known truth.

    Args:
        patients: number of patients, at least 1.
        lesions: number of lesions in all; every patient has at least one, none more than eight.
        seed: the same arguments and seed give the same cohort.
        non_response: expected share of lesions that do not respond, between 0 and 1 (both excluded).
        niche: how the resistant niche looks, ``texture`` or ``intensity``.
        anatomy: a real head to plant all lesions into, instead of rendered heads.

    Raises:
        DataProblem: arguments outside these ranges.
    """
    _check(patients, lesions, non_response, niche)
    model = biology.calibrate(non_response)
    rng = np.random.default_rng([seed, 0])
    counts = np.ones(patients, dtype=int)
    while counts.sum() < lesions:
        open_patients = np.flatnonzero(counts < 8)
        counts[rng.choice(open_patients)] += 1
    burdens = np.split(biology.draw_burdens(rng, lesions), np.cumsum(counts)[:-1])
    drawn = [_draw_patient(index, own, seed, model, niche, anatomy) for index, own in enumerate(burdens)]
    return SyntheticCohort(tuple(_with_one_vanished(drawn)), niche, seed, non_response, model, anatomy)


def _check(patients: int, lesions: int, non_response: float, niche: str) -> None:
    problems = []
    if patients < 1 or not patients <= lesions <= 8 * patients:
        problems.append(
            Problem(
                "synthetic cohort",
                f"{patients} patients with {lesions} lesions; each patient has one to eight",
                "choose at least one patient and between 1 and 8 lesions per patient",
            )
        )
    if not 0.02 <= non_response <= 0.98:
        problems.append(
            Problem("synthetic cohort", f"share of non-response {non_response}", "choose a share from 0.02 to 0.98")
        )
    if niche not in NICHE_KINDS:
        problems.append(
            Problem("synthetic cohort", f"unknown niche '{niche}'", f"choose one of {', '.join(NICHE_KINDS)}")
        )
    if problems:
        raise DataProblem(*problems)


def _draw_patient(
    index: int, burdens: np.ndarray, seed: int, model: biology.Biology, niche: str, anatomy: Anatomy | None
) -> Patient:
    rng = np.random.default_rng([seed, 1, index])
    scanner = "A" if rng.random() < 0.55 else "B"
    head = random_head(rng)
    if anatomy is not None:
        head = replace(head, brain_mm=anatomy.half_extent_mm)
    sessions = _draw_sessions(rng)
    style = NAME_STYLES[rng.integers(len(NAME_STYLES))]
    prescription = float(rng.choice([15.0, 16.5, 18.0]))
    radii = [draw_radius(rng) for _ in burdens]
    centres = _place(rng, head, anatomy, radii)
    lesions = []
    for number, (radius, centre, burden) in enumerate(zip(radii, centres, burdens, strict=True), start=1):
        own = np.random.default_rng([seed, 2, index, number])
        lesions.append(_draw_lesion(own, number, radius, centre, float(burden), model, niche, prescription, style))
    return Patient(f"SYN{index + 1:03d}", index, scanner, head, sessions, tuple(lesions))


def _draw_sessions(rng: np.random.Generator) -> tuple[Session, Session, Session]:
    days = (0, int(rng.integers(18, 26)), int(rng.integers(80, 106)))
    isocentre = rng.normal([0, 12, -15], [3, 6, 8])
    base = rng.normal(0, 2.0, 3)
    sessions = []
    for day in days:
        rotation = rotation_about_axes(np.deg2rad(base + rng.normal(0, 1.2, 3)))
        sessions.append(Session(day, rotation, isocentre + rng.normal(0, 1.8, 3), contrast=day != days[2]))
    return sessions[0], sessions[1], sessions[2]


def rotation_about_axes(angles: np.ndarray) -> np.ndarray:
    """Rotation ``(3, 3)`` about x, then y, then z, angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _place(rng: np.random.Generator, head: HeadShape, anatomy: Anatomy | None, radii: list[float]) -> list[np.ndarray]:
    """Centres inside the brain without overlap.

    Between lesions, room is kept for the largest growth that any lesion could have, whatever happens to this one:
    otherwise position would tell the outcome. Inside the brain, a lesion fits as it is at MRI 1.
    """
    extent = [radius * SHAPE_RANGE[1] for radius in radii]
    largest_first = sorted(range(len(radii)), key=lambda i: -radii[i])
    for _ in range(50):
        centres: dict[int, np.ndarray] = {}
        for own in largest_first:
            for _ in range(400):
                centre = rng.uniform(-1, 1, 3) * head.brain_mm
                apart = all(
                    np.linalg.norm(centre - other) > (extent[own] + extent[placed]) * MOST_GROWTH + GAP_MM
                    for placed, other in centres.items()
                )
                room = room_in_brain(head, centre) if anatomy is None else anatomy.room(centre)
                if apart and room > extent[own]:
                    centres[own] = centre
                    break
            else:
                break
        if len(centres) == len(radii):
            return [centres[own] for own in range(len(radii))]
    raise DataProblem(
        Problem(
            "synthetic cohort", f"no room for {len(radii)} lesions in one head", "ask for fewer lesions per patient"
        )
    )


def _draw_lesion(
    rng: np.random.Generator,
    number: int,
    radius: float,
    centre: np.ndarray,
    burden: float,
    model: biology.Biology,
    niche_kind: str,
    prescription: float,
    name_style: str,
) -> Lesion:
    shape = random_shape(rng)
    niche = random_field(rng, NICHE_WAVELENGTHS_MM, NICHE_WAVES)
    threshold = niche_threshold(niche, inside_points(shape, radius), burden)
    final = model.mean_log_ratio(burden, prescription) + biology.biological_sd(radius) * rng.standard_normal()
    early = biology.EARLY_SHARE * final + biology.EARLY_SD * rng.standard_normal()
    low, high = biology.LOG_RATIO_RANGE
    log_ratios = (0.0, float(np.clip(early, low, high)), float(np.clip(final, low, high)))
    offsets = tuple(float(offset) for offset in biology.CONTOUR_SD_MM * rng.standard_normal(3))
    drawn = [
        drawn_volume(shape, radius * math.exp(ratio / 3), offset)
        for ratio, offset in zip(log_ratios, offsets, strict=True)
    ]
    usual, spread = TYPICAL_GRADIENT_INDEX
    shallow = rng.random() < SHALLOW_DOSE_SHARE
    lobe, side = lobe_and_side(centre)
    return Lesion(
        lesion=f"L{number:02d}",
        roi_name=name_style.format(n=number, side=side, lobe=lobe),
        site=f"{lobe} {side}",
        centre=centre,
        radius_mm=radius,
        shape=shape,
        rim_mm=float(rng.uniform(0.8, 2.2)),
        necrosis=float(rng.choice([0.0, rng.uniform(0.25, 0.55)], p=[0.3, 0.7])),
        niche_kind=niche_kind,
        niche=niche,
        niche_threshold=threshold,
        burden=burden,
        texture=random_field(rng, TEXTURE_WAVELENGTHS_MM, TEXTURE_WAVES),
        log_ratios=log_ratios,
        offsets_mm=(offsets[0], offsets[1], offsets[2]),
        p_response=float(model.p_response(burden, prescription)),
        label=int(drawn[2] / drawn[0] < biology.RESPONSE_RATIO),
        vanished=False,
        prescription_gy=prescription,
        gradient_index=float(rng.uniform(4.3, 5.0) if shallow else rng.normal(usual, spread)),
    )


def _with_one_vanished(patients: list[Patient]) -> list[Patient]:
    """The responder that shrinks most in mm is gone at follow-up; its label stays what it was."""
    size = {
        (patient.index, lesion.lesion): lesion.radius_mm * lesion.growth(2)
        for patient in patients
        for lesion in patient.lesions
        if lesion.label == 1
    }
    if not size:
        return patients
    index, name = min(size, key=lambda key: size[key])
    lesions = tuple(replace(lesion, vanished=lesion.lesion == name) for lesion in patients[index].lesions)
    patients[index] = replace(patients[index], lesions=lesions)
    return patients
