"""The targets that structure sets and segmentations draw on one MR, and why others are only listed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset

from treatment_response.cohort.label_map import separate_parts
from treatment_response.cohort.overlap import repeated_masks
from treatment_response.dicom.headers import dicom_date, header_date
from treatment_response.dicom.measured_outline import measure_contours
from treatment_response.dicom.outline_objects import (
    is_result,
    is_structure_set,
    lies_elsewhere,
    outline_set,
    version_in_words,
)
from treatment_response.dicom.outline_versions import (
    REJECTED,
    DrawnOutline,
    OutlineSet,
    Place,
    same_standing,
    superseded,
)
from treatment_response.dicom.roi_kinds import RoiKind, is_background, kind_and_words
from treatment_response.dicom.segmentations import SEGMENTATION_CLASSES, read_segmentation
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.structures import Roi, read_structure_set
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem

EARLIER_COURSE_DAYS = 14
"""A structure set this much older than the MR shows an earlier course; planning scans of the days before do not."""
_TUMOUR_TYPE = re.compile(r"neoplasm|tumou?r|lesion|metasta|gross|\bmass\b", re.IGNORECASE)
_OWN_ROI = re.compile(r"^zCAM_", re.IGNORECASE)
_MANUAL = "MANUAL"


@dataclass(frozen=True)
class Target:
    """One outline on an MR.

    Attributes:
        name: the ROI's name or segment's label; unique within a study.
        mask: bool ``(I, J, K)`` on the MR's grid.
        volume_mm3: by planimetry for contours, else counted voxels.
        source: ``RTSTRUCT``, ``SEG``, ``saved label``, ``sent label`` or ``click``.
        listed_because: why it is only listed; empty if it is to be predicted.
        version: which structure set or segmentation holds it, in words; empty for other sources.
        superseded_by: names of the outlines of the same lesion that count in its place.
        by_hand: a person drew it, as its source says.
        unreadable: it is there and cannot be drawn, so its mask is empty and it can never be predicted.
    """

    name: str
    mask: np.ndarray
    volume_mm3: float
    source: str
    listed_because: str = ""
    version: str = ""
    superseded_by: tuple[str, ...] = ()
    by_hand: bool = False
    unreadable: bool = False


@dataclass(frozen=True)
class _Outline:
    """A target and the object that it stands in.

    Attributes:
        competes: it is a version of a lesion's outline: neither its name nor its object's age says otherwise.
    """

    target: Target
    of: OutlineSet
    competes: bool


def find_targets(
    source: MrSource, objects: Iterable[Dataset], picked: Collection[str] = ()
) -> tuple[list[Target], list[str]]:
    """Find the targets on an MR.

    An object counts if it refers to the MR series, or lies in its frame of reference and was drawn on MR. Of several
    outlines of one lesion one counts, see :func:`treatment_response.dicom.outline_versions.superseded`; the others are
    listed as superseded. What is there and cannot be read is listed too.

    Args:
        source: the MR.
        objects: structure sets and segmentations, with pixel data; others are passed over.
        picked: names that the user asks for: they are drawn whatever they are called.

    Returns:
        Targets, the ones to predict and the ones only listed, and notes on what was left out, one sentence each.
    """
    kept = [one for one in objects if is_structure_set(one) or one.get("SOPClassUID") in SEGMENTATION_CLASSES]
    sets = sorted(((outline_set(one), one) for one in kept if not is_result(one)), key=lambda pair: pair[0].sort_key)
    wanted = {name.strip().casefold() for name in picked}
    outlines: list[_Outline] = []
    notes: list[str] = []
    for contours, kind in ((True, "structure set"), (False, "segmentation")):
        group = [(version, dataset) for version, dataset in sets if version.contours is contours]
        for number, (version, dataset) in enumerate(group, start=1):
            place = f"{kind} {number} of {len(group)}" if len(group) > 1 else kind
            reason = "it was rejected" if version.approval == REJECTED else lies_elsewhere(dataset, source)
            if reason:
                notes.append(f"The {place} was left out: {reason}.")
            else:
                outlines += _outlines_of(version, dataset, source, place, wanted, notes)
    outlines.sort(key=lambda outline: outline.of.sort_key)
    return _one_of_each_lesion(outlines, source.volume), notes


def without_repeats(targets: Sequence[Target]) -> list[Target]:
    """Give each target a name of its own, and list those that repeat earlier ones: duplicates, unions, margins."""
    named = _uniquely_named(targets)
    reasons = repeated_masks({target.name: target.mask for target in named if not target.listed_because})
    return [replace(one, listed_because=one.listed_because or reasons.get(one.name, "")) for one in named]


def reason_by_name(name: str, property_type: str = "") -> str:
    """Why an outline of this name is only listed; empty if it is a target."""
    kind, words = kind_and_words(name)
    if kind in (RoiKind.MARGIN, RoiKind.CAVITY, RoiKind.EDEMA, RoiKind.OPTIMISATION):
        return f"by its name it is no GTV ('{words}')"
    if kind is RoiKind.UNION:
        return "by its name it is a union of targets"
    if kind is RoiKind.EARLIER:
        return f"by its name it is of an earlier course ('{words}')"
    if kind is RoiKind.TARGET or _TUMOUR_TYPE.search(property_type):
        return ""
    if is_background(name):
        return "by its name it is an organ"
    return "its name does not say that it is a target"


def mask_targets(
    name: str,
    mask: np.ndarray,
    image: Volume,
    source: str,
    reason: str = "",
    *,
    split: bool = False,
    by_hand: bool = False,
) -> list[Target]:
    """A mask as a target.

    Args:
        name: of the target; parts are called ``name part 1``, largest first.
        source: see :class:`Target`; so is ``by_hand``.
        reason: why it is only listed.
        split: the mask is the only one of its kind, so its far parts are lesions of their own
            (see :func:`treatment_response.cohort.label_map.separate_parts`).
    """
    parts = separate_parts(Volume(mask, image.affine)) if split else [mask]
    names = [name] if len(parts) == 1 else [f"{name} part {number}" for number in range(1, len(parts) + 1)]
    return [
        Target(called, part, float(np.count_nonzero(part)) * image.voxel_volume, source, reason, by_hand=by_hand)
        for called, part in zip(names, parts, strict=True)
    ]


def unreadable_target(name: str, reason: str, image: Volume, source: str) -> Target:
    """What is there and cannot be drawn, as a target that is only listed."""
    return Target(name, np.broadcast_to(np.False_, image.array.shape), 0.0, source, reason, unreadable=True)


def _uniquely_named(targets: Sequence[Target]) -> list[Target]:
    named: list[Target] = []
    for target in targets:
        used = {other.name.casefold() for other in named}
        name, copy = target.name, 1
        while name.casefold() in used:
            copy += 1
            name = f"{target.name} #{copy}"
        named.append(replace(target, name=name))
    return named


def _outlines_of(
    version: OutlineSet, dataset: Dataset, source: MrSource, place: str, wanted: set[str], notes: list[str]
) -> list[_Outline]:
    """What one structure set or segmentation draws on the MR."""
    read = _from_structures if version.contours else _from_segmentation
    try:
        found = list(read(dataset, source, place, wanted, notes))
    except DataProblem as error:
        notes += [f"Left out: {problem}" for problem in error.problems]
        found = _of_unreadable_object(dataset, place, f"the {place} {error.problems[0].what}", source.volume)
    # What repeats another outline of its own object is no lesion of its own, whatever other objects hold.
    targets = without_repeats([target for target, _ in found])
    words = version_in_words(version)
    return [
        _Outline(replace(after, version=words), version, competes and after.listed_because == before.listed_because)
        for (before, competes), after in zip(found, targets, strict=True)
    ]


def _one_of_each_lesion(outlines: Sequence[_Outline], image: Volume) -> list[Target]:
    """The targets, those in force first; of each lesion one version is in force, and the others are superseded."""
    competing = [index for index, outline in enumerate(outlines) if outline.competes]
    if len({id(outlines[index].of) for index in competing}) < 2:
        return _uniquely_named([outline.target for outline in outlines])
    drawn = [_drawn(outlines[index], image) for index in competing]
    by = {competing[i]: tuple(competing[j] for j in counting) for i, counting in superseded(drawn).items()}
    order = sorted(range(len(outlines)), key=lambda index: index in by)
    named = dict(zip(order, _uniquely_named([outlines[index].target for index in order]), strict=True))
    return [
        replace(
            named[index],
            listed_because=_why_superseded(outlines, named, index, by[index]),
            superseded_by=tuple(named[other].name for other in by[index]),
        )
        if index in by
        else named[index]
        for index in order
    ]


def _drawn(outline: _Outline, image: Volume) -> DrawnOutline:
    target = outline.target
    place = None if target.unreadable else Place.of(Volume(target.mask, image.affine), target.volume_mm3)
    return DrawnOutline(outline.of, target.name, place)


def _why_superseded(outlines: Sequence[_Outline], named: dict[int, Target], index: int, counting: Sequence[int]) -> str:
    """Which outlines count, which one this is, and how much they differ."""
    here = outlines[index].target
    others = []
    for other in counting:
        target = named[other]
        state = f"cannot be used: {target.listed_because}" if target.listed_because else f"{target.volume_mm3:.0f} mm³"
        others.append(f"'{target.name}' ({target.version}; {state})")
    reason = f"superseded by {', '.join(others)}; this one: {here.version}; {here.volume_mm3:.0f} mm³"
    own = outlines[index].of
    if any(
        same_standing(own, outlines[other].of) and own.contours is outlines[other].of.contours for other in counting
    ):
        reason += "; neither approval nor date tells which of them counts"
    return reason


def _from_structures(
    dataset: Dataset, source: MrSource, place: str, wanted: set[str], notes: list[str]
) -> Iterator[tuple[Target, bool]]:
    """Each target, and whether it is a version of a lesion's outline."""
    structures = read_structure_set(dataset, place)
    older = _days_older(dataset, source)
    organs: list[str] = []
    for roi in structures.rois:
        if _OWN_ROI.search(roi.name):
            continue
        reason = reason_by_name(roi.name)
        if reason.endswith("organ") and roi.name.casefold() not in wanted:
            organs.append(roi.name)
            continue
        if older >= EARLIER_COURSE_DAYS:
            reason = reason or f"of an earlier course: the {place} is {older} days older than the MR"
        if roi.is_empty:
            notes.append(f"ROI '{roi.name}' was left out: {roi.problems[0].what}.")
            continue
        target = _from_roi(roi, source, reason, notes)
        if target.unreadable:
            notes.append(f"ROI '{roi.name}' was left out: {target.listed_because}.")
        yield target, not reason
    for problem in structures.problems:  # contours of no ROI: which lesion they draw is not known
        notes.append(f"The {problem}")
        yield unreadable_target(place, f"it {problem.what}", source.volume, "RTSTRUCT"), False
    if organs:
        notes.append(f"No targets by their names: {', '.join(organs)}.")


def _days_older(dataset: Dataset, source: MrSource) -> int:
    drawn = dicom_date(dataset.get("StructureSetDate")) or header_date(dataset)
    return (source.date - drawn).days if source.date and drawn else 0


def _from_roi(roi: Roi, source: MrSource, reason: str, notes: list[str]) -> Target:
    """The ROI as a target; what has to be known of a target goes to ``notes``."""
    image = source.volume
    if roi.frame_uid and source.frame_uid and roi.frame_uid != source.frame_uid:
        return unreadable_target(roi.name, "it lies in another frame of reference", image, "RTSTRUCT")
    if not roi.contours:
        return unreadable_target(roi.name, f"it {roi.problems[0].what}", image, "RTSTRUCT")
    if roi.problems:
        reason = f"it {roi.problems[0].what}"
    try:
        measured = measure_contours(roi.contours, image)
    except ValueError as error:
        return unreadable_target(roi.name, f"it cannot be measured: {error}", image, "RTSTRUCT")
    if not measured.mask.array.any():
        return unreadable_target(roi.name, "no voxel centre of the MR lies in it", image, "RTSTRUCT")
    if measured.outside_mm3:
        reason = "it reaches outside the MR"
    notes += [f"ROI '{roi.name}': {note}." for note in (*roi.notes, *measured.notes)]
    mask, by_hand = measured.mask.array > 0, roi.generation == _MANUAL
    return Target(roi.name, mask, measured.volume_mm3, "RTSTRUCT", reason, by_hand=by_hand)


def _from_segmentation(
    dataset: Dataset, source: MrSource, place: str, wanted: set[str], notes: list[str]
) -> Iterator[tuple[Target, bool]]:
    """Each target, and whether it is a version of a lesion's outline."""
    segments = [one for one in read_segmentation(dataset, source.volume, place) if not _OWN_ROI.search(one.label)]
    reasons = {one.number: reason_by_name(one.label, one.property_type) for one in segments}
    tumours = [one for one in segments if not reasons[one.number]]
    organs = []
    for segment in segments:
        reason = reasons[segment.number]
        if reason.endswith("organ") and segment.label.casefold() not in wanted:
            organs.append(segment.label)
        elif not segment.mask.any():
            notes.append(f"Segment '{segment.label}' was left out: it is empty.")
        else:
            alone, by_hand = len(tumours) == 1 and not reason, segment.algorithm_type == _MANUAL
            parts = mask_targets(
                segment.label, segment.mask, source.volume, "SEG", reason, split=alone, by_hand=by_hand
            )
            yield from ((part, not reason) for part in parts)
    if organs:
        notes.append(f"No targets by their names: {', '.join(organs)}.")


def _of_unreadable_object(dataset: Dataset, place: str, reason: str, image: Volume) -> list[tuple[Target, bool]]:
    """What an object names, organs apart; the object itself where that cannot be read either."""
    source, sequence, keyword = (
        ("RTSTRUCT", "StructureSetROISequence", "ROIName")
        if is_structure_set(dataset)
        else ("SEG", "SegmentSequence", "SegmentLabel")
    )
    try:
        names = [str(item.get(keyword) or "").strip() for item in dataset.get(sequence) or []]
    except Exception:  # a damaged sequence can fail anywhere inside the parser
        names = []
    if not all(names) or not names:
        return [(unreadable_target(place, reason, image, source), False)]
    listed = [name for name in names if not (_OWN_ROI.search(name) or reason_by_name(name).endswith("organ"))]
    return [(unreadable_target(name, reason, image, source), not reason_by_name(name)) for name in listed]
