"""The label model of RICE-NET's synthetic cohort: every strength is met, and nothing else tells the label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from treatment_response.cohort.synthetic.rice.ceilings import auc_standard_error
from treatment_response.cohort.synthetic.rice.dose import TECHNIQUES, relative_dose
from treatment_response.cohort.synthetic.rice.label_model import CEILINGS, DOSE, TEXTURE, Evidence, LabelModel
from treatment_response.cohort.synthetic.rice.placement import planned_relative_dose
from treatment_response.cohort.synthetic.rice.simulate import RECURRENCE, RiceCohort, RicePatient, simulate_rice
from treatment_response.cohort.synthetic.rice.strengths import SETTINGS, Strengths
from treatment_response.problems import DataProblem

PATIENTS = 10_000
NUISANCES: dict[str, Callable[[RicePatient], float]] = {
    "prescription": lambda p: sum(part.prescription_gy for part in p.facts.parts),
    "proton": lambda p: p.facts.modality == "PROTON",
    "grid extent": lambda p: p.facts.wide_grid,
    "courses": lambda p: len(p.facts.parts),
    "site A": lambda p: p.facts.site == "A",
    "site B": lambda p: p.facts.site == "B",
    "beam doses": lambda p: p.facts.dose_kind == "BEAM",
    "own frame": lambda p: p.facts.own_frame,
    "outline": lambda p: p.facts.outline,
    "biopsy": lambda p: p.facts.biopsy,
    "lesion radius": lambda p: p.lesion_radius_mm,
    "cavity radius": lambda p: p.cavity_radius_mm,
    "target margin": lambda p: p.margin_mm,
    "head size": lambda p: p.head.scale.prod(),
    "between": lambda p: "between" in p.visits,
    "later study": lambda p: "later" in p.visits,
    "rotation": lambda p: np.trace(p.visits["event"].session.rotation),
    "days to radiotherapy": lambda p: p.days.plans[0],
    "place in the list": lambda p: p.index,
}


@pytest.fixture(scope="module")
def cohort() -> RiceCohort:
    return simulate_rice(PATIENTS, 0, seed=5)


def labels_of(cohort: RiceCohort) -> np.ndarray:
    return np.array([patient.label == RECURRENCE for patient in cohort.patients]).astype(int)


def evidence_of(cohort: RiceCohort) -> Evidence:
    numbers = np.concatenate([patient.evidence.numbers for patient in cohort.patients])
    beside = np.concatenate([patient.evidence.beside_ventricle for patient in cohort.patients])
    return Evidence(numbers, beside)


def test_each_strength_is_met_by_what_is_planted(cohort: RiceCohort) -> None:
    labels, evidence, strengths = labels_of(cohort), evidence_of(cohort), cohort.model.strengths
    months = np.array([patient.months for patient in cohort.patients])
    planted = {
        # Radiation effects lie in the higher dose; recurrences come later and are more solid.
        strengths.dose_auc: -planned_relative_dose(evidence.numbers[:, DOSE]),
        strengths.texture_auc: evidence.numbers[:, TEXTURE],
        strengths.time_auc: months,
        strengths.combined_auc: cohort.model.p_recurrence(evidence, "all"),
    }
    for wanted, scores in planted.items():
        assert roc_auc_score(labels, scores) == pytest.approx(wanted, abs=3 * auc_standard_error(wanted, labels))
    beside = evidence.beside_ventricle
    odds = [beside[labels == label].mean() / (1 - beside[labels == label].mean()) for label in (0, 1)]
    assert 2.0 < odds[0] / odds[1] < 3.0
    assert strengths.time_auc <= 0.65


def test_both_classes_lie_mostly_in_or_near_the_95_percent_isodose(cohort: RiceCohort) -> None:
    labels = labels_of(cohort)
    near = planned_relative_dose(evidence_of(cohort).numbers[:, DOSE]) >= relative_dose(5.0, TECHNIQUES["PHOTON"])
    assert near[labels == 1].mean() > 0.8
    assert near[labels == 0].mean() > 0.9


def test_probabilities_are_calibrated_and_more_knowledge_ranks_better(cohort: RiceCohort) -> None:
    labels, evidence = labels_of(cohort), evidence_of(cohort)
    aucs = {}
    for known in CEILINGS:
        p = cohort.model.p_recurrence(evidence, known)
        aucs[known] = roc_auc_score(labels, p)
        assert aucs[known] == pytest.approx(cohort.model.auc(known), abs=0.015)
        for low, high in ((0.0, 0.4), (0.4, 0.7), (0.7, 1.0)):
            chosen = (p >= low) & (p < high)
            if chosen.sum() > 200:
                assert labels[chosen].mean() == pytest.approx(p[chosen].mean(), abs=2 / np.sqrt(chosen.sum()))
    assert aucs["dose"] < aucs["images"] < aucs["all"]
    assert aucs["mri"] < aucs["images"]


def test_nothing_else_tells_the_label(cohort: RiceCohort) -> None:
    labels = labels_of(cohort)
    error = auc_standard_error(0.5, labels)
    for name, value in NUISANCES.items():
        auc = roc_auc_score(labels, [float(value(patient)) for patient in cohort.patients])
        assert auc == pytest.approx(0.5, abs=3.3 * error), name  # 19 looks: p = 0.001 each


def test_only_recurrences_have_a_later_course(cohort: RiceCohort) -> None:
    later = np.array([patient.days.later_course is not None for patient in cohort.patients])
    labels = labels_of(cohort)
    assert not later[labels == 0].any()
    assert 0.2 < later[labels == 1].mean() < 0.3


def test_dose_that_carries_nothing_says_nothing_alone_or_with_the_rest() -> None:
    model = LabelModel(SETTINGS["zero-dose"])
    evidence = Evidence(np.array([[-2.0, 0.3, 0.1], [2.0, 0.3, 0.1]]), np.array([True, True]))
    for known in ("dose", "images", "all"):
        low, high = model.p_recurrence(evidence, known)
        assert low == pytest.approx(high)


def test_strong_dose_is_stronger() -> None:
    assert LabelModel(SETTINGS["strong-dose"]).auc("dose") == pytest.approx(0.80)


def test_strengths_that_contradict_each_other_are_told() -> None:
    with pytest.raises(DataProblem, match=r"cannot reach an AUC of 0\.6; choose a combined AUC from 0\.78 to"):
        LabelModel(Strengths(combined_auc=0.6)).auc("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patients": 1}, "at least 2, one of each class"),
        ({"setting": "medium"}, "choose one of default, strong-dose, zero-dose"),
        ({"spacing_mm": 9.0}, "choose from 0.6 to 4 mm"),
    ],
    ids=["one-patient", "unknown-strengths", "spacing"],
)
def test_impossible_cohorts_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(DataProblem, match=message):
        simulate_rice(**arguments)


def test_classes_come_in_the_paper_s_shares() -> None:
    labels = [patient.label for patient in simulate_rice().patients]
    assert (labels.count("recurrence"), labels.count("radiation effect"), labels.count("mixed")) == (55, 37, 3)
