"""What a reader of one lesion's result must know, as far as the input tells it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from treatment_response.cohort.dataset import TEST_FOLD
from treatment_response.explain.target import TargetClass
from treatment_response.inference.inferer import SliceMaps
from treatment_response.inference.lesion_answer import LesionAnswer
from treatment_response.inference.lesion_score import LesionScore
from treatment_response.notice import shown_name

FEW_CELLS = 9
MOST_OUTSIDE = 0.5
"""Part of an outline outside the head from which it is no lesion of it."""
LARGEST_CM3 = 200.0
"""No lesion of the brain is expected to be larger: a sphere of 7.3 cm across is."""
LARGEST_OF_HEAD = 0.25
"""The same as a part of the imaged head, for MRs of a part of it."""


def lesion_warnings(
    case: dict[str, Any],
    maps: SliceMaps,
    answer: LesionAnswer,
    score: LesionScore,
    model: dict[str, Any],
    pixel: float,
    threshold: float,
) -> list[str]:
    """Warnings of one lesion, one sentence each, beside those of :func:`outside_head` and :func:`no_evidence`.

    Args:
        case: as :class:`~treatment_response.inference.preprocessing.LesionPreprocessing` returns it.
        maps: of all its slices.
        answer: for the lesion as a whole.
        score: which slices the probability comes from.
        model: from :func:`~treatment_response.inference.model.describe_model`.
        pixel: mm of the patch's pixels when the lesion fits.
        threshold: P(response) from which the class is ``response``.
    """
    warnings = _implausibly_large(case)
    cells = int(maps.cell_mask[case["largest"]].sum())
    if cells < FEW_CELLS:
        warnings.append(f"The lesion covers {cells} CAM cells in its largest slice, fewer than {FEW_CELLS}.")
    warnings += _disagreement(case, maps, answer, score, threshold)
    if answer.certainty["calibrated"] and answer.certainty["why_not"]:
        warnings.append(answer.certainty["why_not"])
    if _at_edge(case["voxels"], case["mr_shape"]):
        warnings.append("The outline reaches the edge of the MR: the lesion may go on where nothing was imaged.")
    if any(case["coarse"]):
        widest = float(np.linalg.norm(case["affine"][:, :3, 0], axis=1).max())
        warnings.append(f"The lesion is larger than the field: pixels of {widest:.2f} mm instead of {pixel:g} mm.")
    if case["session"] != "ses-01":
        warnings.append("The MR is not from before treatment (MRI 1), which the model predicts from.")
    if not case["contrast_named"]:
        warnings.append("The file does not say that the MR is a T1 with contrast, which the model needs.")
    if seen_in_training(case, model):
        warnings.append("The patient was in the model's training data.")
    return warnings


def outside_head(case: dict[str, Any]) -> list[str]:
    """At most one sentence: most of the outline lies in the air, where the network's answer means nothing."""
    share = case["head"].share_outside(case["voxels"])
    if share <= MOST_OUTSIDE:
        return []
    return [f"{100 * share:.0f} % of the outline lies outside the head, in the air: there is no lesion to predict."]


def _implausibly_large(case: dict[str, Any]) -> list[str]:
    """At most one sentence on an outline that a brain or a head has, and no lesion."""
    voxel = abs(float(np.linalg.det(case["mr_affine"][:3, :3])))
    volume = len(case["voxels"]) * voxel / 1000
    share = case["head"].share_filled(case["voxels"])
    if volume <= LARGEST_CM3 and share <= LARGEST_OF_HEAD:
        return []
    of_head = f", {100 * share:.0f} % of the head's volume," if np.isfinite(share) else ""
    return [
        f"The outline holds {volume:.0f} cm³{of_head} more than a lesion does: the prediction means nothing for it."
    ]


def _at_edge(voxels: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether one of the voxels ``(N, 3)`` lies in the first or last plane of an axis."""
    return bool((voxels == 0).any() or (voxels == np.array(shape) - 1).any())


def _disagreement(
    case: dict[str, Any], maps: SliceMaps, answer: LesionAnswer, score: LesionScore, threshold: float
) -> list[str]:
    """A reader must know when slices of enough cells are of another class than the lesion."""
    response = torch.sigmoid(maps.logits.double()) >= threshold
    lesion = answer.target is TargetClass.RESPONSE
    counts = maps.cell_mask.sum(dim=(1, 2)) >= FEW_CELLS
    counts[case["largest"]] = True
    other = int((response[counts] != lesion).sum())
    if not other:
        return []
    target = TargetClass.NON_RESPONSE if lesion else TargetClass.RESPONSE
    of = f"{other} of {int(counts.sum())} slices"
    whose = "the largest slice's" if score is LesionScore.LARGEST else "the mean over all slices"
    return [f"The slices disagree: {of} would be {target.label}; the prediction is {whose}."]


def no_evidence(maps: SliceMaps, shown: tuple[str, TargetClass] | None = None) -> list[str]:
    """At most one sentence, on those maps of a lesion that are zero everywhere.

    Args:
        maps: of all its slices.
        shown: variant and class of the only map that the reader sees; None if all are given.
    """
    keys = list(maps.raw) if shown is None else [shown]
    nothing = [f"{variant} {target.label}" for variant, target in keys if not maps.raw[variant, target].any()]
    return [f"No evidence (the map is zero in every slice): {', '.join(nothing)}."] if nothing else []


def seen_in_training(case: dict[str, Any], model: dict[str, Any]) -> bool:
    """Whether the lesion's patient was trained on: same data set, not in the fold held out, and not kept apart."""
    if case["fold"] == TEST_FOLD or case["dataset"] is None or shown_name(case["dataset"]) != model["training_data"]:
        return False
    return model["protocol"] == "A" or case["fold"] != model["fold"]
