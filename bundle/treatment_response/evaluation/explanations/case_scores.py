"""All measures of one case's explanations: rows of ``scores.csv``, for any network, region and number of classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch.nn.functional import interpolate

from treatment_response.cases.explanations import InRegion
from treatment_response.classes import Classes
from treatment_response.evaluation.explanations.maps import CONTROL, HIGH_PASS, MAP, PREDICTED, RANDOM, named
from treatment_response.evaluation.explanations.measures import part_measure, share_measure
from treatment_response.evaluation.explanations.models import Key
from treatment_response.explain.cells import cell_means, max_pooled, rank_correlation
from treatment_response.explain.controls import HIGH_PASS_SIGMA, high_pass_energy, random_map
from treatment_response.explain.faithfulness import removal_scores, single_cell_effects
from treatment_response.explain.finite import check_finite
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.localisation import localisation_scores
from treatment_response.explain.randomisation import cascade, modules_from_the_head
from treatment_response.explain.stability import noise_scores, shift_agreement
from treatment_response.explain.target import ClassScore, Target
from treatment_response.networks.probabilities import class_logits
from treatment_response.problems import DataProblem, Problem

Rows = list[tuple[str, str, str, str, str, float]]
"""(subject, case, map, kind, measure, value)."""
REMOVAL = "effect of removing single cells"
MOST_CELLS = {2: 16, 3: 8}
"""Axes → the most cells along each of them that a region is cut into."""
MOST_MODULES = 4
"""How many places of a network, from the head down, its parameters are randomised to."""


def cells_of_grid(grid: Sequence[int]) -> tuple[int, ...]:
    """Cells along each axis of a network's input: its largest divisor that is not above `MOST_CELLS`.

    Raises:
        DataProblem: an axis cannot be cut.
    """
    most = MOST_CELLS[len(grid)]
    cells = tuple(max(count for count in range(1, most + 1) if size % count == 0) for size in grid)
    if min(cells) < 2:
        what = f"an input of {' × '.join(map(str, grid))} voxels cannot be cut into equal cells"
        raise DataProblem(Problem("--config", what, "bring inputs to even sizes (ResizeWithPadOrCropd)"))
    return cells


def randomised_positions(modules: int) -> list[int]:
    """How many modules from the head down are randomised: up to `MOST_MODULES` steps, the last one takes all."""
    steps = min(MOST_MODULES, modules)
    return sorted({math.ceil(modules * step / steps) for step in range(1, steps + 1)})


@dataclass
class CaseExplained:
    """One case, and the networks that explain it.

    A map is scored by the mean over the region of each cell. It is scored for the class that the network predicts and
    for the finding.

    Attributes:
        key: (subject, case). x: ``(1, C, *grid)``.
        network: it has not trained on the case. explanation: what the config names. classes: of the network.
        controls: name → a network whose maps are controls. fresh: an untrained network, for randomisation.
        others: further networks that have not trained on the case either.
        seed: of everything random.
        parts: name → ``(1, *grid)`` in [0, 1], parts of the input that maps may point at.
    """

    key: Key
    x: torch.Tensor
    network: torch.nn.Module
    explanation: InRegion
    classes: Classes
    controls: Mapping[str, torch.nn.Module]
    fresh: torch.nn.Module
    others: Sequence[torch.nn.Module]
    seed: int
    parts: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @cached_property
    def cells(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return cells_of_grid(self.x.shape[2:])

    @cached_property
    def cell_mask(self) -> torch.Tensor:
        """``(1, *cells)``, 1 where a cell holds any voxel of the region."""
        return max_pooled(self.explanation.region(self.x), self.cells)[:, 0]

    @cached_property
    def predicted(self) -> int:
        """The class that the network predicts."""
        with evaluating(self.network), torch.no_grad():
            logits = self.network(self.x)
        check_finite(logits)
        return int(class_logits(logits)[0].argmax())

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Class → its score: the predicted one and the finding, which may be one."""
        finding = self.classes.names.index(self.classes.finding)
        return {self.classes.names[index]: ClassScore(index) for index in sorted({self.predicted, finding})}

    @cached_property
    def maps(self) -> dict[str, torch.Tensor]:
        """Every map of the network, ``(1, *cells)``."""
        return self.in_cells(self.whole, self.x)

    @cached_property
    def whole(self) -> dict[str, torch.Tensor]:
        """Every map of the network, ``(1, *grid)``."""
        return self.whole_maps(self.network, self.x)

    @cached_property
    def of_controls(self) -> dict[str, torch.Tensor]:
        """The maps of the networks that have learned nothing, or something else."""
        return self.in_cells(self.whole_of_controls, self.x)

    @cached_property
    def whole_of_controls(self) -> dict[str, torch.Tensor]:
        """The same on the input's grid."""
        return {
            f"{control} network: {name}": one
            for control, network in self.controls.items()
            for name, one in self.whole_maps(network, self.x).items()
        }

    def network_maps(self, network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every explanation of a network for every target, ``(N, *cells)``."""
        return self.in_cells(self.whole_maps(network, x), x)

    def in_cells(self, whole: Mapping[str, torch.Tensor], x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps of inputs ``x`` by cell: the mean over the region of each."""
        region = self.explanation.region(x)[:, 0]
        return {name: cell_means(one, region, self.cells) for name, one in whole.items()}

    def whole_maps(self, network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every explanation of a network for every target, ``(N, *grid)``."""
        found = {}
        for method in self.explanation.names:
            maps = self.explanation.maps_of(method, network, x, list(self.targets.values()))
            for label, of_method in zip(self.targets, maps, strict=True):
                check_finite(of_method)
                whole = interpolate(of_method[:, None].float(), size=x.shape[2:], mode="nearest")[:, 0]
                found[named(method, label)] = whole
        return found

    def with_class_free(self, x: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The network's maps of other inputs of this case, and the controls that know no class."""
        return {**self.network_maps(self.network, x), **self.class_free(x, generator)}

    def class_free(self, x: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The controls without a network: a random map, drawn anew on each call, and the image's fine texture."""
        region = self.explanation.region
        mask = max_pooled(region(x), self.cells)
        found = {RANDOM: random_map(mask, generator)}
        if min(x.shape[2:]) > int(4 * HIGH_PASS_SIGMA + 0.5):
            found[HIGH_PASS] = high_pass_energy(x, self.cells, region=region)
        return found

    def generator(self, stream: int) -> torch.Generator:
        """Random numbers of one of the measures."""
        return torch.Generator().manual_seed(1000 * self.seed + stream)

    def rows(self, name: str, measure: str, value: float | torch.Tensor) -> Rows:
        """A value as a row, and once more as one of the predicted class if the map is for it."""
        kind = MAP if name in self.maps else CONTROL
        predicted = self.classes.names[self.predicted]
        rows = [(*self.key, name, kind, measure, float(value))]
        if name.endswith(f" for {predicted}"):
            rows.append(
                (*self.key, named(name.removesuffix(f" for {predicted}"), PREDICTED), kind, measure, float(value))
            )
        return rows


def part_rows(case: CaseExplained) -> Rows:
    """Whether maps are higher in each part of the input than elsewhere in the region, and which share lies there."""
    if not case.parts:
        return []
    region, grid = case.explanation.region(case.x)[:, 0], case.x.shape[2:]
    free = {
        name: interpolate(one[:, None].float(), size=grid, mode="nearest")[:, 0]
        for name, one in case.class_free(case.x, case.generator(5)).items()
    }
    rows: Rows = []
    for part, inside in case.parts.items():
        higher, share = part_measure(part).id, share_measure(part).id
        for name, one in {**case.whole, **case.whole_of_controls, **free}.items():
            if (value := localisation_scores(one, inside, region).auc[0]).isnan():
                continue
            rows += case.rows(name, higher, value)
            if total := float((one * region).sum()):
                rows += case.rows(name, share, float((one * region * inside).sum()) / total)
    return rows


def faithfulness_rows(case: CaseExplained) -> Rows:
    """Deletion, insertion and agreement with the effects of single cells, for the score of each target."""
    rows: Rows = []
    free = case.class_free(case.x, case.generator(0))
    region, x = case.explanation.region, case.x[0]
    for label, target in case.targets.items():
        effects = single_cell_effects(case.network, x, case.cells, target, region)
        own = {
            name: one[0] for name, one in {**case.maps, **case.of_controls}.items() if name.endswith(f" for {label}")
        }
        maps = own | {named(name, label): one[0] for name, one in free.items()}
        scored = removal_scores(case.network, x, maps | {named(REMOVAL, label): effects}, case.seed, target, region)
        for name, found in scored.items():
            rows += case.rows(name, "deletion", found.deletion) + case.rows(name, "insertion", found.insertion)
            if name in case.maps:
                back = found.reversed()
                rows += case.rows(f"reversed {name}", "deletion", back.deletion)
                rows += case.rows(f"reversed {name}", "insertion", back.insertion)
        for name, one in maps.items():
            rows += case.rows(name, "removal_agreement", rank_correlation(one[None], effects[None], case.cell_mask))
    return rows


def stability_rows(case: CaseExplained) -> Rows:
    """Small shifts and noise."""
    draws, region = case.generator(1), case.explanation.region

    def explain(x: torch.Tensor) -> dict[str, torch.Tensor]:
        return case.with_class_free(x, draws)

    rows: Rows = []
    for name, value in shift_agreement(explain, case.x, case.cell_mask, region).items():
        rows += case.rows(name, "shift_agreement", value)
    agreement, change = noise_scores(explain, case.x, case.cell_mask, case.generator(2), region)
    for name in agreement:
        rows += case.rows(name, "noise_agreement", agreement[name])
        rows += case.rows(name, "noise_sensitivity", change[name])
    return rows


def retrained_rows(case: CaseExplained) -> Rows:
    """Agreement with networks trained anew, beside that with networks that have learned nothing or something else."""
    if not case.others:
        return []
    found = [case.network_maps(network, case.x) for network in case.others]
    rows: Rows = []
    for name, own in case.maps.items():
        agreement = [float(rank_correlation(own, maps[name], case.cell_mask)) for maps in found]
        rows += case.rows(name, "retrained_agreement", sum(agreement) / len(agreement))
    for name, one in case.of_controls.items():
        own = case.maps[name.split(": ", 1)[1]]
        rows += case.rows(name, "retrained_agreement", rank_correlation(own, one, case.cell_mask))
    return rows


def randomisation_rows(case: CaseExplained) -> tuple[Rows, list[str]]:
    """How much a map stays the same while the network loses its training from the head down.

    Returns:
        The rows, and the network's modules from the head down.
    """
    modules = modules_from_the_head(case.network, case.x)
    positions = randomised_positions(len(modules))
    rows: Rows = []
    for position, (_, network) in enumerate(cascade(case.network, case.fresh, case.x), start=1):
        if position not in positions:
            continue
        for name, after in case.network_maps(network, case.x).items():
            before = case.maps[name]
            value = rank_correlation(before, after, case.cell_mask) if before.any() else math.nan
            rows += case.rows(name, f"randomised_{position}", value)
    return rows, modules
