"""A label as a viewer submits it, and what of it a person drew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from treatment_response.cohort.layout import write_volume
from treatment_response.dicom.outline_objects import names_answers
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem


def outlines_only(
    label: Path, values: Mapping[int, np.ndarray], info: Mapping[str, Any], image: Volume, folder: Path
) -> tuple[Path, dict[str, Any]]:
    """Leave out of a label what a model answered: a CAM's bands, measured lesions with their diameters.

    3D Slicer makes an empty segment for every label that the server knows, the bands among them, and submits all
    segments, with the bands' voxels if a map was asked for before. Its ``label_info`` then names values that the label
    map does not hold.

    Args:
        label: label map on the image's grid.
        values: what it holds, see :func:`treatment_response.cohort.label_map.read_label_map`.
        info: what came with it; ``label_info`` lists ``name`` and perhaps ``idx``, the value. Without ``idx`` the names
            are those of the values that the label map holds, ascending.
        image: the MR.
        folder: for a label map without them.

    Returns:
        The label map, and ``info`` with a ``label_info`` of exactly the values that it holds, ascending, each with
        ``idx``.

    Raises:
        DataProblem: nothing else is in it.
    """
    described = info.get("label_info")
    entries = [one for one in described if isinstance(one, dict)] if isinstance(described, list) else []
    if any(isinstance(one.get("idx"), int) for one in entries):
        by_value = {one["idx"]: one for one in entries if isinstance(one.get("idx"), int)}
    else:
        by_value = dict(zip(values, entries, strict=False))
    kept = {value: mask for value, mask in values.items() if not names_answers([_name(by_value.get(value, {}))])}
    if values and not kept:
        what = "it holds a CAM's bands or measured lesions only, which are no outlines of lesions"
        raise DataProblem(Problem("label", what, "draw the lesions; to store an answer ask for it (store)"))
    if len(kept) < len(values):
        drawn = np.zeros(image.array.shape, np.uint8 if max(kept) < 256 else np.int16)
        for value, mask in kept.items():
            drawn[mask] = value
        label = folder / "outlines.nii.gz"
        write_volume(label, Volume(drawn, image.affine))
    if not entries:
        return label, dict(info)
    named = [{**by_value.get(value, {}), "name": _name(by_value.get(value, {})), "idx": value} for value in kept]
    return label, {**info, "label_info": named}


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("name") or "")
