"""One patient's DICOM, read in a worker process and turned into scans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date as Date

import numpy as np

from treatment_response.cohort.lesion import BASELINE, SECOND, DoseFacts, LesionScan, PatientScans, SessionScan
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.dicom.entries import DoseEntry, PlanEntry, SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.dose import dose_facts, session_dose
from treatment_response.dicom.ingest.matching import Matched, Place, match_lesions
from treatment_response.dicom.ingest.names import known_word, normalise, resected_names, select_targets
from treatment_response.dicom.ingest.registration import apply, register
from treatment_response.dicom.ingest.sessions import Examination, choose_sessions, link_structures
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.dicom.measured_outline import measure_contours
from treatment_response.dicom.series import read_series
from treatment_response.dicom.structures import Roi, StructureSet, read_structure_set
from treatment_response.geometry import Volume, equivalent_diameter
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class _Read:
    """A session as it was read, before lesions are matched.

    All mappings are by normalised ROI name.

    Attributes:
        faulty: lesions that are drawn but cannot be used, and why; they are never taken for gone.
        resected: lesions that an ROI calls a cavity.
        unnamed: ROIs whose name says nothing known.
        others: how many ROIs are no lesion by their name, by kind.
    """

    image: Volume
    day: int
    scans: dict[str, LesionScan]
    places: dict[str, Place]
    faulty: dict[str, str]
    resected: set[str]
    rois: dict[str, Roi]
    unnamed: list[Place]
    others: dict[str, int]


@dataclass(frozen=True)
class DicomPatient:
    """What one patient's files hold.

    Attributes:
        subject: ``sub-001``.
        prescriptions: prescribed dose in Gy from the clinical table, by normalised ROI name; ``""`` for all of the
            patient's lesions.
        treatment: first day of treatment, if known: MRI 1 is not later.
    """

    subject: str
    series: tuple[SeriesEntry, ...]
    structure_sets: tuple[StructureSetEntry, ...]
    doses: tuple[DoseEntry, ...]
    plans: tuple[PlanEntry, ...]
    settings: IngestSettings
    follow_up_days: tuple[int, int]
    prescriptions: Mapping[str, float] = field(default_factory=dict)
    treatment: Date | None = None

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Choose the sessions, read them and match their lesions."""
        if not self._one_person(outcome):
            return None
        examinations, unusable = link_structures(self.subject, self.series, self.structure_sets, self.settings.roi)
        outcome.problems += [str(one.problem) for one in unusable]
        missed = [one.date for one in unusable if one.date is not None and one.targets]
        chosen = choose_sessions(
            examinations, self.series, self.follow_up_days, self.settings.second_day, self.treatment, missed
        )
        outcome.notes += chosen.notes
        if chosen.reason:
            outcome.leave_out("", chosen.reason)
            return None
        read = self._read_all(chosen.sessions, outcome)
        first = read[BASELINE]
        kept = self._number(first, outcome)
        sessions = {BASELINE: SessionScan(first.image, first.day, {key: first.scans[key] for key in kept})}
        for name in sorted(set(read) - {BASELINE}):
            sessions[name] = self._follow(name, first, read[name], kept, outcome)
        dose, facts = self._dose(chosen.sessions[BASELINE], first, kept, outcome)
        sessions[BASELINE] = replace(sessions[BASELINE], dose=dose)
        scanner = chosen.sessions[BASELINE].series.scanner
        synthetic = any("synthetic" in f"{e.description} {e.scanner}".lower() for e in self.series)
        return PatientScans(self.subject, kept, sessions, facts, scanner, synthetic)

    def _one_person(self, outcome: PatientOutcome) -> bool:
        """Whether all files under this id belong to one person; told if not."""
        persons = {entry.person for entry in (*self.series, *self.structure_sets) if entry.person}
        if len(persons) > 1:
            what = f"one patient id is used for {len(persons)} persons (name or birth date differ)"
            outcome.problems.append(str(Problem(self.subject, what, "correct ids or names in the files")))
            outcome.leave_out("", what)
        return len(persons) <= 1

    def _number(self, first: _Read, outcome: PatientOutcome) -> dict[str, str]:
        """Number the lesions of MRI 1 by their names; those that cannot be used are left out of what is returned."""
        ids = {key: f"L{number:02d}" for number, key in enumerate(sorted({*first.scans, *first.faulty}), start=1)}
        outcome.original_names = {ids[key]: first.rois[key].name for key in ids}
        for key, reason in sorted(first.faulty.items()):
            outcome.leave_out(ids[key], f"in {BASELINE}: {reason}")
        return {key: ids[key] for key in first.scans if key not in first.faulty}

    def _dose(
        self, examination: Examination, first: _Read, kept: Mapping[str, str], outcome: PatientOutcome
    ) -> tuple[Volume | None, dict[str, DoseFacts]]:
        """The dose planned on MRI 1, and what it says about each lesion."""
        dose, problems = session_dose(self.subject, examination, self.doses, self.plans)
        outcome.problems += map(str, problems)
        rois = {key: first.rois[key] for key in kept}
        facts = dose_facts(dose, rois, self.prescriptions, self.settings.prescription_gy)
        return (dose.volume if dose else None), facts

    def _read_all(self, chosen: Mapping[str, Examination], outcome: PatientOutcome) -> dict[str, _Read]:
        """Read the sessions; an MRI 2 that cannot be read costs nothing but itself."""
        read = {}
        for name, examination in chosen.items():
            try:
                read[name] = self._read(name, examination, outcome)
            except DataProblem as error:
                if name != SECOND:
                    raise
                outcome.problems += map(str, error.problems)
                outcome.notes.append("taken without MRI 2, which cannot be read")
        kinds = sorted({kind for scan in read.values() for kind in scan.others})
        if kinds:
            outcome.notes.append(f"ROIs that are no lesion by their name (--roi): {', '.join(kinds)}")
        return read

    def _read(self, session: str, examination: Examination, outcome: PatientOutcome) -> _Read:
        where = f"{self.subject} {session}"
        image = read_series(examination.series, f"{where} MR series")
        structures = read_structure_set(examination.structures, f"{where} structure set")
        targets, others = select_targets((roi.name for roi in structures.rois), self.settings.roi)
        read = _Read(image, examination.date.toordinal(), {}, {}, {}, set(), {}, [], others)
        read.resected.update(resected_names(roi.name for roi in structures.rois))
        for roi in structures.rois:
            if roi.name in targets:
                self._lesion(read, roi, structures, outcome, where)
            elif roi.contours and known_word(roi.name) == "other":
                points = np.concatenate(roi.contours)
                read.unnamed.append(Place(points.mean(axis=0), float(np.ptp(points, axis=0).max()) / 2))
        return read

    def _lesion(self, read: _Read, roi: Roi, structures: StructureSet, outcome: PatientOutcome, where: str) -> None:
        key = normalise(roi.name)
        place = f"{where} ROI number {roi.number}"
        if key in read.rois:
            read.faulty[key] = "two ROIs of one session have this name"
            outcome.problems.append(str(Problem(place, "has the name of another ROI", "give each lesion one name")))
            return
        read.rois[key] = roi
        if roi.frame_uid and structures.frame_uid and roi.frame_uid != structures.frame_uid:
            read.faulty[key] = "it is on another frame of reference"
        for problem in roi.problems:
            read.faulty[key] = f"its ROI {problem.what}"
            outcome.problems.append(str(Problem(place, problem.what, problem.remedy)))
        if key in read.faulty:
            return
        try:
            measured = measure_contours(roi.contours, read.image)
        except ValueError as error:
            what = f"cannot be measured: {error}"
            read.faulty[key] = what
            outcome.problems.append(str(Problem(place, what, "draw it on parallel slices")))
            return
        session = where.removeprefix(f"{self.subject} ")
        outcome.notes += [f"{session} ROI number {roi.number}: {note}" for note in (*roi.notes, *measured.notes)]
        read.scans[key] = LesionScan(measured.mask, measured.volume_mm3, measured.area_mm2)
        radius = equivalent_diameter(measured.volume_mm3) / 2
        read.places[key] = Place(_centre(measured.mask, roi.contours), radius)

    def _follow(
        self, name: str, first: _Read, later: _Read, kept: dict[str, str], outcome: PatientOutcome
    ) -> SessionScan:
        """Match a later session to MRI 1; lesions whose fate is not known are left out of ``kept``."""
        to_later = register(first.image, later.image)
        places = {key: first.places[key] for key in kept}
        matched = match_lesions(places, later.places, to_later, self.settings.match_tolerance_mm)
        if matched.residual is not None:
            outcome.residuals[name] = round(matched.residual, 2)
        doubtful = _doubts(matched, later, places, to_later)
        for key, reason in doubtful.items():
            if name == SECOND:
                outcome.notes.append(f"{kept[key]}: taken without MRI 2, {reason}")
            else:
                outcome.leave_out(kept.pop(key), f"at follow-up: {reason}")
        if matched.new:
            outcome.notes.append(f"{name}: {len(matched.new)} target(s) that MRI 1 does not have")
        scans = {
            partner: later.scans[key]
            for key, partner in matched.pairs.items()
            if partner in kept and partner not in doubtful
        }
        return SessionScan(later.image, later.day, scans)


def _doubts(matched: Matched, later: _Read, first: Mapping[str, Place], to_later: np.ndarray) -> dict[str, str]:
    """Lesions of MRI 1 that are neither surely present nor surely gone in a later session."""
    doubts = dict(matched.doubtful)
    for key, place in first.items():
        expected = apply(to_later, place.centre[None])[0]
        if key in later.faulty:
            doubts[key] = later.faulty[key]
        elif key in matched.distances:
            continue
        elif key in later.resected:
            doubts[key] = "resected: an ROI calls it a cavity"
        elif any(
            np.linalg.norm(other.centre - expected) < place.radius + 5 and other.radius < 3 * place.radius
            for other in later.unnamed
        ):
            doubts.setdefault(key, "an ROI whose name is no lesion's lies at its place (--roi)")
    return doubts


def _centre(mask: Volume, contours: list[np.ndarray]) -> np.ndarray:
    """Centre in RAS mm: of the mask, or of the contours' points where the mask is empty."""
    filled = np.argwhere(mask.array)
    return mask.to_world(filled).mean(axis=0) if len(filled) else np.concatenate(contours).mean(axis=0)
