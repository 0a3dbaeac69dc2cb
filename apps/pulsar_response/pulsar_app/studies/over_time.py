"""Inputs from a patient's other studies, moved onto the request's image: an earlier MR, and doses that were given."""

from __future__ import annotations

from functools import reduce

import numpy as np
from treatment_response.cases.registration import Registration, resample
from treatment_response.cases.registration_cache import register_cached
from treatment_response.dicom.course_dose import read_course_doses
from treatment_response.geometry import Volume
from treatment_response.geometry.eqd2 import BRAIN_ALPHA_BETA_GY
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.folder_datastore import FolderDatastore
from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.search import FoundInput, Search


def earlier_contrast_t1(search: Search) -> FoundInput:
    """The nearest earlier contrast T1 of the patient, registered onto the image and on its grid.

    In a PACS it is of the nearest earlier study with exactly one; in a folder, of the session before by BIDS name.

    Raises:
        DataProblem: there is none, it is not known which, or the two cannot be registered.
    """
    image, datastore = search.image, search.datastore
    if isinstance(datastore, PacsDatastore):
        earlier, days = datastore.earlier_contrast_t1(image.image_id)
        told = f"contrast T1 of {days} day{'s' if days > 1 else ''} before"
    elif isinstance(datastore, FolderDatastore):
        earlier, session = datastore.earlier_contrast_t1(image.image_id)
        told = f"contrast T1 of {session}"
    else:
        what = "a single image that is sent has no earlier study"
        raise DataProblem(Problem("earlier contrast T1", what, "name an image of the server's list"))
    registration = _registered(search, earlier)
    moved = resample(earlier, image.volume, registration.matrix, "image")
    return FoundInput(moved, f"{told}, registered", _doubts("earlier image", registration))


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


def _summed_dose(search: Search, alpha_beta_gy: float | None) -> FoundInput:
    """The dose of finished courses on the image's grid: EQD2 with an α/β, else physical."""
    image, datastore = search.image, search.datastore
    if not isinstance(datastore, PacsDatastore) or image.source is None:
        what = "doses are found in a PACS or in a prepared data set only"
        raise DataProblem(Problem("dose", what, "start the server with a PACS, or prepare the data set with its doses"))
    day = image.source.date
    if day is None:
        raise DataProblem(Problem("image", "it has no date, so earlier courses are not known", "restore its date"))
    with datastore.courses(image.image_id) as timeline:
        courses, unclear = timeline.courses_before(day)
        if unclear:
            raise DataProblem(*unclear)
        if not courses:
            remedy = "export dose and plan of the courses before this study"
            raise DataProblem(*timeline.problems, Problem("dose", "no course was over before this study", remedy))
        doses = read_course_doses(courses)
    warnings = [str(problem) for problem in timeline.problems]
    moved = []
    for number, dose in enumerate(doses):
        tell("moving doses", number / len(doses))
        warnings += [f"Dose: {note}." for note in dose.notes]
        matrix = np.eye(4)
        if dose.frame_uid != image.source.frame_uid:
            registration = _registered(search, datastore.mr_in_frame(image.image_id, dose.frame_uid))
            warnings += _doubts("MR in the dose's frame", registration)
            matrix = registration.matrix
        scaled = dose if alpha_beta_gy is None else dose.as_eqd2(alpha_beta_gy)
        moved.append(resample(scaled.volume, image.volume, matrix, "dose").array)
    total = Volume(reduce(np.add, moved), image.volume.affine)
    if not total.array.any():
        raise DataProblem(Problem("dose", "it does not reach the image", "check that both are of one patient"))
    count = len(courses)
    kind = "physical dose" if alpha_beta_gy is None else f"EQD2 (alpha/beta {alpha_beta_gy:g} Gy)"
    told = f"{kind} of {count} finished course{'s' if count > 1 else ''}"
    return FoundInput(total, told, tuple(dict.fromkeys(warnings)))


def _registered(search: Search, moving: Volume) -> Registration:
    tell("registering", 0)
    return register_cached(search.cache, search.image.volume, moving)


def _doubts(name: str, registration: Registration) -> tuple[str, ...]:
    return tuple(f"The registration of the {name} is doubtful: {doubt}." for doubt in registration.doubts)
