"""The lateral ventricles of a head, and dark cavities in its brain, from a T1 and the brain template."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from treatment_response.cases.brain_mask import BrainMask
from treatment_response.cases.registration import resample
from treatment_response.geometry import Volume
from treatment_response.geometry.ventricles import template_fluid, template_ventricles

BY_FLUID, BY_TEMPLATE = "fluid at the template's ventricles", "the template's ventricles"
_REACH_MM = 6.0
_DARK = 0.6
"""Share of the brain's median brightness; fluid is darker."""
_PLAUSIBLE = (0.3, 5.0)
"""Volume of ventricles relative to the template's."""
_WIDE_MM = 6.0
_LEAST_ML = 1.0
_DEEP_MM = 6.0
_APART_MM = 3.0


def ventricles(image: Volume, brain: BrainMask) -> tuple[Volume, str]:
    """The lateral ventricles.

    The template's ventricles are moved affinely. Dark voxels that touch them and lie within 6 mm count in their place,
    if their volume is plausible.

    Returns:
        Mask on the image's grid, uint8, and how it was found: `BY_FLUID` or `BY_TEMPLATE`.
    """
    moved = resample(template_ventricles(), image, brain.fit.to_template, "mask").array > 0
    near = ndimage.distance_transform_edt(~moved, sampling=image.spacing) <= _REACH_MM if moved.any() else moved
    dark = near & _dark(image, brain)
    labels = ndimage.label(dark)[0]
    fluid = dark & np.isin(labels, np.setdiff1d(np.unique(labels[moved & dark]), [0]))
    low, high = (share * float(moved.sum()) for share in _PLAUSIBLE)
    is_plausible = moved.any() and low <= float(fluid.sum()) <= high
    mask, how = (fluid, BY_FLUID) if is_plausible else (moved, BY_TEMPLATE)
    return Volume(mask.astype(np.uint8), image.affine), how


def dark_cavity(image: Volume, brain: BrainMask) -> Volume | None:
    """The largest dark region of the brain where the template has no fluid.

    It is at least 6 mm wide, has 1 ml, and reaches 6 mm below the brain's surface. The cavity of an operation looks
    so, and so do other defects. None if there is no such region.
    """
    inside = brain.mask.array > 0
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=image.spacing)[1:-1, 1:-1, 1:-1]
    fluid = resample(template_fluid(), image, brain.fit.to_template, "mask").array > 0
    away = ndimage.distance_transform_edt(~fluid, sampling=image.spacing) > _APART_MM
    dark = inside & away & _dark(image, brain)
    core = ndimage.distance_transform_edt(np.pad(dark, 1), sampling=image.spacing)[1:-1, 1:-1, 1:-1] > _WIDE_MM / 2
    if not core.any():
        return None
    opened = dark & (ndimage.distance_transform_edt(~core, sampling=image.spacing) <= _WIDE_MM / 2)
    labels = ndimage.label(opened)[0]
    sizes = np.bincount(labels.ravel()) * image.voxel_volume / 1000
    deep = np.setdiff1d(np.unique(labels[opened & (depth > _DEEP_MM)]), [0])
    large = [number for number in deep if sizes[number] >= _LEAST_ML]
    if not large:
        return None
    return Volume((labels == max(large, key=lambda number: sizes[number])).astype(np.uint8), image.affine)


def _dark(image: Volume, brain: BrainMask) -> np.ndarray:
    sigma = 0.7 / image.spacing
    smooth = ndimage.gaussian_filter(image.array.astype(np.float32), sigma)
    dark: np.ndarray = smooth < _DARK * np.median(image.array[brain.mask.array > 0])
    return dark
