"""The guard on the real server, over a folder of NIfTI: what is open, what is refused, and that nothing leaves it."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import struct
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from guard_case import SHAPE, form, head, lesion, send_raw, sentence, write_nifti
from treatment_response.cohort.layout import read_volume
from treatment_response.geometry.grids import same_grid

IMAGE = "sub-001_ses-01_ce-gadolinium_T1w"
MODEL = "pulsar_response"
SECRET = b"do-not-read-me"


class Guarded:
    """The running server and what lies around it."""

    def __init__(self, server: AppServer, root: Path) -> None:
        self.server, self.root, self.url = server, root, server.url
        self.secret = root / "secret.txt"
        self.outside = root / "outside.nii.gz"
        self.label = root / "label.nii.gz"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", timeout=60, **more)

    def works(self) -> bool:
        """Whether a good request is answered as it should be."""
        response = self.server.infer(MODEL, IMAGE, label=self.label)
        return response.status_code == 200 and len(response.json()["lesions"]) == 1

    def files(self) -> set[Path]:
        """Everything on disk that a request might have left behind (the log grows with each request)."""
        return {path for path in self.root.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = tmp_path_factory.mktemp("guard")
    studies = root / "studies"
    write_nifti(studies / f"{IMAGE}.nii.gz", head())
    (studies / "not-an-mr.nii.gz").write_bytes(gzip.compress(b"this is no image"))
    write_nifti(root / "label.nii.gz", lesion().astype(np.uint8))
    write_nifti(root / "outside.nii.gz", head())
    (root / "secret.txt").write_bytes(SECRET)
    (studies / "linked.nii.gz").symlink_to(root / "outside.nii.gz")
    (studies / "folder.nii.gz").symlink_to(root)
    environment = {"PULSAR_SERVER_UPLOAD_LIMIT_MB": "8", "PULSAR_SERVER_SESSION_LIMIT": "2"}
    with AppServer(studies, root / "server", environment=environment) as server:
        case = Guarded(server, root)
        files = _file("a.nii.gz", case.label, "label")
        answer = case.call("PUT", "/datastore/label", params={"image": IMAGE}, files=files)
        assert answer.status_code == 200, answer.text
        yield case


def _file(name: str, content: Path | bytes, field: str = "file") -> dict[str, tuple[str, bytes]]:
    return {field: (name, content.read_bytes() if isinstance(content, Path) else content)}


def _same_volume(guarded: Guarded, content: bytes) -> bool:
    """Whether a file holds what the client's does; its header is the server's own."""
    path = guarded.root / "same.nii.gz"
    path.write_bytes(content)
    found, expected = read_volume(path, "found"), read_volume(guarded.outside, "expected")
    path.unlink()
    return same_grid(found, expected) and np.array_equal(found.array, expected.array)


# ---------------------------------------------------------------- what is open and what is closed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/redoc"),
        ("POST", "/reload"),
        ("GET", "/static/favicon.ico"),
        ("POST", f"/infer/wsi/{MODEL}"),
        ("POST", f"/infer/wsi_v2/{MODEL}"),
        ("GET", "/datastore/dataset"),
        ("PUT", "/datastore/updatelabelinfo"),
        ("GET", "/logs/gpu"),
        ("GET", "/scoring/"),
        ("POST", "/scoring/dice"),
        ("GET", "/nowhere"),
    ],
)
def test_closed(guarded, method, path):
    response = guarded.call(method, path)
    assert response.status_code == 404
    assert sentence(response)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_weights_are_not_replaced(guarded, method):
    before = guarded.call("GET", f"/model/info/{MODEL}")
    response = guarded.call(method, f"/model/{MODEL}", files=_file("model.pt", b"x"))
    assert response.status_code == 403
    assert "not changed" in sentence(response)
    assert guarded.call("GET", f"/model/info/{MODEL}").text == before.text


def test_home_says_research_only_and_loads_nothing_from_elsewhere(guarded):
    page = guarded.call("GET", "/").text
    assert "research use only" in page
    assert "http://" not in page
    assert "https://" not in page


def test_health_tells_nothing_of_patients(guarded):
    assert guarded.call("GET", "/health").json() == {"status": "ok", "login": False, "notice": "RESEARCH ONLY"}


def test_log_is_text_and_bounded(guarded):
    response = guarded.call("GET", "/logs/", params={"lines": 2})
    assert response.headers["content-type"].startswith("text/plain")
    assert len(response.text.splitlines()) == 2
    assert guarded.call("GET", "/logs/", params={"lines": 0}).status_code == 422


@pytest.mark.parametrize("path", ["/", "/info/", "/ohif/", "/nowhere", "/logs/"])
def test_no_page_runs_scripts_of_others(guarded, path):
    (scripts,) = re.findall(r"script-src ([^;]*)", guarded.call("GET", path).headers["content-security-policy"])
    assert not {"*", "'unsafe-inline'", "'unsafe-eval'", "http:", "https:", "data:"} & set(scripts.split())


def test_browsers_are_told_not_to_keep_answers(guarded):
    headers = guarded.call("GET", "/datastore/", params={"output": "all"}).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


# ---------------------------------------------------------------- who asks


def test_other_names_of_this_machine_are_refused(guarded):
    """DNS rebinding: a page of another site that made its own name point here."""
    status, body = send_raw(guarded.server.port, "GET", "/info/", headers={"Host": "evil.example"})
    assert status == 403
    assert b"not known under that name" in body


def test_pages_of_other_sites_are_refused(guarded):
    headers = {"Origin": "https://evil.example"}
    response = guarded.call("POST", f"/infer/{MODEL}", params={"image": IMAGE}, data=form(), headers=headers)
    assert response.status_code == 403
    assert "other sites" in sentence(response)
    own = guarded.call("POST", f"/infer/{MODEL}?output=json", params={"image": IMAGE}, headers={"Origin": guarded.url})
    assert own.status_code == 200


def test_no_other_site_may_read(guarded):
    """MONAI Label's default allows every site, with credentials."""
    response = guarded.call("GET", "/info/", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_other_machines_are_refused_without_login(guarded):
    """uvicorn takes the sender from a proxy on this machine."""
    response = guarded.call("GET", "/info/", headers={"X-Forwarded-For": "192.0.2.7"})
    assert response.status_code == 403
    assert "its own machine only" in sentence(response)


# ---------------------------------------------------------------- ways out of the datastore

WAYS_OUT = [
    "../outside",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "{root}/outside",
    "{root}/outside.nii.gz",
    "{root}/secret.txt",
    "linked",
    "folder",
    f"{IMAGE}/../../outside",
    f"{IMAGE}\0.txt",
    "..\\outside",
    "~/secret.txt",
    "file:///etc/passwd",
    "%2e%2e/outside",
    "labels/final/" + IMAGE,
    "datastore_v2.json",
    "",
]


@pytest.mark.parametrize("way", WAYS_OUT)
def test_ids_do_not_leave_the_datastore(guarded, way):
    name = way.replace("{root}", str(guarded.root))
    before = guarded.files()
    for method, path, more in [
        ("POST", f"/infer/{MODEL}", {"params": {"image": name}, "data": form()}),
        ("GET", "/datastore/image", {"params": {"image": name}}),
        ("HEAD", "/datastore/image", {"params": {"image": name}}),
        ("DELETE", "/datastore/image", {"params": {"id": name}}),
        ("GET", "/datastore/image/info", {"params": {"image": name}}),
        ("PUT", "/datastore/image/info", {"params": {"image": name}, "data": {"info": "{}"}}),
        ("GET", "/datastore/label", {"params": {"label": name, "tag": "final"}}),
        ("DELETE", "/datastore/label", {"params": {"id": name, "tag": "final"}}),
        ("GET", "/datastore/label/info", {"params": {"label": name, "tag": "final"}}),
        (
            "PUT",
            "/datastore/label",
            {"params": {"image": name}, "files": _file("a.nii.gz", guarded.label, "label")},
        ),
    ]:
        response = guarded.call(method, path, **more)
        assert 400 <= response.status_code < 500, (method, path, response.text)
        if method != "HEAD":
            sentence(response)
        assert SECRET not in response.content
    assert guarded.files() == before


@pytest.mark.parametrize("way", [way for way in WAYS_OUT if way and way != "datastore_v2.json"])
def test_tags_do_not_leave_the_datastore(guarded, way):
    name = way.replace("{root}", str(guarded.root))
    before = guarded.files()
    for method, path, more in [
        ("GET", "/datastore/label", {"params": {"label": IMAGE, "tag": name}}),
        ("DELETE", "/datastore/label", {"params": {"id": IMAGE, "tag": name}}),
        ("GET", "/datastore/label/info", {"params": {"label": IMAGE, "tag": name}}),
        (
            "PUT",
            "/datastore/label",
            {"params": {"image": IMAGE, "tag": name}, "files": _file("a.nii.gz", guarded.label, "label")},
        ),
    ]:
        if way in ("linked", "folder") and method == "PUT":
            continue  # good names for a tag
        response = guarded.call(method, path, **more)
        assert 400 <= response.status_code < 500, (method, path, response.text)
        sentence(response)
    assert guarded.files() == before


@pytest.mark.parametrize(
    "target",
    [
        "/session/..%2f..%2fsecret.txt",
        "/session/%2e%2e",
        "/session/../../secret.txt",
        "/session/00000000-0000-0000-0000-000000000000%00",
        f"/model/..%2f{MODEL}",
        "/model/info/%2e%2e%2fx",
        "/infer/..%2f..%2fx?image=" + IMAGE,
        "/ohif/..%2f..%2f..%2fconfig.py",
        "/ohif/../../config.py",
        "/ohif/%2e%2e/%2e%2e/config.py",
        "/ohif//etc/passwd",
        "/ohif/%2fetc%2fpasswd",
        "/answers/..%2fx",
        "/proxy/dicom/qido/..%2f..%2fsystem",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_addresses_do_not_leave_the_server(guarded, target, method):
    before = guarded.files()
    status, body = send_raw(guarded.server.port, method, target)
    if method == "GET" and target.startswith("/ohif"):
        assert status == 404 or b"<!doctype html>" in body[:200].lower()  # its index page, for its own router
    else:
        assert 400 <= status < 500
    for leaked in (SECRET, b"root:", b"MONAI_LABEL_STUDIES", b"Traceback"):
        assert leaked not in body
    assert guarded.files() == before


@pytest.mark.parametrize(
    "params",
    [
        {"image": "/etc/passwd"},
        {"image": "{root}/outside.nii.gz"},
        {"label": "/etc/passwd"},
        {"label": "{root}/label.nii.gz"},
        {"label": ["/etc/passwd"]},
        {"session": {"image": "/etc/passwd"}},
        {"model": "pulsar_response_click"},
        {"model": "../model"},
        {"datastore": "/"},
        {"save_label": True},
        {"save_label": True, "label_tag": "../../x"},
        {"result_path": "/tmp/x"},
        {"result_extension": "/../../x.nii.gz"},
        {"result_extension": ".sh"},
        {"result_write_to_file": False},
        {"bundle_path": "/tmp"},
        {"description": "x"},
        {"_image_id": "x"},
        {"path": "/etc/passwd"},
        {"file": "/etc/passwd"},
    ],
    ids=str,
)
def test_parameters_do_not_change_what_is_read_or_written(guarded, params):
    sent = json.loads(json.dumps(params).replace("{root}", str(guarded.root)))
    before = guarded.files()
    response = guarded.server.infer(MODEL, IMAGE, sent)
    assert response.status_code == 400, response.text
    sentence(response)
    assert guarded.files() == before
    # The same through the jobs on all images.
    for path in (f"/batch/infer/{MODEL}", f"/train/{MODEL}", "/train/", "/activelearning/uncertainty"):
        if (path.startswith("/batch") and sent == {"save_label": True}) or ("active" in path and "model" in sent):
            continue  # what a batch is for; the next sample is one for all models
        response = guarded.call("POST", path, json=sent)
        assert response.status_code == 400, (path, response.text)
        sentence(response)
    assert guarded.call("GET", "/train/").status_code == 404, "nothing may have been started"
    assert guarded.call("GET", "/batch/infer").status_code == 404


def test_repeating_what_the_address_says_is_harmless(guarded):
    """Slicer and OHIF put the model's name and the segment's label among the parameters."""
    for name in ("tumour", "CAM 0 to 20% weakest"):
        params = {"model": MODEL, "image": IMAGE, "label": name, "client_id": "x"}
        response = guarded.server.infer(MODEL, IMAGE, params, guarded.label)
        assert response.status_code == 200, response.text
        assert response.json()["image"] == IMAGE


def test_server_paths_are_not_told(guarded):
    for path in (
        f"/datastore/image/info?image={IMAGE}",
        f"/datastore/label/info?label={IMAGE}&tag=final",
        "/datastore/?output=all",
        "/info/",
    ):
        assert str(guarded.root) not in guarded.call("GET", path).text
    response = guarded.call("GET", "/datastore/", params={"output": "train"})
    assert response.status_code == 403
    assert str(guarded.root) not in response.text


# ---------------------------------------------------------------- uploads


def _nrrd(extra: str = "", body: bytes = b"") -> bytes:
    sizes = " ".join(map(str, SHAPE))
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: raw\n{extra}\n"
    return header.encode() + body


def _nifti_of_size(shape: tuple[int, int, int]) -> bytes:
    """A header that promises more voxels than any machine holds."""
    buffer = bytearray(352)
    struct.pack_into("<i", buffer, 0, 348)
    struct.pack_into("<8h", buffer, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", buffer, 70, 16, 32)
    struct.pack_into("<8f", buffer, 76, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<f", buffer, 108, 352)
    buffer[344:348] = b"n+1\0"
    return gzip.compress(bytes(buffer))


def _other_grid() -> bytes:
    return _bytes_of(np.ones((10, 11, 12), np.uint8))


def _bytes_of(array: np.ndarray) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_nifti(Path(folder) / "x.nii.gz", array).read_bytes()


BAD_LABELS = {
    "text": ("a.nii.gz", b"hello"),
    "empty": ("a.nii.gz", b""),
    "truncated": ("a.nii.gz", b"CUT"),
    "a zip": ("a.zip", b"PK\x03\x04"),
    "a pickle": ("a.npy", b"\x93NUMPY"),
    "a program": ("a.nii.gz.sh", b"#!/bin/sh"),
    "no extension": ("a", b"x"),
    "bomb": ("a.nii.gz", _nifti_of_size((32767, 32767, 32767))),
    "pointing header": ("a.nrrd", _nrrd("data file: /etc/passwd\n")),
    "pointing header, spelled otherwise": ("a.nrrd", _nrrd("DATAFILE: ../../secret.txt\n")),
    "pointing to a list": ("a.nrrd", _nrrd("data file: LIST\n/etc/passwd\n")),
    "short nrrd": ("a.nrrd", _nrrd("", b"123")),
    "nrrd called nifti": ("a.nii.gz", _nrrd("data file: /etc/passwd\n")),
    "other grid": ("a.nii.gz", b"GRID"),
    "two-dimensional": ("a.nrrd", b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 2 2\nencoding: raw\n\n1234"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_bad_labels(guarded, kind):
    name, content = BAD_LABELS[kind]
    content = {b"CUT": guarded.label.read_bytes()[:200], b"GRID": _other_grid()}.get(content, content)
    before = guarded.files()
    sent = guarded.call(
        "POST", f"/infer/{MODEL}", params={"image": IMAGE}, data=form(), files=_file(name, content, "label")
    )
    assert sent.status_code == 400, sent.text
    sentence(sent)
    saved = guarded.call("PUT", "/datastore/label", params={"image": IMAGE}, files=_file(name, content, "label"))
    assert saved.status_code == 400, saved.text
    sentence(saved)
    assert guarded.files() == before
    assert guarded.works()


def test_a_header_does_not_bring_in_another_file(guarded):
    """The file that it points to holds just the voxels that it promises."""
    outside = guarded.root / "outside.raw"
    outside.write_bytes(lesion().astype(np.uint8).tobytes(order="F"))
    for pointer in (outside, "../../../../outside.raw"):
        content = _nrrd(f"data file: {pointer}\n")
        response = guarded.call(
            "POST", f"/infer/{MODEL}", params={"image": IMAGE}, data=form(), files=_file("a.nrrd", content, "label")
        )
        assert response.status_code == 400
        assert "points to another file" in sentence(response)


def test_a_small_file_does_not_fill_the_memory(guarded):
    content = _nifti_of_size((1024, 1024, 1024))
    assert len(content) < 1000
    response = guarded.call(
        "PUT", "/datastore/label", params={"image": IMAGE}, files=_file("a.nii.gz", content, "label")
    )
    assert response.status_code == 400
    assert "voxels" in sentence(response)


def test_bare_voxels_of_ohif(guarded):
    good = np.asfortranarray(lesion()).astype(np.uint8).ravel(order="F").tobytes()
    answer = guarded.call(
        "PUT", "/datastore/label", params={"image": IMAGE, "tag": "bare"}, files=_file("label.bin", good, "label")
    )
    assert answer.status_code == 200, answer.text
    wrong = guarded.call(
        "PUT", "/datastore/label", params={"image": IMAGE, "tag": "bare"}, files=_file("label.bin", good[:-5], "label")
    )
    assert wrong.status_code == 400
    sentence(wrong)
    got = guarded.call("GET", "/datastore/label", params={"label": IMAGE, "tag": "bare"})
    path = guarded.root / "got.nii.gz"
    path.write_bytes(got.content)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, lesion())
    assert guarded.call("DELETE", "/datastore/label", params={"id": IMAGE, "tag": "bare"}).status_code == 200


def test_too_large(guarded):
    before = guarded.files()
    response = guarded.call(
        "POST", f"/infer/{MODEL}", params={"image": IMAGE}, files=_file("a.nii.gz", b"0" * (9 << 20), "label")
    )
    assert response.status_code == 413
    assert "PULSAR_SERVER_UPLOAD_LIMIT_MB" in sentence(response)

    def without_length() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="label"; filename="a.nii.gz"\r\n\r\n'
        for _ in range(9):
            yield b"0" * (1 << 20)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = guarded.call("PUT", "/datastore/label", params={"image": IMAGE}, data=without_length(), headers=headers)
    assert response.status_code == 413
    assert "PULSAR_SERVER_UPLOAD_LIMIT_MB" in sentence(response)
    assert guarded.files() == before


def test_only_routes_for_files_take_large_bodies(guarded):
    """Whatever the body calls itself."""
    for content_type in ("multipart/form-data; boundary=x", "Multipart/Mixed", "application/json", ""):
        response = guarded.call(
            "POST", f"/train/{MODEL}", data=b"0" * (2 << 20), headers={"Content-Type": content_type}
        )
        assert response.status_code == 413
        sentence(response)
    many = [("files", (f"{number}.nii.gz", b"x")) for number in range(100)]
    response = guarded.call("PUT", "/session/", files=many)
    assert response.status_code == 400
    assert "Too many files" in sentence(response)


def test_the_index_stays_small(guarded):
    params = {"image": IMAGE, "tag": "final"}
    note = json.dumps({"note": "0" * 600_000})
    files = _file("a.nii.gz", guarded.label, "label")
    for path, more in [
        ("/datastore/image/info", {"data": {"info": note}}),
        ("/datastore/label/info", {"data": {"info": note}}),
        ("/datastore/label", {"data": {"params": note}, "files": files}),
    ]:
        response = guarded.call("PUT", path, params={**params, "label": IMAGE}, **more)
        assert response.status_code == 413, path
        assert "KiB" in sentence(response)
    tags = [f"tag{number}" for number in range(17)]
    answers = [guarded.call("PUT", "/datastore/label", params={**params, "tag": tag}, files=files) for tag in tags]
    assert [answer.status_code for answer in answers][-2:] == [413, 413]
    assert "tags" in sentence(answers[-1])
    for tag in tags[:15]:
        assert guarded.call("DELETE", "/datastore/label", params={"id": IMAGE, "tag": tag}).status_code == 200


def test_json_is_small(guarded):
    headers = {"Content-Type": "application/json"}
    response = guarded.call("POST", f"/train/{MODEL}", data=b"[" * (2 << 20), headers=headers)
    assert response.status_code == 413
    sentence(response)
    deep = guarded.call("POST", f"/train/{MODEL}", data=b"[" * 100_000, headers=headers)
    assert 400 <= deep.status_code < 500
    sentence(deep)


@pytest.mark.parametrize("image", ["../x", "/etc/cron.d/x", ".hidden", "a/b", "a\0b", "x" * 200, "con\nfig"])
def test_images_are_added_inside_only(guarded, image):
    before = guarded.files()
    content = guarded.outside.read_bytes()
    response = guarded.call("PUT", "/datastore/image", params={"image": image}, files=_file("x.nii.gz", content))
    assert response.status_code == 400, response.text
    sentence(response)
    named = guarded.call("PUT", "/datastore/image", files=_file(f"../{quote(image)}.nii.gz", b"no image"))
    assert named.status_code == 400
    assert guarded.files() == before


def test_an_image_is_added_once_and_removed(guarded):
    content = guarded.outside.read_bytes()
    for status in (200, 400):  # the second would replace another's MR
        response = guarded.call("PUT", "/datastore/image", params={"image": "added"}, files=_file("x.nii.gz", content))
        assert response.status_code == status, response.text
    got = guarded.call("GET", "/datastore/image", params={"image": "added"})
    assert _same_volume(guarded, got.content)
    assert guarded.call("HEAD", "/datastore/image", params={"image": "added"}).status_code == 200
    assert guarded.call("DELETE", "/datastore/image", params={"id": "added"}).status_code == 200
    assert guarded.call("HEAD", "/datastore/image", params={"image": "added"}).status_code == 404


# ---------------------------------------------------------------- sessions


def test_session_from_upload_to_removal(guarded):
    """The name that the client gave its file, which may be a patient's, is not kept."""
    files = {"files": ("JOHN_DOE.nii.gz", guarded.outside.read_bytes())}
    made = guarded.call("PUT", "/session/", files=files).json()
    assert "DOE" not in json.dumps(made)
    assert str(guarded.root) not in json.dumps(made)
    session = made["session_id"]
    assert guarded.call("GET", f"/session/{session}").json()["name"] == session
    image = guarded.call("GET", f"/session/{session}", params={"image": True})
    assert _same_volume(guarded, image.content)
    answer = guarded.call(
        "POST",
        f"/infer/{MODEL}",
        params={"session_id": session, "image": "JOHN_DOE", "output": "json"},  # Slicer names its volume as well
        data=form(),
        files=_file("a.nii.gz", guarded.label, "label"),
    )
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["lesions"]) == 1
    assert "DOE" not in answer.text
    assert guarded.call("DELETE", f"/session/{session}").status_code == 200
    assert guarded.call("GET", f"/session/{session}").status_code == 404


def test_there_are_only_so_many_sessions(guarded):
    files = {"files": ("a.nii.gz", guarded.outside.read_bytes())}
    made = [guarded.call("PUT", "/session/", files=files).json()["session_id"] for _ in range(2)]
    refused = guarded.call("PUT", "/session/", files=files)
    assert refused.status_code == 429
    assert "2 already" in sentence(refused)
    for session in made:
        assert guarded.call("DELETE", f"/session/{session}").status_code == 200


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("slip.zip", {"uncompress": True}, 403),
        ("slip.tar.gz", {"uncompress": True}, 403),
        ("slip.zip", {}, 400),
        ("..", {}, 400),
        ("../../x.nii.gz", {}, 400),
        ("x.nii.gz", {}, 400),
    ],
)
def test_sessions_take_volumes_only(guarded, name, query, status):
    before = guarded.files()
    response = guarded.call("PUT", "/session/", params=query, files={"files": (name, b"PK\x03\x04 ../../x")})
    assert response.status_code == status, response.text
    sentence(response)
    assert guarded.files() == before


def test_a_single_file_is_predicted_and_forgotten(guarded):
    before = guarded.files()
    response = guarded.call(
        "POST",
        f"/infer/{MODEL}",
        data=form(),
        files={"file": ("x.nii.gz", guarded.outside.read_bytes()), "label": ("l.nii.gz", guarded.label.read_bytes())},
    )
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("multipart/form-data")
    assert guarded.files() == before


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1, 2]",
        "3",
        "null",
        '"text"',
        '{"bands": NaN}',
        "[" * 100000,
        '{"bands": 99}',
        '{"no": 1}',
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_parameters_must_be_an_object_of_known_options(guarded, text):
    response = guarded.call("POST", f"/infer/{MODEL}", params={"image": IMAGE, "output": "json"}, data={"params": text})
    assert response.status_code == (200 if text == "" else 400), response.text
    if text:
        sentence(response)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"image": IMAGE, "session_id": "x"}, 404),
        ({"image": IMAGE, "output": "zip"}, 422),
        ({"image": IMAGE, "output": "dicom_seg"}, 400),
        ({"image": "not-an-mr"}, 400),
        ({"image": "nobody"}, 404),
        ({"session_id": "nobody"}, 404),
        ({"session_id": "00000000-0000-0000-0000-000000000000"}, 404),
    ],
    ids=str,
)
def test_bad_inference_requests(guarded, query, status):
    response = guarded.call("POST", f"/infer/{MODEL}", params=query, data=form())
    assert response.status_code == status, response.text
    sentence(response)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/infer/nobody?image=x", None, 404),
        ("POST", "/train/nobody", {}, 404),
        ("POST", f"/train/{MODEL}", [1], 422),
        ("POST", f"/train/{MODEL}", {"max_epochs": "x"}, 400),
        ("POST", f"/batch/infer/{MODEL}?images=/etc", {}, 422),
        ("POST", "/batch/infer/nobody", {}, 404),
        ("POST", "/activelearning/nobody", {}, 404),
        ("GET", "/train/?check_if_running=true", None, 404),
        ("GET", "/batch/infer", None, 404),
        ("GET", "/datastore/?output=secret", None, 422),
        ("GET", "/datastore/image", None, 422),
        ("PATCH", "/datastore/", None, 405),
        ("GET", f"/answers/{quote('nobody')}", None, 404),
    ],
)
def test_bad_requests(guarded, method, path, body, status):
    response = guarded.call(method, path, json=body)
    assert response.status_code == status, response.text
    sentence(response)


def test_broken_form(guarded):
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = guarded.call("POST", f"/infer/{MODEL}?image={IMAGE}", data=b"--y\r\nbroken", headers=headers)
    assert 400 <= response.status_code < 500
    sentence(response)


def test_checksums(guarded):
    content = (guarded.root / "studies" / f"{IMAGE}.nii.gz").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    for check_sum, status in [(digest, 200), (f"SHA256:{digest}", 200), ("SHA256:0", 404), ("CRC:0", 400)]:
        response = guarded.call("HEAD", "/datastore/image", params={"image": IMAGE, "check_sum": check_sum})
        assert response.status_code == status


def test_info_must_be_an_object_and_cannot_move_an_image(guarded):
    assert (
        guarded.call("PUT", "/datastore/image/info", params={"image": IMAGE}, data={"info": "[1]"}).status_code == 400
    )
    answer = guarded.call(
        "PUT", "/datastore/image/info", params={"image": IMAGE}, data={"info": '{"path": "/etc/passwd", "seen": 1}'}
    )
    assert answer.status_code == 200
    info = guarded.call("GET", "/datastore/image/info", params={"image": IMAGE}).json()
    assert info["seen"] == 1
    assert "path" not in info


def test_health_answers_while_inference_runs(guarded):
    with ThreadPoolExecutor(24) as pool:
        running = [pool.submit(guarded.server.infer, MODEL, IMAGE, None, guarded.label) for _ in range(24)]
        waits = []
        while not all(job.done() for job in running):
            begin = time.monotonic()
            assert guarded.call("GET", "/health").status_code == 200
            waits.append(time.monotonic() - begin)
        assert {job.result().status_code for job in running} == {200}
    assert len(waits) > 1
    assert np.median(waits) < 1.0


def test_last_answer_is_kept_for_panels(guarded):
    assert guarded.works()
    answer = guarded.call("GET", f"/answers/{IMAGE}").json()
    assert answer["image"] == IMAGE


def test_images_come_as_files(guarded):
    response = guarded.server.infer(MODEL, IMAGE, {"result_extension": ".nrrd"}, guarded.label, output="image")
    assert response.status_code == 200
    path = guarded.root / "answer.nrrd"
    path.write_bytes(response.content)
    assert sitk.ReadImage(str(path)).GetSize() == SHAPE
    assert response.content.startswith(b"NRRD")


def test_survives_all_of_it(guarded):
    """The last test of this file: the server that took all of the above works, and said nothing of how it is built."""
    assert guarded.works()
    assert "Traceback" not in guarded.server.log
    assert guarded.server.process.poll() is None
