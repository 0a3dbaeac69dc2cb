"""Which voxels of a head's T1 are brain: by a network if its package is installed, else by the MNI152 template.

The template's brain is registered affinely (mutual information, SimpleITK). Then its surface moves along its normals to
where the image turns dark, by a smooth displacement. On the template itself it stays where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from treatment_response.cases.hd_bet import hd_bet_is_installed, hd_bet_mask
from treatment_response.cases.mutual_information import optimised, optimiser, thinned, without_tails
from treatment_response.cases.registration import resample
from treatment_response.geometry import Volume, moved_points
from treatment_response.geometry.itk import matrix_from_itk, to_itk
from treatment_response.geometry.template import template
from treatment_response.problems import DataProblem, Problem

HD_BET, TEMPLATE = "HD-BET", "template, refined"
_WORKING_MM = 2
_PADDING = 10
"""Voxels of the working grid around the template, so that the surface can move outwards."""
_LEVELS = ((4.0, 2.0, 0.02), (2.0, 0.5, 0.005))
"""Spacing in mm, first and last step in mm of the affine registration."""
_COARSE_MM = 6.0
_SAMPLES = 60_000
"""Points of the template's whole grid at which the images are compared, at most; about a third lie in the brain."""
_RIM_MM = 5.0
"""The images are compared inside the template's brain and this far around it: skull and fluid are dark there."""
_TOP_OF_HEAD_MM = 14.0
"""From the top of the scalp down to the top of the brain."""
_HEAD_MM = 150.0
_PROFILE_MM = np.arange(-8.0, 8.5, 1.0)
"""Where the image is looked at along a normal of the surface, from inside to outside."""
_FARTHEST_MM = 6.0
_DARK = 0.55
"""Share of the brain's brightness around; fluid, bone and air are darker."""
_SMOOTH_MM = 8.0
_PLAUSIBLE_ML = (700.0, 2300.0)
_PLAUSIBLE_SCALE = (0.65, 1.6)
_LEAST_SEEN = 0.85
_LEAST_INFORMATION = 1.04
_FEWEST_SLICES = 8
_TAILS = (0.5, 99.5)


@dataclass(frozen=True)
class TemplateFit:
    """Where a head lies in the template's space.

    Attributes:
        to_template: ``(4, 4)`` affine, RAS mm of the image → RAS mm of the template.
        seen: share of the template's brain inside the image's field of view.
        doubts: why it should not be trusted without a look; empty if no rule speaks against it.
    """

    to_template: np.ndarray
    seen: float
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrainMask:
    """The brain of one image.

    Attributes:
        mask: uint8 ``(I, J, K)`` on the image's grid.
        method: `HD_BET` or `TEMPLATE`.
        fit: of the template onto the image, which other structures of the template can be moved with.
        doubts: why the mask should not be trusted without a look.
    """

    mask: Volume
    method: str
    fit: TemplateFit
    doubts: tuple[str, ...] = field(default=())


def brain_mask(image: Volume) -> BrainMask:
    """Find the brain in a T1 of a head, with or without contrast, on any grid. The same input gives the same result.

    Raises:
        DataProblem: the image is constant, has values that are not finite or fewer than 8 slices, or does not show
            what the template shows.
    """
    fit = fit_template(image)
    if hd_bet_is_installed():
        mask, method = hd_bet_mask(image), HD_BET
    else:
        mask, method = _template_mask(image, fit), TEMPLATE
    volume_ml = float((mask.array > 0).sum()) * image.voxel_volume / 1000
    doubts = list(fit.doubts)
    low, high = _PLAUSIBLE_ML
    if fit.seen >= _LEAST_SEEN and not low <= volume_ml <= high:
        doubts.append(f"the brain has {volume_ml:.0f} ml, expected {low:.0f} to {high:.0f}")
    return BrainMask(mask, method, fit, tuple(doubts))


def fit_template(image: Volume) -> TemplateFit:
    """Register the brain template onto a head's image, affinely.

    Raises:
        DataProblem: as of `brain_mask`.
    """
    moving = without_tails(image, image.array[::2, ::2, ::2], _TAILS, _FEWEST_SLICES, "image")
    fixed = to_itk(template("t1"))
    region = ndimage.binary_dilation(_working().brain, iterations=round(_RIM_MM / _WORKING_MM))
    mask = to_itk(Volume(region.astype(np.uint8), _working().affine))
    coarse = thinned(fixed, _COARSE_MM), thinned(moving, _COARSE_MM)
    method = _optimiser(coarse[0], mask, 3.0, 0.1)
    runs = [optimised(method, *coarse, start) for start in _starts(image)]
    _, transform = min(runs, key=lambda run: run[0])
    if transform is None:
        raise DataProblem(Problem("image", "shows no part of a head that fits the brain template", "check the series"))
    affine = sitk.AffineTransform(transform.GetMatrix(), transform.GetTranslation(), transform.GetCenter())
    for spacing, first, last in _LEVELS:
        levels = thinned(fixed, spacing), thinned(moving, spacing)
        _, moved = optimised(_optimiser(levels[0], mask, first, last), *levels, affine)
        affine = affine if moved is None else moved
    to_image = matrix_from_itk(affine)
    return _judged(image, to_image)


def _judged(image: Volume, to_image: np.ndarray) -> TemplateFit:
    working = _working()
    scale = np.linalg.svd(to_image[:3, :3], compute_uv=False)
    points = Volume(working.brain, working.affine).to_world(np.argwhere(working.brain))
    index = image.to_index(moved_points(to_image, points))
    inside = np.all((index >= -0.5) & (index <= np.array(image.array.shape) - 0.5), axis=1)
    doubts = []
    if scale.min() < _PLAUSIBLE_SCALE[0] or scale.max() > _PLAUSIBLE_SCALE[1]:
        doubts.append(f"the template is scaled by {scale.min():.2f} to {scale.max():.2f} to fit the image")
    if inside.mean() < _LEAST_SEEN:
        doubts.append(f"the image shows {inside.mean():.0%} of the brain, expected at least {_LEAST_SEEN:.0%}")
    shown = index[inside][::7]
    seen = ndimage.map_coordinates(image.array.astype(np.float32), shown.T, order=1)
    known = ndimage.map_coordinates(template("t1").array, template("t1").to_index(points[inside][::7]).T, order=1)
    information = _information(seen, known)
    if information < _LEAST_INFORMATION:
        what = f"its normalised mutual information with the template is {information:.3f}"
        doubts.append(f"{what}, expected at least {_LEAST_INFORMATION:g}")
    return TemplateFit(np.linalg.inv(to_image), float(inside.mean()), tuple(doubts))


@dataclass(frozen=True)
class _Working:
    """The template on the working grid: its brain, and the distance from the brain's surface in mm, negative inside."""

    brain: np.ndarray
    distance: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=1)
def _working() -> _Working:
    whole = template("brain")
    step = _WORKING_MM
    array = np.pad(whole.array[::step, ::step, ::step], _PADDING) > 0
    affine = whole.affine.copy()
    affine[:3, :3] *= step
    affine[:3, 3] = whole.to_world(np.array([[-_PADDING * step] * 3]))[0]
    distance = (ndimage.distance_transform_edt(~array) - ndimage.distance_transform_edt(array)) * step
    return _Working(array, distance, affine)


def _template_mask(image: Volume, fit: TemplateFit) -> Volume:
    """The template's brain on the image's grid, its surface moved to the image's own edge."""
    working = _working()
    like = Volume(np.empty(working.brain.shape, np.uint8), working.affine)
    grey = resample(image, like, np.linalg.inv(fit.to_template), "image").array
    shift = _edges(grey, working.brain, working.distance)
    inwards = Volume((shift - working.distance).astype(np.float32), working.affine)
    inside = resample(inwards, image, fit.to_template, "image").array > 0
    labels, count = ndimage.label(inside)
    if count > 1:
        inside = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return Volume(ndimage.binary_fill_holes(inside).astype(np.uint8), image.affine.copy())


def _edges(grey: np.ndarray, brain: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Where along the normals of the brain's surface the image turns dark, in mm outwards, smooth over the grid.

    Args:
        grey: image on the working grid. brain, distance: of the template, see `_Working`.

    Returns:
        A value for every voxel of the grid; 0 where no edge was found in the neighbourhood.
    """
    grey = ndimage.gaussian_filter(grey.astype(np.float32), 0.5)
    core = distance < -4.0
    bright = core & (grey > 0.5 * np.median(grey[core]))
    sigma = 16.0 / _WORKING_MM
    level = _local_mean(grey, bright, sigma)
    surface = np.argwhere(brain & ~ndimage.binary_erosion(brain))
    slopes = np.gradient(ndimage.gaussian_filter(distance, 1.0))
    gradient = np.stack([component[tuple(surface.T)] for component in slopes])
    normal = (gradient / np.maximum(np.linalg.norm(gradient, axis=0), 1e-6)).T
    steps = _PROFILE_MM / _WORKING_MM
    places = surface[:, None, :] + steps[None, :, None] * normal[:, None, :]
    profile = ndimage.map_coordinates(grey, places.reshape(-1, 3).T, order=1).reshape(len(surface), len(steps))
    dark = profile < _DARK * level[tuple(surface.T)][:, None]
    ends = dark[:, :-1] & dark[:, 1:]  # two millimetres of it, so that a thin vessel wall or noise is no edge
    found = ends.any(axis=1) & ~dark[:, 0]
    where = np.clip(_PROFILE_MM[ends.argmax(axis=1)], -_FARTHEST_MM, _FARTHEST_MM)
    values, known = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, np.float32)
    values[tuple(surface[found].T)] = where[found]
    known[tuple(surface[found].T)] = 1.0
    return _local_mean(values, known > 0, _SMOOTH_MM / _WORKING_MM)


def _local_mean(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """The Gaussian mean of the known voxels around each voxel; 0 where there are none."""
    weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(known, values, 0).astype(np.float32), sigma)
    mean: np.ndarray = np.divide(total, weight, out=np.zeros_like(total), where=weight > 1e-6)
    return mean


def _starts(image: Volume) -> list[sitk.Euler3DTransform]:
    """Template onto scanner coordinates as they are, onto the top of the head, and onto its middle."""
    brain = _working()
    points = Volume(brain.brain, brain.affine).to_world(np.argwhere(brain.brain))
    centre, top = points.mean(axis=0), points[:, 2].max()
    stride = tuple(slice(None, None, max(1, round(4.0 / spacing))) for spacing in image.spacing)
    coarse = image.array[stride]
    index = np.argwhere(coarse > coarse.mean()) * [one.step for one in stride]
    head = image.to_world(index)
    head_top = np.percentile(head[:, 2], 99.5)
    upper = head[head[:, 2] > head_top - _HEAD_MM]
    onto_top = np.array([*np.median(upper[:, :2], axis=0), head_top - _TOP_OF_HEAD_MM - top + centre[2]])
    shifts = [np.zeros(3), onto_top - centre, head.mean(axis=0) - centre, upper.mean(axis=0) - centre]
    starts = []
    for shift in shifts:
        start = sitk.Euler3DTransform()
        start.SetCenter((centre * [-1, -1, 1]).tolist())
        start.SetTranslation((shift * [-1, -1, 1]).tolist())
        starts.append(start)
    return starts


def _optimiser(fixed: sitk.Image, mask: sitk.Image, first: float, last: float) -> sitk.ImageRegistrationMethod:
    return optimiser(
        fixed, bins=32, samples=_SAMPLES, steps_mm=(first, last), iterations=80, relaxation=0.6, fixed_mask=mask
    )


def _information(one: np.ndarray, other: np.ndarray, bins: int = 32) -> float:
    """(H1 + H2) / H12 of paired values."""
    joint = np.histogram2d(one, other, bins)[0]
    joint /= max(joint.sum(), 1.0)
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(0), joint.sum(1), joint.ravel())]
    return float((entropies[0] + entropies[1]) / max(entropies[2], 1e-12))
