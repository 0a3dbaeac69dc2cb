"""Contours of a mask along its voxels' edges: the inverse of rasterising."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import shapely

from treatment_response.geometry.volume import Volume

_Point = tuple[int, int]


def outline_mask(mask: np.ndarray, affine: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Outline a mask slice by slice along its third axis.

    The contours follow the voxels' edges, so their area is that of the voxels and every voxel centre is half a voxel
    away from them: ``rasterise`` gives the mask back. Parts that meet only in a corner are contours of their own. A
    hole is joined to the outside by a channel of no width (the keyhole that DICOM describes for closed planar
    contours): all software fills it alike, by the even-odd rule as by winding numbers, where a separate inner contour
    is a hole to some and filled by others.

    Args:
        mask: ``(I, J, K)``; anything but 0 is inside.
        affine: ``(4, 4)`` voxel index → RAS mm.

    Returns:
        Slice index k and contour ``(N ≥ 4, 3)`` RAS mm, first point not repeated; ascending k; empty for an empty mask.
    """
    volume = Volume(mask, affine)
    contours = []
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        for ring in _rings(mask[:, :, k] != 0):
            corners = np.array(ring, dtype=float) - 0.5
            contours.append((int(k), volume.to_world(np.column_stack([corners, np.full(len(corners), k)]))))
    return contours


def _rings(mask: np.ndarray) -> Iterator[list[_Point]]:
    """Closed rings of voxel corners; corner ``(i, j)`` is the one before voxel ``(i, j)`` along both axes."""
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    # Runs of voxels along the first axis, in one order for starts and ends: by j, then i.
    j, first = np.nonzero(edges.T == 1)
    last = np.nonzero(edges.T == -1)[1]
    region = shapely.union_all(shapely.box(first, j, last, j + 1))
    for polygon in shapely.get_parts(shapely.orient_polygons(region)):
        # Every corner on the way becomes a point, so that a channel can end at any of them.
        yield _without_straight_points(_keyhole(shapely.segmentize(polygon, 1.0)))


def _corners(ring: shapely.LinearRing) -> list[_Point]:
    return [(int(x), int(y)) for x, y in np.rint(shapely.get_coordinates(ring)[:-1])]


def _keyhole(polygon: shapely.Polygon) -> list[_Point]:
    """The outer ring with a way to each hole, around it and back."""
    ring = _corners(polygon.exterior)
    known = set(ring)
    detours: dict[_Point, list[_Point]] = {}  # where they leave → the points until they are back
    # By their first corner along i, so that whatever a channel meets on its way down is known already.
    for hole in sorted((_corners(hole) for hole in polygon.interiors), key=min):
        start = hole.index(min(hole))
        around = [*hole[start:], *hole[:start], hole[start]]
        i, j = around[0]
        channel = []
        while (i, j) not in known:
            channel.append((i, j))
            i -= 1
        # The channel begins with the hole's own corner, which is in `around` twice.
        detour = [*channel[:0:-1], *around, *channel[1:], (i, j)] if channel else around[1:]
        detours.setdefault((i, j), []).extend(detour)
        known.update(detour)
    return _with_detours(ring, detours)


def _with_detours(ring: list[_Point], detours: dict[_Point, list[_Point]]) -> list[_Point]:
    """The ring, and where a detour leaves it or another detour, that one first."""
    points, ways = [], [iter(ring)]
    while ways:
        point = next(ways[-1], None)
        if point is None:
            ways.pop()
            continue
        points.append(point)
        if detour := detours.pop(point, None):
            ways.append(iter(detour))
    return points


def _without_straight_points(ring: list[_Point]) -> list[_Point]:
    """The ring's points at which it turns, or turns back."""
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise([ring[-1], *ring, ring[0]])]
    return [point for point, (before, after) in zip(ring, pairwise(steps), strict=True) if before != after]
