"""Segmented studies of one patient, and what is measured on them: volumes, lesions, diameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np
from scipy.ndimage import binary_dilation

from treatment_response.cohort.label_map import separate_parts
from treatment_response.cohort.masks import scan_from_mask
from treatment_response.criteria.diameters import Diameters, measure_diameters
from treatment_response.criteria.matching import Tracks, match_lesions
from treatment_response.geometry import Volume, bounding_box
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.problems import DataProblem, Problem

THICK_MM = 5.0
"""Slices thicker than this ask for diameters of twice their thickness (RANO 2010, kept by RANO 2.0)."""

EMPTY = "the mask is empty, and nobody says that nothing is there: state it, or segment the study again"


@dataclass(frozen=True)
class SegmentedStudy:
    """The mask of one tumour compartment in one study of a patient.

    Attributes:
        name: of the study, unique within the patient.
        day: from any fixed day of the patient.
        region: the compartment that the criteria speak of, such as enhancing tumour; anything but 0 is inside.
        others: further compartments by name, bool ``(I, J, K)`` on the same grid; their volumes are told.
        lesions: the lesions of the region by name where somebody named them; each a mask on the same grid. None: they
            are its separate parts and are matched over time.
        outlined: masks on the same grid of lesions that somebody outlined one by one, without names that last. They are
            matched over time as parts are, and two that touch stay two. None: the region's separate parts.
        matrix: ``(4, 4)``, this study's RAS mm → the patient's common space.
        image: an image on the same grid to draw on, if there is one.
        confirmed_empty: somebody says that an empty mask means that nothing is there.
    """

    name: str
    day: int
    region: Volume
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    lesions: Mapping[str, np.ndarray] | None = None
    outlined: Sequence[np.ndarray] | None = None
    matrix: np.ndarray = field(default_factory=lambda: np.eye(4))
    image: np.ndarray | None = None
    confirmed_empty: bool = False


@dataclass(frozen=True)
class LesionMeasures:
    """One lesion in one study.

    Attributes:
        volume_mm3, area_mm2: of all of its parts; counted voxels, and the surface by marching cubes.
        longest_mm: sum of the longest diameters of its parts (one part as a rule).
        perpendicular_mm: of the part with the longest diameter.
        product_mm2: sum of the parts' products.
        slices: axial slices that hold any of it.
        thickness_mm: of the slices: the largest distance between neighbouring voxels along any axis.
        parts: diameters of each part, the longest first.
    """

    volume_mm3: float
    area_mm2: float
    longest_mm: float
    perpendicular_mm: float
    product_mm2: float
    slices: int
    thickness_mm: float
    parts: tuple[Diameters, ...] = ()

    def measurable(self, longest_mm: float, perpendicular_mm: float) -> bool:
        """Whether it reaches both diameters, on at least two slices.

        Args:
            longest_mm, perpendicular_mm: that the criteria ask for in slices of up to `THICK_MM`. In thicker ones both
                must reach twice the thickness.
        """
        if self.thickness_mm > THICK_MM:
            longest_mm = max(longest_mm, 2 * self.thickness_mm)
            perpendicular_mm = max(perpendicular_mm, 2 * self.thickness_mm)
        return self.slices >= 2 and self.longest_mm >= longest_mm and self.perpendicular_mm >= perpendicular_mm


@dataclass(frozen=True)
class MeasuredStudy:
    """One study, measured.

    Attributes:
        lesions: by name; ``1``, ``2``, … where they were matched.
        merged: lesion → the lesion that it is part of by now.
        volumes_mm3: by compartment, the region's under ``region``.
        events: what happened to lesions since the study before, in words.
        doubts: why a person should look at this study's lesions.
        not_evaluable: why the study cannot be judged; empty if it can.
        masks: by lesion its parts, each cropped to its box.
    """

    name: str
    day: int
    lesions: Mapping[str, LesionMeasures]
    merged: Mapping[str, str] = field(default_factory=dict)
    volumes_mm3: Mapping[str, float] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    not_evaluable: str = ""
    masks: Mapping[str, Sequence[Volume]] = field(default_factory=dict, compare=False, repr=False)


def measure_studies(studies: Sequence[SegmentedStudy], where: str) -> tuple[MeasuredStudy, ...]:
    """Measure the studies of one patient, and follow its lesions.

    Args:
        studies: in any order.
        where: the patient, for messages.

    Returns:
        In order of their days.

    Raises:
        DataProblem: two studies of one day or name, lesions named in some studies only, a named lesion that is empty
            or overlaps another, or a compartment that overlaps the region.
    """
    ordered = sorted(studies, key=lambda study: study.day)
    _check(ordered, where)
    if all(study.lesions is not None for study in ordered):
        return tuple(_named(study) for study in ordered)
    parts = [_parts(study) for study in ordered]
    tracks = match_lesions(parts, [study.matrix for study in ordered])
    return tuple(_matched(number, study, parts[number], tracks) for number, study in enumerate(ordered))


def _parts(study: SegmentedStudy) -> list[Volume]:
    """Its lesions, each cropped to its box; islands of one lesion stay together."""
    masks = [study.region.array] if study.outlined is None else study.outlined
    found = []
    for mask in masks:
        around = _cropped(Volume(mask, study.region.affine))
        found += [_cropped(Volume(part, around.affine)) for part in separate_parts(around)]
    return found


def measure_lesion(parts: Sequence[Volume]) -> LesionMeasures:
    """Measure one lesion.

    Args:
        parts: its separate parts, each a mask with voxels in it, of one slice thickness.
    """
    diameters = [measured for part in parts if (measured := measure_diameters(part)) is not None]
    diameters.sort(key=lambda one: (-one.longest_mm, -one.perpendicular_mm))
    scans = [scan_from_mask(part) for part in parts]
    return LesionMeasures(
        sum(scan.volume_mm3 for scan in scans),
        sum(scan.area_mm2 for scan in scans),
        sum(one.longest_mm for one in diameters),
        diameters[0].perpendicular_mm if diameters else 0.0,
        sum(one.product_mm2 for one in diameters),
        _slices(parts),
        max((float(part.spacing.max()) for part in parts), default=0.0),
        tuple(diameters),
    )


def _slices(parts: Sequence[Volume]) -> int:
    """Axial slices of the largest part; parts beside each other share theirs."""
    counts = []
    for part in parts:
        across = axial_plane(part.affine).slice_axis
        counts.append(int((part.array != 0).any(axis=tuple({0, 1, 2} - {across})).sum()))
    return max(counts, default=0)


def _check(studies: Sequence[SegmentedStudy], where: str) -> None:
    problems = []
    for first, second in combinations(studies, 2):
        if first.day == second.day:
            what = f"studies '{first.name}' and '{second.name}' are of one day, so it is not known which is earlier"
            problems.append(Problem(where, what, "correct the dates, or leave one of them out"))
        if first.name == second.name:
            problems.append(Problem(where, f"two studies are called '{first.name}'", "name each study once"))
    named = [study.lesions is not None for study in studies]
    if any(named) and not all(named):
        what = "lesions are named in some studies and not in others, so they cannot be followed"
        problems.append(Problem(where, what, "name them in every study, or in none"))
    for study in studies:
        problems += _overlaps(study, f"{where}, study '{study.name}'")
    if problems:
        raise DataProblem(*problems)


def _overlaps(study: SegmentedStudy, here: str) -> list[Problem]:
    """Voxels that would count twice, and named lesions without any."""
    problems = []
    box = bounding_box(study.region.array) or (slice(0, 0),)
    for name, mask in study.others.items():
        if shared := int(np.count_nonzero((study.region.array[box] != 0) & (mask[box] != 0))):
            what = f"the compartments overlap: {shared} voxels of the region are also '{name}'"
            problems.append(Problem(here, what, "give each voxel one compartment"))
    lesions = study.lesions or {}
    for name, mask in lesions.items():
        if not mask.any():
            what = f"the mask of lesion '{name}' is empty"
            problems.append(Problem(here, what, "leave it out if the lesion is gone, or export it again"))
    for name, other in combinations(lesions, 2):
        if shared := int(np.count_nonzero((lesions[name] != 0) & (lesions[other] != 0))):
            what = f"lesions '{name}' and '{other}' share {shared} voxels, which would count twice"
            problems.append(Problem(here, what, "give each voxel to one lesion"))
    return problems


def _named(study: SegmentedStudy) -> MeasuredStudy:
    assert study.lesions is not None
    masks = {name: _cropped(Volume(mask != 0, study.region.affine)) for name, mask in study.lesions.items()}
    lesions = {name: measure_lesion([mask]) for name, mask in masks.items()}
    parts = {name: (mask,) for name, mask in masks.items()}
    doubts = _touching(parts, study.region)
    return MeasuredStudy(study.name, study.day, lesions, {}, _volumes(study), (), doubts, masks=parts)


def _touching(masks: Mapping[str, Sequence[Volume]], grid: Volume) -> tuple[str, ...]:
    """Lesions that touch each other: a person drew the border between them."""
    doubts = []
    for one, other in combinations(masks, 2):
        if any(_neighbours(a, b, grid) for a, b in product(masks[one], masks[other])):
            doubts.append(f"lesions {one} and {other} touch: the border between them is as drawn")
    return tuple(doubts)


def _neighbours(first: Volume, second: Volume, grid: Volume) -> bool:
    """Whether a voxel of one cropped mask lies beside one of the other, corners included."""
    boxes = box_of(first, grid), box_of(second, grid)
    if any(a.start > b.stop or b.start > a.stop for a, b in zip(*boxes, strict=True)):
        return False
    low = [min(a.start, b.start) for a, b in zip(*boxes, strict=True)]
    both = []
    for mask, box in zip((first, second), boxes, strict=True):
        around = np.zeros([max(a.stop, b.stop) - start for a, b, start in zip(*boxes, low, strict=True)], dtype=bool)
        around[tuple(slice(s.start - start, s.stop - start) for s, start in zip(box, low, strict=True))] = mask.array
        both.append(around)
    return bool((binary_dilation(both[0], np.ones((3, 3, 3))) & both[1]).any())


def box_of(part: Volume, grid: Volume) -> tuple[slice, slice, slice]:
    """Where a cropped mask lies in the grid that it was cropped from."""
    low = np.rint(grid.to_index(part.affine[:3, 3][None])[0]).astype(int)
    i, j, k = (slice(int(start), int(start) + size) for start, size in zip(low, part.array.shape, strict=True))
    return i, j, k


def _matched(number: int, study: SegmentedStudy, parts: Sequence[Volume], tracks: Tracks) -> MeasuredStudy:
    of_lesion: dict[str, list[Volume]] = {}
    for part, lesion in zip(parts, tracks.numbers[number], strict=True):
        of_lesion.setdefault(str(lesion), []).append(part)
    events = [event for event in tracks.events if event.study == number]
    words = [
        f"lesion {event.lesion} {event.kind}" + (f" with {', '.join(map(str, event.others))}" if event.others else "")
        for event in events
    ]
    masks = {name: tuple(of_lesion[name]) for name in sorted(of_lesion, key=int)}
    doubts = list(_touching(masks, study.region)) if study.outlined is not None else []
    before = set(tracks.numbers[number - 1]) if number else set()
    if before and of_lesion and not before & {int(name) for name in of_lesion}:
        doubts.append("no lesion lies where one of the study before lay: check that the masks share one space")
    merged = {str(old): str(new) for old, new in tracks.merged_into(number).items()}
    lesions = {name: measure_lesion(parts) for name, parts in masks.items()}
    unread = "" if of_lesion or study.confirmed_empty else EMPTY
    volumes = _volumes(study)
    return MeasuredStudy(study.name, study.day, lesions, merged, volumes, tuple(words), tuple(doubts), unread, masks)


def _volumes(study: SegmentedStudy) -> dict[str, float]:
    voxel = study.region.voxel_volume
    others = {name: float(np.count_nonzero(mask)) * voxel for name, mask in study.others.items()}
    return {"region": float(np.count_nonzero(study.region.array)) * voxel, **others}


def _cropped(mask: Volume) -> Volume:
    """The mask's box, in place."""
    box = bounding_box(mask.array)
    if box is None:
        return mask
    affine = mask.affine.copy()
    affine[:3, 3] = mask.to_world(np.array([[side.start for side in box]]))[0]
    return Volume(mask.array[box], affine)
