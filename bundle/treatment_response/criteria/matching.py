"""Which lesion of one study is which of the next: through splits, merges, vanished, returned and new ones.

A lesion keeps its number for as long as its parts lie where it lay. Its parts after a split are one lesion, and their
measures are added (RECIST 1.1 does so). Lesions that grow into one go on as the larger of them. Studies must lie in one
space: in the same frame of reference, or moved there by their `matrix`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from treatment_response.geometry import Volume, voxel_indices

LEAST_OVERLAP = 0.25
"""Share of the smaller of two lesions that lies in the other, from which they are one."""
FARTHEST_MM = 5.0
"""Gap across which a lesion that overlaps nothing can still be one that was lost: registration moves small ones."""
NEW, VANISHED, RETURNED, SPLIT, MERGED = "new", "vanished", "returned", "split", "merged"


@dataclass(frozen=True)
class Event:
    """What happened to a lesion.

    Attributes:
        study: its number, from 0.
        kind: `NEW`, `VANISHED`, `RETURNED`, `SPLIT` or `MERGED`.
        lesion: the lesion's number, from 1.
        others: for `MERGED` the lesions that went on as `lesion`.
    """

    study: int
    kind: str
    lesion: int
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Tracks:
    """Lesions over all studies.

    Attributes:
        numbers: per study the lesion's number of each of its parts, in their order; from 1.
        events: in order of the studies. The lesions of the first study are no news.
    """

    numbers: tuple[tuple[int, ...], ...]
    events: tuple[Event, ...]

    def merged_into(self, study: int) -> dict[int, int]:
        """Lesion → the lesion that it is part of since a merge up to a study."""
        into: dict[int, int] = {}
        for event in self.events:
            if event.kind == MERGED and event.study <= study:
                for lesion in event.others:
                    into[lesion] = event.lesion
        for lesion in into:
            while into[lesion] in into:
                into[lesion] = into[into[lesion]]
        return into


@dataclass(frozen=True)
class _Part:
    """A separate piece of a study's mask in the common space."""

    mask: Volume
    points: np.ndarray  # voxel centres, mm
    low: np.ndarray
    high: np.ndarray
    volume: float

    @classmethod
    def of(cls, mask: Volume, matrix: np.ndarray) -> _Part:
        inside = np.asarray(mask.array) != 0
        placed = Volume(inside, matrix @ mask.affine)
        points = placed.to_world(voxel_indices(inside))
        return cls(placed, points, points.min(axis=0), points.max(axis=0), len(points) * mask.voxel_volume)

    def share_in(self, other: _Part) -> float:
        """Share of the voxels whose centres lie in another part."""
        reach = self.mask.spacing.max() + other.mask.spacing.max()
        if (self.low > other.high + reach).any() or (other.low > self.high + reach).any():
            return 0.0
        index = np.rint(other.mask.to_index(self.points)).astype(int)
        within = ((index >= 0) & (index < other.mask.array.shape)).all(axis=1)
        return float(other.mask.array[tuple(index[within].T)].sum() / len(self.points))

    def gap_to(self, other: _Part) -> float:
        """Distance between the nearest voxel centres, mm."""
        apart = np.maximum(self.low - other.high, other.low - self.high).clip(0)
        if np.linalg.norm(apart) > FARTHEST_MM:
            return float("inf")
        return float(cKDTree(other.points).query(self.points)[0].min())


def match_lesions(studies: Sequence[Sequence[Volume]], matrices: Sequence[np.ndarray] | None = None) -> Tracks:
    """Follow lesions through the studies of one patient.

    Two parts of consecutive studies are one lesion if `LEAST_OVERLAP` of the smaller lies in the other. What is left
    over on both sides is paired one to one by the smallest gap, up to `FARTHEST_MM`. A lesion that vanished is looked
    for where it was last seen.

    Args:
        studies: in order of time; each holds the separate parts of its mask, none of them empty, on any grid.
        matrices: per study ``(4, 4)``, its RAS mm → the common space's mm; by default they share one.

    Returns:
        Every part has one number.
    """
    if matrices is None:
        matrices = [np.eye(4)] * len(studies)
    numbers: list[tuple[int, ...]] = []
    events: list[Event] = []
    seen: dict[int, list[_Part]] = {}  # lesion → its parts when it was last seen
    present: set[int] = set()
    last = 0
    for study, (masks, matrix) in enumerate(zip(studies, matrices, strict=True)):
        parts = [_Part.of(mask, matrix) for mask in masks]
        parents = _parents(parts, seen)
        into: dict[int, int] = {}
        for group in _groups(parents):
            older = {lesion for part in group for lesion in parents[part]}
            if older:
                lesion = max(sorted(older), key=lambda one: sum(part.volume for part in seen[one]))
                into |= dict.fromkeys(group, lesion)
                if others := tuple(sorted(older - {lesion})):
                    events.append(Event(study, MERGED, lesion, others))
                    for other in others:
                        del seen[other]
                if len(group) > 1 and len(seen[lesion]) < len(group):
                    events.append(Event(study, SPLIT, lesion))
                if not older & present:
                    events.append(Event(study, RETURNED, lesion))
            else:
                last += 1
                into |= dict.fromkeys(group, last)
                if study:
                    events.append(Event(study, NEW, last))
        current = [into[part] for part in range(len(parts))]
        here = set(current)
        events += [Event(study, VANISHED, lesion) for lesion in sorted((present & set(seen)) - here)]
        for lesion in here:
            seen[lesion] = [part for part, number in zip(parts, current, strict=True) if number == lesion]
        present = here
        numbers.append(tuple(current))
    return Tracks(tuple(numbers), tuple(events))


def _parents(parts: Sequence[_Part], seen: Mapping[int, Sequence[_Part]]) -> list[set[int]]:
    """Per part the earlier lesions that it is, or is a piece of."""
    found: list[set[int]] = [set() for _ in parts]
    for number, part in enumerate(parts):
        for lesion, earlier in seen.items():
            if any(max(part.share_in(one), one.share_in(part)) >= LEAST_OVERLAP for one in earlier):
                found[number].add(lesion)
    orphans = [number for number, lesions in enumerate(found) if not lesions]
    lost = sorted(set(seen) - set().union(*found))
    if orphans and lost:
        gaps = np.array([[min(parts[one].gap_to(each) for each in seen[lesion]) for lesion in lost] for one in orphans])
        far = gaps > FARTHEST_MM
        for row, column in zip(*linear_sum_assignment(np.where(far, 1e6, gaps)), strict=True):
            if not far[row, column]:
                found[orphans[row]].add(lost[column])
    return found


def _groups(parents: Sequence[set[int]]) -> list[list[int]]:
    """Parts that share an earlier lesion, by way of others too; those without one stand alone."""
    groups: list[tuple[set[int], list[int]]] = []
    for part, lesions in enumerate(parents):
        together = [group for group in groups if group[0] & lesions]
        groups = [group for group in groups if not group[0] & lesions]
        joined = (set(lesions).union(*(group[0] for group in together)), [part])
        for group in together:
            joined[1].extend(group[1])
        groups.append(joined)
    return [sorted(part for part in group[1]) for group in sorted(groups, key=lambda group: min(group[1]))]
