"""How sure the fold models of a network are of a lesion: a calibrated probability and a conformal set.

The fold models are networks of one design, each trained without one fold of the patients. What each said of the lesions
that it did not see is what both are made of. They stand in ``model.json``:

```json
{"calibration": {"method": "logistic", "intercept": -0.1, "slope": 0.8, "lowest": -6.2, "highest": 7.0},
 "conformal": {"level": 0.9, "folds": [{"non-response": {"scores": [-0.4, 1.3], "patients": [0, 4]}, "response": …}]}}
```

The score of a lesion for a class is −y, where y is that class's logit by the fold model (z for response, −z for
non-response): large where the lesion does not look like one of the class. A patient is a number without a meaning.
Numbers and classes only, no tensors and no files: `treatment_response.weights` reads and writes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

METHOD = "logistic"
"""P = 1 / (1 + exp(−(intercept + slope · logit))), one curve for all fold models."""
TEMPERATURE = "temperature"
"""P = softmax(logits / temperature), one temperature for all fold models of K classes."""
MOST_FOLDS = 20
_MOST_LESIONS = 100_000
_DIGITS = 9
"""To which p-values are compared with the level: sums of thirds would miss it by the last bit."""


@dataclass(frozen=True)
class Calibration:
    """From a fold model's logit of a lesion to P(response).

    Attributes:
        intercept, slope: of the logistic curve; the slope is above 0.
        lowest, highest: logits of the lesions that it was fitted to.
    """

    intercept: float
    slope: float
    lowest: float
    highest: float

    def probability(self, logit: float) -> float:
        """P(response) of a lesion, by one fold model."""
        z = self.intercept + self.slope * logit
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

    def probabilities(self, logits: Sequence[float]) -> list[float]:
        """The same from one logit, or the difference of two, for both classes in their order."""
        p = self.probability(_difference(logits))
        return [1 - p, p]

    def covers(self, members: Sequence[Sequence[float]]) -> bool:
        """Whether no fold model's logits lie beyond those that the curve was fitted to."""
        return all(self.lowest <= _difference(logits) <= self.highest for logits in members)

    def content(self) -> dict[str, Any]:
        """The entry ``calibration`` of ``model.json``."""
        return {"method": METHOD, **vars(self)}


@dataclass(frozen=True)
class TemperatureCalibration:
    """From a fold model's K logits of a case to the probabilities of its classes.

    Attributes:
        temperature: above 0; above 1 makes the probabilities less sure.
        lowest, highest: log-odds of the most probable class of the cases that it was fitted to.

    References:
        Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    temperature: float
    lowest: float
    highest: float

    def probabilities(self, logits: Sequence[float]) -> list[float]:
        """In the order of the classes; a single logit is of the second of two."""
        scaled = [logit / self.temperature for logit in ([0.0, *logits] if len(logits) == 1 else logits)]
        top = max(scaled)
        parts = [math.exp(each - top) for each in scaled]
        return [part / sum(parts) for part in parts]

    def covers(self, members: Sequence[Sequence[float]]) -> bool:
        """Whether no fold model is less or more sure than they were of the cases that it was fitted to."""
        return all(self.lowest <= top_log_odds(logits) <= self.highest for logits in members)

    def content(self) -> dict[str, Any]:
        """The entry ``calibration`` of ``model.json``."""
        return {"method": TEMPERATURE, **vars(self)}


@dataclass(frozen=True)
class ClassScores:
    """What one fold model said of the held-out lesions of one class: N scores, and the patient of each."""

    scores: tuple[float, ...]
    patients: tuple[int, ...]

    def by_patient(self) -> dict[int, list[float]]:
        """Each patient's scores."""
        found: dict[int, list[float]] = {}
        for patient, score in zip(self.patients, self.scores, strict=True):
            found.setdefault(patient, []).append(score)
        return found


@dataclass(frozen=True)
class ConformalSets:
    """Class-conditional cross-conformal sets over patient folds.

    Attributes:
        level: share of the lesions of each class whose set is meant to hold their class, in [0.5, 1).
        folds: per fold model, class → the scores of its held-out lesions.
    """

    level: float
    folds: tuple[Mapping[str, ClassScores], ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the class numbers."""
        return tuple(self.folds[0])

    def lesions(self) -> dict[str, int]:
        """Calibration lesions of each class."""
        return {name: sum(len(fold[name].scores) for fold in self.folds) for name in self.classes}

    def patients(self) -> dict[str, int]:
        """Patients with a calibration lesion of each class."""
        return {name: sum(len(set(fold[name].patients)) for fold in self.folds) for name in self.classes}

    def trivial(self) -> list[str]:
        """Classes that every set holds, because too few patients had one: fewer than 9 at level 0.9."""
        return [name for name, n in self.patients().items() if round(1 / (n + 1), _DIGITS) > self._limit]

    def p_values(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The p-value of each class for one lesion of a new patient.

        A patient's lesions resemble each other, so one random lesion of the class per patient counts. The p-value is
        the mean over all such draws, and no draw is needed for it: each patient adds the share of its lesions whose
        score is at least as large as the new lesion's by the same fold model. With n patients of the class,
        ``p = (Σ_folds Σ_patients share + 1) / (n + 1)``.

        Args:
            scores: per fold model, class → score of the lesion.

        References:
            Vovk, Cross-conformal predictors, Ann. Math. Artif. Intell. 74 (2015) 9; here within each class.
            Dunn, Wasserman and Ramdas, Distribution-free prediction sets for two-layer hierarchical models, JASA 118
            (2023) 2491: one observation per group, repeated.
        """
        found = {}
        for name, n in self.patients().items():
            as_strange = 0.0
            for fold, own in zip(self.folds, scores, strict=True):
                for known in fold[name].by_patient().values():
                    as_strange += sum(score >= own[name] for score in known) / len(known)
            found[name] = (as_strange + 1) / (n + 1)
        return found

    def members(self, p_values: Mapping[str, float]) -> list[str]:
        """The classes whose p-value is above 1 − level: the set."""
        return [name for name, p in p_values.items() if round(p, _DIGITS) > self._limit]

    @property
    def _limit(self) -> float:
        return round(1 - self.level, _DIGITS)


@dataclass(frozen=True)
class Certainty:
    """What a network's fold models need beside their weights."""

    calibration: Calibration | TemperatureCalibration
    conformal: ConformalSets

    def content(self) -> dict[str, Any]:
        """The entries of ``model.json``."""
        folds = [
            {name: {k: list(v) for k, v in vars(of).items()} for name, of in f.items()} for f in self.conformal.folds
        ]
        return {"calibration": self.calibration.content(), "conformal": {"level": self.conformal.level, "folds": folds}}


def scores_of(logit: float, names: Sequence[str]) -> dict[str, float]:
    """The score of each of two classes for a lesion with this logit of the second (response)."""
    negative, positive = names
    return {negative: logit, positive: -logit}


def class_scores_of(logits: Sequence[float], names: Sequence[str]) -> dict[str, float]:
    """The score of each of K classes: minus the logarithm of its odds against all others.

    With one logit z, of the second of two classes, that is z and −z: `scores_of`.
    """
    if len(logits) == 1:
        return scores_of(logits[0], names)
    found = {}
    for number, name in enumerate(names):
        others = [logit for other, logit in enumerate(logits) if other != number]
        top = max(others)
        found[name] = top + math.log(sum(math.exp(each - top) for each in others)) - logits[number]
    return found


def top_log_odds(logits: Sequence[float]) -> float:
    """The log-odds of the most probable class against all others."""
    return -min(class_scores_of(logits, [str(number) for number in range(max(len(logits), 2))]).values())


def _difference(logits: Sequence[float]) -> float:
    """The logit of the second of two classes."""
    return logits[-1] - (logits[0] if len(logits) > 1 else 0.0)


def read_certainty(calibration: Any, conformal: Any, classes: Sequence[str]) -> Certainty:
    """The two entries of a ``model.json``, checked.

    Args:
        calibration, conformal: as `Certainty.content` writes them.
        classes: names in the order of the class numbers.

    Raises:
        ValueError: with what is wrong.
    """
    return Certainty(_calibration(calibration), _conformal(conformal, classes))


def _calibration(given: Any) -> Calibration | TemperatureCalibration:
    if isinstance(given, dict) and given.get("method") == TEMPERATURE:
        parts = _entries(given, ("method", "temperature", "lowest", "highest"), "calibration")
        values = [parts[name] for name in ("temperature", "lowest", "highest")]
        if not all(map(_is_number, values)) or values[0] <= 0 or values[1] > values[2]:
            raise ValueError("its calibration's temperature is no number above 0, or it has no range")
        return TemperatureCalibration(*map(float, values))
    numbers = _entries(given, ("method", "intercept", "slope", "lowest", "highest"), "calibration")
    if numbers.pop("method") != METHOD:
        raise ValueError(f"its calibration's method is not {METHOD}")
    if not all(map(_is_number, numbers.values())):
        raise ValueError("its calibration is not of finite numbers")
    curve = Calibration(**{name: float(number) for name, number in numbers.items()})
    if curve.slope <= 0 or curve.lowest >= curve.highest:
        raise ValueError("its calibration falls, or has no range")
    return curve


def _conformal(given: Any, classes: Sequence[str]) -> ConformalSets:
    parts = _entries(given, ("level", "folds"), "conformal")
    level, folds = parts["level"], parts["folds"]
    if not (_is_number(level) and 0.5 <= level < 1):
        raise ValueError("its conformal level is not in [0.5, 1)")
    if not isinstance(folds, list) or not 2 <= len(folds) <= MOST_FOLDS:
        raise ValueError(f"its conformal scores are not of 2 to {MOST_FOLDS} folds")
    read = tuple({name: _class_scores(_entries(fold, classes, "fold")[name]) for name in classes} for fold in folds)
    owners: dict[int, int] = {}
    for number, fold in enumerate(read):
        for patient in {patient for of in fold.values() for patient in of.patients}:
            if owners.setdefault(patient, number) != number:
                raise ValueError("a patient of its conformal scores is in two folds")
    return ConformalSets(float(level), read)


def _class_scores(given: Any) -> ClassScores:
    parts = _entries(given, ("scores", "patients"), "class")
    scores, patients = parts["scores"], parts["patients"]
    lists = isinstance(scores, list) and isinstance(patients, list) and len(scores) == len(patients) <= _MOST_LESIONS
    if not lists or not all(map(_is_number, scores)):
        raise ValueError("its conformal scores are not finite numbers, each with a patient")
    if not all(type(patient) is int and 0 <= patient < _MOST_LESIONS for patient in patients):
        raise ValueError("a patient of its conformal scores is no number")
    return ClassScores(tuple(map(float, scores)), tuple(patients))


def _entries(given: Any, names: Sequence[str], what: str) -> dict[str, Any]:
    if not isinstance(given, dict) or set(given) != set(names):
        raise ValueError(f"its {what} does not hold {', '.join(names)} and nothing else")
    return dict(given)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9  # false for NaN and infinities
