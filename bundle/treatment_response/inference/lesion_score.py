"""Which of a lesion's slices its probability comes from: the rule must be the one that the network was scored by."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch

from treatment_response.inference.inferer import SliceMaps
from treatment_response.training.scoring import mean_over_area


class LesionScore(StrEnum):
    """The rule, as `inference.json` names it."""

    LARGEST = "largest slice"
    """The logit of the slice of largest GTV area, the only one that the paper's network is trained and scored on."""
    ALL = "all slices"
    """The mean of all slices' logits, weighted by the GTV's area, for a network trained and scored on all of them."""

    def p_response(self, case: dict[str, Any], maps: SliceMaps) -> float:
        """A lesion's probability of response.

        Args:
            case: as :class:`~treatment_response.inference.preprocessing.LesionPreprocessing` returns it.
            maps: of all its slices.
        """
        logits = maps.logits.double().flatten()
        largest = self is LesionScore.LARGEST
        logit = logits[case["largest"]] if largest else mean_over_area(logits.cpu(), case["image"], case["pixel"])
        return float(torch.sigmoid(logit))

    def slices(self, case: dict[str, Any]) -> list[int]:
        """Indices of the slices that the probability comes from."""
        every: list[int] = case["slice"]
        return [every[case["largest"]]] if self is LesionScore.LARGEST else every
