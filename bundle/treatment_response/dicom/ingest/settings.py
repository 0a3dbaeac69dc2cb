"""What the user can decide about a DICOM ingest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from treatment_response.problems import DataProblem, Problem


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

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            DataProblem: the first of them.
        """
        if self.prescription_gy is not None and not 0 < self.prescription_gy <= 200:
            raise DataProblem(
                Problem("--prescription", "is no dose in Gy between 0 and 200", "give the prescribed dose")
            )
        if not self.match_tolerance_mm > 0:
            raise DataProblem(Problem("--match-tolerance-mm", "is not above 0", "give a distance in mm, such as 10"))
        try:
            re.compile(self.roi or "")
        except re.error as error:
            raise DataProblem(Problem("--roi", f"is no regular expression ({error})", "correct it")) from None
