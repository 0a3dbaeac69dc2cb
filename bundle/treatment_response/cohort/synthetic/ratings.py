"""Response ratings of synthetic patients: a second implementation of the criteria, for their truth and for tests.

`treatment_response.criteria` is what answers. This module was written from the same publications and shares no code
with it: it works on plain numbers, study by study, and asks for each category in turn. Agreement is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SUM = {"RANO 2.0": "product", "RANO 2.0, volumes": "volume", "RANO-BM": "longest"}
_SHRINKS_TO = {"RANO 2.0": 0.5, "RANO 2.0, volumes": 0.35, "RANO-BM": 0.7}
_GROWS_TO = {"RANO 2.0": 1.25, "RANO 2.0, volumes": 1.4, "RANO-BM": 1.2}
_TARGETS = {"RANO 2.0": 2, "RANO-BM": 5}
_LEAST = {"RANO 2.0": (10.0, 10.0), "RANO 2.0, volumes": (10.0, 10.0), "RANO-BM": (10.0, 5.0)}


@dataclass(frozen=True)
class TrueLesion:
    """Sizes in mm and mm³, and the axial slices that it is seen on, each of a thickness in mm."""

    longest: float
    perpendicular: float
    volume: float
    slices: int = 10
    thickness: float = 1.0

    @property
    def product(self) -> float:
        """Of the diameters, mm²."""
        return self.longest * self.perpendicular


@dataclass(frozen=True)
class TrueStudy:
    """One study: lesions by name, steroids (mg of dexamethasone a day) and clinical state, None where unknown."""

    day: int
    lesions: Mapping[str, TrueLesion]
    steroids: float | None = None
    state: str | None = None


@dataclass(frozen=True)
class TrueCourse:
    """A patient: studies in order of time, and the days of what was done."""

    studies: Sequence[TrueStudy]
    operations: Sequence[int] = field(default_factory=tuple)
    radiotherapy_ends: Sequence[int] = field(default_factory=tuple)
    treatment_starts: Sequence[int] = field(default_factory=tuple)


def rate(course: TrueCourse, criteria: str) -> list[str]:
    """The category of every study.

    Args:
        criteria: a key of `SUM`.
    """
    ratings = []
    for place, study in enumerate(course.studies):
        compared = _since_baseline(course, place, criteria)
        ratings.append(_rate(study, compared, criteria) if compared else "baseline")
    return ratings


def _since_baseline(course: TrueCourse, place: int, criteria: str) -> list[TrueStudy]:
    """The studies before this one from its baseline on; empty if it is the baseline."""
    day = course.studies[place].day
    studies = list(course.studies[: place + 1])
    for operation in course.operations:
        if operation < day:
            studies = [one for one in studies if one.day > operation]
    first = 0
    reset = -(10**9)
    for operation in course.operations:
        if operation < day:
            reset = max(reset, operation)
    marks = [(one, "start") for one in course.treatment_starts if reset < one < day]
    if criteria != "RANO-BM":
        marks += [(one, "end") for one in course.radiotherapy_ends if reset < one < day]
    if marks:
        mark, kind = max(marks, key=lambda one: (one[0], one[1] == "end"))
        if kind == "end":
            while first < len(studies) and studies[first].day <= mark:
                first += 1
        else:
            while first + 1 < len(studies) and studies[first + 1].day <= mark:
                first += 1
    return studies[first:-1]


def _rate(study: TrueStudy, earlier: Sequence[TrueStudy], criteria: str) -> str:
    size = SUM[criteria]
    start = earlier[0]
    if criteria in _TARGETS:
        ranked = sorted(
            (name for name in start.lesions if _measurable(start.lesions[name], criteria)),
            key=lambda name: getattr(start.lesions[name], size),
            reverse=True,
        )
        chosen = set(ranked[: _TARGETS[criteria]])
    else:
        chosen = {name for one in (*earlier, study) for name in one.lesions}

    def burden(one: TrueStudy) -> float:
        return sum(getattr(lesion, size) for name, lesion in one.lesions.items() if name in chosen)

    burdens = [burden(one) for one in earlier]
    smallest = earlier[burdens.index(min(burdens))]
    now, nadir, first = burden(study), min(burdens), burdens[0]

    def progressed() -> bool:
        if nadir > 0 and now / nadir > _GROWS_TO[criteria] - 1e-9:
            longer = [_length(study, name) - _length(smallest, name) for name in chosen]
            if criteria != "RANO-BM" or max(longer) > 5 - 1e-9:
                return True
        if nadir == 0 and any(_measurable(study.lesions[name], criteria) for name in chosen & set(study.lesions)):
            return True
        for name, lesion in study.lesions.items():
            if name not in start.lesions:
                if criteria == "RANO-BM" and lesion.slices > 1:
                    return True
                if criteria != "RANO-BM" and _measurable(lesion, criteria):
                    return True
            elif name not in chosen and _measurable(lesion, criteria):
                least = min(
                    (one.lesions[name] for one in earlier if name in one.lesions), key=lambda x: getattr(x, size)
                )
                larger = getattr(lesion, size) / getattr(least, size) > _GROWS_TO[criteria] - 1e-9
                if larger and lesion.longest - least.longest > 5 - 1e-9:
                    return True
        return False

    if progressed():
        category = "PD"
    elif not study.lesions:
        category = "CR" if start.lesions else "SD"
    elif first > 0 and now / first < _SHRINKS_TO[criteria] + 1e-9:
        unclear = criteria == "RANO-BM" and any(name not in start.lesions for name in study.lesions)
        category = "SD" if unclear else "PR"
    else:
        category = "SD"
    return _with_clinic(category, study, start)


def _with_clinic(category: str, study: TrueStudy, start: TrueStudy) -> str:
    if study.steroids is None or start.steroids is None or study.state is None or category == "PD":
        return category
    if study.state == "worse":
        return "PD"
    beyond_replacement = study.steroids > 0.75
    if beyond_replacement and study.steroids > start.steroids:
        return "NE"
    return "PR" if category == "CR" and beyond_replacement else category


def _length(study: TrueStudy, name: str) -> float:
    return study.lesions[name].longest if name in study.lesions else 0.0


def _measurable(lesion: TrueLesion, criteria: str) -> bool:
    longest, perpendicular = _LEAST[criteria]
    if lesion.thickness > 5:
        longest, perpendicular = max(longest, 2 * lesion.thickness), max(perpendicular, 2 * lesion.thickness)
    return lesion.slices >= 2 and lesion.longest >= longest and lesion.perpendicular >= perpendicular
