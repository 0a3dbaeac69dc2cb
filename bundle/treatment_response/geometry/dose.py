"""How fast dose falls off around a lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.interpolate import make_interp_spline
from scipy.spatial import cKDTree

from treatment_response.geometry.contours import rasterise
from treatment_response.geometry.volume import Volume

# Isodose volumes are counted on a grid of this step in mm: the finer one for small regions, the coarser one for large.
_FINE_MM = (0.15, 0.5)
_MARGIN = 4  # voxels kept around the region: cubic interpolation looks two voxels away


def gradient_index(
    dose: Volume,
    contours: Sequence[np.ndarray],
    prescription_gy: float,
    others: Sequence[Sequence[np.ndarray]] = (),
) -> float | None:
    """Gradient Index of one lesion: V(half prescription) / V(prescription).

    Both volumes are the connected part of the isodose region around the lesion. Where it also reaches another lesion,
    each point counts for the lesion whose outline is nearest. The dose is interpolated (cubic) onto a finer grid, so
    the volumes do not depend on where the dose grid lies.

    Args:
        dose: in Gy.
        contours: of the lesion, ``(N, 3)`` RAS mm each.
        prescription_gy: > 0.
        others: contours of the other lesions treated in the same dose.

    Returns:
        The index, or None if the prescription isodose does not touch the lesion.

    Raises:
        ValueError: the prescription is not positive, or the contours are unusable (see ``rasterise``).

    References:
        Paddick and Lippitz, J Neurosurg 105 (Suppl), 2006.
    """
    if prescription_gy <= 0:
        raise ValueError(f"the prescription is {prescription_gy} Gy, expected a positive dose")
    fine = _fine_dose(dose, contours, prescription_gy / 2)
    if fine is None:
        return None
    seed = _seed(fine, contours)
    volumes = [_isodose_volume(fine, level, seed, contours, others) for level in (prescription_gy / 2, prescription_gy)]
    return volumes[0] / volumes[1] if volumes[1] > 0 else None


def _fine_dose(dose: Volume, contours: Sequence[np.ndarray], level: float) -> Volume | None:
    """The dose on a fine grid, cropped to the part of its region above ``level`` that touches the lesion."""
    labels, _ = ndimage.label(dose.array >= level, structure=np.ones((3, 3, 3)))
    points = np.rint(dose.to_index(np.concatenate([*contours, [np.concatenate(contours).mean(axis=0)]]))).astype(int)
    points = points[np.all((points >= 0) & (points < dose.array.shape), axis=1)]
    touched = np.setdiff1d(labels[tuple(points.T)], [0])
    if touched.size == 0:
        return None
    index = np.argwhere(np.isin(labels, touched))
    low = np.maximum(index.min(axis=0) - _MARGIN, 0)
    high = np.minimum(index.max(axis=0) + _MARGIN, np.array(dose.array.shape) - 1)
    step = float(np.clip(((high - low) * dose.spacing).max() / 100, *_FINE_MM))
    splits = np.ceil(dose.spacing / step).astype(int)
    array = dose.array[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].astype(np.float64)
    for axis, split in enumerate(splits):
        array = _refine(array, axis, int(split))
    affine = dose.affine.copy()
    affine[:3, :3] = dose.affine[:3, :3] / splits
    affine[:3, 3] = dose.to_world(low[None])[0]
    return Volume(array, affine)


def _refine(array: np.ndarray, axis: int, split: int) -> np.ndarray:
    """Cubic interpolation along one axis, ``split`` steps per voxel, from the first voxel's centre to the last's."""
    count = array.shape[axis]
    positions = np.linspace(0, count - 1, (count - 1) * split + 1)
    spline = make_interp_spline(np.arange(count), array, k=min(3, count - 1), axis=axis)
    return spline(positions)


def _seed(fine: Volume, contours: Sequence[np.ndarray]) -> np.ndarray:
    """The lesion's voxels, at least the one at its centre."""
    seed = rasterise(contours, fine.affine, fine.array.shape)
    if not seed.any():
        centre = np.rint(fine.to_index(np.concatenate(contours).mean(axis=0)[None])[0]).astype(int)
        seed[tuple(np.clip(centre, 0, np.array(seed.shape) - 1))] = True
    return seed


def _isodose_volume(
    fine: Volume, level: float, seed: np.ndarray, contours: Sequence[np.ndarray], others: Sequence[Sequence[np.ndarray]]
) -> float:
    labels, count = ndimage.label(fine.array >= level)
    touched = np.zeros(count + 1, dtype=bool)
    touched[labels[seed]] = True
    touched[0] = False
    index = np.argwhere(touched[labels])
    if len(index) and others:
        index = index[_is_nearer(fine.to_world(index), contours, others)]
    return len(index) * fine.voxel_volume


def _is_nearer(world: np.ndarray, contours: Sequence[np.ndarray], others: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Which points lie no farther from a lesion's outline than from those of all others.

    The nearest point is searched only where the box around another lesion is nearer than the farthest that the outline
    can be: most points are far from all others.
    """
    outline = np.concatenate(contours)
    at_most = np.min([np.linalg.norm(world - point, axis=1) for point in outline[:: len(outline) // 8 + 1]], axis=0)
    outlines = [np.concatenate(lesion) for lesion in others]
    at_least = np.min([_to_box(world, points.min(axis=0), points.max(axis=0)) for points in outlines], axis=0)
    nearer = np.ones(len(world), dtype=bool)
    unclear = np.flatnonzero(at_least < at_most)
    if len(unclear):
        own, _ = cKDTree(outline).query(world[unclear])
        other, _ = cKDTree(np.concatenate(outlines)).query(world[unclear])
        nearer[unclear] = own <= other
    return nearer


def _to_box(world: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Distance of points from a box along the axes; 0 inside."""
    distance: np.ndarray = np.linalg.norm(np.maximum(np.maximum(low - world, world - high), 0), axis=1)
    return distance
