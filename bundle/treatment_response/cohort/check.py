"""Check a prepared data set before it is trained on: every fault at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from treatment_response.cohort.dataset import read_dataset
from treatment_response.cohort.labels import LABEL_NAMES
from treatment_response.cohort.layout import grid_difference, read_volume, same_grid
from treatment_response.cohort.lesion import BASELINE, SECOND
from treatment_response.cohort.splits import fold_problems
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

_AGAIN = "prepare the data set again"
_TYPES = {"image": str, "mask": str, "label": int, "subject": str, "lesion": str, "session": str, "fold": int}


def check_dataset(dataset_dir: str | Path) -> list[Problem]:
    """List every fault of a prepared data set.

    Checked: the data list and its fields, unknown labels and sessions, the same lesion twice or with two labels, a
    patient in two folds, one class only, fewer patients than folds, files that are missing or unreadable, NaN, an
    empty mask, a mask on another grid than its image, a mask that is not 0 and 1.

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


def check_list(content: dict[str, Any]) -> list[Problem]:
    """What `check_dataset` finds without opening an image.

    Args:
        content: of ``dataset.json``.
    """
    return _listed(content)[0]


def _listed(content: dict[str, Any]) -> tuple[list[Problem], list[dict[str, Any]]]:
    """The list's problems, and the samples whose fields are right."""
    problems: list[Problem] = []
    samples = []
    for number, sample in enumerate(content["training"], start=1):
        fields = _field_problems(number, sample)
        problems += fields
        if not fields:
            samples.append(sample)
    problems += _list_problems(samples, content.get("folds", 1))
    return problems, samples


def _field_problems(number: int, sample: Any) -> Iterable[Problem]:
    where = f"sample {number} of dataset.json"
    if not isinstance(sample, dict):
        return [Problem(where, "is not a dictionary", _AGAIN)]
    problems = [
        Problem(where, f"'{key}' is missing or is no {kind.__name__}", _AGAIN)
        for key, kind in _TYPES.items()
        if not isinstance(sample.get(key), kind)
    ]
    if not problems and sample["label"] not in LABEL_NAMES:
        problems.append(Problem(where, f"label {sample['label']} is unknown, expected 0 or 1", _AGAIN))
    if not problems and sample["session"] not in (BASELINE, SECOND):
        what = f"session {sample['session']} is unknown, expected {BASELINE} or {SECOND}"
        problems.append(Problem(where, what, _AGAIN))
    return problems


def _list_problems(samples: list[dict[str, Any]], folds: int) -> Iterable[Problem]:
    problems = []
    seen: set[tuple[str, str, str]] = set()
    folds_of: dict[str, set[int]] = defaultdict(set)
    labels_of: dict[tuple[str, str], set[int]] = defaultdict(set)
    for sample in samples:
        key = (sample["subject"], sample["lesion"], sample["session"])
        if key in seen:
            problems.append(Problem(" ".join(key), "is listed twice", "remove one of the entries"))
        seen.add(key)
        folds_of[sample["subject"]].add(sample["fold"])
        labels_of[key[:2]].add(sample["label"])
    for subject, assigned in folds_of.items():
        if len(assigned) > 1:
            what = f"is in folds {', '.join(map(str, sorted(assigned)))}, a patient belongs in one"
            problems.append(Problem(subject, what, _AGAIN))
        if not all(0 <= fold < folds for fold in assigned):
            problems.append(Problem(subject, f"fold {sorted(assigned)} is not within 0 to {folds - 1}", _AGAIN))
    for (subject, lesion), labels in labels_of.items():
        if len(labels) > 1:
            problems.append(Problem(f"{subject} {lesion}", "has two labels", _AGAIN))
    subjects = [subject for subject, _ in labels_of]
    return problems + fold_problems(subjects, [min(labels) for labels in labels_of.values()], folds)


def _file_problems(root: Path, samples: list[dict[str, Any]]) -> Iterable[Problem]:
    problems: list[Problem] = []
    # One image serves all lesions of its session: read it once.
    for (subject, session, path), group in itertools.groupby(
        sorted(samples, key=_image_key), key=lambda s: (s["subject"], s["session"], s["image"])
    ):
        image = _read(root / path, f"{subject} {session} image", problems)
        for sample in group:
            where = f"{subject} {session} {sample['lesion']} mask"
            mask = _read(root / sample["mask"], where, problems)
            if mask is None:
                continue
            if not mask.array.any():
                problems.append(Problem(where, "has no voxel in it", "check the contours, or drop the lesion"))
            elif mask.array.min() < 0 or mask.array.max() > 1:
                problems.append(Problem(where, "has values other than 0 and 1", "write one mask per lesion"))
            if image is not None and not same_grid(image, mask):
                what = f"lies on another grid than its image ({grid_difference(mask, image)})"
                problems.append(Problem(where, what, "resample the mask to the image"))
    return problems


def _image_key(sample: dict[str, Any]) -> tuple[str, str, str, str]:
    return sample["subject"], sample["session"], sample["image"], sample["lesion"]


def _read(path: Path, where: str, problems: list[Problem]) -> Volume | None:
    try:
        return read_volume(path, where)
    except DataProblem as error:
        problems += error.problems
        return None
