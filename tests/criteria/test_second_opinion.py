"""The criteria against the second implementation, on thousands of synthetic studies."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from test_vignettes import CRITERIA, measured_studies
from treatment_response.cohort.synthetic.ratings import TrueCourse, TrueLesion, TrueStudy, rate
from treatment_response.criteria.clinical import ClinicalState, PatientCourse
from treatment_response.criteria.course import decide


def synthetic_course(generator: np.random.Generator) -> TrueCourse:
    """A patient of up to eight studies; sizes are rounded so that thresholds are often met exactly."""
    clinic = generator.random() < 0.5
    lesions = {name: generator.choice([6, 8, 10, 12, 20, 30]) for name in "ABCDEFG"[: generator.integers(0, 8)]}
    studies, day = [], 0
    for _ in range(int(generator.integers(1, 9))):
        state = (int(generator.choice([0, 0, 4, 8])), str(generator.choice(["stable", "stable", "improved", "worse"])))
        shown = {}
        for name, size in lesions.items():
            if size > 0:
                width = float(size * generator.choice([0.5, 0.8, 1.0]))
                slices, thickness = int(generator.choice([1, 4, 9])), float(generator.choice([1, 1, 6]))
                shown[name] = TrueLesion(float(size), width, float(size) * width * width, slices, thickness)
        studies.append(TrueStudy(day, shown, *(state if clinic and generator.random() < 0.9 else ())))
        day += int(generator.integers(15, 100))  # a clinical finding counts for 14 days around it
        factors = [0, 0.5, 0.65, 0.7, 0.8, 1, 1, 1, 1.2, 1.25, 1.4]
        lesions = {name: round(size * float(generator.choice(factors)), 3) for name, size in lesions.items()}
        lesions = {name: size or (generator.random() < 0.1) * 12.0 for name, size in lesions.items()}
        if generator.random() < 0.15:
            lesions[f"N{day}"] = float(generator.choice([5, 12]))
    days = {study.day for study in studies}
    events = [
        tuple(sorted(set(generator.integers(-50, day + 1, count).tolist()) - days))
        for count in generator.choice([0, 0, 1, 2], 3)
    ]
    return TrueCourse(studies, *events)


@pytest.mark.parametrize("criteria", ["RANO 2.0", "RANO 2.0, volumes", "RANO-BM"])
def test_both_implementations_agree_on_every_study(criteria: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(700):
        true = synthetic_course(np.random.default_rng(seed))
        findings = tuple(
            ClinicalState(study.day, study.steroids, study.state) for study in true.studies if study.state is not None
        )
        course = PatientCourse(true.operations, true.radiotherapy_ends, true.treatment_starts, findings)
        answers = [answer.decision.category for answer in decide(measured_studies(true), CRITERIA[criteria], course)]
        assert answers == rate(true, criteria), seed
        seen.update(answers)
    assert sum(seen.values()) > 2500
    assert set(seen) == {"baseline", "CR", "PR", "SD", "PD", "NE"}
