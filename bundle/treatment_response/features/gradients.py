"""The 90 gradient features: how steeply and how radially intensities change in a lesion's core, margin and octants.

Three quantities per point: the gradient's magnitude, the *radial gradient* (cosine of the angle between gradient and
the direction away from the lesion's centre of mass) and the *radial deviation* (that angle). Ten regions: core, margin,
and the margin's eight octants. Three statistics: 3 × 10 × 3 = 90.

References:
    Zhang et al., "Gradient-based Radiomics for Outcome Prediction and Decision-Making in PULSAR", Int J Part Ther 2025
    (the 90 features); Tunali et al., Oncotarget 8 (2017) 96013 (radial gradient and radial deviation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from treatment_response.features.grid import lesion_grid, mask_on
from treatment_response.features.table import Feature
from treatment_response.geometry import Volume

GROUP = "gradient"
STEP_MM = 0.5
LARGE_LESION_MM3 = 4000.0
MARGIN_LARGE_MM, MARGIN_SMALL_MM = 3.0, 1.0
CV_LIMIT = 100.0
"""A coefficient of variation is cut here: a mean near zero would make it any size."""
FLAT = 1e-9
"""A gradient below this share of the intensities' largest magnitude, per mm, is rounding: it counts as zero."""

OCTANTS = tuple("".join(letters) for letters in product("RL", "AP", "SI"))
REGIONS = ("core", "margin", *(f"margin_{octant}" for octant in OCTANTS))
QUANTITIES = {"magnitude": "intensity/mm", "radial_gradient": "", "radial_deviation": "degrees"}
STATISTICS = ("mean", "sd", "cv")
_WITHOUT_DIRECTION = {"radial_gradient": 0.0, "radial_deviation": 90.0}

FEATURES = tuple(
    Feature(f"{GROUP}.{region}.{quantity}.{statistic}", GROUP, unit="" if statistic == "cv" else unit)
    for region in REGIONS
    for quantity, unit in QUANTITIES.items()
    for statistic in STATISTICS
)


@dataclass(frozen=True)
class GradientMaps:
    """The three quantities and the regions, point by point, on an isotropic grid along RAS around the lesion.

    Attributes:
        magnitude: ``(X, Y, Z)``, intensity per mm, ≥ 0.
        radial_gradient: in [-1, 1]; +1 where intensities rise away from the centre of mass. NaN where the gradient
            is zero.
        radial_deviation: in [0, 180] degrees; NaN where the gradient is zero.
        regions: name → ``(X, Y, Z)`` bool, in the order of ``REGIONS``; none is empty.
        affine: grid index → RAS mm.
        margin_mm: how far the margin reaches to both sides of the lesion's border.
    """

    magnitude: np.ndarray
    radial_gradient: np.ndarray
    radial_deviation: np.ndarray
    regions: Mapping[str, np.ndarray]
    affine: np.ndarray
    margin_mm: float


def gradient_maps(image: Volume, mask: np.ndarray, where: str = "lesion") -> GradientMaps:
    """Gradients and regions of a lesion.

    The image is sampled every 0.5 mm along RAS by cubic spline and derived by central differences; the lesion's border
    is that of the mask's voxels. The margin lies within 3 mm of it on both sides for lesions above 4000 mm³, within
    1 mm for others; the core is the rest of the lesion.

    Fallbacks: a lesion that is margin throughout has itself as its core; an octant that lies outside the image takes
    the whole margin.

    Args:
        image: intensities on a common scale (`intensity.scale_to_head`), any affine.
        mask: bool, or numbers above 0 inside, on the image's grid.
        where: the case, for messages.

    Raises:
        DataProblem: the mask is empty or on another grid, or the image holds NaN around it.
    """
    volume = float(np.count_nonzero(mask)) * image.voxel_volume
    margin_mm = MARGIN_LARGE_MM if volume > LARGE_LESION_MM3 else MARGIN_SMALL_MM
    # Two points more than the margin: central differences never reach over the grid's edge.
    grid = lesion_grid(mask_on(image, mask, where), STEP_MM, margin_mm + 2 * STEP_MM, where)
    values, valid = grid.sample(image, where)
    right, anterior, superior = offsets = grid.offsets()
    radius = np.sqrt(right**2 + anterior**2 + superior**2)
    gradient = np.gradient(values, grid.step)
    magnitude = np.sqrt(sum(component**2 for component in gradient))
    directions = [offset / radius for offset in offsets]
    outward = sum(component * direction for component, direction in zip(gradient, directions, strict=True))
    sideways = np.sqrt(sum((g - outward * r) ** 2 for g, r in zip(gradient, directions, strict=True)))
    directed = magnitude > FLAT * np.abs(values).max()
    # Not the cosine's arc: next to 0 and 180 degrees it loses half of the digits.
    deviation = np.where(directed, np.degrees(np.arctan2(sideways, outward)), np.nan)
    alignment = np.where(directed, outward / np.where(directed, magnitude, 1.0), np.nan)
    magnitude = np.where(directed, magnitude, 0.0)

    depth = grid.depth(margin_mm + grid.step)
    margin = (np.abs(depth) <= margin_mm) & valid
    core = (depth > margin_mm) & valid
    regions = {"core": core if core.any() else grid.mask, "margin": margin}
    for octant in OCTANTS:
        signs = zip(octant, "RAS", offsets, strict=True)
        sides = [offset > 0 if letter == positive else offset < 0 for letter, positive, offset in signs]
        part = margin & sides[0] & sides[1] & sides[2]
        regions[f"margin_{octant}"] = part if part.any() else margin
    return GradientMaps(magnitude, alignment, deviation, regions, grid.affine, margin_mm)


def gradient_features(image: Volume, mask: np.ndarray, where: str = "lesion") -> dict[str, float]:
    """The 90 features of a lesion, by name, in the order of ``FEATURES``; all finite.

    SD is that of the population; the coefficient of variation is SD over the mean's size, at most 100, and 0 where SD
    is 0. Points without a gradient have no direction and do not count for the radial quantities; a region without any
    direction has radial gradient 0 and radial deviation 90 degrees (no alignment), SD 0.

    Args, Raises: as `gradient_maps`.
    """
    maps = gradient_maps(image, mask, where)
    result: dict[str, float] = {}
    for region, points in maps.regions.items():
        for quantity in QUANTITIES:
            values = getattr(maps, quantity)[points]
            values = values[~np.isnan(values)]
            if not values.size:
                values = np.array([_WITHOUT_DIRECTION[quantity]])
            mean, sd = float(values.mean()), float(values.std())
            name = f"{GROUP}.{region}.{quantity}"
            result |= {f"{name}.mean": mean, f"{name}.sd": sd, f"{name}.cv": _variation(mean, sd)}
    return result


def _variation(mean: float, sd: float) -> float:
    if sd >= CV_LIMIT * abs(mean):
        return CV_LIMIT if sd > 0 else 0.0
    return sd / abs(mean)
