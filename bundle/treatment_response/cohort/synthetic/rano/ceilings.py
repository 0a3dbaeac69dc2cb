"""How well the ratings of synthetic patients can be told at best: from two studies, and from the whole history.

What two studies or the history determine is estimated by boosted trees on the true sizes, without images, trained on
half of the patients and scored on the other half: an estimate from below. What the criteria determine is exact, since
the only thing that they do not know is the rater's error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from treatment_response.cohort.synthetic.rano.course import (
    CLASSES,
    POST_OPERATIVE,
    POST_OPERATIVE_PD,
    CoursePatient,
    CourseStudy,
    simulate_courses,
)

PAIR, HISTORY, CRITERIA, MAJORITY = "pair", "history", "criteria", "majority"
PATIENTS = 2000


def ceilings(patients: int = PATIENTS, seed: int = 0) -> dict[str, dict[str, float]]:
    """Accuracy and balanced accuracy of who knows two studies, the history since the operation, or all that is rated.

    Args:
        patients: to simulate, other ones than a cohort's.

    Returns:
        By observer ``accuracy``, ``balanced_accuracy``, and ``pairs`` (number that was scored).
    """
    cases = [
        (patient.index, *case) for patient in simulate_courses(patients, seed + 1_000_000) for case in _cases(patient)
    ]
    labels = np.array([CLASSES.index(study.rating) for _, _, study in cases])
    test = np.array([index % 2 == 1 for index, _, _ in cases])
    pair = np.array([_pair(history, study) for _, history, study in cases])
    whole = np.array([_pair(history, study) + _history(history, study) for _, history, study in cases])
    by_criteria = np.array([CLASSES.index(study.true_rating) for _, _, study in cases])
    answers = {
        PAIR: _trees(pair, labels, test),
        HISTORY: _trees(whole, labels, test),
        CRITERIA: by_criteria[test],
        MAJORITY: np.zeros(int(test.sum()), dtype=int),
    }
    return {
        name: {
            "accuracy": round(float(accuracy_score(labels[test], answer)), 4),
            "balanced_accuracy": round(float(balanced_accuracy_score(labels[test], answer)), 4),
            "pairs": int(test.sum()),
        }
        for name, answer in answers.items()
    }


def _cases(patient: CoursePatient) -> list[tuple[list[CourseStudy], CourseStudy]]:
    """Each rated study that counts, with the studies before it since the last operation."""
    cases = []
    history: list[CourseStudy] = []
    for study in patient.studies:
        if study.rating in (POST_OPERATIVE, POST_OPERATIVE_PD):
            history = []
        elif study.rating in CLASSES and not study.early:
            cases.append((list(history), study))
        history.append(study)
    return cases


def _trees(features: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    model = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.1, class_weight="balanced", random_state=0)
    model.fit(features[~test], labels[~test])
    answer: np.ndarray = model.predict(features[test])
    return answer


def _size(study: CourseStudy) -> list[float]:
    """Volume, sum of products, longest diameter and number of foci."""
    measured = [focus.measured() for focus in study.foci.values()]
    longest = max((focus.longest for focus in measured), default=0.0)
    return [study.volume, sum(focus.product for focus in measured), longest, len(measured)]


def _ratios(now: CourseStudy, then: CourseStudy) -> list[float]:
    return [a / b if b else -1.0 for a, b in zip(_size(now), _size(then), strict=True)]


def _pair(history: Sequence[CourseStudy], study: CourseStudy) -> list[float]:
    earlier = history[-1]
    new = len(set(study.foci) - set(earlier.foci))
    return [*_size(study), *_size(earlier), *_ratios(study, earlier), new, study.week - earlier.week]


def _history(history: Sequence[CourseStudy], study: CourseStudy) -> list[float]:
    baseline = history[0]
    nadir = min(history, key=lambda one: one.volume)
    new = [name for name in study.foci if name not in baseline.foci]
    largest_new = max((study.foci[name].measured().perpendicular for name in new), default=0.0)
    return [
        *_size(baseline),
        *_ratios(study, baseline),
        *_size(nadir),
        *_ratios(study, nadir),
        len(new),
        largest_new,
        study.week - baseline.week,
    ]
