"""Several networks as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from treatment_response.networks.probabilities import probabilities


class Ensemble(nn.Module):
    """The mean of some networks' probabilities, given as logits, so that it can be used and explained as a network.

    Args:
        networks: of one kind of output, at least one.

    Shapes:
        input as the networks'; output ``(B, 1)`` or ``(B, K)``, whose `probabilities` are the mean of theirs.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        self.networks = nn.ModuleList(networks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers = [network(x) for network in self.networks]
        mean = torch.stack([probabilities(logits) for logits in answers]).mean(dim=0)
        logs = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        return logs if answers[0].shape[1] > 1 else logs[:, 1:] - logs[:, :1]
