"""Large inputs by one overlay: cases preprocessed to disk, and batches changed at random on the training device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tiny_systems
import torch
from test_one_overlay import run

CACHED = {
    "_target_": "treatment_response.cases.disk_samples.disk_samples",
    "dataset_dir": "@dataset_dir",
    "image_transforms": "@image_transforms",
    "case_transforms": "@lesion_transforms",
    "patch_transforms": "@patch_transforms",
    "cache_dir": "$@dataset_dir + '/preprocessed'",
    "protocol": "@protocol",
    "sessions": "@sessions",
    "unlabelled": "@unlabelled",
}
AUGMENTED = {
    "_target_": "treatment_response.transforms.augment_batch.PrepareAugmented",
    "prepare_batch": "@prepare_batch",
    "augment": {"_target_": "treatment_response.transforms.augment_batch.AugmentBatch", "spacing": [1.0, 1.0, 1.0]},
}


def scored(root: Path, data: Path, name: str, more: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """Predictions and weights of a run with an overlay."""
    out, overlay = root / name, root / f"{name}.json"
    overlay.write_text(json.dumps({**tiny_systems.overlay(2), "max_epochs": 1, **more}))
    for base in ("train", "evaluate"):
        run(base, overlay, dataset_dir=str(data), output_dir=str(out))
    return pd.read_csv(out / "predictions.csv"), torch.load(out / "models" / "model.pt", weights_only=True)


def test_samples_on_disk_train_and_score_as_those_in_memory_and_augmentation_changes_the_training(tmp_path: Path):
    data = tiny_systems.write_dataset(tmp_path / "data", tiny_systems.CLASSES["two"], patients=8, folds=2)
    memory, weights = scored(tmp_path, data, "memory", {})
    disk, disk_weights = scored(tmp_path, data, "disk", {"samples": CACHED})
    files = sorted((data / "preprocessed").glob("*.npy"))
    assert [np.load(file, mmap_mode="r").dtype for file in files] == [np.float16] * 8
    kept = [file.stat().st_mtime_ns for file in files]
    assert list(disk["subject"]) == list(memory["subject"])
    np.testing.assert_allclose(disk["p_recurrence"], memory["p_recurrence"], atol=2e-3)
    assert not all(torch.equal(weights[key], disk_weights[key]) for key in weights)  # half precision was read
    _, changed = scored(tmp_path, data, "changed", {"samples": CACHED, "prepare_training_batch": AUGMENTED})
    assert [file.stat().st_mtime_ns for file in files] == kept  # preprocessed once for all runs
    kernel = next(key for key in weights if key.endswith("conv0.weight"))
    of_disk, of_changes = (disk_weights[kernel] - weights[kernel], changed[kernel] - disk_weights[kernel])
    assert of_disk.abs().mean() < 0.1 * of_changes.abs().mean()
