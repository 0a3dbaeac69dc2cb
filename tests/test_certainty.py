"""Calibrated probabilities and conformal sets of fold models, against enumeration, another library and simulation."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from treatment_response.certainty import (
    Certainty,
    ClassScores,
    ConformalSets,
    class_scores_of,
    read_certainty,
    scores_of,
)
from treatment_response.classes import Classes
from treatment_response.evaluation.fit_certainty import fit_certainty
from treatment_response.problems import DataProblem

CLASSES = ("non-response", "response")
# Two folds of one class: the score of each lesion and its patient. Of the other class: one lesion each.
FOLDS = (ClassScores((0.3, 1.2, -0.5, 2.0), (0, 0, 1, 2)), ClassScores((0.1, 0.9, 1.1), (3, 4, 4)))
OTHER = (ClassScores((0.0,), (0,)), ClassScores((0.5,), (5,)))
SETS = ConformalSets(0.9, tuple(dict(zip(CLASSES, pair, strict=True)) for pair in zip(FOLDS, OTHER, strict=True)))
NEW = ({"non-response": 0.9, "response": 0.4}, {"non-response": 0.9, "response": 0.4})
# crepes 0.9.1: for each draw `p_values_batch` of the calibration scores minus the new lesion's by the same fold model,
# and 0, without smoothing; the mean over the four draws.
CREPES = {"non-response": (0.5 + 0.5 + 2 / 3 + 2 / 3) / 4, "response": 2 / 3}


def enumerated(folds: tuple[ClassScores, ...], new: list[float]) -> float:
    """The p-value of one class as it is defined: the mean over all ways to take one lesion of each patient."""
    patients = [
        [score >= own for score, whose in zip(fold.scores, fold.patients, strict=True) if whose == patient]
        for fold, own in zip(folds, new, strict=True)
        for patient in sorted(set(fold.patients))
    ]
    draws = list(itertools.product(*patients))
    return sum((sum(draw) + 1) / (len(draw) + 1) for draw in draws) / len(draws)


def test_a_p_value_is_the_mean_over_all_draws_of_one_lesion_per_patient():
    found = SETS.p_values(NEW)
    assert found["non-response"] == pytest.approx(enumerated(FOLDS, [0.9, 0.9]), abs=1e-12)
    assert found["response"] == pytest.approx(enumerated(OTHER, [0.4, 0.4]), abs=1e-12)
    assert found == pytest.approx(CREPES, abs=1e-12)
    assert (SETS.lesions(), SETS.patients()) == ({"non-response": 7, "response": 2}, {"non-response": 5, "response": 2})


@pytest.mark.parametrize(("patients", "members"), [(8, ["response"]), (9, [])])
def test_below_nine_patients_every_set_holds_the_class(patients, members):
    many, few = (ClassScores((0.0,) * n, tuple(range(n))) for n in (40, patients))
    nothing = ClassScores((), ())
    sets = ConformalSets(0.9, ({"non-response": many, "response": few}, {"non-response": nothing, "response": nothing}))
    strange = {"non-response": 1.0, "response": 1.0}
    assert sets.members(sets.p_values([strange, strange])) == members == sets.trivial()


def test_the_level_is_met_to_the_last_bit():
    thirds = ClassScores((0.0, 0.0, 9.0) * 3 + (0.0,) * 16, (*np.repeat(range(3), 3).tolist(), *range(3, 19)))
    sets = ConformalSets(0.9, ({"a": thirds, "b": thirds},) * 1)
    p = sets.p_values([{"a": 1.0, "b": 1.0}])["a"]
    assert p == pytest.approx((3 / 3 + 1) / 20)
    assert sets.members({"a": p, "b": np.nextafter(0.1, 1), "c": 0.1 + 1e-6}) == ["c"]


def test_sets_hold_the_class_of_one_lesion_of_a_new_patient_as_often_as_they_aim_at():
    """Patients have one to five lesions that resemble each other; the fold models' logits differ by a shift."""
    rng = np.random.default_rng(3)

    def patient() -> list[tuple[int, float]]:
        label, same = int(rng.random() < 0.6), rng.normal()
        return [(label, 1.6 * label - 0.8 + 0.8 * same + 0.6 * rng.normal()) for _ in range(rng.integers(1, 6))]

    held = {name: [] for name in CLASSES}
    for _ in range(60):
        shifts = (0.0, 0.7)
        rows = [(number, number % 2, *lesion) for number in range(60) for lesion in patient()]
        folds = []
        for fold, shift in enumerate(shifts):
            mine = [(who, label, logit + shift) for who, of, label, logit in rows if of == fold]
            scores = [(who, label, scores_of(logit, CLASSES)[CLASSES[label]]) for who, label, logit in mine]
            folds.append(
                {
                    name: ClassScores(
                        tuple(s for _, label, s in scores if label == number),
                        tuple(w for w, label, _ in scores if label == number),
                    )
                    for number, name in enumerate(CLASSES)
                }
            )
        sets = ConformalSets(0.9, tuple(folds))
        for _ in range(25):
            label, logit = patient()[0]
            members = sets.members(sets.p_values([scores_of(logit + shift, CLASSES) for shift in shifts]))
            held[CLASSES[label]].append(CLASSES[label] in members)
    for name, found in held.items():  # 1500 patients; the SE is about 0.012
        assert 0.87 < np.mean(found) < 0.95, name


def out_of_fold(n: int = 200, slope: float = 0.7) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    logit = rng.normal(0.5, 2, n)
    label = (rng.random(n) < expit(slope * logit - 0.4)).astype(int)
    subject = [f"sub-{number // 2:03d}" for number in range(n)]
    return pd.DataFrame({"subject": subject, "fold": np.arange(n) // 2 % 5, "label": label, "logit": logit})


def test_the_curve_is_the_most_likely_one_and_the_scores_are_those_of_the_lesions():
    table = out_of_fold()
    certainty = fit_certainty(table)
    z, y = table["logit"].to_numpy(), table["label"].to_numpy()

    def surprise(line: np.ndarray) -> float:
        p = expit(line[0] + line[1] * z)
        return -float(np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)))

    best = minimize(surprise, [0.0, 1.0], method="BFGS").x
    curve = certainty.calibration
    assert (curve.intercept, curve.slope) == pytest.approx(tuple(best), abs=1e-4)
    assert (curve.lowest, curve.highest) == pytest.approx((z.min(), z.max()), abs=1e-6)
    for logit in (-700.0, -1.0, 0.0, 3.0, 700.0):
        assert curve.probability(logit) == pytest.approx(expit(curve.intercept + curve.slope * logit), abs=1e-12)
    assert curve.covers([[z.min() + 1e-3], [0.0]])
    assert not curve.covers([[0.0], [z.max() + 1e-3]])
    for number, fold in enumerate(certainty.conformal.folds):
        mine = table[table["fold"] == number]
        assert sorted(fold["response"].scores) == sorted((-mine.loc[mine["label"] == 1, "logit"]).round(6))
        assert sorted(fold["non-response"].scores) == sorted(mine.loc[mine["label"] == 0, "logit"].round(6))
    assert sum(certainty.conformal.lesions().values()) == 200
    assert len({p for fold in certainty.conformal.folds for of in fold.values() for p in of.patients}) == 100


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"label": 1}, "not of both classes"),
        ({"fold": 0}, r"in folds 0, 1, …"),
        ({"logit": -out_of_fold()["logit"]}, "do not tell the classes of held-out cases apart"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change, sentence):
    with pytest.raises(DataProblem, match=sentence):
        fit_certainty(out_of_fold().assign(**change))


def test_what_is_written_is_read_back():
    made = fit_certainty(out_of_fold())
    content = made.content()
    assert read_certainty(content["calibration"], content["conformal"], CLASSES) == made


def broken(name: str) -> tuple[Any, Any]:
    content = copy.deepcopy(fit_certainty(out_of_fold(40)).content())
    calibration, conformal = content["calibration"], content["conformal"]
    of = conformal["folds"][0]["response"]
    match name:
        case "no calibration":
            calibration = None
        case "a claim":
            calibration["method"] = "approved by FDA"
        case "one entry more":
            calibration["cleared"] = True
        case "NaN":
            calibration["slope"] = float("nan")
        case "text":
            calibration["intercept"] = "0"
        case "huge":
            calibration["intercept"] = 10**400
        case "falls":
            calibration["slope"] = -1.0
        case "no range":
            calibration["lowest"] = calibration["highest"]
        case "level":
            conformal["level"] = 1.0
        case "one fold":
            del conformal["folds"][1:]
        case "a class less":
            del conformal["folds"][0]["response"]
        case "infinite score":
            of["scores"][0] = float("inf")
        case "patients less":
            of["patients"].pop()
        case "a name":
            of["patients"][0] = "Miller"
        case "a patient in two folds":
            conformal["folds"][1]["response"]["patients"][0] = of["patients"][0]
    return calibration, conformal


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no calibration", "calibration does not hold method"),
        ("a claim", "method is not logistic"),
        ("one entry more", "and nothing else"),
        ("NaN", "not of finite numbers"),
        ("text", "not of finite numbers"),
        ("huge", "not of finite numbers"),
        ("falls", "falls, or has no range"),
        ("no range", "falls, or has no range"),
        ("level", r"level is not in \[0.5, 1\)"),
        ("one fold", "not of 2 to 20 folds"),
        ("a class less", "fold does not hold non-response, response"),
        ("infinite score", "not finite numbers, each with a patient"),
        ("patients less", "not finite numbers, each with a patient"),
        ("a name", "is no number"),
        ("a patient in two folds", "in two folds"),
    ],
)
def test_broken_constants_are_refused(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_certainty(*broken(name), CLASSES)


def test_the_toy_is_in_order():
    assert isinstance(read_certainty(*broken("nothing"), CLASSES), Certainty)


RATINGS = Classes(("PD", "SD", "PR", "CR"), "PD", "balanced_accuracy")


def rated(patients: int, temperature: float, seed: int = 0) -> pd.DataFrame:
    """Synthetic held-out cases whose true probabilities are the softmax of their logits over `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (patients, 4))
    true = np.exp(logits / temperature)
    label = [rng.choice(4, p=row / row.sum()) for row in true]
    columns = dict(zip([f"logit_{name}" for name in RATINGS.names], logits.T, strict=True))
    facts = {"subject": [f"s{n}" for n in range(patients)], "fold": np.arange(patients) % 2, "label": label}
    return pd.DataFrame({**facts, **columns})


def test_the_temperature_of_four_classes_is_found_and_kept():
    made = fit_certainty(rated(4000, 2.0), classes=RATINGS)
    assert made.calibration.temperature == pytest.approx(2.0, rel=0.1)
    assert sum(made.calibration.probabilities([1.0, 2.0, -3.0, 800.0])) == pytest.approx(1)
    content = made.content()
    assert read_certainty(content["calibration"], content["conformal"], RATINGS.names) == made
    assert made.calibration.covers([[5.0, 0.0, 0.0, 0.0]])
    assert not made.calibration.covers([[500.0, 0.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="above 0"):
        read_certainty({**content["calibration"], "temperature": 0.0}, content["conformal"], RATINGS.names)
    with pytest.raises(DataProblem, match="apart"):
        fit_certainty(rated(400, -1.0), classes=RATINGS)


def test_sets_of_four_classes_hold_each_class_as_often_as_they_say():
    sets = fit_certainty(rated(800, 1.0), classes=RATINGS).conformal
    new = rated(600, 1.0, seed=1)
    covered = {number: [] for number in range(4)}
    for row in new.itertuples():
        scores = class_scores_of([getattr(row, f"logit_{name}") for name in RATINGS.names], RATINGS.names)
        covered[row.label].append(RATINGS.names[row.label] in sets.members(sets.p_values([scores, scores])))
    for of_class in covered.values():
        assert np.mean(of_class) == pytest.approx(0.9, abs=0.06)


def test_the_scores_of_two_logits_are_those_of_their_difference():
    assert class_scores_of([1.25, 4.0], CLASSES) == pytest.approx(scores_of(2.75, CLASSES))
    assert class_scores_of([2.75], CLASSES) == scores_of(2.75, CLASSES)
