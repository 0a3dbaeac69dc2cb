"""Volumes, surfaces and masks from planar contours in any orientation: axial, sagittal, oblique.

A region is given by its contours, each ``(N, 3)`` RAS mm in one of a family of parallel planes. Within a plane the
region is the XOR of the contours (holes, several parts), but for crossing ones and copies (see
``plane_region``). A plane stands for a slab: half-way to its neighbours (see ``contour_stack``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from treatment_response.geometry.contour_stack import ContourPlane, common_normal, stack_contours
from treatment_response.geometry.plane_region import plane_region

# Where contours lie exactly half-way between image slices, rounding must not decide which slices a slab holds.
_NUDGE_MM = 1e-3


def planimetric_volume(
    contours: Sequence[np.ndarray], spacing: float | None = None, *, slice_distance: float | None = None
) -> float:
    """Volume in mm³: area of each plane (XOR of its contours) times the thickness of its slab.

    On spheres of radius r = n h, h the plane distance, the error is between −h²/(4r²) (a plane through the centre) and
    +h²/(8r²) for any offset: the midpoint rule on a parabola of areas. At h = 1 mm that is at most 2.8 % for r = 3 mm
    and 1 % for 5 mm.

    Args:
        contours: ``(N, 3)`` RAS mm each.
        spacing: plane distance in mm, needed only for a region drawn in one plane.
        slice_distance: see :func:`~treatment_response.geometry.contour_stack.stack_contours`.

    Raises:
        ValueError: see :func:`~treatment_response.geometry.contour_stack.stack_contours`.
    """
    planes = stack_contours(contours, spacing=spacing, slice_distance=slice_distance).planes
    return float(sum(plane_region(plane.polygons).area * (plane.upper - plane.lower) for plane in planes))


def surface_area(
    contours: Sequence[np.ndarray], spacing: float | None = None, *, slice_distance: float | None = None
) -> float:
    """Outer surface in mm²: conical bands between neighbouring planes and a spherical cap at each end.

    A band has the mean of its planes' equivalent circles, scaled by how much longer the outlines are than the circles'.

    Args and errors: see :func:`planimetric_volume`.
    """
    planes = stack_contours(contours, spacing=spacing, slice_distance=slice_distance).planes
    regions = [plane_region(plane.polygons) for plane in planes]
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
    contours: Sequence[np.ndarray],
    affine: np.ndarray,
    shape: Sequence[int],
    spacing: float | None = None,
    *,
    slice_distance: float | None = None,
) -> np.ndarray:
    """Mask of the voxels whose centre lies in the region (the voxel-centre rule, which is unbiased).

    Contour planes need not be parallel to the image slices, nor lie on them: a voxel belongs to the plane whose slab
    its centre is in. Edges are half-open, so regions that share an edge share no voxel.

    Args:
        contours: ``(N, 3)`` RAS mm each.
        affine: ``(4, 4)`` voxel index → RAS mm of the image.
        shape: ``(I, J, K)`` of the image.
        spacing: plane distance in mm for a region drawn in one plane; None is the image's own slice distance there.
        slice_distance: see :func:`~treatment_response.geometry.contour_stack.stack_contours`: of the image that was
            drawn on, which need not be the one of ``affine``.

    Returns:
        bool ``(I, J, K)``.

    Raises:
        ValueError: no contours, no area, or contours that are not parallel.
    """
    if not contours:
        raise ValueError("there are no contours")
    steps = np.asarray(affine, dtype=float)[:3, :3]
    directions = steps / np.linalg.norm(steps, axis=0)
    across = np.abs(common_normal(contours) @ directions)
    if spacing is None:
        spacing = float(np.linalg.norm(steps[:, np.argmax(across)]))
    # Rows of voxels run along the image axis that lies best in the contour planes. Along a row only u and, on a grid
    # that is oblique to the planes, the height n change; so each row meets the outlines like a scan line.
    axis = int(np.argmin(across))
    stack = stack_contours(contours, spacing=spacing, slice_distance=slice_distance, along=directions[:, axis])
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
