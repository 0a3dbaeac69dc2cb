"""Logs at INFO: a patient with a name, an id and a birth date that occur nowhere else is sent through everything."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import monailabel
import numpy as np
import pydicom
import pytest
import requests
from app_server import AppServer
from dicomweb_client import DICOMwebClient
from guard_case import form, lesion, write_dicom, write_nifti
from hypothesis import given
from hypothesis import strategies as st
from orthanc_server import OrthancServer
from pulsar_app.server.discreet import REMOVED, WithoutExceptionText, WithoutQuery, redact
from treatment_response.dicom.write import PatientIds

PATIENT = PatientIds("PID7733991", "XYLOPHON^QUENTIN", "19310217", "M")
ODD_BIRTH_DATE = "1931-17-99"
PRIVATE = ("xylophon", "quentin", "7733991", "19310217", "1931-02-17", ODD_BIRTH_DATE)
MODEL = "pulsar_response"


def private_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if any(word in line.lower() for word in PRIVATE)]


@pytest.fixture(scope="module")
def series(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two series of the patient; the second has a birth date that pydicom does not take, and would quote."""
    client, found = DICOMwebClient(orthanc.dicomweb), []
    for name in ("plain", "odd"):
        folder = tmp_path_factory.mktemp(name)
        found.append(write_dicom(folder, PATIENT, f"logs {name}"))
        datasets = [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
        for dataset in datasets:
            if name == "odd":
                dataset.add(pydicom.DataElement(0x00100030, "DA", ODD_BIRTH_DATE, validation_mode=0))
        client.store_instances(datasets)
    return found


@pytest.fixture(scope="module")
def server(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """With an access log, which MONAI Label switches off."""
    folder = tmp_path_factory.mktemp("logs")
    logging_json = json.loads((Path(monailabel.__file__).parent / "logging.json").read_text())
    logging_json["loggers"]["uvicorn.access"]["level"] = "INFO"
    text = json.dumps(logging_json).replace("${LOGFILE}", str(folder / "app.log"))
    (folder / "logging.json").write_text(text)
    running = AppServer(orthanc.dicomweb, folder)
    running._command += ["--access_log", "--log_config", str(folder / "logging.json")]
    with running:
        yield running


def test_nothing_of_the_patient_is_in_the_log(server, series, orthanc, tmp_path):
    label = write_nifti(tmp_path / "label.nii.gz", lesion().astype(np.uint8)).read_bytes()
    url = server.url

    def call(method: str, path: str, **more: object) -> requests.Response:
        return requests.request(method, url + path, timeout=120, **more)  # type: ignore[arg-type]

    for uid in series:
        call("GET", f"/datastore/image?image={uid}")
        call("GET", f"/datastore/image/info?image={uid}")
        call("POST", f"/infer/{MODEL}?image={uid}", data=form(), files={"label": ("XYLOPHON.nii.gz", label)})
        call("POST", f"/infer/{MODEL}?image={uid}", data=form(rois=["XYLOPHON"]))
        call("POST", f"/infer/{MODEL}?image={uid}", data={"params": "XYLOPHON"})
        for tag in ("original", "final"):
            call(
                "PUT",
                f"/datastore/label?image={uid}&tag={tag}",
                data=form(label_info=[{"name": "GTV", "idx": 1}], PatientName="XYLOPHON^QUENTIN"),
                files={"label": ("XYLOPHON.nii.gz", label)},
            )
            call("GET", f"/datastore/label/info?label={uid}&tag={tag}")
        call("PUT", f"/datastore/image/info?image={uid}", data={"info": '{"PatientID": "PID7733991"}'})
        call("GET", f"/answers/{uid}")
    good = call("POST", f"/infer/{MODEL}?image={series[0]}&output=json", data=form())
    assert good.status_code == 200, good.text
    call("GET", "/info/")
    call("GET", "/datastore/?output=all")
    call("POST", "/activelearning/uncertainty", json={"client_id": "user"})
    call("POST", f"/train/{MODEL}", json={"name": "XYLOPHON"})
    proxied = call("GET", "/proxy/dicom/qido/studies?PatientName=XYLO*&PatientBirthDate=19310217&PatientID=PID7733991")
    assert proxied.status_code == 200
    call("GET", f"/proxy/dicom/qido/series?SeriesInstanceUID={series[0]}&includefield=all&PatientName=XYLOPHON")
    call("GET", "/proxy/dicom/qido/studies/x?PatientName=XYLOPHON")
    call("GET", "/nowhere?PatientName=XYLOPHON^QUENTIN")
    call("GET", f"/ohif/viewer?StudyInstanceUIDs=1.2&PatientName=XYLOPHON&token={'x' * 20}")
    call("POST", "/auth/token", data={"username": "QUENTIN", "password": "XYLOPHON"})
    made = call("PUT", "/session/", files={"files": ("XYLOPHON_QUENTIN.nii.gz", label)}).json()
    call("DELETE", f"/session/{made['session_id']}")
    assert call("POST", f"/batch/infer/{MODEL}", json={"redo": True}).status_code == 200
    _wait_for(url, "/batch/infer")
    _wait_for(url, "/train/")

    log = server.log
    assert log.count("GET /proxy/dicom/qido/studies") >= 2, "the access log is on"
    assert private_in(log) == []
    assert private_in((server.log_path.parent / "app.log").read_text()) == []
    assert "Traceback" not in log
    # Neither does it get into what the server writes beside the images, nor into the names of files.
    for path in server.log_path.parent.rglob("*"):
        assert private_in(str(path.relative_to(server.log_path.parent))) == []
        if path.suffix in (".csv", ".jsonl", ".log") and path.is_file():
            assert private_in(path.read_text(encoding="utf-8")) == [], path.name


def _wait_for(url: str, path: str) -> None:
    until = time.monotonic() + 120
    while requests.get(f"{url}{path}", params={"check_if_running": True}, timeout=10).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.2)


# ---------------------------------------------------------------- the means, one by one


@pytest.mark.parametrize(
    "text",
    [
        "PatientName=XYLOPHON^QUENTIN",
        "{'PatientName': 'XYLOPHON^QUENTIN', 'x': 1}",
        '{"PatientID": "PID7733991"}',
        "(0010, 0030) Patient's Birth Date                DA: '19310217'",
        "(0010,0010) PN: 'XYLOPHON^QUENTIN'",
        "GET http://pacs/studies?PatientName=XYLOPHON&x=1 200",
        'GET /qido/studies?00100020=PID7733991 HTTP/1.1"',
        "PatientBirthDate: 19310217",
        "Patient ID: PID7733991;",
    ],
)
def test_redact_cuts_values_of_patients(text):
    assert private_in(redact(text)) == []
    assert REMOVED in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh.secret.token",
        "headers {'Authorization': 'Basic secret=='}",
        "access_token=secret&x",
        '{"password": "secret", "x": 1}',
        "http://user:secret@pacs/dicom-web",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.secret",
    ],
)
def test_redact_cuts_tokens_and_passwords(text):
    assert "secret" not in redact(text)


@pytest.mark.parametrize(
    "text", ["Loading data from /srv/studies", "incident 0a1b2c3d: ValueError at a.py:3 f", "p = 0.5; q: 3", ""]
)
def test_redact_leaves_the_rest(text):
    assert redact(text) == text


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N")), min_size=4))
def test_redact_cuts_whatever_the_name_is(name):
    assert name not in redact(f"PatientName={name}").removeprefix("PatientName=").replace(REMOVED, "")


def test_access_log_loses_its_query():
    args = ("1", "GET", "/a?PatientName=X", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', args, None)
    assert WithoutQuery().filter(record)
    assert record.getMessage() == '1 - "GET /a HTTP/1.1" 200'


def test_exceptions_lose_their_text():
    try:
        raise ValueError("XYLOPHON")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), (ValueError, error, error.__traceback__))
    assert WithoutExceptionText().filter(record)
    assert logging.Formatter().format(record) == "it failed (ValueError)"
