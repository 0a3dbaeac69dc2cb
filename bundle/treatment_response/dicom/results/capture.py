"""Pictures of lesions with their maps and legends as Secondary Captures: what every viewer and PACS shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from treatment_response.classes import CLASS_NAMES
from treatment_response.dicom.plain_text import printable
from treatment_response.dicom.results import frames
from treatment_response.dicom.results.certainty import certainty_text, percent_text
from treatment_response.dicom.results.lesion_picture import Legend, draw_lesion, patient_orientation
from treatment_response.dicom.results.model import ModelIdentity, mark
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.structure_items import image_item
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.problems import DataProblem, Problem

_ALGORITHM = "CAM with legend"
# A picture names a lesion only by words that name no person.
_PLAIN_NAME = re.compile(r"(?:[gpc]tv|les(?:ion)?|met|tumou?r|target|label|click|l)?[-_ .#]*\d{0,3}", re.IGNORECASE)


def captures(
    source: MrSource,
    maps: Mapping[str, Sequence[np.ndarray]],
    lesions: Sequence[Mapping[str, Any]],
    masks: Sequence[np.ndarray],
    scale: Mapping[str, float],
    identity: ModelIdentity,
    *,
    variant: str,
    series_number: int = 9007,
) -> list[SCImage]:
    """Make a series with one picture per lesion and class: its largest slice, its map and a legend.

    Nothing burnt in tells who the patient is: a lesion is called by its number, and by its ROI's name only where that
    consists of words such as ``GTV`` and of numbers. The name stands in Image Comments.

    Args:
        source: the MR series.
        maps: class → scaled map ``(I, J, K)`` of each lesion, in [0, 1].
        lesions: as :func:`~treatment_response.dicom.results.report.prediction_report` takes them; ``certainty`` may be
            there.
        masks: bool ``(I, J, K)`` of each lesion.
        scale: class → the stored constant: the contribution to the logit that is shown as 1.
        identity: of the model.
        variant: ``gradcam``, ``gradcampp`` or ``pixelwise``.
        series_number: Series Number.

    Raises:
        DataProblem: there is no lesion, or see ``check_source``.
    """
    frames.check_source(source, identity)
    if not lesions or not maps:
        raise DataProblem(Problem("capture", "there is no lesion to show", "predict at least one lesion first"))
    series_uid = UID()
    shared = frames.object_arguments(identity, f"{_ALGORITHM} {variant} {identity.weights}", series_number)
    made: list[SCImage] = []
    for position, (lesion, mask) in enumerate(zip(lesions, masks, strict=True)):
        for shown, of_lesions in maps.items():
            cam = of_lesions[position]
            frames.check_grid(cam, source, f"CAM of '{lesion['roi']}'")
            legend = _legend(source, lesion, position, len(lesions), cam, shown, scale[shown], identity, variant)
            pixels = draw_lesion(source.volume, cam, mask, lesion["largest_slice"], CLASS_NAMES.index(shown), legend)
            own = {"series_instance_uid": series_uid, "sop_instance_uid": UID(), "instance_number": len(made) + 1}
            made.append(_object(source, lesion, pixels, legend, identity, {**shared, **own}))
    return made


def _legend(
    source: MrSource,
    lesion: Mapping[str, Any],
    position: int,
    count: int,
    cam: np.ndarray,
    shown: str,
    constant: float,
    identity: ModelIdentity,
    variant: str,
) -> Legend:
    axis = axial_plane(source.volume.affine).slice_axis
    slice_index, slices = lesion["largest_slice"], source.volume.array.shape[axis]
    name = str(lesion["roi"]) if _PLAIN_NAME.fullmatch(str(lesion["roi"])) else ""
    highest = float(np.take(cam, slice_index, axis=axis).max())
    seen = f"highest in this slice: {highest:.2f}" if highest else "no evidence in this slice"
    p_response, p_non_response = percent_text(lesion["p_response"]), percent_text(lesion["p_non_response"])
    return Legend(
        notice=f"{mark(identity)} · weights trained on {identity.weights}",
        lines=(
            f"Lesion {position + 1} of {count}{f' ({name})' if name else ''}, slice {slice_index + 1} of {slices}",
            f"Map: evidence for {shown.upper()} ({variant})",
            f"P(response) {p_response}, P(non-response) {p_non_response}",
            f"Class: {lesion['class']} (response from {100 * lesion['threshold']:.0f} %)",
            certainty_text(lesion).capitalize(),
            f"Model {identity.version}",
        ),
        scale=(
            f"share of the stored constant (1 = {constant:.3g} of the logit)",
            f"grey: no evidence; {seen}",
        ),
    )


def _object(
    source: MrSource,
    lesion: Mapping[str, Any],
    pixels: np.ndarray,
    legend: Legend,
    identity: ModelIdentity,
    arguments: Mapping[str, Any],
) -> SCImage:
    # In a sagittal or coronal series an axial slice crosses all images.
    axial = axial_plane(source.volume.affine).slice_axis == 2
    slices = [lesion["largest_slice"]] if axial else range(source.volume.array.shape[2])
    image = SCImage.from_ref_dataset(
        frames.nameless_images(source, [0])[0],
        pixels,
        "RGB",
        8,
        "PATIENT",
        patient_orientation=patient_orientation(source.volume),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        **arguments,
    )
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.ConversionType = "WSD"
    image.ContentQualification = "RESEARCH"
    image.BurnedInAnnotation, image.RecognizableVisualFeatures = "NO", "NO"
    text = [*legend.lines, *legend.scale, identity.notice]
    image.DerivationDescription = ". ".join(text)[: frames.SHORT_TEXT]
    image.ImageComments = printable(f"{lesion['roi']}: {legend.lines[1]}")
    image.SourceImageSequence = [_source_item(source, k) for k in slices]
    frames.complete(image, source, identity)
    return image


def _source_item(source: MrSource, k: int) -> Any:
    reference = source.images[k]
    item = image_item(reference.sop_class_uid, reference.sop_uid, reference.frame)
    purpose = codes.cid7202.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
