"""Tiny stock 3D networks of four classes as systems that a server offers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from treatment_response.classes import classes_of
from treatment_response.model_description import TrainingData
from treatment_response.weights import write_weights

CLASSES = {"names": ["PD", "SD", "PR", "CR"], "finding": "PD", "primary_metric": "balanced_accuracy"}
EXPLANATIONS = ("saliency", "occlusion", "brightness")
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
"""For a server: its overlay names `brightness`."""


QUICK = {
    "_target_": "treatment_response.cases.explanations.InRegion",
    "explanations": {"brightness": {"_target_": "system_case.brightness", "_mode_": "callable"}},
}
"""An overlay's explanation that costs nothing."""


def overlay(inputs: Mapping[str, str], pixel_mm: float = 1.0, **more: Any) -> dict[str, Any]:
    """The system's overlay: the inputs' volumes as channels of a stock DenseNet, 48 voxels of `pixel_mm` wide."""
    names = list(inputs)
    return {
        "title": "Tiny four classes",
        "inputs": {name: {"find": find} for name, find in inputs.items()},
        "image_transforms": [
            {"_target_": "LoadImaged", "keys": names, "ensure_channel_first": True},
            {"_target_": "Orientationd", "keys": names, "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": names, "pixdim": [pixel_mm] * 3},
            {"_target_": "ConcatItemsd", "keys": names, "name": "image"},
        ],
        "lesion_transforms": [],
        "patch_transforms": [{"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": 48}],
        "network_def": {
            "_target_": "monai.networks.nets.DenseNet",
            "spatial_dims": 3,
            "in_channels": len(names),
            "out_channels": 4,
            "init_features": 4,
            "growth_rate": 4,
            "block_config": [1, 1],
        },
        "explanation": {
            "_target_": "treatment_response.cases.explanations.InRegion",
            "explanations": {
                "saliency": {"_target_": "treatment_response.explain.explanations.Saliency"},
                "occlusion": {"_target_": "treatment_response.explain.occlusion.Occlusion", "cube": 12},
                "brightness": {"_target_": "system_case.brightness", "_mode_": "callable"},
            },
        },
        "preprocessing": "@case_preprocessing",
        "inferer": "@case_inferer",
        "writer": "@case_writer",
        "decision": "vote",
        **more,
    }


def write_system(
    folder: Path,
    name: str,
    inputs: Mapping[str, str],
    brightest: float,
    seeds: tuple[int, ...] = (0, 1),
    preparation: str | None = None,
    classes: Mapping[str, Any] = CLASSES,
    **more: Any,
) -> dict[str, Any]:
    """Write overlay and untrained weights of an ensemble.

    Args:
        folder: for them; several systems may share it.
        name: of the model. inputs: name → how it is found.
        brightest: value of the first input that is shown as 1.
        seeds: of each member.
        preparation: of the images that they were trained on.
        classes: of the network.
        more: other entries of the overlay, and `pixel_mm`.

    Returns:
        The system's entry in the file for ``--conf systems``.
    """
    made = overlay(inputs, **more)
    (folder / f"{name}.json").write_text(json.dumps(made))
    scales = {of: dict.fromkeys(classes["names"], brightest if of == "brightness" else 0.1) for of in EXPLANATIONS}
    paths = []
    for seed in seeds:
        torch.manual_seed(seed)
        path = folder / f"{name}_{seed}.pt"
        data = TrainingData(name="tiny", synthetic=True, lesions=12, patients=12, protocol="patients", fold=seed)
        data = replace(data, preparation=preparation)
        network = ConfigParser({"network_def": made["network_def"]}).get_parsed_content("network_def")
        write_weights(path, network, scales, data, classes_of(classes))
        paths.append(path.name)
    return {"config": f"{name}.json", "weights": paths}


def brightness(network: torch.nn.Module, x: torch.Tensor, target: object) -> torch.Tensor:
    """The first image itself, so that it is known where a map must lie."""
    return x[:, 0]


class AddAge:
    """Adds the age, if it was given, to every voxel: what a network that takes facts of the patient could see."""

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "image": data["image"] + float(data.get("clinical", {}).get("age", 0))}
