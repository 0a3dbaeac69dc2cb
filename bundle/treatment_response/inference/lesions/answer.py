"""What the networks say about one lesion as a whole: its probability, its class, and how sure they are of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from treatment_response.cases.areas import lesion_areas
from treatment_response.certainty import Certainty, scores_of
from treatment_response.explain.target import TargetClass
from treatment_response.inference.lesions.inferer import SliceMaps
from treatment_response.inference.lesions.score import LesionScore

UNDECIDED, UNLIKE = "undecided", "unlike the calibration lesions"
"""What a conformal set of several classes and an empty one are called."""


@dataclass(frozen=True)
class LesionAnswer:
    """A lesion's prediction.

    Attributes:
        p_response: shown: the mean of the fold models' calibrated probabilities; without fold models `p_single`.
        p_single: of the single network, which the maps explain; not calibrated.
        p_folds: calibrated, by each fold model.
        target: the class from `p_response`.
        certainty: for readers, see `answer_of`.
    """

    p_response: float
    p_single: float
    p_folds: list[float]
    target: TargetClass
    certainty: dict[str, Any]


def answer_of(
    case: dict[str, Any], maps: SliceMaps, score: LesionScore, certainty: Certainty | None, threshold: float
) -> LesionAnswer:
    """Predict a lesion from what the networks said about its slices.

    The answer's ``certainty`` is for readers:

    - ``calibrated``; without it, the next four say nothing;
    - ``set``: the classes of the conformal set; ``set_text``: the same in words; ``level``; ``p_values`` by class;
    - ``in_calibrated_range``: no fold model's logit lies beyond those that the calibration was fitted to;
    - ``agrees_with_slices``: the single network, whose map is shown, says the class of the answer for the lesion, and
      for slices that hold at least half of its area;
    - ``emphasise``: whether the probability may be shown in bold; ``why_not``: one sentence if not.

    Args:
        case: as :class:`~treatment_response.inference.lesions.preprocessing.LesionPreprocessing` returns it.
        maps: of all its slices.
        score: which slices a logit comes from.
        certainty: of the fold models; None if there are none.
        threshold: P(response) from which the class is ``response``.
    """
    p_single = _sigmoid(score.logit(case, maps.logits))
    logits = [score.logit(case, each) for each in maps.fold_logits]
    p_folds = [] if certainty is None else [certainty.calibration.probabilities([logit])[1] for logit in logits]
    p_response = sum(p_folds) / len(p_folds) if p_folds else p_single
    target = TargetClass.RESPONSE if p_response >= threshold else TargetClass.NON_RESPONSE
    agrees = (p_single >= threshold) == (p_response >= threshold) and _most_area(case, maps, target, threshold)
    told: dict[str, Any] = {"calibrated": False, "set": [], "set_text": "", "level": None, "p_values": {}}
    in_range, few = False, []
    if certainty is not None:
        sets, names = certainty.conformal, certainty.conformal.classes
        p_values = sets.p_values([scores_of(logit, names) for logit in logits])
        members, few = sets.members(p_values), sets.trivial()
        in_range = certainty.calibration.covers([[logit] for logit in logits])
        told |= {"calibrated": True, "set": members, "set_text": set_text(members), "level": sets.level}
        told["p_values"] = {name: round(p, 6) for name, p in p_values.items()}
    why_not = _why_not(certainty is not None, in_range, agrees, few)
    told |= {
        "in_calibrated_range": in_range,
        "agrees_with_slices": agrees,
        "emphasise": not why_not,
        "why_not": why_not,
    }
    return LesionAnswer(p_response, p_single, p_folds, target, told)


def set_text(members: list[str]) -> str:
    """A conformal set in words."""
    if len(members) == 1:
        return members[0]
    return UNDECIDED if members else UNLIKE


def _why_not(calibrated: bool, in_range: bool, agrees: bool, few: list[str]) -> str:
    """One sentence on why the number is not to be emphasised; empty if it may be."""
    if not calibrated:
        return "The probability is not calibrated."
    if not in_range:
        return "The lesion lies outside the range that the probability was calibrated on."
    if not agrees:
        return "The single network, whose map is shown, says another class for the lesion or for most of it."
    if few:
        return f"Too few calibration patients had a lesion of {' or '.join(few)} for a set without it."
    return ""


def _most_area(case: dict[str, Any], maps: SliceMaps, target: TargetClass, threshold: float) -> bool:
    """Whether the single network says this class for slices that hold at least half of the lesion's area."""
    area = lesion_areas(case["image"], case["pixel"])
    response = torch.sigmoid(maps.logits.double()) >= threshold
    same = response if target is TargetClass.RESPONSE else ~response
    return bool(area[same].sum() >= area.sum() / 2)


def _sigmoid(logit: float) -> float:
    return float(torch.sigmoid(torch.tensor(logit, dtype=torch.float64)))
