"""The studies of one patient in the order of time, with what was drawn and planned on them, linked by UIDs.

Every system finds its inputs here: which outlines lie on which series, which studies are earlier or later, and which
courses of radiotherapy were over by a day. What several things could be is told as a problem and never guessed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date as Date
from datetime import timedelta
from typing import TypeVar

from treatment_response.dicom.entries import (
    DamagedFile,
    DicomIndex,
    DoseEntry,
    Entry,
    PlanEntry,
    RecordEntry,
    SeriesEntry,
    StructureSetEntry,
)
from treatment_response.dicom.sequence_names import sequence_by_name
from treatment_response.problems import DataProblem, Problem
from treatment_response.text_enum import TextEnum

AnyEntry = TypeVar("AnyEntry", bound=Entry)
CONTRAST_T1, T1, T2, FLAIR = "contrast T1", "T1w", "T2w", "FLAIR"
"""What `Study.of_sequence` takes; ``T1w`` is one without contrast."""
SLOWEST_START_DAYS = 42
"""A course whose end nobody states begins at most so long after its plan."""
MOST_FRACTIONS = 45
"""Of a course whose plan does not state them."""
LONGEST_PAUSE_DAYS = 14
"""A course with fewer fractions recorded than planned was ended early if nothing was given for so long."""
_OF_COURSES = ("RTPLAN", "RTDOSE", "RTRECORD")
_NO_ID = {"", "anonymous", "anonymized", "anonymised", "anon", "unknown", "none", "null", "n/a", "na", "-", "xxx"}


class DeliveredFrom(TextEnum):
    """Who says how many fractions were delivered."""

    RECORDS = "treatment records"
    SUMMARY = "a treatment summary"
    TABLE = "the clinical table"


@dataclass(frozen=True)
class Study:
    """One examination of a patient: the image series of one Study Instance UID.

    Attributes:
        date: of its series.
        series: MR series that can be used, in order of their UID.
        outlines: structure sets and segmentations that were drawn on one of them, or lie in its frame of reference.
    """

    uid: str
    date: Date
    series: tuple[SeriesEntry, ...]
    outlines: tuple[StructureSetEntry, ...] = ()

    @property
    def frames(self) -> frozenset[str]:
        """Frames of reference of its series."""
        return frozenset(series.frame_uid for series in self.series) - {""}

    def of_sequence(self, sequence: str) -> tuple[SeriesEntry, ...]:
        """Its series of one sequence.

        Args:
            sequence: `CONTRAST_T1`, or ``T1w`` (without contrast), ``T2w``, ``FLAIR``, ``PDw``. A T1 whose header does
                not say whether contrast was given is neither; a series that does not say what it is, is none.
        """
        return tuple(series for series in self.series if _sequence(series) == sequence)

    def only(self, sequence: str) -> SeriesEntry:
        """The one series of a sequence.

        Raises:
            DataProblem: there is none, or there are several.
        """
        found = self.of_sequence(sequence)
        if len(found) == 1:
            return found[0]
        where = "study"
        if found:
            what = f"has {len(found)} {sequence} series, expected one: it is not known which is meant"
            raise DataProblem(Problem(where, what, "name the series, or leave the others out"))
        kinds = sorted({_sequence(series) or "not known" for series in self.series})
        raise DataProblem(Problem(where, f"has no {sequence} series (it has: {', '.join(kinds)})", "export it too"))


@dataclass(frozen=True)
class Course:
    """One plan that was irradiated or was to be, with its dose.

    Attributes:
        plan: None if it is not among the files.
        doses: one dose of the whole plan, or the doses of its parts (``BEAM``, ``FRACTION``), all of one plan.
        date: the plan's own, else of the study that the plan or the dose is filed in; None if there is none.
        end: last day of treatment as somebody states it; DICOM plans do not.
        delivered: number of fractions that treatment records say were given; None if there are no records.
        delivered_from: who says so; a treatment summary or a person says it of the whole course, single records only of
            the sessions that were exported.
        last_treated: latest day of treatment in the records.
        dates: all days that plan and doses state; `date` is one of them.
        faults: why it is not known what it delivered; empty if that is known.
    """

    plan: PlanEntry | None
    doses: tuple[DoseEntry, ...]
    date: Date | None
    end: Date | None = None
    delivered: int | None = None
    delivered_from: DeliveredFrom = DeliveredFrom.RECORDS
    last_treated: Date | None = None
    dates: frozenset[Date] = frozenset()
    faults: tuple[Problem, ...] = ()

    @property
    def prescription_gy(self) -> float | None:
        """Of the whole plan; None if it states none, or several."""
        return self.plan.prescription_gy if self.plan else None

    @property
    def fractions(self) -> int | None:
        """As planned; None if the plan does not say, or is missing."""
        return self.plan.fractions if self.plan else None

    @property
    def frames(self) -> frozenset[str]:
        """Frames of reference of its doses."""
        return frozenset(dose.frame_uid for dose in self.doses) - {""}

    @property
    def may_lack_records(self) -> bool:
        """Whether single records hold fewer fractions than planned: ended early, or the last ones not exported."""
        single = self.delivered_from == DeliveredFrom.RECORDS
        return single and bool(self.fractions and self.delivered and self.delivered < self.fractions)

    def finished_before(self, day: Date) -> bool | None:
        """Whether the course was over before a day; None if that cannot be told.

        Treatment records tell it where no end is stated. Without both, a course takes at least one day per fraction
        from the plan's day on, and at most `SLOWEST_START_DAYS` and a week per five fractions. That must hold from
        each day that plan and doses state: a later plan may be filed in an earlier study.
        """
        if self.end is not None:
            return self.end < day
        if self.last_treated is not None:
            return self._finished_by_records(self.last_treated, day)
        if self.date is None:
            return None
        answers = {self._finished_if_planned(planned, day) for planned in {self.date, *self.dates}}
        return answers.pop() if len(answers) == 1 else None

    def _finished_if_planned(self, planned: Date, day: Date) -> bool | None:
        earliest = planned + timedelta(days=(self.fractions or 1) - 1)
        weeks = math.ceil((self.fractions or MOST_FRACTIONS) / 5)
        latest = planned + timedelta(days=SLOWEST_START_DAYS + 7 * weeks)
        return True if latest < day else False if earliest >= day else None

    def _finished_by_records(self, last_treated: Date, day: Date) -> bool | None:
        if last_treated >= day:
            return False
        complete = self.fractions is not None and (self.delivered or 0) >= self.fractions
        return True if complete or day - last_treated > timedelta(LONGEST_PAUSE_DAYS) else None


@dataclass(frozen=True)
class Timeline:
    """One patient.

    Attributes:
        studies: with at least one MR series that can be used, in order of date.
        courses: in order of date, those without one last.
        summed_doses: doses of several plans (``MULTI_PLAN``), which must not be added to those plans' own.
        problems: what could not be used, or is not clear.
        unread: plans, doses and treatment records that cannot be read.
    """

    studies: tuple[Study, ...]
    courses: tuple[Course, ...]
    summed_doses: tuple[DoseEntry, ...]
    problems: tuple[Problem, ...]
    unread: tuple[DamagedFile, ...] = ()

    def study(self, uid: str) -> Study:
        """The study of a Study Instance UID.

        Raises:
            DataProblem: it is not among them.
        """
        for study in self.studies:
            if study.uid == uid:
                return study
        raise DataProblem(Problem("study", "is not among the patient's studies with a usable MR", "load it first"))

    def before(self, study: Study) -> tuple[Study, ...]:
        """Studies of earlier days, the nearest first."""
        return tuple(one for one in reversed(self.studies) if one.date < study.date)

    def after(self, study: Study) -> tuple[Study, ...]:
        """Studies of later days, the nearest first."""
        return tuple(one for one in self.studies if one.date > study.date)

    def last_before(self, study: Study, sequences: Iterable[str]) -> Study:
        """The nearest earlier study that has one series of each sequence.

        Raises:
            DataProblem: no earlier study has all of them, or two studies of that day do.
        """
        wanted = tuple(sequences)
        complete = [one for one in self.before(study) if all(len(one.of_sequence(name)) == 1 for name in wanted)]
        nearest = [one for one in complete if one.date == complete[0].date]
        if len(nearest) == 1:
            return nearest[0]
        names = ", ".join(wanted)
        if nearest:
            what = f"{len(nearest)} earlier studies of one day have {names}"
            raise DataProblem(Problem("study", what, "leave out the one that is not meant"))
        what = f"none of {len(self.before(study))} earlier studies has exactly one series of each of {names}"
        raise DataProblem(Problem("study", what, "export an earlier study with all of them"))

    def courses_before(self, day: Date) -> tuple[tuple[Course, ...], tuple[Problem, ...]]:
        """The courses that were over before a day, and why these may not be all, or their dose is not known.

        A course that certainly came later is no problem, whatever is wrong with it.
        """
        finished = []
        problems = [one.problem for one in self.unread if one.date is None or one.date < day]
        for number, course in enumerate(self.courses, start=1):
            over = course.finished_before(day)
            if over:
                finished.append(course)
            if over is not False:
                problems += course.faults
            if over is None:
                what = f"{number} of {len(self.courses)} may have ended before the study's day or not"
                several = f" (its files state {len(course.dates)} different days)" if len(course.dates) > 1 else ""
                remedy = "export its treatment records, or state its last day of treatment"
                problems.append(Problem("course", what + several, remedy))
        return tuple(finished), tuple(problems)


def timelines(index: DicomIndex, ends: Mapping[str, Date] | None = None) -> dict[str, Timeline]:
    """The time line of every patient of an index.

    Args:
        index: of a scanned folder, or of what a PACS has.
        ends: last day of treatment by the SOP Instance UID of the plan, where it is known.

    Returns:
        By DICOM Patient ID, for linking only. Patients whose id is none (`is_patient_id`) are left out.
    """
    series, doses, plans = by_patient(index.series), by_patient(index.doses), by_patient(index.plans)
    outlines, records = by_patient([*index.structure_sets, *index.segmentations]), by_patient(index.records)
    ids = {*series, *doses, *plans, *outlines}
    lines = {
        patient: _timeline(
            series[patient], outlines[patient], doses[patient], plans[patient], records[patient], ends or {}
        )
        for patient in sorted(ids)
        if is_patient_id(patient)
    }
    unread = [one for one in index.damaged if one.kind in _OF_COURSES]
    return {
        patient: replace(line, unread=tuple(one for one in unread if one.patient_id == patient))
        for patient, line in lines.items()
    }


def sequence_of(t1: bool | None, contrast: bool | None, description: str) -> str:
    """What an MR series is, as `Study.of_sequence` asks for it; empty if its header does not say.

    Args:
        t1, contrast: whether it is T1-weighted and was made with contrast; None if the header does not say.
        description: Series Description.
    """
    if t1:
        return {True: CONTRAST_T1, False: T1, None: ""}[contrast]
    return "" if t1 is None else sequence_by_name(description)


def drawn_on(series: Sequence[SeriesEntry], entry: StructureSetEntry) -> SeriesEntry | None:
    """The series that the contours refer to; failing that the first MR that is listed, or that holds a listed image."""
    by_image = {uid: one for one in series for _, uid in one.files}
    by_uid = {one.series_uid: one for one in series}
    counts = Counter(by_image[uid].series_uid for uid in entry.contour_sop_uids if uid in by_image)
    if counts:
        most = max(counts.values())
        return min((by_uid[uid] for uid in counts if counts[uid] == most), key=lambda s: s.series_uid)
    listed = [by_uid[uid] for uid in entry.referenced_series_uids if uid in by_uid]
    listed = listed or [one for one in series if any(uid in entry.referenced_sop_uids for _, uid in one.files)]
    if not (entry.referenced_series_uids or entry.referenced_sop_uids or entry.contour_sop_uids):
        # It names no image at all, so its frame of reference alone can tell.
        frames = entry.frame_uids or {entry.frame_uid}
        inside = [one for one in series if one.frame_uid and one.frame_uid in frames and one.modality == "MR"]
        listed = inside if len(inside) == 1 else []
    return next((one for one in listed if one.modality == "MR"), listed[0] if listed else None)


def in_one_place(one: SeriesEntry, other: SeriesEntry) -> bool:
    """Whether outlines on one series lie at the same millimetres of the other."""
    return one.series_uid == other.series_uid or (bool(one.frame_uid) and one.frame_uid == other.frame_uid)


def by_patient(entries: Sequence[AnyEntry]) -> defaultdict[str, list[AnyEntry]]:
    """Entries by DICOM Patient ID."""
    grouped: defaultdict[str, list[AnyEntry]] = defaultdict(list)
    for entry in entries:
        grouped[entry.patient_id].append(entry)
    return grouped


def is_patient_id(text: str) -> bool:
    """Whether a Patient ID can tell persons apart: it is there, and is none of the words that stand for no id."""
    return text.strip().casefold() not in _NO_ID


def _timeline(
    series: Sequence[SeriesEntry],
    outlines: Sequence[StructureSetEntry],
    doses: Sequence[DoseEntry],
    plans: Sequence[PlanEntry],
    records: Sequence[RecordEntry],
    ends: Mapping[str, Date],
) -> Timeline:
    problems: list[Problem] = []
    if len({entry.person for entry in (*series, *outlines, *doses, *plans, *records)} - {""}) > 1:
        what = "one patient id is used for several persons (name, birth date or sex differ)"
        return Timeline((), (), (), (Problem("patient", what, "correct ids or names in the files"),))
    studies = _studies(series, outlines, problems)
    summed = tuple(dose for dose in doses if dose.summation == "MULTI_PLAN")
    courses = _courses([dose for dose in doses if dose not in summed], plans, records, ends, problems)
    return Timeline(studies, courses, summed, tuple(problems))


def _studies(
    series: Sequence[SeriesEntry], outlines: Sequence[StructureSetEntry], problems: list[Problem]
) -> tuple[Study, ...]:
    groups: dict[str, list[SeriesEntry]] = defaultdict(list)
    for one in sorted(series, key=lambda s: s.series_uid):
        if one.modality != "MR":
            continue
        if one.fault:
            problems.append(Problem("MR series", one.fault, "export the complete series again"))
        elif one.date is None:
            problems.append(Problem("MR series", "has no date, so its place in time is not known", "restore the date"))
        else:
            groups[one.study_uid].append(one)
    of_series: dict[str, list[StructureSetEntry]] = defaultdict(list)
    for entry in outlines:
        place = drawn_on(series, entry)
        if place is None:
            what = "the series that it was drawn on is not among the files"
            problems.append(Problem("outlines", what, "export the MR series too"))
        else:
            of_series[place.series_uid].append(entry)
    studies = []
    for uid, group in groups.items():
        days = {one.date for one in group if one.date is not None}
        if len(days) > 1:
            what = f"one study holds series of {len(days)} days; the first counts"
            problems.append(Problem("study", what, "check the study dates"))
        drawn = [entry for one in group for entry in of_series[one.series_uid]]
        studies.append(Study(uid, min(days), tuple(group), tuple(drawn)))
    return tuple(sorted(studies, key=lambda study: (study.date, study.uid)))


def _courses(
    doses: Sequence[DoseEntry],
    plans: Sequence[PlanEntry],
    records: Sequence[RecordEntry],
    ends: Mapping[str, Date],
    problems: list[Problem],
) -> tuple[Course, ...]:
    by_uid = {plan.sop_uid: plan for plan in plans}
    groups: dict[str, list[DoseEntry]] = {uid: [] for uid in by_uid}
    for dose in sorted(doses, key=lambda d: d.sop_uid):
        groups.setdefault(dose.plan_uid or dose.sop_uid, []).append(dose)
    for record in records:
        if record.plan_uid:
            groups.setdefault(record.plan_uid, [])
    courses = [
        _course(by_uid.get(uid), group, [record for record in records if record.plan_uid == uid], ends.get(uid))
        for uid, group in groups.items()
    ]
    problems += [fault for course in courses for fault in course.faults]
    return tuple(sorted(courses, key=lambda course: (course.date is None, course.date or Date.min)))


def _course(
    plan: PlanEntry | None, doses: Sequence[DoseEntry], records: Sequence[RecordEntry], end: Date | None
) -> Course:
    """A plan with its doses and records, or doses or records whose plan is not known."""
    whole = tuple(dose for dose in doses if dose.summation in ("PLAN", "PLAN_OVERVIEW", ""))
    faults = []
    if plan is None and doses:
        named = any(dose.plan_uid for dose in doses)
        what = "its plan is not among the files" if named else "refers to no plan, or to several"
        faults.append(
            Problem("dose", f"{what}, so it may be a sum of plans", "export its plan, or leave out the sum of plans")
        )
    if plan is None and not doses:
        what = "tell of a plan that is not among the files, nor is its dose"
        faults.append(Problem("treatment records", what, "export its plan and dose"))
    if plan is not None and not doses:
        faults.append(Problem("plan", "has no dose among the files", "export its dose, or leave it out"))
    if len(whole) > 1:
        what = f"{len(whole)} doses belong to one plan, so it is not known which one was given"
        faults.append(Problem("dose", what, "export the dose of the delivered plan only"))
    stated = [plan.planned_on, plan.date] if plan else []
    dates = [day for day in (*stated, *(dose.date for dose in doses)) if day is not None]
    faults += _record_faults(records, plan.fractions if plan else None, dates)
    delivered, last_treated = _delivered(records)
    return Course(
        plan,
        whole or tuple(doses),
        dates[0] if dates else None,
        end,
        delivered,
        DeliveredFrom.SUMMARY if _summaries(records) else DeliveredFrom.RECORDS,
        last_treated,
        frozenset(dates),
        tuple(faults),
    )


def _delivered(records: Sequence[RecordEntry]) -> tuple[int | None, Date | None]:
    """Number of fractions that the records of one plan say were given, and the last day."""
    numbers = _fraction_numbers(records)
    days = [record.last_day for record in records if record.last_day is not None]
    return max([len(numbers), *_summaries(records)]) or None, max(days, default=None)


def _record_faults(records: Sequence[RecordEntry], planned: int | None, dates: Sequence[Date]) -> list[Problem]:
    """Why the records of one plan do not tell how much of it was delivered."""
    numbers, (delivered, _) = _fraction_numbers(records), _delivered(records)
    days = [record.last_day for record in records if record.last_day is not None]
    highest, where, faults = max(numbers, default=0), "treatment records", []
    if highest > max([len(numbers), *_summaries(records)], default=0):
        what = f"are not complete: they hold {len(numbers)} of the fractions up to number {highest}"
        faults.append(Problem(where, what, "export all of them, or the treatment summary"))
    if planned is not None and max(delivered or 0, highest) > planned:
        what = f"tell of {max(delivered or 0, highest)} fractions of a plan of {planned}"
        faults.append(Problem(where, what, "export the records and the plan that belong together"))
    if days and dates and min(days) < min(dates):
        what = "begin before the day of their plan"
        faults.append(Problem(where, what, "export the records and the plan that belong together"))
    return faults


def _fraction_numbers(records: Sequence[RecordEntry]) -> frozenset[int]:
    return frozenset[int]().union(*(record.fractions for record in records))


def _summaries(records: Sequence[RecordEntry]) -> list[int]:
    return [record.delivered for record in records if record.delivered is not None]


def _sequence(series: SeriesEntry) -> str:
    """What a series is, as `Study.of_sequence` asks for it; empty if its header does not say."""
    return sequence_of(series.t1, series.contrast, series.description)
