"""A radiotherapy plan, reduced to what a reader of this project asks of it: the prescription, and the radiation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage

from treatment_response.dicom.write.base import decimal_strings, derived_uid, new_object, save
from treatment_response.dicom.write.identity import Equipment, PatientIds, StudyIds


def write_plan(
    path: Path,
    *,
    patient: PatientIds,
    study: StudyIds,
    structure_set_uid: str,
    frame_uid: str,
    prescription_gy: float | None,
    fractions: int = 3,
    beams: int = 0,
    radiation: str = "PHOTON",
    label: str = "Plan",
    plan_uid: str | None = None,
    equipment: Equipment | None = None,
) -> str:
    """Write an RT Plan.

    Args:
        beams: how many beams it has; each is static, and open.
        radiation: Radiation Type of the beams, ``PHOTON`` or ``PROTON``.
        prescription_gy: Target Prescription Dose of the whole plan in Gy; None leaves it out.
        structure_set_uid: SOP Instance UID of the structure set that was planned on.
        plan_uid: the plan's SOP Instance UID; None derives it from the structure set's.

    Returns:
        The plan's SOP Instance UID.
    """
    sop_uid = plan_uid or derived_uid(structure_set_uid, "plan")
    out = new_object(
        RTPlanStorage,
        sop_uid,
        "RTPLAN",
        derived_uid(sop_uid, "series"),
        patient=patient,
        study=study,
        equipment=equipment or Equipment(),
        description=label,
        series_number=20,
    )
    out.OperatorsName = ""
    out.FrameOfReferenceUID, out.PositionReferenceIndicator = frame_uid, ""
    out.RTPlanLabel, out.RTPlanDate, out.RTPlanTime = label[:16], study.date, study.time
    out.RTPlanGeometry, out.ApprovalStatus = "PATIENT", "UNAPPROVED"
    if prescription_gy is not None:
        target = Dataset()
        target.DoseReferenceNumber, target.DoseReferenceStructureType = 1, "SITE"
        target.DoseReferenceType, target.DoseReferenceDescription = "TARGET", "Target"
        target.TargetPrescriptionDose = decimal_strings([prescription_gy])[0]  # type: ignore[arg-type]
        out.DoseReferenceSequence = [target]
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned = 1, fractions
    group.NumberOfBeams, group.NumberOfBrachyApplicationSetups = beams, 0
    out.FractionGroupSequence = [group]
    if beams:
        group.ReferencedBeamSequence = [_referenced_beam(number) for number in range(1, beams + 1)]
        out.BeamSequence = [_beam(number, radiation, 360 * (number - 1) / beams) for number in range(1, beams + 1)]
    structure_set = Dataset()
    structure_set.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    structure_set.ReferencedSOPInstanceUID = structure_set_uid
    out.ReferencedStructureSetSequence = [structure_set]
    save(out, path)
    return str(sop_uid)


def _referenced_beam(number: int) -> Dataset:
    item = Dataset()
    item.ReferencedBeamNumber = number
    return item


def _beam(number: int, radiation: str, gantry_degrees: float) -> Dataset:
    """A static, open beam: what the standard asks of one, and no more."""
    jaws, start, end, beam = Dataset(), Dataset(), Dataset(), Dataset()
    jaws.RTBeamLimitingDeviceType, jaws.NumberOfLeafJawPairs = "X", 1
    opening = Dataset()
    opening.RTBeamLimitingDeviceType, opening.LeafJawPositions = "X", ["-50", "50"]
    start.ControlPointIndex, end.ControlPointIndex = 0, 1
    start.CumulativeMetersetWeight, end.CumulativeMetersetWeight = "0", "1"
    start.NominalBeamEnergy, start.BeamLimitingDevicePositionSequence = "6", [opening]
    start.GantryAngle, start.GantryRotationDirection = decimal_strings(np.array([gantry_degrees]))[0], "NONE"
    start.BeamLimitingDeviceAngle, start.BeamLimitingDeviceRotationDirection = "0", "NONE"
    start.PatientSupportAngle, start.PatientSupportRotationDirection = "0", "NONE"
    start.TableTopEccentricAngle, start.TableTopEccentricRotationDirection = "0", "NONE"
    start.TableTopVerticalPosition = start.TableTopLongitudinalPosition = start.TableTopLateralPosition = None
    start.IsocenterPosition = None
    beam.BeamNumber, beam.BeamName, beam.BeamType, beam.RadiationType = number, f"Beam {number}", "STATIC", radiation
    beam.TreatmentMachineName, beam.TreatmentDeliveryType, beam.PrimaryDosimeterUnit = "SYNTHETIC", "TREATMENT", "MU"
    beam.NumberOfWedges = beam.NumberOfCompensators = beam.NumberOfBoli = beam.NumberOfBlocks = 0
    beam.FinalCumulativeMetersetWeight, beam.NumberOfControlPoints = "1", 2
    beam.BeamLimitingDeviceSequence, beam.ControlPointSequence = [jaws], [start, end]
    return beam
