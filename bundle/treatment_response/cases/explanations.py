"""The explanations that a configuration names: maps of every class for any network, and their scales."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch

from treatment_response.cases.map_parts import Part
from treatment_response.cases.samples import Samples
from treatment_response.classes import Classes
from treatment_response.explain.cam import VARIANTS, explain_all
from treatment_response.explain.explanations import Explanation, maps_of_targets
from treatment_response.explain.gradients import evaluating
from treatment_response.explain.region import Everywhere, Region, on_grid
from treatment_response.explain.scale import PERCENTILE, fit_map_scales, percentile_scales, scale_map
from treatment_response.explain.target import ClassScore, Target
from treatment_response.model_description import FittedScales, MapScales
from treatment_response.problems import DataProblem, Problem
from treatment_response.progress import tell

MapKey = tuple[str, str]
"""An explanation's name and the class that its map explains."""


class Explanations(ABC):
    """Several explanations under their names.

    Attributes:
        names: in files and in the scales of maps.
    """

    names: tuple[str, ...]

    @abstractmethod
    def maps(
        self, network: torch.nn.Module, x: torch.Tensor, classes: Classes, only: Collection[str] | None = None
    ) -> dict[MapKey, torch.Tensor]:
        """Raw maps ``(B, *cells)``, 0 or above, of every explanation and class.

        Args:
            only: names of the explanations that are wanted; all by default.

        Raises:
            DataProblem: the network has not one logit per class (two classes may have one).
        """

    @abstractmethod
    def fit_scales(self, network: torch.nn.Module, samples: Samples, device: torch.device) -> MapScales:
        """The constants that raw maps are shown as shares of, fitted on training samples as they are.

        Returns:
            None for an explanation that finds nothing in any of them.

        Raises:
            DataProblem: these explanations stand together, and one finds nothing.
        """


class CellCams(Explanations):
    """Grad-CAM, Grad-CAM++ and the pixel-wise map of the masked networks, from one backward pass."""

    names = tuple(variant.name for variant in VARIANTS)

    def maps(
        self, network: torch.nn.Module, x: torch.Tensor, classes: Classes, only: Collection[str] | None = None
    ) -> dict[MapKey, torch.Tensor]:
        found = {(variant, target.label): maps for (variant, target), maps in explain_all(network, x).items()}
        return {key: maps for key, maps in found.items() if only is None or key[0] in only}

    def fit_scales(self, network: torch.nn.Module, samples: Samples, device: torch.device) -> MapScales:
        return fit_map_scales(network, samples.image.to(device))


class InRegion(Explanations):
    """Any explanations of any network, 2D or 3D, with one logit or K; contributions above 0 inside a region.

    Args:
        explanations: by their names.
        region: outside it maps are 0; everywhere by default.
        percentile: of the positive contributions of all training samples, shown as 1, in (0, 100].
        fitted_on: at most so many training samples, evenly among them: slow explanations of large inputs need not see
            all. All by default.
        parts: by their names, parts of the input; scores of explanations say whether maps are higher there.
    """

    def __init__(
        self,
        explanations: Mapping[str, Explanation],
        region: Region | None = None,
        percentile: float = PERCENTILE,
        fitted_on: int | None = None,
        parts: Mapping[str, Part] | None = None,
    ) -> None:
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile must be in (0, 100], got {percentile}.")
        self.explanations = dict(explanations)
        self.names = tuple(self.explanations)
        self.region = region or Everywhere()
        self.percentile = percentile
        self.fitted_on = fitted_on
        self.parts = dict(parts or {})

    def maps(
        self, network: torch.nn.Module, x: torch.Tensor, classes: Classes, only: Collection[str] | None = None
    ) -> dict[MapKey, torch.Tensor]:
        with evaluating(network), torch.no_grad():
            count = network(x[:1]).shape[1]
        targets = targets_of(count, classes)
        found: dict[MapKey, torch.Tensor] = {}
        names = [name for name in self.names if only is None or name in only]
        for name in names:
            tell(f"explaining by {name}", len(found) / (len(names) * len(targets)))
            maps = self.maps_of(name, network, x, targets)
            found |= {(name, label): one for label, one in zip(classes.names, maps, strict=True)}
        return found

    def maps_of(
        self, name: str, network: torch.nn.Module, x: torch.Tensor, targets: Sequence[Target]
    ) -> list[torch.Tensor]:
        """One explanation's map of each target, ``(B, *cells)``, 0 or above and 0 outside the region."""
        with evaluating(network), torch.enable_grad():
            maps = maps_of_targets(self.explanations[name], network, x, targets)
        region = self.region(x)
        return [one.detach().clamp(min=0) * on_grid(region, tuple(one.shape[1:]))[:, 0] for one in maps]

    def fit_scales(self, network: torch.nn.Module, samples: Samples, device: torch.device) -> MapScales:
        count = len(samples) if self.fitted_on is None else min(self.fitted_on, len(samples))
        chosen = [number * len(samples) // count for number in range(count)]
        images = (torch.as_tensor(samples[index]["image"])[None].to(device, torch.float32) for index in chosen)
        batches = (self.maps(network, x, samples.classes) for x in images)
        return percentile_scales(batches, self.names, samples.classes.names, self.percentile)


def targets_of(logits: int, classes: Classes) -> Sequence[Target]:
    """The score of each class of a network with so many logits.

    Raises:
        DataProblem: they are not one per class, nor one for two classes.
    """
    check_logits(logits, classes)
    return [ClassScore(index) for index in range(len(classes.names))]


def check_logits(logits: int, classes: Classes) -> None:
    """Refuse a network whose logits are not of these classes.

    Raises:
        DataProblem: they are not one per class, nor one for two classes.
    """
    if logits != len(classes.names) and (logits, len(classes.names)) != (1, 2):
        what = f"the network has {logits} outputs for {len(classes.names)} classes ({', '.join(classes.names)})"
        raise DataProblem(Problem("network_def", what, "give the network one output per class"))


def scaled_maps(raw: Mapping[MapKey, torch.Tensor], scales: FittedScales) -> dict[MapKey, torch.Tensor]:
    """Raw maps as shares of the stored constants, clipped to [0, 1]."""
    return {(name, label): scale_map(maps, scales[name][label]) for (name, label), maps in raw.items()}
