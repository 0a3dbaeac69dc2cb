"""The whole way in a browser: a study is opened in OHIF, the model is run, and the overlay lies on the lesion.

Everything is real: Orthanc, the server, OHIF in both versions, Chromium. The patient's lesion lies off the middle of an
oblique series in every direction, so that a map which is mirrored or shifted lies elsewhere.
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
import SimpleITK as sitk
from app_server import AppServer
from matplotlib.path import Path as Polygon
from ohif_browser import PANEL, SIZE, VIEWPORT, VIEWPORTS, OhifBrowser, Picture, missing_browser
from orthanc_server import OrthancServer, missing_orthanc
from panel_answer import THREE_LESIONS
from pulsar_app.local.gateway import Gateway
from pulsar_app.local.maps import StoredMap, map_link, map_series, prediction_link
from pulsar_app.local.ohif_review import VERSION, install_ohif
from pulsar_app.local.patients import FirstMri
from pulsar_app.prediction.wording import probability_text
from scipy.ndimage import binary_dilation
from skimage.color import rgb2hsv
from treatment_response.cohort.synthetic.simulate import simulate_cohort
from treatment_response.dicom.series import read_series
from treatment_response.dicom.structures import read_structure_set
from treatment_response.dicom.write_cohort import write_patient
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.geometry.contours import rasterise

# An oblique series in JPEG 2000, and its only lesion as far from each of its middles as a mirrored map would show.
PATIENT, OTHER = 14, 4
RIM = 6  # pixels of about 0.8 mm


@dataclass(frozen=True)
class Patient:
    """A synthetic patient in the PACS, and where the lesions are.

    Attributes:
        mr: of the first session.
        lesions: by ROI name, on the MR's grid.
        days: of the patient's studies, as OHIF's MONAI Label mode writes them.
    """

    first: FirstMri
    mr: Volume
    lesions: dict[str, np.ndarray]
    days: list[str]

    @property
    def anywhere(self) -> np.ndarray:
        return np.any(list(self.lesions.values()), axis=0)


@dataclass(frozen=True)
class Place:
    """Where everything answers."""

    url: str
    orthanc: OrthancServer
    patient: Patient
    other: Patient


def write(index: int, folder: Path) -> Patient:
    """Write one patient of the demo's cohort."""
    cohort = simulate_cohort(patients=39, lesions=69, seed=0)
    (folder / "truth" / "niche").mkdir(parents=True)
    write_patient(replace(cohort, patients=(cohort.patients[index],)), folder)
    (first, *later) = sorted((folder / "dicom").glob("PA*/ST*"))
    (series,) = {
        file.parent for file in first.glob("*/*") if pydicom.dcmread(file, stop_before_pixels=True).Modality == "MR"
    }
    (structures,) = (file for file in first.glob("*/*") if pydicom.dcmread(file).Modality == "RTSTRUCT")
    mr = read_series(series)
    header = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
    return Patient(
        FirstMri(header.StudyInstanceUID, header.SeriesInstanceUID),
        mr,
        {
            roi.name: rasterise(roi.contours, mr.affine, mr.array.shape)
            for roi in read_structure_set(structures).rois
            if roi.interpreted_type == "GTV"
        },
        [day(folder) for folder in (first, *later)],
    )


def day(study: Path) -> str:
    date = pydicom.dcmread(next(study.glob("*/*")), stop_before_pixels=True).StudyDate
    return time.strftime("%d-%b-%Y", time.strptime(date, "%Y%m%d"))


@pytest.fixture(scope="module")
def place(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pages = repository / "build" / "ohif"
    installed = (pages / f"ohif-{VERSION}" / "index.html").is_file()
    for reason in (missing_orthanc(), missing_browser()):
        if reason:
            pytest.skip(reason)
    if not installed and shutil.which("npm") is None:
        pytest.skip("npm is missing, which fetches OHIF: apt-get install npm")
    folder = tmp_path_factory.mktemp("ohif")
    with OrthancServer(folder / "orthanc") as orthanc:
        patient, other = write(PATIENT, folder / "patient"), write(OTHER, folder / "other")
        for file in folder.glob("*/dicom/PA*/ST*/*/*"):
            requests.post(f"{orthanc.url}/instances", data=file.read_bytes(), timeout=30).raise_for_status()
        environment = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "MR"}'}
        with (
            AppServer(orthanc.dicomweb, folder / "server", environment=environment) as server,
            Gateway(0, install_ohif(pages), orthanc.url, server.url) as gateway,
        ):
            yield Place(gateway.url, orthanc, patient, other)


@pytest.fixture(scope="module")
def browser() -> Iterator[OhifBrowser]:
    with OhifBrowser() as started:
        yield started


def centre(mask: np.ndarray, mr: Volume) -> np.ndarray:
    """RAS mm."""
    return mr.to_world(np.argwhere(mask).mean(axis=0)[None])[0]


def label_map(place: Place, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The label map as the server answers it to any client, ``(I, J, K)``, and its own affine (RAS, mm)."""
    file = folder / "map.nrrd"
    answer = requests.post(
        f"{place.url}/infer/pulsar_response",
        params={"image": place.patient.first.series_uid, "output": "image"},
        data={"params": '{"result_extension": ".nrrd"}'},
        timeout=60,
    )
    answer.raise_for_status()
    file.write_bytes(answer.content)
    image = sitk.ReadImage(str(file))
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, :3] = flip_lps_ras(directions.T).T
    affine[:3, 3] = flip_lps_ras(np.array(image.GetOrigin())[None])[0]
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine


def check_on_lesion(picture: Picture, expected: np.ndarray, patient: Patient, before: Picture | None = None) -> None:
    """The overlay is where it is expected, within the lesions' outlines, and nowhere else.

    Args:
        picture: of a slice through a lesion.
        expected: the pixels that should be coloured.
        before: the same slice without overlay, if there was one: then nothing else may have changed.
    """
    assert expected.sum() > 100, "the slice should show enough of the map for the check to mean something"
    # Half a voxel of rounding, and the line that OHIF draws around a segment.
    reach = binary_dilation(picture.sample(patient.anywhere, patient.mr.affine), iterations=RIM)
    overlay = picture.coloured
    assert not (overlay & ~reach).any()
    assert (overlay & expected).sum() / expected.sum() > 0.9
    assert (overlay & ~binary_dilation(expected, iterations=RIM)).sum() < 0.05 * expected.sum()
    if before is not None:
        changed = np.abs(picture.pixels.astype(int) - before.pixels).max(axis=2) > 30
        assert not (changed & ~reach).any()
    # A map that is mirrored in any direction of the series would lie elsewhere.
    for axis in range(3):
        mirrored = picture.sample(np.flip(patient.anywhere, axis), patient.mr.affine)
        assert not (binary_dilation(mirrored, iterations=RIM) & overlay).any()


def stored_map(place: Place, series: str) -> np.ndarray:
    """The values of a stored Parametric Map, ``(I, J, K)``; its frames are in the order of the MR's slices."""
    (found,) = (
        one for one in place.orthanc.get("/series?expand") if one["MainDicomTags"]["SeriesInstanceUID"] == series
    )
    file = requests.get(f"{place.orthanc.url}/instances/{found['Instances'][0]}/file", timeout=30).content
    dataset = pydicom.dcmread(io.BytesIO(file))
    frames = np.frombuffer(dataset.FloatPixelData, np.float32)
    return frames.reshape(dataset.NumberOfFrames, dataset.Rows, dataset.Columns).transpose(2, 1, 0)


def connect(browser: OhifBrowser, place: Place) -> None:
    """Open the patient's first MR in MONAI Label mode and connect."""
    browser.open(prediction_link(place.url, place.patient.first))
    browser.connect()


def test_the_model_is_run_in_ohif_and_its_map_lies_on_the_lesions(
    place: Place, browser: OhifBrowser, tmp_path: Path
) -> None:
    patient = place.patient
    connect(browser, place)
    text = browser.ask("return document.body.innerText")
    assert all(day in text for day in patient.days)
    assert not any(day in text for day in place.other.days), "another patient's study is listed"
    assert "RESEARCH" in browser.ask("return document.querySelector('#pulsar-research-banner').textContent")
    said = browser.ask("return document.querySelector('.monaiLabelPanel').textContent")
    assert "Response of each GTV" in said  # the description of the model that is chosen
    shown = browser.ask("return document.querySelector('.monaiLabelPanel').innerText")
    assert not [word for word in ("everything", "rgan", "anatomy", "Class Prompts", "egment") if word in shown]

    for lesion in patient.lesions.values():
        for viewport in browser.viewports():
            browser.show_slice(viewport, centre(lesion, patient.mr))
    before = {viewport: browser.picture(viewport) for viewport in browser.viewports()}
    assert len(before) == 3
    assert not any(picture.coloured.any() for picture in before.values())
    browser.run_model()
    after = {viewport: browser.picture(viewport) for viewport in before}
    browser.save(tmp_path / "prediction.png")

    bands, affine = label_map(place, tmp_path)
    for viewport, picture in after.items():
        check_on_lesion(picture, picture.sample(bands, affine) > 0, patient, before[viewport])
    answer = requests.get(f"{place.url}/answers/{patient.first.series_uid}", timeout=30).json()
    # The lesion's class has its colours.
    (shown,) = {one["shown_class"] for one in answer["lesions"]}
    low, high = {"response": (180, 250), "non-response": (0, 46)}[shown]
    found = hues(after["mpr-axial"], after["mpr-axial"].sample(bands, affine) > 0)
    assert ((found >= low) & (found <= high)).mean() > 0.95

    said = browser.panel_text()
    assert {one["roi"] for one in answer["lesions"]} == set(patient.lesions)
    for one in answer["lesions"]:
        assert one["roi"] in said
        assert f"P(response) {probability_text(one['p_response'])}" in said
        assert f"P(non-response) {probability_text(one['p_non_response'])}" in said
        assert f"evidence for {one['shown_class']}" in said
        assert f"{one['volume_mm3'] / 1000:.2f} cm³" in said
        assert all(warning in said for warning in one["warnings"])
    assert answer["notice"] in said
    assert browser.ask("return document.querySelector('#pulsar-research-banner').textContent") == answer["notice"]
    assert f"answered by pulsar_response, model {answer['model']['sha256'][:12]}" in said
    assert not [line for line in browser.complaints() if "ERR_NAME_NOT_RESOLVED" in line], "it asks someone outside"


def test_a_lesions_name_in_the_panel_zooms_to_it_and_whole_head_goes_back(place: Place, browser: OhifBrowser) -> None:
    (lesion,) = place.patient.lesions.values()
    connect(browser, place)
    browser.run_model()

    def shares() -> list[float]:
        """Of each viewport's shorter side, how much the lesion takes; 0 where it is not shown."""
        pictures = [browser.picture(viewport) for viewport in browser.viewports()]
        inside = [picture.sample(lesion, place.patient.mr.affine) for picture in pictures]
        return [max(np.ptp(np.argwhere(one), axis=0), default=0) / min(one.shape) if one.any() else 0 for one in inside]

    assert shares() == [0, 0, 0]
    browser.ask(f"{PANEL}.querySelector('h4 button').click()")
    near = shares()
    assert all(0.2 < share < 0.6 for share in near), near
    browser.ask(f"{PANEL}.querySelector('header button').click()")
    whole = shares()
    assert all(0 < far < close / 2 for far, close in zip(whole, near, strict=True)), whole


def test_the_panel_says_why_the_server_refused(place: Place, browser: OhifBrowser) -> None:
    browser.open(prediction_link(place.url, place.patient.first))
    browser.ask(
        """const request = new XMLHttpRequest();
        request.open('POST', '/infer/pulsar_response?image=1.2.3.4&output=image');
        request.responseType = 'arraybuffer';
        request.send(new FormData());"""
    )
    browser.wait_for(f"return {PANEL}?.querySelector('.warning')", "the refusal")
    answer = requests.post(f"{place.url}/infer/pulsar_response?image=1.2.3.4&output=image", timeout=30)
    assert answer.status_code == 404
    assert answer.json()["detail"] in browser.panel_text()


def test_only_a_sure_number_is_bold_and_none_is_certain(place: Place, browser: OhifBrowser) -> None:
    # The page is the one that the test before has opened.
    browser.ask(f"window.fetch = async () => Response.json({json.dumps(THREE_LESIONS)})")
    browser.connect()
    browser.run_model()
    cards = f"[...{PANEL}.querySelectorAll('article')]"
    sure, undecided, earlier, _ = browser.ask(f"return {cards}.map(one => one.textContent)")
    assert "P(response) < 1 %" in sure
    assert "P(non-response) > 99 %" in sure
    assert "set at 90 %: non-response" in sure
    assert "P(response) 1.0 %" in undecided
    assert "P(non-response) 99.0 %" in undecided
    assert "undecided at 90 %" in undecided
    assert "would be of the other class" in undecided
    assert "not calibrated" in earlier
    assert " at 90 %" not in earlier
    assert "100 %" not in sure + undecided + earlier
    weights = f"return {cards}.slice(0, 3).map(one => getComputedStyle(one.querySelector('.probability')).fontWeight)"
    assert browser.ask(weights) == ["700", "400", "400"]


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)], ids=str)
def test_the_panel_covers_nothing_and_its_legend_is_seen(
    place: Place, browser: OhifBrowser, size: tuple[int, int]
) -> None:
    # The page is the one that the test before has opened.
    browser.resize(*size)

    def boxes(*selectors: str) -> np.ndarray:
        return browser.boxes(*(f'document.querySelectorAll("{selector}")' for selector in selectors))

    dock = boxes("#pulsar-dock")[0]
    texts = boxes(".orientation-marker", ".viewport-overlay")
    images = boxes(".cornerstone-canvas", "[data-cy='study-browser-thumbnail'] img", "[data-cy='studyBrowser-panel']")
    assert len(texts) >= 12
    assert len(images) >= 5
    assert (np.concatenate([texts, images])[:, 3] <= dock[1]).all(), "it lies over the viewer"
    assert dock.tolist() == [0, dock[1], *size]
    # The legend is whole, whatever is beside it.
    legend = browser.boxes(*(f"{PANEL}.querySelectorAll('{part}')" for part in ("#legend *", ".band")))
    assert len(legend) > 16
    colour = "one => getComputedStyle(one).backgroundColor"
    assert browser.ask(f"return [...{PANEL}.querySelectorAll('.band')].map({colour})")[4] == "rgb(206, 53, 3)"
    assert (legend[:, 1] >= dock[1]).all()
    assert (legend[:, 3] <= boxes("#pulsar-research-banner")[0, 1]).all()
    assert (legend[:, 2] <= browser.boxes(f"{PANEL}.querySelectorAll('article')")[0, 0]).all()
    # Folded away, it gives its place back.
    fold = f"[...{PANEL}.querySelectorAll('header button')].at(-1).click()"
    browser.ask(fold)
    assert boxes("#pulsar-dock")[0, 1] > size[1] - 70
    browser.wait_for(
        f"return document.querySelector('.cornerstone-canvas').clientHeight > {size[1]} - 200", "the place"
    )
    browser.ask(fold)


def test_names_are_shown_as_text_whatever_they_are(place: Place, browser: OhifBrowser) -> None:
    # The page is the one that the test before has opened.
    name = "<img src=x onerror='window.taken = true'>"
    browser.resize(*SIZE)
    browser.ask(f"const roi = {json.dumps(name)}; window.fetch = async () => Response.json({{ lesions: [{{ roi }}] }})")
    browser.run_model()
    assert name in browser.panel_text()
    assert browser.ask(f"return {PANEL}.querySelector('img') === null && window.taken === undefined")


def test_a_stored_map_opens_by_its_link_and_lies_on_the_lesions(
    place: Place, browser: OhifBrowser, tmp_path: Path
) -> None:
    patient = place.patient
    connect(browser, place)
    browser.click("a", "Options / Configurations")
    browser.click("#inferpulsar_responsestore")
    meaning = "return document.querySelector('#inferpulsar_responsestore').closest('tr').textContent"
    assert "Refused for a real patient" in browser.ask(meaning)
    browser.click("button", "Confirm")
    browser.run_model()
    assert "Stored in the PACS" in browser.panel_text()
    answer = requests.get(f"{place.url}/answers/{patient.first.series_uid}", timeout=30).json()
    found = StoredMap(
        patient.first,
        map_series(answer, answer["lesions"][0]["shown_class"]),
        tuple(answer["lesions"][0]["location_mm"]),
    )

    # The link alone: map and slice come up by themselves.
    browser.open(map_link(place.url, found))
    (viewport,) = browser.viewports()
    lesion, stored = patient.anywhere, stored_map(place, found.series_uid)
    end = time.monotonic() + 30
    while not (picture := browser.picture(viewport)).sample(lesion, patient.mr.affine).any():
        assert time.monotonic() < end, "the link does not lead to the lesion's slice"
    check_on_lesion(picture, picture.sample(stored, patient.mr.affine) > 0.1, patient)
    browser.save(tmp_path / "map.png")
    assert "RESEARCH" in browser.ask("return document.querySelector('#pulsar-research-banner').textContent")
    # Beyond the lesion there is nothing.
    browser.show_slice(viewport, centre(np.flip(lesion, 2), patient.mr))
    assert not browser.picture(viewport).coloured.any()


def stored_link(place: Place, series: str) -> str:
    """Opens the patient's first MR in OHIF for review with a stored series in the viewport."""
    study = place.patient.first.study_uid
    return f"{place.url}/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}"


def hues(picture: Picture, where: np.ndarray) -> np.ndarray:
    """Of the coloured pixels among these, in degrees; outlines and letters are yellow and left out."""
    degrees = rgb2hsv(picture.pixels)[..., 0][where & picture.coloured] * 360
    return degrees[(degrees < 46) | (degrees > 70)]


@pytest.mark.parametrize(("shown", "low", "high"), [("response", 180, 250), ("non-response", 0, 46)])
def test_what_is_stored_opens_by_its_link_in_the_colours_of_its_class(
    place: Place, browser: OhifBrowser, tmp_path: Path, shown: str, low: float, high: float
) -> None:
    patient = place.patient
    asked = {"image": patient.first.series_uid, "output": "json"}
    params = json.dumps({"store": True, "shown": shown, "cam": "pixelwise"})
    reply = requests.post(f"{place.url}/infer/pulsar_response", params=asked, data={"params": params}, timeout=120)
    reply.raise_for_status()
    answer = reply.json()
    (told,) = answer["lesions"]
    assert told["evidence"]
    stored = {one["kind"]: one for one in answer["stored"]}
    reach = {}

    def opened(kind: str, text: str = "") -> Picture:
        """What the viewport shows, once the page has this text."""
        browser.open(stored_link(place, stored[kind]["series_uid"]))
        ready = f"return viewports.length === 1 && document.body.innerText.includes({json.dumps(text)})"
        browser.wait_for(VIEWPORTS + ready, kind)
        (viewport,) = browser.viewports()
        picture = browser.picture(viewport)
        browser.save(tmp_path / f"{kind}.png")
        reach[kind] = binary_dilation(picture.sample(patient.anywhere, patient.mr.affine), iterations=RIM)
        assert stored[kind]["description"] in browser.ask("return document.body.innerText")
        return picture

    # OHIF paints a map with its own rainbow; the name that it shows says which class it is of.
    assert f" {shown} " in stored["parametric map"]["description"]
    assert stored["parametric map"]["class"] == shown
    opened("parametric map")
    # The bands open on a slice with evidence, and have the colours of their class.
    bands = opened("bands", "open this Segmentation")
    assert (bands.coloured & reach["bands"]).sum() > 30
    assert not (bands.coloured & ~reach["bands"]).any()
    found = hues(bands, reach["bands"])
    assert ((found >= low) & (found <= high)).mean() > 0.95
    # The picture has them in the map and in the scale beside the legend.
    picture = opened("pictures")
    everywhere = np.ones(picture.pixels.shape[:2], bool)
    found = hues(picture, everywhere)
    assert len(found) > 500
    assert ((found >= low) & (found <= high)).mean() > 0.95
    if shown == "non-response":
        return  # the report is the same but for the map that it tells of
    # The report opens on the slice with its outline around the lesion, and says the probability.
    report = opened("report", "Probability of response")
    (viewport,) = browser.viewports()
    script = """
    const line = document.querySelector('.svg-layer polyline').getAttribute('points').trim().split(/[ ,]+/).map(Number);
    const points = line.flatMap((_, i) => (i % 2 ? [] : [[...viewport.canvasToWorld([line[i], line[i + 1]])]]));
    return points;"""
    outline = flip_lps_ras(np.array(browser.ask(VIEWPORT + script, viewport)))
    index = patient.mr.to_index(outline)
    (k,) = set(np.rint(index[:, 2]).astype(int).tolist())
    assert k == told["largest_slice"]
    drawn = Polygon(index[:, :2]).contains_points(np.indices(patient.mr.array.shape[:2]).reshape(2, -1).T)
    lesion = patient.anywhere[:, :, k].ravel()
    assert (
        2 * (drawn & lesion).sum() / (drawn.sum() + lesion.sum()) > 0.85
    )  # OHIF takes the pixel's edge for its middle
    assert report.sample(patient.anywhere, patient.mr.affine).any()
    percent_shown = min(max(round(100 * told["p_response"]), 1), 99)
    assert f"Probability of response: {percent_shown:.2f} %" in browser.ask("return document.body.innerText")


def test_next_sample_asks_the_chosen_strategy_and_leads_to_a_first_mri(place: Place, browser: OhifBrowser) -> None:
    connect(browser, place)
    browser.next_sample("uncertainty")
    requested = browser.ask("return performance.getEntriesByType('resource').map(one => one.name)")
    assert f"{place.url}/activelearning/uncertainty" in requested
    shown = browser.ask("return document.querySelector('.nextSampleForm').textContent")
    offered = [patient.first for patient in (place.patient, place.other) if patient.first.series_uid in shown]
    assert len(offered) == 1, "the form shows no first MRI, or a follow-up"
    assert offered[0].study_uid in shown
    browser.click(".nextSampleForm button", "OK")
    browser.driver.switch_to.alert.accept()
    browser.wait_for(f"return location.href.endsWith('{offered[0].study_uid}')", "the study's page")
