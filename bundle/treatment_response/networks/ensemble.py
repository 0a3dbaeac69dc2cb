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
        scale, shift: by what each network's logits are multiplied, and what is then added: a calibration. A shift is
            for networks with one logit; it leaves the softmax of K logits as it is.

    Shapes:
        input as the networks'; output ``(B, 1)`` or ``(B, K)``, whose `probabilities` are the mean of theirs,
        calibrated.
    """

    def __init__(self, networks: Sequence[nn.Module], scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        if not networks:
            raise ValueError("an ensemble needs at least one network")
        self.networks = nn.ModuleList(networks)
        self.scale, self.shift = scale, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers = [network(x) * self.scale + self.shift for network in self.networks]
        mean = torch.stack([probabilities(logits) for logits in answers]).mean(dim=0)
        logs = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        return logs if answers[0].shape[1] > 1 else logs[:, 1:] - logs[:, :1]
