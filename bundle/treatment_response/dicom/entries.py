"""What a scan of a folder finds: series, structure sets, doses and plans, with the UIDs that link them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path

from treatment_response.problems import Problem


@dataclass(frozen=True)
class Entry:
    """What all kinds of entries share.

    Attributes:
        patient_id: DICOM Patient ID, as it stands in the files: for linking only, never for reports.
        person: fingerprint of name and birth date, so that two persons under one id can be noticed; empty if neither
            is given.
        date: study date; failing that series, acquisition or content date; None if the files have none.
    """

    patient_id: str
    person: str
    study_uid: str
    series_uid: str
    frame_uid: str
    date: Date | None
    description: str


@dataclass(frozen=True)
class SeriesEntry(Entry):
    """An image series, or one multi-frame object's series.

    Attributes:
        contrast: a contrast agent was given; None if the headers do not say.
        t1: T1-weighted; None if the headers do not say.
        scanner: manufacturer and model.
        files: path and SOP Instance UID of each instance, each UID once, in order of path.
    """

    modality: str
    sop_class_uid: str
    contrast: bool | None
    t1: bool | None
    scanner: str
    station: str
    files: tuple[tuple[Path, str], ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.modality} series '{self.description}'" if self.description else f"{self.modality} series"


@dataclass(frozen=True)
class StructureSetEntry(Entry):
    """A structure set.

    Attributes:
        referenced_series_uids: the series it was drawn on.
        referenced_sop_uids: the images it was drawn on, as far as the set lists them.
        roi_names: in the order of their numbers.
    """

    path: Path
    sop_uid: str
    label: str
    referenced_series_uids: tuple[str, ...]
    referenced_sop_uids: frozenset[str]
    roi_names: tuple[str, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"structure set '{self.label}'" if self.label else "structure set"


@dataclass(frozen=True)
class DoseEntry(Entry):
    """A dose grid. ``units`` is ``GY`` or ``RELATIVE``; references are empty where not given."""

    path: Path
    sop_uid: str
    units: str
    summation: str
    plan_uid: str
    structure_set_uid: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"dose '{self.description}'" if self.description else "dose"


@dataclass(frozen=True)
class Prescription:
    """A prescribed dose in Gy, and the number of the ROI that it is for, where the plan says so."""

    dose_gy: float
    roi_number: int | None = None


@dataclass(frozen=True)
class PlanEntry(Entry):
    """A treatment plan with its prescriptions (none if it states none)."""

    path: Path
    sop_uid: str
    label: str
    structure_set_uid: str
    prescriptions: tuple[Prescription, ...]

    @property
    def prescription_gy(self) -> float | None:
        """The prescription, if the plan states one dose only."""
        doses = {prescription.dose_gy for prescription in self.prescriptions}
        return doses.pop() if len(doses) == 1 else None


@dataclass
class DicomIndex:
    """All that was found under a folder.

    Attributes:
        problems: files that could not be used.
        notes: things that were mended without harm, such as duplicated instances, as Problems too.
        foreign: files that by their name are no DICOM (tables, texts, NIfTI); they were not opened.
        others: modality → number of instances of kinds that are not used (reports, segmentations, …).
    """

    series: list[SeriesEntry] = field(default_factory=list)
    structure_sets: list[StructureSetEntry] = field(default_factory=list)
    doses: list[DoseEntry] = field(default_factory=list)
    plans: list[PlanEntry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
