"""Binary segmentations: the bands of a CAM with their colours, and the outlines that were predicted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from highdicom import UID
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from skimage.color import rgb2lab

from treatment_response.class_colours import OUTLINES
from treatment_response.dicom.plain_text import printable
from treatment_response.dicom.results import frames
from treatment_response.dicom.results.model import Maker, ModelIdentity
from treatment_response.dicom.results.parametric_map import CAM, MapKind
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem, Problem


def bands_segmentation(
    source: MrSource,
    bands: np.ndarray,
    names: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    identity: ModelIdentity,
    *,
    variant: str,
    target: str,
    series_number: int = 9002,
    kind: MapKind = CAM,
) -> Segmentation:
    """Make the segmentation of a map's bands.

    Segment n is band n, also where a band holds no voxel, so that a number means the same in every patient. Slices
    without any band are left out; if all are (no evidence), one empty slice is stored, because an object needs a frame.

    Args:
        bands: ``(I, J, K)`` uint8 on the MR's grid; 0 = no evidence or outside, n = band n.
        names: of the bands, low to high.
        colours: RGB 0 to 255, one per name.
        variant: as in :func:`~treatment_response.dicom.results.parametric_map.cam_parametric_map`.
        target: the class that is shown everywhere, or ``predicted class``; the names say which a band is of.
        kind: what the map's values are.

    Raises:
        DataProblem: another grid, a band without a name, names and colours that do not pair up, a source that results
            cannot refer to, or weights and patient that must not mix.
    """
    frames.check_source(source, identity)
    frames.check_grid(bands, source, "bands")
    if not names or len(names) != len(colours) or int(bands.max(initial=0)) > len(names) or bands.min(initial=0) < 0:
        what = f"{len(names)} names and {len(colours)} colours do not fit values up to {bands.max(initial=0)}"
        raise DataProblem(Problem("bands", what, "give each band a name and a colour"))
    text = f"{kind.word} {variant} of {target}, {{name}}, a band of {len(names)}. {identity.notice}"
    segments = [
        segment_description(
            number,
            name,
            colour,
            identity,
            text.format(name=name),
            codes.SCT.SpatialAndRelationalConcept,
            kind.quantity,
            SegmentAlgorithmTypeValues.AUTOMATIC,
        )
        for number, (name, colour) in enumerate(zip(names, colours, strict=True), start=1)
    ]
    slices = _touched(bands) or [bands.shape[2] // 2]
    title = f"{kind.word} bands {variant} {target} {identity.weights}"
    return binary_segmentation(
        source,
        frames.planes(bands.astype(np.uint8, copy=False), slices),
        slices,
        segments,
        identity,
        title,
        f"{kind.word.upper()}_BANDS",
        series_number,
    )


def lesions_segmentation(
    source: MrSource,
    masks: Mapping[str, np.ndarray],
    identity: ModelIdentity,
    *,
    by_hand: Collection[str] = (),
    series_number: int = 9003,
) -> Segmentation:
    """Make the segmentation of the outlines that were predicted, one segment per lesion; they may overlap.

    The outlines came from outside (a structure set, a label, a click); the algorithm's part is to have drawn them on
    the MR's grid. They are stored so that a report can refer to exactly what the model was given.

    Args:
        masks: name of the region → ``(I, J, K)`` bool on the MR's grid, in the order of the segments.
        by_hand: names of the regions that a person drew: they are MANUAL, and name no algorithm.

    Raises:
        DataProblem: no outline, an empty one, one on another grid; else as :func:`bands_segmentation`.
    """
    frames.check_source(source, identity)
    if not masks:
        raise DataProblem(Problem("outlines", "expected at least one lesion, found none", "predict a lesion first"))
    for name, mask in masks.items():
        frames.check_grid(mask, source, f"outline '{name}'")
        if not mask.any():
            raise DataProblem(Problem(f"outline '{name}'", "it holds no voxel of the MR", "draw it on this series"))
    text = f"Outline that the model was given, drawn on the grid of the MR; not made by the model. {identity.notice}"
    segments = [
        segment_description(
            number,
            name,
            OUTLINES[(number - 1) % len(OUTLINES)],
            identity,
            text,
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Lesion,
            SegmentAlgorithmTypeValues.MANUAL if name in by_hand else SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        )
        for number, name in enumerate(masks, start=1)
    ]
    slices, pixels = outline_frames(list(masks.values()))
    title = f"outlines given to the model {identity.weights}"
    return binary_segmentation(source, pixels, slices, segments, identity, title, "OUTLINES", series_number)


def outline_frames(masks: Sequence[np.ndarray]) -> tuple[list[int], np.ndarray]:
    """The slices that masks ``(I, J, K)`` touch, and the frames of these: numbers 1, 2, …, or masks if they overlap."""
    slices = _touched(*masks)
    return slices, _numbered([frames.planes(mask.astype(bool, copy=False), slices) for mask in masks])


def segment_label(name: str) -> str:
    """A region's name as the label of its segment: 64 characters, none that DICOM has another use for (PS3.5, 6.2)."""
    return printable(name.replace("\\", "/"))[:64].strip()


def segment_description(
    number: int,
    name: str,
    colour: tuple[int, int, int],
    identity: ModelIdentity | None,
    text: str,
    category: Code,
    kind: Code,
    algorithm_type: SegmentAlgorithmTypeValues,
) -> SegmentDescription:
    """One segment; ``identity`` is the model, if the segment is not drawn by hand.

    Args:
        colour: RGB 0 to 255.
        text: Segment Description.
        category: Segmented Property Category. kind: Segmented Property Type.
    """
    manual = algorithm_type is SegmentAlgorithmTypeValues.MANUAL
    label = segment_label(name)
    segment = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=algorithm_type,
        algorithm_identification=None if manual or identity is None else identity.algorithm(),
        tracking_uid=UID(),
        tracking_id=label,
    )
    segment.SegmentDescription = text[: frames.SHORT_TEXT]
    segment.RecommendedDisplayCIELabValue = _cielab(colour)
    return segment


def _cielab(colour: tuple[int, int, int]) -> list[int]:
    """RGB 0 to 255 as DICOM's 16-bit CIELab (PS3.3 C.10.7.1.1), white point D65 as in the viewers that read it."""
    lightness, a, b = rgb2lab(np.array(colour) / 255.0)
    return [round(lightness * 65535 / 100), round((a + 128) * 65535 / 255), round((b + 128) * 65535 / 255)]


def _touched(*arrays: np.ndarray) -> list[int]:
    """The slices in which any of the arrays ``(I, J, K)`` is not zero."""
    return [int(k) for k in np.flatnonzero(np.any([array.any(axis=(0, 1)) for array in arrays], axis=0))]


def _numbered(masks: list[np.ndarray]) -> np.ndarray:
    """Masks ``(K, rows, columns)`` as one array of numbers 1, 2, …; where they overlap, ``(K, rows, columns, n)``."""
    numbers = np.zeros(masks[0].shape, dtype=np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, start=1):
        if numbers[mask].any():
            return np.stack(masks, axis=3).astype(np.uint8)
        numbers[mask] = number
    return numbers


def binary_segmentation(
    source: MrSource,
    pixels: np.ndarray,
    slices: Sequence[int],
    segments: Sequence[SegmentDescription],
    maker: Maker,
    title: str,
    label: str,
    series_number: int,
) -> Segmentation:
    """Make a segmentation of the MR.

    Args:
        pixels: frames ``(K, rows, columns)`` of segment numbers, or ``(K, rows, columns, n)`` of masks.
        slices: of the MR, one per frame.
        maker: the software that it is made with.
        title: its description.
        label: Content Label, at most 16 capitals.
    """
    dataset = Segmentation(
        source_images=frames.nameless_images(source, slices),
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=list(segments),
        content_label=label,
        content_description=title[:64],
        content_qualification="RESEARCH",
        **frames.object_arguments(maker, title, series_number),
    )
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        # For a multi-frame source highdicom counts the frames that it was given; the object counts its own.
        image = frame.DerivationImageSequence[0].SourceImageSequence[0]
        if "ReferencedFrameNumber" in image:
            image.ReferencedFrameNumber = source.images[slices[image.ReferencedFrameNumber - 1]].frame
    frames.complete(dataset, source, maker)
    return Segmentation.from_dataset(dataset, copy=False)
