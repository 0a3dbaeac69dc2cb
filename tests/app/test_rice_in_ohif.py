"""RICE-NET served for a synthetic patient's DICOM in a real Orthanc: job, map, sheet, stored objects, and OHIF.

The patient is of the synthetic cohort; the weights are planted so that the map must lie on the new lesion.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import requests
from app_server import AppServer
from dicom_checks import dcmqi_parametric_map, dcmqi_segments, run, save
from ohif_browser import MODELS, PANEL, RUN, OhifBrowser, missing_browser
from pacs_case import retrieve, write_study
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.maps import StoredMap, map_link, prediction_link
from pulsar_app.local.ohif_review import VERSION, install_ohif
from pulsar_app.local.patients import FirstMri
from rice_system_case import RicePatient, write_rice_patient, write_rice_system
from scipy.ndimage import binary_dilation
from stored_places import VALUES, highest_mm
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry import Volume, flip_lps_ras

MODEL = "rice_net"
NEAR_MM = 12.0
"""A cube of the map is 16 mm wide."""
REACH = 32
"""Pixels of OHIF's picture that a coloured one may lie from the lesion, some 25 mm: cubes cover more than it."""
ALONE = PatientIds("SYN-091", "SYNTHETIC^091", "19500104", "F")


@dataclass(frozen=True)
class Place:
    """Where everything answers, and what is true of the patient."""

    url: str
    server: AppServer
    patient: RicePatient
    alone: FirstMri


@pytest.fixture(scope="module")
def place(orthanc, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pages = repository / "build" / "ohif"
    if reason := missing_browser():
        pytest.skip(reason)
    if not (pages / f"ohif-{VERSION}" / "index.html").is_file() and shutil.which("npm") is None:
        pytest.skip("npm is missing, which fetches OHIF: apt-get install npm")
    folder = tmp_path_factory.mktemp("rice")
    patient = write_rice_patient(folder / "cohort")
    alone = write_study(folder / "alone", "rice alone", ALONE, ())
    for file in [*patient.dicom.rglob("IM*"), *(folder / "alone").rglob("*.dcm")]:
        requests.post(f"{orthanc.url}/instances", data=file.read_bytes(), timeout=60).raise_for_status()
    (folder / "systems.json").write_text(json.dumps({MODEL: write_rice_system(folder)}))
    conf = {"systems": str(folder / "systems.json")}
    with (
        AppServer(orthanc.dicomweb, folder / "server", conf, ready="/info/") as server,
        Gateway(0, install_ohif(pages), orthanc.url, server.url) as gateway,
    ):
        yield Place(gateway.url, server, patient, FirstMri(*alone))


@pytest.fixture(scope="module")
def browser() -> Iterator[OhifBrowser]:
    with OhifBrowser() as started:
        yield started


@pytest.fixture(scope="module")
def answer(place: Place) -> dict[str, Any]:
    """What the first request's job answers; it stores its results."""
    begun = place.server.infer(MODEL, place.patient.event.series_uid, {"shown": "recurrence", "store": True})
    assert begun.status_code == 202, begun.text
    told, stages = ended(place.server, begun.json()["job"])
    assert told["state"] == "done", told
    # "predicting" may be over between two looks at the job.
    assert {"registering", "finding the brain", "measuring the lesion"} <= stages
    return result(place.server, begun.json()["job"])


def ended(server: AppServer, job: str) -> tuple[dict[str, Any], set[str]]:
    """Where a job ended, and the stages that were seen on the way."""
    stages = set()
    for _ in range(6000):
        told = requests.get(f"{server.url}/jobs/{job}", timeout=30).json()
        stages.add(told["stage"])
        if told["state"] not in ("waiting", "running"):
            return told, stages
        time.sleep(0.05)
    raise AssertionError(told)


def result(server: AppServer, job: str) -> dict[str, Any]:
    """What a job answers."""
    return dict(requests.get(f"{server.url}/jobs/{job}/result", params={"output": "json"}, timeout=30).json())


def stored(place: Place, answer: dict[str, Any], dicomweb: str, kind: str) -> Any:
    """A stored object of this kind, from the PACS."""
    (uid,) = (one["series_uid"] for one in answer["stored"] if one["kind"] == kind)
    (found,) = retrieve(dicomweb, place.patient.event.study_uid, uid)
    return found


def test_the_answer_says_what_it_was_made_from(place: Place, answer: dict[str, Any]) -> None:
    assert (answer["class"], answer["map"]["shown_class"]) == ("recurrence", "recurrence")
    assert answer["inputs"]["event"] == "this series"
    assert answer["inputs"]["dose"] == f"EQD2 (alpha/beta 2 Gy) of {place.patient.truth['courses']} finished courses"
    assert answer["inputs"]["brain"] == "brain by the brain template"
    assert answer["inputs"]["post_operative"].endswith("before, registered")
    assert "SYNTHETIC^" not in json.dumps(answer) + place.server.log


def test_the_sheet_measures_what_was_planted(place: Place, answer: dict[str, Any]) -> None:
    sheet = {line["name"]: line for line in answer["sheet"]}
    assert list(answer["sheet"][0]) == ["name", "value", "unit", "note"]
    truth = place.patient.truth
    for name, expected, tolerance in (
        ("lesion volume", truth["lesion_volume_ml"], 0.15 * truth["lesion_volume_ml"]),
        ("mean dose in the lesion", truth["lesion_mean_eqd2_gy"], 1.5),
        ("distance to the ventricles", truth["ventricle_distance_mm"], 4.0),
        ("distance to the cavity", truth["cavity_distance_mm"], 4.0),
        ("time since radiotherapy", truth["months_since_radiotherapy"], 0.8),
        ("share inside the 95 % isodose", 100 * truth["lesion_share_95"], 15.0),
    ):
        assert sheet[name]["value"] == pytest.approx(expected, abs=tolerance), name
    assert sheet["lesion volume"]["note"].startswith("as outlined on this series")
    assert sheet["isodose class"]["value"] in ("central", "in-field", "marginal", "distant")
    assert sheet["distance to the cavity"]["note"] == "as outlined"
    assert {line["unit"] for line in answer["sheet"]} <= {"ml", "ml/month", "Gy", "Gy(RBE)", "%", "mm", "months", ""}


def test_the_curve_of_the_dose_agrees_with_the_sheet(answer: dict[str, Any]) -> None:
    sheet = {line["name"]: line["value"] for line in answer["sheet"]}
    curve = answer["dose_volume"]
    assert (curve["share"][0], curve["dose"][0]) == (1.0, 0.0)
    assert curve["dose"][-1] == pytest.approx(sheet["maximum dose in the lesion"], abs=0.01)
    inside = np.interp(curve["isodose"], curve["dose"], curve["share"])
    assert 100 * inside == pytest.approx(sheet["share inside the 95 % isodose"], abs=3)
    assert curve["unit"].startswith("EQD2 Gy")


def test_what_is_stored_lies_on_the_lesion_for_other_readers(
    place: Place, answer: dict[str, Any], orthanc, tmp_path: Path
) -> None:
    parametric, bands, report, picture = (
        stored(place, answer, orthanc.dicomweb, kind) for kind in ("parametric map", "bands", "report", "picture")
    )
    assert parametric.SeriesDescription == "RESEARCH ONLY #1 map occlusion recurrence SYNTHETIC DATA"
    assert np.linalg.norm(highest_mm(parametric) - place.patient.lesion_mm) < NEAR_MM
    values, _ = dcmqi_parametric_map(save(parametric, tmp_path / "pm.dcm"), tmp_path / "pm")
    segments, described = dcmqi_segments(save(bands, tmp_path / "seg.dcm"), tmp_path / "seg")
    assert np.linalg.norm(middle(values, 0.5) - place.patient.lesion_mm) < NEAR_MM
    strongest = max(number for number, mask in segments.items() if (mask.array > 0).any())
    assert np.linalg.norm(middle(segments[strongest], 0.5) - place.patient.lesion_mm) < NEAR_MM
    # The colour language of every system: the bands are in the colours of the answer's legend.
    shown = {
        described[number]["SegmentLabel"]: described[number]["recommendedDisplayRGBValue"]
        for number, mask in segments.items()
        if (mask.array > 0).any()
    }
    legend = dict(zip(answer["map"]["bands"]["recurrence"], answer["map"]["band_colours"]["recurrence"], strict=True))
    for name, colour in shown.items():
        expected = [int(legend[name][place : place + 2], 16) for place in (1, 3, 5)]
        np.testing.assert_allclose(colour, expected, atol=3, err_msg=name)
    assert picture.BurnedInAnnotation == "NO"
    assert np.ptp(picture.pixel_array.astype(int), axis=-1).max() > 100
    path = save(report, tmp_path / "report.dcm")
    groups = hd.sr.srread(path).content.get_image_measurement_groups()
    (measured,) = (one for one in groups if one.tracking_identifier == "sheet")
    found = {one.name.meaning: (float(one.value), str(one.unit.value)) for one in measured.get_measurements()}
    lines = {line["name"]: line for line in answer["sheet"]}
    assert found["lesion volume"] == (pytest.approx(lines["lesion volume"]["value"]), "mL")
    assert found["distance to the ventricles"] == (pytest.approx(lines["distance to the ventricles"]["value"]), "mm")
    assert "isodose class: " in run("dsrdump", path).stdout


def test_a_later_request_takes_what_the_first_one_found(place: Place, answer: dict[str, Any]) -> None:
    params = {"shown": "recurrence", "result_extension": ".nrrd"}
    begun = place.server.infer(MODEL, place.patient.event.series_uid, params).json()
    told, _ = ended(place.server, begun["job"])
    first, later = answer["latencies"]["read"], result(place.server, begun["job"])["latencies"]["read"]
    assert told["state"] == "done"
    assert later < 0.5 * first, (first, later)


def test_a_study_is_told_which_models_it_has_not_the_inputs_for(place: Place) -> None:
    def info(study: str) -> requests.Response:
        return requests.get(f"{place.server.url}/info/", params={"StudyInstanceUID": study}, timeout=60)

    alone, event = info(place.alone.study_uid).json(), info(place.patient.event.study_uid).json()
    assert MODEL not in alone["models"]
    assert "pulsar_response" in alone["models"]
    assert alone["not_offered"][MODEL].startswith("input 'post_operative': dose: no course was over before this study")
    assert (MODEL in event["models"], event["not_offered"]) == (True, {})
    assert "SYN-091" not in json.dumps(alone)
    assert info("../1").status_code == 404


def test_ohif_lays_the_stored_map_on_the_lesion_in_millimetres(
    place: Place, answer: dict[str, Any], browser: OhifBrowser
) -> None:
    (uid,) = (one["series_uid"] for one in answer["stored"] if one["kind"] == "parametric map")
    browser.open(map_link(place.url, StoredMap(place.patient.event, uid, tuple(place.patient.lesion_mm))))
    browser.wait_for(
        "return [...window.cornerstone.cache._volumeCache.keys()].some(key => key.startsWith('pmap'))", "the map"
    )
    away = place.patient.lesion_mm * (-1, 1, 1)
    points = flip_lps_ras(np.array([place.patient.lesion_mm, away])).tolist()
    maps = [values for name, values in browser.ask(VALUES, points) if name == "map"]
    assert maps
    for on_lesion, elsewhere in maps:
        assert on_lesion > 50
        assert elsewhere < 10


def test_ohif_shows_map_and_sheet_and_lists_the_model_where_it_can_answer(
    place: Place, answer: dict[str, Any], browser: OhifBrowser, tmp_path: Path
) -> None:
    browser.open(prediction_link(place.url, place.alone))
    browser.connect()
    browser.wait_for(f"return {PANEL}.textContent.includes('is not listed here')", "why it is not listed")
    told = browser.ask(f"return {PANEL}.textContent")
    assert "rice_net is not listed here. input 'post_operative': dose: no course was over before this study" in told
    listed = "return [...document.querySelectorAll(arguments[0] + ' option')].map(one => one.value)"
    assert MODEL not in browser.ask(listed, MODELS)
    browser.open(prediction_link(place.url, place.patient.event))
    browser.connect()
    browser.choose(MODEL, MODELS)
    browser.click("a", "Options / Configurations")
    browser.click("button", "Confirm")
    browser.click(RUN)
    browser.wait_for(f"return {PANEL}.textContent.includes('Measured, without a network')", "the sheet", 400)
    rows = browser.ask(
        f"return [...{PANEL}.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [row[0] for row in rows] == [line["name"] for line in answer["sheet"]]
    for row, line in zip(rows, answer["sheet"], strict=True):
        assert row[2] == line["note"]
        if isinstance(line["value"], float):
            value, _, unit = row[1].partition(" ")
            assert (float(value), unit) == (pytest.approx(line["value"], rel=6e-3), line["unit"])
        else:
            assert row[1] == (line["value"] or "not computed")
    curve = browser.ask(f"return {PANEL}.querySelector('polyline').getAttribute('points')")
    points = np.array([point.split(",") for point in curve.split()], float)
    assert len(points) == len(answer["dose_volume"]["dose"]) + 1
    assert (np.diff(points[:, 0]) >= 0).all()  # towards more dose the curve falls, and a page's y grows downwards
    assert (np.diff(points[:, 1]) >= 0).all()
    told = browser.panel_text()
    assert f"dose, {answer['dose_volume']['unit']}" in told
    assert f"95 % isodose, {answer['dose_volume']['isodose']:.1f} {answer['dose_volume']['unit']}" in told
    browser.run_model()
    for viewport in browser.viewports():
        browser.show_slice(viewport, place.patient.lesion_mm)
        picture = browser.picture(viewport)
        reach = binary_dilation(
            picture.sample(place.patient.lesion.array > 0, place.patient.lesion.affine), iterations=REACH
        )
        assert picture.coloured.sum() > 100
        assert (picture.coloured & reach).sum() > 0.8 * picture.coloured.sum()
    browser.save(tmp_path / "rice.png")


def middle(volume: Volume, above: float) -> np.ndarray:
    """Centre in RAS mm of what is above a value."""
    return np.asarray(volume.to_world(np.argwhere(volume.array > above)).mean(axis=0))
