"""The predictions as a TID 1500 Measurement Report: per lesion a group for its segment, and one for its outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.certainty import LEAST, MOST, certainty_text
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
    coding_scheme,
)
from treatment_response.dicom.results.model import SOURCE, ModelIdentity
from treatment_response.dicom.results.segmentation import segment_label
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.write.base import derived_uid
from treatment_response.geometry import outline_mask
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.problems import DataProblem, Problem

_QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")  # of TID 1500, rows 10 to 12


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
    content = MeasurementReport(_observer(identity), codes.cid100.MRIUnspecifiedBodyRegion, groups)
    content[0].ContentSequence.append(_statements(identity, listed, remarks))
    images = range(source.volume.array.shape[2])
    missing = _missing(lesions, listed)
    out = ComprehensiveSR(
        evidence=[*frames.nameless_images(source, images), lesion_seg, *evidence],
        content=content,
        is_complete=not missing,
        content_qualification="RESEARCH",
        coding_schemes=[coding_scheme()],
        **frames.object_arguments(identity, f"predicted response {identity.weights}", series_number),
    )
    if missing:
        out.CompletionFlagDescription = f"found and not predicted: {missing} region{'s' if missing > 1 else ''}"
    frames.complete(out, source, identity)
    for keyword in ("BodyPartExamined", "LossyImageCompression"):  # of images, not of documents
        if keyword in out:
            del out[keyword]
    return out


def _missing(lesions: Sequence[Mapping[str, Any]], listed: Sequence[Mapping[str, Any]]) -> int:
    """How many listed regions no predicted one stands for."""
    predicted = {lesion["roi"] for lesion in lesions}
    counting = [set(one.get("superseded_by") or ()) for one in listed]
    return sum(not names or not names <= predicted for names in counting)


def _observer(identity: ModelIdentity) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", identity.name, identity.version),
        name=identity.name,
        manufacturer_name=SOURCE,
        model_name=identity.name,
        serial_number=identity.version,
    )
    return ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device))


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
    group[0].ContentSequence.extend(_text(name, value) for name, value in texts)
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
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(_segment(lesion, segments).TrackingUID, str(lesion["roi"])),
        referenced_region=_region(masks[lesion["roi"]], lesion["largest_slice"], source),
        finding_type=codes.SCT.Lesion,
        finding_sites=[FindingSite(codes.SCT.Brain)],
        algorithm_id=AlgorithmIdentification(identity.name, identity.version, [identity.training_data]),
        measurements=_probabilities(lesion, source),
        qualitative_evaluations=[QualitativeEvaluation(PREDICTED_CLASS, CLASSES[lesion["class"]])],
    )


def _region(mask: np.ndarray, largest_slice: int, source: MrSource) -> ImageRegion:
    """The outline of the lesion in one of the MR's images: its largest slice; of several parts the largest.

    Coordinates are columns and rows; 0 is the outer edge of the first pixel (PS3.3 C.18.6).
    """
    k = largest_slice if _is_axial(source) else int(mask.sum(axis=(0, 1)).argmax())
    part = np.zeros_like(mask)
    part[:, :, k] = mask[:, :, k]
    rings = [source.volume.to_index(points)[:, :2] + 0.5 for _, points in outline_mask(part, source.volume.affine)]
    ring = max(rings, key=_area)
    image = source.images[k]
    frames_of_image = None if image.frame is None else [image.frame]
    return ImageRegion(
        GraphicTypeValues.POLYLINE,
        np.vstack([ring, ring[:1]]),
        SourceImageForRegion(image.sop_class_uid, image.sop_uid, frames_of_image),
    )


def _area(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


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
        Measurement(code, _percent(lesion[key]), PERCENT, referenced_images=images)
        for code, key in ((P_RESPONSE, "p_response"), (P_NON_RESPONSE, "p_non_response"))
    ]


def _percent(probability: float) -> int:
    """In whole percent, from 1 to 99: none is certain, and OHIF leaves a 0 out and shows the unit alone."""
    return round(100 * min(max(probability, LEAST), MOST))


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


def _statements(
    identity: ModelIdentity, listed: Sequence[Mapping[str, Any]], remarks: Sequence[str]
) -> ContainerContentItem:
    """What holds for the whole report, in the place that TID 1500 has for evaluations in words."""
    item = ContainerContentItem(
        name=CodedConcept.from_code(_QUALITATIVE), relationship_type=RelationshipTypeValues.CONTAINS
    )
    item.ContentSequence = ContentSequence(
        [
            _text(NOTICE, identity.notice),
            _text(TRAINING_DATA, identity.training_data),
            *(_text(NOT_PREDICTED, f"{one['roi']}: {one['why']}") for one in listed),
            *(_text(WARNING, sentence) for sentence in remarks),
        ]
    )
    return item


def _text(name: Code, value: str) -> TextContentItem:
    return TextContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS)
