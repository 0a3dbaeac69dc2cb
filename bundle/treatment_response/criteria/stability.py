"""How a category would change if the contours were drawn again: "PD in 71 % of plausible contours".

The error is that of the labels (`cohort/labels.py`): the whole outline of a lesion lies outward or inward by a normal
distance, independently in each study. A diameter then changes by twice that distance, and a volume by the outline's
surface times it (on the logarithm, so that it stays positive). The whole rule is applied again to every draw: targets,
measurable or not, nadir and baseline may change with it. Lesions neither appear nor vanish.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from treatment_response.cohort.labels import CONTOURING_SD_MM
from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.course import decide
from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy
from treatment_response.criteria.rules import Criteria

DRAWS = 200


def category_shares(
    studies: Sequence[MeasuredStudy],
    criteria: Criteria,
    course: PatientCourse | None = None,
    contouring_sd_mm: float = CONTOURING_SD_MM,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Share of plausible contours that give each category, per study; the shares of a study add up to 1.

    Args:
        contouring_sd_mm: standard deviation of an outline's distance from the one that was drawn.
        draws: with 200 a share has a standard error of at most 0.035.
    """
    generator = np.random.default_rng(seed)
    counts: list[Counter[str]] = [Counter() for _ in studies]
    for _ in range(draws):
        drawn = [redrawn(study, contouring_sd_mm, generator) for study in studies]
        for count, answer in zip(counts, decide(drawn, criteria, course), strict=True):
            count[answer.decision.category] += 1
    return [{category: number / draws for category, number in count.items()} for count in counts]


def redrawn(study: MeasuredStudy, contouring_sd_mm: float, generator: np.random.Generator) -> MeasuredStudy:
    """A study whose lesions were outlined again."""
    errors = generator.normal(0.0, contouring_sd_mm, len(study.lesions))
    moved = {
        name: _moved(lesion, float(error)) for (name, lesion), error in zip(study.lesions.items(), errors, strict=True)
    }
    return replace(study, lesions=moved)


def _moved(lesion: LesionMeasures, error_mm: float) -> LesionMeasures:
    parts = [(part.longest_mm, part.perpendicular_mm) for part in lesion.parts]
    sizes = [(max(longest + 2 * error_mm, 0.0), max(width + 2 * error_mm, 0.0)) for longest, width in parts]
    return replace(
        lesion,
        volume_mm3=lesion.volume_mm3 * math.exp(lesion.area_mm2 * error_mm / lesion.volume_mm3),
        longest_mm=sum(longest for longest, _ in sizes),
        perpendicular_mm=sizes[0][1],
        product_mm2=sum(longest * width for longest, width in sizes),
    )
