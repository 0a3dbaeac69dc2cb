"""Other systems than PULSAR go through the configs: a stock network and one overlay of top-level ids each, no code."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import tiny_systems
import torch
from monai.bundle import ConfigParser
from slicer_scene import assert_slicer_sees, needs_slicer
from tiny_systems import CONFIGS, run
from treatment_response.classes import classes_of
from treatment_response.cohort.check import check_dataset
from treatment_response.geometry import Volume
from treatment_response.networks.probabilities import probabilities
from treatment_response.problems import data_problem_in
from treatment_response.weights import read_weights

LOGITS = {"two": 2, "four": 4, "one": 1}


@pytest.fixture(scope="module", params=LOGITS)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A tiny system, trained for two folds and scored."""
    root = tmp_path_factory.mktemp(request.param)
    data = tiny_systems.write_dataset(root / "data", tiny_systems.CLASSES[request.param])
    overlay = root / "system.json"
    content = tiny_systems.overlay(LOGITS[request.param])
    content["explanation"]["explanations"]["nothing"] = {"_target_": "tiny_systems.nothing", "_mode_": "callable"}
    overlay.write_text(json.dumps(content))
    runs = [root / f"run_{fold}" for fold in (0, 1)]
    for fold, out in enumerate(runs):
        run("train", overlay, dataset_dir=str(data), output_dir=str(out), fold=fold)
    run("evaluate", overlay, dataset_dir=str(data), output_dir=str(runs[0]))
    classes = classes_of(tiny_systems.CLASSES[request.param])
    return SimpleNamespace(root=root, data=data, overlay=overlay, runs=runs, classes=classes, name=request.param)


def test_a_run_is_scored_in_its_own_classes(system):
    assert check_dataset(system.data) == []
    table = pd.read_csv(system.runs[0] / "predictions.csv")
    assert list(table)[:3] == ["subject", "case", "session"]
    assert set(table["role"]) == {"held_out"}
    assert set(table["fold"]) == {0}
    np.testing.assert_allclose(table[list(system.classes.columns)].sum(axis=1), 1, atol=1e-6)
    scores = json.loads((system.runs[0] / "metrics.json").read_text())["held_out"]["scores"]
    decided = table[list(system.classes.columns)].to_numpy().argmax(axis=1)
    assert scores["accuracy"] == pytest.approx((decided == table["label"]).mean())
    assert list(scores["classes"]) == list(system.classes.names)
    stored = json.loads((system.runs[0] / "protocol.json").read_text())
    assert (stored["name"], stored["fold"], stored["roles"][0]["held_out"]) == ("patients", 0, True)
    weights = read_weights(system.runs[0] / "models" / "model.pt")
    assert weights.classes == system.classes
    # A training is not lost for an explanation that finds nothing in its cases.
    assert [name for name, scale in weights.map_scales.items() if scale is None] == ["nothing"]


def test_a_resumed_training_ends_with_the_same_weights(system, tmp_path):
    if system.name != "four":
        return  # one is enough: the sampler is the same for all
    common = {"dataset_dir": str(system.data), "output_dir": str(tmp_path)}
    run("train", system.overlay, **common, max_epochs=1)
    run("train", system.overlay, **common, resume=True)
    once, twice = (torch.load(out / "models" / "model.pt", weights_only=True) for out in (system.runs[0], tmp_path))
    assert all(torch.equal(once[name], twice[name]) for name in once)


@pytest.fixture(scope="module")
def answers(system) -> Path:
    """What the models of both folds together answer for the patients of the first."""
    paths = [str(out / "models" / "model.pt") for out in system.runs]
    out = system.root / "answers"
    run("inference", system.overlay, dataset_dir=str(system.data), output_dir=str(out), model_path=paths, folds=[0])
    return out


@needs_slicer
def test_slicer_sees_every_map_as_it_is(answers):
    maps = sorted(answers.rglob("*.nii.gz"))
    assert maps
    for path in maps:
        image = nibabel.load(path)
        assert_slicer_sees(path, Volume(np.asarray(image.dataobj), image.affine))


def test_an_ensemble_answers_with_a_map_on_the_images_own_grid(system, answers):
    paths = [str(out / "models" / "model.pt") for out in system.runs]
    details = json.loads((answers / "cases.json").read_text())
    names, columns = system.classes.names, system.classes.columns
    # Members: by hand, from the weights alone.
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "inference.json"), str(system.overlay)])
    parser.update({"bundle_root": str(CONFIGS.parent), "dataset_dir": str(system.data), "folds": [0]})
    x, network = parser.get_parsed_content("dataset")[0]["image"], parser.get_parsed_content("network_def").eval()
    members = []
    for path in paths:
        network.load_state_dict(torch.load(path, weights_only=True))
        with torch.no_grad():
            members.append(probabilities(network(x))[0].tolist())
    first = details["cases"][0]
    assert first["subject"] == "sub-001"
    np.testing.assert_allclose([first[name] for name in columns], np.mean(members, axis=0), atol=2e-6)
    np.testing.assert_allclose(list(first["single"].values()), np.mean(members, axis=0), atol=2e-6)
    assert "nothing" not in {one["explanation"] for one in first["maps"]}
    assert "there is no map: nothing." in " ".join(first["warnings"])
    assert "number of visits of" in details["notice"]  # an ensemble does not count what its members were trained on
    assert "lesion" not in details["notice"]
    votes = [names[int(np.argmax(member))] for member in members]
    assert first["votes"] == {name: votes.count(name) for name in names}
    assert first["class"] in votes
    assert list(pd.read_csv(answers / "cases.csv"))[:3] == ["subject", "case", "session"]
    # The map of the first image is that image: its ball must lie where it was planted, on the image's own grid.
    for kind in ("raw", "scaled"):
        (path,) = {one[kind] for one in first["maps"] if (one["explanation"], one["class"]) == ("brightness", names[0])}
        image = nibabel.load(answers / path)
        assert image.shape == tiny_systems.SHAPE
        np.testing.assert_allclose(image.affine, tiny_systems.affine(), atol=1e-5)
        volume = np.asarray(image.dataobj)
        bright = np.argwhere(volume > volume.max() / 2)
        centre = bright.mean(axis=0) @ image.affine[:3, :3].T + image.affine[:3, 3]
        np.testing.assert_allclose(centre, tiny_systems.sign_mm(), atol=0.6)


def test_a_network_of_other_outputs_than_classes_is_refused_in_one_sentence(system, tmp_path):
    if system.name != "four":
        return  # one is enough: the rule is the same for all
    wrong = tiny_systems.overlay(3)
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    with pytest.raises(RuntimeError) as raised:
        run("train", tmp_path / "wrong.json", dataset_dir=str(system.data), output_dir=str(tmp_path / "run"))
    assert str(data_problem_in(raised.value)).startswith("network_def: class 3 is in the data set, the network has")
