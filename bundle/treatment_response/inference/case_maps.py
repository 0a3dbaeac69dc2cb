"""What a network, or several, say about a case, with maps of every class."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.inferers import Inferer

from treatment_response.cases.explanations import Explanations, MapKey, check_logits, scaled_maps
from treatment_response.explain.finite import check_finite
from treatment_response.explain.scale import fitted_scales
from treatment_response.inference.model import drawn_names
from treatment_response.weights import Weights


@dataclass(frozen=True)
class CaseMaps:
    """What is said about the N inputs of a case (one, as a rule), on the CPU.

    Attributes:
        logits: of the network that the maps explain, ``(N, 1)`` or ``(N, K)``.
        member_logits: of each of F fold models or members of an ensemble, ``(F, N, K)``; F is 0 where there are none.
        raw: maps ``(N, *cells)`` by explanation and class, in units of the class's score; none of an explanation whose
            scale could not be fitted.
        scaled: the same as shares of the model's stored constants, in [0, 1].
    """

    logits: torch.Tensor
    member_logits: torch.Tensor
    raw: dict[MapKey, torch.Tensor]
    scaled: dict[MapKey, torch.Tensor]


class MapInferer(Inferer):
    """Logits and maps of any network.

    Args:
        explanation: what is drawn.
        weights: of the network: its classes and the scales of its maps.
        members: fold models or the members of an ensemble; they give logits and no maps.
    """

    def __init__(self, explanation: Explanations, weights: Weights, members: Sequence[torch.nn.Module] = ()) -> None:
        super().__init__()
        self.explanation = explanation
        self.weights = weights
        self.members = list(members)

    def __call__(
        self,
        inputs: torch.Tensor,
        network: torch.nn.Module,
        *args: Any,
        only: Collection[str] | None = None,
        **kwargs: Any,
    ) -> CaseMaps:
        """Explain inputs ``(N, C, *grid)``.

        Args:
            only: names of the explanations that are wanted; all by default.

        Raises:
            DataProblem: the scale of a map was never fitted, an answer is not finite, or the outputs are not of the
                classes.
        """
        classes = self.weights.classes
        scales = fitted_scales(self.weights.map_scales, drawn_names(self.explanation, self.weights), classes.names)
        with torch.no_grad():
            logits = network(inputs)
            members = [member(inputs) for member in self.members]
        check_logits(logits.shape[1], classes)
        maps = self.explanation.maps(network, inputs, classes, only)
        raw = {key: value for key, value in maps.items() if key[0] in scales}
        check_finite(logits, *members, *raw.values())
        scaled = scaled_maps(raw, scales)
        return CaseMaps(
            logits=logits.cpu(),
            member_logits=torch.stack(members).cpu() if members else torch.empty(0, *logits.shape),
            raw={key: value.cpu() for key, value in raw.items()},
            scaled={key: value.cpu() for key, value in scaled.items()},
        )
