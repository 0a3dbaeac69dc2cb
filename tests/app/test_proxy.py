"""The DICOM proxy before a real Orthanc: what was asked for, and nothing of other patients; no way out of DICOMweb."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pydicom
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from dicomweb_client import DICOMwebClient
from guard_case import SHAPE, send_raw, sentence, write_dicom
from orthanc_server import OrthancServer
from treatment_response.dicom.write import PatientIds
from treatment_response.dicom.write.base import derived_uid

PATIENTS = {name: PatientIds(f"PROXY{name.upper()}", f"SYNTHETIC^{name}", "19600101", "F") for name in ("one", "two")}


@pytest.fixture(scope="module")
def pacs(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> OrthancServer:
    """Two patients with a study each."""
    client = DICOMwebClient(orthanc.dicomweb)
    for name, patient in PATIENTS.items():
        folder = tmp_path_factory.mktemp(name)
        write_dicom(folder, patient, f"proxy {name}")
        client.store_instances([pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))])
    return orthanc


@pytest.fixture(scope="module")
def server(pacs: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    with AppServer(pacs.dicomweb, tmp_path_factory.mktemp("proxy")) as running:
        yield running


def study(name: str) -> str:
    return str(derived_uid(f"study proxy {name}"))


def series(name: str) -> str:
    return str(derived_uid(f"series proxy {name}"))


def get(server: AppServer, path: str, **more: Any) -> requests.Response:
    return requests.get(f"{server.url}/proxy/dicom/{path}", timeout=30, **more)


def uids(response: requests.Response, tag: str = "0020000D") -> set[str]:
    assert response.status_code == 200, response.text
    return {entry[tag]["Value"][0] for entry in response.json()}


def _entries(response: requests.Response) -> list[dict[str, Any]]:
    """Without the archive's address, which it takes from the request."""
    return [{tag: value for tag, value in entry.items() if tag != "00081190"} for entry in response.json()]


@pytest.mark.parametrize("root", ["qido/", "wado/", ""])
def test_a_query_for_one_study_returns_only_that_study(server, root):
    assert {study("one"), study("two")} <= uids(get(server, f"{root}studies"))
    assert uids(get(server, f"{root}studies", params={"StudyInstanceUID": study("one")})) == {study("one")}
    assert uids(get(server, f"{root}studies?0020000D={study('two')}&limit=10")) == {study("two")}


def test_queries_reach_the_archive_unchanged(server, pacs):
    for query, expected in [
        ("PatientID=PROXYT*&includefield=all&fuzzymatching=false", {study("two")}),
        ("PatientID=PROXYT%2A", set()),  # as it came, so it fails as it does without the proxy: Orthanc 1.10 wants a *
        ("PatientID=PROXYONE&limit=1&offset=0", {study("one")}),
        ("PatientName=%C3%A9%5E%26%3D", set()),
        ("PatientID=PROXYONE&PatientID=PROXYTWO", None),
    ]:
        found = get(server, f"qido/studies?{query}")
        own = requests.get(f"{pacs.dicomweb}/studies?{query}", timeout=30)
        assert _entries(found) == _entries(own)
        assert expected is None or uids(found) == expected
    assert uids(get(server, "qido/series?Modality=MR&PatientID=PROXYONE"), "0020000E") == {series("one")}
    several = get(server, f"qido/studies/{study('one')}/series?includefield=00080021&includefield=0008103E")
    assert uids(several, "0020000E") == {series("one")}
    assert get(server, "qido/studies", params={"PatientID": "nobody"}).json() == []


def test_what_the_viewer_retrieves(server, pacs):
    metadata = get(server, f"wado/studies/{study('one')}/series/{series('one')}/metadata")
    assert metadata.headers["content-type"].startswith("application/dicom+json")
    assert {entry["00100020"]["Value"][0] for entry in metadata.json()} == {"PROXYONE"}
    instance = metadata.json()[0]["00080018"]["Value"][0]
    path = f"studies/{study('one')}/series/{series('one')}/instances/{instance}"
    headers = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    frame = get(server, f"wado/{path}/frames/1", headers=headers)
    own = requests.get(f"{pacs.dicomweb}/{path}/frames/1", headers=headers, timeout=30)
    assert frame.status_code == 200
    assert (
        frame.headers["content-type"].partition("boundary")[0] == own.headers["content-type"].partition("boundary")[0]
    )
    assert len(frame.content) == len(own.content)
    whole = get(server, f"wado/{path}", headers={"Accept": 'multipart/related; type="application/dicom"'})
    assert b"PROXYONE" in whole.content
    # MONAI Label's viewer asks for metadata under the search service, too.
    assert get(server, f"qido/studies/{study('one')}/series/{series('one')}/metadata").json() == metadata.json()


def test_a_dicomweb_client_works_through_it(server):
    client = DICOMwebClient(f"{server.url}/proxy/dicom", qido_url_prefix="qido", wado_url_prefix="wado")
    found = client.search_for_series(search_filters={"StudyInstanceUID": study("two")})
    assert [entry["0020000E"]["Value"][0] for entry in found] == [series("two")]
    instances = client.retrieve_series(study("two"), series("two"))
    assert {str(instance.PatientID) for instance in instances} == {"PROXYTWO"}


@pytest.mark.parametrize(
    "path",
    [
        "qido/..%2f..%2fsystem",
        "qido/%2e%2e/%2e%2e/system",
        "qido/../../system",
        "wado/..%2f..%2ftools/generate-uid",
        "wado/studies/..%2f..%2fpatients",
        "wado/studies/1.2/../../../patients",
        "wado/studies/1.2%00",
        "wado/studies/1.2%0d%0aX-Evil:1",
        "wado/studies/1.2%3fx=1",
        "wado/studies/1.2%23x",
        "wado//system",
        "//127.0.0.1:1/x",
        "http://127.0.0.1:1/x",
        "@127.0.0.1/x",
        "system",
        "patients",
        "wado/servers",
        "qido/studies/x",
        "qido/studies/1.2/archive",
        "",
        "wado",
    ],
)
def test_only_dicomweb_is_reached(server, path):
    status, body = send_raw(server.port, "GET", f"/proxy/dicom/{path}")
    assert status == 404, body
    assert list(json.loads(body)) == ["detail"]


def test_nothing_is_stored_or_deleted_through_it(server, pacs):
    before = pacs.get("/statistics")["CountInstances"]
    for method, path, status in [
        ("POST", "stow/studies", 403),
        ("POST", "wado/studies", 403),
        ("POST", "studies", 403),
        ("POST", "qido/studies", 403),
        ("PUT", "wado/studies", 405),
        ("DELETE", f"wado/studies/{study('one')}", 405),
        ("PATCH", "wado/studies", 405),
    ]:
        response = requests.request(method, f"{server.url}/proxy/dicom/{path}", data=b"x", timeout=30)
        assert response.status_code == status, (method, path)
        sentence(response)
    assert pacs.get("/statistics")["CountInstances"] == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("wado/studies/1.2.3/series/1.2.4/metadata", (200, 404)),
        ("wado/studies/1.2.3", (404,)),
        (f"qido/studies?limit=x{'y' * 10}", (400,)),
    ],
)
def test_what_the_archive_refuses(server, path, status):
    response = get(server, path)
    assert response.status_code in status
    if response.status_code != 200:
        assert "Orthanc" not in sentence(response)


def test_series_are_images_of_the_datastore(server, tmp_path):
    response = requests.get(f"{server.url}/datastore/image", params={"image": series("one")}, timeout=60)
    assert response.status_code == 200, response.text
    path = tmp_path / "image.nii.gz"
    path.write_bytes(response.content)
    assert sorted(sitk.ReadImage(str(path)).GetSize()) == sorted(SHAPE)
    answer = server.infer("pulsar_response", series("one"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["lesions"] == []  # no GTV yet: said in a sentence, not an error
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "image",
    [
        "1.2.3.4.5",
        "..",
        "../..",
        "/etc/passwd",
        "{series}/../../x",
        "{series}\\*",
        "*",
        "1.2.*",
        "{series}&StudyInstanceUID=*",
        "{study}",
        "1" * 65,
        "1..2",
        "{series}.nii.gz",
        "{series}\0",
    ],
)
def test_no_other_ids_are_asked_for(server, image):
    name = image.replace("{series}", series("two")).replace("{study}", study("two"))
    before = set(server.temporary.parent.rglob("*"))
    for method, path, params in [
        ("POST", "/infer/pulsar_response", {"image": name}),
        ("GET", "/datastore/image", {"image": name}),
        ("GET", "/datastore/image/info", {"image": name}),
        ("GET", "/datastore/label", {"label": name, "tag": "final"}),
        ("DELETE", "/datastore/label", {"id": name, "tag": "final"}),
        # A client takes /answers/.. for the home page before it asks.
        *([] if name == ".." else [("GET", "/answers/" + quote(name, safe=""), {})]),
    ]:
        response = requests.request(method, server.url + path, params=params, timeout=60)
        assert response.status_code == 404, (method, path, response.text)
        sentence(response)
    assert set(server.temporary.parent.rglob("*")) == before


def test_images_of_the_archive_are_not_added_or_removed(server, pacs):
    before = pacs.get("/statistics")["CountInstances"]
    files = {"file": ("x.nii.gz", b"x")}
    added = requests.put(f"{server.url}/datastore/image", params={"image": "x"}, files=files, timeout=30)
    removed = requests.delete(f"{server.url}/datastore/image", params={"id": series("one")}, timeout=30)
    for response in (added, removed):
        assert response.status_code == 403
        assert "archive" in sentence(response)
    assert pacs.get("/statistics")["CountInstances"] == before


class Archive:
    """An archive that misbehaves: it redirects, fails, hangs up, and tells what it was sent."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.stored: list[tuple[str, str, bytes]] = []
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                archive.seen.append(dict(self.headers))
                kind = self.path.partition("?")[2].partition("=")[2]
                if kind == "redirect":
                    self.send_response(302)
                    self.send_header("Location", f"{archive.url}/studies?kind=good")
                elif kind == "hangup":
                    self.close_connection = True
                    return
                elif kind == "slow":
                    archive.release.wait(10)
                    return
                elif kind in ("401", "500", "503"):
                    self.send_response(int(kind))
                else:
                    self.send_response(200)
                    self.send_header("Set-Cookie", "archive=1")
                    self.send_header("Access-Control-Allow-Origin", "*")
                    self.send_header("Content-Type", "application/dicom+json")
                body = b"[]"
                if kind == "break":
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(body)
                    self.close_connection = True
                    return
                self.send_header("Server", "Archive/1.0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                archive.stored.append((self.path, self.headers["Content-Type"], sent))
                self.send_response(200)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: Any) -> None:
                pass

        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/dicom-web"


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    stand_in = Archive()
    thread = threading.Thread(target=stand_in.server.serve_forever, daemon=True)
    thread.start()
    yield stand_in
    stand_in.release.set()
    stand_in.server.shutdown()
    stand_in.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def before_archive(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    environment = {"MONAI_LABEL_DICOMWEB_PROXY_TIMEOUT": "1.0", "PULSAR_SERVER_ALLOW_STOW": "true"}
    with AppServer(archive.url, tmp_path_factory.mktemp("archive"), environment=environment) as running:
        yield running


def test_headers_of_the_user_stay_here(before_archive, archive):
    headers = {"Authorization": "Bearer user-token", "Cookie": "session=1", "Accept": "application/dicom+json"}
    response = get(before_archive, "qido/studies?kind=good", headers={**headers, "X-Forwarded-Host": "evil.example"})
    assert response.status_code == 200
    seen = {name.lower(): value for name, value in archive.seen[-1].items()}
    assert seen["accept"] == "application/dicom+json"
    assert not {"authorization", "cookie", "x-forwarded-host"} & set(seen)
    assert not {"set-cookie", "access-control-allow-origin"} & {name.lower() for name in response.headers}


@pytest.mark.parametrize(
    ("kind", "status"), [("redirect", 502), ("hangup", 502), ("slow", 504), ("401", 502), ("500", 502), ("503", 502)]
)
def test_a_bad_archive_is_told_in_a_sentence(before_archive, kind, status):
    response = get(before_archive, f"qido/studies?kind={kind}", allow_redirects=False)
    assert response.status_code == status
    assert "archive" in sentence(response).lower()
    assert "location" not in response.headers


def test_an_archive_that_breaks_off_is_one_line_of_the_log(before_archive):
    before = len(before_archive.log)
    with pytest.raises(requests.RequestException):
        get(before_archive, "qido/studies?kind=break")
    get(before_archive, "qido/studies?kind=good")
    said = before_archive.log[before:]
    assert "incident" not in said
    (line,) = [line for line in said.splitlines() if "broke off" in line]
    assert "WARNING" in line


def test_storing_where_the_settings_allow_it(before_archive, archive):
    url = f"{before_archive.url}/proxy/dicom"
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    body = bytes(range(256)) * 5000
    response = requests.post(f"{url}/stow/studies", data=body, headers={"Content-Type": kind}, timeout=30)
    assert response.status_code == 200, response.text
    assert archive.stored == [("/dicom-web/studies", kind, body)]
    for path in ("wado/studies/1.2/series", "stow/..%2ftools/shutdown", "stow/instances"):
        response = requests.post(f"{url}/{path}", data=b"x", headers={"Content-Type": kind}, timeout=30)
        assert response.status_code == 404, path
    assert len(archive.stored) == 1


def test_archive_gone(before_archive, archive):
    """The last test of this file: the server outlives its archive, and says that it does not answer."""
    archive.server.shutdown()
    archive.server.server_close()
    response = get(before_archive, "qido/studies")
    assert response.status_code == 502
    assert "does not answer" in sentence(response)
    response = before_archive.infer("pulsar_response", series("one"))
    assert response.status_code in (502, 503)
    sentence(response)
    assert requests.get(f"{before_archive.url}/health", timeout=10).status_code == 200
