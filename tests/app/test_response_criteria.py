"""Response by the published criteria from the outlines in a PACS, and a long model of four classes: server and OHIF.

Everything is real: Orthanc, the server, OHIF in both versions, Chromium. The pixels are not square and the series is
oblique, so that a line which is placed with the wrong spacing lies elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from ohif_browser import MODELS, PANEL, RUN, VIEWPORTS, OhifBrowser, missing_browser
from pacs_case import retrieve, send
from phantom_case import LESIONS, affine, ball, write_label
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.ohif_review import VERSION, install_ohif
from pulsar_app.studies.measured import measure_image
from pulsar_app.studies.safe_datastore import OpenedImage
from response_case import CENTRE_MM, DAYS, NOW, SEMI_MM, diameter_ends, ellipsoid, write_patient
from scipy.ndimage import binary_dilation
from skimage.color import rgb2hsv
from system_case import CLASSES, ENVIRONMENT, write_system
from treatment_response.bands import band_colours
from treatment_response.classes import classes_of
from treatment_response.criteria import label_map
from treatment_response.dicom.write import PatientIds
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.geometry.itk import from_itk
from treatment_response.problems import DataProblem

MODEL, FOUR = "response_criteria", "tiny_four"
NAMES = tuple(CLASSES["names"])
KNOWN = {"steroids_mg": "0", "baseline_steroids_mg": 2, "state": "stable"}
EARLIER = min(SEMI_MM)


@dataclass(frozen=True)
class Place:
    """Server and PACS; study and series UID of each patient's later MR, by which of the studies are outlined."""

    server: AppServer
    dicomweb: str
    orthanc: str
    both: tuple[str, str]
    only_now: tuple[str, str]
    only_earlier: tuple[str, str]


@pytest.fixture(scope="module")
def place(orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("response")
    outlined = {"both": tuple(SEMI_MM), "only_now": (NOW,), "only_earlier": (EARLIER,)}
    uids = {}
    for number, (name, days) in enumerate(outlined.items(), start=1):
        patient = PatientIds(f"SYN-08{number}", f"SYNTHETIC^08{number}", "19500103", "F")
        uids[name] = write_patient(folder / name, f"response {name}", patient, days)
        send(folder / name, orthanc.dicomweb)
    four = write_system(folder, FOUR, {"t1": "this series"}, 800.0, (0,), pixel_mm=2.5, long_work=True)
    (folder / "systems.json").write_text(json.dumps({FOUR: four}))
    conf = {"systems": str(folder / "systems.json")}
    with AppServer(orthanc.dicomweb, folder / "server", conf, ENVIRONMENT) as server:
        yield Place(server, orthanc.dicomweb, orthanc.url, **uids)


def answer(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    return response.json()


def test_measures_categories_and_rules(place: Place) -> None:
    told = answer(place.server.infer(MODEL, place.both[1]))
    (lesion,) = told["measured"]
    for measure, semi in (("longest_mm", 0), ("perpendicular_mm", 1)):
        assert lesion[measure] == pytest.approx(2 * SEMI_MM[NOW][semi], abs=1.1)  # a voxel
    assert lesion["volume_mm3"] == pytest.approx(4 / 3 * np.pi * np.prod(SEMI_MM[NOW]), rel=0.05)
    np.testing.assert_allclose(lesion["location_mm"], CENTRE_MM, atol=1.0)
    assert lesion["change"]["rano_bm_style"] == "PR"
    judged = {one["criteria"]: one for one in told["criteria"]}
    assert {name: one["category"] for name, one in judged.items()} == dict.fromkeys(judged, "PR")
    assert list(judged) == ["RANO 2.0", "RANO 2.0, volumes", "RANO-BM"]
    for one in judged.values():
        assert one["kind"] == "imaging category"
        assert (one["baseline_day"], one["nadir_day"]) == (0, 0)
        assert 0 < one["stability"] <= 1
        assert "PR is from −" in one["rule"]
        assert one["confirmation"].startswith("preliminary")
    assert [(one["day"], one["days_before"]) for one in told["studies"]] == [(0, DAYS), (DAYS, 0)]
    assert told["notice"].startswith("RESEARCH ONLY")
    known = answer(place.server.infer(MODEL, place.both[1], {**KNOWN, "immunotherapy": True}))
    assert [one["kind"] for one in known["criteria"]] == [*list(judged)[:2], "RANO-BM under immunotherapy"]
    reset = answer(place.server.infer(MODEL, place.both[1], {"operation": 30}))
    assert {one["category"] for one in reset["criteria"]} == {"baseline"}
    info = requests.get(f"{place.server.url}/info/", timeout=10).json()["models"][MODEL]
    assert info["labels"] == label_map.label_values()
    assert list(info["options"]) == list(info["config"])


def test_the_label_map_holds_the_lesion_and_its_diameters_in_millimetres(place: Place, tmp_path: Path) -> None:
    response = place.server.infer(MODEL, place.both[1], {"result_extension": ".nrrd"}, output="image")
    (tmp_path / "map.nrrd").write_bytes(response.content)
    labels = from_itk(sitk.ReadImage(str(tmp_path / "map.nrrd")))
    np.testing.assert_allclose(labels.affine, affine(), atol=1e-3)
    drawn = labels.array > 0
    assert not (drawn & ~binary_dilation(ellipsoid(NOW))).any()
    assert (ellipsoid(NOW) & ~drawn).sum() == 0
    *_, longest, perpendicular = label_map.label_values().values()
    for value, axis in ((longest, 0), (perpendicular, 1)):
        points = labels.to_world(np.argwhere(labels.array == value))
        for end in diameter_ends(axis):
            assert np.linalg.norm(points - end, axis=1).min() < 2.5  # the slice of the longest may be beside the middle


def test_what_is_missing_costs_a_sentence(place: Place, tmp_path: Path) -> None:
    label = write_label(tmp_path / "label.nii.gz", ellipsoid(NOW))
    infer, series = place.server.infer, place.both[1]
    for response, words in (
        (infer(MODEL, place.only_now[1]), "the patient has no earlier study with outlines"),
        (infer(MODEL, place.only_earlier[1]), "image: nothing is outlined on it; store an RTSTRUCT or SEG"),
        (infer(MODEL, series, {"steroids_mg": -1}), "steroids_mg: it is -1; give mg of dexamethasone a day"),
        (infer(MODEL, series, {"operation": "soon"}), "give the number of days before this study, or nothing"),
        (infer(MODEL, series, {"state": "fine"}), "give one of not known, improved, stable, worse"),
        (infer(MODEL, series, {"operation": DAYS}), "lies on the day of an operation"),
        (infer(MODEL, series, label=label), "takes no outlines that are sent along"),
    ):
        assert response.status_code == 400, response.text
        assert words in response.json()["detail"]
    image = OpenedImage("a", Volume(np.zeros((2, 2, 2)), np.eye(4)), None, "")
    with pytest.raises(DataProblem, match="only a PACS holds studies with their dates and outlines"):
        measure_image(None, image, (), lambda days, number: pytest.fail("it must not be asked"))


@pytest.fixture(scope="module")
def viewer(place: Place, repository: Path) -> Iterator[tuple[str, OhifBrowser]]:
    """Address of both OHIFs, and a browser that has the patient's later MR open in MONAI Label mode, connected."""
    if reason := missing_browser():
        pytest.skip(reason)
    pages = repository / "build" / "ohif"
    if not (pages / f"ohif-{VERSION}" / "index.html").is_file() and shutil.which("npm") is None:
        pytest.skip("npm is missing, which fetches OHIF: apt-get install npm")
    with Gateway(0, install_ohif(pages), place.orthanc, place.server.url) as gateway, OhifBrowser() as browser:
        browser.open(f"{gateway.url}/ohif/monai-label?StudyInstanceUIDs={place.both[0]}")
        browser.connect()
        yield gateway.url, browser


def colours_shown(browser: OhifBrowser, expected: list[tuple[int, int, int]], where: np.ndarray) -> float:
    """Share of the coloured pixels over a mask whose hue is near that of one of the colours."""
    picture = browser.picture("mpr-axial")
    inside = (picture.sample(where.astype(np.uint8), affine()) > 0) & picture.coloured
    assert inside.sum() > 100
    hues = hues_of(picture.pixels[inside])
    away = np.abs(hues[:, None] - hues_of(np.array(expected)))
    return float((np.minimum(away, 360 - away).min(axis=1) < 15).mean())


def hues_of(colours: np.ndarray) -> np.ndarray:
    """In degrees, of colours ``(N, 3)``, 0 to 255."""
    return rgb2hsv(colours[None] / 255.0)[0, :, 0] * 360


def test_a_long_model_of_four_classes_is_a_job_in_ohif(viewer: tuple[str, OhifBrowser], tmp_path: Path) -> None:
    _, browser = viewer
    browser.choose(FOUR, MODELS)
    browser.show_slice("mpr-axial", CENTRE_MM)
    browser.click("a", "Options / Configurations")
    browser.choose(FOUR, "select[name='selectName']")
    for option, value in (("explanation", "brightness"), ("shown", "PR")):
        browser.choose(value, f"#infer{FOUR}{option}")
    browser.click("button", "Confirm")
    browser.click(RUN)
    browser.wait_for(f"return {PANEL}.textContent.includes('{FOUR} works on it: ')", "the job")
    note = "return [...document.querySelectorAll('[data-sonner-toast]')].map(one => [one.dataset.type, one.innerText])"
    notes = browser.ask(note)
    browser.save(tmp_path / "job.png")
    assert not [text for kind, text in notes if kind == "error"]
    assert any("Long work: see the panel below" in text for _, text in notes)
    browser.wait_for(f"return {PANEL}.textContent.includes('press Run again to see it')", "the end of the job")
    browser.run_model()
    browser.save(tmp_path / "four.png")
    said = browser.panel_text()
    assert "Tiny four classes: " in said
    assert all(f"P({name}) " in said for name in NAMES)
    assert "colours: evidence for PR" in said
    lesions = np.any([ball(*lesion) for lesion in LESIONS.values()], axis=0)
    assert colours_shown(browser, band_colours(5, "PR", classes_of(CLASSES)), lesions) > 0.95


def test_response_is_run_in_ohif_and_its_report_is_drawn_at_the_lesion(
    place: Place, viewer: tuple[str, OhifBrowser], tmp_path: Path
) -> None:
    url, browser = viewer  # on the page that the test before has opened
    browser.choose(MODEL, MODELS)
    browser.click("a", "Options / Configurations")
    browser.choose(MODEL, "select[name='selectName']")
    browser.click(f"#infer{MODEL}store")
    browser.click("button", "Confirm")
    browser.show_slice("mpr-axial", CENTRE_MM)
    browser.run_model()
    told = requests.get(f"{url}/answers/{place.both[1]}", timeout=30).json()
    said = browser.panel_text()
    for one in told["criteria"]:
        assert f"{one['criteria']}: {one['category']}" in said
        assert one["rule"] in said
        assert f"{one['category']} in {100 * one['stability']:.0f} % of plausible contours" in said
    assert "15.2 × 10.0 mm" in said
    assert "An imaging category is no RANO" in said
    assert told["notice"] in said
    picture = browser.picture("mpr-axial")
    lesion = picture.sample(binary_dilation(ellipsoid(NOW)).astype(np.uint8), affine()) > 0
    assert (picture.coloured & lesion).sum() > 0.5 * lesion.sum()
    assert not (picture.coloured & ~binary_dilation(lesion, iterations=6)).any()
    browser.ask(f"{PANEL}.querySelector('#lesions button').click()")
    browser.picture("mpr-axial")
    browser.save(tmp_path / "response.png")

    (stored,) = told["stored"]
    (dataset,) = retrieve(place.dicomweb, place.both[0], stored["series_uid"])
    (group,) = hd.sr.ComprehensiveSR.from_dataset(dataset, copy=False).content.get_image_measurement_groups()
    assert group.tracking_identifier == "lesion 1"
    browser.open(f"{url}/viewer?StudyInstanceUIDs={place.both[0]}&initialSeriesInstanceUID={stored['series_uid']}")
    lines = """return (window.cornerstoneTools?.annotation.state.getAllAnnotations() ?? [])
        .map(one => one.data.renderableData?.POLYLINE).find(Boolean)"""
    drawn = flip_lps_ras(np.array(browser.wait_for(lines, "the lines of the report")).reshape(-1, 3)).reshape(2, 2, 3)
    text = "return viewports.length === 1 && document.body.innerText.includes('Long axis: 15.16 mm')"
    browser.wait_for(VIEWPORTS + text, "the lengths")
    browser.save(tmp_path / "report.png")
    measured = np.array([float(value) for value in told["measured"][0]["end_points_ras_mm"].replace(";", "").split()])
    for line, ends, planted in zip(drawn, measured.reshape(2, 2, 3), map(diameter_ends, (0, 1)), strict=True):
        np.testing.assert_allclose(line, ends, atol=0.02)
        both_ways = min((line, line[::-1]), key=lambda points: np.abs(points - planted).sum())
        np.testing.assert_allclose(both_ways, planted, atol=2.2)  # voxels of 1.0 × 1.1 × 2.0 mm
