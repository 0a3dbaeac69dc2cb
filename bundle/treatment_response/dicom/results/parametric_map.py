"""The map of one class as a Parametric Map: float32 in [0, 1], with a code that says what its values are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from highdicom.sr import CodeContentItem, CodedConcept, TextContentItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from treatment_response.dicom.results import frames
from treatment_response.dicom.results.codes import EVIDENCE, EXPLAINED_CLASS, class_code, coding_scheme
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem, Problem

CLASS_ACTIVATION = Code("130402", "DCM", "Class activation")
SERIES_NUMBERS = (9001, 9008, 9009, 9010)
"""Series Number of the map of each class, by the class's number; what lies between are the other objects."""


@dataclass(frozen=True)
class MapKind:
    """What the values of a map are.

    Attributes:
        word: for it in descriptions.
        quantity: its code.
    """

    word: str
    quantity: Code


CAM = MapKind("CAM", CLASS_ACTIVATION)
ANY_MAP = MapKind("map", EVIDENCE)
"""Of any explanation, such as occlusion or saliency, which are no class activations."""


def cam_parametric_map(
    source: MrSource,
    cam: np.ndarray,
    identity: ModelIdentity,
    *,
    variant: str,
    target: str,
    series_number: int = 9001,
    predictions: Sequence[str] = (),
    kind: MapKind = CAM,
) -> ParametricMap:
    """Make the Parametric Map of one class's map.

    Viewers paint its numbers with a rainbow of their own, so the class stands in its descriptions, its label and, as a
    code, in what its values are.

    One frame per slice of the source, in the order of its slices, also where the map is zero: OHIF lays frame n on
    slice n of the MR, whatever position or source image the frame states, so a map of the lesion's slices only would
    be shown shifted. A map that is zero everywhere is a valid answer, "no evidence", and gives a valid object.

    Args:
        source: the MR series that the map was computed on.
        cam: scaled map ``(I, J, K)`` on the MR's grid, finite, in [0, 1].
        variant: name of the explanation, such as ``gradcam`` or ``occlusion``.
        target: the class whose evidence it shows in all that was predicted.
        predictions: sentences on what was predicted, for the derivation's description.
        kind: what its values are.

    Raises:
        DataProblem: another grid, values that are not finite or not in [0, 1], a source that results cannot refer to,
            or weights and patient that must not mix.
    """
    frames.check_source(source, identity)
    frames.check_grid(cam, source, kind.word)
    _check_values(cam, kind)
    slices = range(cam.shape[2])
    dataset = ParametricMap(
        source_images=frames.nameless_images(source, slices),
        pixel_array=frames.planes(cam.astype(np.float32, copy=False)),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_mapping(variant, target, identity, kind)],
        window_center=0.5,
        window_width=1.0,
        content_label=kind.word.upper(),
        content_description=f"{kind.word} ({variant}) of {target}"[:64],
        content_qualification="RESEARCH",
        image_flavor=ImageFlavorValues.VOLUME,
        derived_pixel_contrast=DerivedPixelContrastValues.NONE,
        **frames.object_arguments(identity, f"{kind.word} {variant} {target} {identity.weights}", series_number),
    )
    text = f"{kind.word} {variant} of {target}, 0 to 1 on a scale fixed on training data. {identity.notice}"
    dataset.CodingSchemeIdentificationSequence = [coding_scheme()]
    _place(dataset, source, kind, _with_all_that_fit(text, predictions))
    frames.complete(dataset, source, identity)
    return dataset


def _check_values(cam: np.ndarray, kind: MapKind) -> None:
    low, high = (float(cam.min()), float(cam.max())) if cam.size else (0.0, 0.0)
    if not (low >= 0.0 and high <= 1.0):  # also true of NaN, which compares with nothing
        found = "values that are no numbers" if np.isnan([low, high]).any() else f"{low:.3g} to {high:.3g}"
        raise DataProblem(Problem(kind.word, f"expected values from 0 to 1, found {found}", "scale it first"))


def _mapping(variant: str, target: str, identity: ModelIdentity, kind: MapKind) -> RealWorldValueMapping:
    mapping = RealWorldValueMapping(
        lut_label=f"{kind.word} {target}"[:16],
        lut_explanation=f"{kind.word} {variant}, {target}"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=kind.quantity,
    )
    explained = CodeContentItem(CodedConcept.from_code(EXPLAINED_CLASS), CodedConcept.from_code(class_code(target)))
    mapping.QuantityDefinitionSequence.append(explained)
    for name, value in (
        (codes.DCM.AlgorithmName, identity.name),
        (codes.DCM.AlgorithmVersion, identity.version),
        (
            codes.DCM.AlgorithmParameters,
            f"{kind.word} variant {variant}, class {target}, trained on {identity.training_data}",
        ),
    ):
        mapping.QuantityDefinitionSequence.append(TextContentItem(name, value))
    return mapping


def _anatomy() -> Dataset:
    """Frame anatomy: without it dcmqi, and with it 3D Slicer, crashes on a Parametric Map."""
    item = Dataset()
    item.FrameLaterality = "U"
    item.AnatomicRegionSequence = [CodedConcept.from_code(codes.SCT.Brain)]
    return item


def _with_all_that_fit(text: str, sentences: Sequence[str]) -> str:
    """The text with as many sentences as a DICOM short text holds: half a sentence could end in half a probability."""
    for sentence in sentences:
        if len(text) + 1 + len(sentence) > frames.SHORT_TEXT:
            break
        text = f"{text} {sentence}"
    return text


def _place(dataset: Dataset, source: MrSource, kind: MapKind, description: str) -> None:
    """Refer each frame to its source image, and count the frames along the slices.

    highdicom writes no reference, and takes the first coordinate that agrees with any frame's for the frame's index.
    """
    dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy()]
    for k, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.DerivationImageSequence = [frames.derivation(source, k, kind.quantity, description)]
        frame.FrameContentSequence[0].DimensionIndexValues = [k + 1]
