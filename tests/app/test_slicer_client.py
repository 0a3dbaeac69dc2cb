"""What 3D Slicer's plugin does, by the client that it uses, against a running server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import phantom_case
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from learning_case import served_weights, write_folder, write_table
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException
from treatment_response.cohort.layout import write_volume

MODEL, CLICK = "pulsar_response", "pulsar_response_click"
PATIENTS = 6
UNLABELED = "sub-900_ses-01_ce-gadolinium_T1w"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server on a folder: six patients with final labels and responses, and one image without a label."""
    root = tmp_path_factory.mktemp("clinic")
    rows = write_folder(root / "studies", patients=PATIENTS)
    write_volume(root / "studies" / f"{UNLABELED}.nii.gz", phantom_case.head())
    table = write_table(root / "responses.csv", rows)
    model = served_weights(root)
    with AppServer(root / "studies", root, conf={"model": str(model), "responses": str(table)}) as server:
        yield SimpleNamespace(
            server=server,
            client=MONAILabelClient(server.url, str(tmp_path_factory.mktemp("slicer")), "slicer-user"),
            images=sorted({row["image"] for row in rows}),
            studies=root / "studies",
            app=root / "app",
            model=model,
            rows=rows,
        )


@pytest.fixture
def client(clinic) -> MONAILabelClient:
    return clinic.client


def volume(path: Path | str) -> sitk.Image:
    return sitk.ReadImage(str(path))


def same_grid(first: sitk.Image, second: sitk.Image) -> bool:
    """One shape, and corners within a hundredth of a millimetre."""
    if first.GetSize() != second.GetSize():
        return False
    corners = [[i * (n - 1) for i, n in zip(ends, first.GetSize(), strict=True)] for ends in np.ndindex(2, 2, 2)]
    places = [[image.TransformIndexToPhysicalPoint(corner) for corner in corners] for image in (first, second)]
    return bool(np.abs(np.subtract(*places)).max() < 0.01)


def ras(image: sitk.Image, value: int | None = None) -> np.ndarray:
    """Places in RAS mm of the voxels of a value, or of all above 0, (N, 3)."""
    array = sitk.GetArrayFromImage(image)
    index = np.argwhere(array > 0 if value is None else array == value)[:, ::-1]
    direction = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    return (index @ direction.T + np.array(image.GetOrigin())) * [-1, -1, 1]


def nearest(points: np.ndarray, cloud: np.ndarray) -> float:
    """The largest distance in mm from a point to its nearest one of the cloud."""
    return max(float(np.linalg.norm(cloud - point, axis=1).min()) for point in points)


def refused(call: Callable[[], Any], status: int) -> str:
    """The sentence of a refusal, as Slicer shows it."""
    with pytest.raises(MONAILabelClientException) as error:
        call()
    assert f"Status: {status}" in error.value.msg
    assert "Traceback" not in error.value.msg
    return str(json.loads(error.value.msg.split("Response: ", 1)[1])["detail"])


def finished(look: Callable[[], dict[str, Any]], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until it is so."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        status = look()
        if until(status):
            return status
        time.sleep(0.3)
    raise TimeoutError(json.dumps(status))


def ended(status: dict[str, Any]) -> bool:
    return status["status"] in ("DONE", "ERROR", "STOPPED")


# --- what Slicer asks for when it connects ---


def test_info_holds_what_the_plugin_looks_at(clinic, client):
    info = client.info()
    assert info["models"][MODEL]["type"] == "segmentation"
    assert info["models"][CLICK]["type"] == "deepgrow"
    assert info["models"][MODEL]["config"]["cam"]
    assert info["trainers"][MODEL]["config"]["max_epochs"] == 150
    assert list(info["strategies"]) == ["uncertainty", "random"]
    assert info["datastore"] == {"total": PATIENTS + 1, "completed": PATIENTS, "label_tags": {"final": PATIENTS}}
    assert "RESEARCH ONLY" in info["notice"]
    assert client.auth_enabled() is False


def test_datastore_lists_images_and_labels(clinic, client):
    objects = client.datastore()["objects"]
    assert sorted(objects) == [*clinic.images, UNLABELED]
    assert [name["name"] for name in objects[clinic.images[0]]["labels"]["final"]["info"]["label_info"]] == [
        "GTV_1",
        "GTV_2",
    ]


# --- inference ---


def test_a_saved_label_is_predicted_and_the_map_lies_on_it(clinic, client):
    image = clinic.images[0]
    options = client.info()["models"][MODEL]["config"]
    options = {key: value[0] if isinstance(value, list) else value for key, value in options.items()}
    file, answer = client.infer(MODEL, image, options)
    original, found = volume(clinic.studies / f"{image}.nii.gz"), volume(file)
    assert same_grid(original, found)
    drawn = volume(clinic.studies / "labels" / "final" / f"{image}.nii.gz")
    assert nearest(ras(found), ras(drawn)) < 0.01
    for lesion in answer["lesions"]:
        value = int(lesion["roi"].removeprefix("GTV_"))
        assert lesion["location_mm"] == pytest.approx(ras(drawn, value).mean(axis=0), abs=0.06)
        assert lesion["source"] == "saved label"
        assert lesion["p_response"] + lesion["p_non_response"] == pytest.approx(1, abs=1e-5)
    assert [lesion["roi"] for lesion in answer["lesions"]] == ["GTV_1", "GTV_2"]
    assert "RESEARCH ONLY" in answer["notice"]
    values = set(np.unique(sitk.GetArrayFromImage(found)).tolist()) - {0}
    assert values <= set(answer["label_names"].values())


def test_a_sent_label_is_predicted(clinic, client, tmp_path):
    masks = phantom_case.masks()
    label = phantom_case.write_label(tmp_path / "drawn.nii.gz", *masks)
    file, answer = client.infer(MODEL, UNLABELED, {}, label_in=str(label))
    assert [lesion["source"] for lesion in answer["lesions"]] == ["sent label"] * 2
    drawn, found = volume(label), volume(file)
    assert same_grid(drawn, found)
    for value, lesion in enumerate(answer["lesions"], start=1):
        assert lesion["location_mm"] == pytest.approx(ras(drawn, value).mean(axis=0), abs=0.06)
        assert lesion["volume_mm3"] == pytest.approx(masks[value - 1].sum() * 2.2, rel=1e-3)


def test_a_label_on_another_grid_is_refused(clinic, client):
    other = clinic.studies / "labels" / "final" / f"{clinic.images[0]}.nii.gz"
    sentence = refused(lambda: client.infer(MODEL, UNLABELED, {}, label_in=str(other)), 400)
    assert "another grid" in sentence


def test_without_a_gtv_the_answer_says_how_to_give_one(clinic, client):
    file, answer = client.infer(MODEL, UNLABELED, {})
    assert "There is no GTV" in answer["message"]
    assert answer["lesions"] == []
    assert file is None or not sitk.GetArrayFromImage(volume(file)).any()


@pytest.mark.parametrize("roi", list(phantom_case.LESIONS))
def test_a_click_finds_the_lesion(clinic, client, roi):
    voxel, radius = phantom_case.LESIONS[roi]
    drawn_for = {"label": "CAM 0 to 20% weakest", "reset_state": True}  # Slicer names its current segment
    file, answer = client.infer(CLICK, UNLABELED, {**drawn_for, "foreground": [list(voxel)], "background": []})
    (lesion,) = answer["lesions"]
    centre = nibabel.affines.apply_affine(phantom_case.affine(), voxel)
    assert np.linalg.norm(np.array(lesion["location_mm"]) - centre) < 1
    assert lesion["volume_mm3"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.15)
    assert np.linalg.norm(ras(volume(file)) - centre, axis=1).max() < radius + 2


@pytest.mark.parametrize(
    ("model", "image", "params", "status"),
    [
        ("no_such_model", UNLABELED, {}, 404),
        (MODEL, "no-such-image", {}, 404),
        (MODEL, "../studies", {}, 404),
        (MODEL, UNLABELED, {"cam": "lime"}, 400),
        (MODEL, UNLABELED, {"bands": 77}, 400),
        (MODEL, UNLABELED, {"rois": ["GTV_9"]}, 400),
        (MODEL, UNLABELED, {"image": "/etc/passwd"}, 400),
        (MODEL, UNLABELED, {"label": "/etc/passwd"}, 400),
        (CLICK, UNLABELED, {"foreground": [[1, 2, 999]]}, 400),
    ],
    ids=["model", "image", "outside", "variant", "bands", "roi", "path", "label", "click"],
)
def test_a_refusal_is_one_sentence(client, model, image, params, status):
    sentence = refused(lambda: client.infer(model, image, params), status)
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_session_is_predicted_and_forgotten(clinic, client, tmp_path):
    path = tmp_path / "mine.nii.gz"
    write_volume(path, phantom_case.head())
    session = client.create_session(str(path))["session_id"]
    assert client.get_session(session)
    label = phantom_case.write_label(tmp_path / "drawn.nii.gz", *phantom_case.masks())
    _, answer = client.infer(MODEL, "", {}, label_in=str(label), session_id=session)
    assert len(answer["lesions"]) == 2
    client.remove_session(session)
    assert refused(lambda: client.get_session(session), 404)
    assert sorted(client.datastore()["objects"]) == [*clinic.images, UNLABELED]


# --- labels: in the order of a day's work ---


def test_the_next_sample_is_the_one_without_a_label(clinic, client):
    sample = client.next_sample("uncertainty", {})
    assert sample["id"] == UNLABELED
    assert sample["images"] == 1
    assert "draw the GTV" in sample["message"]
    assert "PatientID" not in sample
    assert client.next_sample("random", {})["id"] == UNLABELED
    image = requests.get(f"{clinic.server.url}/datastore/image", params={"image": UNLABELED}, timeout=30)
    assert image.content == (clinic.studies / f"{UNLABELED}.nii.gz").read_bytes()


def test_a_submitted_label_is_what_slicer_drew(clinic, client, tmp_path):
    # Slicer makes an empty segment for every band that the server names, exports all segments, and numbers them.
    bands = client.info()["labels"]
    names = [*bands, "GTV_left"]
    mask = phantom_case.masks()[0]
    label = phantom_case.write_label(tmp_path / "drawn.nii.gz", *[np.zeros_like(mask)] * len(bands), mask)
    info = [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]
    client.save_label(UNLABELED, str(label), params={"label_info": info, "model": MODEL})
    (kept,) = client.datastore()["objects"][UNLABELED]["labels"]["final"]["info"]["label_info"]
    assert kept == {"name": "GTV_left", "idx": len(names)}
    downloaded = client.download_label(UNLABELED, "final")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(volume(downloaded)), sitk.GetArrayFromImage(volume(label)))
    _, answer = client.infer(MODEL, UNLABELED, {})
    assert [lesion["roi"] for lesion in answer["lesions"]] == ["GTV_left"]
    assert answer["lesions"][0]["location_mm"] == pytest.approx(ras(volume(label)).mean(axis=0), abs=0.06)
    assert client.next_sample("uncertainty", {}) == {}


def test_bands_in_a_submitted_label_are_not_taken_for_a_gtv(clinic, client, tmp_path):
    # Whoever submits after a prediction submits the map's bands too, which lie in the GTV.
    bands = client.info()["labels"]
    mask, inside = phantom_case.ball((40, 44, 15), 8.0), phantom_case.ball((40, 44, 15), 4.0)
    label = phantom_case.write_label(
        tmp_path / "drawn.nii.gz", inside, *[np.zeros_like(mask)] * (len(bands) - 1), mask & ~inside
    )
    names = [*bands, "GTV_left"]
    info = [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]
    client.save_label(UNLABELED, str(label), params={"label_info": info, "model": MODEL})
    _, answer = client.infer(MODEL, UNLABELED, {})
    assert [lesion["roi"] for lesion in answer["lesions"]] == ["GTV_left"]
    assert answer["lesions"][0]["volume_mm3"] == pytest.approx((mask & ~inside).sum() * 2.2, rel=1e-3)
    only_bands = phantom_case.write_label(tmp_path / "bands.nii.gz", inside)
    sentence = refused(lambda: client.save_label(UNLABELED, str(only_bands), params={"label_info": info[:1]}), 400)
    assert "a CAM's bands or measured lesions only" in sentence


# --- training and batch inference, in processes of their own ---


def test_missing_responses_are_told_as_the_status(clinic, client):
    # The label that Slicer submitted for the other image has no response yet.
    client.train_start(MODEL, {"max_epochs": 1})
    status = finished(client.train_status, ended)
    assert status["status"] == "ERROR"
    problem = client.info()["train_stats"][MODEL]["problem"]
    assert "GTV_left" in problem
    assert "model/responses_to_fill_in.csv" in problem
    assert not any("Traceback" in line for line in status["details"])
    # Months later somebody knows, and says it with the label.
    answer = requests.put(
        f"{clinic.server.url}/datastore/label/info",
        params={"label": UNLABELED, "tag": "final"},
        data={"info": json.dumps({"responses": {"GTV_left": "exclude"}})},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def test_training_tells_its_progress_and_can_be_stopped(clinic, client):
    sentence = refused(lambda: client.train_start(MODEL, {"max_epochs": 0}), 400)
    assert "give 1 to 5000" in sentence
    client.train_start(MODEL, {"max_epochs": 3000, "folds": 3})
    status = finished(client.train_status, lambda status: ended(status) or "epoch 1 of 3000: loss" in str(status))
    assert status["status"] == "RUNNING", status["details"]
    assert client.train_status(check_if_running=True) is True
    stats = client.info()["train_stats"][MODEL]
    assert stats["status"] == "running"
    assert 1 <= stats["epoch"] < stats["total_epochs"] == 3000
    assert client.train_stop()["status"] == "STOPPED"
    assert client.train_status(check_if_running=False)["status"] == "STOPPED"
    finished(lambda: client.info()["train_stats"][MODEL], lambda stats: stats["status"] == "stopped")
    assert not (clinic.app / "model" / "runs" / ".work").exists()


def test_a_trained_model_is_served_only_when_asked(clinic, client):
    before, weights = client.info()["model"]["sha256"], clinic.model.read_bytes()
    params = {"max_epochs": 4, "folds": 3, "publish": True, "name": "clinic", "synthetic": True}
    url = f"{clinic.server.url}/train/{MODEL}"
    answer = requests.post(url, params={"run_sync": True}, json=params, timeout=120)
    assert answer.status_code == 200, answer.text
    info = client.info()
    assert info["train_stats"][MODEL]["held_out"]["n"] == 4
    assert info["train_stats"][MODEL]["held_out"]["auc"] is not None
    assert info["model"]["sha256"] != before
    assert info["model"]["training_data"] == "clinic"
    (kept,) = (path for path in clinic.model.parent.glob("model_*.pt") if "_fold_" not in path.name)
    assert kept.read_bytes() == weights
    _, answer = client.infer(MODEL, clinic.images[0], {})
    assert "clinic (synthetic)" in answer["notice"]
    runs = clinic.app / "model" / "runs"
    assert sorted(path.name for path in runs.iterdir()) == [".lock", info["train_stats"][MODEL]["run"], "last.json"]


def test_batch_inference_over_all_studies(clinic, client):
    url = f"{clinic.server.url}/batch/infer"
    (clinic.studies / "sub-999_T1w.nii.gz").write_bytes(b"no image")
    started = requests.post(f"{url}/{MODEL}", params={"images": "all"}, json={}, timeout=60)
    assert started.status_code == 200, started.text
    status = finished(lambda: requests.get(url, timeout=30).json(), ended)
    assert status["status"] == "DONE", status["details"]
    (table,) = (clinic.app / "model" / "batch").glob("*.csv")
    rows = table.read_text().splitlines()
    assert len(rows) == 1 + 2 * PATIENTS + 1 + 1
    assert sum(",failed," in row for row in rows) == 1
    assert any(f"{PATIENTS + 2}/{PATIENTS + 2} " in line for line in status["details"])


# --- the pages' programs; tests/test_docs.py runs what needs no server ---

PAGES = [
    Path(__file__).resolve().parents[2] / "docs" / "how-to" / name
    for name in ("slicer.md", "train-through-the-server.md")
]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_pages_command_starts_the_server_as_it_was_started_here(clinic):
    ((command,),) = [blocks(page, "sh") for page in PAGES if blocks(page, "sh")]
    started = clinic.server.process.args
    assert command.split()[1:4] == started[1:4]
    assert {word for word in command.split() if word.startswith("--")} <= set(started)


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PAGES for number in range(len(blocks(page, "py")))],
    ids=lambda value: value.stem if isinstance(value, Path) else str(value),
)
def test_the_pages_programs_run(clinic, tmp_path, page, number):
    program = blocks(page, "py")[number]
    for pattern, small in (("http://127.0.0.1:8000", clinic.server.url), ('"max_epochs": 150', '"max_epochs": 2')):
        program = program.replace(pattern, small)
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stdout
    if "train_start" in program:
        assert clinic.client.train_status()["status"] == "DONE", run.stdout
