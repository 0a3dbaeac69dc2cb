"""The predictions as a TID 1500 Measurement Report: per lesion a group for its segment, and one for its outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    FindingSite,
    Measurement,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    SourceImageForMeasurement,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.certainty import certainty_text
from treatment_response.dicom.results.codes import (
    CAM_CELLS,
    CELLS,
    CERTAINTY,
    CLASSES,
    CONTRIBUTIONS,
    LOGIT,
    NOT_PREDICTED,
    NOTICE,
    OUTLINE,
    P_NON_RESPONSE,
    P_RESPONSE,
    PERCENT,
    PREDICTED_CLASS,
    THRESHOLD,
    TRAINING_DATA,
    VARIANTS,
    WARNING,
)
from treatment_response.dicom.results.measurement_report import (
    measurement_report,
    outlined_region,
    text_item,
    whole_percent,
)
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.segmentation import segment_label
from treatment_response.dicom.source import MrSource
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.problems import DataProblem, Problem


def prediction_report(
    source: MrSource,
    lesions: Sequence[Mapping[str, Any]],
    masks: Mapping[str, np.ndarray],
    lesion_seg: Segmentation,
    evidence: Sequence[Dataset],
    identity: ModelIdentity,
    *,
    variant: str,
    listed: Sequence[Mapping[str, Any]] = (),
    remarks: Sequence[str] = (),
    series_number: int = 9005,
) -> ComprehensiveSR:
    """Report the predictions of one MR.

    The document is preliminary and unverified, its observer is a device. It is complete if every region that was found
    was predicted, or superseded by outlines that were; else it is partial and says how many are missing. Each lesion's
    tracking UID is that of its segment.

    A lesion has two groups. That of its segment (TID 1411) holds all of its numbers. That of its outline in one image
    (TID 1410) repeats class and probabilities: viewers such as OHIF show only what has coordinates, and nothing at all
    of a report that has none.

    Args:
        source: the MR series.
        lesions: per lesion ``roi``, ``source``, ``volume_mm3``, ``p_response``, ``p_non_response``, ``class``,
            ``threshold``, ``warnings``, ``shown_class``, ``highest_raw`` (of the map of ``shown_class``),
            ``largest_slice``, ``scored_slices`` (where the probability comes from) and ``slices`` (with ``slice`` and
            ``cells``; indices along the MR's axis closest to superior), as the server answers them. ``outline`` (which
            version of the outline counts), ``supersedes`` (names of the others) and ``certainty`` may be there.
        masks: name of the lesion → bool ``(I, J, K)`` on the MR's grid.
        lesion_seg: from :func:`~treatment_response.dicom.results.segmentation.lesions_segmentation`; has a segment of
            each lesion's name.
        evidence: the other objects that were made with the report, such as the Parametric Map.
        identity: of the model.
        variant: of the CAM: ``gradcam``, ``gradcampp`` or ``pixelwise``.
        listed: regions that were found and not predicted: ``roi``, ``why``, and ``superseded_by`` (names of regions)
            where others count in its place.
        remarks: sentences on the MR as a whole.
        series_number: Series Number.

    Raises:
        DataProblem: no lesion, or one without a segment; or see ``check_source``.
    """
    frames.check_source(source, identity)
    if not lesions:
        what = "there is no predicted lesion to report"
        raise DataProblem(Problem("structured report", what, "predict at least one lesion first"))
    segments = {str(item.SegmentLabel): item for item in lesion_seg.SegmentSequence}
    groups = [
        group
        for lesion in lesions
        for group in (
            _group(lesion, segments, lesion_seg, source, identity, variant),
            _outline_group(lesion, segments, masks, source, identity),
        )
    ]
    texts = [
        (NOTICE, identity.notice),
        (TRAINING_DATA, identity.training_data),
        *((NOT_PREDICTED, f"{one['roi']}: {one['why']}") for one in listed),
        *((WARNING, sentence) for sentence in remarks),
    ]
    title = f"predicted response {identity.weights}"
    return measurement_report(
        source, identity, groups, texts, title, series_number, [lesion_seg, *evidence], _missing(lesions, listed)
    )


def _missing(lesions: Sequence[Mapping[str, Any]], listed: Sequence[Mapping[str, Any]]) -> int:
    """How many listed regions no predicted one stands for."""
    predicted = {lesion["roi"] for lesion in lesions}
    counting = [set(one.get("superseded_by") or ()) for one in listed]
    return sum(not names or not names <= predicted for names in counting)


def _group(
    lesion: Mapping[str, Any],
    segments: Mapping[str, Dataset],
    lesion_seg: Segmentation,
    source: MrSource,
    identity: ModelIdentity,
    variant: str,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    segment = _segment(lesion, segments)
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(segment.TrackingUID, str(lesion["roi"])),
        referenced_segment=ReferencedSegment(
            lesion_seg.SOPClassUID,
            lesion_seg.SOPInstanceUID,
            int(segment.SegmentNumber),
            source_series=SourceSeriesForSegmentation(source.series_uid),
        ),
        finding_type=codes.SCT.Lesion,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        algorithm_id=AlgorithmIdentification(identity.name, identity.version, [identity.training_data]),
        measurements=_measurements(lesion, source, variant),
        qualitative_evaluations=[QualitativeEvaluation(PREDICTED_CLASS, CLASSES[lesion["class"]])],
    )
    texts = [
        (CERTAINTY, certainty_text(lesion)),
        (OUTLINE, _origin(lesion)),
        *((WARNING, sentence) for sentence in lesion["warnings"]),
    ]
    group[0].ContentSequence.extend(text_item(name, value) for name, value in texts)
    return group


def _segment(lesion: Mapping[str, Any], segments: Mapping[str, Dataset]) -> Dataset:
    segment = segments.get(segment_label(lesion["roi"]))
    if segment is None:
        what = f"the segmentation has no segment '{lesion['roi']}'"
        raise DataProblem(Problem("structured report", what, "make both of the same lesions"))
    return segment


def _outline_group(
    lesion: Mapping[str, Any],
    segments: Mapping[str, Dataset],
    masks: Mapping[str, np.ndarray],
    source: MrSource,
    identity: ModelIdentity,
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    mask = masks[lesion["roi"]]
    k = lesion["largest_slice"] if _is_axial(source) else int(mask.sum(axis=(0, 1)).argmax())
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(_segment(lesion, segments).TrackingUID, str(lesion["roi"])),
        referenced_region=outlined_region(mask, k, source),
        finding_type=codes.SCT.Lesion,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        algorithm_id=AlgorithmIdentification(identity.name, identity.version, [identity.training_data]),
        measurements=_probabilities(lesion, source),
        qualitative_evaluations=[QualitativeEvaluation(PREDICTED_CLASS, CLASSES[lesion["class"]])],
    )


def _origin(lesion: Mapping[str, Any]) -> str:
    """Where the outline is from, which version it is, and which it superseded."""
    names = ", ".join(lesion.get("supersedes") or ())
    told = "; ".join(filter(None, [str(lesion.get("outline") or ""), f"supersedes {names}" if names else ""]))
    return f"{lesion['source']}: {told}" if told else str(lesion["source"])


def _measurements(lesion: Mapping[str, Any], source: MrSource, variant: str) -> list[Measurement]:
    largest = _images([lesion["largest_slice"]], source)
    (cells,) = (one["cells"] for one in lesion["slices"] if one["slice"] == lesion["largest_slice"])
    return [
        Measurement(codes.SCT.Volume, float(lesion["volume_mm3"]), codes.UCUM.CubicMillimeter),
        *_probabilities(lesion, source),
        Measurement(THRESHOLD, round(100 * lesion["threshold"], 1), PERCENT),
        Measurement(
            CONTRIBUTIONS[lesion["shown_class"]],
            float(lesion["highest_raw"]),
            LOGIT,
            derivation=codes.SCT.Maximum,
            method=VARIANTS[variant],
        ),
        Measurement(CELLS, int(cells), CAM_CELLS, referenced_images=largest),
    ]


def _probabilities(lesion: Mapping[str, Any], source: MrSource) -> list[Measurement]:
    images = _images(lesion["scored_slices"], source)
    return [
        Measurement(code, whole_percent(lesion[key]), PERCENT, referenced_images=images)
        for code, key in ((P_RESPONSE, "p_response"), (P_NON_RESPONSE, "p_non_response"))
    ]


def _is_axial(source: MrSource) -> bool:
    return axial_plane(source.volume.affine).slice_axis == 2


def _images(slices: Sequence[int], source: MrSource) -> list[SourceImageForMeasurement]:
    """The images of these slices, such as those that the probability comes from.

    Slices are axial. In a sagittal or coronal series such a slice crosses all images, and none is named.
    """
    if not _is_axial(source):
        return []
    images = [source.images[index] for index in slices]
    return [
        SourceImageForMeasurement(image.sop_class_uid, image.sop_uid, None if image.frame is None else [image.frame])
        for image in images
    ]
