"""Storing in a real PACS; and, against a small stand-in, the answers that a well-behaved one never gives."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from orthanc_server import OrthancServer, free_port, missing_orthanc
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from result_cases import SHAPE, mr_source
from treatment_response.dicom.results.boost import boost_structure_set
from treatment_response.dicom.results.model import ModelIdentity
from treatment_response.dicom.results.stow import stow
from treatment_response.dicom.source import MrSource
from treatment_response.problems import DataProblem

IDENTITY = ModelIdentity("PULSAR response", "0123456789ab+0.1.0", "demo (synthetic)", "RESEARCH ONLY, a test.", True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MrSource:
    return mr_source(tmp_path_factory.mktemp("mr"))


@pytest.fixture
def objects(source: MrSource) -> list[Dataset]:
    """Two structure sets of a study of their own."""
    region = np.zeros(SHAPE, bool)
    region[4:8, 4:8, 2:4] = True
    made = [boost_structure_set(source, {name: region}, IDENTITY) for name in ("L1", "L2")]
    made[1].SeriesDescription = "RESEARCH ONLY second"
    study = generate_uid()
    for dataset in made:
        dataset.StudyInstanceUID = study
    return made


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def stand_in(
    status: int, body: object = None, media_type: str = "application/dicom+json", location: str = "", token: str = ""
) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything; yields its address and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            assert self.headers.get("Authorization", "") == token
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web", asked
    finally:
        server.shutdown()
        server.server_close()


def answer_json(stored: list[Dataset], refused: list[tuple[Dataset, int]]) -> dict[str, object]:
    answer = Dataset()
    answer.ReferencedSOPSequence, answer.FailedSOPSequence = [], []
    for dataset in stored:
        item = Dataset()
        item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
        answer.ReferencedSOPSequence.append(item)
    for dataset, reason in refused:
        item = Dataset()
        item.ReferencedSOPInstanceUID, item.FailureReason = dataset.SOPInstanceUID, reason
        answer.FailedSOPSequence.append(item)
    return answer.to_json_dict()  # type: ignore[no-any-return]


def refusal(objects: list[Dataset], url: str) -> str:
    with pytest.raises(DataProblem) as caught:
        stow(objects, url)
    text = str(caught.value)
    assert str(objects[0].PatientName) not in text
    assert objects[0].PatientID not in text
    return text


def test_what_was_stored_is_in_the_pacs_as_it_was(orthanc: OrthancServer, objects: list[Dataset]) -> None:
    stow(objects, orthanc.dicomweb + "/")
    stow(objects, orthanc.dicomweb)  # again: the same objects are no error
    session = requests.Session()
    session.trust_env = False
    for dataset in objects:
        (found,) = session.post(f"{orthanc.url}/tools/lookup", data=dataset.SOPInstanceUID, timeout=10).json()
        sent = BytesIO()
        dataset.save_as(sent)
        assert session.get(f"{orthanc.url}{found['Path']}/file", timeout=10).content == sent.getvalue()


def test_partial_refusal_of_a_real_pacs_is_told_by_name(objects: list[Dataset], tmp_path: Path) -> None:
    if reason := missing_orthanc():
        pytest.skip(reason)
    # Too large for what is left of its storage of 1 MB, and there is no older patient that it could delete.
    objects[1].EncapsulatedDocument = bytes(2_000_000)
    with OrthancServer(tmp_path / "pacs", {"MaximumStorageSize": 1}) as pacs:
        text = refusal(objects, pacs.dicomweb)
        assert "of 2 objects it did not store 1: RTSTRUCT 'RESEARCH ONLY second'" in text
        assert len(pacs.get("/instances")) == 1


def test_nothing_is_sent_if_one_object_is_faulty(objects: list[Dataset]) -> None:
    with stand_in(200) as (url, asked):

        def expect(fault: str) -> None:
            assert fault in refusal(objects, url)

        kept = objects[1]
        for keyword, value, fault in (
            ("SOPClassUID", "", "it has no SOPClassUID"),
            ("SeriesDescription", "CAM", "does not start with RESEARCH ONLY"),
            ("StudyInstanceUID", "1.2.3", "expected objects of one study, found 2"),
            ("PatientID", "someone else", "expected objects of one patient, found 2"),
            ("SOPInstanceUID", objects[0].SOPInstanceUID, "differ in their SOP Instance UID"),
            ("SOPInstanceUID", "1.2.3", "meta information is of another object"),
        ):
            objects[1] = copy.deepcopy(kept)
            setattr(objects[1], keyword, value)
            expect(fault)
        del objects[1].file_meta
        expect("cannot be written as DICOM")
        with pytest.raises(DataProblem, match="no object to store"):
            stow([], url)
        assert asked == []


@pytest.mark.parametrize("url", ["", "pacs:8042", "file:///etc", "http://", "ftp://pacs/dicom-web", "http://[1"])
def test_what_is_no_address_is_refused(objects: list[Dataset], url: str) -> None:
    assert "starts with http" in refusal(objects, url)


def test_no_pacs_there(objects: list[Dataset]) -> None:
    text = refusal(objects, f"http://user:secret@127.0.0.1:{free_port()}/dicom-web")
    assert "cannot be reached" in text
    assert "secret" not in text


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirections_are_not_followed(objects: list[Dataset], status: int) -> None:
    with stand_in(200) as (other, asked), stand_in(status, location=other + "/studies") as (url, _):
        assert "redirects to another address" in refusal(objects, url)
        assert asked == []


def test_proxies_of_the_environment_are_not_used(objects: list[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in(200) as (proxy, asked), stand_in(200, answer_json(objects, [])) as (url, reached):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        stow(objects, url)
        assert (len(asked), len(reached)) == (0, 1)


class CloudSession(requests.Session):
    """A session whose login is an attribute of its own, as that of a cloud archive."""

    token = "none"

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        options["headers"] = {**options["headers"], "Authorization": f"Bearer {self.token}"}
        return super().request(method, url, **options)


def test_the_login_of_the_session_is_used_and_the_session_left_as_it_was(objects: list[Dataset]) -> None:
    session = CloudSession()
    session.token = "secret"
    before = dict(vars(session))
    with stand_in(200, answer_json(objects, []), token="Bearer secret") as (url, asked):
        stow(objects, url, session)
        assert len(asked) == 1
    assert vars(session) == before


@pytest.mark.parametrize("media_type", ["application/dicom+json", "application/dicom+json; charset=utf-8"])
@pytest.mark.parametrize("status", [200, 202])
def test_refusals_are_told_whatever_the_status(objects: list[Dataset], status: int, media_type: str) -> None:
    body = answer_json(objects[:1], [(objects[1], 0xA701)])
    with stand_in(status, body, media_type) as (url, _):
        text = refusal(objects, url)
    assert "refused 1 of 2 objects (RTSTRUCT 'RESEARCH ONLY second', out of resources A701H)" in text


def test_all_refused(objects: list[Dataset]) -> None:
    with stand_in(409, answer_json([], [(dataset, 0x0124) for dataset in objects])) as (url, _):
        text = refusal(objects, url)
    assert "refused 2 of 2 objects" in text
    assert "not authorised 0124H" in text
    assert "nothing was stored" in text


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, None, "asks for a login, nothing was stored (HTTP 401)"),
        (404, b"<html>", "no STOW-RS service at this address, nothing was stored (HTTP 404)"),
        (500, b"trace", "unknown what it stored (HTTP 500)"),
        (503, None, "unknown what it stored (HTTP 503)"),
        (200, b"<html>", "not that of a STOW-RS service"),
        (200, ["no object"], "not that of a STOW-RS service"),
        (200, None, "did not say what it stored"),
    ],
)
def test_strange_answers_are_one_sentence(objects: list[Dataset], status: int, body: object, told: str) -> None:
    with stand_in(status, body) as (url, asked):
        text = refusal(objects, url)
    assert told in text
    assert "\n" not in text
    assert asked == ["/dicom-web/studies"]  # once
