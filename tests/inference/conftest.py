"""A small prepared data set, oblique and anisotropic, and a network that decides by one corner of the lesion."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
from corner_network import corner_network
from scipy.spatial.transform import Rotation
from treatment_response.model_description import TrainingData
from treatment_response.weights import write_weights

SHAPE = (70, 64, 14)
ROTATION = Rotation.from_euler("xyz", [6, -9, 13], degrees=True).as_matrix()
# Cells 3 to 5 towards R and 10 to 12 towards A: 2 mm each, around a middle at cell 7.5.
CORNER_MM = np.array([-7.0, 7.0])


def mr_affine() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = ROTATION @ np.diag([-0.9, 1.1, 3.0])
    affine[:3, 3] = [25.0, -40.0, 11.0]
    return affine


def head(seed: int) -> np.ndarray:
    """A noisy ellipsoid, brighter than its surroundings."""
    unit = [np.linspace(-1, 1, size) for size in SHAPE]
    inside = sum(axis**2 for axis in np.meshgrid(*unit, indexing="ij")) < 0.9
    noise = np.random.default_rng(seed).normal(0, 20, SHAPE)
    return (inside * 400 + noise).astype(np.float32)


def ball(centre: tuple[int, int, int], radius: float) -> np.ndarray:
    index = np.indices(SHAPE).reshape(3, -1)
    world = mr_affine()[:3, :3] @ (index - np.array(centre)[:, None])
    return (np.linalg.norm(world, axis=0) <= radius).reshape(SHAPE)


LESIONS = {
    ("sub-001", "L01"): ((30, 30, 7), 12.0, 0),
    ("sub-001", "L02"): ((50, 45, 6), 2.4, 0),
    ("sub-002", "L01"): ((34, 32, 6), 19.0, 1),
}


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, mr_affine() if affine is None else affine), path)
    return path


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """Three lesions of two patients: ordinary, tiny, larger than the field."""
    root = tmp_path_factory.mktemp("dataset")
    samples, images = [], {"sub-001": head(1), "sub-002": head(2)}
    for (subject, lesion), (centre, radius, fold) in LESIONS.items():
        mask = ball(centre, radius)
        images[subject][mask] += 250
        for session in ("ses-01", "ses-02"):
            path = f"derivatives/masks/{subject}/{session}/{subject}_{session}_label-{lesion}_mask.nii.gz"
            write_nifti(root / path, mask.astype(np.uint8))
            samples.append(
                {
                    "image": f"{subject}/{session}/anat/{subject}_{session}_ce-gadolinium_T1w.nii.gz",
                    "mask": path,
                    "label": fold,
                    "subject": subject,
                    "lesion": lesion,
                    "session": session,
                    "fold": fold,
                    "volume_change": -0.5,
                }
            )
    for sample in samples:
        write_nifti(root / sample["image"], images[sample["subject"]])
    content = {"name": "tiny", "synthetic": True, "response_threshold": 0.2, "folds": 2, "training": samples}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


MAP_SCALES = {name: {"non-response": 5.0, "response": 5.0} for name in ("gradcam", "gradcampp", "pixelwise")}


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A training run's folder with the corner network, trained (it says) on the data set without fold 1."""
    run = tmp_path_factory.mktemp("run")
    (run / "models").mkdir()
    data = TrainingData("tiny", synthetic=True, lesions=2, patients=1, protocol="B", fold=1)
    write_weights(run / "models" / "model.pt", corner_network(), MAP_SCALES, data)
    return run


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """The pieces of the data set, for tests that build their own input or need the truth."""
    return SimpleNamespace(
        shape=SHAPE, rotation=ROTATION, affine=mr_affine(), corner_mm=CORNER_MM, lesions=LESIONS,
        head=head, ball=ball, write_nifti=write_nifti, corner_network=corner_network, map_scales=MAP_SCALES,
    )  # fmt: skip
