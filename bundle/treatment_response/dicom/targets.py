"""The targets that structure sets and segmentations of a study draw on one MR, and why others are only listed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from treatment_response.cohort.label_map import separate_parts
from treatment_response.cohort.overlap import repeated_masks
from treatment_response.dicom.headers import dicom_date, header_date
from treatment_response.dicom.measured_outline import measure_contours
from treatment_response.dicom.results.model import NAME, is_own_series
from treatment_response.dicom.roi_kinds import RoiKind, is_background, kind_and_words
from treatment_response.dicom.segmentations import SEGMENTATION_CLASSES, read_segmentation
from treatment_response.dicom.source import MR_CLASSES, MrSource
from treatment_response.dicom.structures import Roi, read_structure_set
from treatment_response.geometry import Volume
from treatment_response.inference.bands import label_values
from treatment_response.problems import DataProblem

EARLIER_COURSE_DAYS = 14
"""A structure set this much older than the MR shows an earlier course; planning scans of the days before do not."""
_TUMOUR_TYPE = re.compile(r"neoplasm|tumou?r|lesion|metasta|gross|\bmass\b", re.IGNORECASE)
_OWN_ROI = re.compile(r"^zCAM_", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """One outline on an MR.

    Attributes:
        name: the ROI's name or segment's label; unique within a study.
        mask: bool ``(I, J, K)`` on the MR's grid.
        volume_mm3: by planimetry for contours, else counted voxels.
        source: ``RTSTRUCT``, ``SEG``, ``saved label``, ``sent label`` or ``click``.
        listed_because: why it is only listed; empty if it is to be predicted.
    """

    name: str
    mask: np.ndarray
    volume_mm3: float
    source: str
    listed_because: str = ""


def find_targets(
    source: MrSource, objects: Iterable[Dataset], picked: Collection[str] = ()
) -> tuple[list[Target], list[str]]:
    """Find the targets on an MR.

    An object counts if it refers to the MR series, or lies in its frame of reference and was drawn on MR. Of several
    that repeat each other the newest counts, structure sets before segmentations.

    Args:
        source: the MR.
        objects: structure sets and segmentations of the study, with pixel data; others are passed over.
        picked: names that the user asks for: they are drawn whatever they are called.

    Returns:
        Targets, the ones to predict and the ones only listed, and notes on what was left out, one sentence each.
    """
    kept = [one for one in objects if one.get("SOPClassUID") in (RTStructureSetStorage, *SEGMENTATION_CLASSES)]
    kept = [one for one in kept if not _written_by_us(one)]
    structures = sorted((one for one in kept if _is_structure_set(one)), key=_newest)
    segmentations = sorted((one for one in kept if not _is_structure_set(one)), key=_newest)
    wanted = {name.strip().casefold() for name in picked}
    targets: list[Target] = []
    notes: list[str] = []
    for kind, group in (("structure set", structures), ("segmentation", segmentations)):
        for number, dataset in enumerate(group, start=1):
            place = f"{kind} {number} of {len(group)}" if len(group) > 1 else kind
            read = _from_structures if _is_structure_set(dataset) else _from_segmentation
            if reason := _other_place(dataset, source):
                notes.append(f"The {place} was left out: {reason}.")
                continue
            try:
                targets += read(dataset, source, place, wanted, notes)
            except DataProblem as error:
                notes += [f"Left out: {problem}" for problem in error.problems]
    return without_repeats(targets), notes


def without_repeats(targets: Sequence[Target]) -> list[Target]:
    """Give each target a name of its own, and list those that repeat earlier ones: duplicates, unions, margins."""
    named: list[Target] = []
    for target in targets:
        used = {other.name.casefold() for other in named}
        name, copy = target.name, 1
        while name.casefold() in used:
            copy += 1
            name = f"{target.name} #{copy}"
        named.append(replace(target, name=name))
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


def _is_structure_set(dataset: Dataset) -> bool:
    return bool(dataset.SOPClassUID == RTStructureSetStorage)


def _newest(dataset: Dataset) -> tuple[int, str, str]:
    keys = ("StructureSet", "Content", "Series", "Study")
    date = next((found for key in keys if (found := dicom_date(dataset.get(f"{key}Date")))), None)
    time = next((str(value) for key in keys if (value := dataset.get(f"{key}Time"))), "")
    # Later times first: complement their digits.
    late = "".join(chr(ord("9") - ord(digit) + ord("0")) for digit in re.sub(r"\D", "", time).ljust(12, "0"))
    return -(date.toordinal() if date else 0), late, str(dataset.get("SOPInstanceUID") or "")


def _written_by_us(dataset: Dataset) -> bool:
    """Whether this software made the object: what a model said is never an outline to predict from."""
    if is_own_series(dataset.get("SeriesDescription")):
        return True
    segments = dataset.get("SegmentSequence") or []
    makers = [segment.get("SegmentAlgorithmName") for segment in segments]
    for segment in segments:
        makers += [
            item.get("AlgorithmName") for item in segment.get("SegmentationAlgorithmIdentificationSequence") or []
        ]
    if any(str(maker or "").startswith(NAME) for maker in makers):
        return True
    # Bands that a viewer stored by itself name no algorithm of ours.
    return holds_bands(str(segment.get("SegmentLabel") or "") for segment in segments)


def holds_bands(names: Iterable[str]) -> bool:
    """Whether these names of segments or label values are those of a CAM's bands."""
    return not {name.strip() for name in names}.isdisjoint(label_values())


def _other_place(dataset: Dataset, source: MrSource) -> str:
    """Why an object does not lie on the MR; empty if it does."""
    series, images, classes, frames = _references(dataset)
    known = {image.sop_uid for image in source.images}
    refers = source.series_uid in series or not known.isdisjoint(images)
    if frames and source.frame_uid and source.frame_uid not in frames:
        return "it lies in another frame of reference, and there is no registration to the MR"
    if refers:
        return ""
    if not (frames and source.frame_uid):
        return "it does not refer to the MR and states no frame of reference"
    if classes and classes.isdisjoint(MR_CLASSES):
        return "it was drawn on images that are no MR; transfer the contours to the MR in the planning system"
    return ""


def _references(dataset: Dataset) -> tuple[set[str], set[str], set[str], set[str]]:
    """Series, images, image classes and frames of reference that an object refers to."""
    series: set[str] = set()
    images: set[str] = set()
    classes: set[str] = set()
    frames = {str(dataset.get("FrameOfReferenceUID") or "")}

    def take(items: Iterable[Dataset]) -> None:
        for item in items:
            images.add(str(item.get("ReferencedSOPInstanceUID") or ""))
            classes.add(str(item.get("ReferencedSOPClassUID") or ""))

    for item in dataset.get("ReferencedSeriesSequence") or []:  # segmentation
        series.add(str(item.get("SeriesInstanceUID") or ""))
        take(item.get("ReferencedInstanceSequence") or [])
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []:  # structure set
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence") or []:
            for item in study.get("RTReferencedSeriesSequence") or []:
                series.add(str(item.get("SeriesInstanceUID") or ""))
                take(item.get("ContourImageSequence") or [])
    for roi in dataset.get("ROIContourSequence") or []:
        for contour in roi.get("ContourSequence") or []:
            take(contour.get("ContourImageSequence") or [])
    return series - {""}, images - {""}, classes - {""}, frames - {""}


def _from_structures(
    dataset: Dataset, source: MrSource, place: str, wanted: set[str], notes: list[str]
) -> Iterable[Target]:
    structures = read_structure_set(dataset, place)
    notes += [f"The {problem}" for problem in structures.problems]
    older = _days_older(dataset, source)
    organs: list[str] = []
    for roi in structures.rois:
        if _OWN_ROI.search(roi.name):
            continue
        reason = reason_by_name(roi.name)
        if reason.endswith("organ") and roi.name.casefold() not in wanted:
            organs.append(roi.name)
            continue
        if roi.frame_uid and source.frame_uid and roi.frame_uid != source.frame_uid:
            notes.append(f"ROI '{roi.name}' was left out: it lies in another frame of reference.")
            continue
        if older >= EARLIER_COURSE_DAYS:
            reason = reason or f"of an earlier course: the {place} is {older} days older than the MR"
        target = _from_roi(roi, source.volume, reason, notes)
        if isinstance(target, str):
            notes.append(f"ROI '{roi.name}' was left out: {target}.")
        else:
            yield target
    if organs:
        notes.append(f"No targets by their names: {', '.join(organs)}.")


def _days_older(dataset: Dataset, source: MrSource) -> int:
    drawn = dicom_date(dataset.get("StructureSetDate")) or header_date(dataset)
    return (source.date - drawn).days if source.date and drawn else 0


def _from_roi(roi: Roi, image: Volume, reason: str, notes: list[str]) -> Target | str:
    """The ROI as a target, or why it cannot be drawn; what has to be known of a target goes to ``notes``."""
    if not roi.contours:
        return roi.problems[0].what if roi.problems else "it is empty"
    if roi.problems:
        reason = f"it {roi.problems[0].what}"
    try:
        measured = measure_contours(roi.contours, image)
    except ValueError as error:
        return f"it cannot be measured: {error}"
    if not measured.mask.array.any():
        return "no voxel centre of the MR lies in it"
    if measured.outside_mm3:
        reason = "it reaches outside the MR"
    notes += [f"ROI '{roi.name}': {note}." for note in (*roi.notes, *measured.notes)]
    return Target(roi.name, measured.mask.array > 0, measured.volume_mm3, "RTSTRUCT", reason)


def _from_segmentation(
    dataset: Dataset, source: MrSource, place: str, wanted: set[str], notes: list[str]
) -> Iterable[Target]:
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
            alone = len(tumours) == 1 and not reason
            yield from mask_targets(segment.label, segment.mask, source.volume, "SEG", reason, split=alone)
    if organs:
        notes.append(f"No targets by their names: {', '.join(organs)}.")


def mask_targets(
    name: str, mask: np.ndarray, image: Volume, source: str, reason: str = "", *, split: bool = False
) -> list[Target]:
    """A mask as a target.

    Args:
        name: of the target; parts are called ``name part 1``, largest first.
        source: see :class:`Target`.
        reason: why it is only listed.
        split: the mask is the only one of its kind, so its far parts are lesions of their own
            (see :func:`treatment_response.cohort.label_map.separate_parts`).
    """
    parts = separate_parts(Volume(mask, image.affine)) if split else [mask]
    names = [name] if len(parts) == 1 else [f"{name} part {number}" for number in range(1, len(parts) + 1)]
    return [
        Target(called, part, float(part.sum()) * image.voxel_volume, source, reason)
        for called, part in zip(names, parts, strict=True)
    ]
