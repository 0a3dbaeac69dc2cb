"""Small stand-ins: a cohort, predictions, a history and lesion views with a planted signal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from treatment_response.evaluation.views import LesionView


def make_lesions(n: int = 69, patients: int = 39, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    subject = np.sort(np.r_[np.arange(patients), rng.integers(0, patients, n - patients)])
    change = rng.normal(-0.3, 0.4, n).clip(-1)
    change[-1] = 4.0
    volume = 10 ** rng.uniform(2, 4.2, n)
    return pd.DataFrame(
        {
            "subject": [f"sub-{s + 1:03d}" for s in subject],
            "lesion": [f"L{i:02d}" for i in range(1, n + 1)],
            "fold": subject % 5,
            "volume_ses-01_mm3": volume,
            "volume_ses-02_mm3": volume * 0.9,
            "volume_ses-03_mm3": volume * (1 + change),
            "volume_change": change,
            "label": (change < -0.2).astype(int),
            "p_response": 0.5,
            "days_ses-02": 21,
            "days_ses-03": 90,
            "status_ses-03": "present",
            "max_dose_gy": 30.0,
            "prescription_gy": 18.0,
            "gradient_index": rng.normal(2.8, 0.3, n),
            "site": rng.choice(["A", "B"], n),
            "diameter_mm": (6 * volume / np.pi) ** (1 / 3),
            "synthetic": True,
        }
    )


def make_predictions(lesions: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tables = []
    for fold in range(5):
        held = lesions["fold"] == fold
        for role, session, rows, skill in [
            ("train_mri2", "ses-02", lesions[~held], 3.0),
            ("heldout_mri2", "ses-02", lesions[held], 0.8),
            ("heldout_mri1", "ses-01", lesions[held], 1.0),
        ]:
            logit = skill * (2 * rows["label"] - 1) + rng.normal(0, 1.4, len(rows))
            table = rows[["subject", "lesion", "label"]].assign(
                session=session, role=role, fold=rows["fold"], model=fold, logit=logit
            )
            tables.append(table.assign(p_response=1 / (1 + np.exp(-logit))))
    return pd.concat(tables, ignore_index=True)


def make_history(epochs: int = 40) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    fall = np.exp(-epoch / 12)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 0.4 + 1.2 * fall,
            "reconstruction": 0.25 + 0.5 * fall,
            "classification": 0.15 + 0.7 * fall,
            "accuracy": 0.97 - 0.4 * fall,
            "heldout_loss": 0.9 + 0.6 * fall,
            "heldout_accuracy": 0.7 - 0.15 * fall,
        }
    )


def make_view(number: int, label: int, seed: int = 0, empty: bool = False) -> LesionView:
    rng = np.random.default_rng(seed + number)
    x, y = np.mgrid[:64, :64] - 31.5
    radius = 10 + 8 * rng.random()
    mask = ((x / radius) ** 2 + (y / (0.8 * radius)) ** 2 < 1).astype(np.uint8)
    image = (0.4 + 0.05 * rng.normal(size=(64, 64)) + 0.4 * mask).clip(0, 1)
    features = rng.random((5, 16, 16)) * (0.3 + mask[2::4, 2::4])
    cells = mask.reshape(16, 4, 16, 4).max(axis=(1, 3))
    gradients = rng.normal(size=(5, 16, 16)) * cells * 0.05
    # Planted: evidence in the cell at +x (the patient's left), +y (anterior) of the centre.
    planted = np.zeros((16, 16))
    planted[10, 9] = 1.0
    planted[9, 9] = 0.5
    cams = {
        (variant, target): planted * (target == label) if not empty else np.zeros((16, 16))
        for variant in ("gradcam", "gradcampp", "pixelwise")
        for target in (0, 1)
    }
    return LesionView(
        f"sub-{number:03d}",
        "L01",
        "ses-01",
        label,
        0.7 if label else 0.4,
        0.6,
        image,
        mask,
        0.5,
        (image * mask * 0.95),
        features,
        gradients,
        cams,
    )


@pytest.fixture(scope="session")
def lesions() -> pd.DataFrame:
    return make_lesions()


@pytest.fixture(scope="session")
def predictions(lesions) -> pd.DataFrame:
    return make_predictions(lesions)


@pytest.fixture(scope="session")
def history() -> pd.DataFrame:
    return make_history()


@pytest.fixture(scope="session")
def views() -> list[LesionView]:
    return [make_view(i, i % 2, empty=i == 3) for i in range(1, 13)]
