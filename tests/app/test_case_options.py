"""Options that a model's overlay asks for: facts of the patient, and what the rule beside it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_case import head, masks
from pulsar_app.prediction.case_task import CaseTask
from pulsar_app.prediction.predictor import ServedModel
from pulsar_app.served_systems import read_systems
from pulsar_app.studies.datastore import FolderDatastore
from scipy import ndimage
from scipy.spatial.transform import Rotation
from system_case import QUICK, write_system
from treatment_response.cases.registration import resample
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume, moved_points
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.problems import DataProblem
from treatment_response.progress import told_to

Answer = Callable[..., dict[str, Any]]


def task_of(folder: Path, **more: Any) -> CaseTask:
    """A task whose network sees the age on top of the image."""
    crop = {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": 48}
    facts = [crop, {"_target_": "system_case.AddAge"}]
    more = {"pixel_mm": 2.5, "patch_transforms": facts, "explanation": QUICK, **more}
    entry = write_system(folder, "tiny", {"t1": "this series"}, 800.0, (0,), **more)
    (folder / "systems.json").write_text(json.dumps({"tiny": entry}))
    (system,) = read_systems(folder / "systems.json")
    return CaseTask("tiny", ServedModel(lambda: CaseExplainer(system.configs, system.weights)), folder / "cache")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> CaseTask:
    return task_of(tmp_path_factory.mktemp("system"), clinical=["age", "idh"], rule="rano2", caution="It is a toy.")


@pytest.fixture
def answer(task: CaseTask, tmp_path: Path) -> Answer:
    write_volume(tmp_path / "head.nii.gz", head())
    store = FolderDatastore(tmp_path)

    def ask(**params: Any) -> dict[str, Any]:
        file, told = task({"image": "head", "datastore": store, **params})
        Path(file).unlink()
        return told

    return ask


def test_facts_of_the_patient_reach_the_network_and_are_told(answer: Answer) -> None:
    unknown = answer()
    assert unknown["inputs"]["clinical"] == "unknown: age, idh"
    known = answer(age="61")
    assert known["inputs"]["clinical"] == "age 61; unknown: idh"
    assert known["probabilities"] != unknown["probabilities"]
    assert answer(age="", idh="")["probabilities"] == unknown["probabilities"]
    assert unknown["notice"].endswith("It is a toy.")
    assert "only a PACS holds studies" in unknown["rule"]["why"]


def test_only_the_explanation_that_is_asked_for_is_computed(tmp_path: Path) -> None:
    """An occlusion map of a large network takes hours; nobody waits for one who asked for the saliency."""
    saliency = {"_target_": "treatment_response.explain.explanations.Saliency"}
    both = {**QUICK, "explanations": {**QUICK["explanations"], "saliency": saliency}}
    write_volume(tmp_path / "head.nii.gz", head())
    stages = []
    with told_to(lambda stage, share: stages.append(stage)):
        file, told = task_of(tmp_path, explanation=both)(
            {"image": "head", "datastore": FolderDatastore(tmp_path), "explanation": "saliency"}
        )
    Path(file).unlink()
    assert [stage for stage in stages if stage.startswith("explaining")] == ["explaining by saliency"]
    assert told["map"]["explanation"] == "saliency"


def test_only_what_the_overlay_asks_for_is_an_option(task: CaseTask, tmp_path: Path) -> None:
    info = task.info()
    assert list(info["config"]) == list(info["options"])
    assert {"age", "idh", "steroids_mg", "operation"} <= set(info["config"])
    assert task.check({"operation": "30", "steroids_mg": 2}).course.operation == 30
    assert "immunotherapy" not in info["config"]
    with pytest.raises(DataProblem, match=r"age: it is '6{39,}.*; give a word or a number of at most 40 signs"):
        task.check({"age": "6" * 41})
    plain = task_of(tmp_path)
    assert list(plain.info()["config"]) == ["explanation", "shown", "bands", "store"]
    with pytest.raises(DataProblem, match="'operation': there is no such option"):
        plain.check({"operation": 30})


def test_a_map_made_in_another_space_comes_back_through_its_matrix(task: CaseTask) -> None:
    """By a turn, a scaling and a shear, onto a grid that is oblique and anisotropic."""
    image = head()
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", [12, -8, 15], degrees=True).as_matrix()
    matrix[:3, :3] = turn @ np.array([[1.08, 0.05, 0], [0, 0.93, 0], [0, 0, 1.04]])
    matrix[:3, 3] = (14.0, -9.0, 21.0)
    middle = image.to_world((np.array(image.array.shape)[None] - 1) / 2)
    grid = np.diag([2.5, 2.5, 2.5, 1.0])
    grid[:3, 3] = moved_points(np.linalg.inv(matrix), middle)[0] - 2.5 * 23.5
    moved = resample(image, Volume(np.zeros((48, 48, 48), np.uint8), grid), matrix, "image")
    explained = task.served.current().explain({"t1": moved}, name="case", onto=(image, matrix))
    found = explained.volume("brightness", "PD", "raw")
    assert found.shape == image.array.shape
    for mask in masks():
        near = ndimage.binary_dilation(mask, iterations=4)
        values = np.where(near & (found > 600), found, 0)
        centre = image.to_world(np.argwhere(values > 0)).mean(axis=0)
        np.testing.assert_allclose(centre, image.to_world(np.argwhere(mask)).mean(axis=0), atol=1.0)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"rule": "RANO"}, "'rule' is 'RANO', which is none; use one of rano2"),
        ({"rule": ""}, "'rule' is no text"),
        ({"caution": 3}, "'caution' is no text"),
        ({"clinical": "age"}, "'clinical' is no list of names"),
    ],
)
def test_a_wrong_overlay_is_one_sentence(tmp_path: Path, entry: dict[str, Any], words: str) -> None:
    with pytest.raises(DataProblem, match=words):
        task_of(tmp_path, **entry)
