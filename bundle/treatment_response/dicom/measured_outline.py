"""Measure one outline on its MR, and say what a reader has to know of how it was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import shapely
from scipy import ndimage

from treatment_response.cohort.label_map import ISLAND_MM, separate_parts
from treatment_response.cohort.masks import scan_from_mask
from treatment_response.geometry import Volume, bounding_box, planimetric_volume, rasterise, surface_area
from treatment_response.geometry.contour_stack import ContourStack, common_normal, stack_contours
from treatment_response.geometry.plane_region import plane_region

# Counting voxels errs by chance, by so many voxels times the root of their number at the surface. Balls and ellipsoids
# of 3 to 15 mm radius pass this in less than 1 % of cases. Between the image's slices, the edges of slabs err too.
_COUNTING_LIMIT, _COUNTING_LIMIT_BETWEEN_SLICES = 1.0, 1.9
# What is flat and lies along the grid errs more, and so little matters to no label.
_LEAST_DIFFERENCE = 0.03
_ON_SLICE = 0.1  # of a slice distance: positions are rounded
_OUTSIDE_SHARE = 0.01


@dataclass(frozen=True)
class MeasuredOutline:
    """One outline on an MR.

    Attributes:
        mask: uint8 ``(I, J, K)`` on the MR's grid; empty where the outline lies between the voxels' centres.
        volume_mm3: by planimetry of contours, or of counted voxels.
        area_mm2: of its surface.
        notes: what was guessed, or looks odd, one sentence without subject each: ``is drawn on one plane only …``.
        outside_mm3: how much of the volume lies outside the MR.
    """

    mask: Volume
    volume_mm3: float
    area_mm2: float
    notes: tuple[str, ...] = ()
    outside_mm3: float = 0.0


def measure_contours(contours: Sequence[np.ndarray], image: Volume) -> MeasuredOutline:
    """Measure a region that is given by contours.

    Args:
        contours: closed and planar, ``(N ≥ 3, 3)`` RAS mm each.
        image: the MR that they were drawn on.

    Raises:
        ValueError: there are no contours, they enclose no area or are not parallel, or all of it lies outside the MR.
            The text is why, without subject.
    """
    if not contours:
        raise ValueError("there are no contours")
    try:
        return _measured(contours, image)
    except shapely.errors.GEOSException:
        raise ValueError("its contours are too tangled to enclose a region") from None


def _measured(contours: Sequence[np.ndarray], image: Volume) -> MeasuredOutline:
    slice_distance = _slice_distance(contours, image)
    volume = planimetric_volume(contours, slice_distance=slice_distance)
    area = surface_area(contours, slice_distance=slice_distance)
    array = rasterise(contours, image.affine, image.array.shape, slice_distance=slice_distance)
    stack = stack_contours(contours, slice_distance=slice_distance)
    outside = volume - _inside_mm3(stack, image) if _reaches_outside(contours, image) else 0.0
    if outside >= volume * (1 - 1e-6):
        raise ValueError("all of it lies outside the MR")
    if outside <= max(image.voxel_volume, _OUTSIDE_SHARE * volume):
        outside = 0.0
    mask = Volume(array.astype(np.uint8), image.affine)
    on_slices = stack.spacing < 1.5 * slice_distance and _lie_on_slices(contours, image)
    limit = _COUNTING_LIMIT if on_slices else _COUNTING_LIMIT_BETWEEN_SLICES
    notes = [
        *_notes_on_planes(stack, slice_distance),
        *_notes_on_volumes(mask, volume, outside, limit),
        *_notes_on_parts(mask),
    ]
    return MeasuredOutline(mask, volume, area, tuple(notes), outside)


def measure_mask(mask: np.ndarray, image: Volume) -> MeasuredOutline:
    """Measure a region that is given by voxels: volume by counting them, surface by marching cubes.

    Args:
        mask: bool ``(I, J, K)`` on the MR's grid.
        image: the MR.

    Raises:
        ValueError: no voxel is set.
    """
    scan = scan_from_mask(Volume(mask, image.affine))
    if not scan.volume_mm3:
        raise ValueError("it is empty: no voxel is set")
    notes = [*_notes_on_slices(mask), *_notes_on_edge(mask), *_notes_on_parts(scan.mask)]
    return MeasuredOutline(scan.mask, scan.volume_mm3, scan.area_mm2, tuple(notes))


def _slice_distance(contours: Sequence[np.ndarray], image: Volume) -> float:
    """Distance in mm between the image's slices, along the axis that runs across the contours."""
    return float(image.spacing[_axis_across(contours, image)])


def _axis_across(contours: Sequence[np.ndarray], image: Volume) -> int:
    return int(np.argmax(np.abs(common_normal(contours) @ (image.affine[:3, :3] / image.spacing))))


def _lie_on_slices(contours: Sequence[np.ndarray], image: Volume) -> bool:
    """Whether all points lie on slices of the image."""
    index = image.to_index(np.concatenate(contours))[:, _axis_across(contours, image)]
    return bool(np.abs(index - np.rint(index)).max() < _ON_SLICE)


def _notes_on_planes(stack: ContourStack, slice_distance: float) -> list[str]:
    notes = []
    crossing = sum(plane.contours.crossing for plane in stack.planes)
    copied = sum(plane.contours.copied for plane in stack.planes)
    if crossing:
        notes.append(f"has contours that cross each other on {_planes(crossing)}; all that they enclose was taken")
    if copied:
        notes.append(f"has contours that repeat others on {_planes(copied)}; each was taken once")
    if stack.has_parts_off_planes:
        distance = f"as near as {stack.too_near_mm:.2f} mm to those of others"
        notes.append(
            f"has parts on planes {distance}, between slices {slice_distance:.2f} mm apart; taken as one plane"
        )
    elif stack.too_near_mm:
        distances = f"as near as {stack.too_near_mm:.2f} mm, on slices {slice_distance:.2f} mm apart"
        notes.append(f"has overlapping contours on planes {distances}; each stands for half the way to its neighbours")
    if len(stack.planes) == 1:
        notes.append(
            f"is drawn on one plane only; {stack.spacing:.2f} mm, the slice distance, is taken as its thickness"
        )
    elif stack.spacing > 1.5 * slice_distance:
        apart = f"{stack.spacing:.2f} mm apart on slices {slice_distance:.2f} mm apart"
        notes.append(f"is drawn on planes {apart}: about every {_ordinal(round(stack.spacing / slice_distance))} slice")
    return [*notes, *_notes_on_gaps(stack)]


def _notes_on_gaps(stack: ContourStack) -> list[str]:
    notes = []
    gaps = [(below, above, above.offset - below.offset) for below, above in pairwise(stack.planes)]
    wide = [(below, above, gap) for below, above, gap in gaps if gap > 1.5 * stack.spacing]
    filled = sum(round(gap / stack.spacing) - 1 for below, above, gap in wide if below.upper == above.lower)
    if filled:
        count = "1 slice" if filled == 1 else f"{filled} slices"
        notes.append(f"misses {count} in the middle, filled from the slices beside them")
    left_open = [
        gap
        for below, above, gap in wide
        if below.upper != above.lower and plane_region(below.polygons).intersects(plane_region(above.polygons))
    ]
    if left_open:
        notes.append(
            f"misses slices in the middle over {max(left_open):.1f} mm, too many to be filled; they count as empty"
        )
    return notes


def _notes_on_volumes(mask: Volume, volume: float, outside: float, limit: float) -> list[str]:
    """Where a part lies outside the MR, and whether the voxels inside hold the rest of the volume."""
    notes = []
    if outside:
        share = f"{outside / volume:.0%} of its volume, {outside:.0f} of {volume:.0f} mm³,"
        notes.append(f"its outline reaches outside the MR: {share} lies there and is in no voxel")
    counted = float(mask.array.sum()) * mask.voxel_volume
    expected = volume - outside
    if not counted:
        notes.append("lies between the voxels' centres, so its mask is empty")
    elif abs(counted - expected) > max(limit * _counting_noise(mask), _LEAST_DIFFERENCE * expected):
        notes.append(
            f"has {counted:.0f} mm³ by its voxels and {expected:.0f} mm³ by its contours, beyond counting noise"
        )
    return notes if outside else [*notes, *_notes_on_edge(mask.array)]


def _counting_noise(mask: Volume) -> float:
    """What the error of a counted volume in mm³ is proportional to: the root of the number of surface voxels."""
    inside = mask.array[bounding_box(mask.array)] > 0
    surface = int((inside & ~ndimage.binary_erosion(inside)).sum())
    return float(np.sqrt(surface)) * mask.voxel_volume


def _notes_on_edge(mask: np.ndarray) -> list[str]:
    edges = [mask.take(index, axis=axis) for axis in range(3) for index in (0, -1)]
    touches = any(edge.any() for edge in edges)
    return ["touches the edge of the MR, so what lies beyond is not in it"] if touches else []


def _notes_on_slices(mask: np.ndarray) -> list[str]:
    filled = np.flatnonzero(mask.any(axis=(0, 1)))
    empty = int(filled[-1] - filled[0] + 1 - len(filled))
    return [f"is empty on {_planes(empty)} between its first and last one"] if empty else []


def _notes_on_parts(mask: Volume) -> list[str]:
    count = len(separate_parts(mask))
    apart = f"{ISLAND_MM:.0f} mm apart, which may be lesions of their own"
    return [f"is in {count} parts more than {apart}"] if count > 1 else []


def _reaches_outside(contours: Sequence[np.ndarray], image: Volume) -> bool:
    index = image.to_index(np.concatenate(contours))
    return bool((index < -0.5).any() or (index > np.array(image.array.shape) - 0.5).any())


def _inside_mm3(stack: ContourStack, image: Volume) -> float:
    """The part of a region's volume that lies inside the image: each plane's area inside, times its thickness."""
    ends = [(-0.5, size - 0.5) for size in image.array.shape]
    corners = {index: stack.axes @ image.to_world(np.array([index]))[0] for index in product(*ends)}
    edges = [
        (a, b) for a, b in product(corners, corners) if a < b and sum(x != y for x, y in zip(a, b, strict=True)) == 1
    ]
    lines = np.array([(corners[a], corners[b]) for a, b in edges])  # (12, 2, 3) along u, v, n
    low, high = lines[:, :, 2].min(), lines[:, :, 2].max()
    inside = 0.0
    for plane in stack.planes:
        if not low <= plane.offset <= high:
            continue
        start, end = lines[:, 0], lines[:, 1]
        rise = end[:, 2] - start[:, 2]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (plane.offset - start[:, 2]) / rise
        cut = (share >= 0) & (share <= 1)
        points = start[cut, :2] + share[cut, None] * (end[cut, :2] - start[cut, :2])
        section = shapely.MultiPoint(points).convex_hull
        inside += plane_region(plane.polygons).intersection(section).area * plane.thickness
    return inside


def _planes(number: int) -> str:
    return "1 plane" if number == 1 else f"{number} planes"


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
