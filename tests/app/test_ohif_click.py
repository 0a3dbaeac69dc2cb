"""A click into a lesion in OHIF, in a real browser: the answer's bands lie on that lesion and on nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from app_server import AppServer
from ohif_browser import VIEWPORT, OhifBrowser, Picture, missing_browser, percent
from pacs_case import send, write_study
from phantom_case import LESIONS, affine, ball
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from treatment_response.geometry import Volume, flip_lps_ras
from treatment_response.inference.bands import band_names

RUN = "button[title='Run PointPrompts']"
TAB = "label.tab-label"
RIM = 6.0  # mm: region growing and a pixel on each side


@dataclass(frozen=True)
class Clicked:
    """What OHIF shows after a click into a lesion."""

    picture: Picture
    panel: str
    answer: dict


@pytest.fixture(scope="module")
def clicked(orthanc, tmp_path_factory) -> Iterator[Clicked]:
    if reason := missing_browser():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("click")
    study, series = write_study(folder / "dicom", "click in a browser", rois=())
    send(folder / "dicom", orthanc.dicomweb)
    filters = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": json.dumps({"Modality": "MR"})}
    with AppServer(orthanc.dicomweb, folder, environment=filters) as server, OhifBrowser() as browser:
        browser.open(f"{server.url}/ohif/monai-label?StudyInstanceUIDs={study}")
        browser.click("table.settingsTable button")
        browser.wait_for(f'return document.querySelector("{RUN}")', "the models")
        segments = "return window.cornerstoneTools.segmentation.state.getSegmentations().length > 0"
        browser.wait_for(segments, "the segments of the bands")
        browser.click(TAB, "Point Prompts")
        browser.click(".optionsTableContainer td", band_names(5, "response")[1])
        (viewport, *_) = browser.viewports()
        click(browser, viewport, middle())
        browser.click(RUN)
        told = "return document.querySelector('#pulsar-panel')?.shadowRoot.textContent.includes('click 1')"
        browser.wait_for(told, "the answer")
        picture = browser.picture(viewport)
        answer = server.infer("pulsar_response_click", series, {"foreground": [list(LESIONS["GTV_1"][0])]}).json()
        yield Clicked(picture, browser.panel_text(), answer)


def middle() -> np.ndarray:
    """Of the lesion that is clicked, RAS mm."""
    return Volume(np.empty(0), affine()).to_world(np.array([LESIONS["GTV_1"][0]]))[0]


def click(browser: OhifBrowser, viewport: str, point_ras: np.ndarray) -> None:
    """Show the slice through a point and click on it."""
    browser.show_slice(viewport, point_ras)
    browser.picture(viewport)  # waits until the slice is drawn
    script = """
    const [x, y] = viewport.worldToCanvas(arguments[1]);
    const place = viewport.canvas.getBoundingClientRect();
    return [Math.round(place.x + x), Math.round(place.y + y)];"""
    x, y = browser.ask(VIEWPORT + script, viewport, flip_lps_ras(point_ras).tolist())
    marks = "return window.cornerstoneTools.annotation.state.getAllAnnotations()"
    marks += ".filter(one => one.metadata.toolName === 'ProbeMONAILabel').length"
    for _ in range(20):  # until the tool is ready to take it, a click makes no mark
        action = ActionBuilder(browser.driver)
        action.pointer_action.move_to_location(x, y)
        action.pointer_action.click()
        action.perform()
        time.sleep(0.5)
        if (found := browser.ask(marks)) > 0:
            assert found == 1
            return
    raise AssertionError("OHIF took no click")


def test_the_bands_lie_on_the_clicked_lesion_alone(clicked):
    centre, radius = LESIONS["GTV_1"]
    lesion = clicked.picture.sample(ball(centre, radius).astype(np.uint8), affine()) > 0
    around = clicked.picture.sample(ball(centre, radius + RIM).astype(np.uint8), affine()) > 0
    assert lesion.sum() > 300
    assert (clicked.picture.coloured & lesion).sum() > 0.4 * lesion.sum()
    head = clicked.picture.sample(np.ones(ball(centre, radius).shape, np.uint8), affine()) > 0
    assert (clicked.picture.coloured & head & ~around).sum() < 20


def test_more_than_one_band_is_seen(clicked):
    centre, radius = LESIONS["GTV_1"]
    assert len(clicked.answer["label_names"]) > 1
    lesion = clicked.picture.sample(ball(centre, radius).astype(np.uint8), affine()) > 0
    shown = clicked.picture.pixels[lesion & clicked.picture.coloured].astype(int)
    bluest, greenest = (shown[:, 2] - shown[:, 1] > 40).sum(), (shown[:, 1] - shown[:, 2] > 40).sum()
    assert bluest > 20
    assert greenest > 20


def test_the_panel_says_what_was_predicted(clicked):
    (lesion,) = clicked.answer["lesions"]
    assert f"P(response) {percent(lesion['p_response'])}" in clicked.panel
    assert "RESEARCH ONLY" in clicked.panel
