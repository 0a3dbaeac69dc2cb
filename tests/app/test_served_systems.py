"""Another system than the bundle's own models, served by the real server from its overlay and weights alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import SimpleITK as sitk
import system_case
from app_server import AppServer
from pulsar_app.served_systems import read_systems
from system_case import CLASSES, ENVIRONMENT, MODEL, SIGN_MM, write_studies, write_system
from treatment_response.bands import label_values, legend
from treatment_response.cohort.layout import read_volume
from treatment_response.geometry.itk import from_itk
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.problems import DataProblem

INPUTS = {"t1": "this series", "dose": "this series"}
IMAGE, ALONE = "sub-001_ses-01_ce-gadolinium_T1w", "alone_ce-gadolinium_T1w"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("systems")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[AppServer]:
    write_studies(folder / "studies")
    systems = write_system(folder / "system", INPUTS)
    with AppServer(folder / "studies", folder / "server", {"systems": str(systems)}, ENVIRONMENT) as running:
        yield running


def answer(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return response.json()


def test_a_stock_network_of_four_classes_answers_with_its_own_words(server, folder):
    (system,) = read_systems(folder / "system" / "systems.json")
    explainer = CaseExplainer(system.configs, system.weights)
    root = folder / "studies"
    images = json.loads((root / "dataset.json").read_text())["training"][0]["images"]
    volumes = {name: read_volume(root / path, name) for name, path in images.items()}
    expected = explainer.explain(volumes, name="case").result
    told = answer(server.infer(MODEL, IMAGE))
    assert list(told["probabilities"]) == CLASSES["names"]
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    for name, column in zip(CLASSES["names"], explainer.classes.columns, strict=True):
        assert told["probabilities"][name] == pytest.approx(expected[column], abs=1e-5)
    assert told["class"] == expected["class"]
    assert told["votes"] == expected["votes"]
    assert sum(told["votes"].values()) == 2
    assert told["certainty"]["calibrated"] is False
    assert told["notice"].startswith("RESEARCH ONLY")
    assert told["message"].startswith(f"Research only. {told['class']}: P(PD) ")
    assert told["inputs"] == dict.fromkeys(INPUTS, "the prepared data set")
    assert told["model"]["classes"] == CLASSES
    assert told["map"]["colours"] == legend(5, tuple(CLASSES["names"]))["colours"]
    info = answer(requests.get(f"{server.url}/info/", timeout=10))["models"][MODEL]
    assert info["labels"] == label_values(tuple(CLASSES["names"]))
    assert info["model"]["inputs"] == INPUTS
    assert info["config"]["shown"] == ["predicted", *CLASSES["names"]]


def test_the_map_of_a_class_lies_on_the_planted_signal_in_millimetres(server, tmp_path):
    params = {"explanation": "brightness", "shown": "PR", "result_extension": ".nrrd"}
    response = server.infer(MODEL, IMAGE, params, output="image")
    assert response.status_code == 200, response.text
    (tmp_path / "map.nrrd").write_bytes(response.content)
    labels = from_itk(sitk.ReadImage(str(tmp_path / "map.nrrd")))
    assert labels.array.shape == system_case.SHAPE
    np.testing.assert_allclose(labels.affine, system_case.affine(), atol=1e-4)
    names = {value: name for name, value in label_values(tuple(CLASSES["names"])).items()}
    present = [names[value] for value in np.unique(labels.array) if value]
    assert present
    assert all(name.startswith("CAM PR ") for name in present)
    strong = [value for value, name in names.items() if name.startswith(("CAM PR 60", "CAM PR 80"))]
    centre = labels.to_world(np.argwhere(np.isin(labels.array, strong))).mean(axis=0)
    np.testing.assert_allclose(centre, SIGN_MM, atol=0.5)


def test_what_a_system_cannot_do_is_one_sentence(server):
    for image, params, words in (
        (ALONE, {"shown": "response"}, "shown: it is 'response'; give one of predicted, PD, SD, PR, CR."),
        (ALONE, {"rois": "GTV"}, "there is no such option"),
        (IMAGE, {"store": True}, "the MR is a file and no DICOM series of an archive"),
    ):
        response = server.infer(MODEL, image, params)
        assert response.status_code == 400
        assert words in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({MODEL: {"config": "tiny_four.json", "weights": []}}, "it does not name one config and its weights"),
        ({MODEL: {"config": "tiny_four.json", "weights": "no.pt"}}, "there is no file no.pt"),
        ({MODEL: {"config": "absent.json", "weights": "run_0/model.pt"}}, "there is no file absent.json"),
        ({"pulsar": {"config": "tiny_four.json", "weights": "run_0/model.pt"}}, "cannot have this name"),
        ({"A b": {"config": "tiny_four.json", "weights": "run_0/model.pt"}}, "cannot have this name"),
    ],
)
def test_a_wrong_file_of_systems_is_told(folder, tmp_path, content, words):
    write_system(tmp_path, INPUTS, seeds=(0,))
    (tmp_path / "systems.json").write_text(json.dumps(content))
    with pytest.raises(DataProblem, match=words):
        read_systems(tmp_path / "systems.json", taken=["pulsar"])
