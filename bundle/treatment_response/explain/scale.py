"""One constant per explanation and class that maps raw values to [0, 1], fitted on training cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from treatment_response.explain.cam import VARIANTS, CamKey, explain_all
from treatment_response.explain.explanations import Explanation
from treatment_response.explain.region import Everywhere, Region
from treatment_response.explain.target import ClassScore, TargetClass
from treatment_response.model_description import FittedScales, MapScales, is_scale
from treatment_response.problems import DataProblem, Problem

PERCENTILE = 99.0
"""Values above this percentile of the training cases' positive values are shown as 1."""
_MOST_VALUES = 2**17
"""Positive values that a map gives to the pool: of a larger map every second, third, … in order."""
_CAM_NAMES = tuple(variant.name for variant in VARIANTS)
_CAM_CLASSES = tuple(target.label for target in TargetClass)


def fit_scales(
    explanations: Mapping[str, Explanation],
    network: torch.nn.Module,
    cases: Iterable[torch.Tensor],
    classes: Sequence[str],
    region: Region | None = None,
    percentile: float = PERCENTILE,
) -> MapScales:
    """Fit the constants of any explanations of any network.

    Args:
        explanations: by the names that their constants get.
        cases: the training cases, batch by batch, ``(B, C, *grid)``, without augmentation.
        classes: names of the K classes in the order of their numbers; two for a network with one logit.
        region: only values inside it count; everywhere by default.
        percentile: of the positive values of all cases, in (0, 100].

    Returns:
        As `percentile_scales`.
    """
    where = Everywhere() if region is None else region

    def maps() -> Iterable[dict[tuple[str, str], torch.Tensor]]:
        for x in cases:
            inside = where(x)[:, 0]
            for name, explanation in explanations.items():
                for index, label in enumerate(classes):
                    yield {(name, label): explanation(network, x, ClassScore(index)) * inside}

    return percentile_scales(maps(), tuple(explanations), classes, percentile)


def percentile_scales(
    batches: Iterable[Mapping[tuple[str, str], torch.Tensor]],
    names: Sequence[str],
    classes: Sequence[str],
    percentile: float = PERCENTILE,
) -> MapScales:
    """The constants from maps at hand.

    A map is never scaled by its own maximum, which would paint a red spot into every case: the same colour means the
    same contribution to the class's score in every patient. A class without any positive value in an explanation
    (Grad-CAM of one class often is) takes the largest constant of the other classes, which has the same unit. An
    explanation without any for any class has none.

    Args:
        batches: by explanation and class, maps ``(B, *grid)``.
        names: of the explanations. classes: names of the classes.
        percentile: of the positive values, in (0, 100].

    Returns:
        None for an explanation that has no positive value for any class, or one that float32 cannot hold.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be in (0, 100], got {percentile}.")
    pooled: dict[tuple[str, str], list[torch.Tensor]] = {}
    for batch in batches:
        for key, maps in batch.items():
            pooled.setdefault(key, []).extend(_positive(one) for one in maps)
    fitted: dict[str, dict[str, float]] = {name: {} for name in names}
    for (name, label), parts in pooled.items():
        positive = torch.cat(parts)
        if len(positive):
            # kthvalue and not quantile, which refuses more than 16 million values.
            rank = max(1, round(percentile / 100 * len(positive)))
            fitted[name][label] = float(positive.kthvalue(rank).values)
    return {
        name: {label: of.get(label, max(of.values())) for label in classes}
        if of and all(map(is_scale, of.values()))
        else None
        for name, of in fitted.items()
    }


def _positive(one_map: torch.Tensor) -> torch.Tensor:
    positive = one_map[one_map > 0]
    return positive[:: math.ceil(len(positive) / _MOST_VALUES)] if len(positive) > _MOST_VALUES else positive


def fit_map_scales(network: torch.nn.Module, x: torch.Tensor, percentile: float = PERCENTILE) -> FittedScales:
    """Fit the constants of the class activation maps of the masked autoencoder-classifier.

    Args:
        network: trained.
        x: the training cases, ``(N, 2, H, W)``, without augmentation.
        percentile: of the positive contributions of all cells of all cases, in (0, 100].

    Raises:
        DataProblem: a variant finds no contribution to either class in any case.
    """
    batches = (
        {(variant, target.label): maps for (variant, target), maps in explain_all(network, batch).items()}
        for batch in x.split(256)
    )
    scales = percentile_scales(batches, _CAM_NAMES, _CAM_CLASSES, percentile)
    if useless := without_scale(scales):
        what = (
            f"its decision does not depend on any cell of the region, so its maps have no scale ({', '.join(useless)})"
        )
        remedy = "train it, or check that the masks are not empty"
        raise DataProblem(Problem("the model, on its training cases", what, remedy))
    return fitted_scales(scales)


def without_scale(map_scales: MapScales | None) -> list[str]:
    """The explanations whose constants could not be fitted: they found nothing in any training case."""
    return [name for name, of in (map_scales or {}).items() if of is None]


def fitted_scales(
    map_scales: MapScales | None, names: Sequence[str] = _CAM_NAMES, classes: Sequence[str] = _CAM_CLASSES
) -> FittedScales:
    """The constants, if there is one for every explanation and class.

    Raises:
        DataProblem: there is not.
    """
    scales = {name: of for name, of in (map_scales or {}).items() if of is not None}
    absent = [f"{name} {label}" for name in names for label in classes if label not in scales.get(name, {})]
    if absent:
        what = f"it stores no scale for its maps ({', '.join(absent)}): it was never fitted"
        remedy = "use weights that a training run finished, which fits the scale on its training cases"
        raise DataProblem(Problem("the model", what, remedy))
    return scales


def scale_map(raw: torch.Tensor, constant: float) -> torch.Tensor:
    """A raw map as a share of its constant, clipped to [0, 1]; what speaks against the class is 0."""
    return (raw / constant).clamp(0, 1)


def scale_maps(maps: Mapping[CamKey, torch.Tensor], map_scales: MapScales | None) -> dict[CamKey, torch.Tensor]:
    """The class activation maps, each as a share of its stored constant.

    Args:
        maps: as :func:`~treatment_response.explain.cam.explain_all` returns them.
        map_scales: of the network that they are of.

    Raises:
        DataProblem: the constants were never fitted.
    """
    constants = fitted_scales(map_scales)
    return {(name, target): scale_map(raw, constants[name][target.label]) for (name, target), raw in maps.items()}
