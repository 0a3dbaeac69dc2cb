"""Synthetic time courses of lesions that grow, shrink, split, merge, vanish, return and appear, with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from treatment_response.geometry import Volume

SIDE = 72
AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])
_ROOM_MM = 26.0
"""Between the places of lesions: none touches another unless it is meant to merge."""


@dataclass(frozen=True)
class TimeCourse:
    """One patient.

    Attributes:
        masks: one per study, on one grid.
        truth: per study, label of a voxel → the lesion that it is of, 0 outside.
    """

    masks: list[Volume]
    truth: list[np.ndarray]


def time_course(seed: int, studies: int = 5, jitter_mm: float = 1.0) -> TimeCourse:
    """Draw a course. A lesion is one or two balls at a fixed place; what happens to each is drawn at random.

    Args:
        jitter_mm: standard deviation of each study's shift, as registration leaves it.
    """
    generator = np.random.default_rng(seed)
    corners = np.array([[x, y, z] for x in (16, 48) for y in (16, 48) for z in (18, 62)], dtype=float)
    places = generator.permutation(corners)[: generator.integers(2, 6)]
    fates = generator.choice(["grow", "shrink", "split", "merge", "vanish", "return", "new"], len(places))
    masks, truth = [], []
    for study in range(studies):
        shift = generator.normal(0, jitter_mm, 3) if study else np.zeros(3)
        labels = np.zeros((SIDE, SIDE, SIDE), dtype=int)
        number = 1
        for place, fate in zip(places, fates, strict=True):
            number = _add(labels, place + shift, str(fate), study, studies, number)
        masks.append(Volume(labels > 0, AFFINE))
        truth.append(labels)
    return TimeCourse(masks, truth)


def _add(labels: np.ndarray, place: np.ndarray, fate: str, study: int, studies: int, number: int) -> int:
    """Draw one lesion and return the next free number."""
    share = study / (studies - 1)
    offset = np.array([7.0, 0.0, 0.0])
    if fate == "split":
        distance = 9 * share if share > 0.3 else 0.0
        for side in (-1, 1):
            labels[_ball(place + side * distance * offset / 7, 6.5)] = number
        return number + 1
    if fate == "merge":  # two lesions grow into one, which goes on as the first, the larger
        radii = (5.5, 4.0) if share < 0.6 else (8.5, 6.0)
        labels[_ball(place + offset, radii[1])] = number + 1 if share < 0.6 else number
        labels[_ball(place - offset, radii[0])] = number
        return number + 2
    gone = {"vanish": share >= 0.5, "return": 0.3 < share < 0.8, "new": share < 0.5}.get(fate, False)
    radius = {"grow": 4 + 4 * share, "shrink": 8 - 5 * share}.get(fate, 5.0)
    if not gone:
        labels[_ball(place, radius)] = number
    return number + 1


def _ball(centre: np.ndarray, radius: float) -> np.ndarray:
    mm = [np.arange(SIDE) * step for step in np.diag(AFFINE)[:3]]
    x, y, z = np.meshgrid(*mm, indexing="ij", sparse=True)
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= radius**2


def true_numbers(masks: list[Volume], course: TimeCourse, parts: list[list[Volume]]) -> list[list[int]]:
    """Per study and part the true lesion that most of its voxels are of."""
    numbers = []
    for labels, study in zip(course.truth, parts, strict=True):
        own = []
        for part in study:
            index = np.rint(np.linalg.inv(AFFINE) @ part.affine @ np.eye(4)[:, 3])[:3].astype(int)
            box = tuple(slice(start, start + size) for start, size in zip(index, part.array.shape, strict=True))
            own.append(int(np.bincount(labels[box][part.array]).argmax()))
        numbers.append(own)
    return numbers


def connected(mask: Volume) -> list[Volume]:
    """Parts of a mask, cropped."""
    labelled, _ = ndimage.label(mask.array, np.ones((3, 3, 3)))
    parts = []
    for number, box in enumerate(ndimage.find_objects(labelled), start=1):
        affine = mask.affine.copy()
        affine[:3, 3] = mask.to_world(np.array([[side.start for side in box]]))[0]
        parts.append(Volume(labelled[box] == number, affine))
    return parts
