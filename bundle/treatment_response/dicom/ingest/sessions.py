"""Which of a patient's examinations are MRI 1, MRI 2 and follow-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as Date

from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND
from treatment_response.dicom.entries import SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.names import select_targets
from treatment_response.problems import Problem

_SAME_COURSE_DAYS = 14  # a planning CT of the days before MRI 1 does not make MRI 1 a later session


@dataclass(frozen=True)
class Examination:
    """One MR series with the structure set that was drawn on it."""

    series: SeriesEntry
    structures: StructureSetEntry
    date: Date
    targets: int


@dataclass(frozen=True)
class Unusable:
    """A structure set that cannot be used, its date and its number of targets."""

    problem: Problem
    date: Date | None
    targets: int


@dataclass(frozen=True)
class Chosen:
    """The sessions of one patient.

    Attributes:
        sessions: examination by session name.
        reason: why the patient cannot be used, if so.
        notes: what was seen and not used.
    """

    sessions: dict[str, Examination]
    reason: str
    notes: tuple[str, ...]


def link_structures(
    where: str, series: Sequence[SeriesEntry], structure_sets: Sequence[StructureSetEntry], roi: str | None
) -> tuple[list[Examination], list[Unusable]]:
    """Find for each structure set the MR series that it was drawn on, by UID.

    Args:
        where: the patient, for messages.
        roi: see :func:`treatment_response.dicom.ingest.names.select_targets`.

    Returns:
        Examinations in order of date, and the structure sets that have none.
    """
    examinations: list[Examination] = []
    unusable: list[Unusable] = []
    for number, structures in enumerate(structure_sets, start=1):
        place = f"{where} structure set {number} of {len(structure_sets)}"
        drawn_on = _drawn_on(series, structures)
        targets = len(select_targets(structures.roi_names, roi)[0])
        fault = _fault(structures, drawn_on)
        if fault:
            date = drawn_on.date if drawn_on and drawn_on.date else structures.date
            unusable.append(Unusable(Problem(place, *fault), date, targets))
        elif drawn_on and drawn_on.date:
            examinations.append(Examination(drawn_on, structures, drawn_on.date, targets))
    return sorted(examinations, key=lambda e: (e.date, e.series.series_uid, e.structures.sop_uid)), unusable


def _fault(structures: StructureSetEntry, drawn_on: SeriesEntry | None) -> tuple[str, str] | None:
    """What is wrong and what to do, if a structure set cannot be used with what it was drawn on."""
    transfer = "transfer the contours to the MR in the planning system"
    if drawn_on is None:
        return "the series that it was drawn on is not among the files", "export the MR series too"
    if drawn_on.modality != "MR":
        return f"was drawn on {drawn_on.modality}, not on MR", transfer
    if structures.frame_uid and drawn_on.frame_uid and structures.frame_uid != drawn_on.frame_uid:
        return "is on another frame of reference than its series", transfer
    if drawn_on.date is None:
        return "its series has no date", "restore the study date"
    return None


def choose_sessions(
    examinations: Sequence[Examination],
    series: Sequence[SeriesEntry],
    follow_up_days: tuple[int, int],
    second_day: int,
    treatment: Date | None = None,
    missed: Sequence[Date] = (),
) -> Chosen:
    """MRI 1 is the first contrast T1 with a target; the follow-up lies in its window; MRI 2 lies between.

    Args:
        examinations: of one patient, in order of date.
        series: all series of the patient, to tell an examination without structure set from none.
        follow_up_days: first and last day of the follow-up window; the session nearest to day 90 in it is taken.
        second_day: MRI 2 is the session with targets that is nearest to this day.
        treatment: first day of treatment, if known; an MR after it is no MRI 1.
        missed: days of structure sets with targets that cannot be used. If one is two weeks or more before the first
            usable session, that session may well follow treatment, and nobody is taken on such a guess.
    """
    notes: list[str] = []
    fit = [e for e in _one_per_day(examinations, contrast=True, notes=notes) if _fit_for_baseline(e)]
    baseline = next((e for e in fit if treatment is None or e.date <= treatment), None)
    if baseline is None:
        if fit:
            return Chosen({}, "no MRI 1: every MR with a target is later than the first day of treatment", tuple(notes))
        if any(e.targets for e in examinations):
            return Chosen(
                {}, "no MRI 1: no contrast T1 series with a target (all say: no contrast, or not T1)", tuple(notes)
            )
        return Chosen({}, "no MRI 1: no MR series with a structure set that holds a target (--roi)", tuple(notes))
    if any((baseline.date - day).days >= _SAME_COURSE_DAYS for day in missed):
        reason = "no MRI 1: an earlier structure set with targets cannot be used, and later ones may follow treatment"
        return Chosen({}, reason, tuple(notes))
    if baseline.series.contrast is None:
        notes.append("MRI 1 does not say whether contrast was given; taken as contrast T1")
    sessions = {BASELINE: baseline}
    later = [e for e in _one_per_day(examinations, contrast=False, notes=[]) if e.date > baseline.date]
    low, high = follow_up_days
    in_window = [e for e in later if low <= (e.date - baseline.date).days <= high]
    if not in_window:
        return Chosen(sessions, _missing_follow_up(baseline, series, follow_up_days), tuple(notes))
    wanted = min(max(90, low), high)
    follow_up = min(in_window, key=lambda e: (abs((e.date - baseline.date).days - wanted), e.date))
    sessions[FOLLOW_UP] = follow_up
    between = [
        e
        for e in _one_per_day(examinations, contrast=True, notes=[])
        if baseline.date < e.date < follow_up.date and _fit_for_baseline(e)
    ]
    if between:
        sessions[SECOND] = min(between, key=lambda e: (abs((e.date - baseline.date).days - second_day), e.date))
    unused = {e.date for e in examinations} - {e.date for e in sessions.values()}
    notes += [f"a session on day {(day - baseline.date).days} is not used" for day in sorted(unused)]
    return Chosen(sessions, "", tuple(notes))


def first_per_day(examinations: Sequence[Examination]) -> list[Examination]:
    """The examination to use of each day: contrast T1 before others, then the one with most targets."""
    return _one_per_day(examinations, contrast=True, notes=[])


def _drawn_on(series: Sequence[SeriesEntry], structures: StructureSetEntry) -> SeriesEntry | None:
    """The series that a structure set names, or the one that holds an image that it names."""
    by_uid = {entry.series_uid: entry for entry in series}
    named = [by_uid[uid] for uid in structures.referenced_series_uids if uid in by_uid]
    if not named:
        named = [e for e in series if any(uid in structures.referenced_sop_uids for _, uid in e.files)]
    return next((entry for entry in named if entry.modality == "MR"), named[0] if named else None)


def _fit_for_baseline(examination: Examination) -> bool:
    return examination.targets > 0 and examination.series.contrast is not False and examination.series.t1 is not False


def _one_per_day(examinations: Sequence[Examination], contrast: bool, notes: list[str]) -> list[Examination]:
    """Of several structure sets of one day the one to use: T1, with contrast if that is wanted, most targets."""
    by_day: dict[Date, list[Examination]] = {}
    for examination in examinations:
        by_day.setdefault(examination.date, []).append(examination)
    chosen = []
    for _, same in sorted(by_day.items()):
        best = max(
            same, key=lambda e: (e.series.t1 is not False, not contrast or e.series.contrast is not False, e.targets)
        )
        chosen.append(best)
        if len(same) > 1:
            notes.append(
                f"{len(same)} structure sets on one day; the one with the most targets on the T1 series is used"
            )
    return chosen


def _missing_follow_up(baseline: Examination, series: Sequence[SeriesEntry], follow_up_days: tuple[int, int]) -> str:
    low, high = follow_up_days
    reason = f"no follow-up session within {low} to {high} days of MRI 1"
    days = {(e.date - baseline.date).days for e in series if e.date is not None and e.modality == "MR"}
    undrawn = sorted(day for day in days if low <= day <= high)
    if undrawn:
        return f"{reason}: the MR of day {undrawn[0]} has no structure set that can be used"
    after = sorted(day for day in days if day > 0)
    return f"{reason} (later MR on day {', '.join(map(str, after))}; see --follow-up-days)" if after else reason
