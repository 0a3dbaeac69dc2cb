"""DeepBraTumIA's segmentations in LUMIERE: which number is which compartment, checked against the volumes beside them.

The masks number contrast-enhancing tumour 1, necrosis 2 and oedema 3, and ``measured_volumes_in_mm3.json`` says so too.
One of LUMIERE's radiomics tables has the first two names exchanged, so no number is believed without that check.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from treatment_response.cohort.nifti_file import read_nifti
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem

ENHANCING, NECROSIS, OEDEMA = "enhancing", "necrosis", "oedema"
COMPARTMENTS = (ENHANCING, NECROSIS, OEDEMA)
"""Compartment number n of a label map is ``COMPARTMENTS[n - 1]``."""
_JSON_NAMES = {ENHANCING: "Enhancing_Core", NECROSIS: "Necrotic_NonEnhancing", OEDEMA: "Edema_Compartment"}
_MOST_JSON_BYTES = 100_000
_SAME_SHARE, _SAME_VOXELS = 0.01, 2.0
"""Two volumes are the same if they differ by no more than this share or so many voxels."""


@dataclass(frozen=True)
class Segmentation:
    """A study's compartments.

    Attributes:
        labels: uint8 ``(I, J, K)``, numbered as `COMPARTMENTS`; None if there is none that can be used.
        volumes: mm³ by compartment; empty if they are not known.
        notes: what had to be put right.
    """

    labels: Volume | None = None
    volumes: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()


def read_segmentation(mask: Path, volumes: Path, where: str) -> Segmentation:
    """Read a label map and check the order of its numbers.

    A map that cannot be used costs only itself: the study is taken without it, and a note says why.

    Args:
        mask: ``seg_mask.nii.gz``. volumes: ``measured_volumes_in_mm3.json``; either may be missing.
        where: the study, for the notes.
    """
    if not mask.is_file():
        return Segmentation(notes=("it has no segmentation",))
    try:
        read = read_nifti(mask, f"{where} segmentation").volume
        counts = _counts(read, where)
        stated = _stated_volumes(volumes, where) if volumes.is_file() else None
        order, notes = _order(counts, stated, read.voxel_volume, where)
    except DataProblem as error:
        return Segmentation(notes=tuple(f"taken without its segmentation: {problem}" for problem in error.problems))
    numbers = np.zeros(4, dtype=np.uint8)
    for number, name in enumerate(order, start=1):
        numbers[number] = COMPARTMENTS.index(name) + 1
    labels = Volume(numbers[read.array.astype(np.uint8)], read.affine)
    measured = {name: counts[order.index(name)] * read.voxel_volume for name in COMPARTMENTS}
    if not sum(counts):
        notes = (*notes, "its segmentation is empty: no mask, volumes 0")
    return Segmentation(labels, measured, notes)


def _counts(mask: Volume, where: str) -> list[int]:
    """Voxels of the numbers 1, 2 and 3.

    Raises:
        DataProblem: it holds others.
    """
    values, counts = np.unique(mask.array, return_counts=True)
    wrong = [f"{value:g}" for value in values if value not in (0, 1, 2, 3)]
    if wrong:
        shown = ", ".join(wrong[:5]) + (" …" if len(wrong) > 5 else "")
        what = f"holds the values {shown}, expected 0 to 3"
        raise DataProblem(Problem(f"{where} segmentation", what, "use the file as it was published"))
    found = dict(zip(values.astype(int).tolist(), counts.tolist(), strict=True))
    return [found.get(number, 0) for number in (1, 2, 3)]


def _stated_volumes(path: Path, where: str) -> dict[str, float]:
    """The volumes as the file beside the mask states them, mm³.

    Raises:
        DataProblem: it is no such file.
    """
    problem = DataProblem(
        Problem(f"{where} volumes", f"{path.name} holds no three volumes in mm³", "download it again")
    )
    if path.stat().st_size > _MOST_JSON_BYTES:
        raise problem
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stated = {name: float(content[key]) for name, key in _JSON_NAMES.items()}
    except (ValueError, KeyError, TypeError):
        raise problem from None
    if not all(math.isfinite(value) and value >= 0 for value in stated.values()):
        raise problem
    return stated


def _order(
    counts: list[int], stated: Mapping[str, float] | None, voxel_mm3: float, where: str
) -> tuple[tuple[str, str, str], tuple[str, ...]]:
    """Which compartments the numbers 1, 2 and 3 are.

    Raises:
        DataProblem: neither order fits the stated volumes.
    """
    usual, swapped = (ENHANCING, NECROSIS, OEDEMA), (NECROSIS, ENHANCING, OEDEMA)
    if stated is None:
        return usual, ("its segmentation has no volumes file, so the order of its numbers is not checked",)
    for order in (usual, swapped):
        measured = [count * voxel_mm3 for count in counts]
        allowed = [max(_SAME_SHARE * stated[name], _SAME_VOXELS * voxel_mm3) for name in order]
        if all(abs(one - stated[name]) <= most for one, name, most in zip(measured, order, allowed, strict=True)):
            note = "its segmentation numbers enhancing tumour 2 and necrosis 1, by its volumes; put in order"
            return order, (() if order == usual else (note,))
    shown = ", ".join(f"{count * voxel_mm3:.0f}" for count in counts)
    expected = ", ".join(f"{name} {stated[name]:.0f}" for name in COMPARTMENTS)
    what = f"its numbers 1, 2, 3 have {shown} mm³, and its volumes file says {expected}"
    raise DataProblem(Problem(f"{where} segmentation", what, "download both files again"))
