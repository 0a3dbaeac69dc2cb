"""Which lesion of one session is which in another: by name, checked by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from treatment_response.dicom.ingest.names import match_names
from treatment_response.dicom.outline_versions import Place
from treatment_response.geometry import moved_points

MERGED = "merged with a neighbour"
SWAP_GAIN_MM = 4.0
"""By how much another assignment of places has to be shorter in all before names are doubted: registration errs too."""


@dataclass
class Matched:
    """Lesions of a session told by those of MRI 1.

    Attributes:
        pairs: name in the session → name in MRI 1; names agree and places too.
        distances: by name in MRI 1, distance in mm between the centres after registration.
        doubtful: by name in MRI 1, why its fate in this session is not known. It is neither present nor gone.
        unmeasured: by name in MRI 1, why it is there and has no volume of its own: split, or merged with a neighbour.
        new: names that are not in MRI 1 and lie at no lesion of it.
    """

    pairs: dict[str, str] = field(default_factory=dict)
    distances: dict[str, float] = field(default_factory=dict)
    doubtful: dict[str, str] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)

    @property
    def residual(self) -> float | None:
        """Root mean square in mm of the distances between matched centres after registration."""
        return float(np.sqrt(np.mean(np.square(list(self.distances.values()))))) if self.distances else None


def match_lesions(
    first: Mapping[str, Place], other: Mapping[str, Place], to_other: np.ndarray, tolerance_mm: float
) -> Matched:
    """Match by name, then check places under a rigid transform: each alone, and all of them against each other.

    Args:
        first: lesions of MRI 1 by normalised name.
        other: lesions of the other session by normalised name.
        to_other: ``(4, 4)`` RAS mm, from points of MRI 1 to points of the other session.
        tolerance_mm: how far a centre may lie off; a large lesion may be off by its own radius, and a lesion whose mask
            holds the other one's centre by any distance.
    """
    matched = Matched()
    expected = {
        name: Place(moved_points(to_other, place.centre[None])[0], place.radius) for name, place in first.items()
    }
    back = np.linalg.inv(to_other)
    for name, partner in match_names(list(first), list(other)).items():
        distance = float(np.linalg.norm(other[name].centre - expected[partner].centre))
        limit = max(tolerance_mm, expected[partner].radius, other[name].radius)
        # The centre of a lesion in several parts moves far when one of them goes.
        overlap = other[name].holds(expected[partner].centre) or first[partner].holds(
            moved_points(back, other[name].centre[None])[0]
        )
        if distance <= limit or overlap:
            matched.pairs[name] = partner
            matched.distances[partner] = distance
        else:
            matched.doubtful[partner] = f"the ROI of its name lies {distance:.0f} mm off after registration"
    _swapped(other, expected, matched)
    for name, place in other.items():
        if name not in matched.pairs:
            _unmatched(name, place, expected, tolerance_mm, matched)
    _merged(other, expected, matched)
    return matched


def _swapped(other: Mapping[str, Place], expected: Mapping[str, Place], matched: Matched) -> None:
    """Pairs whose names were given to each other's lesions: by place others fit clearly better."""
    names = list(matched.pairs)
    partners = [matched.pairs[name] for name in names]
    if len(names) < 2:
        return
    centres = np.array([other[name].centre for name in names])
    wanted = np.array([expected[partner].centre for partner in partners])
    distances = np.linalg.norm(centres[:, None] - wanted[None], axis=2)
    rows, columns = linear_sum_assignment(distances)
    if np.trace(distances) - distances[rows, columns].sum() <= SWAP_GAIN_MM:
        return
    for row, column in zip(rows, columns, strict=True):
        if row != column:
            partner = matched.pairs.pop(names[row])
            matched.distances.pop(partner)
            matched.doubtful[partner] = "its name and its place disagree: names may be swapped between sessions"


def _unmatched(name: str, place: Place, expected: Mapping[str, Place], tolerance_mm: float, matched: Matched) -> None:
    """An ROI without partner: a part of a lesion, a lesion under another name, or a new lesion."""
    near = {
        partner: float(np.linalg.norm(place.centre - lesion.centre))
        for partner, lesion in expected.items()
        if np.linalg.norm(place.centre - lesion.centre) <= max(tolerance_mm, lesion.radius)
    }
    if not near:
        matched.new.append(name)
        return
    partner = min(near, key=lambda key: near[key])
    if partner in matched.distances:
        if near[partner] <= expected[partner].radius + 1.0:
            matched.unmeasured[partner] = "split: two ROIs lie at its place"
    else:
        matched.doubtful.setdefault(partner, "an ROI of another name lies at its place: renamed, or split")


def _merged(other: Mapping[str, Place], expected: Mapping[str, Place], matched: Matched) -> None:
    """Lesions that are gone while a neighbour's ROI now covers their place."""
    for name, partner in list(matched.pairs.items()):
        place = other[name]
        for gone, lesion in expected.items():
            inside = np.linalg.norm(lesion.centre - place.centre) < place.radius
            if gone != partner and gone not in matched.distances and inside:
                matched.unmeasured[gone] = matched.unmeasured[partner] = MERGED
