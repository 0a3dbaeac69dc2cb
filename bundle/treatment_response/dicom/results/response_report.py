"""Measured response as a TID 1500 Measurement Report: per lesion its two diameters, each with its line in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from highdicom import UID
from highdicom.sr import (
    ComprehensiveSR,
    ContentSequence,
    FindingSite,
    GraphicTypeValues,
    ImageContentItem,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    ScoordContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes

from treatment_response.criteria.measurements import LesionMeasures, MeasuredStudy
from treatment_response.dicom.results import frames
from treatment_response.dicom.results.codes import NOTICE, RESPONSE_ANSWER, WARNING
from treatment_response.dicom.results.measurement_report import measurement_report
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.notice import RESEARCH_ONLY
from treatment_response.problems import DataProblem, Problem


@dataclass(frozen=True)
class MeasuringSoftware:
    """What made the report, as `Maker` asks for it."""

    name: str = "Response criteria"
    notice: str = f"{RESEARCH_ONLY}, not for clinical decisions. Measured on masks by rules, without a network."
    set_number: int | None = None

    @property
    def version(self) -> str:
        """Of this package."""
        return version("treatment-response")


def response_report(
    source: MrSource,
    study: MeasuredStudy,
    statements: Sequence[str],
    patient: str,
    *,
    set_number: int | None = None,
    series_number: int = 9010,
) -> ComprehensiveSR:
    """Report one study.

    Each lesion is a measurement group (TID 1501) with *Long axis* and *Short axis* (TID 300), each inferred from a line
    in the image that it was measured in. The tracking UID of a lesion is the same in all studies of a run's patient.

    Args:
        source: the MR whose grid the masks have; its images are axial.
        study: measured on it.
        statements: the answers by each set of criteria, and what has to be said beside them, one sentence each.
        patient: what makes the lesions' tracking UIDs differ between patients; it cannot be read back from them.
        set_number: of the study's results that it belongs to; None where nobody counts them.
        series_number: Series Number.

    Raises:
        DataProblem: nothing was measured, the series is not axial, or it states no frame of reference.
    """
    frames.check_place(source)
    if not study.lesions:
        raise DataProblem(Problem("structured report", "no lesion was measured", "there is nothing to draw"))
    if axial_plane(source.volume.affine).slice_axis != 2:
        what = "the diameters lie in axial planes, and no image of this series is one"
        raise DataProblem(Problem("structured report", what, "read them in the table, or draw on an axial series"))
    maker = MeasuringSoftware(set_number=set_number)
    groups = [_group(name, lesion, source, patient) for name, lesion in study.lesions.items()]
    texts = [(NOTICE, maker.notice), *((RESPONSE_ANSWER, statement) for statement in statements)]
    texts += [(WARNING, doubt) for doubt in study.doubts]
    return measurement_report(source, maker, groups, texts, "measured response", series_number)


def _group(name: str, lesion: LesionMeasures, source: MrSource, patient: str) -> MeasurementsAndQualitativeEvaluations:
    part = lesion.parts[0]
    axes = (
        (codes.SCT.LongAxis, part.longest_mm, part.longest),
        (codes.SCT.ShortAxis, part.perpendicular_mm, part.perpendicular),
    )
    measurements = []
    for code, length, ends in axes:
        measurement = Measurement(code, round(float(length), 2), codes.UCUM.Millimeter)
        measurement[0].ContentSequence = ContentSequence([_line(ends, source)])
        measurements.append(measurement)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(UID(derived_uid("lesion", patient, name)), f"lesion {name}"),
        finding_type=codes.SCT.Lesion,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        measurements=measurements,
    )


def _line(ends: np.ndarray, source: MrSource) -> ScoordContentItem:
    """A line in one of the MR's images. Columns and rows; 0 is the outer edge of the first pixel (PS3.3 C.18.6)."""
    index = source.volume.to_index(ends)
    image = source.images[round(float(index[:, 2].mean()))]
    line = ScoordContentItem(
        name=codes.DCM.SourceOfMeasurement,
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=index[:, :2] + 0.5,
        relationship_type=RelationshipTypeValues.INFERRED_FROM,
    )
    reference = ImageContentItem(
        name=codes.DCM.OriginalSource,
        referenced_sop_class_uid=image.sop_class_uid,
        referenced_sop_instance_uid=image.sop_uid,
        referenced_frame_numbers=image.frame,
        relationship_type=RelationshipTypeValues.SELECTED_FROM,
    )
    line.ContentSequence = ContentSequence([reference])
    return line
