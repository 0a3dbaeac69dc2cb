"""One constant per variant and class that maps raw contributions to [0, 1], fitted on training lesions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from treatment_response.explain.cam import VARIANTS, CamKey, explain_all
from treatment_response.explain.target import TargetClass
from treatment_response.problems import DataProblem, Problem
from treatment_response.weights import MapScales

PERCENTILE = 99.0
"""Contributions above this percentile of the training lesions' positive contributions are shown as 1."""


def fit_map_scales(network: torch.nn.Module, x: torch.Tensor, percentile: float = PERCENTILE) -> MapScales:
    """Fit the constants on training lesions.

    A map is never scaled by its own maximum, which would paint a red spot into every lesion: the same colour means the
    same contribution to the logit in every patient. A class without any positive contribution in a variant (Grad-CAM of
    one class often is) takes the other class's constant, which has the same unit.

    Args:
        network: the trained masked autoencoder-classifier.
        x: the training lesions, ``(N, 2, H, W)``, without augmentation.
        percentile: of the positive contributions of all cells of all lesions, in (0, 100].

    Raises:
        DataProblem: if a variant finds no contribution to either class in any lesion.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be in (0, 100], got {percentile}.")
    pooled: dict[CamKey, list[torch.Tensor]] = {}
    for batch in x.split(256):
        for key, maps in explain_all(network, batch).items():
            pooled.setdefault(key, []).append(maps[maps > 0])
    fitted: dict[str, dict[str, float]] = {}
    for (variant, target), parts in pooled.items():
        positive = torch.cat(parts)
        if len(positive):
            # kthvalue and not quantile, which refuses more than 16 million values.
            rank = max(1, round(percentile / 100 * len(positive)))
            fitted.setdefault(variant, {})[target.label] = float(positive.kthvalue(rank).values)
    constants = [constant for of in fitted.values() for constant in of.values()]
    if set(fitted) != {variant.name for variant in VARIANTS} or not all(map(math.isfinite, constants)):
        raise DataProblem(
            Problem(
                f"the model, on {len(x)} training lesions",
                "its decision does not depend on any cell of the lesion, so its maps have no scale",
                "train it, or check that the masks are not empty",
            )
        )
    return {
        variant: {target.label: of.get(target.label, next(iter(of.values()))) for target in TargetClass}
        for variant, of in fitted.items()
    }


def fitted_scales(map_scales: MapScales | None) -> MapScales:
    """The constants, if there is one for every variant and class.

    Raises:
        DataProblem: there is not.
    """
    scales = map_scales or {}
    absent = [
        f"{variant.name} {target.label}"
        for variant in VARIANTS
        for target in TargetClass
        if target.label not in scales.get(variant.name, {})
    ]
    if absent:
        what = f"it stores no scale for its maps ({', '.join(absent)}): it was never fitted"
        remedy = "use weights that a training run finished, which fits the scale on its training lesions"
        raise DataProblem(Problem("the model", what, remedy))
    return scales


def scale_maps(maps: Mapping[CamKey, torch.Tensor], map_scales: MapScales | None) -> dict[CamKey, torch.Tensor]:
    """Raw maps as shares of the stored constants, clipped to [0, 1].

    Args:
        maps: as :func:`~treatment_response.explain.cam.explain_all` returns them.
        map_scales: of the network that they are of.

    Raises:
        DataProblem: if the constants were never fitted.
    """
    constants = fitted_scales(map_scales)
    return {
        (variant, target): (raw / constants[variant][target.label]).clamp(0, 1)
        for (variant, target), raw in maps.items()
    }
