"""Contours as an RT Structure Set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from treatment_response.dicom.structure_items import contour_item, frame_of_reference_item, image_item
from treatment_response.dicom.write.base import derived_uid, new_object, save
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds, WrittenSeries

_COLOURS = ((255, 0, 0), (0, 255, 0), (0, 128, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255), (255, 128, 0))


def write_structure_set(
    rois: Mapping[str, Sequence[np.ndarray]],
    path: Path,
    *,
    patient: PatientIds,
    study: StudyIds,
    referenced: WrittenSeries,
    label: str = "RTSTRUCT",
    structure_set_uid: str | None = None,
    series_uid: str | None = None,
    interpreted_types: Mapping[str, str] | None = None,
    geometric_type: str = "CLOSED_PLANAR",
    equipment: Equipment | None = None,
) -> str:
    """Write contours drawn on a series.

    Args:
        rois: ROI name → its contours, each ``(N, 3)`` RAS mm, closed implicitly; an ROI may have none.
        referenced: the series that the contours were drawn on; each contour refers to its nearest slice.
        label: Structure Set Label (its first 16 characters).
        structure_set_uid: SOP Instance UID; None derives it from the series and the label.
        interpreted_types: ROI name → RT ROI Interpreted Type; ``GTV`` where none is given.
        geometric_type: Contour Geometric Type of all contours (``OPEN_PLANAR``, … for tests).

    Returns:
        The structure set's SOP Instance UID.
    """
    sop_uid = structure_set_uid or derived_uid(referenced.series_uid, label, "structures")
    out = new_object(
        RTStructureSetStorage,
        sop_uid,
        "RTSTRUCT",
        series_uid or derived_uid(sop_uid, "series"),
        patient=patient,
        study=study,
        equipment=equipment or Equipment(),
        description=label,
        series_number=10,
    )
    out.OperatorsName = ""
    out.StructureSetLabel, out.StructureSetDate = label[:16], study.date
    out.StructureSetTime = study.time if study.date else ""
    out.ApprovalStatus, out.InstanceNumber = "UNAPPROVED", 1
    out.FrameOfReferenceUID, out.PositionReferenceIndicator = referenced.frame_uid, ""
    images = dict.fromkeys(referenced.sop_uids, referenced.sop_class_uid)
    chain = frame_of_reference_item(referenced.frame_uid, referenced.study_uid, referenced.series_uid, images)
    out.ReferencedFrameOfReferenceSequence = [chain]
    out.StructureSetROISequence, out.ROIContourSequence, out.RTROIObservationsSequence = [], [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, referenced.frame_uid
        roi.ROIName, roi.ROIGenerationAlgorithm = name, "MANUAL"
        out.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ROIDisplayColor, drawn.ReferencedROINumber = list(_COLOURS[(number - 1) % len(_COLOURS)]), number
        if len(contours):
            drawn.ContourSequence = []
        for index, points in enumerate(contours, start=1):
            nearest = referenced.nearest(points[0])
            image = image_item(referenced.sop_class_uid, nearest.sop_uid, nearest.frame)
            drawn.ContourSequence.append(contour_item(index, points, image, geometric_type))
        out.ROIContourSequence.append(drawn)
        observation = Dataset()
        observation.ObservationNumber, observation.ReferencedROINumber = number, number
        observation.RTROIInterpretedType = (interpreted_types or {}).get(name, "GTV")
        observation.ROIInterpreter = ""
        out.RTROIObservationsSequence.append(observation)
    save(out, path)
    return str(sop_uid)
