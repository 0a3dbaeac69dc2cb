"""Check a prepared data set before it is trained on: every fault at once."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from treatment_response.classes import Classes, read_classes
from treatment_response.cohort.case import RESERVED, case_name, images_of
from treatment_response.cohort.dataset import TEST, TEST_FOLD, read_dataset
from treatment_response.cohort.layout import read_volume
from treatment_response.cohort.lesion import BASELINE, SECOND
from treatment_response.cohort.splits import PERSON, fold_problems, person_of
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import grid_difference, same_grid
from treatment_response.problems import DataProblem, Problem

_AGAIN = "prepare the data set again"
_TYPES = {"image": str, "mask": str, "label": int, "subject": str, "lesion": str, "session": str, "fold": int}
_UNLABELLED_TYPES = {**{key: kind for key, kind in _TYPES.items() if key != "label"}, "reason": str}
_CASE_TYPES = {"subject": str, "case": str, "label": int, "fold": int, "images": dict}
_SAFE = re.compile(r"[\w-]{1,64}", re.ASCII)
"""Names of cases and their images, which stand in paths."""


def check_dataset(dataset_dir: str | Path) -> list[Problem]:
    """List every fault of a prepared data set.

    Checked: the data list and its fields, unknown labels and sessions, the same lesion twice or with two labels, a
    person in two folds, one class only, fewer patients than folds, files that are missing or unreadable, NaN, an
    empty mask, a mask on another grid than its image, a mask that is not 0 and 1. Of the lesions without a label too,
    and that none of them has one. Of the cases kept apart for the final test, that no patient is among both.

    Returns:
        The problems; empty if the data set is fit for training.
    """
    root = Path(dataset_dir)
    try:
        content = read_dataset(root)
    except DataProblem as error:
        return list(error.problems)
    problems, samples = _listed(content)
    return [*problems, *_file_problems(root, samples)]


def check_or_raise(dataset_dir: str | Path) -> None:
    """Check a prepared data set.

    Raises:
        DataProblem: with every fault of it.
    """
    if problems := check_dataset(dataset_dir):
        raise DataProblem(*problems)


def check_list(content: dict[str, Any]) -> list[Problem]:
    """What `check_dataset` finds without opening an image.

    Args:
        content: of ``dataset.json``.
    """
    return _listed(content)[0]


def _listed(content: dict[str, Any]) -> tuple[list[Problem], list[dict[str, Any]]]:
    """The lists' problems, and the samples whose fields are right, those without a label last."""
    try:
        classes = read_classes(content, "dataset.json")
    except DataProblem as error:
        return list(error.problems), []
    problems: list[Problem] = []
    labelled, unlabelled, apart = [], [], []
    for number, sample in enumerate(content["training"], start=1):
        where = f"sample {number} of dataset.json"
        fields = _field_problems(where, sample, _TYPES) or _label_problems(where, sample, classes)
        problems += fields
        if not fields:
            labelled.append(_uniform(sample))
    for number, sample in enumerate(content.get("unlabelled", []), start=1):
        where = f"sample {number} without a label of dataset.json"
        fields = _field_problems(where, sample, _UNLABELLED_TYPES)
        if not fields and sample.get("label") is not None:
            fields = [Problem(where, "has a label, although it is listed without one", _AGAIN)]
        problems += fields
        if not fields:
            unlabelled.append(_uniform(sample))
    for number, sample in enumerate(content.get(TEST, []), start=1):
        where = f"test sample {number} of dataset.json"
        fields = _field_problems(where, sample, _TYPES) or _label_problems(where, sample, classes)
        if not fields and sample["fold"] != TEST_FOLD:
            fields = [Problem(where, f"is in fold {sample['fold']}, expected {TEST_FOLD}", _AGAIN)]
        problems += fields
        if not fields:
            apart.append(_uniform(sample))
    problems += _apart_problems(apart, [*labelled, *unlabelled])
    samples = [*labelled, *unlabelled]
    folds = content.get("folds", 1)
    problems += [*_lesion_problems(labelled, unlabelled), *_person_problems(samples, folds)]
    persons = {(sample["subject"], sample["lesion"]): person_of(sample) for sample in labelled}
    labels: dict[tuple[str, str], int] = {}
    for sample in labelled:
        lesion = (sample["subject"], sample["lesion"])
        labels[lesion] = min(sample["label"], labels.get(lesion, sample["label"]))
    problems += fold_problems(list(persons.values()), list(labels.values()), folds, classes.names)
    return problems, [*samples, *apart]


def _apart_problems(apart: list[dict[str, Any]], others: list[dict[str, Any]]) -> Iterable[Problem]:
    """A case kept apart twice, or a patient who is kept apart and in a fold too."""
    in_folds = {person_of(sample) for sample in others}
    seen: set[tuple[str, str, str]] = set()
    for sample in apart:
        key = (sample["subject"], sample["lesion"], sample["session"])
        if key in seen:
            yield Problem(" ".join(key), "is listed twice", "remove one of the entries")
        seen.add(key)
    for subject in dict.fromkeys(sample["subject"] for sample in apart if person_of(sample) in in_folds):
        yield Problem(subject, "is a test patient and in a fold too, a patient belongs in one of them", _AGAIN)


def _field_problems(where: str, sample: Any, types: dict[str, type]) -> list[Problem]:
    if not isinstance(sample, dict):
        return [Problem(where, "is not a dictionary", _AGAIN)]
    if "images" in sample:
        types = {key: kind for key, kind in _CASE_TYPES.items() if key in types or key in ("case", "images")}
    problems = [
        Problem(where, f"'{key}' is missing or is no {kind.__name__}", _AGAIN)
        for key, kind in types.items()
        if not isinstance(sample.get(key), kind)
    ]
    if not isinstance(sample.get(PERSON, ""), str):
        problems.append(Problem(where, f"'{PERSON}' is no str", _AGAIN))
    if not problems and "images" in sample:
        problems += _image_problems(where, sample)
    if not problems and sample.get("session", BASELINE) not in (BASELINE, SECOND):
        what = f"session {sample['session']} is unknown, expected {BASELINE} or {SECOND}"
        problems.append(Problem(where, what, _AGAIN))
    return problems


def _image_problems(where: str, sample: dict[str, Any]) -> list[Problem]:
    images = sample["images"]
    if not images or not all(isinstance(path, str) for path in images.values()):
        return [Problem(where, "'images' names no file for each image", _AGAIN)]
    if taken := sorted(set(images) & RESERVED):
        return [Problem(where, f"an image is called {taken[0]!r}, which is another field", "give it another name")]
    if not all(_SAFE.fullmatch(name) for name in (*images, sample["subject"], sample["case"])):
        remedy = "use up to 64 letters, digits, _ and -"
        return [Problem(where, "its subject, its case or an image has a name that cannot stand in a path", remedy)]
    return []


def _uniform(sample: dict[str, Any]) -> dict[str, Any]:
    """An entry of either form with ``lesion``, ``session`` and ``images``."""
    return {
        **sample,
        "lesion": case_name(sample),
        "session": sample.get("session", BASELINE),
        "images": images_of(sample),
    }


def _label_problems(where: str, sample: dict[str, Any], classes: Classes) -> list[Problem]:
    if sample["label"] in range(len(classes.names)):
        return []
    numbers = [str(number) for number in range(len(classes.names))]
    expected = f"{', '.join(numbers[:-1])} or {numbers[-1]}"
    return [Problem(where, f"label {sample['label']} is unknown, expected {expected}", _AGAIN)]


def _lesion_problems(labelled: list[dict[str, Any]], unlabelled: list[dict[str, Any]]) -> Iterable[Problem]:
    """A lesion twice, with two labels, in both lists, or without label and MRI 1."""
    problems = []
    seen: set[tuple[str, str, str]] = set()
    labels_of: dict[tuple[str, str], set[int]] = defaultdict(set)
    for sample in [*labelled, *unlabelled]:
        key = (sample["subject"], sample["lesion"], sample["session"])
        if key in seen:
            problems.append(Problem(" ".join(key), "is listed twice", "remove one of the entries"))
        seen.add(key)
    for sample in labelled:
        labels_of[sample["subject"], sample["lesion"]].add(sample["label"])
    for lesion, labels in labels_of.items():
        if len(labels) > 1:
            problems.append(Problem(" ".join(lesion), "has two labels", _AGAIN))
    for subject, lesion in dict.fromkeys((sample["subject"], sample["lesion"]) for sample in unlabelled):
        if (subject, lesion) in labels_of:
            problems.append(Problem(f"{subject} {lesion}", "is listed with a label and without one", _AGAIN))
        if (subject, lesion, BASELINE) not in seen:
            problems.append(Problem(f"{subject} {lesion}", f"has no label and no {BASELINE}", _AGAIN))
    return problems


def _person_problems(samples: list[dict[str, Any]], folds: int) -> Iterable[Problem]:
    """A subject of two persons, a person in two folds, or a fold that there is not."""
    problems = []
    folds_of: dict[str, set[int]] = defaultdict(set)
    subjects_of: dict[str, set[str]] = defaultdict(set)
    persons_of: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        person = person_of(sample)
        folds_of[person].add(sample["fold"])
        subjects_of[person].add(sample["subject"])
        persons_of[sample["subject"]].add(person)
    for subject, persons in persons_of.items():
        if len(persons) > 1:
            problems.append(Problem(subject, f"is {len(persons)} persons in the data list", _AGAIN))
    for person, assigned in folds_of.items():
        subjects = sorted(subjects_of[person])
        where, unit = (subjects[0], "patient") if len(subjects) == 1 else (" and ".join(subjects), "person")
        if len(assigned) > 1:
            what = f"is in folds {', '.join(map(str, sorted(assigned)))}, a {unit} belongs in one"
            problems.append(Problem(where, what, _AGAIN))
        if not all(0 <= fold < folds for fold in assigned):
            problems.append(Problem(where, f"fold {sorted(assigned)} is not within 0 to {folds - 1}", _AGAIN))
    return problems


def _file_problems(root: Path, samples: list[dict[str, Any]]) -> Iterable[Problem]:
    problems: list[Problem] = []
    # The images of a session serve all its cases: read them once.
    for (subject, session, paths), group in itertools.groupby(
        sorted(samples, key=_image_key), key=lambda s: (s["subject"], s["session"], tuple(s["images"].items()))
    ):
        read = [_read(root / path, f"{subject} {session} {name}", problems) for name, path in paths]
        images = [image for image in read if image is not None]
        for (name, _), image in zip(paths, read, strict=True):
            # PULSAR's only image, called image, is judged when it is scaled.
            if name != "image" and image is not None and image.array.min() == image.array.max():
                what = f"holds {float(image.array.flat[0]):g} in every voxel"
                problems.append(Problem(f"{subject} {session} {name}", what, "check its export, or leave the case out"))
        for sample in group:
            if "mask" not in sample:
                continue
            where = f"{subject} {session} {sample['lesion']} mask"
            mask = _read(root / sample["mask"], where, problems)
            if mask is None:
                continue
            if not mask.array.any():
                problems.append(Problem(where, "has no voxel in it", "check the contours, or drop the lesion"))
            elif mask.array.min() < 0 or mask.array.max() > 1:
                problems.append(Problem(where, "has values other than 0 and 1", "write one mask per lesion"))
            if images and not any(same_grid(image, mask) for image in images):
                what = f"lies on another grid than its image ({grid_difference(mask, images[0])})"
                problems.append(Problem(where, what, "resample the mask to the image"))
    return problems


def _image_key(sample: dict[str, Any]) -> tuple[str, str, tuple[tuple[str, str], ...], str]:
    return sample["subject"], sample["session"], tuple(sample["images"].items()), sample["lesion"]


def _read(path: Path, where: str, problems: list[Problem]) -> Volume | None:
    try:
        return read_volume(path, where)
    except DataProblem as error:
        problems += error.problems
        return None
