"""The page of one patient's measured response: answers with their rules, sums over time, diameters as they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from treatment_response.criteria.clinical import PatientCourse
from treatment_response.criteria.measurements import SegmentedStudy
from treatment_response.criteria.patient import PatientResponse, patient_response
from treatment_response.criteria.rules import IMAGING, Criteria
from treatment_response.criteria.sources import PatientStudies, in_one_time
from treatment_response.criteria.tables import file_name, measurement_rows, response_rows
from treatment_response.files import write_whole
from treatment_response.problems import DataProblem
from treatment_response.report.figures.response import lesions_figure, timeline_figure
from treatment_response.report.figures.style import png_bytes
from treatment_response.report.page import data_uri, template_of


def measured_patient(
    patient: PatientStudies,
    course: PatientCourse,
    criteria: Sequence[Criteria],
    contouring_sd_mm: float,
    pages: Path | None,
) -> PatientResponse | DataProblem:
    """Read, measure and judge one patient, and write its page.

    Args:
        course: of the clinical table; an empty one for a patient that does not stand in it.
        pages: folder; None for no page.

    Returns:
        The answer, or why there is none.
    """
    try:
        in_one_time(patient, course)
        studies = sorted(patient.read(), key=lambda study: study.day)
        if patient.days_are_dates:  # a date is told to nobody
            first = studies[0].day
            studies = [replace(study, day=study.day - first) for study in studies]
            course = course.counted_from(first)
        answer = patient_response(patient.subject, studies, criteria, course, contouring_sd_mm)
    except DataProblem as problem:
        return problem
    if pages is not None:
        page = response_page(answer, studies, course, patient.synthetic)
        write_whole(pages / f"{file_name(patient.subject)}.html", page)
    return answer


def response_page(
    patient: PatientResponse, studies: Sequence[SegmentedStudy], course: PatientCourse, synthetic: bool
) -> str:
    """A self-contained HTML page.

    Args:
        studies: with masks and images, in the order of the patient's.
    """
    figures = [
        (timeline_figure(patient, course, synthetic), TIMELINE_CAPTION),
        (lesions_figure(patient, studies, synthetic), LESIONS_CAPTION),
    ]
    pictures = [(data_uri(png_bytes(figure)), caption) for figure, caption in figures if figure is not None]
    rows = response_rows(patient)
    last = [row for row in rows if row["study"] == patient.studies[-1].name]
    return template_of("response.html").render(
        title=f"Response of {patient.subject}, measured from masks",
        filters=[],
        synthetic=synthetic,
        last=last,
        rows=rows,
        lesions=measurement_rows(patient),
        pictures=pictures,
        imaging=any(row["kind"] == IMAGING for row in last),
        doubts=sorted({remark for row in rows for remark in row["remarks"].split("; ") if remark}),
    )


TIMELINE_CAPTION = (
    "The sum that each set of criteria follows, by day. A short blue bar is where partial response begins for that "
    "study, a short orange one where progression begins (it depends on the nadir so far)."
)
LESIONS_CAPTION = (
    "Each lesion in the axial slice of its longest diameter, the patient's right on the left. Lines are measured from "
    "edge to edge of the mask; each picture has its own grey scale."
)
