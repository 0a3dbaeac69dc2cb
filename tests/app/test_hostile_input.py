"""The real server on input that no viewer sends: refused in a sentence, remembered by nothing, nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
import requests
from app_server import AppServer
from guard_case import sentence
from phantom_case import SHAPE, affine, head, masks, write_label
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


def nrrd(extra: str = "", end: str = "\n", voxels: bytes = b"", **changes: str) -> bytes:
    """A NRRD on the MR's grid."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine()
    vectors = [f"({','.join(map(str, vector))})" for vector in lps[:3].T]
    fields = {
        "type": "uint8",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, SHAPE)),
        "space directions": " ".join(vectors[:3]),
        "kinds": "domain domain domain",
        "encoding": "raw",
        "space origin": vectors[3],
        **{name.replace("_", " "): value for name, value in changes.items()},
    }
    lines = ["NRRD0004", *[f"{name}: {value}" for name, value in fields.items()]]
    return end.join([*lines, *([extra] if extra else []), "", ""]).encode() + voxels


def lesion() -> bytes:
    return masks()[0].astype(np.uint8).tobytes(order="F")


POINTERS = {
    "long comment": ("# " + "c" * 70_000 + "\ndata file: {}", "\n"),
    "long key": ("key:=" + "v" * 70_000 + "\ndata file: {}", "\n"),
    "lone returns": ("data file: {}", "\r"),
    "one lone return": ("content: a\rdata file: {}", "\n"),
    "list": ("# " + "c" * 70_000 + "\ndata file: LIST\n{}", "\n"),
}


@pytest.mark.parametrize("kind", POINTERS)
def test_a_header_leads_to_no_other_file_however_it_hides_that(server, tmp_path, kind):
    extra, end = POINTERS[kind]
    voxels, pipe = tmp_path / "voxels.raw", tmp_path / "pipe"
    voxels.write_bytes(lesion())
    os.mkfifo(pipe)
    for target in (voxels, "/dev/zero", pipe):
        (tmp_path / "a.nrrd").write_bytes(nrrd(extra.format(target), end))
        response = server.infer(MODEL, MR, label=tmp_path / "a.nrrd")
        assert response.status_code == 400, response.json()
        assert "points to another file" in sentence(response)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_and_long_comments_are_taken_and_not_kept(server, tmp_path, end):
    comment = f"# {'c' * 70_000}{end}Patient:=HIDDEN^NAME"
    (tmp_path / "a.seg.nrrd").write_bytes(nrrd(comment, end, gzip.compress(lesion()), encoding="gzip"))
    answer = server.infer(MODEL, MR, label=tmp_path / "a.seg.nrrd")
    assert [one["source"] for one in answer.json()["lesions"]] == ["sent label"]
    url = f"{server.url}/datastore/label"
    content = (tmp_path / "a.seg.nrrd").read_bytes()
    saved = requests.put(f"{url}?image={MR}&tag=sent", files={"label": ("a.seg.nrrd", content)}, timeout=60)
    assert saved.status_code == 200, saved.text
    (tmp_path / "kept.nii.gz").write_bytes(requests.get(f"{url}?label={MR}&tag=sent", timeout=60).content)
    kept = nibabel.load(tmp_path / "kept.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(kept.dataobj), masks()[0])
    assert b"HIDDEN" not in gzip.decompress((tmp_path / "kept.nii.gz").read_bytes())
    assert requests.delete(f"{url}?id={MR}&tag=sent", timeout=60).status_code == 200


def colours() -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image(np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])), affine())


def placed(sform: np.ndarray | None, qform: np.ndarray | None) -> nibabel.Nifti1Image:
    image = nibabel.Nifti1Image(head().array, affine())
    image.set_sform(sform, code=int(sform is not None))
    image.set_qform(qform, code=int(qform is not None))
    return image


ODD_VOLUMES = {
    "colours": (colours, "RGB"),
    "complex": (lambda: nibabel.Nifti1Image(head().array.astype(np.complex64), affine()), "complex64"),
    "wide voxels": (lambda: nibabel.Nifti1Image(head().array, affine() @ np.diag([1e5, 1e5, 1e5, 1])), "no MR has"),
    "no place": (lambda: placed(None, None), "how it lies in the scanner"),
    "two places": (lambda: placed(affine(), np.diag([-1, 1, 1, 1]) @ affine()), "sform and qform place it"),
}


@pytest.mark.parametrize("kind", ODD_VOLUMES)
def test_volumes_that_would_be_misread_are_told(server, tmp_path, kind):
    make, words = ODD_VOLUMES[kind]
    nibabel.save(make(), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    session = requests.put(f"{server.url}/session/", files={"files": ("a.nii", content)}, timeout=60)
    assert session.status_code == 400, session.json()
    assert words in sentence(session)
    (server.app.parent / "studies" / "odd.nii").write_bytes(content)  # nor where others put it
    try:
        response = server.infer(CLICK, "odd", {"foreground": [[40, 44, 15]]})
    finally:
        (server.app.parent / "studies" / "odd.nii").unlink()
    assert response.status_code == 400
    assert words in sentence(response)


def test_a_batch_over_all_of_these_leaves_nothing_behind(server):
    response = requests.post(f"{server.url}/batch/infer/{MODEL}?run_sync=true", json={}, timeout=120)
    assert response.status_code == 200
    assert sorted(path.name for path in server.temporary.iterdir()) == server.left_at_start
    assert "Traceback" not in server.log
    assert "incident" not in server.log
