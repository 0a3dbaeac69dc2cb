"""Cases with the maps of an inference folder, each seen in the three planes through the map's highest place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from treatment_response.class_colours import colour_numbers
from treatment_response.classes import Classes
from treatment_response.cohort.case import case_of
from treatment_response.cohort.layout import read_volume
from treatment_response.cohort.lesion import BASELINE
from treatment_response.evaluation.written import read_json
from treatment_response.geometry import Volume
from treatment_response.geometry.grids import same_grid
from treatment_response.problems import DataProblem, Problem

SHOWN = 4
"""Cases on the page: the first of each class, as far as this goes."""


@dataclass(frozen=True)
class CasePicture:
    """One case's maps of the class that was decided, on its image's grid, turned so that axes run to R, A, S.

    Attributes:
        subject, case: ids. truth, decided: classes; truth is empty where it is not known.
        probability: of the decided class. colour: the number of its colour.
        spacing: mm between voxels along R, A, S.
        image: ``(I, J, K)``; None where no image of the case has the maps' grid.
        maps: explanation → ``(I, J, K)`` in [0, 1].
        highest: explanation → voxel of the highest value. highest_mm: the same in RAS mm.
    """

    subject: str
    case: str
    truth: str
    decided: str
    probability: float
    colour: int
    spacing: tuple[float, float, float]
    image: NDArray | None
    maps: Mapping[str, NDArray]
    highest: Mapping[str, tuple[int, int, int]]
    highest_mm: Mapping[str, tuple[float, float, float]]


def case_pictures(dataset_dir: Path, dataset: Mapping[str, Any], folder: Path, classes: Classes) -> list[CasePicture]:
    """The first case of each class in an inference folder that has maps.

    Args:
        dataset_dir, dataset: the prepared data set and the content of its ``dataset.json``.
        folder: what ``inference.json`` wrote.

    Raises:
        DataProblem: it holds no answers on cases, is of other classes, or a volume cannot be read.
    """
    content = read_json(folder / "cases.json")
    if not content.get("cases"):
        raise DataProblem(Problem(str(folder), "holds no cases.json", "name the folder that inference.json wrote"))
    if content.get("classes", {}).get("names") != list(classes.names):
        what = "its answers are of other classes than the data set's"
        raise DataProblem(Problem(str(folder), what, "name an inference folder of this data set"))
    entries: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in (entry for name in ("training", "unlabelled", "test") for entry in dataset.get(name, [])):
        case = case_of(entry, dataset_dir)
        entries[case["subject"], case["case"], case["session"]] = case
    found: dict[str, CasePicture] = {}
    for answer in content["cases"]:
        key = (answer["subject"], answer["case"], answer.get("session", BASELINE))
        if key not in entries or not answer["maps"]:
            continue
        case = entries[key]
        label = case.get("label")
        truth = "" if label is None else classes.names[int(label)]
        if truth not in found:
            found[truth] = _picture(answer, case, folder, classes, truth)
    return list(found.values())[:SHOWN]


def _picture(
    answer: Mapping[str, Any], case: Mapping[str, Any], folder: Path, classes: Classes, truth: str
) -> CasePicture:
    where, number = f"{answer['subject']} {answer['case']}", classes.names.index(answer["class"])
    maps = {
        str(one["explanation"]): read_volume(folder / one["scaled"], where)
        for one in answer["maps"]
        if one["class"] == answer["class"]
    }
    grid = next(iter(maps.values()))
    shown = answer.get("map_image")  # that maps lie on; the others may have its grid
    names = sorted(case["images"], key=lambda name: name != shown)
    images = (read_volume(Path(case["images"][name]), where) for name in names)
    image = next((volume for volume in images if same_grid(volume, grid)), None)
    turned = {name: _towards_ras(volume) for name, volume in maps.items()}
    highest = {name: _voxel(volume.array) for name, volume in turned.items()}
    places = {name: turned[name].affine @ [*voxel, 1] for name, voxel in highest.items()}
    affine = next(iter(turned.values())).affine
    return CasePicture(
        answer["subject"],
        answer["case"],
        truth,
        answer["class"],
        float(answer[classes.columns[number]]),
        colour_numbers(classes)[number],
        _three(np.linalg.norm(affine[:3, :3], axis=0)),
        None if image is None else _towards_ras(image).array,
        {name: volume.array for name, volume in turned.items()},
        highest,
        {name: _three(place) for name, place in places.items()},
    )


def _towards_ras(volume: Volume) -> Volume:
    """The same voxels with axes in the order and direction nearest to R, A, S; the affine follows."""
    turn = io_orientation(volume.affine)
    return Volume(apply_orientation(volume.array, turn), volume.affine @ inv_ornt_aff(turn, volume.array.shape))


def _voxel(values: NDArray) -> tuple[int, int, int]:
    i, j, k = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(i), int(j), int(k)


def _three(values: Sequence[float] | NDArray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
