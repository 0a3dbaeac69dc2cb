"""What a treatment plan prescribes."""

from __future__ import annotations

from pydicom.dataset import Dataset

from treatment_response.dicom.entries import Prescription


def prescriptions(dataset: Dataset) -> tuple[Prescription, ...]:
    """The Target Prescription Doses of an RT Plan's targets, in Gy of the whole plan, in the plan's order."""
    found = []
    for item in dataset.get("DoseReferenceSequence") or []:
        dose = item.get("TargetPrescriptionDose")
        if item.get("DoseReferenceType") == "TARGET" and dose is not None and float(dose) > 0:
            number = item.get("ReferencedROINumber")
            found.append(Prescription(float(dose), None if number is None else int(number)))
    return tuple(found)
