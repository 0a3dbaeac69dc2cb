"""Read a DICOM Segmentation onto the grid of the MR that it was drawn on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from treatment_response.dicom.pixels import PixelsUnusable, decoded
from treatment_response.dicom.read_object import ObjectUnusable, read_object
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.problems import DataProblem, Problem

SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage (the latter is unknown to pydicom 2)."""
GRID_TOLERANCE = 0.1
"""Voxels by which a frame's corners may lie beside voxel centres of the MR: rounding of positions, never a shift."""

_MOST_BYTES = 4 << 30  # of all masks together
_SPACING_TOLERANCE = 0.05  # share of the slice distance, as for series


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes:
        mask: bool ``(I, J, K)`` on the MR's grid.
        property_type: meaning of the Segmented Property Type's code (``Neoplasm``), empty if there is none.
        algorithm_type: ``MANUAL``, ``SEMIAUTOMATIC``, ``AUTOMATIC``, or empty.
    """

    number: int
    label: str
    mask: np.ndarray
    property_type: str = ""
    algorithm_type: str = ""


def read_segmentation(source: Dataset | Path, image: Volume, where: str = "segmentation") -> tuple[Segment, ...]:
    """Read all segments of a binary or label map segmentation.

    Each frame is placed by its own position, orientation and pixel spacing, so frames may be fewer than the image's
    slices, in any order, flipped, cropped, or cut along another axis of the same grid.

    Args:
        source: a file, or its data set with pixel data.
        image: the MR in whose frame of reference the segmentation lies.
        where: how to call it in problems.

    Returns:
        The segments in the order of their numbers; a segment without voxels has an empty mask. Segment number 0 of a
        label map is its background and is left out.

    Raises:
        DataProblem: no segmentation, damaged, fractional, without segments, with frames of unknown segments or with
            two frames at one place, or on a grid whose voxels are not the image's.
    """
    try:
        dataset = source if isinstance(source, Dataset) else read_object(source)
        if dataset.get("SOPClassUID") not in SEGMENTATION_CLASSES:
            raise ValueError
        kind = str(dataset.get("SegmentationType") or "BINARY").strip().upper()
        described = [(int(item.SegmentNumber), item) for item in dataset.get("SegmentSequence") or []]
        if kind == "LABELMAP":
            described = [(number, item) for number, item in described if number != 0]
        _check(kind, [number for number, _ in described], image, where)
        frames = list(_frames(dataset))
    except DataProblem:
        raise
    except (ObjectUnusable, PixelsUnusable) as error:
        raise DataProblem(Problem(where, *error.args)) from None
    except Exception:  # a damaged file can fail anywhere inside the parser
        raise DataProblem(Problem(where, "is not a readable DICOM Segmentation", "export it again")) from None
    masks = {number: np.zeros(image.array.shape, dtype=bool) for number, _ in described}
    painted: dict[tuple[int, ...], np.ndarray] = {}
    for frame in frames:
        _paint(masks, painted, frame, image, where)
    return tuple(_segment(item, number, masks[number]) for number, item in sorted(described, key=lambda one: one[0]))


def _check(kind: str, numbers: list[int], image: Volume, where: str) -> None:
    """Refuse what is told before pixels are decoded."""
    if kind not in ("BINARY", "LABELMAP"):
        raise DataProblem(Problem(where, f"is {kind.lower()}, expected a binary segmentation", "export it as binary"))
    if not numbers:
        raise DataProblem(Problem(where, "describes no segment", "export it again"))
    if repeated := sorted({number for number in numbers if numbers.count(number) > 1}):
        what = f"describes two segments of number {repeated[0]}, so it is not known whose frames are whose"
        raise DataProblem(Problem(where, what, "export it with a number for each segment"))
    if len(numbers) * image.array.size > _MOST_BYTES:
        what = f"describes {len(numbers)} segments, whose masks need more than {_MOST_BYTES >> 30} GB"
        raise DataProblem(Problem(where, what, "export the lesions only"))


@dataclass(frozen=True)
class _Frame:
    """One frame: segment numbers ``(rows, columns)``, 0 outside, and where its pixels lie in RAS mm."""

    numbers: np.ndarray
    segment: int  # the one that the frame belongs to; 0 where its pixels tell
    position: np.ndarray
    along_row: np.ndarray
    down_column: np.ndarray
    spacing: float | None  # stated distance to the next slice


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    pixels = decoded(dataset)
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
        identification = macro("SegmentIdentificationSequence")
        segment = int(identification.ReferencedSegmentNumber) if identification is not None else 0
        if segment:
            values = np.where(values > 0, segment, 0)
        place, cosines, steps = (
            np.array(value, dtype=float)
            for value in (position.ImagePositionPatient, orientation.ImageOrientationPatient, measures.PixelSpacing)
        )
        if (place.shape, cosines.shape, steps.shape) != ((3,), (6,), (2,)) or not (steps > 0).all():
            raise ValueError("a place that is none")
        if not np.isfinite(np.concatenate([place, cosines, steps])).all():
            raise ValueError("a place that is not finite")
        yield _Frame(
            values,
            segment,
            flip_lps_ras(place),
            flip_lps_ras(cosines[:3]) * steps[1],
            flip_lps_ras(cosines[3:]) * steps[0],
            float(measures.SpacingBetweenSlices) if measures.get("SpacingBetweenSlices") else None,
        )


def _paint(
    masks: dict[int, np.ndarray], painted: dict[tuple[int, ...], np.ndarray], frame: _Frame, image: Volume, where: str
) -> None:
    """Set a frame's voxels in the masks of its segments; ``painted`` holds the frames so far by segment and place."""
    numbers = {int(number) for number in np.unique(frame.numbers[frame.numbers > 0])} | ({frame.segment} - {0})
    if unknown := sorted(numbers - set(masks)):
        what = f"has frames of segment {unknown[0]}, which it does not describe"
        raise DataProblem(Problem(where, what, "export it again"))
    start, steps = _on_grid(frame, image, where)
    index = start + np.argwhere(frame.numbers) @ steps
    if (index < 0).any() or (index >= image.array.shape).any():
        raise DataProblem(Problem(where, "reaches outside the MR", "segment the MR that is to be predicted"))
    key = (frame.segment, *start.tolist(), *steps.ravel().tolist())
    if key in painted and not np.array_equal(painted[key], frame.numbers):
        of = f" of segment {frame.segment}" if frame.segment else ""
        what = f"has two different frames{of} at one place, so it is not known which of them counts"
        raise DataProblem(Problem(where, what, "export it again"))
    painted[key] = frame.numbers
    filled = frame.numbers[frame.numbers != 0]
    for number in numbers:
        masks[number][tuple(index[filled == number].T)] = True


def _on_grid(frame: _Frame, image: Volume, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Index ``(3,)`` of a frame's first pixel in the image, and index steps ``(2, 3)`` per row and per column."""
    rows, columns = frame.numbers.shape
    inverse = np.linalg.inv(image.affine[:3, :3])
    start = (frame.position - image.affine[:3, 3]) @ inverse.T
    steps = np.stack([frame.down_column, frame.along_row]) @ inverse.T
    whole = np.rint(steps).astype(int)
    stray = np.abs(start - np.rint(start)) + np.abs(steps - whole).T @ [rows - 1, columns - 1]
    along_axes = sorted(np.abs(whole).sum(axis=0).tolist()) == [0, 1, 1]
    fits = along_axes and np.abs(whole).sum(axis=1).max() == 1 and stray.max() <= GRID_TOLERANCE
    # Thick slices whose planes happen to be some of the MR's would leave the ones between them empty.
    across = int(np.argmin(np.abs(steps).max(axis=0)))
    distance = image.spacing[across]
    if frame.spacing is not None and abs(frame.spacing - distance) > _SPACING_TOLERANCE * distance:
        fits = False
    if not fits:
        differences = "; ".join(_grid_differences(frame, image, start, steps, across))
        what = f"lies on another grid than the MR: its pixels are not the MR's voxels ({differences})"
        raise DataProblem(Problem(where, what, "resample it to the MR's grid, or draw on the MR"))
    return np.rint(start).astype(int), whole


def _grid_differences(frame: _Frame, image: Volume, start: np.ndarray, steps: np.ndarray, across: int) -> Iterator[str]:
    """How a frame's grid differs from the image's: spacing, slice distance, direction, else where it starts."""
    axes = np.argmax(np.abs(steps), axis=1)
    own = np.array([np.linalg.norm(frame.down_column), np.linalg.norm(frame.along_row)])
    expected = image.spacing[axes]
    same = True
    if (np.abs(own - expected) > 0.001 * expected).any():
        same = False
        yield f"pixels of {own[0]:.3f} × {own[1]:.3f} mm, the MR's {expected[0]:.3f} × {expected[1]:.3f} mm"
    distance = image.spacing[across]
    if frame.spacing is not None and abs(frame.spacing - distance) > _SPACING_TOLERANCE * distance:
        same = False
        yield f"slices {frame.spacing:.2f} mm apart, the MR's {distance:.2f} mm"
    directions = image.affine[:3, axes].T / expected[:, None]
    cosines = np.abs(np.sum(np.stack([frame.down_column, frame.along_row]) / own[:, None] * directions, axis=1))
    angle = float(np.degrees(np.arccos(np.clip(cosines.min(), 0, 1))))
    if angle > 0.05:
        same = False
        yield f"turned by {angle:.1f}°"
    if same:
        shift = (start - np.rint(start)) * image.spacing
        yield "shifted by " + ", ".join(f"{abs(value):.2f}" for value in shift) + " mm along the MR's axes"


def _segment(item: Dataset, number: int, mask: np.ndarray) -> Segment:
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
    label = str(item.get("SegmentLabel") or "").strip() or f"segment {number}"
    kind = str(kinds[0].get("CodeMeaning") or "").strip()
    return Segment(number, label, mask, kind, str(item.get("SegmentAlgorithmType") or "").strip().upper())
