"""Other systems than the bundle's own models, served by the real server on a real PACS from their overlays alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from pacs_case import retrieve, send, series_of
from patient_case import DAYS, PEAK_GY, SPOT_MM, marked_head, write_patient
from phantom_case import LESIONS, SHAPE, affine, ball
from pulsar_app.served_systems import read_systems
from stored_places import highest_mm
from system_case import CLASSES, ENVIRONMENT, overlay, write_system
from treatment_response.bands import label_values, legend
from treatment_response.classes import classes_of
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry import Volume
from treatment_response.geometry.itk import from_itk
from treatment_response.inference.case_explainer import CaseExplainer
from treatment_response.problems import DataProblem

FOUR, LONG, TWO = "tiny_four", "tiny_long", "tiny_one_logit"
TWO_CLASSES = {"names": ["effect", "recurrence"], "finding": "recurrence", "primary_metric": "auc"}
INPUTS = {"dose": "dose of finished courses", "now": "this series", "before": "earlier contrast T1"}
PATIENT = PatientIds("SYN-073", "SYNTHETIC^073", "19500104", "F")
UNKNOWN = "00000000-0000-4000-8000-000000000000"
NAMES = tuple(CLASSES["names"])


@pytest.fixture(scope="module")
def study(orthanc, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Study and series UID of the MR of now."""
    folder = tmp_path_factory.mktemp("patient")
    uids = write_patient(folder, PATIENT, "served systems")
    send(folder, orthanc.dicomweb)
    return uids


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of three systems: two of one image, and one that has to look for its inputs and takes long."""
    folder = tmp_path_factory.mktemp("systems")
    four = write_system(folder, FOUR, {"t1": "this series"}, 800.0, pixel_mm=2.5)
    long = write_system(folder, LONG, INPUTS, PEAK_GY, (0,), pixel_mm=2.5, long_work=True)
    one_logit = {**overlay({"t1": ""})["network_def"], "out_channels": 1}
    two = write_system(
        folder, TWO, {"t1": "this series"}, 800.0, (0,), classes=TWO_CLASSES, pixel_mm=2.5, network_def=one_logit
    )
    (folder / "systems.json").write_text(json.dumps({FOUR: four, LONG: long, TWO: two}))
    return folder / "systems.json"


@pytest.fixture(scope="module")
def server(orthanc, study, systems: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    folder = tmp_path_factory.mktemp("server")
    with AppServer(orthanc.dicomweb, folder, {"systems": str(systems)}, ENVIRONMENT, ready="/info/") as running:
        yield running


def answer(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return response.json()


def test_a_stock_network_of_four_classes_answers_in_its_own_words(server, study, systems):
    system = read_systems(systems)[0]
    explainer = CaseExplainer(system.configs, system.weights)
    expected = explainer.explain({"t1": Volume(marked_head(0), affine())}, name="case").result
    told = answer(server.infer(FOUR, study[1]))
    assert list(told["probabilities"]) == CLASSES["names"]
    assert sum(told["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    columns = [expected[column] for column in explainer.classes.columns]
    np.testing.assert_allclose(list(told["probabilities"].values()), columns, atol=1e-4)
    assert (told["class"], told["votes"]) == (expected["class"], expected["votes"])
    assert sum(told["votes"].values()) == 2
    assert told["certainty"]["calibrated"] is False
    assert told["notice"].startswith("RESEARCH ONLY")
    assert told["message"].startswith(f"Research only. {told['class']}: P(PD) ")
    assert told["inputs"] == {"t1": "this series"}
    assert told["model"]["classes"] == CLASSES
    assert told["map"]["colours"] == legend(5, classes_of(CLASSES))["colours"]
    info = answer(requests.get(f"{server.url}/info/", timeout=10))["models"]
    assert info[FOUR]["labels"] == label_values(classes_of(CLASSES))
    assert info[FOUR]["config"]["shown"] == ["predicted", *NAMES]
    assert info[LONG]["inputs"] == INPUTS
    assert info["pulsar_response"]["inputs"] == {"image": "this series", "mask": "each outline"}
    assert (info[FOUR]["long_work"], info[LONG]["long_work"]) == (False, True)


def test_a_network_of_one_logit_answers_for_two_classes(server, study, systems):
    system = read_systems(systems)[2]
    expected = CaseExplainer(system.configs, system.weights).explain(
        {"t1": Volume(marked_head(0), affine())}, name="case"
    )
    told = answer(server.infer(TWO, study[1]))
    assert list(told["probabilities"]) == TWO_CLASSES["names"]
    columns = [expected.result[f"p_{name}"] for name in TWO_CLASSES["names"]]
    np.testing.assert_allclose(list(told["probabilities"].values()), columns, atol=1e-4)
    assert sum(columns) == pytest.approx(1, abs=1e-5)
    assert told["class"] == expected.result["class"]


def test_the_map_of_a_class_lies_on_the_planted_signal_in_millimetres(server, study, tmp_path):
    params = {"explanation": "brightness", "shown": "PR", "result_extension": ".nrrd"}
    response = server.infer(FOUR, study[1], params, output="image")
    assert response.status_code == 200, response.text
    (tmp_path / "map.nrrd").write_bytes(response.content)
    labels = from_itk(sitk.ReadImage(str(tmp_path / "map.nrrd")))
    assert labels.array.shape == SHAPE
    np.testing.assert_allclose(labels.affine, affine(), atol=1e-3)
    names = {value: name for name, value in label_values(classes_of(CLASSES)).items()}
    assert all(names[value].startswith("CAM PR ") for value in np.unique(labels.array) if value)
    strongest = [value for value, name in names.items() if name.startswith("CAM PR 80")]
    planted = np.any([ball(*lesion) for lesion in LESIONS.values()], axis=0)
    centre = labels.to_world(np.argwhere(np.isin(labels.array, strongest))).mean(axis=0)
    np.testing.assert_allclose(centre, labels.to_world(np.argwhere(planted)).mean(axis=0), atol=0.7)


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


def test_a_long_model_is_a_job_whose_result_is_stored_in_its_place(server, orthanc, study):
    study_uid, series_uid = study
    params = {"explanation": "brightness", "shown": "PR", "store": True}
    begun = server.infer(LONG, series_uid, params)
    assert begun.status_code == 202, begun.text
    job = begun.json()["job"]
    assert begun.headers["location"] == f"/jobs/{job}"
    assert server.infer(LONG, series_uid, params).json()["job"] == job
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
    assert set(stored) == {"parametric map", "bands", "picture", "report"}
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
    (report,) = retrieve(orthanc.dicomweb, study_uid, stored["report"]["series_uid"])
    told = {str(item.value) for item in report.iterall() if item.keyword in ("CodeMeaning", "TextValue")}
    assert {f"Probability of {name}" for name in CLASSES["names"]} | {answer["class"], answer["notice"]} <= told
    # What was answered a moment ago is the answer of the same request, as viewers ask for it.
    again = server.infer(LONG, series_uid, params, output="image")
    assert (again.status_code, again.headers["content-type"]) == (200, "application/octet-stream")
    assert requests.get(f"{server.url}/answers/{series_uid}", timeout=10).json() == answer
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
    begun = server.infer(LONG, series_uid, {"shown": "CR"}).json()["job"]
    assert begun in [one["job"] for one in requests.get(f"{server.url}/jobs/", timeout=10).json()]
    assert requests.delete(f"{server.url}/jobs/{begun}", timeout=10).status_code == 200
    assert ended(server, begun)[0]["state"] in ("cancelled", "done")
    for response, status, words in (
        (requests.get(f"{server.url}/jobs/{UNKNOWN}", timeout=10), 404, "there is none of this id"),
        (requests.get(f"{server.url}/jobs/..%2fjobs", timeout=10), 404, ""),
        (server.infer(LONG, series_uid, {"job": "yes"}), 400, "job: the value is not true or false"),
        (server.infer(LONG, series_uid, {"shown": "response"}), 400, "give one of predicted, PD, SD, PR, CR"),
        (server.infer(LONG, series_uid, label=tmp_path / "label.nii.gz"), 400, "on nothing that is sent along"),
    ):
        assert response.status_code == status, response.text
        assert words in response.json()["detail"]


def test_a_fast_model_is_a_job_where_it_is_asked_for(server, study):
    _, series_uid = study
    assert server.infer("pulsar_response", series_uid).status_code == 200
    begun = server.infer("pulsar_response", series_uid, {"job": True})
    assert begun.status_code == 202
    assert ended(server, begun.json()["job"])[0]["state"] == "done"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({FOUR: {"config": "tiny_four.json", "weights": []}}, "it does not name its config and its weights"),
        ({FOUR: {"config": "tiny_four.json", "weights": "no.pt"}}, "there is no file no.pt"),
        ({FOUR: {"config": "absent.json", "weights": "tiny_four_0.pt"}}, "there is no file absent.json"),
        ({"pulsar": {"config": "tiny_four.json", "weights": "tiny_four_0.pt"}}, "cannot have this name"),
        ({"A b": {"config": "tiny_four.json", "weights": "tiny_four_0.pt"}}, "cannot have this name"),
    ],
)
def test_a_wrong_file_of_systems_is_told(tmp_path, content, words):
    write_system(tmp_path, FOUR, {"t1": "this series"}, 1.0, seeds=(0,))
    (tmp_path / "systems.json").write_text(json.dumps(content))
    with pytest.raises(DataProblem, match=words):
        read_systems(tmp_path / "systems.json", taken=["pulsar"])


def test_several_configs_lie_on_top_of_each_other(tmp_path):
    """As `cross_validate.py --overlay` takes them, so that what was trained small is served without another file."""
    entry = write_system(tmp_path, FOUR, {"t1": "this series"}, 1.0, seeds=(0,))
    (tmp_path / "more.json").write_text(json.dumps({"title": "On top"}))
    content = {FOUR: {**entry, "config": [entry["config"], "more.json"]}}
    (tmp_path / "systems.json").write_text(json.dumps(content))
    (system,) = read_systems(tmp_path / "systems.json")
    assert [path.name for path in system.configs] == ["inference.json", "tiny_four.json", "more.json"]
    assert CaseExplainer(system.configs, system.weights).title == "On top"
