"""A tiny synthetic data set as RICE-NET's preparation leaves it: three images and a brain mask on the event MR's grid.

The grid is oblique and anisotropic. A lesion lies at a known place; on the event MR it is the brighter and its dose
the lower, the likelier its class is recurrence.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from treatment_response.features.tumour_board import dvh_rows, isodose_column, tumour_board
from treatment_response.geometry import Volume

SHAPE, SPACING = (24, 28, 14), (7.0, 6.5, 11.0)
CLASSES = {"names": ["radiation effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"}
LESION_MM = np.array([38.0, 12.0, 30.0])
RADIUS_MM = 20.0
FOLDS = 3
NO_SHEET = 3
"""Number of the patient whose lesion has no sheet."""
TINY = {
    "patch_size": 20,
    "pixel": 9.0,
    "widths": [4, 4, 8, 8],
    "batch_size": 4,
    "max_epochs": 2,
    "cube": 5,
    "scale_cases": 1,
    "learning_rate": 0.003,
}
"""What makes the system's overlay small enough for a test."""


def affine() -> np.ndarray:
    """Oblique, anisotropic, first axis to the left."""
    angle = np.deg2rad(11)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    made = np.eye(4)
    made[:3, :3] = turn @ np.diag(np.array(SPACING) * (-1, 1, 1))
    made[:3, 3] = -made[:3, :3] @ ((np.array(SHAPE) - 1) / 2) + np.array([4.0, -9.0, 21.0])
    return made


def write_dataset(root: Path, patients: int = 18, apart: int = 2) -> Path:
    """Write it: `patients` in `FOLDS` folds, and `apart` more under ``test``."""
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), -1)
    world = index @ affine()[:3, :3].T + affine()[:3, 3]
    middle = world.reshape(-1, 3).mean(axis=0)
    brain = (((world - middle) / np.array([62.0, 75.0, 58.0])) ** 2).sum(-1) < 1
    lesion = np.linalg.norm(world - LESION_MM, axis=-1) < RADIUS_MM
    far = np.linalg.norm(world - LESION_MM - np.array([0.0, 15.0, 0.0]), axis=-1)
    entries, rows, board, curves = [], [], [], []
    for number in range(patients + apart):
        label, subject = number % 2, f"sub-{number + 1:03d}"
        prescription = 58.0 + 2.0 * (number % 3 == 0)
        dose = prescription * np.exp(-((far / (45.0 + 25.0 * (1 - label))) ** 2))
        images = {
            "post_operative": 300 + 40 * rng.normal(size=SHAPE),
            "event": 900 + 90 * rng.normal(size=SHAPE) + lesion * (250 + 250 * label),
            "dose": dose,
            "brain": brain.astype(np.uint8),
        }
        for name, image in images.items():
            (root / subject).mkdir(parents=True, exist_ok=True)
            array = image if image.dtype == np.uint8 else image.astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(array, affine()), root / subject / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(lesion.astype(np.uint8), affine()), root / subject / "lesion.nii.gz")
        fold = number // 2 % FOLDS if number < patients else -1
        case = {"subject": subject, "case": "event", "label": label, "fold": fold}
        paths = {name: f"{subject}/{name}.nii.gz" for name in images}
        entries.append({**case, "images": paths, "mask": f"{subject}/lesion.nii.gz"})
        rows.append(
            {
                **{name: case[name] for name in ("subject", "case", "fold", "label")},
                "months_since_radiotherapy": "" if number == 3 else round(12 - 3 * label + rng.normal(0, 3), 2),
                "prescription_gy": prescription,
                "modality": "protons" if number % 4 == 0 else "photons",
                "lesion_mean_dose_gy": round(float(dose[lesion].mean() + rng.normal(0, 1)), 2),
                "lesion_growth": "",
                "lesion_source": "mask",
                "dose_kind": "EQD2 Gy",
                "synthetic": True,
            }
        )
        if number != NO_SHEET:
            isodoses = {share: share * prescription for share in (0.5, 0.95)}
            region, grid = (Volume(array, affine()) for array in (lesion.astype(np.uint8), dose))
            sheet = tumour_board(region, grid, isodose_gy=isodoses[0.95], days_since_radiotherapy=200)
            levels = {isodose_column(share): level for share, level in isodoses.items()}
            board.append({"subject": subject, "case": "event", **sheet.row(), **levels, "ventricles_by": ""})
            curves += dvh_rows(subject, sheet)
    content = {
        "name": "tiny rice",
        "synthetic": True,
        "classes": CLASSES,
        "words": {
            "title": "Radiation effect or recurrence",
            "question": "Is the new enhancement radiation effect or recurrence?",
            "case": "event",
            "cases": "events",
        },
        "dose": "EQD2, alpha/beta 2 Gy",
        "folds": FOLDS,
        "training": entries[:patients],
        "test": entries[patients:],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    for name, table in (("cases", rows), ("tumour_board", board), ("dvh", curves)):
        pd.DataFrame(table).to_csv(root / f"{name}.csv", index=False)
    return root
