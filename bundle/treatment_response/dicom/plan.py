"""What a treatment plan prescribes, and with which beams."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydicom.dataset import Dataset

from treatment_response.dicom.entries import Prescription
from treatment_response.dicom.outline_references import items

MAX_PRESCRIPTION_GY = 200.0
MAX_FRACTIONS = 100
RADIATION_TYPES = frozenset({"PHOTON", "ELECTRON", "NEUTRON", "PROTON", "ION"})
"""What the standard calls them; anything else may be free text, and is not shown."""


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


def planned_fractions(dataset: Dataset) -> int | None:
    """Number of Fractions Planned of an RT Plan; None if it has not one fraction group with a number above 0."""
    groups = dataset.get("FractionGroupSequence") or []
    if len(groups) != 1:
        return None
    try:
        count = int(groups[0].get("NumberOfFractionsPlanned"))
    except (TypeError, ValueError):
        return None
    return count if 1 <= count <= MAX_FRACTIONS else None


def beam_numbers(groups: Iterable[Dataset]) -> frozenset[int]:
    """Referenced Beam Numbers of the fraction groups of a plan or of a dose; what is no number is passed over."""
    found = set()
    for group in groups:
        for beam in items(group, "ReferencedBeamSequence"):
            try:
                found.add(int(beam.get("ReferencedBeamNumber")))
            except (TypeError, ValueError):
                continue
    return frozenset(found)


def radiation_types(dataset: Dataset) -> tuple[str, ...]:
    """Radiation Types of a plan's treatment beams, upper case, each once; empty if it describes none."""
    beams = [*items(dataset, "BeamSequence"), *items(dataset, "IonBeamSequence")]
    treating = [beam for beam in beams if str(beam.get("TreatmentDeliveryType") or "TREATMENT") == "TREATMENT"]
    types = {str(beam.get("RadiationType") or "").strip().upper() for beam in treating}
    return tuple(sorted(types & RADIATION_TYPES))
