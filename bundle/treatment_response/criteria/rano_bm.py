"""RANO-BM for brain metastases (Lin et al., Lancet Oncol 2015, doi 10.1016/S1470-2045(15)70057-4).

Per patient as published. Per lesion there are no such criteria: `lesion_changes` applies the same numbers to one lesion
and is called RANO-BM-style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy
from treatment_response.criteria.rules import CR, PD, PR, SD, Criteria

PATIENT = Criteria(
    name="RANO-BM",
    measure="longest_mm",
    words="the sum of longest diameters",
    unit="mm",
    longest_mm=10.0,
    perpendicular_mm=5.0,
    most_targets=5,
    response=0.30,
    progression=0.20,
    absolute_mm=5.0,
    any_new_lesion=True,
    baseline_after_radiotherapy=False,
)
IMMUNOTHERAPY = replace(PATIENT, name="RANO-BM under immunotherapy", new_lesion_progresses=False)
"""A new lesion alone is no PD."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class LesionChange:
    """The RANO-BM-style change of one lesion.

    Attributes:
        category: CR (gone), PR, SD or PD.
        longest_mm, baseline_mm, nadir_mm: its longest diameter now, at the baseline and at its smallest before.
        diameter_change, volume_change: against the baseline, as fractions.
        measurable: whether it was measurable at the baseline; if not, the category is no more than a number.
    """

    category: str
    longest_mm: float
    baseline_mm: float
    nadir_mm: float
    diameter_change: float
    volume_change: float
    measurable: bool


def lesion_change(history: Sequence[LesionMeasures | None], now: LesionMeasures | None) -> LesionChange:
    """Judge one lesion.

    Args:
        history: the lesion at the baseline and in the studies since, None where it was gone; the first is there.
        now: the lesion in the current study, None if it is gone.

    Raises:
        ValueError: the lesion was not there at the baseline.
    """
    baseline = history[0]
    if baseline is None:
        raise ValueError("a lesion that was not there at the baseline has no change")
    nadir = min(one.longest_mm if one else 0.0 for one in history)
    longest, first = now.longest_mm if now else 0.0, baseline.longest_mm
    volume = now.volume_mm3 if now else 0.0
    grown = longest >= nadir * (1 + PATIENT.progression) * (1 - _ROUNDING)
    if now is None:
        category = CR
    elif grown and longest - nadir >= (PATIENT.absolute_mm or 0.0) * (1 - _ROUNDING):
        category = PD
    elif longest <= first * (1 - PATIENT.response) * (1 + _ROUNDING):
        category = PR
    else:
        category = SD
    return LesionChange(
        category,
        longest,
        first,
        nadir,
        longest / first - 1,
        volume / baseline.volume_mm3 - 1,
        PATIENT.measurable(baseline),
    )


def lesion_changes(history: Sequence[MeasuredStudy], study: MeasuredStudy) -> dict[str, LesionChange]:
    """The change of every lesion of the baseline that has not merged with another.

    Args:
        history: the baseline and what followed it before this study.
    """
    return {
        name: lesion_change([one.lesions.get(name) for one in history], study.lesions.get(name))
        for name in history[0].lesions
        if name not in study.merged
    }
