"""The real server on input that no viewer sends: refused in a sentence, remembered by nothing, nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import requests
from app_server import AppServer
from guard_case import sentence
from phantom_case import affine, head, masks, write_label
from treatment_response.cohort.layout import write_volume
from treatment_response.geometry import Volume

MR = "sub-001_ce-gadolinium_T1w"
MODEL, CLICK = "pulsar_response", "pulsar_response_click"
NESTED = '{"rois": ' + "[" * 900 + "]" * 900 + "}"
ODD = {
    "nested": NESTED,
    "half a pair as value": '{"client_id": "\\ud800"}',
    "half a pair as key": '{"\\ud800": 1}',
    "number beyond float": '{"foreground": [[' + "9" * 400 + ", 0, 0]]}",
    "infinite number": '{"client_id": 1e999}',
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    write_volume(folder / "studies" / f"{MR}.nii.gz", head())
    skewed, collapsed = affine(), affine()
    skewed[:3, 1] += 0.3 * skewed[:3, 0]
    collapsed[:3, 2] = 0
    for name, matrix in (("skewed", skewed), ("collapsed", collapsed)):
        image = nibabel.Nifti1Image(head().array, None)
        image.header.set_sform(matrix, code=1)
        image.header.set_qform(None, code=0)
        image.header.set_zooms(np.linalg.norm(matrix[:3, :3], axis=0))
        nibabel.save(image, folder / "studies" / f"{name}.nii.gz")
    write_volume(folder / "studies" / "flat.nii.gz", Volume(head().array[:, :, 15:17], affine()))
    with AppServer(folder / "studies", folder, ready="/info/") as running:
        running.left_at_start = sorted(path.name for path in running.temporary.iterdir())
        yield running


@pytest.fixture(scope="module")
def label(tmp_path_factory) -> Path:
    return write_label(tmp_path_factory.mktemp("label") / "label.nii.gz", *masks())


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("model", [MODEL, CLICK])
def test_json_that_cannot_be_worked_on_is_refused(server, model, text):
    url = f"{server.url}/infer/{model}?image={MR}&output=json"
    response = requests.post(url, data={"params": text}, timeout=60)
    assert response.status_code == 400
    sentence(response)


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", [f"train/{MODEL}", f"batch/infer/{MODEL}?run_sync=true", "activelearning/uncertainty"])
def test_jobs_refuse_such_json_too(server, path, text):
    headers = {"Content-Type": "application/json"}
    response = requests.post(f"{server.url}/{path}", data=text, headers=headers, timeout=60)
    assert response.status_code in (400, 422)
    sentence(response)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"a": 1e999}', NESTED])
def test_what_could_not_be_answered_is_not_remembered(server, label, text):
    files = {"label": (label.name, label.read_bytes())}
    url = f"{server.url}/datastore/label?image={MR}&tag=final"
    answers = [
        requests.put(f"{server.url}/datastore/image/info?image={MR}", data={"info": text}, timeout=60),
        requests.put(url, data={"params": text}, files=files, timeout=60),
        requests.put(url, data={"params": json.dumps({"label_info": [json.loads(text)]})}, files=files, timeout=60),
    ]
    for response in answers:
        assert response.status_code == 400
        sentence(response)
    assert requests.get(f"{server.url}/datastore/?output=all", timeout=60).status_code == 200
    assert requests.get(f"{server.url}/datastore/image/info?image={MR}", timeout=60).status_code == 200


@pytest.mark.parametrize(("image", "words"), [("skewed", "perpendicular"), ("collapsed", "voxel of"), ("flat", "flat")])
def test_grids_that_no_label_map_can_lie_on_are_refused(server, image, words):
    response = server.infer(CLICK, image, {"foreground": [[40, 44, 1 if image == "flat" else 15]]})
    assert response.status_code == 400
    assert words in sentence(response)


def test_a_small_upload_that_unpacks_to_much_is_refused_unread(server, tmp_path):
    path = tmp_path / "bomb.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((1024, 1024, 65), np.float64), np.eye(4)), path)
    assert path.stat().st_size < 2**22
    response = server.infer(MODEL, MR, label=path)
    assert response.status_code == 400
    assert "MiB" in sentence(response)


def test_a_batch_over_all_of_these_leaves_nothing_behind(server):
    response = requests.post(f"{server.url}/batch/infer/{MODEL}?run_sync=true", json={}, timeout=120)
    assert response.status_code == 200
    assert sorted(path.name for path in server.temporary.iterdir()) == server.left_at_start
    assert "Traceback" not in server.log
    assert "incident" not in server.log
