"""One pass over a lesion's slices that gives the logits and all maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.inferers import Inferer

from treatment_response.explain.cam import CamKey, all_maps
from treatment_response.explain.finite import check_finite
from treatment_response.explain.gradients import head_attribution
from treatment_response.explain.scale import MapScales, scale_maps
from treatment_response.explain.target import TargetClass


@dataclass(frozen=True)
class SliceMaps:
    """What the network says about S slices, on the CPU.

    Attributes:
        logits: of response, ``(S,)``.
        cell_mask: the lesion's cells, ``(S, H, W)``, 0 or 1.
        raw: maps ``(S, H, W)`` by variant and class, in units of the logit.
        scaled: the same as shares of the model's stored constants, in [0, 1].
    """

    logits: torch.Tensor
    cell_mask: torch.Tensor
    raw: dict[CamKey, torch.Tensor]
    scaled: dict[CamKey, torch.Tensor]


class CamInferer(Inferer):
    """Logits and all class activation maps from one encoder pass and one backward pass through the head.

    Args:
        map_scales: of the network's maps.
        batch_size: slices at a time.
    """

    def __init__(self, map_scales: MapScales | None, batch_size: int = 64) -> None:
        super().__init__()
        self.map_scales = map_scales
        self.batch_size = batch_size

    def __call__(self, inputs: torch.Tensor, network: torch.nn.Module, *args: Any, **kwargs: Any) -> SliceMaps:
        """Explain slices ``(S, 2, H, W)``.

        Raises:
            DataProblem: there is no scale for the network's maps, or its answer is not finite.
        """
        parts = [head_attribution(network, chunk, TargetClass.RESPONSE) for chunk in inputs.split(self.batch_size)]
        maps = [all_maps(part) for part in parts]
        raw = {key: torch.cat([part[key] for part in maps]) for key in maps[0]}
        check_finite(*(part.logits for part in parts), *raw.values())
        scaled = scale_maps(raw, self.map_scales)
        return SliceMaps(
            logits=torch.cat([part.logits for part in parts])[:, 0].cpu(),
            cell_mask=torch.cat([part.mask for part in parts])[:, 0].cpu(),
            raw={key: value.cpu() for key, value in raw.items()},
            scaled={key: value.cpu() for key, value in scaled.items()},
        )
