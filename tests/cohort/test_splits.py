"""Folds by patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from treatment_response.cohort.splits import patient_folds, persons_apart, persons_in, persons_of, with_persons
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


def test_two_patients_of_one_lesion_each_are_two_folds() -> None:
    assert sorted(patient_folds(["a", "b"], [0, 1], folds=2).tolist()) == [0, 1]
    assert (
        patient_folds(["a", "b"], [0, 1], 2, seed=3).tolist() == patient_folds(["b", "a"], [1, 0], 2, 3).tolist()[::-1]
    )


@given(
    lesions=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1)), min_size=2, max_size=16),
    folds=st.integers(2, 8),
    seed=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_whoever_is_split_fills_every_fold_whole(lesions: list[tuple[int, int]], folds: int, seed: int) -> None:
    persons, labels = [f"sub-{person}" for person, _ in lesions], [label for _, label in lesions]
    assume(len(set(persons)) >= folds and len(set(labels)) == 2)
    assigned = patient_folds(persons, labels, folds, seed)
    assert set(assigned.tolist()) == set(range(folds))
    assert len(set(zip(persons, assigned.tolist(), strict=True))) == len(set(persons))
    np.testing.assert_array_equal(patient_folds(persons[::-1], labels[::-1], folds, seed), assigned[::-1])


def test_the_person_stands_for_a_subject_without_one() -> None:
    content = {
        "training": [{"subject": "sub-1"}, {"subject": "sub-2", "person": "sub-1"}, {"subject": "sub-3", "person": ""}],
        "unlabelled": [{"subject": "sub-4", "person": "sub-3"}],
    }
    persons = persons_in(content)
    assert persons == {"sub-2": "sub-1", "sub-4": "sub-3"}
    table = pd.DataFrame({"subject": ["sub-1", "sub-2", "sub-3"]})
    assert persons_of(with_persons(table, persons)).tolist() == ["sub-1", "sub-1", "sub-3"]
    assert persons_of(table).tolist() == table["subject"].tolist()
    assert with_persons(table, {}) is table
    # A table put together of one with the column and one without.
    assert persons_of(table.assign(person=["sub-9", None, np.nan])).tolist() == ["sub-9", "sub-2", "sub-3"]


@pytest.mark.parametrize(
    ("subjects", "labels", "folds", "text"),
    [
        (["a", "b", "c"], [0, 1, 1], 5, "3 patient(s) cannot be split into 5 folds"),
        (["a", "a", "a"], [0, 1, 1], 2, "ask for --folds 1"),
        (["a", "b", "c"], [1, 1, 1], 2, "all 3 lesions are response"),
        ([], [], 2, "no lesion is left"),
        (["a"], [1], 0, "0 folds asked for"),
    ],
)
def test_what_cannot_be_split_is_told(subjects: list[str], labels: list[int], folds: int, text: str) -> None:
    with pytest.raises(DataProblem) as error:
        patient_folds(subjects, labels, folds)
    assert text in str(error.value)


def test_persons_kept_apart_have_the_classes_shares_in_whatever_order() -> None:
    persons = [f"sub-{number:03d}" for number in range(92)]
    labels = [int(number % 5 < 3) for number in range(92)]
    apart = persons_apart(persons, labels, 12, seed=4)
    assert len(apart) == 12
    assert sum(labels[persons.index(one)] for one in apart) == round(12 * sum(labels) / 92)
    assert apart == persons_apart(persons[::-1], labels[::-1], 12, seed=4)
    assert apart != persons_apart(persons, labels, 12, seed=5)
    assert persons_apart(persons, labels, 0) == set()
    twice = persons_apart(["a", "a", "b", "c"], [0, 1, 0, 1], 2)
    assert twice <= {"a", "b", "c"}
