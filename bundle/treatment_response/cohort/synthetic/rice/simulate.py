"""Draw a whole cohort: labels, evidence, treatments and visits. Cheap; nothing is placed or rendered here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from treatment_response.cohort.synthetic.rice.dose import Part
from treatment_response.cohort.synthetic.rice.head import PatientHead, random_patient_head
from treatment_response.cohort.synthetic.rice.label_model import TIME, Evidence, LabelModel
from treatment_response.cohort.synthetic.rice.strengths import SETTINGS
from treatment_response.cohort.synthetic.simulate import Session, rotation_about_axes
from treatment_response.problems import DataProblem, Problem

RECURRENCE, EFFECT, MIXED = "recurrence", "radiation effect", "mixed"
SITES = ("A", "B", "C")
SPACING_RANGE_MM = (0.6, 4.0)
LESION_MM, CAVITY_MM, MARGIN_MM = (5.0, 11.0), (11.0, 18.0), (18.0, 24.0)
LESION_MEDIAN_MM, LESION_LOG_SD = 8.0, 0.22
MONTHS_MEDIAN, MONTHS_LOG_SD, MONTHS_RANGE = 8.0, 0.5, (2.3, 48.0)
DAYS_PER_MONTH = 30.4375
# Prescription in Gy and fractions: their EQD2 differ little, so that the prescription blurs the dose little.
SINGLE_PLANS = ((60.0, 30), (59.4, 33), (40.05, 15))
SINGLE_SHARES = (0.78, 0.18, 0.04)
BOOST = (Part(50.0, 25), Part(10.0, 5, shrink_mm=4.0))
LATER = Part(35.0, 10)
DOSE_KINDS = ("PLAN", "BEAM", "TWO PLANS", "TWO PLANS AND MULTI_PLAN")
DOSE_SHARES = (0.45, 0.15, 0.20, 0.20)
PROTON_SHARE, OWN_FRAME_SHARE, WIDE_GRID_SHARE, OUTLINE_SHARE = 0.4, 0.45, 0.4, 0.7
BETWEEN_SHARE, LATER_STUDY_SHARE, PLAIN_SHARE, BIOPSY_SHARE = 0.2, 0.12, 0.12, 0.7
LATER_COURSE_SHARE = 0.25
"""Of the recurrences: a course that is given because of the event says what it was."""


@dataclass(frozen=True)
class Facts:
    """What a hospital does with a patient, and what of it says nothing about the label.

    Attributes:
        site: hospital and scanner, ``A``, ``B`` or ``C``.
        modality: ``PHOTON`` or ``PROTON``.
        dose_kind: one of `DOSE_KINDS`.
        parts: the plans before the event.
        own_frame: the plan lies on an MR of its own, in a frame of reference of its own.
        wide_grid: the dose grid reaches far beyond the target.
        outline: the lesion was drawn at the event.
        plain: the post-operative study also has a T1 without contrast agent.
        biopsy: where the label comes from; otherwise follow-up.
    """

    site: str
    modality: str
    dose_kind: str
    parts: tuple[Part, ...]
    own_frame: bool
    wide_grid: bool
    outline: bool
    plain: bool
    biopsy: bool


@dataclass(frozen=True)
class Visit:
    """One MR examination: day after the operation, pose, and how much of the lesion is there (1: as at the event)."""

    day: int
    session: Session
    lesion: float = 0.0


@dataclass(frozen=True)
class Days:
    """Days after the operation: plans (one per part), last fraction, event, label, and a later course if any."""

    plans: tuple[int, ...]
    last_fraction: int
    event: int
    label: int
    later_course: int | None


@dataclass(frozen=True)
class RicePatient:
    """One synthetic patient.

    Attributes:
        patient_id: ``RICE001``.
        index: from 0.
        label: ``recurrence``, ``radiation effect`` or ``mixed``.
        evidence: of this one patient.
        months: from the last fraction to the event.
        facts, days: what was done and when.
        head: its deformation.
        lesion_radius_mm, cavity_radius_mm, margin_mm: sizes; none says anything about the label.
        visits: ``post-operative``, ``event``, and where they took place ``planning``, ``between``, ``later``.
    """

    patient_id: str
    index: int
    label: str
    evidence: Evidence
    months: float
    facts: Facts
    days: Days
    head: PatientHead
    lesion_radius_mm: float
    cavity_radius_mm: float
    margin_mm: float
    visits: dict[str, Visit]

    @property
    def planning_visit(self) -> str:
        """The visit in whose frame of reference the dose lies."""
        return "planning" if "planning" in self.visits else "post-operative"


@dataclass(frozen=True)
class RiceCohort:
    """All that is true about a synthetic cohort.

    Attributes:
        patients: in order of their ids.
        model: the label model.
        setting: name of its strengths.
        seed: the cohort is a function of its arguments and this seed.
        spacing_mm: pixel of site A's scanner; all voxels scale with it.
    """

    patients: tuple[RicePatient, ...]
    model: LabelModel
    setting: str
    seed: int
    spacing_mm: float


def simulate_rice(
    patients: int = 92, mixed: int = 3, seed: int = 0, setting: str = "default", spacing_mm: float = 1.0
) -> RiceCohort:
    """Draw patients with a known truth.

    Args:
        patients: with a label, at least 2; 55 of 92 are recurrences, others in proportion.
        mixed: patients beyond them whose label is ``mixed``.
        seed: the same arguments and seed give the same cohort.
        setting: one of `SETTINGS`.
        spacing_mm: pixel of site A's scanner, 0.6 to 4 mm.

    Raises:
        DataProblem: arguments outside these ranges.
    """
    _check(patients, mixed, setting, spacing_mm)
    model = LabelModel(SETTINGS[setting])
    rng = np.random.default_rng([seed, 20])
    recurrences = min(max(round(patients * model.strengths.recurrence_share), 1), patients - 1)
    labels = rng.permutation([1.0] * recurrences + [0.0] * (patients - recurrences) + [0.5] * mixed)
    evidence = model.draw(labels, rng)
    drawn = tuple(_draw_patient(index, float(label), evidence, seed) for index, label in enumerate(labels))
    return RiceCohort(drawn, model, setting, seed, spacing_mm)


def _check(patients: int, mixed: int, setting: str, spacing_mm: float) -> None:
    where, problems = "synthetic cohort", []
    if patients < 2 or mixed < 0:
        problems.append(Problem(where, f"{patients} patients with a label", "choose at least 2, one of each class"))
    if setting not in SETTINGS:
        problems.append(Problem(where, f"unknown strengths '{setting}'", f"choose one of {', '.join(SETTINGS)}"))
    low, high = SPACING_RANGE_MM
    if not low <= spacing_mm <= high:
        problems.append(Problem(where, f"spacing {spacing_mm:g} mm", f"choose from {low:g} to {high:g} mm"))
    if problems:
        raise DataProblem(*problems)


def months_to_event(time: np.ndarray | float) -> np.ndarray:
    """Months from the last fraction to the event, of the evidence on time: log-normal, cut at its ends."""
    return np.clip(MONTHS_MEDIAN * np.exp(MONTHS_LOG_SD * np.asarray(time)), *MONTHS_RANGE)


def draw_facts(rng: np.random.Generator) -> Facts:
    """Draw what says nothing about the label; nothing here sees a label."""
    kind = str(rng.choice(DOSE_KINDS, p=DOSE_SHARES))
    gray, fractions = SINGLE_PLANS[rng.choice(len(SINGLE_PLANS), p=SINGLE_SHARES)]
    return Facts(
        site=str(rng.choice(SITES)),
        modality="PROTON" if rng.random() < PROTON_SHARE else "PHOTON",
        dose_kind=kind,
        parts=BOOST if kind.startswith("TWO") else (Part(gray, fractions),),
        own_frame=bool(rng.random() < OWN_FRAME_SHARE),
        wide_grid=bool(rng.random() < WIDE_GRID_SHARE),
        outline=bool(rng.random() < OUTLINE_SHARE),
        plain=bool(rng.random() < PLAIN_SHARE),
        biopsy=bool(rng.random() < BIOPSY_SHARE),
    )


def _draw_patient(index: int, label: float, evidence: Evidence, seed: int) -> RicePatient:
    rng = np.random.default_rng([seed, 21, index])
    own = Evidence(evidence.numbers[[index]], evidence.beside_ventricle[[index]])
    months = float(months_to_event(own.numbers[0, TIME]))
    facts = draw_facts(rng)
    days = _draw_days(rng, facts, months, recurrence=label == 1)
    return RicePatient(
        patient_id=f"RICE{index + 1:03d}",
        index=index,
        label={1.0: RECURRENCE, 0.0: EFFECT, 0.5: MIXED}[label],
        evidence=own,
        months=months,
        facts=facts,
        days=days,
        head=random_patient_head(rng),
        lesion_radius_mm=float(np.clip(LESION_MEDIAN_MM * np.exp(LESION_LOG_SD * rng.standard_normal()), *LESION_MM)),
        cavity_radius_mm=float(rng.uniform(*CAVITY_MM)),
        margin_mm=float(rng.uniform(*MARGIN_MM)),
        visits=_draw_visits(rng, facts, days),
    )


def _draw_days(rng: np.random.Generator, facts: Facts, months: float, recurrence: bool) -> Days:
    planned = int(rng.integers(22, 32))
    plans, day = [], planned
    for part in facts.parts:
        plans.append(day)
        day += part.fractions * 7 // 5
    last = day + int(rng.integers(7, 12))  # treatment starts a week or so after its plan
    event = last + round(months * DAYS_PER_MONTH)
    later = recurrence and rng.random() < LATER_COURSE_SHARE
    return Days(
        plans=tuple(plans),
        last_fraction=last,
        event=event,
        label=event + int(rng.integers(5, 40)),
        later_course=event + int(rng.integers(15, 45)) if later else None,
    )


def _draw_visits(rng: np.random.Generator, facts: Facts, days: Days) -> dict[str, Visit]:
    visits = {"post-operative": Visit(int(rng.integers(1, 4)), _pose(rng))}
    if facts.own_frame:
        visits["planning"] = Visit(days.plans[0] - int(rng.integers(2, 7)), _pose(rng))
    if rng.random() < BETWEEN_SHARE:
        visits["between"] = Visit((days.last_fraction + days.event) // 2, _pose(rng))
    visits["event"] = Visit(days.event, _pose(rng), lesion=1.0)
    if rng.random() < LATER_STUDY_SHARE:
        visits["later"] = Visit(days.label + int(rng.integers(30, 60)), _pose(rng), lesion=1.1)
    return visits


def _pose(rng: np.random.Generator) -> Session:
    """A head as it lies in a scanner: turned by some degrees, and shifted by some millimetres from the isocentre."""
    rotation = rotation_about_axes(np.deg2rad(rng.normal(0, 3.0, 3)))
    return Session(0, rotation, rng.normal([0, 15, -10], [3, 5, 6]), contrast=True)
