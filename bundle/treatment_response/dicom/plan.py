"""What a treatment plan prescribes."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset

from treatment_response.dicom.entries import Prescription

MAX_PRESCRIPTION_GY = 200.0


def prescriptions(dataset: Dataset) -> tuple[Prescription, ...]:
    """The Target Prescription Doses of an RT Plan's targets, in Gy of the whole plan, in the plan's order.

    Organs at risk have none; a dose of 0 says that nothing is prescribed.

    Raises:
        ValueError: a dose that is no finite number between 0 and ``MAX_PRESCRIPTION_GY``.
    """
    found = []
    for item in dataset.get("DoseReferenceSequence") or []:
        dose = item.get("TargetPrescriptionDose")
        if str(item.get("DoseReferenceType") or "").strip().upper() != "TARGET" or dose is None or dose == "":
            continue
        gray = float(dose)
        if not (math.isfinite(gray) and 0 <= gray <= MAX_PRESCRIPTION_GY):
            raise ValueError(f"prescribes {gray:g} Gy, expected 0 to {MAX_PRESCRIPTION_GY:g} (is it in cGy?)")
        if gray > 0:
            number = item.get("ReferencedROINumber")
            found.append(Prescription(gray, None if number is None or number == "" else int(number)))
    return tuple(found)
