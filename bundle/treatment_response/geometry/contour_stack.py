"""Contours ordered by plane, and the slab that each plane stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from treatment_response.geometry.plane_region import PlaneContours, plane_region, settle_contours, valid_polygon

# Contours this close along the normal are in one plane: coordinates are often rounded to 0.01 mm.
_SAME_PLANE_MM = 0.1
MISSING_SLICES = 3.5
"""A gap of up to this many plane distances is undrawn slices of one region, a wider one separates two parts."""
# Planes nearer than this share of the plane distance are no neighbouring slices. Parts that are drawn half a slice
# apart must fall on one side of it, whatever the rounding.
_TOO_NEAR = 0.6
# How many planes up the next contour of a part is looked for: other parts' planes may lie between.
_LOOK_UP = 6


@dataclass(frozen=True)
class ContourPlane:
    """The contours of one plane and the slab that they stand for.

    Attributes:
        offset: position along the normal in mm; ``lower`` ≤ offset < ``upper`` bound the slab.
        contours: in-plane coordinates in mm along ``ContourStack.axes``.
    """

    offset: float
    lower: float
    upper: float
    contours: PlaneContours

    @property
    def polygons(self) -> tuple[np.ndarray, ...]:
        """``(N, 2)`` in mm each; their XOR is the region."""
        return self.contours.polygons

    @property
    def thickness(self) -> float:
        """Thickness of the slab in mm."""
        return self.upper - self.lower


@dataclass(frozen=True)
class ContourStack:
    """A region as parallel planes, ascending along the normal.

    Attributes:
        axes: ``(3, 3)`` rows u, v, n: right-handed unit vectors (RAS), n the normal.
        spacing: usual distance between neighbouring planes in mm.
        too_near_mm: smallest distance in mm between planes that are too near to be neighbouring slices; 0 if none are.
        has_parts_off_planes: whether such planes hold separate parts and were taken as one.
    """

    axes: np.ndarray
    spacing: float
    planes: tuple[ContourPlane, ...]
    too_near_mm: float = 0.0
    has_parts_off_planes: bool = False


def _area_vector(points: np.ndarray) -> np.ndarray:
    """Newell's formula: normal of a planar polygon, as long as its area in mm²."""
    centred = points - points.mean(axis=0)
    products = centred.T @ np.roll(centred, -1, axis=0)  # the sum of p × q over the edges is its antisymmetric part
    return (products[[1, 2, 0], [2, 0, 1]] - products[[2, 0, 1], [1, 2, 0]]) / 2


def common_normal(contours: Sequence[np.ndarray]) -> np.ndarray:
    """Unit vector ``(3,)`` across the planes of contours; its largest component is positive.

    Raises:
        ValueError: the contours enclose no area.
    """
    vectors = np.array([_area_vector(points) for points in contours])
    largest = vectors[np.argmax(np.linalg.norm(vectors, axis=1))]
    total = (vectors * np.where(vectors @ largest < 0, -1.0, 1.0)[:, None]).sum(axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-9:
        raise ValueError("the contours enclose no area")
    normal = total / length
    return normal * np.sign(normal[np.argmax(np.abs(normal))])


def stack_contours(
    contours: Sequence[np.ndarray],
    *,
    spacing: float | None = None,
    slice_distance: float | None = None,
    along: np.ndarray | None = None,
) -> ContourStack:
    """Order contours by plane and find the slab of each plane.

    Between two planes the slabs meet half-way, so slices left out in the middle are filled from both sides; a gap wider
    than 3.5 plane distances, or one across which the region does not overlap itself, separates two parts. At the ends a
    slab reaches half a plane distance beyond its plane.

    Separate parts may lie on planes of their own, a little off those of the others. Where the image's slice distance is
    known, planes too near each other to be neighbouring slices are taken as one, at their middle, unless their contours
    overlap.

    Args:
        contours: at least one ``(N ≥ 3, 3)`` RAS mm.
        spacing: plane distance in mm, used only if all contours lie in one plane; None is ``slice_distance``.
        slice_distance: distance in mm between slices of the image that was drawn on, if known. It bounds the plane
            distance where the contours do not tell it: planes that are much nearer, or that are few and far apart.
        along: direction ``(3,)`` to which u is as parallel as the plane allows; None is any.

    Raises:
        ValueError: no contours, no area, contours that are not parallel, or one plane and no ``spacing``.
    """
    if not contours:
        raise ValueError("there are no contours")
    normal = common_normal(contours)
    if along is None:
        along = np.eye(3)[np.argmin(np.abs(normal))]
    u = along - (along @ normal) * normal
    u /= np.linalg.norm(u)
    axes = np.stack([u, np.cross(normal, u), normal])
    local = [points @ axes.T for points in contours]
    offsets = np.array([float(points[:, 2].mean()) for points in local])
    tilt = max(float(np.abs(points[:, 2] - offset).max()) for points, offset in zip(local, offsets, strict=True))
    if tilt > 0.5:
        raise ValueError(f"the contours are not parallel planes (points up to {tilt:.1f} mm off theirs)")
    order = np.argsort(offsets, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(offsets[order]) > _SAME_PLANE_MM) + 1)
    polygons = [tuple(local[i][:, :2] for i in group) for group in groups]
    centres = np.array([offsets[group].mean() for group in groups])
    gaps = np.diff(centres)
    if not len(gaps):
        usual = slice_distance if spacing is None else spacing
        if usual is None:
            raise ValueError("all contours lie in one plane, so their thickness is unknown; give the slice spacing")
        return ContourStack(axes, usual, _slabs(centres, polygons, usual))
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    if slice_distance is None:
        return ContourStack(axes, usual, _slabs(centres, polygons, usual))
    regions = [[valid_polygon(points) for points in plane] for plane in polygons]
    part_distance = _part_distance(centres, regions, slice_distance)
    too_near = _TOO_NEAR * min(part_distance, slice_distance)
    if gaps.min() >= too_near:
        if usual > MISSING_SLICES * slice_distance and not _is_regular(gaps, usual):
            usual = slice_distance
        return ContourStack(axes, usual, _slabs(centres, polygons, usual))
    taken = _planes_taken_as_one(centres, regions, too_near)
    polygons = [tuple(points for i in plane for points in polygons[i]) for plane in taken]
    centres = np.array([(centres[plane[0]] + centres[plane[-1]]) / 2 for plane in taken])
    slabs = _slabs(centres, polygons, part_distance)
    return ContourStack(axes, part_distance, slabs, float(gaps.min()), len(centres) < len(gaps) + 1)


def _slabs(centres: np.ndarray, polygons: Sequence[tuple[np.ndarray, ...]], usual: float) -> tuple[ContourPlane, ...]:
    settled = [settle_contours(plane) for plane in polygons]
    lower, upper = centres - usual / 2, centres + usual / 2
    for i, gap in enumerate(np.diff(centres)):
        near = gap <= 1.5 * usual
        if near or (gap <= MISSING_SLICES * usual and _overlap(settled[i], settled[i + 1])):
            upper[i] = lower[i + 1] = (centres[i] + centres[i + 1]) / 2
    bounds = zip(centres.tolist(), lower.tolist(), upper.tolist(), settled, strict=True)
    return tuple(ContourPlane(*values) for values in bounds)


def _overlap(one: PlaneContours, other: PlaneContours) -> bool:
    return bool(plane_region(one.polygons).intersects(plane_region(other.polygons)))


def _part_distance(centres: np.ndarray, regions: Sequence[Sequence[shapely.Geometry]], slice_distance: float) -> float:
    """Usual distance in mm from a contour to the next one of its part: the nearest above that overlaps it.

    Where at least a quarter of these distances are larger than the usual one, the planes are uneven, and the slices of
    the image decide, as far as the larger distances agree with them.
    """
    trees = [shapely.STRtree(plane) for plane in regions]
    distances: list[float] = []
    for i, plane in enumerate(regions):
        waiting = list(plane)
        for j in range(i + 1, min(i + 1 + _LOOK_UP, len(regions))):
            followed = set(trees[j].query(waiting, predicate="intersects")[0].tolist())
            distances += [float(centres[j] - centres[i])] * len(followed)
            waiting = [region for number, region in enumerate(waiting) if number not in followed]
            if not waiting:
                break
    if not distances:
        return float(np.diff(centres).min())
    distances.sort()
    usual, larger = distances[(len(distances) - 1) // 2], distances[3 * (len(distances) - 1) // 4]
    return max(usual, min(slice_distance, larger))


def _planes_taken_as_one(
    centres: np.ndarray, regions: Sequence[Sequence[shapely.Geometry]], limit: float
) -> list[list[int]]:
    """Indices of planes, together where they lie within a limit and none of their regions overlap."""
    taken: list[list[int]] = [[0]]
    for i in range(1, len(centres)):
        below = shapely.STRtree([region for j in taken[-1] for region in regions[j]])
        apart = not below.query(regions[i], predicate="intersects").size
        if apart and centres[i] - centres[taken[-1][0]] <= limit:
            taken[-1].append(i)
        else:
            taken.append([i])
    return taken


def _is_regular(gaps: np.ndarray, usual: float) -> bool:
    """Whether the usual gap is seen twice at least, so that it is how the region was drawn."""
    return int(np.count_nonzero(np.abs(gaps - usual) < 0.1 * usual)) > 1
