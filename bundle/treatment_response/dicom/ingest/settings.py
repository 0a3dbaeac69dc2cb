"""What the user can decide about a DICOM ingest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IngestSettings:
    """Options of the DICOM ingest, beside those of :class:`treatment_response.cohort.prepare.PrepareSettings`.

    Attributes:
        roi: regular expression for the names of lesions; ``None``: names that clinics use.
        prescription_gy: prescribed dose where neither plan nor clinical table gives one.
        match_tolerance_mm: how far a lesion's centre may lie from where registration expects it.
        second_day: MRI 2 is the session nearest to this day.
    """

    roi: str | None = None
    prescription_gy: float | None = None
    match_tolerance_mm: float = 10.0
    second_day: int = 21
