"""What a treatment record, or a summary of treatment, says was delivered."""

from __future__ import annotations

from datetime import date as Date

from pydicom.dataset import Dataset

from treatment_response.dicom.headers import dicom_date
from treatment_response.dicom.outline_references import items
from treatment_response.dicom.plan import MAX_FRACTIONS

_SESSIONS = (
    "TreatmentSessionBeamSequence",
    "TreatmentSessionIonBeamSequence",
    "TreatmentSessionApplicationSetupSequence",
)
_TREATING = {"", "TREATMENT", "CONTINUATION"}
"""Treatment Delivery Types that give dose; setup and portal images do not count."""


def recorded_fractions(dataset: Dataset) -> frozenset[int]:
    """Numbers of the fractions that a record's treatments belong to."""
    found = set()
    for keyword in _SESSIONS:
        for treatment in items(dataset, keyword):
            if str(treatment.get("TreatmentDeliveryType") or "").strip().upper() in _TREATING:
                found.add(_count(treatment.get("CurrentFractionNumber")))
    return frozenset(number for number in found if number is not None)


def delivered_fractions(dataset: Dataset) -> int | None:
    """Number of Fractions Delivered as a summary of one fraction group states it; None of all else."""
    groups = list(items(dataset, "FractionGroupSummarySequence"))
    return _count(groups[0].get("NumberOfFractionsDelivered")) if len(groups) == 1 else None


def last_day_of_treatment(dataset: Dataset) -> Date | None:
    """The latest day of treatment that a record or a summary states."""
    days = [dicom_date(dataset.get(keyword)) for keyword in ("TreatmentDate", "MostRecentTreatmentDate")]
    return max((day for day in days if day is not None), default=None)


def _count(value: object) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 1 <= number <= MAX_FRACTIONS else None
