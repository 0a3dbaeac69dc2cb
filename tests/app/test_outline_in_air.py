"""An outline that lies in the air is told and not predicted, and costs the image's other lesions nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantom_case import LESIONS, SHAPE, ball, head, write_label
from pulsar_app.prediction.infers import ResponseTask
from pulsar_app.prediction.predictor import Predictor
from pulsar_app.studies.folder_datastore import FolderDatastore
from treatment_response.cohort.layout import write_volume
from treatment_response.problems import DataProblem

MR = "mr_ce-gadolinium_T1w"


@pytest.fixture(scope="module")
def task() -> ResponseTask:
    return ResponseTask("pulsar_response", Predictor())


@pytest.fixture
def datastore(tmp_path: Path) -> FolderDatastore:
    write_volume(tmp_path / "studies" / f"{MR}.nii.gz", head())
    return FolderDatastore(tmp_path / "studies")


def air() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:10, 2:10, 2:8] = True
    return mask


def test_the_other_lesions_are_predicted_and_the_one_in_air_is_told(task, datastore, tmp_path):
    label = write_label(tmp_path / "label.nii.gz", ball(*LESIONS["GTV_1"]), air())
    datastore.save_label(MR, str(label), "final", {})
    path, answer = task({"image": MR, "datastore": datastore})
    Path(path).unlink()
    assert [lesion["roi"] for lesion in answer["lesions"]] == ["label 1"]
    assert any(warning.startswith("label 2 was not predicted") for warning in answer["warnings"])
    assert [one["roi"] for one in answer["listed"]] == ["label 2"]  # a report that misses it is not complete
    assert task.probabilities(datastore, MR) == [pytest.approx(answer["lesions"][0]["p_response"], abs=2e-6)]


def test_an_image_whose_only_outline_is_in_air_cannot_be_used(task, datastore, tmp_path):
    datastore.save_label(MR, str(write_label(tmp_path / "label.nii.gz", air())), "final", {})
    with pytest.raises(DataProblem, match="outside the head"):
        task.probabilities(datastore, MR)
