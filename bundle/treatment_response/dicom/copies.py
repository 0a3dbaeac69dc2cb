"""Files that hold one SOP Instance: copies of one content, or rivals with different contents."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset

from treatment_response.dicom.headers import has_contrast, header_date, identity, is_t1
from treatment_response.dicom.pixels import PixelsUnusable, decoded
from treatment_response.dicom.read_header import Header
from treatment_response.dicom.read_object import ObjectUnusable, read_object

# What makes up an object for the ingest. Equipment, names and what an archive adds do not.
_CONTENT = (
    *("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "Rows", "Columns"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"),
    *("EchoTime", "ImageType", "TemporalPositionIdentifier", "PerFrameFunctionalGroupsSequence"),
    *("SharedFunctionalGroupsSequence", "StructureSetLabel", "StructureSetDate", "StructureSetTime", "ApprovalStatus"),
    *("ReferencedFrameOfReferenceSequence", "StructureSetROISequence", "ROIContourSequence"),
    *("RTROIObservationsSequence", "SegmentSequence", "SegmentationType", "ReferencedSeriesSequence"),
    *("DoseUnits", "DoseType", "DoseSummationType", "DoseGridScaling", "GridFrameOffsetVector"),
    *("ReferencedRTPlanSequence", "ReferencedStructureSetSequence", "RTPlanLabel", "DoseReferenceSequence"),
)


@dataclass
class Instances:
    """Files sorted by the SOP Instance that they hold.

    Attributes:
        first: one file of each instance, the first by path.
        repeated: a copy and the file that is used for it.
        rivals: files that hold one instance with different contents, one file of each content.
    """

    first: list[Header] = field(default_factory=list)
    repeated: list[tuple[Header, Header]] = field(default_factory=list)
    rivals: list[list[Header]] = field(default_factory=list)


def sort_instances(headers: Sequence[Header]) -> Instances:
    """Find copies and rivals. An instance is known by its patient and its UID: anonymisers reuse UIDs.

    Args:
        headers: of sound files, in order of path.
    """
    by_instance: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in headers:
        by_instance[owner(header), header.sop_uid].append(header)
    instances = Instances()
    for same in by_instance.values():
        contents: list[Header] = []
        for header in same:
            used = next((other for other in contents if same_content(other.path, header.path)), None)
            if used is None:
                contents.append(header)
            else:
                instances.repeated.append((header, used))
        if len(contents) == 1:
            instances.first.append(contents[0])
        else:
            instances.rivals.append(contents)
    return instances


def owner(header: Header) -> str:
    """Whose file it is: the Patient ID, failing that name and birth date."""
    return header.patient_id or "|".join(identity(header.dataset))


def same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same object, byte for byte or after decoding."""
    try:
        if filecmp.cmp(one, other, shallow=False):
            return True
        return _same_objects(read_object(one), read_object(other))
    except (OSError, ObjectUnusable, PixelsUnusable):
        return False


def _same_objects(one: FileDataset, other: FileDataset) -> bool:
    if _content(one) != _content(other):
        return False
    for meaning in (header_date, has_contrast, is_t1):
        if meaning(one) != meaning(other):
            return False
    if "PixelData" not in one or "PixelData" not in other:
        return ("PixelData" in one) == ("PixelData" in other)
    return bool(np.array_equal(decoded(one), decoded(other)))


def _content(dataset: Dataset) -> Dataset:
    content = Dataset()
    for keyword in _CONTENT:
        if keyword in dataset:
            content.add(dataset[keyword])
    return content
