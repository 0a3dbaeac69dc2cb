"""Read a DICOM Segmentation onto the grid of the MR that it was drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from treatment_response.dicom.headers import state_transfer_syntax
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage (the latter is unknown to pydicom 2)."""
GRID_TOLERANCE = 0.1
"""Voxels by which a frame's corners may lie beside voxel centres of the MR: rounding of positions, never a shift."""

_SPACING_TOLERANCE = 0.05  # share of the slice distance, as for series


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        mask: bool ``(I, J, K)`` on the MR's grid.
        property_type: meaning of the Segmented Property Type's code (``Neoplasm``), empty if there is none.
    """

    number: int
    label: str
    mask: np.ndarray
    property_type: str = ""


def read_segmentation(source: Dataset | Path, image: Volume, where: str = "segmentation") -> tuple[Segment, ...]:
    """Read all segments of a binary or label map segmentation.

    Each frame is placed by its own position, orientation and pixel spacing, so frames may be fewer than the image's
    slices, in any order, flipped, cropped, or cut along another axis of the same grid.

    Args:
        source: a file, or its data set with pixel data.
        image: the MR in whose frame of reference the segmentation lies.
        where: how to call it in problems.

    Returns:
        The segments in the order of their numbers; a segment without frames has an empty mask.

    Raises:
        DataProblem: no segmentation, damaged, fractional, or on a grid whose voxels are not the image's.
    """
    try:
        dataset = source if isinstance(source, Dataset) else dcmread(source, force=True)
        if dataset.get("SOPClassUID") not in SEGMENTATION_CLASSES:
            raise ValueError
        kind = str(dataset.get("SegmentationType") or "BINARY").upper()
        described = {int(item.SegmentNumber): item for item in dataset.SegmentSequence}
        frames = list(_frames(dataset)) if kind in ("BINARY", "LABELMAP") else []
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(where, "is not a readable DICOM Segmentation", "export it again")) from None
    if kind not in ("BINARY", "LABELMAP"):
        raise DataProblem(Problem(where, f"is {kind.lower()}, expected a binary segmentation", "export it as binary"))
    masks = {number: np.zeros(image.array.shape, dtype=bool) for number in described}
    for frame in frames:
        _paint(masks, frame, image, where)
    return tuple(_segment(described[number], number, masks[number]) for number in sorted(described))


@dataclass(frozen=True)
class _Frame:
    """One frame: segment numbers ``(rows, columns)``, 0 outside, and where its pixels lie in RAS mm."""

    numbers: np.ndarray
    position: np.ndarray
    along_row: np.ndarray
    down_column: np.ndarray
    spacing: float | None  # stated distance to the next slice


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    if hasattr(dataset, "file_meta"):
        state_transfer_syntax(dataset)
    pixels = dataset.pixel_array.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    if len(groups) != len(pixels):
        raise ValueError("frames without functional groups")
    for values, own in zip(pixels, groups, strict=True):

        def macro(keyword: str, own: Dataset = own) -> Dataset | None:
            return next((group[keyword].value[0] for group in (own, shared) if group.get(keyword)), None)

        position, orientation, measures = (
            macro(keyword) for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        )
        if position is None or orientation is None or measures is None:
            raise ValueError("a frame without a place")
        segment = macro("SegmentIdentificationSequence")
        if segment is not None:
            values = np.where(values > 0, int(segment.ReferencedSegmentNumber), 0)
        rows, columns = (float(value) for value in measures.PixelSpacing)
        cosines = np.array(orientation.ImageOrientationPatient, dtype=float)
        yield _Frame(
            values,
            flip_lps_ras(np.array(position.ImagePositionPatient, dtype=float)),
            flip_lps_ras(cosines[:3]) * columns,
            flip_lps_ras(cosines[3:]) * rows,
            float(measures.SpacingBetweenSlices) if measures.get("SpacingBetweenSlices") else None,
        )


def _paint(masks: dict[int, np.ndarray], frame: _Frame, image: Volume, where: str) -> None:
    """Set a frame's voxels in the masks of its segments."""
    rows, columns = frame.numbers.shape
    inverse = np.linalg.inv(image.affine[:3, :3])
    start = (frame.position - image.affine[:3, 3]) @ inverse.T
    steps = np.stack([frame.down_column, frame.along_row]) @ inverse.T  # index steps per row and per column
    whole = np.rint(steps).astype(int)
    stray = np.abs(start - np.rint(start)) + np.abs(steps - whole).T @ [rows - 1, columns - 1]
    fits = np.abs(whole).sum(axis=1).tolist() == [1, 1] and stray.max() <= GRID_TOLERANCE
    if fits and frame.spacing is not None:
        # Thick slices whose planes happen to be some of the MR's would leave the ones between them empty.
        across = int(np.flatnonzero(np.abs(whole).sum(axis=0) == 0)[0])
        fits = abs(frame.spacing - image.spacing[across]) <= _SPACING_TOLERANCE * image.spacing[across]
    if not fits:
        what = "lies on another grid than the MR: its pixels are not the MR's voxels"
        raise DataProblem(Problem(where, what, "resample it to the MR's grid, or draw on the MR"))
    inside = np.argwhere(frame.numbers)
    if not len(inside):
        return
    index = np.rint(start).astype(int) + inside @ whole
    if (index < 0).any() or (index >= image.array.shape).any():
        raise DataProblem(Problem(where, "reaches outside the MR", "segment the MR that is to be predicted"))
    for number in np.unique(frame.numbers[frame.numbers > 0]):
        if int(number) in masks:
            chosen = index[frame.numbers[tuple(inside.T)] == number]
            masks[int(number)][tuple(chosen.T)] = True


def _segment(item: Dataset, number: int, mask: np.ndarray) -> Segment:
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
    label = str(item.get("SegmentLabel") or "").strip() or f"segment {number}"
    kind = str(kinds[0].get("CodeMeaning") or "").strip()
    return Segment(number, label, mask, kind)
