"""The longest diameter of a lesion in one axial slice, and the longest line across it in the same slice.

The criteria are written for a person with a ruler, who measures from edge to edge. Here a pixel's edge is the middle of
each of its four sides: two voxels in a row are then two voxels long and one wide. (Measured between centres they would
be one voxel long and have no width; between corners their diagonal would count.)

Diameters span the convex hull, so a ring is measured from outside to outside and a crescent from tip to tip.
`Diameters.outside` says how much of the longest one runs outside the lesion: RANO does not want a cavity measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from treatment_response.geometry import Volume
from treatment_response.geometry.slice_patch import axial_plane

_TIE_MM = 1e-6
_SAMPLES = 200
_SIDES = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])


@dataclass(frozen=True)
class Diameters:
    """What is measured in the slice that holds the longest diameter.

    Attributes:
        longest_mm: of all axial slices.
        perpendicular_mm: of the longest line in that slice at a right angle to it.
        slice_index: along the array axis that is closest to superior.
        longest, perpendicular: end points ``(2, 3)``, RAS mm.
        outside: share of the longest diameter that lies outside the lesion, in [0, 1].
    """

    longest_mm: float
    perpendicular_mm: float
    slice_index: int
    longest: np.ndarray
    perpendicular: np.ndarray
    outside: float

    @property
    def product_mm2(self) -> float:
        """Of the two diameters, in mm²."""
        return self.longest_mm * self.perpendicular_mm


def measure_diameters(lesion: Volume) -> Diameters | None:
    """Measure a lesion.

    The slices are those of the array that lie closest to axial. Where several hold equally long diameters, the one with
    the longest perpendicular counts.

    Args:
        lesion: bool or numbers ``(I, J, K)``; anything but 0 is lesion. Any affine, oblique and anisotropic ones too.

    Returns:
        None for an empty mask.
    """
    across = axial_plane(lesion.affine).slice_axis
    slices = np.moveaxis(np.asarray(lesion.array) != 0, across, 0)
    steps = np.delete(lesion.affine[:3, :3], across, axis=1)
    basis = _orthonormal(steps)
    to_mm = steps.T @ basis  # (2 array steps, 2 mm axes), exact for sheared slices too
    best: tuple[float, float, int, np.ndarray, np.ndarray] | None = None
    for index, points in sorted(_edges(slices).items(), key=lambda item: -_reach(item[1] @ to_mm)):
        flat = points @ to_mm
        if best is not None and _reach(flat) < best[0] - _TIE_MM:
            break  # no line of this slice, nor of those that follow, can be as long
        ring = _hull(flat)
        longest = _longest(ring)
        length = float(np.linalg.norm(longest[1] - longest[0]))
        if best is not None and length < best[0] - _TIE_MM:
            continue
        perpendicular = _longest_along(ring, longest[1] - longest[0])
        width = float(np.linalg.norm(perpendicular[1] - perpendicular[0]))
        if best is None or length > best[0] + _TIE_MM or width > best[1] + _TIE_MM:
            best = length, width, index, longest, perpendicular
    if best is None:
        return None
    length, width, index, longest, perpendicular = best
    pixels = np.stack([longest, perpendicular]) @ np.linalg.inv(to_mm)
    world = [lesion.to_world(np.insert(pair, across, index, axis=1)) for pair in pixels]
    return Diameters(length, width, index, world[0], world[1], _outside(slices[index], pixels[0]))


def _edges(slices: np.ndarray) -> dict[int, np.ndarray]:
    """Slice index → middles of the sides of its outermost pixels ``(N, 2)``, in pixels."""
    found = {}
    for index in np.flatnonzero(slices.any(axis=(1, 2))):
        rows = np.flatnonzero(slices[index].any(axis=1))
        part = slices[index][rows]
        first = part.argmax(axis=1)
        last = part.shape[1] - 1 - part[:, ::-1].argmax(axis=1)
        # Of a row of pixels only the first and the last can lie on the hull.
        ends = np.concatenate([np.column_stack([rows, first]), np.column_stack([rows, last])])
        found[int(index)] = (ends[:, None, :] + _SIDES).reshape(-1, 2)
    return found


def _reach(points: np.ndarray) -> float:
    """An upper bound of the distance between two points: the diagonal of their box."""
    return float(np.linalg.norm(np.ptp(points, axis=0)))


def _orthonormal(steps: np.ndarray) -> np.ndarray:
    """Unit vectors ``(3, 2)`` that span the slice."""
    first = steps[:, 0] / np.linalg.norm(steps[:, 0])
    second = steps[:, 1] - (steps[:, 1] @ first) * first
    return np.column_stack([first, second / np.linalg.norm(second)])


def _hull(points: np.ndarray) -> np.ndarray:
    """Corners of the convex hull in turn, ``(N, 2)``."""
    try:
        return points[ConvexHull(points).vertices]
    except QhullError:  # cannot happen for the sides of a pixel, which never lie in one line
        return np.unique(points, axis=0)


def _longest(ring: np.ndarray) -> np.ndarray:
    """The two corners that lie farthest apart, ``(2, 2)``."""
    first, second = np.triu_indices(len(ring), 1)
    farthest = int(pdist(ring).argmax())
    return ring[[first[farthest], second[farthest]]]


def _longest_along(ring: np.ndarray, diameter: np.ndarray) -> np.ndarray:
    """The longest chord of a convex polygon at a right angle to its diameter, ``(2, 2)``.

    A chord's length is a concave function of its place along the diameter, linear between two corners. So a corner lies
    on a longest one, and of several that are equally long the one nearest to the polygon's middle is taken.

    Args:
        diameter: between the two corners that lie farthest apart.
    """
    along = diameter / np.linalg.norm(diameter)
    across = np.array([-along[1], along[0]])
    flat = ring @ np.column_stack([along, across])
    bottom, top = _chords(flat, flat[:, 0])
    lengths = top - bottom
    longest = flat[lengths >= lengths.max() - _TIE_MM, 0]
    middle = (flat[:, 0].min() + flat[:, 0].max()) / 2
    place = np.clip(middle, longest.min(), longest.max())
    bottom, top = _chords(flat, np.array([place]))
    foot = place * along
    return np.stack([foot + bottom[0] * across, foot + top[0] * across])


def _chords(ring: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest second coordinate of a convex polygon at first coordinates ``(N,)``."""
    start, end = ring, np.roll(ring, -1, axis=0)
    span = end[:, 0] - start[:, 0]
    upright = np.abs(span) < _TIE_MM  # both of its corners belong to other edges too
    share = (places[:, None] - start[:, 0]) / np.where(upright, 1.0, span)
    heights = start[:, 1] + share.clip(0, 1) * (end[:, 1] - start[:, 1])
    crossed = ~upright & (share > -_TIE_MM) & (share < 1 + _TIE_MM)
    return np.where(crossed, heights, np.inf).min(axis=1), np.where(crossed, heights, -np.inf).max(axis=1)


def _outside(part: np.ndarray, ends: np.ndarray) -> float:
    """Share of the way between two points whose pixels are not set."""
    way = ends[0] + (np.arange(_SAMPLES) + 0.5)[:, None] / _SAMPLES * (ends[1] - ends[0])
    row, column = np.clip(np.rint(way).astype(int), 0, np.array(part.shape) - 1).T
    return float(1 - part[row, column].mean())
