"""Targets that repeat other targets: drawn twice, unions of several, margins around one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from treatment_response.cohort.lesion import LesionScan
from treatment_response.geometry import voxel_numbers

SAME_DICE = 0.9
INSIDE = 0.9


def overlapping_targets(lesions: Mapping[str, LesionScan], ids: Mapping[str, str]) -> dict[str, str]:
    """Targets of one session that are listed, not taken, because they repeat others: see :func:`repeated_masks`.

    Args:
        lesions: by key, masks on one grid.
        ids: ``L01`` by key; targets without an id are ignored. Of two that repeat each other the lower id is kept.

    Returns:
        The reason, by key.
    """
    keys = sorted((key for key in lesions if key in ids), key=lambda key: ids[key])
    reasons = repeated_masks({ids[key]: lesions[key].mask.array for key in keys})
    return {key: reasons[ids[key]] for key in keys if ids[key] in reasons}


def repeated_masks(masks: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Masks that repeat others.

    Of two outlines of the same thing (Dice above 0.9) the earlier one is kept. A mask that encloses at least nine
    tenths of another one is a union of several, or a margin (PTV) around it: the enclosed ones are kept.

    Args:
        masks: by name in order of preference, on one grid; above 0 is inside. Empty ones repeat nothing.

    Returns:
        The reason, by name.
    """
    if len(masks) < 2:
        return {}
    voxels = {name: found for name, mask in masks.items() if len(found := voxel_numbers(mask))}
    names = list(voxels)
    shared = {
        (a, b): len(np.intersect1d(voxels[a], voxels[b], assume_unique=True))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    reasons: dict[str, str] = {}
    for (a, b), common in shared.items():
        overlap = 2.0 * common / (len(voxels[a]) + len(voxels[b]))
        if overlap > SAME_DICE and a not in reasons:
            reasons[b] = f"drawn twice: the same as {a} (Dice {overlap:.2f})"
    for outer in names:
        if outer in reasons:
            continue
        enclosed = [
            inner
            for inner in names
            if inner != outer
            and inner not in reasons
            and len(voxels[inner]) < len(voxels[outer])
            and shared[(outer, inner) if (outer, inner) in shared else (inner, outer)] >= INSIDE * len(voxels[inner])
        ]
        if len(enclosed) > 1:
            reasons[outer] = f"a union of targets: it encloses {', '.join(enclosed)}"
        elif enclosed:
            reasons[outer] = f"a margin (PTV) around a target: it encloses {enclosed[0]}"
    return reasons
