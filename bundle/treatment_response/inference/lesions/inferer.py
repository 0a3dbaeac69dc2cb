"""One pass over a lesion's slices that gives the logits and all maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.inferers import Inferer

from treatment_response.explain.cam import CamKey, all_maps
from treatment_response.explain.finite import check_finite
from treatment_response.explain.gradients import Attribution, head_attribution
from treatment_response.explain.scale import scale_maps
from treatment_response.explain.target import TargetClass
from treatment_response.model_description import MapScales


@dataclass(frozen=True)
class SliceMaps:
    """What the network says about S slices, on the CPU.

    Attributes:
        logits: of response, ``(S,)``.
        fold_logits: the same by each of F fold models, ``(F, S)``, NaN for slices that were not asked for; F is 0 where
            there are none.
        cell_mask: the lesion's cells, ``(S, H, W)``, 0 or 1.
        raw: maps ``(S, H, W)`` by variant and class, in units of the logit.
        scaled: the same as shares of the model's stored constants, in [0, 1].
    """

    logits: torch.Tensor
    fold_logits: torch.Tensor
    cell_mask: torch.Tensor
    raw: dict[CamKey, torch.Tensor]
    scaled: dict[CamKey, torch.Tensor]


class CamInferer(Inferer):
    """Logits and all class activation maps from one encoder pass and one backward pass through the head.

    Args:
        map_scales: of the network's maps.
        batch_size: slices at a time.
        fold_networks: those that say how sure the answer is; they give logits and no maps.
    """

    def __init__(
        self,
        map_scales: MapScales | None,
        batch_size: int = 64,
        fold_networks: Sequence[torch.nn.Module] = (),
    ) -> None:
        super().__init__()
        self.map_scales = map_scales
        self.batch_size = batch_size
        self.fold_networks = list(fold_networks)

    def __call__(
        self,
        inputs: torch.Tensor,
        network: torch.nn.Module,
        *args: Any,
        scored: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> SliceMaps:
        """Explain slices ``(S, 2, H, W)``.

        Args:
            scored: the slices that fold models are asked about, by their places; all by default.

        Raises:
            DataProblem: there is no scale for the network's maps, or its answer is not finite.
        """
        parts = [head_attribution(network, chunk, TargetClass.RESPONSE) for chunk in inputs.split(self.batch_size)]
        maps = [all_maps(part) for part in parts]
        raw = {key: torch.cat([part[key] for part in maps]) for key in maps[0]}
        places = list(range(len(inputs))) if scored is None else list(scored)
        answers = [self._logits(fold, inputs, parts, places) for fold in self.fold_networks]
        check_finite(*(part.logits for part in parts), *raw.values(), *answers)
        fold_logits = torch.full((len(answers), len(inputs)), torch.nan)
        for fold, answer in enumerate(answers):
            fold_logits[fold, places] = answer
        scaled = scale_maps(raw, self.map_scales)
        return SliceMaps(
            logits=torch.cat([part.logits for part in parts])[:, 0].cpu(),
            fold_logits=fold_logits,
            cell_mask=torch.cat([part.mask for part in parts])[:, 0].cpu(),
            raw={key: value.cpu() for key, value in raw.items()},
            scaled={key: value.cpu() for key, value in scaled.items()},
        )

    @torch.no_grad()
    def _logits(
        self, network: torch.nn.Module, inputs: torch.Tensor, parts: Sequence[Attribution], places: list[int]
    ) -> torch.Tensor:
        """A fold model's logits of some slices; where its encoder cannot differ, from the codes that are there."""
        if getattr(network, "fixed_encoder", False):
            logits = torch.cat([network.classify(part.activations * part.mask) for part in parts])[places]
        else:
            logits = torch.cat([network(chunk) for chunk in inputs[places].split(self.batch_size)])
        return logits[:, 0].cpu()
