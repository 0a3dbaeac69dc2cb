"""Whole runs on the toy data set: same seed, same weights; resumed is uninterrupted; a visible signal is found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.engines import PrepareBatchExtraInput, SupervisedTrainer
from torch import nn
from torch.utils.data import DataLoader
from treatment_response.cases.samples import SampleRow, Samples, training_samples
from treatment_response.losses import ClassificationLoss
from treatment_response.problems import DataProblem
from treatment_response.training.experiment import read_samples, run_evaluation, run_training
from treatment_response.training.handlers.provenance import describe
from treatment_response.training.metrics import StepMean
from treatment_response.training.step import TrainingStep
from treatment_response.weights import read_weights

SMOKE = ("train.json", "smoke.json")
SEQUENTIAL = ("train.json", "sequential.json", "smoke.json")


@pytest.fixture(scope="module")
def samples(toy_dataset: Path) -> Samples:
    return read_samples(SMOKE, dataset_dir=str(toy_dataset))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / "model.pt", weights_only=True)


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.fixture(scope="module")
def four_epochs(samples, tmp_path_factory) -> Path:
    return run_training(SMOKE, samples=samples, output_dir=tmp_path_factory.mktemp("four"), max_epochs=4)


def test_a_run_leaves_what_the_architecture_page_names(four_epochs):
    for name in ("provenance.json", "models/model.pt", "models/model.json", "models/checkpoint.pt", "history.csv"):
        assert (four_epochs / name).is_file(), name
    assert list(four_epochs.glob("events.out.tfevents.*"))
    assert (four_epochs / "pictures" / "epoch_004_reconstruction.png").is_file()
    assert (four_epochs / "pictures" / "epoch_004_features.png").is_file()
    with (four_epochs / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    for name in ("loss", "reconstruction", "classification", "accuracy", "heldout_loss", "heldout_accuracy"):
        assert all(float(row[name]) >= 0 for row in rows), name
    for row in rows:
        total = float(row["reconstruction"]) + float(row["classification"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)


def test_a_seed_gives_the_same_weights_twice_and_another_seed_others(samples, four_epochs, tmp_path):
    again = run_training(SMOKE, samples=samples, output_dir=tmp_path / "again", max_epochs=4)
    assert_same(weights(four_epochs), weights(again))
    other = run_training(SMOKE, samples=samples, output_dir=tmp_path / "other", max_epochs=4, seed=1)
    assert not torch.equal(weights(other)["dense.weight"], weights(again)["dense.weight"])


def test_a_resumed_run_ends_as_an_uninterrupted_one(samples, four_epochs, tmp_path):
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=2)
    checkpoint = torch.load(tmp_path / "models" / "checkpoint.pt", weights_only=True)
    checkpoint["network"]["cam_scale"] = torch.zeros(3, 2)  # as earlier versions wrote it
    torch.save(checkpoint, tmp_path / "models" / "checkpoint.pt")
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=4, resume=True)
    assert_same(weights(four_epochs), weights(tmp_path))
    assert (tmp_path / "history.csv").read_text() == (four_epochs / "history.csv").read_text()


def test_resuming_with_other_settings_or_nothing_is_refused(samples, tmp_path):
    with pytest.raises(DataProblem, match=r"no models/checkpoint\.pt"):
        run_training(SMOKE, samples=samples, output_dir=tmp_path / "none", resume=True)
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=1)
    with pytest.raises(DataProblem, match="made with fold 0, not 1"):
        run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=2, resume=True, fold=1)


def test_a_visible_signal_is_learned_and_scored_on_held_out_patients(samples, tmp_path):
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=30, save_interval=30, picture_interval=30)
    run_evaluation(("train.json", "evaluate.json", "smoke.json"), samples=samples, output_dir=tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics.pop("doubtful")["doubtful"] == 0
    assert set(metrics) == {"train_mri2", "heldout_mri2", "heldout_mri1"}
    for role in ("heldout_mri1", "heldout_mri2"):
        assert metrics[role]["positive_response"]["auc"] > 0.95, role
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert list(table.columns) == ["subject", "lesion", "session", "role", "fold", "label", "logit", "p_response"]
    held = table[table.role == "heldout_mri1"]
    assert set(held.fold) == {0}
    assert set(held.session) == {"ses-01"}
    torch.testing.assert_close(
        torch.sigmoid(torch.tensor(table.logit.to_numpy())),
        torch.tensor(table.p_response.to_numpy()),
        atol=1e-6,
        rtol=0,
    )
    assert read_weights(tmp_path / "models" / "model.pt").map_scales["pixelwise"]["response"] > 0


def test_scoring_with_another_split_than_trained_is_refused(samples, four_epochs, tmp_path):
    files = ("train.json", "evaluate.json", "smoke.json")
    with pytest.raises(DataProblem, match="made with fold 0, not 1"):
        run_evaluation(files, samples=samples, output_dir=four_epochs, fold=1)
    with pytest.raises(DataProblem, match="protocol B, not A"):
        run_evaluation(files, samples=samples, output_dir=four_epochs, protocol="A")
    with pytest.raises(DataProblem, match=r"no models/model\.pt"):
        run_evaluation(files, samples=samples, output_dir=tmp_path)
    with pytest.raises(DataProblem, match="do not fit the network"):
        run_evaluation(files, samples=samples, output_dir=four_epochs, **{"network_def#width": 8})


def test_a_new_run_removes_the_scores_of_the_old_one(samples, tmp_path):
    scores = ("predictions.csv", "unlabelled_predictions.csv", "metrics.json", "lesion_views.npz")
    for stale in scores:
        (tmp_path / stale).write_text("of another model")
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=1)
    assert not any((tmp_path / stale).exists() for stale in scores)


def test_a_run_in_the_folder_is_not_overwritten_unasked(samples, four_epochs):
    before = (four_epochs / "models" / "model.pt").read_bytes()
    with pytest.raises(DataProblem, match="holds a run already"):
        run_training(SMOKE, samples=samples, output_dir=four_epochs, max_epochs=1)
    assert (four_epochs / "models" / "model.pt").read_bytes() == before
    assert (four_epochs / "history.csv").read_text().count("\n") == 5


def test_protocol_a_through_the_data_set_itself(toy_dataset, tmp_path):
    run_training(SMOKE, dataset_dir=str(toy_dataset), output_dir=tmp_path, protocol="A", max_epochs=1)
    run_evaluation(
        ("train.json", "evaluate.json", "smoke.json"), dataset_dir=str(toy_dataset), output_dir=tmp_path, protocol="A"
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics.pop("doubtful")["note"] == "Doubtful lesions: none of the 24 lesions of MRI 1."
    assert set(metrics) == {"train_mri2"}
    assert metrics["train_mri2"]["n"] == 24
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["protocol"] == "A"
    assert made["dataset"]["name"] == "toy"
    assert made["dataset"]["synthetic"] is True
    assert made["dataset"]["training_lesions"] == 24
    assert made["settings"]["optimizer"]["lr"] == 0.0005
    assert made["settings"]["loss"]["reconstruction"]["weight_pixel"] == 0.6
    text = json.dumps(made)
    assert "sub-0" not in text
    assert str(toy_dataset) not in text
    assert str(tmp_path) not in text


def test_a_missing_data_set_is_told_in_one_line(tmp_path):
    with pytest.raises(DataProblem, match=r"dataset\.json is missing"):
        run_training(SMOKE, dataset_dir=str(tmp_path), output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sequential_training_freezes_the_encoder(samples, tmp_path):
    settings = {"samples": samples, "save_interval": 1, "autoencoder_epochs": 2}
    first = run_training(SEQUENTIAL, output_dir=tmp_path / "first", max_epochs=2, **settings)
    both = run_training(SEQUENTIAL, output_dir=tmp_path / "both", max_epochs=4, **settings)
    assert torch.equal(weights(first)["encoder_2.weight"], weights(both)["encoder_2.weight"])
    assert torch.equal(weights(first)["decoder_2.weight"], weights(both)["decoder_2.weight"])
    assert not torch.equal(weights(first)["dense.weight"], weights(both)["dense.weight"])


def test_a_last_batch_of_one_sample_does_not_stop_training(samples, tmp_path):
    count = len(training_samples(samples, "B", 0))
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=1, batch_size=count - 1)
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())


def test_bfloat16_is_one_override_away(samples, tmp_path):
    run_training(SMOKE, samples=samples, output_dir=tmp_path, max_epochs=1, bf16=True)
    assert json.loads((tmp_path / "provenance.json").read_text())["settings"]["bf16"] is True
    assert weights(tmp_path)["dense.weight"].dtype == torch.float32


def test_another_network_with_several_classes_fits_the_same_engine():
    torch.manual_seed(0)
    label = torch.arange(30) % 3
    rows = [SampleRow(f"sub-{n:03d}", "L01", "ses-01", 0, int(k)) for n, k in enumerate(label)]
    data = Samples(torch.eye(3)[label][:, :, None] + 0.05 * torch.randn(30, 3, 1), rows)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))

    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=30,
        train_data_loader=DataLoader(data, 8, shuffle=True),
        network=TrainingStep(network, ClassificationLoss(nn.CrossEntropyLoss())),
        optimizer=torch.optim.AdamW(network.parameters(), lr=0.1),
        loss_function=TrainingStep.loss_of,
        prepare_batch=PrepareBatchExtraInput(["label"]),
        key_train_metric={"accuracy": StepMean("accuracy")},
        additional_metrics={"loss": StepMean("loss")},
        decollate=False,
    )
    trainer.run()
    assert trainer.state.metrics["accuracy"] == 1.0
    assert trainer.state.metrics["loss"] < 0.2


def test_a_setting_is_described_by_class_and_plain_attributes():
    described = describe({"optimizer": torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1), "angles": (1, 2)})
    assert described["angles"] == [1, 2]
    assert described["optimizer"]["class"] == "torch.optim.adamw.AdamW"
    assert described["optimizer"]["lr"] == 0.1
    json.dumps(described)
