"""What a structure set or segmentation says of itself: who made it, which MR it lies on, which version it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from treatment_response.bands import is_band_name
from treatment_response.criteria.label_map import label_values
from treatment_response.dicom.outline_references import (
    contour_images,
    frame_images,
    image_classes,
    items,
    listed_series,
)
from treatment_response.dicom.outline_versions import APPROVED, OutlineSet, moment
from treatment_response.dicom.results.model import NAME, SOURCE, is_own_series
from treatment_response.dicom.results.submission import is_submission
from treatment_response.dicom.source import MR_CLASSES, MrSource

_DATES = ("StructureSet", "Content", "Series", "Study")


def is_structure_set(dataset: Dataset) -> bool:
    """Whether it is an RT Structure Set."""
    return bool(dataset.get("SOPClassUID") == RTStructureSetStorage)


def outline_set(dataset: Dataset) -> OutlineSet:
    """The version that an object is of the outlines that it holds."""
    moments = (moment(dataset.get(f"{key}Date"), dataset.get(f"{key}Time")) for key in _DATES)
    return OutlineSet(
        str(dataset.get("ApprovalStatus") or "").strip().upper(),
        next(filter(None, moments), ""),
        str(dataset.get("SOPInstanceUID") or ""),
        is_submission(dataset),
        is_structure_set(dataset),
    )


def version_in_words(version: OutlineSet) -> str:
    """Such as ``structure set of 2024-01-08 12:00:00, approved``."""
    when = datetime.strptime(version.drawn_at[:14], "%Y%m%d%H%M%S") if version.drawn_at else None
    day = f"{when:%Y-%m-%d}" if when and version.drawn_at.endswith("000000") else f"{when}"
    if version.submitted:
        return f"submitted by a person through the server, {day if when else 'at an unknown time'}"
    kind = "structure set" if version.contours else "segmentation"
    approved = ", approved" if version.approval == APPROVED else ""
    return f"{kind} of {day}{approved}" if when else f"{kind} without a date{approved}"


def is_result(dataset: Dataset) -> bool:
    """Whether it is a result of this software: what a model said is never an outline to predict from."""
    if is_submission(dataset):
        return False
    if is_own_series(dataset.get("SeriesDescription")) or dataset.get("Manufacturer") == SOURCE:
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
    return names_answers(str(segment.get("SegmentLabel") or "") for segment in segments)


def names_answers(names: Iterable[str]) -> bool:
    """Whether one of these names of segments or label values is of an answer: a CAM's band, a measured lesion."""
    return any(is_band_name(name) or name.strip() in label_values() for name in names)


def refers_to(dataset: Dataset, source: MrSource) -> bool:
    """Whether an object names the MR series, or an image of it."""
    series, images = listed_series(dataset)
    known = {image.sop_uid for image in source.images}
    if source.series_uid in series or not known.isdisjoint(images):
        return True
    return not known.isdisjoint(contour_images(dataset) | frame_images(dataset))


def lies_elsewhere(dataset: Dataset, source: MrSource) -> str:
    """Why an object does not lie on the MR; empty if it does."""
    listed = [dataset, *items(dataset, "ReferencedFrameOfReferenceSequence")]
    frames = {str(item.get("FrameOfReferenceUID") or "") for item in listed} - {""}
    if frames and source.frame_uid and source.frame_uid not in frames:
        return "it lies in another frame of reference, and there is no registration to the MR"
    if refers_to(dataset, source):
        return ""
    if not (frames and source.frame_uid):
        return "it does not refer to the MR and states no frame of reference"
    classes = image_classes(dataset)
    if classes and classes.isdisjoint(MR_CLASSES):
        return "it was drawn on images that are no MR; transfer the contours to the MR in the planning system"
    return ""
