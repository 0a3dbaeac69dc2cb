"""The region that the contours of one plane enclose: holes, parts, and copies that were left over from editing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import shapely
from scipy.cluster.hierarchy import DisjointSet

# Contours that share less, or of which less sticks out, only touch: coordinates are rounded.
_TOUCHING_MM = 0.1
# A thinner rim is no tissue but an outline and its copy; the second is for regions that are nearly equal.
_COPY_MM, _EQUAL_COPY_MM = 0.5, 1.0
_NEARLY_EQUAL = 0.9  # intersection over union
_MOST_IN_TURN = 64


@dataclass(frozen=True)
class PlaneContours:
    """Contours of one plane whose XOR is the region.

    Attributes:
        polygons: ``(N, 2)`` in mm each.
        crossing: whether some of the given contours crossed each other and were replaced by their union.
        copied: whether some of them repeated others and were counted once.
    """

    polygons: tuple[np.ndarray, ...]
    crossing: bool = False
    copied: bool = False


def settle_contours(polygons: Sequence[np.ndarray]) -> PlaneContours:
    """Replace contours that cannot be meant as holes.

    Nested contours are holes and islands; separate ones are parts. Two contours that cross each other are an outline
    and an edited copy of it: the region is their union. A contour that repeats another one, or lies so close inside it
    that only a rim of half a millimetre is left (one millimetre where they share nine tenths), counts once.

    Args:
        polygons: ``(N ≥ 3, 2)`` in mm each, all in one plane.
    """
    if len(polygons) == 1:
        return PlaneContours(tuple(polygons))
    regions = [valid_polygon(points) for points in polygons]
    groups = DisjointSet(range(len(regions)))
    crossing = copied = False
    meeting = shapely.STRtree(regions).query(regions, predicate="intersects").T
    for i, j in meeting[meeting[:, 0] < meeting[:, 1]].tolist():
        if groups.connected(i, j):
            continue
        if _is_copy(regions[i], regions[j]):
            copied = groups.merge(i, j)
        elif _cross(regions[i], regions[j]):
            crossing = groups.merge(i, j)
    settled: list[np.ndarray] = []
    for members in groups.subsets():
        if len(members) == 1:
            settled.append(polygons[next(iter(members))])
        else:
            settled += _rings(shapely.union_all([regions[member] for member in sorted(members)]))
    return PlaneContours(tuple(settled), crossing, copied)


def plane_region(polygons: Sequence[np.ndarray]) -> shapely.Geometry:
    """XOR of polygons; one that touches or crosses itself (a keyhole around a hole) counts by the even-odd rule."""
    regions = [shapely.Polygon(), *(valid_polygon(points) for points in polygons)]
    while len(regions) > _MOST_IN_TURN:  # in pairs, since the time of one after the other grows with the square
        pairs = zip(regions[::2], [*regions[1::2], shapely.Polygon()], strict=False)
        regions = [one.symmetric_difference(other) for one, other in pairs]
    return reduce(shapely.symmetric_difference, regions)


def valid_polygon(points: np.ndarray) -> shapely.Geometry:
    """The region of one contour ``(N ≥ 3, 2)`` by the even-odd rule."""
    polygon = shapely.Polygon(points)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)


def enclosed_area(points: np.ndarray) -> float:
    """Area in mm² of one contour ``(N ≥ 3, 3)`` in its best-fitting plane, by the even-odd rule."""
    centred = points - points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    return float(valid_polygon(centred @ axes.T).area)


def _is_copy(one: shapely.Geometry, other: shapely.Geometry) -> bool:
    """Whether two regions differ by a thin rim only, one around the other."""
    smaller, larger = sorted((one, other), key=lambda region: region.area)
    if _thickness(smaller.difference(larger)) > _TOUCHING_MM:
        return False
    rim = 2 * (larger.area - smaller.area) / (larger.length + smaller.length)
    limit = _EQUAL_COPY_MM if smaller.area > _NEARLY_EQUAL * larger.area else _COPY_MM
    return bool(rim < limit)


def _cross(one: shapely.Geometry, other: shapely.Geometry) -> bool:
    """Whether two regions overlap and each reaches out of the other."""
    return all(
        _thickness(part) > _TOUCHING_MM
        for part in (one.intersection(other), one.difference(other), other.difference(one))
    )


def _thickness(region: shapely.Geometry) -> float:
    """Mean thickness in mm of what is thin."""
    return 2 * region.area / region.length if region.length else 0.0


def _rings(region: shapely.Geometry) -> list[np.ndarray]:
    """Outer and inner boundaries, whose XOR is the region."""
    polygons = [part for part in shapely.get_parts(region) if part.geom_type == "Polygon"]
    rings = [ring for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    return [shapely.get_coordinates(ring)[:-1] for ring in rings]
