"""Which of a lesion's slices its logit comes from: the rule must be the one that the network was scored by."""

from __future__ import annotations

from typing import Any

import torch

from treatment_response.cases.areas import mean_over_area
from treatment_response.text_enum import TextEnum


class LesionScore(TextEnum):
    """The rule, as `inference.json` names it."""

    LARGEST = "largest slice"
    """The logit of the slice of largest GTV area, the only one that the paper's network is trained and scored on."""
    ALL = "all slices"
    """The mean of all slices' logits, weighted by the GTV's area, for a network trained and scored on all of them."""

    def logit(self, case: dict[str, Any], logits: torch.Tensor) -> float:
        """A lesion's logit of response by one network.

        Args:
            case: as :class:`~treatment_response.inference.lesions.preprocessing.LesionPreprocessing` returns it.
            logits: of its slices, ``(S,)``.
        """
        each = logits.double().cpu()
        if self is LesionScore.LARGEST:
            return float(each[case["largest"]])
        return float(mean_over_area(each, case["image"], case["pixel"]))

    def places(self, case: dict[str, Any]) -> list[int]:
        """Places, in the case's list of slices, of those that the logit comes from."""
        return [int(case["largest"])] if self is LesionScore.LARGEST else list(range(len(case["slice"])))

    def slices(self, case: dict[str, Any]) -> list[int]:
        """Their indices in the MR."""
        return [case["slice"][place] for place in self.places(case)]
