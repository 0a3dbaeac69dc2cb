"""A signal that nobody can miss (size, prescription, intensity, texture and dose all differ): every method finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_dataset import write_toy_dataset
from treatment_response.cohort.layout import LESIONS, dose_path, image_path, mask_path, read_volume, write_volume
from treatment_response.evaluation.comparison.methods import AFTER_MRI_2, METHODS
from treatment_response.evaluation.comparison.network_methods import NETWORK_METHODS
from treatment_response.evaluation.comparison.plan import Comparison
from treatment_response.evaluation.comparison.run import compare
from treatment_response.features import radiomics
from treatment_response.features.groups import GROUPS
from treatment_response.features.scans import OpenScan
from treatment_response.geometry import Volume


def plant(root: Path) -> Path:
    """A toy data set: responding lesions have a bright core; sizes, prescriptions and doses tell the label too."""
    write_toy_dataset(root, patients=8)
    lesions = pd.read_csv(root / LESIONS)
    random = np.random.default_rng(0)
    for column, base in (("volume_ses-01_mm3", 400), ("volume_ses-02_mm3", 300), ("prescription_gy", 15)):
        lesions[column] = base * (1 + 0.5 * lesions["label"]) * random.uniform(0.95, 1.05, len(lesions))
    lesions.to_csv(root / LESIONS, index=False)
    for subject, mine in lesions.groupby("subject"):
        for session in ("ses-01", "ses-02"):
            image = read_volume(root / image_path(subject, session), "image")
            dose = 20.0 + random.normal(0, 0.1, image.array.shape)
            for lesion in mine.loc[mine["label"] == 1, "lesion"]:
                dose[read_volume(root / mask_path(subject, session, lesion), "mask").array > 0] += 5.0
            write_volume(root / dose_path(subject, session), Volume(dose, image.affine))
    return root


@pytest.fixture
def quick_radiomics(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyradiomics without wavelets and Laplacians, which take a second per lesion."""
    for name, settings in (
        (radiomics.RADIOMICS_GROUP, radiomics.RADIOMICS),
        (radiomics.DOSE_GROUP, radiomics.DOSIOMICS),
    ):
        small = {**settings, "imageType": {"Original": {}}, "grid": {**settings["grid"], "padding": 5}}
        kept = {f"{name}.{feature}" for feature in radiomics.feature_names(small)}
        features = tuple(feature for feature in GROUPS[name].features if feature.name in kept)
        monkeypatch.setitem(
            GROUPS, name, replace(GROUPS[name], features=features, settings=small, measure=measured_with(small))
        )


def measured_with(settings: dict[str, Any]) -> Callable[[OpenScan, str], dict[str, float]]:
    def measure(scan: OpenScan, lesion: str) -> dict[str, float]:
        if "shape" in settings["featureClass"]:
            return radiomics.radiomic_features(scan.image, scan.mask(lesion).array, lesion, settings)
        return radiomics.dosiomic_features(scan.dose, scan.mask(lesion), lesion, settings)

    return measure


@pytest.mark.usefixtures("quick_radiomics")
def test_every_method_finds_a_signal_that_nobody_can_miss(tmp_path: Path) -> None:
    settings = Comparison(tuple(METHODS), trials=2, least_icc=0, epochs=12, overlays=("smoke.json",), workers=1)
    table, content = compare(plant(tmp_path / "dataset"), tmp_path / "out", settings)
    auc = table[(table["score"] == "auc") & (table["role"] == "heldout_mri1") & (table["finding"] == "response")]
    assert list(auc["method"]) == [method for method in METHODS if method not in AFTER_MRI_2]
    assert (auc["mean"] > 0.95).all(), auc[["method", "mean"]]
    # Over all trials together too, but for networks: after few epochs these differ in their level from trial to trial.
    pooled = auc[~auc["method"].isin(NETWORK_METHODS)]
    assert (pooled["estimate"] > 0.95).all(), pooled[["method", "estimate"]]
    # After MRI 2 all stand together; the planted signal is not in the change of the images.
    both = table[(table["score"] == "auc") & (table["role"] == "heldout_after_mri2") & (table["finding"] == "response")]
    assert list(both["method"]) == list(METHODS)
    later = both.set_index("method")["estimate"]
    assert (later[["size-after-mri2", "ensemble-after-mri2"]] > 0.95).all(), later
    assert content["synthetic"]
    chosen = pd.read_csv(tmp_path / "out" / "importances.csv", comment="#").groupby("method").first()
    assert chosen.loc["size", ["feature", "group", "chosen"]].tolist() == ["size.volume", "size", 1.0]
    assert {"size", "clinical", "radiomics", "gradient", "dose", "ensemble"} < set(chosen.index)


@pytest.mark.usefixtures("quick_radiomics")
def test_mri_2_without_a_dose_is_said_beside_the_numbers(tmp_path: Path) -> None:
    # As usual: the dose belongs to MRI 1. What a model says of MRI 2 is then not about dose, whatever the numbers are.
    dataset = plant(tmp_path / "dataset")
    for dose in dataset.glob("derivatives/dose/*/ses-02/*"):
        if "sub-001" not in dose.name:
            dose.unlink()
    settings = Comparison(("gradient", "dose"), trials=5, least_icc=0, workers=1)
    _, content = compare(dataset, tmp_path / "out", settings)
    said = "dose, 14 of 16 lesions at MRI 2: no dose of that session, so its features are the training medians;"
    assert [note.split(" (i)")[0] for note in content["notes"] if "no dose" in note] == [said]
    assert f"# {said}" in (tmp_path / "out" / "table.csv").read_text()
