"""A network of images, and facts about the patient that join its features late."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def image_outputs(facts: int, classes: int, dense: int) -> int:
    """How many outputs the network of images needs inside of `LateFusion`: logits, or features where facts join."""
    return dense if facts else classes


class LateFusion(nn.Module):
    """Features of images and facts of the patient, joined before a last hidden layer.

    Facts come as the input's last channels, each of one value everywhere, so that whatever carries images carries them
    too; the network reads their mean. A fact of 0 is unknown. Known ones are scaled by `fit_scale`, whose numbers
    belong to the weights. Without facts the network of images answers alone.

    Args:
        images: from ``(B, C, *grid)`` to features ``(B, dense)``; without facts to logits ``(B, classes)``, see
            `image_outputs`.
        facts: how many, F.
        classes: logits K.
        dense: width of the hidden layer and of the images' features.

    Shapes:
        ``(B, C + F, *grid)`` → ``(B, K)``.
    """

    def __init__(self, images: nn.Module, facts: int = 0, classes: int = 4, dense: int = 256) -> None:
        super().__init__()
        self.images = images
        self.facts = facts
        if facts:
            self.register_buffer("fact_mean", torch.zeros(facts))
            self.register_buffer("fact_sd", torch.ones(facts))
            self.hidden = nn.Linear(dense + facts, dense)
            self.head = nn.Linear(dense, classes)

    def fit_scale(self, mean: Sequence[float], sd: Sequence[float]) -> None:
        """Scale known facts by these, one number each, from now on.

        Raises:
            ValueError: not one per fact, or an SD that is not above 0.
        """
        if len(mean) != self.facts or len(sd) != self.facts or not all(value > 0 for value in sd):
            raise ValueError(f"expected {self.facts} means and as many SDs above 0, got {list(mean)} and {list(sd)}")
        if self.facts:
            self.fact_mean.copy_(torch.tensor(mean))
            self.fact_sd.copy_(torch.tensor(sd))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.facts:
            logits: torch.Tensor = self.images(x)
            return logits
        places = tuple(range(2, x.ndim))
        given = x[:, -self.facts :].mean(dim=places)
        scaled = torch.where(given == 0, torch.zeros_like(given), (given - self.fact_mean) / self.fact_sd)
        features = torch.relu(self.images(x[:, : -self.facts]))
        joined = torch.relu(self.hidden(torch.cat([features, scaled.to(features.dtype)], dim=1)))
        fused: torch.Tensor = self.head(joined)
        return fused
