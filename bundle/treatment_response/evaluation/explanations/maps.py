"""All maps that are scored, by the names that tables and figures use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from treatment_response.evaluation.views import VARIANT_NAMES
from treatment_response.explain.cam import explain_all
from treatment_response.explain.controls import class_free, high_pass_energy, oracle, random_map, residual_energy
from treatment_response.explain.integrated_gradients import integrated_gradients
from treatment_response.explain.target import TargetClass

METHODS = (*VARIANT_NAMES.values(), "Integrated Gradients")
CLASS_FREE = "feature maps without class (ΣA)"
HIGH_PASS = "fine texture of the image (high-pass)"
RESIDUAL = "image beyond rim and necrosis"
RANDOM = "random map"
ORACLE = "oracle on the same cells"
MAP, CONTROL = "map", "control"
PREDICTED = "the predicted class"
SCORE_COLUMNS = ["subject", "lesion", "map", "kind", "measure", "value"]


def named(method: str, target: TargetClass | str) -> str:
    """``Grad-CAM for non-response``."""
    return f"{method} for {target.label if isinstance(target, TargetClass) else target}"


def network_maps(network: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every method's map of both classes, non-response first: what is planted makes lesions resist.

    Args:
        x: ``(N, 2, S, S)``.

    Returns:
        Name → ``(N, H, W)``, 0 or above.
    """
    cams = explain_all(network, x)
    integrated = integrated_gradients(network, x)
    maps: dict[str, torch.Tensor] = {}
    for target in TargetClass:
        maps |= {named(words, target): cams[variant, target] for variant, words in VARIANT_NAMES.items()}
        maps[named(METHODS[-1], target)] = integrated.evidence(target)
    return maps


def image_maps(x: torch.Tensor, cells: int) -> dict[str, torch.Tensor]:
    """The controls that need no network."""
    return {HIGH_PASS: high_pass_energy(x, cells=cells), RESIDUAL: residual_energy(x, cells=cells)}


def maps_and_controls(network: torch.nn.Module, x: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """`network_maps`, ΣA, `image_maps` and a random map that is drawn anew on each call."""
    with torch.no_grad():
        cell_mask = network.cell_mask(x)[:, 0]
    return {
        **network_maps(network, x),
        CLASS_FREE: class_free(network, x),
        **image_maps(x, cell_mask.shape[-1]),
        RANDOM: random_map(cell_mask, generator),
    }


def localisation_maps(
    network: torch.nn.Module,
    controls: Mapping[str, torch.nn.Module],
    x: torch.Tensor,
    niche: torch.Tensor,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Every map, and every control that localisation is judged beside.

    Args:
        controls: name → network whose maps are controls (``untrained``, ``label-shuffled``).
        niche: niche fraction of each cell, ``(N, H, W)``. seed: of the random map.
    """
    maps = maps_and_controls(network, x, torch.Generator().manual_seed(seed))
    for name, control in controls.items():
        maps |= control_network_maps(name, control, x)
        maps[f"{name} network: ΣA"] = class_free(control, x)
    return {**maps, ORACLE: oracle(niche).float()}


def control_network_maps(name: str, control: torch.nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The maps of a network that has learned nothing, or something else: ``untrained network: Grad-CAM for …``."""
    return {f"{name} network: {key}": maps for key, maps in network_maps(control, x).items()}


def kind_of(name: str) -> str:
    """``map`` for a method's own map, ``control`` for anything else."""
    return MAP if name.split(" for ")[0] in METHODS else CONTROL


def score_rows(
    lesions: Sequence[tuple[str, str]], name: str, measure: str, values: torch.Tensor
) -> list[tuple[str, str, str, str, str, float]]:
    """Rows of ``scores.csv`` for one map and measure.

    Args:
        lesions: (subject, lesion). values: ``(N,)``.
    """
    kind = kind_of(name)
    return [
        (subject, lesion, name, kind, measure, float(value))
        for (subject, lesion), value in zip(lesions, values, strict=True)
    ]


def with_predicted_class(scores: pd.DataFrame, predicted: dict[tuple[str, str], TargetClass]) -> pd.DataFrame:
    """Add the rows of the map for the class that the network predicts: they are those of one of the two classes.

    Args:
        scores: columns ``SCORE_COLUMNS``. predicted: (subject, lesion) → class.
    """
    own = pd.Series([predicted[key].label for key in zip(scores["subject"], scores["lesion"], strict=True)])
    parts = scores["map"].str.rpartition(" for ")
    mine = parts[2].to_numpy() == own.to_numpy()
    chosen = scores[mine]
    renamed = [named(method, PREDICTED) for method in parts[0][mine]]
    return pd.concat([scores, chosen.assign(map=renamed)], ignore_index=True)
