"""Folds by patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treatment_response.cohort.splits import patient_folds
from treatment_response.problems import DataProblem


def cohort(patients: int = 39, lesions: int = 69, seed: int = 0) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(seed)
    owners = np.concatenate([np.arange(patients), rng.integers(0, patients, lesions - patients)])
    return [f"sub-{owner:03d}" for owner in owners], rng.binomial(1, 0.65, lesions).tolist()


@given(seed=st.integers(0, 50), folds=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_no_patient_is_in_two_folds_and_labels_are_spread(seed: int, folds: int) -> None:
    subjects, labels = cohort(seed=seed)
    assigned = patient_folds(subjects, labels, folds, seed)
    assert set(assigned) == set(range(folds))
    for subject in set(subjects):
        assert len({fold for fold, owner in zip(assigned, subjects, strict=True) if owner == subject}) == 1
    share = np.mean(labels)
    for fold in range(folds):
        assert abs(np.mean(np.asarray(labels)[assigned == fold]) - share) < 0.25


def test_same_lesions_same_folds_in_any_order() -> None:
    subjects, labels = cohort()
    assigned = patient_folds(subjects, labels)
    order = np.random.default_rng(1).permutation(len(subjects))
    shuffled = patient_folds([subjects[i] for i in order], [labels[i] for i in order])
    np.testing.assert_array_equal(shuffled, assigned[order])
    assert (patient_folds(subjects, labels, seed=1) != assigned).any()


def test_one_fold_needs_nothing() -> None:
    assert patient_folds(["sub-001"], [1], folds=1).tolist() == [0]


@pytest.mark.parametrize(
    ("subjects", "labels", "folds", "text"),
    [
        (["a", "b", "c"], [0, 1, 1], 5, "3 patient(s) cannot be split into 5 folds"),
        (["a", "a", "a"], [0, 1, 1], 2, "ask for --folds 1"),
        (["a", "b", "c"], [1, 1, 1], 2, "all 3 lesions are response"),
        (["a", "b", "c", "d"], [1, 1, 0, 0], 4, "no class has as many lesions as there are folds"),
        ([], [], 2, "no lesion is left"),
        (["a"], [1], 0, "0 folds asked for"),
    ],
)
def test_what_cannot_be_split_is_told(subjects: list[str], labels: list[int], folds: int, text: str) -> None:
    with pytest.raises(DataProblem) as error:
        patient_folds(subjects, labels, folds)
    assert text in str(error.value)
