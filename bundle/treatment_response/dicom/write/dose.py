"""A dose grid as RT Dose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from treatment_response.dicom.write.base import decimal_strings, derived_uid, new_object, save, slice_geometry
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds
from treatment_response.dicom.write.pixels import describe_pixels
from treatment_response.geometry import Volume


def write_dose(
    volume: Volume,
    path: Path,
    *,
    patient: PatientIds,
    study: StudyIds,
    frame_uid: str,
    structure_set_uid: str | None = None,
    plan_uid: str | Sequence[str] | None = None,
    beam: int | None = None,
    units: str = "GY",
    dose_type: str = "PHYSICAL",
    summation: str = "PLAN",
    bits: int = 16,
    description: str = "Dose",
    dose_uid: str | None = None,
    equipment: Equipment | None = None,
) -> str:
    """Write a dose grid.

    Args:
        volume: dose ``(I, J, K)``, in Gy if ``units`` is ``GY``, in per cent or fractions if it is ``RELATIVE``; ≥ 0.
        structure_set_uid: SOP Instance UID of the structure set to refer to; most systems refer to the plan alone.
        plan_uid: SOP Instance UID of the plan, or of several for a ``MULTI_PLAN`` dose; None refers to one that is not
            among the files.
        beam: number of the plan's beam, for a ``BEAM`` dose.
        units: Dose Units, ``GY`` or ``RELATIVE``.
        dose_type: Dose Type, ``PHYSICAL`` or ``EFFECTIVE`` (Gy(RBE)).
        summation: Dose Summation Type.
        bits: 16 (steps of 1/65535 of the maximum) or 32 bits per voxel.
        dose_uid: the dose's SOP Instance UID; None derives it from what the dose refers to.

    Returns:
        The dose's SOP Instance UID.

    Raises:
        ValueError: a negative dose, or axes not at right angles.
    """
    if volume.array.min() < 0:
        raise ValueError("the dose has negative values; RT Dose is written unsigned")
    orientation, spacing, positions = slice_geometry(volume)
    plan_uids = [plan_uid] if isinstance(plan_uid, str) else list(plan_uid or [])
    sop_uid = dose_uid or derived_uid(*(plan_uids or [structure_set_uid or study.study_uid]), "dose")
    out = new_object(
        RTDoseStorage,
        sop_uid,
        "RTDOSE",
        derived_uid(sop_uid, "series"),
        patient=patient,
        study=study,
        equipment=equipment or Equipment(),
        description=description,
        series_number=30,
    )
    out.OperatorsName = ""
    if study.date:
        out.ContentDate, out.ContentTime = study.date, study.time
    out.FrameOfReferenceUID, out.PositionReferenceIndicator = frame_uid, ""
    out.ImageOrientationPatient, out.PixelSpacing = orientation, spacing
    out.ImagePositionPatient = decimal_strings(positions[0])
    out.SliceThickness, out.InstanceNumber = decimal_strings(volume.spacing[2:])[0], 1
    # Offsets are measured along row × column; the volume's third axis may run against it.
    cosines = np.array([float(value) for value in orientation])
    offsets = (positions - positions[0]) @ np.cross(cosines[:3], cosines[3:])
    out.NumberOfFrames, out.FrameIncrementPointer = len(positions), 0x3004000C
    out.GridFrameOffsetVector = decimal_strings(offsets)
    out.DoseUnits, out.DoseType, out.DoseSummationType = units, dose_type, summation
    # A hair more than maximum / largest integer, so that rounding the scaling to a decimal string cannot overflow.
    out.DoseGridScaling = decimal_strings(np.array([max(float(volume.array.max()), 1e-6) / (2**bits - 1) * 1.0001]))[0]
    out.TissueHeterogeneityCorrection = "IMAGE"
    absent = derived_uid(structure_set_uid or study.study_uid, "plan")
    out.ReferencedRTPlanSequence = [_reference(RTPlanStorage, uid) for uid in plan_uids or [absent]]
    if beam is not None:
        out.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = [_fraction_group(beam)]
    if structure_set_uid is not None:
        out.ReferencedStructureSetSequence = [_reference(RTStructureSetStorage, structure_set_uid)]
    describe_pixels(out, volume.array.shape[1], volume.array.shape[0], signed=False, bits=bits)
    stored = np.rint(volume.array.astype(np.float64) / float(out.DoseGridScaling))
    stored = stored.astype(np.uint16 if bits == 16 else np.uint32)
    out.PixelData = np.ascontiguousarray(stored.transpose(2, 1, 0)).tobytes()
    out["PixelData"].VR = "OW"
    save(out, path)
    return str(sop_uid)


def _reference(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def _fraction_group(beam: int) -> Dataset:
    """The plan's only fraction group, and of its beams the one that a dose is of."""
    group, number = Dataset(), Dataset()
    number.ReferencedBeamNumber = beam
    group.ReferencedBeamSequence, group.ReferencedFractionGroupNumber = [number], 1
    return group
