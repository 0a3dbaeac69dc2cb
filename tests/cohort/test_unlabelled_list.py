"""The data list's lesions without a label: read when they are asked for, and checked as the others are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_dataset import doubt_lesions, join_persons, oblique_affine, write_toy_dataset
from treatment_response.cohort.check import check_dataset, check_list
from treatment_response.cohort.dataset import load_datalist, read_dataset
from treatment_response.cohort.layout import mask_path, write_volume
from treatment_response.geometry import Volume
from treatment_response.inference.cases import inference_cases
from treatment_response.problems import DataProblem

DOUBTFUL = [("sub-001", "L01"), ("sub-004", "L01"), ("sub-004", "L02")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_toy_dataset(tmp_path_factory.mktemp("unlabelled") / "dataset", patients=6, folds=2)
    doubt_lesions(root, DOUBTFUL)
    return root


def test_they_are_read_only_when_asked_for(dataset: Path) -> None:
    labelled = load_datalist(dataset)
    every = load_datalist(dataset, unlabelled=True)
    assert every[: len(labelled)] == labelled
    assert all(sample["label"] in (0, 1) for sample in labelled)
    more = every[len(labelled) :]
    assert [(sample["subject"], sample["lesion"]) for sample in more] == DOUBTFUL
    assert all(sample["label"] is None and sample["volume_change"] is None for sample in more)
    assert all(Path(sample["mask"]).is_file() for sample in more)
    fold = more[0]["fold"]
    chosen = load_datalist(dataset, folds=[fold], unlabelled=True)
    assert {sample["fold"] for sample in chosen} == {fold}
    assert ("sub-001", "L01") in {(sample["subject"], sample["lesion"]) for sample in chosen}
    assert check_dataset(dataset) == []


def test_they_can_be_predicted_as_others(dataset: Path) -> None:
    cases = inference_cases(str(dataset))
    assert len(cases) == 12
    assert {("sub-004", "L02"), ("sub-001", "L01")} < {(case["subject"], case["lesion"]) for case in cases}


Change = Callable[[dict[str, Any]], None]
FAULTS: dict[str, tuple[Change, str]] = {
    "no list": (lambda c: c.update(unlabelled={}), "'unlabelled' in dataset.json is no list"),
    "a label": (lambda c: c["unlabelled"][0].update(label=1), "has a label, although it is listed without one"),
    "no reason": (lambda c: c["unlabelled"][0].pop("reason"), "'reason' is missing or is no str"),
    "no dictionary": (lambda c: c["unlabelled"].append(3), "sample 7 without a label of dataset.json: is not a dict"),
    "twice": (lambda c: c["unlabelled"].append(c["unlabelled"][0]), "sub-001 L01 ses-01: is listed twice"),
    "in both lists": (
        lambda c: c["training"].append({**c["unlabelled"][0], "label": 1}),
        "sub-001 L01: is listed with a label and without one",
    ),
    "no MRI 1": (lambda c: c["unlabelled"].pop(0), "sub-001 L01: has no label and no ses-01"),
    "other fold": (
        lambda c: c["unlabelled"][0].update(fold=1 - c["unlabelled"][0]["fold"]),
        "sub-001: is in folds 0, 1, a patient belongs in one",
    ),
    "no such fold": (
        lambda c: [sample.update(fold=2) for sample in c["unlabelled"] if sample["subject"] == "sub-004"],
        "sub-004: fold [2] is not within 0 to 1",
    ),
    "unknown session": (lambda c: c["unlabelled"][0].update(session="ses-03"), "session ses-03 is unknown"),
    "person in two folds": (
        lambda c: [
            sample.update(person="sub-004", fold=1 - next(s["fold"] for s in c["unlabelled"] if s["lesion"] == "L02"))
            for sample in c["training"]
            if sample["subject"] == "sub-002"
        ],
        "sub-002 and sub-004: is in folds 0, 1, a person belongs in one",
    ),
    "subject of two persons": (lambda c: c["training"][0].update(person="sub-9"), "is 2 persons in the data list"),
    "person is no text": (lambda c: c["unlabelled"][0].update(person=7), "'person' is no str"),
    "too few persons": (
        lambda c: [sample.update(person="sub-001", fold=0) for sample in [*c["training"], *c["unlabelled"]]],
        "1 patient(s) cannot be split into 2 folds",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told(dataset: Path, tmp_path: Path, fault: str) -> None:
    content = read_dataset(dataset)
    change, text = FAULTS[fault]
    change(content)
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    try:
        problems = check_list(read_dataset(tmp_path))
    except DataProblem as error:
        problems = list(error.problems)
    assert any(text in str(problem) for problem in problems), problems


def test_their_files_are_checked(tmp_path: Path) -> None:
    root = write_toy_dataset(tmp_path / "dataset", patients=3, folds=2)
    doubt_lesions(root, [("sub-001", "L01"), ("sub-001", "L02")])
    (root / mask_path("sub-001", "ses-01", "L01")).unlink()
    write_volume(
        root / mask_path("sub-001", "ses-01", "L02"), Volume(np.zeros((64, 72, 20), np.uint8), oblique_affine())
    )
    text = "\n".join(map(str, check_dataset(root)))
    assert "sub-001 ses-01 L01 mask: the file is missing" in text
    assert "sub-001 ses-01 L02 mask: has no voxel in it" in text


def test_subjects_of_one_person_in_one_fold_are_right(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(read_dataset(dataset)))
    join_persons(tmp_path, {"sub-005": "sub-002"})
    assert check_list(read_dataset(tmp_path)) == []
