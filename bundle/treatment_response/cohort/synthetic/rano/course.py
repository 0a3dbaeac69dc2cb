"""Draw the courses of synthetic glioblastoma patients: tumours over time, what was done, and how an expert rated them.

Every number here is an assumption. Tumours grow, hold or shrink by a regime that tends to last; the shares of the four
ratings come out near those of LUMIERE (PD 64, SD 24, CR 7, PR 5 %, counted by third parties). Ratings come from
`cohort.synthetic.ratings`, with a rater who sometimes errs. Nothing is rendered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from treatment_response.cohort.synthetic.ratings import TrueCourse, TrueLesion, TrueStudy, rate

PATIENTS = 91
CRITERIA = "RANO 2.0"
CLASSES = ("PD", "SD", "PR", "CR")
PRE_OPERATIVE, POST_OPERATIVE, POST_OPERATIVE_PD = "Pre-Op", "Post-Op", "Post-Op/PD"
GROWS, HOLDS, SHRINKS = "grows", "holds", "shrinks"
_NEXT = {
    None: (0.58, 0.25, 0.17),
    GROWS: (0.86, 0.10, 0.04),
    HOLDS: (0.48, 0.38, 0.14),
    SHRINKS: (0.20, 0.24, 0.56),
}
"""Probability that the tumour grows, holds or shrinks next, by what it did before."""
_LOG_CHANGE = {GROWS: (0.82, 0.33), HOLDS: (0.0, 0.10), SHRINKS: (-2.6, 0.8)}
"""Mean and SD of the change of log volume from one study to the next."""
_VANISHES_MM3 = 150.0
_LARGEST_MM3 = 60_000.0
_NEW_LESION = {GROWS: 0.22, HOLDS: 0.01, SHRINKS: 0.0}
_WORSE = {GROWS: 0.25, HOLDS: 0.03, SHRINKS: 0.01}
_STEROIDS = {GROWS: 0.45, HOLDS: 0.15, SHRINKS: 0.08}
"""Probability of worse clinical state, and of more than replacement steroids."""
_COMPLETE_RESECTION = 0.3
_RATER_ERRS = 0.05
_SECOND_OPERATION = 0.14
"""After each study on which a growing tumour is rated PD."""
_MORE_STUDIES = 4.5
_WEEKS = (8, 15)


@dataclass(frozen=True)
class TumourFocus:
    """One focus of tumour: a solid ellipsoid whose outer shell enhances.

    Attributes:
        volume: mm³ of core, enhancing and necrotic together; 0: it has gone, or is not there yet.
        stretch: longest over middle axis, and middle over shortest.
        necrosis: share of the radii that does not enhance.
        oedema_mm: width of the oedema around it.
    """

    volume: float
    stretch: float
    necrosis: float
    oedema_mm: float

    @property
    def radii(self) -> tuple[float, float, float]:
        """Semi-axes in mm, the first two in the axial plane."""
        radius = (3 * self.volume / (4 * np.pi)) ** (1 / 3)
        return radius * self.stretch, radius, radius / self.stretch

    def measured(self) -> TrueLesion:
        """Its size as criteria measure it."""
        longest, perpendicular, height = self.radii
        return TrueLesion(2 * longest, 2 * perpendicular, self.volume, slices=max(int(2 * height), 1))


@dataclass(frozen=True)
class CourseStudy:
    """One study of a patient.

    Attributes:
        week: since the first operation. repeat: its place in its week, 0 if it is alone there.
        foci: by name; those that are there.
        regime: what the tumour did since the last study.
        steroids: mg of dexamethasone a day. state: clinical, against the baseline.
        true_rating: by the criteria, without the rater's errors; empty where there is none.
        rating: as it stands in the table; `CLASSES`, one of the operative states, or empty.
        early: within three months of radiotherapy.
    """

    week: int
    repeat: int
    foci: Mapping[str, TumourFocus]
    regime: str | None = None
    steroids: float = 0.0
    state: str = "stable"
    true_rating: str = ""
    rating: str = ""
    early: bool = False

    @property
    def name(self) -> str:
        """As LUMIERE names it."""
        return f"week-{self.week:03d}" + (f"-{self.repeat}" if self.repeat else "")

    @property
    def volume(self) -> float:
        """Of all cores, mm³."""
        return sum(focus.volume for focus in self.foci.values())


@dataclass(frozen=True)
class CoursePatient:
    """A patient.

    Attributes:
        index: from 0.
        studies: in order of time.
        age, sex, idh, mgmt: as LUMIERE's table writes them; they say nothing about the ratings.
    """

    index: int
    studies: tuple[CourseStudy, ...]
    age: int
    sex: str
    idh: str
    mgmt: str

    @property
    def name(self) -> str:
        """As LUMIERE names its folder."""
        return f"Patient-{self.index + 1:03d}"


@dataclass
class _Tumour:
    foci: dict[str, TumourFocus] = field(default_factory=dict)
    named: int = 0

    def add(self, volume: float, rng: np.random.Generator) -> None:
        self.named += 1
        self.foci[f"L{self.named}"] = TumourFocus(
            volume, float(rng.uniform(1.0, 1.3)), float(rng.uniform(0.2, 0.7)), float(rng.uniform(4, 12))
        )

    def change(self, regime: str, rng: np.random.Generator) -> None:
        mean, spread = _LOG_CHANGE[regime]
        common = rng.normal(mean, spread)
        for name, focus in list(self.foci.items()):
            volume = focus.volume * float(np.exp(common + rng.normal(0, 0.08)))
            if volume < _VANISHES_MM3:
                del self.foci[name]
            else:
                self.foci[name] = replace(focus, volume=min(volume, _LARGEST_MM3))
        new = _NEW_LESION[regime] + (0.5 if regime == GROWS and not self.foci else 0)
        if rng.random() < new:
            self.add(float(np.exp(rng.normal(7.3, 0.5))), rng)

    def operate(self, rng: np.random.Generator) -> None:
        complete = rng.random() < _COMPLETE_RESECTION
        for name, focus in list(self.foci.items()):
            if complete:
                del self.foci[name]
            else:
                left = focus.volume * float(rng.uniform(0.08, 0.4))
                self.foci[name] = replace(focus, volume=max(left, 2 * _VANISHES_MM3))


def simulate_course(index: int, rng: np.random.Generator) -> CoursePatient:
    """Draw one patient."""
    tumour = _Tumour()
    tumour.add(float(np.exp(rng.normal(9.9, 0.5))), rng)
    if rng.random() < 0.15:
        tumour.add(float(np.exp(rng.normal(8.0, 0.5))), rng)
    studies = [CourseStudy(0, 1, dict(tumour.foci), rating=PRE_OPERATIVE)]
    tumour.operate(rng)
    studies.append(CourseStudy(0, 2, dict(tumour.foci), rating=POST_OPERATIVE))
    week, regime = 0, None
    for number in range(1 + rng.poisson(_MORE_STUDIES - 1)):
        week += int(rng.integers(*_WEEKS))
        regime = (GROWS, HOLDS, SHRINKS)[rng.choice(3, p=_NEXT[regime])]
        tumour.change(regime, rng)
        study = _rated(_study(week, tumour, regime, rng, number), studies, rng)
        studies.append(study)
        if study.true_rating == "PD" and regime == GROWS and rng.random() < _SECOND_OPERATION:
            week += int(rng.integers(2, 5))
            tumour.operate(rng)
            state = POST_OPERATIVE_PD if rng.random() < 0.15 else POST_OPERATIVE
            studies.append(CourseStudy(week, 0, dict(tumour.foci), rating=state))
            regime = None
    facts = (
        int(np.clip(rng.normal(61, 11), 25, 88)),
        str(rng.choice(["male", "female"], p=[0.6, 0.4])),
        str(rng.choice(["WT", "R132H mut", "na"], p=[0.82, 0.06, 0.12])),
        str(rng.choice(["methylated", "not methylated", "na"], p=[0.4, 0.45, 0.15])),
    )
    return CoursePatient(index, tuple(studies), *facts)


def _study(week: int, tumour: _Tumour, regime: str, rng: np.random.Generator, number: int) -> CourseStudy:
    steroids = float(rng.choice([2.0, 4.0, 8.0])) if rng.random() < _STEROIDS[regime] else 0.0
    state = "worse" if rng.random() < _WORSE[regime] else "stable"
    early = number == 0 and week < 12 and rng.random() < 0.5
    return CourseStudy(week, 0, dict(tumour.foci), regime, steroids, state, early=early)


def _rated(study: CourseStudy, before: Sequence[CourseStudy], rng: np.random.Generator) -> CourseStudy:
    """The study with its rating, by all studies until then."""
    true = "SD" if (rating := ratings([*before, study])[-1]) in ("NE", "baseline") else rating
    given = true
    if rng.random() < _RATER_ERRS:
        near = {"PD": ("SD",), "SD": ("PD", "PR"), "PR": ("SD", "CR"), "CR": ("PR", "SD")}[true]
        given = str(rng.choice(near))
    return replace(study, true_rating=true, rating=given)


def ratings(studies: Sequence[CourseStudy]) -> list[str]:
    """What the criteria say of each study of a patient, with baseline and nadir since the last operation."""
    operations = [_day(study) - 1 for study in studies if study.rating in (POST_OPERATIVE, POST_OPERATIVE_PD)]
    true = [
        TrueStudy(
            _day(study), {name: focus.measured() for name, focus in study.foci.items()}, study.steroids, study.state
        )
        for study in studies
    ]
    return rate(TrueCourse(true, operations), CRITERIA)


def simulate_courses(patients: int = PATIENTS, seed: int = 0) -> list[CoursePatient]:
    """Draw the patients of a cohort; each has its own random numbers."""
    return [simulate_course(index, np.random.default_rng([seed, 31, index])) for index in range(patients)]


def _day(study: CourseStudy) -> int:
    return 7 * study.week + 2 * study.repeat
