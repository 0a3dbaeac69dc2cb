"""RANO 2.0 with volumes: 65 % less than at baseline is PR, 40 % more than at the nadir is PD.

Every voxel of the compartment counts, in lesions of any size: a mask has no reason to leave any out.
"""

from __future__ import annotations

from dataclasses import replace
from math import pi

from treatment_response.criteria import rano2
from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy
from treatment_response.criteria.rules import CR, imaging_decision

ENHANCING = replace(
    rano2.ENHANCING,
    name="RANO 2.0, volumes",
    measure="volume_mm3",
    words="the volume",
    unit="mm³",
    most_targets=None,
    response=0.65,
    progression=0.40,
)
NON_ENHANCING = replace(ENHANCING, name="RANO 2.0, volumes, non-enhancing", minor=0.40)


def category_from_volumes(current: float, baseline: float, nadir: float) -> str:
    """The category where nothing but volumes of the enhancing tumour is known: a rule to compare networks with.

    All enhancing tumour counts as one lesion. Nothing enhancing now is CR, whatever was there before (the criteria say
    SD where the baseline had none either; a previous study or a nadir alone cannot tell). Else `imaging_decision` by
    `ENHANCING` answers, equal to a threshold included. Tumour where the nadir had none is PD if a sphere of its volume
    reaches the diameter of a measurable lesion (10 mm, 524 mm³).

    Args:
        current, baseline, nadir: mm³, 0 or more; for a rule against one study both are that study's.

    Returns:
        CR, PR, SD or PD.

    Raises:
        ValueError: a volume is negative or no number.
    """
    if not all(volume >= 0 for volume in (current, baseline, nadir)):
        raise ValueError("volumes are 0 mm³ or more")
    if current == 0:
        return CR
    history = (_one_lesion("baseline", baseline), _one_lesion("nadir", nadir))
    return imaging_decision(ENHANCING, history, _one_lesion("current", current)).category


def _one_lesion(name: str, volume: float) -> MeasuredStudy:
    """A study of which nothing but a volume is known; a sphere's diameter stands for the diameters."""
    diameter = (6 * volume / pi) ** (1 / 3)
    lesion = LesionMeasures(volume, pi * diameter**2, diameter, diameter, diameter**2, slices=2, thickness_mm=1.0)
    return MeasuredStudy(name, 0, {"1": lesion} if volume else {})
