"""What is wrong with the real LUMIERE, put into a synthetic one: each fault at known places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from treatment_response.cohort.synthetic.rano.course import (
    CLASSES,
    POST_OPERATIVE,
    CoursePatient,
    CourseStudy,
)
from treatment_response.cohort.synthetic.rano.render import SEQUENCES

Key = tuple[str, str]
"""A patient's and a study's name."""
_MISSING_SHARE, _NO_IMAGES_SHARE, _RIM_MISSED_SHARE, _NO_RATING_SHARE = 0.04, 0.01, 0.05, 0.03
_FEWEST_PATIENTS = 10
"""A smaller cohort has only the faults that are shares of its studies."""
_SHIFT_WEEKS = 3


@dataclass(frozen=True)
class RatingRow:
    """One row of the rating table."""

    patient: str
    date: str
    rating: str
    rationale: str = ""
    early: bool = False


@dataclass
class Dirt:
    """Which study has which fault.

    Attributes:
        missing: sequences that are not there.
        no_images: studies without a folder.
        rim_missed: the segmenter calls the enhancing rim necrosis, so its enhancing volume is 0.
        repeated: rows that stand twice. twice_rated: study → the second rating.
        unrated: study → what stands for its rating.
        a_week_off: post-operative studies whose row names the next week.
        not_a_timepoint: studies whose rationale says so.
        misdated: the patient whose ratings count weeks from another day; empty for none.
    """

    missing: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    no_images: set[Key] = field(default_factory=set)
    rim_missed: set[Key] = field(default_factory=set)
    repeated: set[Key] = field(default_factory=set)
    twice_rated: dict[Key, str] = field(default_factory=dict)
    unrated: dict[Key, str] = field(default_factory=dict)
    a_week_off: set[Key] = field(default_factory=set)
    not_a_timepoint: set[Key] = field(default_factory=set)
    misdated: str = ""

    def listed(self) -> list[tuple[str, str, str]]:
        """Patient, study and kind of every fault, sorted."""
        kinds = {
            "sequence missing": self.missing,
            "no images": self.no_images,
            "enhancing rim segmented as necrosis": self.rim_missed,
            "row stands twice": self.repeated,
            "two different ratings": self.twice_rated,
            "no rating": self.unrated,
            "post-operative row a week off": self.a_week_off,
            "not a timepoint": self.not_a_timepoint,
        }
        rows = [(*key, kind) for kind, keys in kinds.items() for key in keys]
        return sorted([*rows, *([(self.misdated, "", "ratings of another day")] if self.misdated else [])])


def draw_dirt(patients: Sequence[CoursePatient], rng: np.random.Generator) -> Dirt:
    """Choose the faults of a cohort."""
    dirt = Dirt()
    rated: list[Key] = []
    for patient in patients:
        for study in patient.studies:
            key = (patient.name, study.name)
            chance = rng.random(4)
            if chance[0] < _RIM_MISSED_SHARE and study.foci:
                dirt.rim_missed.add(key)
            if study.rating not in CLASSES:
                continue
            if chance[1] < _NO_IMAGES_SHARE:
                dirt.no_images.add(key)
            elif chance[2] < _MISSING_SHARE:
                dirt.missing[key] = (str(rng.choice(SEQUENCES)),)
            if chance[3] < _NO_RATING_SHARE:
                dirt.unrated[key] = str(rng.choice(["", "None"]))
            elif not study.early:
                rated.append(key)
    if len(patients) >= _FEWEST_PATIENTS:
        _draw_single_faults(dirt, patients, rated, rng)
    return dirt


def _draw_single_faults(
    dirt: Dirt, patients: Sequence[CoursePatient], rated: Sequence[Key], rng: np.random.Generator
) -> None:
    rating_of = {(patient.name, study.name): study.rating for patient in patients for study in patient.studies}
    chosen = [rated[index] for index in rng.choice(len(rated), 5, replace=False)]
    dirt.repeated |= set(chosen[:2])
    dirt.not_a_timepoint |= set(chosen[2:4])
    dirt.twice_rated[chosen[4]] = "SD" if rating_of[chosen[4]] == "PD" else "PD"
    operated = [
        (patient.name, study.name)
        for patient in patients
        for study in patient.studies
        if study.rating == POST_OPERATIVE and study.week > 0
    ]
    if operated:
        dirt.a_week_off.add(operated[int(rng.integers(len(operated)))])
    faulty = {name for name, _ in (*chosen, *dirt.a_week_off)}
    many = [
        patient.name
        for patient in patients
        if patient.name not in faulty and sum(study.rating in CLASSES for study in patient.studies) >= 3
    ]
    dirt.misdated = many[int(rng.integers(len(many)))] if many else ""


def rating_rows(patients: Sequence[CoursePatient], dirt: Dirt) -> list[RatingRow]:
    """The rows of the rating table, faults included, in order of patients and time."""
    rows = []
    for patient in patients:
        for study in patient.studies:
            key = (patient.name, study.name)
            rating, rationale = dirt.unrated.get(key, study.rating), _rationale(study)
            if rating == POST_OPERATIVE and patient.index % 5 == 0:
                rating += " "
            if key in dirt.not_a_timepoint:
                rationale = "Not a timepoint for RANO measurement"
            marked = study.early and study.week % 2 == 0
            if study.early and not marked:
                rationale = "Less than 3 months after radiotherapy"
            row = RatingRow(patient.name, _date(dirt, patient, study), rating, rationale, marked)
            rows += [row] * (2 if key in dirt.repeated else 1)
            if key in dirt.twice_rated:
                rows.append(replace(row, rating=dirt.twice_rated[key]))
    return rows


def _date(dirt: Dirt, patient: CoursePatient, study: CourseStudy) -> str:
    """The time point that a row names: mostly that of its study."""
    if patient.name == dirt.misdated and study.week:
        return f"week-{study.week + _SHIFT_WEEKS:03d}"
    return f"week-{study.week + 1:03d}" if (patient.name, study.name) in dirt.a_week_off else study.name


def _rationale(study: CourseStudy) -> str:
    if study.rating.startswith(POST_OPERATIVE):
        return "PRET" if study.foci else "CRET"
    if study.rating not in CLASSES or not study.foci:
        return ""
    largest = max((focus.measured() for focus in study.foci.values()), key=lambda one: one.product)
    return f"Target L.: {largest.longest:.0f}mm x {largest.perpendicular:.0f}mm"
