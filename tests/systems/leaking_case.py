"""A data set of pairs whose images tell the patient and nothing else: only a leak can score on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

NAMES = ("PD", "SD", "PR", "CR")
SIDE = 6


def write_identities(root: Path, patients: int = 20, visits: int = 4, folds: int = 2) -> Path:
    """Each patient has a rating and a random pattern, drawn apart, that all of the patient's time points share."""
    rng = np.random.default_rng(5)
    entries = []
    for number in range(patients):
        pattern, subject = rng.normal(0, 1, (SIDE,) * 3), f"sub-{number + 1:03d}"
        (root / subject).mkdir(parents=True)
        for visit in range(visits):
            file = f"{subject}/week-{10 * visit:03d}.nii.gz"
            image = pattern + rng.normal(0, 0.3, pattern.shape)
            nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), np.eye(4)), root / file)
            entries.append(
                {
                    "subject": subject,
                    "case": f"week-{10 * visit:03d}",
                    "label": number % 4,
                    "fold": number // 4 % folds,
                    "fold_timepoint": visit % folds,
                    "images": {"t1": file},
                }
            )
    classes = {"names": NAMES, "finding": "PD", "primary_metric": "balanced_accuracy", "order": NAMES[::-1]}
    content = {"name": "identities", "synthetic": True, "classes": classes, "folds": folds, "training": entries}
    (root / "dataset.json").write_text(json.dumps(content))
    rows = [",".join(str(entry[key]) for key in ("subject", "case", "fold", "label")) for entry in entries]
    (root / "cases.csv").write_text("\n".join(["subject,case,fold,label", *rows]) + "\n")
    return root


def linear_overlay() -> dict[str, Any]:
    """A linear classifier of the voxels: it can learn to know a patient, and overfits."""
    return {
        "protocol": "patients",
        "angles": [],
        "max_epochs": 12,
        "batch_size": 16,
        "picture_interval": 0,
        "image_transforms": [
            {"_target_": "LoadImaged", "keys": "t1", "ensure_channel_first": True},
            {"_target_": "ConcatItemsd", "keys": ["t1"], "name": "image"},
        ],
        "lesion_transforms": [],
        "patch_transforms": [],
        "network_def": f"$torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear({SIDE**3}, 4))",
        "loss": {
            "_target_": "treatment_response.losses.ClassificationLoss",
            "criterion": {"_target_": "torch.nn.CrossEntropyLoss"},
        },
        "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 0.02},
        "metrics": {"loss": {"_target_": "treatment_response.training.metrics.StepMean", "key": "loss"}},
        "explanation": None,
    }
