"""A tiny stock 3D network of four classes as a system that the server offers, and synthetic studies for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from scipy.spatial.transform import Rotation
from treatment_response.classes import classes_of
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume
from treatment_response.weights import TrainingData, write_weights

MODEL = "tiny_four"
CLASSES = {"names": ["PD", "SD", "PR", "CR"], "finding": "PD", "primary_metric": "balanced_accuracy"}
EXPLANATIONS = ("saliency", "occlusion", "brightness")
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
"""For a server: its overlay names `brightness`."""
SHAPE, SPACING = (40, 44, 18), (0.8, 0.9, 2.0)
SIGN_MM = np.array([6.0, -3.0, 4.0])
"""Where the bright ball lies, RAS mm."""
RADIUS_MM = 4.0


def affine() -> np.ndarray:
    """Oblique and anisotropic, its first axis running to the left, in float32's numbers, which a header holds."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [6, -8, 12], degrees=True).as_matrix() @ np.diag(
        np.array(SPACING) * (-1, -1, 1)
    )
    matrix[:3, 3] = SIGN_MM - matrix[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + (4.0, 5.0, -6.0)
    return matrix.astype(np.float32).astype(np.float64)


def distance_mm(point: np.ndarray) -> np.ndarray:
    """Of every voxel's centre from a point."""
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return np.linalg.norm(index @ affine()[:3, :3].T + affine()[:3, 3] - point, axis=-1)


def image(seed: int = 0, strength: float = 500.0) -> Volume:
    """Noise with a bright ball at `SIGN_MM`."""
    noise = np.random.default_rng(seed).normal(100, 5, SHAPE)
    return Volume((noise + strength * (distance_mm(SIGN_MM) < RADIUS_MM)).astype(np.float32), affine())


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
        "preprocessing": {
            "_target_": "treatment_response.inference.case_preprocessing.CasePreprocessing",
            "image_transforms": "@image_transforms",
            "lesion_transforms": "@lesion_transforms",
            "patch_transforms": "@patch_transforms",
        },
        "inferer": {
            "_target_": "treatment_response.inference.case_maps.MapInferer",
            "explanation": "@explanation",
            "weights": "@weights",
            "members": "@fold_networks",
        },
        "writer": {
            "_target_": "treatment_response.inference.case_writer.WriteCases",
            "output_dir": "@output_dir",
            "weights": "@weights",
            "decision": "vote",
        },
        **more,
    }


def write_system(
    folder: Path, inputs: Mapping[str, str], seeds: tuple[int, ...] = (0, 1), brightest: float = 600.0, **more: Any
) -> Path:
    """Write overlay and untrained weights of an ensemble.

    Args:
        inputs: name → how it is found. seeds: of each member.
        brightest: value of the first input that is shown as 1. more: other entries of the overlay.

    Returns:
        The file for ``--conf systems``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = overlay(inputs, **more)
    (folder / "tiny_four.json").write_text(json.dumps(made))
    parser = ConfigParser({"network_def": made["network_def"]})
    scales = {
        name: dict.fromkeys(CLASSES["names"], brightest if name == "brightness" else 0.1) for name in EXPLANATIONS
    }
    paths = []
    for seed in seeds:
        torch.manual_seed(seed)
        path = folder / f"run_{seed}" / "model.pt"
        path.parent.mkdir(exist_ok=True)
        data = TrainingData(name="tiny", synthetic=True, lesions=12, patients=12, protocol="patients", fold=seed)
        parser.parse(reset=True)
        network = parser.get_parsed_content("network_def")
        write_weights(path, network, scales, data, classes_of(CLASSES))
        paths.append(str(path.relative_to(folder)))
    file = folder / "systems.json"
    file.write_text(json.dumps({MODEL: {"config": "tiny_four.json", "weights": paths}}))
    return file


def write_studies(folder: Path) -> str:
    """A prepared data set of one case with the images ``t1`` and ``dose``; returns the id of ``t1``."""
    name = "sub-001_ses-01_ce-gadolinium_T1w"
    images = {"t1": f"sub-001/ses-01/anat/{name}.nii.gz", "dose": "derivatives/dose/sub-001/ses-01/dose.nii.gz"}
    write_volume(folder / images["t1"], image())
    write_volume(folder / images["dose"], image(1, strength=0.0))
    case = {"subject": "sub-001", "case": "c1", "label": 0, "fold": 0, "images": images}
    content = {"name": "tiny", "synthetic": True, "classes": CLASSES, "folds": 2, "training": [case]}
    (folder / "dataset.json").write_text(json.dumps(content))
    write_volume(folder / "alone_ce-gadolinium_T1w.nii.gz", image(2))
    return name


def brightness(network: torch.nn.Module, x: torch.Tensor, target: object) -> torch.Tensor:
    """The first image itself, so that it is known where a map must lie."""
    return x[:, 0]
