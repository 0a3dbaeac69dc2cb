"""Pictures of maps with legends as Secondary Captures: what every viewer and PACS shows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import UID
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes

from treatment_response.class_colours import colour_numbers
from treatment_response.classes import RESPONSE, Classes
from treatment_response.dicom.plain_text import printable
from treatment_response.dicom.results import frames
from treatment_response.dicom.results.certainty import certainty_text, percent_text
from treatment_response.dicom.results.lesion_picture import Legend, draw_case, draw_lesion, patient_orientation
from treatment_response.dicom.results.model import ModelIdentity, mark
from treatment_response.dicom.results.parametric_map import ANY_MAP
from treatment_response.dicom.source import MrSource
from treatment_response.dicom.structure_items import image_item
from treatment_response.geometry.slice_patch import axial_plane
from treatment_response.problems import DataProblem, Problem

_ALGORITHM = "CAM with legend"
_LINE = 50  # characters of a line of a legend
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
            colour = _colour(RESPONSE, shown)
            pixels = draw_lesion(source.volume, cam, mask, lesion["largest_slice"], colour, legend)
            own = {"series_instance_uid": series_uid, "sop_instance_uid": UID(), "instance_number": len(made) + 1}
            comment = f"{lesion['roi']}: {legend.lines[1]}"
            made.append(_object(source, lesion["largest_slice"], comment, pixels, legend, identity, {**shared, **own}))
    return made


def case_capture(
    source: MrSource,
    evidence: np.ndarray,
    shown: str,
    classes: Classes,
    probabilities: Mapping[str, float],
    decided: str,
    certainty: str,
    constant: float,
    identity: ModelIdentity,
    *,
    variant: str,
    series_number: int = 9007,
) -> SCImage:
    """Make a picture of one case: the axial slice of the strongest evidence, its map and a legend.

    Nothing burnt in tells who the patient is.

    Args:
        source: the MR series.
        evidence: scaled map ``(I, J, K)`` of the class that is shown, in [0, 1].
        shown: that class. classes: of the model.
        probabilities: of all classes.
        decided: the predicted class.
        certainty: in words, such as ``not calibrated``.
        constant: the stored constant of the map, in units of the class's score.
        identity: of the model.
        variant: name of the explanation.
        series_number: Series Number.

    Raises:
        DataProblem: the map is on another grid, or see ``check_source``.
    """
    frames.check_source(source, identity)
    frames.check_grid(evidence, source, ANY_MAP.word)
    axis = axial_plane(source.volume.affine).slice_axis
    across = tuple(other for other in range(3) if other != axis)
    strength = evidence.sum(axis=across)
    slices = len(strength)
    slice_index = int(strength.argmax()) if strength.any() else slices // 2
    highest = float(np.take(evidence, slice_index, axis=axis).max())
    listed = ", ".join(f"P({name}) {percent_text(p)}" for name, p in probabilities.items())
    legend = Legend(
        notice=f"{mark(identity)} · weights trained on {identity.weights}",
        lines=(
            f"Map: evidence for {shown.upper()} ({variant}), slice {slice_index + 1} of {slices}",
            f"Class: {decided}",
            *textwrap.wrap(listed, _LINE),
            f"{certainty.capitalize()}; model {identity.version}",
        ),
        scale=(
            f"share of the stored constant (1 = {constant:.3g} of the score)",
            f"grey: no evidence; highest in this slice: {highest:.2f}" if highest else "no evidence in this slice",
        ),
    )
    pixels = draw_case(source.volume, evidence, slice_index, _colour(classes, shown), legend)
    title = f"{ANY_MAP.word} with legend {variant} {shown} {identity.weights}"
    arguments = frames.object_arguments(identity, title, series_number)
    return _object(source, slice_index, legend.lines[0], pixels, legend, identity, arguments)


def _colour(classes: Classes, shown: str) -> int:
    return colour_numbers(classes)[classes.names.index(shown)]


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
    slice_index: int,
    comment: str,
    pixels: np.ndarray,
    legend: Legend,
    identity: ModelIdentity,
    arguments: Mapping[str, Any],
) -> SCImage:
    # In a sagittal or coronal series an axial slice crosses all images.
    axial = axial_plane(source.volume.affine).slice_axis == 2
    slices = [slice_index] if axial else range(source.volume.array.shape[2])
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
    image.ImageComments = printable(comment)
    image.SourceImageSequence = [_source_item(source, k) for k in slices]
    frames.complete(image, source, identity)
    return image


def _source_item(source: MrSource, k: int) -> Any:
    reference = source.images[k]
    item = image_item(reference.sop_class_uid, reference.sop_uid, reference.frame)
    purpose = codes.cid7202.SourceImageForImageProcessingOperation
    item.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(purpose)]
    return item
