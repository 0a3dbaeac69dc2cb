"""From a prepared data set to samples in memory: each image is read once, each case's copies are cut at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from treatment_response.cases.lesion_transforms import LesionTransforms, Transforms
from treatment_response.cases.samples import MRI1, NoSamples, SampleRow, Samples, fold_of, sessions_of
from treatment_response.classes import read_classes
from treatment_response.cohort.dataset import load_datalist, read_dataset
from treatment_response.cohort.layout import DATALIST
from treatment_response.cohort.splits import person_of
from treatment_response.problems import DataProblem, Problem


def load_samples(
    dataset_dir: str | Path,
    image_transforms: Transforms,
    lesion_transforms: Transforms,
    patch_transforms: Transforms,
    protocol: str = "B",
    sessions: Sequence[str] | None = None,
    angles: Sequence[float] = (),
    workers: int | None = None,
    unlabelled: bool = False,
    case_list: str = "training",
) -> Samples:
    """Preprocess every case of a prepared data set.

    Args:
        dataset_dir: the prepared data set.
        image_transforms, lesion_transforms: see `LesionTransforms`.
        patch_transforms: run once per copy on top; they find ``angle`` in the sample and leave ``image`` ``(C, …)``, or
            a stack ``(N, C, …)`` with ``slice`` and ``pixel`` as lists of N: then each slice is a sample.
        protocol: whose training is read for. sessions: others than those that it reads.
        angles: degrees of the turned copies that the first images get beside the case as it is. A copy keeps its
            case's fold, so it never reaches the other side of a split.
        workers: threads; by default one per core.
        unlabelled: also the first images of the cases without a label, unturned: to be scored.
        case_list: of ``dataset.json``, see `load_datalist`.

    Returns:
        Samples in the order of the data list, each case followed by its copies; those without a label come last.
        `NoSamples` if there is no data set in the folder.

    Raises:
        DataProblem: cases that cannot be preprocessed, all of them at once.
    """
    if not (Path(dataset_dir) / DATALIST).is_file():
        return NoSamples()
    sessions = sessions_of(protocol) if sessions is None else sessions
    listed = load_datalist(dataset_dir, sessions=sessions, unlabelled=unlabelled, case_list=case_list)
    entries = [entry for entry in listed if entry["label"] is not None or entry["session"] == MRI1]
    classes = read_classes(read_dataset(dataset_dir), DATALIST)
    volumes: dict[tuple[str, ...], list[int]] = {}
    for index, entry in enumerate(entries):
        volumes.setdefault(tuple(entry["images"].values()), []).append(index)
    transforms = LesionTransforms(image_transforms, lesion_transforms, patch_transforms)
    problems: list[Problem] = []

    def preprocess(indices: list[int]) -> dict[int, list[tuple[torch.Tensor, SampleRow]]]:
        result: dict[int, list[tuple[torch.Tensor, SampleRow]]] = {}
        try:
            images = transforms.image(entries[indices[0]])
        except DataProblem as error:
            problems.extend(error.problems)
            return result
        for index in indices:
            entry = entries[index]
            turned = entry["session"] == MRI1 and entry["label"] is not None
            turns = (0.0, *map(float, angles)) if turned else (0.0,)
            try:
                case = transforms.lesion(entry, images)
                copies = [(angle, transforms.patch({**case, "angle": angle})) for angle in turns]
            except DataProblem as error:
                problems.extend(error.problems)
                continue
            label = None if entry["label"] is None else int(entry["label"])
            person = person_of(entry)
            known = SampleRow(
                entry["subject"],
                entry["case"],
                entry["session"],
                fold_of(entry, protocol),
                label,
                person=None if person == entry["subject"] else person,
            )
            result[index] = [
                one for angle, copy in copies for one in samples_of_copy(copy, replace(known, angle=angle))
            ]
        return result

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        parts = list(pool.map(preprocess, volumes.values()))
    if problems:
        raise DataProblem(*problems)
    done = {index: copies for part in parts for index, copies in part.items()}
    flat = [copy for index in sorted(done) for copy in done[index]]
    sizes = {tuple(image.shape) for image, _ in flat}
    if len(sizes) > 1:
        what = f"their inputs have {len(sizes)} sizes, such as {' and '.join(map(str, sorted(sizes)[:2]))}"
        raise DataProblem(Problem("cases", what, "bring them to one size in patch_transforms (ResizeWithPadOrCropd)"))
    return Samples(torch.stack([image for image, _ in flat]), [row for _, row in flat], classes)


def samples_of_copy(copy: dict[str, Any], row: SampleRow) -> list[tuple[torch.Tensor, SampleRow]]:
    """The samples that the patch transforms made of one copy of a case: one, or one per slice.

    Args:
        copy: what they left: ``image``; where it is a stack of slices, ``slice`` and ``pixel`` as lists.
        row: the case's; a sample's own row adds ``pixel`` and ``slice``.
    """
    image = torch.as_tensor(copy["image"], dtype=torch.float32).as_subclass(torch.Tensor)
    if not isinstance(copy.get("slice"), list):
        return [(image, replace(row, pixel=float(copy.get("pixel", row.pixel))))]
    rows = [
        replace(row, pixel=float(pixel), slice=int(index))
        for index, pixel in zip(copy["slice"], copy["pixel"], strict=True)
    ]
    return list(zip(image, rows, strict=True))
