"""Versions of outlines: which of them show one lesion, and which one counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import combinations
from typing import Protocol

import numpy as np

from treatment_response.dicom.headers import dicom_date
from treatment_response.geometry import Volume, equivalent_diameter, voxel_indices, voxel_numbers

REJECTED, APPROVED = "REJECTED", "APPROVED"
_HALF = 0.5
_TIME = re.compile(r"((?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d)?)?)(?:(?<=\d{6})\.(\d{1,6}))?")


class Standing(Protocol):
    """What decides between versions; see :class:`treatment_response.dicom.entries.StructureSetEntry`."""

    @property
    def approval(self) -> str:
        """Approval Status, upper case."""

    @property
    def drawn_at(self) -> str:
        """As :func:`moment` gives it."""

    @property
    def sop_uid(self) -> str:
        """SOP Instance UID."""


def moment(day: object, time: object) -> str:
    """A DICOM date and time as ``20240108120000.25``, so that later sorts after earlier.

    Without a time, or with one that no clock shows, it is the day's beginning; without a day it is empty.
    """
    date = dicom_date(day)
    if date is None:
        return ""
    clock = _TIME.fullmatch(str(time or "").strip().replace(":", ""))
    digits, fraction = clock.groups(default="") if clock else ("", "")
    return f"{date:%Y%m%d}{digits:0<6}" + f".{fraction}".rstrip("0").rstrip(".")


def precedence(version: Standing) -> tuple[bool, Decimal, str]:
    """Sort key: approved first, then the newest; the UID decides what neither does, which is told where it matters."""
    return version.approval != APPROVED, -Decimal(version.drawn_at or 0), version.sop_uid


def same_standing(one: Standing, other: Standing) -> bool:
    """Whether neither approval nor date tells which of two versions counts."""
    return precedence(one)[:2] == precedence(other)[:2]


@dataclass(frozen=True)
class Place:
    """Where a lesion lies.

    Attributes:
        centre: RAS mm ``(3,)``. radius: mm, of a ball of its volume. mask: on its image's grid, if known.
    """

    centre: np.ndarray
    radius: float
    mask: Volume | None = None

    @classmethod
    def of(cls, mask: Volume, volume_mm3: float) -> Place:
        """The place of a mask ``(I, J, K)`` that is not empty."""
        index = voxel_indices(mask.array)
        place = cls(mask.to_world(index).mean(axis=0), equivalent_diameter(volume_mm3) / 2, mask)
        vars(place)["voxels"] = np.ravel_multi_index(tuple(index.T), mask.array.shape)  # a head is searched once
        return place

    def holds(self, point: np.ndarray) -> bool:
        """Whether the mask covers a point, RAS mm ``(3,)``."""
        return self.mask is not None and covers(self.mask, point)

    @cached_property
    def voxels(self) -> np.ndarray:
        """Flat indices of the mask's voxels, each once; none where there is no mask."""
        if self.mask is None:
            return np.empty(0, dtype=np.intp)
        return voxel_numbers(self.mask.array)

    @cached_property
    def box(self) -> np.ndarray:
        """First and last index ``(2, 3)`` of a mask that is not empty."""
        assert self.mask is not None
        index = np.stack(np.unravel_index(self.voxels, self.mask.array.shape), axis=1)
        return np.stack([index.min(axis=0), index.max(axis=0)])


def covers(mask: Volume, point: np.ndarray) -> bool:
    """Whether the voxel at a point, RAS mm ``(3,)``, is set; never outside the mask's grid."""
    index = np.rint(mask.to_index(point[None])[0]).astype(int)
    inside = bool(np.all((index >= 0) & (index < mask.array.shape)))
    return inside and bool(mask.array[tuple(index)])


def same_lesion(one: Place, other: Place) -> bool:
    """Whether two outlines on one grid show one lesion.

    They do if a centre lies in the other outline, or if they share over half of the smaller one. Where one of them
    covers no voxel, their centres have to be nearer than the larger radius.
    """
    smaller = min(len(one.voxels), len(other.voxels))
    if not smaller:
        return bool(np.linalg.norm(one.centre - other.centre) < max(one.radius, other.radius))
    if (one.box[0] > other.box[1]).any() or (other.box[0] > one.box[1]).any():
        return False
    if one.holds(other.centre) or other.holds(one.centre):
        return True
    return _shared(one, other) > _HALF * smaller


def _shared(one: Place, other: Place) -> int:
    return len(np.intersect1d(one.voxels, other.voxels, assume_unique=True))


@dataclass(frozen=True)
class OutlineSet:
    """One structure set or segmentation as a version of the outlines that it holds.

    Attributes:
        approval, drawn_at, sop_uid: see :class:`Standing`.
        submitted: a person submitted it through the server.
        contours: it is a structure set.
    """

    approval: str
    drawn_at: str
    sop_uid: str
    submitted: bool = False
    contours: bool = True

    @property
    def ranks_by_age(self) -> bool:
        """Whether it counts as a version of its own; segmentations of other software come after all that do."""
        return self.submitted or self.contours

    @property
    def sort_key(self) -> tuple[object, ...]:
        """Structure sets and submissions by their precedence, then other segmentations by theirs."""
        return not self.ranks_by_age, *precedence(self)


@dataclass(frozen=True)
class DrawnOutline:
    """One outline of a set.

    Attributes:
        name: of the ROI or segment.
        place: None where it cannot be read; then its name alone tells what it shows.
    """

    of: OutlineSet
    name: str
    place: Place | None


def superseded(outlines: Sequence[DrawnOutline]) -> Mapping[int, tuple[int, ...]]:
    """Find the outlines that are no longer in force, lesion by lesion.

    What a person submitted through the server outranks every earlier outline of that lesion, approved or not. Of the
    rest, and of what is newer than the last submission, the approved outline counts, else the newest. Outlines of one
    set never supersede each other: two names in one set are two lesions. One that cannot be read and ranks first
    supersedes those of its name all the same: nothing older counts in silence.

    Args:
        outlines: of one MR, without rejected ones.

    Returns:
        By index of each outline that does not count, the indices of those that count in its place.
    """
    alike = _versions_of_one_lesion(outlines)
    last = [
        max((outlines[j].of.drawn_at for j in (i, *alike[i]) if outlines[j].of.submitted), default="")
        for i in range(len(outlines))
    ]

    def rank(i: int) -> tuple[object, ...]:
        version = outlines[i].of
        newer = version.ranks_by_age and version.drawn_at > last[i]
        counts = 0 if newer else 1 if version.submitted and version.drawn_at == last[i] else 2
        return (counts if last[i] else 0, *version.sort_key)

    in_force: list[int] = []
    found: dict[int, tuple[int, ...]] = {}
    for i in sorted(range(len(outlines)), key=rank):
        # Where an unreadable outline lies is not known, so it stays an open question whatever counts.
        by = () if outlines[i].place is None else tuple(j for j in in_force if j in alike[i])
        if by:
            found[i] = by
        else:
            in_force.append(i)
    return found


def _versions_of_one_lesion(outlines: Sequence[DrawnOutline]) -> list[set[int]]:
    """By index, the outlines of other sets that show the same lesion.

    A lesion that was corrected twice may have left its first outline: two that touch are versions of one lesion too
    where a third outline shows the lesion of both.
    """
    alike: list[set[int]] = [set() for _ in outlines]
    pairs = [(i, j) for i, j in combinations(range(len(outlines)), 2) if outlines[i].of is not outlines[j].of]
    for i, j in pairs:
        if _may_be_one_lesion(outlines[i], outlines[j]):
            alike[i].add(j)
            alike[j].add(i)
    linked = [(i, j) for i, j in pairs if j not in alike[i] and alike[i] & alike[j]]
    for i, j in linked:
        one, other = outlines[i].place, outlines[j].place
        if one and other and _shared(one, other):
            alike[i].add(j)
            alike[j].add(i)
    return alike


def _may_be_one_lesion(one: DrawnOutline, other: DrawnOutline) -> bool:
    """By their places; by their names where one has none."""
    if one.place is None or other.place is None:
        return one.name.strip().casefold() == other.name.strip().casefold()
    return same_lesion(one.place, other.place)
