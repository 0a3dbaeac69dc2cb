"""What a scan of a folder finds: series, structure sets, doses and plans, with the UIDs that link them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path

from treatment_response.dicom.sequence_names import sequence_by_name
from treatment_response.problems import Problem
from treatment_response.text_enum import TextEnum


@dataclass(frozen=True)
class Entry:
    """What all kinds of entries share.

    Attributes:
        patient_id: DICOM Patient ID, as it stands in the files: for linking only, never for reports.
        person: fingerprint of name and birth date, so that two persons under one id can be noticed; empty if neither
            is given.
        person_known: both name and birth date are given and neither is a placeholder, so that the fingerprint tells
            that two ids are one person.
        date: study date; failing that series, acquisition or content date; None if the files have none.
    """

    patient_id: str
    person: str
    study_uid: str
    series_uid: str
    frame_uid: str
    date: Date | None
    description: str
    person_known: bool


@dataclass(frozen=True)
class SeriesEntry(Entry):
    """An image series, or one multi-frame object's series.

    Attributes:
        contrast: a contrast agent was given; None if the headers do not say.
        t1: T1-weighted; None if the headers do not say.
        scanner: manufacturer and model.
        files: path and SOP Instance UID of each instance, each UID once, in order of path.
        fault: why the series cannot be used as a whole (damaged files, one UID with two contents); empty if it can.
        notes: what looks odd in it, without subject.
        study_description: Study Description: free text, never shown.
    """

    modality: str
    sop_class_uid: str
    contrast: bool | None
    t1: bool | None
    scanner: str
    station: str
    files: tuple[tuple[Path, str], ...]
    fault: str = ""
    notes: tuple[str, ...] = ()
    study_description: str = ""

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.modality} series '{self.description}'" if self.description else f"{self.modality} series"

    @property
    def sequence(self) -> str:
        """BIDS suffix of the sequence: ``T1w`` unless the header says otherwise, ``MR`` where it does not say what."""
        if self.t1 is not False:
            return "T1w"
        return sequence_by_name(self.description) or "MR"


class OutlineKind(TextEnum):
    """What kind of object holds outlines."""

    CONTOURS = "RTSTRUCT"
    VOXELS = "SEG"


@dataclass(frozen=True)
class StructureSetEntry(Entry):
    """Outlines of regions in one object: an RT Structure Set, or a DICOM Segmentation.

    Attributes:
        referenced_series_uids: the series that it lists, in the order of the file.
        referenced_sop_uids: the images that it lists.
        contour_sop_uids: the images that its contours (or frames) themselves refer to; empty if they refer to none.
        frame_uids: every frame of reference that it lists; where it lists none, those of its ROIs.
        roi_names: in the order of their numbers; of a segmentation its segments' labels.
        approval: Approval Status, upper case: ``APPROVED``, ``UNAPPROVED``, ``REJECTED`` or empty.
        drawn_at: Structure Set Date and Time (of a segmentation: Content Date and Time) as
            :func:`treatment_response.dicom.outline_versions.moment` writes them; empty if there is no date.
        rival: another file holds an object of the same SOP Instance UID with other content.
    """

    path: Path
    sop_uid: str
    label: str
    referenced_series_uids: tuple[str, ...]
    referenced_sop_uids: frozenset[str]
    roi_names: tuple[str, ...]
    kind: OutlineKind = OutlineKind.CONTOURS
    contour_sop_uids: frozenset[str] = frozenset()
    frame_uids: frozenset[str] = frozenset()
    approval: str = ""
    drawn_at: str = ""
    rival: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        word = "structure set" if self.kind is OutlineKind.CONTOURS else "segmentation"
        return f"{word} '{self.label}'" if self.label else word


@dataclass(frozen=True)
class DoseEntry(Entry):
    """A dose grid.

    Attributes:
        units: Dose Units, upper case: ``GY``, ``RELATIVE``, or what else the file says.
        summation: Dose Summation Type. dose_type: Dose Type: ``PHYSICAL``, ``EFFECTIVE``, ``ERROR``.
        plan_uid, structure_set_uid: what it refers to, empty where not given.
        beams: numbers of the plan's beams that it is the dose of; empty if it names none.
    """

    path: Path
    sop_uid: str
    units: str
    summation: str
    plan_uid: str
    structure_set_uid: str
    dose_type: str = ""
    beams: frozenset[int] = frozenset()

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
    """A treatment plan with its prescriptions (none if it states none) and planned fractions (None likewise).

    Attributes:
        beams: numbers of the beams of its fraction group; empty if it names none.
        radiation: Radiation Types of its beams (``PHOTON``, ``PROTON``, ``ION``, …), sorted; empty if it states none.
        planned_on: RT Plan Date; `date` is the study's that it is filed in, which may be that of an earlier plan.
    """

    path: Path
    sop_uid: str
    label: str
    structure_set_uid: str
    prescriptions: tuple[Prescription, ...]
    fractions: int | None = None
    beams: frozenset[int] = frozenset()
    radiation: tuple[str, ...] = ()
    planned_on: Date | None = None

    @property
    def prescription_gy(self) -> float | None:
        """The prescription, if the plan states one dose only."""
        doses = {prescription.dose_gy for prescription in self.prescriptions}
        return doses.pop() if len(doses) == 1 else None


@dataclass(frozen=True)
class RecordEntry(Entry):
    """What a treatment record says was delivered: one session of a plan, or a summary of all of them.

    Attributes:
        plan_uid: SOP Instance UID of the plan; empty if it names none, or several.
        fractions: numbers of the fractions that it records.
        delivered: number of fractions delivered so far, which a summary states; None of other records.
        last_day: the latest day of treatment in it; None if it states none.
    """

    sop_uid: str
    plan_uid: str
    fractions: frozenset[int]
    delivered: int | None
    last_day: Date | None


@dataclass(frozen=True)
class DamagedFile:
    """A file that cannot be used, and what is known of it all the same.

    Attributes:
        problem: what is wrong; its ``where`` is the path relative to the folder, without names and ids.
        patient_id: empty if it is not known.
        kind: modality (``MR``, ``RTSTRUCT``, …) as far as it can be told; ``?`` where the file could be anything, empty
            where it was surely no DICOM.
        date: study date, if it can be told.
    """

    path: Path
    problem: Problem
    patient_id: str = ""
    kind: str = ""
    date: Date | None = None


@dataclass
class DicomIndex:
    """All that was found under a folder.

    Attributes:
        structure_sets: RT Structure Sets. segmentations: DICOM Segmentations.
        damaged: files that could not be used.
        copies: files that hold the same instance as another one, which was used.
        notes: what costs no instance, as Problems too: pipes, damaged copies of sound files, shared UIDs.
        foreign: files that by their name are no DICOM (tables, texts, NIfTI); they were not opened.
        others: modality → number of instances of kinds that are not used (reports, …).
    """

    series: list[SeriesEntry] = field(default_factory=list)
    structure_sets: list[StructureSetEntry] = field(default_factory=list)
    segmentations: list[StructureSetEntry] = field(default_factory=list)
    doses: list[DoseEntry] = field(default_factory=list)
    plans: list[PlanEntry] = field(default_factory=list)
    records: list[RecordEntry] = field(default_factory=list)
    damaged: list[DamagedFile] = field(default_factory=list)
    copies: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the files that could not be used."""
        return [damaged.problem for damaged in self.damaged]
