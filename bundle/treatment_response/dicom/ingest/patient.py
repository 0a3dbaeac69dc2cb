"""One patient's DICOM, read in a worker process and turned into scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date as Date
from typing import TypeVar

from treatment_response.cohort.follow_up_state import FollowUpState
from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND, DoseFacts, Doubt, PatientScans, SessionScan
from treatment_response.cohort.prepare import PatientOutcome
from treatment_response.dicom.entries import DoseEntry, PlanEntry, SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.absence import FollowUp, absence_doubt
from treatment_response.dicom.ingest.clinical import ClinicalFacts
from treatment_response.dicom.ingest.dose import dose_facts, session_dose
from treatment_response.dicom.ingest.matching import MERGED, Matched, match_lesions
from treatment_response.dicom.ingest.names import known_word, match_names, resected_names, surgery_words
from treatment_response.dicom.ingest.outlines import Outline, SessionOutlines, read_outlines
from treatment_response.dicom.ingest.registration import register
from treatment_response.dicom.ingest.sessions import (
    Drawn,
    Examination,
    Unusable,
    choose_sessions,
    link_outlines,
)
from treatment_response.dicom.ingest.settings import IngestSettings
from treatment_response.dicom.outline_versions import Place
from treatment_response.dicom.series import read_series
from treatment_response.dicom.structures import Roi
from treatment_response.geometry import Volume, moved_points
from treatment_response.problems import DataProblem, Problem

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Session:
    """A session as it was read, before lesions are matched."""

    examination: Examination
    image: Volume
    outlines: SessionOutlines

    @property
    def day(self) -> int:
        """Days since some day that all sessions of the patient share."""
        return self.examination.date.toordinal()

    @property
    def places(self) -> dict[str, Place]:
        """Where the measured lesions lie, by normalised name."""
        return {key: outline.place for key, outline in self.outlines.measured.items() if outline.place is not None}


@dataclass(frozen=True)
class DicomPatient:
    """What one patient's files hold.

    Attributes:
        subject: ``sub-001``.
        outlines: structure sets and segmentations.
        clinical: what the clinical table says of the patient.
        unknown_files: damaged files that may have been outlines of this patient, of any day.
        own_unknown_files: those of them that lie among this patient's files alone.
        damaged: faults of files that are surely the patient's, with their day and whether they may hold outlines.
    """

    subject: str
    series: tuple[SeriesEntry, ...]
    outlines: tuple[StructureSetEntry, ...]
    doses: tuple[DoseEntry, ...]
    plans: tuple[PlanEntry, ...]
    settings: IngestSettings
    follow_up_days: tuple[int, int]
    clinical: ClinicalFacts = field(default_factory=ClinicalFacts)
    damaged: tuple[Unusable, ...] = ()
    unknown_files: int = 0
    own_unknown_files: int = 0

    def load(self, outcome: PatientOutcome) -> PatientScans | None:
        """Choose the sessions, read them and match their lesions."""
        if not self._usable(outcome):
            return None
        drawn, unusable = self._linked(outcome)
        chosen = choose_sessions(
            drawn,
            unusable,
            self.series,
            self.follow_up_days,
            self.settings.second_day,
            self.clinical.treatment,
            self.unknown_files,
            [entry.date for entry in (*self.plans, *self.doses) if entry.date is not None],
            bool(self.clinical.follow_up),
        )
        outcome.notes += chosen.notes
        if chosen.reason:
            outcome.leave_out("", chosen.reason)
            return None
        read = self._read_all(chosen.sessions, outcome)
        first = read[BASELINE]
        kept = self._number(first, outcome)
        stated = {*self.clinical.prescriptions, *self.clinical.follow_up, *self.clinical.surgery} - {""}
        if unknown := stated - set(match_names(sorted(first.outlines.lesions), sorted(stated))):
            outcome.notes.append(
                f"the clinical table names {len(unknown)} lesion(s) that MRI 1 does not have; not used"
            )
        measured = first.outlines.measured
        lesions = {key: outline.scan for key in kept if (outline := measured[key]).scan is not None}
        sessions = {BASELINE: SessionScan(first.image, first.day, lesions)}
        doubts: dict[str, Doubt] = {}
        for name in sorted(set(read) - {BASELINE}):
            surgery = self._surgery(drawn, first, read[name])
            sessions[name] = self._follow(name, first, read[name], kept, doubts, surgery, outcome)
        for key in self._drawn_later(drawn, read.get(FOLLOW_UP), kept, sessions):
            doubts.setdefault(key, Doubt("not drawn at follow-up, and drawn in a later session"))
        dose, facts = self._dose(first, kept, outcome, chosen.sessions[FOLLOW_UP].date)
        sessions[BASELINE] = replace(sessions[BASELINE], dose=dose)
        scanner = first.examination.series.scanner
        synthetic = any("synthetic" in f"{e.description} {e.scanner}".lower() for e in self.series)
        return PatientScans(self.subject, kept, sessions, facts, scanner, synthetic, doubtful=doubts)

    def _drawn_later(
        self,
        drawn: Sequence[Drawn],
        follow_up: _Session | None,
        kept: Mapping[str, str],
        sessions: Mapping[str, SessionScan],
    ) -> list[str]:
        """Lesions that the follow-up does not draw and a session after it does: nobody can call them gone."""
        if follow_up is None:
            return []
        absent = [key for key in kept if key not in sessions[FOLLOW_UP].lesions]
        later = {name for one in drawn if one.date > follow_up.examination.date for name in one.targets}
        return sorted(set(match_names(absent, sorted(later)).values()))

    def _usable(self, outcome: PatientOutcome) -> bool:
        """Whether all files under this id belong to one person, and the table's dates could be read; told if not."""
        persons_of: dict[str, set[str]] = {}
        for entry in (*self.series, *self.outlines):
            persons_of.setdefault(entry.patient_id, set()).update({entry.person} - {""})
        persons = max(map(len, persons_of.values()), default=0)
        if persons > 1:
            what = f"one patient id is used for {persons} persons (name, birth date or sex differ)"
            outcome.problems.append(str(Problem(self.subject, what, "correct ids or names in the files")))
            outcome.leave_out("", what)
        elif self.clinical.unreadable:
            outcome.leave_out("", f"the clinical table's {', '.join(self.clinical.unreadable)} cannot be read")
        return persons <= 1 and not self.clinical.unreadable

    def _linked(self, outcome: PatientOutcome) -> tuple[list[Drawn], list[Unusable]]:
        """Outlines with their series, and those that cannot be used; what is told of them goes to ``outcome``."""
        drawn, unusable = link_outlines(self.subject, self.series, self.outlines, self.settings.roi)
        counts = Counter(str(one.problem) for one in (*unusable, *self.damaged))
        outcome.problems += [f"{text} ({count} times)" if count > 1 else text for text, count in counts.items()]
        return drawn, [*unusable, *self.damaged]

    def _number(self, first: _Session, outcome: PatientOutcome) -> dict[str, str]:
        """Number the lesions of MRI 1 by their names; those that cannot be used are left out of what is returned."""
        lesions = first.outlines.lesions
        ids = {key: f"L{number:02d}" for number, key in enumerate(sorted(lesions), start=1)}
        outcome.original_names = {ids[key]: lesions[key].name for key in ids}
        for key, outline in sorted(lesions.items()):
            if outline.scan is None:
                outcome.leave_out(ids[key], f"in {BASELINE}: {'its ROI is empty' if outline.empty else outline.fault}")
        return {key: ids[key] for key, outline in lesions.items() if outline.scan is not None}

    def _dose(
        self, first: _Session, kept: Mapping[str, str], outcome: PatientOutcome, follow_up: Date | None = None
    ) -> tuple[Volume | None, dict[str, DoseFacts]]:
        """The dose planned on MRI 1, and what it says about each lesion."""
        uids = frozenset(entry.sop_uid for entry in first.examination.outlines)
        # Dose that was planned at follow-up or later had no part in what became of the lesions.
        before = [dose for dose in self.doses if follow_up is None or dose.date is None or dose.date < follow_up]
        if len(before) < len(self.doses):
            outcome.notes.append(
                f"{len(self.doses) - len(before)} dose(s) of the follow-up's day or later are not used"
            )
        dose, problems = session_dose(self.subject, uids, first.examination.series.frame_uid, before, self.plans)
        outcome.problems += map(str, problems)
        outlines = {key: first.outlines.lesions[key] for key in kept}
        rois = {key: Roi(outline.name, outline.number, list(outline.contours)) for key, outline in outlines.items()}
        drawn_in = {key: outline.source for key, outline in outlines.items()}
        clinical = self._by_lesion(self.clinical.prescriptions, rois)
        facts = dose_facts(dose, rois, drawn_in, clinical, self.settings.prescription_gy)
        for key, fact in facts.items():
            stated = clinical.get(key, clinical.get("", fact.prescription_gy))
            if stated is not None and fact.prescription_gy not in (None, stated):
                prescribed = f"the plan prescribes {fact.prescription_gy:g} Gy and the clinical table {stated:g} Gy"
                outcome.notes.append(f"{kept[key]}: {prescribed}; the plan's is used")
        return (dose.volume if dose else None), facts

    def _read_all(self, chosen: Mapping[str, Examination], outcome: PatientOutcome) -> dict[str, _Session]:
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
        kinds = {known_word(outline.name) for session in read.values() for outline in session.outlines.others}
        if kinds:
            outcome.notes.append(f"ROIs that are no lesion by their name (--roi): {', '.join(sorted(kinds))}")
        return read

    def _read(self, session: str, examination: Examination, outcome: PatientOutcome) -> _Session:
        where = f"{self.subject} {session}"
        series = examination.series
        image = read_series(series, f"{where} MR series")
        outlines = read_outlines(where, examination.outlines, image, series.frame_uid, self.settings.roi)
        outcome.notes += [f"{session}: {note}" for note in (*series.notes, *self._incomplete(examination))]
        outcome.notes += [note.removeprefix(f"{self.subject} ") for note in outlines.notes]
        outcome.problems += map(str, outlines.problems)
        if series.t1 is False and session not in (BASELINE, SECOND):
            outcome.notes.append(f"{session}: is no T1 by its header; its image is filed as {series.sequence}")
        return _Session(examination, image, outlines)

    def _incomplete(self, examination: Examination) -> list[str]:
        """What says that images of an examination's series are missing: its first or last ones leave no gap."""
        there = {uid for _, uid in examination.series.files}
        own = [
            entry
            for entry in examination.outlines
            if set(entry.referenced_series_uids) <= {examination.series.series_uid}
        ]
        missing = {uid for entry in own for uid in (entry.referenced_sop_uids | entry.contour_sop_uids) - there}
        if not missing:
            return []
        return [f"its outlines refer to {len(missing)} image(s) that are not among its files; the MR may be cut off"]

    def _by_lesion(self, stated: Mapping[str, Value], lesions: Collection[str]) -> dict[str, Value]:
        """What the clinical table states, by the names of MRI 1; ``""``, for all lesions, stays."""
        names = match_names(sorted(lesions), sorted(set(stated) - {""}))
        return {names.get(name, name): value for name, value in stated.items()}

    def _surgery(self, drawn: list[Drawn], first: _Session, later: _Session) -> str:
        """What speaks for surgery on some lesion between two sessions; empty if nothing does."""
        start, end = first.examination, later.examination
        if any(start.date <= day <= end.date for day in self.clinical.surgery.get("", ())):
            return "the clinical table has a date of surgery"
        if not _is_post_operative(start.series):
            for series in self.series:
                if series.date is not None and start.date < series.date <= end.date and _is_post_operative(series):
                    return f"a series of day {(series.date - start.date).days} is called post-operative"
        before = {name for entry in start.outlines for name in _cavities(entry)}
        for one in drawn:
            if start.date < one.date <= end.date and _cavities(one.outlines) - before:
                return f"an ROI of day {(one.date - start.date).days} is called a cavity"
        if any(surgery_words(f"{entry.label} {entry.description}") for entry in end.outlines):
            return "the later outlines are called post-operative"
        return ""

    def _follow(
        self,
        name: str,
        first: _Session,
        later: _Session,
        kept: dict[str, str],
        doubts: dict[str, Doubt],
        surgery: str,
        outcome: PatientOutcome,
    ) -> SessionScan:
        """Match a later session to MRI 1. Lesions with a fate that no volume describes leave ``kept``; others whose
        fate is not known get a doubt."""
        to_later = register(first.image, later.image)
        places = {key: place for key, place in first.places.items() if key in kept}
        matched = match_lesions(places, later.places, to_later, self.settings.match_tolerance_mm)
        if matched.residual is not None:
            outcome.residuals[name] = round(matched.residual, 2)
        expected = {
            key: Place(moved_points(to_later, place.centre[None])[0], place.radius) for key, place in places.items()
        }
        left_out, doubtful = self._fates(name, first, later, matched, expected, surgery)
        for key, reason in {**doubtful, **left_out}.items():
            if name == SECOND:
                outcome.notes.append(f"{kept[key]}: taken without MRI 2, {reason}")
            elif key in left_out:
                outcome.leave_out(kept.pop(key), f"at follow-up: {reason}")
            else:
                doubts[key] = Doubt(reason, expected[key].centre)
        if surgery and matched.pairs and name == FOLLOW_UP:
            outcome.notes.append(f"surgery since MRI 1 ({surgery}): lesions that are drawn may have been operated on")
        if matched.new:
            outcome.notes.append(f"{name}: {len(matched.new)} target(s) that MRI 1 does not have")
        measured = later.outlines.measured
        before = first.outlines.measured
        for key, partner in sorted(matched.pairs.items()):
            if partner in kept and _is_copy(before[partner], measured[key]):
                outcome.notes.append(
                    f"{kept[partner]}: has exactly the volume of MRI 1 in {name}; its outline may be a copy"
                )
        scans = {
            partner: scan
            for key, partner in matched.pairs.items()
            if partner in kept
            and partner not in doubtful
            and partner not in left_out
            and (scan := measured[key].scan) is not None
        }
        return SessionScan(later.image, later.day, scans, sequence=later.examination.series.sequence)

    def _fates(
        self,
        name: str,
        first: _Session,
        later: _Session,
        matched: Matched,
        expected: Mapping[str, Place],
        surgery: str,
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Lesions of MRI 1 to leave out of a later session, and those whose fate there is not known, with reasons."""
        left_out = dict(matched.unmeasured)
        doubtful = {key: reason for key, reason in matched.doubtful.items() if key not in left_out}
        lesions = later.outlines.lesions
        there = {partner: lesion for lesion, partner in match_names(list(expected), list(lesions)).items()}
        fates = self._by_lesion(self.clinical.follow_up, expected) if name == FOLLOW_UP else {}
        resected = set(match_names(list(expected), sorted(_resected(later))).values())
        resected |= {
            key
            for key, days in self._by_lesion(self.clinical.surgery, expected).items()
            if key and any(first.examination.date <= day <= later.examination.date for day in days)
        }
        follow_up = self._seen(first, later, matched, expected, surgery)
        for key, place in expected.items():
            stated = fates.get(key)
            outline = lesions.get(there.get(key, key))
            drawn = key in matched.distances
            if stated in (FollowUpState.RESECTED, FollowUpState.NOT_IMAGED):
                left_out[key] = f"{stated}, by the clinical table"
            elif key in resected:
                left_out[key] = "resected: an ROI calls it a cavity, or the clinical table gives its surgery"
            elif drawn and stated is FollowUpState.RESOLVED:
                doubtful[key] = "the clinical table calls it resolved, and it is drawn"
            elif key in left_out or drawn:
                continue
            elif outline is not None and outline.fault:
                doubtful[key] = outline.fault
            elif stated is FollowUpState.PRESENT:
                doubtful[key] = "the clinical table calls it present, and it is not drawn"
            elif key not in doubtful:
                if any(later.places[name].holds(place.centre) for name in matched.pairs):
                    left_out[key] = MERGED
                    continue
                empty = outline is not None and outline.empty
                reason = absence_doubt(first.places[key], place, follow_up, empty, stated is FollowUpState.RESOLVED)
                if reason:
                    doubtful[key] = reason
        return left_out, {key: reason for key, reason in doubtful.items() if key not in left_out}

    def _seen(
        self, first: _Session, later: _Session, matched: Matched, expected: Mapping[str, Place], surgery: str
    ) -> FollowUp:
        """What the rule on absent lesions looks at."""
        before, after = first.outlines.measured, later.outlines.measured
        grown = sum(
            after[name].scan.volume_mm3 > before[partner].scan.volume_mm3  # type: ignore[union-attr]
            for name, partner in matched.pairs.items()
        )
        # A faulty ROI of a lesion's name is that lesion.
        known = {*matched.pairs, *match_names(list(expected), list(later.outlines.lesions))}
        structures = [outline for key, outline in later.outlines.lesions.items() if key not in known]
        unread = [*later.examination.unread, *later.outlines.unread]
        if self.own_unknown_files:
            unread.append(f"{self.own_unknown_files} damaged file(s) among the patient's may have held outlines")
        return FollowUp(
            later.image,
            unread,
            surgery,
            [*structures, *later.outlines.others],
            first.outlines.others,
            len(matched.pairs),
            grown,
        )


def _resected(session: _Session) -> set[str]:
    """Normalised names of lesions that an ROI of a session calls a cavity."""
    return resected_names(outline.name for outline in session.outlines.others)


def _is_copy(first: Outline, later: Outline) -> bool:
    """Whether two outlines have one volume to a millionth: nobody draws a lesion twice alike."""
    assert first.scan is not None
    assert later.scan is not None
    return abs(first.scan.volume_mm3 - later.scan.volume_mm3) <= 1e-6 * first.scan.volume_mm3


def _is_post_operative(series: SeriesEntry) -> bool:
    return surgery_words(series.description) or surgery_words(series.study_description)


def _cavities(entry: StructureSetEntry) -> set[str]:
    """ROI names of a structure set that speak of surgery."""
    return {name for name in entry.roi_names if surgery_words(name)}
