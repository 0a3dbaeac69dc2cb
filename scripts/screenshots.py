"""Make the pictures of docs/tutorials/ohif.md again: real pages of OHIF, synthetic patients, a real server."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import requests
from PIL import Image
from treatment_response.problems import DataProblem

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "apps" / "pulsar_response"), str(ROOT / "tests" / "app")]

from ohif_browser import PANEL, OhifBrowser  # noqa: E402
from pulsar_app.local.maps import map_link, prediction_link  # noqa: E402
from pulsar_app.local.site import Plan, Site, start  # noqa: E402

# The third patient of the demo: two lesions, one of each class.
PATIENTS, PATIENT = 3, 2
WIDTH = 1400
# Words of a stored series' description, and what its picture is called.
STORED = {
    "CAM with legend": "capture",
    "predicted response": "report",
    "CAM bands": "bands",
    "CAM pixelwise response": "map_response",
    "CAM pixelwise non-response": "map_non_response",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder for the pictures")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            site = start(Plan(folder=folder, patients=PATIENTS, port=0), stack, print)
            browser = stack.enter_context(OhifBrowser())
            _take(site, browser, options.out)
            _take_stored(site, browser, options.out)
    except DataProblem as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def _take(site: Site, browser: OhifBrowser, out: Path) -> None:
    found = site.maps[PATIENT]
    browser.open(prediction_link(site.url, found.mr))
    browser.connect()
    browser.click("a", "Options / Configurations")
    browser.wait_for("return document.querySelector('#inferpulsar_responsestore')", "the options")
    _keep(browser, out / "ohif_options.png")
    browser.click("button", "Confirm")
    browser.run_model()
    browser.ask(f"{PANEL}.querySelector('h4:last-of-type button').click()")
    # OHIF's messages fade away.
    browser.wait_for("return !document.body.innerText.includes('Successful')", "a quiet page")
    _keep(browser, out / "ohif_prediction.png")
    browser.open(map_link(site.url, found))
    browser.wait_for("return window.cornerstone.cache._volumeCache.size > 1", "the map")
    _keep(browser, out / "ohif_map.png")


def _take_stored(site: Site, browser: OhifBrowser, out: Path) -> None:
    """Each stored object, as its link opens it."""
    study = site.maps[PATIENT].mr.study_uid
    for words, name in STORED.items():
        query = {"includefield": "0008103E"}
        found = requests.get(f"{site.url}/dicom-web/studies/{study}/series", query, timeout=30).json()
        (series,) = (
            one["0020000E"]["Value"][0]
            for one in found
            if f" {words} " in one.get("0008103E", {}).get("Value", [""])[0]
        )
        browser.open(f"{site.url}/viewer?StudyInstanceUIDs={study}&initialSeriesInstanceUID={series}")
        if words == "CAM bands":
            browser.wait_for("return document.body.innerText.includes('open this Segmentation')", "the segmentation")
        _keep(browser, out / f"ohif_{name}.png")


def _keep(browser: OhifBrowser, file: Path) -> None:
    """The page as a small picture."""
    for viewport in browser.viewports():
        browser.picture(viewport)  # waits until it no longer changes
    picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    # Maximum coverage keeps the few coloured pixels of a map among many grey ones.
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
