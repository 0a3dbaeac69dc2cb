"""Entries of the index from headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from treatment_response.dicom.entries import (
    DoseEntry,
    OutlineKind,
    PlanEntry,
    RecordEntry,
    SeriesEntry,
    StructureSetEntry,
)
from treatment_response.dicom.headers import dicom_date, has_contrast, header_date, is_t1
from treatment_response.dicom.outline_references import frames_of_reference, items, listed_series
from treatment_response.dicom.outline_versions import moment
from treatment_response.dicom.persons import Person
from treatment_response.dicom.plan import beam_numbers, planned_fractions, prescriptions, radiation_types
from treatment_response.dicom.read_header import Header, text
from treatment_response.dicom.treatment_record import delivered_fractions, last_day_of_treatment, recorded_fractions


def series_entry(group: Sequence[Header], person: Person, fault: str) -> SeriesEntry:
    """The entry of a series.

    Args:
        group: one header for each of its instances, in order of path.
        fault: why the series cannot be used, known before.
    """
    # A date that is missing in the first instance may stand in another one.
    header = next((h for h in group if header_date(h.dataset) is not None), group[0])
    maker = (text(header.dataset, keyword) for keyword in ("Manufacturer", "ManufacturerModelName"))
    return SeriesEntry(
        **_shared(header, person),
        modality=text(header.dataset, "Modality"),
        sop_class_uid=text(header.dataset, "SOPClassUID"),
        contrast=_agreed([has_contrast(h.dataset) for h in group]),
        t1=_agreed([is_t1(h.dataset) for h in group]),
        scanner=" ".join(word for word in maker if word),
        station=text(header.dataset, "StationName"),
        files=tuple((h.path, h.sop_uid) for h in group),
        fault=fault or _contradiction(group),
        notes=_oddities(group),
        study_description=text(header.dataset, "StudyDescription"),
    )


def structure_set_entry(header: Header, person: Person, rival: bool) -> StructureSetEntry:
    """The entry of an RT Structure Set."""
    dataset = header.dataset
    shared = _shared(header, person)
    for item in items(dataset, "ReferencedFrameOfReferenceSequence"):
        shared["frame_uid"] = text(item, "FrameOfReferenceUID") or shared["frame_uid"]
    rois = sorted(items(dataset, "StructureSetROISequence"), key=lambda item: int(item.ROINumber))
    return _outlines(header, shared, rival, OutlineKind.CONTOURS, [text(roi, "ROIName") for roi in rois])


def segmentation_entry(header: Header, person: Person, rival: bool) -> StructureSetEntry:
    """The entry of a DICOM Segmentation."""
    segments = sorted(items(header.dataset, "SegmentSequence"), key=lambda item: int(item.SegmentNumber))
    labels = [text(item, "SegmentLabel") or f"segment {item.SegmentNumber}" for item in segments]
    return _outlines(header, _shared(header, person), rival, OutlineKind.VOXELS, labels)


def dose_entry(header: Header, person: Person) -> DoseEntry:
    """The entry of an RT Dose."""
    dataset = header.dataset
    return DoseEntry(
        **_shared(header, person),
        path=header.path,
        sop_uid=header.sop_uid,
        units=text(dataset, "DoseUnits").upper(),
        summation=text(dataset, "DoseSummationType").upper(),
        plan_uid=_only_reference(header, "ReferencedRTPlanSequence"),
        structure_set_uid=_reference(header, "ReferencedStructureSetSequence"),
        dose_type=text(dataset, "DoseType").upper(),
        beams=beam_numbers(items(dataset, "ReferencedRTPlanSequence", "ReferencedFractionGroupSequence")),
    )


def plan_entry(header: Header, person: Person) -> PlanEntry:
    """The entry of an RT Plan."""
    return PlanEntry(
        **_shared(header, person),
        path=header.path,
        sop_uid=header.sop_uid,
        label=text(header.dataset, "RTPlanLabel"),
        structure_set_uid=_reference(header, "ReferencedStructureSetSequence"),
        prescriptions=prescriptions(header.dataset),
        fractions=planned_fractions(header.dataset),
        beams=beam_numbers(items(header.dataset, "FractionGroupSequence")),
        radiation=radiation_types(header.dataset),
        planned_on=dicom_date(header.dataset.get("RTPlanDate")),
    )


def record_entry(header: Header, person: Person) -> RecordEntry:
    """The entry of a treatment record, or of a summary of treatment."""
    return RecordEntry(
        **_shared(header, person),
        sop_uid=header.sop_uid,
        plan_uid=_only_reference(header, "ReferencedRTPlanSequence"),
        fractions=recorded_fractions(header.dataset),
        delivered=delivered_fractions(header.dataset),
        last_day=last_day_of_treatment(header.dataset),
    )


def _shared(header: Header, person: Person) -> dict[str, Any]:
    return {
        "patient_id": header.patient_id,
        "person": person.mark,
        "study_uid": text(header.dataset, "StudyInstanceUID"),
        "series_uid": header.series_uid,
        "frame_uid": text(header.dataset, "FrameOfReferenceUID"),
        "date": header_date(header.dataset),
        "description": text(header.dataset, "SeriesDescription"),
        "person_known": person.is_known,
    }


def _outlines(
    header: Header, shared: dict[str, Any], rival: bool, kind: OutlineKind, names: Sequence[str]
) -> StructureSetEntry:
    dataset = header.dataset
    word, label = ("StructureSet", "StructureSetLabel") if kind is OutlineKind.CONTOURS else ("Content", "ContentLabel")
    series, images = listed_series(dataset)
    return StructureSetEntry(
        **shared,
        path=header.path,
        sop_uid=header.sop_uid,
        label=text(dataset, label),
        referenced_series_uids=series,
        referenced_sop_uids=images | (header.outlined_images if kind is OutlineKind.VOXELS else frozenset()),
        roi_names=tuple(names),
        kind=kind,
        contour_sop_uids=header.outlined_images,
        frame_uids=frames_of_reference(dataset),
        approval=text(dataset, "ApprovalStatus").upper(),
        drawn_at=moment(text(dataset, f"{word}Date"), text(dataset, f"{word}Time")),
        rival=rival,
    )


def _agreed(statements: Sequence[bool | None]) -> bool | None:
    """What those that say something say; None if none does, or if they contradict each other."""
    stated = {value for value in statements if value is not None}
    return stated.pop() if len(stated) == 1 else None


def _contradiction(group: Sequence[Header]) -> str:
    """What its images state differently though a series has one of it."""
    for keyword, what in (
        ("Modality", "modalities"),
        ("StudyInstanceUID", "studies"),
        ("FrameOfReferenceUID", "frames of reference"),
        ("StudyDate", "study dates"),
    ):
        count = len({text(header.dataset, keyword) for header in group} - {""})
        if count > 1:
            return f"expected images of one series, found {count} {what} in it"
    return ""


def _only_reference(header: Header, sequence: str) -> str:
    """What a sequence refers to; empty if it refers to several objects: which one of them counts is not known."""
    uids = {text(item, "ReferencedSOPInstanceUID") for item in items(header.dataset, sequence)} - {""}
    return uids.pop() if len(uids) == 1 else ""


def _oddities(group: Sequence[Header]) -> tuple[str, ...]:
    """What need not be wrong in a series, and rarely is right."""
    rescales = {(text(h.dataset, "RescaleSlope"), text(h.dataset, "RescaleIntercept")) for h in group}
    if len(rescales) > 1:
        return (f"its images state {len(rescales)} different rescale slopes or intercepts; each was applied",)
    return ()


def _reference(header: Header, sequence: str) -> str:
    return next((text(item, "ReferencedSOPInstanceUID") for item in items(header.dataset, sequence)), "")
