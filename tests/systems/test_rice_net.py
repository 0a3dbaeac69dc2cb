"""RICE-NET's overlay on a tiny data set: its input, its five folds, the final test, and where its maps lie."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import rice_case
import tiny_systems
import torch
from monai.bundle import ConfigParser
from test_four_commands import command
from treatment_response.cases.samples import training_samples
from treatment_response.classes import classes_of
from treatment_response.cohort.check import check_dataset
from treatment_response.inference.model import load_model
from treatment_response.networks.probabilities import probabilities
from treatment_response.problems import DataProblem
from treatment_response.training.experiment import read_samples
from treatment_response.weights import read_weights

CLASSES = classes_of(rice_case.CLASSES)
CONFIGS = ("train.json", "rice_net.json")


def parsed(*files: str, **settings: Any) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config([str(tiny_systems.CONFIGS / file) for file in files])
    parser.update({"bundle_root": str(tiny_systems.CONFIGS.parent), **rice_case.TINY, **settings})
    return parser


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The tiny data set, cross-validated, its test patients predicted."""
    root = tmp_path_factory.mktemp("rice")
    data = rice_case.write_dataset(root / "data")
    small = root / "tiny.json"
    small.write_text(json.dumps({**rice_case.TINY, "max_epochs": 4}))
    options = ("--overlay", "rice_net.json", small, "--workers", 1, "--folds", rice_case.FOLDS, "--test")
    assert command("cross_validate", data, "--out", root / "cv", *options) == 0
    return SimpleNamespace(root=root, data=data, small=small, cv=root / "cv")


def test_the_overlay_stands_on_all_three_bases(system):
    for base in ("train.json",), ("train.json", "evaluate.json"), ("inference.json",):
        files = (base[0], "rice_net.json", *base[1:])
        model = str(system.cv / "fold_0" / "models" / "model.pt")
        parser = parsed(*files, dataset_dir=str(system.data), model_path=model, output_dir=str(system.root / "o"))
        parser.get_parsed_content("evaluator" if len(files) == 3 or base[0] == "inference.json" else "train#trainer")
        network = parser.get_parsed_content("network_def")
        assert type(network).__name__ == "ResNet"
        assert network.conv1.stride == (2, 2, 2)


def test_the_input_is_scaled_in_the_brain_and_centred_on_it(system):
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), protocol="patients", **rice_case.TINY)
    x = samples[0]["image"]
    assert x.shape == (3, 20, 20, 20)
    brain = (x != 0).any(dim=0)
    for channel in x[:2]:
        inside = channel[channel != 0]
        assert float(inside.mean()) == pytest.approx(0, abs=2e-3)
        assert float(inside.std()) == pytest.approx(1, abs=2e-3)
        assert not bool(channel[~brain].any())
    given = np.asarray(nibabel.load(system.data / "sub-001" / "dose.nii.gz").dataobj)
    stripped = given * (np.asarray(nibabel.load(system.data / "sub-001" / "brain.nii.gz").dataobj) > 0)
    assert float(x[2].max()) == pytest.approx(stripped.max() / 60, rel=0.05)  # Gy over 60, smoothed by the new grid
    middle = (torch.nonzero(brain).amin(dim=0) + torch.nonzero(brain).amax(dim=0)) / 2
    assert (middle - 9.5).abs().max() <= 1
    for channels in (["dose"], ["event", "dose"]):
        chosen = read_samples(CONFIGS, None, dataset_dir=str(system.data), **{**rice_case.TINY, "channels": channels})
        places = [("post_operative", "event", "dose").index(name) for name in channels]
        torch.testing.assert_close(chosen[0]["image"], x[places])
    assert len(list((system.data / "preprocessed").glob("*.npy"))) == 3 * 20  # the variants share the files


def test_augmentation_leaves_the_dose_and_what_is_outside_the_brain(system):
    parser = parsed(*CONFIGS, dataset_dir=str(system.data), output_dir=str(system.root / "o"), bf16=False)
    augment = parser.get_parsed_content("prepare_training_batch").augment
    augment.rotation_deg = augment.scale = augment.elastic_mm = 0.0
    augment.probability = 1.0
    batch = next(iter(parser.get_parsed_content("train_dataloader")))["image"]
    assert batch.dtype == torch.float16
    x = batch.float()
    changed = augment(batch)
    torch.testing.assert_close(changed[:, 2], x[:, 2], rtol=0, atol=0)
    assert not torch.equal(changed[:, 1], x[:, 1])
    assert not bool(changed[:, :2][(x == 0).all(dim=1, keepdim=True).expand(-1, 2, -1, -1, -1)].any())
    assert changed.is_contiguous(memory_format=torch.channels_last_3d)


def test_the_test_patients_are_predicted_by_all_folds_together(system):
    table = pd.read_csv(system.cv / "test_predictions.csv")
    assert list(table["subject"]) == [f"sub-{number:03d}" for number in (19, 20)]
    folds = [system.cv / f"fold_{fold}" / "models" / "model.pt" for fold in range(rice_case.FOLDS)]
    metrics = json.loads((system.cv / "test_metrics.json").read_text())
    assert metrics["calibrated"]
    parser = parsed(*CONFIGS)
    network = parser.get_parsed_content("network_def").eval()
    samples = read_samples(CONFIGS, None, dataset_dir=str(system.data), case_list="test", **rice_case.TINY)
    temperature = read_weights(system.cv / "models" / "model.pt").certainty.calibration.temperature
    by_hand = []
    for path in folds:
        network.load_state_dict(torch.load(path, weights_only=True))
        with torch.no_grad():
            by_hand.append(probabilities(network(torch.stack([one["image"] for one in samples])) / temperature))
    mean = torch.stack(by_hand).mean(dim=0)
    np.testing.assert_allclose(table[list(CLASSES.columns)], mean, atol=1e-5)
    votes = torch.stack(by_hand).argmax(dim=-1).sum(dim=0).numpy()
    np.testing.assert_array_equal(table["votes_recurrence"], votes)
    np.testing.assert_array_equal(table["decided"], 2 * votes > rice_case.FOLDS)
    np.testing.assert_allclose(table["agreement"], np.maximum(votes, rice_case.FOLDS - votes) / rice_case.FOLDS)
    hits = int((table["decided"] == table["label"]).sum())
    assert (metrics["accuracy"]["hits"], metrics["accuracy"]["method"]) == (hits, "exact binomial")
    pooled = pd.read_csv(system.cv / "predictions.csv")
    assert not set(pooled["subject"]) & set(table["subject"])
    # The ensemble that was written is this mean.
    weights = read_weights(system.cv / "models" / "model.pt")
    whole = load_model(
        parser.get_parsed_content("network_def"), weights, torch.device("cpu"), parser.get_parsed_content("explanation")
    )
    with torch.no_grad():
        torch.testing.assert_close(probabilities(whole(samples[0]["image"][None]))[0], mean[0], atol=1e-5, rtol=0)


def test_a_map_of_the_ensemble_lies_on_the_event_images_own_grid(system):
    out = system.root / "maps"
    overlay = system.root / "one.json"
    content = json.loads((tiny_systems.CONFIGS / "rice_net.json").read_text())
    overlay.write_text(json.dumps({**content, **rice_case.TINY}))
    given = {"dataset_dir": str(system.data), "model_path": str(system.cv / "models" / "model.pt")}
    tiny_systems.run("inference", overlay, output_dir=str(out), case_list="test", **given)
    details = json.loads((out / "cases.json").read_text())
    case = details["cases"][1]
    table = pd.read_csv(system.cv / "test_predictions.csv")
    np.testing.assert_allclose([case[name] for name in CLASSES.columns], table.loc[1, list(CLASSES.columns)], atol=1e-5)
    (raw,) = [one["raw"] for one in case["maps"] if one["class"] == "recurrence"]
    image = nibabel.load(out / raw)
    assert image.shape == rice_case.SHAPE
    np.testing.assert_allclose(image.affine, rice_case.affine(), atol=1e-4)
    volume = np.asarray(image.dataobj)
    brain = np.asarray(nibabel.load(system.data / case["subject"] / "brain.nii.gz").dataobj) > 0
    assert volume.max() > 0
    assert volume[brain].sum() > 0.95 * volume.sum()


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda c: c["test"].append(c["training"][0] | {"fold": -1}), "sub-001: is a test patient and in a fold too"),
        (lambda c: c["training"][0].update(label=2), "sample 1 of dataset.json: label 2 is unknown, expected 0 or 1"),
        (lambda c: c["test"][0].update(fold=0), "test sample 1 of dataset.json: is in fold 0, expected -1"),
        (lambda c: c["training"].append(c["training"][0] | {"case": "later", "fold": 2}), "sub-001: is in folds 0, 2"),
        (lambda c: c["training"][0]["images"].update(event="sub-002/flat.nii.gz"), "holds 7 in every voxel"),
    ],
    ids=["test and fold", "label", "fold of a test patient", "two folds", "constant"],
)
def test_faults_of_the_data_set_are_told_in_a_sentence(tmp_path: Path, break_it, sentence: str):
    data = rice_case.write_dataset(tmp_path, patients=10, apart=2)
    flat = nibabel.Nifti1Image(np.full(rice_case.SHAPE, 7, np.float32), rice_case.affine())
    nibabel.save(flat, data / "sub-002" / "flat.nii.gz")
    assert check_dataset(data) == []
    content = json.loads((data / "dataset.json").read_text())
    break_it(content)
    (data / "dataset.json").write_text(json.dumps(content))
    assert any(sentence in str(problem) for problem in check_dataset(data))


def test_test_patients_never_train_and_an_image_flat_in_the_brain_is_refused(system):
    of_test = read_samples(CONFIGS, None, dataset_dir=str(system.data), case_list="test", **rice_case.TINY)
    with pytest.raises(DataProblem, match="leaves 0 training samples"):
        training_samples(of_test, "patients", 0)
    parser = parsed("inference.json", "rice_net.json")
    refuse = next(
        one for one in parser.get_parsed_content("image_transforms") if type(one).__name__ == "RefuseConstantd"
    )
    shown = {"post_operative": torch.rand(1, 4, 4, 4), "event": torch.ones(1, 4, 4, 4), "brain": torch.ones(1, 4, 4, 4)}
    with pytest.raises(DataProblem, match="sub-9: 'event' has the value 1 everywhere inside 'brain'"):
        refuse({**shown, "subject": "sub-9"})


def test_fine_tuning_starts_from_given_weights(system, tmp_path):
    start = system.cv / "fold_0" / "models" / "model.pt"
    kept = {}
    for name, given in (("tuned", str(start)), ("plain", None)):
        overlay = tmp_path / f"{name}.json"
        content = json.loads((tiny_systems.CONFIGS / "rice_net.json").read_text())
        settings = {"max_epochs": 1, "learning_rate": 0.0, "start_from": given, "explanation": content["explanation"]}
        overlay.write_text(json.dumps({**content, **rice_case.TINY, **settings}))
        tiny_systems.run("train", overlay, dataset_dir=str(system.data), output_dir=str(tmp_path / name), fold=1)
        kept[name] = torch.load(tmp_path / name / "models" / "model.pt", weights_only=True)["layer4.1.conv2.weight"]
    given = torch.load(start, weights_only=True)["layer4.1.conv2.weight"]
    torch.testing.assert_close(kept["tuned"], given, rtol=0, atol=0)
    assert not torch.equal(kept["plain"], given)
