"""What the networks say about one case as a whole: its probabilities, its class, and how sure they are of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from treatment_response.cases.explanations import MapKey
from treatment_response.certainty import Certainty, class_scores_of
from treatment_response.classes import Classes
from treatment_response.explain.scale import without_scale
from treatment_response.inference.case_maps import CaseMaps
from treatment_response.model_description import MapScales
from treatment_response.networks.probabilities import probabilities


class Decision(Enum):
    """How the class comes from several networks, as a config names it."""

    MEAN = "mean"
    """The class of the largest mean probability."""
    VOTE = "vote"
    """The class that most networks decide; of equally many votes, the one of the larger mean probability."""


@dataclass(frozen=True)
class CaseAnswer:
    """A case's prediction.

    Attributes:
        probabilities: shown, in the order of the classes: the mean of the members' (calibrated where they are); without
            members those of the single network.
        single: of the network that the maps explain; not calibrated.
        members: of each fold model or member of an ensemble.
        decided: number of the class.
        votes: how many members decide each class.
        certainty: ``calibrated``; ``in_calibrated_range``; ``set``, ``level`` and, by class, ``p_values`` of the
            conformal set.
    """

    probabilities: list[float]
    single: list[float]
    members: list[list[float]]
    decided: int
    votes: list[int]
    certainty: dict[str, Any]


def case_answer(maps: CaseMaps, classes: Classes, certainty: Certainty | None, decision: Decision) -> CaseAnswer:
    """Predict a case; where it has several inputs, from the mean of their logits.

    Args:
        certainty: of the members; None if they are not calibrated.
    """
    single = probabilities(maps.logits.double().mean(dim=0, keepdim=True))[0].tolist()
    logits = [each.double().mean(dim=0).tolist() for each in maps.member_logits]
    members = [_probabilities(each, certainty) for each in logits]
    count = len(classes.names)
    shown = [sum(column) / len(members) for column in zip(*members, strict=True)] if members else single
    votes = [0] * count
    for member in members or [single]:
        votes[max(range(count), key=lambda number: member[number])] += 1
    if decision is Decision.VOTE:
        decided = max(range(count), key=lambda number: (votes[number], shown[number]))
    else:
        decided = max(range(count), key=lambda number: shown[number])
    told: dict[str, Any] = {"calibrated": certainty is not None, "set": [], "level": None, "p_values": {}}
    told["in_calibrated_range"] = certainty is not None and certainty.calibration.covers(logits)
    if certainty is not None:
        sets = certainty.conformal
        p_values = sets.p_values([class_scores_of(each, classes.names) for each in logits])
        told |= {"set": sets.members(p_values), "level": sets.level}
        told["p_values"] = {name: round(p, 6) for name, p in p_values.items()}
    return CaseAnswer(shown, single, members, decided, votes, told)


def case_result(maps: CaseMaps, answer: CaseAnswer, classes: Classes, decision: Decision) -> dict[str, Any]:
    """What is told about one case, wherever it comes from.

    Returns:
        ``p_<class>`` of each class, ``class``, ``decision``, ``votes`` (class → members), ``single`` and ``members``
        (``p_<class>`` of the network that the maps explain, and of each member), ``certainty``, and ``maps``: per map
        ``explanation``, ``class``, ``evidence`` (whether it is anywhere above 0) and ``highest_raw``.
    """
    return {
        **_rounded(classes.columns, answer.probabilities),
        "class": classes.names[answer.decided],
        "decision": decision.value,
        "votes": dict(zip(classes.names, answer.votes, strict=True)),
        "single": _rounded(classes.columns, answer.single),
        "members": [_rounded(classes.columns, member) for member in answer.members],
        "certainty": answer.certainty,
        "maps": [
            {"explanation": name, "class": label, "evidence": bool(raw.any()), "highest_raw": float(raw.max())}
            for (name, label), raw in maps.raw.items()
        ],
    }


def no_evidence(maps: CaseMaps, *only: MapKey) -> list[str]:
    """A sentence on the maps that are zero everywhere, of all or of some; none if there are none."""
    empty = [f"{name} {label}" for name, label in only or maps.raw if not maps.raw[name, label].any()]
    return [f"No evidence (the map is zero everywhere): {', '.join(empty)}."] if empty else []


def no_scale(map_scales: MapScales | None) -> list[str]:
    """A sentence on the explanations whose maps have no scale; none if all have one."""
    names = ", ".join(without_scale(map_scales))
    return [f"No scale could be fitted on the training cases, so there is no map: {names}."] if names else []


def _rounded(columns: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {column: round(value, 6) for column, value in zip(columns, values, strict=True)}


def _probabilities(logits: list[float], certainty: Certainty | None) -> list[float]:
    if certainty is not None:
        return certainty.calibration.probabilities(logits)
    return [float(p) for p in probabilities(torch.tensor([logits], dtype=torch.float64))[0]]
