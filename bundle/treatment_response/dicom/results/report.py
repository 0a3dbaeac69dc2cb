"""The predictions as a TID 1500 Measurement Report: per lesion a group that refers to its segment and its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.seg import Segmentation
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.model import SOURCE, ModelIdentity
from treatment_response.dicom.results.segmentation import segment_label
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.write.base import derived_uid
from treatment_response.problems import DataProblem, Problem
from treatment_response.transforms.slice_patch import axial_plane

SCHEME = "99TRESP"
"""Designator of this project's codes, for what neither DICOM nor SNOMED has a word for."""


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning)


P_RESPONSE = _own("p-response", "Probability of response")
P_NON_RESPONSE = _own("p-non-response", "Probability of non-response")
THRESHOLD = _own("threshold", "Probability of response from which the class is response")
CELLS = _own("cam-cells", "CAM cells of the lesion in its largest slice")
PREDICTED_CLASS = _own("predicted-class", "Predicted response class")
NOTICE = _own("notice", "Research notice")
TRAINING_DATA = _own("training-data", "Training data of the model")
OUTLINE = _own("outline", "Origin of the outline")
WARNING = _own("warning", "Warning")
NOT_PREDICTED = _own("not-predicted", "Region listed and not predicted")
CLASSES = {"response": _own("response", "Response"), "non-response": _own("non-response", "Non-response")}
CONTRIBUTIONS = {
    "response": _own("cam-response", "Highest CAM contribution to the logit of response"),
    "non-response": _own("cam-non-response", "Highest CAM contribution to the logit of non-response"),
}
VARIANTS = {
    "gradcam": _own("gradcam", "Grad-CAM"),
    "gradcampp": _own("gradcampp", "Grad-CAM++"),
    "pixelwise": _own("pixelwise", "Pixel-wise class activation map"),
}
DECIMALS = 2
"""Of probabilities: they are not calibrated, so more would promise what is not known."""
_QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")  # of TID 1500, rows 10 to 12


def prediction_report(
    source: MrSource,
    lesions: Sequence[Mapping[str, Any]],
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

    Args:
        source: the MR series.
        lesions: per lesion ``roi``, ``source``, ``volume_mm3``, ``p_response``, ``p_non_response``, ``class``,
            ``threshold``, ``warnings``, ``shown_class``, ``highest_raw`` (of the map of ``shown_class``),
            ``largest_slice``, ``scored_slices`` (where the probability comes from) and ``slices`` (with ``slice`` and
            ``cells``; indices along the MR's axis closest to superior), as the server answers them. ``outline`` (which
            version of the outline counts) and ``supersedes`` (names of the others) may be there.
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
    groups = [_group(lesion, segments, lesion_seg, source, identity, variant) for lesion in lesions]
    content = MeasurementReport(_observer(identity), codes.cid100.MRIUnspecifiedBodyRegion, groups)
    content[0].ContentSequence.append(_statements(identity, listed, remarks))
    images = range(source.volume.array.shape[2])
    missing = _missing(lesions, listed)
    out = ComprehensiveSR(
        evidence=[*frames.nameless_images(source, images), lesion_seg, *evidence],
        content=content,
        is_complete=not missing,
        content_qualification="RESEARCH",
        coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name=SOURCE, responsible_organization=SOURCE)],
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
    segment = segments.get(segment_label(lesion["roi"]))
    if segment is None:
        what = f"the segmentation has no segment '{lesion['roi']}'"
        raise DataProblem(Problem("structured report", what, "make both of the same lesions"))
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
    texts = [(OUTLINE, _origin(lesion)), *((WARNING, sentence) for sentence in lesion["warnings"])]
    group[0].ContentSequence.extend(_text(name, value) for name, value in texts)
    return group


def _origin(lesion: Mapping[str, Any]) -> str:
    """Where the outline is from, which version it is, and which it superseded."""
    names = ", ".join(lesion.get("supersedes") or ())
    told = "; ".join(filter(None, [str(lesion.get("outline") or ""), f"supersedes {names}" if names else ""]))
    return f"{lesion['source']}: {told}" if told else str(lesion["source"])


def _measurements(lesion: Mapping[str, Any], source: MrSource, variant: str) -> list[Measurement]:
    unit = codes.UCUM.NoUnits
    images, largest = (_images(slices, source) for slices in (lesion["scored_slices"], [lesion["largest_slice"]]))
    (cells,) = (one["cells"] for one in lesion["slices"] if one["slice"] == lesion["largest_slice"])
    return [
        Measurement(codes.SCT.Volume, float(lesion["volume_mm3"]), codes.UCUM.CubicMillimeter),
        Measurement(P_RESPONSE, round(float(lesion["p_response"]), DECIMALS), unit, referenced_images=images),
        Measurement(P_NON_RESPONSE, round(float(lesion["p_non_response"]), DECIMALS), unit, referenced_images=images),
        Measurement(THRESHOLD, float(lesion["threshold"]), unit),
        Measurement(
            CONTRIBUTIONS[lesion["shown_class"]],
            float(lesion["highest_raw"]),
            unit,
            derivation=codes.SCT.Maximum,
            method=VARIANTS[variant],
        ),
        Measurement(CELLS, int(cells), unit, referenced_images=largest),
    ]


def _images(slices: Sequence[int], source: MrSource) -> list[SourceImageForMeasurement]:
    """The images of these slices, such as those that the probability comes from.

    Slices are axial. In a sagittal or coronal series such a slice crosses all images, and none is named.
    """
    if axial_plane(source.volume.affine).slice_axis != 2:
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
