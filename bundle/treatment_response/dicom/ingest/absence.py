"""Whether a lesion that is not drawn at follow-up is gone: nothing found is not nothing there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from treatment_response.dicom.ingest.names import is_background
from treatment_response.dicom.ingest.outlines import Outline
from treatment_response.dicom.outline_versions import Place
from treatment_response.geometry import Volume, planimetric_volume, rasterise

PROPAGATED = (0.5, 2.0)
"""A structure that held the lesion on MRI 1 and has between so many times its volume now was there before."""

MOST_PADDING = 0.05
"""Tissue is hardly ever as dark as the darkest voxel; what fills up a slab to a whole head is."""
_STEPS = 8  # voxels of a grid across a ball that is tried for a structure


@dataclass(frozen=True)
class FollowUp:
    """What a follow-up session shows, beside the lesions that were found again.

    Attributes:
        image: its MR.
        unread: why outlines of it could not be read.
        surgery: what speaks for surgery since MRI 1; empty if nothing does.
        structures: everything drawn in it that was not matched to a lesion of MRI 1.
        first_structures: what is no lesion on MRI 1, to tell what was there before.
        found_again, grown: how many lesions of MRI 1 are drawn again, and how many of them grew.
    """

    image: Volume
    unread: Sequence[str]
    surgery: str
    structures: Sequence[Outline]
    first_structures: Sequence[Outline]
    found_again: int
    grown: int


def absence_doubt(first: Place, expected: Place, follow_up: FollowUp, named_empty: bool, stated: bool) -> str:
    """Why an undrawn lesion may not be gone; empty if it is resolved.

    Args:
        first: the lesion on MRI 1. expected: where it would lie in the follow-up image.
        named_empty: an ROI of its name is there without contours.
        stated: the clinical table says that it is resolved.

    Returns:
        The first reason for doubt, in words for the report.
    """
    if not is_imaged(follow_up.image, expected):
        return "its place lies outside the follow-up image, or at its edge"
    if follow_up.unread:
        return f"outlines of the follow-up session cannot be used: {follow_up.unread[0]}"
    if follow_up.surgery:
        return f"surgery since MRI 1: {follow_up.surgery}"
    for structure in follow_up.structures:
        if _may_cover(structure, first, expected, follow_up):
            fault = " (it is faulty, so its extent is not known)" if structure.fault else ""
            return f"a structure lies at its place{fault}; it may be the lesion under another name"
    if stated or named_empty:
        return ""
    if not follow_up.found_again:
        return "no lesion of MRI 1 was drawn again, so nothing says that anybody looked for it"
    if follow_up.grown == follow_up.found_again:
        return "only lesions that grew were drawn again, so others may not have been drawn at all"
    return ""


def is_imaged(image: Volume, place: Place) -> bool:
    """Whether a ball lies inside an image, and the image shows something there: padding is one value."""
    reach = place.radius / image.spacing
    centre = image.to_index(place.centre[None])[0]
    if np.any(centre - reach < -0.5) or np.any(centre + reach > np.array(image.array.shape) - 0.5):
        return False
    low = np.maximum(np.floor(centre - np.maximum(reach, 1)).astype(int), 0)
    high = np.ceil(centre + np.maximum(reach, 1)).astype(int) + 1
    around = image.array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    padding = float(np.mean(around == image.array.min()))
    return bool(np.ptp(around) > 0) and padding <= MOST_PADDING


def _may_cover(structure: Outline, first: Place, expected: Place, follow_up: FollowUp) -> bool:
    if structure.empty or is_background(structure.name):
        return False
    if structure.fault:
        return True
    if not _meets(structure, expected):
        return False
    return not any(
        before.key == structure.key and _held(before, first) and _about_as_large(before, structure)
        for before in follow_up.first_structures
    )


def _meets(structure: Outline, place: Place) -> bool:
    """Whether a structure reaches into a ball: by its own points, or on a grid across the ball."""
    points = np.concatenate(list(structure.contours))
    if np.linalg.norm(points - place.centre, axis=1).min() <= place.radius:
        return True
    step = 2 * place.radius / _STEPS
    grid = np.diag([step, step, step, 1.0])
    grid[:3, 3] = place.centre - place.radius
    shape = (_STEPS + 1,) * 3
    try:
        mask = rasterise(structure.contours, grid, shape)
    except ValueError:  # no region can be told from its contours, so it may be anywhere among them
        return True
    inside = np.argwhere(mask)
    return bool((np.linalg.norm((inside - _STEPS / 2) * step, axis=1) <= place.radius).any())


def _held(structure: Outline, lesion: Place) -> bool:
    """Whether a structure of MRI 1 held the lesion's centre."""
    grid = np.eye(4)
    grid[:3, 3] = lesion.centre - 1
    return bool(structure.contours) and _contains(structure.contours, lesion.centre, grid, (3, 3, 3))


def _contains(contours: Sequence[np.ndarray], point: np.ndarray, affine: np.ndarray, shape: Sequence[int]) -> bool:
    try:
        mask = rasterise(contours, affine, shape)
    except ValueError:  # no region can be told from its contours, so it may be anywhere among them
        return True
    index = np.rint(Volume(mask, affine).to_index(point[None])[0]).astype(int)
    return bool(np.all((index >= 0) & (index < mask.shape)) and mask[tuple(index)])


def _about_as_large(before: Outline, after: Outline) -> bool:
    try:
        ratio = planimetric_volume(after.contours, 1.0) / planimetric_volume(before.contours, 1.0)
    except (ValueError, ZeroDivisionError):
        return False
    return PROPAGATED[0] <= ratio <= PROPAGATED[1]
