"""Batch inference: every study is tried, a fault is a sentence, and a stopped batch goes on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from learning_case import write_folder
from pulsar_app.jobs.records import Records
from pulsar_app.learning.batch import BatchInference
from pulsar_app.learning.scores import LesionScores
from pulsar_app.server.problems import Busy
from pulsar_app.studies.datastore import FolderDatastore
from treatment_response.problems import DataProblem, Problem

MODEL = {
    "sha256": "0123456789abcdef",
    "training_data": "toy",
    "synthetic": True,
    "training_lesions": 3,
    "training_patients": 2,
    "calibrated": False,
}
MODELS = {"pulsar_response": lambda: MODEL}
REQUEST = {"model": "pulsar_response", "images": "all"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clinic") / "studies"
    write_folder(root, patients=4)
    return root


@pytest.fixture
def store(folder, tmp_path) -> FolderDatastore:
    return FolderDatastore(Path(shutil.copytree(folder, tmp_path / "studies")))


class Planted:
    """An inference whose outcome is known: sub-002 fails, sub-003 has no target, sub-004 fails unexpectedly."""

    def __init__(self, folder: Path, stop_at: str = "") -> None:
        self.folder, self.stop_at = folder, stop_at
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: dict[str, Any], datastore: FolderDatastore) -> dict[str, Any]:
        subject = request["image"][:7]
        self.asked.append(request)
        if subject == self.stop_at:
            raise KeyboardInterrupt
        if subject == "sub-002":
            raise DataProblem(Problem("image", "it is damaged", "export it again"))
        if subject == "sub-004":
            raise KeyError("a text that quotes what was read")
        lesions = [] if subject == "sub-003" else [lesion("GTV_1", 0.75), lesion("GTV_2", 0.25)]
        file = self.folder / f"{subject}.nii.gz"
        file.write_bytes(b"map")
        message = "" if lesions else "There is no GTV for this MR: give one."
        params = {"lesions": lesions, "message": message, "warnings": ["No contrast."]}
        return {"label": str(file), "file": str(file), "params": params}

    @property
    def subjects(self) -> list[str]:
        return [request["image"][:7] for request in self.asked]


def lesion(roi: str, p: float) -> dict[str, Any]:
    values = {"roi": roi, "volume_mm3": 500.0, "p_response": p, "p_non_response": 1 - p, "class": "response"}
    values["certainty"] = {"calibrated": True, "set": ["response", "non-response"], "set_text": "undecided"}
    return {**values, "threshold": 0.5, "warnings": ["Small."], "slices": [{"slice": 3}], "location_mm": [1, 2, 3]}


def table(app_dir: Path, result: dict[str, Any]) -> list[dict[str, str]]:
    with (app_dir / result["table"]).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_is_tried_and_told(store, tmp_path, capsys):
    infer = Planted(tmp_path)
    result = BatchInference(tmp_path, MODELS)(REQUEST, store, infer)
    assert infer.subjects == ["sub-001", "sub-002", "sub-003", "sub-004"]
    images = store.list_images()
    assert result["done"] == 1
    assert result["failed"] == {
        images[1]: "image: it is damaged; export it again.",
        images[3]: "an unexpected fault (KeyError)",
    }
    assert result["without_target"] == [images[2]]
    assert result["notice"].startswith("RESEARCH ONLY")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"1/4 {images[0]}: done, 2 lesion(s)"
    assert lines[2].startswith(f"3/4 {images[2]}: without target, There is no GTV")
    assert "quotes" not in "".join(lines)
    rows = table(tmp_path, result)
    assert [(row["image"][:7], row["status"], row["roi"], row["p_response"]) for row in rows] == [
        ("sub-001", "done", "GTV_1", "0.75"),
        ("sub-001", "done", "GTV_2", "0.25"),
        ("sub-002", "failed", "", ""),
        ("sub-003", "without target", "", ""),
        ("sub-004", "failed", "", ""),
    ]
    assert {row["notice"] for row in rows} == {"RESEARCH ONLY"}
    assert [row["warnings"] for row in rows] == ["Small. No contrast.", "Small. No contrast.", "", "", ""]
    assert not list(tmp_path.glob("*.nii.gz"))  # the maps' temporary files


def test_what_is_done_is_not_done_again(store, tmp_path):
    batch = BatchInference(tmp_path, MODELS)
    batch(REQUEST, store, Planted(tmp_path))
    again = Planted(tmp_path)
    result = batch(REQUEST, store, again)
    assert again.subjects == ["sub-002", "sub-003", "sub-004"]
    assert (result["done"], result["passed_over"], result["lesions"]) == (0, 1, 2)
    for change in ({"redo": True}, {"cam": "gradcam"}):
        other = Planted(tmp_path)
        batch({**REQUEST, **change}, store, other)
        assert other.subjects == ["sub-001", "sub-002", "sub-003", "sub-004"]
    another_model = Planted(tmp_path)
    other = {"pulsar_response": lambda: {**MODEL, "sha256": "f" * 64}}
    BatchInference(tmp_path, other)(REQUEST, store, another_model)
    assert len(another_model.asked) == 4


def test_a_new_final_label_is_predicted_again(store, tmp_path):
    batch = BatchInference(tmp_path, MODELS)
    batch(REQUEST, store, Planted(tmp_path))
    store.update_label_info(store.list_images()[0], "final", {"ts": 1})
    again = Planted(tmp_path)
    batch(REQUEST, store, again)
    assert again.subjects[0] == "sub-001"


def test_a_stopped_batch_goes_on_where_it_was(store, tmp_path):
    batch = BatchInference(tmp_path, MODELS)
    with pytest.raises(KeyboardInterrupt):
        batch(REQUEST, store, Planted(tmp_path, stop_at="sub-003"))
    (records,) = (tmp_path / "model" / "batch").glob("*.jsonl")
    with records.open("a") as file:
        file.write('\n{"image": "sub-0')  # what a kill in the middle of writing leaves
    again = Planted(tmp_path)
    result = batch(REQUEST, store, again)
    assert again.subjects == ["sub-002", "sub-003", "sub-004"]
    assert result["passed_over"] == 1
    assert len(Records(records).read()) == 5


def test_scores_are_shared_with_active_learning(store, tmp_path):
    batch = BatchInference(tmp_path, MODELS)
    batch({**REQUEST, "rois": "GTV_1"}, store, Planted(tmp_path))
    assert LesionScores(tmp_path, MODEL["sha256"]).all() == {}  # a choice of lesions says nothing about the image
    batch(REQUEST, store, Planted(tmp_path))
    ((image, _), scores), *others = LesionScores(tmp_path, MODEL["sha256"]).all().items()
    assert (image[:7], scores, others) == ("sub-001", [0.75, 0.25], [])


def test_some_images_only(store, tmp_path):
    infer = Planted(tmp_path)
    BatchInference(tmp_path, MODELS)({**REQUEST, "images": "unlabeled"}, store, infer)
    assert infer.asked == []
    BatchInference(tmp_path, MODELS)({**REQUEST, "images": "labeled", "max_batch_size": 2}, store, infer)
    assert infer.subjects == ["sub-001", "sub-002"]
    assert all(request["label_tag"] == "original" for request in infer.asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "pulsar_response_click"},
        {"images": "most"},
        {"max_batch_size": -1},
        {"redo": "yes"},
        {"save_label": 1},
        {"label_tag": "final"},
        {"cam": "lime"},
        {"foreground": [[1, 2, 3]]},
        {"no_such_option": 1},
    ],
    ids=str,
)
def test_parameters_are_checked_before_any_work(wrong, store, tmp_path):
    infer = Planted(tmp_path)
    with pytest.raises(DataProblem, match=next(iter(wrong))):
        BatchInference(tmp_path, MODELS)({**REQUEST, **wrong}, store, infer)
    assert infer.asked == []


def test_a_second_batch_waits(store, tmp_path):
    (tmp_path / "model" / "batch").mkdir(parents=True)
    with FileLock(tmp_path / "model" / "batch" / ".lock"), pytest.raises(Busy):
        BatchInference(tmp_path, MODELS)(REQUEST, store, Planted(tmp_path))
