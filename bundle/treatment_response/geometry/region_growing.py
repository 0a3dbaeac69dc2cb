"""From one click in an enhancing tumour to its outline.

What is brighter than half-way between the brain around it and the tumour at the click, and connected with the click,
is the tumour; dark necrosis that it surrounds is filled. The half-way level is where an edge blurred by the scanner
lies, so the outline is neither the brightest core nor the tumour with a rim of brain. Brightness is all that it goes
by: a vessel or a piece of scalp that ends within reach is outlined too, and the user sees it.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from treatment_response.geometry.volume import Volume
from treatment_response.problems import DataProblem, Problem

REACH_MM = 35.0
"""Half the side of the box around the click in which the tumour must lie."""
_SMOOTHING_MM = 0.6
_CLICK_MM = 2.0
_TISSUE_MM = (6.0, 30.0)
_MIN_CONTRAST = 0.12
_LEAST_MM3 = 15.0
_MOST_MM3 = 65_000.0
_NECK_MM = 1.2
_LEAST_SLICES = 4  # what the recursive smoothing needs in each direction, here along any axis
_LEAST_FILLED = 0.25
_AIR = 0.3  # of the image's 95th percentile: air, bone and fluid are darker
_REMEDY = "click inside the enhancing tumour, or draw it"


def grow_region(image: Volume, seed: np.ndarray) -> np.ndarray:
    """Outline the enhancing tumour in which a point lies.

    Args:
        image: T1 with contrast, ``(I, J, K)``.
        seed: ``(3,)`` RAS mm.

    Returns:
        bool ``(I, J, K)``: one connected region that holds the click, or what was next to it and enhances.

    Raises:
        DataProblem: the image is flat, the click is outside it or the head, nothing enhances there, or the region leaks
            into vessels, meninges or skull.
    """
    seed = np.asarray(seed, dtype=float).reshape(3)
    index = np.rint(image.to_index(seed[None])[0]).astype(int)
    if (index < 0).any() or (index >= image.array.shape).any():
        raise _problem("lies outside the image")
    if min(image.array.shape) < _LEAST_SLICES:
        raise DataProblem(Problem("click", "the image is too flat to grow a region in", "draw the tumour instead"))
    reach = np.ceil(REACH_MM / image.spacing).astype(int)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, image.array.shape)
    box = tuple(slice(*pair) for pair in zip(low, high, strict=True))
    crop = _smoothed(image.array[box], image.spacing)
    offsets = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1) - index
    distance = np.linalg.norm(offsets @ image.affine[:3, :3].T, axis=-1)  # mm from the click
    air = _AIR * float(np.percentile(image.array[::4, ::4, ::2], 95))
    start, level = _level(crop, distance, air)
    region = _connected(crop, start, level, image.spacing)
    _check(region, image, low, high)
    mask = np.zeros(image.array.shape, dtype=bool)
    mask[box] = region
    return mask


def _problem(what: str) -> DataProblem:
    return DataProblem(Problem("click", what, _REMEDY))


def _smoothed(array: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32))
    image.SetSpacing(spacing.tolist())
    return sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, _SMOOTHING_MM)).transpose(2, 1, 0)


def _level(crop: np.ndarray, distance: np.ndarray, air: float) -> tuple[tuple[int, ...], float]:
    """The voxel to start from, and the value half-way between tumour and brain."""
    around = crop[(distance > _TISSUE_MM[0]) & (distance < _TISSUE_MM[1])]
    tissue = around[around > air]
    near = distance <= max(_CLICK_MM, float(distance[distance > 0].min()))
    if tissue.size < 100 or np.percentile(crop[near], 75) < air:
        raise _problem("lies outside the head")
    brain = float(np.percentile(tissue, 60))
    # The brightest voxel of the click's neighbourhood: a click is not exact, and tumours are not even.
    start = np.unravel_index(int(np.where(near, crop, -np.inf).argmax()), crop.shape)
    tumour = float(np.percentile(crop[near & (crop > brain)], 75)) if (near & (crop > brain)).any() else brain
    if tumour < (1 + _MIN_CONTRAST) * brain:
        raise _problem("is not on tissue that is brighter than the brain around it")
    return tuple(int(i) for i in start), (brain + tumour) / 2


def _connected(crop: np.ndarray, start: tuple[int, ...], level: float, spacing: np.ndarray) -> np.ndarray:
    """The bright region of ``start`` without thin necks, its holes filled."""
    image = sitk.GetImageFromArray(np.ascontiguousarray((crop >= level).transpose(2, 1, 0).astype(np.uint8)))
    radius = [int(np.rint(_NECK_MM / step)) for step in spacing]
    region = sitk.ConnectedThreshold(image, [list(start)], lower=1, upper=1)
    # A rim may be open by a voxel where it is thin: closed for finding what it surrounds, and only for that.
    holes = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(region, radius, sitk.sitkBall))
    region = sitk.Or(region, sitk.BinaryMorphologicalOpening(sitk.And(holes, sitk.Not(region)), [1, 1, 1]))
    region = sitk.BinaryFillhole(region)
    opened = sitk.BinaryMorphologicalOpening(region, radius, sitk.sitkBall)
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(opened)).transpose(2, 1, 0)
    if not parts.any():  # thinner than a neck everywhere: small, and no leak
        return np.asarray(sitk.GetArrayFromImage(region).transpose(2, 1, 0) > 0)
    filled = np.argwhere(parts > 0)
    nearest = filled[np.linalg.norm((filled - start) * spacing, axis=1).argmin()]
    return np.asarray(parts == parts[tuple(nearest)])


def _check(region: np.ndarray, image: Volume, low: np.ndarray, high: np.ndarray) -> None:
    volume = float(region.sum()) * image.voxel_volume
    if volume < _LEAST_MM3:
        raise _problem(f"is on a bright spot of {volume:.0f} mm³, too small for a tumour")
    filled = np.argwhere(region)
    # The image's own border is no leak: a tumour may be cut there.
    inner = (filled.min(axis=0) == 0) & (low > 0), (filled.max(axis=0) == high - low - 1) & (high < image.array.shape)
    extent = np.prod((np.ptp(filled, axis=0) + 1) * image.spacing)
    if np.any(inner) or volume > _MOST_MM3 or volume < _LEAST_FILLED * extent:
        raise _problem("grows beyond a tumour, along vessels, meninges or skull")
