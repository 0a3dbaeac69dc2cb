"""Which of a patient's examinations are MRI 1, MRI 2 and follow-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as Date

from treatment_response.cohort.lesion import BASELINE, FOLLOW_UP, SECOND
from treatment_response.dicom.entries import SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.names import is_background, match_names, normalise, select_targets
from treatment_response.dicom.outline_versions import REJECTED, precedence
from treatment_response.dicom.studies_over_time import drawn_on, in_one_place
from treatment_response.problems import Problem

SAME_COURSE_DAYS = 14
"""A planning scan of the days before MRI 1 does not make MRI 1 a later session."""


@dataclass(frozen=True)
class Drawn:
    """Outlines and the MR series that they were drawn on.

    Attributes:
        targets: normalised names of the lesions, drawn or empty.
        date: of the series.
    """

    outlines: StructureSetEntry
    series: SeriesEntry
    date: Date
    targets: frozenset[str]

    @property
    def background_only(self) -> bool:
        """Whether it holds ROIs, and all of them are organs or outlines of the body."""
        return _background_only(self.outlines)


@dataclass(frozen=True)
class Unusable:
    """Outlines that cannot be used.

    Attributes:
        problem: why. date: of their session, if known.
        has_targets: they hold lesions by their names, or may.
        may_hide: a lesion that is missing elsewhere may be drawn in them. Rejected ones hide nothing, nor do organs.
    """

    problem: Problem
    date: Date | None
    has_targets: bool
    may_hide: bool = True


@dataclass(frozen=True)
class Examination:
    """One day of a patient: an MR series and all outlines that lie on it.

    Attributes:
        outlines: approved ones first, then the newest.
        targets: normalised names of the lesions in all of them.
        unread: why other outlines of that day are not used; a lesion missing here may be drawn there.
    """

    series: SeriesEntry
    outlines: tuple[StructureSetEntry, ...]
    date: Date
    targets: frozenset[str]
    unread: tuple[str, ...] = ()


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


def link_outlines(
    where: str, series: Sequence[SeriesEntry], outlines: Sequence[StructureSetEntry], roi: str | None
) -> tuple[list[Drawn], list[Unusable]]:
    """Find for each structure set or segmentation the MR series that it was drawn on, by UID.

    Args:
        where: the patient, for messages.
        roi: see :func:`treatment_response.dicom.ingest.names.select_targets`.

    Returns:
        What was drawn, in order of date, and the outlines that cannot be used.
    """
    drawn: list[Drawn] = []
    unusable: list[Unusable] = []
    for number, entry in enumerate(outlines, start=1):
        place = f"{where} {'structure set' if entry.kind == 'RTSTRUCT' else 'segmentation'} {number} of {len(outlines)}"
        image_series = drawn_on(series, entry)
        targets = frozenset(normalise(name) for name in select_targets(entry.roi_names, roi)[0])
        fault = _fault(entry, image_series)
        if fault:
            date = image_series.date if image_series and image_series.date else entry.date
            may_hide = entry.approval != REJECTED and not _background_only(entry)
            unusable.append(Unusable(Problem(place, *fault), date, bool(targets) or not entry.roi_names, may_hide))
        elif image_series and image_series.date:
            drawn.append(Drawn(entry, image_series, image_series.date, targets))
    return sorted(drawn, key=lambda d: (d.date, d.series.series_uid, d.outlines.sop_uid)), unusable


def examinations_by_day(drawn: Sequence[Drawn], unusable: Sequence[Unusable], contrast: bool) -> list[Examination]:
    """One examination per day with a usable series, in order.

    Of several series of a day the one to use is T1, with contrast if that is wanted, and holds most targets. All
    outlines of the day in its frame of reference lie on it; those in another one do not.
    """
    days: dict[Date, list[Drawn]] = {}
    for one in drawn:
        days.setdefault(one.date, []).append(one)
    examinations = []
    for day, same in sorted(days.items()):
        named = Counter(uid for one in same for uid in [one.series.series_uid] * len(one.targets))
        series = max(
            (one.series for one in same),
            key=lambda s: (s.t1 is not False, _contrast_rank(s) if contrast else 0, named[s.series_uid]),
        )
        here = [one for one in same if in_one_place(one.series, series)]
        unread = [one.problem.what for one in unusable if one.date in (day, None) and one.may_hide]
        if len(here) < len(same):
            unread.append("outlines of that day lie in another frame of reference")
        examinations.append(
            Examination(
                series,
                tuple(sorted((one.outlines for one in here), key=precedence)),
                day,
                frozenset[str]().union(*(one.targets for one in here)),
                tuple(unread),
            )
        )
    return examinations


def choose_sessions(
    drawn: Sequence[Drawn],
    unusable: Sequence[Unusable],
    series: Sequence[SeriesEntry],
    follow_up_days: tuple[int, int],
    second_day: int,
    treatment: Date | None = None,
    unknown_files: int = 0,
    planned: Sequence[Date] = (),
    has_stated_fates: bool = False,
) -> Chosen:
    """MRI 1 is the first contrast T1 with a target; the follow-up lies in its window; MRI 2 lies between.

    Args:
        drawn, unusable: of one patient, see :func:`link_outlines`.
        series: all series of the patient, to tell an examination without outlines from none.
        follow_up_days: first and last day of the follow-up window. Of the sessions in it one that draws lesions of
            MRI 1 by name is taken before one that draws others, and that before one without targets; then the one
            nearest to day 90.
        second_day: MRI 2 is the session with targets that is nearest to this day.
        treatment: first day of treatment, if known; an MR after it is no MRI 1.
        unknown_files: damaged files of the patient, or of nobody known, that may have been outlines of any day.
        planned: days of plans and doses: they tell of treatment where its first day is not known.
        has_stated_fates: the clinical table says what became of lesions, so that an MR without outlines can be the
            follow-up.
    """
    notes: list[str] = []
    with_contrast = examinations_by_day(drawn, unusable, contrast=True)
    fit = [examination for examination in with_contrast if _fit_for_baseline(examination)]
    baseline = next((e for e in fit if treatment is None or e.date <= treatment), None)
    if baseline is None:
        return Chosen({}, _missing_baseline(fit, drawn), ())
    if treatment is None:
        reason = _earlier_doubt(baseline, drawn, unusable, series, unknown_files, planned)
        if reason:
            return Chosen({}, f"no MRI 1: {reason}, and later ones may follow treatment", ())
    if baseline.series.contrast is None:
        notes.append("MRI 1 does not say whether contrast was given; taken as contrast T1")
    if baseline.series.t1 is None:
        notes.append("MRI 1 does not say whether it is T1-weighted; taken as contrast T1")
    notes += [f"{BASELINE}: outlines that are not used: {what}" for what in baseline.unread]
    sessions = {BASELINE: baseline}
    low, high = follow_up_days
    later = [e for e in examinations_by_day(drawn, unusable, contrast=False) if e.date > baseline.date]
    in_window = [e for e in later if low <= (e.date - baseline.date).days <= high]
    if not in_window and has_stated_fates:
        in_window = _undrawn(baseline, series, unusable, follow_up_days)
    if not in_window:
        return Chosen(sessions, _missing_follow_up(baseline, series, follow_up_days), tuple(notes))
    follow_up = _follow_up(baseline, in_window, min(max(90, low), high), notes)
    sessions[FOLLOW_UP] = follow_up
    between = [e for e in with_contrast if baseline.date < e.date < follow_up.date and _fit_for_baseline(e)]
    if between:
        sessions[SECOND] = min(between, key=lambda e: (abs((e.date - baseline.date).days - second_day), e.date))
    used = {examination.date for examination in sessions.values()}
    unused = {examination.date for examination in with_contrast} - used
    notes += [f"a session on day {(day - baseline.date).days} is not used" for day in sorted(unused)]
    return Chosen(sessions, "", tuple(notes))


def _fault(entry: StructureSetEntry, image_series: SeriesEntry | None) -> tuple[str, str] | None:
    """What is wrong and what to do, if outlines cannot be used with what they were drawn on."""
    if entry.approval == REJECTED:
        return "was rejected, and is not used", "approve the right version if this is it"
    transfer = "transfer the contours to the MR in the planning system"
    if image_series is None:
        return "the series that it was drawn on is not among the files", "export the MR series too"
    if image_series.modality != "MR":
        return f"was drawn on {image_series.modality}, not on MR", transfer
    frames = entry.frame_uids or {entry.frame_uid} - {""}
    if frames and image_series.frame_uid and image_series.frame_uid not in frames:
        return "is on another frame of reference than its series", transfer
    if image_series.date is None:
        return "its series has no date", "restore the study date"
    if not entry.roi_names:
        return "names no ROI at all", "export it again, or remove it"
    return None


def _contrast_rank(series: SeriesEntry) -> int:
    """With contrast before those that do not say."""
    return {True: 2, None: 1, False: 0}[series.contrast]


def _background_only(entry: StructureSetEntry) -> bool:
    return bool(entry.roi_names) and all(is_background(name) for name in entry.roi_names)


def _fit_for_baseline(examination: Examination) -> bool:
    series = examination.series
    return bool(examination.targets) and series.contrast is not False and series.t1 is not False


def _missing_baseline(fit: Sequence[Examination], drawn: Sequence[Drawn]) -> str:
    if fit:
        return "no MRI 1: every MR with a target is later than the first day of treatment"
    if any(one.targets for one in drawn):
        return "no MRI 1: no contrast T1 series with a target (all say: no contrast, or not T1)"
    return "no MRI 1: no MR series with a structure set that holds a target (--roi)"


def _earlier_doubt(
    baseline: Examination,
    drawn: Sequence[Drawn],
    unusable: Sequence[Unusable],
    series: Sequence[SeriesEntry],
    unknown_files: int,
    planned: Sequence[Date],
) -> str:
    """Why an earlier session may be the true MRI 1; empty if nothing says so."""

    def earlier(day: Date | None) -> bool:
        return day is not None and (baseline.date - day).days >= SAME_COURSE_DAYS

    if any(map(earlier, planned)):
        return "a plan or dose is older than the first outlines on an MR"
    if any(one.has_targets and earlier(one.date) for one in unusable):
        return "an earlier structure set with targets cannot be used"
    # A set of a CT, of a sequence without contrast or with other names may be the plan of an earlier treatment.
    if any(earlier(one.date) and not one.background_only for one in drawn):
        return "an earlier structure set names no target (--roi), or lies on no contrast T1"
    images = [one.date for one in series if one.modality == "MR" and earlier(one.date)]
    lost = unknown_files + sum(one.has_targets and one.date is None for one in unusable)
    if images and lost:
        return f"an earlier MR has no outlines, and {lost} damaged file(s) may have held them"
    return ""


def _follow_up(baseline: Examination, in_window: Sequence[Examination], wanted: int, notes: list[str]) -> Examination:
    """The session of the window that says most about the lesions of MRI 1; the nearest to the wanted day of those."""

    def rank(examination: Examination) -> int:
        if match_names(sorted(baseline.targets), sorted(examination.targets)):
            return 0
        return 1 if examination.targets else 2

    def distance(examination: Examination) -> tuple[int, Date]:
        return abs((examination.date - baseline.date).days - wanted), examination.date

    chosen = min(in_window, key=lambda e: (rank(e), *distance(e)))
    nearest = min(in_window, key=distance)
    if nearest.date != chosen.date:
        day = (nearest.date - baseline.date).days
        notes.append(f"the session on day {day} is nearer to day {wanted} and draws no lesion of MRI 1")
    return chosen


def _undrawn(
    baseline: Examination, series: Sequence[SeriesEntry], unusable: Sequence[Unusable], days: tuple[int, int]
) -> list[Examination]:
    """MR of the follow-up window without any outline."""
    low, high = days
    found = []
    for one in series:
        if one.date is None or one.modality != "MR" or not low <= (one.date - baseline.date).days <= high:
            continue
        if one.t1 is not False and not one.fault and not any(lost.date == one.date for lost in unusable):
            found.append(Examination(one, (), one.date, frozenset()))
    return sorted(found, key=lambda e: (e.date, -len(e.series.files), e.series.series_uid))


def _missing_follow_up(baseline: Examination, series: Sequence[SeriesEntry], follow_up_days: tuple[int, int]) -> str:
    low, high = follow_up_days
    reason = f"no follow-up session within {low} to {high} days of MRI 1"
    days = {(e.date - baseline.date).days for e in series if e.date is not None and e.modality == "MR"}
    undrawn = sorted(day for day in days if low <= day <= high)
    if undrawn:
        return f"{reason}: the MR of day {undrawn[0]} has no structure set that can be used"
    after = sorted(day for day in days if day > 0)
    return f"{reason} (later MR on day {', '.join(map(str, after))}; see --follow-up-days)" if after else reason
