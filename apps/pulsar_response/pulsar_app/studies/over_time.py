"""Inputs from a patient's other studies, moved onto the request's image: an earlier MR, and doses that were given.

What can be told before anything is registered is looked for by functions of their own, so that a viewer learns within
seconds what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date
from functools import reduce
from typing import Any

import numpy as np
from treatment_response.cases.registration import Registration, resample
from treatment_response.cases.registration_cache import register_cached
from treatment_response.dicom.course_dose import read_course_doses
from treatment_response.dicom.event_outlines import drawn_cavity
from treatment_response.dicom.event_studies import days_since_radiotherapy
from treatment_response.dicom.studies_over_time import Course
from treatment_response.features.tumour_board import ISODOSE
from treatment_response.geometry import Volume
from treatment_response.geometry.course_dose import LEAST_REACHED, CourseDose, dose_unit, summed_isodose
from treatment_response.geometry.eqd2 import BRAIN_ALPHA_BETA_GY
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.folder_datastore import FolderDatastore
from pulsar_app.studies.pacs_datastore import EarlierImage, PacsDatastore
from pulsar_app.studies.search import FoundInput, GivenDose, Search


@dataclass(frozen=True)
class _Earlier:
    """An earlier MR, not moved yet.

    Attributes:
        told: which it is. days: how long before; None where that is not known.
        image: of a PACS, with the outlines of its study.
    """

    volume: Volume
    told: str
    days: int | None = None
    image: EarlierImage | None = None


@dataclass(frozen=True)
class _Given:
    """The doses of finished courses, each on its own grid, with an MR to move them by where they need one."""

    doses: tuple[tuple[CourseDose, Volume | None], ...]
    warnings: tuple[str, ...]
    days_since: int | None
    days_since_from: str


def earlier_contrast_t1(search: Search) -> FoundInput:
    """The nearest earlier contrast T1 of the patient, registered onto the image and on its grid.

    In a PACS it is of the nearest earlier study with exactly one; in a folder, of the session before by BIDS name.

    Raises:
        DataProblem: there is none, it is not known which, or the two cannot be registered.
    """
    return _moved(search, _nearest(search))


def contrast_t1_before_radiotherapy(search: Search) -> FoundInput:
    """The last contrast T1 up to the plan of the first finished course, registered onto the image and on its grid.

    In a folder, where nothing is known of courses, it is of the session before by BIDS name.

    Raises:
        DataProblem: there is none, it is not known which, no course is known, or the two cannot be registered.
    """
    return _moved(search, _before_radiotherapy(search))


def dose_of_finished_courses(search: Search) -> FoundInput:
    """The physical dose in Gy of all courses of radiotherapy that were over before the image, summed on its grid.

    A dose in another frame of reference is moved with an MR of the patient that lies in that frame.

    Raises:
        DataProblem: there is none, it is not known whether a course was over, or a dose cannot be placed or summed.
    """
    return _summed_dose(search, None)


def eqd2_of_finished_courses(search: Search) -> FoundInput:
    """The same as EQD2 (α/β 2 Gy): of each course and voxel with its number of fractions, then summed.

    Raises:
        DataProblem: as of `dose_of_finished_courses`, or a number of fractions is not known.
    """
    return _summed_dose(search, BRAIN_ALPHA_BETA_GY)


def look_for_earlier_contrast_t1(search: Search) -> None:
    """As `earlier_contrast_t1`, without registering."""
    _nearest(search)


def look_for_contrast_t1_before_radiotherapy(search: Search) -> None:
    """As `contrast_t1_before_radiotherapy`, without registering."""
    _before_radiotherapy(search)


def look_for_dose(search: Search) -> None:
    """As `dose_of_finished_courses`, without registering."""
    _given_doses(search, None)


def look_for_eqd2(search: Search) -> None:
    """As `eqd2_of_finished_courses`, without registering."""
    _given_doses(search, BRAIN_ALPHA_BETA_GY)


def _nearest(search: Search, until: Date | None = None) -> _Earlier:
    datastore = search.datastore
    if isinstance(datastore, PacsDatastore):
        found = datastore.earlier_contrast_t1(search.image.image_id, until)
        told = f"contrast T1 of {found.days} day{'s' if found.days > 1 else ''} before"
        return _Earlier(found.source.volume, told, found.days, found)
    if isinstance(datastore, FolderDatastore):
        volume, session = datastore.earlier_contrast_t1(search.image.image_id)
        return _Earlier(volume, f"contrast T1 of {session}")
    what = "a single image that is sent has no earlier study"
    raise DataProblem(Problem("earlier contrast T1", what, "name an image of the server's list"))


def _before_radiotherapy(search: Search) -> _Earlier:
    if not isinstance(search.datastore, PacsDatastore):
        return _nearest(search)
    with search.datastore.courses(search.image.image_id) as timeline:
        courses = _finished(timeline, _day(search))
    days = [course.date for course in courses if course.date is not None]
    if len(days) < len(courses):
        what = "a course has no day, so it is not known which MR came before it"
        raise DataProblem(Problem("contrast T1 before radiotherapy", what, "restore the dates of plan and dose"))
    try:
        return _nearest(search, until=min(days))
    except DataProblem as error:
        what = "no study up to the first course's plan has exactly one contrast T1"
        kept = [one for one in error.problems if one.where != "study"]
        problem = Problem("contrast T1 before radiotherapy", what, "export the MR from before radiotherapy")
        raise DataProblem(*(kept or [problem])) from None


def _moved(search: Search, earlier: _Earlier) -> FoundInput:
    registration = _registered(search, earlier.volume)
    image = search.image.volume
    drawn = None if earlier.image is None else drawn_cavity(earlier.image.source, earlier.image.outlines)
    cavity = None if drawn is None else resample(drawn, image, registration.matrix, "mask")
    return FoundInput(
        resample(earlier.volume, image, registration.matrix, "image"),
        f"{earlier.told}, registered",
        _doubts("earlier image", registration),
        days_before=earlier.days,
        cavity=cavity,
    )


def _day(search: Search) -> Date:
    """The day of the image.

    Raises:
        DataProblem: it has none, or courses are not known where it is from.
    """
    if not isinstance(search.datastore, PacsDatastore) or search.image.source is None:
        what = "doses are found in a PACS or in a prepared data set only"
        raise DataProblem(Problem("dose", what, "start the server with a PACS, or prepare the data set with its doses"))
    day: Date | None = search.image.source.date
    if day is None:
        raise DataProblem(Problem("image", "it has no date, so earlier courses are not known", "restore its date"))
    return day


def _finished(timeline: Any, day: Date) -> tuple[Course, ...]:
    """The courses that were over before a day, at least one."""
    courses, unclear = timeline.courses_before(day)
    if unclear:
        raise DataProblem(*unclear)
    if not courses:
        later = f" ({len(timeline.courses)} came later)" if timeline.courses else ""
        what, remedy = f"no course was over before this study{later}", "export dose and plan of the courses before it"
        raise DataProblem(*timeline.problems, Problem("dose", what, remedy))
    found: tuple[Course, ...] = courses
    return found


def _given_doses(search: Search, alpha_beta_gy: float | None) -> _Given:
    """Read the doses, as EQD2 with an α/β, and find what they are moved by."""
    image, datastore, day = search.image, search.datastore, _day(search)
    with datastore.courses(image.image_id) as timeline:
        courses = _finished(timeline, day)
        doses = read_course_doses(courses)
    warnings = [str(problem) for problem in timeline.problems]
    if later := len(timeline.courses) - len(courses):
        warnings.append(f"Dose: {later} course{'s' if later > 1 else ''} not over before this study left out.")
    found = []
    frame_uid = image.source.frame_uid if image.source else ""
    for dose in doses:
        warnings += [f"Dose: {note}." for note in dose.notes]
        anchor = None if dose.frame_uid == frame_uid else datastore.mr_in_frame(image.image_id, dose.frame_uid)
        found.append((dose if alpha_beta_gy is None else dose.as_eqd2(alpha_beta_gy), anchor))
    return _Given(tuple(found), tuple(warnings), *days_since_radiotherapy(courses, day))


def _summed_dose(search: Search, alpha_beta_gy: float | None) -> FoundInput:
    """The dose of finished courses on the image's grid."""
    given, image = _given_doses(search, alpha_beta_gy), search.image
    warnings = list(given.warnings)
    moved = []
    for number, (dose, anchor) in enumerate(given.doses):
        tell("moving doses", number / len(given.doses))
        matrix = np.eye(4)
        if anchor is not None:
            registration = _registered(search, anchor)
            warnings += _doubts("MR in the dose's frame", registration)
            matrix = registration.matrix
        moved.append(resample(dose.volume, image.volume, matrix, "dose").array)
        here, highest = float(moved[-1].max()), float(dose.volume.array.max())
        if here < LEAST_REACHED * highest:
            what = f"it misses the image: it reaches {highest:.1f} Gy, and {here:.1f} Gy inside the image"
            raise DataProblem(Problem("dose", what, "check its frame of reference, and that both are of one patient"))
    doses, count = [dose for dose, _ in given.doses], len(given.doses)
    kind = "physical dose" if alpha_beta_gy is None else f"EQD2 (alpha/beta {alpha_beta_gy:g} Gy)"
    return FoundInput(
        Volume(reduce(np.add, moved), image.volume.affine),
        f"{kind} of {count} finished course{'s' if count > 1 else ''}",
        tuple(dict.fromkeys(warnings)),
        given=GivenDose(
            summed_isodose(doses, ISODOSE, alpha_beta_gy),
            dose_unit(doses, alpha_beta_gy is not None),
            given.days_since,
            given.days_since_from,
        ),
    )


def _registered(search: Search, moving: Volume) -> Registration:
    tell("registering", 0)
    return register_cached(search.cache, search.image.volume, moving)


def _doubts(name: str, registration: Registration) -> tuple[str, ...]:
    return tuple(f"The registration of the {name} is doubtful: {doubt}." for doubt in registration.doubts)
