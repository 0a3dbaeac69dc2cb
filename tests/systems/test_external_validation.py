"""Models of one data set, scored on another: any system's, alone or as an ensemble, with the report's section."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_systems
import torch
from sklearn.metrics import balanced_accuracy_score
from test_four_commands import command
from treatment_response.certainty import Certainty, ClassScores, ConformalSets, TemperatureCalibration
from treatment_response.classes import classes_of
from treatment_response.evaluation.class_shares import brier_of_shares, class_shares
from treatment_response.evaluation.ensemble import write_ensemble
from treatment_response.metrics.class_scores import class_scores

CLASSES = classes_of(tiny_systems.CLASSES["four"])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Networks of two folds, and a data set of other patients in which the classes have other shares."""
    root = tmp_path_factory.mktemp("external")
    training = tiny_systems.write_dataset(root / "there", tiny_systems.CLASSES["four"])
    scored = tiny_systems.write_dataset(root / "here", tiny_systems.CLASSES["four"], patients=9, folds=2, seed=3)
    overlay = root / "system.json"
    overlay.write_text(json.dumps({**tiny_systems.overlay(4), "explanation": None}))
    models = []
    for fold in (0, 1):
        out = root / f"run_{fold}"
        tiny_systems.run("train", overlay, dataset_dir=str(training), output_dir=str(out), fold=fold, max_epochs=4)
        models.append(out / "models" / "model.pt")
    out = root / "external"
    arguments = (scored, "--model", *models, "--overlay", overlay, "--trained-on", training, "--out", out)
    assert command("validate_external", *arguments) == 0
    return SimpleNamespace(
        root=root, training=training, scored=scored, overlay=overlay, models=models, out=out, arguments=arguments
    )


def test_the_networks_answer_together_for_every_case_of_the_other_data_set(places: SimpleNamespace) -> None:
    table = pd.read_csv(places.out / "predictions.csv")
    assert set(table["role"]) == {"external_patients"}
    assert list(table["subject"]) == [f"sub-{number:03d}" for number in range(1, 10)]
    p = table[list(CLASSES.columns)].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    # By the stock network itself, without this project's answers.
    alone = []
    for place, model in enumerate(places.models):
        out = places.root / f"alone_{place}"
        options = (places.scored, "--model", model, "--overlay", places.overlay, "--out", out)
        assert command("validate_external", *options) == 0
        alone.append(pd.read_csv(out / "predictions.csv")[list(CLASSES.columns)].to_numpy())
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    np.testing.assert_allclose(p, (alone[0] + alone[1]) / 2, atol=1e-6)
    content = json.loads((places.out / "external.json").read_text())
    by_hand = class_scores(table["label"], p, CLASSES)
    assert content["scores"]["confusion"] == by_hand["confusion"]
    assert content["scores"]["brier"] == pytest.approx(by_hand["brier"])
    interval = content["intervals"]["balanced_accuracy"]
    assert interval["estimate"] == pytest.approx(balanced_accuracy_score(table["label"], p.argmax(axis=1)))
    assert (interval["n"], interval["patients"]) == (9, 9)
    assert set(content["calibration"]) == set(CLASSES.names)
    assert (content["model"]["training_data"], content["networks"], content["decision"]) == ("tiny", 2, "vote")


def test_the_shift_of_the_classes_is_told_and_unknown_without_the_training_data_set(places: SimpleNamespace) -> None:
    shares = json.loads((places.out / "external.json").read_text())["class_shares"]
    assert [one["training_cases"] for one in shares["classes"].values()] == [3, 3, 3, 3]
    assert [one["here"]["hits"] for one in shares["classes"].values()] == [3, 2, 2, 2]
    assert shares["distance"] == pytest.approx(3 / 9 - 1 / 4)
    unknown = json.loads((places.root / "alone_0" / "external.json").read_text())
    assert unknown["class_shares"]["distance"] is None
    assert any("not known" in note for note in unknown["notes"])
    assert any("was not looked for" in note for note in unknown["notes"])
    # One network alone was trained without its fold: a third of each class.
    out = places.root / "one_fold"
    options = ("--model", places.models[0], "--overlay", places.overlay, "--trained-on", places.training, "--out", out)
    assert command("validate_external", places.scored, *options) == 0
    own = json.loads((out / "external.json").read_text())["class_shares"]
    assert [one["training_cases"] for one in own["classes"].values()] == [2, 2, 2, 2]


def test_a_calibrated_ensemble_brings_its_curve_its_sets_and_the_shares_of_its_training(
    places: SimpleNamespace,
) -> None:
    folds = tuple(
        {
            name: ClassScores(
                tuple(np.linspace(-3, 3, 5 + place)), tuple(range(100 * fold + 10 * place, 100 * fold + 11 * place + 5))
            )
            for place, name in enumerate(CLASSES.names)
        }
        for fold in (0, 1)
    )
    certainty = Certainty(TemperatureCalibration(2.0, -9.0, 9.0), ConformalSets(0.9, folds))
    ensemble, out = places.root / "ensemble" / "model.pt", places.root / "calibrated"
    write_ensemble(ensemble, places.models, certainty)
    options = ("--model", ensemble, "--overlay", places.overlay, "--out", out)
    assert command("validate_external", places.scored, *options) == 0
    table, plain = (pd.read_csv(folder / "predictions.csv") for folder in (out, places.out))
    # With a temperature above 1 nothing is as sure as before.
    columns = list(CLASSES.columns)
    assert bool((table[columns].max(axis=1) < plain[columns].max(axis=1)).all())
    content = json.loads((out / "external.json").read_text())
    assert (content["calibrated"], content["networks"], content["class_shares"]["distance"] is None) == (True, 2, False)
    assert [one["training_cases"] for one in content["class_shares"]["classes"].values()] == [10, 12, 14, 16]
    for place, name in enumerate(CLASSES.names):
        rows = table[table["label"] == place]
        coverage = content["sets"]["coverage"][name]
        assert (coverage["hits"], coverage["n"]) == (
            sum(name in text.split() for text in rows["conformal_set"].fillna("")),
            len(rows),
        )
    assert content["sets"]["mean_size"] == pytest.approx(table["conformal_set"].fillna("").str.split().str.len().mean())
    assert 0 < content["sets"]["mean_size"] < 4
    report = places.root / "calibrated_report"
    assert command("report", "--dataset", places.scored, "--run", out, "--out", report) == 0
    assert (report / "tables" / "external_sets.csv").is_file()
    assert "calibrated there" in (report / "report.html").read_text()


def test_shares_by_hand() -> None:
    labels = [0] * 12 + [1] * 4 + [2] * 2 + [3] * 2
    table = pd.DataFrame({"subject": range(20), "label": labels})
    table[list(CLASSES.columns)] = [0.25, 0.25, 0.25, 0.25]
    found = class_shares(table, CLASSES, {"PD": 10, "SD": 10, "PR": 40, "CR": 40})
    assert {name: one["shifted"] for name, one in found["classes"].items()} == {
        "PD": True,
        "SD": False,
        "PR": True,
        "CR": True,
    }
    assert found["distance"] == pytest.approx((0.5 + 0.1 + 0.3 + 0.3) / 2)
    shares = torch.tensor([0.1, 0.1, 0.4, 0.4])
    by_hand = ((torch.nn.functional.one_hot(torch.tensor(labels)) - shares) ** 2).sum(dim=1).mean()
    assert brier_of_shares(table, CLASSES, {"PD": 10, "SD": 10, "PR": 40, "CR": 40}) == pytest.approx(float(by_hand))
    assert brier_of_shares(table, CLASSES, None) is None


def test_what_does_not_go_together_is_refused_in_a_sentence(places: SimpleNamespace, tmp_path: Path, capfd) -> None:
    def refused(message: str, dataset: Path = places.scored, *more: object, out: Path = tmp_path / "out") -> None:
        capfd.readouterr()
        options = ("--model", places.models[0], "--overlay", places.overlay, "--out", out)
        assert command("validate_external", dataset, *options, *more) == 2
        told = capfd.readouterr().err
        assert message in told, told
        assert "Traceback" not in told
        assert not (tmp_path / "out").exists()

    refused("the data set is the one that the model was trained on", places.training, "--trained-on", places.training)
    refused("this is another data set", places.scored, "--trained-on", places.scored)
    copied = shutil.copytree(places.scored, tmp_path / "copied")
    image = places.training / "sub-005" / "t1.nii.gz"
    shutil.copy(image, copied / "sub-002" / "t1.nii.gz")
    refused("sub-002 has the same image as sub-005 of the training data set", copied, "--trained-on", places.training)
    content = json.loads((copied / "dataset.json").read_text())
    (copied / "dataset.json").write_text(json.dumps({**content, "preparation": "brains on MNI152, rigidly"}))
    refused("the model was trained on images that are on no atlas", copied)
    (copied / "dataset.json").write_text(
        json.dumps({**content, "classes": {**tiny_systems.CLASSES["four"], "finding": "CR"}})
    )
    refused("and the data set's classes are", copied)
    refused("the folder holds predictions of another run", out=_run_of_another(tmp_path))
    capfd.readouterr()
    assert command("compare", places.training, "--external", places.scored, "--out", tmp_path / "c") == 2
    assert "use scripts/validate_external.py" in capfd.readouterr().err


def _run_of_another(tmp_path: Path) -> Path:
    folder = tmp_path / "other_run"
    folder.mkdir()
    (folder / "predictions.csv").write_text("subject\n")
    return folder


def test_the_report_shows_the_validation_as_what_it_is(places: SimpleNamespace) -> None:
    out = places.root / "report"
    assert command("report", "--dataset", places.scored, "--run", places.out, "--out", out) == 0
    page = (out / "report.html").read_text()
    assert "External validation: patients of another data set" in page
    assert "an ensemble of 2 networks, trained on the data set tiny (synthetic)" in page
    for false in ("on the same side of a split", "each held out other patients", "at a threshold of other patients"):
        assert false not in page
    shares = pd.read_csv(out / "tables" / "external_shares.csv", comment="#")
    assert list(shares["class"]) == list(CLASSES.names)
    assert [text.split()[0] for text in shares["share in training"]] == ["0.25"] * 4
    calibration = pd.read_csv(out / "tables" / "network_calibration.csv", comment="#")
    assert list(calibration.iloc[:, 0]) == list(CLASSES.names)
    content = json.loads((out / "report.json").read_text())
    lists = str(content["checklists"])
    assert "): a model of one data set applied to another" in lists
    for false in ("same cohort, other patients", "the same cases serve as both", "patients held out in each fold"):
        assert false not in lists
    assert all("Synthetic data" in str(table["notes"]) for table in content["run"]["tables"])
