"""Volumes, surfaces and masks from planar contours in any orientation: axial, sagittal, oblique.

A region is given by its contours, each ``(N, 3)`` RAS mm in one of a family of parallel planes. Within a plane the
region is the XOR of the contours (holes, several parts). A plane stands for a slab: half-way to its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import shapely

# Contours this close along the normal are in one plane: coordinates are often rounded to 0.01 mm.
_SAME_PLANE_MM = 0.1
# A gap of up to this many plane distances is undrawn slices of one region, a wider one separates two parts.
_MISSING_SLICES = 3.5
# Where contours lie exactly half-way between image slices, rounding must not decide which slices a slab holds.
_NUDGE_MM = 1e-3


@dataclass(frozen=True)
class ContourPlane:
    """The contours of one plane and the slab that they stand for.

    Attributes:
        offset: position along the normal in mm; ``lower`` ≤ offset < ``upper`` bound the slab.
        polygons: in-plane coordinates ``(N, 2)`` in mm along ``ContourStack.axes``.
    """

    offset: float
    lower: float
    upper: float
    polygons: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class ContourStack:
    """A region as parallel planes, ascending along the normal.

    Attributes:
        axes: ``(3, 3)`` rows u, v, n: right-handed unit vectors (RAS), n the normal.
        spacing: usual distance between neighbouring planes in mm.
    """

    axes: np.ndarray
    spacing: float
    planes: tuple[ContourPlane, ...]


def _area_vector(points: np.ndarray) -> np.ndarray:
    """Newell's formula: normal of a planar polygon, as long as its area in mm²."""
    centred = points - points.mean(axis=0)
    products = centred.T @ np.roll(centred, -1, axis=0)  # the sum of p × q over the edges is its antisymmetric part
    return (products[[1, 2, 0], [2, 0, 1]] - products[[2, 0, 1], [1, 2, 0]]) / 2


def _common_normal(contours: Sequence[np.ndarray]) -> np.ndarray:
    vectors = np.array([_area_vector(points) for points in contours])
    largest = vectors[np.argmax(np.linalg.norm(vectors, axis=1))]
    total = (vectors * np.where(vectors @ largest < 0, -1.0, 1.0)[:, None]).sum(axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-9:
        raise ValueError("the contours enclose no area")
    normal = total / length
    return normal * np.sign(normal[np.argmax(np.abs(normal))])


def stack_contours(
    contours: Sequence[np.ndarray], *, spacing: float | None = None, along: np.ndarray | None = None
) -> ContourStack:
    """Order contours by plane and find the slab of each plane.

    Between two planes the slabs meet half-way, so slices left out in the middle are filled from both sides; a gap wider
    than 3.5 plane distances, or one across which the region does not overlap itself, separates two parts. At the ends a
    slab reaches half a plane distance beyond its plane.

    Args:
        contours: at least one ``(N ≥ 3, 3)`` RAS mm.
        spacing: plane distance in mm, used only if all contours lie in one plane.
        along: direction ``(3,)`` to which u is as parallel as the plane allows; None is any.

    Raises:
        ValueError: no contours, no area, contours that are not parallel, or one plane and no ``spacing``.
    """
    if not contours:
        raise ValueError("there are no contours")
    normal = _common_normal(contours)
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
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2]) if len(gaps) else spacing
    if usual is None:
        raise ValueError("all contours lie in one plane, so their thickness is unknown; give the slice spacing")
    lower, upper = centres - usual / 2, centres + usual / 2
    for i, gap in enumerate(gaps):
        near = gap <= 1.5 * usual
        if near or (gap <= _MISSING_SLICES * usual and _overlap(polygons[i], polygons[i + 1])):
            upper[i] = lower[i + 1] = (centres[i] + centres[i + 1]) / 2
    bounds = zip(centres.tolist(), lower.tolist(), upper.tolist(), polygons, strict=True)
    return ContourStack(axes, usual, tuple(ContourPlane(*values) for values in bounds))


def _overlap(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return bool(_region(one).intersects(_region(other)))


def _region(polygons: Sequence[np.ndarray]) -> shapely.Geometry:
    """XOR of polygons; one that touches or crosses itself (a keyhole around a hole) counts by the even-odd rule."""
    region = shapely.Polygon()
    for points in polygons:
        polygon = shapely.Polygon(points)
        region = region.symmetric_difference(polygon if polygon.is_valid else shapely.make_valid(polygon))
    return region


def planimetric_volume(contours: Sequence[np.ndarray], spacing: float | None = None) -> float:
    """Volume in mm³: area of each plane (XOR of its contours) times the thickness of its slab.

    On spheres of radius r = n h, h the plane distance, the error is between −h²/(4r²) (a plane through the centre) and
    +h²/(8r²) for any offset: the midpoint rule on a parabola of areas. At h = 1 mm that is at most 2.8 % for r = 3 mm
    and 1 % for 5 mm.

    Args:
        contours: ``(N, 3)`` RAS mm each.
        spacing: plane distance in mm, needed only for a region drawn in one plane.

    Raises:
        ValueError: see :func:`stack_contours`.
    """
    planes = stack_contours(contours, spacing=spacing).planes
    return float(sum(_region(plane.polygons).area * (plane.upper - plane.lower) for plane in planes))


def surface_area(contours: Sequence[np.ndarray], spacing: float | None = None) -> float:
    """Outer surface in mm²: conical bands between neighbouring planes and a spherical cap at each end.

    A band has the mean of its planes' equivalent circles, scaled by how much longer the outlines are than the circles'.

    Args and errors: see :func:`planimetric_volume`.
    """
    planes = stack_contours(contours, spacing=spacing).planes
    regions = [_region(plane.polygons) for plane in planes]
    radius = [np.sqrt(region.area / np.pi) for region in regions]
    outline = [region.length for region in regions]
    total = 0.0
    for i, plane in enumerate(planes):
        joined = i + 1 < len(planes) and plane.upper == planes[i + 1].lower
        if joined:
            slant = np.hypot(planes[i + 1].offset - plane.offset, radius[i + 1] - radius[i])
            total += (outline[i] + outline[i + 1]) / 2 * slant
        else:
            total += np.pi * (radius[i] ** 2 + (plane.upper - plane.offset) ** 2)
        if i == 0 or planes[i - 1].upper != plane.lower:
            total += np.pi * (radius[i] ** 2 + (plane.offset - plane.lower) ** 2)
    return float(total)


def equivalent_diameter(volume: float) -> float:
    """Diameter in mm of the sphere of a volume in mm³."""
    return float(np.cbrt(6 * volume / np.pi))


def rasterise(
    contours: Sequence[np.ndarray], affine: np.ndarray, shape: Sequence[int], spacing: float | None = None
) -> np.ndarray:
    """Mask of the voxels whose centre lies in the region (the voxel-centre rule, which is unbiased).

    Contour planes need not be parallel to the image slices, nor lie on them: a voxel belongs to the plane whose slab
    its centre is in. Edges are half-open, so regions that share an edge share no voxel.

    Args:
        contours: ``(N, 3)`` RAS mm each.
        affine: ``(4, 4)`` voxel index → RAS mm of the image.
        shape: ``(I, J, K)`` of the image.
        spacing: plane distance in mm for a region drawn in one plane; None is the image's own slice distance there.

    Returns:
        bool ``(I, J, K)``.

    Raises:
        ValueError: no contours, no area, or contours that are not parallel.
    """
    if not contours:
        raise ValueError("there are no contours")
    steps = np.asarray(affine, dtype=float)[:3, :3]
    directions = steps / np.linalg.norm(steps, axis=0)
    across = np.abs(_common_normal(contours) @ directions)
    if spacing is None:
        spacing = float(np.linalg.norm(steps[:, np.argmax(across)]))
    # Rows of voxels run along the image axis that lies best in the contour planes. Along a row only u and, on a grid
    # that is oblique to the planes, the height n change; so each row meets the outlines like a scan line.
    axis = int(np.argmin(across))
    stack = stack_contours(contours, spacing=spacing, along=directions[:, axis])
    mask = np.zeros(tuple(shape), dtype=bool)
    rows_last = np.moveaxis(mask, axis, 2)  # a view
    order = [i for i in range(3) if i != axis] + [axis]
    to_local = stack.axes @ steps[:, order]
    origin = stack.axes @ np.asarray(affine, dtype=float)[:3, 3]
    for plane in stack.planes:
        _fill(rows_last, plane, to_local, origin)
    return mask


def _fill(mask: np.ndarray, plane: ContourPlane, to_local: np.ndarray, origin: np.ndarray) -> None:
    """Set the voxels of one plane's slab in ``mask``, whose rows run along its last axis.

    ``to_local @ index + origin`` are a voxel centre's coordinates along u, v, n; v is constant along a row.
    """
    edges = np.concatenate([np.stack([p, np.roll(p, -1, axis=0)], axis=1) for p in plane.polygons])  # (E, 2, 2)
    low, high = edges.min(axis=(0, 1)), edges.max(axis=(0, 1))
    corners = np.array(list(product((low[0], high[0]), (low[1], high[1]), (plane.lower, plane.upper))))
    index = (corners - origin) @ np.linalg.inv(to_local).T
    start = np.maximum(np.floor(index.min(axis=0) - 1e-6).astype(int), 0)
    stop = np.minimum(np.ceil(index.max(axis=0) + 1e-6).astype(int) + 1, mask.shape)
    if np.any(start >= stop):
        return
    first, second = np.meshgrid(*(np.arange(start[i], stop[i]) for i in (0, 1)), indexing="ij")
    length = int(stop[2] - start[2])
    first_voxels = np.stack([first.ravel(), second.ravel(), np.full(first.size, start[2])], axis=1)
    begin = first_voxels @ to_local.T + origin  # (R, 3), the first voxel of each row
    ends = begin[:, 2, None] + to_local[2, 2] * np.array([0, length - 1])
    meets = (ends.max(axis=1) >= plane.lower - _NUDGE_MM) & (ends.min(axis=1) < plane.upper)
    begin, first, second = begin[meets], first.ravel()[meets], second.ravel()[meets]
    row, crossing = _crossings(begin[:, 1], edges)
    # A voxel is inside if an odd number of edges lie at or before it in its row.
    at = np.ceil((crossing - begin[row, 0]) / to_local[0, 2]).clip(0, length).astype(int)
    toggles = np.bincount(row * (length + 1) + at, minlength=len(begin) * (length + 1))
    inside = (np.cumsum(toggles.reshape(len(begin), length + 1)[:, :length], axis=1) & 1).astype(bool)
    height = begin[:, 2:] + to_local[2, 2] * np.arange(length) + _NUDGE_MM
    inside &= (height >= plane.lower) & (height < plane.upper)
    mask[first, second, start[2] : stop[2]] |= inside


def _crossings(rows: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where edges ``(E, 2, 2)`` cross the lines v = ``rows``: indices of rows, and u of the crossings."""
    v = edges[:, :, 1]
    row, edge = np.nonzero((v[None, :, 0] <= rows[:, None]) != (v[None, :, 1] <= rows[:, None]))
    (u1, v1), (u2, v2) = edges[edge, 0].T, edges[edge, 1].T
    return row, u1 + (rows[row] - v1) * (u2 - u1) / (v2 - v1)
