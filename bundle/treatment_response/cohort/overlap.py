"""Targets that repeat other targets: drawn twice, unions of several, margins around one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from treatment_response.cohort.lesion import LesionScan

SAME_DICE = 0.9
INSIDE = 0.9


def overlapping_targets(lesions: Mapping[str, LesionScan], ids: Mapping[str, str]) -> dict[str, str]:
    """Targets of one session that are listed, not taken, because they repeat others.

    Of two outlines of the same thing (Dice above 0.9) the one with the lower id is kept. A target that encloses at
    least nine tenths of another one is a union of several, or a margin (PTV) around it: the enclosed ones are kept.

    Args:
        lesions: by key, masks on one grid.
        ids: ``L01`` by key; targets without an id are ignored.

    Returns:
        The reason, by key.
    """
    keys = sorted((key for key in lesions if key in ids and lesions[key].mask.array.any()), key=lambda key: ids[key])
    voxels = {key: np.flatnonzero(lesions[key].mask.array) for key in keys}
    shared = {
        (a, b): len(np.intersect1d(voxels[a], voxels[b], assume_unique=True))
        for i, a in enumerate(keys)
        for b in keys[i + 1 :]
    }
    reasons: dict[str, str] = {}
    for (a, b), common in shared.items():
        overlap = 2.0 * common / (len(voxels[a]) + len(voxels[b]))
        if overlap > SAME_DICE and a not in reasons:
            reasons[b] = f"drawn twice: the same as {ids[a]} (Dice {overlap:.2f})"
    for outer in keys:
        if outer in reasons:
            continue
        enclosed = [
            ids[inner]
            for inner in keys
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
