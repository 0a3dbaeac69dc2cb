"""Events after radiotherapy in a folder of DICOM: post-operative MR, event MR, doses and outlines of each patient."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date as Date
from datetime import timedelta
from math import ceil
from pathlib import Path

from pydicom.dataset import Dataset

from treatment_response.cohort.pipeline import subject_ids
from treatment_response.dicom.course_dose import read_course_doses
from treatment_response.dicom.entries import DicomIndex, SeriesEntry, StructureSetEntry
from treatment_response.dicom.event_outlines import drawn_cavity, drawn_lesion
from treatment_response.dicom.read_object import ObjectUnusable, read_object
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.series import read_series
from treatment_response.dicom.source import MrSource, source_of
from treatment_response.dicom.studies_over_time import (
    CONTRAST_T1,
    Course,
    DeliveredFrom,
    Study,
    Timeline,
    by_patient,
    is_patient_id,
    timelines,
)
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import CourseDose
from treatment_response.longitudinal.label_table import EventRow, read_events
from treatment_response.longitudinal.pipeline import EventCohort
from treatment_response.longitudinal.studies import EventLabel, EventStudies, PlacedDose
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class DicomEvent:
    """One patient's event, found but not read.

    Attributes:
        frames: images of any modality that a dose can be placed with, an MR first.
        courses: that were over before the event. later: number of those that were not.
        roi: names of lesions' ROIs, an expression; None: names that clinics give to lesions.
    """

    subject: str
    row: EventRow
    event: SeriesEntry
    post_operative: SeriesEntry
    days_between: int
    outlines: tuple[StructureSetEntry, ...]
    earlier_outlines: tuple[StructureSetEntry, ...]
    courses: tuple[Course, ...]
    later: int
    frames: tuple[SeriesEntry, ...]
    roi: str | None
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> EventLabel:
        """From the table."""
        return self.row.label

    @property
    def files(self) -> Sequence[Path]:
        """Images, doses and outlines."""
        series = (self.event, self.post_operative, *self.frames)
        doses = [dose.path for course in self.courses for dose in course.doses]
        plans = [course.plan.path for course in self.courses if course.plan is not None]
        outlines = [entry.path for entry in (*self.outlines, *self.earlier_outlines)]
        return [*(path for one in series for path, _ in one.files), *doses, *plans, *outlines]

    @property
    def facts(self) -> str:
        """Dates, and what treatment records say."""
        given = [
            (course.delivered, str(course.delivered_from), course.last_treated, course.end) for course in self.courses
        ]
        return repr((self.row.event, self.row.label_date, self.days_between, self.later, given))

    def load(self) -> EventStudies:
        """Read images, doses and outlines."""
        event, earlier = source_of(self.event), source_of(self.post_operative)
        doses = read_course_doses(self.courses)
        placed = [PlacedDose(dose, self._anchor(dose, event, earlier)) for dose in doses]
        lesion, notes = self._lesion(event)
        label_date, event_date = self.row.label_date, self.event.date
        assert event_date is not None  # a study has one
        first = event_date - timedelta(days=self.days_between)
        notes = [*self.notes, *notes]
        since, how = days_since_radiotherapy(self.courses, event_date)
        if how:
            notes.append(how)
        return EventStudies(
            event.volume,
            earlier.volume,
            placed,
            self.days_between,
            lesion=lesion,
            cavity=self._cavity(earlier),
            days_since_radiotherapy=since,
            label_days=None if label_date is None else (label_date - first).days,
            later_courses=self.later,
            synthetic=event.is_synthetic and earlier.is_synthetic,
            notes=tuple(notes),
        )

    def _anchor(self, dose: CourseDose, event: MrSource, earlier: MrSource) -> Volume | None:
        """An image in the dose's frame of reference; None if that is the event's."""
        if dose.frame_uid and dose.frame_uid == event.frame_uid:
            return None
        if dose.frame_uid and dose.frame_uid == earlier.frame_uid:
            return earlier.volume
        inside = [one for one in self.frames if dose.frame_uid and one.frame_uid == dose.frame_uid]
        if not inside:
            what = "lies in another frame of reference, and no image that it could be registered with lies in that"
            raise DataProblem(Problem("dose", what, "export the MR or CT that the plan was made on"))
        return read_series(inside[0])

    def _lesion(self, event: MrSource) -> tuple[Volume | None, list[str]]:
        names = [name for one in self.outlines for name in one.roi_names]
        return drawn_lesion(event, _objects(self.outlines), self.roi, names)

    def _cavity(self, earlier: MrSource) -> Volume | None:
        return drawn_cavity(earlier, _objects(self.earlier_outlines))


def find_events(
    root: Path,
    clinical: Path,
    roi: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> EventCohort:
    """Find the events that a table names in a folder of DICOM. Only headers are read; the folder is never written to.

    The event is the contrast T1 of the day in the table. The post-operative MR is that of the table's day; else the
    last contrast T1 up to the first course's plan, and not before the operation where its day is told.

    Args:
        root: any folder, with any names of folders and files.
        clinical: see `longitudinal.label_table`.
        roi: expression for names of the lesion's ROI on the event.
        progress: called with files done and files in all.
        workers: processes that read headers.

    Raises:
        DataProblem: the folder is missing or holds no MR, the table cannot be read, or ``roi`` is no expression.
    """
    if not root.is_dir():
        raise DataProblem(Problem("DICOM_DIR", "is no folder", "name the folder that holds the DICOM files"))
    _check_expression(roi)
    rows, faults, told = read_events(clinical)
    index = scan_folder(root, progress, workers)
    if not any(entry.modality == "MR" for entry in index.series):
        what = "holds no MR series that can be read"
        raise DataProblem(Problem("DICOM_DIR", what, "name a folder with MR, RTDOSE and RTPLAN"), *index.problems[:20])
    lines = timelines(index)
    ids = subject_ids(list(lines))
    series = by_patient(index.series)
    problems = [str(one) for one in told] + _file_problems(index)
    sources, left_out = [], []
    for patient, line in lines.items():
        subject = ids[patient]
        try:
            if patient in faults:
                raise DataProblem(faults[patient])
            if patient not in rows:
                raise DataProblem(
                    Problem("clinical table", "has no row for this patient", "add it, if it has an event")
                )
            sources.append(_event(subject, line, rows[patient], series[patient], roi))
        except DataProblem as error:
            left_out.append((subject, " ".join(map(str, error.problems))))
    if absent := len({*rows, *faults} - set(lines)):
        what = f"names {absent} patient(s) that are not among the files"
        problems.append(str(Problem("clinical table", what, "check its patient_id column")))
    key = {subject: original for original, subject in ids.items()}
    same_person, placeholder = _same_person(series, ids)
    problems += placeholder
    return EventCohort(sources, left_out, "DICOM", problems, key, same_person)


def _event(subject: str, line: Timeline, row: EventRow, series: Sequence[SeriesEntry], roi: str | None) -> DicomEvent:
    if not line.studies:
        raise DataProblem(*line.problems or [Problem("patient", "has no MR that can be used", "export it")])
    event_study = _of_day(line, row.event, "event")
    event = _contrast_t1(event_study, "event")
    if row.operation is not None and row.operation >= row.event:
        raise DataProblem(Problem("event", "lies before the operation", "correct the dates of the clinical table"))
    courses, unclear = line.courses_before(row.event)
    if unclear:
        raise DataProblem(*unclear)
    if not courses:
        later = f" ({len(line.courses)} came later)" if line.courses else ""
        what = f"no course of radiotherapy was over before the event{later}"
        raise DataProblem(*line.problems, Problem("dose", what, "export dose and plan of the courses before it"))
    courses = _confirmed(courses, row)
    earlier_study = _post_operative(line, row, courses)
    earlier = _contrast_t1(earlier_study, "post-operative MR")
    frames = sorted(
        (one for one in series if one.modality in ("MR", "CT") and not one.fault and _is_frame(one, courses)),
        key=lambda one: (one.modality != "MR", not (one.t1 and one.contrast), one.series_uid),
    )
    return DicomEvent(
        subject,
        row,
        event,
        earlier,
        (event_study.date - earlier_study.date).days,
        event_study.outlines,
        earlier_study.outlines,
        courses,
        len(line.courses) - len(courses),
        tuple(frames[:1] if len({one.frame_uid for one in frames}) == 1 else frames),
        roi,
        tuple(str(problem) for problem in line.problems),
    )


def _confirmed(courses: Sequence[Course], row: EventRow) -> tuple[Course, ...]:
    """The courses with the fractions that the table states; refused where nobody confirms that a course ended early.

    A person may state more than single records hold, for some may not have been exported.

    Raises:
        DataProblem: the table and the records contradict each other, or records hold fewer fractions than planned and
            nobody says whether treatment ended early or the last records are missing.
    """
    where, stated = f"clinical table row {row.number}", row.fractions_delivered
    if stated and len(stated) != len(courses):
        what = f"fractions_delivered states {len(stated)} course(s), and {len(courses)} were over before the event"
        raise DataProblem(Problem(where, what, "write one number per course in order of date, such as 30+5"))
    confirmed = []
    for number, course in enumerate(courses):
        if not stated:
            if course.may_lack_records:
                what = (
                    f"hold {course.delivered} of the plan's {course.fractions} fractions: treatment ended early, or "
                    "records are missing"
                )
                remedy = "state the number in fractions_delivered of the clinical table, or export the summary"
                raise DataProblem(Problem("treatment records", what, remedy))
            confirmed.append(course)
            continue
        given = stated[number]
        recorded, whole = course.delivered or 0, course.delivered_from == DeliveredFrom.SUMMARY
        if given < recorded or (whole and given != recorded):
            what = f"fractions_delivered is {given}, where {course.delivered_from} tell of {recorded}"
            raise DataProblem(Problem(where, what, "correct it, or leave out the records of another plan"))
        if course.fractions is not None and given > course.fractions:
            what = f"fractions_delivered is {given}, more than the {course.fractions} of the plan"
            raise DataProblem(Problem(where, what, "correct it, or export the plan that was given"))
        confirmed.append(replace(course, delivered=given, delivered_from=DeliveredFrom.TABLE))
    return tuple(confirmed)


def _is_frame(series: SeriesEntry, courses: Sequence[Course]) -> bool:
    return any(series.frame_uid in course.frames for course in courses)


def _of_day(line: Timeline, day: Date, name: str) -> Study:
    found = [study for study in line.studies if study.date == day and study.of_sequence(CONTRAST_T1)]
    if len(found) == 1:
        return found[0]
    on_day = sum(study.date == day for study in line.studies)
    if found:
        what = f"{len(found)} studies of that day have a contrast T1, so it is not known which is meant"
        raise DataProblem(Problem(name, what, "leave out the one that is not meant"))
    what = f"no contrast T1 of the day in the table ({on_day} MR studies of that day, without contrast or T1)"
    raise DataProblem(Problem(name, what, "export it, or correct the date"))


def _contrast_t1(study: Study, name: str) -> SeriesEntry:
    try:
        return study.only(CONTRAST_T1)
    except DataProblem as error:
        raise DataProblem(*[Problem(name, one.what, one.remedy) for one in error.problems]) from None


def _post_operative(line: Timeline, row: EventRow, courses: Sequence[Course]) -> Study:
    name = "post-operative MR"
    days = [course.date for course in courses if course.date is not None]
    if len(days) < len(courses):
        what = "it is not known whether it came before radiotherapy: a course has no day"
        raise DataProblem(Problem(name, what, "restore the dates of plan and dose"))
    planned = min(days)
    if row.post_operative is not None:
        if row.post_operative > planned:
            what = "the day in the table lies after the first course's plan, expected an MR before radiotherapy"
            raise DataProblem(Problem(name, what, "correct post_operative_date, or leave the cell empty"))
        return _of_day(line, row.post_operative, name)
    usable = [one for one in line.studies if one.date < row.event and one.of_sequence(CONTRAST_T1)]
    if row.operation is not None:
        usable = [one for one in usable if one.date >= row.operation]
    before = [one for one in usable if one.date <= planned]
    if not before:
        what = "none of the studies before radiotherapy has a contrast T1"
        raise DataProblem(Problem(name, what, "export it, or correct the dates"))
    return _of_day(line, before[-1].date, name)


def _objects(outlines: Sequence[StructureSetEntry]) -> list[Dataset]:
    try:
        return [read_object(entry.path) for entry in outlines]
    except ObjectUnusable as error:
        raise DataProblem(Problem("outlines", *error.args)) from None


def _check_expression(roi: str | None) -> None:
    try:
        re.compile(roi or "")
    except re.error as error:
        what = f"is no regular expression ({error.msg})"
        raise DataProblem(Problem("--roi", what, "write for example 'enhanc|recurr'")) from None


def _end(course: Course) -> Date | None:
    """The last day of treatment as it is stated, else a week per five fractions after the plan's day."""
    stated = course.end or course.last_treated
    if stated is not None or course.date is None or not course.fractions:
        return stated
    return course.date + timedelta(days=7 * ceil(course.fractions / 5))


def days_since_radiotherapy(courses: Sequence[Course], event: Date) -> tuple[int | None, str]:
    """Days from the last day of treatment to the event, and how that was found if nobody states it."""
    ends = [_end(course) for course in courses]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return None, "the end of a course is not known, so the months since radiotherapy are not computed"
    stated = all(course.end or course.last_treated for course in courses)
    how = "" if stated else "the end of radiotherapy was taken as a week per five fractions after the plan's day"
    return max((event - max(known)).days, 0), how


def _same_person(series: dict[str, list[SeriesEntry]], ids: dict[str, str]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Subjects of one person by name and birth date, and what has to be told of subjects that are not grouped."""
    groups: dict[str, set[str]] = {}
    for patient, own in series.items():
        for one in own:
            if one.person_known and patient in ids:
                groups.setdefault(one.person, set()).add(ids[patient])
    if any(len(group) == len(ids) > 2 for group in groups.values()):
        what = "all patients have one name and birth date, which is taken as a placeholder: none are grouped"
        return [], [str(Problem("DICOM_DIR", what, "give each person one patient id"))]
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1], []


def _file_problems(index: DicomIndex) -> list[str]:
    """What is wrong with files that belong to no patient, or were not used."""
    nameless = sum(not is_patient_id(one.patient_id) for one in (*index.series, *index.doses, *index.plans))
    told = (
        (len(index.damaged), "files cannot be used", "export them again if they are needed"),
        (len(index.copies), "files hold an instance that was used from another file", "nothing needs to be done"),
        (nameless, "series, doses and plans have no patient id, or one like 'anonymous': left out", "give each an id"),
    )
    return [str(Problem("DICOM_DIR", f"{count} {what}", remedy)) for count, what, remedy in told if count]
