"""RANO in the viewer: network, rule and map of a study with an earlier one, on a real Orthanc, server and OHIF."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from ohif_browser import MODELS, PANEL, RUN, OhifBrowser, missing_browser
from orthanc_server import OrthancServer
from pacs_case import retrieve, send
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.ohif_review import VERSION, install_ohif
from scipy.ndimage import binary_dilation
from served_rano_case import DAYS, EARLIER, NOW, Written, write_study
from system_case import CLASSES, ENVIRONMENT, QUICK, write_system
from treatment_response.bands import label_values
from treatment_response.classes import classes_of
from treatment_response.cohort.image_preparation import ImagePreparation
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry.itk import from_itk

MODEL = "rano"
NAMES = tuple(CLASSES["names"])
INPUTS = {"now": "contrast T1 on the atlas", "before": "earlier contrast T1 on the atlas"}
CAUTION = "Two scans do not determine the RANO rating: it is relative to baseline and nadir."
PATIENT = PatientIds("SYN-RANO-OHIF", "SYNTHETIC^OHIF", "19500105", "F")
BRIGHTEST = 1300.0
"""The planted tumour on the atlas, about."""
PARAMS = {"explanation": "brightness", "shown": "PR", "result_extension": ".nrrd"}


@dataclass(frozen=True)
class Place:
    """Server and PACS, and the study of now, which is outlined as the earlier one is."""

    server: AppServer
    orthanc: OrthancServer
    study: Written

    @property
    def series_uid(self) -> str:
        """What a user opens."""
        return self.study.series_uids["CT1"]


@pytest.fixture(scope="module")
def place(orthanc: OrthancServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rano")
    for day in (EARLIER, NOW):
        study = write_study(folder / "dicom", "rano ohif", day, ("CT1",), patient=PATIENT, outlined="CT1")
    send(folder / "dicom", orthanc.dicomweb)
    more: dict[str, Any] = {"pixel_mm": 4.0, "long_work": True, "rule": "rano2", "caution": CAUTION, "title": "RANO"}
    more["explanation"] = QUICK
    entry = write_system(folder, MODEL, INPUTS, BRIGHTEST, preparation=str(ImagePreparation.HEAD), **more)
    (folder / "systems.json").write_text(json.dumps({MODEL: entry}))
    conf = {"systems": str(folder / "systems.json")}
    with AppServer(orthanc.dicomweb, folder / "server", conf, ENVIRONMENT) as server:
        yield Place(server, orthanc, study)


@pytest.fixture(scope="module")
def told(place: Place) -> dict[str, Any]:
    """The answer, after its job, with its results stored in the PACS."""
    begun = place.server.infer(MODEL, place.series_uid, {**PARAMS, "store": True})
    assert begun.status_code == 202, begun.text
    address = f"{place.server.url}/jobs/{begun.json()['job']}"
    for _ in range(1200):
        job = requests.get(address, timeout=30).json()
        if job["state"] not in ("waiting", "running"):
            break
        time.sleep(0.5)
    assert job["state"] == "done", job
    (place.server.temporary / "map.nrrd").write_bytes(
        requests.get(f"{address}/result", params={"output": "image"}, timeout=30).content
    )
    return dict(requests.get(f"{address}/result", params={"output": "json"}, timeout=30).json())


def test_network_and_rule_stand_beside_each_other(told: dict[str, Any]) -> None:
    assert list(told["probabilities"]) == list(NAMES)
    assert told["inputs"] == {
        "now": f"contrast T1 of this study, {ImagePreparation.HEAD}",
        "before": f"contrast T1 of {DAYS} days before, {ImagePreparation.HEAD}",
    }
    assert told["notice"].startswith("RESEARCH ONLY")
    assert told["notice"].endswith(CAUTION)
    assert told["model"]["preparation"] == ImagePreparation.HEAD
    rule = told["rule"]
    assert [one["criteria"] for one in rule["criteria"]] == ["RANO 2.0", "RANO 2.0, volumes"]
    assert {one["category"] for one in rule["criteria"]} == {"PR"}
    earlier = rule["earlier"]
    assert (earlier["date"], earlier["date_now"], earlier["days_before"]) == ("2021-01-01", "2021-04-01", DAYS)
    assert earlier["change_percent"] == pytest.approx(100 * ((11 / 16) ** 3 - 1), abs=4)
    assert earlier["change_percent"] == pytest.approx(
        100 * (earlier["volume_now_mm3"] / earlier["volume_mm3"] - 1), 0.01
    )
    if told["class"] == "PR":
        assert not rule["disagreement"]
    else:
        words = f"the network says {told['class']}, the rule says PR (RANO 2.0; RANO 2.0, volumes)"
        assert rule["disagreement"] == f"Network and rule disagree: {words}."
        assert rule["disagreement"] in told["warnings"]


def test_the_map_lies_on_the_tumour_of_the_scan_in_millimetres(place: Place, told: dict[str, Any]) -> None:
    """It was made on the atlas; the scan is oblique and anisotropic, and its head lies 20 mm from the atlas'."""
    labels = from_itk(sitk.ReadImage(str(place.server.temporary / "map.nrrd")))
    grid, tumour = place.study.grids["CT1"], place.study.tumour["CT1"]
    assert labels.array.shape == grid.array.shape
    at = np.rint(grid.to_index(labels.to_world(np.indices(grid.array.shape).reshape(3, -1).T))).astype(int)
    tumour = tumour[tuple(at.T)].reshape(grid.array.shape)  # the series is read from its other end
    strongest = [value for name, value in label_values(classes_of(CLASSES)).items() if name.startswith("CAM PR 80")]
    found = np.isin(labels.array, strongest)
    assert found.any()
    centre, planted = (labels.to_world(np.argwhere(mask)).mean(axis=0) for mask in (found, tumour))
    np.testing.assert_allclose(centre, planted, atol=3.0)  # voxels of the network: 4 mm
    assert (found & binary_dilation(tumour, iterations=2)).sum() > 0.9 * found.sum()


def test_the_report_in_the_pacs_says_what_the_rule_says(place: Place, told: dict[str, Any]) -> None:
    stored = {one["kind"]: one["series_uid"] for one in told["stored"]}
    assert set(stored) == {"parametric map", "bands", "picture", "report"}
    (report,) = retrieve(place.orthanc.dicomweb, place.study.study_uid, stored["report"])
    said = {str(item.value) for item in report.iterall() if item.keyword == "TextValue"}
    assert {f"Rule beside it: {sentence}." for sentence in told["rule"]["sentences"]} <= said
    (parametric,) = retrieve(place.orthanc.dicomweb, place.study.study_uid, stored["parametric map"])
    rows, columns = place.study.grids["CT1"].array.shape[1::-1]
    assert (parametric.Rows, parametric.Columns) == (rows, columns)


def test_ohif_shows_network_rule_and_map(place: Place, told: dict[str, Any], repository: Path, tmp_path: Path) -> None:
    if reason := missing_browser():
        pytest.skip(reason)
    pages = repository / "build" / "ohif"
    if not (pages / f"ohif-{VERSION}" / "index.html").is_file() and shutil.which("npm") is None:
        pytest.skip("npm is missing, which fetches OHIF: apt-get install npm")
    grid, tumour = place.study.grids["CT1"], place.study.tumour["CT1"]
    middle = grid.to_world(np.argwhere(tumour)).mean(axis=0)
    with Gateway(0, install_ohif(pages), place.orthanc.url, place.server.url) as gateway, OhifBrowser() as browser:
        browser.open(f"{gateway.url}/ohif/monai-label?StudyInstanceUIDs={place.study.study_uid}")
        browser.connect()
        browser.choose(MODEL, MODELS)
        browser.show_slice("mpr-axial", middle)
        browser.click("a", "Options / Configurations")
        browser.choose(MODEL, "select[name='selectName']")
        browser.choose("PR", f"#infer{MODEL}shown")
        browser.click("button", "Confirm")
        browser.click(RUN)
        ended = f"return {PANEL}.textContent.includes('press Run again to see it')"
        browser.wait_for(ended, "the end of the job", 600)
        browser.run_model()
        picture = browser.picture("mpr-axial")
        browser.save(tmp_path / "rano.png")
        said = browser.panel_text()
    assert f"RANO: {told['class']}" in said
    assert all(f"P({name}) " in said for name in NAMES)
    earlier = told["rule"]["earlier"]
    assert f"volume {earlier['volume_mm3'] / 1000:.2f} cm³ on 2021-01-01" in said
    assert f"volume {earlier['volume_now_mm3'] / 1000:.2f} cm³ on 2021-04-01 (this study)" in said
    assert f"change: −{-earlier['change_percent']} %" in said
    for one in told["rule"]["criteria"]:
        assert f"{one['criteria']}: {one['category']}" in said
        assert one["rule"] in said
    assert told["rule"]["disagreement"] in said
    assert CAUTION in said
    lesion = picture.sample(tumour.astype(np.uint8), grid.affine) > 0
    assert (picture.coloured & lesion).sum() > 0.8 * lesion.sum()
