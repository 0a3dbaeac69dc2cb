"""All measures of a group of lesions that one network explains: rows of ``scores.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from treatment_response.evaluation.explanations.gradient_features import Cells, feature_scores
from treatment_response.evaluation.explanations.maps import (
    HIGH_PASS,
    METHODS,
    RANDOM,
    RESIDUAL,
    control_network_maps,
    kind_of,
    localisation_maps,
    maps_and_controls,
    named,
    score_rows,
)
from treatment_response.evaluation.explanations.models import Key
from treatment_response.explain.cells import rank_correlation
from treatment_response.explain.faithfulness import removal_scores, single_cell_effects, single_code_effects
from treatment_response.explain.finite import check_finite
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.integrated_gradients import integrated_gradients
from treatment_response.explain.localisation import score_methods
from treatment_response.explain.randomisation import cascade
from treatment_response.explain.stability import noise_scores, shift_agreement
from treatment_response.explain.target import TargetClass

Rows = list[tuple[str, str, str, str, str, float]]
REMOVAL = "effect of removing single cells"
SIGNED_METHODS = tuple(method for method in METHODS if method != "Grad-CAM++")
"""Methods whose two maps are the positive and the negative part of one: together they are its absolute value."""


@dataclass
class LesionGroup:
    """Lesions that one trained network explains.

    Attributes:
        network: it has not trained on them. x: ``(N, 2, S, S)``. keys: (subject, lesion) of each.
        controls: name → a network whose maps are controls. fresh: untrained networks, for randomisation.
        seed: of everything random.
        maps: every map and control of the network (a random one included).
        cell_mask: ``(N, H, W)``. predicted: the class that the network predicts for each lesion.
    """

    network: torch.nn.Module
    x: torch.Tensor
    keys: Sequence[Key]
    controls: Mapping[str, torch.nn.Module]
    fresh: Sequence[torch.nn.Module]
    seed: int
    maps: dict[str, torch.Tensor] = field(init=False)
    cell_mask: torch.Tensor = field(init=False)
    predicted: list[TargetClass] = field(init=False)
    _of_controls: dict[str, dict[str, torch.Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad(), evaluating(self.network):
            self.cell_mask = self.network.cell_mask(self.x)[:, 0]
            logits = self.network(self.x)[:, 0]
        check_finite(logits)
        self.predicted = [TargetClass.RESPONSE if float(z) >= 0 else TargetClass.NON_RESPONSE for z in logits]
        self.maps = maps_and_controls(self.network, self.x, self._generator(0))
        self._of_controls = {name: control_network_maps(name, net, self.x) for name, net in self.controls.items()}

    def completeness_gap(self) -> float:
        """Largest gap of Integrated Gradients in the group, as a share of the typical size of what it explains."""
        maps = integrated_gradients(self.network, self.x)
        return float(maps.gap().max() / maps.total.abs().mean().clamp(min=1e-9))

    def _generator(self, stream: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * self.seed + stream)

    def _rows(self, name: str, measure: str, values: torch.Tensor) -> Rows:
        return score_rows(self.keys, name, measure, values)


def localisation_rows(group: LesionGroup, niche: torch.Tensor) -> tuple[Rows, torch.Tensor]:
    """Maps and controls against the planted niche.

    Args:
        niche: ``(N, H, W)`` in [0, 1].

    Returns:
        The rows, and each lesion's niche share ``(N,)``: the chance of pointing game and Dice.
    """
    maps = localisation_maps(group.network, group.controls, group.x, niche, group.seed)
    scores = score_methods(maps, niche, group.cell_mask)
    rows: Rows = []
    for name, of_map in scores.items():
        for measure in ("auc", "pointing", "dice", "empty"):
            rows += group._rows(name, measure, getattr(of_map, measure))
    return rows, scores[RANDOM].chance


def faithfulness_rows(group: LesionGroup) -> Rows:
    """Deletion, insertion and agreement with the effects of single cells, for both classes' scores.

    A control without a class is scored for each class. The controls of other networks are their pixel-wise maps, the
    methods that say where.
    """
    exact = tuple(named(method, target) for method in (METHODS[2], METHODS[3]) for target in TargetClass)
    others = {
        name: maps
        for of_control in group._of_controls.values()
        for name, maps in of_control.items()
        if name.endswith(exact)
    }
    maps = {**group.maps, **others}
    effects = torch.stack([single_cell_effects(group.network, one) for one in group.x])
    code_effects = torch.stack([single_code_effects(group.network, one) for one in group.x])
    columns: dict[tuple[str, str], list[float]] = {}
    for index, x in enumerate(group.x):
        of_lesion = {name: one[index] for name, one in maps.items()} | {REMOVAL: effects[index]}
        scores = removal_scores(group.network, x, of_lesion, seed=group.seed)
        for name, of_map in scores.items():
            for target in _targets_of(name):
                # The most important cells for non-response are those whose removal raises the logit most.
                own = of_map if name != REMOVAL or target is TargetClass.RESPONSE else of_map.reversed()
                own, title = own.of(target), _for_class(name, target)
                columns.setdefault((title, "deletion"), []).append(own.deletion)
                columns.setdefault((title, "insertion"), []).append(own.insertion)
                if kind_of(name) == "map":
                    columns.setdefault((f"reversed {title}", "deletion"), []).append(own.reversed().deletion)
                    columns.setdefault((f"reversed {title}", "insertion"), []).append(own.reversed().insertion)
    rows: Rows = []
    for (name, measure), values in columns.items():
        rows += group._rows(name, measure, torch.tensor(values))
    for name, one in maps.items():
        for target in _targets_of(name):
            for measure, effect in (("removal_agreement", effects), ("code_agreement", code_effects)):
                agreement = rank_correlation(one, target.sign * effect, group.cell_mask)
                rows += group._rows(_for_class(name, target), measure, agreement)
    return rows


def stability_rows(group: LesionGroup) -> Rows:
    """Small shifts and noise."""
    draws = group._generator(1)

    def explain(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return maps_and_controls(group.network, x, draws)

    rows: Rows = []
    for name, values in shift_agreement(explain, group.x, group.cell_mask).items():
        rows += group._rows(name, "shift_agreement", values)
    agreement, change = noise_scores(explain, group.x, group.cell_mask, group._generator(2))
    for name in agreement:
        rows += group._rows(name, "noise_agreement", agreement[name])
        rows += group._rows(name, "noise_sensitivity", change[name])
    return rows


def retrained_rows(group: LesionGroup, others: Mapping[torch.nn.Module, Sequence[int]]) -> Rows:
    """Agreement with networks trained anew, beside that with networks that have learned nothing or something else.

    Args:
        others: network → indices of the group's lesions that it has not trained on either.
    """
    sums = {name: torch.zeros(len(group.x), dtype=torch.float64) for name in group.maps}
    count = torch.zeros(len(group.x), dtype=torch.float64)
    draws = group._generator(3)
    for network, indices in others.items():
        chosen = torch.tensor(list(indices))
        count[chosen] += 1
        for name, maps in maps_and_controls(network, group.x[chosen], draws).items():
            sums[name][chosen] += rank_correlation(group.maps[name][chosen], maps, group.cell_mask[chosen])
    rows: Rows = []
    for name, total in sums.items():
        if name not in (HIGH_PASS, RESIDUAL):  # they are the same for every network
            rows += group._rows(name, "retrained_agreement", torch.where(count > 0, total / count, torch.nan))
    for of_control in group._of_controls.values():
        for name, maps in of_control.items():
            own = group.maps[name.split(": ", 1)[1]]
            values = rank_correlation(own, maps, group.cell_mask)
            rows += group._rows(name, "retrained_agreement", torch.where(count > 0, values, torch.nan))
    return rows


def randomisation_rows(group: LesionGroup) -> tuple[Rows, list[str]]:
    """How much a map stays the same while the network loses its training from the head down.

    Returns:
        The rows, and the modules from the head down.
    """
    before = _with_either_class(group.maps)
    sums: dict[tuple[int, str], torch.Tensor] = {}
    modules: list[str] = []
    draws = group._generator(4)
    for fresh in group.fresh:
        modules = []
        for position, (module, network) in enumerate(cascade(group.network, fresh, group.x), start=1):
            modules.append(module)
            for name, after in _with_either_class(maps_and_controls(network, group.x, draws)).items():
                value = rank_correlation(before[name], after, group.cell_mask) / len(group.fresh)
                sums[position, name] = sums.get((position, name), torch.zeros_like(value)) + value
    rows: Rows = []
    for (position, name), total in sums.items():
        empty = before[name].flatten(1).eq(0).all(dim=1)
        rows += group._rows(name, f"randomised_{position}", torch.where(empty, torch.nan, total))
    return rows, modules


def gradient_rows(group: LesionGroup, features: Sequence[Cells]) -> Rows:
    """Maps and controls against the gradient features."""
    maps = dict(group.maps)
    for of_control in group._of_controls.values():
        maps |= of_control
    rows: Rows = []
    for name, measure, values in feature_scores(maps, features, group.cell_mask):
        rows += group._rows(name, measure, values)
    return rows


def _targets_of(name: str) -> tuple[TargetClass, ...]:
    """The classes that a map is scored for: its own, or both where it knows none."""
    own = tuple(target for target in TargetClass if name.endswith(f" for {target.label}"))
    return own or tuple(TargetClass)


def _for_class(name: str, target: TargetClass) -> str:
    return name if name.endswith(f" for {target.label}") else named(name, target)


def _with_either_class(maps: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The maps, and for each signed method the absolute value of its contributions."""
    either = {
        named(method, "either class"): sum(maps[named(method, target)] for target in TargetClass)
        for method in SIGNED_METHODS
    }
    return {**maps, **either}
