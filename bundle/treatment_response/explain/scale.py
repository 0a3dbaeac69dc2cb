"""One constant per variant and class that maps raw contributions to [0, 1], fitted on training lesions."""

from __future__ import annotations

import torch

from treatment_response.explain.cam import VARIANTS, CamKey, explain_all
from treatment_response.explain.target import TargetClass
from treatment_response.problems import DataProblem, Problem

PERCENTILE = 99.0
"""Contributions above this percentile of the training lesions' positive contributions are shown as 1."""

_ROW = {variant.name: row for row, variant in enumerate(VARIANTS)}


def fit_cam_scale(network: torch.nn.Module, x: torch.Tensor, percentile: float = PERCENTILE) -> torch.Tensor:
    """Fit the constants on training lesions and store them in ``network.cam_scale``.

    A map is never scaled by its own maximum, which would paint a red spot into every lesion: the same colour means the
    same contribution to the logit in every patient. A class without any positive contribution in a variant (Grad-CAM of
    one class often is) takes the other class's constant, which has the same unit.

    Args:
        network: the trained masked autoencoder-classifier, with a buffer ``cam_scale`` ``(3, 2)``.
        x: the training lesions, ``(N, 2, H, W)``, without augmentation.
        percentile: of the positive contributions of all cells of all lesions, in (0, 100].

    Returns:
        The constants ``(3, 2)``: rows as in ``VARIANTS``, columns non-response, response.

    Raises:
        DataProblem: if a variant finds no contribution to either class in any lesion.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be in (0, 100], got {percentile}.")
    pooled: dict[CamKey, list[torch.Tensor]] = {}
    for batch in x.split(256):
        for key, maps in explain_all(network, batch).items():
            pooled.setdefault(key, []).append(maps[maps > 0].double())
    scale = torch.zeros(len(VARIANTS), len(TargetClass), dtype=torch.float64)
    for (variant, target), parts in pooled.items():
        positive = torch.cat(parts)
        if len(positive):
            # kthvalue and not quantile, which refuses more than 16 million values.
            rank = max(1, round(percentile / 100 * len(positive)))
            scale[_ROW[variant], target.value] = positive.kthvalue(rank).values
    scale = torch.where(scale > 0, scale, scale.flip(1))
    if not (scale > 0).all():
        raise DataProblem(
            Problem(
                f"the model, on {len(x)} training lesions",
                "its decision does not depend on any cell of the lesion, so its maps have no scale",
                "train it, or check that the masks are not empty",
            )
        )
    network.cam_scale.copy_(scale)
    return scale


def check_fitted(cam_scale: torch.Tensor) -> None:
    """Raise a :class:`DataProblem` unless every constant is a positive number."""
    if not bool(((cam_scale > 0) & torch.isfinite(cam_scale)).all()):
        raise DataProblem(
            Problem(
                "the model",
                "it stores no scale for its maps (cam_scale was never fitted)",
                "use weights that a training run finished, which fits the scale on its training lesions",
            )
        )


def scale_maps(maps: dict[CamKey, torch.Tensor], cam_scale: torch.Tensor) -> dict[CamKey, torch.Tensor]:
    """Raw maps as shares of the stored constants, clipped to [0, 1].

    Args:
        maps: as :func:`~treatment_response.explain.cam.explain_all` returns them.
        cam_scale: ``(3, 2)``, the network's buffer.

    Raises:
        DataProblem: if the constants were never fitted.
    """
    check_fitted(cam_scale)
    return {
        (variant, target): (raw / cam_scale[_ROW[variant], target.value]).clamp(0, 1)
        for (variant, target), raw in maps.items()
    }
