"""Segmented studies of a DICOM folder: outlines in SEG and RTSTRUCT over a patient's studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from treatment_response.cohort.pipeline import subject_ids
from treatment_response.criteria.measurements import SegmentedStudy
from treatment_response.criteria.patient import PatientResponse
from treatment_response.criteria.sources import PatientStudies
from treatment_response.dicom.entries import SeriesEntry, StructureSetEntry
from treatment_response.dicom.ingest.registration import register
from treatment_response.dicom.read_object import ObjectUnusable, read_object
from treatment_response.dicom.results.response_report import response_report
from treatment_response.dicom.scan import scan_folder
from treatment_response.dicom.source import MrSource, source_of
from treatment_response.dicom.studies_over_time import CONTRAST_T1, Study, Timeline, drawn_on, timelines
from treatment_response.dicom.targets import find_targets
from treatment_response.files import whole_file
from treatment_response.geometry import Volume
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class OutlinedSeries:
    """One study: the series that counts, and what was drawn on it.

    Attributes:
        name: ``study 1``, ``study 2``, … of the patient's studies with outlines.
        day: its date as days since 0001-01-01, plus 1.
    """

    name: str
    day: int
    series: SeriesEntry
    outlines: tuple[StructureSetEntry, ...]


@dataclass(frozen=True)
class DicomPatient:
    """A patient of a folder.

    Attributes:
        studies: not read yet.
        series: in order of time.
    """

    studies: PatientStudies
    series: tuple[OutlinedSeries, ...]


def find_dicom_patients(
    root: Path, progress: Callable[[int, int], None] | None = None, workers: int = 1
) -> tuple[list[DicomPatient], list[Problem]]:
    """Find the patients of a folder with outlines on at least one MR.

    Returns:
        The patients as ``sub-001``, …, and what could not be used.
    """
    index = scan_folder(root, progress, workers)
    found, problems = [], list(index.problems)
    lines = timelines(index)
    names = subject_ids(list(lines))
    for patient, timeline in lines.items():
        problems += [Problem(f"{names[patient]}, {one.where}", one.what, one.remedy) for one in timeline.problems]
        series, unclear = outlined_series(timeline)
        problems += [Problem(names[patient], one.what, one.remedy) for one in unclear]
        if not series:
            problems.append(Problem(names[patient], "no MR has outlines", "export SEG or RTSTRUCT with their MR"))
            continue
        synthetic = all(one.series.study_description.startswith("SYNTHETIC") for one in series)
        read = partial(read_studies, series, names[patient])
        found.append(DicomPatient(PatientStudies(names[patient], read, True, synthetic, patient), series))
    return found, problems


def write_response_reports(
    patient: DicomPatient, answer: PatientResponse, folder: Path
) -> tuple[list[Path], list[Problem]]:
    """Write a structured report for each study that has a lesion.

    Args:
        answer: measured from this patient.
        folder: gets ``sub-001/study_1.dcm``.

    Returns:
        The files, and why a study has none.
    """
    written, problems = [], []
    for number, (one, study) in enumerate(zip(patient.series, answer.studies, strict=True)):
        try:
            report = response_report(
                source_of(one.series), study, statements(answer, number), patient.studies.clinical_name
            )
        except DataProblem as error:
            problems += [Problem(f"{answer.subject}, {one.name}", each.what, each.remedy) for each in error.problems]
            continue
        path = folder / answer.subject / f"{one.name.replace(' ', '_')}.dcm"
        with whole_file(path) as partial_file:
            report.save_as(partial_file, write_like_original=False)
        written.append(path)
    return written, problems


def statements(answer: PatientResponse, number: int) -> list[str]:
    """The answers for one study, a sentence each."""
    sentences = []
    for criteria, decisions in answer.decisions.items():
        one = decisions[number]
        share = answer.share(criteria, number)
        kind = "imaging category" if one.kind != criteria.name else "with steroids and clinical state"
        parts = [f"{criteria.name}, {kind}: {one.decision.category}", one.decision.rule, one.confirmation]
        parts.append("" if share is None else f"{one.decision.category} in {100 * share:.0f} % of plausible contours")
        sentences.append("; ".join(part for part in (*parts, *one.remarks) if part))
    return sentences


def outlined_series(timeline: Timeline) -> tuple[tuple[OutlinedSeries, ...], list[Problem]]:
    """The series of each study that outlines lie on, in order of time, and why a study has none."""
    found: list[OutlinedSeries] = []
    problems = []
    for study in timeline.studies:
        if not study.outlines:
            problems.append(Problem("study", "one study has no outlines and is not measured", "draw them, or go on"))
            continue
        series = _series(study)
        if series is None:
            what = "outlines of one study lie on several series, so it is not known which counts"
            problems.append(Problem("study", what, "export the outlines of one series"))
            continue
        outlines = tuple(one for one in study.outlines if drawn_on(study.series, one) == series)
        found.append(OutlinedSeries(f"study {len(found) + 1}", study.date.toordinal(), series, outlines))
    return tuple(found), problems


def _series(study: Study) -> SeriesEntry | None:
    """The series that outlines lie on; of several the one T1 with contrast."""
    drawn = {one.series_uid: one for entry in study.outlines if (one := drawn_on(study.series, entry)) is not None}
    contrast = [one for one in study.of_sequence(CONTRAST_T1) if one.series_uid in drawn]
    if len(drawn) == 1:
        return next(iter(drawn.values()))
    return contrast[0] if len(contrast) == 1 else None


def read_studies(series: Sequence[OutlinedSeries], subject: str, keep_images: bool = True) -> list[SegmentedStudy]:
    """Read series and outlines. Each outline is a lesion, or several where its parts lie apart.

    Args:
        series: of one patient. subject: the patient, for messages.
        keep_images: whether the studies come with their images, for pictures.

    Raises:
        DataProblem: a series cannot be read, or none of its outlines can be used.
    """
    studies: list[SegmentedStudy] = []
    first: MrSource | None = None
    for one in series:
        source = source_of(one.series)
        first = first or source
        outlined = _lesions(one, source, f"{subject}, {one.name}")
        region = Volume(np.any(outlined, axis=0), source.volume.affine)
        matrix = np.eye(4) if source.frame_uid == first.frame_uid else _to_first(first, source)
        image = source.volume.array if keep_images else None
        studies.append(SegmentedStudy(one.name, one.day, region, outlined=outlined, matrix=matrix, image=image))
    return studies


def _to_first(first: MrSource, source: MrSource) -> np.ndarray:
    """This study's mm → the first study's mm, good for telling which lesion is which."""
    return np.linalg.inv(register(first.volume, source.volume))


def _lesions(one: OutlinedSeries, source: MrSource, where: str) -> list[np.ndarray]:
    """The outlines of lesions that are drawn on a series; a voxel of two counts for the first."""
    try:
        objects = [read_object(entry.path) for entry in one.outlines]
    except ObjectUnusable as error:
        raise DataProblem(Problem(where, *error.args)) from None
    targets, notes = find_targets(source, objects)
    drawn = [target for target in targets if not target.listed_because]
    if not drawn:
        reasons = [target.listed_because for target in targets] or notes or ["there is none"]
        what = f"none of its outlines can be used ({'; '.join(dict.fromkeys(reasons)).rstrip('.')})"
        raise DataProblem(Problem(where, what, "outline the lesions on this series, named as such, for example GTV 1"))
    taken = np.zeros(source.volume.array.shape, dtype=bool)
    masks = []
    for target in drawn:
        masks.append(target.mask & ~taken)
        taken |= target.mask
    return [mask for mask in masks if mask.any()]
