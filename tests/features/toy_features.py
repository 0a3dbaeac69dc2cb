"""A small prepared data set for features, with a dose in MRI 1's session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from toy_dataset import SHAPE, oblique_affine, write_toy_dataset
from treatment_response.cohort.layout import dose_path, write_volume
from treatment_response.geometry import Volume


def write_small_dataset(root: Path, patients: int = 4) -> Path:
    """``patients`` × 2 lesions × 2 sessions; each first session has a dose that falls towards the right."""
    write_toy_dataset(root, patients=patients, folds=2)
    affine = oblique_affine()
    affine[:3, :3] *= 1.2
    shape = tuple(int(n / 1.2) + 1 for n in SHAPE)
    dose = np.broadcast_to(20.0 + 0.1 * np.arange(shape[0])[:, None, None], shape)
    for number in range(1, patients + 1):
        write_volume(root / dose_path(f"sub-{number:03d}", "ses-01"), Volume(np.array(dose), affine))
    return root
