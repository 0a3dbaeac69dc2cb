"""A patient's outlined studies in the PACS, measured and judged, as seen from one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.measurements import MeasuredStudy
from treatment_response.criteria.patient import PatientResponse, patient_response
from treatment_response.criteria.rules import Criteria
from treatment_response.dicom.response_studies import OutlinedSeries, outlined_series, read_studies
from treatment_response.dicom.studies_over_time import Timeline
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

from pulsar_app.studies.pacs_datastore import PacsDatastore
from pulsar_app.studies.safe_datastore import OpenedImage

_WHERE = "response criteria"


@dataclass(frozen=True)
class MeasuredImage:
    """The studies of an image's patient, measured.

    Attributes:
        response: of all studies with outlines; days count from the first.
        number: which of them the image is of.
        warnings: what else a reader must know, one sentence each.
    """

    response: PatientResponse
    number: int
    warnings: tuple[str, ...]

    @property
    def study(self) -> MeasuredStudy:
        """The image's own study."""
        return self.response.studies[self.number]


def measure_image(
    datastore: Any,
    image: OpenedImage,
    criteria: Sequence[Criteria],
    course_of: Callable[[Sequence[int], int], PatientCourse],
    *,
    whole_study: bool = False,
) -> MeasuredImage:
    """Measure the studies of an image's patient.

    Later studies count too: they say whether a response or a progression was confirmed.

    Args:
        course_of: gives what is known beside the images from the studies' days and the number of the image's own.
        whole_study: outlines on another series of the image's study count for it too.

    Raises:
        DataProblem: the image is none of a PACS, has no outlines, or there is no earlier study with some; or a study
            cannot be read.
    """
    if not isinstance(datastore, PacsDatastore) or image.source is None:
        remedy = "start the server with a PACS, or use scripts/measure_response.py for files"
        raise DataProblem(Problem(_WHERE, "only a PACS holds studies with their dates and outlines", remedy))
    if image.source.date is None:
        raise DataProblem(Problem("image", "it has no date, so no study is earlier", "restore its date"))
    tell("finding outlined studies", 0)
    with datastore.outlined_studies(image.image_id) as timeline:
        series, unclear = outlined_series(timeline)
        number = _number(image, timeline, series, whole_study)
        tell("reading the studies", 0)
        studies = read_studies(series, "patient", keep_images=False)
    tell("measuring", 0)
    first = studies[0].day
    studies = [replace(study, day=study.day - first) for study in studies]
    course = course_of([study.day for study in studies], number)
    response = patient_response("patient", studies, criteria, course)
    return MeasuredImage(response, number, tuple(map(str, (*timeline.problems, *unclear))))


def _number(image: OpenedImage, timeline: Timeline, series: Sequence[OutlinedSeries], whole_study: bool) -> int:
    """Which of the outlined series is the image.

    Raises:
        DataProblem: none is, or it is the first.
    """
    study_uid = image.source.study_uid if image.source else ""
    numbers = {one.series.series_uid: number for number, one in enumerate(series)}
    if whole_study:
        of_study = {one.series.study_uid: number for number, one in enumerate(series)}
        numbers |= {image.image_id: of_study[study_uid]} if study_uid in of_study else {}
    number = numbers.get(image.image_id)
    if number is None and any(study.outlines for study in timeline.studies if study.uid == study_uid):
        what = "the outlines of its study lie on another series, or on several"
        raise DataProblem(Problem("image", what, "open the one that they lie on, or outline the lesions on this one"))
    if number is None:
        what = "nothing is outlined on it"
        remedy = "store an RTSTRUCT or SEG of its lesions in the PACS"
        raise DataProblem(*timeline.problems, Problem("image", what, remedy))
    if number == 0:
        what = "the patient has no earlier study with outlines, so there is nothing to compare with"
        remedy = "outline the lesions of the study before treatment too"
        raise DataProblem(*timeline.problems, Problem(_WHERE, what, remedy))
    return number
