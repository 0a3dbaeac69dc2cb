"""Tiny synthetic systems beside PULSAR: two 3D images and no mask, on an oblique grid; one overlay each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from monai.bundle import ConfigWorkflow

CONFIGS = Path(__file__).resolve().parents[2] / "bundle" / "configs"
BASES = {"train": ("train.json",), "evaluate": ("train.json", "evaluate.json"), "inference": ("inference.json",)}

SHAPE, SPACING = (20, 22, 9), (0.8, 0.9, 2.0)
CENTRE_MM = 4.0
"""How far to the patient's right of the middle the sign of the class lies."""
CLASSES = {
    "two": {"names": ["effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"},
    "four": {
        "names": ["PD", "SD", "PR", "CR"],
        "finding": "PD",
        "primary_metric": "balanced_accuracy",
        "order": ["CR", "PR", "SD", "PD"],
    },
    "one": {"names": ["effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"},
}

WORDS = {"title": "Tiny system", "question": "How bright is the ball?", "case": "visit", "cases": "visits"}


def affine() -> np.ndarray:
    """Oblique, anisotropic, its first axis running to the left."""
    angle = np.deg2rad(9)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    made = np.eye(4)
    made[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    made[:3, 3] = (11.0, -7.0, 30.0)
    return made


def sign_mm() -> np.ndarray:
    """Where the sign of the class is planted, RAS mm."""
    middle = affine() @ [*((np.array(SHAPE) - 1) / 2), 1]
    return middle[:3] + np.array([CENTRE_MM, 0, 0])


def write_dataset(root: Path, classes: dict[str, Any], patients: int = 12, folds: int = 3, seed: int = 0) -> Path:
    """Write a synthetic data set: in image ``t1`` a ball, the brighter the higher the number of its class.

    Data sets of another seed have other patients. ``cases.csv`` has two numbers of each case: ``ball_ml``, which rises
    with the class, and ``age``, which does not.
    """
    rng = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    world = index @ affine()[:3, :3].T + affine()[:3, 3]
    ball = np.linalg.norm(world - sign_mm(), axis=-1) < 3
    entries = []
    for number in range(patients):
        label, subject = number // folds % len(classes["names"]), f"sub-{number + 1:03d}"
        for name in ("t1", "dose"):
            image = rng.normal(0, 0.1, SHAPE) + (name == "t1") * ball * (1 + 2 * label)
            (root / subject).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine()), root / subject / f"{name}.nii.gz")
        images = {name: f"{subject}/{name}.nii.gz" for name in ("t1", "dose")}
        entries.append({"subject": subject, "case": "c1", "label": label, "fold": number % folds, "images": images})
    content = {
        "name": "tiny" if seed == 0 else f"tiny {seed}",
        "synthetic": True,
        "classes": classes,
        "words": {**WORDS, "columns": {"ball_ml": "volume of the ball, ml"}},
        "folds": folds,
        "training": entries,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    facts = pd.DataFrame(entries)[["subject", "case", "fold", "label"]]
    facts["ball_ml"] = facts["label"] + rng.normal(0, 0.3, patients)
    facts["age"] = rng.integers(40, 80, patients)
    facts.to_csv(root / "cases.csv", index=False)
    return root


def overlay(logits: int) -> dict[str, Any]:
    """A system as one overlay for all bases: a stock network with so many logits."""
    return {
        "protocol": "patients",
        "angles": [],
        "max_epochs": 2,
        "batch_size": 4,
        "image_transforms": [
            {"_target_": "LoadImaged", "keys": ["t1", "dose"], "ensure_channel_first": True},
            {"_target_": "Orientationd", "keys": ["t1", "dose"], "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": ["t1", "dose"], "pixdim": [1.0, 1.0, 1.0]},
            {"_target_": "ConcatItemsd", "keys": ["t1", "dose"], "name": "image"},
        ],
        "lesion_transforms": [],
        "patch_transforms": [{"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": 16}],
        "network_def": {
            "_target_": "monai.networks.nets.DenseNet",
            "spatial_dims": 3,
            "in_channels": 2,
            "out_channels": logits,
            "init_features": 4,
            "growth_rate": 4,
            "block_config": [1, 1],
        },
        "loss": {"_target_": "treatment_response.losses.ClassificationLoss"}
        if logits == 1
        else {
            "_target_": "treatment_response.losses.ClassificationLoss",
            "criterion": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.1},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 0.01},
        "metrics": {"loss": {"_target_": "treatment_response.training.metrics.StepMean", "key": "loss"}},
        "train_sampler": {
            "_target_": "monai.data.DistributedWeightedRandomSampler",
            "dataset": "@train_dataset",
            "weights": {"_target_": "treatment_response.cases.samples.class_weights", "samples": "@train_dataset"},
            "num_replicas": "@world_size",
            "rank": "@rank",
            "seed": "@seed",
        },
        "explanation": {
            "_target_": "treatment_response.cases.explanations.InRegion",
            "explanations": {
                "saliency": {"_target_": "treatment_response.explain.explanations.Saliency"},
                "occlusion": {"_target_": "treatment_response.explain.occlusion.Occlusion", "cube": 8},
                "layer_cam": {
                    "_target_": "treatment_response.explain.explanations.LayerCAM",
                    "layer": "class_layers.relu",
                    "variant": "gradcampp",
                },
                "brightness": {"_target_": "tiny_systems.brightness", "_mode_": "callable"},
            },
            "region": {"_target_": "treatment_response.explain.region.Foreground", "channels": [0]},
            "parts": {
                "bright": {
                    "_target_": "treatment_response.cases.map_parts.ChannelPart",
                    "channel": "t1",
                    "channels": ["t1", "dose"],
                    "share": 0.5,
                }
            },
        },
        "preprocessing": "@case_preprocessing",
        "inferer": "@case_inferer",
        "writer": "@case_writer",
        "decision": "vote",
    }


def brightness(network, x, target):
    """The first image itself, so that it is known where a map must lie."""
    return x[:, 0]


def nothing(network, x, target):
    """An explanation that never finds anything, so that no scale can be fitted for it."""
    return 0 * x[:, 0]


def run(base: str, overlay: Path, **settings: object) -> None:
    """Run configs as the command line does, without its process; order: base, system, evaluate."""
    first, *rest = BASES[base]
    files = [str(CONFIGS / first), str(overlay), *(str(CONFIGS / file) for file in rest)]
    workflow = ConfigWorkflow(
        files,
        workflow_type="train" if base == "train" else "infer",
        meta_file=str(CONFIGS / "metadata.json"),
        logging_file=False,
        device="$torch.device('cpu')",
        plain_problems=None,
        **settings,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
