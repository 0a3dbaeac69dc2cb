"""Make the pictures of docs/tutorials/ohif.md again: real pages of OHIF, synthetic patients, a real server."""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import requests
from PIL import Image
from treatment_response.problems import DataProblem

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "apps" / "pulsar_response"), str(ROOT / "tests" / "app")]

from ohif_browser import PANEL, RUN, OhifBrowser  # noqa: E402
from panel_answer import THREE_LESIONS  # noqa: E402
from pulsar_app.local.maps import map_link, prediction_link  # noqa: E402
from pulsar_app.local.site import Plan, Site, start  # noqa: E402

# The second patient of the small cohort: three lesions.
PATIENTS, PATIENT = 3, 1
WIDTH = 1400
Box = tuple[float, float, float, float]
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
    browser.ask(f"{PANEL}.querySelectorAll('h4 button')[2].click()")
    _keep(browser, out / "ohif_prediction.png")
    _keep_refusal(browser, out / "ohif_refusal.png")
    _keep_certainty(browser, out / "ohif_certainty.png")
    browser.open(prediction_link(site.url, found.mr))
    browser.connect()
    browser.predict_from_click(browser.viewports()[0], found.at)
    browser.ask(f"{PANEL}.querySelector('h4 button').click()")
    _keep(browser, out / "ohif_click.png")
    browser.open(map_link(site.url, found))
    browser.wait_for("return window.cornerstone.cache._volumeCache.size > 1", "the map")
    _keep(browser, out / "ohif_map.png")


def _panel(browser: OhifBrowser) -> Box:
    left, top, right, bottom = map(float, browser.boxes("document.querySelectorAll('#pulsar-panel')")[0])
    return left, top, right, bottom


def _keep_refusal(browser: OhifBrowser, file: Path) -> None:
    browser.click("a", "Options / Configurations")
    browser.type("#inferpulsar_responserois", "GTV_9")
    browser.click("button", "Confirm")
    browser.click(RUN)
    browser.wait_for(f"return {PANEL}.querySelector('.warning') && !{PANEL}.querySelector('h4')", "the refusal")
    _keep(browser, file, _panel(browser))


def _keep_certainty(browser: OhifBrowser, file: Path) -> None:
    browser.ask(f"window.pulsarPanel.show({json.dumps(THREE_LESIONS)})")
    _keep(browser, file, _panel(browser))


def _take_stored(site: Site, browser: OhifBrowser, out: Path) -> None:
    """Each stored object, as its link opens it; a map of each class, whatever was predicted."""
    mr = site.maps[PATIENT].mr
    requests.post(
        f"{site.url}/infer/pulsar_response",
        params={"image": mr.series_uid, "output": "json"},
        data={"params": json.dumps({"store": True, "shown": "response"})},
        timeout=120,
    ).raise_for_status()
    query = {"includefield": "0008103E"}
    found = requests.get(f"{site.url}/dicom-web/studies/{mr.study_uid}/series", query, timeout=30).json()
    series = sorted((one.get("0008103E", {}).get("Value", [""])[0], one["0020000E"]["Value"][0]) for one in found)
    for words, name in STORED.items():
        uid = next(uid for description, uid in series if f" {words} " in description)
        browser.open(f"{site.url}/viewer?StudyInstanceUIDs={mr.study_uid}&initialSeriesInstanceUID={uid}")
        if words == "CAM bands":
            browser.wait_for("return document.body.innerText.includes('open this Segmentation')", "the segmentation")
        _keep(browser, out / f"ohif_{name}.png")


def _keep(browser: OhifBrowser, file: Path, box: Box | None = None) -> None:
    """The page, or a box of it (left, top, right, bottom in pixels), as a small picture."""
    # OHIF's messages fade away.
    browser.wait_for("return !document.querySelector('[data-sonner-toast]')", "a quiet page")
    for viewport in browser.viewports():
        browser.picture(viewport)  # waits until it no longer changes
    picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    if box is not None:
        picture = picture.crop(box)
    picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    # Maximum coverage keeps the few coloured pixels of a map among many grey ones.
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    sys.exit(main())
