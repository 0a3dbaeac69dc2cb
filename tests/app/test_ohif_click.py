"""A click into a lesion in OHIF, in a real browser: the answer's bands lie on that lesion and on nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from app_server import AppServer
from ohif_browser import OhifBrowser, Picture, missing_browser
from pacs_case import send, write_study
from phantom_case import LESIONS, affine, ball
from pulsar_app.prediction.wording import probability_text
from skimage.color import rgb2hsv
from treatment_response.bands import band_colours
from treatment_response.geometry import Volume

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
        browser.connect()
        segments = "return window.cornerstoneTools.segmentation.state.getSegmentations().length > 0"
        browser.wait_for(segments, "the segments of the bands")
        (viewport, *_) = browser.viewports()
        browser.predict_from_click(viewport, middle())
        picture = browser.picture(viewport)
        answer = server.infer("pulsar_response_click", series, {"foreground": [list(LESIONS["GTV_1"][0])]}).json()
        yield Clicked(picture, browser.panel_text(), answer)


def middle() -> np.ndarray:
    """Of the lesion that is clicked, RAS mm."""
    return Volume(np.empty(0), affine()).to_world(np.array([LESIONS["GTV_1"][0]]))[0]


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
    (told,) = clicked.answer["lesions"]
    bands = np.array(band_colours(5, told["shown_class"]))
    shown = clicked.picture.pixels[lesion & clicked.picture.coloured]
    # The image shines through, so a pixel is of the band that has its hue.
    hue, band_hue = (rgb2hsv(colours[None] / 255.0)[0, :, 0] for colours in (shown, bands))
    away = np.abs(hue[:, None] - band_hue)
    nearest = np.minimum(away, 1 - away).argmin(axis=1)
    assert (np.bincount(nearest, minlength=5) > 20).sum() > 1


def test_the_panel_says_what_was_predicted(clicked):
    (lesion,) = clicked.answer["lesions"]
    assert f"P(response) {probability_text(lesion['p_response'])}" in clicked.panel
    assert "RESEARCH ONLY" in clicked.panel
