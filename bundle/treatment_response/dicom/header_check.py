"""Whether the values of a header are what they have to be, decoded one by one, so that nothing fails later."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from functools import cache

import numpy as np
from pydicom.datadict import dictionary_description, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from treatment_response.dicom.file_structure import FileStructure
from treatment_response.dicom.headers import dicom_date
from treatment_response.dicom.object_kinds import IMAGE_KINDS, KINDS, kind_of_class
from treatment_response.dicom.outline_references import items
from treatment_response.dicom.plan import prescriptions

_REQUIRED_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_UIDS = frozenset(
    {
        *(*_REQUIRED_UIDS, "StudyInstanceUID", "FrameOfReferenceUID", "ReferencedSOPInstanceUID"),
        "ReferencedFrameOfReferenceUID",
    }
)
_DATES = frozenset(
    {
        *("StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionDateTime", "ContentDate"),
        *("StructureSetDate", "RTPlanDate", "TreatmentDate", "MostRecentTreatmentDate"),
    }
)
# How many numbers an element holds; None is any number.
_NUMBERS: dict[str, int | None] = {
    **{"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2},
    **{"RescaleSlope": 1, "RescaleIntercept": 1, "DoseGridScaling": 1, "GridFrameOffsetVector": None},
    **dict.fromkeys(("RepetitionTime", "EchoTime", "InversionTime", "SliceThickness", "SpacingBetweenSlices"), None),
    **dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"), 1),
    **dict.fromkeys(("SamplesPerPixel", "NumberOfFrames", "ROINumber", "ReferencedROINumber", "SegmentNumber"), 1),
    **dict.fromkeys(("TargetPrescriptionDose", "NumberOfContourPoints", "ReferencedSegmentNumber"), 1),
}
_POSITIVE = frozenset({"PixelSpacing", "Rows", "Columns", "BitsAllocated", "NumberOfFrames", "DoseGridScaling"})
HEAVY = ("ROIContourSequence", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
"""Sequences that are checked and not kept."""
WANTED = (
    *(*_UIDS - {"ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID"}, *_DATES, *HEAVY),
    *(*_NUMBERS.keys() - {"ROINumber", "ReferencedROINumber", "SegmentNumber", "ReferencedSegmentNumber"},),
    *("SpecificCharacterSet", "Modality", "PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *(
        "SeriesDescription",
        "StudyDescription",
        "ProtocolName",
        "ContrastBolusAgent",
        "ContrastBolusAgentSequence",
        "AcquisitionContrast",
    ),
    *("Manufacturer", "ManufacturerModelName", "StationName", "PhotometricInterpretation", "ContentTime"),
    *("StructureSetLabel", "StructureSetTime", "ApprovalStatus", "ReferencedFrameOfReferenceSequence"),
    *("StructureSetROISequence", "RTROIObservationsSequence", "ReferencedSeriesSequence", "SegmentSequence"),
    *("ContentLabel", "SegmentationType", "DoseUnits", "DoseType", "DoseSummationType", "ReferencedRTPlanSequence"),
    *("ReferencedStructureSetSequence", "RTPlanLabel", "DoseReferenceSequence", "FractionGroupSequence"),
    *("BeamSequence", "IonBeamSequence", "TreatmentSessionBeamSequence", "TreatmentSessionIonBeamSequence"),
    *("TreatmentSessionApplicationSetupSequence", "FractionGroupSummarySequence"),
)
"""Keywords of the elements that the scan reads."""

# Free texts for people: letters of another character set, or zero bytes at their end, spoil nothing.
_DESCRIPTIVE = frozenset(
    {
        *("SeriesDescription", "StudyDescription", "ProtocolName", "StationName", "Manufacturer", "PatientName"),
        *("ManufacturerModelName", "StructureSetLabel", "ContentLabel", "RTPlanLabel", "ROIName", "SegmentLabel"),
    }
)
# Attributes that stand in items only: at the top they are left over from a sequence whose bytes are missing.
_IN_ITEMS = frozenset(
    {
        *("ROINumber", "ROIName", "ROIGenerationAlgorithm", "ReferencedFrameOfReferenceUID", "ReferencedROINumber"),
        *("ContourSequence", "ContourData", "ContourGeometricType", "NumberOfContourPoints", "ContourImageSequence"),
        *("ROIDisplayColor", "ObservationNumber", "RTROIInterpretedType", "RTReferencedStudySequence"),
        *("RTReferencedSeriesSequence", "DoseReferenceNumber", "DoseReferenceType", "TargetPrescriptionDose"),
        *("SegmentNumber", "SegmentLabel", "ReferencedSegmentNumber", "PlanePositionSequence", "FrameContentSequence"),
    }
)
_REFERENCES = ("ContourImageSequence", "ReferencedRTPlanSequence", "ReferencedStructureSetSequence")
_CONTOUR_DATA = tag_for_keyword("ContourData")
_IN_ITEMS_TAGS = {tag_for_keyword(keyword) for keyword in _IN_ITEMS}
_WANTED_TAGS = {keyword: tag_for_keyword(keyword) for keyword in WANTED}
_TEXTS = frozenset({"LO", "PN", "SH"})
_ASCII_TEXTS = frozenset({"CS", "DA", "DS", "DT", "IS", "TM", "UI"})
_ALL_TEXTS = _TEXTS | _ASCII_TEXTS
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")  # not escape, which switches character sets
_UID = re.compile(r"[0-9.]{1,64}")
# What an object of an image class may call itself: an MR image called CT is odd, one called NR is damaged.
_MODALITIES = frozenset({"MR", "CT", "PT", "NM", "OT", "XA", "DX", "CR", "US", "RTIMAGE"})
_DECIMALS = re.compile(rb"[-+.\deE \\naif]*", re.IGNORECASE)  # with nan and inf, which are the ROI's fault


class _Fault(Exception):
    """What is wrong with a value, as the end of "the file …"."""


def header_fault(structure: FileStructure, kind: str) -> str:
    """What is wrong with the values of a header whose structure is sound.

    Args:
        structure: of the file.
        kind: see :func:`treatment_response.dicom.object_kinds.kind_of_class`, else the modality.

    Returns:
        The end of the sentence "the file …"; empty if nothing is wrong.
    """
    try:
        _check(structure, kind)
    except _Fault as fault:
        return str(fault)
    except Exception:  # a damaged value fails anywhere inside the decoder
        return "is damaged (a value in its header cannot be decoded)"
    return ""


def text_fault(dataset: Dataset) -> str:
    """What is wrong with the bytes of texts. Asked first: once pydicom has decoded a text, its bytes are gone.

    Returns:
        The end of the sentence "the file …"; empty if nothing is wrong.
    """
    try:
        for keyword in _held(dataset):
            _check_letters(dataset, keyword)
    except _Fault as fault:
        return str(fault)
    return ""


def text_notes(dataset: Dataset) -> tuple[str, ...]:
    """What is odd in the free texts of a sound header, as the end of "… files …". Asked before they are decoded."""
    notes = []
    raw = [dataset.get_item(keyword) for keyword in sorted(_DESCRIPTIVE & set(dataset.dir()))]
    if any(isinstance(element.value, bytes) and element.value.endswith(b"\0\0") for element in raw):
        notes.append("fill up texts with zero bytes, which were ignored")
    if any("\N{REPLACEMENT CHARACTER}" in str(dataset.get(keyword)) for keyword in _DESCRIPTIVE if keyword in dataset):
        notes.append("hold letters of another character set than they state, which were replaced")
    return tuple(notes)


def _held(dataset: Dataset) -> list[str]:
    """The wanted elements that a data set has. pydicom takes microseconds to be asked for one, and there are many."""
    tags = set(map(int, dataset.keys()))
    return [keyword for keyword, tag in _WANTED_TAGS.items() if tag in tags]


@cache
def _tag(keyword: str) -> BaseTag:
    """pydicom looks a keyword up anew each time that it is asked for one."""
    return Tag(keyword)


@cache
def _vr(keyword: str) -> str:
    return dictionary_VR(_tag(keyword))


def _check(structure: FileStructure, kind: str) -> None:
    dataset = structure.dataset
    if structure.tags & _IN_ITEMS_TAGS:
        raise _Fault("is damaged (an attribute of an item lies outside its sequence)")
    for keyword in _REQUIRED_UIDS:
        if not _values(dataset, keyword):
            raise _Fault("is not DICOM that can be used (it lacks its class, its own UID or that of its series)")
    for keyword in _held(dataset):
        _check_element(dataset, keyword)
    _check_class(structure, kind)
    if kind in IMAGE_KINDS or kind in ("RTDOSE", "SEG"):
        _check_pixels(structure)
    if kind == "RTSTRUCT":
        _check_structure_set(dataset)
    elif kind == "RTPLAN":
        _check_plan(dataset)
    elif kind == "SEG" and not dataset.get("SegmentSequence"):
        raise _Fault("is a segmentation that describes no segment")


def _check_element(dataset: Dataset, keyword: str) -> None:
    _check_letters(dataset, keyword)
    value = _decoded(dataset, keyword)
    if isinstance(value, Sequence):
        for item in value:
            _check_item(item)
            if keyword in _REFERENCES and not _values(item, "ReferencedSOPInstanceUID"):
                raise _Fault(f"is damaged (its {dictionary_description(keyword)} does not say to what it refers)")
    elif keyword.endswith("Sequence"):
        raise _Fault(f"is damaged (its {dictionary_description(keyword)} is no sequence)")
    elif keyword in _NUMBERS:
        _check_numbers(dataset, keyword)
    elif keyword in _UIDS:
        _check_uid(dataset, keyword)
    elif keyword in _DATES:
        words = str(value or "").strip(" \0")
        if words.strip("0") and dicom_date(words) is None:
            raise _Fault(f"is damaged (its {dictionary_description(keyword)} is no date)")
    elif "\N{REPLACEMENT CHARACTER}" in str(value) and keyword not in _DESCRIPTIVE:
        raise _Fault(f"is damaged (its {dictionary_description(keyword)} cannot be decoded)")


def _check_letters(dataset: Dataset, keyword: str) -> None:
    """Refuse control characters in a text: what zeroed bytes leave behind, and pydicom strips without a word."""
    element = dataset.get_item(_tag(keyword))
    vr = _vr(keyword)
    if vr not in _ALL_TEXTS or not getattr(element, "is_raw", False):
        return
    value = element.value or b""
    value = value.rstrip(b"\0") if keyword in _DESCRIPTIVE else value.removesuffix(b"\0")
    if _CONTROL.search(value) is not None or (vr in _ASCII_TEXTS and not value.isascii()):
        raise _Fault(f"is damaged (its {dictionary_description(keyword)} holds bytes that are no letters)")


def _check_item(item: Dataset) -> None:
    """Check the standard elements of an item, and of the items in it."""
    for tag in list(item.keys()):
        if tag.is_private:
            continue
        element = item.get_item(tag)
        if tag == _CONTOUR_DATA and getattr(element, "is_raw", False):
            _check_contour_data(element.value or b"")
            continue
        keyword = keyword_for_tag(tag)
        if keyword:
            _check_element(item, keyword)


def _check_contour_data(value: bytes) -> None:
    """Coordinates by numpy: pydicom needs a second for what a large structure set holds."""
    words = value.removesuffix(b"\0").rstrip(b" ")
    try:
        if words:
            np.array(words.split(b"\\"), dtype=float)
    except ValueError:
        words = b"?"
    if _DECIMALS.fullmatch(words) is None:
        raise _Fault("is damaged (its Contour Data are no numbers)")


def _decoded(dataset: Dataset, keyword: str) -> object:
    try:
        return dataset[_tag(keyword)].value
    except Exception:  # an unknown VR, a value that is no number, …
        raise _Fault(f"is damaged (its {dictionary_description(keyword)} cannot be decoded)") from None


def _values(dataset: Dataset, keyword: str) -> list[object]:
    """The values of an element; none if it is absent or empty."""
    value = _decoded(dataset, keyword) if _tag(keyword) in dataset else None
    if value is None or value == "":
        return []
    several = not isinstance(value, str | bytes) and isinstance(value, Iterable)
    return list(value) if several else [value]  # type: ignore[call-overload]


def _check_numbers(dataset: Dataset, keyword: str) -> None:
    name = dictionary_description(keyword)
    try:
        numbers = [float(value) for value in _values(dataset, keyword)]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _Fault(f"is damaged (its {name} is no number)") from None
    if not all(map(math.isfinite, numbers)):
        raise _Fault(f"is damaged (its {name} is no finite number)")
    wanted = _NUMBERS[keyword]
    if numbers and wanted is not None and len(numbers) != wanted:
        raise _Fault(f"is damaged (its {name} has {len(numbers)} values, expected {wanted})")
    if keyword in _POSITIVE and any(number <= 0 for number in numbers):
        raise _Fault(f"is damaged (its {name} is not above 0)")
    if keyword == "RescaleSlope" and 0.0 in numbers:
        raise _Fault(f"is damaged (its {name} is 0)")


def _check_uid(dataset: Dataset, keyword: str) -> None:
    for value in _values(dataset, keyword):
        if _UID.fullmatch(str(value).strip(" \0")) is None:
            raise _Fault(f"is damaged (its {dictionary_description(keyword)} is no UID)")


def _check_class(structure: FileStructure, kind: str) -> None:
    """SOP class, file meta information and modality must tell of one kind of object."""
    dataset = structure.dataset
    stated = str(structure.meta.get("MediaStorageSOPClassUID") or "")
    sop_class = UID(str(dataset.SOPClassUID))
    if stated and stated != sop_class and {kind_of_class(stated), kind_of_class(sop_class)} & KINDS:
        raise _Fault("is damaged (its SOP class and that of its file meta information differ)")
    modality = str(dataset.get("Modality") or "").strip()
    if kind in IMAGE_KINDS and kind_of_class(sop_class) and modality not in _MODALITIES:
        raise _Fault(f"is damaged (it holds {kind} images and states another modality)")
    if not kind_of_class(sop_class) and modality in ("RTSTRUCT", "RTDOSE", "RTPLAN", "SEG"):
        raise _Fault(f"states modality {modality}, but its SOP class is another")


def _check_pixels(structure: FileStructure) -> None:
    """The pixel data must be as long as rows, columns, frames and bits say."""
    dataset, pixels = structure.dataset, structure.pixels
    if "Rows" not in dataset:
        return
    frames = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is not None and len(groups) != frames:
        raise _Fault(f"is damaged (it announces {frames} frames and describes {len(groups)})")
    if pixels is None:
        if not kind_of_class(str(dataset.get("SOPClassUID") or "")):
            return  # spectra, and maps of another kind of values
        raise _Fault("ends early: it is truncated (it has no pixel data)")
    syntax = structure.meta.get("TransferSyntaxUID")
    compressed = bool(syntax and syntax.is_compressed and not syntax.is_deflated)
    if syntax and compressed != (pixels.fragments is not None):
        words = "are not compressed" if compressed else "are compressed"
        raise _Fault(f"states another transfer syntax than it is in (its pixel data {words})")
    if pixels.fragments is not None:
        if pixels.fragments < frames:
            raise _Fault(f"is damaged (it announces {frames} frames and holds {pixels.fragments})")
        return
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if samples != 1:  # colour may be subsampled, and is not used
        return
    bits = int(dataset.Rows) * int(dataset.Columns) * frames * int(dataset.get("BitsAllocated") or 16)
    expected = (bits + 7) // 8
    if pixels.length not in (expected, expected + expected % 2):
        raise _Fault(f"is damaged (it announces {expected} bytes of pixel data and holds {pixels.length})")


def _check_structure_set(dataset: Dataset) -> None:
    if "StructureSetROISequence" not in dataset:
        raise _Fault("is a structure set without a list of its ROIs")
    numbers = {int(item.ROINumber) for item in items(dataset, "StructureSetROISequence")}
    for item in items(dataset, "ROIContourSequence"):
        number = int(item.ReferencedROINumber)
        if number not in numbers and item.get("ContourSequence"):
            raise _Fault(f"is damaged (it holds contours of ROI number {number}, which is not in its list of ROIs)")
    for item in items(dataset, "RTROIObservationsSequence"):
        int(item.ReferencedROINumber)


def _check_plan(dataset: Dataset) -> None:
    try:
        prescriptions(dataset)
    except ValueError as error:
        raise _Fault(str(error)) from None
