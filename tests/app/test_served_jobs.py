"""A system that takes long, on a real PACS: a job with progress, which registers, predicts and stores its map."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from app_server import AppServer
from pacs_case import retrieve, send, series_of
from patient_case import DAYS, PEAK_GY, SPOT_MM, write_patient
from system_case import CLASSES, ENVIRONMENT, MODEL, write_system
from treatment_response.dicom.write import PatientIds

INPUTS = {"dose": "dose of finished courses", "now": "this series", "before": "earlier contrast T1"}
PATIENT = PatientIds("SYN-073", "SYNTHETIC^073", "19500104", "F")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def study(orthanc, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("patient")
    uids = write_patient(folder, PATIENT, "served jobs")
    send(folder, orthanc.dicomweb)
    return uids


@pytest.fixture(scope="module")
def server(orthanc, study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    folder = tmp_path_factory.mktemp("server")
    systems = write_system(folder / "system", INPUTS, (0,), brightest=PEAK_GY, pixel_mm=2.5, long_work=True)
    with AppServer(orthanc.dicomweb, folder, {"systems": str(systems)}, ENVIRONMENT, ready="/info/") as running:
        yield running


def ended(server: AppServer, job: str) -> tuple[dict[str, Any], list[str]]:
    """Where a job ended, and the stages that were seen on the way."""
    stages: list[str] = []
    for _ in range(1200):
        told = requests.get(f"{server.url}/jobs/{job}", timeout=10).json()
        if told["stage"] and told["stage"] not in stages:
            stages.append(told["stage"])
        if told["state"] not in ("waiting", "running"):
            return told, stages
        time.sleep(0.05)
    raise AssertionError(told)


def highest_mm(parametric: Any) -> np.ndarray:
    """Centre of the upper half of a Parametric Map, by its own attributes alone, as RAS mm."""
    rows, columns = parametric.Rows, parametric.Columns
    values = np.frombuffer(parametric.FloatPixelData, np.float32).reshape(-1, rows, columns)
    shared = parametric.SharedFunctionalGroupsSequence[0]
    down, across = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    points, weights = [], []
    for plane, frame in zip(values, parametric.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(plane > 0.5):
            points.append(corner + orientation[:3] * column * across + orientation[3:] * row * down)
            weights.append(plane[row, column])
    return np.average(points, axis=0, weights=weights) * (-1, -1, 1)


def test_a_long_model_is_a_job_whose_result_is_stored_in_its_place(server, orthanc, study):
    study_uid, series_uid = study
    params = {"explanation": "brightness", "shown": "PR", "store": True}
    begun = server.infer(MODEL, series_uid, params)
    assert begun.status_code == 202, begun.text
    job = begun.json()["job"]
    assert begun.headers["location"] == f"/jobs/{job}"
    assert server.infer(MODEL, series_uid, params).json()["job"] == job
    told, stages = ended(server, job)
    assert told["state"] == "done", told
    assert "registering" in stages
    answer = requests.get(f"{server.url}/jobs/{job}/result", params={"output": "json"}, timeout=10).json()
    assert set(answer["probabilities"]) == set(CLASSES["names"])
    assert answer["inputs"] == {
        "dose": "physical dose of 1 finished course",
        "now": "this series",
        "before": f"contrast T1 of {DAYS} days before, registered",
    }
    stored = {one["kind"]: one for one in answer["stored"]}
    assert set(stored) == {"parametric map", "bands"}
    assert {one["series_uid"] for one in stored.values()} <= {
        uid for uids in series_of(orthanc.dicomweb, study_uid).values() for uid in uids
    }
    (parametric,) = retrieve(orthanc.dicomweb, study_uid, stored["parametric map"]["series_uid"])
    np.testing.assert_allclose(highest_mm(parametric), SPOT_MM, atol=1.0)
    assert parametric.SeriesDescription == "RESEARCH ONLY #1 map brightness PR SYNTHETIC DATA"
    (explained,) = [
        item.ConceptCodeSequence[0].CodeMeaning
        for mapping in [parametric.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]]
        for item in mapping.QuantityDefinitionSequence
        if item.ConceptNameCodeSequence[0].CodeValue == "explained-class"
    ]
    assert explained == "PR"
    # What was answered a moment ago is the answer of the same request, as viewers ask for it.
    again = server.infer(MODEL, series_uid, params, output="image")
    assert (again.status_code, again.headers["content-type"]) == (200, "application/octet-stream")
    assert requests.get(f"{server.url}/pulsar/answers/{series_uid}", timeout=10).json() == answer
    for text in (json.dumps(answer), server.log):
        assert PATIENT.patient_id not in text
        assert PATIENT.name not in text
    lines = [json.loads(line) for line in (server.app / "logs" / "audit.log").read_text().splitlines()]
    of_jobs = {line["study"] for line in lines if line["action"].startswith("GET /jobs/{job}")}
    assert of_jobs == {line["study"] for line in lines if line["action"] == "POST /infer/{model}"}
    assert None not in of_jobs


def test_jobs_are_listed_cancelled_and_refused_in_one_sentence(server, study, tmp_path):
    _, series_uid = study
    (tmp_path / "label.nii.gz").write_bytes(b"")
    begun = server.infer(MODEL, series_uid, {"shown": "CR"}).json()["job"]
    assert begun in [one["job"] for one in requests.get(f"{server.url}/jobs/", timeout=10).json()]
    assert requests.delete(f"{server.url}/jobs/{begun}", timeout=10).status_code == 200
    assert ended(server, begun)[0]["state"] in ("cancelled", "done")
    for response, status, words in (
        (requests.get(f"{server.url}/jobs/{UNKNOWN}", timeout=10), 404, "there is none of this id"),
        (requests.get(f"{server.url}/jobs/..%2fjobs", timeout=10), 404, ""),
        (server.infer(MODEL, series_uid, {"job": "yes"}), 400, "job: the value is not true or false"),
        (server.infer(MODEL, series_uid, {"shown": "response"}), 400, "give one of predicted, PD, SD, PR, CR"),
        (server.infer(MODEL, series_uid, label=tmp_path / "label.nii.gz"), 400, "on nothing that is sent along"),
    ):
        assert response.status_code == status, response.text
        assert words in response.json()["detail"]


def test_a_fast_model_is_a_job_where_it_is_asked_for(server, study):
    _, series_uid = study
    assert server.infer("pulsar_response", series_uid).status_code == 200
    begun = server.infer("pulsar_response", series_uid, {"job": True})
    assert begun.status_code == 202
    assert ended(server, begun.json()["job"])[0]["state"] == "done"
