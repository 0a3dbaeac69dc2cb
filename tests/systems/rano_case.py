"""A tiny synthetic data set as LUMIERE's preparation leaves it: pairs of studies on one grid, without the skull.

The grid is oblique and anisotropic. Each tumour has a core, enhancing tumour around it and oedema around that. From the
earlier to the current study it grows (PD), stays (SD), shrinks (PR) or is gone (CR: then there is no mask either).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd

SHAPE, SPACING = (24, 28, 14), (7.0, 6.5, 11.0)
NAMES = ["PD", "SD", "PR", "CR"]
CLASSES = {"names": NAMES, "finding": "PD", "primary_metric": "balanced_accuracy"}
WORDS = {"title": "Response of glioblastoma", "question": "Which response?", "case": "pair", "cases": "pairs"}
SEQUENCES = ("T1", "CT1", "T2", "FLAIR")
TUMOUR_MM = np.array([30.0, -12.0, 26.0])
RADII_MM = {"earlier": 22.0, "PD": 30.0, "SD": 22.0, "PR": 14.0, "CR": 0.0}
FOLDS = 3
NETWORK = {
    "_target_": "monai.networks.nets.DenseNet",
    "spatial_dims": 3,
    "in_channels": "$len(@channels)",
    "out_channels": "@images_outputs",
    "init_features": 4,
    "growth_rate": 4,
    "block_config": [1, 1],
}
TINY: dict[str, Any] = {
    "patch_size": [20, 20, 20],
    "pixel": 9.0,
    "images_network": NETWORK,
    "batch_size": 4,
    "max_epochs": 2,
    "cube": 10,
    "scale_cases": 1,
    "learning_rate": 0.003,
}
"""What makes the system's overlay small enough for a test."""
FACTS = {
    1: {"sex": "female", "age": 41.0, "idh": "mutant", "mgmt": "methylated", "weeks": 12},
    2: {"sex": "male", "age": None, "idh": "wild type", "mgmt": "", "weeks": 30},
}
"""Of the first two patients; the others have some of everything."""


def affine() -> np.ndarray:
    """Oblique, anisotropic, first axis to the left; its middle is the origin."""
    angle = np.deg2rad(8)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    made = np.eye(4)
    made[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    made[:3, 3] = -made[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return made


def write_dataset(root: Path, patients: int = 18) -> Path:
    """One pair per patient; the class goes round with the patient's number, folds of whole rounds."""
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    world = index @ affine()[:3, :3].T + affine()[:3, 3]
    brain = ((world / np.array([62.0, 75.0, 58.0])) ** 2).sum(-1) < 1
    far = np.linalg.norm(world - TUMOUR_MM, axis=-1)
    entries, rows = [], []
    for number in range(1, patients + 1):
        label, subject = (number - 1) % 4, f"sub-{number:03d}"
        (root / subject).mkdir(parents=True, exist_ok=True)
        images = {}
        for study, radius in (("", RADII_MM[NAMES[label]]), ("_earlier", RADII_MM["earlier"])):
            labels = np.zeros(SHAPE, np.uint8)
            for value, share in ((3, 1.0), (1, 0.75), (2, 0.4)):
                labels[far < share * radius] = value
            for place, name in enumerate(SEQUENCES):
                bright = np.array([[0, -60, 60, 80], [0, 150, -40, 20], [0, 90, 120, 200], [0, 60, 90, 180]])
                volume = (300 + 20 * rng.normal(size=SHAPE) + bright[place][labels]) * brain
                images[name + study] = f"{subject}/{name}{study}.nii.gz"
                _save(root / images[name + study], volume.astype(np.float32))
            if not study and label != 3:
                _save(root / subject / "labels.nii.gz", labels * brain)
                _save(root / subject / "mask.nii.gz", ((labels > 0) & brain).astype(np.uint8))
        entry = {
            "subject": subject,
            "case": "week-020",
            "label": label,
            "fold": (number - 1) // 4 % FOLDS,
            "fold_timepoint": number % FOLDS,
            "images": images,
        }
        if label != 3:
            images["compartments"] = f"{subject}/labels.nii.gz"
            entry["mask"] = f"{subject}/mask.nii.gz"
        entries.append(entry)
        facts = FACTS.get(number) or {
            "sex": ("male", "female", "")[number % 3],
            "age": 45.0 + number,
            "idh": ("wild type", "mutant")[number % 2],
            "mgmt": ("methylated", "unmethylated", "")[number % 3],
            "weeks": 10 + number,
        }
        volume = 4 / 3 * np.pi * RADII_MM[NAMES[label]] ** 3
        rows.append(
            {
                **{name: entry[name] for name in ("subject", "case", "fold", "label")},
                **facts,
                "fold_timepoint": entry["fold_timepoint"],
                "weeks_earlier": 4,
                "enhancing_mm3": round(0.4 * volume),
                "enhancing_mm3_earlier": round(0.4 * 4 / 3 * np.pi * RADII_MM["earlier"] ** 3),
            }
        )
    content = {
        "name": "tiny pairs",
        "synthetic": True,
        "classes": CLASSES,
        "words": WORDS,
        "folds": FOLDS,
        "training": entries,
    }
    (root / "dataset.json").write_text(json.dumps(content))
    pd.DataFrame(rows).to_csv(root / "cases.csv", index=False)
    return root


def _save(path: Path, volume: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(volume, affine()), path)
