"""Four classes of 3D cases through the four commands of an evaluation: an overlay, and no code."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_systems
from treatment_response.classes import classes_of
from treatment_response.metrics.class_scores import class_scores
from treatment_response.report.case_pictures import case_pictures

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
CLASSES = classes_of(tiny_systems.CLASSES["four"])


def command(name: str, *arguments: object) -> int:
    """Run a script in this process, as the command line does; returns its exit status."""
    before = sys.argv
    sys.argv = [name, *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
    finally:
        sys.argv = before
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The system of four classes, cross-validated."""
    root = tmp_path_factory.mktemp("commands")
    data = tiny_systems.write_dataset(root / "data", tiny_systems.CLASSES["four"])
    overlay = root / "system.json"
    overlay.write_text(json.dumps(tiny_systems.overlay(4)))
    options = ("--folds", 3, "--overlay", overlay, "--workers", 1)
    assert command("cross_validate", data, "--out", root / "cv", *options) == 0
    return SimpleNamespace(root=root, data=data, overlay=overlay, cv=root / "cv")


def test_cross_validation_pools_the_probabilities_of_every_class(system):
    pooled = pd.read_csv(system.cv / "predictions.csv")
    assert list(pooled)[:4] == ["subject", "case", "session", "role"]
    assert len(pooled) == pooled["subject"].nunique() == 12
    assert (pooled["fold"] == pooled["model"]).all()
    p = pooled[list(CLASSES.columns)].to_numpy()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    metrics = json.loads((system.cv / "metrics.json").read_text())["held_out"]
    by_hand = class_scores(pooled["label"], p, CLASSES)
    assert metrics["scores"]["confusion"] == by_hand["confusion"]
    assert metrics["scores"]["brier"] == pytest.approx(by_hand["brier"])
    interval = metrics["intervals"]["balanced_accuracy"]
    assert interval["estimate"] == pytest.approx(metrics["scores"]["balanced_accuracy"])
    assert interval["patients"] == 12


def test_explanations_are_scored_over_the_region_of_the_config(system):
    out = system.root / "explanations"
    arguments = ("--run", system.cv / "fold_0", "--config", "train.json", system.overlay, "--out", out)
    assert command("score_explanations", system.data, *arguments) == 0
    content = json.loads((out / "explanations.json").read_text())
    assert (content["model"]["cases"], content["model"]["classes"]) == (4, CLASSES.content())
    said = " ".join(content["notes"])
    for missing in ("single codes", "localisation is not scored", "shuffled labels", "Retraining is not scored"):
        assert missing in said
    summary = pd.read_csv(out / "summary.csv").set_index(["map", "measure"])
    assert not (out / "parts").exists()
    value = summary["mean"]
    exact, chance = ("effect of removing single cells for PD", "random map for PD")
    assert value[exact, "deletion"] > 1 > abs(value[chance, "deletion"])
    assert value["reversed saliency for PD", "deletion"] == pytest.approx(-value["saliency for PD", "insertion"], 1e-4)
    # The map is the image itself, and the part is where that image is bright.
    assert value["brightness for PD", "in_bright"] > 0.99
    assert value["random map", "in_bright"] == pytest.approx(0.5, abs=0.2)
    # This map knows no network: it is the same whatever the network has learned.
    assert value["brightness for PD", "randomised_4"] == pytest.approx(1)
    own, other = value["brightness for PD", "deletion"], value["untrained network: brightness for PD", "deletion"]
    assert own == pytest.approx(other)
    kinds = summary["kind"]
    assert {kinds["occlusion for the predicted class", "deletion"], kinds[chance, "deletion"]} == {"map", "control"}
    assert command("score_explanations", system.data, *arguments, "--truth", system.root) == 2


def test_the_network_is_compared_with_simple_methods_on_the_same_splits(system):
    out = system.root / "comparison"
    options = (
        "--trials",
        5,
        "--methods",
        "prevalence",
        "each",
        "features",
        "network",
        "--features",
        "ball_ml",
        "age",
        "--overlay",
        system.overlay,
        "--workers",
        1,
        "--epochs",
        1,
    )
    assert command("compare", system.data, "--out", out, *options) == 0
    content = json.loads((out / "table.json").read_text())
    predictions = pd.read_csv(out / "predictions.csv")
    by_method = dict(list(predictions.groupby("method", sort=False)))
    assert list(by_method) == ["prevalence", "ball_ml alone", "age alone", "features", "network"]
    for rows in by_method.values():
        assert rows["subject"].nunique() == len(rows) == 12  # five splits hold every patient out once
        np.testing.assert_allclose(rows[list(CLASSES.columns)].sum(axis=1), 1, atol=1e-6)
        assert dict(zip(rows["subject"], rows["model"], strict=True)) == dict(
            zip(by_method["prevalence"]["subject"], by_method["prevalence"]["model"], strict=True)
        )
    scores = pd.read_csv(out / "table.csv", comment="#").set_index(["method", "class", "score"])["estimate"]
    features = by_method["features"]
    own = class_scores(features["label"], features[list(CLASSES.columns)], CLASSES)
    assert scores["features", "all classes", "balanced_accuracy"] == pytest.approx(own["balanced_accuracy"], abs=1e-5)
    assert own["quadratic_kappa"] > 0.5  # one of the columns rises with the class
    pairs = [(one["method"], one["minus"], one["metric"]) for one in content["differences"]]
    assert pairs[0] == ("prevalence", "network", "balanced_accuracy")
    assert len(pairs) == 10
    assert command("compare", system.data, "--out", out, *options, "--icc", 0.5) == 2
    page = system.root / "compared"
    assert command("report", "--dataset", system.data, "--comparison", out, "--out", page) == 0
    shown = json.loads((page / "report.json").read_text())
    words = ["prevalence", "volume of the ball, ml (alone)", "age, years (alone)", "features", "network"]
    for table in (shown["comparisons"][0]["scores"], shown["sample_sizes"][0]):
        assert [row[0] for row in table["rows"]] == words
    text = (page / "report.html").read_text().split('<h2 id="settings">')[0]
    assert "ball_ml alone" not in text
    # What the criteria of two classes ask for is not computed, and has no columns.
    assert shown["sample_sizes"][0]["columns"] == ["method", "AUC [95 % interval]", "patients for AUC ±0.05"]


def test_the_report_shows_every_class_in_the_systems_own_words(system):
    weights = str(system.cv / "fold_0" / "models" / "model.pt")
    maps, out = system.root / "maps", system.root / "report"
    tiny_systems.run(
        "inference", system.overlay, dataset_dir=str(system.data), output_dir=str(maps), model_path=weights
    )
    given = ("--run", system.cv, "--cams", maps, "--out", out)
    assert command("report", "--dataset", system.data, *given) == 0
    page = (out / "report.html").read_text()
    for own in (*tiny_systems.WORDS.values(), "12 visits", *CLASSES.names, "no scores were given"):
        assert own in page
    text = page.split('<h2 id="settings">')[0]  # below stand the names of settings
    for foreign in ("lesion", "MRI 1", "PULSAR", "metastas", "non-response", "tumour"):
        assert foreign not in text
    content = json.loads((out / "report.json").read_text())
    table = pd.DataFrame(content["run"]["by_class"]["rows"], columns=content["run"]["by_class"]["columns"])
    assert list(table["class"]) == list(CLASSES.names)
    metrics = json.loads((system.cv / "metrics.json").read_text())["held_out"]["intervals"]["balanced_accuracy"]
    assert content["key_numbers"][0]["value"] == f"{metrics['estimate']:.2f}"
    sizes = content["sample_sizes"][0]
    assert sizes["rows"][0][-2].startswith("0.")
    assert "for a binary outcome" in sizes["notes"][0]
    lists = content["checklists"]
    assert [one["rows"][0][-1] for one in lists] == ["for the authors to fill in"] * 2
    assert "number of patients and cases" in str(lists)
    assert "“How well the network tells the classes apart”" in str(lists)
    assert "“The data”): by patient, stratified by label" in str(lists)  # the run alone holds patients out
    shown = {Path(one["file"]).stem for one in content["figures"]}
    assert {"confusion", "roc", "case_1", "case_4"} <= shown
    # The second map of each case is its first image, whose ball must be marked where it was planted.
    dataset = json.loads((system.data / "dataset.json").read_text())
    picture = case_pictures(system.data, dataset, maps, CLASSES)[-1]
    np.testing.assert_allclose(picture.highest_mm["brightness"], tiny_systems.sign_mm(), atol=4)
    bright = np.argwhere(picture.maps["brightness"] > 0.5).mean(axis=0)
    shown = np.argwhere(picture.image > picture.image.max() / 2).mean(axis=0)
    np.testing.assert_allclose(bright * picture.spacing, shown * picture.spacing, atol=1.0)
    assert command("report", "--dataset", system.data, *given[2:]) == 2
